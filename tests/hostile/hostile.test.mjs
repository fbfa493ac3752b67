// The catalogue of attacks, run on a real hobd through its gateway while a neighbour is asked all the time (S1, S2).
// Afterwards hobd is as it was, and nothing is left behind (F7: Daemon.close looks).
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { mib, request } from "../e2e/harness.mjs";
import { abuses, escapes, frames } from "./catalogue.mjs";
import { Daemon, Neighbour, attempt, deployAttackers, extinct, sleep, survivors, until } from "./world.mjs";

let hob, listener;
before(async () => {
  hob = await Daemon.start();
  await deployAttackers(hob);
});
after(() => hob.close());

/* The attack was seen at work, not only answered for: a machine that is slow beyond reason gets more than one try. */
async function attemptSeen(row) {
  for (let tries = 0, isSeen = false; !isSeen; tries++) {
    assert.ok(tries < 5, `${row.attack} was never seen at work`);
    const answer = attempt(hob, row);
    let isOver = false;
    answer.catch(() => {}).then(() => (isOver = true));
    isSeen = await until(() => (survivors(row.leaves).length ? "seen" : isOver && "over"), "the attack at work", 40000) === "seen";
    await answer;
    await extinct(hob);
  }
}

const phase = (what, body) => describe(what, () => {
  let neighbour;
  before(async () => (neighbour = await Neighbour.start(hob)));
  after(() => neighbour.stop(what));
  body();
});

phase("escapes", () => {
  const outside = `hob-hostile-${process.pid}`;
  before(async () => {
    listener = net.createServer().listen("\0" + outside);
    await new Promise((done) => listener.on("listening", done));
  });
  after(() => listener.close());
  for (const row of escapes)
    test(`${row.id} ${row.title}`, async () => {
      const descriptors = hob.openFiles();
      await attempt(hob, row.attack === "outside" ? { ...row, argument: `${outside}:${hob.port}` } : row);
      if (row.attack === "descriptors-flood") await until(() => hob.openFiles() <= descriptors + 4, "hobd's descriptors", 3000);
    });
  for (const row of escapes)
    test(`${row.id} with egress, too: ${row.title}`, () =>
      attempt(hob, { ...row, fn: "reach", ...(row.attack === "outside" ? { argument: `${outside}:${hob.port}` } : {}) }));
  test("H06 what was denied is named in the function's log, and counted", async () => {
    for (const fn of ["attacker", "reach"]) {
      const said = await until(async () => {
        const lines = (await hob.logs("hostile", fn)).filter((l) => l.stream === "platform").map((l) => l.text);
        return lines.some((text) => /denied system call: mount /.test(text)) && lines;
      }, "the denied mount in the log", 5000);
      assert.ok(said.some((text) => /denied system call: ptrace /.test(text)), said.join("\n"));
    }
    assert.match((await hob.api("GET", "/metrics")).text, /hob_denied_calls_total\{call="mount"\} [1-9]/);
  });
});

phase("abuse", () => {
  for (const row of abuses)
    test(`${row.id} ${row.title}`, { timeout: 120000 }, () => (row.leaves ? attemptSeen(row) : attempt(hob, row)));
  test("H01 the limit that was met is named in the function's log", async () => {
    await until(async () => (await hob.logs("hostile", "short")).some((l) => l.stream === "platform" && /could not be started: at most 256/.test(l.text)),
      "the processes that could not be started", 8000);
  });
  test("H13 a daemon that an answered call has left goes with its instance", { timeout: 120000 }, async () => {
    assert.equal((await hob.call("/fn/hostile/short/daemonise")).status, 200);
    await until(() => survivors("daemon").length === 1, "the daemon that it leaves");
    assert.equal((await hob.call("/fn/hostile/short/cpu")).status, 504);
    await extinct(hob, "daemon");
  });
  test("H16 a forged line is the function's own", async () => {
    const lines = await hob.logs("hostile", "attacker");
    assert.ok(lines.some((l) => l.stream === "stdout" && /forged/.test(l.text)));
    assert.ok(!lines.some((l) => l.stream === "platform" && /forged/.test(l.text)));
    assert.ok(lines.some((l) => l.stream === "platform" && /dropped/.test(l.text)));
  });
});

phase("frames", () => {
  for (const row of frames) test(`${row.id} ${row.title}`, { timeout: 120000 }, () => attempt(hob, row));
  test("H30 an endless request body that nobody reads costs hobd no memory", { timeout: 120000 }, async () => {
    const before = hob.rss();
    const socket = net.connect(hob.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("POST /fn/hostile/raw/never-reads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    const piece = Buffer.alloc(1 << 20);
    for (let i = 0; i < 64 && !socket.destroyed; i++) {
      socket.write(piece);
      await sleep(5);
    }
    await sleep(300);
    assert.ok(hob.rss() - before < mib(32), `hobd grew by ${(hob.rss() - before) >> 20} MiB`);
    socket.destroy();
  });
});

test("after all that the daemon is as it was", async () => {
  hob.assertSound();
  assert.equal((await request(`${hob.url}/readyz`)).status, 200);
  const doctor = (await hob.api("GET", "/v1/doctor")).json;
  assert.ok(doctor.ok, JSON.stringify(doctor.checks.filter((c) => c.status === "fail")));
  assert.ok(hob.rss() < mib(192), `${hob.rss() >> 20} MiB`);
  await extinct(hob);
});
