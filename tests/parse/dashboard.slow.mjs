// parse-dashboard from npm against Hob, in a real browser: `make test-dashboard` (its packages are large).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { Daemon, request, until } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";

const BROWSER = "/usr/bin/chromium", KEY = "master-key-for-tests";
const dashboardSet = npmFolder("dashboard", { "parse-dashboard": "7.4.0" });
const browserSet = npmFolder("browser", { "playwright-core": "1.55.0" });
const missing = dashboardSet.why ?? browserSet.why ?? (fs.existsSync(BROWSER) ? null : "chromium is not installed");
if (missing) console.error(`SKIPPED: ${missing}`);
const t = (name, body) => test(name, { skip: missing ?? false, timeout: 180000 }, body);

let hob, dashboard, browser, page, url;
const freePort = () => new Promise((done) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});
before(async () => {
  if (missing) return;
  hob = await Daemon.start();
  assert.equal(hob.cli(["app", "create", "shop", "--master-key", KEY]).code, 0);
  for (const score of [7, 11])
    assert.equal((await request(`${hob.url}/parse/classes/Game`, { method: "POST", headers: { "x-parse-application-id": "shop" }, body: JSON.stringify({ player: `p${score}`, score }) })).status, 201);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const config = path.join(hob.dir, "dashboard.json");
  fs.writeFileSync(config, JSON.stringify({ apps: [{ serverURL: `${hob.url}/parse`, appId: "shop", masterKey: KEY, appName: "Shop" }] }));
  dashboard = spawn(process.execPath, [path.join(dashboardSet.dir, "node_modules/parse-dashboard/bin/parse-dashboard"), "--dev", "--port", String(port), "--host", "127.0.0.1", "--config", config],
    { stdio: ["ignore", "pipe", "pipe"] });
  await until(async () => (await request(url).catch(() => ({}))).status, "the dashboard", 60000);
  browser = await createRequire(path.join(browserSet.dir, "x"))("playwright-core").chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
  page = await browser.newPage();
});
after(async () => {
  await browser?.close();
  dashboard?.kill();
  await hob?.close();
});

t("the app is listed, and its class with the rows is shown", async () => {
  await page.goto(`${url}/apps/Shop/browser/Game`);
  await page.waitForFunction(() => /p11/.test(document.body.innerText) && /p7/.test(document.body.innerText), null, { timeout: 60000 });
  assert.match(await page.innerText("body"), /Game/);
});

t("the schema of the class comes with its columns and types", async () => {
  const text = await page.innerText("body");
  for (const column of ["objectId", "createdAt", "updatedAt", "ACL", "player", "score"]) assert.ok(text.includes(column), column);
});

t("the configuration page reads the app's parameters", async () => {
  const headers = { "x-parse-application-id": "shop", "x-parse-master-key": KEY };
  assert.equal((await request(`${hob.url}/parse/config`, { method: "PUT", headers, body: JSON.stringify({ params: { welcome: "Hello from Hob" } }) })).status, 200);
  await page.goto(`${url}/apps/Shop/config`);
  await page.waitForFunction(() => /Hello from Hob/.test(document.body.innerText), null, { timeout: 60000 });
});

t("hooks and jobs are asked for without an error", async () => {
  const refused = [];
  page.on("response", (answer) => {
    if (answer.url().startsWith(`${hob.url}/parse/`) && answer.status() >= 400) refused.push(`${answer.status()} ${answer.url()}`);
  });
  for (const where of ["jobs", "webhooks"]) {
    await page.goto(`${url}/apps/Shop/${where}`);
    await page.waitForLoadState("networkidle");
  }
  assert.deepEqual(refused, []);
});
