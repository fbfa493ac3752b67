// Servers that know nothing of Hob, as functions: Express and Fastify from npm, Flask from Debian, PHP's own, one in C.
// Deployed, asked by real clients through the gateway, in real sandboxes.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, project, quickly, ROOT, sleep, until } from "../e2e/harness.mjs";
import { noNpm, NPM } from "./npm.mjs";

const HERE = path.join(ROOT, "tests/http_kind");
let hob;

const noFlask = spawnSync("/usr/bin/python3", ["-c", "import flask"]).status === 0 ? null : "python3-flask is not installed";
const cServer = path.join(ROOT, process.env.B ?? "build", "examples/server");

/** As people deploy: a folder, node_modules in it, by the command line. */
async function deployFolder(app, functions, files, withNpm = false) {
  const dir = project({ "hob.json": { app, functions }, ...files });
  for (const name of Object.keys(files)) fs.chmodSync(path.join(dir, name), 0o755);
  if (withNpm) fs.cpSync(path.join(NPM, "node_modules"), path.join(dir, "node_modules"), { recursive: true, verbatimSymlinks: true });
  try {
    const done = hob.cli(["deploy", dir]);
    assert.equal(done.code, 0, done.err);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}
const server = (name) => fs.readFileSync(path.join(HERE, "servers", name));
const bytesOf = (n) => {
  const bytes = Buffer.alloc(n);
  for (let i = 0; i < n; i += 997) bytes[i] = i * 13;
  return bytes;
};

before(async () => {
  hob = await Daemon.start();
});
after(() => hob?.close());

/** Sends a body in pieces without saying how long it is. */
function chunked(where, body, piece = 100000) {
  return new Promise((resolve, reject) => {
    const req = http.request(`${hob.url}${where}`, { method: "POST", agent: false }, (res) => {
      const parts = [];
      res.on("data", (d) => parts.push(d)).on("error", reject).on("end", () => resolve({ status: res.statusCode, bytes: Buffer.concat(parts) }));
    });
    req.on("error", reject);
    let at = 0;
    const more = () => {
      while (at < body.length) {
        const part = body.subarray(at, (at += piece));
        if (!req.write(part)) return req.once("drain", more);
      }
      return req.end();
    };
    more();
  });
}

async function echoes(where, sizes) {
  for (const n of sizes) {
    const body = bytesOf(n);
    const whole = await hob.call(where, { method: "POST", body, headers: { "content-type": "application/octet-stream" } });
    assert.equal(whole.status, 200, `${n}: ${whole.text.slice(0, 300)}`);
    assert.ok(whole.bytes.equals(body), `${n} bytes with a length`);
  }
}

describe("Express, unmodified, on its own port", { skip: noNpm ?? false }, () => {
  before(() => deployFolder("shop", { web: { entry: "express.js", kind: "http", port: 3000, concurrency: 50, memory_mb: 256 } },
    { "express.js": server("express.js"), "public/a.txt": "a file" }, true));
  const web = (where, options) => hob.call(`/fn/shop/web${where}`, options);

  test("says hello, and its log says where it listens", async () => {
    const answer = await web("/");
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "Hello from Express");
    assert.equal(answer.headers["x-powered-by"], "Express");
    assert.ok((await hob.logs("shop", "web")).some((line) => line.text === "listening on port 3000"));
  });

  test("bodies from nothing to 20 MiB go both ways, with a length and in chunks", { timeout: 120000 }, async () => {
    const sizes = [0, 1, 16384, 16385, 65536, 65537, 1 << 20, 20 << 20];
    await echoes("/fn/shop/web/echo", sizes);
    for (const n of sizes) {
      const body = bytesOf(n);
      const answer = await chunked("/fn/shop/web/echo", body);
      assert.equal(answer.status, 200);
      assert.ok(answer.bytes.equals(body), `${n} bytes in chunks`);
    }
  });

  test("JSON is parsed and answered, statuses and cookies and redirects arrive", async () => {
    const made = await web("/json", { method: "POST", body: '{"a":[1,"é"]}', headers: { "content-type": "application/json" } });
    assert.equal(made.status, 201);
    assert.deepEqual(made.json, { got: { a: [1, "é"] } });
    const moved = await web("/cookies");
    assert.equal(moved.status, 302);
    assert.equal(moved.headers.location, "/elsewhere");
    assert.deepEqual(moved.headers["set-cookie"], ["a=1; Path=/", "b=2; Path=/"]);
    assert.equal((await web("/nothing")).status, 404);
    const bad = await web("/json", { method: "POST", body: "{", headers: { "content-type": "application/json" } });
    assert.equal(bad.status, 400);
  });

  test("files of the deployed folder are served from the working directory, with ETags that work", async () => {
    const file = await web("/files/a.txt");
    assert.equal(file.text, "a file");
    const again = await web("/files/a.txt", { headers: { "if-none-match": file.headers.etag } });
    assert.equal(again.status, 304);
    assert.equal(again.bytes.length, 0);
    const part = await web("/files/a.txt", { headers: { range: "bytes=2-5" } });
    assert.equal(part.status, 206);
    assert.equal(part.text, "file");
  });

  test("the request says who asked: forwarded fields, request id, trace", async () => {
    const { headers, query } = (await web("/headers?a=1&a=2&b=%20", { headers: { "x-forwarded-for": "1.2.3.4", "x-mine": "y" } })).json;
    assert.deepEqual(query, { a: ["1", "2"], b: " " });
    assert.equal(headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(headers["x-forwarded-proto"], "http");
    assert.equal(headers["x-forwarded-host"], `127.0.0.1:${hob.port}`);
    assert.equal(headers["x-mine"], "y");
    assert.match(headers["x-request-id"], /^[0-9a-f-]{36}$/);
    assert.match(headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  test("HEAD has the fields of GET and no body", async () => {
    const head = await web("/", { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], "18");
    assert.equal(head.bytes.length, 0);
  });

  test("the first event comes at once, and a client that leaves is noticed within 100 ms", async () => {
    await quickly(100, async () => {
      let left;
      await quickly(300, async () => {
        const began = performance.now();
        return new Promise((resolve, reject) => {
          const req = http.get(`${hob.url}/fn/shop/web/events`, { agent: false }, (res) => {
            res.once("data", () => {
              req.destroy();
              left = Date.now();
              resolve(performance.now() - began);
            });
          });
          req.on("error", (error) => (error.code === "ECONNRESET" ? undefined : reject(error)));
        });
      });
      let gone;
      await until(async () => (gone = Number((await web("/gone")).text)) >= left - 20, "the server to notice");
      return gone - left;
    });
  });

  test("connections to the server are kept and used again", async () => {
    const first = Number((await web("/connections")).text);
    for (let i = 0; i < 50; i++) assert.equal((await web("/")).status, 200);
    assert.ok(Number((await web("/connections")).text) <= first + 1);
  });

  test("a hundred at a time are answered each with its own", async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => web(`/headers?i=${i}`)));
    answers.forEach((answer, i) => assert.equal(answer.json.query.i, String(i)));
  });

  test("Expect: 100-continue is answered once, and the body arrives", async () => {
    const text = await new Promise((resolve) => {
      const s = net.connect(hob.port, "127.0.0.1");
      let got = "";
      s.on("data", (d) => {
        got += d;
        if (got.startsWith("HTTP/1.1 100") && !s.sent) s.sent = s.write("hello");
        if (got.endsWith("hello")) s.destroy();
      });
      s.on("close", () => resolve(got));
      s.setTimeout(5000, () => s.destroy());
      s.write("POST /fn/shop/web/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    });
    assert.equal(text.match(/HTTP\/1\.1 100/g)?.length, 1);
    assert.match(text, /HTTP\/1\.1 200 OK/);
    assert.match(text, /hello$/);
  });

  test("a handler that throws is answered by Express, not by the platform", async () => {
    const answer = await web("/fail");
    assert.equal(answer.status, 500);
    assert.match(answer.text, /Internal Server Error|it failed/);
  });

  test("50 MB stream through with a small footprint, byte by byte", { timeout: 120000 }, async () => {
    const answer = await web("/bytes/50000000");
    assert.equal(answer.bytes.length, 50000000);
    assert.equal(answer.bytes.subarray(0, 16).toString(), "0123456789abcdef");
  });

  test("the deadline closes the connection: 504, and the server lives on", async () => {
    await deployFolder("short", { web: { entry: "express.js", kind: "http", port: 3000, timeout_ms: 300, concurrency: 5 } },
      { "express.js": server("express.js") }, true);
    assert.equal((await hob.call("/fn/short/web/slow?ms=50")).text, "slow");
    const late = await hob.call("/fn/short/web/slow?ms=5000");
    assert.equal(late.status, 504, late.text);
    assert.equal((await hob.call("/fn/short/web/")).text, "Hello from Express");
    assert.equal(await hob.call("/fn/short/web/connections").then((a) => a.status), 200);
  });

  test("a server that exits in a request costs that request 502, and comes back", async () => {
    const answer = await web("/exit");
    assert.equal(answer.status, 502, answer.text);
    assert.equal((await web("/")).text, "Hello from Express");
  });

  test("`hob invoke` posts the event to the root as JSON", async () => {
    const answer = await hob.api("POST", "/v1/apps/shop/functions/web/invoke", '{"x":1}');
    assert.equal(answer.status, 404); // this application has no POST /
    assert.match(answer.text, /Cannot POST \//);
  });

  test("an upgrade that the server does not take up is answered as HTTP/1.1", async () => {
    const answer = await web("/", { headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "Hello from Express");
  });
});

describe("Fastify, with PORT and HOST from the environment", { skip: noNpm ?? false }, () => {
  before(() => deployFolder("fast", { web: { entry: "fastify.mjs", kind: "http", concurrency: 50, memory_mb: 256 } },
    { "fastify.mjs": server("fastify.mjs") }, true));

  test("answers, validates and fails as it does anywhere", async () => {
    const root = await hob.call("/fn/fast/web/");
    assert.equal(root.status, 200, root.text);
    assert.deepEqual(root.json, { hello: "fastify" });
    assert.deepEqual((await hob.call("/fn/fast/web/user/ada")).json, { name: "ada" });
    assert.equal((await hob.call("/fn/fast/web/user/adalovelace")).status, 400);
    const made = await hob.call("/fn/fast/web/json", { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } });
    assert.equal(made.status, 201);
    assert.deepEqual(made.json, { got: { a: 1 } });
  });

  test("bodies from nothing to 20 MiB go both ways", { timeout: 120000 }, () => echoes("/fn/fast/web/echo", [1, 65536, 1 << 20, 20 << 20]));
});

describe("Flask from Debian, on the port of its tutorial", { skip: noFlask ?? false }, () => {
  before(() => deployFolder("flask", { web: { entry: "flask_app.py", kind: "http", port: 5000, concurrency: 50 } },
    { "flask_app.py": server("flask_app.py") }));

  test("says hello, and sees the forwarded fields", async () => {
    const answer = await hob.call("/fn/flask/web/");
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "Hello from Flask");
    assert.equal((await hob.call("/fn/flask/web/headers")).json["X-Forwarded-For"], "127.0.0.1");
    assert.equal((await hob.call("/fn/flask/web/fail")).status, 500);
  });

  test("bodies from nothing to 20 MiB go both ways", { timeout: 120000 }, () => echoes("/fn/flask/web/echo", [0, 1, 65536, 1 << 20, 20 << 20]));

  test("a generator streams", async () => {
    const began = performance.now();
    let first;
    const all = await new Promise((resolve, reject) => http.get(`${hob.url}/fn/flask/web/events`, { agent: false }, (res) => {
      let text = "";
      res.on("data", (d) => ((first ??= performance.now() - began), (text += d))).on("end", () => resolve(text)).on("error", reject);
    }));
    assert.ok(first < 300, `first byte after ${first} ms`);
    assert.equal(all, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n");
  });

  test("fifty at a time are answered", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => hob.call("/fn/flask/web/")));
    answers.forEach((answer) => assert.equal(answer.text, "Hello from Flask"));
  });
});

test("PHP's own server runs a router script", async () => {
  await deployFolder("php", { web: { entry: "index.php", kind: "http" } },
    { "index.php": '<?php header("x-php: yes"); http_response_code(201); echo $_SERVER["REQUEST_METHOD"], " ", $_SERVER["REQUEST_URI"], " ", file_get_contents("php://input");' });
  const answer = await hob.call("/fn/php/web/a?b=1", { method: "POST", body: "hello" });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.headers["x-php"], "yes");
  assert.equal(answer.text, "POST /a?b=1 hello");
});

describe("a server in C", { skip: fs.existsSync(cServer) ? false : `${cServer} is not built: make test-http-kind` }, () => {
  before(() => deployFolder("cserver", { web: { runtime: "c", entry: "server", kind: "http", memory_mb: 32, concurrency: 50 } }, { server: fs.readFileSync(cServer) }));

  test("answers, and echoes from nothing to 20 MiB", { timeout: 120000 }, async () => {
    const answer = await hob.call("/fn/cserver/web/");
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "hello from C\n");
    assert.equal((await hob.call("/fn/cserver/web/other")).status, 404);
    await echoes("/fn/cserver/web/echo", [0, 1, 65536, 65537, 1 << 20, 20 << 20]);
    assert.equal((await chunked("/fn/cserver/web/echo", Buffer.from("x"))).bytes.toString(), "x");
  });
});

