// What strangers and tired developers send: each gets a clear error with its own reason, and nothing else changes.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { Daemon, HELLO, ROOT, project, raw, request, tar } from "./harness.mjs";

let hob;
before(async () => {
  hob = await Daemon.start();
  await hob.deployOne("good", "f", "index.mjs", HELLO);
});
after(() => hob?.close());

const problem = (answer, status, reason, detail) => {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers["content-type"], /application\/problem\+json/);
  const { json } = answer;
  assert.equal(json.reason, reason, answer.text);
  assert.equal(json.status, status);
  assert.ok(json.request_id && json.request_id === answer.headers["x-request-id"]);
  if (detail) assert.match(json.detail, detail);
};

test("unknown app, function, alias, version and route are told apart", async () => {
  problem(await hob.call("/fn/nobody/f"), 404, "unknown_app");
  problem(await hob.call("/fn/good/nothing"), 404, "unknown_function");
  problem(await hob.call("/fn/good/f:prod"), 404, "unknown_alias", /prod/);
  problem(await hob.call("/fn/good/f@7"), 404, "unknown_version", /7/);
  problem(await hob.call("/somewhere"), 404, "no_route");
  for (const odd of ["/fn", "/fn/", "/fn/good", "/fn//f", "/fn/good/f@", "/fn/good/f:", "/fn/good/f@x", "/fn/GOOD/f"])
    assert.equal((await hob.call(odd)).status, 404, odd);
});

