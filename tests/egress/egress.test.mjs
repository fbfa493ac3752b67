// What leaves a function, and what does not: real functions with unmodified clients against a small world of the test's
// own (net.mjs), looked at from inside, from the function's log, and by a packet capture.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Daemon, ROOT, request, until } from "../e2e/harness.mjs";
import { capture, enter, impossible, OURS, World, WORLD } from "./net.mjs";

const file = fileURLToPath(import.meta.url);
const why = impossible();
if (!why && !process.env.HOB_EGRESS_INSIDE) enter(file);
if (why) console.error(`# the egress suite is SKIPPED: ${why}`);

// Runs what it is sent: the tests are about what its calls do.
const NODE = `import * as net from "node:net"; import * as dns from "node:dns/promises"; import * as dgram from "node:dgram";
const Run = (async () => {}).constructor;
const reach = (host, port, more = {}) => new Promise((done) => {
  const began = performance.now(), s = net.connect({ host, port, autoSelectFamily: false, ...more }, () => { s.destroy(); done("ok"); });
  s.on("error", (e) => done(e.code ?? e.message));
});
export default { async fetch(request) {
  try { return Response.json(await new Run("net", "dns", "dgram", "reach", await request.text())(net, dns, dgram, reach) ?? null); }
  catch (e) { return Response.json({ error: e.cause?.code ?? e.code ?? e.message }); } } };`;
const PYTHON = `import os, shutil
for name in ("client", "curl"):
    shutil.copy(name, "/tmp/" + name)
    os.chmod("/tmp/" + name, 0o755)
def handler(event, context):
    scope = {}
    try:
        exec(event["code"], scope)
    except Exception as e:
        return {"error": type(e).__name__, "text": str(e)}
    return scope.get("result")
`;
const RULES = ["api.pay.example:80", "*.svc.example:80", "db.internal.example:80", "rebind.example:80", "loop.example:80",
  "meta.example:80", "mixed.example:80", `${WORLD.public}:81`, `${WORLD.silent}:80`];

