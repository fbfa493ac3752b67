// Mail over TLS: STARTTLS and TLS from the first byte, with a certificate that the app's own authority signed, and with wrong
// ones: then nothing is sent, the log says why, and the mail comes as soon as the server is in order.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { until } from "../e2e/harness.mjs";
import { World, need, skip as noPackages } from "./auth_world.mjs";

const noOpenssl = spawnSync("openssl", ["version"]).status === 0 ? false : "there is no openssl to make certificates with";
const skip = noPackages ?? noOpenssl;
if (noOpenssl) console.error(`SKIPPED: ${noOpenssl}`);

let w, dir, mails = [], sessions = [], server;

function openssl(...args) {
  const done = spawnSync("openssl", args, { cwd: dir, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

/** An authority NAME.pem, and a certificate of it for 127.0.0.1, or for another host. */
function makeAuthority(name, host = "IP:127.0.0.1") {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.pem`,
    "-days", "2", "-subj", `/CN=${name} of tests`);
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}-server.key`, "-out", `${name}.csr`, "-subj", "/CN=mail");
  fs.writeFileSync(path.join(dir, `${name}.ext`), `subjectAltName=${host}\n`);
  openssl("x509", "-req", "-in", `${name}.csr`, "-CA", `${name}.pem`, "-CAkey", `${name}.key`, "-CAcreateserial", "-days", "2", "-extfile", `${name}.ext`, "-out", `${name}-server.pem`);
}

/** Takes mails with that authority's certificate; `tls`: "starttls", "tls" or "none". */
async function startSmtp(tls, authority) {
  const { SMTPServer } = need("smtp-server");
  const of = (file) => fs.readFileSync(path.join(dir, file));
  server = new SMTPServer({
    authOptional: true, logger: false, secure: tls === "tls", ...(tls === "none" ? { disabledCommands: ["STARTTLS"], allowInsecureAuth: true } : {
      key: of(`${authority}-server.key`), cert: of(`${authority}-server.pem`) }),
    onAuth: (auth, session, done) => (sessions.push({ ...auth, secure: session.secure }), done(null, { user: auth.username })),
    onData(stream, session, done) {
      stream.resume();
      stream.on("end", () => (mails.push({ to: session.envelope.rcptTo.map((r) => r.address), secure: session.secure, cipher: session.tlsOptions }), done()));
    },
  });
  server.on("error", () => {}); // clients that go away in the middle of a handshake
  await new Promise((started) => server.listen(0, "127.0.0.1", started));
  return server.server.address().port;
}
const stopSmtp = () => new Promise((closed) => (server ? server.close(closed) : closed()));
const mailTo = (to) => until(() => mails.find((m) => m.to.includes(to)), `a mail to ${to}`, 30000);
const useServer = (scheme, port, more = {}) => w.set({ mail: { server: `${scheme}://127.0.0.1:${port}`, from: "a@shop.example", caFile: path.join(dir, "good.pem"), ...more } });
/** What the daemon's log says of mails that failed. */
const failure = (pattern) => until(() => w.hob.stderr.match(pattern), `${pattern} in the log: ${w.hob.stderr.slice(-600)}`, 30000);

before(async () => {
  if (skip) return;
  w = await World.start({ verifyUserEmails: true });
  dir = path.join(w.hob.dir, "tls");
  fs.mkdirSync(dir, { mode: 0o755 });
  makeAuthority("good");
  makeAuthority("evil");
  makeAuthority("moved", "DNS:mail.example.org");
  for (const name of ["good.pem", "moved.pem"]) fs.chmodSync(path.join(dir, name), 0o644); // hobd is another user
  assert.ok((await w.hob.api("PUT", "/v1/apps/shop/secrets/SMTP_PASSWORD", { value: "pass word" })).status < 300);
});
after(async () => {
  await stopSmtp();
  await w?.hob.close();
});
beforeEach(async () => {
  mails = [];
  sessions = [];
});

describe("mail over TLS", { skip }, () => {
  for (const [tls, scheme] of [["starttls", "smtp"], ["tls", "smtps"]]) {
    test(`goes by ${tls} to a server that the app's authority vouches for, with name and password`, async () => {
      useServer(scheme, await startSmtp(tls, "good"), { requireTLS: true, user: "shop", passwordSecret: "SMTP_PASSWORD" });
      await w.signUp(`by-${tls}`, { email: `${tls}@example.org` });
      assert.equal((await mailTo(`${tls}@example.org`)).secure, true);
      assert.deepEqual(sessions.map((s) => [s.username, s.password, s.secure]), [["shop", "pass word", true]]);
      await stopSmtp();
    });

    test(`does not go by ${tls} to a server with a certificate of somebody else, and the log says why`, async () => {
      const port = await startSmtp(tls, "evil");
      useServer(scheme, port, { user: "shop", passwordSecret: "SMTP_PASSWORD" });
      w.hob.stderr = "";
      await w.signUp(`evil-${tls}`, { email: `evil-${tls}@example.org` });
      await failure(/mail\.failed.*TLS with the mail server failed: .*certificate/i);
      assert.deepEqual([mails, sessions], [[], []], "neither the mail nor the password was told");
      await stopSmtp();
      useServer(scheme, await startSmtp(tls, "good"));
      await mailTo(`evil-${tls}@example.org`);
      await stopSmtp();
    });
  }

  test("does not go to a server whose certificate is for another host", async () => {
    useServer("smtps", await startSmtp("tls", "moved"), { caFile: path.join(dir, "moved.pem") });
    w.hob.stderr = "";
    await w.signUp("moved", { email: "moved@example.org" });
    await failure(/mail\.failed.*TLS with the mail server failed: /);
    assert.deepEqual(mails, []);
    await stopSmtp();
  });

  test("does not go in the clear where TLS is required, and the log says so", async () => {
    useServer("smtp", await startSmtp("none"), { requireTLS: true });
    w.hob.stderr = "";
    await w.signUp("clear", { email: "clear@example.org" });
    await failure(/mail\.failed.*offers no TLS/);
    assert.deepEqual(mails, []);
    await stopSmtp();
  });

  test("says which file of authorities cannot be read", async () => {
    useServer("smtps", await startSmtp("tls", "good"), { caFile: path.join(dir, "nothing.pem") });
    w.hob.stderr = "";
    await w.signUp("nofile", { email: "nofile@example.org" });
    await failure(/mail\.failed.*TLS with the mail server failed: .*nothing\.pem/);
    await stopSmtp();
  });
});
