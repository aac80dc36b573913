// The core: a session of the Go code in wasm, driven by a worker. What goes in and comes out is gathered into records (package endpoint,
// record.go), one call for all that happened in a turn of the event loop.

const IN = Object.freeze({datagrams: 1, carrier: 2, backlog: 3, frame: 4, keyFrame: 5, message: 6, size: 7, close: 8});
const OUT = Object.freeze({
  datagrams: 1, event: 2, frame: 3, status: 4, bitrate: 5, keyFrame: 6, target: 7, backlog: 8, message: 9, size: 10, run: 11, over: 12,
});

/** Flags of frames. */
export const Flag = Object.freeze({key: 1, config: 2, gap: 4});

/** The order of numbers in a status, as status.go has it. */
const statusFields = Object.freeze([
  "videoBitrate", "audioBitrate", "videoFPS", "videoGOP", "netSpeed", "netJitter", "netQualityLevel", "videoCache", "audioCache", "rtt",
  "loss", "targetBitrate", "waiting", "skipped", "repaired", "reconnects",
]);

/**
 * A frame or configuration that came.
 * @typedef {object} CoreFrame
 * @property {number} codec
 * @property {number} flags
 * @property {number} timestamp of the stream, in ms, 32 bits
 * @property {number} composition ms from decoding to showing
 * @property {number} captured by our performance.now(); NaN while that is not known
 * @property {number} complete when all of it was there
 * @property {Uint8Array} data a copy, the receiver's
 */

/**
 * @typedef {object} CoreHandlers
 * @property {(carrier: number, batch: Uint8Array) => void} datagrams the batch is valid during the call
 * @property {(code: number, text: string) => void} event
 * @property {(code: number, text: string) => void} over
 * @property {(status: Record<string, number>) => void} status
 * @property {(frame: CoreFrame) => void} [frame]
 * @property {(bps: number) => void} [bitrate]
 * @property {() => void} [keyFrame]
 * @property {(ms: number) => void} [target]
 * @property {(bytes: number, ms: number) => void} [backlog]
 * @property {(timestamp: number, text: string) => void} [message]
 * @property {(width: number, height: number) => void} [size]
 * @property {() => void} [run]
 */

/**
 * @typedef {object} CoreConfig
 * @property {"push" | "play"} role
 * @property {string} url
 * @property {number} [minBitrate] kbit/s
 * @property {number} [startBitrate] kbit/s
 * @property {number} [maxBitrate] kbit/s
 * @property {number} [budget] ms after capture that a frame is still wanted
 * @property {number} [reconnect] ms
 * @property {number} [wait] ms
 */

/** @typedef {{step(now: number, input: Uint8Array, length: number): number, deadline(now: number): number, out: Uint8Array}} WasmEndpoint */

const text = new TextDecoder();
const utf8 = new TextEncoder();

export class Core {
  /**
   * Loads the wasm, or takes one that the page has compiled.
   * @param {WebAssembly.Module | undefined} module
   * @param {CoreConfig} config
   * @param {CoreHandlers} handlers
   */
  static async open(module, config, handlers) {
    await import(/** @type {string} */ ("./wasm_exec.js")); // Go's own, which is not checked
    const scope = /** @type {any} */ (globalThis);
    const go = new scope.Go();
    const compiled = module ?? (await WebAssembly.compileStreaming(fetch(new URL("./duet.wasm", import.meta.url))));
    const instance = await WebAssembly.instantiate(compiled, go.importObject);
    void go.run(instance);
    const endpoint = scope.duetOpen(config);
    if (typeof endpoint === "string") throw new Error(endpoint);
    return new Core(endpoint, handlers);
  }

  /** @type {WasmEndpoint} */ #endpoint;
  /** @type {CoreHandlers} */ #handlers;
  #in = new Uint8Array(1 << 16);
  #view = new DataView(this.#in.buffer);
  #length = 0;
  #soon = new MessageChannel();
  #asked = false;
  #timer = 0;
  #timerAt = Infinity;
  #over = false;

