// Promise and fact: `hob describe --isolation` says which walls are in force; a probe inside each kind of instance, and
// the machine's own books about its processes, say what is so. Each promise is compared.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { descendants, isRoot } from "../e2e/harness.mjs";
import { Daemon, deployAttackers } from "./world.mjs";

const NAMESPACES = ["mnt", "pid", "ipc", "uts", "cgroup", "net", "user"];
const FILES = ["/proc/self/status", "/proc/self/limits", "/proc/self/mountinfo"];
const probes = {
  node: ["index.mjs", `import fs from "node:fs";
    export default { fetch: () => new Response(${JSON.stringify(FILES)}.map((f) => "=== " + f + "\\n" + fs.readFileSync(f, "utf8")).join("") +
      "=== ns\\n" + ${JSON.stringify(NAMESPACES)}.map((n) => fs.readlinkSync("/proc/self/ns/" + n) + "\\n").join("")) };`],
  python: ["main.py", `import os
def handler(event, context):
    text = "".join("=== " + f + "\\n" + open(f).read() for f in ${JSON.stringify(FILES)})
    text += "=== ns\\n" + "".join(os.readlink("/proc/self/ns/" + n) + "\\n" for n in ${JSON.stringify(NAMESPACES)})
    return {"statusCode": 200, "body": text}
`],
  php: ["index.php", `<?php
return function ($event, $context) {
    $text = "";
    foreach (${JSON.stringify(FILES)} as $f) $text .= "=== $f\\n" . file_get_contents($f);
    $text .= "=== ns\\n";
    foreach (${JSON.stringify(NAMESPACES)} as $n) $text .= readlink("/proc/self/ns/$n") . "\\n";
    return ["statusCode" => 200, "body" => $text];
};
`],
};

let hob;
before(async () => {
  hob = await Daemon.start();
  await deployAttackers(hob);
  for (const [runtime, [entry, text]] of Object.entries(probes))
    await hob.deployOne(`probe-${runtime}`, "f", entry, text, { runtime, memory_mb: 96 });
});
after(() => hob.close());

function sections(text) {
  const found = {};
  for (const part of text.split(/^=== /m).slice(1)) found[part.slice(0, part.indexOf("\n"))] = part.slice(part.indexOf("\n") + 1);
  return found;
}
const field = (text, name) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(text)?.[1].trim();
const limit = (text, name) => new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(text)?.slice(1);
const mount = (text, where) => text.split("\n").map((line) => line.split(" ")).filter((row) => row[4] === where).at(-1);

/** A file of the group in which that process is, by the machine's own account (v1 or v2). */
function groupFile(pid, controller, v1, v2) {
  const mounts = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n").map((line) => line.split(" "));
  for (const line of fs.readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n")) {
    const [, names, ...rest] = line.split(":"), at = rest.join(":");
    const isV1 = names.split(",").includes(controller);
    if (!isV1 && names !== "") continue;
    const row = mounts.find((m) => (isV1 ? m.includes("cgroup") && m.at(-1).split(",").includes(controller) : m.includes("cgroup2")));
    if (!row) continue;
    const root = row[3] === "/" ? "" : row[3];
    const file = `${row[4]}${at.startsWith(root) ? at.slice(root.length) : at}/${isV1 ? v1 : v2}`;
    if (fs.existsSync(file)) return fs.readFileSync(file, "utf8").trim();
  }
}

