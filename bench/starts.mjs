// First answers of never-run functions in fresh sandboxes, through the gateway; thawed ones; bursts; what idle functions
// cost. BENCH_DENSITY=1 also counts how many instances fit into a GiB (bench/density.mjs; 5 minutes more).
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import { benchBin, load, median, rounds, rssKiB, root, startHob, stopAll, table, cpu, pidsWith, start, bin, sleep } from './lib.mjs';
import { deploy, group, read } from './apps.mjs';
import { peers } from './peers.mjs';

const cores = os.cpus().length;
const platform = (hob) => [hob.p.pid, ...pidsWith(hob.home).filter((p) => p !== hob.p.pid)];
const all = (list, key) => median(list.map((x) => x[key]));
const errors = (lists) => lists.flat().reduce((n, x) => n + x.errors, 0);

// --- first answers ---
/** `count` first answers, `gap` us apart; latencies and CPU per start of the platform and of the instances. */
function first(hob, runtime, app, count, gap, config = {}) {
  deploy(hob, runtime, app, count, config);
  const pids = platform(hob), cpuacct = group(hob, 'cpuacct');
  const before = cpu(pids), inside = read(cpuacct, 'cpuacct.usage');
  const result = load('each', hob.address, `/fn/${app}/f%d`, count, gap);
  result.platform_us = ((cpu(pids) - before) * 1e6) / count;
  result.instance_us = (read(cpuacct, 'cpuacct.usage') - inside) / 1000 / count;
  return result;
}
const us = (x) => (x >= 10000 ? `${(x / 1000).toFixed(1)} ms` : `${x.toFixed(0)} µs`);
function latency(what, list, p50, p99) {
  return [
    [`${what}, p50`, us(all(list, 'p50_us')), p50 ? `≤ ${us(p50)}` : '', p50 ? all(list, 'p50_us') <= p50 : undefined],
    [`${what}, p99`, us(all(list, 'p99_us')), p99 ? `≤ ${us(p99)}` : '', p99 ? all(list, 'p99_us') <= p99 : undefined],
  ];
}
function rows(what, list, p50, p99, cpuMax) {
  return [
    ...latency(what, list, p50, p99),
    [`${what}, CPU per start: platform + instance`, `${us(all(list, 'platform_us'))} + ${us(all(list, 'instance_us'))}`, cpuMax ? `sum ≤ ${us(cpuMax)}` : '',
      cpuMax ? all(list, 'platform_us') + all(list, 'instance_us') <= cpuMax : undefined],
  ];
}
const pooled = await startHob();
const bare = await startHob({ HOB_POOL: '0' });
const figures = {};
const note = (key, result) => (figures[key] ??= []).push(result);
for (let r = 0; r < rounds; r++) {
  note('c', first(pooled, 'c', `c${r}a`, 200, 0));
  note('c20', first(pooled, 'c', `c${r}b`, 60, 20000));
  for (const runtime of ['node', 'python']) {
    deploy(pooled, runtime, `${runtime}${r}warm`, 1);
    load('each', pooled.address, `/fn/${runtime}${r}warm/f%d`, 1, 0);
    await sleep(1500);
    note(`${runtime} pooled`, first(pooled, runtime, `${runtime}${r}a`, 30, 150000));
    note(`${runtime} pooled 20`, first(pooled, runtime, `${runtime}${r}b`, 30, 20000));
    note(`${runtime} bare`, first(bare, runtime, `${runtime}${r}a`, 20, 20000));
  }
  // of a version whose zygote runs, a fresh fork for every request (started ahead when there is time)
  deploy(pooled, 'python', `forks${r}`, 1, { isolation: 'version', single_use: true });
  load('each', pooled.address, `/fn/forks${r}/f0`, 3, 0);
  note('python forks', load('each', pooled.address, `/fn/forks${r}/f0`, 30, 150000));
  await sleep(1500);
  // and of versions that never ran, whose zygotes come out of the pool
  note('python zygotes', first(pooled, 'python', `zygotes${r}`, 30, 150000, { isolation: 'version' }));
}
table('First answer of a function in a fresh sandbox, through the gateway', [
  ...rows('C, back to back', figures.c, 1500),
  ...rows('C, 20 ms apart', figures.c20, 1000, 5000, 2500),
  ...rows('Node, prepared, 150 ms apart', figures['node pooled'], 2000, 6000),
  ...rows('Node, prepared, 20 ms apart', figures['node pooled 20']),
  ...rows('Node, nothing prepared, 20 ms apart', figures['node bare'], 18000),
  ...rows('Python, prepared, 150 ms apart', figures['python pooled'], 2000, 6000),
  ...rows('Python, prepared, 20 ms apart', figures['python pooled 20']),
  ...rows('Python, nothing prepared, 20 ms apart', figures['python bare'], 8000),
  ...rows('Python, isolation "version", a zygote out of the pool forks, 150 ms apart', figures['python zygotes'], 2000, 6000),
  ...latency('Python, isolation "version" and single_use: a fork of a running zygote for each, 150 ms apart', figures['python forks'], 2000, 6000),
  ['errors', `${errors(Object.values(figures))}`, '0', errors(Object.values(figures)) === 0],
]);

