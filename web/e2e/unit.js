// What decides and needs no browser: stretching of sound, the ladder of sizes, clocks and delays.

import assert from "node:assert/strict";
import {test} from "node:test";

import {CaptureClock, Unwrapper} from "../static/sdk/clock.js";
import {DelayTarget} from "../static/sdk/delay.js";
import {audioShare, fitSize, Ladder} from "../static/sdk/ladder.js";
import {StretchBuffer} from "../static/sdk/stretch.js";

const rate = 48000, hz = 220, quantum = 128, piece = 960;

/** Samples of a voice-like sound: a tone with overtones. @param {number} from @param {number} n */
function voice(from, n) {
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const t = (2 * Math.PI * hz * (from + i)) / rate;
    out[i] = 0.3 * Math.sin(t) + 0.15 * Math.sin(2 * t + 1) + 0.08 * Math.sin(3 * t + 2);
  }
  return out;
}

/**
 * Runs sound through a buffer: pieces arrive after `late(i)` ms, or not at all (Infinity), and the delay wanted is `delay(now)`.
 * @param {number} seconds
 * @param {(i: number) => number} late
 * @param {(now: number) => number} delay
 */
function play(seconds, late, delay) {
  const buffer = new StretchBuffer(rate, 1), heard = new Float32Array(seconds * rate), off = [];
  const arrivals = [];
  for (let i = 0; i * piece < seconds * rate; i++) arrivals.push({at: (i + 1) * 20 + late(i), i});
  arrivals.sort((a, b) => a.at - b.at);
  let next = 0;
  for (let n = 0; n + quantum <= heard.length; n += quantum) {
    const now = (n * 1000) / rate;
    for (; next < arrivals.length && arrivals[next].at <= now; next++) {
      const {i} = arrivals[next];
      buffer.push([voice(i * piece, piece)], rate, i * 20);
    }
    buffer.pull([heard.subarray(n, n + quantum)], now, delay(now));
    off.push(buffer.playhead - (now - delay(now)));
  }
  return {heard, off, stats: buffer.stats};
}

/** The steepest step of the sound from a moment on. @param {Float32Array} x @param {number} from seconds */
function steepest(x, from) {
  let most = 0;
  for (let i = Math.round(from * rate) + 1; i < x.length; i++) most = Math.max(most, Math.abs(x[i] - x[i - 1]));
  return most;
}

const smooth = steepest(voice(0, rate), 0);

test("sound that comes evenly is heard as it is", () => {
  const {heard, off, stats} = play(3, () => 10, () => 60);
  assert.ok(Math.abs(off.at(-1) ?? 99) < 13, `off by ${off.at(-1)} ms`);
  assert.ok(stats.stretched < 20, `stretched by ${stats.stretched} ms`);
  assert.ok(steepest(heard, 0.2) <= smooth * 1.05);
});

test("a longer and a shorter delay are reached without a click", () => {
  for (const [from, to] of [[60, 160], [160, 60]]) {
    const {heard, off, stats} = play(6, () => 10, (now) => (now < 1000 ? from : to));
    const reached = off.findIndex((o, i) => (i * quantum) / rate > 1.05 && Math.abs(o) < 15) * quantum / rate - 1;
    assert.ok(reached > 0 && reached < 2, `100 ms took ${reached} s`);
    assert.ok(stats.stretched > 80 && stats.stretched < 140, `stretched by ${stats.stretched} ms`);
    const worst = steepest(heard, 0.3);
    assert.ok(worst <= smooth * 1.25, `a step of ${worst}, ${smooth} in the sound itself`);
  }
});

test("pieces that are lost, or come too late, leave no click", () => {
  const {heard, stats} = play(4, (i) => (i % 25 === 10 ? Infinity : i % 40 === 20 ? 90 : 10), () => 60);
  assert.ok(stats.gaps > 0 && stats.concealed > 100);
  const worst = steepest(heard, 0.3);
  assert.ok(worst <= smooth * 2, `a step of ${worst}, ${smooth} in the sound itself`);
});

