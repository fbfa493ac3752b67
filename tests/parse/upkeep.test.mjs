// What is done for an app's data behind its back or at an operator's word: the log of changes is cut to its days, slow
// queries lead to indexes. A daemon that looks after its apps every few milliseconds.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, until } from "../e2e/harness.mjs";
import { App } from "./app.mjs";

let hob, dir;
before(async () => {
  hob = await Daemon.start({ env: { HOB_UPKEEP_MS: "5" } });
  dir = project({});
});
after(async () => {
  await hob?.close();
  fs.rmSync(dir, { recursive: true, force: true });
});
const cli = (...words) => {
  const done = hob.cli(words);
  assert.equal(done.code, 0, done.out + done.err);
  return done.out;
};
const metric = async (name) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec((await hob.call("/metrics")).text)[1]);
const changes = (app) => cli("data", "changes", app, "--limit", "1000").trimEnd().split("\n").map((line) => JSON.parse(line));

/** An app with a class of 20,000 orders. */
async function shop(name, settings) {
  const app = await App.make(hob, name, settings);
  const lines = [{ class: "Order", fields: { customer: { type: "String" }, total: { type: "Number" } } }];
  for (let i = 0; i < 20000; i++)
    lines.push({ class: "Order", object: { objectId: `o${i}`, createdAt: "2026-01-01T00:00:00.000Z", updatedAt: "2026-01-01T00:00:00.000Z",
      customer: `c${i % 500}`, total: i, note: "x".repeat(60) } });
  const file = path.join(dir, `${name}.jsonl`);
  fs.writeFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n"));
  cli("data", "import", name, file);
  return app;
}
const query = { where: { customer: "c7" }, order: "-total", limit: 5 };
const ask = async (app) => (await app.find("Order", query, { as: "master" })).map((o) => o.total);
const plan = async (app) => JSON.stringify((await app.ask("GET", "/classes/Order", { as: "master", query: { ...query, explain: true } })).json);
const RIGHT = [19507, 19007, 18507, 18007, 17507];

test("slow queries lead to advice, and --apply makes the index that ends it", async () => {
  const app = await shop("advised", { slowQueryMs: 1 });
  assert.match(hob.cli(["data", "advise", "advised"]).err, /No index would have helped/);
  const advice = await until(async () => {
    assert.deepEqual(await ask(app), RIGHT);
    const { advice } = JSON.parse(cli("data", "advise", "advised", "--json"));
    return advice.length && advice;
  }, "advice");
  assert.equal(advice.length, 1);
  assert.deepEqual({ ...advice[0], queries: 0, total_ms: 0, average_ms: 0, worst_ms: 0 },
    { class: "Order", keys: { customer: 1, total: -1 }, name: "auto_customer_1_total_-1", queries: 0, total_ms: 0, average_ms: 0, worst_ms: 0, objects: 20000 });
  assert.ok(advice[0].queries >= 1 && advice[0].worst_ms >= 1 && advice[0].total_ms >= advice[0].worst_ms);
  assert.match(cli("data", "advise", "advised"), /CLASS +FIELDS +SLOW QUERIES[^]*Order +customer, -total +\d+ /);
  assert.doesNotMatch(await plan(app), /USING INDEX x/);
  assert.match(cli("data", "advise", "advised", "--apply"), /Made auto_customer_1_total_-1 on Order in /);
  assert.match(await plan(app), /USING INDEX x/);
  assert.deepEqual(await ask(app), RIGHT);
  assert.deepEqual(JSON.parse(cli("data", "advise", "advised", "--json")).advice, []);
  const schema = await app.need("GET", "/schemas/Order", { as: "master" });
  assert.deepEqual(schema.indexes["auto_customer_1_total_-1"], { customer: 1, total: -1 });
  assert.equal(await metric("hob_auto_indexes_total"), 0, "nobody asked for more");
});

