// Instances out of the pool of prepared processes, and frozen ones: nobody can tell them from cold and running ones,
// nothing passes from one tenant to another, and no request is lost by them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { execFileSync } from "node:child_process";
import os from "node:os";
import { Daemon, HELLO, Load, ROOT, isRoot, project, tar, instances, sleep, until } from "./harness.mjs";

const NODE_LOOK = `
import fs from 'node:fs';
import os from 'node:os';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
const read = (f) => fs.readFileSync(f, 'utf8');
const link = (f) => { try { return fs.readlinkSync(f).replace(/\\d+/g, 'N'); } catch { return null; } };
const seen = {
  env: { ...process.env }, cwd: process.cwd(), linkedCwd: link('/proc/self/cwd'), ls: fs.readdirSync('.').sort(), tmp: fs.readdirSync('/tmp'),
  argv: process.argv, execArgv: process.execArgv, title: process.title, pid: process.pid, ppid: process.ppid,
  fds: fs.readdirSync('/proc/self/fd').map((n) => link('/proc/self/fd/' + n)).filter((l) => l && !l.startsWith('/proc')).sort(),
  mounts: read('/proc/self/mountinfo').split('\\n').map((l) => l.split(' ').slice(4).join(' ').replace(/master:\\d+|shared:\\d+/, '')).sort(),
  status: read('/proc/self/status').split('\\n').filter((l) => /^(Umask|Groups|Cap|NoNewPrivs|Seccomp|NStgid|NSpid|Sig(Blk|Ign|Cgt))/.test(l)),
  limits: read('/proc/self/limits'), cgroup: read('/proc/self/cgroup'), host: os.hostname(), environ: read('/proc/self/environ'),
  modules: [...process.moduleLoadList].sort(), globals: Object.getOwnPropertyNames(globalThis).sort(),
  cache: Object.keys(createRequire('/app/x.js').cache), main: String(createRequire('/app/x.js').main), mainModule: String(process.mainModule),
  resources: process.getActiveResourcesInfo().sort(), listeners: process.eventNames().map(String).sort(), umask: process.umask(),
  oom: read('/proc/self/oom_score_adj'),
};
const random = [Math.random(), randomUUID()];
export default { fetch: (r) => Response.json(new URL(r.url).searchParams.has('random') ? random : seen) };
`;
const PYTHON_LOOK = `
import os, sys, random, uuid, socket, gc
def read(f):
    with open(f) as o: return o.read()
def link(f):
    try: return os.readlink(f).split(':')[0]
    except OSError: return ''
SEEN = {
  'env': dict(os.environ), 'cwd': os.getcwd(), 'ls': sorted(os.listdir('.')), 'tmp': os.listdir('/tmp'), 'argv': sys.argv,
  'path': sys.path, 'flags': str(sys.flags), 'pid': os.getpid(), 'ppid': os.getppid(),
  'fds': sorted(l for l in (link('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')) if l and not l.startswith('/proc')),
  'mounts': sorted(' '.join(l.split(' ')[4:]) for l in read('/proc/self/mountinfo').split('\\n')),
  'status': [l for l in read('/proc/self/status').split('\\n') if l.startswith(('Umask', 'Groups', 'Cap', 'NoNewPrivs', 'Seccomp', 'Threads', 'Sig'))],
  'limits': read('/proc/self/limits'), 'cgroup': read('/proc/self/cgroup'), 'host': socket.gethostname(), 'gc': gc.isenabled(),
}
MODULES = sorted(sys.modules)
RANDOM = [random.random(), str(uuid.uuid4()), hash('x')]
def handler(event, context):
    q = event.get('queryStringParameters') or {}
    return RANDOM if 'random' in q else MODULES if 'modules' in q else SEEN
`;
// Native: what it is started with and locked into, as it was before the first line of main.
const C_LOOK = `
#include <dirent.h>
#include <fcntl.h>
#include "hob.h"
static char text[65536];
static size_t n;
static void put(const char *what, const char *value)
{
    n += (size_t)snprintf(text + n, sizeof text - n, "%s: %s\\n", what, value);
}
static void put_file(const char *path, int has_status)
{
    static char all[16384];
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, all, sizeof all - 1);
    close(fd);
    all[got > 0 ? got : 0] = 0;
    for (char *line = strtok(all, "\\n"); line; line = strtok(NULL, "\\n"))
        if (!has_status || strstr("Umask Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp NSpid SigBlk SigIgn SigCgt Threads",
                                  (char[]){line[0], line[1], line[2], line[3], line[4], 0}))
            put(path, line);
}
static int look(hob_call *c, void *arg)
{
    (void)arg;
    return hob_write(c, text, n);
}
int main(int argc, char **argv)
{
    extern char **environ;
    char link[256], path[64];
    for (int i = 0; i < argc; i++)
        put("argv", argv[i]);
    for (char **e = environ; *e; e++)
        put("env", *e);
    put("cwd", getcwd(link, sizeof link));
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t got = readlink(path, link, sizeof link - 1);
        link[got > 0 ? got : 0] = 0;
        link[strcspn(link, ":")] = 0;
        if (got > 0)
            put(path, link);
    }
    DIR *dir = opendir("/tmp");
    for (struct dirent *d; (d = readdir(dir));)
        put("tmp", d->d_name);
    closedir(dir);
    snprintf(path, sizeof path, "%d %d %d", getpid(), getppid(), getsid(0));
    put("ids", path);
    put_file("/proc/self/status", 1);
    put_file("/proc/self/limits", 0);
    put_file("/proc/self/cgroup", 0);
    put_file("/proc/self/oom_score_adj", 0);
    return hob_run(look, NULL, NULL);
}
`;
function compileC(text) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-c-"));
  fs.writeFileSync(path.join(dir, "main.c"), text);
  execFileSync("gcc", ["-O1", "-w", "-D_GNU_SOURCE", `-I${path.join(ROOT, "runtimes/c")}`, "-o", path.join(dir, "main"), path.join(dir, "main.c"), "-lpthread"]);
  const binary = fs.readFileSync(path.join(dir, "main"));
  fs.rmSync(dir, { recursive: true, force: true });
  return binary;
}
const RUNTIMES = { node: ["index.mjs", NODE_LOOK], python: ["main.py", PYTHON_LOOK] };

