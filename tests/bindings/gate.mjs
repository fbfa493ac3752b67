// What a server finds at HOB_BINDINGS_URL, whatever engine runs it: Express with the Parse SDK of npm, Flask, PHP, and a
// probe that runs what it is sent. `world()`: {hob, backend, ann, bob}, with what `deployGate` deploys.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { ROOT, project, until } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";
import { makeBackend, signUp } from "./world.mjs";

const SERVERS = path.join(ROOT, "tests/bindings/servers");
const packages = npmFolder("gate", { express: "4.21.2", parse: "8.6.0" });
if (packages.why) console.error(`SKIPPED: ${packages.why}`);
/* What Node does not load: thousands of files less to deploy. */
const UNUSED = /\/parse\/(dist|types)(\/|$)|\/core-js-pure\/(full|actual|stage|proposals|features)(\/|$)|\/helpers\/esm(\/|$)|\.(md|map|d\.ts)$/;
const noFlask = spawnSync("/usr/bin/python3", ["-c", "import flask"]).status === 0 ? false : "python3-flask is not installed";
const noPhp = fs.existsSync("/usr/bin/php") ? false : "php-cli is not installed";
const noGcc = spawnSync("gcc", ["--version"]).status === 0 ? false : "gcc is not installed";
const ALL = ["data:Note:rw", "auth", "cache", "sql", "files", "secrets:PAY"];
const CLOUD = `Parse.Cloud.define("who", (request) => request.user ? request.user.get("username") : "nobody");\n`;

