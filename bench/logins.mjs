// Log-ins: how many a second, what one costs in CPU, and what a storm of them does to other requests.
//   node bench/logins.mjs      BENCH_SECONDS (5), LOGIN_CLIENTS (16)
// The floor is argon2id (19 MiB, 2 passes) itself: about 18 ms of one core; bcrypt at cost 10, what parse-server does, is
// about 43 ms there. Hashing threads have a lower priority, so other requests should hardly notice.
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import { Daemon } from "../tests/e2e/harness.mjs";

const SECONDS = Number(process.env.BENCH_SECONDS ?? 5), CLIENTS = Number(process.env.LOGIN_CLIENTS ?? 16);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

const ask = (hob, method, where, body) => new Promise((done, fail) => {
  const text = body && JSON.stringify(body);
  const req = http.request(`${hob.url}/parse${where}`, { method, agent, headers: { "x-parse-application-id": "bench",
    "content-type": "application/json", ...(text ? { "content-length": Buffer.byteLength(text) } : {}) } }, (res) => {
    res.resume();
    res.on("end", () => done(res.statusCode));
  });
  req.on("error", fail);
  req.end(text);
});
const cpuMs = (pid) => {
  const f = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(f[11]) + Number(f[12])) * 10;
};
const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]?.toFixed(2);

/** Runs `n` workers until time is up; gives each request's milliseconds. */
async function storm(n, one) {
  const times = [], until = performance.now() + SECONDS * 1000;
  await Promise.all(Array.from({ length: n }, async () => {
    while (performance.now() < until) {
      const began = performance.now();
      await one();
      times.push(performance.now() - began);
    }
  }));
  return times.sort((a, b) => a - b);
}

const hob = await Daemon.start();
try {
  hob.cli(["app", "create", "bench"]);
  await ask(hob, "POST", "/users", { username: "ann", password: "secret" });
  await ask(hob, "POST", "/classes/Thing", { a: 1 });
  const login = async () => {
    const status = await ask(hob, "POST", "/login", { username: "ann", password: "secret" });
    if (status !== 200) throw new Error(`log-in: ${status}`);
  };
  const other = () => ask(hob, "GET", "/classes/Thing?limit=1");
  await login();
  const calm = await storm(1, other);
  const began = cpuMs(hob.pid);
  const logins = await storm(CLIENTS, login);
  const each = (cpuMs(hob.pid) - began) / logins.length;
  const [during] = await Promise.all([storm(1, other), storm(CLIENTS, login)]);
  console.log(`${os.cpus().length} cores, ${CLIENTS} clients, ${SECONDS} s, load ${os.loadavg()[0].toFixed(1)}`);
  console.log(`log-ins/s             ${(logins.length / SECONDS).toFixed(1)}   p50 ${at(logins, 0.5)} ms  p99 ${at(logins, 0.99)} ms`);
  console.log(`CPU of one log-in     ${each.toFixed(1)} ms`);
  console.log(`other request, calm   p50 ${at(calm, 0.5)} ms  p99 ${at(calm, 0.99)} ms  (${calm.length} requests)`);
  console.log(`other request, storm  p50 ${at(during, 0.5)} ms  p99 ${at(during, 0.99)} ms  (${during.length} requests)`);
} finally {
  agent.destroy();
  await hob.close();
}
