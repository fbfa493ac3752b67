// Neighbours that burn every core: what a request through the gateway takes beside them. hobd stands in the cgroup that it
// was started in, instances share one of their own (sandbox/cgroup.h), so that however many they are, together they weigh
// as much as one neighbour of hobd.
//   node bench/neighbours.mjs
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { answers, buildC, load, median, root, rounds, sleep, startHob, stopAll, table } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const SPINNERS = 4 * os.availableParallelism(), RATE = 500;
const hob = await startHob();
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-n-'));
fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(dir, 'main.c'));
fs.writeFileSync(path.join(dir, 'spin.mjs'), 'export default { fetch: () => { for (const end = Date.now() + 60000; Date.now() < end;); return new Response("done"); } };');
buildC(dir, 'musl-gcc');
fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: 'near', functions: {
  hello: { runtime: 'c', entry: 'main', concurrency: 64, scale: { min: 1, max: 1 } },
  spin: { runtime: 'node', entry: 'spin.mjs', timeout_ms: 120000, scale: { max: SPINNERS } } } }));
hob.hob('deploy', dir);
await answers(`${hob.url}/fn/near/hello`);

async function measure() {
  const runs = [];
  for (let r = 0; r < rounds; r++) runs.push(load('rate', hob.address, '/fn/near/hello', RATE, 3, 32));
  return { p50: median(runs.map((r) => r.p50_us)), p99: median(runs.map((r) => r.p99_us)), errors: runs.reduce((n, r) => n + r.errors, 0) };
}
const busy = async () => {
  const answer = await fetch(`${hob.url}/v1/top`, { headers: { authorization: `Bearer ${hob.token}` } });
  return (await answer.json()).functions.find((f) => f.function === 'spin')?.instances.busy ?? 0;
};

const alone = await measure();
for (let i = 0; i < SPINNERS; i++) fetch(`${hob.url}/fn/near/spin`).catch(() => {});
for (let i = 0; i < 400 && (await busy()) < SPINNERS; i++) await sleep(50);
const spinning = await busy();
const beside = await measure();
table(`A C function at ${RATE}/s, alone and beside ${spinning} instances that burn every core`, [
  ['alone p50 / p99', `${alone.p50} / ${alone.p99} µs`],
  ['beside them p50 / p99', `${beside.p50} / ${beside.p99} µs`],
  ['p99 ratio', (beside.p99 / alone.p99).toFixed(1)],
  ['errors', `${alone.errors + beside.errors}`, '0', alone.errors + beside.errors === 0],
]);
await stopAll();
fs.rmSync(hob.home, { recursive: true, force: true });
fs.rmSync(dir, { recursive: true, force: true });
