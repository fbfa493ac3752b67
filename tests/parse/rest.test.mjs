// The wire: keys and how they are sent, methods in bodies, statuses, CORS, and every answer's shape, with plain requests.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { request, raw } from "../e2e/harness.mjs";
import { App, KEYS, date, op, pointer, startDaemon } from "./app.mjs";

let daemon, app;
before(async () => {
  daemon = await startDaemon();
  app = await App.make(daemon, "shop");
});
after(() => daemon.close());

const plain = (method, where, { headers = {}, body } = {}) =>
  request(`${app.url}${where}`, { method, headers, body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body) });

test("who names no app, or none that is here, is unauthorized and learns no more", async () => {
  for (const headers of [{}, { "x-parse-application-id": "nobody" }, { "x-parse-application-id": "" }]) {
    const answer = await plain("GET", "/classes/A", { headers });
    assert.equal(answer.status, 403);
    assert.deepEqual(answer.json, { error: "unauthorized" });
  }
});

test("a client key must be sent once there is one, and any of them will do", async () => {
  const keyed = await App.make(daemon, "keyed", {}, { javascript: "js-key-of-tests", rest: "rest-key-of-tests" });
  assert.equal((await keyed.ask("GET", "/classes/A")).status, 403);
  for (const headers of [{ "x-parse-javascript-key": "js-key-of-tests" }, { "x-parse-rest-api-key": "rest-key-of-tests" }])
    assert.equal((await keyed.ask("GET", "/classes/A", { headers })).status, 200);
  assert.equal((await keyed.ask("GET", "/classes/A", { headers: { "x-parse-rest-api-key": "js-key-of-tests" } })).status, 403);
  assert.equal((await keyed.ask("GET", "/classes/A", { as: "master" })).status, 200);
});

test("keys may come as Basic credentials", async () => {
  const basic = (text) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
  assert.equal((await plain("GET", "/schemas", { headers: basic(`shop:${KEYS.master}`) })).status, 200);
  assert.equal((await plain("GET", "/schemas", { headers: basic("shop:wrong") })).status, 403);
  assert.equal((await plain("GET", "/classes/A", { headers: basic("shop:javascript-key=any") })).status, 200);
  assert.equal((await plain("GET", "/classes/A", { headers: { authorization: "Basic !!!" } })).status, 403);
});

test("the master key counts only from the addresses that the app lists", async () => {
  const remote = await App.make(daemon, "remote", { masterKeyIps: ["10.0.0.0/8"] });
  const answer = await remote.ask("GET", "/schemas", { as: "master" });
  assert.equal(answer.status, 403);
  assert.deepEqual(answer.json, { error: "unauthorized" });
  for (const [i, list] of [["127.0.0.0/8"], ["0.0.0.0/0"], ["::ffff:127.0.0.1"], ["::/0"]].entries()) {
    const near = await App.make(daemon, `near-${i}`, { masterKeyIps: list });
    assert.equal((await near.ask("GET", "/schemas", { as: "master" })).status, 200, list[0]);
  }
});

test("a request may say all in its body, as browsers do to avoid preflights", async () => {
  const made = await plain("POST", "/classes/Note", {
    headers: { "content-type": "text/plain" },
    body: { _ApplicationId: "shop", _ClientVersion: "js8.6.0", _InstallationId: "i1", _RevocableSession: "1", text: "a" },
  });
  assert.equal(made.status, 201, made.text);
  const found = await plain("POST", "/classes/Note", {
    headers: { "content-type": "text/plain" }, body: { _ApplicationId: "shop", _method: "GET", where: { text: "a" }, count: 1 },
  });
  assert.equal(found.json.count, 1);
  assert.deepEqual(Object.keys(found.json.results[0]).sort(), ["createdAt", "objectId", "text", "updatedAt"]);
  const asMaster = await plain("POST", "/schemas", { body: { _ApplicationId: "shop", _MasterKey: KEYS.master, _method: "GET" } });
  assert.equal(asMaster.status, 200);
  const maintenance = await plain("POST", "/schemas", { body: { _ApplicationId: "shop", _MaintenanceKey: KEYS.maintenance, _method: "GET" } });
  assert.equal(maintenance.status, 200);
  for (const body of [{ _ApplicationId: 5 }, { _ApplicationId: "shop", _SessionToken: { a: 1 } }, { _ApplicationId: "shop", _method: [] }])
    assert.equal((await plain("POST", "/classes/Note", { body })).status, 403, JSON.stringify(body));
});

