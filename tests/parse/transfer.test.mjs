// Data out and in: exports that come back as they were, an export of Parse Server, backups, and the way back in time.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, request, sleep } from "../e2e/harness.mjs";

const KEY = "master-key-for-tests";
let hob, dir;
before(async () => {
  hob = await Daemon.start();
  dir = project({});
  for (const app of ["one", "two", "three"]) create(app);
});
after(async () => {
  await hob?.close();
  fs.rmSync(dir, { recursive: true, force: true });
});
const create = (app) => {
  const done = hob.cli(["app", "create", app, "--master-key", KEY]);
  assert.equal(done.code, 0, done.err);
};
const cli = (...words) => {
  const done = hob.cli(words);
  assert.equal(done.code, 0, done.out + done.err);
  return done.out;
};
const call = async (app, method, where, body, headers = { "x-parse-master-key": KEY }) => {
  const answer = await request(`${hob.url}/parse${where}`, { method, body: body && JSON.stringify(body),
    headers: { "x-parse-application-id": app, "content-type": "application/json", ...headers } });
  return answer;
};
const ok = async (...words) => {
  const answer = await call(...words);
  assert.ok(answer.status < 300, `${words[1]} ${words[2]}: ${answer.text}`);
  return answer.json;
};
const login = (app, username, password) => call(app, "POST", "/login", { username, password }, {});
const at = (name) => path.join(dir, name);
const linesOf = (file) => fs.readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

/** Everything of an app as clients see it, with ids and dates. */
async function picture(app) {
  const all = {};
  for (const schema of (await ok(app, "GET", "/schemas")).results) {
    const rows = await ok(app, "GET", `/classes/${schema.className}?limit=1000&order=objectId`);
    all[schema.className] = { fields: schema.fields, permissions: schema.classLevelPermissions, rows: rows.results };
  }
  all.config = await ok(app, "GET", "/config");
  return all;
}

test("an export taken into another app gives the same app: ids, dates, ACLs, relations, users, configuration", async () => {
  const ada = await ok("one", "POST", "/users", { username: "Ada", password: "secret", email: "ada@example.com" });
  const team = await ok("one", "POST", "/classes/Team", { name: "red", at: { __type: "GeoPoint", latitude: 1, longitude: 2 }, tags: ["a", { b: 1 }] });
  for (let i = 0; i < 30; i++)
    await ok("one", "POST", "/classes/Player", { n: i, score: i / 3, text: `Ünïcode "${i}"\n`, team: { __type: "Pointer", className: "Team", objectId: team.objectId },
      since: { __type: "Date", iso: "2020-01-02T03:04:05.678Z" }, ACL: { [ada.objectId]: { read: true, write: true }, "role:admins": { read: true } } });
  const players = (await ok("one", "GET", "/classes/Player?limit=5")).results.map((p) => ({ __type: "Pointer", className: "Player", objectId: p.objectId }));
  await ok("one", "PUT", `/classes/Team/${team.objectId}`, { players: { __op: "AddRelation", objects: players } });
  await ok("one", "POST", "/roles", { name: "admins", ACL: {}, users: { __op: "AddRelation", objects: [{ __type: "Pointer", className: "_User", objectId: ada.objectId }] } });
  await ok("one", "PUT", "/config", { params: { limit: 5, secret: "x" }, masterKeyOnly: { secret: true } });
  assert.match(cli("data", "export", "one", at("one.jsonl")), /lines/);
  assert.equal(fs.statSync(at("one.jsonl")).mode & 0o77, 0, "as secret as the database");
  assert.match(cli("data", "import", "two", at("one.jsonl")), /Imported/);
  const before = await picture("one"), now = await picture("two");
  delete before._Session;
  delete now._Session;
  assert.deepEqual(now, before);
  const related = await ok("two", "GET", `/classes/Player?where=${encodeURIComponent(JSON.stringify({ $relatedTo: { object: { __type: "Pointer", className: "Team", objectId: team.objectId }, key: "players" } }))}`);
  assert.deepEqual(related.results.map((p) => p.objectId).sort(), players.map((p) => p.objectId).sort());
  assert.equal((await login("two", "ada", "secret")).json.objectId, ada.objectId, "names without regard to case");
  assert.equal((await login("two", "ada", "wrong")).status, 404);
});

test("the same import again changes nothing", async () => {
  const before = await picture("two");
  cli("data", "import", "two", at("one.jsonl"));
  assert.deepEqual(await picture("two"), before);
});

