// A home on a disk that runs full: what needs space is refused cleanly (507), all else goes on, and it heals.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, HELLO, isRoot, project, request, sleep, tar, until } from "./harness.mjs";

let hob;
const skip = isRoot ? false : "only root can mount a small disk";
const mount = (d) => {
  fs.mkdirSync(d.home);
  const done = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=0755", "hob-e2e", d.home]);
  assert.equal(done.status, 0, done.stderr.toString());
};
before(async () => {
  if (!skip) hob = await Daemon.start({ prepare: mount });
});
after(async () => {
  if (!hob) return;
  try {
    await hob.stop({ isClean: false });
  } finally {
    spawnSync("umount", ["-l", hob.home]);
    fs.rmSync(hob.dir, { recursive: true, force: true });
  }
});

const free = () => {
  const s = fs.statfsSync(hob.home);
  return s.bavail * s.bsize;
};
const filler = () => path.join(hob.home, "filler");
const fill = (left) => {
  const fd = fs.openSync(filler(), "a");
  const zeros = Buffer.alloc(65536);
  try {
    while (free() > left) fs.writeSync(fd, zeros, 0, Math.min(zeros.length, free() - left));
  } catch (error) {
    assert.equal(error.code, "ENOSPC");
  }
  fs.closeSync(fd);
};
const archive = (bytes, text = HELLO) => {
  const dir = project({ "hob.json": { app: "disk", functions: { f: { entry: "index.mjs" } } }, "index.mjs": text, "ballast.bin": randomBytes(bytes) });
  try {
    return tar(dir);
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
};

test("deploys that do not fit are refused, the old version goes on", { skip, timeout: 120000 }, async () => {
  assert.equal((await hob.api("POST", "/v1/apps/disk/deploy", archive(1000))).status, 201);
  assert.equal((await hob.call("/fn/disk/f")).text, "hello\n");
  // too large for the upload itself, then for what it unpacks to
  for (const left of [500_000, 3_000_000]) {
    fill(left);
    const answer = await hob.api("POST", "/v1/apps/disk/deploy", archive(2_000_000, HELLO.replace("hello", `left ${left}`)));
    assert.equal(answer.status, 507, answer.text);
    assert.equal(answer.json.reason, "no_space");
    assert.match(answer.json.detail, /space/i);
    assert.equal((await hob.call("/fn/disk/f")).text, "hello\n");
    assert.deepEqual(fs.readdirSync(path.join(hob.home, "tmp")), []);
    assert.deepEqual(fs.readdirSync(path.join(hob.home, "code")).filter((n) => n.startsWith(".")), []);
    fs.rmSync(filler());
  }
});

test("a store that cannot grow says so and forgets nothing", { skip, timeout: 120000 }, async () => {
  fill(0);
  let refused;
  for (let i = 0; i < 40 && !refused; i++) {
    const answer = await hob.api("PUT", `/v1/apps/disk/secrets/S${i}`, { value: "x".repeat(8000) });
    if (answer.status !== 200) refused = answer;
  }
  assert.ok(refused, "forty secrets fitted on a full disk");
  assert.equal(refused.status, 507, refused.text);
  assert.equal((await hob.call("/fn/disk/f")).text, "hello\n");
  const backup = await hob.api("POST", "/v1/backup");
  assert.equal(backup.status, 507, backup.text.slice(0, 200));
  assert.deepEqual(fs.readdirSync(path.join(hob.home, "tmp")), []);
  assert.equal((await request(`${hob.url}/readyz`)).status, 200);
  const doctor = (await hob.api("GET", "/v1/doctor")).json;
  assert.equal(doctor.ok, false);
  assert.equal(doctor.checks.find((c) => c.name === "disk").status, "fail");
});

test("logs are dropped and counted while the disk is full, and said when it is not", { skip, timeout: 120000 }, async () => {
  // more than what the log file's last block still takes
  for (let i = 0; i < 150; i++) assert.equal((await hob.call("/fn/disk/f")).status, 200);
  await sleep(500); // the batch is tried, and fails, before there is room again
  fs.rmSync(filler());
  await until(async () => {
    await hob.call("/fn/disk/f");
    return (await hob.logs("disk", "f")).some((l) => /dropped/.test(l.text));
  }, "the drop to be said", 10000);
});

test("with room again everything works", { skip, timeout: 120000 }, async () => {
  assert.equal((await hob.api("PUT", "/v1/apps/disk/secrets/AFTER", { value: "x" })).status, 200);
  const answer = await hob.api("POST", "/v1/apps/disk/deploy", archive(1000, HELLO.replace("hello", "room")));
  assert.equal(answer.status, 201, answer.text);
  assert.equal((await hob.call("/fn/disk/f")).text, "room\n");
  await hob.stop({ isClean: false });
  await hob.launch();
  assert.equal((await hob.call("/fn/disk/f")).text, "room\n");
});