test("indexes are listed with their size, made and dropped by name", async () => {
  const { indexes } = JSON.parse(cli("data", "indexes", "advised", "--json"));
  assert.deepEqual(indexes.map(({ bytes, ...rest }) => rest), [{ class: "Order", name: "auto_customer_1_total_-1", keys: { customer: 1, total: -1 }, unique: false }]);
  assert.ok(indexes[0].bytes === undefined || indexes[0].bytes > 100000, `${indexes[0].bytes}`);
  assert.match(cli("data", "indexes", "advised", "--make", "Order/total", "--unique"), /Made auto_total_1 on Order/);
  assert.match(cli("data", "indexes", "advised", "--make", "Order/note:text"), /Made auto_note_text on Order/);
  assert.match(cli("data", "indexes", "advised"), /Order +auto_note_text +note:text[^]*Order +auto_total_1 +total +yes/);
  const double = hob.cli(["data", "indexes", "advised", "--make", "Order/customer", "--unique"]);
  assert.notEqual(double.code, 0);
  assert.match(double.err, /duplicate value/);
  assert.match(cli("data", "indexes", "advised", "--drop", "Order/auto_note_text"), /Dropped/);
  assert.match(cli("data", "indexes", "advised", "--drop", "Order/auto_total_1"), /Dropped/);
  assert.equal(JSON.parse(cli("data", "indexes", "advised", "--json")).indexes.length, 1);
  for (const [words, says] of [[["--drop", "Order/nothing"], /does not exist/], [["--drop", "Order"], /write CLASS\/NAME/], [["--make", "Order/a,a"], /write fields like/],
    [["--make", "Order/a:b"], /2dsphere/], [["--make", "Nothing/a"], /does not exist/], [["--make", "A/b", "--drop", "A/b"], /either/]]) {
    const done = hob.cli(["data", "indexes", "advised", ...words]);
    assert.notEqual(done.code, 0, words.join(" "));
    assert.match(done.err, says);
  }
  for (const body of [{}, { class: "Order" }, { class: "Order", keys: {} }, { class: "Order", keys: { total: 5 } }, { class: "Order", keys: { total: 1 }, more: 1 }, { class: 5, keys: { total: 1 } },
    { class: "Order", keys: { "a'b": 1 } }, { class: "Order", keys: { total: 1 }, name: "" }])
    assert.equal((await hob.api("POST", "/v1/apps/advised/data/indexes", body)).status, 400, JSON.stringify(body));
  assert.equal((await hob.api("DELETE", "/v1/apps/advised/data/indexes?class=Order")).status, 400);
  assert.equal((await hob.api("GET", "/v1/apps/nobody/data/advice")).status, 404);
});

test("autoIndex makes the index by itself", async () => {
  const app = await shop("auto", { slowQueryMs: 1, autoIndex: true });
  await until(async () => {
    assert.deepEqual(await ask(app), RIGHT);
    return await metric("hob_auto_indexes_total") === 1;
  }, "an index that nobody asked for");
  assert.match(await plan(app), /USING INDEX x/);
  assert.deepEqual(JSON.parse(cli("data", "advise", "auto", "--json")).advice, []);
  assert.equal(JSON.parse(cli("data", "indexes", "auto", "--json")).indexes[0].name, "auto_customer_1_total_-1");
});

const relaunch = async (app) => {
  await hob.launch();
  app.url = `${hob.url}/parse`; // another port
};

test("changes older than changeLogDays are forgotten, and a restore to any time within them still works", async () => {
  const app = await App.make(hob, "old");
  for (let i = 0; i < 20; i++) await app.create("Note", { i }, { as: "master" });
  await hob.stop();
  const age = `import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute("update changes set at = at - 10 * 86400000 where seq <= 15")\nc.commit()`;
  execFileSync("/usr/bin/python3", ["-c", age, path.join(hob.home, "data/old.db")]);
  await relaunch(app);
  const trimmed = await metric("hob_changes_trimmed_total");
  assert.equal((await app.find("Note", { limit: 100 }, { as: "master" })).length, 20); // opens it
  await until(async () => await metric("hob_changes_trimmed_total") === trimmed + 14, "the old changes to go");
  await hob.kill9();
  await relaunch(app);
  assert.deepEqual(changes("old").map((c) => c.sequence), [15, 16, 17, 18, 19, 20]);
  assert.equal(cli("data", "changes", "old", "--after", "14").trimEnd().split("\n").length, 6);
  const behind = hob.cli(["data", "changes", "old", "--after", "13"]);
  assert.notEqual(behind.code, 0, "what follows the log must not miss changes without a word");
  assert.match(behind.err, /changes up to 14 are forgotten/);
  const days = (n) => new Date(Date.now() - n * 86400000).toISOString();
  const late = hob.cli(["data", "restore", "old", days(20), "--yes"]);
  assert.notEqual(late.code, 0);
  assert.match(late.err, /does not reach back/);
  cli("data", "restore", "old", days(2), "--yes"); // when nothing had been written for days
  assert.deepEqual((await app.find("Note", { limit: 100, order: "i" }, { as: "master" })).map((n) => n.i), [...Array(15).keys()]);
  cli("data", "restore", "old", "20", "--yes");
  assert.equal((await app.find("Note", { limit: 100 }, { as: "master" })).length, 20);
});