describe("what goes wrong while starting", () => {
  test("a server that never listens is a start that failed, with the reason in its log", { timeout: 120000 }, async () => {
    await deployFolder("mute", { web: { entry: "a.mjs", kind: "http", init_timeout_ms: 3500 } }, { "a.mjs": "setInterval(() => {}, 1000);" });
    const answer = await hob.call("/fn/mute/web/");
    assert.ok([502, 503, 504].includes(answer.status), answer.text);
    await until(async () => (await hob.logs("mute", "web")).some((line) => /nothing listens on 127\.0\.0\.1:8080 yet/.test(line.text)), "the reason", 8000);
  });

  test("a server on another port than its hob.json says never becomes ready", { timeout: 120000 }, async () => {
    await deployFolder("other", { web: { entry: "a.mjs", kind: "http", init_timeout_ms: 1500 } },
      { "a.mjs": 'import http from "node:http"; http.createServer().listen(3001);' });
    const answer = await hob.call("/fn/other/web/");
    assert.equal(answer.status, 502, answer.text);
    assert.match(answer.text, /init_timeout|init_failed/); // where Landlock knows ports, listening itself is refused
    const logs = await hob.logs("other", "web");
    assert.ok(/init_timeout/.test(answer.text) || logs.some((line) => /EACCES/.test(line.text)), JSON.stringify(logs));
  });

  test("a program that ends at once fails the start, and the log has what it said", async () => {
    await deployFolder("ends", { web: { entry: "a.mjs", kind: "http" } }, { "a.mjs": "console.error('no configuration'); process.exit(3);" });
    const answer = await hob.call("/fn/ends/web/");
    assert.equal(answer.status, 502, answer.text);
    assert.ok((await hob.logs("ends", "web")).some((line) => line.text === "no configuration"));
  });
});

