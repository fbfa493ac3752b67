// kill -9 of everything, at every point of a life, under load: each request has one answer or a connection error (D5),
// nothing acknowledged is lost (V5, F1), a restart finds the kernel clean (F7).
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, HELLO, Load, childNamed, descendants, instances, processes, request, sleep, until } from "./harness.mjs";

let hob;
before(async () => {
  hob = await Daemon.start();
  await hob.deployOne("app", "f", "index.mjs", HELLO, { concurrency: 4 });
  await hob.deployOne("app2", "slow", "index.mjs",
    "export default { fetch: (r) => new Promise((d) => setTimeout(() => d(new Response('slow')), Number(new URL(r.url).searchParams.get('ms') ?? 300))) };",
    { concurrency: 50, timeout_ms: 20000 });
});
after(() => hob?.close());

const runtimePids = () => instances(hob.pid).map((i) => i.runtime).filter(Boolean);
const kill9 = (pid) => {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it ended meanwhile
  }
};
const alive = async () => (await request(`${hob.url}/fn/app/f`)).status === 200;
const explained = (answer) => answer.status === 200 || ([502, 503].includes(answer.status) && Boolean(answer.json.reason));

test("an instance that is killed: its requests are told, the next ones are served", async () => {
  assert.ok(await alive());
  const load = new Load(`${hob.url}/fn/app/f`, { clients: 6, check: explained });
  for (let i = 0; i < 10; i++) {
    await sleep(150);
    runtimePids().forEach(kill9);
  }
  await until(alive, "an answer", 15000);
  const counts = await load.stop();
  assert.deepEqual(load.failures, []);
  assert.ok(counts.ok > 20);
});

test("an instance killed while it runs: exactly one answer for each of its requests", async () => {
  await until(async () => (await request(`${hob.url}/fn/app2/slow?ms=1`)).status === 200, "the slow function");
  const asked = Array.from({ length: 20 }, () => request(`${hob.url}/fn/app2/slow?ms=2000`));
  await sleep(400);
  runtimePids().forEach(kill9);
  const answers = await Promise.all(asked);
  assert.equal(answers.length, 20);
  for (const answer of answers) {
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.json.reason, /function_crashed|instance_lost|out_of_memory/);
  }
});

test("hob-init killed: the instance is gone as a whole", async () => {
  await until(alive, "an answer");
  const before = runtimePids();
  assert.ok(before.length);
  instances(hob.pid).forEach((i) => kill9(i.init));
  /* One that is frozen meanwhile dies when it is called. */
  await until(async () => await alive() && before.every((pid) => (processes().get(pid)?.state ?? "Z") === "Z"), "every process of it to end, and an answer", 30000);
});

test("the runner killed under load: hobd starts another, instances are not left over", async () => {
  await until(alive, "an answer");
  const old = runtimePids();
  const load = new Load(`${hob.url}/fn/app/f`, { clients: 4, check: explained });
  const runner = await until(() => childNamed(hob.pid, "hob-runner"), "a runner");
  process.kill(runner, "SIGKILL");
  await until(() => childNamed(hob.pid, "hob-runner") && childNamed(hob.pid, "hob-runner") !== runner, "a new runner", 10000);
  await until(async () => (await request(`${hob.url}/readyz`)).status === 200, "readiness", 10000);
  await until(alive, "an answer", 15000);
  await load.stop();
  assert.deepEqual(load.failures, []);
  await until(() => old.every((pid) => !runtimePids().includes(pid)), "the old instances to be gone", 15000);
});

test("the runner killed again and again", { timeout: 120000 }, async () => {
  for (let i = 0; i < 3; i++) {
    const runner = await until(() => childNamed(hob.pid, "hob-runner"), "a runner", 15000);
    process.kill(runner, "SIGKILL");
    await until(() => childNamed(hob.pid, "hob-runner") !== runner, "its end");
    await sleep(100);
  }
  await until(alive, "an answer", 30000);
});

test("the launcher killed: hobd ends cleanly or mends it, nothing stays behind", { timeout: 120000 }, async () => {
  const tree = descendants(hob.pid);
  const launcher = await until(() => childNamed(hob.pid, "hob-launcher"), "a launcher");
  process.kill(launcher, "SIGKILL");
  await Promise.race([hob.ended, until(() => {
    const now = hob.exit ? undefined : childNamed(hob.pid, "hob-launcher");
    return now && now !== launcher;
  }, "a new launcher or the daemon's end", 30000)]);
  await sleep(300);
  if (hob.exit) {
    assert.equal(hob.exit.signal, null);
    assert.equal(hob.exit.code, 1);
    await until(() => hob.leftovers(tree).filter((l) => l.startsWith("process")).length === 0, "its processes to end", 10000)
      .catch(() => assert.deepEqual(hob.leftovers(tree), []));
    await hob.launch();
  }
  await until(alive, "an answer", 15000);
});

