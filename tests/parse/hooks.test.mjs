// Webhooks: functions and triggers in any language, by the hooks API; and functions of the app as hooks, without HTTP.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { Daemon, until } from "../e2e/harness.mjs";
import { makeBackend, parse, signUp } from "../bindings/world.mjs";

const WEBHOOK = `
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/slow":
            import time
            time.sleep(30)
        out = getattr(self, "on_" + self.path[1:])(body)
        data = out if isinstance(out, bytes) else json.dumps(out).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def on_echo(self, body):
        return {"success": {"params": body["params"], "master": body["master"], "key": self.headers.get("x-parse-webhook-key"),
                            "user": (body.get("user") or {}).get("username"), "name": body["functionName"]}}
    def on_fails(self, body):
        return {"error": {"code": 1234, "error": "python said no"}}
    def on_text(self, body):
        return {"error": "only a text"}
    def on_garbage(self, body):
        return b"this is no JSON"
    def on_before(self, body):
        thing = body["object"]
        if thing.get("name") == "bad":
            return {"error": "no bad things"}
        thing["seenBy"] = "python"
        return {"success": thing}
    def on_after(self, body):
        return {"success": {}}

server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
print(server.server_address[1], flush=True)
server.serve_forever()
`;
const PYTHON = `
def handler(event, context):
    if event.get("triggerName") == "beforeDelete":
        return {"error": "kept by a function"} if event["object"].get("keep") else {"success": True}
    return {"success": {"sum": sum(event["params"]["numbers"]), "as": (context.env.auth.user() or {}).get("username")}}
`;

