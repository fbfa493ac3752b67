// A change of variables or secrets alone, of a server with a config hook: told to the containers (and sandboxes) that run,
// which go on; one whose hook does not take it is replaced.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

if (unavailable) console.log(`# NOT TESTED on docker: ${unavailable}`);
let docker, hob;
before(async () => {
  if (!unavailable) docker = await Dockerd.start();
  hob = await Daemon.start({ env: docker ? { HOB_DOCKER_HOST: `unix://${docker.socket}` } : {} });
  if (docker) await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine");
});
after(async () => {
  try {
    await hob?.close();
    await docker?.isEmpty();
  } finally {
    await docker?.close();
  }
});

/** Says who it is and which configurations it was told; refuses one that says so. */
const SERVER = `import http from 'node:http';
const told = [];
http.createServer(async (q, s) => {
  let text = ''; for await (const d of q) text += d;
  if (q.url === '/_cfg') {
    const c = JSON.parse(text);
    told.push([c.version, c.vars.COLOUR, c.secrets.KEY]);
    s.writeHead(c.vars.COLOUR === 'refused' && told.length > 1 ? 500 : 204).end();
    return;
  }
  const wait = Number(new URL(q.url, 'http://x').searchParams.get('wait') ?? 0);
  setTimeout(() => s.end(JSON.stringify({ pid: process.pid, told })), wait);
}).listen(Number(process.env.PORT));`;
const config = (engine) => ({ engine, entry: "index.mjs", kind: "http", concurrency: 10, config_hook: "/_cfg", vars: { COLOUR: "green" }, secrets: ["KEY"], queue_timeout_ms: 60000 });
const instances = async (app) => (await hob.api("GET", `/v1/instances?app=${app}&function=f`)).json.instances;
const only = async (app) => {
  let seen;
  await until(async () => (seen = await instances(app)).length === 1 && seen[0].state !== "initialising", () => `one instance of ${app}: ${JSON.stringify(seen)}`);
  return seen[0];
};
const ask = async (app, where = "") => {
  const answer = await hob.call(`/fn/${app}/f/${where}`);
  assert.equal(answer.status, 200, answer.text + JSON.stringify(await hob.logs(app, "f")));
  return answer.json ?? JSON.parse(answer.text);
};
const setEnv = (app, set) => hob.api("PATCH", `/v1/apps/${app}/functions/f/env`, { set });

for (const engine of ["sandbox", "docker"]) {
  const it = (name, fn) => test(`${engine}: ${name}`, { skip: engine === "docker" ? unavailable : false, timeout: 120000 }, fn);

  it("a secret and a variable that change are told to the instance, which goes on", async () => {
    const app = `goes-${engine}`;
    assert.equal((await hob.api("PUT", `/v1/apps/${app}/secrets/KEY`, { value: "one" })).status, 200);
    await hob.deploy(app, { f: config(engine) }, { "index.mjs": SERVER });
    const first = await ask(app);
    assert.deepEqual(first.told, [[1, "green", "one"]]);
    const { id } = await only(app);
    const slow = ask(app, "?wait=700"); // it is finished before the change is told
    await until(async () => (await instances(app))[0].in_flight === 1, "the slow one to run");
    assert.equal((await hob.api("PUT", `/v1/apps/${app}/secrets/KEY`, { value: "two" })).status, 200);
    assert.equal((await slow).told.length, 1);
    await until(async () => (await ask(app)).told.length === 2, "the hook to be told");
    assert.equal((await setEnv(app, { COLOUR: "blue" })).status, 200);
    await until(async () => (await ask(app)).told.length === 3, "the hook to be told again");
    const last = await ask(app);
    assert.deepEqual(last.told, [[1, "green", "one"], [1, "green", "two"], [2, "blue", "two"]]);
    assert.deepEqual([last.pid, (await only(app)).id, (await only(app)).version], [first.pid, id, 2], "the same instance, of the new version");
    assert.ok((await hob.logs(app, "f")).some((l) => l.stream === "platform" && /the config hook was told/.test(l.text)));
  });

  it("a frozen instance is told, too", async () => {
    const app = `goes-${engine}`, { id } = await only(app);
    await until(async () => (await instances(app))[0].state === "frozen", "it to be frozen", 60000);
    assert.equal((await hob.api("PUT", `/v1/apps/${app}/secrets/KEY`, { value: "three" })).status, 200);
    await until(async () => (await ask(app)).told.at(-1)[2] === "three", "the hook to be told");
    assert.equal((await only(app)).id, id);
  });

  it("one whose hook refuses is replaced, and nobody is refused for it", async () => {
    const app = `goes-${engine}`, { id } = await only(app);
    assert.equal((await setEnv(app, { COLOUR: "refused" })).status, 200);
    const next = await ask(app);
    assert.deepEqual(next.told, [[3, "refused", "three"]], "a fresh one, told at its start");
    await until(async () => (await instances(app)).every((i) => i.id !== id), "the old one to go");
    assert.ok((await hob.logs(app, "f")).some((l) => l.stream === "platform" && /config hook \/_cfg answered 500/.test(l.text)));
  });

  it("without a hook, and with other code, instances are replaced as ever", async () => {
    const app = `other-${engine}`;
    const { config_hook, secrets, ...bare } = config(engine);
    await hob.deploy(app, { f: bare }, { "index.mjs": SERVER });
    await ask(app);
    const before = (await only(app)).id;
    assert.equal((await setEnv(app, { COLOUR: "blue" })).status, 200);
    await ask(app);
    await until(async () => (await instances(app)).every((i) => i.id !== before && i.version === 2), "another instance");
    await hob.deploy(app, { f: { ...bare, config_hook } }, { "index.mjs": `${SERVER}\n` });
    assert.equal((await ask(app)).told.length, 1);
    await until(async () => (await instances(app)).every((i) => i.version === 3), "another instance");
  });
}
