// The OpenAPI document of the Parse face: every operation in it is answered by a real daemon as the document says it may be,
// and the numbers of errors are those that are provoked (error_codes.test.mjs).
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { ROOT, request } from "../e2e/harness.mjs";
import { App, startDaemon } from "./app.mjs";

let daemon, app, doc;
before(async () => {
  daemon = await startDaemon();
  app = await App.make(daemon, "shop");
  const answer = await request(`${app.url}/openapi.json`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers["content-type"], /^application\/json/);
  doc = answer.json;
});
after(() => daemon?.close());

const operations = () => Object.entries(doc.paths).flatMap(([where, item]) =>
  Object.entries(item).map(([method, operation]) => ({ where, method: method.toUpperCase(), operation })));
const filled = (where) => where.replace("{app}", "shop").replace("{class}", "Doc").replace(/\{[a-z]+\}/g, "x");
const resolve = (ref) => ref.split("/").slice(1).reduce((at, key) => at?.[key], doc);

test("says what it is, where it is mounted, and how somebody shows who it is", () => {
  assert.deepEqual([doc.openapi, doc.servers[0].url], ["3.1.0", "/parse"]);
  const headers = Object.values(doc.components.securitySchemes).map((scheme) => scheme.name);
  for (const name of ["X-Parse-Application-Id", "X-Parse-REST-API-Key", "X-Parse-Session-Token", "X-Parse-Master-Key", "X-Parse-Maintenance-Key"]) assert.ok(headers.includes(name), name);
});

test("every operation has its parameters, an answer, failures, and references that lead somewhere", () => {
  for (const { where, method, operation } of operations()) {
    const what = `${method} ${where}`, parameters = operation.parameters.map((p) => (p.$ref ? resolve(p.$ref) : p));
    for (const [, name] of where.matchAll(/\{([a-z]+)\}/g)) assert.ok(parameters.some((p) => p.in === "path" && p.name === name && p.required), `${what} ${name}`);
    assert.ok(Object.keys(operation.responses).some((status) => /^20[01]$/.test(status)), what);
    for (const status of ["400", "403", "404", "413", "429", "500", "503"]) assert.ok(resolve(operation.responses[status].$ref).content["application/json"].schema, what);
    if (method === "GET") assert.equal(operation.requestBody, undefined, what);
  }
  for (const [, ref] of JSON.stringify(doc).matchAll(/"\$ref":"([^"]+)"/g)) assert.ok(resolve(ref), ref);
});

test("every operation is there, and who may ask is as it says", async () => {
  for (const { where, method, operation } of operations()) {
    const what = `${method} ${where}`, body = method === "GET" || method === "DELETE" ? undefined : "{}";
    const answer = await app.ask(method, filled(where), { as: "master", body });
    assert.doesNotMatch(answer.text, /^\{"error":"cannot /, what);
    const expected = Object.keys(operation.responses).map(Number);
    assert.ok(expected.includes(answer.status) || (what === "POST /users" && answer.status === 200), `${what}: ${answer.status} ${answer.text.slice(0, 200)}`);
    const isOpen = operation.security.length === 0;
    const stranger = await request(app.url + filled(where), { method, body });
    assert.equal(stranger.status === 403 && stranger.json.error === "unauthorized", !isOpen, `${what}: ${stranger.status} ${stranger.text.slice(0, 200)}`);
    const needsMaster = !isOpen && operation.security.every((s) => s.masterKey || s.basic);
    if (needsMaster) assert.equal((await app.ask(method, filled(where), { body })).status, 403, what);
  }
});

test("an object that was made is as the shape says", async () => {
  const { properties, required } = doc.components.schemas.Created;
  const made = await app.create("Shaped", { a: 1 });
  for (const name of required) assert.equal(typeof made[name], properties[name].type);
  const failure = await app.ask("GET", "/classes/Shaped/nothing");
  assert.deepEqual(Object.keys(failure.json).sort(), Object.keys(doc.components.schemas.Error.properties).sort());
});

test("the numbers of errors are those that are provoked elsewhere, with their statuses", () => {
  const source = fs.readFileSync(path.join(ROOT, "tests/parse/error_codes.test.mjs"), "utf8");
  const table = source.slice(source.indexOf("const PROVOKED"), source.indexOf("\n};", source.indexOf("const PROVOKED")));
  const provoked = [...table.matchAll(/^ {2}"?(-?\d+)"?: \[/gm)].map((m) => Number(m[1])).sort((a, b) => a - b);
  assert.deepEqual(doc.components["x-parse-codes"].map((c) => c.code).sort((a, b) => a - b), provoked);
  for (const { code, status } of doc.components["x-parse-codes"]) assert.equal(status, { 1: 500, 100: 429, 101: 404, 140: 503, 155: 429 }[code] ?? 400, `${code}`);
});
