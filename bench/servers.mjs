// Servers as functions (kind http): Express and a C server through Hob beside the same program asked directly, in one
// run; CPU of the gateway, of hob-init's proxy and of the server itself, per request. Express comes from bench/ or from
// where the suite http_kind has put it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { answers, freePort, k, median, pidsWith, root, rounds, start, startHob, stopAll, table, wrk } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const build = path.resolve(root, process.env.B ?? 'build');
const modules = [path.join(root, 'bench/node_modules'), path.join(build, 'npm/node_modules')].find((dir) => fs.existsSync(path.join(dir, 'express')));
const app = 'require("express")().get("/", (req, res) => res.send("hello\\n")).listen(process.env.PORT);\n';
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-servers-'));
const server = path.join(build, 'examples/server');
const one = { kind: 'http', concurrency: 64, scale: { min: 1, max: 1 } };
const functions = {};
if (fs.existsSync(server)) {
  fs.copyFileSync(server, path.join(dir, 'server'));
  fs.chmodSync(path.join(dir, 'server'), 0o755);
  functions.c = { runtime: 'c', entry: 'server', ...one };
}
if (modules) {
  fs.writeFileSync(path.join(dir, 'app.js'), app);
  fs.cpSync(modules, path.join(dir, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  functions.express = { entry: 'app.js', memory_mb: 256, ...one };
} else {
  console.log('# Express: skipped, it is not installed (npm install in bench/, or make test-http-kind)');
}
fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: 'servers', functions }));

const childrenOf = (pid) => {
  try { return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number); } catch { return []; }
};
const peers = [];
for (const [name, config] of Object.entries(functions)) {
  const port = await freePort();
  const p = config.runtime === 'c' ? start(path.join(dir, 'server'), [], { env: { PORT: port } })
    : start('/usr/bin/node', [path.join(dir, 'app.js')], { env: { ...process.env, PORT: port, NODE_ENV: 'production' } });
  await answers(`http://127.0.0.1:${port}/`);
  peers.push({ name: `${name}, bare`, url: `http://127.0.0.1:${port}/`, groups: { server: [p.pid] } });
}
const hob = await startHob();
hob.hob('deploy', dir);
for (const name of Object.keys(functions)) {
  const url = `${hob.url}/fn/servers/${name}`;
  await answers(url);
  const entry = new Set(pidsWith(`/app/${functions[name].entry}`));
  const inits = pidsWith('--http').filter((pid) => entry.has(pid));
  peers.push({ name: `${name}, hob`, url, groups: { gateway: [hob.p.pid], proxy: inits, server: inits.flatMap(childrenOf) } });
}
for (const x of peers) wrk(x.url, {}, { secs: 1 });
const results = Object.fromEntries(peers.map((x) => [x.name, []]));
for (let r = 0; r < rounds; r++) for (const x of peers) results[x.name].push(wrk(x.url, x.groups));
const m = (name, key) => median(results[name].map((r) => r[key] ?? 0));
const us = (name, key) => (m(name, key) ? m(name, key).toFixed(1) : '');
console.log('\n### Servers (wrk -t1 -c32, medians)\n| server | requests/s | gateway µs | proxy µs | server µs | p99 | errors |\n| --- | --- | --- | --- | --- | --- | --- |');
for (const { name } of peers)
  console.log(`| ${name} | ${k(m(name, 'rate'))} | ${us(name, 'gateway_us')} | ${us(name, 'proxy_us')} | ${us(name, 'server_us')} | ${results[name][0].p99} | ${results[name].map((r) => `${r.errors}${r.socketErrors ?? ''}`).join(' ')} |`);
table('Servers through Hob against the same server asked directly', Object.keys(functions).map((name) =>
  [`${name}: rate through Hob ÷ bare`, (m(`${name}, hob`, 'rate') / m(`${name}, bare`, 'rate')).toFixed(2)]));

/* WebSockets: echoes of 32 bytes over so many connections, one message on its way in each; both ends in this process. */
async function echoes(url, seconds, connections = 16) {
  const { default: WebSocket } = await import(path.join(socketModules, 'ws/wrapper.mjs'));
  const all = await Promise.all(Array.from({ length: connections }, () => new Promise((done, failed) => {
    const s = new WebSocket(url, { perMessageDeflate: false });
    s.on('open', () => done(s)).on('error', failed);
  })));
  let n = 0;
  const message = Buffer.alloc(32, 0x61);
  for (const s of all) { s.on('message', () => { n++; s.send(message); }); s.send(message); }
  await new Promise((done) => setTimeout(done, 300));
  const from = n, began = performance.now();
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const rate = (n - from) / ((performance.now() - began) / 1000);
  for (const s of all) s.terminate();
  return rate;
}
const socketModules = [path.join(root, 'bench/node_modules'), path.join(build, 'npm/node_modules')].find((d) => fs.existsSync(path.join(d, 'ws')));
if (socketModules) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-ws-'));
  fs.writeFileSync(path.join(folder, 'app.js'), 'const { WebSocketServer } = require("ws");\nnew WebSocketServer({ port: process.env.PORT, perMessageDeflate: false }).on("connection", (s) => s.on("message", (d) => s.send(d)));\n');
  fs.cpSync(path.join(socketModules, 'ws'), path.join(folder, 'node_modules/ws'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'hob.json'), JSON.stringify({ app: 'sockets', functions: { echo: { entry: 'app.js', memory_mb: 256, ...one } } }));
  const port = await freePort();
  start('/usr/bin/node', [path.join(folder, 'app.js')], { env: { ...process.env, PORT: port } });
  await answers(`http://127.0.0.1:${port}/`).catch(() => {}); // 426: it listens
  hob.hob('deploy', folder);
  const where = { bare: `ws://127.0.0.1:${port}/`, hob: `${hob.url.replace('http', 'ws')}/fn/sockets/echo` };
  await echoes(where.hob, 0.2);
  const rates = { bare: [], hob: [] };
  for (let r = 0; r < rounds; r++) for (const name of ['bare', 'hob']) rates[name].push(await echoes(where[name], 2));
  console.log(`\nWebSocket echoes a second, 16 connections: bare ${k(median(rates.bare))}, through Hob ${k(median(rates.hob))}`);
  table('WebSockets through Hob against the same server asked directly', [['echoes through Hob ÷ bare', (median(rates.hob) / median(rates.bare)).toFixed(2)]]);
  fs.rmSync(folder, { recursive: true, force: true });
} else {
  console.log('# WebSockets: skipped, the library ws is not installed (make test-http-kind)');
}
await hob.done();
await stopAll();
fs.rmSync(dir, { recursive: true, force: true });
