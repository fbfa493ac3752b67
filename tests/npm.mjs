// Packages that tests need from npm's registry: installed once into the build folder, each set in a folder of its own.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { ROOT } from "./e2e/harness.mjs";

/** Why npm's registry cannot be used, or null. Asked once; a no is remembered for a quarter of an hour, so that a machine
 * without it does not wait again and again. */
export function npmUnreachable() {
  const note = path.join(ROOT, process.env.B ?? "build", "npm-unreachable");
  if (fs.existsSync(note) && Date.now() - fs.statSync(note).mtimeMs < 15 * 60000) return fs.readFileSync(note, "utf8");
  const asked = spawnSync("npm", ["ping", "--loglevel=error"], { encoding: "utf8", timeout: 20000 });
  if (asked.status === 0) return null;
  const why = `npm's registry cannot be reached: ${(asked.stderr || String(asked.error ?? "no answer")).slice(0, 200).trim()}`;
  fs.mkdirSync(path.dirname(note), { recursive: true });
  fs.writeFileSync(note, why);
  return why;
}

/** {dir} with node_modules in it, or {dir, why} when the registry cannot be reached. `packages`: {name: version}. */
export function npmFolder(name, packages) {
  const dir = path.join(ROOT, process.env.B ?? "build", "npm-sets", name);
  const want = JSON.stringify({ private: true, dependencies: packages });
  const stamp = path.join(dir, "package.json");
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === want) return { dir };
  const why = npmUnreachable();
  if (why) return { dir, why };
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