test("many objects go page by page, and a broken export and a broken import go on", async () => {
  create("many");
  const requests = [];
  for (let i = 0; i < 50; i++) requests.push({ method: "POST", path: "/parse/classes/Item", body: { i, text: "x".repeat(100) } });
  for (let round = 0; round < 30; round++) await ok("many", "POST", "/batch", { requests });
  cli("data", "export", "many", at("many.jsonl"));
  const whole = linesOf(at("many.jsonl"));
  assert.equal(whole.filter((l) => l.class === "Item" && l.object).length, 1500);
  // what a broken export leaves: two pages and where the next one begins
  const text = fs.readFileSync(at("many.jsonl"), "utf8");
  const cut = whole.findIndex((l) => l.object) + 500;
  const head = text.split("\n").slice(0, cut).join("\n") + "\n";
  fs.writeFileSync(at("again.jsonl.part"), head + '{"half');
  fs.writeFileSync(at("again.jsonl.next"), `${Buffer.byteLength(head)} ${cut} Item/${whole[cut - 1].object.objectId}\n`);
  cli("data", "export", "many", at("again.jsonl"));
  assert.equal(fs.readFileSync(at("again.jsonl"), "utf8"), text);
  assert.deepEqual(fs.readdirSync(dir).filter((name) => /^again\.jsonl\./.test(name)), []);
  // an import that meets a bad line says where to go on
  create("bad");
  const lines = text.trimEnd().split("\n");
  fs.writeFileSync(at("bad.jsonl"), [...lines, '{"class":"Item","object":{"objectId":"x"}}'].join("\n"));
  const done = hob.cli(["data", "import", "bad", at("bad.jsonl")]);
  assert.notEqual(done.code, 0);
  assert.match(done.err, /createdAt/);
  const goOn = /--from-line (\d+)/.exec(done.err);
  if (goOn) cli("data", "import", "bad", at("many.jsonl"), "--from-line", goOn[1]);
  else cli("data", "import", "bad", at("many.jsonl"));
  assert.equal((await ok("bad", "GET", "/classes/Item?limit=0&count=1")).count, 1500);
});

test("lines that are no export are refused by line and change nothing", async () => {
  create("strict");
  const cases = { "not json": /line 1/, "[]": /line 1/, '{"a":1}': /neither class nor config/, '{"class":"a b","object":{}}': /class name/,
    '{"hob_export":2}': /newer Hob/, '{"class":"A","object":{"objectId":"x","createdAt":"2020-01-01T00:00:00.000Z","updatedAt":"2020-01-01T00:00:00.000Z","a.b":1}}': /field name/ };
  for (const [line, says] of Object.entries(cases)) {
    fs.writeFileSync(at("strict.jsonl"), `${line}\n`);
    const done = hob.cli(["data", "import", "strict", at("strict.jsonl")]);
    assert.notEqual(done.code, 0, line);
    assert.match(done.err, says, line);
  }
  assert.deepEqual(hob.cli(["data", "export", "strict", "-"]).out.trim().split("\n").length, 1);
});

test("a dump of Parse Server keeps ids, dates, ACLs, relations and passwords", async () => {
  const hash = execFileSync("/usr/bin/python3", ["-Wignore", "-c", "import crypt; print(crypt.crypt('old password', '$2b$10$abcdefghijklmnopqrstuv'))"]).toString().trim();
  const dump = project({
    "dump/_SCHEMA.json": [
      { _id: "Game", objectId: "string", createdAt: "date", updatedAt: "date", score: "number", owner: "*_User", place: "geopoint", cover: "file", when: "date",
        _metadata: { class_permissions: { find: { "*": true }, get: { "*": true }, create: {}, update: {}, delete: {}, addField: {} } } },
      { _id: "_Role", objectId: "string", name: "string", users: "relation<_User>", roles: "relation<_Role>" },
    ].map((d) => JSON.stringify(d)).join("\n"),
    "dump/_User.json": JSON.stringify({ _id: "Uabcdefghi", username: "Grace", email: "grace@example.com", _hashed_password: hash, _auth_data_google: { id: "g1" },
      _created_at: { $date: "2015-03-04T05:06:07.089Z" }, _updated_at: { $date: { $numberLong: "1500000000000" } }, _rperm: ["*", "Uabcdefghi"], _wperm: ["Uabcdefghi"], _acl: {} }),
    "dump/Game.json": JSON.stringify([{ _id: "Gabcdefghi", score: { $numberInt: "7" }, _p_owner: "_User$Uabcdefghi", place: [10.5, -20.25], cover: "abc_cover.png",
      when: { $date: "2020-01-01T00:00:00Z" }, nested: { list: [{ $numberLong: "5" }] }, _created_at: { $date: "2016-01-01T00:00:00.000Z" }, _updated_at: { $date: "2016-01-02T00:00:00.000Z" } }]),
    "dump/_Role.json": JSON.stringify({ _id: "Rabcdefghi", name: "admins", _created_at: { $date: "2016-01-01T00:00:00.000Z" }, _updated_at: { $date: "2016-01-01T00:00:00.000Z" }, _rperm: [], _wperm: [] }),
    "dump/_Join:users:_Role.json": JSON.stringify({ _id: "J1", owningId: "Rabcdefghi", relatedId: "Uabcdefghi" }),
    "dump/_Session.json": JSON.stringify({ _id: "S1", _session_token: "r:1" }),
  });
  cli("data", "import", "three", path.join(dump, "dump"));
  const game = await ok("three", "GET", "/classes/Game/Gabcdefghi");
  assert.equal(game.score, 7);
  assert.deepEqual(game.owner, { __type: "Pointer", className: "_User", objectId: "Uabcdefghi" });
  assert.deepEqual(game.place, { __type: "GeoPoint", latitude: -20.25, longitude: 10.5 });
  assert.equal(game.cover.name, "abc_cover.png");
  assert.deepEqual(game.when, { __type: "Date", iso: "2020-01-01T00:00:00.000Z" });
  assert.deepEqual(game.nested, { list: [5] });
  assert.deepEqual([game.createdAt, game.updatedAt], ["2016-01-01T00:00:00.000Z", "2016-01-02T00:00:00.000Z"]);
  const grace = await login("three", "grace", "old password");
  assert.equal(grace.status, 200, grace.text);
  assert.equal(grace.json.createdAt, "2015-03-04T05:06:07.089Z");
  assert.deepEqual(grace.json.ACL, { "*": { read: true }, Uabcdefghi: { read: true, write: true } });
  const role = await ok("three", "GET", `/users?where=${encodeURIComponent(JSON.stringify({ $relatedTo: { object: { __type: "Pointer", className: "_Role", objectId: "Rabcdefghi" }, key: "users" } }))}`);
  assert.equal(role.results[0].objectId, "Uabcdefghi");
  assert.equal((await call("three", "POST", "/classes/Game", { score: 1 }, {})).json.code, 119, "permissions came along");
  fs.rmSync(dump, { recursive: true, force: true });
});