// --- the sandbox layer alone, and what others take for the same program ---
const hello = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-hello-'));
const digest = 'a'.repeat(64);
fs.mkdirSync(path.join(hello, digest));
fs.chmodSync(hello, 0o755);
const main = path.join(hello, digest, 'main');
execFileSync('musl-gcc', ['-static', '-O2', '-o', main, path.join(root, 'bench/apps/c/hello.c')]);
const layer = (count, gap, live, apps = 1) => JSON.parse(execFileSync(path.join(benchBin, 'launch'), [path.join(bin, 'hob-launcher'), path.join(bin, 'hob-init'), path.join(root, 'runtimes'), hello, digest, count, gap, live, apps].map(String)));
const launches = { b2b: [], fresh: [], apart: [] };
for (let r = 0; r < rounds; r++) {
  launches.b2b.push(layer(500, 0, 50));
  launches.fresh.push(layer(500, 0, 50, 500));
  launches.apart.push(layer(100, 20000, 50));
}
table('The sandbox layer: from LAUNCH to the first byte of a C program, everything in force', [
  ['20 ms apart (shelves full), p50', us(all(launches.apart, 'p50_us')), '≤ 500 µs', all(launches.apart, 'p50_us') <= 500],
  ['back to back (shelves empty), p50', us(all(launches.b2b, 'p50_us')), '≤ 1000 µs', all(launches.b2b, 'p50_us') <= 1000],
  ['CPU per start in all, one version, back to back', us(all(launches.b2b, 'total_us')), '≤ 1200 µs', all(launches.b2b, 'total_us') <= 1200],
  ['the same, each of another app', us(all(launches.fresh, 'total_us')), '≤ 1200 µs', all(launches.fresh, 'total_us') <= 1200],
  ['CPU per start in all, 20 ms apart', us(all(launches.apart, 'total_us'))],
  ...await peers(main),
]);
fs.rmSync(hello, { recursive: true, force: true });

// --- thawing ---
const running = await startHob({ HOB_FREEZE_MS: '0' });
const thaw = {};
for (const [name, hob] of [['frozen', pooled], ['running', running]]) {
  for (const runtime of ['c', 'node', 'python']) {
    deploy(hob, runtime, `thaw${runtime}`, 1);
    load('each', hob.address, `/fn/thaw${runtime}/f0`, 3, 0);
    thaw[`${runtime} ${name}`] = load('each', hob.address, `/fn/thaw${runtime}/f0`, 30, 200000);
  }
}
await running.done();
table('A request to an instance that has been idle for 200 ms', ['c', 'node', 'python'].map((runtime) => {
  const [frozen, awake] = [thaw[`${runtime} frozen`], thaw[`${runtime} running`]];
  return [`${runtime}: thawed / never frozen, p50`, `${frozen.p50_us} / ${awake.p50_us} µs`, 'adds ≤ 300 µs', frozen.p50_us - awake.p50_us <= 300 && frozen.errors === 0];
}));

// --- many at once ---
const bursts = [];
for (let r = 0; r < rounds; r++) {
  deploy(bare, 'c', `burst${r}`, 100);
  await sleep(1500);
  bursts.push(load('burst', bare.address, `/fn/burst${r}/f%d`, 100));
}
const single = all(figures.c, 'p50_us');
for (let i = 0; i < 5; i++) deploy(bare, 'c', `crowd${i}`, 200);
await sleep(1500);
const crowdBegan = process.hrtime.bigint();
const crowd = await Promise.all([0, 1, 2, 3, 4].map((i) => new Promise((resolve, reject) => {
  const p = spawn(path.join(benchBin, 'load'), ['burst', bare.address, `/fn/crowd${i}/f%d`, '200'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  p.stdout.on('data', (d) => (out += d));
  p.on('exit', (code) => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(`load burst: ${code}`))));
})));
const crowdSeconds = Number(process.hrtime.bigint() - crowdBegan) / 1e9;
table(`Many never-run C functions in the same instant (${cores} cores)`, [
  ['100 functions: until the last answer', us(all(bursts, 'seconds') * 1e6), `≤ 4 single starts each, per core: ${us((4 * single * 100) / cores)}`, all(bursts, 'seconds') * 1e6 <= (4 * single * 100) / cores],
  ['errors', `${errors(bursts)}`, '0', errors(bursts) === 0],
  ['1,000 functions: failures', `${errors([crowd])}`, '0', errors([crowd]) === 0],
  ['1,000 functions: cold starts a second', (1000 / crowdSeconds).toFixed(0), '≥ 1000', 1000 / crowdSeconds >= 1000],
]);
await pooled.done();
await bare.done();

if (process.env.BENCH_DENSITY) await import('./density.mjs');

// Idle cost: an empty daemon, then one with 10,000 functions, then its restart.
const apps = Number(process.env.BENCH_APPS ?? 50);
const idle = await startHob();
await sleep(1000);
const empty = rssKiB(idle.p.pid);
for (let i = 0; i < apps; i++) {
  deploy(idle, 'c', `many${i}`, 200);
}
const { home } = idle;
idle.p.kill('SIGTERM');
await new Promise((r) => idle.p.once('exit', r));
const began = Date.now();
const again = start(path.join(bin, 'hobd'), ['--home', home, '--listen', '127.0.0.1:0']);
while (!/ready on/.test(again.log)) { if (again.exitCode !== null) throw new Error(again.log); await sleep(5); }
const took = Date.now() - began;
await sleep(1000);
const full = rssKiB(again.pid);
const per = ((full - empty) * 1024) / (apps * 200);
table('Size', [
  ['hobd idle, no functions, RSS', `${(empty / 1024).toFixed(1)} MiB`, '≤ 12 MiB', empty <= 12 * 1024],
  [`per deployed idle function (${apps * 200} deployed, after a restart)`, `${per.toFixed(0)} bytes`, '≤ 4096 bytes', per <= 4096],
  [`start with ${apps * 200} functions`, `${took} ms`, '≤ 2000 ms', took <= 2000],
]);
await stopAll();
fs.rmSync(home, { recursive: true, force: true });
