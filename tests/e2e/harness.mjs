// The end-to-end harness: a real hobd with a home of its own on a port of its own, real clients, and a look at what it
// leaves behind. Nothing but Node's own modules. Binaries come from HOB_BIN, else from $B/bin (make's build folder).
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const BIN = path.resolve(ROOT, process.env.HOB_BIN ?? path.join(process.env.B ?? "build", "bin"));
/* Those of an installed copy stand beside its programs. */
const INSTALLED = path.resolve(BIN, "../lib/hob/runtimes");
export const RUNTIMES = fs.existsSync(INSTALLED) ? INSTALLED : path.join(ROOT, "runtimes");
export const isRoot = process.getuid() === 0;
/* Under a sanitizer memory is several times what it is (shadow, red zones, what was freed is kept for a while). */
export const isSanitized = fs.existsSync(path.join(BIN, "hobd")) && fs.readFileSync(path.join(BIN, "hobd")).includes("__asan_init");
export const mib = (n) => (isSanitized ? 4 * n + 128 : n) * 1024 * 1024;

/* How this machine's npm reaches its registry is its owner's to say, also where a test has a home of its own. */
const registry = { npm_config_userconfig: path.join(os.homedir(), ".npmrc"),
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(NODE_EXTRA_CA_CERTS|https?_proxy|no_proxy|npm_config_.*)$/i.test(name))) };
/* Which fault point is passed by failing, in a build that has them (make again). */
const faults = process.env.HOB_FAULT_AT ? { HOB_FAULT_AT: process.env.HOB_FAULT_AT } : {};
const sanitizers = Object.fromEntries(Object.entries(process.env).filter(([name]) => /^[A-Z]+SAN_OPTIONS$/.test(name)));

/* Why an ordinary user cannot run this build (a folder above it is closed to others), or false. For tests that need one. */
export const closedToUsers = (uid) => {
  const tried = isRoot ? spawnSync(path.join(BIN, "hobd"), ["--version"], { uid, gid: uid }) : {};
  return tried.error ? `an ordinary user cannot reach ${BIN}: ${tried.error.code}` : false;
};
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/* What comes at all comes within this, however slow the machine: waiting longer costs only a test that fails. */
const PATIENCE_MS = 30000;

