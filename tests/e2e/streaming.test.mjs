// Bodies that flow: byte-exact both ways (D1), bounded memory behind slow ends (D2), disconnect cancels (D3), the first
// byte is not kept back (D6).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import net from "node:net";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { Daemon, mib, quickly, raw, request, sleep, until } from "./harness.mjs";

const SOURCE = `
import { createHash, randomBytes } from "node:crypto";
const text = new TextEncoder();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let cancelled = 0, pulled = 0, seen = "";
export default { async fetch(request) {
  const url = new URL(request.url);
  switch (url.pathname) {
  case "/echo": return new Response(request.body, { headers: { "x-length": request.headers.get("content-length") ?? "none" } });
  case "/digest": {
    const hash = createHash("sha256"); let n = 0;
    for await (const part of request.body ?? []) { hash.update(part); n += part.length; }
    return Response.json({ n, sha256: hash.digest("hex") });
  }
  case "/big": {
    let left = Number(url.searchParams.get("n")); let at = 0;
    return new Response(new ReadableStream({ pull(c) {
      if (left <= 0) return c.close();
      const n = Math.min(left, 65536); left -= n;
      const part = new Uint8Array(n); for (let i = 0; i < n; i++) part[i] = at++ * 31 & 255;
      c.enqueue(part);
    } }));
  }
  case "/sse": return new Response(new ReadableStream({ async start(c) {
    for (let i = 0; i < 5; i++) { c.enqueue(text.encode("data: " + i + "\\n\\n")); await wait(200); }
    c.close(); } }), { headers: { "content-type": "text/event-stream" } });
  case "/endless": return new Response(new ReadableStream({
    pull(c) { pulled++; c.enqueue(new Uint8Array(65536)); }, cancel() { cancelled++; } }));
  case "/hang": {
    seen = "waiting";
    await new Promise((done) => request.signal.addEventListener("abort", done));
    seen = "aborted at " + Date.now();
    return new Response("too late");
  }
  case "/state": return Response.json({ cancelled, pulled, seen });
  case "/slow-read": {
    const reader = request.body.getReader(); let n = 0;
    const first = await reader.read(); n += first.value.length;
    await wait(1500);
    for (;;) { const { done, value } = await reader.read(); if (done) break; n += value.length; }
    return Response.json({ n });
  }
  case "/never-read":
    await new Promise((done) => request.signal.addEventListener("abort", done));
    return new Response("too late");
  case "/ignore": return new Response("did not read");
  case "/empty": return new Response(null, { status: 204 });
  case "/headers": return Response.json(Object.fromEntries(request.headers));
  case "/sized": return new Response("x".repeat(1000), { headers: { "x-here": "yes" } });
  default: return new Response("?", { status: 404 });
  }
} };
`;
let hob, base;
before(async () => {
  hob = await Daemon.start();
  await hob.deployOne("s", "f", "index.mjs", SOURCE, { concurrency: 60, timeout_ms: 60000, scale: { max: 1 } });
  base = `${hob.url}/fn/s/f`;
  assert.equal((await request(`${base}/sized`)).status, 200);
});
after(() => hob?.close());
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const state = async () => (await request(`${base}/state`)).json;

test("bodies of every size come back byte for byte", { timeout: 120000 }, async (t) => {
  for (const n of [0, 1, 15, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1, 5_000_003])
    await t.test(`${n} bytes`, async () => {
      const body = randomBytes(n);
      const sized = await request(`${base}/echo`, { method: "POST", body, headers: { "content-length": n } });
      assert.equal(sized.status, 200);
      assert.equal(sha(sized.bytes), sha(body));
      const chunked = await request(`${base}/echo`, { method: "POST", body: Readable.from(n ? [body.subarray(0, n >> 1), body.subarray(n >> 1)].filter((b) => b.length) : []),
        headers: { "transfer-encoding": "chunked" } });
      assert.equal(sha(chunked.bytes), sha(body));
      assert.equal(chunked.headers["x-length"], "none");
    });
});

