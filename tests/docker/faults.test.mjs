// Other ways to Docker, and ways in which it fails that recovery.test.mjs has not: TLS with client certificates, a disk that
// is full, a connection that is half dead, and containers that are paused and woken in each other's way.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, HELLO, project, sleep, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
const it = (name, fn) => test(name, { skip: unavailable, timeout: 120000 }, fn);
const DISK_MB = 900;
let docker, smallDisk;
const engineOf = async (hob) => (await hob.api("GET", "/v1/engines")).json.engines.find((e) => e.name === "docker");
const up = (hob) => until(async () => (await engineOf(hob)).state === "up", "the engine to be up", 30000);
const js = (hob, app, text = HELLO) => hob.deployOne(app, "f", "index.mjs", text, { engine: "docker", queue_timeout_ms: 20000 });

before(async () => {
  if (unavailable) return;
  try {
    docker = await Dockerd.start({ tls: true, dataMegabytes: DISK_MB });
  } catch (error) {
    if (!/no small disk/.test(error.message)) throw error;
    smallDisk = error.message;
    docker = await Dockerd.start({ tls: true });
  }
});
after(() => docker?.close());

it("Docker over TLS: with a certificate it works, with a stranger's it is refused, and the reason is shown", async () => {
  const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: docker.tcp, HOB_DOCKER_CERT_PATH: docker.certs } });
  try {
    await up(hob);
    const ls = hob.cli(["engine", "ls"]);
    assert.match(ls.out, /docker\s+up\s+Docker .*tcp:\/\/127\.0\.0\.1/);
    await js(hob, "secure");
    assert.equal((await hob.call("/fn/secure/f")).text, "hello\n", JSON.stringify(await hob.logs("secure", "f")));
    assert.equal(hob.cli(["engine", "test", "docker"]).code, 0);
  } finally {
    await hob.close();
  }
  await docker.isEmpty();
  for (const [certs, words] of [[docker.strangers, /certificate|alert|connection to Docker failed/i], [path.join(docker.dir, "none"), /cert|pem|connection to Docker failed/i]]) {
    const other = await Daemon.start({ env: { HOB_DOCKER_HOST: docker.tcp, HOB_DOCKER_CERT_PATH: certs } });
    try {
      await until(async () => (await engineOf(other)).state === "down", "the engine to be seen down", 15000);
      assert.match((await engineOf(other)).reason, words);
      await js(other, "refused").catch(() => {});
      assert.equal((await other.call("/fn/refused/f")).json.reason, "engine_unavailable");
      assert.ok((await other.api("GET", "/v1/doctor")).json.checks.some((c) => c.name === "docker" && c.status === "warn"));
    } finally {
      await other.close();
    }
  }
});

it("a connection to Docker that takes everything and says nothing is given up, and a later one works", async () => {
  const held = new Set();
  let isDeaf = false;
  const socket = path.join(docker.dir, "between.sock");
  const between = net.createServer((c) => {
    held.add(c);
    c.on("error", () => {}).on("close", () => held.delete(c));
    const d = net.connect(docker.socket).on("error", () => c.destroy());
    c.on("data", (bytes) => { if (!isDeaf) d.write(bytes); });
    d.on("data", (bytes) => { if (!isDeaf) c.write(bytes); });
    c.on("end", () => d.end());
    d.on("end", () => { if (!isDeaf) c.end(); });
  }).listen(socket);
  await until(() => fs.existsSync(socket), "our socket");
  fs.chmodSync(socket, 0o666);
  const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${socket}` } });
  try {
    await up(hob);
    await js(hob, "half");
    assert.equal((await hob.call("/fn/half/f")).text, "hello\n");
    isDeaf = true;
    await until(async () => (await engineOf(hob)).state === "down", "the engine to be seen down", 30000);
    assert.match((await engineOf(hob)).reason, /hangs|did not answer/);
    assert.equal((await hob.call("/fn/half/f")).text, "hello\n", "what runs, answers");
    await hob.deployOne("near", "f", "index.mjs", HELLO);
    assert.equal((await hob.call("/fn/near/f")).text, "hello\n");
    isDeaf = false;
    for (const c of held) c.destroy();
    await up(hob);
    await js(hob, "again");
    assert.equal((await hob.call("/fn/again/f")).text, "hello\n");
  } finally {
    isDeaf = false;
    await hob.close();
    between.close();
    for (const c of held) c.destroy();
  }
  await docker.isEmpty();
});

it("an idle instance is paused, and the next request wakes it, also right behind the pausing", async () => {
  const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}`, HOB_FREEZE_MS: "30" } });
  try {
    await up(hob);
    await hob.deployOne("naps", "f", "index.mjs", HELLO, { engine: "docker", queue_timeout_ms: 20000, scale: { max: 1 } });
    assert.equal((await hob.call("/fn/naps/f")).text, "hello\n");
    const instance = async () => (await docker.containers()).find((c) => c.Labels["hob.app"] === "naps" && c.Labels["hob.role"] === "instance" && c.State === "paused");
    const first = await until(instance, "the instance to be paused", 15000);
    for (let i = 0; i < 60; i++) {
      const answer = await hob.call("/fn/naps/f", { headers: { "x-hob-timing": "1" } });
      assert.equal(answer.text, "hello\n", answer.text + JSON.stringify(await hob.logs("naps", "f")));
      await sleep(24 + (i % 16)); // around the moment at which it is paused
    }
    await until(instance, "it to be paused again", 15000);
    assert.equal((await until(instance, "it to be paused", 15000)).Id, first.Id, "it is the same instance all the time");
    await docker.api("POST", `/containers/${first.Id}/unpause`); // behind our back: what is true is asked
    assert.equal((await hob.call("/fn/naps/f")).text, "hello\n");
  } finally {
    await hob.close();
  }
  await docker.isEmpty();
});

it("Docker's disk is full: deploys and starts say so, what runs goes on, and with room again all works", async (t) => {
  if (smallDisk) {
    console.log(`# NOT TESTED: ${smallDisk}`);
    t.skip(smallDisk);
    return;
  }
  const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}`, HOB_FREEZE_MS: "0" } });
  const ballast = path.join(docker.dir, "data/ballast");
  const folder = project({ "hob.json": { app: "built", functions: { f: { engine: "docker", dockerfile: "Dockerfile" } } }, Dockerfile: "FROM scratch\nCOPY big /big\n",
    big: Buffer.alloc(1 << 20, "not so small ") });
  try {
    await up(hob);
    await js(hob, "runs");
    assert.equal((await hob.call("/fn/runs/f")).text, "hello\n");
    const fd = fs.openSync(ballast, "w");
    const block = Buffer.alloc(1 << 20, 1);
    try {
      for (;;) fs.writeSync(fd, block);
    } catch (error) {
      assert.equal(error.code, "ENOSPC");
    } finally {
      fs.closeSync(fd);
    }
    const refused = hob.cli(["deploy", folder]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /no space left/i);
    assert.equal((await hob.call("/fn/runs/f")).text, "hello\n", "what runs, answers");
    await hob.deployOne("near", "f", "index.mjs", HELLO);
    assert.equal((await hob.call("/fn/near/f")).text, "hello\n", "sandboxes do not notice");
    fs.rmSync(ballast);
    await up(hob);
    await js(hob, "after");
    await until(async () => (await hob.call("/fn/after/f")).text === "hello\n", "a new function to start", 30000);
  } finally {
    fs.rmSync(ballast, { force: true });
    fs.rmSync(folder, { recursive: true, force: true });
    await hob.close();
  }
});
