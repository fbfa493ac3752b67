// Functions of kind http that take over their connection, in containers: what tests/http_kind/websocket.test.mjs asks of
// sandboxes, and the ends that only an engine can bring.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, project, ROOT, until } from "../e2e/harness.mjs";
import { noNpm, NPM } from "../http_kind/npm.mjs";
import { asking, dial, got, open, upgradeTests } from "../http_kind/upgrades.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

const skip = unavailable ?? noNpm ?? false;
if (skip) console.log(`# NOT TESTED: ${skip}`);
const FUNCTIONS = { chat: { entry: "websocket.js", kind: "http", engine: "docker", concurrency: 64, memory_mb: 256, timeout_ms: 2000, queue_timeout_ms: 30000, scale: { max: 1 } } };
let docker, hob, dir;

before(async () => {
  if (skip) return;
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
  await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine", 20000);
  assert.equal((await hob.api("POST", "/v1/runtimes/node/image")).status, 200);
  dir = project({ "hob.json": { app: "shop", functions: FUNCTIONS }, "websocket.js": fs.readFileSync(path.join(ROOT, "tests/http_kind/servers/websocket.js")) });
  fs.cpSync(path.join(NPM, "node_modules"), path.join(dir, "node_modules"), { recursive: true, verbatimSymlinks: true });
  const done = hob.cli(["deploy", dir], { timeout: 120000 });
  assert.equal(done.code, 0, done.err);
});
after(async () => {
  try {
    await hob?.close();
    await docker?.isEmpty();
  } finally {
    await docker?.close();
    if (dir) fs.rmSync(dir, { recursive: true, force: true });
  }
});

describe("upgraded connections in a container", { skip }, () => {
  upgradeTests(() => hob, "/fn/shop/chat");

  test("a program that ends takes its connections with it, and the next request has a new one", { timeout: 60000 }, async () => {
    const s = dial(hob.port, asking("/fn/shop/chat/raw/exit"));
    await s.until("bye");
    assert.ok(["end", "ECONNRESET"].includes(await s.ended));
    s.destroy();
    // the connection may end before Hob hears that the container did; what is sent there meanwhile is a 502
    await until(async () => (await hob.call("/fn/shop/chat/")).status === 200, "an answer of the next");
  });

  test("a WebSocket that idles is not paused: it answers after a silence", { timeout: 60000 }, async () => {
    const s = await open(`ws://127.0.0.1:${hob.port}/fn/shop/chat/ws`);
    await new Promise((done) => setTimeout(done, 3000)); // an idle instance would have been paused long ago
    assert.ok(!(await docker.containers()).some((c) => c.State === "paused" && c.Labels["hob.role"] === "instance"), "it is not idle");
    s.send("still there");
    assert.deepEqual(await got(s, 1), ["still there"]);
    s.close();
    await s.closed;
  });

  test("a container removed from outside breaks its connections off, and the next request has another", { timeout: 60000 }, async () => {
    const s = await open(`ws://127.0.0.1:${hob.port}/fn/shop/chat/ws`);
    for (const c of (await docker.containers()).filter((one) => one.Labels["hob.role"] === "instance")) await docker.api("DELETE", `/containers/${c.Id}?force=1`);
    assert.notEqual((await s.closed).code, 1000);
    await until(async () => (await hob.call("/fn/shop/chat/")).status === 200, "another instance", 30000);
  });
});
