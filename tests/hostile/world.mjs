// What the hostile suites share: the attackers built and deployed, a neighbour that is asked all the while.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon, HELLO, Load, ROOT, descendants, processes, project, sleep, tar, until } from "../e2e/harness.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));

/** Begins the name of every process that an attack leaves behind: another run on the same machine has another one. */
const MARK = `h${randomBytes(3).toString("hex")}`;

function compile(output, sources) {
  const has = (program) => spawnSync(program, ["--version"]).status === 0;
  const multiarch = spawnSync("cc", ["-print-multiarch"], { encoding: "utf8" }).stdout.trim();
  const compiler = has("musl-gcc") ? ["musl-gcc", "-idirafter", "/usr/include", "-idirafter", `/usr/include/${multiarch}`] : ["cc"];
  const done = spawnSync(compiler[0], [...compiler.slice(1), "-static", "-O1", "-Wall", "-Wextra", `-DMARK="${MARK}"`, "-I", path.join(ROOT, "runtimes/c"),
    "-o", output, ...sources.map((name) => path.join(here, name)), "-lpthread"], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

/** Deploys app "hostile" with the attackers. */
export async function deployAttackers(hob) {
  const dir = project({ "hob.json": { app: "hostile", functions: {
    attacker: { runtime: "c", entry: "main", timeout_ms: 30000, memory_mb: 128, scale: { max: 1 } },
    reach: { runtime: "c", entry: "main", timeout_ms: 30000, memory_mb: 128, scale: { max: 1 }, egress: ["api.example:443", "*.svc.example:80"] },
    short: { runtime: "c", entry: "main", timeout_ms: 1200, memory_mb: 128, scale: { max: 1 } },
    raw: { runtime: "c", entry: "frames", timeout_ms: 1500, memory_mb: 32, scale: { max: 1 } },
  } } });
  try {
    compile(path.join(dir, "main"), ["main.c", "escape.c", "abuse.c", "theft.c"]);
    compile(path.join(dir, "frames"), ["frames.c"]);
    const answer = await hob.api("POST", "/v1/apps/hostile/deploy", tar(dir));
    assert.equal(answer.status, 201, answer.text);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** Another tenant's function, asked all the while: whatever is attacked, each of its requests is answered. How fast, compared
 * with honest work beside it: neighbour.test.mjs. */
export class Neighbour {
  static async start(hob) {
    const n = new Neighbour();
    n.hob = hob;
    await hob.deployOne("neighbour", "f", "index.mjs", HELLO, { concurrency: 4, scale: { min: 1 } });
    await until(async () => (await hob.call("/fn/neighbour/f")).text === "hello\n", "the neighbour", 30000);
    n.load = n.ask({ pause: 5 });
    return n;
  }

  ask(options) {
    return new Load(`${this.hob.url}/fn/neighbour/f`, { clients: 1, ...options });
  }

  async stop(what) {
    await until(() => this.load.counts.ok + this.load.counts.bad >= 100, "100 answers of the neighbour", 60000);
    await this.load.stop();
    console.log(`# neighbour during ${what}: ${this.load.counts.ok} answers, p50 ${this.load.percentile(0.5).toFixed(1)} ms, ` +
      `p99 ${this.load.percentile(0.99).toFixed(1)} ms`);
    assert.deepEqual(this.load.failures, []);
  }
}

/** "name=value" lines. */
export const factsOf = (text) => Object.fromEntries([...text.matchAll(/^(\w+)=(.*)$/gm)].map((m) => [m[1], m[2]]));
export const holesOf = (text) => text.split("\n").filter((line) => line.startsWith("hole:"));

/** Runs one row of the catalogue and judges it. */
export async function attempt(hob, row) {
  const where = `/fn/hostile/${row.fn ?? "attacker"}/${row.attack}${row.argument ? `?${row.argument}` : ""}`;
  if (row.expect.kind === "one") return judgeOne(hob, where, row);
  const answer = await hob.call(where, { timeout: 60000 });
  if (row.expect.kind === "ends") {
    assert.ok(answer.status === 502 || answer.status === 504, `${answer.status} ${answer.text.slice(0, 500)}`);
    assert.ok(row.expect.reasons.includes(answer.json.reason), answer.text);
    return answer;
  }
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(holesOf(answer.text), []);
  assert.match(answer.text, /^done$/m);
  assert.equal(row.expect.facts?.(factsOf(answer.text)) || "", "");
  return answer;
}

/** The strictest reading of HTTP/1.1: one response off the front; undefined when it is not whole. */
export function parseOne(bytes, method = "GET") {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line, ...fields] = bytes.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 ([1-5][0-9][0-9]) [^\r\n]*$/.exec(line)?.[1]);
  assert.ok(status, `a status line: ${JSON.stringify(line)}`);
  const headers = new Map();
  for (const field of fields) {
    const m = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff\t]*)$/.exec(field);
    assert.ok(m, `a header field: ${JSON.stringify(field.slice(0, 200))}`);
    const name = m[1].toLowerCase();
    assert.ok(!(headers.has(name) && /^(content-length|transfer-encoding)$/.test(name)), `${name} twice`);
    headers.set(name, m[2]);
  }
  assert.ok(!(headers.has("content-length") && headers.has("transfer-encoding")), "both a length and chunks");
  let rest = bytes.slice(end + 4), body = "";
  if (status === 101) return { status, headers, body: rest, rest: "", isSwitched: true };
  if (status === 204 || status === 304 || method === "HEAD") return { status, headers, body, rest };
  if (headers.get("transfer-encoding") === "chunked") {
    for (;;) {
      const m = /^([0-9a-fA-F]+)\r\n/.exec(rest);
      if (!m) {
        assert.ok(!/[^0-9a-fA-F\r\n]/.test(rest.slice(0, 2)), `a chunk: ${JSON.stringify(rest.slice(0, 50))}`);
        return undefined;
      }
      const n = parseInt(m[1], 16), at = m[0].length;
      if (rest.length < at + n + 2) return undefined;
      assert.equal(rest.slice(at + n, at + n + 2), "\r\n", "the end of a chunk");
      body += rest.slice(at, at + n);
      rest = rest.slice(at + n + 2);
      if (n === 0) return { status, headers, body, rest };
    }
  }
  assert.ok(headers.has("content-length"), "neither a length nor chunks");
  const n = Number(headers.get("content-length"));
  return rest.length < n ? undefined : { status, headers, body: rest.slice(0, n), rest: rest.slice(n) };
}

