// Cloud code: functions, validators, triggers and jobs of kind parse, called by the Parse SDK from npm; webhooks in Python.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, project, tar, until } from "../e2e/harness.mjs";
import { makeBackend, parse, signUp } from "../bindings/world.mjs";
import { npmFolder } from "../npm.mjs";

const sdk = npmFolder("parse", { parse: "8.6.0" });

const CODE = `
const Parse = globalThis.Parse;
Parse.Cloud.define('hello', () => 'hello from cloud code');
Parse.Cloud.define('echo', (request) => ({ params: request.params, master: request.master, user: request.user && request.user.id, name: request.functionName, isDate: request.params.when instanceof Date }));
Parse.Cloud.define('nothing', () => undefined);
Parse.Cloud.define('throws', (request) => { throw request.params.how === 'text' ? 'a text' : request.params.how === 'parse' ? new Parse.Error(119, 'forbidden here') : new Error('an error'); });
Parse.Cloud.define('dotted.name', () => 1);
Parse.Cloud.define('never', () => new Promise(() => {}));
Parse.Cloud.define('exit', () => process.exit(3));
Parse.Cloud.define('mine', async (request) => (await new Parse.Query('Secret').find()).length);
Parse.Cloud.define('asUser', async (request) => (await new Parse.Query('Secret').find({ sessionToken: request.user.getSessionToken() })).length);
Parse.Cloud.define('all', async () => (await new Parse.Query('Secret').find({ useMasterKey: true })).length);
Parse.Cloud.define('made', async () => { const note = new Parse.Object('Made'); note.set('at', new Date(0)); await note.save(); return note; });
Parse.Cloud.define('loop', (request) => Parse.Cloud.run('loop', { n: request.params.n + 1 }));
Parse.Cloud.define('loud', (request) => request.context);

Parse.Cloud.define('needsUser', () => 'in', { requireUser: true });
Parse.Cloud.define('needsMaster', () => 'in', { requireMaster: true });
Parse.Cloud.define('needsFields', (request) => request.params, { fields: { n: { type: Number, required: true }, kind: { options: ['a', 'b'] }, size: { default: 7 }, even: { options: (v) => v % 2 === 0, error: 'must be even' } } });
Parse.Cloud.define('needsList', () => 'in', { fields: ['a', 'b'] });
Parse.Cloud.define('needsRole', () => 'in', { requireAnyUserRoles: ['Admin', 'Editor'] });
Parse.Cloud.define('needsRoles', () => 'in', { requireAllUserRoles: ['Admin', 'Editor'] });
Parse.Cloud.define('needsKeys', () => 'in', { requireUserKeys: ['nick'] });
Parse.Cloud.define('needsFunction', () => 'in', (request) => { if (request.params.n !== 1) throw 'n must be 1'; });
Parse.Cloud.define('strictMaster', () => 'in', { fields: ['a'], validateMasterKey: true });

Parse.Cloud.beforeSave('Item', (request) => {
  const { object } = request;
  if (object.get('name') === 'bad') throw new Parse.Error(142, 'no bad names');
  if (object.get('name') === 'text') throw 'only a text';
  if (object.get('name') === 'slow') return new Promise(() => {});
  if (object.get('name') === 'crash') process.exit(1);
  object.set('seen', (object.get('seen') ?? 0) + 1);
  object.set('isNew', object.isNew());
  object.set('dirty', object.dirtyKeys().filter((key) => key !== 'seen' && key !== 'isNew').sort());
  object.unset('secret');
  request.context.before = 'was here';
});
Parse.Cloud.afterSave('Item', async (request) => {
  const log = new Parse.Object('Log');
  log.set({ item: request.object.id, had: request.original ? request.original.get('name') : null, context: request.context.before ?? null });
  await log.save(null, { useMasterKey: true });
  throw new Error('errors of afterSave are only logged');
});
Parse.Cloud.beforeDelete('Item', (request) => { if (request.object.get('name') === 'keep') throw 'kept'; });
Parse.Cloud.beforeFind('Item', (request) => { request.query.equalTo('hidden', undefined); request.query.doesNotExist('hidden'); });
Parse.Cloud.afterFind('Item', (request) => { for (const object of request.objects) object.set('found', true); return request.objects; });
Parse.Cloud.beforeLogin((request) => { if (request.object.get('banned')) throw new Parse.Error(101, 'you are banned'); });
Parse.Cloud.afterLogin(async (request) => { await new Parse.Object('Log').save({ login: request.object.get('username') }, { useMasterKey: true }); });
Parse.Cloud.beforeSave('Strict', () => {}, { fields: { n: { type: Number, required: true } } });

Parse.Cloud.job('count', async (request) => { await request.message('half way'); return 'counted ' + request.params.n; });
Parse.Cloud.job('endless', () => new Promise(() => {}));
Parse.Cloud.job('fails', () => { throw new Error('the job broke'); });
`;

