// hob isolate learn: what a function was seen to do becomes a profile, the profile is deployed, and only that is allowed.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, project, until } from "./harness.mjs";

let hob;
before(async () => (hob = await Daemon.start()));
after(() => hob.close());

const sources = {
  node: ["index.mjs", `import fs from "node:fs";
    export default { fetch(request) {
      const what = new URL(request.url).pathname;
      try {
        if (what === "/write") { fs.writeFileSync("/tmp/a", "1"); fs.renameSync("/tmp/a", "/tmp/b"); }
        if (what === "/link") fs.symlinkSync("/tmp/b", "/tmp/c" + Math.random());
      } catch (error) { return new Response(error.code); }
      return new Response("did " + what);
    } };`],
  python: ["main.py", `import os, random
def link():
    while True: # a timer's signal may come before the launcher has taken the call up; behind that none breaks it off
        try:
            return os.symlink("/tmp/b", "/tmp/c%s" % random.random())
        except InterruptedError:
            pass
def handler(event, context):
    what = event["rawPath"]
    try:
        if what == "/write":
            open("/tmp/a", "w").write("1")
            os.rename("/tmp/a", "/tmp/b")
        if what == "/link":
            link()
    except OSError as e:
        return {"statusCode": 200, "body": "ENOSYS" if e.errno == 38 else str(e)}
    return {"statusCode": 200, "body": "did " + what}
`],
  php: ["index.php", `<?php
return function ($event, $context) {
    $what = $event["rawPath"];
    if ($what === "/write") { file_put_contents("/tmp/a", "1"); rename("/tmp/a", "/tmp/b"); }
    if ($what === "/link" && !@symlink("/tmp/b", "/tmp/c" . mt_rand())) return ["statusCode" => 200, "body" => "ENOSYS"];
    return ["statusCode" => 200, "body" => "did $what"];
};
`],
};
const ask = async (app, what) => (await hob.call(`/fn/${app}/f/${what}`)).text;
const platform = async (app) => (await hob.logs(app, "f")).filter((l) => l.stream === "platform").map((l) => l.text).join("\n");
const learn = (app, ...paths) => {
  const done = hob.cli(["isolate", "learn", `${app}/f`, "--run", paths.map((p) => `curl -sS ${hob.url}/fn/${app}/f/${p}`).join(" && ")]);
  assert.equal(done.code, 0, done.err);
  return JSON.parse(`{${done.out}}`).syscalls;
};

for (const [runtime, [entry, text]] of Object.entries(sources))
  test(`${runtime}: what was seen is allowed, what was not is denied and named`, { timeout: 120000 }, async () => {
    await hob.deployOne(runtime, "f", entry, text, { runtime });
    const syscalls = learn(runtime, "", "write");
    assert.ok(syscalls.length > 3 && syscalls.length < 80, syscalls.join(" "));
    assert.ok(syscalls.some((name) => name.startsWith("rename")) && !syscalls.some((name) => name.startsWith("symlink")), syscalls.join(" "));
    assert.deepEqual(syscalls, [...syscalls].sort());
    await hob.deployOne(runtime, "f", entry, text, { runtime, syscalls });
    for (let round = 0; round < 3; round++) { // cold, and then perhaps out of the pool
      assert.equal(await ask(runtime, ""), "did /");
      assert.equal(await ask(runtime, "write"), "did /write");
      assert.equal(await ask(runtime, "link"), "ENOSYS");
      const shown = hob.cli(["describe", "--isolation", `${runtime}/f`]).out;
      assert.match(shown, /^seccomp +filter [0-9a-f]{16}, \d+ instructions, profile of \d+ calls, denied calls are told$/m);
      await hob.api("PATCH", `/v1/apps/${runtime}/functions/f/env`, { set: { ROUND: String(round) } }); // a new version, its own instance
      let running;
      await until(async () => (running = (await hob.api("GET", `/v1/instances?app=${runtime}&function=f`)).json.instances).every((i) => i.version > round + 2),
        () => `the old instances to go: ${JSON.stringify(running)}`);
    }
    await until(async () => /denied system call: symlink(at)? \(not in its profile: "syscalls" of hob\.json\)/.test(await platform(runtime)), "the denied call in the log");
    assert.match((await hob.api("GET", "/metrics")).text, /hob_denied_calls_total\{call="symlink(at)?"\} [1-9]/);
  });

