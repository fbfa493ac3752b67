// A network of the test's own: this process in a network namespace with one way out, and behind it a small world
// (world.py) in another. Nothing of the machine's own network is touched, and nothing is left behind.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
export const WORLD = { public: "11.22.33.44", other: "11.22.33.45", third: "11.22.33.46", silent: "11.22.33.99", private: "10.77.0.2", metadata: "169.254.169.254" };
export const OURS = "10.77.0.1";

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.stderr || done.error}`);
  return done.stdout;
}

/** Why there can be no such network here, or undefined. */
export function impossible() {
  if (process.getuid() !== 0) return "needs root for network namespaces";
  for (const tool of ["ip", "unshare", "nsenter"])
    if (spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0) return `needs ${tool}`;
  const tried = spawnSync("unshare", ["-n", "-m", "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"]);
  return tried.status === 0 ? undefined : "this machine makes no network namespaces with veth devices";
}

/** Runs this very file again inside; exits with its status. Its output is ours. */
export function enter(file) {
  const done = spawnSync("unshare", ["-n", "-m", process.execPath, file], { stdio: "inherit", env: { ...process.env, HOB_EGRESS_INSIDE: "1" } });
  process.exit(done.status ?? 1);
}

function ready(child, what) {
  return new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("exit", (code) => reject(new Error(`${what} ended with ${code}`)));
  });
}

export class World {
  static async start() {
    const w = new World();
    run("ip", "link", "set", "lo", "up");
    w.process = spawn("unshare", ["-n", "python3", "-c", "import subprocess, sys\nprint('up', flush=True)\nsys.stdin.readline()\n" +
      `import runpy\nsys.argv = ['world.py']\nrunpy.run_path(${JSON.stringify(path.join(here, "world.py"))}, run_name='__main__')`],
    { stdio: ["pipe", "pipe", "inherit"] });
    await ready(w.process, "the world");
    const pid = String(w.process.pid);
    run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", pid);
    fs.writeFileSync("/proc/sys/net/ipv6/conf/out0/disable_ipv6", "1");
    run("ip", "addr", "add", `${OURS}/24`, "dev", "out0");
    run("ip", "link", "set", "out0", "up");
    run("ip", "route", "add", "default", "via", WORLD.private);
    const inside = (...args) => run("nsenter", "-t", pid, "-n", "ip", ...args);
    inside("link", "set", "lo", "up");
    inside("addr", "add", `${WORLD.private}/24`, "dev", "in0");
    inside("link", "set", "in0", "up");
    for (const address of [WORLD.public, WORLD.other, WORLD.third, WORLD.metadata]) inside("addr", "add", `${address}/32`, "dev", "lo");
    inside("route", "add", "blackhole", `${WORLD.silent}/32`);
    w.dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-egress-"));
    fs.writeFileSync(path.join(w.dir, "resolv.conf"), `nameserver ${WORLD.private}\n`);
    run("mount", "--make-rprivate", "/");
    run("mount", "--bind", path.join(w.dir, "resolv.conf"), "/etc/resolv.conf");
    w.process.stdin.write("go\n");
    await ready(w.process, "the world");
    return w;
  }

  close() {
    this.process.kill("SIGKILL");
    run("umount", "/etc/resolv.conf");
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Counts what passes the only way out while `during` runs. */
export async function capture(during) {
  const child = spawn("python3", [path.join(here, "capture.py"), "out0"], { stdio: ["pipe", "pipe", "inherit"] });
  await ready(child, "the capture");
  let text = "";
  child.stdout.on("data", (part) => (text += part));
  try {
    await during();
  } finally {
    child.stdin.end();
    await new Promise((done) => child.on("close", done));
  }
  return { packets: Number(text.match(/^packets (\d+)$/m)[1]), text };
}
