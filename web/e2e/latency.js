// How long a picture takes from capture to decoded, and from capture to shown, over a server on this machine. It prints one line a case.
//
//   node latency.js [--seconds 20] [--json] [--only WORDS]
//   node latency.js --rates                  rates by loss instead: what of 1, 2 and 4 Mbit/s passes at 0, 2, 5 and 10 %
//
// Capture is when the camera's frame reached the page's fastest; both ends run on one machine, and the second figure checks the clocks' estimate
// by the wall clock that both pages have in common.

import {parseArgs} from "node:util";

import {eventsOf, hasCode, launch, open, record, startServer} from "./harness.js";
import {cable, over} from "./network.js";

const {values} = parseArgs({options: {seconds: {type: "string", default: "20"}, json: {type: "boolean", default: false}, rates: {type: "boolean", default: false}, only: {type: "string", default: ""}}});
const seconds = Number(values.seconds);
/** What is still bumpy at the beginning does not count. */
const skipSeconds = 8;

const size = {width: 1280, height: 720};
/** WebTransport rides under QUIC's own congestion control, which takes loss for a full network. */
const rates = [0, 0.02, 0.05, 0.1].flatMap((loss) => [1000, 2000, 4000].map((rate) => ({
  name: `${rate} kbit/s, ${100 * loss} % loss, 50 ms`, ...size, loss, delay: 25, attributes: {carrier: "udp", mode: "FHD", "min-bitrate": String(rate), "max-bitrate": String(rate)},
})));

const cases = (values.rates ? rates : [
  {name: "360p h264 webtransport", width: 640, height: 360, attributes: {carrier: "udp"}},
  {name: "360p h264 websocket", width: 640, height: 360, attributes: {carrier: "tcp"}},
  ...[0.02, 0.05, 0.1].map((loss) => ({
    name: `360p, ${100 * loss} % loss, 50 ms`, width: 640, height: 360, loss, delay: 25, attributes: {carrier: "udp", mode: "SD", "max-bitrate": "450"},
  })),
  {name: "720p h264 webtransport", width: 1280, height: 720, attributes: {carrier: "udp", mode: "FHD", "min-bitrate": "1500", "max-bitrate": "2500"}},
]).filter((c) => c.name.includes(values.only));

/** @param {number[]} sorted @param {number} q */
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

const server = await startServer();
const results = [];
try {
  for (const c of cases) {
    const browser = await launch(c);
    const page = await open(browser, server, "/example.html");
    const way = "loss" in c ? await cable(server.ports.webtransport) : null;
    if (way && "loss" in c) {
      Object.assign(way, {loss: c.loss, delay: c.delay}); // each way, on both hops
      await over(page.context(), way.port);
    }
    for (const s of ["live-pusher", "live-player"]) await record(page, s);
    const stream = "live/l" + results.length;
    await page.evaluate(({push, play, attributes}) => {
      for (const [k, v] of Object.entries(attributes)) for (const e of document.querySelectorAll("live-pusher, live-player")) e.setAttribute(k, v);
      document.querySelector("live-pusher")?.setAttribute("url", push);
      document.querySelector("live-player")?.setAttribute("src", play);
    }, {push: server.url("push", stream), play: server.url("play", stream), attributes: c.attributes});
    await hasCode(page, "live-player", 2004);
    await new Promise((resolve) => setTimeout(resolve, (skipSeconds + seconds) * 1000));
    const infos = (await eventsOf(page, "live-player")).filter((e) => e.type === "netstatus").map((e) => e.info).slice(skipSeconds);
    const pushed = (await eventsOf(page, "live-pusher")).filter((e) => e.type === "netstatus").map((e) => e.info).at(-1);
    const decoded = infos.flatMap((i) => i.decodeLatency).sort((a, b) => a - b), lips = infos.flatMap((i) => i.lipSync.map(Math.abs)).sort((a, b) => a - b);
    const wall = infos.map((i) => i.lastDecodedAt - pushed.base - i.lastStamp).sort((a, b) => a - b);
    const last = infos.at(-1), first = infos[0], sent = (await eventsOf(page, "live-pusher")).filter((e) => e.type === "netstatus").map((e) => e.info).slice(skipSeconds);
    const made = sent[sent.length - 1].encoded - sent[0].encoded, shown = last.decoded - first.decoded;
    results.push({
      case: c.name, size: `${last.videoWidth}×${last.videoHeight}`, fps: last.videoFPS, kbps: Math.round(last.videoBitrate), frames: decoded.length,
      p50: quantile(decoded, 0.5), p99: quantile(decoded, 0.99), wallP50: quantile(wall, 0.5), shownDelay: last.playDelay,
      lipP99: quantile(lips, 0.99), decoded: Math.min(1, shown / made),
      soundGaps: last.soundGaps - first.soundGaps, missing: (last.soundConcealed - first.soundConcealed) / (1000 * (infos.length - 1)),
    });
    if (!values.json) {
      const r = results[results.length - 1], f = (/** @type {number} */ n) => n.toFixed(1);
      console.log(`${r.case.padEnd(24)} ${r.size} ${f(r.fps)} fps ${r.kbps} kbit/s, ${r.frames} frames: capture to decoded p50 ${f(r.p50)} p99 ${f(r.p99)} ms ` +
        `(wall p50 ${f(r.wallP50)}), shown after ${f(r.shownDelay)} ms, lips p99 ${f(r.lipP99)} ms, ` +
        `${f(100 * r.decoded)} % decoded, ${(100 * r.missing).toFixed(2)} % of the sound made up (${r.soundGaps} gaps)`);
    }
    await browser.close();
    way?.close();
  }
  if (values.json) console.log(JSON.stringify(results, null, 2));
} finally {
  await server.end();
}
