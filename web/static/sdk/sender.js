// The pusher's half of the worker: frames of camera and microphone in, encoded frames to the core.

import {CaptureClock} from "./clock.js";
import {bytesOf, Codec, configRecord, encoderConfig, pickVideoCodec, videoCodecs, videoOrder} from "./codecs.js";
import {Flag} from "./core.js";
import {audioShare, fitSize, Ladder} from "./ladder.js";

/** @typedef {import("./core.js").Core} Core */
/** @typedef {import("./codecs.js").VideoCodecName} VideoCodecName */

/**
 * @typedef {object} SenderConfig
 * @property {number} minBitrate kbit/s of sound and picture together
 * @property {number} maxBitrate
 * @property {number} maxHeight lines of the largest picture; 0: by codec and machine
 * @property {VideoCodecName | ""} videoCodec "": the first that works
 * @property {boolean} highAudio
 */

/** Frames that may be inside the encoder: more, and it is not fast enough. */
const maxInFlight = 3;
/** A key frame without being asked for, in ms: a recording can be entered there. Players ask for theirs. */
const keyFrameEvery = 10_000;
/** An encoder whose target moved less than this share is left alone. */
const configureShare = 0.1;
const configureEvery = 250;
/** What the core begins with, in kbit/s, within the limits. */
const startBitrate = 1000;
/** How often the plan is looked at. */
const planEvery = 250;
/** An encoder that is full for so long, in ms, does not work, whatever the browser says of it. */
const stuckAfter = 1500;
/** A camera that was away for so long, in ms, says nothing of the encoder. */
const pause = 500;
/** Encoder failures in a row, after which it is given up. */
const maxFailures = 3;
const opusFrame = 20_000; // µs
/** Pieces of sound whose time is remembered: half a second. */
const maxHeard = 50;
/** What headers, parity and control add to each kbit/s of media is in the core's target already; this is left for data. */
const reserve = 5;
const codeFirstFrame = 1007, codeEncoderStarted = 1008, codeSizeAdapted = 1005, codeEncoderRestarted = 1104;
const codeVideoFailed = -1303, codeAudioFailed = -1304;

export class Sender {
  #core;
  #config;
  #tell;
  #base = NaN; // performance.now() that is 0 in the stream
  #target = 0; // kbit/s of both
  #waiting = 0; // ms that what waits to be sent will take
  #wantKey = true;

  /** @type {VideoCodecName | null} */ #codec = null;
  /** @type {VideoEncoder | null} */ #video = null;
  /** @type {VideoEncoderConfig | null} */ #videoConfig = null;
  /** @type {Ladder | null} */ #ladder = null;
  /** @type {Map<number, number>} timestamp in the encoder to capture time */ #inFlight = new Map();
  #videoClock = new CaptureClock();
  #lastVideo = -1;
  #lastKey = -Infinity;
  #nextFrameAt = -Infinity;
  #configuredAt = -Infinity;
  #planned = -Infinity;
  /** @type {Uint8Array | null} */ #record = null;
  #failures = 0;
  /** @type {Set<VideoCodecName>} */ #useless = new Set();
  #made = false; // this encoder has put something out
  #fullSince = NaN;
  #frameAt = -Infinity;
  #first = true;
  #adapted = "";
  #camera = {width: 0, height: 0};
  #videoRead = 0;

  /** @type {AudioEncoder | null} */ #audio = null;
  #audioClock = new CaptureClock();
  #audioRate = 0;
  #audioShape = "";
  #audioHead = false;
  #audioRead = 0;
  #lastAudio = -1;
  #samples = 0;
  /** @type {{at: number, capture: number}[]} */ #heard = [];
  #muted = false;
  #paused = false;
  #counts = {captured: 0, encoded: 0, dropped: 0};

  /**
   * @param {Core} core
   * @param {SenderConfig} config
   * @param {(code: number, text: string) => void} tell
   */
  constructor(core, config, tell) {
    this.#core = core;
    this.#config = config;
    this.#tell = tell;
    this.#target = Math.max(config.minBitrate, Math.min(startBitrate, config.maxBitrate)); // the core tells of changes only
  }