/** Deploys what the tests ask, on that engine; the world. */
export async function deployGate(hob, engine) {
  const backend = await makeBackend(hob, "shop");
  const http = (entry, more = {}) => ({ engine, entry, kind: "http", concurrency: 20, memory_mb: 256, timeout_ms: 60000, bindings: ALL, scale: { max: 1 }, ...more });
  const functions = {
    probe: http("probe.mjs"), boss: http("probe.mjs", { bindings: [...ALL, "data:master"] }), bare: http("probe.mjs", { bindings: [] }),
    crowded: http("probe.mjs", { port: 9002 }), early: http("early.mjs"),
    ...(noGcc ? {} : { caller: { engine, entry: "caller", runtime: "c", bindings: ALL, scale: { max: 1 } } }),
    cloud: { engine, entry: "cloud.js", kind: "parse" },
    ...(packages.why ? {} : { express: http("express.js", { port: 3000 }) }),
    ...(noFlask ? {} : { flask: http("flask_app.py", { runtime: "python" }) }), ...(noPhp ? {} : { php: http("index.php", { runtime: "php", concurrency: 1 }) }),
  };
  const dir = project({ "hob.json": { app: "shop", functions }, "cloud.js": CLOUD });
  try {
    for (const name of fs.readdirSync(SERVERS)) fs.copyFileSync(path.join(SERVERS, name), path.join(dir, name));
    if (!noGcc) assert.equal(spawnSync("gcc", ["-O1", "-o", path.join(dir, "caller"), path.join(SERVERS, "caller.c")]).status, 0);
    if (!packages.why) fs.cpSync(path.join(packages.dir, "node_modules"), path.join(dir, "node_modules"), { recursive: true, verbatimSymlinks: true, filter: (file) => !UNUSED.test(file) });
    const done = hob.cli(["deploy", dir], { timeout: 120000 }); // it leaves links out, as npm makes them
    assert.equal(done.code, 0, done.err);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
  assert.equal((await hob.api("PUT", "/v1/apps/shop/secrets/PAY", { value: "s3cret" })).status < 300, true);
  return { hob, backend, ann: await signUp(hob, backend, "ann"), bob: await signUp(hob, backend, "bob") };
}

/** `away`: why there is no world; then nothing is asked. */
export function gateTests(world, it = test, away = null) {
  const as = (user) => (user ? { "x-parse-session-token": user.token } : {});
  /** Runs code in a probe; what it returns. */
  const run = async (code, { user, fn = "probe" } = {}) => {
    const answer = await world().hob.call(`/fn/shop/${fn}`, { method: "POST", body: code, headers: { "content-length": Buffer.byteLength(code), ...as(user) } });
    assert.equal(answer.status, 200, answer.text);
    return answer.json.value;
  };
  const call = async (fn, method, where, body, { user, headers = {} } = {}) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const answer = await world().hob.call(`/fn/shop/${fn}${where}`, { method, body: text,
      headers: { ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }), ...as(user), ...headers } });
    assert.equal(answer.status, 200, `${answer.text} ${JSON.stringify((await world().hob.logs("shop", fn)).slice(-5))}`);
    return answer.json;
  };

  describe("an Express application with the Parse SDK of npm", { skip: away ?? packages.why ?? false }, () => {
    const express = async (method, where, body, options) => {
      const { value, error } = await call("express", method, where, body, options);
      if (error) throw Object.assign(new Error(error.message), error);
      return value;
    };

    it("saves, finds, counts, changes and removes objects, one by one and in batches", async () => {
      const { ann } = world();
      const made = await express("POST", "/notes", { text: "first é", n: 1 }, { user: ann });
      assert.ok(made.objectId);
      assert.deepEqual((await express("GET", "/notes?text=first%20%C3%A9", undefined, { user: ann })).map((one) => one.objectId), [made.objectId]);
      const many = await express("POST", "/many", Array.from({ length: 30 }, (_, i) => ({ text: "many", n: i })), { user: ann });
      assert.equal(many.n, 30);
      assert.equal(many.left, 1);
      assert.deepEqual([many.got.n, many.got.tags], [10, ["a"]]);
    });

    it("acts as the caller of each request: an ACL lets in whom it names, and nobody else", async () => {
      const { ann, bob } = world();
      await express("POST", "/notes", { text: "hers", private: true }, { user: ann });
      const seen = async (options, query = "") => (await express("GET", `/notes?text=hers${query}`, undefined, options)).length;
      assert.equal(await seen({ user: ann }), 1);
      assert.equal(await seen({ user: bob }), 0);
      assert.equal(await seen({}), 0);
      assert.equal(await seen({ user: ann }, "&as=public"), 0, "without the token it is nobody");
      assert.deepEqual(await Promise.all(Array.from({ length: 20 }, (_, i) => seen({ user: i % 2 ? ann : bob }))), Array.from({ length: 20 }, (_, i) => i % 2));
    });

    it("knows the caller, whose session token it never sees", async () => {
      const { ann } = world();
      const me = await express("POST", "/me", {}, { user: ann });
      assert.equal(me.username, "ann");
      assert.match(me.token, /^i:[0-9a-f]{32}$/);
      assert.ok(!JSON.stringify(me).includes(ann.token));
      await assert.rejects(express("POST", "/me", {}), { code: 209 });
      assert.equal((await express("POST", "/login", { username: "bob", password: "pass word 1" })).token, "r:");
    });

    it("stores a file, and fetches it and a part of it", async () => {
      const file = await express("POST", "/file", { text: "hello file" }, { user: world().ann });
      assert.match(file.name, /_hello\.txt$/);
      assert.deepEqual([file.text, file.type, file.part, file.status], ["hello file", "text/plain", "ell", 206]);
    });

    it("calls cloud code, which runs for the same caller", async () => {
      assert.equal(await express("POST", "/run", { name: "who" }, { user: world().bob }), "bob");
      assert.equal(await express("POST", "/run", { name: "who" }), "nobody");
    });

    it("is master only where hob.json says so", async () => {
      await assert.rejects(express("GET", "/notes?text=hers&as=master", undefined, { user: world().ann }), { code: 119, message: /data:master/ });
    });

    it("asks nothing for a request that was answered", async () => {
      await express("POST", "/late", {}, { user: world().ann });
      await until(async () => { // each request wakes an instance that was frozen before it came to asking
        await express("GET", "/notes?text=none");
        return (await world().hob.logs("shop", "express")).some((line) => /late: 119 .*has ended/.test(line.text));
      }, "the refusal", 30000);
    });
  });

  describe("a Flask application with urllib", { skip: away ?? noFlask }, () => {
    it("makes and finds objects as its caller, and as nobody", async () => {
      const { ann } = world();
      const made = await call("flask", "POST", "/notes", { text: "from flask", ACL: { [ann.id]: { read: true, write: true } } }, { user: ann });
      assert.equal(made.status, 201);
      assert.equal((await call("flask", "GET", "/notes/from%20flask", undefined, { user: ann })).results.length, 1);
      assert.equal((await call("flask", "GET", "/notes/from%20flask?public", undefined, { user: ann })).results.length, 0);
      assert.equal((await call("flask", "GET", "/me", undefined, { user: ann }))[1].username, "ann");
    });
  });

  describe("a page in PHP", { skip: away ?? noPhp }, () => {
    it("makes and finds objects as its caller, and as nobody", async () => {
      const { bob } = world();
      const [status, made] = await call("php", "POST", "/", { text: "php", ACL: { [bob.id]: { read: true } } }, { user: bob });
      assert.deepEqual([status, typeof made.objectId], [201, "string"]);
      assert.equal((await call("php", "GET", "/php", undefined, { user: bob }))[1].results.length, 1);
      assert.equal((await call("php", "GET", "/php?public", undefined, { user: bob }))[1].results.length, 0);
      assert.equal((await call("php", "GET", "/me", undefined, { user: bob }))[1].username, "bob");
    });
  });

  it("the small paths: cache with its time to live and its counter, SQL, secrets", async () => {
    const value = await run(`
      const put = await ask("PUT", "/cache/a%2Fb?ttl=60", Buffer.from([0, 255, 10]));
      const got = await ask("GET", "/cache/a%2Fb"), none = await ask("GET", "/cache/none"), head = await ask("HEAD", "/cache/a%2Fb");
      await ask("POST", "/cache/n?incr=2", ""); const n = await ask("POST", "/cache/n?incr=-5", "");
      const list = await ask("GET", "/cache?prefix=a"); const gone = await ask("DELETE", "/cache/a%2Fb");
      const after = await ask("GET", "/cache/a%2Fb");
      const one = await ask("POST", "/sql", { sql: "SELECT ? AS a, ? AS b", params: [1, "x"] });
      const two = await ask("POST", "/sql", { statements: [{ sql: "CREATE TABLE IF NOT EXISTS t (a)" }, { sql: "SELECT 2" }] });
      const bad = await ask("POST", "/sql", { sql: "SELEKT" });
      const secret = await ask("GET", "/secrets/PAY"), other = await ask("GET", "/secrets/OTHER");
      return { put: put.status, got: got.base64, revision: got.headers["x-hob-revision"], none: none.status, head: [head.status, head.n, head.headers["content-length"]],
        n: n.json, list: list.json.keys.map((one) => one.name), expires: list.json.keys[0].expiration > Date.now() / 1000, gone: gone.status, after: after.status,
        one: one.json.rows, two: two.json.map((one) => one.rows), bad: bad.status, secret: Buffer.from(secret.base64, "base64").toString(), other: [other.status, other.json.reason] };`);
    assert.deepEqual(value, { put: 204, got: Buffer.from([0, 255, 10]).toString("base64"), revision: value.revision, none: 404, head: [200, 0, "3"], n: -3, list: ["a/b"],
      expires: true, gone: 204, after: 404, one: [[1, "x"]], two: [[], [[2]]], bad: 400, secret: "s3cret", other: [403, "no_such_binding"] });
    assert.match(value.revision, /^\d+$/);
  });

  it("what hob.json does not name is refused: classes, by sub-queries, redirects and batches too; administration", async () => {
    const where = (o) => encodeURIComponent(JSON.stringify(o));
    const asked = [
      ["GET", "/parse/classes/Other"], ["GET", "/parse/classes/Note%2F..%2FOther"], ["GET", "/parse//classes//Other"], ["GET", "/parse/classes/%4Fther"],
      ["GET", `/parse/classes/Note?where=${where({ a: { $inQuery: { className: "Other", where: {} } } })}`],
      ["GET", `/parse/classes/Note?where=${where({ $or: [{ a: { $select: { query: { className: "Other", where: {} }, key: "x" } } }] })}`],
      ["POST", "/parse/classes/Note", { _method: "GET", where: JSON.stringify({ a: { $inQuery: { className: "Other", where: {} } } }) }],
      ["GET", "/parse/classes/Note?redirectClassNameForKey=other"],
      ["POST", "/parse/batch", { requests: [{ method: "POST", path: "/parse/classes/Other", body: {} }] }],
      ["POST", "/parse/batch", { requests: [{ method: "GET", path: `/parse/classes/Note/?where=${where({ a: { $inQuery: { className: "Other", where: {} } } })}` }] }],
      ["POST", "/parse/batch", { requests: [{ method: "GET", path: "/parse/classes/Note?redirectClassNameForKey=other" }] }],
      ["POST", "/parse/batch", { requests: [{ method: "GET", path: "/parse/classes/Note", body: { where: { a: { $inQuery: { className: "Other", where: {} } } } } }] }],
      ["GET", "/parse/schemas"], ["GET", "/parse/aggregate/Other"], ["POST", "/parse/push", {}], ["GET", "/parse/hooks/functions"], ["GET", "/parse/jobs"],
    ];
    const said = await run(`const out = []; for (const [m, p, b] of ${JSON.stringify(asked)}) { const a = await ask(m, p, b); out.push([a.status, a.json?.code]); } return out;`, { user: world().ann });
    assert.deepEqual(said, asked.map(() => [403, 119]), JSON.stringify(said));
  });

  it("what is saved may have a member named like a condition, and keys of the cache may look like numbers", async () => {
    const said = await run(`
      const note = await ask("POST", "/parse/classes/Note", { where: "Paris", redirectClassNameForKey: 1 });
      const parts = await ask("POST", "/parse/batch", { requests: [{ method: "POST", path: "/parse/classes/Note", body: { where: "Rome" } }] });
      for (const key of ["2026", "2027", "true"]) await ask("PUT", "/cache/" + key, "x");
      const list = async (query) => (await ask("GET", "/cache?" + query)).json.keys.map((one) => one.name);
      return [note.status, parts.json[0].success !== undefined, await list("prefix=202"), await list("prefix=2027"), await list("prefix=tr&limit=5")];`, { user: world().ann });
    assert.deepEqual(said, [201, true, ["2026", "2027"], ["2027"], ["true"]]);
  });

  it("no key is known: the master key is a word, which hob.json allows or not", async () => {
    const { ann, backend } = world();
    const code = (key, how = "") => `return (await ask("GET", "/parse/classes/Note?limit=1000", undefined, { "x-parse-master-key": ${JSON.stringify(key)}${how} })).json`;
    const made = await run('return (await ask("POST", "/parse/classes/Note", { text: "closed", ACL: {} })).json', { user: ann });
    assert.ok(made.objectId);
    assert.ok((await run(code("master"), { fn: "boss" })).results.some((one) => one.text === "closed"));
    assert.ok((await run('return (await ask("POST", "/parse/classes/Note", { _method: "GET", _MasterKey: "master" })).json', { fn: "boss" })).results.some((one) => one.text === "closed"));
    assert.ok(!(await run('return (await ask("GET", "/parse/classes/Note")).json', { fn: "boss", user: ann })).results.some((one) => one.text === "closed"), "only when it asks");
    assert.equal((await run(code("master"))).code, 119);
    assert.match((await run(code(backend.key), { fn: "boss" })).error, /no key is known/);
  });

  it("whose token: the header, a bearer, the session of SDKs, in head and body; forged and foreign ones are refused", async () => {
    const { ann } = world();
    const me = await run(`
      const me = async (method, headers, body) => { const a = await asking()(method, "/parse/users/me", body, headers); return a.json?.username ?? [a.status, a.json.code, a.json.reason ?? a.json.error]; };
      const forged = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
      return [await me("GET", { "x-hob-invocation": token }), await me("GET", { authorization: "Bearer " + token }), await me("GET", { "x-parse-session-token": token }),
        await me("POST", {}, { _method: "GET", _SessionToken: token }), await me("POST", {}, '{"_SessionToken" : "' + token + '", "_method":"GET"}'),
        await me("GET", {}), await me("GET", { "x-hob-invocation": forged }), await me("GET", { "x-parse-session-token": forged }),
        await me("POST", {}, { _method: "GET", _SessionToken: forged }), await me("GET", { "x-hob-invocation": "i:" }), await me("GET", { "x-hob-invocation": "x".repeat(5000) }),
        await me("POST", {}, JSON.stringify({ _method: "GET", _SessionToken: token }).replace("i:", "i\\\\u003a")),
        await me("GET", { "x-parse-session-token": "r:forged" })];`, { user: ann });
    const ended = [403, 119, "invocation_ended"];
    assert.deepEqual(me.slice(0, 5), ["ann", "ann", "ann", "ann", "ann"]);
    assert.equal(me[5][1], 209);
    assert.deepEqual(me.slice(6, 11), [ended, ended, ended, ended, ended]);
    assert.deepEqual([me[11][0], me[11][1]], [403, 119]);
    assert.equal(me[12][1], 209);
  });

  it("a token is over with its invocation, also for another one that the instance still has", async () => {
    const { ann, bob } = world();
    const token = await run("kept.token = token; return token", { user: ann });
    const said = await run('const a = await asking(kept.token)("GET", "/parse/users/me"); return [a.status, a.json.code, a.json.reason, a.json.error]', { user: bob });
    assert.deepEqual(said, [403, 119, "invocation_ended", "the invocation has ended: its bindings have, too"]);
    assert.match(token, /^i:[0-9a-f]{32}$/);
    const both = run('kept.first = token; while (!kept.second) await new Promise((r) => setTimeout(r, 10)); return (await asking(kept.second)("GET", "/parse/users/me")).json.username', { user: ann });
    await until(() => run("return kept.first ?? null"), "the first to run", 30000);
    const other = run('kept.second = token; const name = (await asking(kept.first)("GET", "/parse/users/me")).json.username; while (!kept.done) await new Promise((r) => setTimeout(r, 10)); return name', { user: bob });
    assert.equal(await both, "bob", "the code of an instance is trusted with all that it serves now");
    await run("kept.done = true; return 1");
    assert.equal(await other, "ann");
  });

  it("an outsider cannot set the token's header, and the caller's session token stays outside", async () => {
    const { ann } = world();
    const seen = await world().hob.call("/fn/shop/probe", { method: "POST", body: "return request.headers", headers: { "x-hob-invocation": "i:mine", "x-parse-session-token": ann.token } });
    assert.match(seen.json.value["x-hob-invocation"], /^i:[0-9a-f]{32}$/);
    assert.ok(!seen.text.includes(ann.token));
  });

  it("a function without bindings has no listener, no variable and no token", async () => {
    const seen = await run(`return { url: process.env.HOB_BINDINGS_URL ?? null, token: token ?? null, port: await new Promise((done) => net.connect(9002, "127.0.0.1").on("connect", () => done("open")).on("error", (e) => done(e.code))) }`, { fn: "bare" });
    assert.equal(seen.url, null);
    assert.equal(seen.token, null);
    assert.ok(["ECONNREFUSED", "EACCES"].includes(seen.port), seen.port);
  });

  it("a server may ask before it listens, as nobody", async () => {
    const said = await world().hob.call("/fn/shop/early");
    assert.equal(said.status, 200, said.text);
    assert.equal(said.json.status, 200);
    assert.ok(Array.isArray(JSON.parse(said.json.text).results));
  });

  it("a server on the port where the bindings would be has them at the next one", async () => {
    assert.equal(await run("return process.env.HOB_BINDINGS_URL", { fn: "crowded" }), "http://127.0.0.1:9003/parse");
    assert.equal(await run('return (await ask("GET", "/parse/health")).json.status', { fn: "crowded" }), "ok");
  });

  it("files as bytes: up with type and metadata, down in ranges, unchanged ones not at all, those of others never", async () => {
    const { ann, backend } = world();
    const value = await run(`
      const bytes = Buffer.alloc(700000, 7);
      const up = await ask("POST", "/parse/files/big.bin", bytes, { "x-parse-application-id": "any", "content-type": "image/x-thing" });
      const at = "/parse/files/${backend.id}/" + up.json.name;
      const all = await ask("GET", at), tail = await ask("GET", at, undefined, { range: "bytes=-5" }), beyond = await ask("GET", at, undefined, { range: "bytes=700000-" });
      const same = await ask("GET", at, undefined, { "if-none-match": all.headers.etag }), head = await ask("HEAD", at), none = await ask("GET", at + "x"), other = await ask("GET", at.replace("${backend.id}", "elsewhere"));
      const empty = await ask("POST", "/parse/files/empty.bin", "", { "x-parse-application-id": "any" });
      return { up: up.status, all: [all.status, all.n, all.headers["content-type"]], tail: [tail.status, tail.n, tail.headers["content-range"]], beyond: beyond.status, same: [same.status, same.n],
        head: [head.status, head.n, head.headers["content-length"]], none: [none.status, none.json.code], other: other.status, empty: empty.status };`, { user: ann });
    assert.deepEqual(value, { up: 201, all: [200, 700000, "image/x-thing"], tail: [206, 5, "bytes 699995-699999/700000"], beyond: 416, same: [304, 0], head: [200, 0, "700000"],
      none: [404, 101], other: 404, empty: value.empty });
    const far = await run(`
      const up = await ask("POST", "/parse/files/" + "n".repeat(124) + ".bin", "far", { "x-parse-application-id": "any", "x-parse-master-key": "master", "x-parse-file-directory": "d".repeat(256) });
      const at = "/parse/files/${backend.id}/", all = await ask("GET", at + up.json.name), meta = await ask("GET", at + "metadata/" + up.json.name);
      return { up: up.status, all: [all.status, all.n], meta: meta.status, others: [(await ask("GET", at + "a/../" + up.json.name)).status, (await ask("GET", at + "/" + up.json.name)).status, (await ask("GET", at + "x".repeat(500))).status] };`, { fn: "boss" });
    assert.deepEqual(far, { up: 201, all: [200, 3], meta: 200, others: [404, 404, 404] }, "the longest name");
  });

  it("what is no Parse request, or no path, or too large, is said so", async () => {
    const said = await run(`const out = {};
      for (const [name, args] of Object.entries({ list: ["POST", "/parse/classes/Note", "[1]"], text: ["POST", "/parse/classes/Note", "no json"], root: ["GET", "/"], star: ["PATCH", "/cache/a", "x"],
        key: ["PUT", "/cache/" + "k".repeat(2000), "x"], large: ["POST", "/parse/classes/Note", JSON.stringify({ text: "x".repeat(1100000) })], parse: ["GET", "/parse"], unknown: ["GET", "/parsely"] })) {
        const a = await ask(...args); out[name] = [a.status, a.json?.code]; }
      return out;`);
    assert.deepEqual(said, { list: [400, 107], text: [400, 107], root: [404, 101], star: [404, 101], key: [400, said.key[1]], large: [413, 1], parse: said.parse, unknown: [404, 101] });
    assert.ok(said.parse[0] >= 400);
  });
}

