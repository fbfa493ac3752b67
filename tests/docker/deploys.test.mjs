// What a deploy does with images: a name becomes an ID that the version keeps, pulled from a real registry with the app's
// secret when need be; a Dockerfile in the deployed folder becomes an image.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, tar, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";
import * as programs from "./programs.mjs";
import { noRegistry, Registry } from "./registry.mjs";

const skip = unavailable ?? false, skipRegistry = unavailable ?? noRegistry ?? false;
for (const why of new Set([skip, skipRegistry])) if (why) console.log(`# NOT TESTED: ${why}`);
let docker, hob, dir, registry, program, first;

before(async () => {
  if (unavailable) return;
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-deploys-"));
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}`, HOB_FREEZE_MS: "0" } });
  program = programs.compile(dir, "channel", programs.CHANNEL);
  first = await programs.image(docker, "base:1", program, ['ENTRYPOINT ["/srv/program"]', 'CMD ["one"]']);
  await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine");
  if (!noRegistry) registry = await Registry.start();
});
after(async () => {
  if (unavailable) return;
  try {
    await hob.close();
    await docker.isEmpty();
  } finally {
    await docker.close();
    await registry?.close();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
const deploy = (app, config, files = { README: "nothing" }) => hob.deploy(app, { f: { engine: "docker", ...config } }, files);
const said = async (app) => (await hob.call(`/fn/${app}/f`)).text + JSON.stringify(await hob.logs(app, "f"));

test("a name is resolved when it is deployed: the version keeps its image, whatever the name comes to mean", { skip }, async () => {
  const made = await deploy("fixed", { image: "base:1" });
  assert.equal(made.functions[0].image_id, first);
  assert.match(await said("fixed"), /arg=one/);
  const second = await programs.image(docker, "base:1", program, ['ENTRYPOINT ["/srv/program"]', 'CMD ["two"]']);
  assert.notEqual(second, first);
  assert.match(await said("fixed"), /arg=one/);
  const again = await deploy("fixed", { image: "base:1" });
  assert.equal(again.functions[0].is_new, true, "the same hob.json is a new version: the name means something else");
  assert.equal(again.functions[0].image_id, second);
  assert.match(await said("fixed"), /arg=two/);
  assert.equal((await deploy("fixed", { image: "base:1" })).functions[0].is_new, false);
  await docker.api("POST", `/images/${first}/tag?repo=base&tag=1`);
});

test("an image that is nowhere fails the deploy with a reason, and what was live stays", { skip }, async () => {
  await deploy("stays", { image: first });
  await assert.rejects(deploy("stays", { image: "base:2", pull: "never" }), (e) => e.status === 400 && e.problem.reason === "image_missing");
  await assert.rejects(deploy("stays", { image: `sha256:${"0".repeat(64)}` }), (e) => e.problem.reason === "image_missing");
  await assert.rejects(deploy("stays", { image: "127.0.0.1:1/none:1" }), (e) => e.status === 503 && e.problem.reason === "pull_failed", "nobody listens there");
  assert.match(await said("stays"), /arg=one/);
  await assert.rejects(deploy("stays", { image: "base:1", image_id: first }), /written by the deploy/);
  await assert.rejects(deploy("stays", { image: "base:1", dockerfile: "Dockerfile" }), /another way/);
});

test("an image is pulled from a registry with the app's secret, and refused without or with a wrong one", { skip: skipRegistry }, async () => {
  const name = await registry.push(docker, first, "shop/pulled", "3");
  await docker.api("DELETE", `/images/${name}`);
  const config = { image: name, registry_secret: "REGISTRY" };
  await assert.rejects(deploy("pulls", { image: name }), (e) => e.status === 400 && e.problem.reason === "pull_refused");
  await assert.rejects(deploy("pulls", config), /hob secret set --app pulls REGISTRY/);
  const secret = (value) => hob.api("PUT", "/v1/apps/pulls/secrets/REGISTRY", { value });
  assert.equal((await secret("shop:wrong")).status, 200);
  await assert.rejects(deploy("pulls", config), (e) => e.problem.reason === "pull_refused" && /with this secret/.test(e.message) && !/wrong/.test(e.message));
  assert.equal((await secret("nocolon")).status, 200);
  await assert.rejects(deploy("pulls", config), /USER:PASSWORD/);
  assert.equal((await secret(`${registry.user}:${registry.password}`)).status, 200);
  const made = await deploy("pulls", config);
  assert.equal(made.functions[0].image_id, first);
  assert.match(await said("pulls"), /arg=one/);
  await assert.rejects(deploy("pulls", { ...config, image: `${registry.host}/shop/pulled:4` }), (e) => e.status === 400 && e.problem.reason === "image_missing");
  assert.ok(!hob.stderr.includes(registry.password), "no secret in the log");
  assert.ok(!JSON.stringify((await hob.api("GET", "/v1/apps/pulls/functions/f")).json).includes(registry.password));
});

test("the administrator may say which registries are asked", { skip: skipRegistry }, async () => {
  const other = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}`, HOB_DOCKER_REGISTRIES: `registry.example, ${registry.host}` } });
  try {
    await until(async () => (await other.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine");
    const tries = (image) => other.deploy("some", { f: { engine: "docker", image } }, { README: "x" });
    for (const image of ["127.0.0.1:1/none:1", "none:1", "library/none", "registry.example.org/x"])
      await assert.rejects(tries(image), (e) => e.problem.reason === "pull_refused" && /HOB_DOCKER_REGISTRIES/.test(e.message), image);
    await assert.rejects(tries(`${registry.host}/shop/none:1`), (e) => e.problem.reason === "pull_refused" && /without registry_secret/.test(e.message));
    await tries("base:1"); // what is here needs no registry
  } finally {
    await other.close();
  }
});

