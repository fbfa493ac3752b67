// The soak: everything at once for half an hour (SOAK_MINUTES), with kills, deploys and rollbacks, then a count of what is
// left. `make soak` runs it; it prints what it does and ends with 0 when all of the following held:
//   every request had exactly one answer that fits it, or a reason (D5)      memory did not grow
//   no process, cgroup, mount, file or socket was left behind (F7)           no part said that it is broken
import assert from "node:assert/strict";
import fs from "node:fs";
import { Daemon, childNamed, descendants, instances, isRoot, sleep, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "../docker/dockerd.mjs";
import { Clients } from "./clients.mjs";
import { Memory } from "./memory.mjs";
import { DOCKER, FUNCTIONS, deploy, makeProject } from "./world.mjs";

const MINUTES = Number(process.env.SOAK_MINUTES ?? 30);
const began = Date.now();
const passed = () => (Date.now() - began) / (MINUTES * 60000); // 0 to 1
const say = (text) => console.log(`${((Date.now() - began) / 60000).toFixed(1).padStart(5)} min  ${text}`);
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const counts = { deploys: 0, rollbacks: 0, instances: 0, runner: 0, launcher: 0, removed: 0 };

function kill9(pid) {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false; // it ended meanwhile
  }
}

/* ---- the troubles, each with its time: what ends a daemon's part comes early, so that memory is seen without it ---- */

async function killInstance(hob) {
  const one = pick(instances(hob.pid));
  if (one && kill9(Math.random() < 0.5 ? one.init : (one.runtime ?? one.init))) counts.instances++;
}

async function killRunner(hob) {
  const runner = childNamed(hob.pid, "hob-runner");
  if (runner && kill9(runner)) counts.runner++;
  await until(() => ![undefined, runner].includes(childNamed(hob.pid, "hob-runner")), "a new runner", 30000);
}

/* As root hobd cannot start another launcher, and ends: whoever started it (here, we) starts it again. */
async function killLauncher(hob, clients) {
  clients.isDown = true;
  const launcher = childNamed(hob.pid, "hob-launcher");
  if (launcher && kill9(launcher)) counts.launcher++;
  await Promise.race([hob.ended, until(() => !hob.exit && ![undefined, launcher].includes(childNamed(hob.pid, "hob-launcher")),
    "a new launcher", 60000).catch(() => {})]);
  if (hob.exit) {
    assert.equal(hob.exit.signal, null, hob.stderr.slice(-3000));
    hob.assertSound();
    await sleep(500);
    await hob.launch();
  }
  clients.isDown = false;
}

async function redeploy(hob, clients, project) {
  await deploy(hob, project.dir, "soak", project.functions, ++counts.deploys);
}

async function rollback(hob, clients, project) {
  const name = pick(Object.keys(project.functions));
  const answer = await hob.api("POST", `/v1/apps/soak/functions/${name}/rollback`, {});
  assert.ok([200, 409].includes(answer.status), answer.text); // 409: there is no version before
  counts.rollbacks++;
}

/* An app that comes, is called, and goes with everything of it. */
async function comeAndGo(hob, clients, project) {
  await deploy(hob, project.dir, "visitor", { fetch: FUNCTIONS.fetch, c: FUNCTIONS.c }, counts.removed);
  for (const name of ["fetch", "c"]) assert.equal((await hob.call(`/fn/visitor/${name}?id=x`)).status, 200);
  const answer = await hob.api("DELETE", "/v1/apps/visitor");
  assert.ok(answer.status < 300, answer.text);
  counts.removed++;
}

const TROUBLES = [
  { act: killInstance, everyMs: 700, until: 0.9 },
  { act: comeAndGo, everyMs: 5000, until: 0.9 },
  { act: redeploy, everyMs: 15000, until: 0.4 },
  { act: rollback, everyMs: 6000, until: 0.9 },
  { act: killRunner, everyMs: 20000, until: 0.3 },
  { act: killLauncher, everyMs: 40000, until: 0.2 },
];

async function makeTrouble(hob, clients, project) {
  const next = TROUBLES.map((t) => Date.now() + Math.min(t.everyMs, (t.until * MINUTES * 60000) / 2));
  while (passed() < 1) {
    for (const [i, t] of TROUBLES.entries()) {
      if (Date.now() < next[i] || passed() > t.until) continue;
      await t.act(hob, clients, project);
      next[i] = Date.now() + t.everyMs * (0.5 + Math.random());
    }
    await sleep(100);
  }
}

/* ---- what must hold ---- */

const faults = [];
function holds(what, truth, detail = "") {
  say(`${truth ? "holds  " : "BROKEN "} ${what}${detail ? `: ${detail}` : ""}`);
  if (!truth) faults.push(what);
}

