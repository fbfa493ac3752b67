// HOB_BINDINGS_URL in sandboxes: what servers find there, and what hostile ones do to it.
import { after, before } from "node:test";
import { Daemon } from "../e2e/harness.mjs";
import { deployGate, gateTests, hostileGateTests } from "./gate.mjs";

let world;
before(async () => {
  const hob = await Daemon.start();
  world = { hob };
  world = await deployGate(hob, "sandbox");
});
after(() => world?.hob.close());

gateTests(() => world);
hostileGateTests(() => world);
