// An export is the whole app: objects, files with their bytes, the database of env.sql, env.cache and env.files. It goes on
// when it broke off, and what a stranger may put into an import is judged.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, request } from "../e2e/harness.mjs";
import { App, KEYS } from "./app.mjs";

const PROBE = `export default { async fetch(request, env) {
  const run = new (async () => {}).constructor("env", (await request.json()).run);
  try { return Response.json({ value: await run(env) }); } catch (error) { return Response.json({ error: error.message }); }
} };`;

let hob, dir;
before(async () => {
  hob = await Daemon.start();
  dir = project({});
});
after(async () => {
  await hob?.close();
  fs.rmSync(dir, { recursive: true, force: true });
});
const at = (name) => path.join(dir, name);
const cli = (...words) => {
  const done = hob.cli(words);
  assert.equal(done.code, 0, done.out + done.err);
  return done.out;
};
const lines = (name) => fs.readFileSync(at(name), "utf8").trimEnd().split("\n");
const write = (name, list) => fs.writeFileSync(at(name), list.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n"));
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function make(name) {
  const app = await App.make(hob, name);
  await hob.deploy(name, { probe: { entry: "probe.mjs", bindings: ["cache", "sql", "files"] } }, { "probe.mjs": PROBE });
  app.run = async (run) => {
    const { value, error } = (await hob.call(`/fn/${name}/probe`, { method: "POST", body: JSON.stringify({ run }), headers: { "content-type": "application/json" } })).json;
    assert.equal(error, undefined);
    return value;
  };
  app.upload = async (file, bytes, headers = {}) => {
    const answer = await request(`${app.url}/files/${file}`, { method: "POST", body: bytes,
      headers: { "x-parse-application-id": name, "x-parse-master-key": KEYS.master, "content-type": "application/octet-stream", "content-length": bytes.length, ...headers } });
    assert.equal(answer.status, 201, answer.text);
    return answer.json.name;
  };
  app.download = async (file) => (await request(`${app.url}/files/${name}/${encodeURIComponent(file)}`)).bytes;
  return app;
}
const READ = `return {
  rows: (await env.sql.prepare("SELECT a, length(b) AS n, hex(substr(b, -8)) AS b FROM t ORDER BY a").all()).results,
  words: (await env.sql.prepare("SELECT rowid FROM words WHERE words MATCH 'export'").all()).results,
  text: await env.cache.get("text"), bytes: [...new Uint8Array(await env.cache.get("bytes", "arrayBuffer"))], meta: (await env.cache.getWithMetadata("text")).metadata,
  key: [...new Uint8Array(await (await env.files.get("a/ü.bin")).arrayBuffer())] };`;
const big = randomBytes(6 * 1024 * 1024 + 17), small = Buffer.from("only five kinds of bytes"), shared = randomBytes(5000);
let whole, names, note, told;

test("all of an app comes back in another one, byte by byte", async () => {
  whole = await make("whole");
  names = { big: await whole.upload("big.bin", big), small: await whole.upload("a small one.txt", small), one: await whole.upload("one.bin", shared), two: await whole.upload("two.bin", shared) };
  names.far = await whole.upload("n".repeat(128), small, { "content-type": "image/jpeg", "x-parse-file-directory": `~a/${"d".repeat(253)}` });
  assert.match(names.far, /^~a\/d{253}\/[0-9a-f]{32}_n{128}\.jpg$/);
  note = await whole.create("Note", { text: "with a file", file: { __type: "File", name: names.big } }, { as: "master" });
  await whole.signUp("ada");
  await whole.run(`await env.sql.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); CREATE VIRTUAL TABLE words USING fts5(w); CREATE INDEX by_b ON t (b)");
    await env.sql.batch([...Array(200).keys()].map((i) => env.sql.prepare("INSERT INTO t VALUES (?, randomblob(?))").bind(i, 20000 + i)));
    await env.sql.prepare("INSERT INTO words VALUES ('an export of all')").run();
    await env.cache.put("text", "hé\\nllo", { metadata: { a: 1 } }); await env.cache.put("bytes", new Uint8Array([0, 255, 1])); await env.cache.put("ends", "x", { expirationTtl: 3600 });
    await env.files.put("a/ü.bin", new Uint8Array([9, 0, 8]));`);
  told = await whole.run(READ);
  assert.equal(told.rows.length, 200);
  assert.match(cli("data", "export", "whole", at("whole.jsonl")), /lines/);
  const copy = await make("copy");
  assert.match(cli("data", "import", "copy", at("whole.jsonl")), /, 6 files, 3 pairs of env\.cache, the database of env\.sql/);
  for (const [name, bytes] of [[names.big, big], [names.small, small], [names.one, shared], [names.two, shared], [names.far, small]])
    assert.equal(sha(await copy.download(name)), sha(bytes), name);
  assert.deepEqual(await copy.run(READ), told);
  const { url } = await copy.run(`return { url: (await env.files.head("a/ü.bin")).url ?? null }`);
  assert.ok(url === null || /\/files\/copy\/[^/]+$/.test(url), url);
  const found = await copy.get("Note", note.objectId, { as: "master" });
  assert.equal(found.file.name, names.big);
  assert.match(found.file.url, /\/files\/copy\//);
  assert.equal((await copy.ask("POST", "/login", { body: { username: "ada", password: "secret-of-tests" } })).status, 200);
  assert.deepEqual(await whole.run(READ), told, "and the first is as it was");
});

test("contents that names share are exported once, pieces are small, and the same import again changes nothing", async () => {
  const all = lines("whole.jsonl").map((line) => JSON.parse(line));
  const pieces = all.filter((l) => l.blob);
  assert.equal(new Set(pieces.map((l) => l.blob)).size, 4);
  assert.equal(pieces.filter((l) => l.blob === sha(shared)).length, 1);
  assert.equal(pieces.filter((l) => l.blob === sha(big)).length, 7);
  assert.ok(lines("whole.jsonl").every((line) => line.length < 2 << 20));
  cli("data", "import", "copy", at("whole.jsonl"));
  const copy = Object.assign(new App(), { daemon: hob, name: "copy", url: `${hob.url}/parse` });
  await copy.need("DELETE", `/files/${names.one}`, { as: "master" });
  assert.equal((await request(`${copy.url}/files/copy/${names.two}`)).status, 200, "the other name still holds the content");
  await copy.need("DELETE", `/files/${names.two}`, { as: "master" });
  assert.equal((await request(`${copy.url}/files/copy/${names.two}`)).status, 404);
  const kept = path.join(hob.home, "files/copy", sha(shared).slice(0, 2), sha(shared));
  assert.equal(fs.existsSync(kept), false, "names were counted once");
  cli("data", "import", "copy", at("whole.jsonl"));
  assert.equal(fs.existsSync(kept), true);
  assert.deepEqual(fs.readdirSync(path.join(hob.home, "files/copy/parts")), []);
});

test("an export that broke off inside of bytes goes on, also behind a restart of the daemon", async () => {
  const broken = []; // {after, head}: what is written so far when the page that begins at `after` is asked for
  let head = Buffer.alloc(0);
  for (let after = ""; ;) {
    const answer = await hob.api("GET", `/v1/apps/whole/data/export?after=${encodeURIComponent(after)}`);
    assert.equal(answer.status, 200, answer.text);
    head = Buffer.concat([head, answer.bytes]);
    after = answer.headers["x-hob-next"] ?? "";
    if (!after) break;
    broken.push({ after, head });
  }
  const inside = [/^\+sql\/[0-9a-f]{16}\/\d+$/, /^\+bytes\/\d+\/[\w-]+\/\d+$/].map((kind) => broken.find(({ after }) => kind.test(after)));
  assert.ok(inside.every(Boolean), broken.map(({ after }) => after).join(" "));
  await hob.stop(); // the copy of the SQL database is gone: that part begins anew
  await hob.launch();
  for (const [i, one] of inside.entries()) {
    fs.writeFileSync(at("again.jsonl.part"), Buffer.concat([one.head, Buffer.from('{"half')]));
    fs.writeFileSync(at("again.jsonl.next"), `${one.head.length} ${one.head.toString().split("\n").length - 1} ${one.after}\n`);
    assert.match(hob.cli(["data", "export", "whole", at("again.jsonl"), "--force"]).err, /Going on behind \d+ lines/);
    const again = await make(`again${i}`);
    cli("data", "import", `again${i}`, at("again.jsonl"));
    assert.equal(sha(await again.download(names.big)), sha(big));
    assert.deepEqual(await again.run(READ), told);
  }
  for (const after of ["+sql/../../etc/passwd/0", "+bytes/x", "+names/1/%", "+cache/!", "+nothing/", "+keys", `+sql/${"0".repeat(16)}/5`, `+cache/${"A".repeat(2000)}`])
    assert.ok([200, 400].includes((await hob.api("GET", `/v1/apps/whole/data/export?after=${encodeURIComponent(after)}`)).status), after);
});

test("a file that comes while files are exported brings its bytes along", async () => {
  const app = await make("busy");
  await app.upload("first.txt", small);
  const page = (after) => hob.api("GET", `/v1/apps/busy/data/export?after=${encodeURIComponent(after)}`);
  const next = (await page("+bytes/")).headers["x-hob-next"];
  assert.match(next, /^\+bytes\/\d+\/|^\+names\/\d+\/$/);
  const name = await app.upload("late.txt", shared);
  const told = (await page(next.replace(/^\+bytes\/(\d+)\/.*/, "+names/$1/"))).text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const bytes = told.findIndex((l) => l.blob === sha(shared)), named = told.findIndex((l) => l.file === name);
  assert.ok(bytes >= 0 && named > bytes, "before its name");
  assert.equal(told.filter((l) => l.blob).length, 1, "the first one's came before");
  assert.equal(told.filter((l) => l.file).length, 2);
});

test("bytes in an S3 store are left where they are, and none are put there", async () => {
  await App.make(hob, "remote", { files: { store: "s3", endpoint: "http://127.0.0.1:9", bucket: "b", accessKeyId: "k", secretAccessKeySecret: "S3KEY" } });
  const done = hob.cli(["data", "import", "remote", at("whole.jsonl")]);
  assert.notEqual(done.code, 0);
  assert.match(done.err, /lie in an S3 store/);
  cli("data", "import", "remote", at("whole.jsonl"), "--without", "files");
  cli("data", "export", "remote", at("remote.jsonl"));
  assert.ok(lines("remote.jsonl").some((line) => line.includes('"Note"')));
});

test("an import that broke off inside of bytes goes on behind a restart", async () => {
  const all = lines("whole.jsonl"), middle = all.findIndex((line) => line.startsWith(`{"blob":"${sha(big)}"`)) + 3;
  const later = await make("later");
  write("head.jsonl", all.slice(0, middle));
  cli("data", "import", "later", at("head.jsonl"));
  await hob.stop();
  await hob.launch();
  cli("data", "import", "later", at("whole.jsonl"), "--from-line", String(middle + 1));
  later.url = `${hob.url}/parse`;
  assert.equal(sha(await later.download(names.big)), sha(big));
  assert.deepEqual(await later.run(READ), told);
});

test("a line that is refused beside the last piece of env.sql leaves what is there, and that piece goes on", async () => {
  const all = lines("whole.jsonl"), is_sql = (line) => line.startsWith('{"sql":'), first = all.findIndex(is_sql) + 1, last = all.findLastIndex(is_sql) + 1;
  assert.ok(last > first + 2, "in several requests");
  const app = await make("undone");
  await app.run(`await env.sql.exec("CREATE TABLE mine (a)")`);
  write("undone.jsonl", [...all.slice(0, last), { class: "Note", object: { objectId: "x" } }]);
  const done = hob.cli(["data", "import", "undone", at("undone.jsonl")]);
  assert.notEqual(done.code, 0);
  assert.match(done.err, /createdAt/);
  assert.match(done.err, new RegExp(`--from-line ${first}\\b`), "whatever became of the request, from there it works");
  assert.deepEqual(await app.run(`return (await env.sql.prepare("SELECT name FROM sqlite_schema").all()).results`), [{ name: "mine" }]);
  cli("data", "import", "undone", at("whole.jsonl"), "--from-line", String(last));
  assert.deepEqual(await app.run(READ), told);
});

test("settings are in the first line, and are set only where that is asked for", async () => {
  const set = (app) => hob.api("GET", `/v1/apps/${app}/backend`).then((answer) => answer.json.settings);
  await App.make(hob, "chosen", { maxLimit: 77, appName: "Chosen" });
  cli("data", "export", "chosen", at("chosen.jsonl"));
  assert.deepEqual(JSON.parse(lines("chosen.jsonl")[0]).settings, { maxLimit: 77, appName: "Chosen" });
  const other = await App.make(hob, "other", { appName: "Other" });
  cli("data", "import", "other", at("chosen.jsonl"));
  assert.deepEqual([(await set("other")).maxLimit, (await set("other")).appName], [1000, "Other"]);
  cli("data", "import", "other", at("chosen.jsonl"), "--settings");
  assert.deepEqual([(await set("other")).maxLimit, (await set("other")).appName], [77, "Chosen"]);
  const note = await other.create("Note", { ACL: { "role:admins": { read: true } } }, { as: "master" }), { objectId, sessionToken } = await other.signUp("bea");
  await other.fails(101, "GET", `/classes/Note/${note.objectId}`, { as: sessionToken });
  const head = { createdAt: "2026-01-01T00:00:00.000Z", updatedAt: "2026-01-01T00:00:00.000Z" };
  write("odd.jsonl", [{ hob_export: 1, settings: { noSuch: 1 } }, { class: "_Role", object: { objectId: "Rabcdefghi", name: "admins", ACL: {}, ...head } },
    { class: "_Role", relation: "users", owner: "Rabcdefghi", related: [objectId] }]);
  const done = hob.cli(["data", "import", "other", at("odd.jsonl"), "--settings"]);
  assert.notEqual(done.code, 0);
  assert.match(done.err, /no setting 'noSuch'/);
  await other.get("Note", note.objectId, { as: sessionToken }); // the lines are in: what was known of the caller is forgotten
});

test("what is not wanted is left out, when leaving and when coming", async () => {
  const kinds = (name) => new Set(lines(name).map((line) => /^\{"(\w+)"/.exec(line)[1]));
  cli("data", "export", "whole", at("bare.jsonl"), "--without", "cache,sql,files");
  assert.deepEqual([...kinds("bare.jsonl")].sort(), ["class", "hob_export"]);
  cli("data", "export", "whole", at("some.jsonl"), "--without", "files");
  assert.deepEqual([...kinds("some.jsonl")].sort(), ["cache", "class", "hob_export", "sql"]);
  await make("bare");
  assert.match(cli("data", "import", "bare", at("whole.jsonl"), "--without", "files, sql"), /relations, 3 pairs of env\.cache \(/);
  for (const words of [["export", "whole", at("no.jsonl")], ["import", "bare", at("whole.jsonl")]]) {
    const done = hob.cli(["data", ...words, "--without", "objects"]);
    assert.notEqual(done.code, 0);
    assert.match(done.err, /cache, sql and files can/);
  }
  assert.equal(fs.existsSync(at("no.jsonl")), false);
});

test("pieces and names that are wrong are refused, and nothing of them is kept", async () => {
  const app = await make("strict");
  const b64 = (bytes) => Buffer.from(bytes).toString("base64"), hello = sha("hello");
  const good = { blob: hello, bytes: 5, at: 0, base64: b64("hello") };
  const cases = [
    [{ ...good, base64: b64("hullo") }, /damaged/], [{ ...good, blob: "../../x" }, /names no content/], [{ ...good, at: 3, base64: b64("lo") }, /lacks those before it/],
    [{ ...good, bytes: 4 }, /does not fit/], [{ ...good, base64: "?" }, /no base64/], [{ ...good, bytes: -1 }, /at most/], [{ ...good, at: 6 }, /lacks 'at'/], [{ ...good, at: "0" }, /lacks 'at'/],
    [{ ...good, base64: "" }, /does not fit/], [{ blob: 5, bytes: 1, at: 0, base64: "" }, /names no content/],
    [{ sql: "main", bytes: 5, at: 0, base64: b64("hello") }, /no SQLite database/], [{ sql: "main", bytes: 2 ** 40, at: 0, base64: b64("x") }, /at most/],
    [{ file: "x_a.txt", row: { digest: hello, type: "text/plain", bytes: 5 } }, /neither here/], [{ file: "../a", row: { digest: hello, type: "a", bytes: 1 } }, /no name|is none/i],
    ...["a/../x_a.txt", "a//x_a.txt", "/x_a.txt", "a/", "metadata/x_a.txt", `${"d".repeat(257)}/x`, "x".repeat(400)].map((file) => [{ file, row: { digest: hello, type: "a", bytes: 5 } }, /is none/]),
    [{ file_key: "a", row: { name: "../../classes/Note/x" } }, /env\.files/],
    [{ file: "x_a.txt", row: { digest: "zz", type: "a", bytes: 1 } }, /digest/], [{ file_key: "", row: { name: "x" } }, /env\.files/], [{ file_key: "a", row: 5 }, /env\.files/],
    [{ cache: "", value: "x" }, /env\.cache/], [{ cache: "k" }, /env\.cache/], [{ cache: "k", base64: "?" }, /env\.cache/], [{ cache: "k".repeat(513), value: "x" }, /env\.cache/],
  ];
  for (const [line, says] of cases) {
    write("bad.jsonl", [line]);
    const done = hob.cli(["data", "import", "strict", at("bad.jsonl")]);
    assert.notEqual(done.code, 0, JSON.stringify(line));
    assert.match(done.err, says, JSON.stringify(line));
    if (!says.source.includes("SQLite")) assert.match(done.err, /line 1/);
  }
  assert.equal((await request(`${app.url}/files/strict/x_a.txt`)).status, 404);
  const damaged = lines("whole.jsonl").filter((line) => line.startsWith('{"sql"')).map((line) => JSON.parse(line));
  const whole_db = Buffer.concat(damaged.map((l) => Buffer.from(l.base64, "base64")));
  whole_db.fill(0x5a, 8192, 8192 + 40960);
  await app.run(`await env.sql.exec("CREATE TABLE mine (a)")`);
  write("bad.jsonl", damaged.map((l) => ({ ...l, base64: whole_db.subarray(l.at, l.at + Buffer.from(l.base64, "base64").length).toString("base64") })));
  const done = hob.cli(["data", "import", "strict", at("bad.jsonl")]);
  assert.notEqual(done.code, 0);
  assert.match(done.err, /damaged/);
  assert.deepEqual(await app.run(`return (await env.sql.prepare("SELECT name FROM sqlite_schema").all()).results`), [{ name: "mine" }], "what was there stays");
});
