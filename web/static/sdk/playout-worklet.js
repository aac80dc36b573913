// The player's sound, in the audio thread: samples from the worker in, stretched to be heard at their time.

import {StretchBuffer} from "./stretch.js";

/** How often the worker is told what is heard. */
const reportEvery = 0.1;
/** A clock that is further off than this is another clock. */
const clockJump = 60;

/** @type {any} */ const scope = globalThis;

class Playout extends scope.AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new StretchBuffer(scope.sampleRate);
    this.delay = 80;
    this.offset = NaN; // epoch ms minus context ms at which a sample is heard
    this.reportAt = 0;
    this.energy = 0;
    this.energyOf = 0;
    /** @type {MessagePort | null} */ this.worker = null;
    this.port.onmessage = (/** @type {MessageEvent} */ e) => {
      if (e.data.type === "worker") {
        this.worker = e.data.port;
        if (this.worker) this.worker.onmessage = (w) => this.take(w.data);
      } else if (e.data.type === "clock") {
        const offset = e.data.epoch - e.data.context * 1000, off = offset - this.offset;
        if (Number.isNaN(off) || Math.abs(off) > clockJump) this.offset = offset;
        else this.offset += off / 8;
      }
    };
  }

  /** @param {any} m */
  take(m) {
    if (m.type === "samples") {
      const n = m.samples.length / m.channels;
      this.buffer.push(Array.from({length: m.channels}, (_, c) => m.samples.subarray(c * n, (c + 1) * n)), m.rate, m.captured);
    } else if (m.type === "delay") {
      this.delay = m.ms;
    } else if (m.type === "end") {
      this.buffer = new StretchBuffer(scope.sampleRate);
    }
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const out = outputs[0];
    if (Number.isNaN(this.offset) || !out.length) return true;
    const now = scope.currentTime * 1000 + this.offset;
    this.buffer.pull(out, now, this.delay);
    for (const v of out[0]) this.energy += v * v;
    this.energyOf += out[0].length;
    if (scope.currentTime >= this.reportAt) {
      this.reportAt = scope.currentTime + reportEvery;
      const {gaps, stretched, concealed} = this.buffer.stats;
      const delay = this.buffer.buffered > 0 ? now - this.buffer.playhead : NaN;
      this.worker?.postMessage({
        delay, buffered: this.buffer.buffered, level: Math.sqrt(this.energy / Math.max(1, this.energyOf)), gaps, stretched, concealed,
      });
      this.energy = this.energyOf = 0;
    }
    return true;
  }
}

scope.registerProcessor("duet-playout", Playout);
