// What browser tests stand on: a duet server, Chromium with a film for a camera and beeps for a microphone, and looks at what is shown and heard.
//
//   const server = await startServer();           // a binary of this tree, in a folder of its own
//   const browser = await launch();
//   const page = await open(browser, server, "/example.html");
//   await showsPictures(page, "live-player");
//   await hearsTone(page, "live-player");
//
// Environment: CHROMIUM (default /usr/bin/chromium), DUET (a binary that is built already).

import {execFileSync, spawn} from "node:child_process";
import {mkdtempSync, rmSync} from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {chromium} from "playwright-core";

import {beeps, bits, film, frames, tone} from "./media.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("playwright-core").Browser} Browser */

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "..");
export const mediaDir = path.join(os.tmpdir(), "duet-e2e-media");
const startTimeout = 15_000;

/** Ports are given out by the system, a little before they are used. @returns {Promise<number>} */
export async function freePort() {
  const s = net.createServer();
  await new Promise((resolve) => s.listen(0, "127.0.0.1", () => resolve(undefined)));
  const {port} = /** @type {net.AddressInfo} */ (s.address());
  await new Promise((resolve) => s.close(resolve));
  return port;
}

let built = process.env.DUET ?? "";

/** The server's binary, built once. */
export function duet() {
  if (!built) {
    built = path.join(mkdtempSync(path.join(os.tmpdir(), "duet-e2e-bin-")), "duet");
    execFileSync("go", ["build", "-o", built, "./cmd/duet"], {cwd: root, stdio: ["ignore", "inherit", "inherit"]});
    process.on("exit", () => rmSync(path.dirname(built), {recursive: true, force: true}));
  }
  return built;
}