test("hobd killed under load: children follow, a restart sweeps and serves", { timeout: 120000 }, async () => {
  for (let round = 0; round < 4; round++) {
    await until(alive, "an answer", 15000);
    const load = new Load(`${hob.url}/fn/app/f`, { clients: 6, check: explained });
    await sleep(100 + round * 130);
    const tree = await hob.kill9();
    await sleep(50);
    load.isOn = false; // from here on connections fail, as they should
    await load.stop();
    assert.deepEqual(load.failures.filter((f) => !/ECONN|socket hang up|broken off|EPIPE/.test(f)), []);
    const living = () => [...tree].filter(([pid, p]) => {
      const q = processes().get(pid);
      return q && q.started === p.started && q.state !== "Z";
    }).map(([pid, p]) => `${pid} ${p.command || p.name}`);
    await until(() => living().length === 0, "the children to follow", 15000).catch(() => assert.deepEqual(living(), []));
    const left = () => hob.leftovers(tree).filter((l) => !l.startsWith("file") && !l.startsWith("folder"));
    await until(() => left().length === 0, "nothing left of it", 15000).catch(() => assert.deepEqual(left(), []));
    await hob.launch();
  }
  assert.ok(await alive());
});

test("what was acknowledged is there after kill -9 (V5)", { timeout: 180000 }, async () => {
  const says = (n) => `export default { fetch: () => new Response("d${n}") };`;
  let n = 0, acknowledged = 0, secret = 0, alias = 0;
  await hob.deployOne("ack", "f", "index.mjs", says(n));
  for (let round = 0; round < 8; round++) {
    let isOn = true;
    const write = async (act) => {
      while (isOn) try { await act(); } catch (error) {
        if (error.problem && isOn && error.problem.reason !== "deploy_in_progress") throw error;
      }
    };
    const jobs = [
      write(async () => { const mine = ++n; await hob.deployOne("ack", "f", "index.mjs", says(mine)); acknowledged = mine; }),
      write(async () => { const mine = ++secret; if ((await hob.api("PUT", `/v1/apps/ack/secrets/S${mine % 90}`, { value: `v${mine}` })).status !== 200) secret = mine - 1; }),
      write(async () => { const v = (alias % 1) + 1; if ((await hob.api("PUT", `/v1/apps/ack/functions/f/aliases/a${alias % 50}`, { version: v })).status === 200) alias++; }),
    ];
    await sleep(120 + Math.random() * 400);
    await hob.kill9();
    isOn = false;
    await Promise.allSettled(jobs);
    await hob.launch();
    const live = Number((await until(async () => {
      const a = await request(`${hob.url}/fn/ack/f`);
      return a.status === 200 ? a : undefined;
    }, "the live version", 15000)).text.slice(1));
    assert.ok(live >= acknowledged, `d${live} is live, d${acknowledged} was acknowledged`);
    const aliases = (await hob.api("GET", "/v1/apps/ack/functions/f/aliases")).json.aliases;
    assert.ok(aliases.length >= Math.min(alias, 50), `${aliases.length} of ${alias} aliases`);
    const doctor = (await hob.api("GET", "/v1/doctor")).json;
    assert.ok(doctor.checks.find((c) => c.name === "store").status === "ok");
    assert.deepEqual(fs.readdirSync(path.join(hob.home, "code")).filter((name) => name.startsWith(".")), []);
  }
  assert.ok(acknowledged > 8, `${acknowledged} deploys in 8 rounds`);
});

test("SIGTERM lets requests under way finish and takes no new ones", async () => {
  await until(async () => (await request(`${hob.url}/fn/app2/slow?ms=1`)).status === 200, "the slow function", 15000);
  const asked = Array.from({ length: 10 }, () => request(`${hob.url}/fn/app2/slow?ms=1200`));
  await sleep(300);
  const stopping = hob.stop();
  await sleep(100);
  await new Promise((resolve) => {
    const socket = net.connect(hob.port, "127.0.0.1", () => socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    socket.on("error", resolve);
    socket.on("close", resolve);
    setTimeout(() => socket.destroy(), 300);
  });
  for (const answer of await Promise.all(asked)) assert.equal(answer.text, "slow");
  await stopping;
  await hob.launch();
});

test("a torn home does not start silently", async () => {
  await hob.stop();
  const db = path.join(hob.home, "hob.db");
  const good = fs.readFileSync(db);
  fs.writeFileSync(db, Buffer.concat([good.subarray(0, 4096), Buffer.alloc(good.length - 4096, 0x5a)]));
  await assert.rejects(hob.launch(), /damaged|malformed|corrupt/i);
  fs.writeFileSync(db, good);
  for (const suffix of ["-wal", "-shm"]) fs.rmSync(db + suffix, { force: true });
  await hob.launch();
  await until(alive, "an answer", 15000);
});

test("a second daemon in the same home is refused", async () => {
  const other = Object.assign(new Daemon(), { options: {}, dir: hob.dir, home: hob.home });
  await assert.rejects(other.launch(), /another hobd/);
  assert.ok(await alive());
});