test("256 MiB up and down are exact and the daemon's memory stays bounded", { timeout: 180000 }, async () => {
  const MB = 256, before = hob.rss();
  const part = randomBytes(1 << 20), hash = createHash("sha256");
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, hob.rss())), 50);
  const up = await request(`${base}/digest`, { method: "POST", timeout: 120000,
    body: Readable.from((function* () { for (let i = 0; i < MB; i++) { hash.update(part); yield part; } })()),
    headers: { "content-length": MB << 20 } });
  assert.deepEqual(up.json, { n: MB << 20, sha256: hash.digest("hex") });
  await new Promise((resolve, reject) => http.get(`${base}/big?n=${MB << 20}`, (res) => {
    let at = 0;
    res.on("data", (bytes) => {
      for (let i = 0; i < bytes.length; i += 997) if (bytes[i] !== ((at + i) * 31 & 255)) reject(new Error(`wrong byte at ${at + i}`));
      at += bytes.length;
    });
    res.on("end", () => (at === MB << 20 ? resolve() : reject(new Error(`${at} bytes`))));
    res.on("error", reject);
  }));
  clearInterval(watch);
  assert.ok(peak - before < mib(16), `grew by ${(peak - before) >> 10} KiB`);
});

test("curl sends and receives the same bytes", { timeout: 120000 }, async () => {
  const body = randomBytes(3_000_000);
  const curl = spawn("curl", ["-s", "-S", "-m", "20", "--data-binary", "@-", "-H", "Expect: 100-continue", `${base}/echo`]);
  const parts = [];
  curl.stdout.on("data", (p) => parts.push(p));
  curl.stdin.end(body);
  assert.equal(await new Promise((done) => curl.on("close", done)), 0);
  assert.equal(sha(Buffer.concat(parts)), sha(body));
});

test("an event stream's first byte comes at once, each event when it is said", async () => {
  const began = performance.now();
  const times = [];
  await new Promise((resolve, reject) => http.get(`${base}/sse`, (res) => {
    assert.equal(res.headers["content-type"], "text/event-stream");
    res.on("data", () => times.push(performance.now() - began));
    res.on("end", resolve);
    res.on("error", reject);
  }));
  assert.ok(times[0] < 150, `first byte after ${times[0]} ms`);
  assert.ok(times.length >= 5, `${times.length} parts`);
  assert.ok(times[2] > 350 && times[2] < 700, `third after ${times[2]} ms`);
});

test("a client that does not read holds the function back, not the daemon's memory", { timeout: 120000 }, async () => {
  const before = hob.rss(), start = await state();
  const sockets = Array.from({ length: 10 }, () => {
    const socket = net.connect(hob.port, "127.0.0.1", () => socket.write("GET /fn/s/f/endless HTTP/1.1\r\nHost: x\r\n\r\n"));
    socket.on("error", () => {});
    socket.pause();
    return socket;
  });
  let first, second = -1;
  await until(async () => {
    first = second;
    await sleep(700);
    return (second = (await state()).pulled) === first && second > start.pulled;
  }, () => `the function to stop producing: ${first}, ${second}`);
  assert.ok(second - start.pulled < 10 * 200, `${second - start.pulled} parts of 64 KiB`);
  assert.ok(hob.rss() - before < mib(24), `grew by ${(hob.rss() - before) >> 10} KiB`);
  for (const socket of sockets) socket.destroy();
  await until(async () => (await state()).cancelled >= start.cancelled + 10, "ten cancels", 5000);
});

test("a function that does not read holds the client back", { timeout: 120000 }, async () => {
  const before = hob.rss();
  let sent = 0;
  const socket = net.connect(hob.port, "127.0.0.1");
  let answer = "";
  socket.on("data", (d) => (answer += d));
  const N = 16 << 20;
  socket.write(`POST /fn/s/f/slow-read HTTP/1.1\r\nHost: x\r\nContent-Length: ${N}\r\nConnection: close\r\n\r\n`);
  const part = Buffer.alloc(65536, 7);
  const pump = () => {
    while (sent < N) {
      sent += part.length;
      if (!socket.write(part)) return void socket.once("drain", pump);
    }
  };
  pump();
  await sleep(900);
  assert.ok(sent < N, "everything was taken although nobody read");
  assert.ok(hob.rss() - before < mib(8), `grew by ${(hob.rss() - before) >> 10} KiB`);
  await until(() => answer.includes(`"n":${N}`), "the answer", 15000);
  socket.destroy();
});

