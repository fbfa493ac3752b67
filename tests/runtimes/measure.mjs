// Prints what an invocation costs the instance (CPU, user and system) and how long each adapter takes to READY.
//   node tests/runtimes/measure.mjs [invocations]
// The payload is the same everywhere: GET /hello with the fields of a browser-like client, answer "hello world".
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Host, ROOT, codeDir } from './host.mjs';
import { invokeFrame } from './host.mjs';

const total = Number(process.argv[2] ?? 100000);
const headers = [['host', '127.0.0.1:7070'], ['user-agent', 'wrk/4.1.0'], ['accept', '*/*']];

function micros(pid) {
  const rest = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(rest[11]) + Number(rest[12])) * 10000;
}

/** Keeps `window` invocations under way by raw frames (the Host class would be the bottleneck). */
async function load(host, n, window) {
  let sent = 0;
  let done = 0;
  let stream = 1001;
  let credit = 0;
  let held = Buffer.alloc(0);
  const one = invokeFrame(0, { target: '/hello', headers, deadlineMs: Date.now() + 600000 }).bytes;
  await new Promise((resolve) => {
    const fill = (k) => {
      const out = Buffer.allocUnsafe(one.length * k + 16);
      let at = 0;
      for (let i = 0; i < k && sent < n; i++, sent++) {
        one.copy(out, at);
        out.writeUInt32LE(stream, at + 8);
        stream += 2;
        at += one.length;
      }
      if (credit > 400000) {
        out.fill(0, at, at + 16);
        out[at + 4] = 2;
        out.writeUInt32LE(credit, at + 12);
        credit = 0;
        at += 16;
      }
      if (at) host.socket.write(out.subarray(0, at));
    };
    host.socket.removeAllListeners('data');
    host.socket.on('data', (data) => {
      const b = held.length ? Buffer.concat([held, data]) : data;
      let at = 0;
      let finished = 0;
      while (b.length - at >= 16) {
        const len = b.readUInt32LE(at);
        if (b.length - at < 16 + len) break;
        if (b[at + 4] === 37) finished++;
        if (b[at + 4] === 34) credit += len - 4 - b.readUInt32LE(at + 16);
        if (b[at + 4] === 36) throw new Error('the function failed');
        at += 16 + len;
      }
      held = b.subarray(at);
      done += finished;
      if (done >= n) resolve();
      else if (finished) fill(finished);
    });
    fill(window);
  });
}

async function frames(name, options, window) {
  const dir = options.dir ?? codeDir(options.files);
  const host = new Host({ ...options, dir, concurrency: options.concurrency ?? window });
  await host.ready;
  await load(host, Math.min(total, 20000), window);
  const before = micros(host.child.pid);
  const at = process.hrtime.bigint();
  await load(host, total, window);
  const wall = Number(process.hrtime.bigint() - at) / 1000;
  const cpu = (micros(host.child.pid) - before) / total;
  await host.close();
  if (!options.dir) rmSync(dir, { recursive: true, force: true });
  return { name, window, cpu, perSecond: Math.round(total / (wall / 1e6)) };
}

