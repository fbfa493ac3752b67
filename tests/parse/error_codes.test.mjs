// Every number of an error that the protocol has: a real request that provokes it, with its status and its words; or the
// reason why no server gives it, which docs/compatibility.md tells as well.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, ROOT, isRoot, request } from "../e2e/harness.mjs";
import { App, op, pointer } from "./app.mjs";

/* The protocol's list. `never`: why no answer of ours has it, unless cloud code throws it itself. */
const PROTOCOL = {
  "-1": "OTHER_CAUSE", 1: "INTERNAL_SERVER_ERROR", 100: "CONNECTION_FAILED", 101: "OBJECT_NOT_FOUND", 102: "INVALID_QUERY", 103: "INVALID_CLASS_NAME",
  104: "MISSING_OBJECT_ID", 105: "INVALID_KEY_NAME", 106: "INVALID_POINTER", 107: "INVALID_JSON", 108: "COMMAND_UNAVAILABLE", 109: "NOT_INITIALIZED",
  111: "INCORRECT_TYPE", 112: "INVALID_CHANNEL_NAME", 115: "PUSH_MISCONFIGURED", 116: "OBJECT_TOO_LARGE", 119: "OPERATION_FORBIDDEN", 120: "CACHE_MISS",
  121: "INVALID_NESTED_KEY", 122: "INVALID_FILE_NAME", 123: "INVALID_ACL", 124: "TIMEOUT", 125: "INVALID_EMAIL_ADDRESS", 126: "MISSING_CONTENT_TYPE",
  127: "MISSING_CONTENT_LENGTH", 128: "INVALID_CONTENT_LENGTH", 129: "FILE_TOO_LARGE", 130: "FILE_SAVE_ERROR", 132: "installation ambiguous",
  135: "missing required id or name", 136: "field may not change", 137: "DUPLICATE_VALUE", 139: "INVALID_ROLE_NAME", 140: "EXCEEDED_QUOTA",
  141: "SCRIPT_FAILED", 142: "VALIDATION_ERROR", 143: "hooks", 151: "UNSAVED_FILE_ERROR", 152: "INVALID_PUSH_TIME_ERROR", 153: "FILE_DELETE_ERROR",
  155: "REQUEST_LIMIT_EXCEEDED", 159: "DUPLICATE_REQUEST", 160: "INVALID_EVENT_NAME", 161: "FILE_DELETE_UNNAMED_ERROR", 162: "INVALID_VALUE",
  200: "USERNAME_MISSING", 201: "PASSWORD_MISSING", 202: "USERNAME_TAKEN", 203: "EMAIL_TAKEN", 204: "EMAIL_MISSING", 205: "EMAIL_NOT_FOUND",
  206: "SESSION_MISSING", 207: "MUST_CREATE_USER_THROUGH_SIGNUP", 208: "ACCOUNT_ALREADY_LINKED", 209: "INVALID_SESSION_TOKEN", 210: "MFA_ERROR",
  211: "MFA_TOKEN_REQUIRED", 250: "LINKED_ID_MISSING", 251: "INVALID_LINKED_SESSION", 252: "UNSUPPORTED_SERVICE", 255: "INVALID_SCHEMA_OPERATION",
  600: "AGGREGATE_ERROR", 601: "FILE_READ_ERROR", 602: "X_DOMAIN_REQUEST",
};
const NEVER = {
  106: "a pointer that is none is of a wrong type: 111", 109: "of SDKs, before they are initialized", 112: "names of channels are not judged",
  120: "of SDKs' caches", 126: "a missing content type is allowed", 127: "a body may be chunked", 128: "refused by HTTP itself, with 400",
  129: "a body beyond maxUploadSize is refused by HTTP itself, with 413", 151: "of SDKs, before a file is saved", 152: "push is not there yet: 115",
  160: "events are taken and dropped", 161: "a DELETE without a name has no route: 404", 207: "POST /classes/_User signs up",
  210: "a wrong code is 141", 211: "a missing code is -1", 250: "an identity without id is 252", 251: "a provider's refusal is 101",
  600: "of SDKs", 601: "of SDKs", 602: "of SDKs",
};

let daemon, app, plain, hook, thrown;
const as = "master";