function exchange(port, text, ms) {
  return new Promise((resolve) => {
    const parts = [];
    const socket = net.connect(port, "127.0.0.1", () => socket.write(text));
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on("data", (part) => parts.push(part));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts).toString("latin1"));
    });
  });
}

/** Two requests on one connection: whatever the first one's function does, the second gets its own answer or none. */
async function judgeOne(hob, where, row) {
  const got = await exchange(hob.port, `GET ${where} HTTP/1.1\r\nHost: x\r\n\r\n` +
    "GET /fn/neighbour/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 15000);
  const first = parseOne(got);
  if (!first) { // broken off behind its head: the connection must have ended with it
    assert.ok(!got.includes("hello\n"), `out of step: ${JSON.stringify(got.slice(-300))}`);
    assert.match(got, /^HTTP\/1\.1 /, "at least a head");
    return got;
  }
  assert.ok(row.expect.statuses.includes(first.status), `${first.status} ${first.body.slice(0, 300)}`);
  assert.equal(first.headers.get("set-cookie"), undefined);
  if (first.status === 502) assert.match(JSON.parse(first.body).reason, /^[a-z_]+$/);
  if (first.isSwitched || (!first.rest && /close/i.test(first.headers.get("connection") ?? ""))) return got;
  const second = parseOne(first.rest);
  assert.ok(second, `a second answer: ${JSON.stringify(first.rest.slice(0, 300))}`);
  assert.equal(second.status, 200);
  assert.equal(second.body, "hello\n");
  assert.equal(second.rest, "");
  return got;
}

/** What this run's attacks have left and that is alive: "pid name", anywhere on the machine. `kind`: "daemon", "fork", "bomb". */
export function survivors(kind = "") {
  return [...processes()].filter(([, p]) => p.name.startsWith(`${MARK}-${kind}`) && p.state !== "Z").map(([pid, p]) => `${pid} ${p.name}`);
}

/** Waits until nothing of it lives; tells which instance it was otherwise. */
export function extinct(hob, kind, ms = 30000) {
  const tell = () => survivors(kind).map((text) => {
    const pid = Number(text.split(" ")[0]);
    const facts = ["status", "cgroup", "stat"].map((file) => {
      try { return fs.readFileSync(`/proc/${pid}/${file}`, "utf8").replaceAll("\n", " | "); } catch { return "gone meanwhile"; }
    });
    return `${text}, ${descendants(hob.pid).has(pid) ? "below" : "NOT below"} hobd ${hob.pid}: ${facts.join("; ")}`;
  }).join("\n") + `\n${hob.stderr.slice(-3000)}`;
  return until(() => survivors(kind).length === 0, () => `no process left by an attack:\n${tell()}`, ms);
}

export { Daemon, sleep, until, os };
