// How long after their capture frames should be shown: so that nearly all are there by then, and no later. It forgets what was worse than now
// within seconds, because a call that is slower than it must be is hard to talk in.

/** What counts: the last seconds, and nearly all of their frames. Sound that comes too late is a gap that is heard, a picture that does is shown late. */
const windowMs = 8000;
const nearlyAll = {sound: 0.999, picture: 0.99};
/** A beginning is bumpy, because code is being compiled: so many ms of it count only while there is nothing else. */
const warmUp = 1000;
/** It is worked out so often, in ms. */
const every = 200;
/** What may be taken off each time, in ms and as a share: faster, and time is heard to run. */
const fall = 15;
const fallShare = 0.1;
const longest = 2000;

export class DelayTarget {
  /** @type {{at: number, delay: number, sound: boolean}[]} */ #frames = [];
  #since = -1;
  #workedOut = -Infinity;
  #value = 0;

  /** ms; 0 while nothing is known. */
  get value() {
    return this.#value;
  }

  /** Another run, or another way: what was does not count. */
  restart() {
    this.#frames = [];
    this.#since = -1;
  }

  /**
   * A frame is there, so long after its capture.
   * @param {number} now
   * @param {number} delay
   * @param {boolean} sound
   */
  note(now, delay, sound) {
    if (this.#since < 0) this.#since = now;
    this.#frames.push({at: now, delay: Math.max(0, Math.min(delay, longest)), sound});
    if (now - this.#workedOut < every) return;
    this.#workedOut = now;
    const from = Math.max(now - windowMs, Math.min(this.#since + warmUp, now - every));
    const first = this.#frames.findIndex((f) => f.at >= now - windowMs);
    if (first > 0) this.#frames.splice(0, first);
    const counted = this.#frames.filter((f) => f.at >= from);
    if (counted.length === 0) return;
    const wanted = Math.max(within(counted.filter((f) => f.sound), nearlyAll.sound), within(counted.filter((f) => !f.sound), nearlyAll.picture));
    this.#value = this.#value === 0 ? wanted : Math.max(wanted, this.#value - Math.max(fall, fallShare * this.#value));
  }
}

/**
 * The delay within which a share of some frames came, 0 of none.
 * @param {{delay: number}[]} frames
 * @param {number} share
 */
function within(frames, share) {
  const sorted = frames.map((f) => f.delay).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
