// Films and sounds for Chromium's fake devices: a counter of frames that survives coding, and a tone that can be found again.

import {existsSync, mkdirSync, openSync, closeSync, writeSync, renameSync} from "node:fs";
import path from "node:path";

/** Frames of a film, which runs in a loop: the counter goes from 0 to frames - 1. */
export const frames = 120;
/** Hz of the tone. */
export const tone = 1000;
/** Bits of the counter: blocks in a row at the top, black or white, each followed by its opposite in the row below. */
export const bits = 8;

/**
 * Makes a film and returns its path; one that exists is taken.
 * @param {string} dir
 * @param {number} width
 * @param {number} height
 */
export function film(dir, width, height) {
  const file = path.join(dir, `counter-${width}x${height}.y4m`);
  if (existsSync(file)) return file;
  mkdirSync(dir, {recursive: true});
  const out = openSync(file + ".part", "w");
  writeSync(out, `YUV4MPEG2 W${width} H${height} F30:1 Ip A1:1 C420jpeg\n`);
  const luma = width * height, frame = Buffer.alloc(luma * 1.5, 128);
  const block = {w: Math.floor(width / bits), h: Math.floor(height / 8)};
  for (let n = 0; n < frames; n++) {
    // A slope with some texture that moves, as a face before a wall does: neither still nor noise.
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) frame[y * width + x] = 60 + ((x * 80) / width) + ((x * 7 + y * 13) % 11);
    }
    const r = height / 6, cx = width / 2 + (width / 4) * Math.sin((2 * Math.PI * n) / frames), cy = height * 0.62;
    for (let y = Math.floor(cy - r); y < cy + r; y++) {
      for (let x = Math.floor(cx - r); x < cx + r; x++) {
        const d = Math.hypot(x - cx, y - cy) / r;
        if (d < 1 && y >= 0 && y < height && x >= 0 && x < width) frame[y * width + x] = 200 - 60 * d + (((x - Math.floor(cx)) * 5 + y * 3) % 9);
      }
    }
    for (let bit = 0; bit < bits; bit++) {
      const on = (n >> (bits - 1 - bit)) & 1;
      for (let y = 0; y < 2 * block.h; y++) {
        frame.fill(on === (y < block.h ? 1 : 0) ? 235 : 16, y * width + bit * block.w, y * width + (bit + 1) * block.w);
      }
    }
    writeSync(out, "FRAME\n");
    writeSync(out, frame);
  }
  closeSync(out);
  renameSync(file + ".part", file);
  return file;
}

/**
 * Makes a sound and returns its path: beeps of the tone, because a tone that never stops is noise to a microphone's processing.
 * @param {string} dir
 */
export function beeps(dir) {
  const file = path.join(dir, "beeps.wav");
  if (existsSync(file)) return file;
  mkdirSync(dir, {recursive: true});
  const rate = 48000, n = rate * 2, b = Buffer.alloc(44 + 2 * n);
  b.write("RIFF", 0);
  b.writeUInt32LE(36 + 2 * n, 4);
  b.write("WAVEfmt ", 8);
  b.writeUInt32LE(16, 16);
  b.writeUInt16LE(1, 20);
  b.writeUInt16LE(1, 22);
  b.writeUInt32LE(rate, 24);
  b.writeUInt32LE(2 * rate, 28);
  b.writeUInt16LE(2, 32);
  b.writeUInt16LE(16, 34);
  b.write("data", 36);
  b.writeUInt32LE(2 * n, 40);
  for (let i = 0; i < n; i++) {
    const at = (i / rate) % 0.5, on = Math.min(1, at / 0.01, Math.max(0, (0.3 - at) / 0.01));
    b.writeInt16LE(Math.round(12000 * on * Math.sin((2 * Math.PI * tone * i) / rate)), 44 + 2 * i);
  }
  const out = openSync(file + ".part", "w");
  writeSync(out, b);
  closeSync(out);
  renameSync(file + ".part", file);
  return file;
}
