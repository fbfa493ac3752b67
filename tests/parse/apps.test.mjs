// Backends of apps by the command line: made, keyed, set, removed; and what their keys open.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, ROOT, request } from "../e2e/harness.mjs";

let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob?.close());

const run = (...words) => hob.cli(words);
const cli = (...words) => {
  const done = run(...words);
  assert.equal(done.code, 0, done.out + done.err);
  return done.out;
};
const refused = (says, ...words) => {
  const done = run(...words);
  assert.notEqual(done.code, 0, done.out);
  assert.match(done.err, says);
};
const get = (where, headers) => request(`${hob.url}/parse${where}`, { headers });

test("an app is made with its name as id, and its master key is told once", async () => {
  const made = JSON.parse(cli("app", "create", "shop", "--json"));
  assert.equal(made.application_id, "shop");
  assert.match(made.master_key, /^[0-9a-f]{64}$/);
  const master = { "x-parse-application-id": "shop", "x-parse-master-key": made.master_key };
  assert.equal((await get("/schemas", master)).status, 200);
  assert.equal((await get("/schemas", { ...master, "x-parse-master-key": `${made.master_key}x` })).status, 403);
  assert.equal((await get("/classes/A", { "x-parse-application-id": "shop" })).status, 200);
  assert.equal((await get("/classes/A", { "x-parse-application-id": "nobody" })).status, 403);
  assert.ok(!cli("app", "show", "shop", "--json").includes(made.master_key));
  assert.ok(!fs.readFileSync(path.join(hob.home, "hob.db")).includes(made.master_key));
});

test("id and keys of a server that moves here are taken, and survive a restart", async () => {
  cli("app", "create", "moved", "--app-id", "myAppId", "--master-key", "my-master-key", "--javascript-key", "my-js-key", "maxLimit=7");
  await hob.stop();
  await hob.launch();
  const id = { "x-parse-application-id": "myAppId" };
  assert.equal((await get("/classes/A", id)).status, 403, "a client key is needed now");
  assert.equal((await get("/classes/A", { ...id, "x-parse-javascript-key": "my-js-key" })).status, 200);
  assert.equal((await get("/schemas", { ...id, "x-parse-master-key": "my-master-key" })).status, 200);
  assert.match(cli("app", "ls"), /moved +myAppId +master, javascript/);
});

test("a key is made, replaced and removed; the master key only replaced", async () => {
  const one = cli("key", "create", "shop", "rest").trim(), two = cli("key", "create", "shop", "rest").trim();
  const by = (key) => get("/classes/A", { "x-parse-application-id": "shop", "x-parse-rest-api-key": key });
  assert.notEqual(one, two);
  assert.deepEqual([(await by(one)).status, (await by(two)).status], [403, 200]);
  cli("key", "rm", "shop", "rest", "--yes");
  assert.equal((await by("anything")).status, 200, "no client key is needed any more");
  refused(/cannot be removed/, "key", "rm", "shop", "master", "--yes");
  refused(/no kind of key 'magic'/, "key", "create", "shop", "magic");
  const master = cli("key", "create", "shop", "master").trim();
  assert.equal((await get("/schemas", { "x-parse-application-id": "shop", "x-parse-master-key": master })).status, 200);
});

test("settings are in force at once, and mistakes are told", async () => {
  cli("app", "set", "shop", "maxLimit=5", "publicServerURL=https://api.example/parse", 'accountLockout={"threshold":3,"duration":5}');
  const shown = JSON.parse(cli("app", "show", "shop", "--json")).settings;
  assert.deepEqual([shown.maxLimit, shown.publicServerURL, shown.accountLockout], [5, "https://api.example/parse", { threshold: 3, duration: 5 }]);
  refused(/did you mean 'maxLimit'/, "app", "set", "shop", "maxLimits=5");
  refused(/whole number/, "app", "set", "shop", "maxLimit=five");
  refused(/NAME=VALUE/, "app", "set", "shop", "maxLimit");
  refused(/no JSON/, "app", "set", "shop", "accountLockout={threshold:3}");
  refused(/has no member 'treshold'/, "app", "set", "shop", 'accountLockout={"treshold":3}');
  refused(/1 to 64 characters/, "app", "create", "Bad_Name");
  refused(/has a backend already/, "app", "create", "shop");
  refused(/another app's/, "app", "create", "third", "--app-id", "shop");
  cli("app", "set", "shop", "maxLimit=null");
  assert.equal(JSON.parse(cli("app", "show", "shop", "--json")).settings.maxLimit, 1000);
});

test("the page of settings names each of them with its default", () => {
  const page = fs.readFileSync(path.join(ROOT, "docs/backend.md"), "utf8");
  cli("app", "create", "fresh");
  for (const name of Object.keys(JSON.parse(cli("app", "show", "fresh", "--json")).settings)) assert.ok(page.includes(`\`${name}\``), name);
});

test("a removed backend is gone with its data; the app cannot be removed by the way", async () => {
  const { master_key: key } = JSON.parse(cli("app", "create", "gone", "--json"));
  const headers = { "x-parse-application-id": "gone", "x-parse-master-key": key, "content-type": "application/json" };
  assert.equal((await request(`${hob.url}/parse/classes/A`, { method: "POST", headers, body: "{}" })).status, 201);
  assert.ok(fs.existsSync(path.join(hob.home, "data/gone.db")));
  refused(/has a backend with data/, "rm", "gone", "--all", "--yes");
  cli("app", "rm", "gone", "--yes");
  assert.equal((await get("/classes/A", headers)).status, 403);
  assert.deepEqual(fs.readdirSync(path.join(hob.home, "data")).filter((name) => name.startsWith("gone")), []);
  refused(/hob app create gone/, "app", "rm", "gone", "--yes");
  const again = JSON.parse(cli("app", "create", "gone", "--json"));
  const empty = await get("/classes/A", { ...headers, "x-parse-master-key": again.master_key });
  assert.deepEqual(empty.json, { results: [] });
});