let hob, cold;
let meminfo;
const plenty = "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n";
before(async () => {
  cold = await Daemon.start({ env: { HOB_POOL: "0" } });
  hob = await Daemon.start({
    prepare: (d) => {
      meminfo = path.join(d.dir, "meminfo");
      fs.writeFileSync(meminfo, plenty);
      d.options.env = { HOB_POOL_MEMINFO: meminfo };
    },
  });
  for (const d of [cold, hob]) {
    for (const [runtime, [entry, text]] of Object.entries(RUNTIMES)) {
      const functions = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, { runtime, entry }]));
      await d.deploy(runtime, functions, { [entry]: text });
    }
  }
});
after(async () => {
  await cold?.close();
  await hob?.close();
});

const ask = (d, where) => d.call(where, { headers: { "x-hob-timing": "1" } });
const start = (answer) => answer.headers["x-hob-start"];
const pool = async (d) => (await d.api("GET", "/v1/doctor")).json.checks.map((c) => `${c.name}: ${c.text}`).find((t) => /pool: \d+ sandboxes/.test(t));
const isFull = (runtime) => until(async () => {
  const [, have, want] = (await pool(hob)).match(new RegExp(`; ${runtime} (\\d+) of (\\d+) ready`)) ?? [];
  return have && have === want;
}, `a full pool of ${runtime}`, 30000);
/** The first answer of a function that has never run, out of the pool. */
async function pooled(runtime, name, query = "") {
  await isFull(runtime);
  const answer = await ask(hob, `/fn/${runtime}/${name}${query}`);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(start(answer), "pooled");
  return answer.json;
}
const freezers = () => fs.readdirSync("/sys/fs/cgroup/freezer", { withFileTypes: true }).length > 0;

