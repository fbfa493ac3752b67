// A Docker Engine of the tests' own: Debian's dockerd on a private socket and data root, without a bridge and without
// touching the machine's packet filter. Where it cannot run, `unavailable` says why and the tests skip loudly.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { until } from "../e2e/harness.mjs";

export class Dockerd {
  /** Starts one; `uid` may speak to it. */
  static async start({ crun = fs.existsSync("/usr/bin/crun"), uid = hobUid(), isHybridHidden = true, tls, dataMegabytes } = {}) {
    const d = new Dockerd();
    d.dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-dockerd-"));
    fs.chmodSync(d.dir, 0o755);
    d.socket = path.join(d.dir, "docker.sock");
    d.uid = uid;
    d.extra = [];
    if (tls) d.useTls(await freePort());
    if (dataMegabytes) {
      fs.mkdirSync(path.join(d.dir, "data"));
      const made = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${dataMegabytes}m`, "none", path.join(d.dir, "data")], { encoding: "utf8" });
      if (made.status !== 0) throw new Error(`no small disk: ${made.stderr}`);
    }
    d.isHybridHidden = isHybridHidden && fs.existsSync("/sys/fs/cgroup/unified"); // Debian's crun refuses hybrid cgroups
    fs.writeFileSync(path.join(d.dir, "daemon.json"), JSON.stringify({
      "data-root": path.join(d.dir, "data"), "exec-root": path.join(d.dir, "exec"), pidfile: path.join(d.dir, "pid"),
      iptables: false, ip6tables: false, bridge: "none", "ip-forward": false, "userland-proxy": false,
      ...(crun ? { runtimes: { crun: { path: "/usr/bin/crun" } } } : {}),
    }));
    await d.launch();
    return d;
  }

  /** TCP beside the socket, only for clients with a certificate: `certs` for ours, `strangers` of another authority. */
  useTls(port) {
    const run = (...args) => {
      const made = spawnSync("openssl", args, { encoding: "utf8" });
      assert.equal(made.status, 0, made.stderr);
    };
    const make = (name) => {
      const at = (file) => path.join(this.dir, name, file);
      fs.mkdirSync(path.join(this.dir, name));
      run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=hob test", "-keyout", at("ca-key.pem"), "-out", at("ca.pem"));
      for (const [who, extension] of [["server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"], ["client", "extendedKeyUsage=clientAuth"]]) {
        const [key, cert] = who === "client" ? ["key.pem", "cert.pem"] : ["server-key.pem", "server-cert.pem"];
        fs.writeFileSync(at(`${who}.ext`), extension);
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${who}`, "-keyout", at(key), "-out", at(`${who}.csr`));
        run("x509", "-req", "-days", "2", "-in", at(`${who}.csr`), "-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-CAcreateserial", "-extfile", at(`${who}.ext`), "-out", at(cert));
      }
      for (const file of ["key.pem", "cert.pem", "ca.pem"]) fs.chownSync(at(file), this.uid, 0);
      return path.join(this.dir, name);
    };
    this.certs = make("certs");
    this.strangers = make("strangers");
    this.tcp = `tcp://127.0.0.1:${port}`;
    this.extra = ["--host", this.tcp, "--tlsverify", "--tlscacert", `${this.certs}/ca.pem`, "--tlscert", `${this.certs}/server-cert.pem`, "--tlskey", `${this.certs}/server-key.pem`];
  }

  async launch() {
    this.log = "";
    // a killed dockerd's containerd is gone, too, but its pid may not be free yet: the new one would wait for it
    fs.rmSync(path.join(this.dir, "exec/containerd/containerd.pid"), { force: true });
    fs.rmSync(path.join(this.dir, "pid"), { force: true });
    const command = ["dockerd", "--host", `unix://${this.socket}`, "--config-file", path.join(this.dir, "daemon.json"), ...this.extra];
    const hidden = ["unshare", "-m", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh"];
    const [program, ...args] = [...(this.isHybridHidden ? hidden : []), ...command];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    child.stdout.on("data", (part) => (this.log = (this.log + part).slice(-20000)));
    child.stderr.on("data", (part) => (this.log = (this.log + part).slice(-20000)));
    this.exit = undefined;
    this.ended = new Promise((done) => child.on("exit", (code, signal) => done((this.exit = { code, signal }))));
    this.pid = child.pid;
    await until(async () => {
      if (this.exit) throw new Error(`dockerd ended: ${JSON.stringify(this.exit)}\n${this.log}`);
      return (await this.api("GET", "/_ping").catch(() => ({}))).status === 200;
    }, "dockerd", 30000);
    fs.chownSync(this.socket, this.uid, 0);
  }

  api(method, where, body, { timeout = 20000, headers = {} } = {}) {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body);
      const req = http.request({ socketPath: this.socket, method, path: where, timeout, agent: false,
        headers: { ...headers, ...(text ? { "content-type": Buffer.isBuffer(text) ? "application/x-tar" : "application/json", "content-length": Buffer.byteLength(text) } : {}) } }, (res) => {
        const parts = [];
        res.on("data", (part) => parts.push(part));
        res.on("error", reject);
        res.on("end", () => {
          const all = Buffer.concat(parts).toString();
          let json;
          try { json = JSON.parse(all); } catch { json = undefined; }
          resolve({ status: res.statusCode, text: all, json });
        });
      });
      req.on("timeout", () => req.destroy(new Error("dockerd does not answer")));
      req.on("error", reject);
      req.end(text);
    });
  }

  async containers() {
    return (await this.api("GET", "/containers/json?all=1")).json;
  }

  /** No container is left, once those that end have ended. */
  async isEmpty() {
    await until(async () => (await this.containers()).length === 0, "no containers to be left behind", 20000)
      .catch(async () => assert.deepEqual((await this.containers()).map((c) => c.Names), []));
  }

  /** Kills dockerd (its containers' shims stay). */
  async kill(signal = "SIGKILL") {
    process.kill(this.pid, signal);
    await this.ended;
  }

  hang() {
    process.kill(this.pid, "SIGSTOP");
  }

  resume() {
    process.kill(this.pid, "SIGCONT");
  }

  async close() {
    if (!this.exit) {
      process.kill(this.pid, "SIGCONT");
      for (const c of await this.containers().catch(() => [])) await this.api("DELETE", `/containers/${c.Id}?force=1`).catch(() => {});
      process.kill(this.pid, "SIGTERM");
      const late = setTimeout(() => process.kill(this.pid, "SIGKILL"), 10000);
      await this.ended;
      clearTimeout(late);
    }
    this.sweep();
  }

  /** What a killed one left: its helpers name our folder, its mounts lie in it. */
  sweep() {
    for (const name of fs.readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
      try {
        if (fs.readFileSync(`/proc/${name}/cmdline`, "latin1").includes(this.dir)) process.kill(Number(name), "SIGKILL");
      } catch {
        // gone meanwhile
      }
    }
    spawnSync("sleep", ["0.1"]);
    for (const line of fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n").reverse()) {
      const at = line.split(" ")[4];
      if (at?.startsWith(this.dir)) spawnSync("umount", ["-l", at]);
    }
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

function hobUid() {
  const line = fs.readFileSync("/etc/passwd", "utf8").split("\n").find((l) => l.startsWith("hob:"));
  return line ? Number(line.split(":")[2]) : process.getuid();
}

/** Why there can be no dockerd here, or undefined. */
export const unavailable = process.getuid() !== 0 ? "dockerd needs root"
  : spawnSync("dockerd", ["--version"]).status !== 0 ? "there is no dockerd: apt-get install docker.io" : undefined;