test("learning replaces the instances, shows in describe, and ends by itself", { timeout: 120000 }, async () => {
  const where = "/v1/apps/ends/functions/f/isolation/learn";
  await hob.deployOne("ends", "f", ...sources.node);
  assert.equal(await ask("ends", ""), "did /");
  assert.equal((await hob.api("GET", where)).json.reason, "nothing_learnt");
  for (const seconds of [0, 3601, "x"]) assert.equal((await hob.api("POST", where, { seconds })).status, 400);
  assert.equal((await hob.api("POST", where, { seconds: 2 })).status, 200);
  assert.equal(await ask("ends", ""), "did /");
  const during = (await hob.api("GET", where)).json;
  assert.equal(during.instances, 1);
  assert.ok(during.syscalls.includes("openat"));
  assert.match(hob.cli(["describe", "--isolation", "ends/f"]).out, /learning: all calls are told/);
  await until(async () => (await hob.api("GET", where)).json.left_ms === 0, "its end");
  await until(async () => !/learning/.test(hob.cli(["describe", "--isolation", "ends/f"]).out), "the learning instance to go");
  assert.equal(await ask("ends", ""), "did /");
  assert.doesNotMatch(hob.cli(["describe", "--isolation", "ends/f"]).out, /learning/);
  assert.ok((await hob.api("DELETE", where)).json.syscalls.includes("openat"), "what was learnt stays to be read");
});

test("hob isolate learn --write puts the profile into hob.json and leaves the rest of it as it is", { timeout: 120000 }, async () => {
  const text = `// a shop
{
  "app": "written", /* the app */
  "functions": {
    "f": {
      // the entry
      "entry": "index.mjs"
    }
  }
}
`;
  const dir = project({ "hob.json": text, "index.mjs": sources.node[1] });
  try {
    assert.equal(hob.cli(["deploy"], { cwd: dir }).code, 0);
    const call = (what) => ["isolate", "learn", "f", "--write", "--run", `curl -sS ${hob.url}/fn/written/f/${what}`];
    const first = hob.cli(call("write"), { cwd: dir });
    assert.equal(first.code, 0, first.err);
    const after = fs.readFileSync(path.join(dir, "hob.json"), "utf8");
    assert.equal(after.replace(/\n {6}"syscalls": \[[^\]]*\],/, ""), text);
    assert.match(after, /"rename"/);
    assert.doesNotMatch(after, /"symlink"/);
    assert.equal(hob.cli(call("link"), { cwd: dir }).code, 0);
    const both = fs.readFileSync(path.join(dir, "hob.json"), "utf8");
    assert.match(both, /"rename"/);
    assert.match(both, /"symlink"/);
    assert.equal(both.match(/"syscalls"/g).length, 1);
    assert.equal(hob.cli(["deploy"], { cwd: dir }).code, 0);
    assert.equal(await ask("written", "link"), "did /link");
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test("a profile cannot name what no sandbox allows, and nobody learns from nothing", { timeout: 120000 }, async () => {
  await assert.rejects(hob.deployOne("bad", "f", ...sources.node, { syscalls: ["mount"] }), /'mount' is no system call that a sandbox allows/);
  await assert.rejects(hob.deployOne("bad", "f", ...sources.node, { syscalls: ["opennat"] }), /did you mean 'openat'\?/);
  await hob.deployOne("idle", "f", ...sources.node);
  const nothing = hob.cli(["isolate", "learn", "idle/f", "--seconds", "1"]);
  assert.equal(nothing.code, 2, nothing.err);
  assert.match(nothing.err, /nothing was learnt: no instance of idle\/f ran/);
  assert.match(hob.cli(["isolate", "learn", "idle/f@1"]).err, /live version/);
});
