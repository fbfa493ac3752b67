// Deploys: immutable, atomic under load, and what belongs to them: versions, aliases, variables, secrets.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, Load, project, request, sleep, tar, until } from "./harness.mjs";

let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob?.close());

const says = (text) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };\n`;

test("the same code and configuration keep their version, a change makes a new one", async () => {
  const one = await hob.deployOne("same", "f", "index.mjs", says("one"));
  assert.equal(one.functions[0].version, 1);
  assert.equal(one.functions[0].is_new, true);
  const again = await hob.deployOne("same", "f", "index.mjs", says("one"));
  assert.equal(again.functions[0].version, 1);
  assert.equal(again.functions[0].is_new, false);
  assert.equal(again.digest, one.digest);
  const two = await hob.deployOne("same", "f", "index.mjs", says("two"));
  assert.equal(two.functions[0].version, 2);
  assert.notEqual(two.digest, one.digest);
  const other = await hob.deployOne("same", "f", "index.mjs", says("two"), { memory_mb: 96 });
  assert.equal(other.functions[0].version, 3);
  assert.equal((await hob.call("/fn/same/f")).text, "two");
});

test("a version is read-only for its function", async () => {
  await hob.deployOne("ro", "f", "index.mjs", `
    import fs from "node:fs";
    export default { fetch() {
      const tries = {};
      for (const [name, act] of Object.entries({
        overwrite: () => fs.writeFileSync("/app/index.mjs", "x"), create: () => fs.writeFileSync("/app/new", "x"),
        remove: () => fs.unlinkSync("/app/index.mjs"), mode: () => fs.chmodSync("/app/index.mjs", 0o777) }))
        try { act(); tries[name] = "done"; } catch (e) { tries[name] = e.code; }
      return Response.json(tries);
    } };`);
  const { json } = await hob.call("/fn/ro/f");
  for (const [what, how] of Object.entries(json)) assert.match(how, /^(EROFS|EACCES|EPERM)$/, what);
});

test("a dry run judges and changes nothing", async () => {
  const made = await hob.deploy("dry", { f: { entry: "a.mjs" } }, { "a.mjs": says("x") }, "?dry_run=1");
  assert.equal(made.functions[0].is_new, true);
  assert.equal((await hob.call("/fn/dry/f")).status, 404);
});

test("an overlay of env changes the configuration", async () => {
  const dir = project({
    "hob.json": { app: "over", functions: { f: { entry: "a.mjs", vars: { WHO: "live" } } },
      env: { staging: { functions: { f: { vars: { WHO: "staging" } } } } } },
    "a.mjs": "export default { fetch: () => new Response(process.env.WHO) };",
  });
  assert.equal((await hob.api("POST", "/v1/apps/over/deploy?env=staging", tar(dir))).status, 201);
  assert.equal((await hob.call("/fn/over/f")).text, "staging");
  assert.equal((await hob.api("POST", "/v1/apps/over/deploy", tar(dir))).status, 201);
  assert.equal((await hob.call("/fn/over/f")).text, "live");
  const wrong = await hob.api("POST", "/v1/apps/over/deploy?env=stagin", tar(dir));
  assert.equal(wrong.status, 404);
  assert.match(wrong.json.detail, /staging/);
  fs.rmSync(dir, { recursive: true });
});

test("tar, tar.gz and zip are told by content", async () => {
  const dir = project({ "hob.json": { app: "pack", functions: { f: { entry: "a.mjs" } } }, "a.mjs": says("packed") });
  const gz = tar(dir);
  const plain = execFileSync("gzip", ["-dc"], { input: gz });
  const zip = execFileSync("python3", ["-c",
    "import zipfile,sys,os,io\nb=io.BytesIO()\nz=zipfile.ZipFile(b,'w',zipfile.ZIP_DEFLATED)\n" +
    "[z.write(os.path.join(sys.argv[1],n),n) for n in os.listdir(sys.argv[1])]\nz.close()\nsys.stdout.buffer.write(b.getvalue())", dir]);
  for (const archive of [gz, plain, zip]) {
    const answer = await hob.api("POST", "/v1/apps/pack/deploy", archive, { "content-type": "text/plain" });
    assert.equal(answer.status, 201, answer.text);
    assert.equal(answer.json.functions[0].version, 1); // the same files: the same digest
  }
  fs.rmSync(dir, { recursive: true });
});

test("no request fails through many deploys and rollbacks under load (V1)", { timeout: 120000 }, async () => {
  await hob.deployOne("busy", "f", "index.mjs", says("v1"), { concurrency: 10 });
  assert.equal((await hob.call("/fn/busy/f")).text, "v1");
  const load = new Load(`${hob.url}/fn/busy/f`, { clients: 8, check: (a) => a.status === 200 && /^v\d+$/.test(a.text) });
  for (let round = 2; round <= 13; round++) {
    await hob.deployOne("busy", "f", "index.mjs", says(`v${round}`), { concurrency: 10 });
    await until(async () => (await hob.call("/fn/busy/f")).text === `v${round}`, `v${round} to be live`, 5000);
    if (round % 2) {
      const back = await hob.api("POST", "/v1/apps/busy/functions/f/rollback", {});
      assert.equal(back.status, 200, back.text);
      const forth = await hob.api("POST", "/v1/apps/busy/functions/f/rollback", { version: round });
      assert.equal(forth.status, 200, forth.text);
    }
  }
  const counts = await load.stop();
  assert.deepEqual(load.failures, []);
  assert.equal(counts.bad, 0);
  assert.ok(counts.ok > 200, `only ${counts.ok} requests`);
});

test("a deploy is seen by the next request: read your writes", async () => {
  for (let i = 0; i < 5; i++) {
    await hob.deployOne("next", "f", "index.mjs", says(`n${i}`));
    assert.equal((await hob.call("/fn/next/f")).text, `n${i}`);
  }
});

test("a failed deploy leaves what was live", async () => {
  await hob.deployOne("stay", "f", "index.mjs", says("good"));
  await assert.rejects(hob.deployOne("stay", "f", "missing.mjs", says("x"), { entry: "nowhere.mjs" }), /nowhere\.mjs/);
  assert.equal((await hob.call("/fn/stay/f")).text, "good");
  const list = (await hob.api("GET", "/v1/apps/stay/functions/f/versions")).json.versions;
  assert.equal(list.length, 1);
});

test("two deploys of one app at a time: one wins or both follow each other, never a mix", async () => {
  const files = (n) => ({ "a.mjs": says(`a${n}`), "b.mjs": says(`b${n}`) });
  const functions = { a: { entry: "a.mjs" }, b: { entry: "b.mjs" } };
  await hob.deploy("pair", functions, files(0));
  const results = await Promise.allSettled([1, 2, 3, 4].map((n) => hob.deploy("pair", functions, files(n))));
  assert.ok(results.some((r) => r.status === "fulfilled"));
  for (const r of results.filter((x) => x.status === "rejected")) assert.equal(r.reason.problem.reason, "deploy_in_progress");
  const a = (await hob.call("/fn/pair/a")).text, b = (await hob.call("/fn/pair/b")).text;
  assert.equal(a.slice(1), b.slice(1));
});

test("aliases and version numbers name versions", async () => {
  await hob.deployOne("names", "f", "index.mjs", says("v1"));
  await hob.deployOne("names", "f", "index.mjs", says("v2"));
  const put = await hob.api("PUT", "/v1/apps/names/functions/f/aliases/prod", { version: 1 });
  assert.deepEqual(put.json, { alias: "prod", version: 1 });
  assert.equal((await hob.call("/fn/names/f")).text, "v2");
  assert.equal((await hob.call("/fn/names/f:prod")).text, "v1");
  assert.equal((await hob.call("/fn/names/f@1/deep/path?q=1")).text, "v1");
  assert.equal((await hob.call("/fn/names/f@2")).text, "v2");
  const unknown = await hob.call("/fn/names/f:pord");
  assert.equal(unknown.status, 404);
  assert.equal(unknown.json.reason, "unknown_alias");
  assert.match(unknown.json.detail, /pord/);
  assert.doesNotMatch(unknown.json.detail, /prod/, "a stranger learns no names");
  const owner = await hob.api("POST", "/v1/apps/names/functions/f/invoke?qualifier=pord");
  assert.match(owner.json.detail, /did you mean 'prod'/);
  assert.equal((await hob.call("/fn/names/f@9")).json.reason, "unknown_version");
  assert.equal((await hob.api("DELETE", "/v1/apps/names/functions/f/aliases/prod")).status, 200);
  assert.equal((await hob.call("/fn/names/f:prod")).status, 404);
});

test("rollback goes to the version before, and forth again", async () => {
  await hob.deployOne("roll", "f", "index.mjs", says("v1"));
  await hob.deployOne("roll", "f", "index.mjs", says("v2"));
  assert.deepEqual((await hob.api("POST", "/v1/apps/roll/functions/f/rollback", {})).json, { version: 1, previous: 2 });
  assert.equal((await hob.call("/fn/roll/f")).text, "v1");
  assert.deepEqual((await hob.api("POST", "/v1/apps/roll/functions/f/rollback", {})).json, { version: 2, previous: 1 });
  const versions = (await hob.api("GET", "/v1/apps/roll/functions/f/versions")).json.versions;
  assert.deepEqual(versions.map((v) => [v.version, v.is_live]), [[2, true], [1, false]]);
});

test("env changes reach the function as a new version with the same code", async () => {
  const show = "export default { fetch: () => Response.json({ A: process.env.A, B: process.env.B }) };";
  await hob.deployOne("vars", "f", "index.mjs", show, { vars: { A: "from-json" } });
  assert.deepEqual((await hob.call("/fn/vars/f")).json, { A: "from-json" });
  const patched = await hob.api("PATCH", "/v1/apps/vars/functions/f/env", { set: { B: "from-cli ü" } });
  assert.equal(patched.json.version, 2);
  assert.deepEqual((await hob.call("/fn/vars/f")).json, { A: "from-json", B: "from-cli ü" });
  await hob.deployOne("vars", "f", "index.mjs", `${show}\n// changed`, { vars: { A: "newer" } });
  assert.deepEqual((await hob.call("/fn/vars/f")).json, { A: "newer", B: "from-cli ü" }); // stays over deploys
  const reserved = await hob.api("PATCH", "/v1/apps/vars/functions/f/env", { set: { HOB_TOKEN: "x" } });
  assert.equal(reserved.status, 400);
});

