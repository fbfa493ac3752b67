// Instances that share their version's sandbox (isolation "version"): forks of a zygote, each with its own randomness,
// limits, log and end; what they share is what docs/sandbox.md says, and nothing is shared beyond a version.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { Daemon, descendants, isRoot, until } from "./harness.mjs";

const CODE = `
import os, random, secrets, signal, subprocess, sys, time, uuid
def read(f):
    with open(f) as o: return o.read()
def link(f):
    try: return os.readlink(f)
    except OSError as e: return type(e).__name__
def tried(f, *a):
    try: return repr(f(*a))
    except OSError as e: return type(e).__name__
BORN = [os.urandom(8).hex(), str(random.random()), str(random.getrandbits(64)), uuid.uuid4().hex, secrets.token_hex(8), str(random.SystemRandom().random())]
HELD = []
COUNT = 0
def ask(q):
    global COUNT
    COUNT += 1
    if 'sleep' in q: time.sleep(float(q['sleep']))
    if 'say' in q: print(q['say'], os.getpid())
    if 'eat' in q: HELD.append(bytearray(int(q['eat']) << 20))
    if 'exit' in q: os._exit(int(q['exit']))
    if 'child' in q: return subprocess.Popen(['/usr/bin/python3', '-I', '-S', '-c', 'import time; time.sleep(1000)']).pid
    if 'deny' in q: return __import__('ctypes').CDLL(None, use_errno=True).unshare(0x40000000)
    if 'kill' in q: return tried(os.kill, int(q['kill']), int(q['signal']))
    if 'spy' in q: return [tried(open, '/proc/%s/%s' % (q['spy'], name)) for name in ('mem', 'environ', 'maps', 'status')]
    return {
        'pid': os.getpid(), 'ppid': os.getppid(), 'count': COUNT, 'born': BORN,
        'fds': sorted(link('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')),
        'env': dict(os.environ), 'seen': [n for n in os.listdir('/proc') if n.isdigit()],
        'status': [l for l in read('/proc/self/status').split('\\n') if l.startswith(('Uid', 'Cap', 'NoNewPrivs', 'Seccomp', 'SigB', 'SigI', 'SigC', 'SigP', 'Threads', 'Umask', 'Groups'))],
        'limits': read('/proc/self/limits'), 'argv': sys.argv, 'path': sys.path, 'cwd': os.getcwd(), 'app': os.listdir('/app'), 'uid': os.getuid(),
        'mounts': sorted(' '.join(l.split(' ')[4:]) for l in read('/proc/self/mountinfo').split('\\n')), 'sid': os.getsid(0) == os.getpid(),
        'stdin': sys.stdin.read(), 'netns': link('/proc/self/ns/net'), 'modules': sorted(sys.modules), 'main': sorted(vars(sys.modules['__main__'])),
    }
def handler(event, context):
    return {'statusCode': 200, 'headers': {'x-instance': context.log_stream_name}, 'body': __import__('json').dumps(ask(event.get('queryStringParameters') or {}))}
`;
const SHARED = { isolation: "version" };

let hob;
before(async () => {
  hob = await Daemon.start();
});
after(() => hob?.close());

