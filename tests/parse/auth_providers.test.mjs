// Third-party log-in: a real OpenID provider (oidc-provider), the SDK linking and unlinking, and a provider of our own that
// answers what hostile ones would.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { Daemon } from "../e2e/harness.mjs";
import { MASTER, SECRET, World, load, skip, totp } from "./auth_world.mjs";

let w, house, fake;
const listen = (server) => new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
const CALLBACK = "http://127.0.0.1:1/callback";

/* Debian's Node 18 has no getSetCookie(); there a comma in front of a name parts them. */
const cookiesOf = ({ headers }) => headers.getSetCookie?.() ?? (headers.get("set-cookie") ?? "").split(/, (?=[^;,]+=)/).filter(Boolean);

/** oidc-provider with one client, and a browser that logs in as whom it is told. */
async function startHouse() {
  const { default: Provider } = await load("oidc-provider");
  const server = await listen(http.createServer());
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const silent = console.warn;
  console.warn = console.info = () => {}; // it warns of its own development keys
  const provider = new Provider(issuer, {
    clients: [{ client_id: "shop-client", client_secret: "s3cret", redirect_uris: [CALLBACK], response_types: ["code"],
      grant_types: ["authorization_code"], token_endpoint_auth_method: "client_secret_post" }],
    cookies: { keys: ["k"] }, pkce: { required: () => false },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  console.warn = silent;
  server.on("request", provider.callback());
  const code = async (login, more = {}) => {
    const jar = new Map();
    const go = async (url, body) => {
      const answer = await fetch(url, { redirect: "manual", method: body ? "POST" : "GET", body: body && new URLSearchParams(body),
        headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; ") } });
      for (const line of cookiesOf(answer)) jar.set(...line.split(";")[0].split(/=(.*)/s).slice(0, 2));
      const next = answer.headers.get("location");
      return next ? new URL(next, url).href : answer.text();
    };
    let url = `${issuer}/auth?${new URLSearchParams({ client_id: "shop-client", response_type: "code", redirect_uri: CALLBACK, scope: "openid", ...more })}`;
    for (let i = 0; i < 12 && !url.startsWith(CALLBACK); i++) {
      const isInteraction = url.includes("/interaction/");
      if (isInteraction && (await go(url)).includes('value="login"')) url = await go(url, { prompt: "login", login, password: "x" });
      else url = await go(url, isInteraction ? { prompt: "consent" } : undefined);
    }
    return new URL(url).searchParams.get("code");
  };
  const idToken = async (login, more) => {
    const answer = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams({ grant_type: "authorization_code",
      client_id: "shop-client", client_secret: "s3cret", redirect_uri: CALLBACK, code: await code(login, more) }) });
    return (await answer.json()).id_token;
  };
  return { issuer, server, code, idToken };
}

/** A provider whose keys and answers the tests choose; counts what it is asked. */
async function startFake() {
  const f = { asked: {}, keys: [], answers: {} };
  f.server = await listen(http.createServer((req, res) => {
    const at = req.url.split("?")[0];
    f.asked[at] = (f.asked[at] ?? 0) + 1;
    let body = "";
    req.on("data", (part) => (body += part));
    req.on("end", () => {
      f.last = { url: req.url, body: new URLSearchParams(body), headers: req.headers };
      const answer = f.answers[at] ?? (at === "/keys" ? { keys: f.keys } : undefined);
      if (typeof answer === "function") return answer(req, res);
      res.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
      res.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? {}));
    });
  }));
  f.url = `http://127.0.0.1:${f.server.address().port}`;
  f.answers["/.well-known/openid-configuration"] = { issuer: f.url, jwks_uri: `${f.url}/keys`, token_endpoint: `${f.url}/token` };
  f.addKey = (kid) => {
    const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    f.keys.push({ ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "ES256" });
    return privateKey;
  };
  f.token = (key, kid, claims) => {
    const now = Math.floor(Date.now() / 1000);
    const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
    const text = `${part({ alg: "ES256", kid })}.${part({ iss: f.url, aud: "client", sub: "u1", iat: now, exp: now + 300, ...claims })}`;
    return `${text}.${crypto.sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  };
  return f;
}

before(async () => {
  if (skip) return;
  [house, fake] = await Promise.all([startHouse(), startFake()]);
  w = await World.start();
  const done = w.hob.cli(["secret", "set", "--app", "shop", "HOUSE_SECRET"], { input: "s3cret" });
  assert.equal(done.code, 0, done.err);
  w.set({ auth: {
    mfa: {}, house: { issuer: house.issuer, clientId: "shop-client", clientSecretName: "HOUSE_SECRET" },
    other: { issuer: fake.url, clientId: "client" }, strict: { issuer: fake.url, clientId: "client", requireNonce: true },
    github: { clientId: "gh", clientSecret: "gh-secret", tokenUrl: `${fake.url}/gh/token`, userUrl: `${fake.url}/gh/user` },
    tokens: { type: "oauth2", clientId: "x", userUrl: `${fake.url}/gh/user`, allowAccessToken: true },
    wechat: { clientId: "wx", clientSecret: "wx-secret", tokenUrl: `${fake.url}/wx/token`, userUrl: `${fake.url}/wx/auth` },
    ours: { function: "judge" }, off: { enabled: false, issuer: fake.url, clientId: "client" } } });
});
after(async () => {
  await w?.hob.close();
  house?.server.closeAllConnections();
  house?.server.close();
  fake?.server.closeAllConnections();
  fake?.server.close();
});
const enter = (authData, headers) => w.ask("POST", "/users", { authData }, headers);
const refuses = (code, authData) => w.refused(code, "POST", "/users", { authData });

describe("an OpenID provider", { skip }, () => {
  test("lets somebody in by a code, the same user each time, each code once", async () => {
    const code = await house.code("ann");
    const made = await enter({ house: { code, redirect_uri: CALLBACK } });
    assert.equal(made.status, 201, made.text);
    assert.match(made.json.sessionToken, /^r:/);
    assert.equal(made.json.username.length, 25);
    await refuses(101, { house: { code, redirect_uri: CALLBACK } });
    const again = await enter({ house: { code: await house.code("ann"), redirect_uri: CALLBACK } });
    assert.equal(again.status, 200, again.text);
    assert.equal(again.json.objectId, made.json.objectId);
    assert.deepEqual(again.json.authData, { house: { id: "ann" } });
    assert.notEqual(again.json.sessionToken, made.json.sessionToken);
  });

  test("lets somebody in by an identity token, for nobody else and with its own nonce only", async () => {
    const token = await house.idToken("bob", { nonce: "n-1" });
    assert.equal((await enter({ house: { id: "bob", id_token: token, nonce: "n-1" } })).status, 201);
    await refuses(101, { house: { id: "ann", id_token: token } });
    await refuses(101, { house: { id: "bob", id_token: token, nonce: "n-2" } });
    await refuses(101, { house: { id: "bob", id_token: `${token}x` } });
    await refuses(101, { house: { id: "bob" } });
    await refuses(101, { house: { id: "bob", access_token: token } });
  });

  test("is linked and unlinked by the SDK, and serves one user only", async () => {
    const { Parse } = w;
    const provider = (authData) => ({ authenticate: (o) => o.success(provider, authData), restoreAuthentication: () => true,
      getAuthType: () => "house", deauthenticate() {} });
    const id_token = await house.idToken("cora");
    const cora = await Parse.User.signUp("cora", "secret");
    await cora.linkWith(provider(), { authData: { id: "cora", id_token } });
    assert.ok(cora._isLinked("house"));
    await Parse.User.logOut();
    const back = await Parse.User.logInWith(provider(), { authData: { id: "cora", id_token } });
    assert.equal(back.id, cora.id);
    assert.equal(back.get("username"), "cora");
    await Parse.User.logOut();
    const dan = await w.signUp("dan");
    await w.refused(208, "PUT", `/users/${dan.id}`, { authData: { house: { id: "cora", id_token } } }, dan.as);
    const again = await Parse.User.logIn("cora", "secret");
    await again._unlinkFrom(provider());
    await Parse.User.logOut();
    assert.equal((await w.ask("PUT", `/users/${dan.id}`, { authData: { house: { id: "cora", id_token } } }, dan.as)).status, 200);
    assert.equal((await enter({ house: { id_token } })).json.objectId, dan.id);
  });

  test("does not open an account that asks for a second factor by itself", async () => {
    const id_token = await house.idToken("eve");
    const eve = (await enter({ house: { id_token } })).json;
    const as = { "x-parse-session-token": eve.sessionToken };
    assert.equal((await w.ask("PUT", `/users/${eve.objectId}`, { authData: { mfa: { secret: SECRET, token: totp(SECRET) } } }, as)).status, 200);
    await refuses(-1, { house: { id_token } });
    await refuses(141, { house: { id_token }, mfa: { token: "123456" } });
    assert.equal((await enter({ house: { id_token }, mfa: { token: totp(SECRET) } })).status, 200);
  });

  test("makes one user of two log-ins at once", async () => {
    const id_token = await house.idToken("finn");
    const both = await Promise.all([1, 2, 3].map(() => enter({ house: { id_token } })));
    for (const a of both) assert.ok(a.status === 200 || a.status === 201, a.text);
    assert.equal(new Set(both.map((a) => a.json.objectId)).size, 1);
    for (let round = 0; round < 10; round++) {
      const id = crypto.randomUUID(), password = "secret";
      const all = await Promise.all([1, 2, 3, 4, 5, 6].map((n) =>
        w.ask("POST", "/users", { authData: { anonymous: { id } }, ...(round % 2 && { username: `race-${round}`, password: `${password}-${n}` }) })));
      assert.deepEqual(all.map((a) => a.status).sort(), [200, 200, 200, 200, 200, 201], all.map((a) => a.text).join("\n"));
      assert.equal(new Set(all.map((a) => a.json.objectId)).size, 1);
      assert.equal(new Set(all.map((a) => a.json.sessionToken)).size, 6);
      if (round % 2 === 0) continue;
      const first = all.findIndex((a) => a.status === 201) + 1; // and no other's password
      assert.equal((await w.ask("POST", "/login", { username: `race-${round}`, password: `${password}-${first}` })).status, 200);
    }
    const taken = await Promise.all([1, 2].map(() =>
      w.ask("POST", "/users", { username: "race-1", password: "x", authData: { anonymous: { id: crypto.randomUUID() } } })));
    for (const a of taken) assert.equal(a.json.code, 202, a.text);
  });
});

describe("keys of a provider", { skip }, () => {
  test("are asked for once, anew when they have changed, and not for every name that is invented", async () => {
    const key = fake.addKey("k1");
    assert.equal((await enter({ other: { id_token: fake.token(key, "k1", { sub: "a" }) } })).status, 201);
    assert.equal((await enter({ other: { id_token: fake.token(key, "k1", { sub: "b" }) } })).status, 201);
    assert.equal(fake.asked["/keys"], 1);
    for (let i = 0; i < 5; i++) await refuses(101, { other: { id_token: fake.token(key, `invented-${i}`, {}) } });
    assert.ok(fake.asked["/keys"] <= 2, `${fake.asked["/keys"]} times`);
  });

  test("do not serve for a token of another key, or without the nonce that the app asks for", async () => {
    const { privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = fake.addKey("k2");
    await refuses(101, { other: { id_token: fake.token(privateKey, "k1", {}) } });
    await refuses(101, { strict: { id_token: fake.token(key, "k2", {}) } });
  });

  test("may be missing, endless, no JSON, of another issuer or far away: that is said and not waited for", async () => {
    const key = fake.addKey("x");
    const cases = { missing: undefined, endless: JSON.stringify({ keys: [{ kid: "x".repeat(300000) }] }), nonsense: "<html>", list: "[]",
      away: (req, res) => (res.writeHead(302, { location: "file:///etc/passwd" }), res.end()),
      broken: (req, res) => res.destroy(), failing: (req, res) => (res.writeHead(500), res.end()) };
    for (const [name, answer] of Object.entries(cases)) {
      fake.answers[`/${name}/keys`] = answer;
      w.set({ auth: { odd: { issuer: fake.url, jwksUrl: `${fake.url}/${name}/keys`, clientId: "client" } } });
      const { status, json } = await enter({ odd: { id_token: fake.token(key, "x", {}) } });
      assert.ok([400, 404, 503].includes(status) && [252, 101, 100].includes(json.code), `${name}: ${status} ${JSON.stringify(json)}`);
    }
    w.set({ auth: { odd: { issuer: `${fake.url}/other`, clientId: "client" } } });
    fake.answers["/other/.well-known/openid-configuration"] = fake.answers["/.well-known/openid-configuration"];
    await refuses(252, { odd: { id_token: fake.token(key, "x", {}) } });
  });
});

describe("other ways", { skip }, () => {
  before(() => w.set({ auth: {
    github: { clientId: "gh", clientSecret: "gh-secret", tokenUrl: `${fake.url}/gh/token`, userUrl: `${fake.url}/gh/user` },
    tokens: { type: "oauth2", clientId: "x", userUrl: `${fake.url}/gh/user`, allowAccessToken: true },
    wechat: { clientId: "wx", clientSecret: "wx-secret", tokenUrl: `${fake.url}/wx/token`, userUrl: `${fake.url}/wx/auth` },
    ours: { function: "judge" }, off: { enabled: false, issuer: fake.url, clientId: "client" } } }));

  test("GitHub: a code becomes a token, the token a number", async () => {
    fake.answers["/gh/token"] = { access_token: "t-1" };
    fake.answers["/gh/user"] = (req, res) => res.end(req.headers.authorization === "Bearer t-1" ? '{"id":583231,"login":"octocat"}' : "{}");
    const made = await enter({ github: { code: "c-1" } });
    assert.equal(made.status, 201, made.text);
    assert.equal((await enter({ github: { code: "c-2" } })).json.authData.github.id, "583231");
    await refuses(101, { github: { id: "1", code: "c-3" } });
    fake.answers["/gh/token"] = { error: "bad_verification_code" };
    await refuses(101, { github: { code: "c-4" } });
    fake.answers["/gh/token"] = { access_token: "t\r\nx-evil: 1" };
    await refuses(101, { github: { code: "c-5" } });
  });

  test("an access token, which could be any app's, is taken only where the app says so", async () => {
    await refuses(252, { github: { id: "583231", access_token: "t-1" } });
    assert.equal((await enter({ tokens: { id: "583231", access_token: "t-1" } })).status, 201);
    await refuses(101, { tokens: { id: "583231", access_token: "t-2" } });
    await refuses(101, { tokens: { id: "583231", access_token: "t-1\r\nx: y" } });
  });

  test("WeChat: a code becomes an openid, its own way of failing is understood", async () => {
    fake.answers["/wx/token"] = { access_token: "a", openid: "o-1", unionid: "u-1" };
    assert.equal((await enter({ wechat: { code: "c&d" } })).status, 201);
    assert.equal(fake.last.url, "/wx/token?appid=wx&secret=wx-secret&code=c%26d&grant_type=authorization_code");
    assert.equal((await enter({ wechat: { code: "c" } })).json.authData.wechat.id, "o-1");
    fake.answers["/wx/token"] = { errcode: 40029, errmsg: "invalid code" };
    await refuses(101, { wechat: { code: "c" } });
    await refuses(252, { wechat: { id: "o-1", access_token: "a" } });
  });

  test("a function of the app judges a provider of its own", async () => {
    await w.hob.deployOne("shop", "judge", "judge.mjs",
      'export const handler = async (e) => (e.authData.ticket === "good" ? { success: { id: "f-" + e.provider } } : { error: "no" });\n');
    const made = await enter({ ours: { ticket: "good" } });
    assert.equal(made.status, 201, made.text);
    assert.equal((await enter({ ours: { ticket: "good" } })).json.authData.ours.id, "f-ours");
    await refuses(101, { ours: { ticket: "bad" } });
    await refuses(101, { ours: { id: "another", ticket: "good" } });
  });

  test("a function of the app challenges, for who is recognized by a password or by an identity, or for anybody", async () => {
    await w.hob.deployOne("shop", "judge", "judge.mjs", `export const handler = async (e) => {
      if (e.triggerName === "checkAuthData") return e.authData.ticket === "good" ? { success: { id: "f-" + e.provider } } : { error: "no" };
      if (e.challengeData === "fail") return { error: { code: 4711, error: "not now" } };
      return e.challengeData === "nothing" ? {} : { success: { nonce: 1, asked: e.challengeData, user: e.user && e.user.objectId, secret: e.user && e.user.password, identity: e.authData } };
    };\n`);
    const challenge = (body) => w.ask("POST", "/challenge", body);
    const refused = (code, body) => w.refused(code, "POST", "/challenge", body);
    const cho = await w.signUp("cho");
    const one = (await enter({ ours: { ticket: "good" } })).json;
    const challengeData = { ours: { a: 1 }, github: true, nobody: {} };
    const anybody = await challenge({ challengeData });
    assert.deepEqual([anybody.status, anybody.json], [200, { challengeData: { ours: { nonce: 1, asked: { a: 1 } } } }]);
    assert.equal((await challenge({ username: "cho", password: "secret", challengeData })).json.challengeData.ours.user, cho.id);
    const known = (await challenge({ authData: { ours: { id: "f-ours", ticket: "good" } }, challengeData })).json.challengeData.ours;
    assert.deepEqual([known.user, known.identity, known.secret], [one.objectId, { id: "f-ours", ticket: "good" }, undefined]);
    assert.deepEqual((await challenge({ challengeData: { ours: "nothing" } })).json, { challengeData: { ours: true } });
    assert.equal(await refused(4711, { challengeData: { ours: "fail" } }), "not now");
    for (const authData of [{ ours: { id: "f-ours", ticket: "bad" } }, { ours: { id: "other", ticket: "good" } }, { nobody: { id: "x" } }, { anonymous: { id: "never-seen" } }, {}])
      assert.equal(await refused(101, { authData, challengeData }), "User not found.", JSON.stringify(authData));
    assert.equal(await refused(101, { username: "cho", password: "wrong", challengeData }), "Invalid username/password.");
    assert.equal(await refused(-1, {}), "Nothing to challenge.");
    assert.equal(await refused(-1, { challengeData: "x" }), "challengeData should be an object.");
    assert.equal(await refused(-1, { username: "cho", challengeData }), "You provided username or email, you need to also provide password.");
    assert.equal(await refused(-1, { authData: "x", challengeData }), "authData should be an object.");
    assert.equal(await refused(-1, { authData: { ours: "x" }, challengeData }), "authData.ours should be an object.");
    assert.equal(await refused(-1, { authData: { ours: { id: "1" }, github: { id: "1" } }, challengeData }), "You cannot provide more than one authData provider with an id.");
    assert.equal(await refused(-1, { username: "cho", password: "secret", authData: { ours: { id: "1" } }, challengeData }),
      "You cannot provide username/email and authData, only use one identification method.");
  });

  test("what is unknown, off or no object is refused", async () => {
    for (const authData of [{ nobody: { id: "1" } }, { off: { id_token: "x" } }, { github: "x" }, { github: [] }, { "../x": { id: "1" } },
      { "a b": { id: "1" } }, { anonymous: {} }, { anonymous: { id: "" } }, { anonymous: { id: "x".repeat(257) } }])
      await refuses(252, authData);
    w.set({ enableAnonymousUsers: false });
    await refuses(252, { anonymous: { id: "1" } });
    w.set({ enableAnonymousUsers: true });
  });
});

describe("the daemon's own network", { skip }, () => {
  test("is out of reach for apps unless the administrator opens it", async () => {
    const hob = await Daemon.start();
    try {
      const made = hob.cli(["app", "create", "tenant", "--master-key", MASTER,
        `auth=${JSON.stringify({ a: { issuer: fake.url, clientId: "client" }, b: { issuer: fake.url.replace("http:", "https:"), clientId: "client" },
          c: { type: "oauth2", clientId: "x", allowAccessToken: true, userUrl: `https://localhost:${fake.server.address().port}/user` },
          d: { issuer: "https://169.254.169.254", clientId: "client" } })}`]);
      assert.equal(made.code, 0, made.err);
      const before = JSON.stringify(fake.asked);
      for (const provider of ["a", "b", "c", "d"]) {
        const answer = await (await fetch(`${hob.url}/parse/users`, { method: "POST",
          headers: { "x-parse-application-id": "tenant", "content-type": "application/json" },
          body: JSON.stringify({ authData: { [provider]: { id_token: "a.b.c", access_token: "x" } } }) })).json();
        assert.equal(answer.code, 252, JSON.stringify(answer));
      }
      assert.equal(JSON.stringify(fake.asked), before);
    } finally {
      await hob.close();
    }
  });
});