describe("egress", { skip: why }, () => {
  let d, world, bin;
  const node = async (code, fn = "out") => (await request(`${d.url}/fn/net/${fn}/`, { method: "POST", body: code })).json;
  const python = async (code) => {
    const answer = await d.api("POST", "/v1/apps/net/functions/py/invoke", { code });
    return answer.json;
  };
  const client = async (...args) =>
    (await python(`import subprocess\nresult = subprocess.run(["/tmp/client", ${args.map((a) => JSON.stringify(String(a))).join(", ")}], capture_output=True, text=True, timeout=30).stdout`));
  const notes = async (fn) => (await d.logs("net", fn)).filter((l) => l.stream === "platform").map((l) => l.text ?? l.msg ?? l.message);
  const noted = (fn, pattern) => until(async () => (await notes(fn)).some((text) => pattern.test(text)), `a log line like ${pattern}`, 5000);

  before(async () => {
    world = await World.start();
    bin = fs.mkdtempSync(path.join(os.tmpdir(), "hob-egress-bin-"));
    const made = spawnSync("musl-gcc", ["-static", "-O2", "-o", path.join(bin, "client"), path.join(ROOT, "tests/egress/client.c")], { encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    d = await Daemon.start();
    await d.deploy("net", {
      out: { entry: "out.mjs", egress: RULES, scale: { max: 1 }, concurrency: 20 },
      none: { entry: "out.mjs", scale: { max: 1 } },
      py: { entry: "py.py", egress: [...RULES, "10.77.0.0/24:8080"], scale: { max: 2 }, timeout_ms: 60000 },
    }, { "out.mjs": NODE, "py.py": PYTHON, client: fs.readFileSync(path.join(bin, "client")), curl: fs.readFileSync("/usr/bin/curl") });
  });
  after(async () => {
    await d?.close();
    world?.close();
    fs.rmSync(bin, { recursive: true, force: true });
  });

  describe("what is listed is reached", () => {
    it("by Node's fetch, by name", async () => {
      assert.equal(await node(`return (await fetch("http://api.pay.example/a")).text()`), `world ${WORLD.public} /a\n`);
    });
    it("by a wildcard's name", async () => {
      assert.equal(await node(`return (await fetch("http://two.svc.example/")).text()`), `world ${WORLD.other} /\n`);
    });
    it("by c-ares: dns.resolve4", async () => {
      assert.deepEqual(await node(`return dns.resolve4("api.pay.example")`), [WORLD.public]);
    });
    it("by Python's urllib", async () => {
      assert.equal(await python(`import urllib.request\nresult = urllib.request.urlopen("http://api.pay.example/u", timeout=5).read().decode()`), `world ${WORLD.public} /u\n`);
    });
    it("by Python's asyncio", async () => {
      const code = `import asyncio
async def ask():
    r, w = await asyncio.open_connection("api.pay.example", 80)
    w.write(b"GET /async HTTP/1.0\\r\\n\\r\\n")
    return (await r.read()).decode().splitlines()[-1]
result = asyncio.run(ask())`;
      assert.equal(await python(code), `world ${WORLD.public} /async`);
    });
    it("by curl", async () => {
      const code = `import subprocess
done = subprocess.run(["/tmp/curl", "-sS", "-m", "5", "http://api.pay.example/curl"], capture_output=True, text=True)
result = done.stdout + done.stderr`;
      assert.equal(await python(code), `world ${WORLD.public} /curl\n`);
    });
    it("by a C program that blocks, with the options it had set", async () => {
      assert.equal(await client("blocking", WORLD.private, 8080), `nodelay=1 nonblocking=0\nworld ${WORLD.private} /c\n`);
    });
    it("by a C program that does not block", async () => {
      assert.equal(await client("nonblocking", WORLD.private, 8080), `nodelay=1 nonblocking=1\nworld ${WORLD.private} /c\n`);
    });
    it("by many at once", async () => {
      const all = await node(`return Promise.all(Array.from({ length: 100 }, (_, i) => fetch("http://api.pay.example/" + i).then((r) => r.text())))`);
      assert.deepEqual(all, Array.from({ length: 100 }, (_, i) => `world ${WORLD.public} /${i}\n`));
    });
    it("and its own loopback stays its own", async () => {
      const answer = await node(`const s = net.createServer((c) => c.end("mine")); try { await new Promise((d, e) => { s.on("error", e); s.listen(0, "127.0.0.1", d); }); } catch (e) { return e.code; }
        return new Promise((done) => { const c = net.connect(s.address().port, "127.0.0.1"); let t = ""; c.on("data", (b) => (t += b)); c.on("close", () => { s.close(); done(t); }); c.on("error", (e) => done(e.code)); })`);
      assert.match(answer, /^mine$|^EACCES$/); // from Landlock 4 on it may not listen at all
    });
  });

  describe("failures are those of the network", () => {
    it("a closed port is refused", async () => assert.equal(await node(`return reach("${WORLD.public}", 81)`), "ECONNREFUSED"));
    it("a silent host times out, and the instance goes on", async () => {
      assert.equal(await node(`return reach("${WORLD.silent}", 80)`), "ETIMEDOUT");
      assert.equal(await node(`return 1`), 1);
    });
    it("a name that does not exist is not found", async () => assert.equal((await node(`return fetch("http://no.svc.example/")`)).error, "ENOTFOUND"));
  });

  describe("what is not listed is refused, with a line in the log", () => {
    for (const [what, host, port] of [
      ["an address that no rule names", WORLD.third, 80], ["another port of a listed address", WORLD.public, 8080],
      ["a private address", WORLD.private, 80], ["the metadata address", WORLD.metadata, 80], ["our own address", OURS, 80],
    ])
      it(what, async () => {
        assert.equal(await node(`return reach("${host}", ${port})`), "EACCES");
        await noted("out", new RegExp(`egress to ${host.replaceAll(".", "\\.")}:${port} .*is not allowed by hob.json \\(egress\\)`));
      });
    it("a name that is not listed", async () => {
      assert.equal((await node(`return fetch("http://unlisted.example/")`)).error, "ENOTFOUND");
      await noted("out", /the name 'unlisted\.example' is not listed/);
    });
    it("the controller, at every spelling of loopback", async () => {
      for (const host of ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"]) {
        const got = await node(`return reach("${host}", ${d.port})`);
        assert.notEqual(got, "ok", host);
      }
    });
    it("other spellings of what is refused", async () => {
      for (const host of ["::ffff:169.254.169.254", "::ffff:10.77.0.2", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"])
        assert.notEqual(await node(`return reach("${host}", 80)`), "ok", host);
    });
    it("the controller's port at the machine's own address, although its network is listed", async () => {
      assert.equal(await client("blocking", OURS, 8080), "Permission denied\n");
      await noted("py", /egress to 10\.77\.0\.1:8080 .*the machine that Hob runs on/);
    });
  });

  describe("a name is what it resolved to", () => {
    it("one that leads to loopback, private or metadata addresses leads nowhere", async () => {
      for (const name of ["loop.example", "meta.example", "db.internal.example"])
        assert.equal((await node(`return fetch("http://${name}/")`)).error, "ENOTFOUND", name);
      await noted("out", /'loop\.example' leads to a loopback address/);
    });
    it("of several addresses the allowed ones are left", async () => assert.deepEqual(await node(`return dns.resolve4("mixed.example")`), [WORLD.public]));
    it("one that changes behind the check is not followed", async () => {
      assert.equal(await node(`return (await fetch("http://rebind.example/1")).text()`), `world ${WORLD.public} /1\n`);
      assert.equal((await node(`return dns.resolve4("rebind.example")`)).error, "ENOTFOUND");
      assert.equal(await node(`return reach("${WORLD.metadata}", 80)`), "EACCES");
    });
    it("only addresses are told of it", async () => {
      assert.equal((await node(`return dns.resolveTxt("api.pay.example")`)).error, "ENODATA");
    });
    it("garbage at the name server is survived", async () => {
      await node(`const s = dgram.createSocket("udp4"); for (let i = 0; i < 300; i++) { const b = Buffer.alloc(i % 80); for (let k = 0; k < b.length; k++) b[k] = (i * 31 + k * 7) & 255; await new Promise((d) => s.send(b, 53, "127.0.0.53", d)); } s.close()`);
      assert.deepEqual(await node(`return dns.resolve4("api.pay.example")`), [WORLD.public]);
    });
  });

  it("a connected socket cannot be turned to another peer, nor made to listen, nor asked about the host", async () => {
    for (const how of ["again", "reset"]) {
      const text = await client(how, WORLD.private, 8080);
      assert.match(text, /^connect=ok$/m);
      assert.match(text, /^peer=same$/m);
      if (how === "reset") assert.match(text, /^reset=Connection reset/m);
      for (const what of ["reconnect", "disconnect", "listen", "fastopen", "ioctl", "disconnect_after", "after_shutdown", "fastopen_after_shutdown", "listen_after_shutdown", "unix"])
        assert.match(text, new RegExp(`^${what}=(?!ok)`, "m"), text);
    }
  });

  describe("by default nothing leaves", () => {
    it("not a single packet, whatever is tried", async () => {
      const tries = `const out = []; for (const [h, p] of [["${WORLD.public}", 80], ["${WORLD.private}", 80], ["${OURS}", ${8080}], ["api.pay.example", 80]]) out.push(await reach(h, p));
        const u = dgram.createSocket("udp4"); await new Promise((d) => u.send("x", 53, "${WORLD.private}", d)); u.close();
        try { out.push(await dns.resolve4("api.pay.example")); } catch (e) { out.push(e.code); } return out`;
      let answers;
      const seen = await capture(async () => { answers = await node(tries, "none"); });
      assert.ok(answers.every((a) => typeof a === "string" && a !== "ok"), JSON.stringify(answers));
      assert.equal(seen.packets, 0, seen.text);
    });
    it("nor by UDP, raw or netlink ways with egress", async () => {
      const seen = await capture(async () => {
        const text = await client("raw", WORLD.private, 8080);
        for (const what of ["udp_connect", "udp_sendto", "raw", "packet", "netlink"]) assert.match(text, new RegExp(`^${what}=(?!ok)`, "m"), text);
      });
      assert.equal(seen.packets, 0, seen.text);
    });
    it("and the capture does see what is allowed", async () => {
      const seen = await capture(() => node(`return (await fetch("http://api.pay.example/seen")).text()`));
      assert.ok(seen.packets >= 6, seen.text);
    });
  });

  it("a server of kind http reaches out while it answers", async () => {
    await d.deploy("web", { s: { entry: "server.mjs", kind: "http", runtime: "node", egress: ["api.pay.example:80"], concurrency: 10 } }, {
      "server.mjs": `import http from "node:http";
http.createServer(async (q, s) => { try { s.end(await (await fetch("http://api.pay.example" + q.url)).text()); } catch (e) { s.statusCode = 500; s.end(String(e.cause ?? e)); } }).listen(process.env.PORT, "127.0.0.1");` });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => d.call(`/fn/web/s/${i}`)));
    assert.deepEqual(answers.map((a) => a.text.split("/").at(-1)), Array.from({ length: 10 }, (_, i) => `${i}\n`));
  });
  it("an ordinary user's daemon does the same", async () => {
    const user = await Daemon.start({ uid: 65534 });
    try {
      await user.deploy("net", { py: { entry: "py.py", egress: RULES, timeout_ms: 30000 } }, { "py.py": PYTHON,
        client: fs.readFileSync(path.join(bin, "client")), curl: fs.readFileSync("/usr/bin/curl") });
      const run = async (code) => (await user.api("POST", "/v1/apps/net/functions/py/invoke", { code })).json;
      // from a thread, which has a number of its own
      const code = `import threading, urllib.request
out = []
def ask(): out.append(urllib.request.urlopen("http://api.pay.example/user", timeout=5).read().decode())
t = threading.Thread(target=ask); t.start(); t.join()
result = out[0]`;
      assert.equal(await run(code), `world ${WORLD.public} /user\n`);
      assert.match(JSON.stringify(await run(`import socket\nsocket.create_connection(("${WORLD.private}", 80), 3)`)), /PermissionError/);
    } finally {
      await user.close();
    }
  });
  it("a flood is held to its rate, and the neighbours go on", async () => {
    const flood = client("flood", WORLD.private, 8080, 1500);
    const began = Date.now();
    let slowest = 0;
    while (Date.now() - began < 1500) {
      const at = performance.now();
      assert.equal(await node(`return 1`), 1);
      slowest = Math.max(slowest, performance.now() - at);
    }
    const [, made, us] = (await flood).match(/made=(\d+) us=([\d.]+)/);
    assert.equal(made, "1500");
    assert.ok(us * 1500 > 1.5e6, `1500 connects took ${(us * 1500) / 1e6} s: no rate was held`);
    assert.ok(slowest < 1000, `a neighbour waited ${slowest} ms`);
  });
  it("a caller that is killed while it connects leaves nothing behind", async () => {
    const code = `import subprocess, time
running = [subprocess.Popen(["/tmp/client", "blocking", "${WORLD.silent}", "80"]) for _ in range(20)]
time.sleep(0.3)
for p in running: p.kill()
for p in running: p.wait()
result = "killed"`;
    assert.equal(await python(code), "killed");
    assert.equal(await client("blocking", WORLD.private, 8080), `nodelay=1 nonblocking=0\nworld ${WORLD.private} /c\n`);
  });
  it("connecting costs little more than the network", async (t) => {
    const direct = spawnSync(path.join(bin, "client"), ["flood", WORLD.private, "8080", "200"], { encoding: "utf8" }).stdout;
    await new Promise((done) => setTimeout(done, 1100)); // the rate's burst is full again
    const inside = await client("flood", WORLD.private, 8080, 200);
    t.diagnostic(`us per connect: direct ${direct.match(/us=([\d.]+)/)[1]}, by egress ${inside.match(/us=([\d.]+)/)[1]}`);
  });
});
