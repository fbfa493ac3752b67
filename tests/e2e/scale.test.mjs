// Instances come by need and go by their clocks; how people see it.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import { Daemon, HELLO, isRoot, Load, ROOT, sleep, until } from "./harness.mjs";

const TIMED = { headers: { "x-hob-timing": "1" } };
const sleeper = (ms) => `export default { fetch: async () => { await new Promise((d) => setTimeout(d, ${ms})); return new Response(String(process.pid)); } };`;
const ECHO = "export default { fetch: async (request) => new Response(await request.text()) };";
let hob;

before(async () => {
  hob = await Daemon.start();
});
after(() => hob?.close());

const top = async (fn) => (await hob.api("GET", "/v1/top")).json.functions.find((f) => f.function === fn);
const live = (row) => Object.entries(row?.instances ?? {}).reduce((n, [state, k]) => n + (["stopping", "gone"].includes(state) ? 0 : k), 0);

test("load brings instances, silence takes them away, and both are explained", async () => {
  await hob.deployOne("scale", "busy", "busy.mjs", sleeper(50), { scale: { max: 20, keep_s: 2 } });
  const load = new Load(`${hob.url}/fn/scale/busy/`, { clients: 12 });
  await until(async () => live(await top("busy")) >= 8, "eight instances");
  // the shown rate is an average of ten seconds that rises from nothing
  await until(async () => (await top("busy")).rate > 20, "a rate above twenty a second");
  const row = await top("busy");
  assert.ok(row.run_p50_ms > 40 && row.run_p50_ms < 150, JSON.stringify(row));
  assert.ok(live(row) <= 20, JSON.stringify(row));
  assert.ok(row.cold + row.pooled >= 1);
  const why = (await hob.api("GET", "/v1/apps/scale/functions/busy/scale")).json;
  assert.match(why.because.join("\n"), /By rate \d+: .* requests a second/);
  assert.ok(why.decisions.some((d) => d.started > 0));
  const words = hob.cli(["scale", "explain", "scale/busy"]);
  assert.equal(words.code, 0, words.err);
  assert.match(words.out, /scale\/busy version 1, mode balanced\n {2}\d+ instances are up/);
  assert.match(words.out, /started \d+ +(backlog|rate)/);
  assert.match(words.out, /\n(rate: so many requests a second came|backlog: requests waited)/);
  const table = hob.cli(["top", "--once"]);
  assert.equal(table.code, 0, table.err);
  assert.match(table.out, /requests\/s +\d+ instances/);
  assert.match(table.out, /scale\/busy v1 +\d+\.\d/);
  assert.equal(JSON.parse(hob.cli(["top", "--json"]).out).functions.some((f) => f.function === "busy"), true);
  await load.stop();
  assert.equal(load.counts.bad, 0, load.failures.join("\n"));
  await until(async () => live(await top("busy")) === 0, "no instance", 12000);
  assert.match(hob.cli(["scale", "explain", "scale/busy"]).out, /0 instances are up.*\n.*By rate none is/);
});

test("an instance at work is not let go, however short the clocks", async () => {
  await hob.deployOne("scale", "long", "long.mjs", sleeper(4000), { scale: { keep_s: 1 } });
  const answers = await Promise.all([0, 1, 2].map(() => hob.call("/fn/scale/long/")));
  assert.deepEqual(answers.map((a) => a.status), [200, 200, 200]);
});

test("an answer says where its instance came from", async () => {
  await hob.deployOne("scale", "hello", "hello.mjs", HELLO);
  const first = await hob.call("/fn/scale/hello/", TIMED);
  assert.match(first.headers["x-hob-start"], /^(cold|pooled)$/);
  const second = await hob.call("/fn/scale/hello/", TIMED);
  assert.match(second.headers["x-hob-start"], /^(warm|thawed)$/);
  assert.equal((await hob.call("/fn/scale/hello/")).headers["x-hob-start"], undefined);
});

