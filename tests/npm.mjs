// Packages that tests need from npm's registry: installed once into the build folder, each set in a folder of its own.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { ROOT } from "./e2e/harness.mjs";

/** {dir} with node_modules in it, or {dir, why} when the registry cannot be reached. `packages`: {name: version}. */
export function npmFolder(name, packages) {
  const dir = path.join(ROOT, process.env.B ?? "build", "npm-sets", name);
  const want = JSON.stringify({ private: true, dependencies: packages });
  const stamp = path.join(dir, "package.json");
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === want) return { dir };
  const fresh = `${dir}.new-${process.pid}`;
  fs.mkdirSync(fresh, { recursive: true });
  fs.writeFileSync(path.join(fresh, "package.json"), want);
  const done = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
    { cwd: fresh, encoding: "utf8", timeout: 180000 });
  if (done.status !== 0) {
    fs.rmSync(fresh, { recursive: true, force: true });
    return { dir, why: `npm cannot install ${Object.keys(packages).join(", ")} here: ${(done.stderr || String(done.error ?? "")).slice(0, 300)}` };
  }
  fs.rmSync(dir, { recursive: true, force: true });
  fs.renameSync(fresh, dir);
  return { dir };
}
