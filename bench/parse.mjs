// The backend of apps beside Parse Server from npm with PostgreSQL from Debian: the same requests, the same load, in turns;
// the median of the rounds counts, ratios are what is told. BENCH_SECONDS a run, BENCH_ROUNDS rounds, BENCH_ONLY=hob leaves
// the peer out. wrk, the servers and the database share the machine's cores.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { npmFolder } from '../tests/npm.mjs';
import { answers, cpu, freePort, median, pidsWith, root, rounds, seconds, sleep, start, startHob, stop, stopAll } from './lib.mjs';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-parse-'));
fs.chmodSync(dir, 0o755);
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });

/* --- the peers ---------------------------------------------------------------------------------------------------- */

async function hobPeer() {
  const hob = await startHob();
  const made = await fetch(`${hob.url}/v1/apps/bench/backend`, { method: 'POST', headers: { authorization: `Bearer ${hob.token}` },
    body: JSON.stringify({ application_id: 'bench', keys: { master: 'bench-master-key' } }) });
  if (made.status !== 201) throw new Error(await made.text());
  return { name: 'Hob', url: `${hob.url}/parse`, pids: () => [hob.p.pid], done: () => hob.done() };
}

const postgresBin = () => fs.existsSync('/usr/lib/postgresql') && fs.readdirSync('/usr/lib/postgresql')
  .map((v) => `/usr/lib/postgresql/${v}/bin`).filter((d) => fs.existsSync(path.join(d, 'initdb'))).pop();

