// Frozen instances, everything in force: how many come up, what each is charged, what they take of hobd and its helpers.
//   node bench/density.mjs     (5 minutes; BENCH_DENSITY_C: how many of C, BENCH_RUNTIMES=c,python,zygote,node which; zygote: Python, all of one version)
import fs from 'node:fs';
import { load, pidsWith, rssKiB, sleep, startHob, table } from './lib.mjs';
import { deploy, group, read } from './apps.mjs';

const wanted = Number(process.env.BENCH_DENSITY_C ?? 10000), BATCH = 200;
const runtimes = (process.env.BENCH_RUNTIMES ?? 'c,python,zygote,node').split(',');
const COUNT = { c: wanted, python: 200, zygote: 128, node: 100 }, PER_GIB = { c: 2000, python: 280, zygote: 400, node: 120 };
const NAME = { c: 'C', python: 'Python', zygote: 'Python by a zygote', node: 'Node' };

/** hobd, hob-runner, hob-launcher (its worker: what holds the most): descriptors and resident KiB. */
function daemons(hob) {
  const found = {};
  for (const pid of [hob.p.pid, ...pidsWith(hob.home)]) {
    try {
      const name = fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trim(), files = fs.readdirSync(`/proc/${pid}/fd`).length;
      if (/^hob/.test(name) && !(found[name]?.files > files)) found[name] = { files, kib: rssKiB(pid) };
    } catch { /* gone */ }
  }
  return found;
}
async function frozen(hob) {
  const metrics = await (await fetch(`${hob.url}/metrics`, { headers: { authorization: `Bearer ${hob.token}` } })).text();
  return Number(/^hob_instances\{state="frozen"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/** Starts `count` instances, waits until they are frozen, and divides what is charged by them. */
async function density(runtime, count) {
  const hob = await startHob({ HOB_POOL: '0' });
  const memory = group(hob, 'memory');
  const before = { ...daemons(hob), charged: read(memory, 'memory.usage_in_bytes') };
  let failed = 0;
  if (runtime === 'zygote') {
    deploy(hob, 'python', 'many0', 1, { isolation: 'version', scale: { min: count, max: count } });
    failed += load('each', hob.address, '/fn/many0/f%d', 1, 0).errors;
  }
  for (let i = 0; i < count && runtime !== 'zygote'; i += BATCH) {
    const n = Math.min(BATCH, count - i);
    deploy(hob, runtime, `many${i}`, n, { scale: { keep_s: 3600 } });
    failed += load('each', hob.address, `/fn/many${i}/f%d`, n, 0).errors;
  }
  for (let tries = 0; tries < 100 && (await frozen(hob)) < count - failed; tries++) await sleep(100);
  const after = daemons(hob);
  const result = { failed, frozen: await frozen(hob), each: (read(memory, 'memory.usage_in_bytes') - before.charged) / count };
  const again = load('each', hob.address, '/fn/many0/f%d', runtime === 'zygote' ? 1 : Math.min(BATCH, count), 0); // thawed
  result.thawed = again.errors;
  result.own = Object.entries(after).map(([name, { files, kib }]) => {
    const had = before[name] ?? { files: 0, kib: 0 };
    return `${name} ${((files - had.files) / count).toFixed(2)} (${files}), ${((kib - had.kib) / count).toFixed(1)} KiB`;
  });
  await hob.done();
  return result;
}

const rows = [];
for (const runtime of runtimes) {
  const got = await density(runtime, COUNT[runtime]), perGiB = Math.floor(2 ** 30 / got.each), what = `${NAME[runtime]}: ${COUNT[runtime]}`;
  rows.push([`${what} at once`, `${got.frozen} frozen, ${got.failed} failed; ${got.thawed} failed when thawed`, `${COUNT[runtime]}, 0, 0`,
    got.frozen === COUNT[runtime] && got.failed + got.thawed === 0]);
  rows.push([`${what}, per GiB charged`, `${perGiB} (${(got.each / 1024).toFixed(0)} KiB each)`, `≥ ${PER_GIB[runtime]}`, perGiB >= PER_GIB[runtime]]);
  rows.push([`${what}, descriptors (in all) and memory of each daemon, an instance`, got.own.join(' · ')]);
}
table('Density: frozen instances, everything in force', rows);
