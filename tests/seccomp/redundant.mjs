// No rule of the allow-list without a reason: each call of HOB_SYSCALLS_PLAIN is taken away in turn, and some program of the
// corpus must break, or kept.mjs must say why it stays. Slow: `make test-seccomp`. Prints TAP.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { kept } from "./kept.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const tool = process.argv[2], corpus = process.argv[3];
const list = fs.readFileSync(path.join(here, "../../base/rules/syscalls.h"), "utf8").split("#define HOB_SYSCALLS_PLAIN")[1].split("*/")[0];
const allowed = [...list.matchAll(/"([a-z0-9_]+)"/g)].map((m) => m[1]);
const has = (file) => fs.existsSync(file);
const programs = {
  c: [corpus],
  "static c": [`${corpus}_static`],
  node: ["/usr/bin/node", path.join(here, "corpus.mjs")],
  python: ["/usr/bin/python3", path.join(here, "corpus.py")],
  php: ["/usr/bin/php", path.join(here, "corpus.php")],
  shell: ["/bin/sh", path.join(here, "corpus.sh")],
};
for (const name of Object.keys(programs)) if (!has(programs[name][0])) delete programs[name];

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "redundant-"));
/** Its own process group, so that whatever a broken program leaves goes with it. */
const run = (args) => new Promise((done) => {
  const child = spawn(tool, args, { stdio: "ignore", detached: true });
  const end = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // nothing was left
    }
  };
  const late = setTimeout(end, 15000);
  child.on("exit", (code) => {
    clearTimeout(late);
    end();
    done(code ?? 137);
  });
});

const uses = {};
for (const [name, argv] of Object.entries(programs)) {
  const file = path.join(scratch, "list");
  const plain = await run(["--list", file, ...argv]);
  if (plain !== 0) {
    console.log(`not ok - the corpus itself: ${name} ends with ${plain}`);
    process.exit(1);
  }
  for (const call of fs.readFileSync(file, "utf8").trim().split("\n")) (uses[call] ??= []).push(name);
}
const verdicts = {};
const queue = [...allowed];
await Promise.all(Array.from({ length: 2 }, async () => {
  for (let call; (call = queue.shift()); ) {
    verdicts[call] = uses[call] ? "used, nothing breaks" : "not used";
    for (const name of uses[call] ?? []) {
      const code = await run([call, ...programs[name]]);
      if (code === 99) verdicts[call] = "unknown here";
      else if (code !== 0) {
        verdicts[call] = `needed by ${name}`;
        break;
      }
    }
  }
}));
fs.rmSync(scratch, { recursive: true, force: true });
let n = 0, bad = 0;
for (const call of allowed) {
  const isNeeded = verdicts[call].startsWith("needed"), reason = kept[call];
  const isFine = isNeeded || reason || verdicts[call] === "unknown here";
  if (!isFine) bad++;
  console.log(`${isFine ? "ok" : "not ok"} ${++n} - ${call}: ${verdicts[call]}${!isNeeded && reason ? `; kept: ${reason}` : ""}`);
}
for (const call of Object.keys(kept)) {
  if (allowed.includes(call)) continue;
  bad++;
  console.log(`not ok ${++n} - ${call} is in kept.mjs, but not allowed`);
}
console.log(`1..${n}`);
process.exit(bad ? 1 : 0);
