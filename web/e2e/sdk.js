// The SDK in Chromium, against a real server: a call's media over WebTransport and WebSocket, and through what networks do.

import assert from "node:assert/strict";
import {after, before, test} from "node:test";

import {eventsOf, faultsOf, hasCode, hearsTone, launch, look, open, record, showsPictures, startServer, until} from "./harness.js";
import {cable, over} from "./network.js";

/** @typedef {import("playwright-core").Page} Page */

/** @type {import("./harness.js").Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
});

let streams = 0;

/**
 * A page with both elements, of which the player plays what the pusher pushes.
 * @param {{attributes?: Record<string, string>, prepare?: (page: Page) => Promise<void>, hold?: boolean}} [options]
 */
async function call({attributes = {}, prepare, hold = false} = {}) {
  const page = await open(browser, server, "/example.html");
  await prepare?.(page);
  for (const s of ["live-pusher", "live-player"]) await record(page, s);
  const stream = "live/t" + ++streams;
  const go = () => page.evaluate(({push, play, attributes}) => {
    for (const [k, v] of Object.entries(attributes)) for (const e of document.querySelectorAll("live-pusher, live-player")) e.setAttribute(k, v);
    document.querySelector("live-pusher")?.setAttribute("url", push);
    document.querySelector("live-player")?.setAttribute("src", play);
  }, {push: server.url("push", stream), play: server.url("play", stream), attributes});
  if (!hold) await go();
  return {page, go, stream, end: () => page.context().close()};
}

/** @param {Page} page */
async function flows(page) {
  await hasCode(page, "live-pusher", 1002);
  await hasCode(page, "live-player", 2004);
  await showsPictures(page, "live-player");
  await hearsTone(page, "live-player");
}

/** @param {Page} page @param {string} selector */
const carrierOf = (page, selector) => page.evaluate((s) => /** @type {any} */ (document.querySelector(s)).carrier, selector);

test("picture and sound over WebTransport", async () => {
  const {page, end} = await call();
  await flows(page);
  assert.equal(await carrierOf(page, "live-pusher"), "udp");
  assert.equal(await carrierOf(page, "live-player"), "udp");
  const codes = (await eventsOf(page, "live-pusher")).map((e) => e.code);
  for (const code of [1001, 1002, 1003, 1007, 1008]) assert.ok(codes.includes(code), `${code} among ${codes}`);
  const info = (await until("a netstatus", async () => (await eventsOf(page, "live-player")).findLast((e) => e.type === "netstatus" && e.info.lipSync.length))).info;
  const worst = Math.max(...info.lipSync.map(Math.abs));
  assert.ok(worst < 40, `lips and sound are up to ${worst} ms apart`);
  assert.deepEqual(faultsOf(page), []);
  await end();
});

test("picture and sound over a WebSocket", async () => {
  const {page, end} = await call({attributes: {carrier: "tcp"}});
  await flows(page);
  assert.equal(await carrierOf(page, "live-pusher"), "tcp");
  assert.deepEqual(faultsOf(page), []);
  await end();
});

for (const codec of ["vp8", "vp9", "av1"]) {
  test(`picture in ${codec}`, async () => {
    const {page, end} = await call({attributes: {"video-codec": codec}});
    await hasCode(page, "live-player", 2004);
    await showsPictures(page, "live-player");
    const started = await hasCode(page, "live-pusher", 1008);
    assert.match(started.detail, new RegExp("^" + codec));
    await end();
  });
}

test("a browser that has neither track processors nor the page's own", async () => {
  const {page, end} = await call({attributes: {compat: "", carrier: "tcp"}});
  await flows(page);
  await end();
});

test("UDP is blocked from the beginning: a WebSocket within 3 s", async () => {
  const hole = await cable(server.ports.webtransport);
  hole.blocked = true;
  const {page, end} = await call({prepare: (page) => over(page.context(), hole.port)});
  const began = await hasCode(page, "live-pusher", 1002);
  const opened = await until("the carrier", async () => (await eventsOf(page, "live-pusher")).find((e) => e.type === "carrierchange"));
  assert.equal(opened.carrier, "tcp");
  const camera = (await eventsOf(page, "live-pusher"))[0];
  assert.ok(began.at - camera.at < 3000, `pushing began after ${began.at - camera.at} ms`);
  await flows(page);
  await end();
  hole.close();
});

test("UDP is blocked in mid-call: it goes on within 3 s", async () => {
  const way = await cable(server.ports.webtransport);
  const {page, end} = await call({prepare: (page) => over(page.context(), way.port)});
  await flows(page);
  assert.equal(await carrierOf(page, "live-player"), "udp");
  way.blocked = true;
  const since = await page.evaluate(() => performance.now());
  for (const s of ["live-pusher", "live-player"]) {
    const e = await until(`${s} is on tcp`, async () => (await eventsOf(page, s)).find((e) => e.type === "carrierchange" && e.carrier === "tcp"));
    assert.ok(e.at - since < 3000, `${s} took ${e.at - since} ms`);
  }
  await hasCode(page, "live-pusher", 1001, 5000, 2);
  await hasCode(page, "live-player", 2001, 5000, 2);
  await showsPictures(page, "live-player");
  await hearsTone(page, "live-player");
  way.blocked = false; // and back to UDP by itself
  await until("both are back on udp", async () => (await carrierOf(page, "live-pusher")) === "udp" && (await carrierOf(page, "live-player")) === "udp", 30_000);
  await showsPictures(page, "live-player");
  await end();
  way.close();
});

