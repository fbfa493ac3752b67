// Types, operations, schemas: what is taken, what is refused and with which number.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { App, date, op, pointer, startDaemon } from "./app.mjs";

let daemon, app;
before(async () => {
  daemon = await startDaemon();
  app = await App.make(daemon, "shop");
});
after(() => daemon.close());

const typed = (__type, members = {}) => ({ __type, ...members });
const VALUES = {
  String: "text", Number: 1.5, Boolean: true, Array: [1], Object: { a: 1 }, Date: date("2020-01-01T00:00:00.000Z"),
  "Pointer<Team>": pointer("Team", "abcdefghij"), File: typed("File", { name: "a.txt" }),
  GeoPoint: typed("GeoPoint", { latitude: 1, longitude: 2 }), Bytes: typed("Bytes", { base64: "aGk=" }),
  Polygon: typed("Polygon", { coordinates: [[0, 0], [0, 1], [1, 1]] }),
};

test("a field takes the type of its first value, and no other afterwards", async () => {
  for (const [type, value] of Object.entries(VALUES)) {
    const className = `T${type.replace(/\W/g, "")}`;
    const o = await app.create(className, { f: value });
    const back = (await app.get(className, o.objectId)).f;
    if (type === "File") assert.equal(back.url, `${app.url}/files/shop/a.txt`);
    else if (type === "Polygon") assert.deepEqual(back.coordinates, [[0, 0], [0, 1], [1, 1], [0, 0]], "closed");
    else assert.deepEqual(back, value);
    for (const [other, wrong] of Object.entries(VALUES)) {
      if (other === type) continue;
      const refused = await app.fails(111, "POST", `/classes/${className}`, { body: { f: wrong } });
      assert.equal(refused.error, `schema mismatch for ${className}.f; expected ${type} but got ${other}`);
    }
  }
});

test("a pointer to another class than before is refused", async () => {
  await app.create("Ptr", { p: pointer("One", "abcdefghij") });
  const refused = await app.fails(111, "POST", "/classes/Ptr", { body: { p: pointer("Two", "abcdefghij") } });
  assert.equal(refused.error, "schema mismatch for Ptr.p; expected Pointer<One> but got Pointer<Two>");
});

test("typed values that lack what they need are refused", async () => {
  const bad = [
    typed("Date"), typed("Date", { iso: 5 }), date("yesterday"), date("2020-13-01T00:00:00Z"), date("2021-02-29T00:00:00Z"),
    date("+275760-09-13T00:00:00Z"), date("9999-12-31T23:59:59-01:00"), typed("Pointer", { className: "A" }),
    typed("Pointer", { objectId: "x" }), typed("Pointer", { className: "no good", objectId: "x" }), typed("File"),
    typed("GeoPoint", { latitude: 1 }), typed("GeoPoint", { latitude: 91, longitude: 0 }), typed("GeoPoint", { latitude: "1", longitude: 2 }),
    typed("GeoPoint", { latitude: 0, longitude: -180.1 }), typed("Polygon", { coordinates: [[0, 0], [1, 1]] }),
    typed("Polygon", { coordinates: [[0, 0], [1, 1], [0, 0]] }), typed("Polygon", { coordinates: [[0, 0], [1, 1], [99, 0]] }),
    typed("Bytes"), typed("Bytes", { base64: "%%%" }), typed("Relation"), typed("Nonsense"),
  ];
  for (const value of bad) {
    await app.fails(111, "POST", "/classes/Bad", { body: { f: value } });
    await app.fails(111, "POST", "/classes/Bad", { body: { f: [value] } });
  }
  for (const edge of [date("0000-01-01T00:00:00.000Z"), date("9999-12-31T23:59:59.999Z"), typed("GeoPoint", { latitude: -90, longitude: 180 })])
    await app.create(`Edge${edge.__type}`, { f: edge });
});