/**
 * Waits until something holds, and says what did not if it never does.
 * @template T
 * @param {string} what
 * @param {() => Promise<T> | T} look
 * @param {number} [timeout]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, look, timeout = 10_000) {
  const end = Date.now() + timeout;
  for (let last; ; ) {
    try {
      const v = await look();
      if (v) return /** @type {NonNullable<T>} */ (v);
      last = v;
    } catch (err) {
      last = err;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${timeout} ms; the last look gave ${last instanceof Error ? last.stack : JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/**
 * A server and its data.
 * @typedef {object} Server
 * @property {string} origin where pages are
 * @property {(action: string, stream: string, options?: string[]) => string} url as `duet url` makes it
 * @property {(args: string[]) => string} run runs duet with the server's --data
 * @property {() => Promise<void>} stop ends it; the data stays
 * @property {() => Promise<void>} start starts it again on its ports
 * @property {() => Promise<void>} end ends it for good
 * @property {() => string} log what it wrote
 * @property {{http: number, udp: number, webtransport: number}} ports
 */

/**
 * Starts a server on ports of its own.
 * @param {{host?: string, args?: string[]}} [options] host: where browsers come to; args: more flags of `duet serve`
 * @returns {Promise<Server>}
 */
export async function startServer({host = "127.0.0.1", args = []} = {}) {
  const binary = duet(), data = mkdtempSync(path.join(os.tmpdir(), "duet-e2e-"));
  const ports = {http: await freePort(), udp: await freePort(), webtransport: await freePort()};
  /** @type {import("node:child_process").ChildProcess | null} */ let child = null;
  let log = "";
  const origin = `http://${host}:${ports.http}`;
  const start = async () => {
    const c = spawn(binary, ["serve", "--data", data, "--udp", `127.0.0.1:${ports.udp}`, "--rtmp", "", "--http", `${host}:${ports.http}`,
      "--webtransport", `${host}:${ports.webtransport}`, "--sync", "10ms", ...args], {stdio: ["ignore", "pipe", "pipe"]});
    for (const s of [c.stdout, c.stderr]) s.on("data", (b) => (log += b));
    child = c;
    await until("the server answers", async () => {
      if (c.exitCode !== null) throw new Error("the server ended: " + log);
      const health = await fetch(origin + "/healthz"), page = await fetch(origin + "/sdk/elements.js");
      return health.ok && page.ok;
    }, startTimeout);
  };
  const stop = async () => {
    const c = child;
    child = null;
    if (!c || c.exitCode !== null || c.signalCode !== null) return;
    await new Promise((resolve) => {
      c.once("exit", resolve);
      c.kill("SIGTERM");
      setTimeout(() => c.kill("SIGKILL"), 3000).unref();
    });
  };
  /** @param {string[]} argv */
  const run = (argv) => execFileSync(binary, [...argv, "--data", data], {encoding: "utf8"}).trim();
  await start();
  return {
    origin, ports, start, stop, run, log: () => log,
    url: (action, stream, options = []) => run(["url", action, stream, ...options]),
    end: async () => {
      await stop();
      rmSync(data, {recursive: true, force: true});
    },
  };
}

/**
 * Starts Chromium.
 * @param {{program?: string, width?: number, height?: number, args?: string[], noDevices?: boolean, deny?: boolean}} [options] program: in its place;
 *   size of the camera's film; noDevices: neither camera nor microphone; deny: whoever asks for them is refused
 * @returns {Promise<Browser>}
 */
export async function launch({program = process.env.CHROMIUM ?? "/usr/bin/chromium", width = 640, height = 360, args = [], noDevices = false, deny = false} = {}) {
  const devices = noDevices ? [] : [
    "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${film(mediaDir, width, height)}`,
    `--use-file-for-fake-audio-capture=${beeps(mediaDir)}`,
  ];
  return chromium.launch({
    executablePath: program,
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--autoplay-policy=no-user-gesture-required", deny ? "--deny-permission-prompts" : "--use-fake-ui-for-media-stream", ...devices, ...args,
    ],
  });
}

/** What a page did wrong, by page. @type {WeakMap<Page, string[]>} */
const faults = new WeakMap();

/**
 * Opens a page in a context of its own, and notes what goes wrong in it.
 * @param {Browser} browser
 * @param {Server} server
 * @param {string} where path on the server
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns {Promise<Page>}
 */
export async function open(browser, server, where, options = {}) {
  const context = await browser.newContext({ignoreHTTPSErrors: true, locale: "en-US", ...options});
  const page = await context.newPage();
  /** @type {string[]} */ const list = [];
  faults.set(page, list);
  page.on("pageerror", (err) => list.push(String(err.stack ?? err)));
  page.on("console", (m) => {
    if (m.type() === "error") list.push(m.text());
  });
  await page.goto(server.origin + where);
  return page;
}

/** Errors of a page so far: exceptions and what the console showed in red. @param {Page} page */
export const faultsOf = (page) => faults.get(page) ?? [];

/**
 * Reads the frame counter off what an element shows; null: it shows no counter.
 * @param {Page} page
 * @param {string} selector of a live-player or live-pusher
 * @returns {Promise<{counter: number, width: number, height: number, bright: number} | null>}
 */
export async function look(page, selector) {
  return page.evaluate(async ({selector, bits}) => {
    const e = /** @type {any} */ (document.querySelector(selector));
    const source = e?.shadowRoot?.querySelector("canvas") ?? e?.shadowRoot?.querySelector("video");
    const width = source?.width || source?.videoWidth, height = source?.height || source?.videoHeight;
    if (!width || !height) return null;
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", {willReadFrequently: true});
    if (!context) return null;
    context.drawImage(source, 0, 0, width, height);
    /** @param {number} x @param {number} y */
    const luma = (x, y) => {
      const [r, g, b] = context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data;
      return 0.3 * r + 0.59 * g + 0.11 * b;
    };
    let counter = 0;
    for (let bit = 0; bit < bits; bit++) {
      const x = ((bit + 0.5) * width) / bits, a = luma(x, height / 16), b = luma(x, (3 * height) / 16);
      if (Math.abs(a - b) < 60) return null;
      counter = (counter << 1) | (a > b ? 1 : 0);
    }
    return {counter, width, height, bright: luma(width / 2, height * 0.62)};
  }, {selector, bits});
}

/**
 * The element shows pictures that go on: the counter advances by the frames that the time should bring, about. It returns frames a second.
 * @param {Page} page
 * @param {string} selector
 * @param {{timeout?: number, atLeast?: number}} [options] atLeast: frames of the film that have to go by
 */
export async function showsPictures(page, selector, {timeout = 15_000, atLeast = 20} = {}) {
  const first = await until(`${selector} shows a counter`, () => look(page, selector), timeout);
  let last = first.counter, advanced = 0;
  const begin = Date.now();
  await until(`${selector} shows a counter that advances`, async () => {
    const now = await look(page, selector);
    if (!now) throw new Error("there is no counter; it has advanced by " + advanced);
    advanced += (now.counter - last + frames) % frames;
    last = now.counter;
    if (advanced < atLeast) throw new Error(`at ${last}, advanced by ${advanced}`);
    return true;
  }, timeout);
  return (advanced * 1000) / (Date.now() - begin);
}

/**
 * The element gives sound, and the sound is the tone: its energy at 1 kHz is far above what is beside it.
 * @param {Page} page
 * @param {string} selector of a live-player
 * @param {number} [timeout]
 */
export async function hearsTone(page, selector, timeout = 10_000) {
  return until(`${selector} gives the tone`, () => page.evaluate(async ({selector, tone}) => {
    const node = /** @type {any} */ (document.querySelector(selector))?.audioNode;
    if (!node) return 0;
    const analyser = node.context.createAnalyser();
    analyser.fftSize = 4096;
    analyser.smoothingTimeConstant = 0;
    node.connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount), width = node.context.sampleRate / analyser.fftSize;
    let best = 0;
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      analyser.getFloatFrequencyData(bins);
      const at = Math.round(tone / width), peak = Math.max(...bins.slice(at - 2, at + 3));
      const beside = Math.max(...bins.slice(Math.round(1800 / width), Math.round(6000 / width)));
      if (peak > -60 && peak - beside > best) best = peak - beside;
    }
    node.disconnect(analyser);
    return best > 15 ? best : 0;
  }, {selector, tone}), timeout);
}