test("the server restarts: the call goes on", async () => {
  const {page, end} = await call();
  await flows(page);
  await server.stop();
  await hasCode(page, "live-pusher", 1102);
  await hasCode(page, "live-player", 2103);
  await server.start();
  await hasCode(page, "live-pusher", 1002, 15_000, 2);
  await showsPictures(page, "live-player");
  await hearsTone(page, "live-player");
  await end();
});

test("the pusher stops: 2006 at the player", async () => {
  const {page, end} = await call();
  await flows(page);
  await page.evaluate(() => /** @type {any} */ (document.querySelector("live-pusher")).stop());
  await hasCode(page, "live-player", 2006);
  await until("the player is over", () => page.evaluate(() => !(/** @type {any} */ (document.querySelector("live-player")).running)));
  await end();
});

test("a URL that has expired is told at once, with a sentence", async () => {
  const {page, end} = await call({hold: true});
  const play = server.url("play", "live/other").replace(/t=.*/, "t=AAAA");
  await page.evaluate((play) => document.querySelector("live-player")?.setAttribute("src", play), play);
  const e = await hasCode(page, "live-player", 3004);
  assert.ok(e.message.length > 20);
  await end();
});

test("camera off and on, muted, a message within the stream, a snapshot", async () => {
  const {page, end} = await call();
  await flows(page);
  await page.evaluate(() => /** @type {any} */ (document.querySelector("live-pusher")).sendMessage("你好, duet"));
  const m = await hasCode(page, "live-player", 2012);
  assert.equal(m.detail, "你好, duet");
  const shot = await page.evaluate(async () => (await /** @type {any} */ (document.querySelector("live-player")).snapshot()).size);
  assert.ok(shot > 1000, `a snapshot of ${shot} bytes`);
  await page.evaluate(() => (/** @type {any} */ (document.querySelector("live-pusher")).enableCamera = false));
  await until("the picture stands", async () => {
    const a = await look(page, "live-player");
    await new Promise((resolve) => setTimeout(resolve, 300));
    const b = await look(page, "live-player");
    return a !== null && a.counter === b?.counter;
  });
  await page.evaluate(() => (/** @type {any} */ (document.querySelector("live-pusher")).enableCamera = true));
  await showsPictures(page, "live-player");
  await page.evaluate(() => (/** @type {any} */ (document.querySelector("live-pusher")).muted = true));
  await until("it is silent", async () => (await eventsOf(page, "live-player")).findLast((e) => e.type === "netstatus")?.info.soundLevel < 0.002);
  await end();
});

test("camera and microphone denied, or not there", async () => {
  for (const [options, codes] of /** @type {const} */ ([[{deny: true}, [10001, 10002, -1301, -1302]], [{noDevices: true}, [-1301, -1302]]])) {
    const other = await launch(options);
    try {
      const page = await open(other, server, "/example.html");
      await record(page, "live-pusher");
      const push = server.url("push", "live/none");
      await page.evaluate((push) => document.querySelector("live-pusher")?.setAttribute("url", push), push);
      for (const code of codes) {
        const e = await hasCode(page, "live-pusher", code);
        assert.ok((e.message ?? e.errMsg).length > 20);
      }
      await hasCode(page, "live-pusher", 1002); // the session is there all the same
    } finally {
      await other.close();
    }
  }
});

test("from 2 Mbit/s to 400 kbit/s and back: no freeze over 1.2 s", async () => {
  const way = await cable(server.ports.webtransport);
  way.rate = 2000;
  const {page, end} = await call({prepare: (page) => over(page.context(), way.port), attributes: {carrier: "udp", "max-bitrate": "1500"}});
  await flows(page);
  /** @param {string} selector */
  const target = async (selector) => (await eventsOf(page, selector)).findLast((e) => e.type === "netstatus").info;
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const before = (await target("live-pusher")).targetBitrate;
  way.rate = 400;
  await new Promise((resolve) => setTimeout(resolve, 7000));
  const low = await target("live-pusher");
  assert.ok(low.targetBitrate < 450, `the target is ${low.targetBitrate} kbit/s`);
  way.rate = 2000;
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const after = (await target("live-pusher")).targetBitrate;
  const stood = (await eventsOf(page, "live-player")).filter((e) => e.type === "netstatus").slice(2).map((e) => Math.round(e.info.stood));
  assert.ok(Math.max(...stood) < 1200, `in each second the picture stood for ${stood} ms`);
  assert.ok(after >= 0.8 * before, `${after} kbit/s after 10 s, ${before} before`);
  await end();
  way.close();
});
