// Side by side on the same load, in one run: Hob (Node and C functions) beside workerd, a bare Node cluster and bare Docker
// (the cluster's program in a container, on the host's network). Requests a second of wrk, latency of an open-loop client at
// the same rate for all, proportional memory (PSS) of everything that serves, and how long each takes from nothing to a
// first answer.
//   node bench/side.mjs        (as root for Docker, which is left out loudly where there is none)
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Dockerd, unavailable } from '../tests/docker/dockerd.mjs';
import { Daemon } from '../tests/e2e/harness.mjs';
import { buildC, freePort, k, load, median, pidsWith, root, rounds, sleep, wrk } from './lib.mjs';

const RATE = Number(process.env.SIDE_RATE ?? 4000), STARTS = 7;
const workerd = path.join(root, 'bench/node_modules/@cloudflare/workerd-linux-64/bin/workerd');
const cleaners = [];
const clean = async () => { for (const one of cleaners.reverse()) await one(); };
process.on('uncaughtException', async (e) => { console.error(e); await clean(); process.exit(1); });

/* ---- measuring ---- */

async function firstAnswer(url, began) {
  for (;;) {
    try {
      const r = await fetch(url);
      if ((await r.text()) === 'hello\n' && r.status === 200) return performance.now() - began;
    } catch { /* not yet */ }
    if (performance.now() - began > 30000) throw new Error(`${url} does not answer`);
    await sleep(0.5);
  }
}
const pss = (pids) => pids.reduce((sum, pid) => {
  try {
    return sum + Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;
  } catch {
    return sum;
  }
}, 0);
function below(pid) {
  const kids = fs.readdirSync('/proc').filter((d) => /^\d+$/.test(d)).filter((d) => {
    try { return Number(/\) \S (\d+)/.exec(fs.readFileSync(`/proc/${d}/stat`, 'latin1'))[1]) === pid; } catch { return false; }
  }).map(Number);
  return [pid, ...kids.flatMap(below)];
}

/* ---- the peers: start() gives {url, pids(), stop()} and took_ms, from nothing to the first answer ---- */

async function program(cmd, args) {
  const port = await freePort(), began = performance.now();
  const p = spawn(cmd, args(port), { stdio: 'ignore', detached: true }); // as hobd is: the kernel shares time by session
  const gone = new Promise((done) => p.once('exit', done));
  const url = `http://127.0.0.1:${port}/`;
  const took_ms = await firstAnswer(url, began);
  return { url, took_ms, pids: () => below(p.pid), async stop() { p.kill('SIGTERM'); await gone; } };
}

async function container(docker, image) {
  const port = await freePort();
  const body = { Image: image, User: '0', Entrypoint: [process.execPath], Cmd: ['/peer.mjs', String(port)], WorkingDir: '/',
    HostConfig: { NetworkMode: 'host', Mounts: [
      { Type: 'bind', Source: path.join(root, 'bench/peers/node_cluster.mjs'), Target: '/peer.mjs', ReadOnly: true },
      { Type: 'bind', Source: process.execPath, Target: process.execPath, ReadOnly: true }] } };
  const began = performance.now();
  const made = await docker.api('POST', '/containers/create', body);
  const started = made.status === 201 ? await docker.api('POST', `/containers/${made.json.Id}/start`) : made;
  if (started.status >= 300) throw new Error(started.text);
  const url = `http://127.0.0.1:${port}/`;
  const took_ms = await firstAnswer(url, began);
  const { Pid } = (await docker.api('GET', `/containers/${made.json.Id}/json`)).json.State;
  return { url, took_ms, pids: () => [...below(Pid), ...pidsWith(docker.dir).filter((pid) => pidsWith('containerd-shim').includes(pid))], stop: () => docker.api('DELETE', `/containers/${made.json.Id}?force=1`) };
}

