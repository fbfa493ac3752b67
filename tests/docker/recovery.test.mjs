// A Docker Engine that dies, hangs, restarts or was never there; and what a killed runner leaves.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, HELLO, Load, childNamed, sleep, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
const it = (name, fn) => test(name, { skip: unavailable }, fn);
let docker, hob, neighbour;
before(async () => {
  if (unavailable) return;
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
  await isUp();
  await hob.deployOne("near", "f", "index.mjs", HELLO, { concurrency: 4 });
  assert.equal((await hob.call("/fn/near/f")).text, "hello\n");
  neighbour = new Load(`${hob.url}/fn/near/f`, { clients: 2, pause: 5 });
  const built = hob.cli(["runtime", "build", "node"]);
  assert.equal(built.code, 0, built.err);
  assert.match(built.out, /^sha256:[0-9a-f]{64} built$/m);
});
after(async () => {
  if (unavailable) return;
  try {
    await neighbour.stop();
    await hob.close();
    assert.deepEqual(neighbour.failures, [], "the sandbox's functions never noticed");
  } finally {
    await docker.close();
  }
});
const engine = async () => (await hob.api("GET", "/v1/engines")).json.engines.find((e) => e.name === "docker");
const isUp = () => until(async () => (await engine()).state === "up", "the engine to be up", 15000);
const isDown = () => until(async () => (await engine()).state === "down", "the engine to be seen down", 15000);
const fresh = (app) => hob.deployOne(app, "f", "index.mjs", HELLO, { engine: "docker" });
const works = (app) => until(async () => (await hob.call(`/fn/${app}/f`)).text === "hello\n", `${app} to answer`, 15000);

it("the engine can be listed and tested by name", async () => {
  const ls = hob.cli(["engine", "ls"]);
  assert.equal(ls.code, 0, ls.err);
  assert.match(ls.out, /docker +up +Docker [0-9.]+/);
  assert.match(ls.out, /sandbox +up/);
  const tested = hob.cli(["engine", "test", "docker"]);
  assert.equal(tested.code, 0, tested.err);
  assert.match(tested.out, /docker works: a container started in \d+ ms/);
  assert.equal(hob.cli(["engine", "test", "sandbox"]).code, 0);
  assert.notEqual(hob.cli(["engine", "test", "podmann"]).code, 0);
  const again = hob.cli(["runtime", "build", "node"]);
  assert.match(again.out, /was there/);
  const none = hob.cli(["runtime", "build", "nodee"]);
  assert.notEqual(none.code, 0);
  assert.match(none.err, /no runtime 'nodee'/);
});

it("dockerd is killed: new starts say so at once, what runs goes on or ends cleanly, and it recovers by itself", async () => {
  await fresh("killed");
  await works("killed");
  await docker.kill("SIGKILL");
  await isDown();
  await fresh("while-down");
  const began = performance.now();
  const answer = await hob.call("/fn/while-down/f");
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.json.reason, "engine_unavailable");
  assert.ok(performance.now() - began < 3000);
  assert.equal((await hob.call("/fn/killed/f")).text, "hello\n", "an instance needs no dockerd to answer");
  const doctor = (await hob.api("GET", "/v1/doctor")).json.checks.find((c) => c.name === "docker");
  assert.equal(doctor.status, "warn");
  assert.match(doctor.text, /apt-get install docker\.io|start it|closed its stream|connect/);
  const tested = hob.cli(["engine", "test", "docker"]);
  assert.notEqual(tested.code, 0);
  assert.match(tested.err, /docker engine is not available/);
  await docker.launch();
  await isUp();
  await works("while-down");
  await works("killed");
});

it("dockerd hangs: it is seen, said, and forgotten when it wakes", async () => {
  await fresh("hangs");
  await works("hangs");
  docker.hang();
  try {
    assert.equal((await hob.call("/fn/hangs/f")).text, "hello\n");
    await fresh("cold-while-hung");
    await isDown();
    const answer = await hob.call("/fn/cold-while-hung/f");
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.json.reason, "engine_unavailable");
    assert.match((await engine()).reason, /answer/);
  } finally {
    docker.resume();
  }
  await isUp();
  await works("cold-while-hung");
});

it("dockerd is restarted in an orderly way: functions come back", async () => {
  await fresh("restarts");
  await works("restarts");
  await docker.kill("SIGTERM");
  await isDown();
  await docker.launch();
  await isUp();
  await works("restarts");
});

it("a container is removed behind our back: the next call gets another", async () => {
  await fresh("removed");
  await works("removed");
  for (const c of (await docker.containers()).filter((c) => c.Labels["hob.app"] === "removed"))
    await docker.api("DELETE", `/containers/${c.Id}?force=1`);
  await works("removed");
});

it("a stopped function's containers go away", async () => {
  await fresh("goes");
  await works("goes");
  await hob.api("DELETE", "/v1/apps/goes");
  await until(async () => {
    const left = (await docker.containers()).filter((c) => c.Labels["hob.app"] === "goes" && c.Labels["hob.role"] === "instance");
    return left.length <= 1; // one may be kept ahead for a while
  }, "its containers to go", 10000);
});

it("the runner is killed: its containers end, and the next runner sweeps what is left", async () => {
  await fresh("swept");
  await works("swept");
  const before = (await docker.containers()).filter((c) => c.State === "running").map((c) => c.Id);
  assert.ok(before.length > 0);
  process.kill(await until(() => childNamed(hob.pid, "hob-runner"), "a runner"), "SIGKILL");
  await neighbour.stop(); // its sandboxes are gone with the runner: that is another test's matter
  await until(async () => !(await docker.containers()).some((c) => before.includes(c.Id)), "the old containers to be gone", 15000);
  await until(async () => (await hob.call("/fn/near/f")).text === "hello\n", "the sandbox's function", 15000);
  neighbour = new Load(`${hob.url}/fn/near/f`, { clients: 2, pause: 5 });
  await isUp();
  await works("swept");
});

it("without any Docker everything deploys, and calls say what to install", async () => {
  const lonely = await Daemon.start({ env: { HOB_DOCKER_HOST: "unix:///nonexistent/docker.sock" } });
  try {
    await lonely.deployOne("later", "f", "index.mjs", HELLO, { engine: "docker" });
    const answer = await lonely.call("/fn/later/f");
    assert.equal(answer.status, 503);
    assert.equal(answer.json.reason, "engine_unavailable");
    assert.ok((await lonely.logs("later", "f")).some((l) => /docker engine is not available/.test(l.text)));
    const doctor = (await lonely.api("GET", "/v1/doctor")).json.checks.find((c) => c.name === "docker");
    assert.equal(doctor.status, "warn");
    assert.match(doctor.text, /apt-get install docker\.io/);
    await lonely.deployOne("now", "f", "index.mjs", HELLO);
    assert.equal((await lonely.call("/fn/now/f")).text, "hello\n");
  } finally {
    await lonely.close();
  }
});

it("a socket that hob may not open is named, with what to do", async () => {
  const { chownSync, chmodSync } = await import("node:fs");
  const closed = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` }, prepare: () => { chownSync(docker.socket, 0, 0); chmodSync(docker.socket, 0o600); } });
  try {
    await sleep(300);
    const doctor = (await closed.api("GET", "/v1/doctor")).json.checks.find((c) => c.name === "docker");
    assert.equal(doctor.status, "warn");
    assert.match(doctor.text, /Permission denied.*usermod -aG docker hob/);
  } finally {
    chmodSync(docker.socket, 0o660);
    chownSync(docker.socket, docker.uid, 0);
    await closed.close();
  }
});
