// Mails to users: through a real SMTP server, the links followed, used twice, kept too long, and asked for by strangers.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { request, until } from "../e2e/harness.mjs";
import { MASTER, World, need, skip } from "./auth_world.mjs";

let w, smtp, mails = [], refuse = 0;

/** Takes mails on a port of the loopback; `refuse` counts those that it refuses first. */
function startSmtp(port = 0) {
  const { SMTPServer } = need("smtp-server");
  const server = new SMTPServer({
    authOptional: true, disabledCommands: ["STARTTLS"], logger: false,
    onAuth: (auth, session, done) => done(null, { user: auth.username }),
    onMailFrom: (address, session, done) => (refuse > 0 ? (refuse--, done(Object.assign(new Error("try later"), { responseCode: 451 }))) : done()),
    onData(stream, session, done) {
      let text = "";
      stream.on("data", (part) => (text += part));
      stream.on("end", () => (mails.push({ text, to: session.envelope.rcptTo.map((r) => r.address) }), done()));
    },
  });
  return new Promise((started) => server.listen(port, "127.0.0.1", () => started(server)));
}

const words = (mail) => Buffer.from(mail.text.split("\r\n\r\n")[1], "base64").toString();
const link = (mail) => words(mail).match(/https?:\S+/)[0];
const mailTo = (to) => until(() => mails.find((m) => m.to.includes(to)), `a mail to ${to}`, 20000);
const page = (url, options) => request(url, options);
const form = (url, values) => request(url, { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" },
  body: new URLSearchParams(values).toString() });

before(async () => {
  if (skip) return;
  smtp = await startSmtp();
  w = await World.start({ verifyUserEmails: true, appName: "The <Shop>",
    mail: { server: `smtp://127.0.0.1:${smtp.server.address().port}`, from: "Shop <no-reply@shop.example>" } });
});
after(async () => {
  await w?.hob.close();
  smtp?.close();
});
beforeEach(() => (mails = []));

describe("verification", { skip }, () => {
  test("a sign-up sends a link, the link verifies once, and only that address", async () => {
    const { as } = await w.signUp("ann", { email: "ann@example.org" });
    const mail = await mailTo("ann@example.org");
    assert.match(mail.text, /From: no-reply@shop\.example/);
    assert.match(mail.text, /Subject: Please verify your e-mail for The <Shop>/);
    const url = link(mail);
    assert.ok(url.startsWith(`${w.Parse.serverURL}/apps/shop/verify_email?token=`), url);
    assert.equal((await w.ask("GET", "/users/me", undefined, as)).json.emailVerified, false);
    const shown = await page(url);
    assert.equal(shown.status, 200);
    assert.match(shown.text, /has been verified/);
    for (const [name, value] of [["referrer-policy", "no-referrer"], ["cache-control", "no-store"], ["x-frame-options", "DENY"]])
      assert.equal(shown.headers[name], value);
    assert.equal((await w.ask("GET", "/users/me", undefined, as)).json.emailVerified, true);
    assert.equal((await page(url)).status, 400);
    assert.equal((await page(url.replace(/.{4}$/, "0000"))).status, 400);
    assert.equal((await page(url.replace(/token=.*/, "token="))).status, 400);
  });

  test("a changed address is unverified again, and the old link is good no more", async () => {
    const { id, as } = await w.signUp("bob", { email: "bob@example.org" });
    const first = link(await mailTo("bob@example.org"));
    assert.equal((await w.ask("PUT", `/users/${id}`, { email: "bob@new.example" }, as)).status, 200);
    const second = link(await mailTo("bob@new.example"));
    assert.equal((await page(first)).status, 400);
    assert.equal((await page(second)).status, 200);
    assert.equal((await w.ask("GET", "/users/me", undefined, as)).json.emailVerified, true);
    assert.equal((await w.ask("PUT", `/users/${id}`, { email: "bob@new.example" }, as)).status, 200);
    assert.equal((await w.ask("GET", "/users/me", undefined, as)).json.emailVerified, true, "the same address stays verified");
  });

  test("without it nobody comes in, where the app asks for that", async () => {
    w.set({ preventLoginWithUnverifiedEmail: true });
    const made = await w.ask("POST", "/users", { username: "cora", password: "secret", email: "cora@example.org" });
    assert.equal(made.status, 201);
    assert.equal(made.json.sessionToken, undefined);
    await w.refused(205, "POST", "/login", { username: "cora", password: "secret" });
    await w.refused(101, "POST", "/login", { username: "cora", password: "wrong" });
    const master = { "x-parse-master-key": MASTER };
    await w.refused(205, "POST", "/verifyPassword", { username: "cora", password: "secret" }, master);
    assert.equal((await w.ask("POST", "/verifyPassword", { username: "cora", password: "secret", ignoreEmailVerification: true }, master)).status, 200);
    await w.refused(205, "POST", "/verifyPassword", { username: "cora", password: "secret", ignoreEmailVerification: true });
    assert.equal((await page(link(await mailTo("cora@example.org")))).status, 200);
    assert.equal((await w.ask("POST", "/login", { username: "cora", password: "secret" })).status, 200);
    w.set({ preventLoginWithUnverifiedEmail: false });
  });

  test("another mail comes when it is asked for, and strangers hear nothing", async () => {
    await w.signUp("dan", { email: "dan@example.org" });
    await mailTo("dan@example.org");
    mails = [];
    await w.Parse.User.requestEmailVerification("dan@example.org");
    await mailTo("dan@example.org");
    const known = await w.ask("POST", "/verificationEmailRequest", { email: "ann@example.org" });
    const unknown = await w.ask("POST", "/verificationEmailRequest", { email: "nobody@example.org" });
    assert.deepEqual([known.status, known.text], [unknown.status, unknown.text]);
  });
});

