// A stranger's first minutes, by the command line alone, in every language: init, deploy, invoke, logs, a change, rollback,
// rm.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { BIN, Daemon, request, sleep, until } from "./harness.mjs";

let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob?.close());

const ok = (done) => {
  assert.equal(done.code, 0, `exit ${done.code}\n${done.out}\n${done.err}`);
  return done;
};
const json = (args, options) => JSON.parse(ok(hob.cli([...args, "--json"], options)).out);

// the file of each template, and a change to what it says
const languages = { node: "index.mjs", python: "main.py", c: "main.c", php: "index.php" };

for (const [language, file] of Object.entries(languages))
  test(`${language}: init, deploy, invoke, logs, change, rollback, rm`, { timeout: 120000 }, async () => {
    const dir = path.join(hob.dir, `first-${language}`);
    ok(hob.cli(["init", dir, "--template", language]));
    assert.ok(fs.existsSync(path.join(dir, "hob.json")) && fs.existsSync(path.join(dir, file)));
    assert.equal(hob.cli(["init", dir, "--template", language]).code, 5); // never overwrites

    const deployed = ok(hob.cli(["deploy"], { cwd: dir }));
    const url = deployed.out.match(/http:\/\/\S+\/fn\/\S+/)?.[0];
    assert.ok(url, `no URL in: ${deployed.out}${deployed.err}`);
    const first = await request(`${url}?name=Ada`);
    assert.equal(first.status, 200, first.text);
    assert.match(first.text, language === "c" ? /Hello/ : /Ada/);

    const app = `first-${language}`;
    const invoked = ok(hob.cli(["invoke", `${app}/hello`, "-d", '{"name":"Bob"}']));
    assert.match(invoked.out, /\w/);
    assert.match(invoked.err, /run/); // the time split
    ok(hob.cli(["invoke", "hello", "--http", "/?name=Cleo"], { cwd: dir }));

    const logs = await until(() => {
      const out = ok(hob.cli(["logs", `${app}/hello`])).out;
      return /REPORT/.test(out) ? out : undefined;
    }, "the log of the request");
    assert.match(logs, /status=200/);

    const source = fs.readFileSync(path.join(dir, file), "utf8");
    assert.match(source, /Hello/);
    fs.writeFileSync(path.join(dir, file), source.replaceAll("Hello", "Servus"));
    const again = json(["deploy"], { cwd: dir });
    assert.equal(again.functions[0].version, 2);
    assert.match((await request(`${url}?name=Ada`)).text, /Servus/);
    assert.deepEqual(json(["versions", `${app}/hello`]).versions.map((v) => v.version), [2, 1]);

    ok(hob.cli(["rollback", `${app}/hello`]));
    assert.match((await request(`${url}?name=Ada`)).text, /Hello/);
    ok(hob.cli(["alias", "set", `${app}/hello`, "next", "2"]));
    assert.match((await request(`${url}:next?name=Ada`)).text, /Servus/);

    const listed = ok(hob.cli(["ls"])).out;
    assert.match(listed, new RegExp(app));
    const described = json(["describe", `${app}/hello`]);
    assert.equal(described.runtime, language);
    ok(hob.cli(["rm", `${app}/hello`, "--yes"]));
    assert.equal((await request(url)).status, 404);
  });

test("the same project deployed twice keeps its version", () => {
  const dir = path.join(hob.dir, "twice");
  ok(hob.cli(["init", dir]));
  assert.equal(json(["deploy"], { cwd: dir }).functions[0].is_new, true);
  assert.equal(json(["deploy"], { cwd: dir }).functions[0].is_new, false);
  const dry = json(["deploy", "--dry-run"], { cwd: dir });
  assert.equal(dry.functions[0].version, 1);
});