/* The package's dependencies are thousands of files; a function needs those that are loaded. */
let needed = null;
function neededFiles() {
  if (needed) return needed;
  const script = "require('parse/node'); process.stdout.write(JSON.stringify(Object.keys(require.cache)))";
  const loaded = JSON.parse(spawnSync(process.execPath, ["-e", script], { cwd: sdk.dir, encoding: "utf8" }).stdout);
  const manifests = loaded.flatMap((file) => {
    const dirs = [];
    for (let dir = path.dirname(file); dir.startsWith(path.join(sdk.dir, "node_modules")); dir = path.dirname(dir)) dirs.push(path.join(dir, "package.json"));
    return dirs;
  });
  return (needed = [...new Set([...loaded, ...manifests])].filter((file) => fs.existsSync(file)));
}

/** A project folder with npm's parse in it. */
function withSdk(text, name = "main.js") {
  const dir = project({ "hob.json": { app: "shop", functions: { cloud: { entry: name, kind: "parse", timeout_ms: 4000, memory_mb: 256, concurrency: 10, queue_timeout_ms: 60000 } } }, [name]: text });
  for (const file of neededFiles()) fs.cpSync(file, path.join(dir, path.relative(sdk.dir, file)));
  return dir;
}
async function deployDir(daemon, dir) {
  const answer = await daemon.api("POST", "/v1/apps/shop/deploy", tar(dir));
  fs.rmSync(dir, { recursive: true, force: true });
  return answer;
}