describe("a new password", { skip }, () => {
  const reset = async (email) => {
    mails = [];
    await w.Parse.User.requestPasswordReset(email);
    return link(await mailTo(email));
  };

  test("is set by the form of the link, once, and ends all sessions", async () => {
    const { as } = await w.signUp("eve", { email: "eve@example.org" });
    await mailTo("eve@example.org");
    const url = await reset("eve@example.org");
    assert.ok(url.startsWith(`${w.Parse.serverURL}/apps/shop/request_password_reset?token=`), url);
    const shown = await page(url);
    assert.match(shown.text, /<form method="post">/);
    const token = new URL(url).searchParams.get("token"), target = url.split("?")[0];
    assert.equal((await form(target, { token, new_password: "" })).status, 400);
    assert.equal((await form(target, { token: `${token}0`, new_password: "x" })).status, 400);
    const set = await form(target, { token, new_password: "12345" });
    assert.equal(set.status, 200, set.text);
    await w.refused(209, "GET", "/users/me", undefined, as);
    await w.refused(101, "POST", "/login", { username: "eve", password: "secret" });
    assert.equal((await w.ask("POST", "/login", { username: "eve", password: "12345" })).status, 200);
    assert.equal((await form(target, { token, new_password: "again" })).status, 400);
    assert.equal((await page(url)).status, 400);
  });

  test("obeys the app's policy, and a script gets JSON", async () => {
    w.set({ passwordPolicy: { validatorPattern: "^.{6,}$" } });
    const url = await reset("eve@example.org");
    const token = new URL(url).searchParams.get("token"), target = url.split("?")[0];
    const refused = await form(target, { token, new_password: "short" });
    assert.equal(refused.status, 400);
    assert.match(refused.text, /Password Policy[^]*<form/);
    const json = await request(target, { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, new_password: "long enough" }) });
    assert.deepEqual([json.status, json.text], [200, "{}"]);
    w.set({ passwordPolicy: null });
  });

  test("only the newest link is good, and none after the password was changed", async () => {
    const first = await reset("eve@example.org"), second = await reset("eve@example.org");
    assert.equal((await page(first)).status, 400);
    assert.equal((await page(second)).status, 200);
    const { objectId, sessionToken } = (await w.ask("POST", "/login", { username: "eve", password: "long enough" })).json;
    await w.ask("PUT", `/users/${objectId}`, { password: "other" }, { "x-parse-session-token": sessionToken });
    assert.equal((await page(second)).status, 400);
  });

  test("is not set by a link that is too old", async () => {
    w.set({ passwordPolicy: { resetTokenValidityDuration: 1 } });
    await w.signUp("old", { email: "old@example.org" });
    await mailTo("old@example.org");
    const url = await reset("old@example.org"), token = new URL(url).searchParams.get("token");
    await until(async () => (await page(url)).status === 400, "the end of its second");
    assert.equal((await form(url.split("?")[0], { token, new_password: "stolen" })).status, 400);
    assert.equal((await w.ask("POST", "/login", { username: "old", password: "secret" })).status, 200);
    w.set({ passwordPolicy: null });
  });

  test("is not promised to strangers in other words, and a bad address is said so", async () => {
    const known = await w.ask("POST", "/requestPasswordReset", { email: "ann@example.org" });
    const unknown = await w.ask("POST", "/requestPasswordReset", { email: "nobody@example.org" });
    assert.deepEqual([known.status, known.text], [unknown.status, unknown.text]);
    await w.refused(204, "POST", "/requestPasswordReset", {});
    await w.refused(125, "POST", "/requestPasswordReset", { email: { $ne: null } });
    await until(() => mails.some((m) => m.to.includes("ann@example.org")), "ann's mail");
    assert.ok(!mails.some((m) => m.to.includes("nobody@example.org")));
  });

  test("links go to the app's own address whatever Host the client names", async () => {
    mails = [];
    await w.signUp("fay", { email: "fay@example.org" });
    await mailTo("fay@example.org");
    mails = [];
    await w.ask("POST", "/requestPasswordReset", { email: "fay@example.org" }, { host: "evil.example", "x-forwarded-host": "evil.example" });
    assert.ok(link(await mailTo("fay@example.org")).startsWith(w.Parse.serverURL));
  });

  test("a letter box is not flooded", async () => {
    mails = [];
    await w.signUp("gus", { email: "gus@example.org" });
    for (let i = 0; i < 12; i++) assert.equal((await w.ask("POST", "/requestPasswordReset", { email: "gus@example.org" })).status, 200);
    await w.signUp("last", { email: "last@example.org" });
    await mailTo("last@example.org"); /* one after another: gus's came before */
    const n = mails.filter((m) => m.to.includes("gus@example.org")).length;
    assert.ok(n >= 1 && n <= 10, `${n} mails`); /* 5 in a quarter of an hour, at most two of which this test meets */
  });

  test("a name in a mail cannot be more than a name", async () => {
    mails = [];
    w.set({ mail: { server: `smtp://127.0.0.1:${smtp.server.address().port}`, from: "a@shop.example",
      templates: { reset: { subject: "For {{username}}", text: "{{username}} {{link}}", html: "<b>{{username}}</b>" } } } });
    await w.signUp("<script>x</script>\r\nBcc: evil@example.org", { email: "html@example.org" });
    await mailTo("html@example.org");
    mails = [];
    await w.ask("POST", "/requestPasswordReset", { email: "html@example.org" });
    const mail = await mailTo("html@example.org");
    assert.deepEqual(mail.to, ["html@example.org"]);
    assert.doesNotMatch(mail.text, /^Bcc:/m);
    const html = Buffer.from(mail.text.split("text/html")[1].split("\r\n\r\n")[1], "base64").toString();
    assert.equal(html, "<b>&lt;script&gt;x&lt;/script&gt;\r\nBcc: evil@example.org</b>");
  });
});

