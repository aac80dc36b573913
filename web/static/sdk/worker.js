// The worker of one pusher or player: carriers and the core, and a sender or a receiver between the core and the page.

import {Carriers} from "./carrier.js";
import {Core} from "./core.js";
import {Receiver} from "./receiver.js";
import {Sender} from "./sender.js";

/**
 * What the page says.
 * @typedef {{type: "open", role: "push" | "play", url: string, server: string, module?: WebAssembly.Module, only?: "" | "udp" | "tcp",
 *     sender?: import("./sender.js").SenderConfig, receiver?: import("./receiver.js").ReceiverConfig, reconnect?: number,
 *     wait?: number}
 *   | {type: "video", stream: ReadableStream<VideoFrame> | null} | {type: "videoFrame", frame: VideoFrame}
 *   | {type: "audio", stream: ReadableStream<AudioData> | null}
 *   | {type: "samples", samples: Float32Array<ArrayBuffer>, sampleRate: number, channels: number, timestamp: number}
 *   | {type: "configure", change: Record<string, any>} | {type: "message", text: string} | {type: "keyFrame"}
 *   | {type: "canvas", canvas: OffscreenCanvas} | {type: "sound", port: MessagePort} | {type: "close"}} ToWorker
 */

/**
 * What it says to the page.
 * @typedef {{type: "event", code: number, text: string} | {type: "over", code: number, text: string}
 *   | {type: "status", info: Record<string, any>} | {type: "carrier", kind: "" | "udp" | "tcp"} | {type: "message", text: string}
 *   | {type: "size", width: number, height: number}} FromWorker
 */

/** How often another way is looked for while the relay is not heard. */
const lookEvery = 500;
/** What a WebSocket has not sent yet is told this often at most. */
const backlogEvery = 10;

const codePushConnected = 1001, codePushLost = 1102, codePlayConnected = 2001, codePlayLost = 2103, codeConnection = 3002;

/** @type {Core | null} */ let core = null;
/** @type {Carriers | null} */ let carriers = null;
/** @type {Sender | null} */ let sender = null;
/** @type {Receiver | null} */ let receiver = null;
let looking = 0;
let toldBacklog = 0;
let backlogAt = 0;
/** @type {ToWorker[]} */ const early = [];

/** @param {FromWorker} m */
const tell = (m) => postMessage(m);
/**
 * @param {number} code
 * @param {string} text
 */
const event = (code, text) => tell({type: "event", code, text});

/** @param {Extract<ToWorker, {type: "open"}>} m */
async function open(m) {
  const ways = new Carriers(m.server, {
    change: (id, up, kind) => {
      core?.carrier(id, up, kind === "tcp");
      tell({type: "carrier", kind: carriers?.active?.kind ?? ""});
    },
    datagram: (id, datagram) => core?.datagram(id, datagram),
    batch: (id, batch) => core?.datagrams(id, batch),
  }, m.only);
  carriers = ways;
  core = await Core.open(m.module, {
    role: m.role, url: m.url, minBitrate: m.sender?.minBitrate, maxBitrate: m.sender?.maxBitrate, reconnect: m.reconnect, wait: m.wait,
  }, {
    datagrams: (id, batch) => {
      ways.send(id, batch);
      watchBacklog(ways);
    },
    event: (code, text) => {
      connection(code);
      event(code, text);
    },
    over: (code, text) => {
      finish();
      tell({type: "over", code, text});
    },
    status: (info) => tell({type: "status", info: {...info, ...sender?.stats, ...receiver?.stats}}),
    bitrate: (bps) => sender?.bitrate(bps),
    keyFrame: () => sender?.keyFrame(),
    backlog: (_bytes, ms) => sender?.backlog(ms),
    frame: (frame) => receiver?.frame(frame),
    run: () => receiver?.run(),
    message: (_timestamp, text) => tell({type: "message", text}),
    size: (width, height) => tell({type: "size", width, height}),
  });
  if (m.sender) sender = new Sender(core, m.sender, event);
  if (m.receiver) receiver = new Receiver(core, m.receiver, event, (width, height) => tell({type: "size", width, height}));
  ways.start();
  for (const e of early.splice(0)) take(e);
}

/** While the relay is not heard, another way is looked for. @param {number} code */
function connection(code) {
  if (code === codePushLost || code === codePlayLost) {
    clearInterval(looking);
    looking = setInterval(() => carriers?.silent(), lookEvery);
    carriers?.silent();
  } else if (code === codePushConnected || code === codePlayConnected) {
    clearInterval(looking);
  }
}

/** The core holds back what a WebSocket can't send now. @param {Carriers} ways */
function watchBacklog(ways) {
  const now = performance.now();
  if (now - backlogAt < backlogEvery) return;
  backlogAt = now;
  const {id, bytes} = ways.backlog();
  if (!id || bytes === toldBacklog) return;
  toldBacklog = bytes;
  core?.backlog(id, bytes);
  if (bytes > 0) setTimeout(() => watchBacklog(ways), backlogEvery);
}

function finish() {
  clearInterval(looking);
  sender?.close();
  receiver?.close();
  carriers?.close();
  sender = receiver = null;
  core = null;
}

/** @param {ToWorker} m */
function take(m) {
  if (!core && m.type !== "close") {
    if (m.type === "videoFrame") m.frame.close();
    else if (m.type !== "samples") early.push(m);
    return;
  }
  switch (m.type) {
    case "video":
      void sender?.videoFrom(m.stream).catch((err) => event(codePushLost, String(err)));
      break;
    case "videoFrame":
      if (sender) void sender.videoFrame(m.frame);
      else m.frame.close();
      break;
    case "audio":
      void sender?.audioFrom(m.stream).catch(() => {});
      break;
    case "samples":
      sender?.audioData(new AudioData({
        format: "f32-planar", sampleRate: m.sampleRate, numberOfFrames: m.samples.length / m.channels, numberOfChannels: m.channels,
        timestamp: m.timestamp, data: m.samples,
      }));
      break;
    case "configure":
      sender?.configure(m.change);
      receiver?.configure(m.change);
      break;
    case "message":
      sender?.message(m.text);
      break;
    case "keyFrame":
      core?.requestKeyFrame();
      break;
    case "canvas":
      receiver?.canvas(m.canvas);
      break;
    case "sound":
      receiver?.sound(m.port);
      break;
    case "close":
      if (core) core.close();
      else {
        finish();
        tell({type: "over", code: 0, text: ""});
      }
      break;
  }
}

onmessage = (/** @type {MessageEvent<ToWorker>} */ e) => {
  if (e.data.type === "open") {
    open(e.data).catch((err) => {
      finish();
      event(codeConnection, String(err?.message ?? err));
      tell({type: "over", code: codeConnection, text: String(err?.message ?? err)});
    });
    return;
  }
  take(e.data);
};
