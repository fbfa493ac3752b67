// What the tests need from the registry: installed once into the build folder, used by every suite that runs servers.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { ROOT } from "../e2e/harness.mjs";
import { npmUnreachable } from "../npm.mjs";

const HERE = path.join(ROOT, "tests/http_kind");
export const NPM = path.join(ROOT, process.env.B ?? "build", "npm");

/** The modules with all that they need; null (and a reason) when the registry cannot be reached. */
function install() {
  const want = fs.readFileSync(path.join(HERE, "package.json"), "utf8");
  const stamp = path.join(NPM, "package.json");
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === want && fs.existsSync(path.join(NPM, "node_modules/express"))) return null;
  const why = npmUnreachable();
  if (why) return why;
  const fresh = `${NPM}.new`;
  fs.rmSync(fresh, { recursive: true, force: true });
  fs.mkdirSync(fresh, { recursive: true });
  fs.writeFileSync(path.join(fresh, "package.json"), want);
  const done = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
    { cwd: fresh, encoding: "utf8", timeout: 120000 });
  if (done.status !== 0) return `npm cannot install Express, Fastify and ws here: ${(done.stderr || String(done.error ?? "")).slice(0, 300)}`;
  fs.rmSync(NPM, { recursive: true, force: true });
  fs.renameSync(fresh, NPM);
  return null;
}
export const noNpm = install();
if (noNpm) console.error(`SKIPPED: ${noNpm}`);
