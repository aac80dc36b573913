// The page's side of a player's sound: an AudioContext, which a page may only start after somebody has touched it, and the worklet in it.

const clockEvery = 500;
/**
 * Firefox stands still, the page with it, when it is asked for its output's latency while that output begins: both wait for one lock. So it is not asked, and
 * this is taken for it, in ms.
 */
const firefoxLatency = 25;
const firefox = navigator.userAgent.includes("Firefox/");

export class Sound {
  /** @type {AudioContext | null} */ #context = null;
  /** @type {GainNode | null} */ #gain = null;
  /** @type {AudioWorkletNode | null} */ #node = null;
  #timer = 0;
  #muted = false;
  #volume = 1;
  #touched = () => void this.#context?.resume();

  /** What is heard, for meters and recordings; null before start. */
  get node() {
    return this.#gain;
  }

  /** Whether the browser holds sound back until somebody touches the page. */
  get blocked() {
    return this.#context?.state === "suspended";
  }

  /**
   * Opens the sound.
   * @returns {Promise<MessagePort>} for the worker
   */
  async start() {
    const context = new AudioContext({sampleRate: 48000, latencyHint: "interactive"});
    this.#context = context;
    await context.audioWorklet.addModule(new URL("./playout-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "duet-playout", {numberOfInputs: 0, outputChannelCount: [2]});
    const gain = context.createGain();
    node.connect(gain).connect(context.destination);
    this.#node = node;
    this.#gain = gain;
    this.#apply();
    const {port1, port2} = new MessageChannel();
    node.port.postMessage({type: "worker", port: port1}, [port1]);
    const clock = () => {
      if (context.state !== "running") return;
      const t = firefox ? {} : context.getOutputTimestamp();
      // Some browsers say nothing of their output: then it is now, and what they say of its latency.
      const told = t.performanceTime && t.contextTime;
      const latency = firefox ? firefoxLatency : 1000 * (context.outputLatency || context.baseLatency || 0);
      const epoch = performance.timeOrigin + (told ? Number(t.performanceTime) : performance.now() + latency);
      node.port.postMessage({type: "clock", context: told ? t.contextTime : context.currentTime, epoch});
    };
    this.#timer = setInterval(clock, clockEvery);
    context.onstatechange = clock;
    clock();
    if (context.state === "suspended") {
      for (const type of ["pointerdown", "keydown"]) addEventListener(type, this.#touched, {passive: true});
      void context.resume().catch(() => {});
    }
    return port2;
  }

  /** @param {boolean} on */
  set muted(on) {
    this.#muted = on;
    this.#apply();
  }

  /** 0 to 1. @param {number} v */
  set volume(v) {
    this.#volume = Math.max(0, Math.min(1, v));
    this.#apply();
  }

  /** Sound goes to another device, where the browser lets a page choose. @param {string} deviceId */
  async sink(deviceId) {
    const context = /** @type {any} */ (this.#context);
    if (context?.setSinkId) await context.setSinkId(deviceId);
  }

  /** After a touch of the page. */
  resume() {
    return this.#context?.resume() ?? Promise.resolve();
  }

  #apply() {
    const {currentTime} = this.#context ?? {currentTime: 0};
    this.#gain?.gain.setTargetAtTime(this.#muted ? 0 : this.#volume, currentTime, 0.01);
  }

  stop() {
    clearInterval(this.#timer);
    for (const type of ["pointerdown", "keydown"]) removeEventListener(type, this.#touched);
    this.#node?.disconnect();
    void this.#context?.close().catch(() => {});
    this.#context = this.#gain = this.#node = null;
  }
}
