// What a binding costs: env.data.get and others from one Node function, microseconds as its code sees them.
//   node bench/bindings.mjs [CALLS]      (HOB_BIN or build/bin; prints one line an operation)
import { Daemon } from "../tests/e2e/harness.mjs";
import { callJson, makeBackend } from "../tests/bindings/world.mjs";

const CALLS = Number(process.argv[2] ?? 2000);
const PROBE = `
export default { async fetch(request, env) {
  const { run, calls, together } = await request.json();
  const one = await (new (async () => {}).constructor("env", run))(env);
  for (let i = 0; i < 50; i++) await one(i);
  const took = [];
  const began = process.hrtime.bigint();
  const lane = async (n) => { for (let i = 0; i < n; i++) { const from = process.hrtime.bigint(); await one(i); took.push(Number(process.hrtime.bigint() - from) / 1000); } };
  await Promise.all(Array.from({ length: together }, () => lane(Math.ceil(calls / together))));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  took.sort((a, b) => a - b);
  const at = (share) => Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))]);
  return Response.json({ p50: at(0.5), p99: at(0.99), perSecond: Math.round(took.length / seconds) });
} };`;
const OPERATIONS = {
  "data.get": "const { objectId } = await env.data.insert('Bench', { text: 'a note', n: 1 }); return () => env.data.get('Bench', objectId);",
  "data.find, 10 of 100, by an indexed field": "await env.data.batch(Array.from({ length: 50 }, (_, n) => ({ op: 'insert', class: 'Many', object: { n, text: 'x' } }))); return () => env.data.find('Many', { where: { n: { $gte: 20 } }, limit: 10 });",
  "data.insert": "return (n) => env.data.insert('Bench', { n });",
  "data.update, Increment": "const { objectId } = await env.data.insert('Bench', { n: 0 }); return () => env.data.update('Bench', objectId, { n: { __op: 'Increment', amount: 1 } });",
  "auth.user": "return () => env.auth.user();",
  "cache.get": "await env.cache.put('k', 'v'); return () => env.cache.get('k');",
  "cache.put": "return (n) => env.cache.put('k' + n, 'v');",
  "sql, one row by key": "await env.sql.exec('CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a)'); await env.sql.prepare('INSERT OR IGNORE INTO t VALUES (1, 2)').run(); return () => env.sql.prepare('SELECT a FROM t WHERE id = ?').bind(1).first();",
};

const daemon = await Daemon.start();
try {
  await daemon.deployOne("bench", "probe", "index.mjs", PROBE, { bindings: ["data:*:rw", "auth", "cache", "sql"], timeout_ms: 120000, memory_mb: 256 });
  await makeBackend(daemon, "bench");
  console.log("operation | p50 µs | p99 µs | calls/s, 16 at a time");
  for (const [name, run] of Object.entries(OPERATIONS)) {
    const calls = /insert|put|update/.test(name) ? Math.ceil(CALLS / 4) : CALLS;
    const alone = await callJson(daemon, "/fn/bench/probe", { run, calls, together: 1 });
    const many = await callJson(daemon, "/fn/bench/probe", { run, calls, together: 16 });
    console.log(`${name} | ${alone.p50} | ${alone.p99} | ${many.perSecond}`);
  }
} finally {
  await daemon.close({ isClean: false });
}
