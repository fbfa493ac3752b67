// What one tenant could take from another: environment, secrets, files, leftovers, randomness, crash remains (S3, S5).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, deployAttackers, factsOf, holesOf, until } from "./world.mjs";

const canary = randomBytes(12).toString("hex");
const asked = `${canary.slice(0, 10)}.${canary.slice(10)}`; // the request itself must be no find
let hob;

before(async () => {
  hob = await Daemon.start();
  await deployAttackers(hob);
  await hob.deploy("victim", { f: { entry: "index.mjs", secrets: ["KEY"] } }, {
    [`named-${canary}.txt`]: canary,
    ".env": `PLAIN=env-${canary}\n`,
    "index.mjs": `import fs from "node:fs";
      const own = "code-${canary}";
      export default { async fetch(request, env) {
        fs.writeFileSync("/tmp/work-${canary}", own + (env?.KEY ?? ""));
        fs.writeFileSync("/dev/shm/work", own);
        console.log("log-${canary}");
        return new Response(own + " " + process.title);
      } };`,
  }).catch((error) => { throw error; });
  assert.equal((await hob.api("PUT", "/v1/apps/victim/secrets/KEY", { value: `secret-${canary}` })).status, 200);
  assert.equal((await hob.api("PATCH", "/v1/apps/victim/functions/f/env", { set: { PLAIN: `env-${canary}` } })).status, 200);
  assert.match((await hob.call("/fn/victim/f")).text, new RegExp(canary));
});
after(() => hob.close());

const steal = async (attack, fn = "attacker") => {
  const answer = await hob.call(`/fn/hostile/${fn}/${attack}`, { timeout: 20000 });
  assert.equal(answer.status, 200, answer.text);
  return answer.text;
};

test("H11 another app's environment, secrets, code, files and log are nowhere to be found", async () => {
  const text = await steal(`canary?${asked}`);
  assert.deepEqual(holesOf(text), []);
  assert.ok(Number(factsOf(text).files) > 20, `${factsOf(text).files} files were read`);
});

test("H12 what a tenant leaves in /tmp and /dev/shm is gone with its instance", async () => {
  assert.deepEqual(holesOf(await steal("leftovers")), []);
  assert.ok(!/failed/.test(await steal(`leave?${canary}`)));
  assert.equal(holesOf(await steal("leftovers")).length, 3, "the same instance sees them: the attack bites");
  assert.deepEqual(holesOf(await steal("leftovers", "short")), [], "another function of the same app");
  const again = await hob.api("PATCH", "/v1/apps/hostile/functions/attacker/env", { set: { AGAIN: "1" } });
  assert.equal(again.status, 200, again.text);
  await until(async () => holesOf(await steal("leftovers")).length === 0, "a new version's instance to be clean", 5000);
});

test("H12 a new instance has stdin, stdout, stderr and the channel, nothing else", async () => {
  const text = await steal("leftovers", "short");
  const open = Object.entries(factsOf(text)).filter(([name]) => /^fd\d+$/.test(name)).map(([name, what]) => `${name} ${what}`);
  assert.deepEqual(open, ["fd0 other", "fd1 pipe", "fd2 pipe", "fd3 socket", "fd4 pipe", "fd5 pipe"]); // 4, 5: hob.h's own
});