  /** What was captured, encoded and left out, and what the encoder makes. */
  get stats() {
    const c = this.#videoConfig;
    return {
      ...this.#counts, codec: this.#codec ?? "", videoWidth: c?.width ?? 0, videoHeight: c?.height ?? 0, base: this.#base + performance.timeOrigin,
      videoCache: this.#inFlight.size,
    };
  }

  /**
   * What the network takes. @param {number} bps
   */
  bitrate(bps) {
    this.#target = Math.max(this.#config.minBitrate, Math.min(bps / 1000, this.#config.maxBitrate));
    this.#adapt();
  }

  /** What waits to be sent. @param {number} ms */
  backlog(ms) {
    this.#waiting = ms;
  }

  /** The next frame must be one that decoding can begin with. */
  keyFrame() {
    this.#wantKey = true;
  }

  /** @param {Partial<{muted: boolean, paused: boolean, minBitrate: number, maxBitrate: number, maxHeight: number}>} change */
  configure(change) {
    if (change.muted !== undefined) this.#muted = change.muted;
    if (change.paused !== undefined && change.paused !== this.#paused) {
      this.#paused = change.paused;
      this.#wantKey = true;
    }
    if (change.minBitrate !== undefined) this.#config.minBitrate = change.minBitrate;
    if (change.maxBitrate !== undefined) this.#config.maxBitrate = change.maxBitrate;
    if (change.maxHeight !== undefined) {
      this.#config.maxHeight = change.maxHeight;
      this.#ladder?.limit(this.#maxHeight());
    }
    this.#adapt();
  }

  /** A text within the stream. @param {string} text */
  message(text) {
    this.#core.message(this.#stamp(performance.now()), text);
  }