const deploy = (app, config = {}, code = CODE) => hob.deployOne(app, "f", "main.py", code, { ...SHARED, ...config });
const ask = async (app, query = "") => {
  const answer = await hob.call(`/fn/${app}/f${query}`);
  assert.equal(answer.status, 200, answer.text);
  return Object.assign(Object(answer.json), { instance: answer.headers["x-instance"] });
};
const living = async (app) => (await hob.api("GET", "/v1/instances")).json.instances.filter((i) => i.app === app);
/** One answer of each of `n` instances that are busy at the same time. */
async function each(app, n, query = "") {
  for (let tries = 0; tries < 100; tries++) {
    const all = await Promise.all(Array.from({ length: n }, () => ask(app, `?sleep=0.5${query}`)));
    const found = new Map(all.map((a) => [a.instance, a]));
    if (found.size === n) return [...found.values()];
  }
  throw new Error(`never ${n} instances at once: ${JSON.stringify(await living(app))}`);
}
const zygotes = async () => (await hob.api("GET", "/v1/doctor")).json.checks.find((c) => c.name === "zygotes").text;
const walls = async (app) => (await hob.api("GET", `/v1/apps/${app}/functions/f/isolation`)).text;
/** The zygotes that have forks: between hob-init and them. */
const zygotePids = () => {
  const all = [...descendants(hob.pid)].filter(([, p]) => p.command.includes("/hob/runtime/adapter.py --zygote"));
  return all.filter(([pid]) => all.some(([, p]) => p.ppid === pid) && all.some(([, p]) => p.ppid === pid && !p.command.startsWith("/hob/init")))
    .filter(([, p]) => !p.command.startsWith("/hob/init")).map(([pid]) => pid);
};
const SLEEPER = /time\.sleep\(1000\)$/;
const sleepers = () => [...descendants(hob.pid).values()].filter((p) => SLEEPER.test(p.command)).length;
const over = (app) => until(async () => (await living(app)).length === 0, `the end of ${app}'s instances`);
const drop = async (app) => {
  assert.ok((await hob.api("DELETE", `/v1/apps/${app}`)).status < 300);
  await over(app);
};