test("H12 randomness differs between instances of every runtime", { timeout: 120000 }, async () => {
  const sources = {
    node: ["index.mjs", `import crypto from "node:crypto";\nexport default { fetch: () => Response.json([Math.random(), crypto.randomUUID(), process.hrtime.bigint() % 7n + ""]) };`],
    python: ["main.py", "import random, uuid, os\ndef handler(event, context):\n    return [random.random(), str(uuid.uuid4()), os.urandom(8).hex()]\n"],
    php: ["index.php", "<?php\nreturn function ($event, $context) { return [mt_rand(), bin2hex(random_bytes(8)), lcg_value()]; };\n"],
  };
  for (const [runtime, [entry, text]] of Object.entries(sources)) {
    const seen = new Set();
    for (let i = 0; i < 4; i++) { // four apps: four instances, however they are made
      await hob.deployOne(`random-${runtime}-${i}`, "f", entry, text, { runtime });
      const answer = await hob.call(`/fn/random-${runtime}-${i}/f`);
      assert.equal(answer.status, 200, answer.text);
      for (const value of answer.json.slice(0, 2)) seen.add(value);
    }
    assert.equal(seen.size, 8, `${runtime}: ${[...seen]}`);
  }
  const native = new Set();
  for (const fn of ["attacker", "short"]) native.add((await steal("randomness", fn)).split("\n")[0]);
  assert.equal(native.size, 2);
});

test("S3 a crash leaves no core, and hobd's home does not hold what was in memory", { timeout: 120000 }, async () => {
  const secret = randomBytes(12).toString("hex");
  const began = Date.now();
  const answer = await hob.call(`/fn/hostile/short/crash?${secret}`);
  assert.equal(answer.status, 502, answer.text);
  const walk = (dir, found = []) => {
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
      const at = path.join(dir, entry.name);
      if (entry.isDirectory()) walk(at, found);
      else if (entry.isFile()) found.push(at);
    }
    return found;
  };
  for (const file of walk(hob.home)) {
    assert.ok(!fs.readFileSync(file).includes(secret), `${file} holds what the function had in memory`);
    assert.ok(!/^core(\.|$)/.test(path.basename(file)) , file);
  }
  for (const dir of [hob.dir, "/tmp", "/var/crash", "/var/lib/systemd/coredump", "/var/core", process.cwd()])
    for (const name of fs.existsSync(dir) ? fs.readdirSync(dir) : [])
      if (/^core(\.|$)/.test(name)) assert.ok(fs.statSync(path.join(dir, name)).mtimeMs < began, `${dir}/${name}`);
});

test("S3 secrets are in no log, no metric, no answer of the control API and no process of the machine's list", async () => {
  const needle = `secret-${canary}`;
  for (const where of ["/metrics", "/v1/functions", "/v1/apps/victim/functions/f", "/v1/apps/victim/secrets", "/v1/instances", "/v1/doctor",
    "/v1/apps/victim/functions/f/isolation"])
    assert.ok(!(await hob.api("GET", where)).text.includes(needle), where);
  assert.ok(!(await hob.logs("victim", "f")).some((l) => l.text.includes(needle)));
  assert.ok(!hob.stderr.includes(needle) && !hob.stdout.includes(needle));
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      assert.ok(!fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(needle), `the command line of ${pid}`);
      assert.ok(!fs.readFileSync(`/proc/${pid}/environ`, "latin1").includes(needle), `the environment of ${pid}`);
    } catch (error) {
      if (error.code === "ERR_ASSERTION") throw error; // else it has ended
    }
  }
  for (const name of ["hob.db", "hob.db-wal"]) {
    const file = path.join(hob.home, name);
    if (fs.existsSync(file)) assert.ok(!fs.readFileSync(file).includes(needle), `${name} holds the secret in plain`);
  }
});

test("H28 a function that calls itself is stopped after a few turns", { timeout: 120000 }, async () => {
  const most = (await hob.api("GET", "/v1/limits")).json.limits.find((l) => l.name === "cloud.depth").value;
  await hob.deploy("loop", { f: { entry: "index.mjs", bindings: ["fn:f"], timeout_ms: 30000 } }, { "index.mjs": `export default { async fetch(request, env) {
    try { return Response.json({ turns: 1 + (await env.fn.invoke("f")).turns }); } catch (error) { return Response.json({ turns: 0, why: error.message }); } } };` });
  const answer = await hob.call("/fn/loop/f", { timeout: 50000 });
  assert.equal(answer.status, 200, answer.text);
  assert.ok(answer.json.turns <= most, answer.text);
  assert.ok((await hob.api("GET", "/v1/instances?app=loop")).json.instances.length <= most + 1);
});