describe("a link that comes again", { skip }, () => {
  const tokenOf = (mail) => new URL(link(mail)).searchParams.get("token");
  const another = async (where, email) => {
    mails = [];
    assert.equal((await w.ask("POST", where, { email })).status, 200);
    return tokenOf(await mailTo(email));
  };

  before(() => w.set({ mail: { server: `smtp://127.0.0.1:${smtp.server.address().port}`, from: "a@shop.example" } })); // without templates

  test("is the same for a verification, where the app says so, until it was used or the address is another", async () => {
    w.set({ emailVerifyTokenReuseIfValid: true });
    const { id, as } = await w.signUp("kim", { email: "kim@example.org" });
    const first = tokenOf(await mailTo("kim@example.org"));
    assert.equal(await another("/verificationEmailRequest", "kim@example.org"), first);
    assert.ok(!fs.readFileSync(path.join(w.hob.home, "data/shop.db")).includes(first), "the token lies nowhere as it is");
    await w.ask("PUT", `/users/${id}`, { email: "kim@new.example" }, as);
    const second = tokenOf(await mailTo("kim@new.example"));
    assert.notEqual(second, first);
    assert.equal((await page(`${w.Parse.serverURL}/apps/shop/verify_email?token=${first}`)).status, 400);
    assert.equal((await page(`${w.Parse.serverURL}/apps/shop/verify_email?token=${second}`)).status, 200);
    w.set({ emailVerifyTokenReuseIfValid: null });
    await w.signUp("kit", { email: "kit@example.org" });
    const kits = tokenOf(await mailTo("kit@example.org"));
    assert.notEqual(await another("/verificationEmailRequest", "kit@example.org"), kits);
  });

  test("is the same for a password, until it was used, or the password was changed otherwise", async () => {
    w.set({ passwordPolicy: { resetTokenValidityDuration: 3600, resetTokenReuseIfValid: true } });
    const { id, as } = await w.signUp("lee", { email: "lee@example.org" });
    await mailTo("lee@example.org");
    const first = await another("/requestPasswordReset", "lee@example.org");
    assert.equal(await another("/requestPasswordReset", "lee@example.org"), first);
    await w.ask("PUT", `/users/${id}`, { password: "changed" }, as);
    const second = await another("/requestPasswordReset", "lee@example.org");
    assert.notEqual(second, first);
    const target = `${w.Parse.serverURL}/apps/shop/request_password_reset`;
    assert.equal((await form(target, { token: first, new_password: "x" })).status, 400);
    assert.equal((await form(target, { token: second, new_password: "again" })).status, 200);
    assert.notEqual(await another("/requestPasswordReset", "lee@example.org"), second);
    w.set({ passwordPolicy: null });
  });

  test("an app may tell strangers that nobody has their address", async () => {
    w.set({ emailVerifySuccessOnInvalidEmail: false, passwordPolicy: { resetPasswordSuccessOnInvalidEmail: false } });
    assert.equal(await w.refused(205, "POST", "/verificationEmailRequest", { email: "nobody@example.org" }), "No user found with email nobody@example.org");
    assert.equal(await w.refused(-1, "POST", "/verificationEmailRequest", { email: "ann@example.org" }), "Email ann@example.org is already verified.");
    assert.equal(await w.refused(101, "POST", "/requestPasswordReset", { email: "nobody@example.org" }), "A user with that email does not exist.");
    assert.equal((await w.ask("POST", "/requestPasswordReset", { email: "ann@example.org" })).status, 200);
    w.set({ emailVerifySuccessOnInvalidEmail: null, passwordPolicy: null });
  });
});

