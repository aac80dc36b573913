// The pages in Chromium, against a real server: callers and an agent.

import assert from "node:assert/strict";
import {mkdirSync} from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {after, afterEach, before, test} from "node:test";

import {faultsOf, hearsTone, launch, open, showsPictures, startServer, until} from "./harness.js";

/** @typedef {import("playwright-core").Page} Page */

/** @type {import("./harness.js").Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Page[]} */ let pages = [];

before(async () => {
  server = await startServer({args: ["--record", "always"]});
  browser = await launch();
});
afterEach(async () => {
  for (const p of pages) await p.context().close();
  pages = [];
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** @param {string} where @param {object} [options] */
async function page(where, options = {}) {
  const p = await open(browser, server, where, options);
  pages.push(p);
  return p;
}

let people = 0;

/** An agent whose desk is open. */
async function agent(options = {}) {
  const p = await page("/agent/", options);
  await p.fill("#user", "agent" + ++people);
  await p.click("#sign-form button");
  await p.click("#open");
  await until("an open desk", () => p.locator("#close").isVisible());
  return p;
}

/** @param {string} name */
async function caller(name, options = {}) {
  const p = await page("/call/?queue=main", options);
  await p.fill("#name", name);
  await p.click("#start button");
  return p;
}

/** @param {Page} p */
const shown = (p) => p.locator("main > section:visible").first().getAttribute("id");
/** @param {Page} p @param {string} id */
const shows = (p, id) => until(`#${id} is shown`, async () => (await shown(p)) === id, 15_000);

/** @param {Page} desk @param {Page} customer */
async function putThrough(desk, customer) {
  await shows(desk, "incoming");
  await desk.click("#accept");
  await shows(desk, "talk");
  await shows(customer, "talk");
}

/** @param {Page} p @param {string} name */
async function shot(p, name) {
  const dir = process.env.SCREENSHOTS;
  if (!dir) return;
  mkdirSync(dir, {recursive: true});
  await p.screenshot({path: path.join(dir, name + ".png")});
}

test("a call: pictures, sound and messages both ways, hang-up", async () => {
  const desk = await agent();
  await shot(desk, "agent-open");
  const customer = await page("/call/?queue=main");
  await until("a level", async () => (await customer.locator("#level").evaluate((e) => /** @type {HTMLMeterElement} */ (e).value)) > 0.01);
  await shot(customer, "call-check");
  await customer.fill("#name", "Carl");
  await customer.click("#start button");
  await shows(desk, "incoming");
  await shot(desk, "agent-incoming");
  await putThrough(desk, customer);
  for (const p of [desk, customer]) {
    await showsPictures(p, "live-player");
    await hearsTone(p, "live-player");
  }
  await customer.fill("#chat-input", "my card is lost");
  await customer.press("#chat-input", "Enter");
  await until("the caller's message", async () => (await desk.locator("#messages li").allTextContents()).includes("my card is lost"));
  await desk.fill("#chat-input", "I block it");
  await desk.press("#chat-input", "Enter");
  await until("the agent's message", async () => (await customer.locator("#messages li").allTextContents()).includes("I block it"));
  await until("the sign of the recording", () => customer.locator("#recording").isVisible());
  await shot(desk, "agent-call");
  await shot(customer, "call-talk");
  await customer.click("#hangup");
  await shows(customer, "over");
  await shows(desk, "desk");
  const faults = [...faultsOf(desk), ...faultsOf(customer)].filter((f) => !f.includes("403")); // the queue is not public: the page then tries another way in
  assert.deepEqual(faults, []);
});

test("a queue: the second caller has a place, keeps it over a reload, and is next", async () => {
  const desk = await agent();
  const first = await caller("Ann");
  await putThrough(desk, first);
  const second = await caller("Bob");
  await shows(second, "waiting");
  await until("the place", async () => (await second.locator("#place").textContent()) === "Place 1 of 1");
  await shot(second, "call-waiting");
  await second.reload();
  await shows(second, "waiting");
  await until("the place again", async () => (await second.locator("#place").textContent()) === "Place 1 of 1");
  await desk.click("#hangup");
  await shows(first, "over");
  await putThrough(desk, second);
  await showsPictures(second, "live-player");
});

test("a reload in mid-call: the call goes on", async () => {
  const desk = await agent(), customer = await caller("Ann");
  await putThrough(desk, customer);
  await showsPictures(desk, "live-player");
  await customer.reload();
  await shows(customer, "talk");
  await showsPictures(customer, "live-player", {timeout: 20_000});
  await showsPictures(desk, "live-player", {timeout: 20_000});
});

test("an agent declines: the caller waits on", async () => {
  const desk = await agent(), customer = await caller("Ann");
  await shows(desk, "incoming");
  await desk.click("#decline");
  await shows(desk, "desk");
  await shows(customer, "waiting");
  await customer.click("#leave");
  await shows(customer, "over");
});

test("a transfer to another agent", async () => {
  const desk = await agent(), customer = await caller("Ann");
  await putThrough(desk, customer);
  await showsPictures(customer, "live-player");
  const other = await agent();
  await desk.fill("#transfer-to", "agent" + people);
  await desk.click("#transfer-form button");
  await shows(other, "incoming");
  await other.click("#accept");
  await shows(other, "talk");
  await showsPictures(other, "live-player", {timeout: 20_000});
  await shows(desk, "desk");
  await showsPictures(customer, "live-player", {timeout: 20_000});
});

test("Chinese and English", async () => {
  const p = await page("/call/", {locale: "zh-CN"});
  await until("Chinese", async () => (await p.locator("h1").textContent()) === "视频通话");
  await p.click("#language");
  assert.equal(await p.locator("h1").textContent(), "Video call");
  const q = await page("/agent/");
  await until("English", async () => (await q.locator("h1").textContent()) === "Agent desk");
});

test("no serious fault for those who can't see or use a mouse", async () => {
  const axe = path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules", "axe-core", "axe.min.js");
  for (const where of ["/call/", "/agent/"]) {
    const p = await page(where, {bypassCSP: true});
    await p.addScriptTag({path: axe});
    const found = await p.evaluate(async () => /** @type {any} */ (window).axe.run());
    const bad = found.violations.filter((/** @type {any} */ v) => v.impact === "serious" || v.impact === "critical");
    assert.deepEqual(bad.map((/** @type {any} */ v) => [v.id, v.nodes.map((/** @type {any} */ n) => n.target)]), [], where);
  }
});
