// What an encoder should make of the bitrate that the network takes: size and frame rate step down before the picture breaks, and up again
// once there has been room for a while. Nothing here knows of encoders or clocks: times are handed in, in ms.

/** @typedef {{height: number, fps: number, from: number}} Rung from: kbit/s of video below which the one under it looks better */

/** @type {readonly Rung[]} H.264 and VP8 at the quality of a call. */
const rungs = Object.freeze([
  {height: 120, fps: 8, from: 0},
  {height: 180, fps: 15, from: 70},
  {height: 270, fps: 15, from: 140},
  {height: 360, fps: 20, from: 220},
  {height: 360, fps: 30, from: 330},
  {height: 540, fps: 30, from: 750},
  {height: 720, fps: 30, from: 1300},
  {height: 1080, fps: 30, from: 2600},
]);

/** A rung is left when the target is less than this share of what it is from. */
const leaveShare = 0.85;
/** The next one is taken when the target has been this much more than it is from, for so long. */
const takeShare = 1.15;
const takeAfter = 4000;
/** A rung that had to be left sooner after it was taken is held off twice as long the next time. */
const proven = 15_000;
const longestHold = 60_000;
/** Frames are left out while more than `holdAt` ms wait to be sent, until there are less than `goAt`. */
const holdAt = 250;
const goAt = 100;
/** An encoder that was held for so long begins again: with a small key frame, at 360 lines or fewer. */
const restartAfter = 400;
const restartHeight = 360;
/** The share of the target that frames should take: key frames and repairs vary. */
const share = 0.95;
const leastVideo = 50;

/** Codecs that need less for the same picture. */
const economy = Object.freeze({h264: 1, vp8: 1, vp9: 0.7, av1: 0.6});

/** @typedef {{height: number, fps: number, bitrate: number}} Plan bitrate in kbit/s of video */

export class Ladder {
  #max;
  #economy;
  #index = 0;
  #target = 0;
  #fitsSince = -1;
  #takenAt = -1;
  #hold = takeAfter;
  #heldSince = -1;
  #restart = false;

  /**
   * @param {{maxHeight: number, start: number, codec: keyof typeof economy}} options start: kbit/s of video to begin with
   */
  constructor({maxHeight, start, codec}) {
    this.#economy = economy[codec];
    this.#max = Math.max(0, rungs.findLastIndex((r) => r.height <= maxHeight));
    this.#target = start;
    this.#index = Math.min(this.#fit(start), rungs.findLastIndex((r) => r.height <= restartHeight));
  }

  /** The highest rung for a target. @param {number} kbps */
  #fit(kbps) {
    let i = 0;
    while (i < this.#max && rungs[i + 1].from * this.#economy <= kbps) i++;
    return i;
  }

  /** What the encoder should make. @returns {Plan} */
  get plan() {
    const {height, fps} = rungs[this.#index];
    return {height, fps, bitrate: Math.max(leastVideo, Math.round(this.#target * share))};
  }

  /**
   * A larger or smaller picture is the most that there is: the camera's, or the user's wish.
   * @param {number} maxHeight
   */
  limit(maxHeight) {
    this.#max = Math.max(0, rungs.findLastIndex((r) => r.height <= maxHeight));
    this.#index = Math.min(this.#index, this.#max);
  }

  /**
   * The bitrate that video may take from now on.
   * @param {number} now
   * @param {number} kbps
   * @returns {boolean} whether size or rate have changed
   */
  target(now, kbps) {
    this.#target = kbps;
    const before = this.#index;
    const fit = this.#fit(kbps);
    if (kbps < leaveShare * rungs[before].from * this.#economy) {
      if (this.#takenAt >= 0 && now - this.#takenAt < proven) this.#hold = Math.min(2 * this.#hold, longestHold);
      this.#takenAt = -1;
      this.#index = Math.min(before, fit);
      this.#fitsSince = -1;
    } else if (before < this.#max && kbps >= takeShare * rungs[before + 1].from * this.#economy) {
      if (this.#fitsSince < 0) this.#fitsSince = now;
      if (now - this.#fitsSince >= this.#hold) {
        this.#index = Math.min(fit, before + 2);
        this.#takenAt = now;
        this.#fitsSince = -1;
      }
    } else {
      this.#fitsSince = -1;
    }
    if (this.#takenAt >= 0 && now - this.#takenAt >= proven) {
      this.#takenAt = -1;
      this.#hold = takeAfter;
    }
    return this.#index !== before;
  }

  /**
   * Whether a frame should be encoded, with so many ms of media waiting to be sent.
   * @param {number} now
   * @param {number} waiting
   */
  admit(now, waiting) {
    if (this.#heldSince < 0) {
      if (waiting <= holdAt) return true;
      this.#heldSince = now;
      return false;
    }
    if (waiting >= goAt) return false;
    if (now - this.#heldSince >= restartAfter) {
      this.#restart = true;
      this.#index = Math.min(this.#index, this.#fit(this.#target), rungs.findLastIndex((r) => r.height <= restartHeight));
    }
    this.#heldSince = -1;
    return true;
  }

  /** Whether the encoder should begin again; once for each time. */
  get restart() {
    const r = this.#restart;
    this.#restart = false;
    return r;
  }
}

/**
 * The size of a picture with so many lines along its shorter side, even in both, and never larger than the camera's.
 * @param {number} width of the camera
 * @param {number} height
 * @param {number} lines
 */
export function fitSize(width, height, lines) {
  const scale = Math.min(1, lines / Math.min(width, height));
  const even = (/** @type {number} */ n) => Math.max(2, 2 * Math.round((n * scale) / 2));
  return {width: even(width), height: even(height)};
}

/**
 * The bitrate of sound within a target for both, in kbit/s: sound is what a call is about, and gives way last.
 * @param {number} total
 * @param {boolean} high what was asked for
 */
export function audioShare(total, high) {
  if (total < 80) return 12;
  if (total < 150) return 16;
  if (total < 300) return 24;
  return high ? 48 : 32;
}
