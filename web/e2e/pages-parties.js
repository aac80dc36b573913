// What the tests of the pages share: a server with a browser, callers and agents at their pages, and what went over their sockets.

import assert from "node:assert/strict";
import {mkdirSync} from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {after, afterEach, before} from "node:test";

import {faultsOf, launch, open, startServer, until} from "./harness.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("./harness.js").Server} Server */

const axe = path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules", "axe-core", "axe.min.js");
/** Messages of the console that are no fault: a status that a page asks for on purpose, or the network's while a server restarts. */
const expected = /status of (401|403|404|409|429)|WebSocket connection|ERR_CONNECTION|ERR_QUIC|Opening handshake failed|WebTransport/;

/** A server and a browser for the tests of a group. */
export class House {
  /** @type {Server} */ server = /** @type {any} */ (null);
  /** @type {import("playwright-core").Browser} */ browser = /** @type {any} */ (null);
  /** @type {Page[]} */ #pages = [];
  #people = 0;

  /** @param {{args?: string[], browser?: Parameters<typeof launch>[0]}} [options] */
  constructor({args = [], browser} = {}) {
    before(async () => {
      this.server = await startServer({args});
      this.browser = await launch(browser);
    });
    afterEach(async () => {
      for (const p of this.#pages) await p.context().close();
      this.#pages = [];
    });
    after(async () => {
      await this.browser?.close();
      await this.server?.end();
    });
  }

  /** @param {string} where @param {import("playwright-core").BrowserContextOptions} [options] */
  async page(where, options = {}) {
    const p = await open(this.browser, this.server, where, options);
    this.#pages.push(p);
    return p;
  }

  /** An agent whose desk is open, and the user's name. @param {import("playwright-core").BrowserContextOptions} [options] */
  async agent(options = {}) {
    const p = await this.page("/agent/", options), user = "agent" + ++this.#people;
    await shows(p, "sign");
    await p.fill("#user", user);
    await p.click("#sign-form button");
    await p.click("#open");
    await until("an open desk", () => p.locator("#close").isVisible());
    return Object.assign(p, {user});
  }

  /** A caller in line. @param {string} name @param {import("playwright-core").BrowserContextOptions} [options] */
  async caller(name, options = {}) {
    const p = await this.page("/call/?queue=main", options);
    await until("a call can be made", () => p.locator("#begin").isEnabled());
    await p.fill("#name", name);
    await p.click("#begin");
    return p;
  }

  /** Asks the server as an administrator. @param {string} method @param {string} where @param {object} [body] @returns {Promise<any>} */
  async ask(method, where, body) {
    const post = (/** @type {string} */ m, /** @type {string} */ w, /** @type {any} */ b, /** @type {Record<string, string>} */ headers) =>
      fetch(this.server.origin + w, {method: m, headers, body: b && JSON.stringify(b)});
    const {token} = /** @type {any} */ (await (await post("POST", "/v1/dev", {user: "root", roles: ["admin"]}, {})).json());
    const r = await post(method, where, body, {Authorization: `Bearer ${token}`});
    assert.ok(r.ok, `${method} ${where}: ${r.status}`);
    return r.status === 204 ? null : r.json();
  }

  /** Pages did nothing wrong. */
  clean() {
    for (const p of this.#pages) assert.deepEqual(faultsOf(p).filter((f) => !expected.test(f)), [], p.url());
  }
}

/** @param {Page} p */
export const shown = (p) => p.locator("main > section:visible").first().getAttribute("id", {timeout: 1000});
/** @param {Page} p @param {string} id @param {number} [timeout] */
export const shows = (p, id, timeout = 15_000) => until(`${new URL(p.url()).pathname} shows #${id}`, async () => {
  const now = await shown(p);
  if (now !== id) throw new Error(`it shows #${now}; ${await p.locator("#notice").textContent()}`);
  return true;
}, timeout);

/** The agent takes the caller's call. @param {Page} desk @param {Page} customer */
export async function putThrough(desk, customer) {
  await shows(desk, "incoming");
  await desk.click("#accept");
  await shows(desk, "talk");
  await shows(customer, "talk");
}

/** @param {Page} p @param {string} text */
export async function write(p, text) {
  await p.fill("#chat-input", text);
  await p.press("#chat-input", "Enter");
}

/** What was said, in order, without its marks. @param {Page} p */
export const said = (p) => p.locator("#messages li:not(.empty)").evaluateAll((list) => list.map((li) => [...li.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("")));

/** What goes over a page's socket from now on, of all pages in one list. @param {Record<string, Page>} pages */
export function listen(pages) {
  /** @type {Record<string, any>[]} */ const log = [];
  for (const [who, p] of Object.entries(pages)) {
    p.on("websocket", (ws) => {
      if (!ws.url().endsWith("/v1/socket")) return;
      ws.on("framereceived", (f) => log.push({who, ...JSON.parse(String(f.payload))}));
      ws.on("framesent", (f) => log.push({who, sent: true, ...JSON.parse(String(f.payload))}));
    });
  }
  return log;
}

/** Axe finds nothing serious in what is seen. The page has to be open with bypassCSP. @param {Page} p @param {string} what */
export async function accessible(p, what) {
  if (!(await p.evaluate(() => "axe" in window))) await p.addScriptTag({path: axe});
  const found = await p.evaluate(async () => /** @type {any} */ (window).axe.run());
  const bad = found.violations.filter((/** @type {any} */ v) => v.impact === "serious" || v.impact === "critical");
  assert.deepEqual(bad.map((/** @type {any} */ v) => [v.id, v.nodes.map((/** @type {any} */ n) => [n.target, n.any[0]?.message])]), [], what);
}

/** A picture for the documentation, where SCREENSHOTS names a folder. @param {Page} p @param {string} name */
export async function shot(p, name) {
  const dir = process.env.SCREENSHOTS;
  if (!dir) return;
  mkdirSync(dir, {recursive: true});
  await p.screenshot({path: path.join(dir, name + ".png"), animations: "disabled"});
}