test("forty slow clients of one instance hold nobody else up, either way", { timeout: 120000 }, async () => {
  const open = (bytes) => Array.from({ length: 40 }, () => {
    const socket = net.connect(hob.port, "127.0.0.1", () => socket.write(bytes));
    socket.on("error", () => {});
    socket.pause();
    return socket;
  });
  const start = await state();
  for (const bytes of ["GET /fn/s/f/endless HTTP/1.1\r\nHost: x\r\n\r\n",
    Buffer.concat([Buffer.from("POST /fn/s/f/never-read HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"), Buffer.alloc(100000)])]) {
    const sockets = open(bytes);
    await sleep(1000);
    const body = randomBytes(1_000_000);
    const answer = await request(`${base}/echo`, { method: "POST", body, timeout: 8000 });
    assert.equal(sha(answer.bytes), sha(body));
    for (const socket of sockets) socket.destroy();
  }
  await until(async () => (await state()).cancelled >= start.cancelled + 40, "the cancels", 8000);
});

test("a client that leaves cancels its invocation within 100 ms (D3)", async () => {
  await quickly(100, async () => {
    const socket = net.connect(hob.port, "127.0.0.1", () => socket.write("GET /fn/s/f/hang HTTP/1.1\r\nHost: x\r\n\r\n"));
    await until(async () => (await state()).seen === "waiting", "the function to wait");
    const left = Date.now();
    socket.destroy();
    await until(async () => (await state()).seen.startsWith("aborted"), "the abort");
    return Number((await state()).seen.match(/\d+/)[0]) - left;
  });
});

