// env.data, auth, cache, sql, secrets and fn, from Node, Python and C: what they do, for whom, and what they refuse.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, ROOT, project, tar, until } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";
import { callJson, makeBackend, parse, signUp } from "./world.mjs";

/* Runs what it is sent, with `env`; errors come back as they are seen by the code. */
const PROBE = `
import fs from "node:fs";
export default { async fetch(request, env, ctx) {
  const { run } = await request.json();
  try {
    const made = new (async () => {}).constructor("env", "request", "ctx", "fs", run);
    const value = await made(env, request, ctx, fs);
    return Response.json({ value });
  } catch (error) {
    return Response.json({ error: { name: error.name, message: error.message, code: error.code, status: error.status, reason: error.reason, retryable: error.retryable } });
  }
} };`;
const PYTHON = `
def handler(event, context):
    env = context.env
    if "n" in event:
        return {"n": event["n"] + 1}
    note = env.data.insert("PyNote", {"text": "hé"})
    env.cache.put("py", b"\\x00\\xff", expiration_ttl=60, metadata={"a": 1})
    env.sql.exec("CREATE TABLE IF NOT EXISTS py (a, b)")
    env.sql.batch([env.sql.prepare("INSERT INTO py VALUES (?, ?)").bind(1, b"\\x01")])
    try:
        env.data.get("Forbidden", "x")
        refused = None
    except Exception as error:
        refused = [type(error).__name__, error.status, error.reason, error.code]
    user = env.auth.user()
    return {
        "found": [one["text"] for one in env.data.find("PyNote", where={"objectId": note["objectId"]})],
        "none": env.data.get("PyNote", "none"), "count": env.data.count("PyNote"),
        "updated": env.data.update("PyNote", note["objectId"], {"n": {"__op": "Increment", "amount": 2}})["n"],
        "cache": list(env.cache.get("py", "bytes")), "meta": env.cache.get_with_metadata("py", "bytes")[1],
        "sql": [[one["a"], list(one["b"])] for one in env.sql.prepare("SELECT a, b FROM py").all()["results"]],
        "refused": refused, "user": user and user["username"], "secret": env.secrets.get("PAY"),
    }
`;
const PYTHON_ASYNC = `
import asyncio
async def handler(event, context):
    env = context.env
    notes = await asyncio.gather(*[env.data.insert("PyNote", {"i": i}) for i in range(20)])
    return {"n": len({note["objectId"] for note in notes}), "incr": await env.cache.incr("async", 5)}
`;
const C_SOURCE = `
#include "hob.h"
static int line(hob_call *c, hob_str s)
{
    return hob_write(c, s.p ? s.p : "-", s.p ? s.n : 1) < 0 || hob_write(c, "\\n", 1) < 0 ? -1 : 0;
}
static int handle(hob_call *c, void *arg)
{
    (void)arg;
    hob_str r;
    long long n = 0;
    char text[32];
    if (hob_data_insert(c, "CNote", "{\\"t\\":\\"from \\\\\\"c\\\\\\"\\"}", &r) < 0)
        return line(c, hob_bind_error(c, "errorMessage"));
    if (hob_data_find(c, "CNote", "{\\"t\\":{\\"$exists\\":true}}", &r) < 0 || line(c, r) < 0 ||
        hob_data_get(c, "CNote", "none", &r) < 0 || line(c, r) < 0 || hob_cache_get(c, "c\\"key", &r) < 0 || line(c, r) < 0 ||
        hob_cache_put(c, "c\\"key", "value", 5, 60) < 0 || hob_cache_get(c, "c\\"key", &r) < 0 || line(c, r) < 0 ||
        hob_cache_incr(c, "cn", 41, &n) < 0)
        return hob_fail(c, "Test", "a call failed");
    line(c, (hob_str){text, (size_t)snprintf(text, sizeof text, "%lld", n)});
    if (hob_sql(c, "SELECT ? AS a", "[7]", &r) == 0)
        line(c, r);
    if (hob_sql(c, "ATTACH 'x' AS y", NULL, &r) < 0)
        line(c, hob_bind_error(c, "reason"));
    if (hob_data_get(c, "Forbidden", "x", &r) < 0)
        line(c, hob_bind_error(c, "reason"));
    if (hob_invoke(c, "py", "{\\"n\\":41}", 8, &r) == 0)
        line(c, r);
    return 0;
}
int main(void)
{
    return hob_run(handle, NULL, NULL);
}
`;

