// Who may do what: a generated table of callers, objects' access lists, class permissions and operations, each judged by a
// model of the rules that stands here in a few lines, and by the backend. Then the finer rules, one by one.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { App, op, pointer, startDaemon } from "./app.mjs";

const CALLERS = ["anonymous", "owner", "other", "member", "nested", "master", "read-only-master", "maintenance"];
const OPS = ["get", "find", "count", "create", "update", "delete", "addField"];

let daemon, app, users;
before(async () => {
  daemon = await startDaemon();
  app = await App.make(daemon, "shop");
  users = Object.fromEntries(await Promise.all(["owner", "other", "member", "nested"].map(async (name) => [name, await app.signUp(name)])));
  const add = (className, ...ids) => op("AddRelation", { objects: ids.map((id) => pointer(className, id)) });
  const acl = { "*": { read: true } };
  const inner = await app.need("POST", "/roles", { as: "master", body: { name: "Inner", ACL: acl, users: add("_User", users.nested.objectId) } });
  await app.need("POST", "/roles", { as: "master", body: { name: "Team", ACL: acl, users: add("_User", users.member.objectId), roles: add("_Role", inner.objectId) } });
});
after(() => daemon.close());

const isMaster = (who) => ["master", "read-only-master", "maintenance"].includes(who);
const as = (who) => (who === "anonymous" ? undefined : isMaster(who) ? who : users[who].sessionToken);
const subjects = (who) => ["*", ...(users[who] ? [users[who].objectId] : []), ...(["member", "nested"].includes(who) ? ["role:Team"] : []), ...(who === "nested" ? ["role:Inner"] : [])];

/* Access lists of objects, by name; `u` gives users' ids. */
const ACLS = {
  none: () => undefined,
  empty: () => ({}),
  "public read": () => ({ "*": { read: true } }),
  "owner only": (u) => ({ [u("owner")]: { read: true, write: true } }),
  "owner writes, public reads": (u) => ({ "*": { read: true }, [u("owner")]: { write: true } }),
  "team": () => ({ "role:Team": { read: true, write: true } }),
  "inner role reads": () => ({ "role:Inner": { read: true } }),
  "other writes blindly": (u) => ({ [u("other")]: { write: true } }),
};
/* Class permissions: what each op grants. */
const CLPS = {
  open: () => undefined,
  closed: () => ({ find: {} }),
  "read for all": () => ({ get: { "*": true }, find: { "*": true }, count: { "*": true } }),
  "authenticated": () => Object.fromEntries(OPS.map((o) => [o, { requiresAuthentication: true }])),
  "team only": () => Object.fromEntries(OPS.map((o) => [o, { "role:Team": true }])),
  "owner only": (u) => Object.fromEntries(OPS.map((o) => [o, { [u("owner")]: true }])),
  "by pointer": () => ({ ...Object.fromEntries(OPS.map((o) => [o, { pointerFields: ["boss"] }])) }),
  "read and write fields": () => ({ ...Object.fromEntries(OPS.map((o) => [o, {}])), readUserFields: ["boss"], writeUserFields: ["crew"] }),
};

/* --- the model ---------------------------------------------------------------------------------------------------- */

/** "all", "none", "rows where the fields hold the caller", or a refusal's number. */
function classSays(who, clp, operation) {
  if (isMaster(who)) return { rows: "all" };
  if (!clp) return { rows: "all" };
  const grants = clp[operation] ?? {};
  if (subjects(who).some((s) => grants[s] === true)) return { rows: "all" };
  const isRead = ["get", "find", "count"].includes(operation);
  const fields = [...(grants.pointerFields ?? []), ...((isRead ? clp.readUserFields : clp.writeUserFields) ?? [])];
  if (grants.requiresAuthentication) {
    if (!users[who]) return { code: 101 };
    return fields.length ? { rows: fields } : { rows: "all" };
  }
  if (operation === "create" || !fields.length) return { code: 119 };
  if (!users[who]) return { rows: "none" };
  return { rows: fields };
}

const aclSays = (who, acl, right) => isMaster(who) || !acl || subjects(who).some((s) => acl[s]?.[right]);
const holds = (who, object, fields) => fields.some((f) => [object[f]].flat().some((p) => p?.objectId === users[who]?.objectId));

