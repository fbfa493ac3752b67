// Functions of kind http that take over their connection: WebSockets by an unmodified Express app with the library ws, and
// rougher protocols by raw bytes, in real sandboxes.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, project, ROOT, sleep, until } from "../e2e/harness.mjs";
import { noNpm, NPM } from "./npm.mjs";
import { asking, dial, got, open, upgradeTests } from "./upgrades.mjs";

const FUNCTIONS = {
  chat: { entry: "websocket.js", kind: "http", concurrency: 64, memory_mb: 256, timeout_ms: 2000, scale: { max: 1 } },
  one: { entry: "websocket.js", kind: "http", concurrency: 1, memory_mb: 256, queue_timeout_ms: 1500, scale: { max: 1 } },
  plain: { entry: "plain.mjs" },
};
let hob, dir;

before(async () => {
  if (noNpm) return;
  hob = await Daemon.start();
  dir = project({ "hob.json": { app: "shop", functions: FUNCTIONS },
    "websocket.js": fs.readFileSync(path.join(ROOT, "tests/http_kind/servers/websocket.js")),
    "plain.mjs": "export default { fetch: (q) => Response.json(Object.fromEntries(q.headers)) };\n" });
  fs.cpSync(path.join(NPM, "node_modules"), path.join(dir, "node_modules"), { recursive: true, verbatimSymlinks: true });
  const done = hob.cli(["deploy", dir]);
  assert.equal(done.code, 0, done.err);
});
after(async () => {
  await hob?.close();
  if (dir) fs.rmSync(dir, { recursive: true, force: true });
});

describe("upgraded connections in a sandbox", { skip: noNpm ?? false }, () => {
  upgradeTests(() => hob, "/fn/shop/chat");

  test("other kinds of functions refuse a WebSocket and say why, and answer other upgrades as HTTP/1.1", async () => {
    await assert.rejects(open(`ws://127.0.0.1:${hob.port}/fn/shop/plain`), { status: 501 });
    const s = dial(hob.port, asking("/fn/shop/plain", { protocol: "websocket" }));
    assert.match(await s.until("request_id"), /501 Not Implemented[^]*"upgrade_unsupported"/);
    s.destroy();
    const other = dial(hob.port, asking("/fn/shop/plain"));
    assert.match(await other.until("\r\n\r\n{"), /^HTTP\/1\.1 200 OK\r\n/);
    other.destroy();
  });

  test("an upgraded connection keeps its slot: with one slot, the next request waits in vain", { timeout: 120000 }, async () => {
    const s = await open(`ws://127.0.0.1:${hob.port}/fn/shop/one/ws`);
    const refused = await hob.call("/fn/shop/one/");
    assert.equal(refused.status, 503);
    assert.equal(refused.json.reason, "queue_timeout");
    s.close();
    await s.closed;
    await until(async () => (await hob.call("/fn/shop/one/")).status === 200, "the slot to be free");
  });

  test("a program that ends takes its connections with it, and the next request has a new one", async () => {
    const s = dial(hob.port, asking("/fn/shop/chat/raw/exit"));
    await s.until("bye");
    assert.ok(["end", "ECONNRESET"].includes(await s.ended));
    s.destroy();
    await until(async () => (await hob.call("/fn/shop/chat/")).text === "hello", "a new instance");
  });

  test("a deploy asks the old version's connections to end: the program closes its WebSockets with 1001", { timeout: 120000 }, async () => {
    const s = await open(`ws://127.0.0.1:${hob.port}/fn/shop/chat/ws`);
    s.send("before");
    assert.deepEqual(await got(s, 1), ["before"]);
    const slow = hob.call("/fn/shop/chat/slow?ms=1000"); // what is under way is finished first
    await sleep(100);
    fs.appendFileSync(path.join(dir, "websocket.js"), "\n// changed\n");
    const done = hob.cli(["deploy", dir]);
    assert.equal(done.code, 0, done.err);
    assert.equal((await slow).text, "late");
    assert.deepEqual(await s.closed, { code: 1001, reason: "going away" });
    const next = await open(`ws://127.0.0.1:${hob.port}/fn/shop/chat/ws`);
    next.close();
    await next.closed;
  });

  test("hobd's own end does not wait for connections that have none: they are closed with 1001", { timeout: 120000 }, async () => {
    const s = await open(`ws://127.0.0.1:${hob.port}/fn/shop/chat/ws`);
    const closing = hob.close();
    assert.equal((await s.closed).code, 1001);
    const ended = await Promise.race([hob.ended.then(() => true), sleep(8000)]);
    await closing;
    hob = undefined;
    assert.ok(ended, "hobd waited for its grace to end");
  });
});