/* A function of its own for every start: never called before. */
function hobFunction(hob, dir, config) {
  let n = 0;
  return async () => {
    const app = `side${n++}-${config.runtime}`;
    fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app, functions: { f: config } }));
    const told = hob.cli(['deploy', dir], { timeout: 120000 });
    if (told.code !== 0) throw new Error(told.err);
    await sleep(300);
    const url = `${hob.url}/fn/${app}/f`;
    const took_ms = await firstAnswer(url, performance.now());
    return { url, took_ms, pids: () => below(hob.pid), async stop() { hob.cli(['rm', app, '--yes']); } };
  };
}

async function peers() {
  const hob = await Daemon.start({ env: unavailable ? {} : { HOB_DOCKER_HOST: `unix://${(cleaners.docker = await Dockerd.start()).socket}` } });
  if (cleaners.docker) cleaners.push(() => cleaners.docker.close());
  cleaners.push(() => hob.close());
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-side-'));
  cleaners.push(() => fs.rmSync(dir, { recursive: true, force: true }));
  fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(dir, 'main.c'));
  fs.copyFileSync(path.join(root, 'bench/apps/node/fetch.mjs'), path.join(dir, 'fetch.mjs'));
  buildC(dir, 'musl-gcc');
  const list = {
    'Hob, Node': hobFunction(hob, dir, { runtime: 'node', entry: 'fetch.mjs', concurrency: 64, scale: { max: 1 } }),
    'Hob, C': hobFunction(hob, dir, { runtime: 'c', entry: 'main', concurrency: 64, scale: { max: 1 } }),
    'Node cluster': () => program(process.execPath, (port) => [path.join(root, 'bench/peers/node_cluster.mjs'), port]),
  };
  if (fs.existsSync(workerd)) list.workerd = () => program(workerd, (port) => ['serve', path.join(root, 'bench/peers/workerd.capnp'), `-shttp=127.0.0.1:${port}`]);
  else console.log('# workerd: left out, it is not installed (npm install in bench/)');
  if (unavailable) console.log(`# Docker: left out: ${unavailable}`);
  else {
    const built = await hob.api('POST', '/v1/runtimes/node/image');
    if (built.status !== 200) throw new Error(built.text);
    const image = (await cleaners.docker.api('GET', '/images/json')).json[0].Id;
    list['Node cluster in Docker'] = () => container(cleaners.docker, image);
  }
  return list;
}

/* ---- the flow ---- */

const rows = {};
const list = await peers();
for (const [name, start] of Object.entries(list)) {
  const starts = [];
  for (let i = 0; i < STARTS; i++) {
    const one = await start();
    starts.push(one.took_ms);
    if (i < STARTS - 1) await one.stop();
    else rows[name] = { one, start: median(starts), rates: [], p50: [], p99: [], errors: 0 };
  }
  wrk(rows[name].one.url, {}, { secs: 1 });
}
for (let r = 0; r < rounds; r++)
  for (const row of Object.values(rows)) {
    row.rates.push(wrk(row.one.url).rate);
    const { host, pathname } = new URL(row.one.url);
    const open = load('rate', host, pathname, RATE, 3, 64);
    row.p50.push(open.p50_us);
    row.p99.push(open.p99_us);
    row.errors += open.errors;
    row.memory = pss(row.one.pids());
  }
console.log(`\n### Side by side (wrk -t1 -c32; open loop at ${RATE}/s; medians of ${rounds})`);
console.log('| server | requests/s | p50 | p99 | errors | memory (PSS) | from nothing to the first answer |\n| --- | --- | --- | --- | --- | --- | --- |');
for (const [name, row] of Object.entries(rows))
  console.log(`| ${name} | ${k(median(row.rates))} | ${median(row.p50)} µs | ${median(row.p99)} µs | ${row.errors} | ${row.memory.toFixed(0)} MiB | ${row.start.toFixed(1)} ms |`);
for (const row of Object.values(rows)) await row.one.stop();
await clean();
