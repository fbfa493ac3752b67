// The fault sweeps are C programs in a build of their own (mk/fault.mk): this runs them with the other suites.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

test("V5: a deploy or a write of objects that fails or dies at any point leaves what was live, and nothing acknowledged is lost", () => {
  const run = spawnSync("make", ["--no-print-directory", "fault", `B=${process.env.B ?? "build"}`], {
    cwd: ROOT, encoding: "utf8", timeout: 280000,
  });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  const points = [...run.stdout.matchAll(/(\d+) points, each (failed in turn|killed at in turn)/g)];
  assert.deepEqual(points.map((p) => p[2]), ["failed in turn", "killed at in turn"], run.stdout);
  for (const p of points) assert.ok(Number(p[1]) >= 50, `only ${p[1]} points`);
  const data = [...run.stdout.matchAll(/(\d+) points of the app databases, (failed|killed at) in turn/g)];
  assert.deepEqual(data.map((p) => p[2]), ["failed", "killed at"], run.stdout);
});
