// examples/todo, as a person uses it: a real browser (Debian's Chromium), two users, the page's own Parse SDK.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { createRequire } from "node:module";
import { Daemon, ROOT, until } from "../e2e/harness.mjs";
import { npmFolder } from "../npm.mjs";

const BROWSER = "/usr/bin/chromium";
const folder = npmFolder("browser", { "playwright-core": "1.55.0" });
const missing = folder.why ?? (fs.existsSync(BROWSER) ? null : "chromium is not installed");
if (missing) console.error(`SKIPPED: ${missing}`);
const t = (name, body) => test(name, { skip: missing ?? false, timeout: 120000 }, body);

let hob, browser;
before(async () => {
  if (missing) return;
  hob = await Daemon.start();
  assert.equal(hob.cli(["app", "create", "todo"]).code, 0);
  const done = hob.cli(["deploy", path.join(ROOT, "examples/todo")], { timeout: 180000 });
  assert.equal(done.code, 0, done.out + done.err);
  const { chromium } = createRequire(path.join(folder.dir, "x"))("playwright-core");
  browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
});
after(async () => {
  await browser?.close();
  await hob?.close();
});

/** A person with a browser of their own, signed up. */
async function person(name) {
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (error) => assert.fail(`${name}'s page: ${error.message}`));
  await page.goto(`${hob.url}/fn/todo/page/`);
  await page.fill("#username", name);
  await page.fill("#password", `${name}-secret`);
  await page.click("#sign-up");
  await page.waitForSelector("#mine:not([hidden])");
  return page;
}
const titles = (page) => page.$$eval("#list li span", (spans) => spans.map((s) => s.textContent));
const add = async (page, title) => {
  await page.fill("#title", title);
  await page.click("#add button");
  await page.waitForFunction((text) => [...document.querySelectorAll("#list li span")].some((s) => s.textContent === text), title.trim());
};

let ada, bob;
t("somebody signs up, and what they add is theirs alone", async () => {
  ada = await person("ada");
  bob = await person("bob");
  await add(ada, "  Write the paper ");
  await add(ada, "Water the plants");
  assert.deepEqual(await titles(ada), ["Write the paper", "Water the plants"]);
  await bob.reload();
  await bob.waitForSelector("#mine:not([hidden])");
  assert.deepEqual(await titles(bob), []);
});

t("a photo is uploaded and shown from the server", async () => {
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
  await ada.setInputFiles("#photo", { name: "plant.png", mimeType: "image/png", buffer: png });
  await add(ada, "Look at the plant");
  await ada.waitForFunction(() => document.querySelector("#list img")?.naturalWidth === 1);
});

t("an item is shared by cloud code, and both may change it", async () => {
  ada.once("dialog", (dialog) => dialog.accept("bob"));
  await ada.click("#list li:first-child button:text('Share')");
  await ada.waitForFunction(() => document.querySelector("#message").textContent === "Shared with bob.");
  await bob.reload();
  await bob.waitForFunction(() => document.querySelectorAll("#list li").length === 1);
  await bob.click("#list li:first-child button:text('Done')");
  await bob.waitForSelector("#list li.done");
});

t("the counter of everybody's done items follows in the other browser", async () => {
  await until(async () => (await ada.textContent("#counter")) === "1", "the counter in ada's browser", 20000);
});

t("what cloud code refuses is told to the person", async () => {
  await ada.fill("#title", "   ");
  await ada.click("#add button");
  await ada.waitForFunction(() => /needs a title/.test(document.querySelector("#message").textContent));
});

t("who logs out and in again finds everything", async () => {
  await ada.click("#log-out");
  await ada.waitForSelector("#login:not([hidden])");
  await ada.fill("#username", "ada");
  await ada.fill("#password", "wrong");
  await ada.click("#log-in");
  await ada.waitForFunction(() => /Invalid username\/password/.test(document.querySelector("#message").textContent));
  await ada.fill("#password", "ada-secret");
  await ada.click("#log-in");
  await ada.waitForFunction(() => document.querySelectorAll("#list li").length === 3);
});
