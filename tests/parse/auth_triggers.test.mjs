// Triggers of log-in, log-out and password reset, by webhooks: what they are told, and what their refusal means.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { until } from "../e2e/harness.mjs";
import { MASTER, World, skip } from "./auth_world.mjs";

let w, hook, told = [], refuse = {};
const asMaster = { "x-parse-master-key": MASTER };

before(async () => {
  if (skip) return;
  hook = http.createServer((req, res) => {
    let body = "";
    req.on("data", (part) => (body += part));
    req.on("end", () => {
      const event = JSON.parse(body);
      told.push(event);
      const error = refuse[event.triggerName];
      res.end(JSON.stringify(error ? { error } : { success: {} }));
    });
  });
  await new Promise((ready) => hook.listen(0, "127.0.0.1", ready));
  w = await World.start({ mail: { server: "smtp://127.0.0.1:1", from: "a@shop.example" } });
  for (const [className, triggerName] of [["_User", "beforeLogin"], ["_User", "afterLogin"], ["_Session", "afterLogout"],
    ["_User", "beforePasswordResetRequest"]]) {
    const made = await w.ask("POST", "/hooks/triggers", { className, triggerName, url: `http://127.0.0.1:${hook.address().port}/` }, asMaster);
    assert.equal(made.status, 200, made.text);
  }
  await w.signUp("ann", { email: "ann@example.org", phone: "1" });
});
after(async () => {
  await w?.hob.close();
  hook?.closeAllConnections();
  hook?.close();
});
beforeEach(() => {
  told = [];
  refuse = {};
});
const login = (more) => w.ask("POST", "/login", { username: "ann", password: "secret", ...more });
const names = () => told.map((e) => e.triggerName);

describe("triggers of users", { skip }, () => {
  test("are told who logs in, before and after, and never a secret", async () => {
    const answer = await login();
    assert.equal(answer.status, 200, answer.text);
    await until(() => names().includes("afterLogin"), "afterLogin");
    assert.deepEqual(names(), ["beforeLogin", "afterLogin"]);
    for (const { object } of told) assert.deepEqual([object.className, object.username, object.phone], ["_User", "ann", "1"]);
    const text = JSON.stringify(told);
    assert.ok(!text.includes("secret") && !text.includes("argon2") && !text.includes(answer.json.sessionToken));
  });

  test("beforeLogin refuses, and no session is made", async () => {
    const count = async () => (await w.ask("GET", "/sessions?count=1&limit=0", undefined, asMaster)).json.count;
    const before = await count();
    refuse.beforeLogin = { code: 4711, error: "not today" };
    const answer = await login();
    assert.deepEqual([answer.status, answer.json.code, answer.json.error], [400, 4711, "not today"]);
    assert.equal(await count(), before);
    assert.deepEqual(names(), ["beforeLogin"]);
    assert.equal((await login({ password: "wrong" })).json.code, 101);
    assert.deepEqual(names(), ["beforeLogin"], "whose password is wrong does not log in");
  });

  test("what afterLogin says changes nothing any more", async () => {
    refuse.afterLogin = "too late";
    assert.equal((await login()).status, 200);
  });

  test("afterLogout is told which session has ended", async () => {
    const { sessionToken, objectId } = (await login()).json;
    told = [];
    assert.equal((await w.ask("POST", "/logout", {}, { "x-parse-session-token": sessionToken })).status, 200);
    await until(() => told.length > 0, "afterLogout");
    assert.deepEqual([told[0].triggerName, told[0].object.className, told[0].object.user.objectId], ["afterLogout", "_Session", objectId]);
    told = [];
    await w.ask("POST", "/logout", {}, { "x-parse-session-token": sessionToken });
    assert.deepEqual(told, []);
  });

  test("beforePasswordResetRequest refuses a mail, and is not asked for strangers", async () => {
    refuse.beforePasswordResetRequest = "ask the office";
    assert.equal(await w.refused(141, "POST", "/requestPasswordReset", { email: "ann@example.org" }), "ask the office");
    assert.equal(told[0].object.email, "ann@example.org");
    told = [];
    assert.equal((await w.ask("POST", "/requestPasswordReset", { email: "nobody@example.org" })).status, 200);
    assert.deepEqual(told, []);
  });
});
