// How long a picture takes from capture to decoded, and from capture to shown, over a server on this machine. It prints one line a case.
//
//   node latency.js [--seconds 20] [--json] [--only WORDS]
//
// Capture is when the camera's frame reached the page's fastest; both ends run on one machine, and the second figure checks the clocks' estimate
// by the wall clock that both pages have in common.

import {parseArgs} from "node:util";

import {figures} from "./figures.js";
import {launch, open, startServer} from "./harness.js";
import {cable, over} from "./network.js";

const {values} = parseArgs({options: {seconds: {type: "string", default: "20"}, json: {type: "boolean", default: false}, only: {type: "string", default: ""}}});
const seconds = Number(values.seconds);
const cases = [
  {name: "360p h264 webtransport", width: 640, height: 360, attributes: {carrier: "udp"}},
  {name: "360p h264 websocket", width: 640, height: 360, attributes: {carrier: "tcp"}},
  ...[0.02, 0.05, 0.1].map((loss) => ({
    name: `360p, ${100 * loss} % loss, 50 ms`, width: 640, height: 360, loss, delay: 25, attributes: {carrier: "udp", mode: "SD", "max-bitrate": "450"},
  })),
  {name: "720p h264 webtransport", width: 1280, height: 720, attributes: {carrier: "udp", mode: "FHD", "min-bitrate": "1500", "max-bitrate": "2500"}},
].filter((c) => c.name.includes(values.only));

const server = await startServer();
/** @type {object[]} */ const results = [];
try {
  for (const c of cases) {
    const browser = await launch(c);
    const page = await open(browser, server, "/example.html");
    const way = "loss" in c ? await cable(server.ports.webtransport) : null;
    if (way && "loss" in c) {
      Object.assign(way, {loss: c.loss, delay: c.delay}); // each way, on both hops
      await over(page.context(), way.port);
    }
    const r = {case: c.name, ...await figures(page, server, {stream: "live/l" + results.length, attributes: /** @type {Record<string, string>} */ (c.attributes), seconds})};
    results.push(r);
    if (!values.json) {
      const f = (/** @type {number} */ n) => n.toFixed(1);
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