test("a create answers 201 with where the object is; an update tells what operations made", async () => {
  const made = await app.ask("POST", "/classes/Wire", { body: { a: 1, l: [1] } });
  assert.equal(made.status, 201);
  assert.deepEqual(Object.keys(made.json).sort(), ["createdAt", "objectId"]);
  assert.equal(made.headers.location, `${app.url}/classes/Wire/${made.json.objectId}`);
  assert.match(made.json.objectId, /^[A-Za-z0-9]{10}$/);
  assert.match(made.json.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const put = await app.ask("PUT", `/classes/Wire/${made.json.objectId}`,
    { body: { a: op("Increment", { amount: 2 }), l: op("Add", { objects: [2] }), b: "plain" } });
  assert.equal(put.status, 200);
  assert.deepEqual(Object.keys(put.json).sort(), ["a", "l", "updatedAt"]);
  assert.equal(put.json.a, 3);
  assert.deepEqual(put.json.l, [1, 2]);
  const gone = await app.ask("DELETE", `/classes/Wire/${made.json.objectId}`);
  assert.deepEqual([gone.status, gone.json], [200, {}]);
});

test("what is not there is 404 with code 101", async () => {
  for (const [method, body] of [["GET"], ["PUT", { a: 1 }], ["DELETE"]]) {
    const answer = await app.ask(method, "/classes/Wire/nosuchthing", { body });
    assert.equal(answer.status, 404);
    assert.deepEqual(answer.json, { code: 101, error: "Object not found." });
  }
  assert.deepEqual((await app.need("GET", "/classes/NeverMade")).results, []);
});

test("a path that no route has is 404; methods it does not know, too", async () => {
  for (const [method, where] of [["GET", "/"], ["GET", "/nothing"], ["POST", "/classes/A/b/c"], ["PATCH", "/classes/A/b"]]) {
    const answer = await app.ask(method, where, { body: method === "GET" ? undefined : {} });
    assert.equal(answer.status, 404, `${method} ${where} ${answer.text}`);
    assert.equal(typeof answer.json.error, "string");
  }
});

test("double slashes behind the mount are one", async () => {
  assert.equal((await app.ask("GET", "//classes/Wire")).status, 200);
});

test("browsers may ask from where the app allows", async () => {
  const preflight = await plain("OPTIONS", "/classes/A", { headers: { origin: "https://x.example", "access-control-request-method": "POST" } });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers["access-control-allow-origin"], "*");
  assert.match(preflight.headers["access-control-allow-methods"], /PUT/);
  assert.match(preflight.headers["access-control-allow-headers"], /X-Parse-Session-Token/);
  const answer = await app.ask("GET", "/classes/A");
  assert.match(answer.headers["access-control-expose-headers"], /X-Parse-Job-Status-Id, X-Parse-Push-Status-Id/);
  const narrow = await App.make(daemon, "narrow", { allowOrigin: ["https://a.example", "https://b.example"], allowHeaders: ["X-Own"] });
  const from = async (origin) => (await narrow.ask("GET", "/classes/A", { headers: { origin } })).headers;
  assert.equal((await from("https://b.example"))["access-control-allow-origin"], "https://b.example");
  assert.equal((await from("https://evil.example"))["access-control-allow-origin"], "https://a.example");
  assert.match((await from("https://b.example"))["access-control-allow-headers"], /X-Own/);
});

test("malformed JSON is 400 without a number; a body that is no object, too", async () => {
  for (const body of ["{", "[1]", "\"text\"", "{\"a\":1,\"a\":2}", "nul"]) {
    const answer = await app.ask("POST", "/classes/A", { body });
    assert.equal(answer.status, 400, body);
    assert.equal(answer.json.code, undefined);
    assert.equal(typeof answer.json.error, "string");
  }
});

test("a body larger than maxUploadSize is 413", async () => {
  const small = await App.make(daemon, "small", { maxUploadSize: 2048 });
  assert.equal((await small.ask("POST", "/classes/A", { body: { a: "x".repeat(1900) } })).status, 201);
  assert.equal((await small.ask("POST", "/classes/A", { body: { a: "x".repeat(2100) } })).status, 413);
});