const kinds = { node: "/fn/probe-node/f", python: "/fn/probe-python/f", php: "/fn/probe-php/f", c: "/fn/hostile/attacker/posture" };
for (const [kind, where] of Object.entries(kinds))
  test(`${kind}: every wall that is promised is there`, { timeout: 120000 }, async () => {
    const answer = await hob.call(where);
    assert.equal(answer.status, 200, answer.text);
    const fact = sections(answer.text), status = fact["/proc/self/status"], limits = fact["/proc/self/limits"];
    const [, , app, fn] = where.split("/");
    const told = (await hob.api("GET", `/v1/apps/${app}/functions/${fn}/isolation`)).json.instances;
    assert.equal(told.length, 1);
    const promise = Object.fromEntries(told[0].walls.map((wall) => [wall.name, wall.what]));
    assert.deepEqual(Object.keys(promise), ["namespaces", "ids", "capabilities", "seccomp", "landlock", "memory", "processes", "cpu", "mounts", "rlimits",
      "network"]);

    const own = fact.ns.trim().split("\n"), promised = promise.namespaces.split(" ");
    NAMESPACES.forEach((name, i) => {
      const host = fs.readlinkSync(`/proc/self/ns/${name}`);
      if (promised.includes(name)) assert.notEqual(own[i], host, `its own ${name} namespace`);
      else assert.equal(own[i], host, `the ${name} namespace is not promised`);
    });
    assert.ok(promised.length >= 6);

    const uid = /^uid (\d+) gid \1, (.*)$/.exec(promise.ids);
    assert.ok(uid, promise.ids);
    if (isRoot) {
      assert.equal(field(status, "Uid").split(/\s+/).join(" "), Array(4).fill(uid[1]).join(" "));
      assert.equal(field(status, "Gid").split(/\s+/).join(" "), Array(4).fill(uid[1]).join(" "));
      assert.equal(uid[2], "its own, no groups");
      assert.equal(field(status, "Groups"), "");
    }

    assert.equal(promise.capabilities, "none, none to be gained, no_new_privs");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) assert.match(field(status, set), /^0+$/, set);
    assert.equal(field(status, "NoNewPrivs"), "1");

    assert.match(promise.seccomp, /^filter [0-9a-f]{16}, \d+ instructions, denied calls are (told|not told)$/);
    assert.equal(field(status, "Seccomp"), "2");
    assert.equal(field(status, "Seccomp_filters") ?? "1", "1");

    const numbers = /nofile (\d+), fsize (\d+), core (\d+), memlock (\d+), msgqueue (\d+), sigpending (\d+), stack (\d+)/.exec(promise.rlimits);
    ["Max open files", "Max file size", "Max core file size", "Max locked memory", "Max msgqueue size", "Max pending signals", "Max stack size"]
      .forEach((name, i) => assert.deepEqual(limit(limits, name), [numbers[i + 1], numbers[i + 1]], name));

    const mountinfo = fact["/proc/self/mountinfo"];
    assert.match(mount(mountinfo, "/")[5], /\bro\b/);
    assert.match(promise.mounts, /\/app ro nosuid nodev/);
    for (const option of ["ro", "nosuid", "nodev"]) assert.ok(mount(mountinfo, "/app")[5].split(",").includes(option), `/app ${option}`);
    const tmp = mount(mountinfo, "/tmp"), [, bytes, inodes] = /\/tmp (\d+) bytes (\d+) inodes nosuid nodev/.exec(promise.mounts);
    assert.ok(tmp.at(-1).includes(`size=${bytes / 1024}k`) && tmp.at(-1).includes(`nr_inodes=${inodes}`), tmp.join(" "));
    for (const option of ["nosuid", "nodev"]) assert.ok(tmp[5].split(",").includes(option), `/tmp ${option}`);
    const proc = mount(mountinfo, "/proc");
    assert.match(proc.at(-1), /hidepid=(2|invisible).*subset=pid|subset=pid.*hidepid=(2|invisible)/);
    const writable = mountinfo.split("\n").filter((line) => / rw[, ]/.test(line.split(" - ")[0])).map((line) => line.split(" ")[4]);
    assert.deepEqual(writable.filter((at) => !/^\/(tmp|proc|dev\/(null|zero|full|random|urandom))$/.test(at)), [], "nothing else is writable");

    if (!isRoot) return;
    const pid = [...descendants(hob.pid).keys()].find((id) => new RegExp(`^Uid:\\s+${uid[1]}\\s`, "m").test(fs.readFileSync(`/proc/${id}/status`, "utf8")));
    assert.ok(pid, "a process of that uid on the machine");
    if (promise.memory !== "no limit")
      assert.equal(groupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"), /^\d+/.exec(promise.memory)[0]);
    if (promise.processes !== "no limit") assert.equal(groupFile(pid, "pids", "pids.max", "pids.max"), /^\d+/.exec(promise.processes)[0]);
    const devices = fs.readFileSync(`/proc/${pid}/net/dev`, "utf8").split("\n").slice(2).filter(Boolean).map((line) => line.split(":")[0].trim());
    assert.equal(promise.network, "none");
    assert.deepEqual(devices, ["lo"]);
  });

test("hob describe --isolation prints it", async () => {
  const shown = hob.cli(["describe", "--isolation", "probe-python/f"]);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /^instance [0-9a-f]{16}, version 1$/m);
  assert.match(shown.out, /^namespaces +mnt pid ipc uts cgroup net/m);
  assert.match(shown.out, /^network +none$/m);
  assert.match(hob.cli(["describe", "--isolation", "hostile/raw"]).out, /no instance runs/);
  assert.equal(JSON.parse(hob.cli(["--json", "describe", "--isolation", "probe-python/f"]).out).instances.length, 1);
});