test("a class has one GeoPoint field at most", async () => {
  const g = VALUES.GeoPoint;
  await app.fails(111, "POST", "/classes/Geo2", { body: { a: g, b: g } });
  await app.create("Geo2", { a: g });
  await app.fails(111, "POST", "/classes/Geo2", { body: { b: g } });
});

test("names that are none are refused", async () => {
  for (const name of ["1a", "a-b", "length", "className", "ä", "_x", "a b", "__proto__"])
    await app.fails(105, "POST", "/classes/Names", { body: `{${JSON.stringify(name)}:1}` });
  for (const name of ["1A", "A-b", "_Nope", "_Join:a:B", "Ä"]) {
    const answer = await app.ask("POST", `/classes/${encodeURIComponent(name)}`, { body: {}, as: "master" });
    assert.deepEqual([answer.status, answer.json.code], [400, 103], name);
  }
  await app.fails(121, "POST", "/classes/Names", { body: { a: { "b.c": 1 } } });
  await app.fails(121, "POST", "/classes/Names", { body: { a: { b: [{ $c: 1 }] } } });
  for (const key of ["constructor", "_bsontype"]) await app.fails(105, "POST", "/classes/Names", { body: { a: { [key]: 1 } } });
  await app.fails(105, "POST", "/classes/Names", { body: "{\"a\":{\"__proto__\":{\"x\":1}}}" });
});

test("an id cannot be chosen, unless the app allows it", async () => {
  await app.fails(105, "POST", "/classes/Ids", { body: { objectId: "chosen" } });
  await app.fails(105, "POST", "/classes/Ids", { body: { id: "chosen" } });
  const free = await App.make(daemon, "free", { allowCustomObjectId: true });
  assert.equal((await free.create("Ids", { objectId: "chosen" })).objectId, "chosen");
  await free.fails(137, "POST", "/classes/Ids", { body: { objectId: "chosen" } });
  await free.fails(104, "POST", "/classes/Ids", { body: { objectId: "" } });
  await free.fails(104, "POST", "/classes/Ids", { body: { objectId: null } });
  assert.equal((await free.create("Ids", {})).objectId.length, 10);
});

test("operations on create are what they would have made", async () => {
  const o = await app.create("Ops", {
    n: op("Increment", { amount: 3 }), a: op("Add", { objects: [1, 1] }), u: op("AddUnique", { objects: [1, 1, 2] }),
    r: op("Remove", { objects: [1] }), d: op("Delete"), s: op("SetOnInsert", { amount: "x" }),
  });
  const { n, a, u, r, d, s } = await app.get("Ops", o.objectId);
  assert.deepEqual({ n, a, u, r, d, s }, { n: 3, a: [1, 1], u: [1, 2], r: [], d: undefined, s: "x" });
  await app.update("Ops", o.objectId, { s: op("SetOnInsert", { amount: "y" }), n: op("Delete") });
  const back = await app.get("Ops", o.objectId);
  assert.equal(back.s, "x");
  assert.equal("n" in back, false);
});

test("elements are equal when they mean the same", async () => {
  const p = pointer("Team", "abcdefghij");
  const o = await app.create("Sets", { l: [{ a: 1, b: 2 }, p, 1] });
  const put = (name, objects) => app.update("Sets", o.objectId, { l: op(name, { objects }) }).then((r) => r.l);
  assert.equal((await put("AddUnique", [{ b: 2, a: 1 }, p, 1.0])).length, 3);
  assert.deepEqual(await put("Remove", [{ b: 2, a: 1 }, p]), [1]);
});