test("parameters in a URL are read as JSON where they are JSON", async () => {
  const o = await app.create("Params", { n: 5, s: "5" });
  assert.equal((await app.find("Params", { where: { n: 5 } })).length, 1);
  assert.equal((await app.find("Params", { where: { s: "5" }, limit: "1" })).length, 1);
  assert.equal((await app.find("Params", { where: "{\"n\":{\"$gt\":4}}", order: "-n" }))[0].objectId, o.objectId);
  await app.fails(102, "GET", "/classes/Params", { query: { nonsense: 1 } });
  await app.fails(102, "GET", `/classes/Params/${o.objectId}`, { query: { where: {} } });
  await app.fails(102, "GET", "/classes/Params", { query: { limit: "many" } });
  await app.fails(102, "GET", "/classes/Params", { query: { skip: -1 } });
});

test("limit caps, skips and counts as it does there", async () => {
  await app.need("POST", "/batch", { body: { requests: Array.from({ length: 120 }, (_, i) => ({ method: "POST", path: "/parse/classes/Many", body: { i } })) } });
  assert.equal((await app.find("Many")).length, 100, "defaultLimit");
  assert.equal((await app.find("Many", { limit: 1000 })).length, 120);
  const counted = await app.need("GET", "/classes/Many", { query: { limit: 0, count: 1 } });
  assert.deepEqual(counted, { results: [], count: 120 });
  const both = await app.need("GET", "/classes/Many", { query: { limit: 2, skip: 5, count: 1, order: "i" } });
  assert.deepEqual([both.count, both.results.map((o) => o.i)], [120, [5, 6]]);
  const capped = await App.make(daemon, "capped", { maxLimit: 10, defaultLimit: 3 });
  await capped.need("POST", "/batch", { body: { requests: Array.from({ length: 20 }, (_, i) => ({ method: "POST", path: "/parse/classes/Many", body: { i } })) } });
  assert.equal((await capped.find("Many")).length, 3);
  assert.equal((await capped.find("Many", { limit: 1000 })).length, 10);
});

test("keys, excludeKeys and include cut and complete what is shown", async () => {
  const inner = await app.create("Inner", { x: 1, y: 2 });
  const made = await app.create("Outer", { a: 1, b: { c: 1, d: 2 }, p: pointer("Inner", inner.objectId), l: [pointer("Inner", inner.objectId), pointer("Inner", "gone000000"), 7] });
  const get = async (query) => (({ createdAt, updatedAt, objectId, ...rest }) => rest)(await app.get("Outer", made.objectId, { query }));
  assert.deepEqual(await get({ keys: "a" }), { a: 1 });
  assert.deepEqual(await get({ keys: "b.c" }), { b: { c: 1 } });
  assert.deepEqual(Object.keys(await get({ excludeKeys: "a,b" })).sort(), ["l", "p"]);
  const whole = await get({ include: "p,l" });
  assert.deepEqual([whole.p.__type, whole.p.className, whole.p.x], ["Object", "Inner", 1]);
  assert.deepEqual(whole.l.map((e) => e.x ?? e), [1, 7], "a missing one leaves the array");
  assert.equal((await get({ include: "*" })).p.y, 2);
  assert.equal((await get({ keys: "p.x" })).p.y, undefined);
  assert.equal((await get({ keys: "p.x" })).p.x, 1);
  await app.need("DELETE", `/classes/Inner/${inner.objectId}`);
  assert.equal("p" in await get({ include: "p" }), false, "a single missing one goes");
});

test("a context must be an object", async () => {
  assert.equal((await app.ask("POST", "/classes/A", { body: {}, headers: { "x-parse-cloud-context": "{\"a\":1}" } })).status, 201);
  await app.fails(107, "POST", "/classes/A", { body: {}, headers: { "x-parse-cloud-context": "[1]" } });
  await app.fails(107, "POST", "/classes/A", { body: {}, headers: { "x-parse-cloud-context": "{" } });
});