test("single_use and recycle give fresh instances", async () => {
  const ids = `const id = Math.random(); export default { fetch: () => new Response(String(id)) };`;
  await hob.deployOne("scale", "once", "once.mjs", ids, { single_use: true });
  const seen = new Set();
  for (let i = 0; i < 5; i++) seen.add((await hob.call("/fn/scale/once/")).text);
  assert.equal(seen.size, 5);
  await hob.deployOne("scale", "thrice", "thrice.mjs", ids, { recycle: { invocations: 3 } });
  const texts = [];
  for (let i = 0; i < 9; i++) texts.push((await hob.call("/fn/scale/thrice/")).text);
  assert.equal(new Set(texts).size, 3, texts.join(" "));
});

test("a window that is open keeps its instances without requests", async () => {
  await hob.deployOne("scale", "window", "window.mjs", HELLO, { scale: { windows: [{ cron: "* * * * *", for: "1h", min: 2 }] } });
  await until(async () => live(await top("window")) === 2, "two instances");
  assert.match(hob.cli(["scale", "explain", "scale/window"]).out, /At least 2: scale.min or a window/);
});

test("who would wait in vain is told at once", async () => {
  await hob.deployOne("scale", "slow", "slow.mjs", sleeper(1000), { scale: { max: 1 }, queue_timeout_ms: 2500 });
  assert.equal((await hob.call("/fn/scale/slow/")).status, 200);
  const began = Date.now();
  const answers = await Promise.all(Array.from({ length: 12 }, () => hob.call("/fn/scale/slow/").then((a) => ({ ...a, ms: Date.now() - began }))));
  const refused = answers.filter((a) => a.status === 503);
  assert.ok(refused.length >= 8, answers.map((a) => a.status).join(" "));
  for (const a of refused) {
    assert.equal(JSON.parse(a.bytes).reason, "overloaded");
    assert.ok(Number(a.headers["retry-after"]) >= 1);
    assert.ok(a.ms < 2500, `${a.ms} ms: not at once, but after queue_timeout_ms`);
  }
  assert.equal(answers.filter((a) => a.status === 200).length, 12 - refused.length);
});

test("starts that fail open the breaker and close it when they work again", async () => {
  await hob.deployOne("scale", "broken", "broken.mjs", "throw new Error('no luck');");
  for (let i = 0; i < 4; i++) {
    const a = await hob.call("/fn/scale/broken/");
    assert.ok(a.status >= 500, a.text);
    await sleep(150 * 2 ** i);
  }
  assert.match(hob.cli(["scale", "explain", "scale/broken"]).out, /Starts fail \(\d+ in a row\).*no luck/s);
  await hob.deployOne("scale", "broken", "broken.mjs", HELLO);
  assert.equal((await hob.call("/fn/scale/broken/")).status, 200);
});

/* The same version: it cannot be loaded until its secret changes. */
test("an open breaker lets one probe through at a time, and closes by the one that succeeds", async () => {
  const moody = 'if (process.env.MOOD !== "good") throw new Error("not yet"); export default { fetch: () => new Response("at last") };';
  const mood = (value) => hob.api("PUT", "/v1/apps/scale/secrets/MOOD", { value });
  const because = async () => (await hob.api("GET", "/v1/apps/scale/functions/moody/scale")).json.because.join("\n");
  await mood("bad");
  await hob.deployOne("scale", "moody", "moody.mjs", moody, { secrets: ["MOOD"], secrets_in_env: true });
  let retry = 0, most = 0;
  const ask = async () => { // five at a time would need five instances
    const answers = Array.from({ length: 5 }, () => hob.call("/fn/scale/moody/"));
    most = Math.max(most, live(await top("moody")));
    for (const answer of await Promise.all(answers)) {
      retry = Math.max(retry, Number(answer.headers["retry-after"] ?? 0));
      if (answer.status !== 200) assert.equal(answer.json.reason, "init_failed", answer.text);
    }
    return answers[0];
  };
  await until(async () => (await ask()).status === 502 && /breaker is open/.test(await because()), "an open breaker", 30000);
  await until(async () => live(await top("moody")) === 0, "the end of those that began before", 30000);
  most = 0;
  for (let i = 0; i < 40; i++) await Promise.all([ask(), sleep(25)]);
  assert.ok(retry >= 1 && most <= 1, `Retry-After ${retry}, at most ${most} at a time`);
  await mood("good");
  assert.equal((await until(async () => { const answer = await ask(); return answer.status === 200 && answer; }, "the probe that succeeds", 60000)).text, "at last");
  assert.doesNotMatch(await because(), /breaker|Starts fail/);
});

