// What the tests of sign-in stand on: a daemon with one app, asked by the Parse JavaScript SDK and by plain requests.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import { Daemon, request } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";

export const MASTER = "master-key-for-tests";
const folder = npmFolder("auth", { parse: "8.6.0", "smtp-server": "3.13.6", "oidc-provider": "8.5.2" });
if (folder.why) console.error(`SKIPPED: ${folder.why}`);
export const skip = folder.why;
export const need = createRequire(path.join(folder.dir, "x"));
/** Packages that are modules only. */
export const load = (name) => import(need.resolve(name));

export class World {
  static async start(settings = {}, env = { HOB_APPS_REACH_PRIVATE: "1" }) {
    const w = new World();
    w.hob = await Daemon.start({ env });
    const done = w.hob.cli(["app", "create", "shop", "--master-key", MASTER]);
    assert.equal(done.code, 0, done.err);
    w.set({ publicServerURL: `${w.hob.url}/parse`, ...settings });
    w.Parse = need("parse/node");
    w.Parse.initialize("shop", undefined, MASTER);
    w.Parse.serverURL = `${w.hob.url}/parse`;
    w.Parse.User.enableUnsafeCurrentUser();
    return w;
  }

  set(settings) {
    const words = Object.entries(settings).map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`);
    const done = this.hob.cli(["app", "set", "shop", ...words]);
    assert.equal(done.code, 0, done.err);
  }

  /** After a restart hobd has another port. */
  moved() {
    this.Parse.serverURL = `${this.hob.url}/parse`;
  }

  /** A request as any client's: {status, json}. */
  ask(method, where, body, headers = {}) {
    return request(`${this.hob.url}/parse${where}`, {
      method, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { "x-parse-application-id": "shop", "content-type": "application/json", ...headers },
    });
  }

  async refused(code, method, where, body, headers) {
    const answer = await this.ask(method, where, body, headers);
    assert.equal(answer.json?.code, code, answer.text);
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    return answer.json.error;
  }

  async signUp(username, more = {}) {
    const answer = await this.ask("POST", "/users", { username, password: "secret", ...more });
    assert.equal(answer.status, 201, answer.text);
    return { id: answer.json.objectId, token: answer.json.sessionToken,
      as: { "x-parse-session-token": answer.json.sessionToken } };
  }
}

/** A one-time password (RFC 6238, SHA-1, 6 digits) of now, or of `steps` later. */
export function totp(base32, steps = 0) {
  const bits = [...base32].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + steps));
  const mac = crypto.createHmac("sha1", key).update(counter).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1e6).padStart(6, "0");
}
export const SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