test("operations on what they cannot act on are refused", async () => {
  const o = await app.create("Ops2", { s: "text", n: 1, l: [] });
  const fails = (code, body) => app.fails(code, "PUT", `/classes/Ops2/${o.objectId}`, { body });
  await fails(111, { s: op("Increment", { amount: 1 }) });
  await fails(111, { n: op("Add", { objects: [1] }) });
  await fails(107, { n: op("Increment", { amount: "1" }) });
  await fails(107, { l: op("Add", { objects: 1 }) });
  await fails(108, { l: op("Nonsense") });
  await fails(107, { l: op("Batch", { ops: [op("Batch", { ops: [] })] }) });
  await fails(111, { r: op("AddRelation", { objects: [1] }) });
  await fails(111, { r: op("AddRelation", { objects: [pointer("A", "a"), pointer("B", "b")] }) });
  await app.update("Ops2", o.objectId, { n: op("Increment", { amount: 1e308 }) });
  await fails(111, { n: op("Increment", { amount: 1.7e308 }) });
});

test("dotted names reach into objects and arrays", async () => {
  const o = await app.create("Dots", { m: { a: { n: 1 } }, l: [{ x: 1 }, { x: 2 }] });
  const put = (body) => app.update("Dots", o.objectId, body);
  assert.deepEqual((await put({ "m.a.n": op("Increment", { amount: 2 }) })).m, { a: { n: 3 } });
  await put({ "m.b": "new", "m.a.k": true, "l.1.x": 5 });
  const { m, l } = await app.get("Dots", o.objectId);
  assert.deepEqual([m, l], [{ a: { n: 3, k: true }, b: "new" }, [{ x: 1 }, { x: 5 }]]);
  await put({ "m.a": op("Delete") });
  assert.deepEqual((await app.get("Dots", o.objectId)).m, { b: "new" });
  for (const name of ["m..a", ".m", "m.", "l.9.x", "m.b.c", "m.__proto__.x", "m.$x"]) {
    const answer = await app.ask("PUT", `/classes/Dots/${o.objectId}`, { body: { [name]: 1 } });
    assert.equal(answer.status, 400, `${name}: ${answer.text}`);
  }
});

test("writers of one number at the same time all count", async () => {
  const o = await app.create("Race", { n: 0, l: [] });
  await Promise.all(Array.from({ length: 60 }, (_, i) => app.update("Race", o.objectId,
    { n: op("Increment", { amount: 1 }), l: op("AddUnique", { objects: [i % 10] }) })));
  const back = await app.get("Race", o.objectId);
  assert.equal(back.n, 60);
  assert.equal(back.l.length, 10);
});

test("relations go by their own answers and stay out of the object", async () => {
  const [a, b] = await Promise.all([app.create("Part", { n: 1 }), app.create("Part", { n: 2 })]);
  const o = await app.create("Whole", { parts: op("AddRelation", { objects: [pointer("Part", a.objectId)] }) });
  const put = await app.update("Whole", o.objectId, { parts: op("Batch", { ops: [
    op("AddRelation", { objects: [pointer("Part", b.objectId)] }), op("RemoveRelation", { objects: [pointer("Part", a.objectId)] })] }) });
  assert.deepEqual(Object.keys(put), ["updatedAt"]);
  assert.deepEqual((await app.get("Whole", o.objectId)).parts, { __type: "Relation", className: "Part" });
  const related = (key, id) => app.find("Part", { where: { $relatedTo: { object: pointer("Whole", id), key } } });
  assert.deepEqual((await related("parts", o.objectId)).map((x) => x.n), [2]);
  assert.deepEqual(await related("parts", "gone000000"), []);
  const redirected = await app.need("GET", "/classes/Whole", { query: { redirectClassNameForKey: "parts", where: { n: 1 } } });
  assert.deepEqual([redirected.className, redirected.results.length], ["Part", 1]);
});