function judgeMemory(memory) {
  for (const name of Object.keys(memory.samples)) {
    const line = memory.line(name);
    const bound = Math.max(1.5, line.mean * 0.08);
    holds(`${name}'s memory is flat`, line.growth <= bound,
      `${line.mean.toFixed(1)} MiB, ${line.growth >= 0 ? "+" : ""}${line.growth.toFixed(2)} MiB in ${line.minutes.toFixed(1)} minutes (bound ${bound.toFixed(2)})`);
  }
}

/* Without instances: what is left of the runner's belongs to the processes that are kept ready. */
function judgeDescriptors(hob) {
  const ready = [...descendants(hob.pid).values()].filter((p) => /(^|\/)hob-?\/?init /.test(p.command)).length;
  for (const name of ["hobd", "hob-runner", "hob-launcher"]) {
    const pid = name === "hobd" ? hob.pid : childNamed(hob.pid, name);
    const files = fs.readdirSync(`/proc/${pid}/fd`).length;
    holds(`${name}'s descriptors are few`, files <= 80 + (name === "hob-runner" ? 6 * ready : 0), `${files}, with ${ready} processes kept ready`);
  }
}

async function judgeSilence(hob) {
  const live = async () => (await hob.api("GET", "/v1/top")).json.node.instances;
  const isQuiet = await until(async () => (await live()) === 0, "no instance", 180000).catch(() => false);
  holds("silence takes every instance away", isQuiet, `${await live()} left`);
  judgeDescriptors(hob);
  const { text } = await hob.call("/metrics");
  holds("nothing runs or waits", /\nhob_invocations_in_flight 0\n/.test(text) && !/\nhob_queue_length\{[^\n]* [1-9]/.test(text));
}

function socketsOf(hob) {
  return fs.readFileSync("/proc/net/unix", "utf8").split("\n").filter((line) => line.includes(hob.home));
}

async function judgeEnd(hob) {
  const tree = descendants(hob.pid);
  process.kill(hob.pid, "SIGTERM");
  const { code, signal } = await hob.ended;
  holds("hobd ends cleanly", code === 0 && signal === null, `code ${code}, signal ${signal}`);
  await until(() => hob.leftovers(tree).length === 0 && socketsOf(hob).length === 0, "nothing left", 20000).catch(() => {});
  const left = [...hob.leftovers(tree), ...socketsOf(hob)];
  holds("no process, cgroup, mount, file or socket is left", left.length === 0, left.join("; ").slice(0, 1000));
  const faultsSaid = hob.stderr.match(/assert\.failed.*|AddressSanitizer.*|runtime error:.*|instance\.bug.*/);
  holds("no part said that it is broken", !faultsSaid, faultsSaid?.[0]);
}

/* ---- the flow ---- */

async function startDocker() {
  if (unavailable) say(`without containers: ${unavailable}`);
  return unavailable ? undefined : Dockerd.start();
}

async function main() {
  const docker = await startDocker();
  process.on("exit", () => docker && !docker.exit && process.kill(docker.pid, "SIGTERM")); // when we are interrupted
  const hob = await Daemon.start({ env: docker ? { HOB_DOCKER_HOST: `unix://${docker.socket}` } : {} });
  const functions = { ...FUNCTIONS, ...(docker ? DOCKER : {}) };
  const project = { dir: makeProject(), functions };
  try {
    if (docker) assert.equal((await hob.api("POST", "/v1/runtimes/node/image")).status, 200);
    await deploy(hob, project.dir, "soak", functions, 0);
    const clients = new Clients(hob, "soak", functions);
    const memory = new Memory(hob);
    const report = setInterval(() => say([`${clients.words()}; ${JSON.stringify(counts)}`, `last refused: ${clients.last}`, ...clients.wrong.slice(-3)].join("\n      ")), 60000);
    await makeTrouble(hob, clients, project);
    await clients.stop();
    memory.stop();
    clearInterval(report);
    say(`${clients.words()}; ${JSON.stringify(counts)}`);
    holds("every request had one answer, and its own", clients.wrong.length === 0, clients.wrong.slice(0, 10).join("; "));
    const kills = counts.instances + 20 * (counts.runner + counts.launcher); // a stream's instance has four at a time
    holds("streams were cut by kills only", clients.cut <= 4 * kills, `${clients.cut} cut`);
    holds("every kind of trouble was made", Object.entries(counts).every(([kind, n]) => n > 0 || (kind === "launcher" && !isRoot)), JSON.stringify(counts));
    judgeMemory(memory);
    await judgeSilence(hob);
    await judgeEnd(hob);
  } finally {
    if (!hob.exit) process.kill(hob.pid, "SIGKILL");
    fs.rmSync(hob.dir, { recursive: true, force: true });
    fs.rmSync(project.dir, { recursive: true, force: true });
    await docker?.close();
  }
}

await main();
console.log(faults.length ? `the soak found: ${faults.join("; ")}` : "the soak found nothing");
process.exit(faults.length ? 1 : 0);