describe("what waits to be sent", { skip }, () => {
  test("is sent when the mail server, which refused it for now, is asked again", async () => {
    refuse = 1;
    await w.signUp("ian", { email: "ian@example.org" });
    await mailTo("ian@example.org");
    assert.equal(refuse, 0);
  });

  test("outlives a killed daemon, and is in no readable form on the disk meanwhile", async () => {
    const port = smtp.server.address().port;
    await new Promise((closed) => smtp.close(closed));
    mails = [];
    await w.signUp("hal", { email: "hal@example.org" });
    await w.ask("POST", "/requestPasswordReset", { email: "hal@example.org" });
    const disk = fs.readFileSync(path.join(w.hob.home, "data/shop.db"));
    await w.hob.kill9();
    smtp = await startSmtp(port);
    await w.hob.launch();
    w.moved();
    const mail = await mailTo("hal@example.org");
    const token = link(mail).match(/token=([0-9a-f]{64})/)[1];
    assert.ok(!disk.includes(token) && !fs.readFileSync(path.join(w.hob.home, "data/shop.db")).includes(token));
  });
});

describe("a mail server that does not answer", { skip }, () => {
  test("holds nobody up: neither requests, nor other apps' mails, nor the end of the daemon", async () => {
    const sockets = [];
    const deaf = net.createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
    await new Promise((ready) => deaf.on("listening", ready));
    w.set({ mail: { server: `smtp://127.0.0.1:${deaf.address().port}`, from: "a@shop.example" } });
    await w.signUp("joy", { email: "joy@example.org" });
    await until(() => sockets.length > 0, "the mail's connection");
    for (let i = 0; i < 20; i++) assert.equal((await w.ask("GET", "/classes/Thing")).status, 200);
    await w.hob.stop();
    await w.hob.launch();
    w.moved();
    sockets.forEach((socket) => socket.destroy());
    deaf.close();
  });
});

describe("an app without a mail server", { skip }, () => {
  test("says so, with a number that no client repeats", async () => {
    w.set({ mail: null });
    assert.match(await w.refused(108, "POST", "/requestPasswordReset", { email: "ann@example.org" }), /mail/);
    assert.equal((await w.ask("POST", "/users", { username: "ida", password: "x", email: "ida@example.org" })).status, 201);
  });
});