/** What a hostile server does to its gate costs itself, and not what it serves otherwise. */
export function hostileGateTests(world, it = test, away = null) {
  const run = async (code) => {
    const answer = await world().hob.call("/fn/shop/probe", { method: "POST", body: code, headers: { "content-length": Buffer.byteLength(code), "x-parse-session-token": world().ann.token } });
    assert.equal(answer.status, 200, answer.text);
    return answer.json.value;
  };
  const alive = async () => assert.equal(await run('return (await ask("GET", "/parse/health")).status'), 200);

  it("malformed requests are refused and end their connection", async () => {
    const bad = ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "get\r\n\r\n", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\na: \0\r\n\r\n", "GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n"];
    const said = await run(`const out = []; for (const one of ${JSON.stringify(bad)}) out.push(await raw(Buffer.from(one, "latin1"))); return out;`);
    for (const [i, { text, how }] of said.entries()) {
      assert.match(text, /^HTTP\/1\.1 400 /, JSON.stringify([bad[i], text]));
      assert.equal(how, "end", bad[i]);
    }
    await alive();
  });

  it("a giant head, endless fields and an endless body are cut off", async () => {
    const said = await run(`return [await raw("GET / HTTP/1.1\\r\\nHost: x\\r\\na: " + "x".repeat(200000)), await raw("GET /" + "x".repeat(100000) + " HTTP/1.1\\r\\n"), await raw("GET / HTTP/1.1\\r\\nHost: x\\r\\n" + "a: b\\r\\n".repeat(600) + "\\r\\n"),
      await raw("POST /cache/a HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 99999999999\\r\\n\\r\\nx"),
      await raw("PUT /cache/a HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n" + ("fffe\\r\\n" + "x".repeat(65534) + "\\r\\n").repeat(40))]`);
    assert.deepEqual(said.map((one) => one.text.slice(9, 12)), ["431", "431", "400", "413", "413"], JSON.stringify(said.map((one) => one.text.slice(0, 300))));
    await alive();
  });

  it("pipelined requests are answered in order, a part at a time too, and a half-closed client gets its answers", async () => {
    const said = await run(`const one = (p) => "GET " + p + " HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n";
      const many = await raw(Array.from({ length: 200 }, (_, i) => one(i % 2 ? "/parse/health" : "/nothing")).join(""), { end: true });
      const slow = await new Promise((done) => { const s = net.connect(9002, "127.0.0.1"); let text = ""; s.on("data", (d) => { text += d; if (text.includes("ok")) { s.destroy(); done(text); } });
        const bytes = "POST /parse/health HTTP/1.1\\r\\nHost: x\\r\\nExpect: 100-continue\\r\\nContent-Length: 3\\r\\n\\r\\nabc"; let i = 0; const timer = setInterval(() => { if (i < bytes.length) s.write(bytes[i++]); else clearInterval(timer); }, 1); });
      const old = await raw("GET /parse/health HTTP/1.0\\r\\n\\r\\n");
      return { statuses: [...many.text.matchAll(/HTTP\\/1\\.1 (\\d+)/g)].map((m) => m[1]), how: many.how, slow, old };`);
    assert.deepEqual(said.statuses, Array.from({ length: 200 }, (_, i) => (i % 2 ? "200" : "404")));
    assert.equal(said.how, "end");
    assert.equal(said.slow.match(/100 Continue/g).length, 1);
    assert.match(said.old.text, /^HTTP\/1\.1 200 .*Connection: close/s);
    assert.equal(said.old.how, "end");
  });

  it("a thousand connections, idle and half asked: others wait their turn, and are served", { timeout: 90000 }, async () => {
    const said = await run(`const idle = [];
      for (let wave = 0; wave < 3; wave++) { // as many at a time as an instance may have descriptors
        const all = Array.from({ length: 400 }, () => net.connect(9002, "127.0.0.1").on("error", () => {}));
        idle.push((await ask("GET", "/parse/health")).status);
        for (const s of all) s.destroy();
      }
      const half = Array.from({ length: 60 }, () => { const s = net.connect(9002, "127.0.0.1"); s.on("error", () => {}); s.write("GET / HTTP/1.1\\r\\nHo"); return s; });
      const beside = await ask("GET", "/parse/health");
      for (const s of half) s.destroy();
      const after = await Promise.all(Array.from({ length: 200 }, () => ask("GET", "/parse/health")));
      return { idle, beside: beside.status, after: after.every((one) => one.status === 200) };`);
    assert.deepEqual(said, { idle: [200, 200, 200], beside: 200, after: true });
  });

  it("who does not read its answers is let go, and hob-init's memory stays bounded", { timeout: 120000 }, async () => {
    const said = await run(`
      const size = () => { const text = require_fs.readFileSync("/proc/1/statm", "utf8").split(" "); return Number(text[1]) * 4096; };
      const require_fs = await import("node:fs");
      const up = await ask("POST", "/parse/files/big.bin", Buffer.alloc(900000, 65), { "x-parse-application-id": "any" });
      const at = "/parse/files/${world().backend.id}/" + up.json.name;
      const before = (() => { try { return size(); } catch { return null; } })();
      const deaf = Array.from({ length: 60 }, () => { const s = net.connect(9002, "127.0.0.1"); s.on("error", () => {}); s.pause(); s.write(("GET " + at + " HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n").repeat(20)); return s; });
      await new Promise((r) => setTimeout(r, 2000));
      const most = before === null ? null : size();
      for (const s of deaf) s.destroy();
      return { before, most, after: (await ask("GET", at)).n };`);
    assert.equal(said.after, 900000);
    if (said.most !== null) assert.ok(said.most - said.before < 80 << 20, JSON.stringify(said));
    await alive();
  });

  it("large requests all at once wait for room, and none is lost", { timeout: 90000 }, async () => {
    const said = await run(`const text = "x".repeat(800000);
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => ask("POST", "/parse/classes/Note", { large: i, text }).then((a) => a.status, (e) => e.code)));
      return all.reduce((sum, one) => ({ ...sum, [one]: (sum[one] ?? 0) + 1 }), {});`);
    assert.deepEqual(said, { 201: 50 });
    await alive();
  });

  describe("what hob-init would never say", { skip: away ?? noGcc }, () => {
    const say = async (which, call) => {
      const answer = await world().hob.call("/fn/shop/caller", { method: "POST", body: which + (typeof call === "string" ? call : JSON.stringify(call)) });
      assert.equal(answer.status, 200, answer.text);
      return { code: answer.text[0], text: answer.text.slice(1) };
    };
    const request = (more, op = "http.request") => ({ op, args: { method: "GET", target: "/parse/classes/Note?limit=1", fields: {}, ...more } });

    it("only a server may ask for nobody, and an invocation that is over asks nothing", async () => {
      assert.match((await say("1", request({}))).text, /HTTP\/1\.1 200 OK/);
      for (const [which, op] of [["0", "http.public"], ["2", "http.public"], ["0", "http.request"], ["2", "http.request"]]) {
        const said = await say(which, request({}, op));
        assert.equal(said.code, "1", op);
        assert.match(said.text, /invocation_ended/);
      }
    });

    it("nonsense is refused, and hobd goes on", async () => {
      const odd = [request({ method: 7 }), request({ method: "fn.invoke" }), request({ method: "" }), request({ target: "" }), request({ target: "x" }), request({ target: "?" }), request({ target: "/" }), request({ target: "/parse/" }),
        request({ target: "/parse/files/" }), request({ target: "/parse/files/a/metadata/" }), request({ target: "/parse/files/%00/%00" }), request({ target: "/cache/%00" }), request({ target: "/cache/%ff" }), request({ target: "/secrets/%" }),
        request({ fields: 7 }), request({ fields: { authorization: 7, range: [], "x-parse-session-token": {} } }), request({ fields: { "x-parse-cloud-context": "[" } }), request({ token: 7, close: "x" }),
        request({ target: "/sql", method: "POST" }), request({ target: "/cache/a?ttl=x", method: "PUT" }), request({ target: "/cache/a?incr=x", method: "POST" }), request({ target: `/parse/${"a/".repeat(3000)}` }),
        { op: "http.", args: {} }, { op: "http.request" }, { op: "http.request", args: [] }, '{"op":"http.public",', '{"op":"http.request","args":{"op":"fn.invoke"}}', '{"op":"http.x","args":{"name":"fn.invoke"}}'];
      for (const one of odd) {
        const said = await say("1", one);
        const isRefused = said.code === "1" || /HTTP\/1\.1 (4\d\d|200)/.test(said.text);
        assert.ok(isRefused, JSON.stringify([one, said]));
      }
      assert.match((await say("1", request({}))).text, /HTTP\/1\.1 200 OK/);
    });
  });

  it("the port cannot be taken over, and the gate is nobody's from outside", async () => {
    const said = await run(`return await new Promise((done) => net.createServer().on("error", (e) => done(e.code)).listen({ port: 9002, host: "127.0.0.1" }, () => done("taken")))`);
    assert.ok(["EADDRINUSE", "EACCES"].includes(said), said);
    const { port } = world().hob;
    assert.notEqual(port, 9002);
  });
}