test("a request with an id of its own happens once, and again after a failure", async () => {
  const once = await App.make(daemon, "once", { idempotencyOptions: { paths: ["classes/Paid"], ttl: 60 } });
  const headers = { "x-parse-request-id": "r1" };
  await once.create("Paid", { n: 1 }, { headers });
  const second = await once.ask("POST", "/classes/Paid", { body: { n: 1 }, headers });
  assert.deepEqual([second.status, second.json], [400, { code: 159, error: "Duplicate request" }]);
  assert.equal((await once.find("Paid")).length, 1);
  await once.create("Other", { n: 1 }, { headers });
  await once.create("Other", { n: 1 }, { headers });
  await once.fails(111, "POST", "/classes/Paid", { body: { n: "text" }, headers: { "x-parse-request-id": "r2" } });
  await once.create("Paid", { n: 2 }, { headers: { "x-parse-request-id": "r2" } });
});

test("rates are limited as the app says, batches included, and master is free", async () => {
  const rated = await App.make(daemon, "rated", { rateLimit: [
    { requestPath: "/classes/Slow", requestTimeWindow: 600000, requestCount: 3, requestMethods: "POST", includeInternalRequests: true }] });
  for (let i = 0; i < 2; i++) await rated.create("Slow", { i });
  await rated.need("POST", "/batch", { body: { requests: [{ method: "POST", path: "/parse/classes/Slow", body: {} }] } });
  const more = await rated.ask("POST", "/classes/Slow", { body: {} });
  assert.deepEqual([more.status, more.json], [429, { code: 100, error: "Too many requests." }]);
  assert.equal((await rated.ask("GET", "/classes/Slow")).status, 200);
  assert.equal((await rated.ask("POST", "/classes/Slow", { body: {}, as: "master" })).status, 201);
});

test("installations are found again by what they are known by", async () => {
  const save = (body, options) => app.need("POST", "/installations", { body, ...options });
  await app.fails(135, "POST", "/installations", { body: { deviceType: "ios" } });
  await app.fails(135, "POST", "/installations", { body: { installationId: "AbC" } });
  const first = await save({ installationId: "AbC", deviceType: "ios", deviceToken: "t1" });
  const again = await save({ installationId: "abc", deviceType: "ios", channels: ["x"] });
  assert.equal(again.objectId, first.objectId, "the same, whatever the letters' case");
  const found = await app.find("_Installation", {}, { as: "master" });
  assert.deepEqual(found.map((o) => [o.installationId, o.channels]), [["abc", ["x"]]]);
  await app.fails(136, "PUT", `/installations/${first.objectId}`, { body: { installationId: "other" } });
  await app.fails(136, "PUT", `/installations/${first.objectId}`, { body: { deviceType: "android" } });
  const other = await save({ installationId: "new", deviceType: "ios", deviceToken: "t1" });
  assert.notEqual(other.objectId, first.objectId);
  assert.equal((await app.find("_Installation", {}, { as: "master" })).length, 1, "the token has moved");
  await app.fails(119, "GET", "/installations");
  await app.fails(119, "DELETE", `/installations/${other.objectId}`);
});

test("installations that share a token are ambiguous without an id of their own", async () => {
  const own = await App.make(daemon, "devices");
  await own.need("POST", "/installations", { body: { installationId: "a", deviceType: "ios", deviceToken: "same", appIdentifier: "x" } });
  await own.need("POST", "/installations", { body: { installationId: "b", deviceType: "ios", deviceToken: "same", appIdentifier: "y" } });
  assert.equal((await own.find("_Installation", {}, { as: "master" })).length, 2, "two apps on one device");
  await own.fails(132, "POST", "/installations", { body: { deviceType: "ios", deviceToken: "same" } });
});

test("what is not served yet says so", async () => {
  await app.fails(115, "POST", "/push", { as: "master", body: { data: {} } });
  await app.fails(108, "GET", "/scriptlog", { as: "master" });
  await app.fails(108, "POST", "/graphql", { body: {} });
  assert.deepEqual(await app.need("POST", "/events/AppOpened", { body: {} }), {});
  assert.equal(typeof (await app.need("GET", "/serverInfo", { as: "master" })).features, "object");
});

test("full text tells how well it fits, and relative times are taken", async () => {
  await app.create("Words", { t: "coffee coffee coffee", at: date(new Date().toISOString()) });
  await app.create("Words", { t: "tea and coffee and water and milk", at: date("2001-01-01T00:00:00Z") });
  const search = { t: { $text: { $search: { $term: "coffee" } } } };
  const found = await app.find("Words", { where: search, keys: "$score", order: "$score" });
  assert.equal(found.length, 2);
  assert.ok(found.every((o) => typeof o.score === "number" && o.t), JSON.stringify(found));
  assert.equal((await app.find("Words", { where: { at: { $gt: { $relativeTime: "2 weeks ago" } } } })).length, 1);
  await app.fails(107, "GET", "/classes/Words", { query: { where: { t: { $text: { $search: "coffee" } } } } });
});

