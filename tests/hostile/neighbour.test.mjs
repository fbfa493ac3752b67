// S2: a neighbour's p99 stays within twice of what it is beside honest work. The same machine does both in turn, a second of
// this and a second of that: an abuser that may use what an honest tenant may use shall cost its neighbours no more. The goal
// is reported; the suite fails when three tries in a row are far beyond it, which no busy machine explains.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { abuses } from "./catalogue.mjs";
import { Daemon, Neighbour, deployAttackers, sleep } from "./world.mjs";

const GOAL = 2, FAR = 5, SLACK_MS = 100, ROUNDS = 2, WINDOW_MS = 700, TRIES = 3;
let hob, neighbour;
before(async () => {
  hob = await Daemon.start();
  await deployAttackers(hob);
  neighbour = await Neighbour.start(hob);
  await neighbour.stop("nothing");
  /* Two instances that compute as much as they get: on two cores no less than any abuser. */
  await hob.deployOne("honest", "f", "index.mjs",
    "export default { fetch() { const end = performance.now() + 25; while (performance.now() < end); return new Response('done'); } };", { scale: { max: 2 } });
  await Promise.all([hob.call("/fn/honest/f"), hob.call("/fn/honest/f")]);
});
after(() => hob.close());

/** The neighbour's times while `work` is done again and again. */
async function beside(work, workers) {
  let isOn = true;
  const done = Array.from({ length: workers }, async () => {
    while (isOn) await work().catch(() => sleep(5));
  });
  await sleep(200);
  const load = neighbour.ask({ pause: 2 });
  await sleep(WINDOW_MS);
  await load.stop();
  isOn = false;
  await Promise.all(done);
  assert.deepEqual(load.failures, []);
  return load.times;
}
const percentile = (times, p) => [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * p))];

async function compare(row) {
  const honest = [], abused = [];
  for (let i = 0; i < ROUNDS; i++) {
    honest.push(...await beside(() => hob.call("/fn/honest/f"), 2));
    abused.push(...await beside(() => hob.call(`/fn/hostile/${row.fn ?? "attacker"}/${row.attack}`, { timeout: 30000 }), 1));
  }
  const [good, bad] = [percentile(honest, 0.99), percentile(abused, 0.99)];
  console.log(`# neighbour beside ${row.attack}: p50 ${percentile(abused, 0.5).toFixed(1)} ms, p99 ${bad.toFixed(1)} ms of ${abused.length}; ` +
    `beside honest work ${percentile(honest, 0.5).toFixed(1)}, ${good.toFixed(1)} ms: ${(bad / good).toFixed(1)} times${bad > GOAL * good ? ", MORE than the goal" : ""}`);
  return { good, bad };
}

for (const row of abuses.filter(({ attack }) => ["forks", "fork-bomb", "memory", "disk", "log-flood", "cpu"].includes(attack)))
  test(`S2 ${row.attack}: the neighbour is answered as beside honest work`, { timeout: 120000 }, async () => {
    for (let tries = 1; ; tries++) {
      const { good, bad } = await compare(row);
      if (bad <= GOAL * good || (tries === TRIES && bad <= FAR * good + SLACK_MS)) return;
      assert.ok(tries < TRIES, `three times in a row; the last time p99 ${bad} ms, ${good} ms beside honest work`);
    }
  });
