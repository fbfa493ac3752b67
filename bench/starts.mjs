// First answers of never-run functions in fresh sandboxes, through the gateway; and what idle functions cost.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildC, load, median, rounds, rssKiB, root, startHob, stopAll, table, cpu, pidsWith, start, bin, sleep } from './lib.mjs';

function cApp(count, name) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-c-'));
  fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(dir, 'main.c'));
  const functions = {};
  for (let i = 0; i < count; i++) functions[`f${i}`] = { runtime: 'c', entry: 'main', memory_mb: 16 };
  fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: name, functions }));
  buildC(dir, 'musl-gcc');
  return dir;
}
const hob = await startHob();
const count = 200;
const each = [], apart = [], cpus = [];
for (let r = 0; r < rounds; r++) {
  const a = cApp(count, `cold${r}a`), b = cApp(60, `cold${r}b`);
  hob.hob('deploy', a);
  hob.hob('deploy', b);
  const pids = [hob.p.pid, ...pidsWith(hob.home).filter((p) => p !== hob.p.pid)];
  const before = cpu(pids);
  each.push(load('each', hob.address, `/fn/cold${r}a/f%d`, count, 0));
  cpus.push(((cpu(pids) - before) * 1e6) / count);
  apart.push(load('each', hob.address, `/fn/cold${r}b/f%d`, 60, 20000));
  for (const d of [a, b]) fs.rmSync(d, { recursive: true, force: true });
}
const m = (list, key) => median(list.map((x) => x[key]));
table('First answer of a C function in a fresh sandbox, through the gateway', [
  ['back to back, p50', `${m(each, 'p50_us')} µs`, '≤ 1500 µs', m(each, 'p50_us') <= 1500],
  ['back to back, p99', `${m(each, 'p99_us')} µs`],
  ['20 ms apart, p50', `${m(apart, 'p50_us')} µs`],
  ['20 ms apart, p99', `${m(apart, 'p99_us')} µs`],
  ['CPU of hobd, runner and launcher per start', `${median(cpus).toFixed(0)} µs`],
  ['errors', `${each.concat(apart).reduce((n, x) => n + x.errors, 0)}`, '0', each.concat(apart).every((x) => x.errors === 0)],
]);
await hob.done();

// Idle cost: an empty daemon, then one with 10,000 functions, then its restart.
const apps = Number(process.env.BENCH_APPS ?? 50);
const idle = await startHob();
await sleep(1000);
const empty = rssKiB(idle.p.pid);
for (let i = 0; i < apps; i++) {
  const d = cApp(200, `many${i}`);
  idle.hob('deploy', d);
  fs.rmSync(d, { recursive: true, force: true });
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
