// What a server that takes over its connection must find through Hob, whatever engine runs it. `hob()` is the daemon,
// `where` the function ("/fn/shop/chat") that servers/websocket.js is deployed as.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { sleep, until } from "../e2e/harness.mjs";
import { NPM } from "./npm.mjs";

/** The client of the library ws. */
export const WebSocket = () => createRequire(path.join(NPM, "package.json"))("ws");

export function open(url, options = {}) {
  return new Promise((resolve, reject) => {
    const s = new (WebSocket())(url, options);
    s.inbox = [];
    s.closed = new Promise((done) => s.on("close", (code, reason) => done({ code, reason: String(reason) })));
    s.on("message", (data, isBinary) => s.inbox.push(isBinary ? data : String(data)));
    s.on("open", () => resolve(s)).on("error", reject);
    s.on("unexpected-response", (req, res) => reject(Object.assign(new Error(`status ${res.statusCode}`), { status: res.statusCode })));
  });
}
export const got = (s, n) => until(() => s.inbox.length >= n && s.inbox.splice(0, n), `${n} messages`, 20000);

/** A raw client: what it sends is bytes, what comes is collected. */
export function dial(port, text, { allowHalfOpen = true } = {}) {
  const s = net.connect({ port, host: "127.0.0.1", allowHalfOpen });
  s.got = Buffer.alloc(0);
  s.on("data", (d) => { s.got = Buffer.concat([s.got, d]); });
  s.ended = new Promise((done) => s.on("end", () => done("end")).on("error", (e) => done(e.code)));
  s.gone = new Promise((done) => s.on("close", done));
  s.write(text);
  s.until = (what, ms) => until(() => s.got.toString("latin1").includes(what) && s.got.toString("latin1"), `the raw client to get ${JSON.stringify(what)}, not ${JSON.stringify(s.got.toString("latin1").slice(0, 500))}`, ms);
  return s;
}
export const asking = (target, { protocol = "raw", more = "", method = "GET" } = {}) =>
  `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${more}\r\n`;

