// Carriers: ways for datagrams to the server and back. WebTransport (UDP) is tried first; a WebSocket is opened where that does not come up
// within a second, and taken until UDP works again.
//
//	          ┌── WebTransport up ────────────▶ udp ── silent, or closed ──┐
//	 racing ──┤                                  ▲                         ▼
//	          └── 1 s, or it failed: WebSocket ▶ tcp ── WebTransport up again: after a pause that doubles each time it did not last
//
// Both may be up at a time; the newest is the one to use, and the older one closes a little later.

/** When a WebSocket is opened beside a WebTransport session that is not up yet, in ms. */
const headStart = 1000;
/** Pauses before UDP is tried again while a WebSocket is used: the first, and the longest. */
const retryFirst = 5_000;
const retryLongest = 300_000;
/** A UDP carrier that lasted so long after a WebSocket was a good choice: pauses begin anew. */
const proven = 30_000;
/** A carrier that has just come up is given so long to be heard on. */
const settling = 1500;
/** An older carrier stays so long for what is still on its way. */
const linger = 1000;
/** Pauses before everything is tried again when nothing is up. */
const againFirst = 200;
const againLongest = 2000;
const fetchTimeout = 5000;
/** How many datagrams may wait to be read here. Chromium keeps very few by itself, and bursts of a key frame are more. */
const incoming = 1024;

/** @typedef {"udp" | "tcp"} CarrierKind */

/**
 * @typedef {object} CarrierHandlers
 * @property {(id: number, up: boolean, kind: CarrierKind) => void} change the newest that is up is to be used
 * @property {(id: number, datagram: Uint8Array) => void} datagram
 * @property {(id: number, batch: Uint8Array) => void} batch datagrams, each behind its length
 */

/**
 * @typedef {object} Way one carrier
 * @property {number} id
 * @property {CarrierKind} kind
 * @property {number} since
 * @property {(batch: Uint8Array) => void} send
 * @property {() => number} backlog
 * @property {() => void} close
 */

/** @typedef {{webtransport?: {url: string, hashes?: string[]}, websocket?: string}} CarrierInfo */

export class Carriers {
  #server;
  #handlers;
  /** @type {Map<number, Way>} */ #up = new Map();
  /** @type {CarrierInfo | null} */ #info = null;
  #nextId = 0;
  #closed = false;
  #racing = false;
  #retry = retryFirst;
  #again = againFirst;
  #retryTimer = 0;
  #beside = false;
  #only;

  /**
   * @param {string} server origin of the server, as https://HOST
   * @param {CarrierHandlers} handlers
   * @param {"" | CarrierKind} only uses one kind alone, for tests of networks
   */
  constructor(server, handlers, only = "") {
    this.#server = server;
    this.#handlers = handlers;
    this.#only = only;
  }

  /** Begins. */
  start() {
    void this.#race();
  }

  /**
   * Sends a batch, or drops it if the carrier is gone: as good as lost on the way.
   * @param {number} id
   * @param {Uint8Array} batch
   */
  send(id, batch) {
    this.#up.get(id)?.send(batch);
  }

  /**
   * What the carrier in use has not sent yet; id 0: there is none that could tell.
   * @returns {{id: number, bytes: number}}
   */
  backlog() {
    const way = this.active;
    return way && way.kind === "tcp" ? {id: way.id, bytes: way.backlog()} : {id: 0, bytes: 0};
  }

  /** The one in use. @returns {Way | undefined} */
  get active() {
    return this.#up.get(Math.max(0, ...this.#up.keys()));
  }