test("a recorded trace is replayed for each mode", async () => {
  const file = path.join(hob.dir, "trace.ndjson");
  const load = new Load(`${hob.url}/fn/scale/hello/`, { clients: 4, pause: 5 });
  const live = hob.api("GET", "/v1/scale/trace?seconds=2&app=scale&function=hello");
  const answer = await live;
  await load.stop();
  assert.equal(answer.status, 200);
  const lines = answer.text.trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.length > 20, answer.text.slice(0, 300));
  for (const line of lines) assert.equal(line.fn, "scale/hello");
  fs.writeFileSync(file, answer.text);
  const done = hob.cli(["scale", "simulate", "--trace", file]);
  assert.equal(done.code, 0, done.err);
  assert.match(done.out, /MODE +INSTANCE SECONDS/);
  for (const mode of ["cost", "balanced", "latency"]) assert.match(done.out, new RegExp(`${mode} +\\d`));
  const one = JSON.parse(hob.cli(["scale", "simulate", "--trace", file, "--mode", "cost", "--cold-ms", "400", "--json"]).out);
  assert.equal(one.requests, lines.length);
  assert.equal(one.cold_ms, 400);
  assert.equal(one.modes.length, 1);
  fs.writeFileSync(file, "not a trace\n");
  const bad = hob.cli(["scale", "simulate", "--trace", file]);
  assert.equal(bad.code, 2, bad.err);
  assert.match(bad.err, /line 1 of the trace/);
  const recorded = hob.cli(["scale", "record", "--seconds", "1", file]);
  assert.equal(recorded.code, 0, recorded.err);
});

test("the metrics count starts by kind and times by phase", async () => {
  const { text } = await hob.call("/metrics");
  for (const name of ["hob_starts_total{kind=\"cold\"}", "hob_starts_total{kind=\"pooled\"}", "hob_dispatched_total{kind=\"warm\"}",
    "hob_queue_seconds_bucket{le=\"+Inf\"}", "hob_start_launch_seconds_count", "hob_start_init_seconds_count", "hob_pool_hits_total",
    "hob_shed_total", "hob_node_full"]) assert.ok(text.includes(`\n${name} `), name);
  const value = (name) => Number(text.match(new RegExp(`\n${name.replace(/[{}"+]/g, "\\$&")} (\\S+)`))[1]);
  assert.ok(value("hob_starts_total{kind=\"cold\"}") + value("hob_starts_total{kind=\"pooled\"}") > 10);
  assert.ok(value("hob_shed_total") >= 8);
});

