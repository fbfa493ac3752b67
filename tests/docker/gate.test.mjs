// HOB_BINDINGS_URL in containers: what tests/bindings/gate.test.mjs asks of sandboxes, and an image with a server of its own.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, until } from "../e2e/harness.mjs";
import { deployGate, gateTests, hostileGateTests } from "../bindings/gate.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";

if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
let docker, world;
before(async () => {
  if (unavailable) return;
  docker = await Dockerd.start();
  const hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
  world = { hob };
  await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine", 20000);
  for (const name of ["node", "python", "php", "c"]) await hob.api("POST", `/v1/runtimes/${name}/image`); // ahead, so that nobody waits for it
  world = await deployGate(hob, "docker");
});
after(async () => {
  if (unavailable) return;
  try {
    if (world) assert.ok((await docker.containers()).filter((c) => c.Labels["hob.role"] === "instance").length >= 1, "they ran in containers");
    await world?.hob.close();
  } finally {
    if (world && !world.hob.exit) await world.hob.close().catch(() => {});
    await docker?.close();
  }
});
const it = (name, ...rest) => test(name, { ...(rest.length > 1 ? rest[0] : {}), skip: unavailable ?? false }, rest.at(-1));

gateTests(() => world, it, unavailable);
hostileGateTests(() => world, it, unavailable);
