// A step from nothing to 2,000 requests a second (open loop, STEP_RATE), for functions that take 20 ms each and one request
// at a time: how long requests wait, what it costs in instance seconds, and what the simulation says of the same arrivals.
// The node is one in use: another function of the runtime was called before, and the sandboxes kept ahead are ready
// (STEP_FRESH=1: nothing is; STEP_FN: c,node; STEP_QUICK=1: without instance seconds).
//   node bench/step.mjs        (about 4 minutes: the last instance goes after a minute)
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { group, read } from './apps.mjs';
import { benchBin, bin, buildC, cpu, pidsWith, root, sleep, startHob, stopAll, table } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const RATE = Number(process.env.STEP_RATE ?? 2000), SECONDS = Number(process.env.STEP_SECONDS ?? 10), CONNECTIONS = 1000;
const hob = await startHob();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-step-'));
fs.cpSync(path.join(root, 'bench/apps/step'), dir, { recursive: true });
buildC(dir, 'musl-gcc');
fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: 'step', functions: {
  c: { runtime: 'c', entry: 'main', scale: { max: 300 } }, node: { runtime: 'node', entry: 'wait.mjs', scale: { max: 300 } }, c0: { runtime: 'c', entry: 'main' }, node0: { runtime: 'node', entry: 'wait.mjs' } } }));
hob.hob('deploy', dir);

const run = (cmd, args) => new Promise((done, fail) => {
  const p = spawn(cmd, args.map(String), { env: { ...process.env, HOB_URL: hob.url, HOB_TOKEN: hob.token } });
  let out = '';
  for (const s of [p.stdout, p.stderr]) s.on('data', (d) => (out += d));
  p.on('exit', (code) => (code === 0 ? done(out) : fail(new Error(`${cmd} ${args.join(' ')}: ${out}`))));
});
const top = async (fn) => (await (await fetch(`${hob.url}/v1/top`, { headers: { authorization: `Bearer ${hob.token}` } })).json()).functions.find((f) => f.function === fn);
const live = (row) => Object.entries(row?.instances ?? {}).reduce((n, [state, k]) => n + (['stopping', 'gone'].includes(state) ? 0 : k), 0);

/* Adds up instances over time until the last one is gone. */
async function meter(fn, isOver) {
  let seconds = 0, peak = 0, at = performance.now();
  for (let n = 0; !isOver() || (n > 0 && !process.env.STEP_QUICK); await sleep(50)) {
    const now = performance.now();
    seconds += (n * (now - at)) / 1000;
    at = now;
    n = live(await top(fn));
    peak = Math.max(peak, n);
  }
  return { seconds, peak };
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

/* Every request's wait and start, as the daemon itself wrote them down. */
function readTrace(file) {
  const lines = fs.readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  const by = (key) => lines.map((l) => l[key]).filter((v) => v !== undefined).sort((a, b) => a - b);
  return { n: lines.length, waits: by('wait_ms'), colds: by('cold_ms').filter((v) => v > 0) };
}

const api = async (what) => (await fetch(`${hob.url}${what}`, { headers: { authorization: `Bearer ${hob.token}` } })).json();

/* What one start takes alone (the first of its kind: nothing is kept ahead yet), and how many are kept ahead then. */
async function prepare(fn) {
  await run(path.join(benchBin, 'load'), ['each', hob.address, `/fn/step/${fn}%d`, 1, 0]);
  const lone = (await api(`/v1/apps/step/functions/${fn}0/scale`)).cold_us / 1000;
  let ready = 0;
  for (let since = Date.now(), last = ''; !process.env.STEP_FRESH && Date.now() - since < 5000; await sleep(250)) {
    const now = new RegExp(`; ${fn} (\\d+) of (\\d+) ready`).exec(hob.hob('doctor')) ?? ['', 0, 0];
    if (now[0] !== last) since = Date.now();
    [last, ready] = [now[0], Number(now[1])];
  }
  return { lone, ready };
}
const usage = () => cpu([hob.p.pid, ...pidsWith(hob.home)]) + (read(group(hob, 'cpuacct'), 'cpuacct.usage') || 0) / 1e9;

async function simulated(file, ...options) {
  const said = await run(path.join(bin, 'hob'), ['scale', 'simulate', '--trace', file, '--mode', 'balanced', '--max', 300, '--json', ...options]);
  return JSON.parse(said).modes[0];
}

async function step(fn) {
  const file = path.join(dir, `${fn}.ndjson`), cores = os.cpus().length;
  const { lone, ready } = process.env.STEP_FRESH ? { lone: 0, ready: 0 } : await prepare(fn);
  let isOver = false;
  const recorded = run(path.join(bin, 'hob'), ['scale', 'record', '--function', fn, '--seconds', SECONDS + 8, file]);
  const metered = meter(fn, () => isOver);
  await sleep(1000);
  const before = usage();
  const load = JSON.parse(await run(path.join(benchBin, 'load'), ['rate', hob.address, `/fn/step/${fn}`, RATE, SECONDS, CONNECTIONS]));
  const spent = usage() - before;
  await recorded;
  isOver = true;
  const { seconds, peak } = await metered;
  const { n, waits, colds } = readTrace(file);
  const model = await simulated(file), p50 = quantile(colds, 0.5), p95 = quantile(colds, 0.95), p99 = quantile(waits, 0.99);
  const shared = lone ? await simulated(file, '--cores', cores, '--cold-ms', Math.max(1, Math.round(lone)), '--prepared', ready) : null;
  table(`A step from 0 to ${RATE} requests/s of 20 ms each for ${SECONDS} s, ${fn} (${n} recorded; ${ready} sandboxes ready; peak ${peak} instances, the model's ${model.peak}; starts p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms; one alone ${lone.toFixed(1)} ms)`, [
    ['p99 wait', `${p99.toFixed(1)} ms (max ${waits.at(-1).toFixed(1)})`, `≤ 2 × p50 of these starts (${(2 * p50).toFixed(1)} ms)`, p99 <= 2 * p50],
    ['p99 wait / 2 starts, by their p50 · their p95 · one alone', [p50, p95, lone].map((x) => (p99 / 2 / x).toFixed(2)).join(' · '), '≤ 1'],
    [`p99 wait in the model: starts side by side · sharing ${cores} cores, ${ready} prepared`, [model, shared].map((m) => (m ? `${(m.wait_p99_ms ?? 0).toFixed(1)} ms` : '-')).join(' · ')],
    ['errors', `${load.errors}`, '0', load.errors === 0],
    ['CPU of platform and instances, starts and requests', `${spent.toFixed(2)} s`],
    ...(process.env.STEP_QUICK ? [] : [['instance seconds', seconds.toFixed(0), `≤ 1.5 × the model's ${model.instance_seconds.toFixed(0)}`, seconds <= 1.5 * model.instance_seconds]]),
  ]);
}

for (const fn of (process.env.STEP_FN ?? 'c,node').split(',')) await step(fn);
await stopAll();
fs.rmSync(hob.home, { recursive: true, force: true });
fs.rmSync(dir, { recursive: true, force: true });