/** A webhook: /CODE throws that number, /never does not answer. */
const startHook = () => new Promise((ready) => {
  const server = http.createServer((rq, rs) => {
    rq.resume();
    if (rq.url !== "/never") rq.on("end", () => rs.end(JSON.stringify({ error: { code: Number(rq.url.slice(1)), error: "thrown" } })));
  });
  server.listen(0, "127.0.0.1", () => ready(server));
});
const small = async (d) => {
  fs.mkdirSync(d.home);
  if (isRoot) assert.equal(spawnSync("mount", ["-t", "tmpfs", "-o", "size=48m,mode=0755", "hob-codes", d.home]).status, 0);
};

before(async () => {
  hook = await startHook();
  daemon = await Daemon.start({ env: { HOB_APPS_REACH_PRIVATE: "1" }, prepare: small });
  app = await App.make(daemon, "shop", { allowCustomObjectId: true, triggerTimeMs: 60000, passwordPolicy: { validatorPattern: "^.{6,}$" },
    verifyUserEmails: true, idempotencyOptions: { paths: ["classes/Once"], ttl: 60 },
    rateLimit: [{ requestPath: "/classes/Rare", requestTimeWindow: 600000, requestCount: 1, includeInternalRequests: true }] });
  await app.create("A", {});
  plain = await App.make(daemon, "plain", { enableAnonymousUsers: true });
  const url = `http://127.0.0.1:${hook.address().port}`;
  for (const name of Object.keys(PROTOCOL))
    await app.need("POST", "/hooks/functions", { as, body: { functionName: `f${name.replace("-", "m")}`, url: `${url}/${name}` } });
  thrown = (code) => app.ask("POST", `/functions/f${String(code).replace("-", "m")}`, { body: {} });
});
after(async () => {
  hook?.closeAllConnections();
  hook?.close();
  if (!daemon) return;
  try {
    await daemon.stop({ isClean: !isRoot });
  } finally {
    if (isRoot) spawnSync("umount", ["-l", daemon.home]);
    fs.rmSync(daemon.dir, { recursive: true, force: true });
  }
});

const ask = (method, where, options) => app.ask(method, where, options);
const create = (className, body, options) => app.ask("POST", `/classes/${className}`, { body, ...options });
const signUp = (username, more) => app.ask("POST", "/users", { body: { username, password: "secret-of-tests", ...more } });
const set = (settings) => daemon.api("PATCH", "/v1/apps/shop/backend", { settings });

/** The passwords of one app that wait are bounded: of many at once some are refused. More of them where hashing is fast. */
async function crowd() {
  const body = { username: "nobody", password: "wrong" };
  for (let n = 200; n <= 3200; n *= 2) {
    const requests = Array.from({ length: n }, () => ({ method: "POST", path: "/parse/login", body }));
    const [parts, ...answers] = await Promise.all([plain.need("POST", "/batch", { body: { requests } }),
      ...Array.from({ length: n / 2 }, () => plain.ask("POST", "/login", { body }))]);
    for (const { error } of parts) assert.ok([101, 155].includes(error.code), JSON.stringify(error));
    const refused = answers.find((answer) => answer.status === 429);
    if (refused) return refused;
  }
  return assert.fail("nobody had to wait too long");
}

/** A database of an app that is none. */
async function damaged() {
  const broken = await App.make(daemon, "broken");
  const file = path.join(daemon.home, "data/broken.db");
  for (const name of [file, `${file}-wal`]) fs.writeFileSync(name, Buffer.alloc(8192, 0x5a));
  return broken.ask("GET", "/classes/A");
}

/** Nothing more fits on the disk; afterwards it does again. */
async function fullDisk() {
  const filler = path.join(daemon.home, "filler"), fd = fs.openSync(filler, "w"), block = Buffer.alloc(65536);
  const text = "x".repeat(100000);
  let answer;
  try {
    for (const size of [65536, 512]) {
      try {
        for (;;) fs.writeSync(fd, block, 0, size);
      } catch (error) {
        assert.equal(error.code, "ENOSPC");
      }
    }
    for (let i = 0; i < 50 && answer?.status !== 503; i++) answer = await create("Large", { text });
  } finally {
    fs.closeSync(fd);
    fs.rmSync(filler);
  }
  assert.equal((await create("Large", { text })).status, 201, "with room again it works");
  return answer;
}

