// Added latency of the warm path at half load: an open-loop client asks a direct Unix-socket echo and, through the
// gateway, a C function, in turns of 50 ms within one run, so that what the machine does to one it does to the other.
// With two cores or more the client has one for itself, and the servers (gateway and instance, or the echo) share another:
// a client that takes turns with what it measures measures the kernel's time slices.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { answers, benchBin, buildC, median, pidsWith, root, rounds, seconds, sleep, start, startHob, stopAll, table } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const isPinned = os.availableParallelism() > 1 && !spawnSync('taskset', ['-V']).error;
const CLIENT = isPinned ? ['taskset', '-c', '1'] : [];
const pin = (pid) => isPinned && spawnSync('taskset', ['-a', '-cp', '0', String(pid)]);
const run = (...words) => {
  const [cmd, ...args] = [...CLIENT, ...words.map(String)];
  const r = spawnSync(cmd, args, { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`${words.join(' ')}: ${r.stderr}`);
  return r.stdout;
};

const hob = await startHob();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-c-'));
fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(dir, 'main.c'));
fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: 'bench-c', functions: { hello: { runtime: 'c', entry: 'main', concurrency: 64, scale: { min: 1, max: 1 } } } }));
buildC(dir, 'musl-gcc');
hob.hob('deploy', dir);
const where = '/fn/bench-c/hello';
await answers(hob.url + where);
await sleep(200);
pin(hob.p.pid);
const inits = pidsWith('/hob/init');
for (const pid of inits.flatMap((p) => [p, ...fs.readFileSync(`/proc/${p}/task/${p}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)])) pin(pid);
const sock = path.join(os.tmpdir(), `hob-bench-${process.pid}.sock`);
const echo = start(path.join(benchBin, 'load'), ['echo', sock]);
pin(echo.pid);
await sleep(200);

const wrk = run('wrk', '-t1', '-c16', `-d${seconds}s`, hob.url + where);
const most = Number(/Requests\/sec:\s+([\d.]+)/.exec(wrk)[1]);
const figures = [];
for (const part of [0.5, 0.1]) {
  const rate = Math.floor(most * part), runs = [];
  for (let r = 0; r < rounds; r++) runs.push(JSON.parse(run(path.join(benchBin, 'load'), 'pair', `unix:${sock}`, '/', rate, seconds * 2, 16, hob.address, where)));
  const m = (of) => median(runs.map(of));
  figures.push({ part, rate, p50: m((r) => r.second.p50_us - r.first.p50_us), p99: m((r) => r.second.p99_us - r.first.p99_us),
    direct: [m((r) => r.first.p50_us), m((r) => r.first.p99_us)], through: [m((r) => r.second.p50_us), m((r) => r.second.p99_us)],
    late: m((r) => r.second.late_p99_us), errors: runs.reduce((n, r) => n + r.first.errors + r.second.errors, 0) });
}
for (const f of figures) {
  table(`Added latency at ${f.part === 0.5 ? 'half' : 'a tenth of'} the load that saturates (${f.rate}/s of ${Math.floor(most)}/s; ${isPinned ? 'client on a core of its own' : 'one core for all'}; client late by ${f.late} µs at p99; ${f.errors} errors)`, [
    ['direct echo p50 / p99', `${f.direct[0]} / ${f.direct[1]} µs`],
    ['through gateway and instance p50 / p99', `${f.through[0]} / ${f.through[1]} µs`],
    ['p50 added', `${f.p50} µs`, '≤ 80 µs', f.p50 <= 80],
    ['p99 added', `${f.p99} µs`, '≤ 400 µs', f.p99 <= 400],
  ]);
}
await stopAll();
fs.rmSync(hob.home, { recursive: true, force: true });
fs.rmSync(dir, { recursive: true, force: true });
fs.rmSync(sock, { force: true });
