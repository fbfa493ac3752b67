// What the tests of bindings share: a daemon, an app with a backend, and the Parse protocol spoken to it.
import assert from "node:assert/strict";
import { Daemon, request } from "../e2e/harness.mjs";

export { Daemon };

/** A backend for the app; {id, key}. `settings`: as parse-server names them. */
export async function makeBackend(daemon, app, settings) {
  const made = await daemon.api("POST", `/v1/apps/${app}/backend`, settings ? { settings } : {});
  assert.equal(made.status, 201, made.text);
  return { id: made.json.application_id, key: made.json.master_key };
}

/** One request of the Parse protocol; {status, headers, body}. `as`: {master: true} or {token}. */
export async function parse(daemon, backend, method, where, body, { master = false, token, headers = {} } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await request(`${daemon.url}/parse${where}`, {
    method, body: text,
    headers: {
      "x-parse-application-id": backend.id, "content-type": "application/json",
      ...(text === undefined ? {} : { "content-length": Buffer.byteLength(text) }),
      ...(master ? { "x-parse-master-key": backend.key } : {}), ...(token ? { "x-parse-session-token": token } : {}), ...headers,
    },
  });
  return { status: answer.status, headers: answer.headers, body: answer.text === "" ? null : JSON.parse(answer.text) };
}

/** A new user; {id, token}. */
export async function signUp(daemon, backend, username) {
  const made = await parse(daemon, backend, "POST", "/users", { username, password: "pass word 1" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return { id: made.body.objectId, token: made.body.sessionToken };
}

/** Runs a function over HTTP; its answer's JSON. */
export async function callJson(daemon, where, body, headers = {}) {
  const text = JSON.stringify(body ?? {});
  const answer = await daemon.call(where, {
    method: "POST", body: text, headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers },
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}
