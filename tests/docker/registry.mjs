// A registry of the tests' own: Debian's docker-registry on the loopback, opened by one name and password.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { request, until } from "../e2e/harness.mjs";

export const noRegistry = spawnSync("docker-registry", ["--version"]).status === 0 && spawnSync("htpasswd", ["-nbB", "a", "b"]).status === 0
  ? undefined : "there is no docker-registry or no htpasswd: apt-get install docker-registry apache2-utils";

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

export class Registry {
  static async start(user = "shop", password = "s3cret:with:colons") {
    const r = new Registry();
    Object.assign(r, { user, password, dir: fs.mkdtempSync(path.join(os.tmpdir(), "hob-registry-")), port: await freePort() });
    fs.writeFileSync(path.join(r.dir, "htpasswd"), spawnSync("htpasswd", ["-nbB", user, password], { encoding: "utf8" }).stdout.trim() + "\n");
    fs.writeFileSync(path.join(r.dir, "config.yml"), `version: 0.1
storage: { filesystem: { rootdirectory: ${path.join(r.dir, "data")} }, delete: { enabled: true } }
http: { addr: "127.0.0.1:${r.port}" }
auth: { htpasswd: { realm: test, path: ${path.join(r.dir, "htpasswd")} } }
`);
    r.child = spawn("docker-registry", ["serve", path.join(r.dir, "config.yml")], { stdio: ["ignore", "ignore", "pipe"] });
    r.log = "";
    r.child.stderr.on("data", (d) => (r.log = (r.log + d).slice(-8000)));
    await until(async () => (await request(`http://127.0.0.1:${r.port}/v2/`).catch(() => ({}))).status === 401, `the registry, which says: ${r.log}`, 20000);
    return r;
  }

  get host() { return `127.0.0.1:${this.port}`; }

  get auth() {
    return Buffer.from(JSON.stringify({ username: this.user, password: this.password, serveraddress: this.host })).toString("base64").replaceAll("+", "-").replaceAll("/", "_"); // with its padding
  }

  /** Tags an image of `docker` and pushes it here. */
  async push(docker, id, repo, tag) {
    const name = `${this.host}/${repo}`;
    await docker.api("POST", `/images/${id}/tag?repo=${encodeURIComponent(name)}&tag=${tag}`);
    const pushed = await docker.api("POST", `/images/${name}/push?tag=${tag}`, undefined, { headers: { "x-registry-auth": this.auth } });
    if (/"error"/.test(pushed.text)) throw new Error(pushed.text);
    return `${name}:${tag}`;
  }

  async close() {
    if (this.child.exitCode === null) this.child.kill("SIGKILL");
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
