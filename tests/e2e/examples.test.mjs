// Each of examples/, deployed by the command line and asked by real clients. With HOB_EXAMPLES_ENGINE=docker all of them in
// containers, by one line in each hob.json (tests/docker/examples.test.mjs).
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, test as nodeTest } from "node:test";
import { npmUnreachable } from "../npm.mjs";
import { Daemon, ROOT, request, until } from "./harness.mjs";

const isDocker = process.env.HOB_EXAMPLES_ENGINE === "docker";
const { Dockerd, unavailable } = isDocker ? await import("../docker/dockerd.mjs") : {};
if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
const test = (name, ...rest) => nodeTest(name, { ...(rest.length > 1 ? rest[0] : {}), skip: unavailable ?? false }, rest.at(-1));
let hob, docker, copies;
let noExpress;
const needsNpm = (name) => fs.existsSync(path.join(ROOT, "examples", name, "package.json"));

/** The example's folder, or a copy that names the other engine. */
function folderOf(name) {
  const from = path.join(ROOT, "examples", name);
  if (!isDocker) return from;
  copies ??= fs.mkdtempSync(path.join(os.tmpdir(), "hob-examples-"));
  if (!fs.existsSync(path.join(copies, "runtimes"))) fs.symlinkSync(path.join(ROOT, "runtimes"), path.join(copies, "runtimes"));
  const to = path.join(copies, "examples", name);
  fs.cpSync(from, to, { recursive: true, filter: (file) => path.basename(file) !== "node_modules" }); // what another run has fetched
  const manifest = path.join(to, "hob.json");
  fs.writeFileSync(manifest, fs.readFileSync(manifest, "utf8").replace(/"app":\s*"[^"]+",/, '$& "defaults": { "engine": "docker", "queue_timeout_ms": 30000 },'));
  return to;
}
before(async () => {
  if (unavailable) return;
  docker = isDocker ? await Dockerd.start() : undefined;
  hob = await Daemon.start(docker ? { env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } } : {});
  if (docker) await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine", 20000);
  for (const app of ["guestbook", "todo"]) assert.equal(hob.cli(["app", "create", app]).code, 0);
  for (const name of fs.readdirSync(path.join(ROOT, "examples"))) {
    if (needsNpm(name) && npmUnreachable()) {
      console.error(`SKIPPED: examples/${name} needs npm: ${npmUnreachable()}`);
      if (name === "express") noExpress = "npm's registry cannot be reached";
      continue;
    }
    const done = hob.cli(["deploy", folderOf(name)], { timeout: 120000 });
    assert.equal(done.code, 0, `${name}: ${done.out}${done.err}`);
  }
});
after(async () => {
  try {
    if (docker) assert.ok((await docker.containers()).filter((c) => c.Labels["hob.role"] === "instance").length >= 5, "they ran in containers");
    await hob?.close();
  } finally {
    if (hob && !hob.exit) await hob.close().catch(() => {});
    await docker?.close();
    if (copies) fs.rmSync(copies, { recursive: true, force: true });
  }
});

const fn = (where, options) => request(`${hob.url}/fn/${where}`, options);

test("every example has a README of at most some ten lines that shows how to deploy it", () => {
  for (const name of fs.readdirSync(path.join(ROOT, "examples"))) {
    const text = fs.readFileSync(path.join(ROOT, "examples", name, "README.md"), "utf8");
    assert.ok(text.split("\n").length <= 20, name);
    assert.match(text, new RegExp(`hob deploy examples/${name}`));
  }
});

for (const [name, says] of Object.entries({ node: /Node\.js/, lambda: /Lambda/, python: /Python/, c: /C/, php: /PHP/ }))
  test(`hello/${name} greets`, async () => {
    const answer = await fn(`hello/${name}?name=Ada`);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.text, /^Hello, Ada/);
    assert.match(answer.text, says);
    assert.match(execFileSync("curl", ["-sS", "-m", "10", `${hob.url}/fn/hello/${name}`]).toString(), /^Hello, world/);
    const invoked = hob.cli(["invoke", `hello/${name}`, "-d", '{"name":"Bob"}']);
    assert.equal(invoked.code, 0, invoked.err);
  });

