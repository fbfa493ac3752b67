// Functions in containers: the same contract as in sandboxes, on a Docker Engine of the test's own.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Daemon, HELLO, Load, ROOT, project, tar, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
const it = (name, fn) => test(name, { skip: unavailable }, fn);
let docker, hob;
before(async () => {
  if (unavailable) return;
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
  await until(async () => (await checks()).some((c) => c.name === "docker" && /version/.test(c.text)), "the engine to be up");
});
after(async () => {
  if (unavailable) return;
  try {
    await hob.close();
    await docker.isEmpty();
  } finally {
    await docker.close();
  }
});
const checks = async () => (await hob.api("GET", "/v1/doctor")).json.checks;
const js = (app, body, config = {}) => hob.deployOne(app, "f", "index.mjs", body, { engine: "docker", ...config });
const fails = (answer, status, reason) => {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.reason, reason, answer.text);
};
const ask = async (app, body, config) => {
  await js(app, `import fs from "node:fs"; import net from "node:net"; import os from "node:os";\nexport default { async fetch(request) { return Response.json(await (async () => { ${body} })()); } };`, config);
  const answer = await hob.call(`/fn/${app}/f`);
  assert.equal(answer.status, 200, answer.text + JSON.stringify(await hob.logs(app, "f")));
  return answer.json;
};

it("a node function runs in a container, by one word in hob.json", async () => {
  assert.equal((await hob.api("POST", "/v1/runtimes/node/image")).status, 200); // ahead, so that nobody waits for it
  await js("hello", HELLO);
  const answer = await hob.call("/fn/hello/f");
  assert.equal(answer.text, "hello\n", JSON.stringify(await hob.logs("hello", "f")));
  const ours = await docker.containers();
  assert.ok(ours.some((c) => c.Labels["hob.role"] === "instance" && c.Labels["hob.app"] === "hello"));
});

