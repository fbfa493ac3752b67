// The gateway alone: routes answered without a function, beside a bare one-thread libuv + llhttp server (gateway_floor).
// gateway_hello is api/server with nothing behind it; hobd's /healthz is the daemon itself. Servers alternate; medians.
import path from 'node:path';
import { answers, benchBin, freePort, k, median, rounds, start, startHob, stopAll, table, wrk } from './lib.mjs';

process.on('uncaughtException', async (e) => { console.error(e); await stopAll(); process.exit(1); });
const servers = [];
for (const name of ['gateway_floor', 'gateway_hello']) {
  const port = await freePort();
  const p = start(path.join(benchBin, name), [port]);
  const url = `http://127.0.0.1:${port}/`;
  await answers(url);
  servers.push({ name, url, groups: { server: [p.pid] }, runs: [] });
}
const hob = await startHob();
servers.push({ name: 'hobd /healthz', url: `${hob.url}/healthz`, groups: { server: [hob.p.pid] }, runs: [] });
for (let round = 0; round < rounds; round++)
  for (const s of servers) s.runs.push(wrk(s.url, s.groups));
const m = (s, what) => median(s.runs.map((r) => r[what]));
const [floor, ...ours] = servers;
const rows = [['libuv + llhttp floor', `${k(m(floor, 'rate'))}, ${m(floor, 'server_us').toFixed(2)} µs CPU a request`]];
for (const s of ours) {
  const ratio = m(s, 'rate') / m(floor, 'rate');
  rows.push([s.name, `${ratio.toFixed(2)} × (${k(m(s, 'rate'))}, ${m(s, 'server_us').toFixed(2)} µs CPU a request)`, '≥ 0.7 × floor', ratio >= 0.7]);
}
table('The gateway alone', rows);
await stopAll();