test("roles have a name that stays, once, and an access list", async () => {
  const acl = { "*": { read: true } };
  await app.fails(111, "POST", "/roles", { body: { name: "A" } });
  await app.fails(111, "POST", "/roles", { body: { ACL: acl } });
  await app.fails(139, "POST", "/roles", { body: { name: "a/b", ACL: acl } });
  const role = await app.need("POST", "/roles", { body: { name: "A", ACL: acl } });
  await app.fails(137, "POST", "/roles", { body: { name: "A", ACL: acl } });
  await app.fails(136, "PUT", `/roles/${role.objectId}`, { body: { name: "B" }, as: "master" });
  assert.equal((await app.need("GET", `/classes/_Role/${role.objectId}`)).name, "A");
});

test("aggregation is master's, and judged before it runs", async () => {
  await app.create("Agg", { k: "a", n: 1 });
  await app.create("Agg", { k: "a", n: 2 });
  await app.create("Agg", { k: "b", n: 5 });
  const ask = (pipeline) => app.need("GET", "/aggregate/Agg", { as: "master", query: { pipeline } }).then((r) => r.results);
  assert.deepEqual((await ask([{ $group: { _id: "$k", sum: { $sum: "$n" } } }, { $sort: { sum: 1 } }])), [{ objectId: "a", sum: 3 }, { objectId: "b", sum: 5 }]);
  assert.deepEqual((await app.need("GET", "/aggregate/Agg", { as: "master", query: { distinct: "k" } })).results.sort(), ["a", "b"]);
  assert.equal((await app.ask("GET", "/aggregate/Agg", { query: { distinct: "k" } })).status, 403);
  for (const pipeline of [[{ match: {} }], [{ $match: {}, $sort: {} }], [{ $group: { objectId: null } }], [{ $group: { n: 1 } }], [1]])
    await app.fails(102, "GET", "/aggregate/Agg", { as: "master", query: { pipeline } });
});

test("pipelined requests of one connection get their answers in order", async () => {
  const head = (where) => `GET /parse${where} HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: shop\r\n\r\n`;
  const text = await raw(daemon.port, head("/classes/Many?limit=1") + head("/health") + head("/classes/NeverMade"), { quiet: 1000 });
  const bodies = [...text.matchAll(/\r\n\r\n(\{[^]*?\})(?=HTTP|$)/g)].map((m) => JSON.parse(m[1]));
  assert.deepEqual(bodies.map((b) => b.results?.length ?? b.status), [1, "ok", 0]);
});

test("a date is kept to the millisecond, whatever its zone was", async () => {
  const o = await app.create("Dates", { d: date("2020-03-01T00:30:00+01:00") });
  assert.equal((await app.get("Dates", o.objectId)).d.iso, "2020-02-29T23:30:00.000Z");
});

test("what clients may not ask is refused with the numbers that SDKs know", async () => {
  const user = await app.signUp("rests");
  const explain = await app.fails(102, "GET", "/classes/Wire", { query: { explain: true } });
  assert.equal(explain.error, "Using the explain query parameter requires the master key");
  assert.equal((await app.ask("GET", "/classes/Wire", { query: { explain: true }, as: "master" })).status, 200);
  assert.equal((await app.fails(119, "POST", "/loginAs", { body: { userId: user.objectId } })).error, "master key is required");
  await app.fails(119, "POST", "/loginAs", { body: { userId: user.objectId }, as: "read-only-master" });
  assert.equal((await app.fails(206, "DELETE", `/users/${user.objectId}`)).error, "Insufficient auth to delete user");
  assert.equal((await app.fails(102, "GET", "/classes/Wire", { query: { where: { s: { $regex: 5 } } } })).error, "$regex value must be a string");
  const to = await app.create("To", { x: 1 });
  await app.create("From", { p: pointer("To", to.objectId) });
  assert.equal((await app.find("From", { redirectClassNameForKey: "p" }))[0].p.objectId, to.objectId, "only a relation leads elsewhere");
});
