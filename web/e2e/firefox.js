// Calls in Firefox, as Debian has it: by itself, and with Chromium. Playwright drives a Firefox of its own only, so this is Puppeteer.
//
//   node --test --test-concurrency=1 firefox.js
//
// Environment: FIREFOX (default /usr/bin/firefox-esr). Firefox plays no sound where there is no device for it: a PulseAudio of the tests' own is one.

import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {mkdtempSync, rmSync} from "node:fs";
import os from "node:os";
import path from "node:path";
import {after, before, test} from "node:test";
import puppeteer from "puppeteer-core";

import {hearsTone, launch, open, record, showsPictures, startServer, until} from "./harness.js";

/** @typedef {import("playwright-core").Page} Page */

/** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
/** @type {import("puppeteer-core").Browser} */ let firefox;
/** @type {import("playwright-core").Browser} */ let chromium;
/** @type {import("node:child_process").ChildProcess} */ let sound;
const home = mkdtempSync(path.join(os.tmpdir(), "duet-firefox-")), env = {...process.env, HOME: home, XDG_RUNTIME_DIR: home};

before(async () => {
  server = await startServer();
  sound = spawn("pulseaudio", ["-n", "-L", "module-null-sink", "-L", "module-native-protocol-unix", "--exit-idle-time=-1", "--daemonize=no"], {env, stdio: "ignore"});
  await new Promise((resolve, reject) => sound.once("spawn", resolve).once("error", reject));
  firefox = await puppeteer.launch({
    browser: "firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr", headless: true, timeout: 60_000, env,
    extraPrefsFirefox: {"media.navigator.streams.fake": true, "media.navigator.permission.disabled": true, "media.autoplay.default": 0, "media.autoplay.block-webaudio": false},
  });
  chromium = await launch();
});

after(async () => {
  await firefox?.close();
  await chromium?.close();
  await server?.end();
  sound?.kill();
  rmSync(home, {recursive: true, force: true});
});

/** A page in Firefox; of it the tests use what both drivers have. @param {string} where @returns {Promise<Page>} */
async function openFirefox(where) {
  const page = await firefox.newPage();
  await page.goto(server.origin + where);
  return /** @type {any} */ (page);
}

/** @param {Page} page @param {{push?: string, play?: string}} streams */
async function connect(page, streams) {
  for (const s of ["live-pusher", "live-player"]) await record(page, s);
  await page.evaluate(({push, play}) => {
    if (push) document.querySelector("live-pusher")?.setAttribute("url", push);
    if (play) document.querySelector("live-player")?.setAttribute("src", play);
  }, {push: streams.push && server.url("push", streams.push), play: streams.play && server.url("play", streams.play)});
}

/** What a player last said once a second; as text, because Firefox takes long to hand over anything else. @param {Page} page */
const infoOf = async (page) => JSON.parse(await page.evaluate(() => {
  const e = /** @type {any} */ (document.querySelector("live-player")), {decodeLatency, lipSync, ...info} = e.info ?? {};
  return JSON.stringify({...info, codes: e.log?.map((/** @type {any} */ l) => l.code).filter(Boolean)});
}));

/** The player shows pictures and is heard, whoever's they are. @param {Page} page */
async function plays(page) {
  await until("pictures and sound", async () => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const info = await infoOf(page);
    assert.ok(info.videoFPS > 10 && info.drawn > 60 && info.soundLevel > 0.005, JSON.stringify(info));
    return true;
  }, 30_000);
}

test("a call in Firefox: its own picture and sound come back", {timeout: 90_000}, async () => {
  const page = await openFirefox("/example.html");
  await connect(page, {push: "live/own", play: "live/own"});
  await plays(page);
  assert.equal((await infoOf(page)).carrier, "udp", "over WebTransport");
  await page.close();
});

test("Firefox and Chromium see and hear each other", {timeout: 120_000}, async () => {
  const one = await openFirefox("/example.html"), other = await open(chromium, server, "/example.html");
  await connect(one, {push: "live/fox", play: "live/chrome"});
  await connect(other, {push: "live/chrome", play: "live/fox"});
  await plays(other);
  await plays(one);
  await showsPictures(one, "live-player");
  await hearsTone(one, "live-player");
  await one.close();
});

test("where UDP is blocked Firefox calls over a WebSocket", {timeout: 90_000}, async () => {
  const page = await openFirefox("/example.html");
  await page.evaluate(() => {
    for (const e of document.querySelectorAll("live-pusher, live-player")) e.setAttribute("carrier", "tcp");
  });
  await connect(page, {push: "live/tcp", play: "live/tcp"});
  await plays(page);
  assert.equal((await infoOf(page)).carrier, "tcp");
  await page.close();
});

test("a customer in Firefox calls an agent in Chromium, at the pages", {timeout: 120_000}, async () => {
  const desk = await open(chromium, server, "/agent/"), customer = /** @type {any} */ (await openFirefox("/call/?queue=main"));
  /** @param {string} what @param {string} selector */
  const click = (what, selector) => until(what, async () => {
    const done = await customer.evaluate((/** @type {string} */ s) => {
      const b = /** @type {HTMLButtonElement | null} */ (document.querySelector(s));
      if (!b || b.disabled || !b.checkVisibility()) return false;
      b.click();
      return true;
    }, selector);
    assert.ok(done, selector);
    return true;
  }, 20_000);
  await desk.fill("#user", "firefox-desk");
  await desk.click("#sign-form button");
  await desk.click("#open");
  await customer.waitForSelector("#name", {visible: true});
  await customer.type("#name", "Ann");
  await click("a call can be made", "#begin");
  await until("the call comes in", () => desk.locator("#accept").isVisible(), 20_000);
  await desk.click("#accept");
  await plays(desk);
  await plays(customer);
  await showsPictures(customer, "#them");
  await desk.fill("#chat-input", "good morning");
  await desk.press("#chat-input", "Enter");
  await until("the message", async () => (await customer.evaluate(() => document.querySelector("#messages")?.textContent ?? "")).includes("good morning"));
  await click("the caller hangs up", "#hangup");
  await until("how it was", () => customer.evaluate(() => document.querySelector("#over")?.checkVisibility()));
  await customer.close();
});
