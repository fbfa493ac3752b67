// What the soak runs: functions of every kind, and how each one's answer is judged.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { ROOT, tar } from "../e2e/harness.mjs";

const idOf = 'new URL(request.url).searchParams.get("id")';
const FILES = {
  "fetch.mjs": `export default { fetch: (request) => new Response(${idOf}) };`,
  "wait.mjs": `export default { fetch: async (request) => { await new Promise((d) => setTimeout(d, 5 + Math.random() * 60)); return new Response(${idOf}); } };`,
  "body.mjs": `import { createHash } from "node:crypto";
export default { fetch: async (request) => new Response(createHash("sha256").update(Buffer.from(await request.arrayBuffer())).digest("hex")) };`,
  "stream.mjs": `export default { fetch: (request) => { const id = ${idOf}; let n = 0; const chunk = new TextEncoder().encode(id + "\\n");
  return new Response(new ReadableStream({ async pull(c) { await new Promise((d) => setTimeout(d, 3)); if (n++ < 10) c.enqueue(chunk); else c.close(); } })); } };`,
  "crash.mjs": `export default { fetch: (request) => { if (Math.random() < 0.2) process.exit(7); return new Response(${idOf}); } };`,
  "main.py": 'def handler(event, context):\n    return {"statusCode": 200, "body": event["queryStringParameters"]["id"]}\n',
};
const C_SOURCE = `#define HOB_IMPLEMENTATION
#include "hob.h"
static int answer(hob_call *c, void *arg)
{
    (void)arg;
    hob_str query = hob_query(c);
    return hob_write(c, query.p + 3, query.n - 3);
}
int main(void)
{
    return hob_run(answer, 0, 0);
}
`;
const same = (request, text) => text === request.id;
/* name: {config, clients that ask it, pause between a client's requests, whether an answer fits its request} */
export const FUNCTIONS = {
  fetch: { config: { entry: "fetch.mjs" }, clients: 2, pause: 10, fits: same },
  many: { config: { entry: "wait.mjs", concurrency: 8 }, clients: 6, pause: 10, fits: same },
  wait: { config: { entry: "wait.mjs", scale: { max: 12, keep_s: 3 } }, clients: 6, pause: 40, fits: same },
  python: { config: { runtime: "python", entry: "main.py", scale: { keep_s: 3 } }, clients: 2, pause: 30, fits: same },
  c: { config: { runtime: "c", entry: "main" }, clients: 2, pause: 10, fits: same },
  once: { config: { entry: "fetch.mjs", single_use: true }, clients: 1, pause: 200, fits: same },
  old: { config: { entry: "fetch.mjs", recycle: { invocations: 20 } }, clients: 1, pause: 30, fits: same },
  rare: { config: { entry: "fetch.mjs", scale: { keep_s: 1 } }, clients: 1, pause: 4000, fits: same },
  stream: { config: { entry: "stream.mjs", concurrency: 4 }, clients: 2, pause: 50, fits: (r, text) => text === `${r.id}\n`.repeat(10) },
  body: { config: { entry: "body.mjs" }, clients: 2, pause: 60, fits: (r, text) => text === r.digest, bytes: 200000 },
  crash: { config: { entry: "crash.mjs" }, clients: 1, pause: 150, fits: same },
};
export const DOCKER = { container: { config: { entry: "fetch.mjs", engine: "docker", scale: { keep_s: 20 } }, clients: 1, pause: 50, fits: same } };

/** Builds the folder that is deployed again and again. */
export function makeProject() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-soak-"));
  for (const [name, text] of Object.entries(FILES)) fs.writeFileSync(path.join(dir, name), text);
  fs.writeFileSync(path.join(dir, "main.c"), C_SOURCE);
  const made = spawnSync("gcc", ["-O1", "-I", path.join(ROOT, "runtimes/c"), "-o", path.join(dir, "main"), path.join(dir, "main.c"), "-lpthread"],
    { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  return dir;
}

/** One version more of every function: the salt makes it another one. */
export async function deploy(hob, dir, app, functions, salt) {
  const wanted = Object.fromEntries(Object.entries(functions).map(([name, f]) => [name, { ...f.config, vars: { SALT: String(salt) } }]));
  fs.writeFileSync(path.join(dir, "hob.json"), JSON.stringify({ app, functions: wanted }));
  const answer = await hob.api("POST", `/v1/apps/${app}/deploy`, tar(dir));
  assert.equal(answer.status, 201, answer.text);
}