test("a pause in the stream, then it goes on at the delay wanted", () => {
  const {off} = play(6, (i) => (i >= 100 && i < 150 ? (150 - i) * 20 + 10 : 10), () => 60);
  assert.ok(Math.abs(off.at(-1) ?? 99) < 20, `off by ${off.at(-1)} ms`);
});

test("the ladder steps down at once and up after a while", () => {
  const ladder = new Ladder({maxHeight: 720, start: 900, codec: "h264"});
  assert.equal(ladder.plan.height, 360);
  let now = 0;
  const run = (/** @type {number} */ ms, /** @type {number} */ kbps) => {
    for (const end = now + ms; now < end; now += 250) ladder.target(now, kbps);
  };
  run(3000, 1800);
  assert.equal(ladder.plan.height, 360);
  run(8000, 1800);
  assert.equal(ladder.plan.height, 720);
  run(250, 350);
  assert.deepEqual({...ladder.plan, bitrate: 0}, {height: 360, fps: 30, bitrate: 0});
  run(250, 100);
  assert.equal(ladder.plan.height, 180);
  run(10_000, 1800); // back within 10 s to what 80 % of the rate carries
  assert.ok(ladder.plan.height >= 360, `${ladder.plan.height}`);
});

test("frames are left out while too much waits, and the encoder begins again at 360 lines", () => {
  const ladder = new Ladder({maxHeight: 720, start: 900, codec: "h264"});
  for (let now = 0; now < 20_000; now += 250) ladder.target(now, 2000);
  assert.equal(ladder.plan.height, 720);
  assert.equal(ladder.admit(20_000, 300), false);
  assert.equal(ladder.admit(20_100, 200), false);
  assert.equal(ladder.restart, false);
  assert.equal(ladder.admit(20_500, 50), true);
  assert.equal(ladder.restart, true);
  assert.equal(ladder.restart, false);
  assert.ok(ladder.plan.height <= 360);
});

test("sizes are even, never larger than the camera's, and sound gives way last", () => {
  assert.deepEqual(fitSize(1280, 720, 360), {width: 640, height: 360});
  assert.deepEqual(fitSize(720, 1280, 360), {width: 360, height: 640});
  assert.deepEqual(fitSize(641, 359, 720), {width: 642, height: 360});
  assert.ok(audioShare(60, true) < audioShare(400, true) && audioShare(60, true) >= 12);
});

test("a capture clock takes the least delay, and forgets first frames that were ahead of their time", () => {
  const clock = new CaptureClock();
  let worst = 0;
  for (let i = 0; i < 500; i++) {
    const jitter = (i * 7919) % 13, ahead = i < 10 ? 300 : 0;
    const captured = clock.captured(1000 + i * 10 + 5 + jitter, i * 10 + ahead);
    if (i > 150) worst = Math.max(worst, Math.abs(captured - (1005 + i * 10)));
  }
  assert.ok(worst <= 2, `off by ${worst} ms`);
});

test("a delay rises with the network and falls again within seconds", () => {
  const target = new DelayTarget();
  let now = 0;
  const run = (/** @type {number} */ ms, /** @type {number} */ delay) => {
    for (const end = now + ms; now < end; now += 10) target.note(now, delay, now % 20 === 0);
  };
  run(1000, 400);
  run(3000, 20);
  assert.ok(target.value < 100, `after a bumpy start ${target.value}`);
  run(1000, 150);
  assert.ok(target.value >= 150);
  run(12_000, 20);
  assert.ok(target.value < 30, `${target.value}`);
  for (let i = 0; i < 800; i++) target.note((now += 10), i % 400 === 1 ? 300 : 20, i % 2 === 0);
  assert.ok(target.value < 30, `one picture in two hundred is late: ${target.value}`);
  target.note((now += 200), 180, true);
  assert.ok(target.value >= 180, `one piece of sound is late: ${target.value}`);
});

test("timestamps go on where 32 bits end", () => {
  const u = new Unwrapper();
  assert.equal(u.value(0xfffffff0), 0xfffffff0);
  assert.equal(u.value(16), 0x100000010);
  assert.equal(u.value(0xfffffff8), 0xfffffff8);
});