async function twoInstallations() {
  for (const installationId of ["one", "two"])
    await app.need("POST", "/installations", { body: { installationId, deviceType: "ios", deviceToken: installationId } });
  const rows = await app.find("_Installation", {}, { as });
  for (const { objectId } of rows) await app.need("PUT", `/classes/_Installation/${objectId}`, { as, body: { deviceToken: "shared", appIdentifier: objectId } });
  return ask("POST", "/installations", { body: { deviceType: "ios", deviceToken: "shared" } });
}

/* number -> [what provokes it, its words, its status unless 400]. */
const PROVOKED = {
  "-1": [() => ask("POST", "/challenge", { body: {} }), "Nothing to challenge."],
  1: [damaged, "Internal server error.", 500],
  100: [async () => (await ask("GET", "/classes/Rare"), ask("GET", "/classes/Rare")), "Too many requests.", 429],
  101: [() => ask("GET", "/classes/A/nosuchthing"), "Object not found.", 404],
  102: [() => ask("GET", "/classes/A", { query: { nonsense: 1 } }), "Invalid parameter for query: nonsense"],
  103: [() => ask("GET", "/schemas/Nothing", { as }), "Class Nothing does not exist."],
  104: [() => create("A", { objectId: "" }), "objectId must not be empty, null or undefined"],
  105: [() => create("A", { "a b": 1 }), "Invalid field name: a b."],
  107: [() => ask("GET", "/classes/A", { query: { where: { a: { $foo: 1 } } } }), "bad constraint: $foo"],
  108: [() => ask("POST", "/graphql", { body: {} }), "/graphql is not supported yet"],
  111: [async () => (await create("Typed", { n: 1 }), create("Typed", { n: "text" })), "schema mismatch for Typed.n; expected Number but got String"],
  115: [() => ask("POST", "/push", { as, body: { channels: ["a"], data: { alert: "x" } } }), "Push is not supported yet"],
  116: [() => create("Wide", Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`f${i}`, 1]))), /at most \d+ fields/],
  119: [() => ask("GET", "/classes/_JobStatus"), "Clients aren't allowed to perform the find operation on the _JobStatus collection."],
  121: [() => create("A", { o: { "a.b": 1 } }), "Nested keys should not contain the '$' or '.' characters"],
  122: [() => ask("POST", "/files/.hidden", { as, body: "x" }), /^Filename contains invalid characters\. Use a-z/],
  123: [() => create("A", { ACL: { "*unresolved": { read: true } } }), "Invalid ACL."],
  124: [async () => {
    await set({ triggerTimeMs: 100 });
    await app.need("POST", "/hooks/triggers", { as, body: { className: "Slow", triggerName: "beforeSave", url: `http://127.0.0.1:${hook.address().port}/never` } });
    const answer = await create("Slow", {});
    await set({ triggerTimeMs: 60000 });
    return answer;
  }, /^cloud code took too long: /],
  125: [() => signUp("bad-mail", { email: "none" }), "Email address format is invalid."],
  130: [() => ask("POST", "/files/a.txt", { body: "x" }), "File upload by public is disabled."],
  132: [twoInstallations, "Must specify installationId when deviceToken matches multiple Installation objects"],
  135: [() => ask("POST", "/installations", { body: { deviceType: "ios" } }), "at least one ID field (deviceToken, installationId) must be specified in this operation"],
  136: [async () => {
    const role = await app.need("POST", "/roles", { as, body: { name: "Fixed", ACL: {} } });
    return ask("PUT", `/roles/${role.objectId}`, { as, body: { name: "Other" } });
  }, "A role's name cannot be changed."],
  137: [async () => (await create("Same", { objectId: "same" }), create("Same", { objectId: "same" })), "A duplicate value for a field with unique values was provided"],
  139: [() => ask("POST", "/roles", { as, body: { name: "a/b", ACL: {} } }), "A role's name can be only contain alphanumeric characters, _, -, and spaces."],
  140: [fullDisk, /space|full/i, 503],
  141: [() => ask("POST", "/functions/nothing", { body: {} }), "Invalid function: \"nothing\""],
  142: [() => ask("POST", "/users", { body: { username: "weak", password: "short" } }), "Password does not meet the Password Policy requirements."],
  143: [() => ask("GET", "/hooks/functions/nothing", { as }), "no function named: nothing is defined"],
  153: [() => ask("DELETE", "/files/nothing.txt", { as }), "Could not delete file."],
  155: [crowd, "too many passwords are being checked now: try again in a moment", 429],
  159: [async () => {
    const headers = { "x-parse-request-id": "once" };
    await create("Once", {}, { headers });
    return create("Once", {}, { headers });
  }, "Duplicate request"],
  162: [() => ask("POST", "/loginAs", { as, body: {} }), "userId must not be empty, null, or undefined"],
  200: [() => ask("POST", "/users", { body: { password: "secret" } }), "bad or missing username"],
  201: [() => ask("POST", "/users", { body: { username: "no-password" } }), "password is required"],
  202: [async () => (await signUp("Taken"), signUp("taken")), "Account already exists for this username."],
  203: [async () => (await signUp("m1", { email: "m@example.org" }), signUp("m2", { email: "M@example.org" })), "Account already exists for this email address."],
  204: [() => ask("POST", "/requestPasswordReset", { body: {} }), "you must provide an email"],
  205: [async () => {
    await set({ preventLoginWithUnverifiedEmail: true });
    await signUp("unverified", { email: "unverified@example.org" });
    const answer = await ask("POST", "/login", { body: { username: "unverified", password: "secret-of-tests" } });
    await set({ preventLoginWithUnverifiedEmail: false });
    return answer;
  }, "User email is not verified."],
  206: [async () => {
    const { objectId } = await plain.signUp("somebody");
    return plain.ask("PUT", `/users/${objectId}`, { body: { nick: "x" } });
  }, /^Cannot modify user /],
  208: [async () => {
    const authData = { anonymous: { id: "one" } };
    await plain.need("POST", "/users", { body: { authData } });
    const other = await plain.signUp("linker");
    return plain.ask("PUT", `/users/${other.objectId}`, { as: other.sessionToken, body: { authData } });
  }, "this auth is already used"],
  209: [() => ask("GET", "/users/me", { as: "r:00000000000000000000000000000000" }), "Invalid session token"],
  252: [() => ask("POST", "/users", { body: { authData: { nobody: { id: "x" } } } }), "This authentication method is unsupported."],
  255: [async () => {
    await create("Filled", { a: 1 });
    return ask("DELETE", "/schemas/Filled", { as });
  }, "Class Filled is not empty, contains 1 objects, cannot drop schema."],
};