/* PostgreSQL will not run as root. */
function asPostgres() {
  if (process.getuid() !== 0) return {};
  const [, , uid, gid] = fs.readFileSync('/etc/passwd', 'utf8').split('\n').find((l) => l.startsWith('postgres:')).split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

async function parseServerPeer() {
  const bin = postgresBin();
  if (!bin) return { why: 'PostgreSQL is not installed (apt-get install postgresql)' };
  const { dir: modules, why } = npmFolder('parse-server', { 'parse-server': '9.10.0', router: '2.2.0' });
  if (why) return { why };
  const who = asPostgres(), data = path.join(dir, 'pg'), port = await freePort();
  fs.mkdirSync(data, { mode: 0o700 });
  if (who.uid) fs.chownSync(data, who.uid, who.gid);
  const made = spawnSync(path.join(bin, 'initdb'), ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8'], { ...who, encoding: 'utf8', cwd: '/' });
  if (made.status !== 0) return { why: `initdb: ${made.stderr}` };
  const postgres = start(path.join(bin, 'postgres'), ['-D', data, '-p', port, '-c', 'listen_addresses=127.0.0.1', '-k', data], { ...who, cwd: '/' });
  const uri = `postgres://bench@127.0.0.1:${port}/postgres`;
  for (let i = 0; spawnSync(path.join(bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', port]).status !== 0; i++) {
    if (i > 200) throw new Error(`PostgreSQL did not start:\n${postgres.log}`);
    await sleep(50);
  }
  const web = await freePort();
  const node = start(process.execPath, [path.join(root, 'bench/peers/parse_server.cjs'), web, uri],
    { env: { ...process.env, NODE_ENV: 'production', PARSE_SERVER_MODULES: path.join(modules, 'node_modules'), PARSE_SERVER_LOGS_FOLDER: '' }, cwd: dir });
  for (let i = 0; !/^ready$/m.test(node.log); i++) {
    if (i > 600 || node.exitCode !== null) throw new Error(`Parse Server did not start:\n${node.log}`);
    await sleep(50);
  }
  const url = `http://127.0.0.1:${web}/parse`;
  await answers(`${url}/health`);
  return { name: 'Parse Server', url, pids: () => [node.pid, ...pidsWith(`postgres: `), postgres.pid], done: async () => { await stop(node); await stop(postgres); } };
}

/* --- the data and the load ------------------------------------------------------------------------------------------ */

const item = (i) => ({ name: `item ${i}`, price: 12.5, stock: 7, tags: ['a', 'b'] });
async function ask(peer, method, where, body, more = {}) {
  const answer = await fetch(peer.url + where, { method, headers: { 'x-parse-application-id': 'bench', 'content-type': 'application/json', ...more },
    body: body && JSON.stringify(body) });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${peer.name} ${method} ${where}: ${answer.status} ${JSON.stringify(json)}`);
  return json;
}

async function fill(peer) {
  const master = { 'x-parse-master-key': 'bench-master-key' };
  await ask(peer, 'POST', '/schemas/Row', { className: 'Row', fields: { category: { type: 'Number' }, n: { type: 'Number' }, name: { type: 'String' }, ok: { type: 'Boolean' } },
    indexes: { category_n: { category: 1, n: 1 } } }, master);
  for (let i = 0; i < 1000; i += 100)
    await ask(peer, 'POST', '/batch', { requests: Array.from({ length: 100 }, (_, k) => ({ method: 'POST', path: '/parse/classes/Row',
      body: { category: (i + k) % 10, n: i + k, name: `row ${i + k}`, ok: true } })) });
  peer.id = (await ask(peer, 'POST', '/classes/Item', item(0))).objectId;
  peer.counter = (await ask(peer, 'POST', '/classes/Item', item(1))).objectId;
  peer.token = (await ask(peer, 'POST', '/users', { username: 'bench', password: 'bench-password' })).sessionToken;
}

const where = encodeURIComponent(JSON.stringify({ category: 3, n: { $gt: 100 } }));
const LOADS = {
  'create an object (4 fields)': { method: 'POST', path: () => '/classes/Item', body: item(2) },
  'get an object': { path: (p) => `/classes/Item/${p.id}` },
  'get with a session': { path: (p) => `/classes/Item/${p.id}`, headers: (p) => ({ 'X-Parse-Session-Token': p.token }) },
  'update, Increment on one row': { method: 'PUT', path: (p) => `/classes/Item/${p.counter}`, body: { stock: { __op: 'Increment', amount: 1 } } },
  'indexed query, 10 of 1,000 rows': { path: () => `/classes/Row?where=${where}&order=n&limit=10` },
  'query, 100 rows': { path: () => '/classes/Row?limit=100' },
  'batch of 10 creates': { method: 'POST', path: () => '/batch', body: { requests: Array.from({ length: 10 }, () => ({ method: 'POST', path: '/parse/classes/Item', body: item(3) })) } },
  'log in': { method: 'POST', path: () => '/login', body: { username: 'bench', password: 'bench-password' } },
};

function run(peer, name, { method = 'GET', path: pathOf, body, headers }, connections) {
  const script = path.join(dir, 'load.lua');
  const fields = { 'X-Parse-Application-Id': 'bench', ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers?.(peer) };
  fs.writeFileSync(script, [`wrk.method=${JSON.stringify(method)}`, ...Object.entries(fields).map(([k, v]) => `wrk.headers[${JSON.stringify(k)}]=${JSON.stringify(v)}`),
    body ? `wrk.body=[==[${JSON.stringify(body)}]==]` : ''].join('\n'));
  const pids = peer.pids(), before = cpu(pids);
  const { stdout } = spawnSync('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency', '-s', script, peer.url + pathOf(peer)], { encoding: 'utf8' });
  const n = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  if (failed) throw new Error(`${peer.name}, ${name}: ${failed} of ${n} failed`);
  const ms = (at) => { const [, v, unit] = new RegExp(`${at}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? []; return Number(v) * { us: 0.001, ms: 1, s: 1000 }[unit]; };
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0), p50: ms(50), p99: ms(99), cpu_us: ((cpu(pids) - before) * 1e6) / n };
}

/* --- what is told --------------------------------------------------------------------------------------------------- */

const peers = [await hobPeer()];
if (process.env.BENCH_ONLY !== 'hob') {
  const other = await parseServerPeer();
  if (other.why) console.log(`# Parse Server: left out: ${other.why}`);
  else peers.push(other);
}
for (const peer of peers) await fill(peer);
const middle = (results, key) => median(results.map((r) => r[key]));
console.log(`\n### The Parse protocol, 16 connections (${seconds} s, median of ${rounds})`);
console.log('| request | server | requests/s | p50 ms | p99 ms | CPU us/request | requests/s, ratio | p50, ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const [name, load] of Object.entries(LOADS)) {
  const all = peers.map(() => []);
  for (let round = 0; round < rounds; round++) for (const [i, peer] of peers.entries()) all[i].push(run(peer, name, load, 16));
  for (const [i, peer] of peers.entries()) {
    const [rate, p50, p99, us] = ['rate', 'p50', 'p99', 'cpu_us'].map((key) => middle(all[i], key));
    const ratios = i || peers.length < 2 ? ['', ''] : [`${(rate / middle(all[1], 'rate')).toFixed(1)} x`, `1/${(middle(all[1], 'p50') / p50).toFixed(1)}`];
    console.log(`| ${name} | ${peer.name} | ${Math.round(rate)} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${us.toFixed(0)} | ${ratios.join(' | ')} |`);
  }
}
console.log('\n### Scaling: creates a second by connections\n| connections | ' + peers.map((p) => p.name).join(' | ') + ' |\n| --- |' + ' --- |'.repeat(peers.length));
for (const connections of [1, 4, 16, 64])
  console.log(`| ${connections} | ${peers.map((peer) => Math.round(run(peer, 'create', LOADS['create an object (4 fields)'], connections).rate)).join(' | ')} |`);
for (const peer of peers) await peer.done();
await stopAll();
process.exit(0);