test("a server that answers garbage costs the request 502 with a reason, and the log has it", async () => {
  await deployFolder("bad", { web: { entry: "a.mjs", kind: "http", concurrency: 10 } }, { "a.mjs": `import net from "node:net";
    net.createServer((s) => { s.on("error", () => {}); s.on("data", (d) => s.write(String(d).includes("/bad") ? "garbage\\r\\n\\r\\n" : "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")); }).listen(8080);` });
  const answers = await Promise.all(["/", "/bad", "/", "/bad"].map((where) => hob.call(`/fn/bad/web${where}`)));
  assert.deepEqual(answers.map((answer) => answer.status), [200, 502, 200, 502], answers[1].text);
  assert.equal((await hob.call("/fn/bad/web/")).text, "ok");
  assert.ok((await hob.logs("bad", "web")).some((line) => /Runtime\.BadAnswer: it does not begin with an HTTP\/1\.1 status line/.test(line.text)));
});

test("a deploy lets running requests finish, and asks the old server to end", async () => {
  const text = (n) => `import http from "node:http";
    http.createServer((q, s) => setTimeout(() => s.end("${n}"), q.url === "/slow" ? 600 : 0)).listen(8080);
    process.on("SIGTERM", () => { console.log("asked to end ${n}"); setTimeout(() => { console.log("ended ${n}"); process.exit(0); }, 2600); });`;
  const functions = { web: { entry: "a.mjs", kind: "http", concurrency: 10 } };
  await deployFolder("roll", functions, { "a.mjs": text(1) });
  assert.equal((await hob.call("/fn/roll/web/")).text, "1");
  const slow = hob.call("/fn/roll/web/slow");
  await sleep(100);
  await deployFolder("roll", functions, { "a.mjs": text(2) });
  assert.equal((await hob.call("/fn/roll/web/")).text, "2");
  assert.equal((await slow).text, "1");
  await until(async () => (await hob.logs("roll", "web")).some((line) => line.text === "ended 1"), "the old server's own end", 8000);
});
