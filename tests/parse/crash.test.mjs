// kill -9 in the middle of writing: what was acknowledged is there, what was one transaction is there whole or not at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../e2e/harness.mjs";
import { App, op, startDaemon } from "./app.mjs";

async function all(app, className) {
  const rows = [];
  for (;;) {
    const page = await app.find(className, { limit: 1000, skip: rows.length, order: "objectId" });
    rows.push(...page);
    if (page.length < 1000) return rows;
  }
}

test("nothing acknowledged is lost, and a transaction is whole or not there, whenever the daemon is killed", async (t) => {
  const daemon = await startDaemon();
  t.after(() => daemon.close({ isClean: false }));
  const app = await App.make(daemon, "shop");
  const counter = (await app.create("Counter", { n: 0 })).objectId;
  const kept = new Map();
  let counted = 0, number = 0;
  for (let round = 0; round < 3; round++) {
    let isOn = true;
    const writer = async (write) => {
      while (isOn) await write().catch(() => sleep(5)); // refused or cut off: not acknowledged
    };
    const creates = Array.from({ length: 6 }, () => writer(async () => {
      const n = ++number;
      kept.set((await app.create("Kept", { n })).objectId, n);
    }));
    const counts = Array.from({ length: 2 }, () => writer(async () => {
      await app.update("Counter", counter, { n: op("Increment", { amount: 1 }) });
      counted++;
    }));
    const pairs = writer(async () => {
      const pair = ++number;
      await app.need("POST", "/batch", { body: { transaction: true, requests: [0, 1, 2].map((part) => ({ method: "POST", path: "/parse/classes/Pair", body: { pair, part } })) } });
    });
    const before = kept.size;
    for (let i = 0; kept.size < before + 40 && i < 1000; i++) await sleep(10);
    await daemon.kill9();
    isOn = false;
    await Promise.all([...creates, ...counts, pairs]);
    await daemon.launch();
    app.url = `${daemon.url}/parse`;
    const found = new Map((await all(app, "Kept")).map((o) => [o.objectId, o.n]));
    for (const [id, n] of kept) assert.equal(found.get(id), n, "an acknowledged object");
    assert.ok((await app.get("Counter", counter)).n >= counted, "an acknowledged increment");
    const parts = await all(app, "Pair");
    const sizes = new Map();
    for (const p of parts) sizes.set(p.pair, (sizes.get(p.pair) ?? 0) + 1);
    for (const [pair, n] of sizes) assert.equal(n, 3, `transaction ${pair}`);
  }
  assert.ok(kept.size >= 120);
});
