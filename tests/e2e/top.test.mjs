// hob top in a real terminal: keys, another size, a daemon that goes away and comes back, and the terminal afterwards.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { BIN, Daemon, HELLO, ROOT, until } from "./harness.mjs";

const FUNCTIONS = 12;
let hob, port;

const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

before(async () => {
  port = await freePort(); // the same one after a restart
  hob = await Daemon.start({ port });
  const names = Array.from({ length: FUNCTIONS }, (_, i) => `f${i}`);
  await hob.deploy("top", Object.fromEntries(names.map((name) => [name, { entry: "hello.mjs" }])), { "hello.mjs": HELLO });
  for (const name of names) assert.equal((await hob.call(`/fn/top/${name}/`)).status, 200);
});
after(() => hob?.close());

/** `hob top` on a terminal of that size. */
class Top {
  constructor(rows, columns, env = {}) {
    this.text = "";
    this.said = "";
    this.process = spawn("python3", [path.join(ROOT, "tests/cli/terminal.py"), String(rows), String(columns), path.join(BIN, "hob"), "top"],
      { env: { PATH: process.env.PATH, HOME: hob.dir, TERM: "xterm", HOB_URL: hob.url, HOB_TOKEN: hob.token, ...env } });
    this.process.stdout.on("data", (part) => (this.text += part));
    this.process.stderr.on("data", (part) => (this.said += part));
    this.ended = new Promise((done) => this.process.on("exit", done));
  }

  order(line) {
    this.process.stdin.write(`${line}\n`);
  }

  screens() {
    return this.text.split("\x1b[H\x1b[2J").slice(1);
  }

  /** The first whole screen from number `from` on that `fits`. */
  screen(fits, what, from = 0) {
    return until(() => this.screens().slice(from).find((s) => s.includes("q quits") && fits(s)), `${what}; seen: ${JSON.stringify(this.text.slice(-2000))}`, 30000);
  }

  async end() {
    await Promise.race([this.ended, until(() => this.process.exitCode !== null, "its end", 20000)]);
    return this.said;
  }
}
const rowsOf = (screen) => screen.split("\n").filter((line) => /top\/f\d+ v1/.test(line)).length;
const GIVEN_BACK = "\x1b[?7h\x1b[?25h\x1b[?1049l";

test("the screen shows what was called and refreshes; q gives the terminal back", async () => {
  const top = new Top(40, 120);
  const first = await top.screen((s) => rowsOf(s) === FUNCTIONS, "every function");
  assert.match(first, /hob top.* requests\/s +\d+ instances/);
  assert.match(first.replaceAll(/\x1b\[\d+m/g, ""), /FUNCTION +REQ\/S +WORK +WAIT +INSTANCES/);
  await until(() => top.screens().length >= 3, "two refreshes");
  top.order("key x"); // means nothing
  await until(() => top.screens().length >= 4, "one more");
  top.order("key q");
  assert.equal(await top.end(), "exit 0\nterminal as it was\n");
  assert.ok(top.text.startsWith("\x1b[?1049h") && top.text.endsWith(GIVEN_BACK), JSON.stringify(top.text.slice(-100)));
});

test("it fits the terminal's height and follows another size at once", async () => {
  const top = new Top(10, 60);
  await top.screen((s) => rowsOf(s) === 5, "five rows in ten lines");
  top.order("size 30 120");
  await top.screen((s) => rowsOf(s) === FUNCTIONS, "all rows in thirty lines");
  const seen = top.screens().length;
  top.order("size 3 20");
  await top.screen((s) => rowsOf(s) === 1, "one row in the smallest", seen);
  top.order("key \x04"); // end of input, as q
  assert.equal(await top.end(), "exit 0\nterminal as it was\n");
});

test("interrupted or told to end, it gives the terminal back, too", async () => {
  for (const order of ["key \x03", "signal 15"]) {
    const top = new Top(24, 80);
    await top.screen(() => true, "a screen");
    top.order(order);
    assert.match(await top.end(), /exit (0|130)\nterminal as it was\n/);
    assert.ok(top.text.endsWith(GIVEN_BACK), JSON.stringify(top.text.slice(-100)));
  }
});

test("a daemon that goes away is waited for and said so; without one there is no screen at all", async () => {
  const top = new Top(24, 160);
  await top.screen((s) => rowsOf(s) > 0, "a screen");
  await hob.stop();
  const gone = await top.screen((s) => s.includes("no answer, asking again"), "word that it is away");
  assert.ok(rowsOf(gone) > 0, "what was known stays");
  const none = new Top(24, 80);
  assert.match(await none.end(), /exit [1-9]\d*\nterminal as it was\n/);
  assert.doesNotMatch(none.text, /\x1b\[\?1049h/);
  const seen = top.screens().length;
  await hob.launch();
  await top.screen((s) => !s.includes("no answer"), "the next daemon", seen);
  top.order("key q");
  assert.equal(await top.end(), "exit 0\nterminal as it was\n");
});

test("a token that is refused ends it with the reason", async () => {
  const top = new Top(24, 80, { HOB_TOKEN: "hob_wrong" });
  assert.match(await top.end(), /exit [1-9]\d*\nterminal as it was\n/);
  assert.match(top.text, /token|401|unauth/i);
});