test("express/web is an Express application", async (t) => {
  if (noExpress) return t.skip(noExpress);
  assert.equal((await fn("express/web/?name=Ada")).text, "Hello, Ada, from Express\n");
  const echo = await fn("express/web/echo", { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } });
  assert.deepEqual(echo.json, { a: 1 });
});

test("guestbook/book keeps what it is told in the app's backend, for who is signed in by name", async () => {
  const write = (body, headers = {}) => fn("guestbook/book/", { method: "POST", body, headers: { "content-type": "application/x-www-form-urlencoded", ...headers } });
  const made = await write("name=Ada&text=%3Cb%3EHello");
  assert.equal(made.status, 201, made.text);
  assert.equal((await write("name=Ada")).status, 400);
  const backend = (await hob.api("GET", "/v1/apps/guestbook/backend")).json;
  const user = await request(`${hob.url}/parse/users`, { method: "POST", body: '{"username":"grace","password":"p4ssw0rd!"}',
    headers: { "content-type": "application/json", "x-parse-application-id": backend.application_id } });
  assert.equal(user.status, 201, user.text);
  assert.equal((await write("name=Mallory&text=Signed", { "x-parse-session-token": user.json.sessionToken })).text, "Thank you, grace.\n");
  const page = await fn("guestbook/book/");
  assert.match(page.text, /Visit number 1\./);
  assert.match(page.text, /<b>grace<\/b>: Signed[^]*<b>Ada<\/b>: &lt;b&gt;Hello/);
});

test("todo has its page, and its cloud code runs", async (t) => {
  if (npmUnreachable()) return t.skip(npmUnreachable());
  assert.match((await fn("todo/page/")).text, /<html|<!doctype/i);
  const backend = (await hob.api("GET", "/v1/apps/todo/backend")).json;
  const call = (name, body, token) => request(`${hob.url}/parse/${name}`, { method: "POST", body: JSON.stringify(body),
    headers: { "content-type": "application/json", "x-parse-application-id": backend.application_id, ...(token ? { "x-parse-session-token": token } : {}) } });
  const user = await call("users", { username: "ada", password: "p4ssw0rd!" });
  assert.equal(user.status, 201, user.text);
  const made = await call("classes/Todo", { title: "  buy milk  " }, user.json.sessionToken);
  assert.equal(made.status, 201, made.text);
  assert.deepEqual((await call("functions/done", { todo: made.json.objectId }, user.json.sessionToken)).json, { result: 1 });
  assert.equal((await call("classes/Todo", { title: " " }, user.json.sessionToken)).json.code, 142, "cloud code refuses it");
});

test("every folder of examples/ is asked something here", () => {
  const asked = ["api", "express", "guestbook", "hello", "server", "sse", "thumbnail", "todo"];
  assert.deepEqual(fs.readdirSync(path.join(ROOT, "examples")).sort(), asked);
});

test("server/web is a server in C", async () => {
  assert.equal((await fn("server/web/")).text, "hello from C\n");
  assert.equal((await fn("server/web/echo", { method: "POST", body: "say it again" })).text, "say it again");
});

