// Which bitrates pass over WebTransport and over a WebSocket, by loss, with 25 ms each way and both hops on the bad network. A line a case, then a table.
// Linux, as root: the browser is behind `duet bench wire`.
//
//   node rates.js [--seconds 15] [--loss 0,2,5,10] [--carriers udp,tcp]
//
// WebTransport rides under QUIC's own congestion control, which takes loss for a full network, the WebSocket under this system's TCP
// (sysctl net.ipv4.tcp_congestion_control). Larger rates than the first that fails are not tried.

import {parseArgs} from "node:util";

import {figures} from "./figures.js";
import {launch, open, startServer} from "./harness.js";
import {wire} from "./network.js";

const {values} = parseArgs({options: {seconds: {type: "string", default: "15"}, loss: {type: "string", default: "0,2,5,10"}, carriers: {type: "string", default: "udp,tcp"}}});
const losses = values.loss.split(",").map(Number), carriers = values.carriers.split(",");
const rates = [{kbps: 250, width: 640, height: 360}, {kbps: 450, width: 640, height: 360}, {kbps: 1000, width: 1280, height: 720}, {kbps: 2000, width: 1280, height: 720}];
/** What passes: so much of the pictures is decoded, so little of the sound made up, and so late is one picture in a hundred. */
const leastDecoded = 0.99, mostMissing = 0.005, mostLate = 400;

/**
 * One case, over a network and with a server and a browser of its own.
 * @param {number} loss in percent
 * @param {string} carrier
 * @param {typeof rates[number]} rate
 */
async function measure(loss, carrier, {kbps, width, height}) {
  /** @type {(() => Promise<void>)[]} */ const ends = [];
  try {
    const way = await wire(["--delay", "25ms", "--loss", `${loss}%`]);
    ends.unshift(() => way.close());
    const server = await startServer({host: way.host, args: ["--allow-plaintext", "--dev-open"]});
    ends.unshift(() => server.end());
    const browser = await launch({program: way.program, width, height, args: ["--host-resolver-rules=MAP localhost " + way.host]});
    ends.unshift(() => browser.close());
    // A page of this machine may use a camera without a certificate, and compressed wasm.
    const page = await open(browser, {...server, origin: `http://localhost:${server.ports.http}`}, "/example.html"), mode = height > 360 ? "FHD" : "SD", bitrate = String(kbps);
    return await figures(page, server, {
      stream: "live/r", seconds: Number(values.seconds), attributes: {carrier, mode, "min-bitrate": bitrate, "max-bitrate": bitrate},
    });
  } finally {
    for (const end of ends) await end();
  }
}

/** @type {Map<string, number>} */ const best = new Map();
for (const loss of losses) {
  for (const carrier of carriers) {
    for (const rate of rates) {
      const r = await measure(loss, carrier, rate);
      const passes = r.decoded >= leastDecoded && r.missing <= mostMissing && r.p99 <= mostLate;
      console.log(`${loss} %, ${carrier}, ${rate.kbps} kbit/s ${passes ? "passes" : "fails"}: ${r.size} ${r.fps.toFixed(0)} fps, ${r.kbps} kbit/s, ${(100 * r.decoded).toFixed(1)} % decoded, ` +
        `after ${r.p50.toFixed(0)} ms, 99 % after ${r.p99.toFixed(0)} ms, ${(100 * r.missing).toFixed(2)} % of the sound made up`);
      if (!passes) break;
      best.set(`${loss} ${carrier}`, rate.kbps);
    }
  }
}
console.log("\n| loss | " + carriers.join(" | ") + " |\n|---|" + carriers.map(() => "---|").join(""));
for (const loss of losses) console.log(`| ${loss} % | ` + carriers.map((c) => best.get(`${loss} ${c}`) ?? "none").join(" | ") + " |");
