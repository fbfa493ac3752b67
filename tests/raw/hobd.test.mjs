// The raw requests of this folder against a real hobd: whatever must be refused is
// refused with the same status, reason and end of the connection as by the bare server, whole and byte by byte; and
// what must be accepted is, in order.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import net from "node:net";
import { after, before, test } from "node:test";
import { Daemon } from "../e2e/harness.mjs";

const here = new URL(".", import.meta.url);

const unescape = (text) => {
  text = text.replace(/\\R\{(\d+)\|([^}]*)\}/g, (_, n, piece) => piece.repeat(Number(n)));
  return text.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, c) =>
    c[0] === "x" && c.length === 3 ? String.fromCharCode(parseInt(c.slice(1), 16)) : { r: "\r", n: "\n", t: "\t", 0: "\0" }[c] ?? c);
};

const cases = [];
for (const file of readdirSync(here).filter((f) => f.endsWith(".txt")))
  for (const line of readFileSync(new URL(file, here), "latin1").split("\n")) {
    const last = cases.at(-1);
    if (line.startsWith("== ")) cases.push({ name: line.slice(3), bytes: "", has: [] });
    else if (line.startsWith("> ")) last.bytes += unescape(line.slice(2));
    else if (line.startsWith("<~ ")) last.has.push(unescape(line.slice(3)));
    else if (line.startsWith("< ")) [last.statuses, last.end] = [line.split(" ")[1].split("+"), line.split(" ")[2]];
  }
const isRefusal = (c) => c.statuses.length === 1 && Number(c.statuses[0]) >= 400 && c.statuses[0] !== "413";

let hob;
before(async () => {
  hob = await Daemon.start();
});
after(() => hob.close());

const statusesIn = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((m) => m[1]);

/* What comes back until the server ends the connection, or for `ms`. */
const send = (pieces, ms) =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(hob.url);
    const socket = net.connect({ host: hostname, port, noDelay: true, allowHalfOpen: true });
    let text = "";
    const finish = (isEnded) => {
      socket.destroy();
      resolve({ text, isEnded });
    };
    const timer = setTimeout(() => finish(false), ms);
    socket.setEncoding("latin1").on("data", (d) => (text += d));
    socket.on("error", () => {}).on("end", () => {
      clearTimeout(timer);
      finish(true);
    });
    for (const piece of pieces) socket.write(piece, "latin1");
  });

test("every refusal is the same through the daemon", async (t) => {
  const refusals = cases.filter(isRefusal);
  assert.ok(refusals.length > 100);
  for (const c of refusals)
    for (const pieces of [[c.bytes], c.bytes.length < 2000 ? [...c.bytes] : [c.bytes]]) {
      // a malformed body is found when it is read; the front reads none for a path that leads nowhere
      const isBody = /chunk|trailer/.test(c.name) && !c.has.some((h) => /bad_transfer/.test(h)) && /chunked\r\n\r\n/.test(c.bytes);
      const answer = await send(pieces, 3000);
      const [status] = statusesIn(answer.text);
      if (isBody && status === "404") continue;
      assert.equal(status, c.statuses[0], `${c.name}: ${answer.text.slice(0, 300)}`);
      assert.ok(answer.isEnded, `${c.name}: the connection must end`);
      assert.equal(statusesIn(answer.text).length, 1, c.name);
      for (const part of c.has) if (part.startsWith('"reason"')) assert.ok(answer.text.includes(part), `${c.name}: ${part}`);
    }
  t.diagnostic(`${refusals.length} refusals`);
});

test("accepted requests are answered in order, one answer each", async (t) => {
  const accepted = cases.filter((c) => c.statuses.every((s) => s === "200") && !c.bytes.startsWith("HEAD"));
  assert.ok(accepted.length > 50);
  await Promise.all(accepted.map(async (c) => {
    const answer = await send([c.bytes], 700);
    const got = statusesIn(answer.text);
    assert.equal(got.length, c.statuses.length, `${c.name}: ${answer.text.slice(0, 300)}`);
    assert.ok(got.every((s) => ["404", "401", "405", "200"].includes(s)), `${c.name}: ${got}`);
  }));
  t.diagnostic(`${accepted.length} accepted`);
});
