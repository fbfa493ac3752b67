// The same engine on Podman's compatible socket: Debian's podman, as a service of the test's own, in roots of its own. A
// part of what the docker suites try: what a function is, what holds it, and that nothing is left.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, tar, until } from "../e2e/harness.mjs";
import { Dockerd } from "./dockerd.mjs";
import * as programs from "./programs.mjs";

const unavailable = process.getuid() !== 0 ? "a rootful podman needs root"
  : spawnSync("podman", ["--version"]).status !== 0 ? "there is no podman: apt-get install podman" : undefined;
let skip = unavailable ?? false;
let podman, hob, dir;

/** A service that answers as Dockerd of the suites does. */
class Podman extends Dockerd {
  static async start() {
    const p = new Podman();
    p.dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-podman-"));
    fs.chmodSync(p.dir, 0o755);
    p.socket = path.join(p.dir, "podman.sock");
    const at = (name) => path.join(p.dir, name);
    p.own = ["--root", at("root"), "--runroot", at("run"), "--tmpdir", at("tmp"), "--cgroup-manager", "cgroupfs",
      "--events-backend", "file", "--network-config-dir", at("net")];
    const command = ["podman", ...p.own, "system", "service", "--time=0", `unix://${p.socket}`];
    const isHybrid = fs.existsSync("/sys/fs/cgroup/unified"); // Debian's crun refuses hybrid cgroups
    const [program, ...args] = isHybrid ? ["unshare", "-m", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh", ...command] : command;
    p.log = "";
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (part) => (p.log = (p.log + part).slice(-8000)));
    p.ended = new Promise((done) => child.on("exit", (code, signal) => done((p.exit = { code, signal }))));
    p.pid = child.pid;
    await until(async () => {
      if (p.exit) throw new Error(`podman ended: ${JSON.stringify(p.exit)} ${p.log}`);
      return (await p.api("GET", "/_ping").catch(() => ({}))).status === 200;
    }, "podman's service", 30000);
    const line = fs.readFileSync("/etc/passwd", "utf8").match(/^hob:[^:]*:(\d+)/m);
    fs.chownSync(p.socket, line ? Number(line[1]) : 0, 0);
    return p;
  }

  async close() {
    process.kill(this.pid, "SIGTERM");
    const late = setTimeout(() => process.kill(this.pid, "SIGKILL"), 10000);
    await this.ended;
    clearTimeout(late);
    spawnSync("podman", [...this.own, "rm", "-fa", "-t", "0"]);
    this.sweep();
  }
}

before(async () => {
  if (skip) return;
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-podman-"));
  try {
    podman = await Podman.start();
  } catch (error) {
    skip = `podman does not run here: ${error.message}`;
    return;
  }
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${podman.socket}`, HOB_FREEZE_MS: "0" } });
  await isUp();
});
/** Podman's first answers take long on a machine that has other things to do. */
async function isUp() {
  let engines;
  await until(async () => (engines = (await hob.api("GET", "/v1/engines")).json.engines).some((e) => e.name === "docker" && e.state === "up"),
    () => `the engine: ${JSON.stringify(engines)}`, 120000);
}
after(async () => {
  if (dir) fs.rmSync(dir, { recursive: true, force: true });
  try {
    await hob?.close();
    // what ended may still be listed: Podman's own cleaner is slow or absent, and Hob's next start sweeps
    await until(async () => !podman || (await podman.containers()).every((c) => c.State !== "running"), "every container's end", 30000);
  } finally {
    await podman?.close();
  }
});
const it = (name, fn) => test(name, { timeout: 120000 }, async (t) => {
  if (skip) {
    console.log(`# NOT TESTED: ${skip}`);
    t.skip(skip);
    return;
  }
  await fn();
});