test("`pull: always` asks the registry again, `missing` does not", { skip: skipRegistry }, async () => {
  const second = await programs.image(docker, "other:1", program, ['ENTRYPOINT ["/srv/program"]', 'CMD ["newer"]']);
  const name = await registry.push(docker, first, "shop/moving", "latest");
  await hob.api("PUT", "/v1/apps/moves/secrets/REGISTRY", { value: `${registry.user}:${registry.password}` });
  const config = { image: name, registry_secret: "REGISTRY" };
  assert.equal((await deploy("moves", config)).functions[0].image_id, first);
  await registry.push(docker, second, "shop/moving", "latest");
  await docker.api("POST", `/images/${first}/tag?repo=${encodeURIComponent(`${registry.host}/shop/moving`)}&tag=latest`);
  assert.equal((await deploy("moves", config)).functions[0].image_id, first);
  assert.equal((await deploy("moves", { ...config, pull: "always" })).functions[0].image_id, second);
});

test("`hob deploy` shows how the layers come, and ends as ever", { skip: skipRegistry }, async () => {
  const big = path.join(dir, "big");
  fs.copyFileSync(program, big);
  fs.appendFileSync(big, Buffer.from(Array.from({ length: 4 << 20 }, (_, i) => (i * 2654435761) >>> 24)));
  const id = await programs.image(docker, "big:1", big, ['ENTRYPOINT ["/srv/program"]']);
  const name = await registry.push(docker, id, "shop/big", "1");
  for (const known of [name, "big:1"]) await docker.api("DELETE", `/images/${known}`);
  await hob.api("PUT", "/v1/apps/shows/secrets/REGISTRY", { value: `${registry.user}:${registry.password}` });
  const folder = project({ "hob.json": { app: "shows", functions: { f: { engine: "docker", image: name, registry_secret: "REGISTRY" } } } });
  try {
    const done = hob.cli(["deploy", folder]);
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /pulling 127\.0\.0\.1:\d+\/shop\/big:1: 1 of 1 layers/);
    assert.match(done.out, /shows\/f\s+1\s+new/);
    const json = hob.cli(["deploy", "--json", folder]);
    assert.equal(JSON.parse(json.out).functions[0].image_id, id);
    fs.writeFileSync(path.join(folder, "hob.json"), JSON.stringify({ app: "shows", functions: { f: { engine: "docker", image: `${registry.host}/shop/none:1`, registry_secret: "REGISTRY" } } }));
    const failed = hob.cli(["deploy", folder]);
    assert.notEqual(failed.code, 0);
    assert.match(failed.err, /the registry has no/);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test("a Dockerfile in the folder becomes the function's image, and its steps are shown", { skip }, async () => {
  const folder = project({ "hob.json": { app: "built", functions: { f: { engine: "docker", dockerfile: "docker/My Dockerfile" } } },
    "docker/My Dockerfile": 'FROM base:1\nCOPY greeting /srv/greeting\nENV COLOUR=purple\nCMD ["built"]\n', greeting: "hello" });
  try {
    const done = hob.cli(["deploy", folder]);
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /Step 2\/4 : COPY greeting/);
    assert.match(await said("built"), /arg=built env=purple/);
    const same = hob.cli(["deploy", "--json", folder]);
    assert.equal(JSON.parse(same.out).functions[0].is_new, false, "the same files are the same image");
    fs.writeFileSync(path.join(folder, "docker/My Dockerfile"), 'FROM base:1\nCMD ["changed"]\n');
    assert.equal(hob.cli(["deploy", folder]).code, 0);
    assert.match(await said("built"), /arg=changed/);
    for (const [text, words] of [["FROM base:1\nCOPY absent /\n", /absent/], ["FROM base:1\nNONSENSE\n", /unknown instruction/i],
      ['FROM base:1\nRUN ["/srv/absent"]\n', /absent/], ["FROM nowhere.invalid/x:1\n", /nowhere\.invalid/], ["", /empty/]]) {
      fs.writeFileSync(path.join(folder, "docker/My Dockerfile"), text);
      const failed = hob.cli(["deploy", folder]);
      assert.notEqual(failed.code, 0, text);
      assert.match(failed.err, words);
    }
    assert.match(await said("built"), /arg=changed/, "what was live stays");
    const absent = await hob.api("POST", "/v1/apps/built/deploy", tar(project({ "hob.json": { app: "built", functions: { f: { engine: "docker", dockerfile: "None" } } } })));
    assert.equal(absent.json.reason, "missing_entry");
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test("the steps of a Dockerfile have no network", { skip }, async () => {
  const look = programs.compile(dir, "look", '#include <dirent.h>\n#include <stdio.h>\nint main(void) { DIR *d = opendir("/sys/class/net"); struct dirent *e; while (d && (e = readdir(d))) if (e->d_name[0] != \'.\') printf("interface %s.\\n", e->d_name); return 0; }\n');
  const folder = project({ "hob.json": { app: "alone", functions: { f: { engine: "docker", dockerfile: "Dockerfile" } } },
    Dockerfile: 'FROM base:1\nCOPY look /look\nRUN ["/look"]\n', look: fs.readFileSync(look) });
  fs.chmodSync(path.join(folder, "look"), 0o755);
  try {
    const done = hob.cli(["deploy", folder]);
    assert.equal(done.code, 0, done.err);
    assert.deepEqual([...done.err.matchAll(/interface (\w+)\./g)].map((m) => m[1]), ["lo"]);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test("the health check of an image is run beside its program: one that fails again and again costs the instance, and the log says so", { skip, timeout: 120000 }, async () => {
  const main = programs.compile(dir, "sick", `
#define HOB_IMPLEMENTATION
#include "hob.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
static int h(hob_call *c, void *a) { (void)a; hob_str path = hob_path(c); if (path.n >= 5 && memcmp(path.p, "/sick", 5) == 0) close(open("/tmp/sick", O_CREAT | O_WRONLY, 0600)); return hob_write(c, access("/tmp/sick", F_OK) ? "well\\n" : "sick\\n", 5); }
int main(void) { return hob_run(h, 0, 0); }`);
  const check = programs.compile(dir, "check", "#include <unistd.h>\nint main(int argc, char **argv) { (void)argc; return access(argv[1], F_OK) == 0; }\n");
  await programs.image(docker, "well:1", main, ['ENTRYPOINT ["/srv/program"]']);
  const folder = project({ "hob.json": { app: "health", functions: { f: { engine: "docker", dockerfile: "Dockerfile" } } },
    Dockerfile: 'FROM well:1\nCOPY check /check\nHEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD ["/check", "/tmp/sick"]\n' });
  fs.copyFileSync(check, path.join(folder, "check"));
  fs.chmodSync(path.join(folder, "check"), 0o755);
  try {
    const done = hob.cli(["deploy", folder]);
    assert.equal(done.code, 0, done.err);
    assert.match(await said("health"), /^well/);
    assert.equal((await hob.call("/fn/health/f/sick")).text, "sick\n");
    await until(async () => (await hob.logs("health", "f")).some((l) => /health check of its image failed/.test(l.text)), "the log to say it", 30000);
    await until(async () => (await hob.call("/fn/health/f")).text === "well\n", "a fresh instance", 20000);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