test("a method that no route takes is 405 with what is allowed", async () => {
  await hob.deployOne("only", "f", "index.mjs", HELLO, { routes: [{ path: "/only", methods: ["GET", "PUT"] }] });
  const answer = await hob.call("/only", { method: "DELETE" });
  assert.equal(answer.status, 405);
  assert.match(answer.headers.allow, /GET/);
  assert.match(answer.headers.allow, /PUT/);
  const odd = await raw(hob.port, "BREW /v1/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.match(odd, /^HTTP\/1\.1 (400|401|405|501) /);
});

test("heads that are too large or not well-formed are refused, the connection is not reused", async () => {
  const head = (more, line = "GET /fn/good/f HTTP/1.1") => `${line}\r\nHost: x\r\n${more}\r\n`;
  const status = async (bytes) => Number((await raw(hob.port, bytes)).slice(9, 12));
  assert.equal(await status(head(`X-Big: ${"a".repeat(70000)}\r\n`)), 431);
  assert.equal(await status(head("X: y\r\n".repeat(300))), 431);
  assert.equal(await status(head("", `GET /${"a".repeat(20000)} HTTP/1.1`)), 414);
  assert.equal(await status("GET / HTTP/1.1\r\n\r\n"), 400); // no Host
  assert.equal(await status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  assert.equal(await status("GET / HTTP/3.7\r\nHost: x\r\n\r\n"), 505);
  assert.equal(await status("hello\r\n\r\n"), 400);
  assert.equal(await status(head("Bad Name: x\r\n")), 400);
  assert.equal(await status(head("X: a\0b\r\n")), 400);
  assert.equal(await status("POST /fn/good/f HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  assert.equal(await status("POST /fn/good/f HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), 400);
  assert.equal(await status("POST /fn/good/f HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n"), 400);
  const bad = await raw(hob.port, "GET / HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal(bad.match(/HTTP\/1\.1 \d{3} /g).length, 1);
  assert.equal((await hob.call("/fn/good/f")).text, "hello\n");
});

test("paths that climb or hide are resolved before anything looks at them", async () => {
  const ask = async (target) => (await raw(hob.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).slice(9, 12);
  assert.equal(await ask("/fn/good/../good/f"), "200");
  assert.equal(await ask("/x/../../../v1/apps"), "401");
  assert.equal(await ask("/%76%31/apps"), "401"); // %76%31 is "v1"
  assert.equal(await ask("/fn/good/f/%00"), "400");
  assert.equal(await ask("/fn/good/f/%zz"), "400");
});

test("bodies over the limits are refused while they come", async () => {
  const big = Buffer.alloc(7 * 1024 * 1024, 120);
  await hob.deployOne("event", "f", "index.mjs", "export const handler = async (e) => String(e.body?.length);");
  const answer = await request(`${hob.url}/fn/event/f`, { method: "POST", body: big }).catch((e) => e);
  if (!(answer instanceof Error)) assert.equal(answer.status, 413, answer.text);
  problem(await hob.api("POST", "/v1/apps/good/functions/f/rollback", "x".repeat(1048577)), 413, "body_too_large");
  assert.equal((await hob.call("/fn/good/f")).text, "hello\n");
});

test("the control API says what is wrong with JSON, members, names and queries", async () => {
  const fn = "/v1/apps/good/functions/f";
  problem(await hob.api("POST", `${fn}/rollback`, "{not json"), 400, "bad_json", /line 1/);
  problem(await hob.api("POST", `${fn}/rollback`, `${"[".repeat(40)}${"]".repeat(40)}`), 400, "bad_json", /32/);
  problem(await hob.api("PUT", `${fn}/aliases/prod`, { verison: 1 }), 400, "unknown_member", /did you mean 'version'/);
  problem(await hob.api("PUT", `${fn}/aliases/Prod`, { version: 1 }), 400, "bad_name", /a-z/);
  problem(await hob.api("PUT", `${fn}/aliases/prod`, { version: 7 }), 404, "unknown_version");
  problem(await hob.api("GET", `${fn}/logs?folow=1`), 400, "unknown_parameter", /follow/);
  problem(await hob.api("GET", "/v1/functionz"), 404, "no_such_call");
  problem(await hob.api("PATCH", `${fn}/env`, { set: { "A-B": "x" } }), 400, (await hob.api("PATCH", `${fn}/env`, { set: { "A-B": "x" } })).json.reason);
  problem(await hob.api("GET", "/v1/apps/goood/functions"), 404, "unknown_app", /goood/);
  problem(await request(`${hob.url}/v1/apps`), 401, "unauthorized");
  problem(await request(`${hob.url}/v1/apps`, { headers: { authorization: "Bearer hob_wrong" } }), 401, "unauthorized");
});

test("an environment that is too large is refused", async () => {
  const fn = "/v1/apps/good/functions/f/env";
  const answer = await hob.api("PATCH", fn, { set: { BIG: "x".repeat(33000) } });
  assert.equal(answer.status, 413, answer.text);
  const many = Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`V${i}`, "x"]));
  assert.equal((await hob.api("PATCH", fn, { set: many })).status, 413);
  await assert.rejects(hob.deployOne("fat", "f", "index.mjs", HELLO, { vars: { BIG: "x".repeat(33000) } }), /env/);
});

test("manifests are judged: every complaint names the key and what would be right", async () => {
  const complain = async (text, wanted, status = 400) => {
    const dir = project({ "hob.json": text, "index.mjs": HELLO });
    const answer = await hob.api("POST", "/v1/apps/bad/deploy", tar(dir));
    fs.rmSync(dir, { recursive: true });
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.json.detail, wanted);
    return answer.json.reason;
  };
  const fn = (more) => ({ app: "bad", functions: { f: { entry: "index.mjs", ...more } } });
  await complain("{ not json", /line 1/);
  await complain({ app: "bad" }, /functions/);
  assert.equal(await complain({ ...fn(), functionz: {} }, /did you mean .functions./), "unknown_key");
  await complain(fn({ memry_mb: 3 }), /memory_mb/);
  await complain(fn({ memory_mb: 15 }), /16/);
  await complain(fn({ memory_mb: "128" }), /memory_mb/);
  await complain(fn({ timeout_ms: 900001 }), /900000/);
  await complain({ app: "bad", functions: { "Bad Name": { entry: "index.mjs" } } }, /a-z/);
  await complain(fn({ routes: [{ path: "no-slash" }] }), /path/);
  await complain(fn({ entry: "../../etc/passwd" }), /entry/);
  await complain(fn({ cron: "* * * * *" }), /not supported yet/, 501);
  await complain(fn({ engine: "podman" }), /engine/);
  assert.equal(await complain({ ...fn(), app: "other" }, /other/), "wrong_app");
  assert.equal(await complain(fn({ entry: "nowhere.mjs" }), /nowhere\.mjs/), "missing_entry");
  assert.equal(await complain(fn({ runtime: "nodee" }), /did you mean 'node'/, 404), "runtime_missing");
  assert.equal((await hob.api("GET", "/v1/apps")).json.apps.some((a) => a.name === "bad"), false);
});

test("an archive without hob.json, an empty one and one that is none are told apart", async () => {
  const dir = project({ "index.mjs": HELLO });
  problem(await hob.api("POST", "/v1/apps/bad/deploy", tar(dir)), 400, "missing_manifest", /hob\.json/);
  problem(await hob.api("POST", "/v1/apps/bad/deploy", Buffer.alloc(0)), 400, "bad_archive");
  problem(await hob.api("POST", "/v1/apps/bad/deploy", Buffer.from("this is no archive")), 400, "bad_archive");
  problem(await hob.api("POST", "/v1/apps/bad/deploy", tar(dir).subarray(0, 60)), 400, "bad_archive");
  fs.rmSync(dir, { recursive: true });
});