it("a function from source runs in a container of Podman, with its walls", async () => {
  const main = programs.compile(dir, "main", programs.CHANNEL);
  assert.equal((await hob.api("POST", "/v1/runtimes/c/image")).status, 200);
  const folder = project({ "hob.json": { app: "native", functions: { f: { entry: "main", runtime: "c", engine: "docker", memory_mb: 64, init_timeout_ms: 10000, queue_timeout_ms: 30000 } } } });
  fs.copyFileSync(main, path.join(folder, "main"));
  fs.chmodSync(path.join(folder, "main"), 0o755);
  assert.equal((await hob.api("POST", "/v1/apps/native/deploy", tar(folder))).status, 201);
  fs.rmSync(folder, { recursive: true });
  const answer = await hob.call("/fn/native/f");
  assert.match(answer.text, /uid=30\d+ cwd=\/app arg= env= root=-1 data=-1/, answer.text + JSON.stringify(await hob.logs("native", "f")));
  const one = (await podman.containers()).find((c) => c.Labels["hob.role"] === "instance");
  const host = (await podman.api("GET", `/containers/${one.Id}/json`)).json.HostConfig;
  assert.equal(host.ReadonlyRootfs, true);
  assert.equal(host.Memory, 64 << 20);
  assert.equal(host.Privileged, false);
  const status = fs.readFileSync(`/proc/${(await podman.api("GET", `/containers/${one.Id}/json`)).json.State.Pid}/status`, "utf8");
  for (const set of ["CapPrm", "CapEff", "CapBnd"]) assert.match(status, new RegExp(`${set}:\\s+0+\\n`));
  assert.match(status, /NoNewPrivs:\s+1/);
  assert.match(status, /Seccomp:\s+2/);
});

it("an image is resolved, runs, and is replaced", async () => {
  const main = programs.compile(dir, "own", programs.CHANNEL);
  for (const word of ["one", "two"]) {
    const made = await programs.image(podman, "own:1", main, ['ENTRYPOINT ["/srv/program"]', `CMD ["${word}"]`, "USER app"]).catch((e) => e);
    assert.ok(typeof made === "string", String(made));
    const tagged = await podman.api("POST", `/images/${made}/tag?repo=own&tag=1`); // its import takes no tag
    assert.equal(tagged.status, 201, made + tagged.text);
    const done = await hob.deploy("own", { f: { engine: "docker", image: "own:1", queue_timeout_ms: 30000 } }, { README: "x" });
    assert.match(done.functions[0].image_id, /^sha256:[0-9a-f]{64}$/);
    const answer = await hob.call("/fn/own/f");
    assert.match(answer.text, new RegExp(`uid=4321 .*arg=${word}`), answer.text + JSON.stringify(await hob.logs("own", "f")));
  }
  await assert.rejects(hob.deploy("own", { f: { engine: "docker", image: "none:1", pull: "never" } }, { README: "x" }), (e) => e.problem.reason === "image_missing");
});

it("one that ends, and one that is removed from outside, are seen", async () => {
  assert.match((await hob.call("/fn/native/f")).text, /uid=/);
  const one = (await podman.containers()).find((c) => c.Labels["hob.app"] === "native" && c.Labels["hob.role"] === "instance");
  await podman.api("DELETE", `/containers/${one.Id}?force=1`);
  await until(async () => (await hob.call("/fn/native/f")).status === 200, "another instance", 30000);
});

it("what a Dockerfile came to has Hob's name, and goes when nobody needs it", async () => {
  const main = programs.compile(dir, "base", programs.CHANNEL);
  const base = await programs.image(podman, "base:1", main, ['ENTRYPOINT ["/srv/program"]']);
  assert.equal((await podman.api("POST", `/images/${base}/tag?repo=base&tag=1`)).status, 201);
  const built = (await hob.deploy("built", { f: { engine: "docker", dockerfile: "Dockerfile" } }, { Dockerfile: "FROM docker.io/library/base:1\nCMD [\"two\"]\n" })).functions[0].image_id;
  assert.match(JSON.stringify((await podman.api("GET", `/images/${built}/json`)).json.RepoTags), /hob-[0-9a-f]{12}:built-/);
  const collect = async () => (await hob.api("POST", "/v1/engines/docker/gc")).json;
  assert.ok(!(await collect()).images.some((i) => i.image === built));
  assert.ok((await hob.api("DELETE", "/v1/apps/built")).status < 300);
  const gone = (await collect()).images;
  assert.ok(gone.some((i) => i.image === built && i.kind === "built" && i.state === "removed"), JSON.stringify(gone));
  assert.equal((await podman.api("GET", `/images/${built}/json`)).status, 404);
  assert.equal((await podman.api("GET", `/images/${base}/json`)).status, 200);
});