/** Calls `check` until it returns something true; throws with `what` (a text, or a function that makes it) when it never does. */
export async function until(check, what, ms = 10000) {
  const end = Date.now() + Math.max(ms, PATIENCE_MS);
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${Math.max(ms, PATIENCE_MS)} ms in vain for: ${typeof what === "function" ? what() : what}`);
    await sleep(20);
  }
}

/** A bound on time that belongs to what is promised: `attempt` gives how many ms it took (or throws), and is made again until
 * one keeps the bound. A machine that is busy for a moment gets more tries; one that never keeps it fails. */
export async function quickly(bound_ms, attempt, tries = 15) {
  const took = [];
  while (took.length < tries) {
    took.push(await attempt());
    if (took.at(-1) <= bound_ms) return took.at(-1);
  }
  throw new Error(`never within ${bound_ms} ms: ${took.map((ms) => ms.toFixed(0)).join(", ")}`);
}

/** One HTTP request on a connection of its own (or of `agent`). Never throws for a status. */
export function request(url, { method = "GET", headers = {}, body, agent = false, timeout = 30000 } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent, timeout }, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () => {
        const bytes = Buffer.concat(parts);
        resolve({
          status: res.statusCode, headers: res.headers, trailers: res.trailers, bytes,
          text: bytes.toString(), get json() { return JSON.parse(bytes.toString()); },
        });
      });
      res.on("aborted", () => reject(new Error("the answer was broken off")));
    });
    req.on("timeout", () => req.destroy(new Error(`no answer from ${url} within ${timeout} ms`)));
    req.on("error", reject);
    if (body && typeof body.pipe === "function") body.pipe(req);
    else req.end(body);
  });
}

/** Sends raw bytes, gives all that comes until the server closes or is silent for `quiet` ms. */
export function raw(port, bytes, { quiet = 1500, end = false } = {}) {
  return new Promise((resolve, reject) => {
    const parts = [];
    const socket = net.connect(port, "127.0.0.1", () => (end ? socket.end(bytes) : socket.write(bytes)));
    let timer = setTimeout(() => socket.destroy(), quiet);
    socket.on("data", (part) => {
      parts.push(part);
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), quiet);
    });
    socket.on("error", (error) => (parts.length ? undefined : reject(error)));
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts).toString("latin1"));
    });
  });
}

/** Writes {path: text} below a new folder (or `dir`) and returns the folder. */
export function project(files, dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-project-"))) {
  for (const [name, text] of Object.entries(files)) {
    const to = path.join(dir, name);
    fs.mkdirSync(path.dirname(to), { recursive: true });
    fs.writeFileSync(to, typeof text === "object" && !Buffer.isBuffer(text) ? JSON.stringify(text) : text);
  }
  return dir;
}

export function tar(dir, ...options) {
  const made = spawnSync("tar", ["-czf", "-", ...options, "-C", dir, "."], { maxBuffer: 512 * 1024 * 1024 });
  assert.equal(made.status, 0, made.stderr?.toString());
  return made.stdout;
}

/** {pid: {ppid, name, command, state}} of every process. */
export function processes() {
  const all = new Map();
  for (const name of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "latin1");
      const behind = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const command = fs.readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      all.set(Number(name), {
        ppid: Number(behind[1]), state: behind[0], command,
        name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")),
        started: behind[19],
      });
    } catch {
      // it ended meanwhile
    }
  }
  return all;
}

export function descendants(pid) {
  const all = processes();
  const found = new Map();
  const visit = (parent) => {
    for (const [id, p] of all) {
      if (p.ppid === parent && !found.has(id)) {
        found.set(id, p);
        visit(id);
      }
    }
  };
  visit(pid);
  return found;
}

/** Descendants that run a program of that name ("hob-runner"), by pid. */
export function childNamed(pid, name) {
  for (const [id, p] of descendants(pid)) if (p.command.split(" ")[0].endsWith(name)) return id;
  return undefined;
}

function cgroupsNamed(name) {
  const found = [];
  const walk = (dir, depth) => {
    let entries;
    try {
      entries = fs.readdirSync(dir, { withFileTypes: true });
    } catch {
      return;
    }
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const at = path.join(dir, entry.name);
      if (entry.name.includes(name)) found.push(at);
      else if (depth < 6) walk(at, depth + 1);
    }
  };
  walk("/sys/fs/cgroup", 0);
  return found;
}

// A test that dies leaves no daemon: its launcher and runner follow it.
const living = new Set();
process.on("exit", () => {
  for (const daemon of living) daemon.kill("SIGKILL");
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));

export class Daemon {
  static async start(options = {}) {
    const d = new Daemon();
    d.options = options;
    d.dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-e2e-"));
    fs.chmodSync(d.dir, 0o755); // hobd gives up root: it must be able to pass through
    d.home = path.join(d.dir, "home");
    if (options.uid) fs.chownSync(d.dir, options.uid, options.uid);
    await options.prepare?.(d);
    await d.launch();
    return d;
  }

  /** Starts (again) in the same home. */
  async launch() {
    const args = ["--home", this.home, "--listen", `127.0.0.1:${this.options.port ?? 0}`,
      "--runtimes", this.options.runtimes ?? RUNTIMES];
    this.stderr = "";
    this.stdout = "";
    this.exit = undefined;
    this.process = spawn(path.join(BIN, "hobd"), args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, HOB_LOG_FORMAT: "text", ...sanitizers, ...faults, ...this.options.env },
      detached: true, // signals for the test's group are not for it
      ...(this.options.uid ? { uid: this.options.uid, gid: this.options.uid } : {}),
    });
    this.process.stderr.on("data", (part) => (this.stderr = (this.stderr + part).slice(-200000)));
    this.process.stdout.on("data", (part) => (this.stdout += part));
    this.process.on("error", (error) => (this.exit = { error: error.message })); // no such program
    const { process: started } = this;
    living.add(started);
    this.ended = new Promise((done) => started.on("exit", (code, signal) => {
      living.delete(started);
      done((this.exit = { code, signal }));
    }));
    const line = await until(() => {
      if (this.exit) throw new Error(`hobd ended: ${JSON.stringify(this.exit)}\n${this.stderr}`);
      return this.stdout.match(/^hobd ready on (http:\/\/[^ ]+) home=(.*)$/m);
    }, "hobd's ready line", 30000);
    this.url = line[1];
    this.port = Number(new URL(this.url).port);
    this.pid = this.process.pid;
    this.token = fs.readFileSync(path.join(this.home, "admin.token"), "utf8").trim();
    await until(async () => (await request(`${this.url}/readyz`)).status === 200, "readiness", 15000);
    return this;
  }

  api(method, where, body, headers = {}) {
    const isRaw = body === undefined || Buffer.isBuffer(body) || typeof body === "string";
    return request(this.url + where, {
      method, body: isRaw ? body : JSON.stringify(body), timeout: 120000,
      headers: { authorization: `Bearer ${this.token}`, ...(body === undefined ? {} : { "content-length":
        Buffer.byteLength(isRaw ? body : JSON.stringify(body)) }), ...headers },
    });
  }

  /** Deploys `files`; `functions` becomes hob.json. Returns the answer's JSON, throws the problem's text. */
  async deploy(app, functions, files, query = "") {
    const dir = project({ "hob.json": { app, functions }, ...files });
    try {
      const answer = await this.api("POST", `/v1/apps/${app}/deploy${query}`, tar(dir));
      if (answer.status !== 201) throw Object.assign(new Error(answer.text), { status: answer.status, problem: answer.json });
      return answer.json;
    } finally {
      fs.rmSync(dir, { recursive: true, force: true });
    }
  }

  /** One function from one file. */
  deployOne(app, name, entry, text, config = {}) {
    return this.deploy(app, { [name]: { entry, ...config } }, { [entry]: text });
  }

  call(where, options) {
    return request(`${this.url}${where}`, options);
  }

  async logs(app, fn, query = "tail=1000") {
    const answer = await this.api("GET", `/v1/apps/${app}/functions/${fn}/logs?${query}`);
    assert.equal(answer.status, 200, answer.text);
    return answer.text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /** The real command line, speaking to this daemon. */
  cli(args, { input, cwd = this.dir, env = {}, timeout = 60000 } = {}) {
    const done = spawnSync(path.join(BIN, "hob"), args, {
      input, cwd, timeout, encoding: "utf8", maxBuffer: 64 * 1024 * 1024,
      env: { PATH: process.env.PATH, HOME: this.dir, ...registry, HOB_URL: this.url, HOB_TOKEN: this.token, ...env },
    });
    return { code: done.status, out: done.stdout, err: done.stderr, signal: done.signal };
  }

  rss() {
    return Number(fs.readFileSync(`/proc/${this.pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) * 1024;
  }

  openFiles() {
    return fs.readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Everything that a stopped daemon must not leave. */
  leftovers(tree) {
    const now = processes();
    const left = [];
    for (const [pid, p] of tree) {
      const q = now.get(pid);
      if (q && q.started === p.started && q.state !== "Z") left.push(`process ${pid} ${q.command || q.name}`);
    }
    for (const [pid, p] of now) if (p.command.includes(this.home)) left.push(`process ${pid} ${p.command}`);
    const id = createHash("sha256").update(fs.realpathSync(this.home)).digest("hex").slice(0, 12);
    left.push(...cgroupsNamed(id).map((at) => `cgroup ${at}`));
    const mounts = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    left.push(...mounts.filter((line) => line.includes(this.home)).map((line) => `mount ${line}`));
    left.push(...fs.readdirSync(path.join(this.home, "tmp")).map((name) => `file tmp/${name}`));
    left.push(...fs.readdirSync(path.join(this.home, "code")).filter((name) => name.startsWith("."))
      .map((name) => `folder code/${name}`));
    return left;
  }

  /** No part may have said that it is broken, whatever was done to it. */
  assertSound() {
    for (const sign of [/assert\.failed.*/, /AddressSanitizer[^]{0,3000}/, /LeakSanitizer[^]{0,3000}/, /runtime error:[^]{0,1000}/])
      assert.doesNotMatch(this.stderr, sign);
  }

  /** SIGTERM; asserts a clean end and nothing left behind. */
  async stop({ isClean = true } = {}) {
    if (this.exit) return;
    const tree = descendants(this.pid);
    process.kill(this.pid, "SIGTERM");
    const late = setTimeout(() => process.kill(this.pid, "SIGKILL"), 30000);
    const { code, signal } = await this.ended;
    clearTimeout(late);
    this.assertSound();
    if (isClean) {
      assert.equal(signal, null, `hobd was ended by ${signal}\n${this.stderr.slice(-3000)}`);
      assert.equal(code, 0, `hobd's exit code\n${this.stderr.slice(-3000)}`);
      await until(() => this.leftovers(tree).length === 0, "nothing left behind", 15000)
        .catch(() => assert.deepEqual(this.leftovers(tree), []));
    }
  }

  /** Stops and removes the home. For after(). */
  async close(options) {
    for (const load of Load.running) load.isOn = false; // of a test that failed
    try {
      await this.stop(options);
    } finally {
      if (!this.exit) process.kill(this.pid, "SIGKILL");
      fs.rmSync(this.dir, { recursive: true, force: true });
    }
  }

  /** kill -9 of hobd; waits until its children have followed. */
  async kill9() {
    const tree = descendants(this.pid);
    process.kill(this.pid, "SIGKILL");
    await this.ended;
    this.assertSound();
    return tree;
  }
}