describe("numbers of errors", () => {
  test("each of the protocol is provoked here, or has a reason why it never comes", () => {
    const said = fs.readFileSync(path.join(ROOT, "docs/compatibility.md"), "utf8");
    const told = [...(said.match(/^Numbers that are never given:.*$/m)?.[0] ?? "").matchAll(/(\d+) \(/g)].map((m) => m[1]);
    assert.deepEqual([...Object.keys(PROVOKED), ...Object.keys(NEVER)].sort(), Object.keys(PROTOCOL).sort());
    assert.deepEqual(told.sort(), Object.keys(NEVER).sort(), "docs/compatibility.md names the same ones");
  });

  for (const [code, [provoke, words, status = 400]] of Object.entries(PROVOKED)) {
    const skip = code === "140" && !isRoot ? "only root can mount a small disk" : false;
    test(`${code} ${PROTOCOL[code]} comes with its status and words`, { skip, timeout: 120000 }, async () => {
      const answer = await provoke();
      assert.equal(answer.json?.code, Number(code), `${answer.status} ${answer.text}`);
      assert.equal(answer.status, status, answer.text);
      if (words instanceof RegExp) assert.match(answer.json.error, words);
      else assert.equal(answer.json.error, words);
    });
  }

  test("whatever number cloud code throws arrives as it was thrown", async () => {
    for (const code of Object.keys(PROTOCOL).map(Number)) {
      const answer = await thrown(code);
      assert.equal(answer.json.code, code, answer.text);
      if (code !== 1) assert.equal(answer.json.error, "thrown");
      assert.equal(answer.status, { 1: 500, 101: 404, 155: 429 }[code] ?? 400, `${code}`);
    }
  });
});