test("secrets reach the function and nothing else", async () => {
  const value = `tops3cret-${Math.random().toString(36).slice(2)}`;
  assert.equal((await hob.api("PUT", "/v1/apps/safe/secrets/PAY_KEY", { value })).status, 200);
  await hob.deployOne("safe", "f", "index.mjs", `
    export default { fetch(request, env) {
      console.log("ready to pay");
      return Response.json({ got: (env?.PAY_KEY ?? process.env.PAY_KEY) === ${JSON.stringify(value)},
        inEnv: Object.values(process.env).includes(${JSON.stringify(value)}) });
    } };`, { secrets: ["PAY_KEY"], secrets_in_env: true });
  assert.equal((await hob.call("/fn/safe/f")).json.got, true);
  await hob.deployOne("spy", "f", "index.mjs", "export default { fetch: () => Response.json(process.env) };");
  const seen = [(await hob.call("/fn/spy/f")).text];
  for (const where of ["/v1/apps/safe/secrets", "/v1/apps/safe/functions/f", "/v1/apps/safe/functions/f/env",
    "/v1/functions", "/v1/instances", "/v1/apps/safe/functions/f/versions", "/v1/doctor", "/metrics"])
    seen.push((await hob.api("GET", where)).text);
  seen.push(JSON.stringify(await hob.logs("safe", "f")), hob.stderr);
  seen.push((await hob.api("POST", "/v1/backup")).bytes.toString("latin1"));
  for (const name of ["hob.db", "hob.db-wal"]) seen.push(fs.readFileSync(path.join(hob.home, name)).toString("latin1"));
  for (const text of seen) assert.ok(!text.includes(value), "the secret leaked");
  const unknown = await hob.deployOne("safe2", "f", "index.mjs", says("x"), { secrets: ["NOT_SET"] }).catch((e) => e);
  if (!(unknown instanceof Error)) { // judged at deploy, or at the first start
    const answer = await hob.call("/fn/safe2/f");
    assert.ok(answer.status >= 500, `${answer.status}`);
    const logs = await until(async () => (await hob.logs("safe2", "f")).find((l) => l.text.includes("NOT_SET")), "a line that names the secret");
    assert.match(logs.text, /NOT_SET/);
  } else assert.match(unknown.message, /NOT_SET/);
});