function admits(who, clp, operation, object, right) {
  const said = classSays(who, clp, operation);
  if (said.code) return said.code;
  if (said.rows === "none" || !aclSays(who, object.ACL, right)) return "hidden";
  return said.rows === "all" || holds(who, object, said.rows) ? "seen" : "hidden";
}

function expected(who, clp, operation, object) {
  if (who === "read-only-master" && ["create", "update", "delete", "addField"].includes(operation)) return 119;
  const said = admits(who, clp, operation === "addField" ? "update" : operation, object, ["get", "find", "count"].includes(operation) ? "read" : "write");
  if (operation === "create") return said === "hidden" || said === "seen" ? "ok" : said;
  if (["find", "count"].includes(operation)) return typeof said === "number" ? said : said === "seen" ? 1 : 0;
  if (said !== "seen") return said === "hidden" ? 101 : said;
  if (operation !== "addField") return "ok";
  const field = classSays(who, clp, "addField");
  return field.code ?? (field.rows === "none" ? 119 : "ok");
}

/* --- the backend --------------------------------------------------------------------------------------------------- */

async function perform(who, operation, className, object, n) {
  const options = { as: as(who) };
  const where = `/classes/${className}`, at = `${where}/${object.objectId}`;
  const answer = await {
    get: () => app.ask("GET", at, options),
    find: () => app.ask("GET", where, { ...options, query: { where: { objectId: object.objectId } } }),
    count: () => app.ask("GET", where, { ...options, query: { where: { objectId: object.objectId }, limit: 0, count: 1 } }),
    create: () => app.ask("POST", where, { ...options, body: { n: 2 } }),
    update: () => app.ask("PUT", at, { ...options, body: { n: 3 } }),
    delete: () => app.ask("DELETE", at, options),
    addField: () => app.ask("PUT", at, { ...options, body: { [`new${n}`]: 1 } }),
  }[operation]();
  assert.ok(answer.status < 500, answer.text);
  if (answer.status >= 400) return answer.json.code;
  return { find: () => answer.json.results.length, count: () => answer.json.count }[operation]?.() ?? "ok";
}

const schema = (className, body) => app.need("POST", `/schemas/${className}`, { as: "master", body });
let number = 0;
for (const [clpName, makeClp] of Object.entries(CLPS)) {
  test(`every caller and access list in a class that is ${clpName}`, async () => {
    const u = (name) => users[name].objectId;
    const className = `M${++number}`;
    const clp = makeClp(u);
    await app.need("POST", `/schemas/${className}`, { as: "master", body: { fields: { n: { type: "Number" },
      boss: { type: "Pointer", targetClass: "_User" }, crew: { type: "Array" } }, ...(clp ? { classLevelPermissions: clp } : {}) } });
    const wrong = [];
    for (const [aclName, makeAcl] of Object.entries(ACLS)) {
      const object = { n: 1, boss: pointer("_User", u("owner")), crew: [pointer("_User", u("other")), pointer("_User", u("nested"))] };
      const acl = makeAcl(u);
      if (acl) object.ACL = acl;
      const make = () => app.create(className, object, { as: "master" }).then((made) => ({ ...object, objectId: made.objectId }));
      let row = await make();
      const checks = [];
      for (const who of CALLERS)
        for (const operation of OPS) {
          if (operation === "delete") continue;
          const wanted = expected(who, clp, operation, row);
          checks.push(perform(who, operation, className, row, ++number).then((got) =>
            got === wanted || wrong.push(`${who} ${operation} [${aclName}]: ${got}, should be ${wanted}`)));
        }
      await Promise.all(checks);
      for (const who of CALLERS) {
        const wanted = expected(who, clp, "delete", row);
        const got = await perform(who, "delete", className, row);
        if (got !== wanted) wrong.push(`${who} delete [${aclName}]: ${got}, should be ${wanted}`);
        if (got === "ok") row = await make();
      }
    }
    assert.deepEqual(wrong, []);
  });
}

/* --- protected fields ---------------------------------------------------------------------------------------------- */

