// Files of an app: by the SDK, by curl's ways, on disk and in an S3 bucket.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, request, until } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";

const folder = npmFolder("files", { parse: "8.6.0", s3rver: "3.7.1" });
if (folder.why) console.error(`SKIPPED: ${folder.why}`);
const need = createRequire(path.join(folder.dir, "x"));
const KEY = "master-key-for-tests";
let hob, user;

const parse = (where) => `${hob.url}/parse${where}`;
const keys = { "x-parse-application-id": "shop" };
const asUser = () => ({ ...keys, "x-parse-session-token": user.sessionToken });
const asMaster = { ...keys, "x-parse-master-key": KEY };
const post = (where, body, headers = keys) => request(parse(where), { method: "POST", body, headers });
const upload = async (name, body, headers = asUser()) => {
  const answer = await post(`/files/${name}`, body, headers);
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.headers.location, answer.json.url);
  return answer.json;
};
const set = (...settings) => {
  const done = hob.cli(["app", "set", "shop", ...settings]);
  assert.equal(done.code, 0, done.err);
};

before(async () => {
  hob = await Daemon.start();
  const done = hob.cli(["app", "create", "shop", "--master-key", KEY]);
  assert.equal(done.code, 0, done.err);
  const answer = await post("/users", JSON.stringify({ username: "ada", password: "secret" }), { ...keys, "content-type": "application/json" });
  assert.equal(answer.status, 201, answer.text);
  user = answer.json;
});
after(() => hob?.close());

