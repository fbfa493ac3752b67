// Common to all benches: start things on loopback, measure CPU by the kernel's own accounting, print a table.
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..');
export const bin = path.resolve(root, process.env.B ?? 'build', 'bin');
export const benchBin = path.resolve(root, process.env.B ?? 'build', 'bench');
export const seconds = Number(process.env.BENCH_SECONDS ?? 4);
export const rounds = Number(process.env.BENCH_ROUNDS ?? 3);

export const median = (xs) => [...xs].sort((a, b) => a - b)[Math.floor(xs.length / 2)];
export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

export async function freePort() {
  return new Promise((resolve) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(port)); });
  });
}

const started = [];
export function start(cmd, args, options = {}) {
  const p = spawn(cmd, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  p.log = '';
  for (const s of [p.stdout, p.stderr]) s?.on('data', (d) => { p.log = (p.log + d).slice(-20000); });
  started.push(p);
  return p;
}
export async function stop(p) {
  if (p.exitCode !== null || p.signalCode) return;
  const gone = new Promise((r) => p.once('exit', r));
  p.kill('SIGTERM');
  await Promise.race([gone, sleep(15000).then(() => p.kill('SIGKILL'))]);
}
export async function stopAll() { for (const p of started.reverse()) await stop(p); }

export async function answers(url, ms = 10000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(30)) {
    try { const r = await fetch(url); await r.text(); if (r.status < 500) return true; } catch { /* not yet */ }
  }
  throw new Error(`${url} does not answer`);
}

// CPU seconds of processes, all threads: the scheduler's own nanoseconds (the ticks of /proc/PID/stat miss short bursts).
export function cpu(pids) {
  let ns = 0;
  for (const pid of pids) {
    try {
      for (const t of fs.readdirSync(`/proc/${pid}/task`)) ns += Number(fs.readFileSync(`/proc/${pid}/task/${t}/schedstat`, 'latin1').split(' ')[0]);
    } catch { /* gone */ }
  }
  return ns / 1e9;
}
export function rssKiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
}
export function pidsWith(text) {
  return fs.readdirSync('/proc').filter((d) => /^\d+$/.test(d)).filter((pid) => {
    try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text) && Number(pid) !== process.pid; } catch { return false; }
  }).map(Number);
}

// One wrk run: requests/s, errors, latency percentiles, and the CPU that each group of pids spent per request.
export function wrk(url, groups = {}, { connections = 32, secs = seconds } = {}) {
  const before = Object.fromEntries(Object.entries(groups).map(([k, pids]) => [k, cpu(pids)]));
  const r = spawnSync('wrk', ['-t1', `-c${connections}`, `-d${secs}s`, '--latency', url], { encoding: 'utf8' });
  const out = r.stdout;
  const n = Number(/(\d+) requests in/.exec(out)?.[1] ?? 0);
  const result = {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)?.[1] ?? 0), n,
    errors: /Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? 0, p99: /99%\s+(\S+)/.exec(out)?.[1],
  };
  if (/Socket errors: (.*)/.test(out)) result.socketErrors = /Socket errors: (.*)/.exec(out)[1];
  for (const [k, pids] of Object.entries(groups)) result[`${k}_us`] = ((cpu(pids) - before[k]) * 1e6) / n;
  return result;
}
export function load(...args) {
  const r = spawnSync(path.join(benchBin, 'load'), args.map(String), { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`load ${args.join(' ')}: ${r.stderr}`);
  return JSON.parse(r.stdout);
}

export async function startHob(extraEnv = {}) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-'));
  const p = start(path.join(bin, 'hobd'), ['--home', home, '--listen', '127.0.0.1:0'], { env: { ...process.env, ...extraEnv } });
  for (let i = 0; !/ready on (\S+)/.test(p.log); i++) {
    if (i > 600 || p.exitCode !== null) throw new Error(`hobd did not get ready:\n${p.log}`);
    await sleep(20);
  }
  const url = /ready on (\S+)/.exec(p.log)[1].replace(/\s.*/, '');
  const token = fs.readFileSync(path.join(home, 'admin.token'), 'utf8').trim();
  const env = { ...process.env, HOB_URL: url, HOB_TOKEN: token };
  const hob = (...args) => execFileSync(path.join(bin, 'hob'), args, { env, encoding: 'utf8' });
  return { p, home, url, token, hob, address: url.replace('http://', ''), async done() { await stop(p); fs.rmSync(home, { recursive: true, force: true }); } };
}
// A bare-Docker-free, build-free copy of the C example, compiled here with `cc`.
export function buildC(dir, compiler) {
  fs.copyFileSync(path.join(root, 'runtimes/c/hob.h'), path.join(dir, 'hob.h'));
  const args = compiler === 'musl-gcc' ? ['-static'] : [];
  execFileSync(compiler, ['-O2', ...args, '-o', path.join(dir, 'main'), path.join(dir, 'main.c'), '-lpthread']);
}

export function table(title, rows) {
  console.log(`\n### ${title}`);
  console.log('| what | figure | goal | met |\n| --- | --- | --- | --- |');
  for (const [what, figure, goal, met] of rows) console.log(`| ${what} | ${figure} | ${goal ?? ''} | ${met === undefined ? '' : met ? 'yes' : 'NO'} |`);
}
export const k = (x) => `${(x / 1000).toFixed(1)} k/s`;
