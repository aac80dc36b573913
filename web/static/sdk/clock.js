// Times of different clocks, brought together.

/** ms that is added to this thread's performance.now() to compare it with another thread's. */
export const epoch = () => performance.timeOrigin;

/** The least delay of one to two windows counts: devices put some of their first frames ahead of their time, and clocks drift apart. */
const windowMs = 1000;
const firstWindow = 200;
/** An offset that is so much another one is another source. */
const jump = 5000;

/**
 * CaptureClock tells when a frame was captured: its timestamp runs evenly but from a zero of its own; it arrives by our clock but late by a
 * delay that varies. The least delay of the last moments is the best that is known of that zero, so that sound and picture are on one clock.
 */
export class CaptureClock {
  #offsets = [Infinity, Infinity]; // the least of this window, and of the one before
  #rotateAt = -Infinity;

  /**
   * @param {number} now performance.now() when the frame came
   * @param {number} timestamp its own, in ms, of the end of what it holds
   * @returns {number} by performance.now()
   */
  captured(now, timestamp) {
    const offset = now - timestamp;
    const [newer, older] = this.#offsets;
    if (!(Math.abs(offset - Math.min(newer, older)) < jump)) {
      this.#offsets = [offset, Infinity];
      this.#rotateAt = now + firstWindow;
    } else if (now >= this.#rotateAt) {
      this.#offsets = [offset, older === Infinity ? offset : newer]; // what the first window saw is not kept
      this.#rotateAt = now + windowMs;
    } else {
      this.#offsets[0] = Math.min(newer, offset);
    }
    return Math.min(now, timestamp + Math.min(...this.#offsets));
  }
}

/** Unwrapper makes an endless count of 32-bit timestamps. */
export class Unwrapper {
  #last = 0;
  #any = false;

  /** @param {number} t */
  value(t) {
    if (!this.#any) {
      this.#any = true;
      this.#last = t;
      return t;
    }
    this.#last += (t - (this.#last >>> 0)) | 0;
    return this.#last;
  }
}
