// Programs and images for the docker suites: made here, of nothing but gcc and the engine's own import.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { ROOT } from "../e2e/harness.mjs";

/** An image of one static program, made by the engine's own import: no registry, no Dockerfile. */
export async function image(docker, tag, program, changes) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "hob-image-"));
  try {
    fs.mkdirSync(path.join(root, "srv"));
    fs.copyFileSync(program, path.join(root, "srv/program"));
    fs.chmodSync(path.join(root, "srv/program"), 0o755);
    fs.mkdirSync(path.join(root, "etc"));
    fs.writeFileSync(path.join(root, "etc/passwd"), "root:x:0:0::/:/\napp:x:4321:4321::/:/\nsneaky:x:0:0::/:/\n");
    const tar = spawnSync("tar", ["-cf", "-", "-C", root, "."], { maxBuffer: 64 << 20 }).stdout;
    const query = changes.map((c) => `&changes=${encodeURIComponent(c)}`).join("");
    const made = await docker.api("POST", `/images/create?fromSrc=-&repo=${tag.split(":")[0]}&tag=${tag.split(":")[1]}${query}`, tar);
    assert.equal(made.status, 200, made.text);
    return JSON.parse(made.text.trim().split("\n").at(-1)).status; // sha256:...
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}
/** A static program of this source, in `dir`. */
export function compile(dir, name, source) {
  const c = path.join(dir, `${name}.c`), out = path.join(dir, name);
  fs.writeFileSync(c, source);
  const made = spawnSync("gcc", ["-O1", "-static", "-I", path.join(ROOT, "runtimes/c"), "-o", out, c, "-lpthread"], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  return out;
}
/** Speaks the channel, and says who and where it is. */
export const CHANNEL = `
#define HOB_IMPLEMENTATION
#include "hob.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static char **args;
static int h(hob_call *c, void *a)
{
    char text[512], cwd[128] = "";
    int n = snprintf(text, sizeof text, "uid=%d cwd=%s arg=%s env=%s root=%d data=%d\\n", (int)getuid(), getcwd(cwd, sizeof cwd) ? cwd : "?",
                     args[1] ? args[1] : "", getenv("COLOUR") ? getenv("COLOUR") : "", access("/", W_OK), access("/data", W_OK));
    (void)a;
    return hob_write(c, text, (size_t)n);
}
int main(int argc, char **argv) { (void)argc; args = argv; return hob_run(h, 0, 0); }
`;