test("instances of a version are forks of one process, each with memory and randomness of its own", { skip: !isRoot }, async () => {
  await deploy("forks", { scale: { min: 3, max: 3 } });
  const all = await each("forks", 3);
  assert.equal(new Set(all.map((a) => a.ppid)).size, 1);
  assert.equal(new Set(all.map((a) => a.pid)).size, 3);
  assert.equal(new Set(all.map((a) => a.uid)).size, 1);
  assert.equal(new Set(all.flatMap((a) => a.born)).size, 3 * all[0].born.length);
  assert.match(await zygotes(), /^1 live; 1 made, 3 forks, 0 died$/);
  assert.match(await walls("forks"), /"shared","what":"uid, \/tmp and namespaces with its version's instances/);
  await drop("forks");
});

test("a fork cannot tell itself from a cold instance but by what docs/sandbox.md names", { skip: !isRoot }, async () => {
  await deploy("same", { scale: { min: 2, max: 2 }, vars: { OWN: "1" } });
  await hob.deployOne("alone", "f", "main.py", CODE, { vars: { OWN: "1" } });
  const [fork] = await each("same", 2), alone = await ask("alone", "?sleep=0");
  const told = ({ pid, ppid, count, born, seen, uid, netns, modules, instance, sid, ...rest }) => ({
    ...rest, status: rest.status.map((line) => line.replace(/^(Uid|Gid):.*/, "$1")), fds: rest.fds.map((at) => at.replace(/\d+/g, "N")).sort(),
  });
  assert.deepEqual(told(fork), told(alone));
  assert.deepEqual(alone.modules.filter((name) => !fork.modules.includes(name)), []);
  assert.deepEqual(fork.modules.filter((name) => !alone.modules.includes(name) && /ssl|_hob\.(zygote|rehearsal)|ctypes|hashlib/.test(name)), []);
  assert.deepEqual([fork.sid, alone.sid], [true, false]); // so that a signal to its group stays its own
  assert.notEqual(fork.netns, alone.netns);
  assert.doesNotMatch(await walls("alone"), /"shared"/);
  await drop("same");
  await drop("alone");
});

test("a fork sees neither its siblings nor their memory, and its descriptors are its own", { skip: !isRoot }, async () => {
  await deploy("blind", { scale: { min: 2, max: 2 } });
  const [one, other] = await each("blind", 2);
  assert.deepEqual(one.seen.filter((pid) => ![String(one.pid), "1"].includes(pid)), []);
  assert.equal(one.fds.filter((at) => at.startsWith("socket:")).length, 1);
  assert.equal(one.fds.filter((at) => at.startsWith("pipe:")).length, 2);
  assert.deepEqual(one.fds.filter((at) => at.includes(":[") && other.fds.includes(at)), []);
  for (const pid of [other.pid, one.ppid]) {
    const spied = await ask("blind", `?spy=${pid}&from=${one.pid}`);
    if (spied.instance === one.instance || pid === one.ppid) assert.deepEqual([...spied], Array(4).fill("FileNotFoundError"));
  }
  await drop("blind");
});

test("two apps and two versions never share a zygote", { skip: !isRoot }, async () => {
  await deploy("mine", { scale: { min: 1 } });
  await deploy("yours", { scale: { min: 1 } });
  const mine = await ask("mine"), yours = await ask("yours");
  assert.notEqual(mine.netns, yours.netns);
  assert.notEqual(mine.uid, yours.uid);
  await deploy("mine", { scale: { min: 1 } }, `${CODE}\n# another version\n`);
  await until(async () => (await ask("mine")).netns !== mine.netns, "the next version's sandbox");
  await drop("mine");
  await drop("yours");
});

test("each instance's lines come to the log as its own", { skip: !isRoot }, async () => {
  await deploy("lines", { scale: { min: 2, max: 2 } });
  const all = await each("lines", 2, "&say=hello");
  await until(async () => {
    const lines = (await hob.logs("lines", "f")).filter((line) => /^hello \d+$/.test(line.text ?? line.message ?? ""));
    return all.every((a) => lines.some((line) => (line.text ?? line.message) === `hello ${a.pid}` && BigInt(`0x${line.instance}`) === BigInt(a.instance)));
  }, "the lines of both").catch(async () => assert.fail(JSON.stringify(await hob.logs("lines", "f"))));

  await drop("lines");
});

test("a denied system call is told in the log as that of the instance that made it", { skip: !isRoot }, async () => {
  await deploy("denied", { scale: { min: 3, max: 3 } });
  await each("denied", 3);
  const { instance } = await ask("denied", "?deny=1");
  const line = await until(async () => (await hob.logs("denied", "f")).find((l) => l.text.includes("denied system call: unshare")), "the line");
  assert.equal(BigInt(`0x${line.instance}`), BigInt(instance));
  await drop("denied");
});

test("an instance that runs out of memory ends alone", { skip: !isRoot }, async () => {
  await deploy("eats", { memory_mb: 48, scale: { min: 2, max: 2 } });
  const before = await each("eats", 2);
  const answer = await hob.call("/fn/eats/f?eat=200");
  assert.equal(answer.status, 502, answer.text);
  assert.match(answer.text, /memory/i);
  const after = await each("eats", 2);
  assert.equal(after.filter((a) => before.some((b) => b.instance === a.instance)).length, 1);
  assert.match(await zygotes(), / 0 died$/);
  await drop("eats");
});

test("an instance that exits or leaves processes behind is cleaned up alone", { skip: !isRoot }, async () => {
  await deploy("exits", { scale: { min: 2, max: 2 } });
  const before = await each("exits", 2);
  await ask("exits", "?child=1");
  await until(() => sleepers() === 1, "the process that it started");
  const old = async () => (await living("exits")).some((i) => before.some((b) => BigInt(b.instance) === BigInt(`0x${i.id}`)));
  for (let i = 0; i < 20 && (i < 2 || (await old())); i++) assert.equal((await hob.call("/fn/exits/f?exit=3")).status, 502); // one of the new may be asked, too
  const after = await each("exits", 2);
  assert.deepEqual(after.map((a) => a.instance).filter((id) => before.some((b) => b.instance === id)), []);
  assert.equal(after[0].ppid, before[0].ppid); // of the same zygote
  await until(() => sleepers() === 0, "the end of what it left");
  await drop("exits");
});

test("an idle instance is frozen while another works, and answers again", { skip: !isRoot }, async () => {
  await deploy("still", { scale: { min: 2, max: 2 } });
  await each("still", 2);
  const busy = ask("still", "?sleep=2");
  await until(async () => {
    const states = (await living("still")).map((i) => i.state).sort().join();
    return states === "busy,frozen" || states === "frozen,running";
  }, "one frozen beside the one that works");
  const quick = await ask("still");
  assert.notEqual(quick.instance, (await busy).instance);
  await drop("still");
});

test("the end of the zygote is the end of its instances, and requests are answered by the next", { skip: !isRoot }, async () => {
  await deploy("orphan", { scale: { min: 2, max: 4 } });
  const before = await each("orphan", 2);
  const [pid] = await until(() => zygotePids().length === 1 && zygotePids(), "the end of the others' zygotes");
  const busy = hob.call("/fn/orphan/f?sleep=20");
  await until(async () => (await living("orphan")).some((i) => i.state !== "frozen" && i.state !== "ready"), "a busy one");
  process.kill(pid, "SIGKILL");
  assert.equal((await busy).status, 502); // one answer, and soon
  const next = await ask("orphan");
  assert.ok(!before.some((b) => b.instance === next.instance));
  await until(async () => !(await living("orphan")).some((i) => before.some((b) => BigInt(b.instance) === BigInt(`0x${i.id}`))), "the end of its instances");
  await drop("orphan");
});

test("what an instance does to its siblings by signals costs this version only", { skip: !isRoot }, async () => {
  await deploy("brawl", { scale: { min: 3, max: 4 } });
  await deploy("bystander", { scale: { min: 1 } });
  const calm = await ask("bystander");
  const [one] = await each("brawl", 3);
  assert.equal(String(await ask("brawl", `?kill=${one.ppid}&signal=19`)), "None"); // stops the zygote: nobody is forked for a while
  for (let i = 0; i < 3; i++) await hob.call("/fn/brawl/f?exit=1");
  assert.equal((await hob.call("/fn/brawl/f", { timeout: 60000 })).status, 200); // by a new zygote, or alone
  await hob.call("/fn/brawl/f?kill=-1&signal=9");
  await until(async () => (await hob.call("/fn/brawl/f")).status === 200, "an answer again");
  const still = await ask("bystander");
  assert.equal(still.instance, calm.instance);
  assert.equal(still.count, calm.count + 1);
  await drop("brawl");
  await drop("bystander");
});

test("a fork for every invocation, many at once: each is answered once, by an instance of its own", { skip: !isRoot }, async () => {
  await deploy("once", { single_use: true, queue_timeout_ms: 60000, scale: { max: 20 } });
  const all = await Promise.all(Array.from({ length: 40 }, () => ask("once")));
  assert.deepEqual(all.map((a) => a.count), all.map(() => 1));
  assert.equal(new Set(all.map((a) => a.instance)).size, 40);
  assert.equal(new Set(all.flatMap((a) => a.born)).size, 40 * all[0].born.length);
  await drop("once");
});

test("what does not go together is refused when it is deployed", async () => {
  for (const [config, what] of [[{ egress: ["api.example:443"] }, /does not go with egress/], [{ kind: "http" }, /does not go with kind http/],
    [{ syscalls: ["openat"] }, /does not go with syscalls/], [{ isolation: "versoin" }, /did you mean \\?"version/]])
    await assert.rejects(deploy("wrong", config), what);
  await assert.rejects(hob.deployOne("wrong", "f", "index.mjs", "export default () => 1", SHARED), /runtime 'node' cannot share a sandbox/);
});

test("when hobd ends nothing is left of zygotes and forks", { skip: !isRoot }, async () => {
  await deploy("last", { scale: { min: 3, max: 3 } });
  await each("last", 3);
  await hob.stop();
});
