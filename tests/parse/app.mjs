// What the suites of the Parse face share: a daemon, apps with a backend, plain requests as a client makes them, and the
// JavaScript SDK from npm.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { Daemon, request } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";

export const KEYS = {
  master: "master-key-of-tests", "read-only-master": "read-only-key-of-tests", maintenance: "maintenance-key-of-tests",
};

/** An app of its own on the daemon. */
export class App {
  static async make(daemon, name, settings = {}, keys = {}) {
    const made = await daemon.api("POST", `/v1/apps/${name}/backend`,
      { application_id: name, keys: { ...KEYS, ...keys }, settings });
    assert.equal(made.status, 201, made.text);
    return Object.assign(new App(), { daemon, name, url: `${daemon.url}/parse` });
  }

  /** One request; `as`: "master", "read-only-master", "maintenance", or a session token; query: {name: value}. */
  async ask(method, where, { body, as, query, headers = {} } = {}) {
    const all = { "x-parse-application-id": this.name, ...headers };
    if (as === "maintenance") all["x-parse-maintenance-key"] = KEYS.maintenance;
    else if (KEYS[as]) all["x-parse-master-key"] = KEYS[as];
    else if (as) all["x-parse-session-token"] = as;
    const text = query ? `?${new URLSearchParams(Object.entries(query)
      .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]))}` : "";
    const answer = await request(`${this.url}${where}${text}`, {
      method, headers: { ...all, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
    return answer;
  }

  /** The answer's JSON; throws {code, status} for a failure. */
  async need(method, where, options) {
    const answer = await this.ask(method, where, options);
    const json = answer.text ? answer.json : undefined;
    if (answer.status >= 300) throw Object.assign(new Error(`${method} ${where}: ${answer.status} ${answer.text}`),
      { status: answer.status, code: json?.code, json });
    return json;
  }

  create(className, body, options) {
    return this.need("POST", `/classes/${className}`, { body, ...options });
  }

  find(className, query = {}, options) {
    return this.need("GET", `/classes/${className}`, { query, ...options }).then((answer) => answer.results);
  }

  get(className, id, options) {
    return this.need("GET", `/classes/${className}/${id}`, options);
  }

  update(className, id, body, options) {
    return this.need("PUT", `/classes/${className}/${id}`, { body, ...options });
  }

  async signUp(username, more = {}) {
    return this.need("POST", "/users", { body: { username, password: "secret-of-tests", ...more } });
  }

  /** Asserts that it fails with that number; gives the answer. */
  async fails(code, method, where, options) {
    const answer = await this.ask(method, where, options);
    assert.equal(answer.json.code, code, `${method} ${where} ${JSON.stringify(options?.body ?? options?.query)}: ${answer.status} ${answer.text}`);
    assert.ok(answer.status >= 400 && answer.status < 500, `a user's error is no ${answer.status}`);
    return answer.json;
  }
}

export const pointer = (className, objectId) => ({ __type: "Pointer", className, objectId });
export const date = (iso) => ({ __type: "Date", iso });
export const op = (name, members) => ({ __op: name, ...members });

/** A fresh copy of the SDK for an app, or {why} when npm's registry cannot be reached. */
export function sdk(version) {
  const { dir, why } = npmFolder(`parse-${version}`, { parse: version });
  if (why) return { why };
  return {
    load(app, { master = false } = {}) {
      const require = createRequire(path.join(dir, "package.json"));
      for (const name of Object.keys(require.cache)) if (name.includes(`parse-${version}`)) delete require.cache[name];
      const Parse = require("parse/node");
      Parse.initialize(app.name, undefined, master ? KEYS.master : undefined);
      Parse.serverURL = app.url;
      return Parse;
    },
  };
}

export const startDaemon = () => Daemon.start();