test("schemas are made with their fields, and every mistake has its number", async () => {
  const master = (code, method, where, body) => app.fails(code, method, where, { body, as: "master" });
  const made = await app.need("POST", "/schemas/Made", { as: "master", body: { className: "Made", fields: {
    s: { type: "String", required: true }, n: { type: "Number", defaultValue: 7 }, p: { type: "Pointer", targetClass: "Team" } } } });
  assert.deepEqual(made.fields.p, { type: "Pointer", targetClass: "Team" });
  assert.deepEqual(made.fields.objectId, { type: "String" });
  await master(103, "POST", "/schemas/Made", {});
  await master(103, "POST", "/schemas/Made2", { className: "Other" });
  await master(103, "POST", "/schemas/no-name", {});
  await master(135, "POST", "/schemas", {});
  await master(103, "GET", "/schemas/Never");
  await master(103, "PUT", "/schemas/Never", {});
  const field = (name, spec) => ({ fields: { [name]: spec } });
  await master(105, "PUT", "/schemas/Made", field("1x", { type: "String" }));
  await master(136, "PUT", "/schemas/Made", field("objectId", { type: "Number" }));
  await master(111, "PUT", "/schemas/Made", field("x", { type: "Nonsense" }));
  await master(107, "PUT", "/schemas/Made", field("x", {}));
  await master(135, "PUT", "/schemas/Made", field("x", { type: "Pointer" }));
  await master(103, "PUT", "/schemas/Made", field("x", { type: "Pointer", targetClass: "no good" }));
  await master(255, "PUT", "/schemas/Made", field("s", { type: "Number" }));
  await master(255, "PUT", "/schemas/Made", field("never", op("Delete")));
  await master(111, "PUT", "/schemas/Made", field("x", { type: "Number", defaultValue: "text" }));
  await master(111, "PUT", "/schemas/Made", field("x", { type: "Relation", targetClass: "A", required: true }));
  await master(102, "PUT", "/schemas/Made", { indexes: { i: { never: 1 } } });
  await master(102, "PUT", "/schemas/Made", { indexes: { never: op("Delete") } });
  assert.equal((await app.ask("GET", "/schemas")).status, 403);

  await app.fails(142, "POST", "/classes/Made", { body: {} });
  const o = await app.create("Made", { s: "x" });
  assert.equal(o.n, 7, "a default is told");
  await app.fails(142, "PUT", `/classes/Made/${o.objectId}`, { body: { s: op("Delete") } });
  await app.need("PUT", "/schemas/Made", { as: "master", body: field("n", op("Delete")) });
  assert.equal("n" in await app.get("Made", o.objectId), false);
  await app.create("Made", { s: "y", n: "another type now" });
  await master(255, "DELETE", "/schemas/Made");
  assert.deepEqual(await app.need("DELETE", "/purge/Made", { as: "master" }), {});
  assert.deepEqual(await app.need("DELETE", "/schemas/Made", { as: "master" }), {});
  await master(103, "GET", "/schemas/Made");
});

test("permissions of a class are judged before they are kept", async () => {
  await app.need("POST", "/schemas/Judged", { as: "master", body: { fields: { owner: { type: "Pointer", targetClass: "_User" }, s: { type: "String" } } } });
  const put = (classLevelPermissions) => app.ask("PUT", "/schemas/Judged", { as: "master", body: { classLevelPermissions } });
  for (const bad of [5, { nonsense: {} }, { find: 1 }, { find: { "*": "yes" } }, { find: { "role:": true } }, { find: { "a b": true } },
    { find: { pointerFields: ["s"] } }, { find: { pointerFields: "owner" } }, { readUserFields: ["never"] }, { protectedFields: { "*": ["objectId"] } },
    { protectedFields: { "*": ["never"] } }, { protectedFields: { "*": "s" } }, { ACL: [] }]) {
    const answer = await put(bad);
    assert.ok([107, 123].includes(answer.json.code), `${JSON.stringify(bad)}: ${answer.text}`);
  }
  const good = { find: { "*": true }, get: { requiresAuthentication: true }, update: { pointerFields: ["owner"] }, protectedFields: { "*": ["s"] } };
  const answer = await put(good);
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json.classLevelPermissions.create, {}, "what is not given is closed");
});