for (const runtime of Object.keys(RUNTIMES)) {
  test(`${runtime}: an instance out of the pool cannot tell itself from a cold one`, async () => {
    const first = await ask(hob, `/fn/${runtime}/f0`); // the pool learns
    assert.equal(start(first), "cold");
    const other = await ask(cold, `/fn/${runtime}/f1`);
    assert.equal(other.status, 200, other.text);
    assert.equal(start(other), "cold");
    assert.deepEqual(await pooled(runtime, "f1"), other.json);
  });

  test(`${runtime}: every instance has randomness of its own`, async () => {
    const all = [];
    for (let i = 2; i < 6; i++) all.push(...(await pooled(runtime, `f${i}`, "?random")));
    assert.equal(new Set(all).size, all.length);
  });
}

test("c: a native function out of the pool cannot tell itself from a cold one", async () => {
  const main = compileC(C_LOOK);
  for (const d of [cold, hob]) {
    const functions = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`f${i}`, { runtime: "c", entry: "main" }]));
    const dir = project({ "hob.json": { app: "native", functions }, main });
    fs.chmodSync(path.join(dir, "main"), 0o755);
    assert.equal((await d.api("POST", "/v1/apps/native/deploy", tar(dir))).status, 201);
    fs.rmSync(dir, { recursive: true, force: true });
  }
  assert.equal(start(await ask(hob, "/fn/native/f0")), "cold"); // the pool learns
  const other = await ask(cold, "/fn/native/f1");
  assert.equal(other.status, 200, other.text);
  await isFull("c");
  const mine = await ask(hob, "/fn/native/f1");
  assert.equal(mine.status, 200, mine.text);
  assert.equal(start(mine), "pooled");
  assert.match(mine.text, /argv: \/app\/main/);
  assert.equal(mine.text, other.text);
});

test("python: out of the pool there is json more than in a cold instance, and what json needs", async () => {
  const mine = await pooled("python", "f6", "?modules");
  const theirs = (await ask(cold, "/fn/python/f6?modules")).json;
  assert.deepEqual(theirs.filter((m) => !mine.includes(m)), []);
  const more = mine.filter((m) => !theirs.includes(m));
  for (const m of more) assert.match(m, /^(json(\.\w+)?|_json|re(\._\w+)?|_sre|enum|functools|_functools|collections|_collections|copyreg|operator|_operator|keyword|reprlib|itertools|types|gc)$/);
});

test("each function out of the pool has its own code and nothing of the one before", async () => {
  for (let i = 0; i < 6; i++) {
    await hob.deployOne(`own${i}`, "f", "index.mjs", `import fs from 'node:fs';
      const was = fs.readdirSync('/tmp').filter((n) => n !== '.shm'); fs.writeFileSync('/tmp/trace', '${i}'); globalThis.trace ??= '${i}';
      export default { fetch: () => Response.json([${i}, globalThis.trace, was, fs.readFileSync('index.mjs', 'utf8').includes('[${i},'), process.env.OWN ?? null]) };`,
    { vars: { OWN: String(i) } });
    await isFull("node");
    const answer = await ask(hob, `/fn/own${i}/f`);
    assert.deepEqual(answer.json, [i, String(i), [], true, String(i)]);
    assert.equal(start(answer), "pooled");
  }
});

test("prepared processes that are killed are replaced, and requests do not notice", async () => {
  const mine = () => instances(hob.pid);
  for (let round = 0; round < 5; round++) {
    await isFull("node");
    const name = `kill${round}`;
    await hob.deployOne(name, "f", "index.mjs", HELLO);
    const running = await hob.api("GET", "/v1/instances");
    assert.equal(running.status, 200);
    const stems = mine();
    for (const { init, runtime } of stems) {
      // only those that wait: a function's process has another title
      if (!runtime || !fs.readFileSync(`/proc/${runtime}/cmdline`, "latin1").includes("/hob/runtime/adapter")) continue;
      process.kill(round % 2 ? init : runtime, "SIGKILL");
    }
    const answer = await ask(hob, `/fn/${name}/f`); // perhaps before anybody has heard of the kill
    assert.equal(answer.status, 200, answer.text);
  }
  await isFull("node");
});