async function http(window) {
  const dir = mkdtempSync(path.join(tmpdir(), 'hob-measure-'));
  const sock = path.join(dir, 's');
  writeFileSync(path.join(dir, 'server.mjs'), `import http from 'node:http';
    http.createServer((req, res) => { res.writeHead(200, { 'content-type': 'text/plain' }); res.end('hello world'); }).listen(${JSON.stringify(sock)}, () => console.log('up'));`);
  const child = spawn(process.execPath, [path.join(dir, 'server.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((r) => child.stdout.once('data', r));
  const request = `GET /hello HTTP/1.1\r\n${headers.map(([n, v]) => `${n}: ${v}`).join('\r\n')}\r\n\r\n`;
  const run = async (n) => {
    let sent = 0;
    let done = 0;
    const sockets = [];
    await new Promise((resolve) => {
      for (let i = 0; i < window; i++) {
        const s = net.connect(sock);
        sockets.push(s);
        s.on('data', () => {
          if (++done >= n) return resolve();
          if (sent++ < n) s.write(request);
        });
        sent++;
        s.write(request);
      }
    });
    sockets.forEach((s) => s.destroy());
  };
  await run(Math.min(total, 20000));
  const before = micros(child.pid);
  const at = process.hrtime.bigint();
  await run(total);
  const wall = Number(process.hrtime.bigint() - at) / 1000;
  const cpu = (micros(child.pid) - before) / total;
  child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
  return { name: 'bare node:http', window, cpu, perSecond: Math.round(total / (wall / 1e6)) };
}

async function cold(name, options) {
  const dir = options.dir ?? codeDir(options.files);
  const ms = [];
  for (let i = 0; i < 15; i++) {
    const host = new Host({ ...options, dir });
    ms.push((await host.ready).ms);
    await host.close();
  }
  if (!options.dir) rmSync(dir, { recursive: true, force: true });
  ms.sort((a, b) => a - b);
  return `${name}: min ${ms[0].toFixed(1)} ms, median ${ms[7].toFixed(1)} ms`;
}

const fn = {
  'node fetch': { runtime: 'node', entry: 'i.mjs', files: { 'i.mjs': `export default { fetch() { return new Response('hello world', { headers: { 'content-type': 'text/plain' } }) } }` } },
  'node fetch, async': { runtime: 'node', entry: 'i.mjs', files: { 'i.mjs': `export default { async fetch(request) { return new Response('hello world') } }` } },
  'node fetch, url and a header': { runtime: 'node', entry: 'i.mjs', files: { 'i.mjs': `export default { async fetch(request) { const u = request.url; const a = request.headers.get('accept'); return new Response(u && a ? 'hello world' : 'no') } }` } },
  'node handler': { runtime: 'node', entry: 'i.mjs', files: { 'i.mjs': `export const handler = async (event) => ({ statusCode: 200, headers: { 'content-type': 'text/plain' }, body: 'hello world' })` } },
  python: { runtime: 'python', entry: 'main.py', files: { 'main.py': `def handler(event, context):\n    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "hello world"}\n` } },
  php: { runtime: 'php', entry: 'i.php', files: { 'i.php': `<?php return fn($event, $context) => ['statusCode' => 200, 'headers' => ['content-type' => 'text/plain'], 'body' => 'hello world'];` } },
};
const cdir = mkdtempSync(path.join(tmpdir(), 'hob-measure-'));
writeFileSync(path.join(cdir, 'm.c'), `#include "hob.h"
static int hello(hob_call *c, void *a) { (void)a; hob_set_header(c, "content-type", "text/plain"); return hob_write(c, "hello world", 11); }
int main(void) { return hob_run(hello, NULL, NULL); }`);
execFileSync('cc', ['-O2', `-I${path.join(ROOT, 'runtimes/c')}`, '-o', path.join(cdir, 'main'), path.join(cdir, 'm.c'), '-lpthread']);
fn.c = { runtime: 'c', entry: 'main', dir: cdir };
try {
  execFileSync('musl-gcc', ['-static', '-O2', `-I${path.join(ROOT, 'runtimes/c')}`, '-o', path.join(cdir, 'static'), path.join(cdir, 'm.c')], { stdio: 'ignore' });
  fn['c, static musl'] = { runtime: 'c', entry: 'static', dir: cdir };
} catch {
  // no musl here
}

console.log(`CPU of the instance per hello (${total} invocations), and invocations a second with this host on the other core`);
for (const window of [1, 32]) {
  const base = await http(window);
  const rows = [base];
  for (const [name, options] of Object.entries(fn)) {
    const isSerial = options.runtime === 'php' || options.runtime === 'python';
    if (window > 1 && isSerial) continue;
    rows.push(await frames(name, options, window));
  }
  for (const r of rows) {
    console.log(`  ${r.name.padEnd(30)} ${String(r.window).padStart(3)} at a time  ${r.cpu.toFixed(1).padStart(6)} us  ${(r.cpu / base.cpu).toFixed(2)} x node:http  ${r.perSecond}/s`);
  }
}
console.log('From spawn to READY:');
for (const [name, options] of Object.entries(fn)) console.log(`  ${await cold(name, options)}`);
rmSync(cdir, { recursive: true, force: true });
