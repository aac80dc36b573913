// The player's half of the worker: encoded frames from the core in, pictures on a canvas and sound to the page's AudioWorklet out.

import {Unwrapper} from "./clock.js";
import {audioDecoderConfig, Codec, decoderConfig} from "./codecs.js";
import {Flag} from "./core.js";
import {DelayTarget} from "./delay.js";

/** @typedef {import("./core.js").Core} Core */
/** @typedef {import("./core.js").CoreFrame} CoreFrame */

/**
 * @typedef {object} ReceiverConfig
 * @property {number} minCache ms after capture, at least
 * @property {number} maxCache ms after capture, at most
 */

/** What is added to the delay that the network asks for: decoding, and one quantum of the sound's output. */
const margin = 25;
/** Sound waits this much longer where it comes in frames of 20 ms. */
const soundMargin = 20;
/** Decoded pictures that wait; each is memory of the decoder. */
const maxPictures = 10;
/** The picture follows the sound by so many ms a frame; further away it jumps. */
const followStep = 4;
const followJump = 120;
/** What the worklet says holds for so long. */
const freshSound = 600;
/** Frames in the decoder beyond which it is too slow. */
const maxQueue = 30;
const keyFrameEvery = 300;
/** Each gap that is heard makes the delay so much longer, in ms; without any it gets shorter by so much a second. */
const extraStep = 4;
const extraFall = 1;
const mostExtra = 120;
/** A smaller change of the delay is not worth a word to the worklet. */
const aimStep = 2;
const codeResized = 2009, codeDecoderStarted = 2008, codeVideoFailed = 2101, codeAudioFailed = 2102;
/** Latencies of so many frames are kept for `stats`. */
const samplesKept = 2000;

/** @typedef {{frame: VideoFrame, captured: number}} Picture */

export class Receiver {
  #core;
  #config;
  #tell;
  #sized;
  #target = new DelayTarget();
  #aimed = 0;
  #extra = 0; // ms, because sound that was there in time was still not heard in time

  /** @type {VideoDecoder | null} */ #video = null;
  #videoCodec = 0;
  /** @type {Uint8Array | null} */ #record = null;
  #needKey = true;
  #askedKey = -Infinity;
  #videoStamps = new Unwrapper();
  /** @type {Map<number, {captured: number, fed: number, stamp: number}>} by the decoder's timestamp */ #fed = new Map();
  /** @type {Picture[]} */ #pictures = [];
  /** @type {OffscreenCanvas | null} */ #canvas = null;
  /** @type {OffscreenCanvasRenderingContext2D | null} */ #context = null;
  #timer = 0;
  #delay = 0; // of the picture after capture, smoothed
  #size = "";

  /** @type {AudioDecoder | null} */ #audio = null;
  #audioCodec = 0;
  /** @type {Uint8Array | null} */ #audioRecord = null;
  #audioStamps = new Unwrapper();
  /** @type {Map<number, number>} */ #audioFed = new Map();
  /** @type {MessagePort | null} */ #port = null;
  /** What the worklet said last: captured minus heard, and when. */
  #sound = {delay: NaN, at: -Infinity, buffered: 0, level: 0, gaps: 0, stretched: 0, concealed: 0};
  #fallback = NaN; // capture time minus stream time, guessed where the clocks are not known
  #counts = {decoded: 0, drawn: 0, late: 0, frozen: 0};
  #drawnAt = NaN;
  #stood = 0; // the longest that a picture stood, since the last status
  /** @type {number[]} */ #latency = [];
  /** @type {number[]} */ #lip = [];
  #lastStamp = 0;
  #lastDecodedAt = 0;

  /**
   * @param {Core} core
   * @param {ReceiverConfig} config
   * @param {(code: number, text: string) => void} tell
   * @param {(width: number, height: number) => void} sized
   */
  constructor(core, config, tell, sized) {
    this.#core = core;
    this.#config = config;
    this.#tell = tell;
    this.#sized = sized;
  }