test("a changed secret reaches new instances", async () => {
  await hob.api("PUT", "/v1/apps/turn/secrets/KEY", { value: "one" });
  await hob.deployOne("turn", "f", "index.mjs", "export default { fetch: () => new Response(process.env.KEY) };",
    { secrets: ["KEY"], secrets_in_env: true });
  assert.equal((await hob.call("/fn/turn/f")).text, "one");
  await hob.api("PUT", "/v1/apps/turn/secrets/KEY", { value: "two" });
  await until(async () => (await hob.call("/fn/turn/f")).text === "two", "the new value", 5000);
});

test("removing a function frees its name, its logs and its instances", async () => {
  await hob.deployOne("gone", "f", "index.mjs", "console.log('loaded'); " + says("x"));
  assert.equal((await hob.call("/fn/gone/f")).status, 200);
  await sleep(100);
  assert.equal((await hob.api("DELETE", "/v1/apps/gone/functions/f")).status, 200);
  const answer = await hob.call("/fn/gone/f");
  assert.equal(answer.status, 404);
  await until(async () => (await hob.api("GET", "/v1/instances?app=gone")).json.instances.length === 0, "no instance of it", 10000);
  await until(() => !fs.existsSync(path.join(hob.home, "logs/gone/f.log")), "its log to be gone", 5000);
  assert.equal((await hob.api("DELETE", "/v1/apps/gone")).status, 200);
  assert.ok(!(await hob.api("GET", "/v1/apps")).json.apps.some((a) => a.name === "gone"));
});