test("variables and secrets are set and seen by the function; values of secrets are not shown", async () => {
  const dir = path.join(hob.dir, "settings");
  ok(hob.cli(["init", dir]));
  fs.writeFileSync(path.join(dir, "index.mjs"),
    "export default { fetch: async (r, env) => Response.json({ color: process.env.COLOR, key: (await env.secrets.get('KEY')).length }) };");
  const manifest = JSON.parse(fs.readFileSync(path.join(dir, "hob.json"), "utf8"));
  manifest.functions.hello.secrets = ["KEY"];
  fs.writeFileSync(path.join(dir, "hob.json"), JSON.stringify(manifest));
  const set = ok(hob.cli(["secret", "set", "KEY", "--app", "settings"], { input: "very-secret-value" }));
  assert.ok(!(set.out + set.err).includes("very-secret"));
  ok(hob.cli(["deploy"], { cwd: dir }));
  ok(hob.cli(["env", "set", "settings/hello", "COLOR=green"]));
  assert.deepEqual((await request(`${hob.url}/fn/settings/hello`)).json, { color: "green", key: 17 });
  assert.match(ok(hob.cli(["env", "ls", "settings/hello"])).out, /COLOR.*green/);
  const secrets = ok(hob.cli(["secret", "ls", "--app", "settings"])).out;
  assert.match(secrets, /KEY/);
  assert.ok(!secrets.includes("very-secret"));
  ok(hob.cli(["env", "unset", "settings/hello", "COLOR"]));
  assert.equal((await request(`${hob.url}/fn/settings/hello`)).json.color, undefined);
});

test("logs -f prints lines as they come and ends by Ctrl-C", async () => {
  const dir = path.join(hob.dir, "talk");
  ok(hob.cli(["init", dir]));
  fs.writeFileSync(path.join(dir, "index.mjs"), "export default { fetch: (r) => { console.log('said ' + new URL(r.url).search); return new Response('x'); } };");
  ok(hob.cli(["deploy"], { cwd: dir }));
  const follow = spawn(path.join(BIN, "hob"), ["logs", "-f", "talk/hello"],
    { env: { PATH: process.env.PATH, HOME: hob.dir, HOB_URL: hob.url, HOB_TOKEN: hob.token } });
  let out = "";
  follow.stdout.on("data", (d) => (out += d));
  await sleep(300);
  await request(`${hob.url}/fn/talk/hello?live`);
  await until(() => out.includes("said ?live"), "the line");
  follow.kill("SIGINT");
  assert.equal(await new Promise((done) => follow.on("exit", (code) => done(code))), 130);
});

test("mistakes are told with what would be right, and with the documented exit codes", () => {
  const unknown = hob.cli(["invoke", "nobody/f", "-d", "{}"]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /nobody/);
  const typo = hob.cli(["deplyo"]);
  assert.equal(typo.code, 2);
  assert.match(typo.err, /deploy/);
  assert.equal(hob.cli(["ls"], { env: { HOB_TOKEN: "hob_wrong" } }).code, 4);
  assert.equal(hob.cli(["ls"], { env: { HOB_URL: "http://127.0.0.1:9" } }).code, 8);
  const dir = path.join(hob.dir, "broken");
  ok(hob.cli(["init", dir]));
  fs.writeFileSync(path.join(dir, "hob.json"), '{ "app": "broken", "functions": { "f": { "entry": "index.mjs", "memroy_mb": 1 } } }');
  const broken = hob.cli(["deploy"], { cwd: dir });
  assert.equal(broken.code, 2);
  assert.match(broken.err, /memory_mb/);
  fs.writeFileSync(path.join(dir, "hob.json"), '{ "app": "broken", "functions": { "f": { "entry": "index.mjs" } } }');
  fs.writeFileSync(path.join(dir, "index.mjs"), "export default { fetch() { throw new Error('mine'); } };");
  ok(hob.cli(["deploy"], { cwd: dir }));
  const failed = hob.cli(["invoke", "broken/f", "-d", "{}"]);
  assert.equal(failed.code, 10);
  assert.match(failed.err, /mine/);
});

test("doctor, limits, version, backup and completion answer", () => {
  assert.match(ok(hob.cli(["doctor"])).out, /ok/);
  assert.match(ok(hob.cli(["limits"])).out, /http\.head_bytes/);
  assert.match(ok(hob.cli(["version"])).out, /0\.\d/);
  const copy = path.join(hob.dir, "copy.db");
  ok(hob.cli(["backup", copy]));
  assert.equal(fs.readFileSync(copy).subarray(0, 15).toString(), "SQLite format 3");
  assert.match(ok(hob.cli(["completion", "bash"])).out, /complete/);
  assert.ok(json(["ls"]).functions.length > 0);
});