  /** What was decoded and shown; times in ms. */
  get stats() {
    const [width, height] = this.#size ? this.#size.split("×").map(Number) : [0, 0];
    const stood = Math.max(this.#stood, performance.now() - this.#drawnAt || 0);
    this.#stood = 0;
    const latency = this.#latency.splice(0), lip = this.#lip.splice(0);
    return {
      ...this.#counts, videoWidth: width, videoHeight: height, stood, wanted: this.wanted, playDelay: this.#delay, soundDelay: this.#sound.delay, soundBuffered: this.#sound.buffered,
      soundLevel: this.#sound.level, soundGaps: this.#sound.gaps, soundStretched: this.#sound.stretched, soundConcealed: this.#sound.concealed,
      lipSync: lip, decodeLatency: latency, lastStamp: this.#lastStamp, lastDecodedAt: this.#lastDecodedAt + performance.timeOrigin,
    };
  }

  /** @param {Partial<ReceiverConfig>} change */
  configure(change) {
    Object.assign(this.#config, change);
    this.#aim();
  }

  /** The delay after capture at which everything is to be shown and heard. */
  get wanted() {
    return Math.min(Math.max(this.#target.value + margin + this.#extra, this.#config.minCache), Math.max(this.#config.maxCache, margin));
  }

  #aim() {
    if (Math.abs(this.wanted - this.#aimed) < aimStep) return;
    this.#aimed = this.wanted;
    this.#port?.postMessage({type: "delay", ms: this.wanted + soundMargin});
  }

  /** Another run of the pusher: timestamps start anew. */
  run() {
    this.#videoStamps = new Unwrapper();
    this.#audioStamps = new Unwrapper();
    this.#fallback = NaN;
    this.#target.restart();
    this.#needKey = true;
    this.#dropDecoder();
  }

  /** @param {OffscreenCanvas} canvas */
  canvas(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", {alpha: false, desynchronized: true});
  }

  /** The way to the page's AudioWorklet. @param {MessagePort} port */
  sound(port) {
    this.#port = port;
    this.#aimed = 0;
    port.onmessage = (e) => {
      const now = performance.now(), s = e.data;
      if (s.gaps > this.#sound.gaps) this.#extra = Math.min(this.#extra + extraStep * (s.gaps - this.#sound.gaps), mostExtra);
      else this.#extra = Math.max(0, this.#extra - (extraFall * (now - this.#sound.at)) / 1000 || 0);
      this.#sound = {...s, at: now};
      this.#aim();
    };
    this.#aim();
  }

  /** A frame whose turn has come. @param {CoreFrame} f */
  frame(f) {
    if (!(f.flags & Flag.config) && !Number.isNaN(f.captured)) {
      const now = performance.now();
      this.#target.note(now, now - f.captured, f.codec === Codec.Opus || f.codec === Codec.AAC); // its turn may have waited for others before it
      this.#aim();
    }
    if (f.codec === Codec.Opus || f.codec === Codec.AAC) this.#hear(f);
    else this.#see(f);
  }

  /**
   * When a frame was captured, by our clock.
   * @param {CoreFrame} f
   * @param {number} stamp
   */
  #captured(f, stamp) {
    if (!Number.isNaN(f.captured)) return f.captured;
    const offset = f.complete - stamp;
    if (Number.isNaN(this.#fallback) || offset < this.#fallback) this.#fallback = offset;
    return stamp + this.#fallback;
  }

  /** @param {CoreFrame} f */
  #see(f) {
    if (f.codec !== this.#videoCodec) {
      this.#videoCodec = f.codec;
      this.#record = null;
      this.#dropDecoder();
    }
    if (f.flags & Flag.config) {
      this.#record = f.data;
      this.#dropDecoder();
      return;
    }
    const key = (f.flags & Flag.key) !== 0;
    if (f.flags & Flag.gap && !key) this.#needKey = true; // what follows refers to what is missing
    if (this.#needKey && !key) {
      this.#counts.frozen++;
      this.#askKey();
      return;
    }
    if (!this.#video && !this.#startVideo()) return;
    const decoder = /** @type {VideoDecoder} */ (this.#video);
    if (decoder.decodeQueueSize > maxQueue) { // too slow: go on at the next key frame
      this.#needKey = true;
      this.#askKey();
      return;
    }
    this.#needKey = false;
    const stamp = this.#videoStamps.value(f.timestamp) + f.composition;
    const timestamp = Math.round(stamp * 1000);
    this.#fed.set(timestamp, {captured: this.#captured(f, stamp), fed: performance.now(), stamp: f.timestamp});
    if (this.#fed.size > 2 * maxQueue) this.#fed.delete(this.#fed.keys().next().value ?? 0);
    try {
      decoder.decode(new EncodedVideoChunk({type: key ? "key" : "delta", timestamp, data: f.data}));
    } catch (err) {
      this.#videoFailed(err);
    }
  }

  /** @returns {boolean} */
  #startVideo() {
    const config = decoderConfig(this.#videoCodec, this.#record);
    if (!config) return false;
    const decoder = new VideoDecoder({
      output: (frame) => this.#decoded(frame),
      error: (err) => {
        if (this.#video === decoder) this.#videoFailed(err);
      },
    });
    this.#video = decoder;
    try {
      decoder.configure(config);
    } catch (err) {
      this.#videoFailed(err);
      return false;
    }
    this.#tell(codeDecoderStarted, config.codec);
    return true;
  }

  /** @param {unknown} err */
  #videoFailed(err) {
    this.#dropDecoder();
    this.#tell(codeVideoFailed, String(err));
    this.#askKey();
  }

  #dropDecoder() {
    if (this.#video && this.#video.state !== "closed") this.#video.close();
    this.#video = null;
    this.#fed.clear();
    this.#needKey = true;
  }

  #askKey() {
    const now = performance.now();
    if (now - this.#askedKey < keyFrameEvery) return;
    this.#askedKey = now;
    this.#core.requestKeyFrame();
  }

  /** @param {VideoFrame} frame */
  #decoded(frame) {
    const fed = this.#fed.get(frame.timestamp);
    this.#fed.delete(frame.timestamp);
    const now = performance.now();
    const captured = fed?.captured ?? now - this.#delay;
    this.#counts.decoded++;
    if (fed) {
      this.#lastStamp = fed.stamp;
      this.#lastDecodedAt = now;
      if (this.#latency.length < samplesKept) this.#latency.push(now - captured);
    }
    const size = `${frame.displayWidth}×${frame.displayHeight}`;
    if (size !== this.#size) {
      if (this.#size) this.#tell(codeResized, size);
      this.#size = size;
      this.#sized(frame.displayWidth, frame.displayHeight);
    }
    this.#pictures.push({frame, captured});
    this.#show();
    if (this.#pictures.length > maxPictures) this.#draw(/** @type {Picture} */ (this.#pictures.shift())); // rather early than never

  }

  /** The delay after capture at which a picture is shown: the sound's, where there is any, so that lips move when they speak. */
  #lag() {
    const now = performance.now();
    const heard = now - this.#sound.at < freshSound && !Number.isNaN(this.#sound.delay);
    const wanted = heard ? this.#sound.delay : this.wanted;
    const off = wanted - this.#delay;
    if (Math.abs(off) > followJump || this.#delay === 0) this.#delay = wanted;
    else this.#delay += Math.max(-followStep, Math.min(followStep, off));
    return this.#delay;
  }

  /** Draws the newest picture that is due, and comes again for the next. */
  #show() {
    clearTimeout(this.#timer);
    if (this.#pictures.length === 0) return;
    const lag = this.#lag(), now = performance.now();
    let due = -1;
    while (due + 1 < this.#pictures.length && this.#pictures[due + 1].captured + lag <= now + 2) due++;
    if (due >= 0) {
      const passed = this.#pictures.splice(0, due + 1);
      const last = /** @type {Picture} */ (passed.pop());
      for (const p of passed) {
        this.#counts.late++;
        p.frame.close();
      }
      this.#draw(last);
    }
    if (this.#pictures.length > 0) {
      this.#timer = setTimeout(() => this.#show(), Math.max(0, this.#pictures[0].captured + lag - performance.now() - 1));
    }
  }

  /** @param {Picture} p */
  #draw({frame, captured}) {
    const canvas = this.#canvas, context = this.#context;
    const now = performance.now();
    if (canvas && context) {
      if (canvas.width !== frame.displayWidth || canvas.height !== frame.displayHeight) {
        canvas.width = frame.displayWidth;
        canvas.height = frame.displayHeight;
      }
      context.drawImage(frame, 0, 0, canvas.width, canvas.height);
      this.#counts.drawn++;
      if (now - this.#drawnAt > this.#stood) this.#stood = now - this.#drawnAt;
      this.#drawnAt = now;
      if (now - this.#sound.at < freshSound && !Number.isNaN(this.#sound.delay) && this.#lip.length < samplesKept) this.#lip.push(now - captured - this.#sound.delay);
    }
    frame.close();
  }

  /** @param {CoreFrame} f */
  #hear(f) {
    if (f.codec !== this.#audioCodec) {
      this.#audioCodec = f.codec;
      this.#audioRecord = null;
      this.#dropAudio();
    }
    if (f.flags & Flag.config) {
      this.#audioRecord = f.data;
      this.#dropAudio();
      return;
    }
    if (!this.#audio && !this.#startAudio()) return;
    const stamp = this.#audioStamps.value(f.timestamp);
    const timestamp = Math.round(stamp * 1000);
    this.#audioFed.set(timestamp, this.#captured(f, stamp));
    if (this.#audioFed.size > 2 * maxQueue) this.#audioFed.delete(this.#audioFed.keys().next().value ?? 0);
    try {
      this.#audio?.decode(new EncodedAudioChunk({type: "key", timestamp, data: f.data}));
    } catch (err) {
      this.#audioFailed(err);
    }
  }

  #startAudio() {
    const config = audioDecoderConfig(this.#audioCodec, this.#audioRecord);
    if (!config) return false;
    const decoder = new AudioDecoder({
      output: (data) => this.#heard(data),
      error: (err) => {
        if (this.#audio === decoder) this.#audioFailed(err);
      },
    });
    this.#audio = decoder;
    try {
      decoder.configure(config);
    } catch (err) {
      this.#audioFailed(err);
      return false;
    }
    return true;
  }

  #dropAudio() {
    if (this.#audio && this.#audio.state !== "closed") this.#audio.close();
    this.#audio = null;
    this.#audioFed.clear();
  }

  /** @param {unknown} err */
  #audioFailed(err) {
    this.#dropAudio();
    this.#tell(codeAudioFailed, String(err));
  }

  /** @param {AudioData} data */
  #heard(data) {
    // A decoder counts samples on from its first timestamp: the one that fits best is within a frame.
    let captured = this.#audioFed.get(data.timestamp);
    if (captured === undefined) {
      let best = Infinity;
      for (const [t, c] of this.#audioFed) {
        const off = data.timestamp - t;
        if (Math.abs(off) < Math.abs(best)) {
          best = off;
          captured = c + off / 1000;
        }
      }
    }
    for (const t of this.#audioFed.keys()) if (t < data.timestamp - 500_000) this.#audioFed.delete(t);
    if (this.#port && captured !== undefined) {
      const channels = Math.min(2, data.numberOfChannels);
      const samples = new Float32Array(channels * data.numberOfFrames);
      for (let c = 0; c < channels; c++) {
        data.copyTo(samples.subarray(c * data.numberOfFrames, (c + 1) * data.numberOfFrames), {planeIndex: c, format: "f32-planar"});
      }
      this.#port.postMessage(
        {type: "samples", samples, channels, rate: data.sampleRate, captured: captured + performance.timeOrigin}, [samples.buffer],
      );
    }
    data.close();
  }

  close() {
    clearTimeout(this.#timer);
    this.#dropDecoder();
    this.#dropAudio();
    for (const p of this.#pictures.splice(0)) p.frame.close();
    this.#port?.postMessage({type: "end"});
  }
}
