// Functions that misbehave: each kind has its own clear error, the daemon lives, and a neighbour that is asked all the
// while goes on answering (S2).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, HELLO, Load, mib, request, sleep, until } from "./harness.mjs";

let hob, neighbour;
before(async () => {
  hob = await Daemon.start();
  await hob.deployOne("neighbour", "f", "index.mjs", HELLO, { concurrency: 4 });
  assert.equal((await hob.call("/fn/neighbour/f")).text, "hello\n");
  neighbour = new Load(`${hob.url}/fn/neighbour/f`, { clients: 2, pause: 5 });
});
after(async () => {
  if (!neighbour) return;
  const counts = await neighbour.stop();
  await hob?.close();
  assert.deepEqual(neighbour.failures, []);
  assert.ok(counts.ok > 100);
  console.log(`# neighbour: ${counts.ok} answers, p50 ${neighbour.percentile(0.5).toFixed(1)} ms, ` +
    `p99 ${neighbour.percentile(0.99).toFixed(1)} ms, worst ${neighbour.percentile(1).toFixed(1)} ms`);
});

const fails = (answer, status, reason) => {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.reason, reason, answer.text);
};
const logged = (app, pattern) => until(async () => (await hob.logs(app, "f")).some((l) => pattern.test(l.text)),
  `${pattern} in the log of ${app}`, 8000);
const js = (app, body, config) => hob.deployOne(app, "f", "index.mjs", body, config);

test("it throws while it is loaded", async () => {
  await js("import-throws", 'throw new TypeError("broken at import");');
  const answer = await hob.call("/fn/import-throws/f");
  fails(answer, 502, "init_failed");
  assert.ok(!answer.text.includes("broken at import"), "strangers must not read the function's words");
  await logged("import-throws", /broken at import/);
  const told = await hob.api("POST", "/v1/apps/import-throws/functions/f/invoke", "{}");
  assert.equal(told.status, 502);
  assert.match(JSON.stringify(told.json.error ?? {}), /broken at import/);
  await until(async () => (await hob.api("GET", "/v1/apps/import-throws/functions/f")).json.state === "failing", "failing to be visible", 5000);
  const view = (await hob.api("GET", "/v1/apps/import-throws/functions/f")).json;
  assert.match(view.crash.message, /broken at import|init/i);
});

test("it is not a module at all", async () => {
  await js("syntax", "this is no JavaScript (");
  fails(await hob.call("/fn/syntax/f"), 502, "init_failed");
  await logged("syntax", /SyntaxError/);
});

test("it exports nothing that could be called", async () => {
  await js("no-handler", "export const answer = 42;");
  fails(await hob.call("/fn/no-handler/f"), 502, "init_failed");
  await logged("no-handler", /handler|fetch|export/i);
});

test("a repaired function leaves its back-off at once", async () => {
  await js("import-throws", HELLO);
  assert.equal((await hob.call("/fn/import-throws/f")).text, "hello\n");
});

test("it throws while it runs", async () => {
  await js("throws", 'export default { fetch() { throw new RangeError("secret detail 17"); } };');
  const answer = await hob.call("/fn/throws/f");
  fails(answer, 502, "function_failed");
  assert.ok(!answer.text.includes("secret detail"));
  await logged("throws", /RangeError.*secret detail 17|secret detail 17/);
  const told = await hob.api("POST", "/v1/apps/throws/functions/f/invoke", "{}");
  fails(told, 502, "function_failed");
  assert.equal(told.json.error.type, "RangeError");
  assert.match(told.json.error.message, /secret detail 17/);
  assert.match(String(told.json.error.stack), /index\.mjs/);
});

test("it rejects, and it rejects without anybody waiting", async () => {
  await js("rejects", 'export default { async fetch() { await null; throw new Error("late"); } };');
  fails(await hob.call("/fn/rejects/f"), 502, "function_failed");
  await js("stray", 'export default { fetch() { Promise.reject(new Error("stray")); return new Response("fine"); } };');
  const answer = await hob.call("/fn/stray/f");
  assert.ok([200, 502].includes(answer.status));
  await logged("stray", /stray/);
});

test("it never answers", async () => {
  await js("silent", "export default { fetch: () => new Promise(() => setInterval(() => {}, 1000)) };", { timeout_ms: 700 });
  const began = performance.now();
  fails(await hob.call("/fn/silent/f"), 504, "function_timeout");
  const took = performance.now() - began;
  assert.ok(took > 650 && took < 20000, `${took} ms`);
});

test("it computes for ever", async () => {
  await js("spins", "export default { fetch() { for (;;); } };", { timeout_ms: 700 });
  fails(await hob.call("/fn/spins/f"), 504, "function_timeout");
  await until(async () => (await hob.api("GET", "/v1/instances?app=spins")).json.instances.every((i) => i.in_flight === 0),
    "the spinning instance to be killed", 30000);
});

test("it never finishes loading", async () => {
  await js("slow-init", "await new Promise(() => setInterval(() => {}, 1000)); export default { fetch: () => new Response('x') };",
    { init_timeout_ms: 800 });
  const answer = await hob.call("/fn/slow-init/f");
  fails(answer, 502, "init_timeout");
});

