// What operators look at: health, readiness, metrics, the daemon's own limits, its start and its end.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { BIN, Daemon, HELLO, ROOT, childNamed, isSanitized, mib, request, sleep, until } from "./harness.mjs";

let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob?.close());

const metrics = async () => Object.fromEntries((await hob.call("/metrics")).text.split("\n")
  .filter((line) => line && !line.startsWith("#")).map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));

test("every invocation is counted once, by what became of it (M1 in small)", async () => {
  await hob.deployOne("count", "ok", "index.mjs", HELLO);
  await hob.deployOne("count2", "bad", "index.mjs", "export default { fetch() { throw new Error('x'); } };");
  const before = await metrics();
  for (let i = 0; i < 25; i++) assert.equal((await hob.call("/fn/count/ok")).status, 200);
  for (let i = 0; i < 7; i++) assert.equal((await hob.call("/fn/count2/bad")).status, 502);
  for (let i = 0; i < 3; i++) assert.equal((await hob.call("/fn/count/none")).status, 404);
  const now = await metrics();
  const more = (name) => now[name] - before[name];
  assert.equal(more('hob_requests_total{outcome="ok"}'), 25);
  assert.equal(more('hob_requests_total{outcome="function_failed"}'), 7);
  assert.equal(more('hob_requests_total{outcome="not_found"}'), 0); // nothing was invoked
  assert.equal(more("hob_run_seconds_count"), 32);
  assert.equal(now['hob_run_seconds_bucket{le="+Inf"}'], now.hob_run_seconds_count);
  assert.ok(more("hob_http_requests_total") >= 35);
  assert.equal(more("hob_cold_starts_total"), 2);
  assert.ok(now.hob_runner_connected === 1 && now.process_open_fds > 5 && now.process_resident_memory_bytes > 1e6);
  const reports = (await hob.logs("count", "ok")).filter((l) => l.text.startsWith("REPORT"));
  assert.equal(reports.length, 25);
});

test("readiness goes while no runner is there, health does not", async () => {
  for (let tries = 0, isSeen = false; !isSeen; tries++) { // the moment may be missed
    assert.ok(tries < 10, "readiness was never gone");
    const runner = await until(() => childNamed(hob.pid, "hob-runner"), "a runner");
    process.kill(runner, "SIGKILL");
    isSeen = await until(async () => {
      if ((await request(`${hob.url}/readyz`)).status === 503) return "seen";
      const now = childNamed(hob.pid, "hob-runner");
      return now && now !== runner && "missed";
    }, "503") === "seen";
    assert.equal((await request(`${hob.url}/healthz`)).status, 200);
    await until(async () => (await request(`${hob.url}/readyz`)).status === 200, "readiness");
  }
});

test("descriptors and memory come back after many connections", { timeout: 120000 }, async () => {
  await hob.call("/fn/count/ok");
  const files = hob.openFiles();
  for (let round = 0; round < 3; round++) {
    const sockets = await Promise.all(Array.from({ length: 500 }, () => new Promise((resolve, reject) => {
      const socket = net.connect(hob.port, "127.0.0.1", () => resolve(socket));
      socket.on("error", reject);
    })));
    for (const socket of sockets) socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await sleep(300);
    for (const socket of sockets) socket.destroy();
  }
  await until(() => hob.openFiles() <= files + 4, `descriptors to come back to ${files}`, 10000);
  assert.equal((await hob.call("/fn/count/ok")).text, "hello\n");
});

test("an idle daemon is small and does nothing", { timeout: 120000 }, async () => {
  const fresh = await Daemon.start();
  try {
    await sleep(1500);
    const ticks = () => fs.readFileSync(`/proc/${fresh.pid}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 13).reduce((a, b) => a + Number(b), 0);
    const before = ticks();
    await sleep(2000);
    assert.ok(ticks() - before <= 2, "it burns CPU while idle");
    assert.ok(isSanitized || fresh.rss() < mib(12), `${fresh.rss() >> 10} KiB`);
  } finally {
    await fresh.close();
  }
});

test("wrong options are told, with an exit code", () => {
  for (const [args, wanted] of [[["--lisen", "x"], /did you mean '--listen'/], [["--listen", "nonsense"], /127\.0\.0\.1:7070/],
    [["--home"], /needs a value/], [["--home", "/proc/none"], /\/proc/]]) {
    const done = spawnSync(path.join(BIN, "hobd"), args, { encoding: "utf8", timeout: 10000 });
    assert.ok(done.status > 0, args.join(" "));
    assert.match(done.stderr, wanted);
  }
  const taken = spawnSync(path.join(BIN, "hobd"), ["--home", path.join(hob.dir, "other"), "--listen", `127.0.0.1:${hob.port}`,
    "--runtimes", path.join(ROOT, "runtimes")], { encoding: "utf8", timeout: 20000 });
  assert.ok(taken.status > 0);
  assert.match(taken.stderr, /another program listens on 127\.0\.0\.1 port \d+ already; stop it, or choose another port/);
  const version = spawnSync(path.join(BIN, "hobd"), ["--version"], { encoding: "utf8" });
  assert.match(version.stdout, /^hobd \d/);
});

test("the token file is for its owner only, and so is the home", () => {
  assert.equal(fs.statSync(path.join(hob.home, "admin.token")).mode & 0o777, 0o600);
  assert.equal(fs.statSync(path.join(hob.home, "master.key")).mode & 0o777, 0o600);
  assert.equal(fs.statSync(hob.home).mode & 0o077, 0);
});

test("a backup opens as a store of its own", { timeout: 120000 }, async () => {
  const copy = await hob.api("POST", "/v1/backup");
  assert.equal(copy.status, 200);
  const other = await Daemon.start({ prepare: (d) => {
    fs.mkdirSync(d.home, { recursive: true });
    fs.writeFileSync(path.join(d.home, "hob.db"), copy.bytes);
    fs.copyFileSync(path.join(hob.home, "master.key"), path.join(d.home, "master.key"));
    fs.cpSync(path.join(hob.home, "code"), path.join(d.home, "code"), { recursive: true });
    fs.copyFileSync(path.join(hob.home, "admin.token"), path.join(d.home, "admin.token"));
    if (process.getuid() === 0) spawnSync("chown", ["-R", "hob:", d.home]);
  } });
  try {
    assert.equal((await request(`${other.url}/fn/count/ok`)).text, "hello\n");
  } finally {
    await other.close();
  }
});