test("HEAD has the head of GET and no body", async () => {
  const text = await raw(hob.port, "HEAD /fn/s/f/sized HTTP/1.1\r\nHost: x\r\n\r\nGET /fn/s/f/sized HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const heads = text.split("HTTP/1.1 200 OK\r\n").slice(1);
  assert.equal(heads.length, 2, text.slice(0, 500));
  assert.ok(heads[0].endsWith("\r\n\r\n"), "HEAD has a body");
  for (const head of heads) assert.match(head.toLowerCase(), /x-here: yes/);
  assert.match(heads[1], /x{1000}/);
});

test("204 has no body and the connection goes on", async () => {
  const text = await raw(hob.port, "GET /fn/s/f/empty HTTP/1.1\r\nHost: x\r\n\r\nGET /fn/s/f/ignore HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.match(text, /^HTTP\/1\.1 204 [^]*HTTP\/1\.1 200 [^]*did not read/);
  assert.doesNotMatch(text.split("HTTP/1.1 200")[0].toLowerCase(), /transfer-encoding|content-length: [1-9]/);
});

test("100-continue is said when the body is wanted, not before", async () => {
  const socket = net.connect(hob.port, "127.0.0.1");
  let got = "";
  socket.on("data", (d) => (got += d));
  socket.write("POST /fn/s/f/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
  await until(() => got.startsWith("HTTP/1.1 100 "), "100 Continue", 3000);
  socket.write("hello");
  await until(() => got.includes('"n":5'), "the answer", 3000);
  socket.destroy();
  const refused = await raw(hob.port, "POST /fn/nobody/f HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  assert.match(refused, /^HTTP\/1\.1 404 /);
});

test("requests in a pipe are answered in order", async () => {
  const one = (n) => `GET /fn/s/f/big?n=${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const text = await raw(hob.port, `${one(3)}${one(2)}${one(1)}GET /fn/s/f/ignore HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  assert.equal(text.match(/HTTP\/1\.1 200/g).length, 4, text);
  assert.ok(text.endsWith("did not read") || /did not read\r\n/.test(text));
});

test("chunks with extensions and trailers are taken", async () => {
  const text = await raw(hob.port, "POST /fn/s/f/digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n" +
    "5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n");
  assert.match(text, /"n":11/);
  assert.match(text, new RegExp(sha(Buffer.from("hello world"))));
});

test("a body that is announced longer than it comes is no request", async () => {
  const before = (await hob.api("GET", "/v1/instances?app=s")).json.instances;
  const socket = net.connect(hob.port, "127.0.0.1", () => socket.write("POST /fn/s/f/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"));
  await sleep(200);
  socket.destroy();
  await until(async () => (await hob.api("GET", "/v1/instances?app=s")).json.instances.every((i) => i.in_flight === 0), "the slot to be free", 5000);
  assert.equal((await hob.api("GET", "/v1/instances?app=s")).json.instances.length >= before.length - 1, true);
});

test("what the function does not read does not break the connection's next request", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 5; i++) {
    const answer = await request(`${base}/ignore`, { method: "POST", body: Buffer.alloc(200000), agent });
    assert.equal(answer.text, "did not read");
  }
  agent.destroy();
});

// INVOKE carries the first 16 KiB of a body: what comes behind is another way through each adapter.
const counters = {
  python: ["main.py", "def handler(event, context):\n    import base64\n    b = event.get('body') or ''\n" +
    "    return {'statusCode': 200, 'body': str(len(base64.b64decode(b) if event['isBase64Encoded'] else b))}\n"],
  php: ["main.php", "<?php return function (array $event, object $context) { $b = $event['body'] ?? '';\n" +
    "return ['statusCode' => 200, 'body' => (string) strlen(($event['isBase64Encoded'] ?? false) ? base64_decode($b) : $b)]; };"],
  node: ["main.cjs", "exports.handler = async (event) => ({ statusCode: 200, body: " +
    "String(Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8').length) });"],
};
for (const [runtime, [entry, text]] of Object.entries(counters))
  for (const concurrency of [1, 4])
    test(`${runtime}, ${concurrency} at a time: bodies around the first frame's size arrive whole`, { timeout: 120000 }, async () => {
      const app = `count-${runtime}-${concurrency}`;
      const made = await hob.deployOne(app, "f", entry, text, { runtime, concurrency, timeout_ms: 5000 }).catch((e) => e);
      if (made instanceof Error) assert.fail(made.message);
      for (const n of [0, 1, 16383, 16384, 16385, 65536, 65537, 1_000_000, 4_000_000]) {
        const answer = await request(`${hob.url}/fn/${app}/f`, { method: "POST", body: Buffer.alloc(n, 0xe9), headers: { "content-type": "application/octet-stream" } });
        assert.equal(answer.text, String(n), `${n} bytes: ${answer.status}`);
      }
    });

test("request id and trace context go in and come out", async () => {
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const answer = await request(`${base}/headers`, { headers: { "x-request-id": "my-own-id-1", traceparent: trace } });
  assert.equal(answer.headers["x-request-id"], "my-own-id-1");
  assert.ok(answer.json.traceparent.startsWith("00-0af7651916cd43dd8448eb211c80319c-"));
  const lines = await until(async () => {
    const found = await hob.logs("s", "f", "request=my-own-id-1");
    return found.length ? found : undefined;
  }, "a line of that request");
  assert.ok(lines.every((l) => l.request_id === "my-own-id-1"));
});

test("the control API's invoke tells where the time went", async () => {
  const answer = await hob.api("POST", "/v1/apps/s/functions/f/invoke", "{}");
  assert.match(answer.headers["server-timing"], /run;dur=/);
  assert.equal(answer.headers["x-hob-version"], "1");
  const wrong = await hob.api("POST", "/v1/apps/s/functions/f/invoke?qualifier=none", "{}");
  assert.equal(wrong.status, 404);
});

test("logs are followed as they come", async () => {
  await hob.deployOne("talk", "f", "index.mjs", "export default { fetch(r) { console.log('said ' + new URL(r.url).search); return new Response('x'); } };");
  await hob.call("/fn/talk/f?before");
  const lines = [];
  const req = http.get(`${hob.url}/v1/apps/talk/functions/f/logs?follow=1&tail=50`, { headers: { authorization: `Bearer ${hob.token}` } }, (res) => {
    let rest = "";
    res.on("data", (d) => {
      const all = (rest + d).split("\n");
      rest = all.pop();
      lines.push(...all.map((l) => JSON.parse(l)));
    });
    res.on("error", () => {});
  });
  req.on("error", () => {});
  await until(() => lines.some((l) => l.text === "said ?before"), "the line before", 3000);
  for (let i = 0; i < 20; i++) await hob.call(`/fn/talk/f?n${i}`);
  await until(() => lines.some((l) => l.text === "said ?n19"), "the last line", 3000);
  assert.deepEqual(lines.filter((l) => /^said \?n/.test(l.text)).map((l) => l.text), Array.from({ length: 20 }, (_, i) => `said ?n${i}`));
  req.destroy();
});