/* Who is in which lists; `row`: those that a row's pointers decide. */
const PROTECTS = {
  none: () => ({}),
  "from all": () => ({ "*": ["a", "b"] }),
  "from strangers": () => ({ "*": ["a", "b"], authenticated: [] }),
  "less from users": () => ({ "*": ["a", "b"], authenticated: ["b"] }),
  "from users only": () => ({ authenticated: ["a"] }),
  "not from a role": () => ({ "*": ["a"], "role:Team": [] }),
  "less from an inner role": () => ({ "*": ["a", "b"], "role:Inner": ["b"] }),
  "not from one user": (u) => ({ "*": ["a"], [u("other")]: [] }),
  "not from the row's boss": () => ({ "*": ["a", "b"], "userField:boss": ["b"] }),
  "not from the row's crew": () => ({ "*": ["a"], "userField:crew": [] }),
  "of one another": () => ({ "*": ["a"], authenticated: ["b"] }),
};
const hides = (who, lists, row) => {
  if (isMaster(who)) return [];
  const applies = (key) => subjects(who).includes(key) || (key === "authenticated" && users[who]) ||
    (row && key.startsWith("userField:") && users[who] && holds(who, row, [key.slice(10)]));
  const all = Object.entries(lists).filter(([key]) => applies(key)).map(([, names]) => names);
  return ["a", "b"].filter((name) => all.length && all.every((names) => names.includes(name)));
};

for (const [name, makeLists] of Object.entries(PROTECTS)) {
  test(`fields that are protected ${name} are shown, asked for, ordered by, included and answered as each caller may`, async () => {
    const u = (who) => users[who].objectId, lists = makeLists(u), className = `P${++number}`, wrong = [];
    await schema(className, { fields: { a: { type: "String" }, b: { type: "String" }, n: { type: "Number" }, boss: { type: "Pointer", targetClass: "_User" }, crew: { type: "Array" } },
      classLevelPermissions: { ...Object.fromEntries(OPS.map((o) => [o, { "*": true }])), protectedFields: lists } });
    const row = { a: "a", b: "b", n: 1, boss: pointer("_User", u("owner")), crew: [pointer("_User", u("other")), pointer("_User", u("nested"))] };
    const { objectId } = await app.create(className, row, { as: "master" });
    const holder = (await app.create(`${className}H`, { p: pointer(className, objectId) }, { as: "master" })).objectId;
    const shown = (o) => ["a", "b"].filter((f) => o && f in o).join();
    const check = (what, got, wanted) => got === wanted || wrong.push(`${what}: ${got}, should be ${wanted}`);
    await Promise.all(CALLERS.map(async (who) => {
      const options = { as: as(who) }, where = `/classes/${className}`;
      const hidden = hides(who, lists, row), fixed = hides(who, lists, null);
      const seen = ["a", "b"].filter((f) => !hidden.includes(f)).join();
      check(`${who} get`, shown(await app.get(className, objectId, options)), seen);
      check(`${who} find`, shown((await app.find(className, {}, options))[0]), seen);
      check(`${who} keys`, shown((await app.find(className, { keys: "a,b" }, options))[0]), seen);
      check(`${who} include`, shown((await app.get(`${className}H`, holder, { ...options, query: { include: "p" } })).p), seen);
      for (const f of ["a", "b"]) {
        const refused = fixed.includes(f) ? 119 : undefined;
        for (const query of [{ where: { [f]: "a" } }, { where: { $or: [{ n: 1 }, { [f]: { $exists: true } }] } }, { order: `-${f}` },
          { where: { [f]: { $regex: "^a" } }, limit: 0, count: 1 }])
          check(`${who} ${JSON.stringify(query)}`, (await app.ask("GET", where, { ...options, query })).json.code, refused);
      }
      if (who === "read-only-master") return;
      const put = await app.ask("PUT", `${where}/${objectId}`, { ...options, body: { n: op("Increment", { amount: 1 }) } });
      check(`${who} put`, `${put.status} ${shown(put.json)}`, "200 ");
    }));
    assert.deepEqual(wrong, []);
  });
}

/* --- the finer rules ----------------------------------------------------------------------------------------------- */

test("a refusal says so in the protocol's words", async () => {
  await schema("Words", { classLevelPermissions: { get: { requiresAuthentication: true } } });
  const find = await app.fails(119, "GET", "/classes/Words");
  assert.equal(find.error, "Permission denied for action find on class Words.");
  const get = await app.fails(101, "GET", "/classes/Words/abcdefghij");
  assert.equal(get.error, "Permission denied, user needs to be authenticated.");
  const dumb = await App.make(daemon, "dumb", { enableSanitizedErrorResponse: true, allowClientClassCreation: false });
  assert.equal((await dumb.fails(119, "POST", "/classes/New", { body: {} })).error, "Permission denied");
  assert.deepEqual((await dumb.ask("GET", "/schemas")).json, { error: "Permission denied" });
});