it("a python function, and a C function, too", async () => {
  for (const name of ["python", "c"]) assert.equal((await hob.api("POST", `/v1/runtimes/${name}/image`)).status, 200);
  await hob.deployOne("py", "f", "main.py", "def handler(event, context):\n    return {'sum': event['a'] + event['b']}\n", { engine: "docker" });
  const told = await hob.api("POST", "/v1/apps/py/functions/f/invoke", { a: 2, b: 40 });
  assert.equal(told.status, 200, told.text + JSON.stringify(await hob.logs("py", "f")));
  assert.deepEqual(told.json, { sum: 42 });
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-c-"));
  try {
    fs.writeFileSync(path.join(dir, "main.c"), '#define HOB_IMPLEMENTATION\n#include "hob.h"\nstatic int h(hob_call *c, void *a) { (void)a; return hob_write(c, "from C\\n", 7); }\nint main(void) { return hob_run(h, 0, 0); }\n');
    const made = spawnSync("gcc", ["-O1", "-I", path.join(ROOT, "runtimes/c"), "-o", path.join(dir, "main"), path.join(dir, "main.c"), "-lpthread"], { encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    fs.rmSync(path.join(dir, "main.c"));
    project({ "hob.json": { app: "native", functions: { f: { entry: "main", engine: "docker" } } } }, dir);
    assert.equal((await hob.api("POST", "/v1/apps/native/deploy", tar(dir))).status, 201);
    const answer = await hob.call("/fn/native/f");
    assert.equal(answer.text, "from C\n", answer.text + JSON.stringify(await hob.logs("native", "f")));
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

it("what it prints comes into its log, by stream and in order", async () => {
  await js("prints", 'export default { fetch() { for (let i = 0; i < 50; i++) console.log(`line ${i}`); process.stderr.write("to stderr\\n"); return new Response("ok"); } };');
  assert.equal((await hob.call("/fn/prints/f")).status, 200);
  await until(async () => (await hob.logs("prints", "f")).some((l) => l.text === "line 49"), "line 49");
  const lines = (await hob.logs("prints", "f")).filter((l) => /^line/.test(l.text)).map((l) => l.text);
  assert.deepEqual(lines, Array.from({ length: 50 }, (_, i) => `line ${i}`));
  await until(async () => (await hob.logs("prints", "f")).some((l) => l.stream === "stderr" && l.text === "to stderr"), "stderr");
});

it("its walls stand: seen from inside", async () => {
  const seen = await ask("walls", `
    const status = Object.fromEntries(fs.readFileSync("/proc/self/status", "utf8").split("\\n").map((l) => l.split(":\\t")));
    const tryIt = (f) => { try { f(); return "done"; } catch (e) { return e.code; } };
    return { uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), status,
      root: tryIt(() => fs.writeFileSync("/evil", "x")), etc: tryIt(() => fs.writeFileSync("/etc/passwd", "x")),
      app: tryIt(() => fs.writeFileSync("/app/evil", "x")), runtime: tryIt(() => fs.writeFileSync("/hob/runtime/evil", "x")),
      init: tryIt(() => fs.writeFileSync("/hob/init", "x")), tmp: tryIt(() => fs.writeFileSync("/tmp/fine", "x")),
      shm: tryIt(() => fs.writeFileSync("/dev/shm/fine", "x")),
      big: tryIt(() => { const fd = fs.openSync("/tmp/big", "w"); const b = Buffer.alloc(1 << 20); for (let i = 0; i < 80; i++) fs.writeSync(fd, b); }),
      pid1: tryIt(() => fs.readlinkSync("/proc/1/fd/0")), environ1: tryIt(() => fs.readFileSync("/proc/1/environ")),
      sock: fs.existsSync("/var/run/docker.sock"), runnerSock: await new Promise((r) => net.connect("/hob/runner.sock").on("error", (e) => r(e.code)).on("connect", () => r("connected"))),
      nets: fs.readdirSync("/sys/class/net"), mem: tryIt(() => fs.readFileSync("/proc/kcore")), hostname: os.hostname(), env: process.env };`, { memory_mb: 192 });
  assert.ok(seen.uid >= 1000 && seen.gid >= 1000, "not root");
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) assert.match(seen.status[set], /^0+$/, set);
  assert.equal(seen.status.NoNewPrivs, "1");
  assert.equal(seen.status.Seccomp, "2");
  for (const where of ["root", "etc", "app", "runtime", "init"]) assert.ok(["EROFS", "EACCES", "EPERM"].includes(seen[where]), `${where}: ${seen[where]}`);
  assert.equal(seen.tmp, "done");
  assert.equal(seen.shm, "done");
  assert.equal(seen.big, "ENOSPC", "/tmp is limited");
  assert.notEqual(seen.pid1, "done", "hob-init's descriptors are out of reach");
  assert.notEqual(seen.environ1, "done");
  assert.equal(seen.sock, false);
  assert.notEqual(seen.runnerSock, "connected", "the runner's socket takes nobody twice");
  assert.deepEqual(seen.nets, ["lo"], "no network");
  assert.ok(!("HOB_TOKEN" in seen.env) && !Object.keys(seen.env).some((n) => /DOCKER/.test(n)));
  const one = (await docker.containers()).find((c) => c.Labels["hob.app"] === "walls" && c.Labels["hob.role"] === "instance");
  const host = (await docker.api("GET", `/containers/${one.Id}/json`)).json.HostConfig;
  assert.equal(host.ReadonlyRootfs, true);
  assert.deepEqual(host.CapDrop, ["ALL"]);
  assert.equal(host.LogConfig.Type, "none");
  assert.equal(host.RestartPolicy.Name, "no");
  assert.equal(host.Memory, 192 << 20);
  assert.equal(host.MemorySwap, 192 << 20);
  assert.ok(host.PidsLimit > 0 && /^container:/.test(host.NetworkMode) && host.Privileged === false);
});

it("dangerous system calls are refused inside", async () => {
  const py = `
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(nr, *args)
    return "done" if r >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
def handler(event, context):
    return {"ptrace": call(101, 0, 0, 0, 0), "mount": call(165, b"none", b"/tmp", b"tmpfs", 0, 0), "unshare": call(272, 0x10000000),
            "bpf": call(321, 0, 0, 0), "io_uring": call(425, 8, 0), "keyctl": call(250, 0, 0), "perf": call(298, 0, 0, 0, 0, 0),
            "userfaultfd": call(323, 0), "netlink": call(41, 16, 3, 0), "vsock": call(41, 40, 1, 0), "raw": call(41, 2, 3, 1), "core": call(160, 4, (ctypes.c_ulong * 2)(0, 0)), "core high": call(160, ctypes.c_long(0x100000004), (ctypes.c_ulong * 2)(0, 0)),
            "tcp": call(41, 2, 1, 0), "nofile": call(160, 7, (ctypes.c_ulong * 2)(512, 512))}
`;
  await hob.deployOne("calls", "f", "main.py", py, { engine: "docker" });
  const told = await hob.api("POST", "/v1/apps/calls/functions/f/invoke", {});
  assert.equal(told.status, 200, told.text + JSON.stringify(await hob.logs("calls", "f")));
  const { tcp, nofile, ...denied } = told.json;
  assert.equal(tcp, "done");
  assert.equal(nofile, "done");
  for (const [name, what] of Object.entries(denied)) assert.notEqual(what, "done", name);
});

it("too much memory is a typed error, and the next call gets a fresh instance", async () => {
  await js("oom", 'const kept = []; export default { fetch(r) { if (new URL(r.url).searchParams.has("eat")) for (;;) kept.push(Buffer.alloc(8 << 20, 1)); return new Response("fine"); } };', { memory_mb: 64 });
  fails(await hob.call("/fn/oom/f?eat=1"), 502, "out_of_memory");
  assert.equal((await hob.call("/fn/oom/f")).text, "fine");
});

it("a deadline ends it, also when it ignores signals and keeps the processor busy", async () => {
  await js("busy", 'process.on("SIGTERM", () => {}); export default { fetch(r) { if (new URL(r.url).searchParams.has("spin")) for (;;); return new Response("fine"); } };', { timeout_ms: 400 });
  const began = performance.now();
  assert.equal((await hob.call("/fn/busy/f?spin=1")).status, 504);
  assert.ok(performance.now() - began < 20000);
  assert.equal((await hob.call("/fn/busy/f")).text, "fine");
});

it("it crashes: the caller hears it, the log says how, the next call works", async () => {
  await js("crash", 'export default { fetch(r) { if (new URL(r.url).searchParams.has("die")) process.exit(7); return new Response("fine"); } };');
  fails(await hob.call("/fn/crash/f?die=1"), 502, "function_crashed");
  await until(async () => (await hob.logs("crash", "f")).some((l) => /status 7/.test(l.text)), "its status in the log");
  assert.equal((await hob.call("/fn/crash/f")).text, "fine");
});

it("a process that it left behind dies with it", async () => {
  const seen = await ask("orphan", `const { spawn } = await import("node:child_process");
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" }).unref(); return { ok: 1 };`);
  assert.equal(seen.ok, 1);
  await hob.api("DELETE", "/v1/apps/orphan");
  await until(async () => !(await docker.containers()).some((c) => c.Labels["hob.app"] === "orphan" && c.Labels["hob.role"] === "instance" && c.State === "running" && false), "its end");
});

it("many at once: each answer its own", async () => {
  await js("many", 'export default { async fetch(r) { await new Promise((d) => setTimeout(d, 20)); return new Response(new URL(r.url).searchParams.get("n")); } };', { concurrency: 10, scale: { max: 4 } });
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => hob.call(`/fn/many/f?n=${i}`)));
  answers.forEach((a, i) => assert.equal(a.text, String(i)));
});

it("another app is in another network namespace, and each has only a loopback", async () => {
  const at = `import fs from "node:fs"; export default { fetch: () => new Response(fs.readlinkSync("/proc/self/ns/net")) };`;
  await js("net-a", at);
  await js("net-b", at);
  const a = await hob.call("/fn/net-a/f"), b = await hob.call("/fn/net-b/f");
  assert.equal(a.status, 200);
  assert.notEqual(a.text, b.text);
  assert.notEqual(a.text, fs.readlinkSync("/proc/self/ns/net"));
});

it("an image that goes away after its deploy is a clear error", async () => {
  const empty = (await docker.api("POST", "/images/create?fromSrc=-&repo=gone&tag=1", spawnSync("tar", ["-cf", "-", "-C", ROOT, "README.md"]).stdout)).text;
  const id = JSON.parse(empty.trim().split("\n").at(-1)).status;
  assert.ok(await hob.deploy("absent", { f: { engine: "docker", image: "gone:1" } }, { "README": "nothing" }));
  assert.equal((await docker.api("DELETE", `/images/${id}?force=1`)).status, 200);
  await until(async () => (await hob.call("/fn/absent/f")).json?.reason === "image_missing", "the reason");
  assert.ok((await hob.logs("absent", "f")).some((l) => l.text.includes(id)));
});

it("a neighbour in a sandbox does not notice any of it", async () => {
  await hob.deployOne("near", "f", "index.mjs", HELLO);
  const load = new Load(`${hob.url}/fn/near/f`, { clients: 2, pause: 2 });
  await js("churn", HELLO);
  assert.equal((await hob.call("/fn/churn/f")).status, 200);
  await hob.api("DELETE", "/v1/apps/churn");
  await load.stop();
  assert.deepEqual(load.failures, []);
});
