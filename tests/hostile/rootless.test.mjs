// The same escapes without root, and the abuse that can be held there: what has no group is limited by other means, and
// what cannot be limited (memory, CPU) the doctor says (docs/security.md).
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { after, before, test } from "node:test";
import { isRoot } from "../e2e/harness.mjs";
import { abuses, escapes } from "./catalogue.mjs";
import { closedToUsers } from "../e2e/harness.mjs";
import { Daemon, Neighbour, attempt, deployAttackers, extinct, until } from "./world.mjs";

const UID = 65534;
const setting = (name) => (fs.existsSync(name) ? Number(fs.readFileSync(name, "utf8")) : 1);
const skip = setting("/proc/sys/user/max_user_namespaces") === 0 || setting("/proc/sys/kernel/unprivileged_userns_clone") === 0
  ? "user namespaces are switched off here" : closedToUsers(UID);
const outside = `hob-rootless-${process.pid}`;
let hob, neighbour, listener;

before(async () => {
  if (skip) return;
  hob = await Daemon.start(isRoot ? { uid: UID } : {});
  await deployAttackers(hob);
  neighbour = await Neighbour.start(hob);
  listener = net.createServer().listen("\0" + outside);
});
after(async () => {
  listener?.close();
  await neighbour?.stop("attacks without root").finally(() => hob.close());
  await hob?.close();
});

for (const row of escapes)
  test(`${row.id} ${row.title}`, { skip, timeout: 120000 }, () =>
    attempt(hob, row.attack === "outside" ? { ...row, argument: `${outside}:${hob.port}` } : row));

/* Without a group that shares out the CPU, a bomb's processes and hobd's compete as all processes do: the neighbour is not
 * asked meanwhile, and must be served again behind it. */
test("H01 a fork bomb meets a limit and the machine lives", { skip, timeout: 240000 }, async () => {
  await neighbour.stop("attacks without root");
  const answer = await hob.call("/fn/hostile/attacker/forks", { timeout: 30000 });
  assert.equal(answer.status, 200, answer.text);
  const made = Number(/made=(\d+)/.exec(answer.text)[1]);
  assert.ok(made > 50 && made < 1024, `${made} processes`);
  assert.match(answer.text, /errno=11/);
  const bomb = await hob.call("/fn/hostile/short/fork-bomb", { timeout: 120000 });
  assert.ok([502, 503, 504].includes(bomb.status), bomb.text);
  await extinct(hob, "", 120000);
  await until(async () => (await hob.call("/fn/neighbour/f").catch(() => ({}))).status === 200, "the neighbour behind the bomb", 60000);
  neighbour = await Neighbour.start(hob);
});

const held = ["descriptors", "disk", "inodes", "immortal"];
for (const row of abuses.filter(({ attack }) => held.includes(attack)))
  test(`${row.id} ${row.title}`, { skip, timeout: 120000 }, async () => {
    await attempt(hob, row);
    await extinct(hob);
  });

test("the doctor says which walls are missing", { skip }, async () => {
  const text = JSON.stringify((await hob.api("GET", "/v1/doctor")).json.checks);
  const walls = (await hob.api("GET", "/v1/apps/hostile/functions/attacker/isolation")).json.instances[0].walls;
  const what = Object.fromEntries(walls.map((wall) => [wall.name, wall.what]));
  assert.match(what.namespaces, /\buser\b/);
  for (const limit of ["memory", "cpu"]) if (what[limit].startsWith("no limit")) assert.match(text, new RegExp(`no group (limits|shares)[^"]*`));
});