test("twenty functions at once with a pool of a few: all are answered, cold or pooled", async () => {
  await isFull("node");
  const functions = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`b${i}`, { entry: "index.mjs" }]));
  await hob.deploy("burst", functions, { "index.mjs": HELLO });
  const answers = await Promise.all(Object.keys(functions).map((name) => ask(hob, `/fn/burst/${name}`)));
  assert.deepEqual(answers.filter((a) => a.status !== 200).map((a) => `${a.status} ${a.text}`), []);
  const kinds = answers.map(start);
  assert.ok(kinds.includes("pooled") && kinds.includes("cold"), kinds.join(" "));
});

test("short of memory the pool gives back what it has, and functions start without it", async () => {
  await isFull("node");
  fs.writeFileSync(meminfo, "MemTotal: 1000000 kB\nMemAvailable: 50000 kB\n");
  await until(async () => /pool: 0 sandboxes/.test(await pool(hob)), "an empty pool", 10000);
  await hob.deployOne("short", "f", "index.mjs", HELLO);
  const answer = await ask(hob, "/fn/short/f");
  assert.equal(answer.status, 200);
  assert.equal(start(answer), "cold");
  assert.match(await pool(hob), /pool: 0 sandboxes/);
  fs.writeFileSync(meminfo, plenty);
  await isFull("node");
});

test("without a pool there is none", async () => {
  assert.match(await pool(cold), /pool: 0 sandboxes.* 0 hits, 0 misses, 0 made/);
});

// --- freezing ---
const stateOf = async (app) => (await hob.api("GET", "/v1/instances")).json.instances.filter((i) => i.app === app).map((i) => i.state);
const TICKS = `let n = 0; setInterval(() => n++, 5); export default { fetch: () => Response.json(n) };`;

test("an idle instance does not run, and goes on with the next request", { skip: !isRoot || !freezers() }, async () => {
  await hob.deployOne("ticks", "f", "index.mjs", TICKS);
  await ask(hob, "/fn/ticks/f");
  await sleep(60);
  const early = (await ask(hob, "/fn/ticks/f")).json;
  assert.ok(early >= 3, `${early}`);
  await until(async () => (await stateOf("ticks")).join() === "frozen", "a frozen instance", 3000);
  await sleep(1500);
  const answer = await ask(hob, "/fn/ticks/f");
  assert.equal(start(answer), "thawed");
  assert.ok(answer.json < early + 60, `${early} -> ${answer.json}: 300 more would have been a running one's`);
});

test("requests that come and go around the freezing are all answered", { skip: !isRoot || !freezers() }, async () => {
  await hob.deployOne("edge", "f", "index.mjs", HELLO);
  const loads = [95, 100, 105, 130].map((pause) => new Load(`${hob.url}/fn/edge/f`, { clients: 1, pause }));
  await sleep(4000);
  for (const load of loads) {
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.ok(load.counts.ok > 15);
  }
  const lone = new Load(`${hob.url}/fn/edge/f`, { clients: 1, pause: 101 });
  await sleep(3000);
  await lone.stop();
  assert.deepEqual(lone.failures, []);
  assert.ok(lone.percentile(0.5) < 50, `${lone.percentile(0.5)} ms`);
});

test("a frozen instance is replaced, stopped and killed like any other", { skip: !isRoot || !freezers() }, async () => {
  await hob.deployOne("ends", "f", "index.mjs", HELLO);
  await ask(hob, "/fn/ends/f");
  await until(async () => (await stateOf("ends")).join() === "frozen", "a frozen instance", 3000);
  await hob.deployOne("ends", "f", "index.mjs", HELLO.replace("hello", "other"));
  assert.equal((await ask(hob, "/fn/ends/f")).text, "other\n");
  await until(async () => (await stateOf("ends")).length === 1, "the end of the old one", 5000);
  await until(async () => (await stateOf("ends")).join() === "frozen", "a frozen instance", 3000);
  const gone = await hob.api("DELETE", "/v1/apps/ends");
  assert.ok(gone.status < 300, gone.text);
  await until(async () => (await stateOf("ends")).length === 0, "its end", 5000);
});