describe("webhooks", () => {
  let d, b, python, base, ann;
  before(async () => {
    d = await Daemon.start({ env: { HOB_APPS_REACH_PRIVATE: "1" } });
    python = spawn("/usr/bin/python3", ["-c", WEBHOOK], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    python.stdout.on("data", (part) => (out += part));
    base = `http://127.0.0.1:${await until(() => out.includes("\n") && Number(out), "the webhook's port")}`;
    await d.deployOne("shop", "sums", "main.py", PYTHON, { bindings: ["auth"] });
    b = await makeBackend(d, "shop", { triggerTimeMs: 60000 });
    ann = await signUp(d, b, "ann");
    assert.ok((await d.api("PUT", "/v1/apps/shop/backend/keys/webhook", { value: "hook-key" })).status < 300);
  });
  after(async () => {
    python?.kill();
    await d?.close();
  });

  const master = (method, where, body) => parse(d, b, method, where, body, { master: true });
  const run = (name, params = {}, options = {}) => parse(d, b, "POST", `/functions/${name}`, params, options);

  test("the hooks API lists, makes, changes and removes", async () => {
    assert.deepEqual((await master("GET", "/hooks/functions")).body, []);
    assert.deepEqual((await master("POST", "/hooks/functions", { functionName: "echo", url: `${base}/text` })).body, { functionName: "echo", url: `${base}/text` });
    assert.deepEqual((await master("POST", "/hooks/functions", { functionName: "echo", url: `${base}/echo` })).body, { code: 143, error: "function name: echo already exists" });
    assert.deepEqual((await master("PUT", "/hooks/functions/echo", { url: `${base}/echo` })).body, { functionName: "echo", url: `${base}/echo` });
    assert.deepEqual((await master("GET", "/hooks/functions/echo")).body, { functionName: "echo", url: `${base}/echo` });
    assert.deepEqual((await master("GET", "/hooks/functions/none")).body, { code: 143, error: "no function named: none is defined" });
    assert.deepEqual((await master("POST", "/hooks/triggers", { className: "Thing", triggerName: "beforeSave", url: `${base}/before` })).body,
      { className: "Thing", triggerName: "beforeSave", url: `${base}/before` });
    assert.deepEqual((await master("POST", "/hooks/triggers", { className: "Thing", triggerName: "beforeSave", url: base })).body, { code: 143, error: "class Thing already has trigger beforeSave" });
    assert.deepEqual((await master("GET", "/hooks/triggers/Thing/afterSave")).body, { code: 143, error: "class Thing does not exist" });
    for (const bad of [{}, { functionName: "x" }, { functionName: "x", url: "ftp://a/b" }, { functionName: "x", url: "http://a b" }, { functionName: "../x", url: base },
      { functionName: 1, url: base }, { functionName: "x".repeat(300), url: base }, { functionName: "x", url: "fn:../x" }])
      assert.deepEqual((await master("POST", "/hooks/functions", bad)).body, { code: 143, error: "invalid hook declaration" });
    assert.equal((await master("POST", "/hooks/triggers", { className: "A", triggerName: "beforeLunch", url: base })).body.code, 143);
    assert.equal((await parse(d, b, "GET", "/hooks/functions")).status, 403);
  });

  test("functions in python answer, fail and are told the key and the user", async () => {
    for (const name of ["fails", "text", "garbage"]) await master("POST", "/hooks/functions", { functionName: name, url: `${base}/${name}` });
    assert.deepEqual((await run("echo", { a: [1] }, { token: ann.token })).body, { result: { params: { a: [1] }, master: false, key: "hook-key", user: "ann", name: "echo" } });
    assert.deepEqual((await run("fails")).body, { code: 1234, error: "python said no" });
    assert.deepEqual((await run("text")).body, { code: 141, error: "only a text" });
    assert.deepEqual((await run("garbage")).body, { code: -1, error: "Malformed response" });
    await master("POST", "/hooks/functions", { functionName: "nowhere", url: "http://127.0.0.1:1/" });
    const nowhere = await run("nowhere");
    assert.equal(nowhere.status, 400);
    assert.equal(nowhere.body.code, 141);
    assert.match(nowhere.body.error, /cannot be reached/);
  });

  test("triggers in python change and refuse writes, and a slow one fails that write only", async () => {
    const made = await parse(d, b, "POST", "/classes/Thing", { name: "good" });
    assert.equal(made.status, 201);
    assert.equal(made.body.seenBy, "python");
    assert.deepEqual((await parse(d, b, "POST", "/classes/Thing", { name: "bad" })).body, { code: 141, error: "no bad things" });
    await master("PUT", "/hooks/triggers/Thing/beforeSave", { url: `${base}/slow` });
    const patience = async (ms) => assert.ok((await d.api("PATCH", "/v1/apps/shop/backend", { settings: { triggerTimeMs: ms } })).status < 300);
    await patience(1000);
    assert.equal((await parse(d, b, "PUT", `/classes/Thing/${made.body.objectId}`, { name: "late" })).body.code, 124);
    await patience(60000);
    assert.equal((await parse(d, b, "POST", "/classes/Other", { a: 1 })).status, 201);
    assert.equal((await parse(d, b, "GET", `/classes/Thing/${made.body.objectId}`)).body.name, "good");
    assert.deepEqual((await master("PUT", "/hooks/triggers/Thing/beforeSave", { __op: "Delete" })).body, {});
    assert.equal((await parse(d, b, "PUT", `/classes/Thing/${made.body.objectId}`, { name: "free" })).status, 200);
  });

  test("a function of the app is a hook without a way over HTTP, as the caller", async () => {
    await master("POST", "/hooks/functions", { functionName: "sums", url: "fn:sums" });
    await master("POST", "/hooks/triggers", { className: "Thing", triggerName: "beforeDelete", url: "fn:sums" });
    assert.deepEqual((await run("sums", { numbers: [1, 2, 3] }, { token: ann.token })).body, { result: { sum: 6, as: "ann" } });
    assert.deepEqual((await run("sums", { numbers: [1, "x"] })).body.code, 141);
    const kept = (await parse(d, b, "POST", "/classes/Thing", { keep: true })).body.objectId;
    assert.deepEqual((await parse(d, b, "DELETE", `/classes/Thing/${kept}`)).body, { code: 141, error: "kept by a function" });
    const free = (await parse(d, b, "POST", "/classes/Thing", {})).body.objectId;
    assert.equal((await parse(d, b, "DELETE", `/classes/Thing/${free}`)).status, 200);
  });

  test("a webhook at a private address is refused unless the administrator allows it", async () => {
    const strict = await Daemon.start();
    try {
      await strict.deployOne("shop", "a", "a.py", "def handler(event, context):\n    return 1\n");
      const own = await makeBackend(strict, "shop");
      for (const url of [`${base}/echo`, `http://localhost:${new URL(base).port}/echo`, "http://169.254.169.254/latest"]) {
        await parse(strict, own, "POST", "/hooks/functions", { functionName: "f", url }, { master: true });
        const answer = await parse(strict, own, "POST", "/functions/f", {});
        assert.equal(answer.body.code, 141);
        assert.match(answer.body.error, /address is private/);
        await parse(strict, own, "PUT", "/hooks/functions/f", { __op: "Delete" }, { master: true });
      }
    } finally {
      await strict.close();
    }
  });

  test("webhooks outlive a restart", async () => {
    await d.stop();
    await d.launch();
    assert.deepEqual((await run("sums", { numbers: [4] })).body, { result: { sum: 4, as: null } });
    assert.deepEqual((await master("GET", "/hooks/functions")).body.map((one) => one.functionName), ["echo", "fails", "garbage", "nowhere", "sums", "text"]);
  });
});