test("clients make classes only where the app lets them", async () => {
  const shut = await App.make(daemon, "shut", { allowClientClassCreation: false });
  await shut.fails(119, "POST", "/classes/New", { body: {} });
  await shut.create("New", {}, { as: "master" });
  await shut.create("New", { a: 1 });
});

test("an object takes its class's access list when it has none of its own", async () => {
  await schema("Listed", { classLevelPermissions: { ...Object.fromEntries(OPS.map((o) => [o, { "*": true }])), ACL: { currentUser: { read: true, write: true }, "role:Team": { read: true } } } });
  const o = await app.create("Listed", {}, { as: users.owner.sessionToken });
  assert.deepEqual(o.ACL, { "role:Team": { read: true }, [users.owner.objectId]: { read: true, write: true } });
  await app.fails(101, "GET", `/classes/Listed/${o.objectId}`);
  await app.get("Listed", o.objectId, { as: users.member.sessionToken });
  const own = await app.create("Listed", { ACL: { "*": { read: true } } }, { as: users.owner.sessionToken });
  assert.deepEqual((await app.get("Listed", own.objectId)).ACL, { "*": { read: true } });
});

test("an access list that is none is refused, and none can be asked for", async () => {
  for (const ACL of ["*", 5, [], { "*": true }, { "*": { read: "yes" } }, { "*": { delete: true } }, { "": { read: true } }, { "*unresolved": { read: true } }, { "role:": { read: true } }])
    await app.fails(123, "POST", "/classes/Acl", { body: { ACL } });
  await app.fails(102, "GET", "/classes/Acl", { query: { where: { ACL: { "*": { read: true } } } } });
});

test("protected fields are hidden from those they are protected from, also as conditions and in includes", async () => {
  const acl = { "*": { read: true } };
  await schema("Guarded", { fields: { secret: { type: "String" }, shy: { type: "String" }, open: { type: "String" }, boss: { type: "Pointer", targetClass: "_User" } },
    classLevelPermissions: { ...Object.fromEntries(OPS.map((o) => [o, { "*": true }])),
      protectedFields: { "*": ["secret", "shy"], authenticated: ["secret"], "role:Team": ["shy"], "userField:boss": [] } } });
  const o = await app.create("Guarded", { secret: "s", shy: "y", open: "o", boss: pointer("_User", users.owner.objectId), ACL: acl }, { as: "master" });
  const seen = async (who) => Object.keys(await app.get("Guarded", o.objectId, { as: as(who) })).filter((k) => ["secret", "shy", "open"].includes(k)).sort().join();
  assert.equal(await seen("anonymous"), "open");
  assert.equal(await seen("other"), "open,shy", "the lists' intersection");
  assert.equal(await seen("member"), "open,secret,shy", "nothing is in every list");
  assert.equal(await seen("owner"), "open,secret,shy", "the row's pointer lifts it");
  assert.equal(await seen("master"), "open,secret,shy");
  await app.fails(119, "GET", "/classes/Guarded", { query: { where: { secret: "s" } } });
  await app.fails(119, "GET", "/classes/Guarded", { query: { where: { $or: [{ open: "o" }, { "secret.x": { $exists: true } }] } } });
  await app.fails(119, "GET", "/classes/Guarded", { query: { order: "-secret" } });
  const holder = await app.create("Holder", { g: pointer("Guarded", o.objectId) });
  assert.equal((await app.get("Holder", holder.objectId, { query: { include: "g" } })).g.secret, undefined);
  assert.equal((await app.find("Guarded", { keys: "secret,open" }))[0].secret, undefined);
});

test("users show their address to themselves and to master only", async () => {
  const u = await app.signUp("mailed", { email: "mailed@example.com", ACL: { "*": { read: true } } });
  assert.equal((await app.need("GET", `/users/${u.objectId}`)).email, undefined);
  assert.equal((await app.need("GET", `/users/${u.objectId}`, { as: users.owner.sessionToken })).email, undefined);
  assert.equal((await app.need("GET", `/users/${u.objectId}`, { as: u.sessionToken })).email, "mailed@example.com");
  assert.equal((await app.need("GET", `/users/${u.objectId}`, { as: "master" })).email, "mailed@example.com");
  const row = await app.need("GET", `/users/${u.objectId}`, { as: "master" });
  for (const never of ["password", "_hashed_password", "hidden", "sessionToken"]) assert.equal(row[never], undefined, never);
});