test("docs/metrics.md lists what /metrics says, and nothing else", async () => {
  const { text } = await hob.call("/metrics");
  const said = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`);
  const written = fs.readFileSync(path.join(ROOT, "docs/metrics.md"), "utf8").match(/^\| `(hob|process)_\w+` \| (counter|gauge|histogram) \|.*$/gm);
  assert.deepEqual(written.sort(), said.sort());
  const states = [...text.matchAll(/^hob_(?:starts|dispatched)_total\{kind="(\w+)"\}/gm)].map((m) => m[1]);
  for (const state of states) assert.ok(["none", "warm", "cold", "pooled", "thawed"].includes(state), state);
});

/* Twenty-five functions of 128 MiB each on a node that may promise eight. */
test("many functions on little memory: idle ones make room, those at work are left alone, nobody is refused", async () => {
  const small = await Daemon.start({ env: { HOB_MEMORY_MB: "1024" } });
  try {
    const names = Array.from({ length: 24 }, (_, i) => `f${i}`);
    await small.deploy("little", Object.fromEntries(names.map((name) => [name,
      { entry: "hello.mjs", memory_mb: 128, queue_timeout_ms: 60000, priority: "high" }])), { "hello.mjs": HELLO });
    await small.deployOne("long", "long", "long.mjs", sleeper(3000), { memory_mb: 128, queue_timeout_ms: 60000, priority: "high" });
    const long = small.call("/fn/long/long/");
    const answers = await Promise.all(names.map((name) => small.call(`/fn/little/${name}/`)));
    assert.deepEqual([...new Set(answers.map((a) => `${a.status} ${a.text}`))], ["200 hello\n"]);
    assert.equal((await long).status, 200);
    const { node, functions } = (await small.api("GET", "/v1/top")).json;
    assert.ok(node.memory_promised_mb <= 1024, JSON.stringify(node));
    assert.equal(functions.filter((f) => f.ended - f.failed - f.refused > 0).length, 25);
  } finally {
    await small.close();
  }
});

test("on a full node the lowest priority is refused first, at once and with its reason", async () => {
  const small = await Daemon.start({ env: { HOB_MEMORY_MB: "256" } });
  try {
    await small.deployOne("full", "work", "work.mjs", ECHO, { memory_mb: 128, scale: { max: 2 } });
    for (const priority of ["low", "high"])
      await small.deployOne(priority, "hello", "hello.mjs", HELLO, { memory_mb: 128, priority, queue_timeout_ms: 60000 });
    const ends = [new PassThrough(), new PassThrough()]; // at work until its body ends
    const work = ends.map((body) => small.call("/fn/full/work/", { method: "POST", body }));
    for (const body of ends) body.write("hel");
    await until(async () => (await small.api("GET", "/v1/top")).json.node.memory_promised_mb === 256, "two at work");
    const high = small.call("/fn/high/hello/");
    await until(async () => (await small.api("GET", "/v1/top")).json.node.is_full, "a full node");
    const low = await small.call("/fn/low/hello/");
    assert.equal(low.status, 503);
    assert.equal(JSON.parse(low.text).reason, "overloaded");
    assert.ok(Number(low.headers["retry-after"]) >= 1);
    assert.match((await small.call("/metrics")).text, /\nhob_node_full 1\n/);
    for (const body of ends) body.end("lo");
    assert.equal((await high).status, 200); // it waited for one of the two
    assert.deepEqual((await Promise.all(work)).map((a) => a.text), ["hello", "hello"]);
  } finally {
    await small.close();
  }
});

const cannotFreeze = !isRoot ? "groups that freeze need root" : !fs.existsSync("/sys/fs/cgroup/freezer/tasks") && "there is no freezer of cgroup v1";
const SPEAKER = `import sys
def handler(event, context):
    print("out " + event["rawPath"], flush=True)
    print("err " + event["rawPath"], file=sys.stderr, flush=True)
    return {"statusCode": 200, "body": "ok"}
`;

/* Descriptors for 31 instances that run, and 33 of them are frozen; what each says keeps its stream and its function. */
test("short of descriptors, frozen instances take fewer and their lines come as ever", { skip: cannotFreeze }, async () => {
  const tight = await Daemon.start({ env: { HOB_RUNNER_FILES: "132", HOB_POOL: "0" } });
  try {
    const names = Array.from({ length: 36 }, (_, i) => `f${i}`);
    await tight.deploy("tight", Object.fromEntries(names.map((name) => [name, { entry: "main.py", runtime: "python", scale: { max: 1, keep_s: 600 } }])), { "main.py": SPEAKER });
    const states = async () => (await tight.api("GET", "/v1/instances")).json.instances.map((i) => i.state);
    for (const [i, name] of names.entries()) {
      assert.equal((await tight.call(`/fn/tight/${name}/first`)).status, 200, name);
      if (i % 6 === 5) await until(async () => (await states()).filter((s) => s === "frozen").length === i + 1, `${i + 1} frozen instances`);
    }
    for (const name of names) assert.equal((await tight.call(`/fn/tight/${name}/again`)).status, 200, name);
    for (const name of names) {
      const spoken = await until(async () => {
        const lines = (await tight.logs("tight", name)).filter((l) => l.stream !== "platform").map((l) => `${l.stream}: ${l.text}`);
        return lines.length >= 4 && lines;
      }, `four lines of ${name}`);
      assert.deepEqual(spoken.sort(), ["again", "first"].flatMap((when) => [`stderr: err /${when}`, `stdout: out /${when}`]).sort());
    }
    assert.equal((await states()).length, names.length);
  } finally {
    await tight.close();
  }
});

/* A6 without a stop-watch: the big app's starts take eight seconds, and as many as may are under way. Another app's start
 * needs a place, and has it: it is over while not one of the others is. Seen to fail with has_enough() always false. */
test("A6: another app's starts do not wait behind a burst of starts", async () => {
  const slow = "await new Promise((d) => setTimeout(d, 8000)); export default { fetch: () => new Response('late') };";
  await hob.deployOne("big", "crowd", "crowd.mjs", slow, { scale: { max: 500 }, queue_timeout_ms: 60000 });
  const names = Array.from({ length: 4 }, (_, i) => `f${i}`);
  await hob.deploy("small", Object.fromEntries(names.map((name) => [name, { entry: "hello.mjs" }])), { "hello.mjs": HELLO });
  const agent = new http.Agent({ keepAlive: true });
  const burst = Array.from({ length: 300 }, () => hob.call("/fn/big/crowd/", { agent, timeout: 60000 }).catch(() => undefined));
  const node = async () => (await hob.api("GET", "/v1/top")).json.node;
  await until(async () => (await node()).starts_waiting > 100 && (await node()).starting >= 3, "a burst of starts");
  for (const name of names) assert.equal((await hob.call(`/fn/small/${name}/`)).text, "hello\n");
  const row = await top("crowd");
  assert.equal(row.instances.ready + row.instances.busy + row.instances.frozen, 0, JSON.stringify(row));
  assert.ok((await node()).starts_waiting > 100);
  agent.destroy(); // they go: what was to be started for them is not
  await Promise.all(burst);
  await until(async () => (await node()).starts_waiting === 0, "no start that nobody waits for");
  assert.equal((await hob.api("DELETE", "/v1/apps/big")).status, 200);
});

/* A8. What was learned is written every ten seconds: the load lasts as long as it takes that to be seen. */
test("A8: after kill -9 in a burst the same number is up again before anybody calls, and does not shrink under load", async () => {
  await hob.deployOne("scale", "burst", "burst.mjs", sleeper(60), { scale: { max: 30 } });
  const load = new Load(`${hob.url}/fn/scale/burst/`, { clients: 10 });
  await until(async () => live(await top("burst")) >= 6, "six instances", 30000);
  const commits = async () => Number((await hob.call("/metrics")).text.match(/\nhob_store_commits_total (\d+)/)[1]);
  const before = await commits(); // nobody else writes now
  await until(async () => (await commits()) > before, "what was learned to be written", 60000);
  assert.equal(load.counts.bad, 0, load.failures.join("\n"));
  await hob.kill9();
  await load.stop();
  await hob.launch();
  const why = async () => (await hob.api("GET", "/v1/apps/scale/functions/burst/scale")).json;
  const held = Number((await why()).because.join("\n").match(/At least (\d+) for another .*before the restart/)?.[1]);
  assert.ok(held >= 3, JSON.stringify(await why()));
  await until(async () => (await top("burst"))?.instances.ready + (await top("burst"))?.instances.frozen >= held, `${held} instances without a request`, 60000);
  const known = await why();
  assert.ok(known.service_us > 50000 && known.cold_us > 0, JSON.stringify(known));
  assert.ok(known.decisions.some((d) => d.why === "hold" && d.started >= 1), JSON.stringify(known.decisions));
  const again = new Load(`${hob.url}/fn/scale/burst/`, { clients: 2 });
  for (let i = 0; i < 10; i++) {
    assert.ok(live(await top("burst")) >= held, `fewer than ${held}`);
    await sleep(100);
  }
  await again.stop();
  assert.equal(again.counts.bad, 0, again.failures.join("\n"));
});

test("scale.min holds after a restart, before anybody calls", async () => {
  await hob.deployOne("scale", "kept", "kept.mjs", HELLO, { scale: { min: 2 } });
  await until(async () => live(await top("kept")) === 2, "two instances");
  await hob.stop();
  await hob.launch();
  await until(async () => live(await top("kept")) === 2, "two instances again");
});