describe("bindings", () => {
  let d, b, ann, bob;
  const compiled = () => {
    const dir = project({ "main.c": C_SOURCE });
    const done = spawnSync("cc", ["-O1", "-I", path.join(ROOT, "runtimes/c"), "-o", path.join(dir, "main"), path.join(dir, "main.c"), "-lpthread"], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    const bytes = fs.readFileSync(path.join(dir, "main"));
    fs.rmSync(dir, { recursive: true, force: true });
    return bytes;
  };
  before(async () => {
    d = await Daemon.start();
    const data = ["data:*:rw", "data:master", "auth", "auth:admin", "cache", "sql", "files", "fn:py", "secrets:PAY"];
    const dir = project({
      "hob.json": { app: "shop", functions: {
        probe: { entry: "probe.mjs", bindings: data, concurrency: 8 },
        few: { entry: "probe.mjs", bindings: ["data:Note:r", "data:Own:rw", "cache"] },
        none: { entry: "probe.mjs" },
        lambda: { entry: "lambda.cjs", bindings: ["cache"] },
        py: { entry: "main.py", bindings: ["data:PyNote:rw", "cache", "sql", "auth", "secrets:PAY"] },
        pya: { entry: "pya.py", bindings: ["data:PyNote:rw", "cache"], concurrency: 4 },
        c: { entry: "main", bindings: ["data:CNote:rw", "cache", "sql", "fn:py"] },
        quick: { entry: "probe.mjs", bindings: ["data:*:rw", "cache"], timeout_ms: 2500 },
      } },
      "probe.mjs": PROBE, "lambda.cjs": "exports.handler = async (event, context) => ({ n: await context.env.cache.incr('lambda'), keys: Object.keys(context.env) })", "main.py": PYTHON, "pya.py": PYTHON_ASYNC, main: compiled(),
    });
    fs.chmodSync(path.join(dir, "main"), 0o755);
    const made = await d.api("POST", "/v1/apps/shop/deploy", tar(dir));
    fs.rmSync(dir, { recursive: true, force: true });
    assert.equal(made.status, 201, made.text);
    assert.ok((await d.api("PUT", "/v1/apps/shop/secrets/PAY", { value: "pay-key" })).status < 300);
    b = await makeBackend(d, "shop");
    ann = await signUp(d, b, "ann");
    bob = await signUp(d, b, "bob");
    await d.deploy("other", { probe: { entry: "probe.mjs", bindings: data } }, { "probe.mjs": PROBE });
    await makeBackend(d, "other");
  });
  after(() => d?.close());

  const on = (where) => async (run, user, headers = {}) => {
    const answer = await callJson(d, `/fn/${where}`, { run }, user ? { "x-parse-session-token": user.token, ...headers } : headers);
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer.value;
  };
  const probe = (...args) => on("shop/probe")(...args);
  const refused = (promise, reason, status) =>
    assert.rejects(promise, (error) => {
      assert.deepEqual([error.name, error.reason, error.status], ["HobError", reason, status], error.message);
      return true;
    });

  test("objects are made, read, counted, changed and removed", async () => {
    const value = await probe(`
      const made = await env.data.insert("Note", { text: "a", tags: ["x"], at: { __type: "Date", iso: "2020-01-01T00:00:00.000Z" } });
      const id = made.objectId;
      const got = await env.data.get("Note", id);
      const updated = await env.data.update("Note", id, { n: { __op: "Increment", amount: 3 }, text: "b", tags: { __op: "Delete" } });
      const found = await env.data.find("Note", { where: { n: 3 }, order: ["-n", "text"], limit: 5, keys: ["text"] });
      const count = await env.data.count("Note", { text: "b" });
      const batch = await env.data.batch([{ op: "insert", class: "Note", object: { text: "c" } }, { op: "update", class: "Note", id, object: { text: "d" } }]);
      const sums = await env.data.as("master").aggregate("Note", [{ $group: { _id: null, n: { $sum: "$n" } } }]);
      await env.data.delete("Note", id);
      return { text: made.text, got: got.tags, n: updated.n, id: updated.objectId === id, tags: updated.tags, found: found.length === 1 && found[0].text,
        hasN: "n" in found[0], count, batch: batch.map((one) => Object.keys(one)), sums: sums[0].n, gone: await env.data.get("Note", id) };`);
    assert.deepEqual(value, { text: "a", got: ["x"], n: 3, id: true, found: "b", hasN: false, count: 1, batch: [["success"], ["success"]], sums: 3, gone: null });
  });

  test("calls act as the user of the request, and as master only when told", async () => {
    const acl = { [ann.id]: { read: true, write: true } };
    const { objectId } = (await parse(d, b, "POST", "/classes/Diary", { text: "mine", ACL: acl }, { master: true })).body;
    const read = `const one = await env.data.get("Diary", "${objectId}"); return one && one.text;`;
    assert.equal(await probe(read), null);
    assert.equal(await probe(read, bob), null);
    assert.equal(await probe(read, ann), "mine");
    assert.equal(await probe(read, null, { authorization: `Bearer ${ann.token}` }), "mine");
    assert.equal(await probe(read.replace("env.data", 'env.data.as("master")')), "mine");
    await refused(probe(`await env.data.update("Diary", "${objectId}", { text: "x" })`, bob), "not_found", 404);
    assert.equal((await probe("return env.auth.user()", ann)).username, "ann");
    assert.equal(await probe("return env.auth.user()"), null);
    await assert.rejects(probe(read, { token: "r:0123456789abcdef0123456789abcdef" }), { code: 209 });
  });

  test("the caller's session token never reaches the function", async () => {
    const seen = await probe("return [request.headers.get('x-parse-session-token'), request.headers.get('authorization'), JSON.stringify(await env.auth.user()).includes('r:')]",
      ann, { authorization: `Bearer ${ann.token}` });
    assert.deepEqual(seen, [null, null, false]);
    assert.equal(await probe("return request.headers.get('authorization')", null, { authorization: "Bearer other" }), "Bearer other");
    assert.equal(await on("shop/none")("return request.headers.get('x-parse-session-token')", ann), ann.token);
  });

  test("users are found, made, changed, and their tokens judged", async () => {
    const value = await probe(`
      const made = await env.auth.admin.createUser({ username: "dora", password: "pass word 2" });
      await env.auth.admin.updateUser(made.objectId, { nick: "d" });
      const [listed] = await env.auth.admin.listUsers({ where: { username: "dora" } });
      const claims = await env.auth.verify(await env.auth.admin.mint(made.objectId, { ttl: 60 }));
      const seen = await env.auth.getUser("${ann.token}");
      await env.auth.admin.revoke("${bob.id}");
      const gone = await env.auth.getUser("${bob.token}");
      await env.auth.admin.deleteUser(made.objectId);
      return { password: made.password, nick: listed.nick, sub: claims.sub === made.objectId, seen: seen.username, gone };`);
    assert.deepEqual(value, { nick: "d", sub: true, seen: "ann", gone: null });
    await assert.rejects(probe("await env.auth.verify('a.b.c')"), { code: 209 });
    bob = { ...bob, token: (await parse(d, b, "POST", "/login", { username: "bob", password: "pass word 1" })).body.sessionToken };
  });

  test("what hob.json does not name is refused, sub-queries too", async () => {
    const few = on("shop/few");
    assert.deepEqual(await few("return Object.keys(env).sort()"), ["cache", "data", "secrets", "vars"]);
    assert.deepEqual(await few("return env.data.find('Note', { where: { text: 'nothing has this' } })"), []);
    await few("await env.data.insert('Own', { a: 1 })");
    for (const run of ["env.data.insert('Note', {})", "env.data.get('Secret', 'x')", "env.data.as('master').find('Note')", "env.data.aggregate('Note', [])",
      "env.data.find('Note', { where: { p: { $inQuery: { className: 'Secret', where: {} } } } })",
      "env.data.find('Note', { where: { $or: [{ a: { $select: { query: { className: 'Secret', where: {} }, key: 'k' } } }] } })",
      "env.data.find('Note', { where: { $relatedTo: { object: { __type: 'Pointer', className: 'Secret', objectId: 'x' }, key: 'r' } } })",
      "env.data.batch([{ op: 'insert', class: 'Secret', object: {} }])"]) {
      if (run.includes("aggregate")) await assert.rejects(few(`return ${run}`));
      else await refused(few(`return ${run}`), "no_such_binding", 403);
    }
    await assert.rejects(few("return env.data.get('Note', '../_User/x')"), { status: 400 });
    await assert.rejects(few("return env.data.get('../users', 'x')"), { status: 400 });
    assert.deepEqual(await on("shop/none")("return Object.keys(env).sort()"), ["secrets", "vars"]);
  });

  test("an app never sees another's objects, cache or tables", async () => {
    await probe("await env.data.insert('Mine', { a: 1 }); await env.cache.put('mine', 'x'); await env.sql.exec('CREATE TABLE mine (a)')");
    const other = on("other/probe");
    assert.deepEqual(await other("return [await env.data.as('master').find('Mine'), await env.cache.get('mine'), (await env.cache.list()).keys]"), [[], null, []]);
    await assert.rejects(other("return env.sql.prepare('SELECT * FROM mine').all()"), /no such table/);
    assert.equal(await other("return env.auth.user()", ann).catch((error) => error.code), null);
  });

  test("a secret comes when it is named", async () => {
    assert.deepEqual(await probe("return [await env.secrets.get('PAY'), await env.secrets.list(), process.env.PAY ?? null]"), ["pay-key", ["PAY"], null]);
    await assert.rejects(probe("return env.secrets.get('OTHER')"), /not among/);
  });

  test("a call after the end, and one whose invocation was cancelled, are refused", async () => {
    await probe("setTimeout(() => env.data.find('Note').catch((e) => { globalThis.late = [e.name, e.reason, e.status]; }), 100); return 1");
    assert.deepEqual(await until(() => probe("return globalThis.late ?? null"), "the late call's failure"), ["HobError", "invocation_ended", 499]);
    const slow = on("shop/quick");
    await slow("return 1");
    await assert.rejects(slow("await new Promise((r) => setTimeout(r, 60000))"), /504/);
  });

  test("a handler's context has the same env", async () => {
    assert.deepEqual(await callJson(d, "/fn/shop/lambda/", {}), { n: 1, keys: ["vars", "secrets", "cache"] });
    assert.deepEqual((await callJson(d, "/fn/shop/lambda/", {})).n, 2);
  });

  test("python's bindings, sync and async", async () => {
    const { user, ...value } = await callJson(d, "/fn/shop/py/", {}, { "x-parse-session-token": ann.token });
    assert.equal(user, "ann");
    assert.deepEqual(value, { found: ["hé"], none: null, count: 1, updated: 2, cache: [0, 255], meta: { a: 1 }, sql: [[1, [1]]],
      refused: ["HobError", 403, "no_such_binding", 119], secret: "pay-key" });
    assert.deepEqual(await callJson(d, "/fn/shop/pya/", {}), { n: 20, incr: 5 });
  });

  test("c's bindings", async () => {
    const lines = (await d.call("/fn/shop/c/", { method: "POST" })).text.trim().split("\n");
    assert.equal(JSON.parse(lines[0])[0].t, 'from "c"');
    assert.deepEqual(lines.slice(1, 5), ["null", "-", "value", "41"]);
    assert.deepEqual(JSON.parse(lines[5])[0].rows, [[7]]);
    assert.deepEqual(lines.slice(6), ["forbidden", "no_such_binding", '{"n": 42}'].slice(0, lines.length - 6));
    assert.equal(lines.length, 9);
  });

  test("functions call functions, and only those that are named", async () => {
    assert.deepEqual(await probe("return env.fn.invoke('py', { n: 1 })"), { n: 2 });
    await refused(probe("return env.fn.invoke('none', {})"), "no_such_binding", 403);
    await assert.rejects(probe("return env.fn.invoke('py', { n: 'x' })"), /must be str|concatenate/);
  });

  test("cache: kinds of values, expiry, metadata, lists, incr and cas", async () => {
    const value = await probe(`
      const { cache } = env;
      await cache.put("k/1", JSON.stringify({ a: 1 }), { metadata: { m: [1] } });
      await cache.put("k/2", new Uint8Array([1, 2, 0, 255]));
      await cache.put("k/3", "later", { expirationTtl: 600 });
      await cache.put("soon", "soon", { expirationTtl: 1 });
      const first = await cache.list({ prefix: "k/", limit: 2 });
      const rest = await cache.list({ prefix: "k/", limit: 2, cursor: first.cursor });
      const { revision } = await cache.getWithMetadata("k/1");
      const out = { json: await cache.get("k/1", "json"), bytes: [...new Uint8Array(await cache.get("k/2", { type: "arrayBuffer" }))],
        text: await new Response(await cache.get("k/1", "stream")).text(), many: [...await cache.get(["k/1", "none"], "text")],
        meta: (await cache.getWithMetadata("k/1")).metadata, names: [first.keys, rest.keys].map((keys) => keys.map((one) => one.name)),
        complete: [first.list_complete, rest.list_complete],
        cas: [await cache.cas("k/1", revision, "new"), await cache.cas("k/1", revision, "newer"), await cache.cas("k/9", 0, "made"), await cache.cas("k/9", 0, "no")],
        incr: [await cache.incr("n"), await cache.incr("n", -5), await cache.incr("n", 0)] };
      await cache.delete("k/1");
      out.gone = await cache.get("k/1");
      return out;`);
    assert.deepEqual(value, { json: { a: 1 }, bytes: [1, 2, 0, 255], text: '{"a":1}', many: [["k/1", '{"a":1}'], ["none", null]], meta: { m: [1] },
      names: [["k/1", "k/2"], ["k/3"]], complete: [false, true], cas: [true, false, true, false], incr: [1, -4, -4], gone: null });
    await until(async () => (await probe("return env.cache.get('soon')")) === null, "the end of what was to end");
    await assert.rejects(probe("await env.cache.put('x'.repeat(513), 'a')"), { status: 400 });
    await probe("await env.cache.put('x'.repeat(512), 'a')");
    await assert.rejects(probe("await env.cache.put('big', 'x'.repeat(786433))"), { status: 413 });
    await probe("await env.cache.put('big', 'x'.repeat(786432))");
    await assert.rejects(probe("await env.cache.put('a', 'b', { expirationTtl: 0 })"), { status: 400 });
    await assert.rejects(probe("await env.cache.incr('k/2')"), { status: 400 });
    const one = Promise.all(Array.from({ length: 8 }, () => probe("for (let i = 0; i < 25; i++) await env.cache.incr('together')")));
    await one;
    assert.equal(await probe("return env.cache.get('together')"), "200");
  });

  test("files are kept by key, replaced, listed and removed", async () => {
    const value = await probe(`
      const { files } = env;
      const put = await files.put("a/1", "first", { httpMetadata: { contentType: "text/plain" }, customMetadata: { by: "ann" } });
      await files.put("a/1", new Uint8Array([0, 255, 7]), { customMetadata: { by: "bob" } });
      await files.put("a/2", "second");
      const got = await files.get("a/1");
      const page = await files.list({ prefix: "a/", limit: 1 });
      const rest = await files.list({ prefix: "a/", cursor: page.cursor });
      const head = await files.head("a/2");
      await files.delete(["a/1", "none"]);
      return { put: [put.key, put.size, put.httpMetadata.contentType, put.customMetadata.by, put.etag.length], bytes: [...await got.bytes()], meta: got.customMetadata,
        keys: [page, rest].map((one) => one.objects.map((object) => object.key)), truncated: [page.truncated, rest.truncated], head: [head.size, head.uploaded instanceof Date],
        gone: await files.get("a/1"), none: await files.head("none"), text: await (await files.get("a/2")).text() };`);
    assert.deepEqual(value, { put: ["a/1", 5, "text/plain", "ann", 64], bytes: [0, 255, 7], meta: { by: "bob" }, keys: [["a/1"], ["a/2"]], truncated: [true, false],
      head: [6, true], gone: null, none: null, text: "second" });
    const stored = () => spawnSync("find", [path.join(d.home, "files"), "-type", "f"], { encoding: "utf8" }).stdout.trim().split("\n").length;
    await until(() => stored() === 1, "what has no key to be gone");
  });

  test("sql: statements, batches and blobs as D1 has them, and attacks that go nowhere", async () => {
    const value = await probe(`
      const { sql } = env;
      await sql.exec("DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data)");
      const [one, two] = await sql.batch([sql.prepare("INSERT INTO t (name, data) VALUES (?, ?)").bind("a", new Uint8Array([1, 2])), sql.prepare("INSERT INTO t (name) VALUES (?) RETURNING id").bind("b")]);
      const fails = await sql.batch([sql.prepare("INSERT INTO t (name) VALUES ('c')"), sql.prepare("INSERT INTO t (name) VALUES ('a')")]).catch((error) => error.message);
      return { meta: [one.meta.changes, one.meta.last_row_id, one.success], returned: two.results, fails, count: await sql.prepare("SELECT count(*) AS n FROM t").first("n"),
        raw: await sql.prepare("SELECT name, data FROM t ORDER BY id").raw({ columnNames: true }), none: await sql.prepare("SELECT 1 WHERE 0").first() };`);
    assert.deepEqual(value, { meta: [1, 1, true], returned: [{ id: 2 }], fails: "D1_ERROR: statement 2: UNIQUE constraint failed: t.name", count: 2,
      raw: [["name", "data"], ["a", [1, 2]], ["b", null]], none: null });
    for (const sql of ["ATTACH '/etc/passwd' AS p", "VACUUM INTO '/tmp/x'", "PRAGMA writable_schema=1", "PRAGMA database_list", "SELECT load_extension('x')", "BEGIN",
      "SELECT * FROM pragma_database_list", "CREATE VIRTUAL TABLE v USING csv(filename='/etc/passwd')"])
      await assert.rejects(probe(`return env.sql.prepare(${JSON.stringify(sql)}).all()`), /D1_ERROR/, sql);
    await assert.rejects(probe("return env.sql.prepare('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT sum(x) FROM c').all()"), { status: 504 });
  });

  test("with an app's backend its cache, tables and hooks go, too", async () => {
    const code = { probe: { entry: "probe.mjs", bindings: ["cache", "sql"] } };
    await d.deploy("gone", code, { "probe.mjs": PROBE });
    const gone = on("gone/probe");
    await refused(gone("return env.cache.get('a')"), "no_backend", 501);
    const first = await makeBackend(d, "gone");
    await gone("await env.cache.put('a', 'b'); await env.sql.exec('CREATE TABLE t (a)')");
    await parse(d, first, "POST", "/hooks/functions", { functionName: "f", url: "fn:probe" }, { master: true });
    const removed = await d.api("DELETE", "/v1/apps/gone/backend");
    assert.ok(removed.status < 300, removed.text);
    const second = await makeBackend(d, "gone");
    assert.equal(await gone("return env.cache.get('a')"), null);
    await assert.rejects(gone("return env.sql.prepare('SELECT * FROM t').all()"), /no such table/);
    assert.deepEqual((await parse(d, second, "GET", "/hooks/functions", undefined, { master: true })).body, []);
  });

  test("hostile frames cost at most the instance that sends them", async () => {
    /* straight onto descriptor 3, past the adapter */
    const wild = `
      const frame = (stream, arg, flags, payload, code = 0) => { const h = Buffer.alloc(16); h.writeUInt32LE(payload.length, 0); h[4] = 38; h[5] = flags; h.writeUInt16LE(code, 6);
        h.writeUInt32LE(stream, 8); h.writeUInt32LE(arg >>> 0, 12); return Buffer.concat([h, Buffer.from(payload)]); };
      let next = 0x100000;
      const send = (payload, arg = 0, flags = 1) => fs.writeSync(3, frame((next += 2), arg, flags, payload));`;
    const few = on("shop/few");
    await few(`${wild} for (const text of ["", "{", "[]", "null", '{"op":1}', '{"op":"no.such","args":{}}', '{"op":"data.get","args":[]}', "[".repeat(70000), '{"op":"data.get","args":{"class":{}}}',
      '{"op":"parse.request","args":{"method":"GET","path":"/users"}}', '{"op":"cache.put","args":{"key":"\\\\u0000"}}']) send(text);
      for (let i = 0; i < 40; i++) send('{"op":"cache.get","args":{"keys":["a"]}}', 0xfffffff1);
      await new Promise((r) => setTimeout(r, 50)); return 1;`);
    assert.equal(await few("return 1 + 1"), 2);
    /* reused numbers, lies about lengths and thousands at a time end that instance, and nobody else */
    for (const run of [`${wild} fs.writeSync(3, frame(2, 0, 1, "{}")); fs.writeSync(3, frame(2, 0, 1, "{}"));`, `${wild} send("\\xff\\xff\\xff\\x7f{}", 0, 3)`,
      `${wild} const all = Buffer.concat(Array.from({ length: 5000 }, () => frame((next += 2), 0, 1, "{}"))); for (let at = 0; at < all.length; ) { try { at += fs.writeSync(3, all, at); } catch { break; } }`])
      await few(`${run} await new Promise((r) => setTimeout(r, 300)); return "alive"`).catch(() => "gone");
    await until(async () => (await few("return 2").catch(() => 0)) === 2, "a fresh instance");
    assert.equal(await probe("return 3"), 3);
    const many = await probe(`const all = await Promise.allSettled(Array.from({ length: 2000 }, () => env.cache.get("none"))); return all.filter((one) => one.status === "fulfilled").length`);
    assert.equal(many, 2000);
    d.assertSound();
  });
});

/* The packages have thousands of files; a function needs those that importing it loads, and their package.json. */
function loadedBy(entry) {
  const trace = path.join(path.dirname(entry), "trace.mjs"), list = path.join(path.dirname(entry), "loaded.txt");
  fs.writeFileSync(trace, `import fs from "node:fs";
export async function load(url, context, next) { if (url.startsWith("file:")) fs.appendFileSync(${JSON.stringify(list)}, new URL(url).pathname + "\\n"); return next(url, context); }`);
  fs.rmSync(list, { force: true });
  const required = trace.replace("trace.mjs", "required.cjs");
  fs.writeFileSync(required, `process.on("exit", () => require("fs").appendFileSync(${JSON.stringify(list)}, Object.keys(require.cache).join("\\n") + "\\n"));`);
  const done = spawnSync(process.execPath, ["--no-warnings", "--require", required, "--experimental-loader", trace, entry], { encoding: "utf8", cwd: path.dirname(entry) });
  assert.equal(done.status, 0, done.stderr);
  const files = new Set(fs.readFileSync(list, "utf8").split("\n").filter((file) => file && file !== trace && file !== required));
  for (const file of [...files]) {
    for (let dir = path.dirname(file); dir.startsWith(path.join(path.dirname(entry), "node_modules")); dir = path.dirname(dir)) {
      if (fs.existsSync(path.join(dir, "package.json"))) files.add(path.join(dir, "package.json"));
    }
  }
  return files;
}

const orms = npmFolder("d1-clients", { "drizzle-orm": "0.36.4", kysely: "0.27.4", "kysely-d1": "0.3.0" });
describe("D1 clients from npm inside a function", { skip: orms.why ?? false }, () => {
  let d;
  before(async () => {
    d = await Daemon.start();
    const entry = path.join(orms.dir, "main.mjs");
    fs.writeFileSync(entry, `
import { drizzle } from "drizzle-orm/d1";
import { eq, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { Kysely } from "kysely";
import { D1Dialect } from "kysely-d1";
const users = sqliteTable("users", { id: integer("id").primaryKey(), name: text("name").notNull(), tags: text("tags", { mode: "json" }) });
export default { async fetch(request, env) {
  await env.sql.exec("DROP TABLE IF EXISTS users; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, tags TEXT)");
  const db = drizzle(env.sql);
  await db.insert(users).values([{ name: "ann", tags: ["a"] }, { name: "bob" }]);
  await db.update(users).set({ name: "bea" }).where(eq(users.name, "bob"));
  const drizzled = await db.select().from(users).orderBy(users.id);
  await db.batch([db.insert(users).values({ name: "carl" }), db.delete(users).where(eq(users.name, "ann"))]);
  const counted = await db.get(sql\`SELECT count(*) AS n FROM users\`);
  const kysely = new Kysely({ dialect: new D1Dialect({ database: env.sql }) });
  const made = await kysely.insertInto("users").values({ name: "dora" }).executeTakeFirst();
  const rows = await kysely.selectFrom("users").select(["id", "name"]).where("name", "like", "%a%").orderBy("name").execute();
  return Response.json({ drizzled, counted, made: Number(made.insertId), rows });
} };`);
    const dir = project({ "hob.json": { app: "orm", functions: { orm: { entry: "main.mjs", bindings: ["sql"], memory_mb: 256 } } } });
    for (const file of loadedBy(entry)) fs.cpSync(file, path.join(dir, path.relative(orms.dir, file)));
    const made = await d.api("POST", "/v1/apps/orm/deploy", tar(dir));
    fs.rmSync(dir, { recursive: true, force: true });
    assert.equal(made.status, 201, made.text);
    await makeBackend(d, "orm");
  });
  after(() => d?.close());

  test("drizzle-orm and kysely-d1 work on env.sql as they do on D1", async () => {
    const failed = await d.call("/fn/orm/orm");
    if (failed.status !== 200) assert.fail(JSON.stringify(await d.logs("orm", "orm")).slice(0, 2000));
    assert.deepEqual(await callJson(d, "/fn/orm/orm", {}), {
      drizzled: [{ id: 1, name: "ann", tags: ["a"] }, { id: 2, name: "bea", tags: null }], counted: { n: 2 }, made: 4,
      rows: [{ id: 2, name: "bea" }, { id: 3, name: "carl" }, { id: 4, name: "dora" }],
    });
  });
});
