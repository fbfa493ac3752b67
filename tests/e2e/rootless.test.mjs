// Without root: the same platform inside one user namespace. What the machine cannot give is said by the doctor.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { closedToUsers, Daemon, HELLO, Load, descendants, isRoot, until } from "./harness.mjs";

const UID = 65534;
let hob, skip = false;
try {
  if (Number(fs.readFileSync("/proc/sys/user/max_user_namespaces", "utf8")) === 0) skip = "user namespaces are switched off here";
  if (fs.readFileSync("/proc/sys/kernel/unprivileged_userns_clone", "utf8").trim() === "0") skip = "user namespaces are not for users here";
} catch {
  // kernels without that switch
}
skip ||= closedToUsers(UID);
before(async () => {
  if (!skip) hob = await Daemon.start(isRoot ? { uid: UID } : {});
});
after(() => hob?.close());

test("deploy, call, logs", { skip, timeout: 120000 }, async () => {
  assert.equal(fs.statSync(`/proc/${hob.pid}`).uid, isRoot ? UID : process.getuid());
  await hob.deployOne("app", "f", "index.mjs", "export default { fetch: () => { console.log('rootless'); return new Response('hello'); } };");
  assert.equal((await hob.call("/fn/app/f")).text, "hello");
  await until(async () => (await hob.logs("app", "f")).some((l) => l.text === "rootless"), "the line");
  await hob.deployOne("py", "f", "main.py", "import os\ndef handler(event, context):\n    return {'uid': os.getuid(), 'pid': os.getpid(), 'ids': sorted(p for p in os.listdir('/proc') if p.isdigit())}\n",
    { runtime: "python" });
  const seen = (await hob.call("/fn/py/f")).json;
  assert.ok(seen.ids.length <= 3, `it sees ${seen.ids.length} processes`);
});

test("a function sees no file of its host and writes only to its own /tmp", { skip, timeout: 120000 }, async () => {
  await hob.deployOne("look", "f", "main.py", `
import os
def tried(act):
    try:
        act()
        return "done"
    except OSError as e:
        return e.strerror
def handler(event, context):
    return {"home": os.path.exists("/home") and os.listdir("/home"), "root": tried(lambda: os.listdir("/root")),
        "shadow": tried(lambda: open("/etc/shadow").read()), "app": tried(lambda: open("/app/x", "w")),
        "usr": tried(lambda: open("/usr/x", "w")), "tmp": tried(lambda: open("/tmp/x", "w")),
        "hob": tried(lambda: os.listdir("${hob?.home ?? ""}"))}
`, { runtime: "python" });
  const seen = (await hob.call("/fn/look/f")).json;
  assert.equal(seen.tmp, "done");
  for (const what of ["root", "shadow", "app", "usr", "hob"]) assert.notEqual(seen[what], "done", what);
});

test("bombs die with their instance, the neighbour answers", { skip, timeout: 120000 }, async () => {
  await hob.deployOne("neighbour", "f", "index.mjs", HELLO);
  await hob.call("/fn/neighbour/f");
  const load = new Load(`${hob.url}/fn/neighbour/f`, { clients: 2, pause: 5 });
  // all instances share one uid here, and with it one bound of processes: four hundred are enough to see that they all go
  await hob.deployOne("bomb", "f", "main.py", "import os, time\ndef handler(event, context):\n    for i in range(400):\n        try:\n            if os.fork() == 0:\n                while True:\n                    time.sleep(1)\n        except OSError:\n            break\n    while True:\n        pass\n",
    { runtime: "python", timeout_ms: 1500 });
  const bomb = await hob.call("/fn/bomb/f", { timeout: 30000 });
  assert.ok([502, 504].includes(bomb.status), bomb.text);
  assert.equal((await hob.api("DELETE", "/v1/apps/bomb")).status, 200);
  await until(() => descendants(hob.pid).size < 100, "the bomb to be gone", 15000);
  await hob.deployOne("spin", "f", "index.mjs", "export default { fetch() { for (;;); } };", { timeout_ms: 700 });
  assert.equal((await hob.call("/fn/spin/f")).json.reason, "function_timeout");
  await hob.deployOne("fills", "f", "index.mjs", `import fs from "node:fs";
    export default { fetch() { let n = 0; try { for (;; n++) fs.appendFileSync("/tmp/full", Buffer.alloc(1 << 20)); } catch (e) { return Response.json({ code: e.code, n }); } } };`);
  assert.ok((await hob.call("/fn/fills/f")).json.n <= 64);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("the doctor says what is not to be had without root", { skip }, async () => {
  const { checks } = (await hob.api("GET", "/v1/doctor")).json;
  assert.ok(checks.some((c) => /root/i.test(`${c.name} ${c.text}`)), JSON.stringify(checks));
});

test("kill -9 leaves nothing behind", { skip, timeout: 120000 }, async () => {
  const tree = await hob.kill9();
  const left = () => hob.leftovers(tree).filter((l) => !/^(file|folder)/.test(l));
  await until(() => left().length === 0, "nothing left", 15000).catch(() => assert.deepEqual(left(), []));
  await hob.launch();
  assert.equal((await hob.call("/fn/app/f")).text, "hello");
});