test("H32 a call that timed out and never ends costs the instance: the next one finds nothing of it", { timeout: 120000 }, async () => {
  const fresh = factsOf(await steal("lingered", "short")).threads;
  for (let i = 0; i < 2; i++) {
    const answer = await hob.call("/fn/hostile/short/linger", { timeout: 30000 });
    assert.equal(answer.status, 504, answer.text);
    const text = await steal("lingered", "short");
    assert.deepEqual(holesOf(text), []);
    assert.equal(factsOf(text).threads, fresh);
  }
});

test("H32 in Node, too: timers, globals and promises of a call that never ends are gone", { timeout: 120000 }, async () => {
  await hob.deployOne("warm", "f", "index.mjs", `let n = 0; export default { fetch(r) {
    if (!r.url.endsWith("/linger")) return Response.json({ n, poisoned: globalThis.poisoned ?? false });
    globalThis.poisoned = true; setInterval(() => n++, 1); for (;;); } };`, { timeout_ms: 500, scale: { max: 1 } });
  assert.deepEqual((await hob.call("/fn/warm/f/")).json, { n: 0, poisoned: false });
  assert.equal((await hob.call("/fn/warm/f/linger")).status, 504);
  assert.deepEqual((await hob.call("/fn/warm/f/", { timeout: 30000 })).json, { n: 0, poisoned: false });
});

test("H33 variables that would change the loader, the runtime or the platform's own are refused, in hob.json and by hob env", async () => {
  for (const name of ["LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "GLIBC_TUNABLES", "HOB_TOKEN", "_HANDLER", "AWS_LAMBDA_RUNTIME_API", "lD-X", "A=B", ""]) {
    await assert.rejects(hob.deployOne("injected", "f", "index.mjs", "export default { fetch: () => new Response('x') };", { vars: { [name]: "/tmp/evil.so" } }),
      (error) => error.status === 400 && /reserved_name|variable name/.test(error.message), name);
    const set = await hob.api("PATCH", "/v1/apps/hostile/functions/attacker/env", { set: { [name]: "/tmp/evil.so" } });
    assert.equal(set.status, 400, `${name}: ${set.text}`);
  }
  await hob.deployOne("injected", "f", "index.mjs", `import fs from "node:fs";
    export default { fetch: () => Response.json({ execArgv: process.execArgv, own: fs.readFileSync("/proc/self/environ", "latin1").split("\\0") }) };`,
    { vars: { TZ: "../../../etc/shadow", LANG: "xx_XX.EVIL", LC_ALL: "../x", PATH: "/tmp", HOME: "/nowhere" } });
  const seen = (await hob.call("/fn/injected/f")).json;
  for (const text of seen.own) assert.ok(!/EVIL|shadow|nowhere/.test(text), `${text}: variables come when the program runs, never before it`);
});

test("H34 no app takes what is another's: its name, its routes, more functions than it may have", { timeout: 120000 }, async () => {
  const source = { "index.mjs": "export default { fetch: () => new Response('mine') };" };
  await hob.deploy("landlord", { f: { entry: "index.mjs", routes: [{ path: "/taken/:id" }] } }, source);
  await assert.rejects(hob.deploy("squatter", { f: { entry: "index.mjs", routes: [{ path: "/taken/:other" }] } }, source), (error) => error.status === 409);
  assert.equal((await hob.call("/taken/1")).text, "mine");
  const limits = (await hob.api("GET", "/v1/limits")).json.limits;
  const most = limits.find((l) => l.name === "app.functions").value;
  const many = Object.fromEntries(Array.from({ length: most + 1 }, (_, i) => [`f${i}`, { entry: "index.mjs" }]));
  await assert.rejects(hob.deploy("hoarder", many, source), (error) => error.status === 413 || error.status === 400);
});