// Archives are made by Python, whose tarfile and zipfile write whatever they are told to.
const python = (code) => execFileSync("python3", ["-c", `
import io, sys, tarfile, zipfile, os, json, zlib
def tar(entries, mode="w:gz"):
    b = io.BytesIO(); t = tarfile.open(fileobj=b, mode=mode)
    for name, kind, data in entries:
        i = tarfile.TarInfo(name)
        if kind == "file": i.size = len(data); t.addfile(i, io.BytesIO(data))
        else:
            i.type = {"sym": tarfile.SYMTYPE, "link": tarfile.LNKTYPE, "dev": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE, "dir": tarfile.DIRTYPE}[kind]
            if kind in ("sym", "link"): i.linkname = data
            if kind == "dev": i.devmajor, i.devminor = 1, 3
            t.addfile(i)
    t.close(); return b.getvalue()
H = json.dumps({"app": "evil", "functions": {"f": {"entry": "index.mjs"}}}).encode()
base = [("hob.json", "file", H), ("index.mjs", "file", b"export default { fetch: () => new Response('x') }")]
out = ${code}
sys.stdout.buffer.write(out)`], { maxBuffer: 512 * 1024 * 1024 });

test("hostile archives are refused or made harmless (S4)", async (t) => {
  const send = async (archive) => hob.api("POST", "/v1/apps/evil/deploy", archive);
  for (const [name, code] of Object.entries({
    "a path that climbs": 'tar(base + [("../../../../tmp/hob-evil-climbed", "file", b"x")])',
    "an absolute path": 'tar(base + [("/tmp/hob-evil-absolute", "file", b"x")])',
    "a link out of the tree": 'tar(base + [("out", "sym", "/etc/passwd")])',
    "a link that climbs": 'tar(base + [("out", "sym", "../../../../etc/passwd")])',
    "writing through a link": 'tar(base + [("d", "sym", "/tmp"), ("d/hob-evil-through", "file", b"x")])',
    "a hard link out of the tree": 'tar(base + [("hard", "link", "/etc/passwd")])',
    "a device": 'tar(base + [("null", "dev", None)])',
    "a fifo": 'tar(base + [("pipe", "fifo", None)])',
    "a path that is too long": 'tar(base + [("a" * 200 + "/" + "b" * 200 + "/" + "c" * 200, "file", b"x")])',
    "a path that is too deep": 'tar(base + [("/".join("d" * 40), "file", b"x")])',
    "too many entries": 'tar(base + [("n%d" % i, "file", b"") for i in range(20001)])',
    "a bomb": 'tar(base + [("zeros", "file", bytes(270 * 1024 * 1024))])',
    "a name that is not text": 'tar(base + [("bad\\x07name", "file", b"x")])',
  }))
    await t.test(name, { timeout: 120000 }, async () => {
      const answer = await send(python(code));
      assert.ok([400, 413, 504].includes(answer.status), `${answer.status} ${answer.text}`);
      assert.ok(answer.json.detail.length > 10);
    });
  for (const name of ["climbed", "absolute", "through"]) assert.ok(!fs.existsSync(`/tmp/hob-evil-${name}`), name);
  assert.equal((await hob.call("/fn/evil/f")).status, 404);
  const zip = python(`(lambda b: (lambda z: (z.writestr("hob.json", H), z.writestr("../../x", "y"), z.close(), b.getvalue())[-1])(zipfile.ZipFile(b, "w")))(io.BytesIO())`);
  assert.equal((await send(zip)).status, 400);
  assert.deepEqual(fs.readdirSync(`${hob.home}/tmp`), []);
  assert.deepEqual(fs.readdirSync(`${hob.home}/code`).filter((n) => n.startsWith(".")), []);
  assert.equal((await hob.call("/fn/good/f")).text, "hello\n");
});

test("an archive over the limit is refused by its announced length", async () => {
  const answer = await raw(hob.port, `POST /v1/apps/evil/deploy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${hob.token}\r\nContent-Length: 104857601\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test("a missing runtime says what to install", async () => {
  const runtimes = fs.mkdtempSync("/tmp/hob-runtimes-");
  fs.cpSync(`${ROOT}/runtimes`, runtimes, { recursive: true });
  fs.chmodSync(runtimes, 0o755);
  project({ "cobol/runtime.json": { name: "cobol", title: "COBOL", needs: ["/usr/bin/no-such-cobc"], install: "apt-get install gnucobol",
    argv: ["/usr/bin/no-such-cobc"], entries: ["main.cob"] }, "cobol/rootfs": "/usr/bin/no-such-cobc\n" }, runtimes);
  const other = await Daemon.start({ runtimes });
  try {
    const failed = await other.deployOne("x", "f", "main.cob", "x", { runtime: "cobol" }).catch((e) => e);
    assert.equal(failed.problem?.reason, "runtime_missing");
    assert.match(failed.problem.detail, /apt-get install gnucobol/);
    const checks = (await other.api("GET", "/v1/doctor")).json.checks;
    assert.match(checks.find((c) => c.name === "runtime cobol").text, /apt-get install gnucobol/);
    assert.equal((await other.api("GET", "/v1/runtimes")).json.runtimes.find((r) => r.name === "cobol").available, false);
  } finally {
    await other.close();
    fs.rmSync(runtimes, { recursive: true });
  }
});