  /**
   * @param {WasmEndpoint} endpoint
   * @param {CoreHandlers} handlers
   */
  constructor(endpoint, handlers) {
    this.#endpoint = endpoint;
    this.#handlers = handlers;
    this.#soon.port1.onmessage = () => {
      this.#asked = false;
      this.#step();
    };
  }

  /**
   * Datagrams of a carrier, each behind its length.
   * @param {number} carrier
   * @param {Uint8Array} batch
   */
  datagrams(carrier, batch) {
    const at = this.#begin(IN.datagrams, 4 + batch.length);
    this.#view.setUint32(at, carrier);
    this.#in.set(batch, at + 4);
  }

  /**
   * One datagram of a carrier.
   * @param {number} carrier
   * @param {Uint8Array} datagram
   */
  datagram(carrier, datagram) {
    const at = this.#begin(IN.datagrams, 6 + datagram.length);
    this.#view.setUint32(at, carrier);
    this.#view.setUint16(at + 4, datagram.length);
    this.#in.set(datagram, at + 6);
  }

  /**
   * A carrier that came up or is gone.
   * @param {number} id
   * @param {boolean} up
   * @param {boolean} reliable
   */
  carrier(id, up, reliable) {
    const at = this.#begin(IN.carrier, 5);
    this.#view.setUint32(at, id);
    this.#view.setUint8(at + 4, (up ? 1 : 0) | (reliable ? 2 : 0));
  }

  /**
   * How much a carrier has not sent yet.
   * @param {number} id
   * @param {number} bytes
   */
  backlog(id, bytes) {
    const at = this.#begin(IN.backlog, 8);
    this.#view.setUint32(at, id);
    this.#view.setUint32(at + 4, bytes);
  }

  /**
   * A frame or configuration to send. fill writes its bytes.
   * @param {number} codec
   * @param {number} flags
   * @param {number} timestamp ms
   * @param {number} capture performance.now() of when it was captured
   * @param {number} size
   * @param {(into: Uint8Array<ArrayBuffer>) => void} fill
   */
  frame(codec, flags, timestamp, capture, size, fill) {
    const at = this.#begin(IN.frame, 14 + size);
    this.#view.setUint8(at, codec);
    this.#view.setUint8(at + 1, flags);
    this.#view.setUint32(at + 2, timestamp >>> 0);
    this.#view.setFloat64(at + 6, capture);
    fill(this.#in.subarray(at + 14, at + 14 + size));
  }

  /** Asks the pusher for a key frame. */
  requestKeyFrame() {
    this.#begin(IN.keyFrame, 0);
  }

  /**
   * A text within the stream.
   * @param {number} timestamp
   * @param {string} message
   */
  message(timestamp, message) {
    const b = utf8.encode(message);
    const at = this.#begin(IN.message, 4 + b.length);
    this.#view.setUint32(at, timestamp >>> 0);
    this.#in.set(b, at + 4);
  }

  /**
   * The picture's size and rate, for those who want to know before they decode.
   * @param {number} width
   * @param {number} height
   * @param {number} fps
   */
  size(width, height, fps) {
    const at = this.#begin(IN.size, 6);
    this.#view.setUint16(at, width);
    this.#view.setUint16(at + 2, height);
    this.#view.setUint16(at + 4, fps);
  }

  /** Ends it; `over` follows. */
  close() {
    this.#begin(IN.close, 0);
  }

  /**
   * Makes room for a record and writes its head.
   * @param {number} type
   * @param {number} size of its body
   */
  #begin(type, size) {
    const need = this.#length + 5 + size;
    if (need > this.#in.length) {
      const larger = new Uint8Array(2 * need);
      larger.set(this.#in.subarray(0, this.#length));
      this.#in = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#view.setUint32(this.#length, size + 1);
    this.#view.setUint8(this.#length + 4, type);
    const at = this.#length + 5;
    this.#length = need;
    this.#wake();
    return at;
  }

  /** A step follows, once everything that happens in this turn is gathered. */
  #wake() {
    if (this.#asked) return;
    this.#asked = true;
    this.#soon.port2.postMessage(0);
  }

  #step() {
    if (this.#over) return;
    const length = this.#length;
    this.#length = 0;
    const n = this.#endpoint.step(performance.now(), this.#in, length);
    if (n > 0) this.#take(this.#endpoint.out, n);
    const now = performance.now();
    const deadline = this.#endpoint.deadline(now);
    if (deadline === Infinity) {
      this.#over = true;
      clearTimeout(this.#timer);
      return;
    }
    if (this.#timerAt <= deadline && this.#timerAt > now) return; // the one that is set comes first, and sets the next
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    // Timers that set timers are held to 4 ms: the step is a message away, where the count begins anew.
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      this.#wake();
    }, Math.max(0, deadline - now));
  }

  /**
   * Hands on what came out.
   * @param {Uint8Array} out
   * @param {number} length
   */
  #take(out, length) {
    const view = new DataView(out.buffer, out.byteOffset, length);
    const h = this.#handlers;
    for (let at = 0; at < length; ) {
      const size = view.getUint32(at) - 1, type = view.getUint8(at + 4), body = at + 5;
      at = body + size;
      switch (type) {
        case OUT.datagrams:
          h.datagrams(view.getUint32(body), out.subarray(body + 4, at));
          break;
        case OUT.event:
          h.event(view.getInt32(body), text.decode(out.subarray(body + 4, at)));
          break;
        case OUT.over:
          h.over(view.getInt32(body), text.decode(out.subarray(body + 4, at)));
          break;
        case OUT.frame:
          h.frame?.({
            codec: view.getUint8(body), flags: view.getUint8(body + 1), timestamp: view.getUint32(body + 2), composition: view.getInt32(body + 6),
            captured: view.getFloat64(body + 10), complete: view.getFloat64(body + 18), data: out.slice(body + 26, at),
          });
          break;
        case OUT.status: {
          /** @type {Record<string, number>} */
          const status = {};
          statusFields.forEach((name, i) => {
            status[name] = view.getFloat64(body + 8 * i);
          });
          h.status(status);
          break;
        }
        case OUT.bitrate:
          h.bitrate?.(view.getFloat64(body));
          break;
        case OUT.keyFrame:
          h.keyFrame?.();
          break;
        case OUT.target:
          h.target?.(view.getFloat64(body));
          break;
        case OUT.backlog:
          h.backlog?.(view.getFloat64(body), view.getFloat64(body + 8));
          break;
        case OUT.message:
          h.message?.(view.getUint32(body), text.decode(out.subarray(body + 4, at)));
          break;
        case OUT.size:
          h.size?.(view.getUint16(body), view.getUint16(body + 2));
          break;
        case OUT.run:
          h.run?.();
          break;
      }
    }
  }
}
