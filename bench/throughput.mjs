// Requests per second and CPU per request, in one run: Hob beside bare node:http, workerd, functions-framework, nginx.
// wrk, gateway and instance share the machine's cores; peers alternate, the median of the rounds counts.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { answers, bin, buildC, freePort, k, median, pidsWith, root, rounds, sleep, start, startHob, stopAll, table, wrk } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const peers = [];
async function peer(name, cmd, argsFor, options) {
  if (cmd.includes('node_modules') && !fs.existsSync(cmd)) { console.log(`# ${name}: skipped, ${cmd} is not installed (npm install in bench/)`); return; }
  const port = await freePort();
  const p = start(cmd, argsFor(port), options);
  await answers(`http://127.0.0.1:${port}/`);
  peers.push({ name, url: `http://127.0.0.1:${port}/`, groups: { instance: [p.pid] }, p });
}
const modules = path.join(root, 'bench/node_modules');
await peer('node:http', process.execPath, (port) => [path.join(root, 'bench/peers/node_http.mjs'), port]);
await peer('workerd', path.join(modules, '@cloudflare/workerd-linux-64/bin/workerd'), (port) => ['serve', path.join(root, 'bench/peers/workerd.capnp'), `-shttp=127.0.0.1:${port}`]);
await peer('functions-framework', path.join(modules, '.bin/functions-framework'), (port) => ['--target=hello', `--port=${port}`, `--source=${path.join(root, 'bench/peers/framework_hello.js')}`],
  { env: { ...process.env, NODE_PATH: modules, HOST: '127.0.0.1' } });
{
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-nginx-'));
  const port = await freePort();
  fs.writeFileSync(path.join(dir, 'nginx.conf'), fs.readFileSync(path.join(root, 'bench/peers/nginx.conf'), 'utf8').replace('PORT', port));
  const p = start('nginx', ['-p', dir, '-c', path.join(dir, 'nginx.conf')]);
  await answers(`http://127.0.0.1:${port}/`);
  peers.push({ name: 'nginx', url: `http://127.0.0.1:${port}/`, groups: { instance: [p.pid, ...pidsWith('nginx: worker')] }, p });
}
const hob = await startHob();
const cDir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-c-'));
fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(cDir, 'main.c'));
fs.writeFileSync(path.join(cDir, 'hob.json'), JSON.stringify({ app: 'bench-c', functions: { hello: { runtime: 'c', entry: 'main', concurrency: 64, scale: { max: 1 } } } }));
buildC(cDir, 'musl-gcc');
hob.hob('deploy', path.join(root, 'bench/apps/node'));
hob.hob('deploy', cDir);
const fnUrl = (f) => `${hob.url}/fn/${f}`;
async function hobPeer(name, fn) {
  await answers(fnUrl(fn));
  await sleep(200);
  // Every instance's processes: those of other functions and of prepared runtimes rest meanwhile and add nothing.
  const kids = pidsWith('/hob/init').flatMap((pid) => { try { return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number); } catch { return []; } });
  peers.push({ name, url: fnUrl(fn), groups: { gateway: [hob.p.pid], instance: kids.filter(Boolean) } });
}
await hobPeer('hob fetch', 'bench-node/fetch');
await hobPeer('hob handler', 'bench-node/handler');
await hobPeer('hob c', 'bench-c/hello');
for (const x of peers) wrk(x.url, {}, { secs: 1 }); // warm up
const results = Object.fromEntries(peers.map((x) => [x.name, []]));
for (let r = 0; r < rounds; r++) for (const x of peers) results[x.name].push(wrk(x.url, x.groups));
const m = (name, key) => median((results[name] ?? []).map((r) => r[key] ?? 0));
const bare = m('node:http', 'rate'), bareCpu = m('node:http', 'instance_us');
console.log('\n### Throughput (wrk -t1 -c32, medians)\n| server | requests/s | gateway µs | instance µs | both µs | p99 | errors |\n| --- | --- | --- | --- | --- | --- | --- |');
for (const x of peers) {
  const g = m(x.name, 'gateway_us'), i = m(x.name, 'instance_us');
  console.log(`| ${x.name} | ${k(m(x.name, 'rate'))} | ${g ? g.toFixed(1) : ''} | ${i.toFixed(1)} | ${(g + i).toFixed(1)} | ${results[x.name][0].p99} | ${results[x.name].map((r) => `${r.errors}${r.socketErrors ?? ''}`).join(' ')} |`);
}
const rows = [];
for (const name of ['hob fetch', 'hob handler']) {
  const rate = m(name, 'rate'), inst = m(name, 'instance_us'), all = inst + m(name, 'gateway_us');
  rows.push([`${name}: rate ÷ node:http`, (rate / bare).toFixed(2), '≥ 0.8', rate / bare >= 0.8]);
  if (results.workerd) rows.push([`${name}: rate ÷ workerd`, (rate / m('workerd', 'rate')).toFixed(2), '≥ 2', rate / m('workerd', 'rate') >= 2]);
  if (results['functions-framework']) rows.push([`${name}: rate ÷ functions-framework`, (rate / m('functions-framework', 'rate')).toFixed(2), '≥ 5', rate / m('functions-framework', 'rate') >= 5]);
  rows.push([`${name}: instance CPU ÷ node:http's`, (inst / bareCpu).toFixed(2), '≤ 0.9', inst / bareCpu <= 0.9]);
  rows.push([`${name}: gateway + instance CPU ÷ node:http's`, (all / bareCpu).toFixed(2), '≤ 1.8', all / bareCpu <= 1.8]);
}
rows.push(['hob c: rate ÷ nginx return 200', (m('hob c', 'rate') / m('nginx', 'rate')).toFixed(2), '≥ 0.5', m('hob c', 'rate') / m('nginx', 'rate') >= 0.5]);
table('Throughput against peers', rows);

await hob.done();
await stopAll();
fs.rmSync(cDir, { recursive: true, force: true });
