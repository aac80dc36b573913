// <live-player>: plays the stream of a play URL.

import {Code, particular} from "./codes.js";
import {LiveElement, supported} from "./element.js";
import {Sound} from "./sound.js";

/**
 * Attributes: src, mode (RTC, live), autoplay, muted, volume (0 to 1), orientation (vertical, horizontal), object-fit (contain, fillCrop, cover),
 * min-cache, max-cache (seconds), sound-mode (speaker, ear), sink-id, background-mute, server, carrier.
 *
 * Events: `statechange` {code, message, detail}, `netstatus` {info}, `error` {errCode, errMsg}, `message` {text}, `carrierchange` {carrier},
 * `resize` {width, height}.
 */
export class LivePlayer extends LiveElement {
  static observedAttributes = [
    "src", "autoplay", "muted", "volume", "orientation", "object-fit", "min-cache", "max-cache", "mode", "sink-id", "sound-mode",
  ];

  /** @type {HTMLCanvasElement | null} */ #canvas = null;
  /** @type {Sound | null} */ #sound = null;
  #muted = false;
  #paused = false;
  #onHidden = () => this.#applyMute();

  connectedCallback() {
    document.addEventListener("visibilitychange", this.#onHidden);
    if (this.flag("autoplay") && this.src && !this.running) void this.play();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#onHidden);
    void this.stop();
  }

  /**
   * @param {string} name
   * @param {string | null} old
   * @param {string | null} value
   */
  attributeChangedCallback(name, old, value) {
    if (old === value) return;
    switch (name) {
      case "src":
        if (this.running) void this.#again();
        else if (this.isConnected && this.flag("autoplay") && this.src) void this.play();
        break;
      case "autoplay":
        if (this.isConnected && this.flag("autoplay") && this.src && !this.running) void this.play();
        break;
      case "muted":
      case "volume":
        this.#applyMute();
        break;
      case "object-fit":
        this.style.setProperty("--duet-fit", {fillCrop: "cover", fill: "fill", cover: "cover"}[value ?? ""] ?? "contain");
        break;
      case "orientation":
        this.#turn();
        break;
      case "min-cache":
      case "max-cache":
      case "mode":
        this.post({type: "configure", change: this.#cache()});
        break;
      case "sink-id":
        void this.#sound?.sink(value ?? "").catch(() => {});
        break;
    }
  }

  get src() {
    return this.getAttribute("src") ?? "";
  }
  set src(v) {
    this.setAttribute("src", v);
  }
  get muted() {
    return this.flag("muted");
  }
  set muted(on) {
    this.setFlag("muted", on);
  }

  /** What is heard, as a node of the Web Audio API: for meters and recordings. null while nothing is played. */
  get audioNode() {
    return this.#sound?.node ?? null;
  }

  /** The canvas with the picture; null while nothing is played. */
  get canvas() {
    return this.#canvas;
  }

  /** Delays in ms: of a call little more than the network needs, of a live stream at least a second. */
  #cache() {
    const live = (this.getAttribute("mode") ?? "RTC").toLowerCase() === "live";
    const minCache = 1000 * this.number("min-cache", live ? 1 : 0), maxCache = 1000 * this.number("max-cache", live ? 3 : 1);
    return {minCache, maxCache: Math.max(minCache, maxCache)};
  }

  /** Connects and plays. Code 2004 tells that it has begun. */
  async play() {
    if (this.running) {
      await this.#sound?.resume();
      return;
    }
    if (!this.src) {
      this.state(Code.noAddress);
      return;
    }
    if (!supported()) {
      this.fail(Code.playGaveUp, particular(globalThis.isSecureContext ? "unsupported" : "insecure"));
      return;
    }
    this.#paused = false;
    // A canvas is given away for good: each time a new one.
    const canvas = document.createElement("canvas");
    this.#canvas?.remove();
    this.#canvas = canvas;
    this.root.append(canvas);
    this.#turn();
    const sound = new Sound();
    this.#sound = sound;
    this.#applyMute();
    const [worker, port] = await Promise.all([
      this.openWorker({role: "play", url: this.src, receiver: this.#cache()}), sound.start().catch(() => null),
    ]);
    if (!worker || this.worker !== worker) {
      sound.stop();
      return;
    }
    const offscreen = canvas.transferControlToOffscreen();
    this.post({type: "canvas", canvas: offscreen}, [offscreen]);
    if (port) this.post({type: "sound", port}, [port]);
    const sink = this.getAttribute("sink-id");
    if (sink) await sound.sink(sink).catch(() => {});
    if (sound.blocked) this.emit("blocked", {message: particular("soundBlocked")});
  }

  /** Plays another stream. */
  async #again() {
    await this.stop();
    if (this.isConnected && this.src) await this.play();
  }

  /** Leaves the stream. */
  async stop() {
    const worker = this.worker;
    if (!worker) return;
    const over = new Promise((resolve) => {
      worker.addEventListener("message", (e) => e.data.type === "over" && resolve(undefined));
      setTimeout(resolve, 500);
    });
    this.post({type: "close"});
    this.#silence();
    await over;
    if (this.worker === worker) this.closeWorker();
  }

  /** No sound. @param {boolean} [on] */
  mute(on = true) {
    this.muted = on;
  }

  /** Picture and sound stop; the stream goes on, so that resume shows what happens then. */
  pause() {
    this.#paused = true;
    this.#canvas?.classList.add("off");
    this.#applyMute();
  }

  resume() {
    this.#paused = false;
    this.#canvas?.classList.remove("off");
    this.#applyMute();
    return this.#sound?.resume() ?? Promise.resolve();
  }

  /** The whole screen. */
  requestFullScreen() {
    return this.requestFullscreen();
  }

  exitFullScreen() {
    return document.exitFullscreen();
  }

  /**
   * The picture that is seen now.
   * @param {string} [type] as of a blob
   * @returns {Promise<Blob>}
   */
  async snapshot(type = "image/png") {
    const from = this.#canvas;
    if (!from || !from.width) throw new DOMException("there is no picture", "InvalidStateError");
    const canvas = new OffscreenCanvas(from.width, from.height);
    canvas.getContext("2d")?.drawImage(from, 0, 0);
    return canvas.convertToBlob({type});
  }

  /** Asks the other side for a fresh picture. */
  requestKeyFrame() {
    this.post({type: "keyFrame"});
  }

  #turn() {
    this.#canvas?.style.setProperty("transform", this.getAttribute("orientation") === "horizontal" ? "rotate(90deg)" : "none");
  }

  #applyMute() {
    this.#muted = this.muted || this.#paused || (document.hidden && this.flag("background-mute"));
    if (!this.#sound) return;
    this.#sound.muted = this.#muted;
    this.#sound.volume = this.number("volume", this.getAttribute("sound-mode") === "ear" ? 0.5 : 1);
  }

  #silence() {
    this.#sound?.stop();
    this.#sound = null;
  }

  /** @param {import("./worker.js").FromWorker} m */
  heard(m) {
    if (m.type === "message") {
      this.state(Code.message, undefined, m.text);
      this.emit("message", {text: m.text});
    } else if (m.type === "size") {
      this.emit("resize", {width: m.width, height: m.height});
    }
  }

  /** @param {number} code @param {string} text */
  ended(code, text) {
    this.#silence();
    if (code !== 0) this.fail(code);
    this.emit("close", {code, text});
  }
}

customElements.define("live-player", LivePlayer);