test("the log of changes is readable, and objects go back to a point in it and forward again", async () => {
  create("time");
  const first = await ok("time", "POST", "/classes/Note", { text: "first" });
  await ok("time", "PUT", `/classes/Note/${first.objectId}`, { text: "second" });
  const good = linesFrom(cli("data", "changes", "time", "--limit", "1000")).at(-1).sequence;
  await sleep(20);
  const moment = new Date().toISOString();
  await sleep(20);
  await ok("time", "DELETE", `/classes/Note/${first.objectId}`);
  await ok("time", "POST", "/classes/Note", { text: "third" });
  const changes = linesFrom(cli("data", "changes", "time", "--limit", "1000")).filter((c) => c.class === "Note");
  assert.deepEqual(changes.map((c) => c.op), ["create", "update", "delete", "create"]);
  const late = linesFrom(cli("data", "changes", "time", "--limit", "1000")).at(-1).sequence;
  const texts = async () => (await ok("time", "GET", "/classes/Note?order=text")).results.map((n) => n.text);
  cli("data", "restore", "time", String(good), "--yes");
  assert.deepEqual(await texts(), ["second"]);
  assert.equal((await ok("time", "GET", `/classes/Note/${first.objectId}`)).createdAt, first.createdAt);
  cli("data", "restore", "time", String(late), "--yes");
  assert.deepEqual(await texts(), ["third"]);
  cli("data", "restore", "time", moment, "--yes");
  assert.deepEqual(await texts(), ["second"]);
  const never = hob.cli(["data", "restore", "time", "yesterday", "--yes"]);
  assert.notEqual(never.code, 0);
  assert.match(never.err, /write it like/);
});
const linesFrom = (text) => text.trimEnd().split("\n").map((line) => JSON.parse(line));

test("a backup put in the place of the database is the app as it was", async () => {
  const before = await picture("one");
  cli("backup", at("one.db"), "--app", "one");
  await ok("one", "POST", "/classes/Team", { name: "later" });
  await hob.stop();
  for (const name of fs.readdirSync(path.join(hob.home, "data"))) if (name.startsWith("one.db")) fs.rmSync(path.join(hob.home, "data", name));
  const place = path.join(hob.home, "data/one.db"), owner = fs.statSync(path.join(hob.home, "data/two.db"));
  fs.copyFileSync(at("one.db"), place);
  fs.chownSync(place, owner.uid, owner.gid);
  await hob.launch();
  assert.deepEqual(await picture("one"), before);
});

test("an app without a backend is told how to get one", () => {
  for (const words of [["data", "export", "nobody", "-"], ["data", "changes", "nobody"], ["app", "show", "nobody"]]) {
    const done = hob.cli(words);
    assert.notEqual(done.code, 0);
    assert.match(done.err, /hob app create nobody/);
  }
});