test("it answers something that is no answer", async () => {
  await js("no-response", "export default { fetch: () => 42 };");
  const answer = await hob.call("/fn/no-response/f");
  assert.equal(answer.status, 502, answer.text);
  await logged("no-response", /Response/);
});

test("it answers with a head that HTTP forbids", async () => {
  await js("bad-head", `export const handler = async () => ({ statusCode: 200, headers: { "x-evil": "a\\r\\nSet-Cookie: b=c" }, body: "x" });`);
  const answer = await hob.call("/fn/bad-head/f");
  assert.equal(answer.headers["set-cookie"], undefined);
  assert.ok(answer.status === 502 || !JSON.stringify(answer.headers).includes("b=c\""), JSON.stringify(answer.headers));
});

test("it answers twice", async () => {
  await js("twice", `export const handler = (event, context, callback) => { callback(null, "first"); callback(null, "second"); };`);
  const answer = await hob.call("/fn/twice/f");
  assert.equal(answer.status, 200);
  assert.match(answer.text, /first/);
  assert.equal((await hob.call("/fn/twice/f")).status, 200); // and the slot is free again, once
});

test("it exits while it runs", async () => {
  await js("exits", "export default { fetch() { process.exit(3); } };");
  fails(await hob.call("/fn/exits/f"), 502, "function_crashed");
  await logged("exits", /exit.*3|code 3/i);
});

test("it exits behind its answer's head", async () => {
  await js("half", `export default { fetch() { return new Response(new ReadableStream({ async start(c) {
    c.enqueue(new TextEncoder().encode("begin")); await new Promise((r) => setTimeout(r, 100)); process.exit(1); } })); } };`);
  await assert.rejects(hob.call("/fn/half/f"), /aborted|broken off|socket hang up|ECONNRESET/);
});

test("it kills itself with a signal", async () => {
  await js("kills", "export default { fetch() { process.kill(process.pid, 'SIGKILL'); return new Promise(() => {}); } };");
  fails(await hob.call("/fn/kills/f"), 502, "function_crashed");
});

test("a crash loop backs off: starts are bounded", async () => {
  await js("loops", "process.exit(1);");
  const answers = await Promise.all(Array.from({ length: 30 }, () => hob.call("/fn/loops/f")));
  for (const answer of answers) assert.ok([502, 503].includes(answer.status), answer.text);
  const starts = (await hob.logs("loops", "f")).filter((l) => l.stream === "platform" && /exit/i.test(l.text)).length;
  assert.ok(starts < 15, `${starts} starts for 30 requests at once`);
  const retry = answers.find((a) => a.headers["retry-after"]);
  if (retry) assert.ok(Number(retry.headers["retry-after"]) >= 1);
});

test("it floods its log: lines are dropped and counted, the answer comes", { timeout: 120000 }, async () => {
  await js("floods", `export default { fetch() {
    const line = "x".repeat(1000);
    for (let i = 0; i < 20000; i++) console.log(i + line);
    return new Response("flooded"); } };`, { timeout_ms: 30000 });
  const before = hob.rss();
  const answer = await hob.call("/fn/floods/f", { timeout: 40000 });
  assert.equal(answer.text, "flooded");
  await sleep(500);
  assert.ok(hob.rss() - before < mib(48), `hobd grew by ${(hob.rss() - before) >> 20} MiB`);
  await logged("floods", /dropped/);
});

test("a log line without an end is cut", async () => {
  await js("long-line", 'export default { fetch() { process.stdout.write("y".repeat(300000)); return new Response("ok"); } };');
  assert.equal((await hob.call("/fn/long-line/f")).text, "ok");
  await sleep(300);
  const lines = await hob.logs("long-line", "f");
  assert.ok(lines.every((l) => l.text.length <= 16384), "a line is longer than log.line_bytes");
});

test("it fills its disk", async () => {
  await js("fills", `import fs from "node:fs";
    export default { fetch() { const piece = Buffer.alloc(1 << 20); let n = 0;
      try { for (;; n++) fs.appendFileSync("/tmp/full", piece); } catch (e) { return Response.json({ code: e.code, n }); } } };`);
  const { json } = await hob.call("/fn/fills/f");
  assert.match(json.code, /ENOSPC|EFBIG|EDQUOT/);
  assert.ok(json.n <= 64, `${json.n} MiB`);
});

test("it makes files without end", async () => {
  await js("inodes", `import fs from "node:fs";
    export default { fetch() { let n = 0; try { for (;; n++) fs.writeFileSync("/tmp/n" + n, ""); } catch (e) { return Response.json({ code: e.code, n }); } } };`,
    { timeout_ms: 20000 });
  const { json } = await hob.call("/fn/inodes/f");
  assert.match(json.code, /ENOSPC|EDQUOT/);
  assert.ok(json.n <= 16384);
});

test("it opens descriptors without end", async () => {
  await js("fds", `import fs from "node:fs";
    export default { fetch() { let n = 0; const all = []; try { for (;; n++) all.push(fs.openSync("/dev/null")); } catch (e) {
      for (const fd of all) fs.closeSync(fd); return Response.json({ code: e.code, n }); } } };`);
  const { json } = await hob.call("/fn/fds/f");
  assert.equal(json.code, "EMFILE");
});

