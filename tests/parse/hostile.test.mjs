// What strangers send: operators where values belong, depth, size, cycles, ReDoS, prototypes, broken unicode. Nothing may be
// 5xx, slow without bound, or shown to who must not see it; the daemon lives on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { request } from "../e2e/harness.mjs";
import { App, op, pointer, startDaemon } from "./app.mjs";

let daemon, app;
before(async () => {
  daemon = await startDaemon();
  app = await App.make(daemon, "shop", { queryTimeMs: 500 });
});
after(() => daemon.close());

const fine = (answer, what) => assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`);

test("operators in the place of values find nothing that they should not", async () => {
  await app.create("Secret", { k: "v", ACL: {} }, { as: "master" });
  const wheres = [{ k: { $ne: null } }, { k: { $gt: "" } }, { k: { $regex: ".*" } }, { $or: [{ k: "v" }, {}] }, { $nor: [{ k: "x" }] },
    { k: { $not: { $eq: "x" } } }, { objectId: { $gt: "" } }, { k: { $exists: true } }, { "k' OR 1=1 --": 1 }, { $where: "1" }, { $expr: {} },
    { k: { $where: "true" } }, { _rperm: { $exists: false } }, { _wperm: "x" }, { _hashed_password: { $regex: "." } }, { readers: null }, { hidden: { $exists: true } }];
  for (const where of wheres) {
    const answer = await app.ask("GET", "/classes/Secret", { query: { where } });
    fine(answer, JSON.stringify(where));
    assert.deepEqual(answer.json.results ?? [], [], JSON.stringify(where));
  }
});

test("what no query may be is refused with a number", async () => {
  await app.create("Q", { a: 1, l: [1], s: "x" });
  const bad = [[105, { "a b": 1 }], [105, { "1a": 1 }], [105, { _x: 1 }], [102, { $or: {} }], [102, { $and: "x" }], [102, { $nor: [] }], [102, { $or: [1] }],
    [107, { a: { $foo: 1 } }], [107, { a: { $in: 1 } }], [102, { $relatedTo: {} }], [102, { s: { $regex: "a", $options: "q" } }],
    [102, { a: { $inQuery: 1 } }], [102, { a: { $select: {} } }], [107, { s: { $text: { $search: "x" } } }]];
  for (const [code, where] of bad) await app.fails(code, "GET", "/classes/Q", { query: { where } });
  for (const where of ["{", "5", "[]", "\"x\""]) {
    const answer = await app.ask("GET", "/classes/Q", { query: { where } });
    assert.equal(answer.status, 400, where);
    assert.equal(answer.json.code, 107, where);
  }
  for (const order of ["a;drop", "-", "a b", "\"", "$natural"]) {
    const answer = await app.ask("GET", "/classes/Q", { query: { order } });
    fine(answer, order);
  }
});

test("depth and size have bounds", async () => {
  const deep = (n) => "{\"a\":".repeat(n) + "1" + "}".repeat(n);
  const stored = await app.ask("POST", "/classes/Deep", { body: deep(1000) });
  assert.equal(stored.status, 400);
  fine(await app.ask("POST", "/classes/Deep", { body: "[".repeat(100000) }), "brackets");
  assert.equal((await app.ask("POST", "/classes/Deep", { body: deep(20) })).status, 201);
  const nest = (n) => (n ? { $or: [nest(n - 1)] } : { a: 1 });
  await app.fails(102, "GET", "/classes/Q", { query: { where: nest(13) } });
  const wide = await app.ask("POST", "/classes/Q", { body: { _method: "GET", where: { $or: Array.from({ length: 25000 }, (_, i) => ({ a: i })) } } });
  fine(wide, "wide");
  const many = Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`f${i}`, 1]));
  await app.fails(116, "POST", "/classes/Fields", { body: many });
  fine(await app.ask("POST", "/classes/Big", { body: { l: Array.from({ length: 300000 }, (_, i) => i) } }), "a long array");
  const o = await app.create("Uniq", { l: Array.from({ length: 20000 }, (_, i) => i) });
  const began = Date.now();
  await app.update("Uniq", o.objectId, { l: op("AddUnique", { objects: Array.from({ length: 20000 }, (_, i) => i + 10000) }) });
  assert.ok(Date.now() - began < 30000);
  fine(await app.ask("GET", "/classes/Q", { query: { include: Array.from({ length: 2000 }, (_, i) => `a${i}`).join() } }), "includes");
  await app.fails(102, "GET", "/classes/Q", { query: { include: Array.from({ length: 50 }, () => "a").join(".") } });
});

test("pointers in circles end", async () => {
  const a = await app.create("Ring", {});
  const b = await app.create("Ring", { next: pointer("Ring", a.objectId) });
  await app.update("Ring", a.objectId, { next: pointer("Ring", b.objectId), self: pointer("Ring", a.objectId) });
  const path = Array.from({ length: 12 }, () => "next").join(".");
  const back = await app.get("Ring", a.objectId, { query: { include: `${path},self.self` } });
  let depth = 0;
  for (let at = back.next; at?.__type === "Object"; at = at.next) depth++;
  assert.equal(depth, 12);
  const fan = await app.create("Fan", { l: Array.from({ length: 300 }, () => pointer("Ring", a.objectId)) });
  await app.update("Ring", a.objectId, { l: Array.from({ length: 300 }, () => pointer("Ring", a.objectId)) });
  const blown = await app.ask("GET", `/classes/Fan/${fan.objectId}`, { query: { include: "l.l.l" } });
  assert.ok(blown.status === 400 && [102, 116].includes(blown.json.code), blown.text.slice(0, 200));
});

test("a pattern that never ends is ended", async () => {
  await app.create("Re", { s: `${"a".repeat(2000)}!` });
  for (const pattern of ["^(a+)+$", "(a|a)*$", "(.*a){25}b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(?R)", "(", "\\Q", "[[:alpha:]", "(?<n>a)\\g{x}"]) {
    const answer = await app.ask("GET", "/classes/Re", { query: { where: { s: { $regex: pattern } } } });
    fine(answer, pattern);
  }
});

test("keys that mean something elsewhere mean nothing here", async () => {
  for (const body of ["{\"constructor\":{\"prototype\":{\"x\":1}}}", "{\"toString\":1}", "{\"hasOwnProperty\":\"x\"}"])
    fine(await app.ask("POST", "/classes/Proto", { body }), body);
  for (const name of ["__proto__", "constructor", "_bsontype"])
    for (const body of [`{"${name}":1}`, `{"a":{"${name}":1}}`, `{"a":[{"b":{"${name}":{}}}]}`]) {
      const refused = await app.fails(105, "POST", "/classes/Proto", { body });
      assert.equal(refused.error, `Prohibited keyword in request data: {"key":"${name}"}.`, body);
    }
  assert.equal({}.x, undefined);
});

test("numbers beyond what a double holds are refused or read as JavaScript reads them", async () => {
  assert.equal((await app.ask("POST", "/classes/Num", { body: "{\"n\":1e400}" })).status, 400);
  assert.equal((await app.ask("POST", "/classes/Num", { body: "{\"n\":NaN}" })).status, 400);
  const o = await app.need("POST", "/classes/Num", { body: "{\"n\":123456789012345678901234567890,\"m\":-0.0,\"k\":9007199254740993,\"r\":1.0}" });
  const back = await app.get("Num", o.objectId);
  assert.equal(back.n, 1.2345678901234568e29);
  assert.equal(back.r, 1);
  assert.equal((await app.find("Num", { where: { r: 1 } })).length, 1);
});

test("texts of every kind come back as they were", async () => {
  const texts = ["", "\u0001\u001f", "\"\\/", "日本語 🎉 \u202e", "</script><!--", "' OR '1'='1", "a".repeat(100000), "\u2028\u2029", "{\"__type\":\"Date\"}"];
  for (const s of texts) {
    const o = await app.create("Text", { s, m: { [s.replace(/[.$]/g, "").slice(0, 50) || "k"]: s }, l: [s] });
    const back = await app.get("Text", o.objectId, { query: { keys: "s,m,l" } });
    assert.equal(back.s, s);
    assert.deepEqual(back.l, [s]);
    assert.equal((await app.ask("POST", "/classes/Text", { body: { _method: "GET", where: { s } } })).json.results.length, 1, s.slice(0, 20));
  }
  fine(await app.ask("POST", "/classes/Text", { body: Buffer.from([0x7b, 0x22, 0x73, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d]).toString("latin1") }), "latin1");
  fine(await request(`${app.url}/classes/Text`, { method: "POST", headers: { "x-parse-application-id": "shop" }, body: Buffer.from([0x7b, 0x22, 0x73, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d]) }), "no UTF-8");
  fine(await app.ask("POST", "/classes/Text", { body: "{\"s\":\"\\ud800\"}" }), "half a surrogate");
  fine(await app.ask("POST", "/classes/Text", { body: "{\"s\":\"\\u0000\"}" }), "NUL");
});

test("paths of every kind are answered", async () => {
  for (const where of ["/classes/%00", "/classes/A%2FB", "/classes/../schemas", "/classes/A/%2e%2e", "/classes//", "/classes/A/", `/classes/${"A".repeat(9000)}`,
    "/classes/A/%F0%9F%8E%89", "/classes/A?where=%7B%7D&where=%7B", "/classes/A?%00=1", "/classes/A?=1&&&", "/files/shop/../../master.key", "/files/shop/%2e%2e%2fmaster.key", "/files//x"]) {
    const answer = await request(app.url + where, { headers: { "x-parse-application-id": "shop" } });
    fine(answer, where);
    assert.doesNotMatch(answer.text, /PRIVATE|hob_/);
  }
});

test("keys of every alphabet are kept inside objects, and are no names of fields or classes", async () => {
  const keys = ["ключ", "鍵", "🔑", "é", "e\u0301", "\u202eabc", "a\u200bb", "\ufeff", "a b", "a\"b", "a'b", "a\\b", "\n", "\u0001", "ＡＢ", "ß", "İ", "\u212a"];
  for (const key of keys) {
    const body = JSON.stringify({ o: { [key]: { [key]: key } }, l: [{ [key]: 1 }] });
    const made = await app.need("POST", "/classes/Keys", { body });
    const back = await app.get("Keys", made.objectId);
    assert.deepEqual([back.o, back.l], [{ [key]: { [key]: key } }, [{ [key]: 1 }]], JSON.stringify(key));
    await app.fails(105, "POST", "/classes/Keys", { body: { [key]: 1 } });
    await app.fails(105, "PUT", `/classes/Keys/${made.objectId}`, { body: { [`o.${key}.$x`]: 1 } });
    await app.fails(105, "GET", "/classes/Keys", { query: { where: { [key]: 1 } } });
    const found = await app.ask("POST", "/classes/Keys", { body: { _method: "GET", where: { o: { [key]: { [key]: key } } } } });
    assert.equal(found.json.results?.length, 1, `${JSON.stringify(key)} ${found.text}`);
    fine(await app.ask("POST", `/classes/${encodeURIComponent(key)}`, { body: {} }), `class ${key}`);
    await app.fails(103, "POST", `/schemas/${encodeURIComponent(`A${key}`)}`, { as: "master", body: {} });
  }
  assert.equal((await app.find("Keys", { limit: 1000 })).length, keys.length, "é in two forms are two keys");
  fine(await app.ask("POST", "/classes/Keys", { body: { o: { ["k".repeat(1000000)]: 1 } } }), "a long key");
  fine(await app.ask("POST", "/classes/Keys", { body: "{\"o\":{\"\\udfff\":1}}" }), "half a surrogate as a key");
  fine(await app.ask("POST", "/classes/Keys", { body: "{\"o\":{\"a\\u0000b\":1}}" }), "NUL in a key");
});

test("names that the system keeps for itself are nobody's", async () => {
  for (const name of ["_Mine", "_Join:users:_Role", "_SCHEMA", "_Global", "c1", "1A", "A-B", "A.B", "A'--", "a".repeat(300), "__proto__", "constructor"]) {
    const made = await app.ask("POST", `/classes/${encodeURIComponent(name)}`, { body: { a: 1 } });
    fine(made, name);
    if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(name) || name.length > 200) assert.ok([103, 119].includes(made.json.code), `${name}: ${made.text.slice(0, 200)}`);
  }
  for (const name of ["_rperm", "_wperm", "_id", "_hashed_password", "_session_token", "_acl", "__type", "__op", "length", "className", "$where", "a.", ".a", "a..b"])
    fine(await app.ask("POST", "/classes/Names", { body: { [name]: "x" } }), name);
  const o = await app.create("Names", { ok: 1 });
  for (const body of [{ objectId: "other" }, { createdAt: "2001-01-01T00:00:00.000Z" }, { updatedAt: { __op: "Delete" } }, { _rperm: ["*"] }])
    fine(await app.ask("PUT", `/classes/Names/${o.objectId}`, { body }), JSON.stringify(body));
  for (const name of ["ACL.*", "ACL.x", "objectId.x", "createdAt.iso", "updatedAt.0"])
    for (const as of [undefined, "master"]) {
      await app.fails(105, "PUT", `/classes/Names/${o.objectId}`, { body: { [name]: { read: true } }, as });
      await app.fails(105, "POST", "/classes/Names", { body: { [name]: { read: true } }, as });
    }
  const row = await app.get("Names", o.objectId, { as: "master" });
  assert.deepEqual([row.objectId, Object.keys(row).sort().join()], [o.objectId, "createdAt,objectId,ok,updatedAt"]);
  assert.ok(new Date(row.createdAt) > new Date("2020-01-01"));
});

test("a part of an object cannot turn the whole into something else", async () => {
  const o = await app.create("Parts", { o: { a: { b: 1 } }, l: [{}] });
  for (const name of ["o.__op", "o.__type", "o.a.__type", "o.__proto__", "o.a.__proto__.x", "l.0.__op", "o.constructor", "o.$x", "o..a", ".o", "o."])
    await app.fails(105, "PUT", `/classes/Parts/${o.objectId}`, { body: { [name]: "Delete" } });
  assert.deepEqual((({ o: object, l }) => [object, l])(await app.get("Parts", o.objectId)), [{ a: { b: 1 } }, [{}]]);
});

test("what is kept of a user or session elsewhere is not forged by its parts", async () => {
  const user = await app.signUp("whole"), as = user.sessionToken, me = await app.need("GET", "/sessions/me", { as });
  for (const name of ["authData.facebook", "authData.x.id", "password.x", "sessionToken.x", "emailVerified.x", "username.x", "email.x"]) {
    for (const who of [as, "master"]) await app.fails(105, "PUT", `/users/${user.objectId}`, { body: { [name]: { id: "1" } }, as: who });
    await app.fails(105, "POST", "/users", { body: { username: "forger", password: "secret", [name]: { id: "1" } } });
  }
  for (const name of ["createdWith.action", "user.objectId", "expiresAt.iso", "sessionToken.x", "ACL.*"]) {
    await app.fails(105, "PUT", `/sessions/${me.objectId}`, { body: { [name]: "x" }, as });
    await app.fails(105, "POST", "/sessions", { body: { [name]: "x" }, as });
  }
  const row = await app.need("GET", `/users/${user.objectId}`, { as: "master" });
  assert.deepEqual(Object.keys(row).sort(), ["ACL", "createdAt", "objectId", "updatedAt", "username"]);
});

test("dates end at the years 0 and 9999, wherever they are said", async () => {
  const date = (iso) => ({ __type: "Date", iso });
  const edges = ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z", "2000-02-29T00:00:00.000Z"];
  const beyond = ["-000001-12-31T23:59:59.999Z", "+010000-01-01T00:00:00.000Z", "0000-01-01T00:00:00.000+00:01", "9999-12-31T23:59:59.999-00:01", "1900-02-29T00:00:00.000Z",
    "2020-01-01T24:00:01.000Z", "2020-01-01T00:60:00.000Z", "2020-01-01T00:00:61.000Z", "2020-00-01T00:00:00.000Z", "2020-01-00T00:00:00.000Z", "", "NaN", "Infinity", "1e3", "99999999999999999999"];
  for (const iso of edges) {
    const o = await app.create("Dates", { at: date(iso) });
    assert.equal((await app.get("Dates", o.objectId)).at.iso, iso);
    assert.equal((await app.find("Dates", { where: { at: date(iso) } })).length, 1, iso);
  }
  assert.deepEqual((await app.find("Dates", { order: "at" })).map((o) => o.at.iso), [...edges].sort());
  for (const iso of beyond) {
    await app.fails(111, "POST", "/classes/Dates", { body: { at: date(iso) } });
    for (const where of [{ at: { $gt: date(iso) } }, { at: { $in: [date(iso)] } }, { createdAt: { $lt: iso } }]) fine(await app.ask("GET", "/classes/Dates", { query: { where } }), JSON.stringify(where));
  }
  for (const text of ["in 99999999999999999999 years", "9999999 years ago", "in -1 days", "in 1e9 days", "now ago", "", "in NaN days", "1 year 2 year 3 year ago"])
    fine(await app.ask("GET", "/classes/Dates", { query: { where: { at: { $lt: { $relativeTime: text } } } } }), text);
  for (const at of [0, 1e300, -1e300, true, [], date(5)]) await app.fails(111, "POST", "/classes/Dates", { body: { at } });
});

test("numbers that are none are no numbers anywhere, and none comes out of operations", async () => {
  const o = await app.create("Nan", { n: 1.7e308, g: { __type: "GeoPoint", latitude: 0, longitude: 0 }, l: [1] });
  for (const word of ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "1.", ".5", "0x10", "+1"]) {
    for (const body of [`{"n":${word}}`, `{"l":[${word}]}`, `{"n":{"__op":"Increment","amount":${word}}}`, `{"where":{"n":${word}},"_method":"GET"}`])
      assert.equal((await app.ask("POST", "/classes/Nan", { body })).status, 400, body);
    fine(await app.ask("GET", "/classes/Nan", { query: { where: `{"n":{"$gt":${word}}}`, limit: word, skip: word } }), word);
  }
  await app.fails(111, "PUT", `/classes/Nan/${o.objectId}`, { body: { n: op("Increment", { amount: 1.7e308 }) } });
  for (const text of ["NaN", "Infinity", "1e999"]) {
    await app.fails(111, "POST", "/classes/Nan", { body: { n: text } });
    await app.fails(107, "PUT", `/classes/Nan/${o.objectId}`, { body: { n: op("Increment", { amount: text }) } });
    await app.fails(111, "POST", "/classes/Nan", { body: { g: { __type: "GeoPoint", latitude: text, longitude: 0 } } });
    fine(await app.ask("GET", "/classes/Nan", { query: { where: { g: { $nearSphere: { __type: "GeoPoint", latitude: 0, longitude: 0 }, $maxDistance: text } } } }), text);
  }
  assert.equal((await app.get("Nan", o.objectId)).n, 1.7e308);
});

test("of two first values of a field, of different types at the same time, one wins and the field has one type", async () => {
  for (let i = 0; i < 10; i++) {
    const values = [1, "x", true, [1], { a: 1 }, { __type: "Date", iso: "2020-01-01T00:00:00.000Z" }, pointer("A", "x"), { __type: "GeoPoint", latitude: 1, longitude: 1 }];
    const answers = await Promise.all(values.map((f) => app.ask("POST", `/classes/Race${i}`, { body: { f } })));
    const made = answers.filter((a) => a.status === 201);
    assert.equal(made.length, 1, answers.map((a) => a.text).join());
    for (const a of answers.filter((x) => x.status !== 201)) assert.equal(a.json.code, 111, a.text);
    assert.equal((await app.find(`Race${i}`)).length, 1);
  }
});

test("random requests never break it", async () => {
  let seed = 12345;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const pick = (list) => list[random(list.length)];
  const leaf = () => pick([0, -1, 1.5, "x", "", true, null, [], {}, "$a", { __type: "Date", iso: "2020-01-01T00:00:00.000Z" }, { __type: "Pointer", className: "F", objectId: "x" },
    { __op: "Increment", amount: 1 }, { __op: "Add", objects: [1] }, { __op: "Delete" }, { __type: "GeoPoint", latitude: 1, longitude: 1 }, { __op: "AddRelation", objects: [] }, { $regex: "x" }]);
  const key = () => pick(["a", "b", "c", "$or", "$in", "$gt", "$ne", "$exists", "__type", "__op", "ACL", "objectId", "a.b", "$inQuery", "$all", "className", "where", "createdAt", "l.0"]);
  const value = (depth) => (depth && random(3) ? (random(2) ? Array.from({ length: random(4) }, () => value(depth - 1)) : Object.fromEntries(Array.from({ length: random(4) }, () => [key(), value(depth - 1)]))) : leaf());
  const ids = ["nosuchthing"];
  for (let i = 0; i < 600; i++) {
    const where = pick(["/classes/F", `/classes/F/${pick(ids)}`, "/batch", "/roles", "/installations", "/schemas/F", "/aggregate/F", "/users", "/login", "/config", "/functions/f"]);
    const body = pick([value(3), { where: value(3) }, { requests: value(3) }, { order: value(1), keys: value(1), include: value(1), where: value(2) }, { fields: value(2), classLevelPermissions: value(2), indexes: value(2) }, { pipeline: value(3) }]);
    const answer = await app.ask("POST", where, { as: pick([undefined, "master"]), body: { _method: pick(["GET", "POST", "PUT", "DELETE"]), ...(typeof body === "object" ? body : { a: body }) } });
    fine(answer, `${where} ${JSON.stringify(body)}`);
    if (answer.json?.objectId) ids.push(answer.json.objectId);
  }
  assert.equal((await app.ask("GET", "/health")).status, 200);
});
