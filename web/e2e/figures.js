// What a stream looks like at the page that pushes and plays it, in figures.

import {eventsOf, hasCode, record} from "./harness.js";

/** What is still bumpy at the beginning does not count. */
const skipSeconds = 8;

/** @param {number[]} sorted @param {number} q */
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

/**
 * A page pushes a stream and plays it. Times are in ms; `decoded` is the share of the encoded frames that were, `missing` that of the sound that was made up.
 * @param {import("playwright-core").Page} page at /example.html
 * @param {import("./harness.js").Server} server
 * @param {{stream: string, attributes: Record<string, string>, seconds: number}} options
 */
export async function figures(page, server, {stream, attributes, seconds}) {
  for (const s of ["live-pusher", "live-player"]) await record(page, s);
  await page.evaluate(({push, play, attributes}) => {
    for (const [k, v] of Object.entries(attributes)) for (const e of document.querySelectorAll("live-pusher, live-player")) e.setAttribute(k, v);
    document.querySelector("live-pusher")?.setAttribute("url", push);
    document.querySelector("live-player")?.setAttribute("src", play);
  }, {push: server.url("push", stream), play: server.url("play", stream), attributes});
  await hasCode(page, "live-player", 2004, 60_000); // a megabyte of wasm takes its time at a tenth lost
  await new Promise((resolve) => setTimeout(resolve, (skipSeconds + seconds) * 1000));
  const infos = (await eventsOf(page, "live-player")).filter((e) => e.type === "netstatus").map((e) => e.info).slice(skipSeconds);
  const pushed = (await eventsOf(page, "live-pusher")).filter((e) => e.type === "netstatus").map((e) => e.info).at(-1);
  const decoded = infos.flatMap((i) => i.decodeLatency).sort((a, b) => a - b), lips = infos.flatMap((i) => i.lipSync.map(Math.abs)).sort((a, b) => a - b);
  const wall = infos.map((i) => i.lastDecodedAt - pushed.base - i.lastStamp).sort((a, b) => a - b);
  const last = infos.at(-1), first = infos[0], sent = (await eventsOf(page, "live-pusher")).filter((e) => e.type === "netstatus").map((e) => e.info).slice(skipSeconds);
  const made = sent[sent.length - 1].encoded - sent[0].encoded, shown = last.decoded - first.decoded;
  return {
    size: `${last.videoWidth}×${last.videoHeight}`, fps: last.videoFPS, kbps: Math.round(last.videoBitrate), frames: decoded.length,
    p50: quantile(decoded, 0.5), p99: quantile(decoded, 0.99), wallP50: quantile(wall, 0.5), shownDelay: last.playDelay,
    lipP99: quantile(lips, 0.99), decoded: Math.min(1, shown / made),
    soundGaps: last.soundGaps - first.soundGaps, missing: (last.soundConcealed - first.soundConcealed) / (1000 * (infos.length - 1)),
  };
}
