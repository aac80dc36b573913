// A look at the network before a call: whether UDP gets through, how long a round trip takes, what is lost, and how much fits.

/**
 * @typedef {object} Way
 * @property {boolean} ok whether it gets through
 * @property {number} rtt ms, the median; 0 unknown
 * @property {number} loss share of what did not come back
 * @property {number} rate bits a second that came back: at least so much fits, each way
 */

const connectWithin = 2_000, spanLoss = 1_000, spanRate = 1_000, drain = 400; // ms: under 5 s in all
const probeEvery = 20, probeSize = 100;
const burstEvery = 10, burstSize = 1_000, burstBits = 4_000_000;

const none = Object.freeze({ok: false, rtt: 0, loss: 1, rate: 0});

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** @template T @param {Promise<T>} p @returns {Promise<T>} */
const soon = (p) => Promise.race([p, pause(connectWithin).then(() => Promise.reject(new Error("too slow")))]);

/**
 * Both ways that a call could take, looked at side by side.
 * @param {string} [server] origin
 * @param {AbortSignal} [signal] ends it, with an error: a call that begins has the network to itself
 * @returns {Promise<{udp: Way, tcp: Way}>}
 */
export async function checkNetwork(server = location.origin, signal) {
  const r = await fetch(new URL("/v1/carriers", server), {cache: "no-store", signal});
  const info = await r.json();
  const [udp, tcp] = await Promise.all([overTransport(info.webtransport, signal).catch(() => none), overSocket(new URL(info.websocket + "/check", server), signal).catch(() => none)]);
  signal?.throwIfAborted();
  return {udp, tcp};
}

/** @param {{url: string, hashes?: string[]} | undefined} at @param {AbortSignal} [signal] @returns {Promise<Way>} */
async function overTransport(at, signal) {
  if (!at || typeof WebTransport === "undefined") return none;
  /** @type {WebTransportOptions} */ const options = {congestionControl: "low-latency"};
  if (at.hashes?.length) options.serverCertificateHashes = at.hashes.map((h) => ({algorithm: "sha-256", value: Uint8Array.from(atob(h), (c) => c.charCodeAt(0))}));
  const session = new WebTransport(at.url + "/check", options);
  session.closed.catch(() => undefined);
  await soon(session.ready);
  const d = /** @type {any} */ (session.datagrams), reader = session.datagrams.readable.getReader();
  session.datagrams.incomingHighWaterMark = 1024;
  /** @type {WritableStreamDefaultWriter<Uint8Array>} */ const writer = (d.writable ?? d.createWritable()).getWriter();
  try {
    return await measure((b) => void writer.write(b).catch(() => undefined), (heard) => void (async () => {
      for (;;) {
        const {done, value} = await reader.read();
        if (done) return;
        heard(value);
      }
    })().catch(() => undefined), signal);
  } finally {
    session.close();
  }
}

/** @param {URL} url @param {AbortSignal} [signal] @returns {Promise<Way>} */
async function overSocket(url, signal) {
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  const socket = new WebSocket(url, "duet.carrier.1");
  socket.binaryType = "arraybuffer";
  try {
    await soon(new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    }));
    return await measure((b) => {
      const m = new Uint8Array(2 + b.length);
      new DataView(m.buffer).setUint16(0, b.length);
      m.set(b, 2);
      if (socket.readyState !== WebSocket.OPEN) throw new Error("the server went away");
      socket.send(m);
    }, (heard) => {
      socket.onmessage = (e) => {
        const all = new Uint8Array(e.data), view = new DataView(e.data);
        for (let i = 0; i + 2 <= all.length; i += 2 + view.getUint16(i)) heard(all.subarray(i + 2, i + 2 + view.getUint16(i)));
      };
    }, signal);
  } finally {
    socket.close();
  }
}

/**
 * Sends to an echo: first little, for time and loss, then as much as a good call needs.
 * @param {(b: Uint8Array) => void} send
 * @param {(heard: (b: Uint8Array) => void) => void} listen
 * @param {AbortSignal} [signal]
 * @returns {Promise<Way>}
 */
async function measure(send, listen, signal) {
  /** @type {number[]} */ const times = [];
  /** @type {number[]} */ const sent = [];
  let back = 0, bytes = 0;
  listen((b) => {
    const n = new DataView(b.buffer, b.byteOffset).getUint32(0);
    if (b.length === burstSize) bytes += b.length;
    else if (sent[n] !== undefined) {
      times.push(performance.now() - sent[n]);
      back++;
    }
  });
  const datagram = (/** @type {number} */ n, /** @type {number} */ size) => {
    signal?.throwIfAborted();
    const b = new Uint8Array(size);
    new DataView(b.buffer).setUint32(0, n);
    send(b);
  };
  for (let n = 0; n < spanLoss / probeEvery; n++) {
    sent[n] = performance.now();
    datagram(n, probeSize);
    await pause(probeEvery);
  }
  await pause(drain);
  const loss = 1 - back / sent.length;
  const begin = performance.now();
  for (let n = 0, now = 0; (now = performance.now() - begin) < spanRate; ) {
    for (; n * burstSize * 8 < (burstBits * now) / 1000; n++) datagram(n, burstSize);
    await pause(burstEvery);
  }
  await pause(drain);
  times.sort((a, b) => a - b);
  if (!times.length) return none;
  return {ok: true, rtt: times[Math.floor(times.length / 2)], loss, rate: (8 * bytes * 1000) / spanRate};
}