  /**
   * Reads frames of a camera until it ends, or until another one takes its place; null: there is none any more.
   * @param {ReadableStream<VideoFrame> | null} stream
   */
  async videoFrom(stream) {
    const turn = ++this.#videoRead;
    this.#videoClock = new CaptureClock();
    if (!stream) {
      this.#dropEncoder();
      return;
    }
    const reader = stream.getReader();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      if (turn !== this.#videoRead) {
        value.close();
        void reader.cancel();
        return;
      }
      await this.videoFrame(value);
    }
  }

  /**
   * One frame of the camera, which is closed here: two that are held stall the camera.
   * @param {VideoFrame} frame
   */
  async videoFrame(frame) {
    const now = performance.now();
    this.#counts.captured++;
    if (this.#first) {
      this.#first = false;
      this.#tell(codeFirstFrame, `${frame.displayWidth}×${frame.displayHeight}`);
    }
    const capture = this.#videoClock.captured(now, frame.timestamp / 1000);
    try {
      if (this.#codec === null && !(await this.#choose())) return;
      if (this.#admit(now)) this.#encode(frame, now, capture);
    } finally {
      frame.close();
    }
  }

  /** Chooses the codec, once. @returns {Promise<boolean>} */
  async #choose() {
    if (this.#failures >= maxFailures) return false;
    const wanted = (this.#config.videoCodec ? [this.#config.videoCodec, ...videoOrder] : videoOrder).filter((name) => !this.#useless.has(name));
    const codec = await pickVideoCodec(wanted);
    if (!codec) {
      this.#failures = maxFailures;
      this.#tell(codeVideoFailed, "this browser encodes none of " + videoOrder.join(", "));
      return false;
    }
    this.#codec = codec;
    this.#ladder = new Ladder({maxHeight: this.#maxHeight(), start: this.#videoTarget(), codec});
    return true;
  }

  /** The most lines that are worth it: other codecs than H.264 take too long on small machines. */
  #maxHeight() {
    if (this.#config.maxHeight > 0) return this.#config.maxHeight;
    return this.#codec === "h264" || navigator.hardwareConcurrency > 4 ? 720 : 360;
  }

  #videoTarget() {
    return Math.max(0, this.#target - audioShare(this.#target, this.#config.highAudio) - reserve);
  }

  /** @param {number} now */
  #admit(now) {
    const ladder = /** @type {Ladder} */ (this.#ladder);
    if (this.#paused || this.#failures >= maxFailures) return false;
    if (now - this.#planned >= planEvery) { // also where the target stays as it is: room has to be there for a while
      this.#planned = now;
      ladder.target(now, this.#videoTarget());
    }
    const full = this.#inFlight.size >= maxInFlight;
    this.#watch(now, full);
    if (!ladder.admit(now, this.#waiting) || full) {
      this.#counts.dropped++;
      return false;
    }
    const every = 1000 / ladder.plan.fps;
    if (now < this.#nextFrameAt - every / 4) return false; // the camera is faster than what is wanted
    this.#nextFrameAt = Math.max(this.#nextFrameAt + every, now - every);
    return true;
  }

  /**
   * Some browsers say that they encode what they do not: an encoder that takes frames and gives none is left for another one.
   * @param {number} now
   * @param {boolean} full
   */
  #watch(now, full) {
    if (!full || now - this.#frameAt > pause) this.#fullSince = NaN;
    if (full && Number.isNaN(this.#fullSince)) this.#fullSince = now;
    this.#frameAt = now;
    if (!(now - this.#fullSince >= stuckAfter)) return;
    if (this.#made) {
      this.#failed("nothing comes out of the encoder any more");
      return;
    }
    const codec = /** @type {VideoCodecName} */ (this.#codec);
    this.#useless.add(codec);
    this.#dropEncoder();
    this.#codec = null;
    this.#tell(codeEncoderRestarted, `nothing comes out of the encoder for ${codec}`);
  }

  /**
   * @param {VideoFrame} frame
   * @param {number} now
   * @param {number} capture
   */
  #encode(frame, now, capture) {
    this.#camera = {width: frame.displayWidth, height: frame.displayHeight};
    const ladder = /** @type {Ladder} */ (this.#ladder);
    const restart = ladder.restart;
    if (!this.#ready(now, restart)) return;
    const encoder = /** @type {VideoEncoder} */ (this.#video);
    const stamp = Math.max(this.#stamp(capture), this.#lastVideo + 1);
    this.#lastVideo = stamp;
    const keyFrame = this.#wantKey || now - this.#lastKey > keyFrameEvery;
    const copy = new VideoFrame(frame, {timestamp: stamp * 1000});
    try {
      this.#inFlight.set(stamp, capture);
      encoder.encode(copy, {keyFrame});
      if (keyFrame) {
        this.#wantKey = false;
        this.#lastKey = now;
      }
    } catch (err) {
      this.#inFlight.delete(stamp);
      this.#failed(err);
    } finally {
      copy.close();
    }
  }

  /**
   * Sees to it that there is an encoder, as the plan has it.
   * @param {number} now
   * @param {boolean} restart
   */
  #ready(now, restart) {
    const codec = /** @type {VideoCodecName} */ (this.#codec);
    const {height, fps, bitrate} = /** @type {Ladder} */ (this.#ladder).plan;
    const size = fitSize(this.#camera.width, this.#camera.height, height);
    const c = encoderConfig(codec, size.width, size.height, fps, bitrate * 1000);
    const old = this.#videoConfig;
    const resized = !old || old.width !== c.width || old.height !== c.height;
    const bitrateMoved = !!old && Math.abs(Number(c.bitrate) - Number(old.bitrate)) > configureShare * Number(old.bitrate);
    const moved = bitrateMoved || old?.framerate !== c.framerate;
    try {
      if (restart) this.#dropEncoder();
      if (!this.#video) {
        this.#video = new VideoEncoder({output: (chunk, meta) => this.#encoded(codec, chunk, meta), error: (err) => this.#failed(err)});
        this.#tell(restart ? codeEncoderRestarted : codeEncoderStarted, `${codec} ${c.width}×${c.height}`);
      } else if (!resized && !(moved && now - this.#configuredAt >= configureEvery)) {
        return true;
      }
      this.#video.configure(c);
      this.#configuredAt = now;
      this.#videoConfig = c;
      if (resized) {
        this.#wantKey = true;
        this.#core.size(size.width, size.height, fps);
      }
      const now_ = `${size.width}×${size.height}, ${fps} a second`;
      if (this.#adapted && this.#adapted !== now_) this.#tell(codeSizeAdapted, now_);
      this.#adapted = now_;
      return true;
    } catch (err) {
      this.#failed(err);
      return false;
    }
  }

  /** The plan follows the target; the encoder follows with the next frame. */
  #adapt() {
    this.#ladder?.target(performance.now(), this.#videoTarget());
    this.#configureAudio();
  }

  /**
   * @param {VideoCodecName} codec
   * @param {EncodedVideoChunk} chunk
   * @param {EncodedVideoChunkMetadata} [meta]
   */
  #encoded(codec, chunk, meta) {
    this.#failures = 0;
    this.#made = true;
    this.#fullSince = NaN;
    const stamp = Math.round(chunk.timestamp / 1000);
    const capture = this.#inFlight.get(stamp) ?? performance.now();
    for (const t of this.#inFlight.keys()) if (t <= stamp) this.#inFlight.delete(t);
    const number = videoCodecs[codec].codec;
    const record = meta?.decoderConfig ? configRecord(codec, meta.decoderConfig) : null;
    if (record && !same(record, this.#record)) {
      this.#record = record.slice();
      this.#core.frame(number, Flag.config, stamp, capture, record.length, (into) => into.set(record));
    }
    this.#counts.encoded++;
    const key = chunk.type === "key"; // also where none was asked for
    if (key) this.#lastKey = performance.now();
    this.#core.frame(number, key ? Flag.key : 0, stamp, capture, chunk.byteLength, (into) => chunk.copyTo(into));
  }

  /** An encoder failed: the next frame makes another one. @param {unknown} err */
  #failed(err) {
    this.#dropEncoder();
    this.#failures++;
    if (this.#failures >= maxFailures) {
      this.#tell(codeVideoFailed, String(err));
      return;
    }
    this.#tell(codeEncoderRestarted, String(err));
  }

  #dropEncoder() {
    if (this.#video && this.#video.state !== "closed") this.#video.close();
    this.#video = null;
    this.#videoConfig = null;
    this.#made = false;
    this.#fullSince = NaN;
    this.#inFlight.clear();
    this.#wantKey = true;
  }

  /**
   * Reads what a microphone hears until it ends, or until another one takes its place.
   * @param {ReadableStream<AudioData> | null} stream
   */
  async audioFrom(stream) {
    const turn = ++this.#audioRead;
    this.#audioClock = new CaptureClock();
    if (!stream) return;
    const reader = stream.getReader();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      if (turn !== this.#audioRead) {
        value.close();
        void reader.cancel();
        return;
      }
      this.audioData(value);
    }
  }

  /** A piece of sound, which is closed here. @param {AudioData} data */
  audioData(data) {
    const ends = (data.timestamp + data.duration) / 1000;
    const capture = this.#audioClock.captured(performance.now(), ends) - data.duration / 1000;
    try {
      if (!this.#openAudio(data)) return;
      // The encoder counts samples and would drift away from the clock: it is given counts, and what comes out gets its time back.
      const at = this.#samples;
      this.#samples += data.numberOfFrames;
      this.#heard.push({at, capture});
      if (this.#heard.length > maxHeard) this.#heard.shift();
      const stamp = Math.round((at * 1e6) / data.sampleRate);
      const copy = this.#muted ? silence(data, stamp) : restamp(data, stamp);
      this.#audio?.encode(copy);
      copy.close();
    } catch (err) {
      this.#audioFailed(err);
    } finally {
      data.close();
    }
  }

  /** @param {AudioData} data */
  #openAudio(data) {
    const shape = data.sampleRate + "/" + data.numberOfChannels;
    if (this.#audio && this.#audio.state === "configured" && shape === this.#audioShape) return true;
    if (this.#audioShape === "failed") return false;
    if (this.#audio && this.#audio.state !== "closed") this.#audio.close();
    this.#audio = new AudioEncoder({output: (chunk, meta) => this.#audioEncoded(chunk, meta), error: (err) => this.#audioFailed(err)});
    this.#audioShape = shape;
    this.#audioRate = 0;
    this.#audioHead = false;
    this.#samples = 0;
    this.#heard = [];
    this.#configureAudio();
    return true;
  }

  #configureAudio() {
    const rate = audioShare(this.#target, this.#config.highAudio);
    if (!this.#audio || this.#audio.state === "closed" || rate === this.#audioRate) return;
    this.#audioRate = rate;
    const [sampleRate, numberOfChannels] = this.#audioShape.split("/").map(Number);
    /** @type {AudioEncoderConfig} */
    const c = {codec: "opus", sampleRate, numberOfChannels, bitrate: rate * 1000};
    c.opus = /** @type {any} */ ({frameDuration: opusFrame, application: "voip", signal: "voice", complexity: 5});
    this.#audio.configure(c);
  }

  /**
   * @param {EncodedAudioChunk} chunk
   * @param {EncodedAudioChunkMetadata} [meta]
   */
  #audioEncoded(chunk, meta) {
    const [rate, channels] = this.#audioShape.split("/").map(Number);
    const at = (chunk.timestamp * rate) / 1e6;
    const near = this.#heard.findLast((h) => h.at <= at) ?? this.#heard[0] ?? {at, capture: performance.now()};
    const capture = near.capture + ((at - near.at) * 1000) / rate;
    const stamp = Math.max(this.#stamp(capture), this.#lastAudio + 1);
    this.#lastAudio = stamp;
    if (!this.#audioHead) {
      this.#audioHead = true;
      const given = meta?.decoderConfig?.description;
      const head = given ? bytesOf(given) : opusHead(channels, rate);
      this.#core.frame(Codec.Opus, Flag.config, stamp, capture, head.length, (into) => into.set(head));
    }
    this.#core.frame(Codec.Opus, Flag.key, stamp, capture, chunk.byteLength, (into) => chunk.copyTo(into));
  }

  /** @param {unknown} err */
  #audioFailed(err) {
    this.#audioShape = "failed";
    this.#tell(codeAudioFailed, String(err));
  }

  /** Stream time of a moment, in ms. @param {number} capture */
  #stamp(capture) {
    if (Number.isNaN(this.#base)) this.#base = Math.floor(capture) - 1000; // what was captured a little before may come later
    return Math.max(0, Math.round(capture - this.#base));
  }

  close() {
    this.#videoRead++;
    this.#audioRead++;
    this.#dropEncoder();
    if (this.#audio && this.#audio.state !== "closed") this.#audio.close();
  }
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array | null} b
 */
const same = (a, b) => b !== null && a.length === b.length && a.every((v, i) => v === b[i]);

/**
 * The same sound with another time.
 * @param {AudioData} data
 * @param {number} timestamp µs
 */
function restamp(data, timestamp) {
  const samples = new Float32Array(data.numberOfFrames * data.numberOfChannels);
  for (let c = 0; c < data.numberOfChannels; c++) {
    data.copyTo(samples.subarray(c * data.numberOfFrames, (c + 1) * data.numberOfFrames), {planeIndex: c, format: "f32-planar"});
  }
  return planar(data, timestamp, samples);
}

/**
 * @param {AudioData} data
 * @param {number} timestamp
 */
const silence = (data, timestamp) => planar(data, timestamp, new Float32Array(data.numberOfFrames * data.numberOfChannels));

/**
 * @param {AudioData} like
 * @param {number} timestamp
 * @param {Float32Array<ArrayBuffer>} samples
 */
function planar(like, timestamp, samples) {
  return new AudioData({
    format: "f32-planar", sampleRate: like.sampleRate, numberOfFrames: like.numberOfFrames, numberOfChannels: like.numberOfChannels, timestamp,
    data: samples,
  });
}

/**
 * The OpusHead of RFC 7845, section 5.1.
 * @param {number} channels
 * @param {number} rate of the source
 */
function opusHead(channels, rate) {
  const b = new Uint8Array(19), v = new DataView(b.buffer);
  b.set(new TextEncoder().encode("OpusHead"));
  b[8] = 1;
  b[9] = channels;
  v.setUint16(10, 312, true);
  v.setUint32(12, rate, true);
  return b;
}
