// What <live-pusher> and <live-player> have in common: attributes, the worker, events.

import {codeText} from "./codes.js";

/** @typedef {import("./worker.js").FromWorker} FromWorker */
/** @typedef {import("./worker.js").ToWorker} ToWorker */

/** @typedef {{code: number, message: string, detail: string}} StateDetail message is a sentence in the page's language; detail is technical */
/** @typedef {{errCode: number, errMsg: string}} ErrorDetail */

/** @type {Promise<WebAssembly.Module | undefined> | null} */
let compiled = null;

/** The core, compiled once for all elements of the page; undefined: the worker is to do it. */
export function coreModule() {
  compiled ??= WebAssembly.compileStreaming(fetch(new URL("./duet.wasm", import.meta.url))).catch(() => {
    compiled = null;
    return undefined;
  });
  return compiled;
}

/** What a call needs of a browser. */
export function supported() {
  return typeof WebAssembly !== "undefined" && typeof VideoDecoder !== "undefined" && typeof AudioDecoder !== "undefined" && typeof AudioWorkletNode !== "undefined";
}

/** The style of both: one box with a picture that fits into it. */
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: block; position: relative; overflow: hidden; background: #000; aspect-ratio: 16 / 9; }
  :host([hidden]) { display: none; }
  canvas, video { display: block; width: 100%; height: 100%; object-fit: var(--duet-fit, contain); }
  video.mirror { transform: scaleX(-1); }
  .off { visibility: hidden; }
`);

export class LiveElement extends HTMLElement {
  /** @type {Worker | null} */ worker = null;
  /** Which way the media goes: "udp", "tcp", or "" for none. */
  carrier = "";
  /** What the last netstatus said. @type {Record<string, any>} */
  info = {};
  #root;

  constructor() {
    super();
    this.#root = this.attachShadow({mode: "open"});
    this.#root.adoptedStyleSheets = [sheet];
  }

  /** @returns {ShadowRoot} */
  get root() {
    return this.#root;
  }

  /** Whether it runs: started, and not over. */
  get running() {
    return this.worker !== null;
  }

  /**
   * An attribute that is on where it is there, unless its value says no.
   * @param {string} name
   * @param {boolean} [missing] what it is where it is not there
   */
  flag(name, missing = false) {
    const v = this.getAttribute(name);
    return v === null ? missing : v !== "false" && v !== "0" && v !== "no";
  }

  /**
   * @param {string} name
   * @param {boolean} on
   * @param {boolean} [missing]
   */
  setFlag(name, on, missing = false) {
    if (on && missing) this.removeAttribute(name);
    else if (on) this.setAttribute(name, "");
    else if (missing) this.setAttribute(name, "false");
    else this.removeAttribute(name);
  }

  /**
   * A number of an attribute.
   * @param {string} name
   * @param {number} missing
   */
  number(name, missing) {
    const v = parseFloat(this.getAttribute(name) ?? "");
    return Number.isFinite(v) ? v : missing;
  }

  /** Where the carriers are asked for: the server that the SDK came from, unless the attribute `server` names another one. */
  get server() {
    return new URL(this.getAttribute("server") || "/", import.meta.url).origin;
  }

  /**
   * Starts the worker.
   * @param {Omit<Extract<ToWorker, {type: "open"}>, "type" | "server" | "module" | "only">} open
   */
  async openWorker(open) {
    const worker = new Worker(new URL("./worker.js", import.meta.url), {type: "module", name: open.role});
    this.worker = worker;
    worker.onmessage = (/** @type {MessageEvent<FromWorker>} */ e) => {
      if (this.worker === worker) this.#take(e.data);
    };
    worker.onerror = (e) => {
      if (this.worker === worker) this.#take({type: "over", code: 3005, text: e.message || "the worker could not be loaded"});
    };
    const module = await coreModule();
    if (this.worker !== worker) return null;
    const carrier = this.getAttribute("carrier");
    const only = carrier === "udp" || carrier === "tcp" ? carrier : "";
    worker.postMessage({...open, type: "open", server: this.server, module, only});
    return worker;
  }

  /** @param {ToWorker} m @param {Transferable[]} [transfer] */
  post(m, transfer = []) {
    this.worker?.postMessage(m, transfer);
  }

  /** @param {FromWorker} m */
  #take(m) {
    switch (m.type) {
      case "event":
        this.state(m.code, undefined, m.text);
        break;
      case "status":
        this.info = {...m.info, carrier: this.carrier};
        this.emit("netstatus", {info: this.info});
        break;
      case "carrier":
        if (m.kind && m.kind !== this.carrier) this.emit("carrierchange", {carrier: m.kind});
        this.carrier = m.kind;
        break;
      case "over":
        this.closeWorker();
        this.ended(m.code, m.text);
        break;
      default:
        this.heard(m);
    }
  }

  /** Ends the worker, which has said what it had to. */
  closeWorker() {
    this.worker?.terminate();
    this.worker = null;
    this.carrier = "";
  }

  /**
   * Tells what happened.
   * @param {number} code
   * @param {string} [message] default: what the code means
   * @param {string} [detail]
   */
  state(code, message, detail = "") {
    this.emit("statechange", {code, message: message ?? codeText(code), detail});
  }

  /**
   * @param {number} errCode
   * @param {string} [errMsg]
   */
  fail(errCode, errMsg) {
    this.emit("error", {errCode, errMsg: errMsg ?? codeText(errCode)});
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  /**
   * The worker is over. code 0: as was asked.
   * @param {number} _code
   * @param {string} _text
   */
  ended(_code, _text) {}

  /** What only one of the elements knows. @param {FromWorker} _m */
  heard(_m) {}
}