describe("cloud code with the npm SDK on both sides", { skip: sdk.why ?? false }, () => {
  let d, b, Parse, ann;
  before(async () => {
    d = await Daemon.start();
    const made = await deployDir(d, withSdk(CODE));
    assert.equal(made.status, 201, made.text);
    b = await makeBackend(d, "shop", { triggerTimeMs: 60000 });
    Parse = createRequire(path.join(sdk.dir, "package.json"))("parse/node");
    Parse.initialize(b.id, undefined, b.key);
    Parse.serverURL = `${d.url}/parse`;
    Parse.CoreManager.set("REQUEST_ATTEMPT_LIMIT", 1);
    ann = await signUp(d, b, "ann");
  });
  after(() => d?.close());

  const refused = (promise, code, message) =>
    assert.rejects(promise, (error) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
  const patience = async (ms) => assert.ok((await d.api("PATCH", "/v1/apps/shop/backend", { settings: { triggerTimeMs: ms } })).status < 300);
  const asAnn = () => ({ sessionToken: ann.token });

  test("functions answer values, dates come and go, and nothing is nothing", async () => {
    assert.equal(await Parse.Cloud.run("hello"), "hello from cloud code");
    assert.equal(await Parse.Cloud.run("dotted.name"), 1);
    assert.equal(await Parse.Cloud.run("nothing"), undefined);
    const when = new Date(1e12);
    const echoed = await Parse.Cloud.run("echo", { when, deep: { list: [1, { when }] } }, asAnn());
    assert.deepEqual(echoed, { params: { when, deep: { list: [1, { when }] } }, master: false, user: ann.id, name: "echo", isDate: true });
    assert.equal((await Parse.Cloud.run("echo", {}, { useMasterKey: true })).master, true);
    const note = await Parse.Cloud.run("made");
    assert.equal(note.className, "Made");
    assert.deepEqual(note.get("at"), new Date(0));
  });

  test("what a function throws is told with its code", async () => {
    await refused(Parse.Cloud.run("throws", { how: "text" }), 141, /^a text$/);
    await refused(Parse.Cloud.run("throws", { how: "error" }), 141, /^an error$/);
    await refused(Parse.Cloud.run("throws", { how: "parse" }), 119, /^forbidden here$/);
    await refused(Parse.Cloud.run("nobody"), 141, /Invalid function: "nobody"/);
  });

  test("a function that hangs or crashes fails its own call only", async () => {
    await refused(Parse.Cloud.run("never"), 124, /too long/);
    await refused(Parse.Cloud.run("exit"), 141, /ended before it answered/);
    assert.equal(await Parse.Cloud.run("hello"), "hello from cloud code");
  });

  test("cloud code that calls itself is stopped at a depth", async () => {
    await refused(Parse.Cloud.run("loop", { n: 0 }), 141, /cloud\.depth/);
  });

  test("requests of cloud code act as the caller, as a session or as master", async () => {
    const acl = { [ann.id]: { read: true, write: true } };
    await parse(d, b, "POST", "/classes/Secret", { ACL: acl }, { master: true });
    await parse(d, b, "POST", "/classes/Secret", { ACL: {} }, { master: true });
    assert.equal(await Parse.Cloud.run("mine"), 0);
    assert.equal(await Parse.Cloud.run("mine", {}, asAnn()), 1);
    assert.equal(await Parse.Cloud.run("asUser", {}, asAnn()), 1);
    assert.equal(await Parse.Cloud.run("all"), 2);
    const { user } = (await parse(d, b, "POST", "/functions/echo", {}, { token: ann.token })).body.result;
    assert.equal(user, ann.id);
  });

  test("validators judge before the function runs", async () => {
    const role = async (name, users) => parse(d, b, "POST", "/roles",
      { name, ACL: { "*": { read: true } }, users: { __op: "AddRelation", objects: users.map((id) => ({ __type: "Pointer", className: "_User", objectId: id })) } }, { master: true });
    const bob = await signUp(d, b, "bob");
    await role("Editor", [bob.id]);
    const table = [
      ["needsUser", {}, {}, 142, /Please login/], ["needsUser", {}, asAnn(), null],
      ["needsMaster", {}, asAnn(), 142, /Master key is required/], ["needsMaster", {}, { useMasterKey: true }, null],
      ["needsFields", {}, {}, 142, /Please specify data for n/], ["needsFields", { n: "1" }, {}, 142, /Invalid type for n. Expected: number/],
      ["needsFields", { n: 1, kind: "c" }, {}, 142, /Invalid option for kind. Expected: a, b/],
      ["needsFields", { n: 1, even: 3 }, {}, 142, /must be even/], ["needsFields", { n: 1, even: 2, kind: "a" }, {}, null],
      ["needsFields", {}, { useMasterKey: true }, null],
      ["needsList", { a: 1 }, {}, 142, /Please specify data for b/], ["needsList", { a: 1, b: 0 }, {}, null],
      ["needsRole", {}, asAnn(), 142, /does not match the required roles/], ["needsRole", {}, { sessionToken: bob.token }, null],
      ["needsRoles", {}, { sessionToken: bob.token }, 142, /does not match all the required roles/],
      ["needsKeys", {}, asAnn(), 142, /Please set data for nick/],
      ["needsFunction", { n: 2 }, {}, 142, /^n must be 1$/], ["needsFunction", { n: 1 }, {}, null],
      ["strictMaster", {}, { useMasterKey: true }, 142, /Please specify data for a/],
    ];
    for (const [name, params, options, code, message] of table) {
      if (code === null) assert.ok(await Parse.Cloud.run(name, params, options), name);
      else await refused(Parse.Cloud.run(name, params, options), code, message);
    }
    assert.deepEqual(await Parse.Cloud.run("needsFields", { n: 1 }), { n: 1, size: 7 });
  });

  test("beforeSave changes what is stored and sees what is new", async () => {
    const item = new Parse.Object("Item");
    await item.save({ name: "a", secret: 1 });
    assert.equal(item.get("seen"), 1);
    let stored = (await parse(d, b, "GET", `/classes/Item/${item.id}`, undefined, { master: true })).body;
    assert.deepEqual([stored.seen, stored.isNew, stored.dirty, stored.secret], [1, true, ["name", "secret"], undefined]);
    await item.save({ name: "b" });
    stored = (await parse(d, b, "GET", `/classes/Item/${item.id}`, undefined, { master: true })).body;
    assert.deepEqual([stored.seen, stored.isNew, stored.dirty, stored.name], [2, false, ["name"], "b"]);
  });

  test("beforeSave refuses, and a slow or crashing one fails that write only", async () => {
    await refused(new Parse.Object("Item").save({ name: "bad" }), 142, /^no bad names$/);
    await refused(new Parse.Object("Item").save({ name: "text" }), 141, /^only a text$/);
    await patience(1500);
    await refused(new Parse.Object("Item").save({ name: "slow" }), 124, /too long/);
    await patience(60000);
    await refused(new Parse.Object("Item").save({ name: "crash" }), 141, /ended before it answered/);
    await refused(new Parse.Object("Strict").save({ n: "x" }), 142, /Invalid type for n/);
    const { body } = await parse(d, b, "GET", `/classes/Item?where=${encodeURIComponent('{"name":{"$in":["bad","text","slow","crash"]}}')}`, undefined, { master: true });
    assert.deepEqual(body.results, []);
    await new Parse.Object("Item").save({ name: "fine" });
  });

  test("afterSave sees the original and the context; its error is nobody's", async () => {
    const item = await new Parse.Object("Item").save({ name: "first" });
    await item.save({ name: "second" });
    const where = encodeURIComponent(JSON.stringify({ item: item.id }));
    const { results } = (await parse(d, b, "GET", `/classes/Log?where=${where}&order=createdAt`, undefined, { master: true })).body;
    assert.deepEqual(results.map((row) => [row.had ?? null, row.context]), [[null, "was here"], ["first", "was here"]]);
  });

  test("deletes and finds go through their triggers", async () => {
    const keep = await new Parse.Object("Item").save({ name: "keep" });
    await refused(keep.destroy(), 141, /^kept$/);
    const hidden = await new Parse.Object("Item").save({ name: "hidden", hidden: true });
    const found = await new Parse.Query("Item").find();
    assert.ok(found.length > 0);
    assert.ok(found.every((item) => item.get("found") === true && item.id !== hidden.id));
    await hidden.destroy();
  });

  test("beforeLogin refuses and afterLogin runs", async () => {
    const carl = await signUp(d, b, "carl");
    await Parse.User.logIn("carl", "pass word 1");
    await until(async () => (await parse(d, b, "GET", `/classes/Log?where=${encodeURIComponent('{"login":"carl"}')}`, undefined, { master: true })).body.results.length > 0, "afterLogin's row");
    await parse(d, b, "PUT", `/users/${carl.id}`, { banned: true }, { master: true });
    await refused(Parse.User.logIn("carl", "pass word 1"), 101, /you are banned/);
  });

  test("jobs run as master, tell how they go, and end in a row", async () => {
    const id = await Parse.Cloud.startJob("count", { n: 3 });
    const row = (of) => parse(d, b, "GET", `/classes/_JobStatus/${of}`, undefined, { master: true }).then((answer) => answer.body);
    const done = await until(async () => ((await row(id)).status === "succeeded" ? row(id) : false), "the job's end");
    assert.equal(done.message, "counted 3");
    assert.deepEqual(done.params, { n: 3 });
    assert.equal(done.finishedAt.__type, "Date");
    const failed = await Parse.Cloud.startJob("fails", {});
    assert.equal((await until(async () => ((await row(failed)).status === "failed" ? row(failed) : false), "the failure")).message, "the job broke");
    await refused(Parse.Cloud.startJob("nobody", {}), 141, /Invalid job/);
    assert.equal((await parse(d, b, "POST", "/jobs/count", {})).status, 403);
    const data = (await parse(d, b, "GET", "/cloud_code/jobs/data", undefined, { master: true })).body;
    assert.deepEqual(data, { in_use: [], jobs: ["count", "endless", "fails"] });
    const made = await parse(d, b, "POST", "/cloud_code/jobs", { job_schedule: { jobName: "count", description: "x" } }, { master: true });
    assert.equal(made.status, 201);
    assert.equal((await parse(d, b, "GET", "/cloud_code/jobs", undefined, { master: true })).body.length, 1);
    assert.equal((await parse(d, b, "DELETE", `/cloud_code/jobs/${made.body.objectId}`, undefined, { master: true })).status, 200);
  });

  test("a job that does not end does not hold up the daemon's stop", async () => {
    await Parse.Cloud.startJob("endless", {});
    await d.stop(); // within its 30 s, or it fails
    await d.launch();
    Parse.serverURL = `${d.url}/parse`;
  });

  test("a job that a kill of the daemon ended has failed, one that runs has not", async () => {
    const row = async (id) => (await parse(d, b, "GET", `/classes/_JobStatus/${id}`, undefined, { master: true })).body;
    const [dead, ended] = [await Parse.Cloud.startJob("endless", {}), await Parse.Cloud.startJob("count", { n: 4 })];
    await until(async () => (await row(ended)).status === "succeeded", "the end of the short job");
    assert.equal((await row(dead)).status, "running");
    await d.kill9();
    await d.launch();
    Parse.serverURL = `${d.url}/parse`;
    const [alive, other, first] = await Promise.all([Parse.Cloud.startJob("endless", {}), Parse.Cloud.startJob("endless", {}), row(dead)]);
    assert.deepEqual([first.status, first.message, first.finishedAt.__type], ["failed", "the server ended while the job was running", "Date"]);
    assert.deepEqual([(await row(ended)).status, (await row(ended)).message], ["succeeded", "counted 4"]);
    const settle = await parse(d, b, "POST", "/batch", { requests: [{ method: "SETTLE", path: "/parse/jobs", body: {} }] }, { master: true });
    assert.ok(settle.status < 500, `${settle.status}`);
    for (const id of [alive, other]) assert.equal((await row(id)).status, "running");
    const { results } = (await parse(d, b, "GET", "/classes/_JobStatus?where=" + encodeURIComponent('{"status":"running"}'), undefined, { master: true })).body;
    assert.deepEqual(results.map((r) => r.objectId).sort(), [alive, other].sort());
    await d.kill9();
    await d.launch();
    Parse.serverURL = `${d.url}/parse`;
  });

  test("cloud code is there again after a restart, and code that does not load fails its deploy", async () => {
    await d.stop();
    await d.launch();
    Parse.serverURL = `${d.url}/parse`;
    assert.equal(await Parse.Cloud.run("hello"), "hello from cloud code");
    const bad = await deployDir(d, withSdk("throw new Error('no such luck');"));
    assert.equal(bad.status, 400, bad.text);
    assert.equal(bad.json.reason, "cloud_code_failed");
    assert.match(bad.json.detail, /does not load: no such luck/);
    assert.equal(await Parse.Cloud.run("hello"), "hello from cloud code");
    const next = await deployDir(d, withSdk("Parse.Cloud.define('hello', () => 'the second');"));
    assert.equal(next.status, 201, next.text);
    assert.equal(await Parse.Cloud.run("hello"), "the second");
    await refused(Parse.Cloud.run("echo"), 141, /Invalid function/);
  });
});

const SMALL = `
Parse.Cloud.define('notes', async (request) => {
  const Note = Parse.Object.extend('Note');
  const acl = new Parse.ACL(request.user).setPublicReadAccess(true);
  const note = await new Note({ text: 'a', n: 1 }).setACL(acl).save();
  await note.increment('n', 4).unset('text').set('at', new Date(5)).save();
  const query = new Parse.Query('Note').greaterThan('n', 2).lessThan('n', 9).exists('at').descending('n').limit(5);
  const [found] = await query.find();
  return { n: found.get('n'), text: found.get('text'), at: found.get('at'), count: await query.count(), same: (await query.first()).id === note.id,
    fetched: (await new Parse.Query(Note).get(note.id)).get('n'), user: request.user.getUsername() };
}, { requireUser: true });
Parse.Cloud.define('gone', async () => { try { await new Parse.Query('Note').get('none'); } catch (error) { return [error instanceof Parse.Error, error.code]; } });
Parse.Cloud.define('outer', (request) => Parse.Cloud.run('inner', request.params));
Parse.Cloud.define('inner', (request) => request.params.list.length);
Parse.Cloud.define('refused', () => { throw new Parse.Error(Parse.Error.OPERATION_FORBIDDEN, 'not here'); });
Parse.Cloud.beforeSave('Task', ({ object, original }) => {
  if (!object.get('title')) throw new Parse.Error(142, 'a title is missing');
  object.set('slug', object.get('title').toLowerCase());
  object.set('was', original ? original.get('title') : 'new');
});
Parse.Cloud.afterFind('Task', ({ objects }) => objects.filter((task) => !task.get('hidden')));
`;

describe("cloud code without a package", () => {
  let d, b, ann;
  before(async () => {
    d = await Daemon.start();
    await d.deploy("shop", { cloud: { entry: "main.mjs", kind: "parse", concurrency: 4, queue_timeout_ms: 60000 },
      held: { entry: "held.cjs", kind: "parse", bindings: ["data:Open:rw"] } },
    { "main.mjs": SMALL, "held.cjs": "Parse.Cloud.define('open', () => new Parse.Object('Open').save().then((o) => !!o.id)); Parse.Cloud.define('closed', () => new Parse.Query('Note').find()); Parse.Cloud.define('master', () => new Parse.Query('Open').find({ useMasterKey: true }));" });
    b = await makeBackend(d, "shop", { triggerTimeMs: 60000 });
    ann = await signUp(d, b, "ann");
  });
  after(() => d?.close());
  const run = async (name, params = {}, options = {}) => (await parse(d, b, "POST", `/functions/${name}`, params, options)).body;

  test("the small Parse saves, finds, counts and fails as the large one", async () => {
    const { result } = await run("notes", {}, { token: ann.token });
    assert.deepEqual(result, { n: 5, at: { __type: "Date", iso: "1970-01-01T00:00:00.005Z" }, count: 1, same: true, fetched: 5, user: "ann" });
    assert.deepEqual(await run("notes"), { code: 142, error: "Validation failed. Please login to continue." });
    assert.deepEqual(await run("gone"), { result: [true, 101] });
    assert.deepEqual(await run("outer", { list: [1, 2] }), { result: 2 });
    assert.deepEqual(await run("refused"), { code: 119, error: "not here" });
  });

  test("its triggers change and refuse", async () => {
    const made = await parse(d, b, "POST", "/classes/Task", { title: "Buy Milk" });
    assert.deepEqual([made.status, made.body.slug, made.body.was], [201, "buy milk", "new"]);
    await parse(d, b, "PUT", `/classes/Task/${made.body.objectId}`, { title: "Buy Tea" });
    assert.equal((await parse(d, b, "GET", `/classes/Task/${made.body.objectId}`)).body.was, "Buy Milk");
    assert.deepEqual((await parse(d, b, "POST", "/classes/Task", {})).body, { code: 142, error: "a title is missing" });
    await parse(d, b, "POST", "/classes/Task", { title: "x", hidden: true });
    assert.deepEqual((await parse(d, b, "GET", "/classes/Task")).body.results.map((task) => task.slug), ["buy tea"]);
  });

  test("bindings in hob.json hold cloud code to what they name", async () => {
    assert.deepEqual(await run("open"), { result: true });
    assert.match((await run("closed")).error, /lack "data:Note:r"/);
    assert.match((await run("master")).error, /lack "data:master"/);
  });

  test("registrations follow the live version: deploy, rollback, variables, removal", async () => {
    const deploy = (text) => d.deploy("shop", { versions: { entry: "v.mjs", kind: "parse" } }, { "v.mjs": text });
    await deploy("Parse.Cloud.define('v', () => 1);");
    await deploy("Parse.Cloud.define('v', () => process.env.V ?? 2); Parse.Cloud.define('two', () => 2);");
    assert.deepEqual([await run("v"), await run("two")], [{ result: 2 }, { result: 2 }]);
    assert.equal((await d.api("PATCH", "/v1/apps/shop/functions/versions/env", { set: { V: "set" } })).status, 200);
    assert.deepEqual([await run("v"), await run("two")], [{ result: "set" }, { result: 2 }]);
    assert.equal((await d.api("POST", "/v1/apps/shop/functions/versions/rollback", { version: 1 })).status, 200);
    assert.deepEqual([await run("v"), (await run("two")).code], [{ result: 1 }, 141]);
    assert.equal((await d.api("DELETE", "/v1/apps/shop/functions/versions")).status, 200);
    assert.equal((await run("v")).code, 141);
  });

  test("an event for people, and a request over HTTP, reach no cloud function", async () => {
    assert.equal((await d.call("/fn/shop/cloud/")).status, 404);
    const answer = await d.api("POST", "/v1/apps/shop/functions/cloud/invoke", { functionName: "notes", master: true, user: { objectId: ann.id } });
    assert.doesNotMatch(answer.text, /"n":5/);
  });
});