export function upgradeTests(hob, where) {
  const ws = (target, options) => open(`${hob().url.replace("http", "ws")}${where}${target}`, options);
  const raw = (name, behind = "") => dial(hob().port, asking(`${where}/raw/${name}`) + behind);
  const seen = async () => (await hob().call(`${where}/seen`)).json;

  test("a WebSocket opens, carries text and bytes of many sizes both ways, and closes with the client's code", { timeout: 60000 }, async () => {
    const s = await ws("/ws?room=1");
    s.send("path");
    assert.deepEqual(await got(s, 1), ["/ws?room=1"]);
    for (const n of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
      const bytes = Buffer.alloc(n, n % 251);
      s.send(bytes);
      assert.ok((await got(s, 1))[0].equals(bytes), `${n} bytes`);
    }
    s.close(4000, "done");
    assert.equal((await s.closed).code, 4000);
    await until(async () => (await seen()).closed.includes(4000), "the server to hear of the close");
  });

  test("the server closes with its own code, and a ping is answered", async () => {
    const s = await ws("/ws");
    const pong = new Promise((done) => s.on("pong", (data) => done(String(data))));
    s.ping("there?");
    assert.equal(await pong, "there?");
    s.send("close");
    assert.deepEqual(await s.closed, { code: 4001, reason: "as you wish" });
  });

  test("compression that both ends agree on is theirs", async () => {
    const s = await ws("/ws", { perMessageDeflate: true });
    assert.match(s.extensions, /permessage-deflate/);
    s.send("z".repeat(100000));
    assert.equal((await got(s, 1))[0].length, 100000);
    s.close();
    await s.closed;
  });

  test("twenty WebSockets at a time carry each its own", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ws("/ws")));
    all.forEach((s, i) => s.send(`I am ${i}`));
    for (const [i, s] of all.entries()) assert.deepEqual(await got(s, 1), [`I am ${i}`]);
    all.forEach((s) => s.close());
    await Promise.all(all.map((s) => s.closed));
  });

  test("a client that vanishes is noticed by the server, and its slot comes back", async () => {
    const s = await ws("/ws");
    await until(async () => (await seen()).open >= 1, "the server to have it");
    s.terminate();
    await until(async () => (await seen()).open === 0, "the server to notice");
    await until(async () => (await hob().api("GET", "/v1/top")).json.functions?.every?.((f) => f.in_flight <= 1) ?? true, "the slot");
  });

  test("bytes that came behind the request are the first that the server reads", async () => {
    const s = raw("echo", "early bytes");
    const text = await s.until("early bytes");
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    assert.match(text, /\r\nConnection: Upgrade\r\n/i);
    assert.match(text, /\r\nUpgrade: raw\r\n/i);
    assert.match(text, /\r\nX-Mine: yes\r\n/i);
    assert.doesNotMatch(text, /content-length|transfer-encoding/i);
    s.write("\0\r\n\xff more");
    await s.until("more");
    s.end();
    assert.equal(await s.ended, "end");
  });

  test("either side ends its direction alone: the other one lives on", async () => {
    const before = await seen();
    const first = raw("first");
    await first.until("all I say");
    assert.equal(await first.ended, "end");
    first.write("x".repeat(100000));
    await until(async () => (await seen()).bytes === before.bytes + 100000, "the server to have read on");
    first.end();
    await until(async () => (await seen()).ended === before.ended + 1, "the server to read the end");
    const last = raw("last");
    await last.until("\r\n\r\n");
    last.end("y".repeat(300000));
    assert.match(await last.until("got "), /got 300000$/);
    assert.equal(await last.ended, "end");
  });

  test("a client that does not read holds the server back, and nobody's memory grows", { timeout: 60000 }, async () => {
    const s = raw("source");
    s.on("connect", () => s.pause());
    s.pause();
    let before = -1, bytes = 0;
    await until(async () => { before = bytes; bytes = (await seen()).bytes; await sleep(200); return bytes > 0 && bytes === before; }, "the server to be held back", 30000);
    assert.ok(bytes < 128 << 20, `${bytes} bytes are on their way`);
    s.resume();
    await until(async () => (await seen()).bytes > bytes, "the server to go on");
    const closed = (await seen()).rawClosed ?? 0;
    s.destroy();
    await until(async () => ((await seen()).rawClosed ?? 0) > closed, "the server to be told");
  });

  test("a server that does not read holds the client back", { timeout: 60000 }, async () => {
    const s = raw("deaf");
    await s.until("\r\n\r\n");
    const block = Buffer.alloc(65536);
    let sent = 0, stuck = 0;
    while (stuck < 10) {
      if (s.writableLength > 4 * block.length) { stuck++; await sleep(50); continue; }
      stuck = 0;
      s.write(block);
      sent += block.length;
      assert.ok(sent < 256 << 20, "the server never held it back");
      await new Promise(setImmediate);
    }
    await hob().call(`${where}/listen`);
    await until(() => s.writableLength === 0, "the rest to be taken");
    s.end();
    assert.equal(await s.ended, "end");
  });

  test("ten megabytes each way at the same time arrive whole", { timeout: 60000 }, async () => {
    const s = raw("echo");
    await s.until("\r\n\r\n");
    const n = 10 << 20, block = Buffer.alloc(65536, 0x62);
    let back = 0;
    s.removeAllListeners("data");
    s.on("data", (d) => { back += d.length; });
    for (let at = 0; at < n; at += block.length) if (!s.write(block)) await new Promise((done) => s.once("drain", done));
    s.end();
    await s.ended;
    assert.equal(back, n);
  });

  test("a server that breaks the connection off breaks the client's off", async () => {
    const s = raw("reset");
    await s.until("and");
    assert.equal(await s.ended, "ECONNRESET");
    s.destroy();
  });

  test("a refusal by the server is an ordinary answer, and the connection goes on", async () => {
    const s = raw("refuse", `GET ${where}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const text = await s.until("hello");
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n/);
    assert.match(text, /no(HTTP\/1\.1 200 OK\r\n)/);
    await s.ended;
    s.destroy();
    await assert.rejects(ws("/raw/refuse"), { status: 403 });
  });

  test("a switch to another protocol than asked for, or one with a body, is a 502", async () => {
    for (const name of ["wrong", "injected"]) {
      const s = raw(name);
      assert.match(await s.until("request_id"), /^HTTP\/1\.1 502 /, name);
      s.destroy();
    }
  });

  test("what may not be taken up is answered as HTTP/1.1: h2c, HTTP/1.0, a request with a body, a list", async () => {
    const requests = {
      h2c: asking(`${where}/headers`, { protocol: "h2c", more: "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" }),
      "HTTP/2.0": asking(`${where}/headers`, { protocol: "HTTP/2.0" }),
      "TLS/1.0": asking(`${where}/headers`, { protocol: "TLS/1.0" }),
      "a list": asking(`${where}/headers`, { protocol: "websocket, h2c" }),
      "two fields": asking(`${where}/headers`, { more: "Upgrade: h2c\r\n" }),
      "HTTP/1.0": asking(`${where}/headers`).replace("HTTP/1.1", "HTTP/1.0"),
      "a body": `${asking(`${where}/headers`, { more: "Content-Length: 4\r\n" })}body`,
      "a chunked body": `${asking(`${where}/headers`, { more: "Transfer-Encoding: chunked\r\n" })}0\r\n\r\n`,
      "not named by Connection": asking(`${where}/headers`).replace("Connection: Upgrade", "Connection: keep-alive"),
    };
    for (const [name, bytes] of Object.entries(requests)) {
      const s = dial(hob().port, bytes);
      const text = await s.until("\r\n\r\n{");
      assert.match(text, /^HTTP\/1\.1 200 OK\r\n/, name);
      assert.doesNotMatch(text.slice(text.indexOf("\r\n\r\n")), /upgrade|http2-settings/i, name);
      s.destroy();
    }
  });

  test("a request smuggled behind a refused one is judged like any other", async () => {
    const s = raw("refuse", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert.match(await s.until("bad_content_length"), /403 Forbidden[^]*HTTP\/1\.1 400 /);
    await s.ended;
    s.destroy();
  });

  test("the deadline of a request ends with its 101", { timeout: 30000 }, async () => {
    const s = await ws("/ws");
    await sleep(2500); // timeout_ms is 2000
    s.send("still here");
    assert.deepEqual(await got(s, 1), ["still here"]);
    s.close();
    await s.closed;
  });
}