test("sub-queries and relations see only what the caller may see", async () => {
  const hidden = await app.create("Sub", { k: "hidden", ACL: { [users.owner.objectId]: { read: true } } }, { as: "master" });
  await app.create("Sup", { p: pointer("Sub", hidden.objectId), k: "hidden" });
  const where = [{ p: { $inQuery: { className: "Sub", where: {} } } }, { k: { $select: { query: { className: "Sub", where: {} }, key: "k" } } }];
  for (const w of where) {
    assert.equal((await app.find("Sup", { where: w })).length, 0);
    assert.equal((await app.find("Sup", { where: w }, { as: users.owner.sessionToken })).length, 1);
  }
  await schema("Shut", { classLevelPermissions: { get: {} } });
  await app.fails(119, "GET", "/classes/Sup", { query: { where: { p: { $inQuery: { className: "Shut", where: {} } } } } });
  const owner = await app.create("Own", { rel: op("AddRelation", { objects: [pointer("Sup", (await app.find("Sup"))[0].objectId)] }), ACL: { [users.owner.objectId]: { read: true } } }, { as: "master" });
  const related = (who) => app.find("Sup", { where: { $relatedTo: { object: pointer("Own", owner.objectId), key: "rel" } } }, { as: as(who) });
  assert.equal((await related("anonymous")).length, 0, "who cannot read the owner has no relation");
  assert.equal((await related("owner")).length, 1);
});

test("classes of the system are master's", async () => {
  for (const name of ["_JobStatus", "_PushStatus", "_Hooks", "_GlobalConfig", "_GraphQLConfig", "_JobSchedule", "_Audience", "_Idempotency"]) {
    for (const [method, body] of [["GET"], ["POST", {}]]) {
      const refused = await app.fails(119, method, `/classes/${name}`, { body });
      assert.match(refused.error, /Clients aren't allowed to perform the .* operation on the .* collection\./);
    }
    assert.equal((await app.ask("GET", `/classes/${name}`, { as: "master" })).status, 200, name);
  }
});

test("a bad session is 209 wherever it is shown", async () => {
  for (const [method, where, body] of [["GET", "/classes/A"], ["POST", "/classes/A", {}], ["POST", "/batch", { requests: [] }], ["GET", "/users/me"], ["GET", "/roles"]]) {
    const answer = await app.ask(method, where, { body, as: "r:00000000000000000000000000000000" });
    assert.deepEqual([answer.status, answer.json.code], [400, 209], where);
  }
});

test("the read-only master key writes nothing, anywhere", async () => {
  const o = await app.create("Ro", { a: 1 });
  for (const [method, where, body] of [["POST", "/classes/Ro", {}], ["PUT", `/classes/Ro/${o.objectId}`, {}], ["DELETE", `/classes/Ro/${o.objectId}`],
    ["POST", "/schemas/RoX", {}], ["PUT", "/schemas/Ro", {}], ["DELETE", "/schemas/Ro"], ["DELETE", "/purge/Ro"], ["POST", "/roles", { name: "R", ACL: {} }],
    ["POST", "/installations", { deviceType: "ios", installationId: "ro" }], ["POST", "/users", { username: "ro", password: "x" }],
    ["PUT", "/config", { params: { a: 1 } }]])
    await app.fails(119, method, where, { body, as: "read-only-master" });
  const parts = await app.need("POST", "/batch", { as: "read-only-master", body: { requests: [{ method: "POST", path: "/parse/classes/Ro", body: {} }] } });
  assert.equal(parts[0].error.code, 119);
});

test("the maintenance key may say when an object was made", async () => {
  const o = await app.create("Old", { createdAt: { __type: "Date", iso: "2001-01-01T00:00:00.000Z" } }, { as: "maintenance" });
  assert.equal((await app.get("Old", o.objectId)).createdAt, "2001-01-01T00:00:00.000Z");
  const now = await app.create("Old", { createdAt: { __type: "Date", iso: "2001-01-01T00:00:00.000Z" } });
  assert.notEqual((await app.get("Old", now.objectId)).createdAt, "2001-01-01T00:00:00.000Z");
});