test("a batch answers each part, in order, and refuses what it cannot route", async () => {
  const batch = (requests, more = {}) => app.ask("POST", "/batch", { body: { requests, ...more } });
  const made = await batch([
    { method: "POST", path: "/parse/classes/B", body: { n: 1 } },
    { method: "POST", path: "/parse/classes/B", body: { n: "x" } },
    { method: "DELETE", path: "/parse/classes/B/nosuchthing" },
    { method: "GET", path: "/parse/classes/B?limit=0&count=1" },
    { method: "GET", path: "/parse/classes/Nothing/x" },
  ]);
  assert.equal(made.status, 200);
  assert.deepEqual(made.json.map((p) => Object.keys(p)[0]), ["success", "error", "error", "success", "error"]);
  assert.deepEqual(made.json.slice(1, 3).map((p) => p.error.code), [111, 101]);
  assert.deepEqual((await batch([])).json, []);
  for (const bad of [[{ method: "POST", path: "/classes/B" }], [{ method: "POST", path: "/parse/batch", body: {} }], [{ path: "/parse/classes/B" }], [5], "x",
    [{ method: "POST", path: "/parse/nowhere" }], [{ method: "PATCH", path: "/parse/classes/B" }], [{ method: "POST", path: "/parse/classes/B", body: { n: 9 } }, { method: "GET", path: "/parse/nowhere/x" }]])
    await app.fails(107, "POST", "/batch", { body: { requests: bad } });
  const before = (await app.need("GET", "/classes/B", { query: { count: 1, limit: 0 } })).count;
  const tx = await batch([{ method: "POST", path: "/parse/classes/B", body: { n: 2 } }, { method: "POST", path: "/parse/classes/B", body: { n: "x" } }], { transaction: true });
  assert.deepEqual([tx.status, tx.json.code], [400, 111]);
  assert.equal((await app.need("GET", "/classes/B", { query: { count: 1, limit: 0 } })).count, before);
  const none = { method: "GET", path: "/parse/classes/Nothing/x" };
  assert.equal((await batch(Array.from({ length: 5000 }, () => none))).json.length, 5000);
  await app.fails(107, "POST", "/batch", { body: { requests: Array.from({ length: 5001 }, () => none) } });
  const limited = await App.make(daemon, "limited", { requestComplexity: { batchSize: 2 } });
  const two = Array.from({ length: 2 }, () => ({ method: "POST", path: "/parse/classes/B", body: {} }));
  assert.equal((await limited.ask("POST", "/batch", { body: { requests: two } })).status, 200);
  await limited.fails(107, "POST", "/batch", { body: { requests: [...two, two[0]] } });
  assert.equal((await limited.ask("POST", "/batch", { body: { requests: [...two, two[0]] }, as: "master" })).status, 200);
});

test("what the app asks of queries' complexity holds for clients", async () => {
  const strict = await App.make(daemon, "strict", { requestComplexity: { includeDepth: 2, includeCount: 2, subqueryDepth: 1, conditionDepth: 2, regex: false } });
  await strict.create("A", { a: 1 });
  const find = (query) => strict.ask("GET", "/classes/A", { query });
  const nested = (n) => (n ? { $or: [nested(n - 1)] } : { a: 1 });
  const sub = (n) => (n ? { p: { $inQuery: { className: "A", where: sub(n - 1) } } } : { a: 1 });
  for (const [good, bad] of [[{ include: "a.b" }, { include: "a.b.c" }], [{ include: "a,b" }, { include: "a,b,c" }],
    [{ where: nested(2) }, { where: nested(3) }], [{ where: sub(1) }, { where: sub(2) }], [{ where: { s: "x" } }, { where: { s: { $regex: "x" } } }]]) {
    assert.equal((await find(good)).status, 200, JSON.stringify(good));
    const refused = await find(bad);
    assert.deepEqual([refused.status, refused.json.code], [400, 102], JSON.stringify(bad));
    assert.equal((await strict.ask("GET", "/classes/A", { query: bad, as: "master" })).status, 200);
  }
});