  /** The relay is not heard over what is in use: another way is tried beside it. To be called again while that lasts. */
  silent() {
    const way = this.active;
    if (!way || this.#closed) {
      void this.#race();
      return;
    }
    if (performance.now() - way.since < settling) return;
    if (way.kind === "udp" && this.#only !== "udp") {
      if (this.#beside) return;
      this.#beside = true;
      void this.#openSocket().then(() => {
        this.#beside = false;
      });
    } else {
      way.close(); // a connection whose other end is not there any more says nothing for minutes
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    for (const way of [...this.#up.values()]) way.close();
  }

  /** Opens a carrier where none is up. */
  async #race() {
    if (this.#racing || this.#closed || this.#up.size > 0) return;
    this.#racing = true;
    try {
      await this.#learn();
      const udp = this.#openTransport();
      const first = await Promise.race([udp, pause(headStart).then(() => "slow")]);
      if (first !== true && !this.#closed && this.#up.size === 0 && this.#only !== "udp") {
        const tcp = this.#openSocket();
        await Promise.any([udp, tcp].map((p) => p.then((ok) => ok || Promise.reject(new Error("no"))))).catch(() => {});
      }
    } finally {
      this.#racing = false;
    }
    if (this.#up.size > 0 || this.#closed) return;
    await pause(this.#again * (0.75 + Math.random() / 2));
    this.#again = Math.min(2 * this.#again, againLongest);
    void this.#race();
  }

  /** Asks the server which carriers it has. What it said last holds while it does not answer. */
  async #learn() {
    try {
      const answer = await fetch(new URL("/v1/carriers", this.#server), {signal: AbortSignal.timeout(fetchTimeout), cache: "no-store"});
      if (answer.ok) this.#info = await answer.json();
    } catch {
      // The WebSocket is always at the same place, and will say whether the server is there.
    }
  }

  /** @returns {Promise<boolean>} whether it is up */
  async #openTransport() {
    const at = this.#info?.webtransport;
    if (!at || typeof WebTransport === "undefined" || this.#only === "tcp") return false;
    /** @type {WebTransportOptions} */
    const options = {congestionControl: "low-latency"};
    if (at.hashes?.length) {
      options.serverCertificateHashes = at.hashes.map((h) => ({algorithm: "sha-256", value: Uint8Array.from(atob(h), (c) => c.charCodeAt(0))}));
    }
    /** @type {WebTransport} */
    let session;
    try {
      session = new WebTransport(at.url, options);
      session.closed.catch(() => {}); // told below
      await session.ready;
    } catch {
      return false;
    }
    if (this.#closed) {
      session.close();
      return false;
    }
    session.datagrams.incomingHighWaterMark = incoming;
    // A browser of the newer draft has createWritable in its place.
    const datagrams = /** @type {any} */ (session.datagrams);
    /** @type {WritableStreamDefaultWriter<Uint8Array>} */
    const writer = (datagrams.writable ?? datagrams.createWritable()).getWriter();
    const way = this.#add("udp", {
      send: (batch) => {
        const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
        for (let i = 0; i + 2 <= batch.length; ) {
          const n = view.getUint16(i);
          writer.write(batch.slice(i + 2, i + 2 + n)).catch(() => {}); // lost, as datagrams are
          i += 2 + n;
        }
      },
      backlog: () => 0,
      close: () => session.close(),
    });
    const gone = () => this.#remove(way);
    session.closed.then(gone, gone);
    void this.#read(session.datagrams.readable.getReader(), way);
    return true;
  }

  /**
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @param {Way} way
   */
  async #read(reader, way) {
    try {
      for (;;) {
        const {done, value} = await reader.read();
        if (done) break;
        this.#handlers.datagram(way.id, value);
      }
    } catch {
      // It is closed, which is told elsewhere.
    }
    this.#remove(way);
  }

  /** @returns {Promise<boolean>} whether it is up */
  #openSocket() {
    if (this.#only === "udp") return Promise.resolve(false);
    const url = new URL(this.#info?.websocket ?? "/v1/carrier", this.#server);
    url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
    return new Promise((resolve) => {
      const socket = new WebSocket(url, "duet.carrier.1");
      socket.binaryType = "arraybuffer";
      /** @type {Way | null} */
      let way = null;
      socket.onopen = () => {
        const active = this.active;
        if (active?.kind === "udp") this.#retry = Math.min(2 * this.#retry, retryLongest); // it was in use and fell silent
        if (this.#closed || (active?.kind === "tcp")) {
          socket.close();
          resolve(!this.#closed);
          return;
        }
        way = this.#add("tcp", {
          send: (batch) => {
            if (socket.readyState === WebSocket.OPEN) socket.send(/** @type {Uint8Array<ArrayBuffer>} */ (batch));
          },
          backlog: () => socket.bufferedAmount,
          close: () => {
            socket.close();
            if (way) this.#remove(way); // its own event may take as long as the network is away
          },
        });
        this.#later(false);
        resolve(true);
      };
      socket.onmessage = (e) => {
        if (way && e.data instanceof ArrayBuffer) this.#handlers.batch(way.id, new Uint8Array(e.data));
      };
      socket.onclose = () => {
        if (way) this.#remove(way);
        resolve(false);
      };
    });
  }

  /**
   * A carrier is up: it is the one to use, and those before it are let go.
   * @param {CarrierKind} kind
   * @param {Pick<Way, "send" | "backlog" | "close">} how
   * @returns {Way}
   */
  #add(kind, how) {
    /** @type {Way} */
    const way = {id: ++this.#nextId, kind, since: performance.now(), ...how};
    const older = [...this.#up.values()];
    this.#up.set(way.id, way);
    this.#again = againFirst;
    this.#handlers.change(way.id, true, kind);
    for (const old of older) setTimeout(() => old.close(), linger);
    return way;
  }

  /** @param {Way} way */
  #remove(way) {
    if (!this.#up.delete(way.id)) return;
    this.#handlers.change(way.id, false, way.kind);
    if (way.kind === "udp" && performance.now() - way.since > proven) this.#retry = retryFirst;
    if (this.#up.size === 0) void this.#race();
  }

  /**
   * UDP is tried again after a pause.
   * @param {boolean} failed it was in use and fell silent: the pause grows
   */
  #later(failed) {
    if (failed) this.#retry = Math.min(2 * this.#retry, retryLongest);
    clearTimeout(this.#retryTimer);
    if (this.#only === "tcp") return;
    this.#retryTimer = setTimeout(async () => {
      if (this.#closed || this.active?.kind !== "tcp") return;
      await this.#learn(); // certificates change
      if (this.active?.kind !== "tcp") return;
      if (!(await this.#openTransport())) this.#later(true);
    }, this.#retry * (0.75 + Math.random() / 2));
  }
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
