// Ten thousand deployed functions (L3): they cost little memory, a restart is quick, lists work and do not stop the loop.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, HELLO, isSanitized, request, sleep } from "./harness.mjs";

const APPS = 50, EACH = 200; // app.functions allows 200
let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob?.close());

test("10,000 functions: small, quick to start, listed without a stall", { timeout: 240000 }, async (t) => {
  await hob.deployOne("warm", "f", "index.mjs", HELLO);
  await hob.stop();
  await hob.launch();
  const empty = hob.rss();
  const functions = Object.fromEntries(Array.from({ length: EACH }, (_, i) => [`fn-${i}`,
    { entry: "index.mjs", vars: { NUMBER: String(i), PURPOSE: "one of many" }, memory_mb: 64 }]));
  let began = performance.now();
  for (let i = 0; i < APPS; i++) await hob.deploy(`app-${i}`, functions, { "index.mjs": HELLO });
  t.diagnostic(`deployed ${APPS * EACH} functions in ${((performance.now() - began) / 1000).toFixed(1)} s`);

  await hob.stop();
  began = performance.now();
  await hob.launch();
  const start = performance.now() - began;
  await sleep(300);
  const each = (hob.rss() - empty) / (APPS * EACH);
  t.diagnostic(`start ${start.toFixed(0)} ms, ${(hob.rss() >> 10)} KiB RSS, ${each.toFixed(0)} bytes a function`);
  assert.ok(start < 20000, `${start} ms: not read once, but searched for each`);
  if (!isSanitized) assert.ok(each <= 4096, `${each} bytes a function`);

  assert.equal((await hob.call("/fn/app-49/fn-199")).text, "hello\n");
  const before = hob.rss();
  began = performance.now();
  const listing = hob.api("GET", "/v1/functions");
  let worst = 0;
  let isListing = true;
  const probe = (async () => {
    while (isListing) {
      const at = performance.now();
      await request(`${hob.url}/healthz`);
      worst = Math.max(worst, performance.now() - at);
    }
  })();
  const list = await listing;
  isListing = false;
  await probe;
  assert.equal(list.json.functions.length, APPS * EACH + 1);
  t.diagnostic(`listed in ${(performance.now() - began).toFixed(0)} ms, worst other answer ${worst.toFixed(0)} ms, ` +
    `${(hob.rss() - before) >> 10} KiB more`);
  assert.ok(worst < 10000, `an answer waited ${worst} ms behind the list`);
  const metrics = (await hob.call("/metrics")).text;
  assert.match(metrics, new RegExp(`\nhob_functions ${APPS * EACH + 1}\n`));
});