describe("on disk", () => {
  test("bytes come back as they went in, with type, tag and protection against sniffing", async () => {
    const bytes = crypto.randomBytes(300000);
    const { url, name } = await upload("photo.png", bytes, { ...asUser(), "content-type": "image/png" });
    assert.match(name, /^[0-9a-f]{32}_photo\.png$/);
    assert.equal(url, parse(`/files/shop/${name}`));
    const got = await request(url);
    assert.equal(got.status, 200);
    assert.ok(got.bytes.equals(bytes));
    assert.equal(got.headers["content-type"], "image/png");
    assert.equal(got.headers["x-content-type-options"], "nosniff");
    assert.equal(got.headers.etag, `"${crypto.createHash("sha256").update(bytes).digest("hex")}"`);
    assert.equal((await request(url, { headers: { "if-none-match": got.headers.etag } })).status, 304);
    const head = await request(url, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], "300000");
  });

  test("a range gives a part, one behind the end 416, nonsense the whole", async () => {
    const { url } = await upload("digits.txt", "0123456789");
    const part = (range, more = {}) => request(url, { headers: { range, ...more } });
    let answer = await part("bytes=2-4");
    assert.deepEqual([answer.status, answer.text, answer.headers["content-range"]], [206, "234", "bytes 2-4/10"]);
    answer = await part("bytes=-3");
    assert.deepEqual([answer.status, answer.text], [206, "789"]);
    answer = await part("bytes=10-");
    assert.deepEqual([answer.status, answer.headers["content-range"]], [416, "bytes */10"]);
    assert.deepEqual([(await part("bytes=a-")).status, (await part("bytes=0-1,4-5")).status], [200, 200]);
    assert.equal((await part("bytes=2-4", { "if-range": '"other"' })).status, 200);
  });

  test("an empty file is a file", async () => {
    const { url } = await upload("empty.txt", "");
    const got = await request(url);
    assert.deepEqual([got.status, got.text, got.headers["content-length"]], [200, "", "0"]);
  });

  test("who may upload is the app's setting: by default users, not the public", async () => {
    const refused = await post("/files/a.txt", "x");
    assert.deepEqual([refused.status, refused.json.code], [400, 130]);
    set('fileUpload={"enableForPublic":true,"enableForAuthenticatedUser":false}');
    await upload("a.txt", "x", keys);
    assert.equal((await post("/files/a.txt", "x", asUser())).json.code, 130);
    await upload("a.txt", "x", asMaster);
    set("fileUpload=null");
  });

  test("names and extensions are judged", async () => {
    for (const name of ["a%2Fb.txt", "a%3Cb", ".hidden", "%E2%98%83.txt", "x".repeat(129)])
      assert.equal((await post(`/files/${name}`, "x", asUser())).json.code, 122, name);
    for (const name of ["page.html", "image.SVG", "a.xml"]) assert.equal((await post(`/files/${name}`, "x", asUser())).json.code, 130, name);
    assert.equal((await post("/files/harmless", "x", { ...asUser(), "content-type": "text/html" })).json.code, 130);
    set('fileUpload={"fileExtensions":["^(txt|png)$"]}');
    assert.equal((await post("/files/a.pdf", "x", asUser())).json.code, 130);
    await upload("a.txt", "x");
    set("fileUpload=null");
  });

  test("a file over maxUploadSize is refused and leaves nothing", async () => {
    set("maxUploadSize=100000");
    await upload("fits.bin", Buffer.alloc(100000));
    const refused = await request(parse("/files/large.bin"), { method: "POST", body: Buffer.alloc(100001), headers: asUser() }).catch((error) => error);
    assert.ok(refused instanceof Error || refused.status === 413 || refused.json.code === 129, refused.text);
    set("maxUploadSize=null");
    await until(() => fs.readdirSync(path.join(hob.home, "files/.tmp")).length === 0, "an empty folder of uploads");
  });

  test("master may let one upload be larger, and nobody else", async () => {
    set("maxUploadSize=2048");
    const large = (size, headers) => post("/files/l.bin", Buffer.alloc(2049), { ...headers, "x-parse-file-max-upload-size": size });
    for (const size of ["2049", "2049b", "3kb", "1MB", "4gb"]) assert.equal((await large(size, asMaster)).status, 201, size);
    assert.equal((await large("2048", asMaster).catch(() => ({ status: 413 }))).status, 413);
    for (const size of ["0", "x", "-1", "1tb", "5gb", "1.5mb", "99999999999999999999"]) {
      const refused = await large(size, asMaster);
      assert.deepEqual([refused.status, refused.json], [400, { code: 130, error: `Invalid maxUploadSize override value: ${size}` }]);
    }
    const refused = await large("1mb", asUser());
    assert.deepEqual([refused.status, refused.json], [403, { error: "unauthorized: master key is required" }]);
    set("maxUploadSize=null");
  });

  test("master may put a file into a directory; its name, address and removal have it", async () => {
    const put = (directory, headers = asMaster) => post("/files/a.txt", "in it", { ...headers, "x-parse-file-directory": directory });
    const { json } = await put("photos/2026 x");
    assert.match(json.name, /^photos\/2026 x\/[0-9a-f]{32}_a\.txt$/);
    assert.equal((await request(json.url)).text, "in it");
    assert.equal((await request(json.url.replace("/shop/", "/shop/metadata/"))).status, 200);
    const inJson = await post("/files/b.txt", JSON.stringify({ _ApplicationId: "shop", _MasterKey: KEY, base64: "aGk=", _ContentType: "text/plain", fileData: { directory: "d" } }), {});
    assert.match(inJson.json.name, /^d\/[0-9a-f]{32}_b\.txt$/);
    const remove = (name) => request(parse(`/files/${encodeURI(name)}`), { method: "DELETE", headers: asMaster });
    assert.equal((await remove(json.name)).status, 200);
    assert.equal((await request(json.url)).status, 404);
    for (const bad of ["/a", "a/", "a//b", "a/../b", "..", "metadata", "metadata/x", "a<b", "x".repeat(257)]) {
      const refused = await put(bad);
      assert.deepEqual([refused.status, refused.json.code], [400, 122], `${bad} ${refused.text}`);
    }
    const refused = await put("d", asUser());
    assert.deepEqual([refused.json.code, refused.json.error], [119, "Directory can only be set using the Master Key."]);
    assert.deepEqual((await post("/files", "{}", asMaster)).json, { code: 122, error: "Filename not provided." });
  });

  test("the same content lies once, and goes with its last name", async () => {
    const bytes = crypto.randomBytes(1000);
    const digest = crypto.createHash("sha256").update(bytes).digest("hex");
    const at = path.join(hob.home, "files/shop", digest.slice(0, 2), digest);
    const one = await upload("one.bin", bytes), two = await upload("two.bin", bytes);
    const remove = (name, headers = asMaster) => request(parse(`/files/${name}`), { method: "DELETE", headers });
    assert.equal((await remove(one.name, asUser())).status, 403);
    assert.equal((await remove(one.name)).status, 200);
    assert.equal((await request(one.url)).status, 404);
    assert.ok((await request(two.url)).bytes.equals(bytes));
    assert.ok(fs.existsSync(at));
    assert.equal((await remove(two.name)).status, 200);
    assert.ok(!fs.existsSync(at));
    assert.equal((await remove(two.name)).json.code, 153);
  });

  test("files survive kill -9; uploads under way leave nothing", async () => {
    const { url } = await upload("kept.txt", "kept");
    const slow = http.request(parse("/files/slow.bin"), { method: "POST", headers: asUser() });
    slow.on("error", () => {});
    slow.write(Buffer.alloc(50000));
    await until(() => fs.readdirSync(path.join(hob.home, "files/.tmp")).length === 1, "the upload's file");
    await hob.kill9();
    await hob.launch();
    assert.equal((await request(url.replace(/:\d+\//, `:${hob.port}/`))).text, "kept");
    assert.deepEqual(fs.readdirSync(path.join(hob.home, "files/.tmp")), []);
  });

  test("another app's name does not open them, and an unknown name is 404", async () => {
    const { name } = await upload("mine.txt", "mine");
    assert.equal(hob.cli(["app", "create", "other"]).code, 0);
    assert.equal((await request(parse(`/files/other/${name}`))).status, 404);
    assert.equal((await request(parse("/files/shop/nothing.txt"))).status, 404);
    assert.equal((await request(parse(`/files/nobody/${name}`))).status, 403);
    assert.equal((await request(parse(`/files/shop/..%2F..%2Fhob.db`))).status, 404);
  });

  test("the SDK saves, reads and destroys a file", { skip: folder.why ?? false }, async () => {
    const Parse = need("parse/node");
    Parse.initialize("shop", undefined, KEY);
    Parse.serverURL = parse("");
    const file = new Parse.File("hello.txt", { base64: Buffer.from("hello").toString("base64") }, "text/plain");
    file.setMetadata({ width: "3" });
    file.setTags({ kind: "greeting" });
    await file.save({ sessionToken: user.sessionToken });
    assert.equal((await request(file.url())).text, "hello");
    const metadata = await request(file.url().replace("/shop/", "/shop/metadata/"));
    assert.deepEqual(metadata.json, { metadata: { width: "3" }, tags: { kind: "greeting" } });
    const holder = await new Parse.Object("Holder", { file }).save(null, { sessionToken: user.sessionToken });
    const again = await new Parse.Query("Holder").get(holder.id);
    assert.equal(again.get("file").url(), file.url());
    await file.destroy({ useMasterKey: true });
    assert.equal((await request(file.url())).status, 404);
  });
});

/** Judges Signature Version 4 of a request independently (AWS's published steps), then hands it to the store. */
function signedOnly(upstream, id, secret) {
  const hmac = (key, text) => crypto.createHmac("sha256", key).update(text).digest();
  const isSigned = (rq) => {
    const m = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(rq.headers.authorization ?? "");
    if (!m || m[1] !== id) return false;
    const [, , day, region, names, signature] = m;
    const fields = names.split(";").map((name) => `${name}:${rq.headers[name].trim()}\n`).join("");
    const canonical = [rq.method, rq.url, "", fields, names, rq.headers["x-amz-content-sha256"]].join("\n");
    const scope = `${day}/${region}/s3/aws4_request`;
    const text = ["AWS4-HMAC-SHA256", rq.headers["x-amz-date"], scope, crypto.createHash("sha256").update(canonical).digest("hex")].join("\n");
    const key = ["aws4_request"].reduce(hmac, hmac(hmac(hmac(`AWS4${secret}`, day), region), "s3"));
    return hmac(key, text).toString("hex") === signature;
  };
  return http.createServer((rq, rs) => {
    if (!isSigned(rq)) {
      rs.writeHead(403).end("<Error><Code>SignatureDoesNotMatch</Code></Error>");
      return;
    }
    rq.pipe(http.request({ port: upstream, method: rq.method, path: rq.url, headers: rq.headers }, (answer) => {
      rs.writeHead(answer.statusCode, answer.headers);
      answer.pipe(rs);
    }));
  });
}

describe("in an S3 bucket", { skip: folder.why ?? false }, () => {
  let store, proxy, dir;
  before(async () => {
    const S3rver = need("s3rver");
    dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-s3-"));
    store = new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory: dir, configureBuckets: [{ name: "photos" }] });
    const { port } = await store.run();
    proxy = signedOnly(port, "S3RVER", "the-secret").listen(0, "127.0.0.1");
    await new Promise((done) => proxy.on("listening", done));
    assert.equal(hob.cli(["secret", "set", "S3_KEY", "--app", "shop"], { input: "the-secret" }).code, 0);
    set(`files=${JSON.stringify({ store: "s3", endpoint: `http://127.0.0.1:${proxy.address().port}`, bucket: "photos", prefix: "shop/",
      accessKeyId: "S3RVER", secretAccessKeySecret: "S3_KEY" })}`);
  });
  after(async () => {
    proxy?.close();
    proxy?.closeAllConnections();
    await store?.close();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  test("uploads, ranges and removals go to the bucket, signed", async () => {
    const bytes = crypto.randomBytes(200000);
    const { url, name } = await upload("my photo.png".replace(" ", "%20"), bytes, { ...asUser(), "content-type": "image/png" });
    const got = await request(url);
    assert.equal(got.status, 200, got.text.slice(0, 300));
    assert.ok(got.bytes.equals(bytes));
    assert.equal((await request(url, { headers: { range: "bytes=5-9" } })).bytes.toString("hex"), bytes.subarray(5, 10).toString("hex"));
    assert.equal((await request(parse(`/files/${encodeURIComponent(name)}`), { method: "DELETE", headers: asMaster })).status, 200);
    assert.equal((await request(url)).status, 404);
  });

  test("a wrong key is told without the key, and nothing is named", async () => {
    assert.equal(hob.cli(["secret", "set", "S3_KEY", "--app", "shop"], { input: "wrong-secret" }).code, 0);
    const refused = await post("/files/a.png", "x", asUser());
    assert.ok(refused.status >= 400, refused.text);
    assert.ok(!/wrong-secret|S3RVER/.test(refused.text), refused.text);
    assert.equal(hob.cli(["secret", "set", "S3_KEY", "--app", "shop"], { input: "the-secret" }).code, 0);
  });
});
