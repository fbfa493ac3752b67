// Functions from an image: its own program, user and folder are honoured, with hob-init in front; and servers of kind http.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, until } from "../e2e/harness.mjs";
import { Dockerd, unavailable } from "./dockerd.mjs";
import * as programs from "./programs.mjs";

if (unavailable) console.log(`# NOT TESTED: ${unavailable}`);
const it = (name, fn) => test(name, { skip: unavailable }, fn);
let docker, hob, dir;
const { CHANNEL } = programs;
const image = (tag, program, changes) => programs.image(docker, tag, program, changes);
const compile = (name, source) => programs.compile(dir, name, source);

before(async () => {
  if (unavailable) return;
  dir = fs.mkdtempSync(path.join(os.tmpdir(), "hob-images-"));
  docker = await Dockerd.start();
  hob = await Daemon.start({ env: { HOB_DOCKER_HOST: `unix://${docker.socket}` } });
  await until(async () => (await hob.api("GET", "/v1/engines")).json.engines.some((e) => e.name === "docker" && e.state === "up"), "the engine");
});
after(async () => {
  if (unavailable) return;
  try {
    await hob.close();
    await docker.isEmpty();
  } finally {
    await docker.close();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
const deploy = (app, config) => hob.deploy(app, { f: { engine: "docker", ...config } }, { README: "nothing" });

it("an image's program, arguments, folder, variables and user are its own; its root is read-only, its volumes are memory", async () => {
  const program = compile("channel", CHANNEL);
  const id = await image("own:1", program, ['ENTRYPOINT ["/srv/program"]', 'CMD ["blue"]', "WORKDIR /srv", "USER app", "ENV COLOUR=green", "VOLUME /data"]);
  await deploy("own", { image: id });
  const answer = await hob.call("/fn/own/f");
  assert.equal(answer.text, "uid=4321 cwd=/srv arg=blue env=green root=-1 data=0\n", answer.text + JSON.stringify(await hob.logs("own", "f")));
  await deploy("named", { image: "own:1" });
  assert.match((await hob.call("/fn/named/f")).text, /^uid=4321/);
});

it("an image that says root, or nothing, runs as nobody in particular", async () => {
  const program = compile("channel2", CHANNEL);
  for (const [tag, user] of [["rooty:1", "root"], ["silent:1", undefined], ["zero:1", "0:0"]]) {
    const id = await image(tag, program, ['ENTRYPOINT ["/srv/program"]', ...(user ? [`USER ${user}`] : [])]);
    const app = tag.split(":")[0];
    await deploy(app, { image: id });
    const answer = await hob.call(`/fn/${app}/f`);
    assert.ok(Number(answer.text.match(/uid=(\d+)/)?.[1]) >= 1000000, answer.text + JSON.stringify(await hob.logs(app, "f")));
  }
});

it("root under another name is not let in", async () => {
  const id = await image("sneaky:1", compile("channel3", CHANNEL), ['ENTRYPOINT ["/srv/program"]', "USER sneaky"]);
  await deploy("sneaky", { image: id });
  assert.equal((await hob.call("/fn/sneaky/f")).status, 503);
});

it("a program that is not in the image is a clear end", async () => {
  const id = await image("broken:1", compile("channel4", CHANNEL), ['ENTRYPOINT ["/srv/absent"]']);
  await deploy("broken", { image: id });
  assert.ok([502, 503].includes((await hob.call("/fn/broken/f")).status));
  await until(async () => (await hob.logs("broken", "f")).some((l) => /cannot start '\/srv\/absent'|127/.test(l.text)), "why, in the log");
});

it("hob.json is told what an image cannot be together with", async () => {
  for (const [config, words] of [[{ image: "a:1", engine: "sandbox" }, /docker/], [{ image: "a:1", entry: "x.js" }, /leave it out/],
    [{ image: "a b" }, /no image/], [{ image: "../x" }, /no image/], [{ image: "a:1", runtime: "node" }, /leave it out/]])
    await assert.rejects(deploy("wrong", config), words);
});

it("an unmodified HTTP server in an image, with its own port", async () => {
  const server = compile("server", `
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9000)};
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 16)) return 1;
    for (;;) {
        char in[4096]; int c = accept(l, 0, 0); long n = read(c, in, sizeof in - 1);
        if (n > 0) { in[n] = 0; char path[128] = ""; sscanf(in, "%*s %127s", path);
            char out[512]; int m = snprintf(out, sizeof out, "HTTP/1.1 200 OK\\r\\nContent-Length: %zu\\r\\nConnection: close\\r\\n\\r\\nserved %s", strlen(path) + 7, path);
            if (write(c, out, (size_t)m) < 0) return 1; }
        close(c);
    }
}`);
  const id = await image("web:1", server, ['ENTRYPOINT ["/srv/program"]']);
  await deploy("web", { image: id, kind: "http", port: 9000, scale: { max: 3 } });
  const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => hob.call(`/fn/web/f/page${i}`)));
  answers.forEach((a, i) => assert.match(a.text, new RegExp(`^served .*/?page${i}$`), a.text + JSON.stringify(hob.stderr.slice(-500))));
});

it("what holds a container holds an image's, too, whatever the image says: asked of Docker itself", async () => {
  const id = await image("walls:1", compile("channel5", CHANNEL), ['ENTRYPOINT ["/srv/program"]', "USER 4321", "VOLUME /data", "EXPOSE 80", "LABEL hob.role=holder"]);
  await deploy("walls", { image: id, memory_mb: 64 });
  assert.equal((await hob.call("/fn/walls/f")).status, 200);
  const one = (await docker.containers()).find((c) => c.Labels["hob.app"] === "walls" && c.Labels["hob.role"] === "instance");
  const { HostConfig: host, Config: config, NetworkSettings: net } = (await docker.api("GET", `/containers/${one.Id}/json`)).json;
  const expected = { ReadonlyRootfs: true, Privileged: false, CapDrop: ["ALL"], CapAdd: null, Memory: 64 << 20, MemorySwap: 64 << 20, AutoRemove: true, PublishAllPorts: false,
    PidMode: "", UTSMode: "", UsernsMode: "", IpcMode: "none", OomScoreAdj: 500, Devices: null, VolumesFrom: null, Binds: null, ExtraHosts: null };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(host[name] ?? null, value, name);
  assert.equal(host.LogConfig.Type, "none");
  assert.equal(host.RestartPolicy.Name, "no");
  assert.ok(host.SecurityOpt.includes("no-new-privileges") && host.SecurityOpt.some((o) => o.startsWith("seccomp={")), "the filter");
  assert.ok(host.PidsLimit > 0 && host.PidsLimit <= 256);
  assert.match(host.NetworkMode, /^container:[0-9a-f]{64}$/);
  assert.deepEqual(net.Ports ?? {}, {});
  assert.deepEqual(host.PortBindings ?? {}, {});
  for (const name of ["nofile", "fsize", "core", "memlock", "msgqueue", "sigpending"]) assert.ok(host.Ulimits.some((u) => u.Name === name && u.Soft === u.Hard), name);
  assert.match(host.Tmpfs["/data"], /nosuid,nodev.*size=/);
  assert.ok(host.Mounts.every((m) => m.ReadOnly && m.Type === "bind" && ["/hob/init", "/hob/runner.sock"].includes(m.Target)), JSON.stringify(host.Mounts));
  assert.equal(config.User, "4321");
  assert.deepEqual(config.Healthcheck.Test, ["NONE"], "Docker starts nothing inside");
});
