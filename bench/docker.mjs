// The docker engine beside its floor and beside the sandbox, in one run: what a bare client of the same Docker needs for
// the same container (create, start, its first process's word), what Hob needs for a first answer, and warm answers.
//   node bench/docker.mjs        (as root; starts a dockerd of its own)
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Dockerd, unavailable } from '../tests/docker/dockerd.mjs';
import { Daemon, HELLO, Load, project, request, tar, until } from '../tests/e2e/harness.mjs';

if (unavailable) {
  console.log(`docker: not measured: ${unavailable}`);
  process.exit(0);
}
const rounds = Number(process.env.BENCH_ROUNDS ?? 3) * 5;
const seconds = Number(process.env.BENCH_SECONDS ?? 3);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const docker = await Dockerd.start();
const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
const deploy = async (app, functions) => {
  const dir = project({ 'hob.json': { app, functions } });
  fs.copyFileSync(program, path.join(dir, 'main'));
  fs.chmodSync(path.join(dir, 'main'), 0o755);
  const answer = await hob.api('POST', `/v1/apps/${app}/deploy`, tar(dir));
  fs.rmSync(dir, { recursive: true });
  if (answer.status !== 201) throw new Error(answer.text);
};
const native = (engine, config = {}) => ({ engine, entry: 'main', runtime: 'c', ...config });
const first = async (app) => {
  const began = performance.now();
  const answer = await request(`${hob.url}/fn/${app}/f`);
  if (answer.status !== 200) throw new Error(answer.text + JSON.stringify(await hob.logs(app, 'f')));
  return performance.now() - began;
};
/* Where the time of a first answer went, by Hob's own account. */
const phases = { queue: [], start: [], init: [], run: [] };
const timed = async (app) => {
  const began = performance.now();
  const answer = await request(`${hob.url}/fn/${app}/f`, { headers: { 'x-hob-timing': '1' } });
  if (answer.status !== 200) throw new Error(answer.text + JSON.stringify(await hob.logs(app, 'f')));
  for (const [, name, ms] of (answer.headers['server-timing'] ?? '').matchAll(/(\w+);dur=([\d.]+)/g)) phases[name]?.push(Number(ms));
  return performance.now() - began;
};
const instances = async () => (await docker.containers()).filter((c) => c.Labels['hob.role'] === 'instance');
let program;
try {
  const { spawnSync } = await import('node:child_process');
  const { ROOT } = await import('../tests/e2e/harness.mjs');
  fs.writeFileSync(path.join(hob.dir, 'f.c'), '#define HOB_IMPLEMENTATION\n#include "hob.h"\nstatic int h(hob_call *c, void *a) { (void)a; return hob_write(c, "hello\\n", 6); }\nint main(void) { return hob_run(h, 0, 0); }\n');
  spawnSync('gcc', ['-O2', '-static', '-I', path.join(ROOT, 'runtimes/c'), '-o', path.join(hob.dir, 'f'), path.join(hob.dir, 'f.c'), '-lpthread'], { stdio: 'inherit' });
  program = path.join(hob.dir, 'f');
  await until(async () => (await hob.api('GET', '/v1/engines')).json.engines.some((e) => e.name === 'docker' && e.state === 'up'), 'docker');
  await hob.api('POST', '/v1/runtimes/c/image');
  await hob.api('POST', '/v1/runtimes/node/image');

  // The floor: the very description that Hob sends, copied from a container of its own, by a bare client.
  await deploy('model', { f: native('docker') });
  await first('model');
  const model = (await docker.api('GET', `/containers/${(await instances())[0].Id}/json`)).json;
  const socket = path.join(docker.dir, 'word.sock');
  const bare = [];
  let heard;
  const server = net.createServer((c) => heard(c)).listen(socket);
  await until(() => fs.existsSync(socket), 'our socket');
  fs.chmodSync(socket, 0o666);
  // hob-init speaks SOCK_SEQPACKET, which Node cannot: the word of the bare container's first process is its first byte
  const word = spawnSync('gcc', ['-O2', '-static', '-o', path.join(hob.dir, 'word'), '-x', 'c', '-'], { input:
    '#include <sys/socket.h>\n#include <sys/un.h>\n#include <unistd.h>\nint main(void){struct sockaddr_un a={AF_UNIX,"/hob/runner.sock"};int s=socket(AF_UNIX,SOCK_STREAM,0);char c=1;if(connect(s,(void*)&a,sizeof a))return 1;(void)!write(s,&c,1);(void)!read(s,&c,1);return 0;}' });
  if (word.status !== 0) throw new Error(word.stderr.toString());
  fs.chmodSync(path.join(hob.dir, 'word'), 0o755);
  const mounts = model.HostConfig.Mounts.filter((m) => m.Target !== '/hob/init' && m.Target !== '/hob/runner.sock');
  const body = { Image: model.Image, User: model.Config.User, Entrypoint: ['/hob/init'], Cmd: [], WorkingDir: '/app', Env: [],
    Healthcheck: { Test: ['NONE'] }, HostConfig: { ...model.HostConfig, Mounts: [...mounts,
      { Type: 'bind', Source: path.join(hob.dir, 'word'), Target: '/hob/init', ReadOnly: true },
      { Type: 'bind', Source: socket, Target: '/hob/runner.sock', ReadOnly: true }] } };
  const bareStart = async () => {
    const said = new Promise((done) => (heard = (c) => { c.on('data', () => done(c)); c.on('error', () => {}); }));
    const began = performance.now();
    const made = await docker.api('POST', '/containers/create', body);
    if (made.status !== 201) throw new Error(made.text);
    const started = docker.api('POST', `/containers/${made.json.Id}/start`);
    const connection = await said;
    bare.push(performance.now() - began);
    await started;
    connection.destroy();
  };

  // In turns, so that both meet the same machine: the floor; the first answer of a function that never ran, its app's
  // network there (a second function's start made it) and Docker quiet again; a sandbox's. Removals are off every clock.
  const cold = [], ahead = [], sandbox = [];
  const quiet = () => until(async () => {
    const before = (await docker.containers()).map((c) => c.Id + c.State).sort().join();
    await new Promise((done) => setTimeout(done, 150));
    return before === (await docker.containers()).map((c) => c.Id + c.State).sort().join();
  }, 'Docker to be quiet', 20000);
  const coldStart = async (i) => {
    await deploy(`cold${i}`, { warm: native('docker', { memory_mb: 32 }), f: native('docker') });
    await request(`${hob.url}/fn/cold${i}/warm`);
    await quiet();
    cold.push(await timed(`cold${i}`));
    // the next instance of the same version finds a container made ahead
    await quiet();
    const began = performance.now();
    const two = await Promise.all([request(`${hob.url}/fn/cold${i}/f`), request(`${hob.url}/fn/cold${i}/f`)]);
    if (two.some((a) => a.status !== 200)) throw new Error(two[0].text + two[1].text);
    ahead.push(performance.now() - began);
  };
  const sandboxStart = async (i) => {
    await deploy(`sand${i}`, { f: native('sandbox') });
    sandbox.push(await first(`sand${i}`));
  };
  for (let i = 0; i < rounds; i++) {
    await quiet();
    const turns = [bareStart, coldStart];
    for (const turn of i % 2 ? turns.reverse() : turns) {
      await turn(i);
      await quiet();
    }
    await sandboxStart(i);
    await hob.api('DELETE', `/v1/apps/cold${i}`);
    await hob.api('DELETE', `/v1/apps/sand${i}`);
  }
  server.close();
  const coldRatios = cold.map((ms, i) => ms / bare[i]);

  // Out of the paused pool: an instance that idles is paused, the next request wakes it.
  const paused = [];
  await deploy('naps', { f: native('docker', { scale: { max: 1 } }) });
  await first('naps');
  for (let i = 0; i < rounds * 3; i++) {
    await until(async () => (await instances()).some((c) => c.Labels['hob.app'] === 'naps' && c.State === 'paused'), 'the pause', 20000);
    const began = performance.now();
    const answer = await request(`${hob.url}/fn/naps/f`, { headers: { 'x-hob-timing': '1' } });
    if (answer.headers['x-hob-start'] === 'thawed') paused.push(performance.now() - began); // else what was paused is the spare
  }

  // Beside them: what people type. The same static program, no network, nothing else.
  const beside = { 'docker run': [], 'crun run': [], bwrap: [] };
  const bundle = path.join(hob.dir, 'bundle');
  for (const dir of ['proc', 'dev', 'tmp']) fs.mkdirSync(path.join(bundle, 'rootfs', dir), { recursive: true });
  spawnSync('gcc', ['-O2', '-static', '-o', path.join(bundle, 'rootfs/true'), '-x', 'c', '-'], { input: 'int main(void){return 0;}' });
  const imported = await docker.api('POST', '/images/create?fromSrc=-&repo=true&tag=1', spawnSync('tar', ['-cf', '-', '-C', path.join(bundle, 'rootfs'), '.'], { maxBuffer: 64 << 20 }).stdout);
  if (imported.status !== 200) throw new Error(imported.text);
  const hide = fs.existsSync('/sys/fs/cgroup/unified') ? ['unshare', '-m', 'sh', '-c', 'umount /sys/fs/cgroup/unified; exec "$@"', 'sh'] : [];
  if (spawnSync('crun', ['spec'], { cwd: bundle }).status === 0) {
    const spec = JSON.parse(fs.readFileSync(path.join(bundle, 'config.json')));
    Object.assign(spec.process, { args: ['/true'], terminal: false });
    fs.writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(spec));
  }
  const commands = { 'docker run': ['docker', '-H', `unix://${docker.socket}`, 'run', '--rm', '--network', 'none', 'true:1', '/true'],
    bwrap: ['bwrap', '--unshare-all', '--die-with-parent', '--ro-bind', path.join(bundle, 'rootfs'), '/', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '/true'],
    'crun run': [...hide, 'crun', 'run', '--bundle', bundle, `hob-bench-${process.pid}`] };
  for (const [name, [program, ...args]] of Object.entries(commands))
    for (let i = 0; i < rounds; i++) {
      const began = performance.now();
      const done = spawnSync(program, args, { encoding: 'utf8' });
      if (done.status !== 0) {
        console.log(`# ${name}: not measured: ${(done.stderr || String(done.error)).trim().slice(0, 200)}`);
        break;
      }
      beside[name].push(performance.now() - began);
    }

  // Warm answers through one instance of each engine, alternating.
  const rate = { docker: [], sandbox: [] };
  for (const engine of ['docker', 'sandbox']) {
    await hob.deployOne(`rate-${engine}`, 'f', 'index.mjs', HELLO, { engine, concurrency: 16, scale: { max: 1 } });
    await first(`rate-${engine}`);
  }
  for (let r = 0; r < 6; r++)
    for (const engine of r % 2 ? ['docker', 'sandbox'] : ['sandbox', 'docker']) {
      const load = new Load(`${hob.url}/fn/rate-${engine}/f`, { clients: 16 });
      await new Promise((done) => setTimeout(done, seconds * 500));
      rate[engine].push((await load.stop()).ok / (seconds / 2));
    }
  const rateRatio = median(rate.docker.map((x, i) => x / rate.sandbox[i]));
  const ms = (x) => `${x.toFixed(1)} ms`;
  console.log('| docker engine | median | goal |\n| --- | --- | --- |');
  console.log(`| the same container by a bare API client, to its first word | ${ms(median(bare))} | the floor |`);
  console.log(`| first answer of a function that never ran, through the gateway | ${ms(median(cold))} | ≤ 1.3 × floor: ${(median(cold) / median(bare)).toFixed(2)} (median of the pairs ${median(coldRatios).toFixed(2)}) |`);
  console.log(`| of it, by Hob's own account: waiting / container / program / answer | ${Object.values(phases).map((list) => (list.length ? ms(median(list)) : '?')).join(' / ')} | |`);
  console.log(`| first answer of a paused instance | ${paused.length ? ms(median(paused)) : "?"} | ≤ 15 ms |`);
  for (const [name, list] of Object.entries(beside)) if (list.length) console.log(`| \`${name}\` of a program that only ends | ${ms(median(list))} | |`);
  console.log(`| two answers at once, one by a container made ahead | ${ms(median(ahead))} | ≤ 15 ms |`);
  console.log(`| the same function in a fresh sandbox | ${ms(median(sandbox))} | |`);
  console.log(`| warm answers a second, 16 clients: docker / sandbox | ${Math.round(median(rate.docker))} / ${Math.round(median(rate.sandbox))} | ≥ 90 %: ${Math.round(100 * rateRatio)} % |`);
} finally {
  await hob.close().finally(() => docker.close());
}