test("it forks for ever", { timeout: 120000 }, async () => {
  await hob.deployOne("forks", "f", "main.py", `
import os, time
def handler(event, context):
    n = 0
    while True:
        try:
            pid = os.fork()
        except OSError as e:
            return {"errno": e.errno, "n": n}
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        n += 1
`, { runtime: "python", timeout_ms: 20000 });
  const answer = await hob.call("/fn/forks/f", { timeout: 30000 });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.errno, 11); // EAGAIN
  assert.ok(answer.json.n <= 256, `${answer.json.n} processes`);
  await hob.api("DELETE", "/v1/apps/forks");
});

test("a shell fork bomb dies with its instance", { timeout: 120000 }, async () => {
  await hob.deployOne("bomb", "f", "main.py", `
import os
def handler(event, context):
    while True:
        try:
            os.fork()
        except OSError:
            pass
`, { runtime: "python", timeout_ms: 1500 });
  const answer = await hob.call("/fn/bomb/f", { timeout: 30000 });
  assert.ok([502, 504].includes(answer.status), answer.text);
  await hob.api("DELETE", "/v1/apps/bomb");
  await until(async () => (await hob.api("GET", "/v1/instances?app=bomb")).json.instances.length === 0, "the bomb to be gone", 10000);
});

test("it allocates for ever", { timeout: 120000 }, async () => {
  await js("eats", `export default { fetch() { const all = []; for (;;) all.push(Buffer.alloc(4 << 20, 1)); } };`, { memory_mb: 96 });
  const answer = await hob.call("/fn/eats/f", { timeout: 30000 });
  fails(answer, 502, "out_of_memory");
  await logged("eats", /memory/i);
});

test("its heap runs full", { timeout: 120000 }, async () => {
  await js("heap", `export default { fetch() { const all = []; for (;;) all.push({ a: [all.length], b: "x" + all.length }); } };`, { memory_mb: 96, timeout_ms: 30000 });
  const answer = await hob.call("/fn/heap/f", { timeout: 40000 });
  assert.equal(answer.status, 502, answer.text);
  assert.match(answer.json.reason, /out_of_memory|function_crashed/);
});

test("it writes rubbish to its channel", async () => {
  await js("rubbish", `import fs from "node:fs";
    export default { fetch() { fs.writeSync(3, Buffer.alloc(4096, 0xff)); return new Promise(() => {}); } };`);
  const answer = await hob.call("/fn/rubbish/f");
  assert.equal(answer.status, 502, answer.text);
});

test("it closes its channel", async () => {
  await js("closes", `import fs from "node:fs";
    export default { fetch() { fs.closeSync(3); return new Promise(() => setInterval(() => {}, 1000)); } };`, { timeout_ms: 3000 });
  const answer = await hob.call("/fn/closes/f");
  assert.ok([502, 504].includes(answer.status), answer.text);
});

const slow = "export default { fetch: () => new Promise((r) => setTimeout(() => r(new Response('done')), 400)) };";
const reasonsOf = (answers) => {
  for (const a of answers.filter((x) => x.status !== 200)) {
    assert.equal(a.status, 503, a.text);
    assert.ok(a.headers["retry-after"], "Retry-After");
  }
  return answers.map((a) => (a.status === 200 ? "ok" : a.json.reason)).sort();
};

test("more requests than may wait are told so at once", async () => {
  await js("queue", slow, { concurrency: 1, scale: { max: 1 }, queue_max: 2, queue_timeout_ms: 20000 });
  assert.equal((await hob.call("/fn/queue/f")).status, 200);
  const reasons = reasonsOf(await Promise.all(Array.from({ length: 6 }, () => hob.call("/fn/queue/f"))));
  assert.deepEqual(reasons, ["ok", "ok", "ok", "queue_full", "queue_full", "queue_full"]);
});

test("who would wait longer than queue_timeout_ms is told so", async () => {
  await js("wait", slow, { concurrency: 1, scale: { max: 1 }, queue_timeout_ms: 600 });
  assert.equal((await hob.call("/fn/wait/f")).status, 200);
  const reasons = reasonsOf(await Promise.all(Array.from({ length: 6 }, () => hob.call("/fn/wait/f"))));
  assert.ok(reasons.includes("ok"), reasons.join());
  assert.ok(reasons.some((r) => r !== "ok") && reasons.every((r) => /^(ok|queue_timeout|overloaded)$/.test(r)), reasons.join());
});

test("after all that the daemon is as it was", async () => {
  assert.equal((await request(`${hob.url}/readyz`)).status, 200);
  assert.equal((await hob.call("/fn/neighbour/f")).text, "hello\n");
  const doctor = (await hob.api("GET", "/v1/doctor")).json;
  assert.ok(doctor.ok, JSON.stringify(doctor.checks.filter((c) => c.status === "fail")));
  assert.ok(hob.rss() < mib(128), `${hob.rss() >> 20} MiB`);
});