test("routes by host, path and method reach their function", async () => {
  await hob.deploy("web", {
    orders: { entry: "o.mjs", routes: [{ path: "/orders/:id", methods: ["GET"] }] },
    files: { entry: "o.mjs", routes: [{ path: "/files/:rest*" }] },
    hosted: { entry: "o.mjs", routes: [{ path: "/orders/:id", host: "shop.example" }] },
  }, { "o.mjs": "export default { fetch: (r) => new Response(process.env.HOB_FUNCTION + ' ' + new URL(r.url).pathname) };" });
  assert.match((await hob.call("/orders/7")).text, /orders\/7$/);
  assert.equal((await hob.call("/orders/7", { method: "POST" })).status, 405);
  assert.match((await hob.call("/files/a/b/c")).text, /files\/a\/b\/c$/);
  assert.equal((await hob.call("/orders/7", { headers: { host: "shop.example" } })).status, 200);
  assert.equal((await hob.call("/nothing/here")).json.reason, "no_route");
  const clash = await hob.deploy("web2", { x: { entry: "o.mjs", routes: [{ path: "/orders/:key", methods: ["GET"] }] } },
    { "o.mjs": says("x") }).catch((e) => e);
  assert.equal(clash.problem?.reason, "route_taken");
});

test("deploys, secrets and aliases survive a restart", async () => {
  await hob.deployOne("keep", "f", "index.mjs", says("kept"));
  await hob.api("PUT", "/v1/apps/keep/functions/f/aliases/prod", { version: 1 });
  await hob.stop();
  await hob.launch();
  assert.equal((await hob.call("/fn/keep/f:prod")).text, "kept");
  assert.equal((await hob.call("/fn/turn/f")).text, "two");
  assert.equal((await request(`${hob.url}/orders/1`)).status, 200);
});