/** Host pids of the instances below `pid`: {init, runtime} each. A runtime may have given itself another title. */
export function instances(pid) {
  const tree = descendants(pid);
  return [...tree].filter(([, p]) => p.command.startsWith("/hob/init -- ")).map(([init]) =>
    ({ init, runtime: [...tree].find(([, p]) => p.ppid === init)?.[0] }));
}

/** Keeps `clients` asking without a pause until stop(); counts what came. */
export class Load {
  static running = new Set();

  constructor(url, { clients = 8, options = {}, check = (answer) => answer.status === 200, pause = 0 } = {}) {
    this.counts = { ok: 0, bad: 0 };
    this.failures = [];
    this.times = [];
    this.agent = new http.Agent({ keepAlive: true, maxSockets: clients });
    this.isOn = true;
    Load.running.add(this);
    this.workers = Array.from({ length: clients }, async () => {
      while (this.isOn) {
        const began = performance.now();
        try {
          const answer = await request(url, { ...options, agent: this.agent });
          if (check(answer)) this.counts.ok++;
          else this.fail(`${answer.status} ${answer.text.slice(0, 200)}`);
        } catch (error) {
          if (this.isOn) this.fail(error.message);
        }
        this.times.push(performance.now() - began);
        if (pause) await sleep(pause);
      }
    });
  }

  fail(text) {
    this.counts.bad++;
    if (this.failures.length < 20) this.failures.push(text);
  }

  percentile(p) {
    const sorted = [...this.times].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
  }

  async stop() {
    this.isOn = false;
    Load.running.delete(this);
    await Promise.all(this.workers);
    this.agent.destroy();
    return this.counts;
  }
}

export const HELLO = 'export default { fetch: () => new Response("hello\\n") };\n';