/**
 * Keeps an element's events from now on; they are read by `eventsOf`.
 * @param {Page} page
 * @param {string} selector
 */
export async function record(page, selector) {
  await page.evaluate((selector) => {
    const e = /** @type {any} */ (document.querySelector(selector));
    e.log = [];
    for (const type of ["statechange", "error", "netstatus", "carrierchange", "message", "close"]) {
      e.addEventListener(type, (/** @type {CustomEvent} */ ev) => e.log.push({type, at: performance.now(), ...ev.detail}));
    }
  }, selector);
}

/**
 * @param {Page} page
 * @param {string} selector
 * @returns {Promise<any[]>}
 */
export const eventsOf = (page, selector) => page.evaluate((s) => /** @type {any} */ (document.querySelector(s)).log, selector);

/**
 * Waits for an event code.
 * @param {Page} page
 * @param {string} selector
 * @param {number} code
 * @param {number} [timeout]
 * @param {number} [nth] the first, second, …
 */
export const hasCode = (page, selector, code, timeout = 10_000, nth = 1) =>
  until(`${selector} tells ${code}`, async () => {
    const log = await eventsOf(page, selector);
    const found = log.filter((e) => e.code === code || e.errCode === code);
    if (found.length >= nth) return found[nth - 1];
    throw new Error("so far: " + JSON.stringify(log.filter((e) => e.type !== "netstatus").map((e) => [e.code ?? e.errCode ?? e.carrier ?? e.type, e.detail ?? e.errMsg])));
  }, timeout);
