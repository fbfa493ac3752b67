// Images that Hob built or pulled and that no version needs any more go; what others made, named or use stays.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";
import * as programs from "./programs.mjs";
import { noRegistry, Registry } from "./registry.mjs";

const skip = unavailable ?? false, skipRegistry = unavailable ?? noRegistry ?? false;
for (const why of new Set([skip, skipRegistry])) if (why) console.log(`# NOT TESTED: ${why}`);
let docker, hob, dir, registry, base;
const env = () => ({ HOB_DOCKER_HOST: `unix://${docker.socket}`, HOB_DOCKER_GC_SECONDS: "0" });
const isUp = (daemon) => until(async () => (await daemon.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine");
before(async () => {
  if (unavailable) return;
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-gc-"));
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: env() });
  base = await programs.image(docker, "base:1", programs.compile(dir, "channel", programs.CHANNEL), ['ENTRYPOINT ["/srv/program"]']);
  await isUp(hob);
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
const collect = async (dry = false, daemon = hob) => {
  const answer = await daemon.api("POST", `/v1/engines/docker/gc${dry ? "?dry_run=1" : ""}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};
const has = async (id) => (await docker.api("GET", `/images/${id}/json`)).status === 200;
const ids = (answer) => answer.images.map((i) => i.image).sort();
const build = async (app, text) => (await hob.deploy(app, { f: { engine: "docker", dockerfile: "Dockerfile" } }, { Dockerfile: `FROM base:1\nCMD ["${text}"]\n` })).functions[0].image_id;
const gone = async (app) => assert.ok((await hob.api("DELETE", `/v1/apps/${app}`)).status < 300);

test("what was built stays as long as a version could be called or rolled back to, and goes with the function", { skip }, async () => {
  const first = await build("built", "one"), second = await build("built", "two");
  assert.notEqual(first, second);
  assert.deepEqual((await collect()).images, [], "an old version can be rolled back to");
  await gone("built");
  const dry = await collect(true);
  assert.deepEqual([ids(dry), dry.dry_run, dry.removed], [[first, second].sort(), true, 2]);
  assert.ok(dry.images.every((i) => i.kind === "built" && i.state === "unneeded"));
  assert.ok(await has(first) && await has(second), "a dry run changes nothing");
  const shown = hob.cli(["engine", "gc"]);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, new RegExp(`^${first.slice(0, 19)} +built .*removed$`, "m"));
  assert.ok(!(await has(first)) && !(await has(second)));
  assert.ok(await has(base), "what it was built from is not Hob's");
  assert.match(hob.cli(["engine", "gc", "--dry-run"]).err, /0 images would be removed/);
});

test("one in a container of anybody, and one that somebody named, too, are not removed", { skip }, async () => {
  const used = await build("used", "used"), named = await build("named", "named");
  const made = await docker.api("POST", "/containers/create?name=stranger", { Image: used, Cmd: ["x"] });
  assert.equal(made.status, 201, made.text);
  await docker.api("POST", `/images/${named}/tag?repo=mine&tag=1`);
  await gone("used");
  await gone("named");
  const answer = await collect();
  assert.deepEqual(answer.images.map((i) => [i.image, i.state]), [[named, "released"]]);
  assert.ok(await has(used) && await has(named));
  const names = (await docker.api("GET", `/images/${named}/json`)).json.RepoTags;
  assert.deepEqual(names, ["mine:1"], "Hob's own name is gone");
  assert.deepEqual((await collect()).images, []);
  await docker.api("DELETE", "/containers/stranger");
  assert.deepEqual(ids(await collect()), [used]);
});

test("what was built from an image of Hob's is not Hob's", { skip }, async () => {
  const ours = await build("parent", "parent");
  const made = await docker.api("POST", "/containers/create?name=child", { Image: ours, Cmd: ["x"] });
  assert.equal(made.status, 201, made.text);
  const child = (await docker.api("POST", "/commit?container=child", {})).json.Id;
  await docker.api("DELETE", "/containers/child");
  await gone("parent");
  await collect();
  assert.ok(await has(child), "with no name at all");
});

test("an image of a runtime stays while a function needs it, and another home's while that one does", { skip }, async () => {
  const built = () => hob.cli(["runtime", "build", "c"]).out.match(/^(sha256:[0-9a-f]{64})/m)[1];
  const id = built();
  const marks = async () => (await docker.api("GET", `/images/${id}/json`)).json.RepoTags.filter((t) => /^hob-[0-9a-f]{12}:runtime-c-/.test(t)).length;
  await until(async () => (await marks()) === 1, "its name");
  assert.deepEqual((await collect(true)).images, [], "it was asked for by this process");
  const other = await Daemon.start({ env: env() });
  try {
    await isUp(other);
    assert.equal(other.cli(["runtime", "build", "c"]).out.split(" ")[0], id, "the very same");
    await until(async () => (await marks()) === 2, "its second name");
  } finally {
    await other.close();
  }
  await hob.stop();
  await hob.launch(); // it was asked for by nobody that lives
  await isUp(hob);
  const answer = await collect();
  assert.deepEqual(answer.images.map((i) => [i.image, i.kind, i.name, i.state]), [[id, "runtime", "c", "released"]]);
  assert.ok(await has(id));
});

test("what a pull brought goes, by all names that pulls gave it; what was there before stays", { skip: skipRegistry }, async () => {
  const config = { image: await registry.push(docker, base, "shop/theirs", "1"), registry_secret: "REGISTRY", engine: "docker" };
  const pushed = await programs.image(docker, "push:1", path.join(dir, "channel"), ['ENTRYPOINT ["/srv/program"]', 'CMD ["pulled"]']);
  const name = await registry.push(docker, pushed, "shop/ours", "1");
  for (const tag of [name, "push:1", config.image]) await docker.api("DELETE", `/images/${tag}`);
  assert.ok(!(await has(pushed)) && await has(base));
  await hob.api("PUT", "/v1/apps/pulls/secrets/REGISTRY", { value: `${registry.user}:${registry.password}` });
  const deploy = (image) => hob.deploy("pulls", { f: { ...config, image } }, { README: "x" });
  assert.equal((await deploy(name)).functions[0].image_id, pushed);
  assert.equal((await deploy(config.image)).functions[0].image_id, base, "pulled, but it was there");
  assert.deepEqual((await collect()).images, [], "version 1 is kept");
  await gone("pulls");
  assert.deepEqual((await collect()).images.map((i) => [i.image, i.kind, i.name, i.state]), [[pushed, "pulled", name, "removed"]]);
  assert.ok(!(await has(pushed)) && await has(base));
});

// Docker behind a socket that can keep one answer back: to the next request with `asked` in it.
const between = async () => {
  const b = { socket: path.join(docker.dir, "between.sock"), asked: null, isHeld: false, release: () => {} };
  b.server = net.createServer((near) => {
    const far = net.connect(docker.socket);
    near.on("data", (bytes) => {
      if (b.asked && bytes.includes(b.asked)) {
        far.unpipe(near);
        Object.assign(b, { asked: null, isHeld: true, release: () => far.pipe(near) });
      }
      far.write(bytes);
    });
    far.pipe(near);
    for (const [one, other] of [[near, far], [far, near]]) one.on("error", () => other.destroy()).on("close", () => other.destroy());
  });
  await new Promise((done) => b.server.listen(b.socket, done));
  fs.chownSync(b.socket, docker.uid, 0);
  return b;
};

test("an image that a deploy was told of while a collection looked around stays", { skip }, async () => {
  const held = await between();
  const other = await Daemon.start({ env: { ...env(), HOB_DOCKER_HOST: `unix://${held.socket}` } });
  try {
    await isUp(other);
    const made = await other.deploy("first", { f: { engine: "docker", dockerfile: "Dockerfile" } }, { Dockerfile: 'FROM base:1\nCMD ["told"]\n' });
    const id = made.functions[0].image_id;
    assert.ok((await other.api("DELETE", "/v1/apps/first")).status < 300);
    held.asked = "/images/json HTTP";
    const collecting = collect(false, other);
    await until(() => held.isHeld, "the collection to ask");
    assert.equal((await other.deploy("second", { f: { engine: "docker", image: id } }, { README: "x" })).functions[0].image_id, id);
    held.release();
    assert.deepEqual((await collecting).images, []);
    assert.ok(await has(id));
    assert.ok((await other.api("DELETE", "/v1/apps/second")).status < 300);
    assert.deepEqual(ids(await collect(false, other)), [id], "when nobody needs it, it goes");
  } finally {
    held.release();
    await other.close();
    held.server.close();
  }
});

test("the server does it by itself on a slow clock", { skip }, async () => {
  const id = await build("slow", "slow");
  await gone("slow");
  assert.ok(await has(id));
  await hob.stop();
  hob.options.env.HOB_DOCKER_GC_SECONDS = "1";
  await hob.launch();
  await until(async () => !(await has(id)), "it to go", 60000);
  await until(() => /docker\.gc .*images=1/.test(hob.stderr), "the line about it", 20000);
});