/** [format, width, height] of an image's bytes, read from its own head. */
function image(bytes) {
  if (bytes.subarray(1, 4).toString() === "PNG") return ["png", bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (bytes.subarray(8, 12).toString() === "WEBP") return ["webp", 0, 0];
  assert.equal(bytes.readUInt16BE(0), 0xffd8, "neither PNG nor JPEG");
  for (let at = 2; ; ) {
    const marker = bytes.readUInt16BE(at);
    if (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker))
      return ["jpeg", bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
    at += 2 + bytes.readUInt16BE(at + 2);
  }
}

test("thumbnails of real JPEG and PNG files have the asked size", { timeout: 120000 }, async () => {
  const images = path.join(ROOT, "examples/thumbnail/images");
  for (const name of fs.readdirSync(images)) {
    const [format, w, h] = image(fs.readFileSync(path.join(images, name)));
    const fit = await fn(`thumbnail/resize/${name}?w=200&h=200&mode=fit`);
    assert.equal(fit.status, 200, `${name}: ${fit.text.slice(0, 300)}`);
    const [fitFormat, fitW, fitH] = image(fit.bytes);
    assert.equal(fit.headers["content-type"], `image/${fitFormat}`);
    assert.equal(fitFormat, format);
    assert.ok(fitW <= 200 && fitH <= 200, `${name} ${fitW}x${fitH}`);
    const crop = await fn(`thumbnail/resize/${name}?w=64&h=48&mode=crop&format=png`);
    assert.deepEqual(image(crop.bytes), ["png", 64, 48]);
    assert.ok(w > 0 && h > 0);
  }
  const body = fs.readFileSync(path.join(images, "hob.png"));
  const posted = await fn("thumbnail/resize?w=100&h=100&mode=fill&format=jpeg", { method: "POST", body });
  assert.equal(posted.status, 200, posted.text.slice(0, 500));
  assert.deepEqual(image(posted.bytes), ["jpeg", 100, 100]);
  const again = await fn("thumbnail/resize?w=100&h=100&mode=fill&format=jpeg", { method: "POST", body });
  assert.ok(again.bytes.equals(posted.bytes));
});

test("thumbnails refuse what is wrong with a reason", async () => {
  for (const [query, body] of [["resize/hob.png?w=0"], ["resize/hob.png?w=abc"], ["resize/hob.png?mode=stretch"], ["resize/none.png?w=10"],
    ["resize?w=10", Buffer.from("no image")], ["resize?w=10", fs.readFileSync(path.join(ROOT, "examples/thumbnail/images/hob.png")).subarray(0, 1000)]]) {
    const answer = await fn(`thumbnail/${query}`, body ? { method: "POST", body } : {});
    assert.ok(answer.status >= 400 && answer.status < 500, `${query}: ${answer.status} ${answer.text}`);
  }
});

test("the event stream ticks, goes on behind Last-Event-ID, and stops when its client leaves", { timeout: 120000 }, async () => {
  const began = performance.now();
  const text = await new Promise((resolve, reject) => {
    const curl = spawn("curl", ["-sS", "-N", "-m", "10", "-H", "Last-Event-ID: 41", `${hob.url}/fn/sse/clock?every=200&count=3`]);
    let out = "";
    curl.stdout.on("data", (d) => (out += d));
    curl.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error(`curl ${code}`))));
  });
  assert.deepEqual([...text.matchAll(/^id: (\d+)$/gm)].map((m) => Number(m[1])), [42, 43, 44]);
  assert.match(text, /event: end/);
  assert.ok(performance.now() - began > 350);
  const req = http.get(`${hob.url}/fn/sse/clock?every=50`, (res) => {
    assert.match(res.headers["content-type"], /^text\/event-stream/);
    res.once("data", () => setTimeout(() => req.destroy(), 300));
    res.on("error", () => {});
  });
  req.on("error", () => {});
  await until(async () => (await hob.logs("sse", "clock")).some((l) => l.text.includes("the client left")), "the function to notice", 5000);
});

test("the JSON API keeps its routes, its rules and its statuses", async () => {
  const at = (where, method = "GET", body, headers = {}) => request(hob.url + where, { method, headers: {
    ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const made = await at("/notes", "POST", { title: "Milk", tags: ["shop"] });
  assert.equal(made.status, 201, made.text);
  const { id } = made.json;
  assert.equal((await at(`/notes/${id}`)).json.title, "Milk");
  assert.equal((await at(`/notes/${id}`, "PUT", { title: "Oat milk" })).json.title, "Oat milk");
  await at("/notes", "POST", { title: "Other", tags: ["home"] });
  const list = (await at("/notes?tag=home")).text;
  assert.match(list, /Other/);
  assert.doesNotMatch(list, /Oat milk/);
  assert.equal((await at("/notes", "POST", { titel: "x" })).status, 422);
  assert.equal((await request(`${hob.url}/notes`, { method: "POST", body: "x" })).status, 415);
  assert.equal((await at("/notes/99999")).status, 404);
  assert.equal((await at(`/notes/${id}`, "POST", {})).status, 405);
  const head = await at("/notes", "HEAD");
  assert.equal(head.status, 200);
  assert.equal(head.bytes.length, 0);
  assert.ok([200, 204].includes((await at(`/notes/${id}`, "DELETE")).status));
  assert.equal((await at(`/notes/${id}`)).status, 404);
  const preflight = await at("/notes", "OPTIONS", undefined, { origin: "https://a.example", "access-control-request-method": "POST" });
  assert.ok([200, 204].includes(preflight.status));
  assert.ok(preflight.headers["access-control-allow-origin"]);
});
