// Sound that waits to be heard, and its time made longer or shorter so that it is heard when it should be. Whole periods of the signal are
// taken out or put in where it is most like itself, and faded over: the pitch stays, and there is no click. Nothing here knows of audio
// devices; times are handed in, in ms.
//
//	push ──▶ pieces, by capture time ──▶ 10 ms at a time: copied, shortened, lengthened, or made up ──▶ pull

/** Lags that are tried, in seconds: voices from 80 to 400 Hz. */
const leastLag = 0.0025;
const mostLag = 0.0125;
/** What is compared and faded over. */
const fadeTime = 0.005;
/** Taken from what waits at a time. */
const blockTime = 0.01;
/** Further from where it should be than this, in ms, time is stretched, until it is nearer than that. */
const startOff = 12;
const stopOff = 4;
/** Beyond this it is heard sooner: more often a period. */
const hurryOff = 60;
const calmEvery = 100;
const hurryEvery = 30;
/** Beyond this it jumps. */
const jumpOff = 250;
/** Signals less alike than this are left alone while there is no hurry. */
const alike = 0.5;
/** Below this mean square it is silence, and every lag is as good. */
const silent = 1e-7;
/** A gap in what comes, in ms: a smaller one is an inexact clock, a larger one is another time. */
const gapLeast = 8;
const gapMost = 1000;
/** What is made up for what is missing fades within this time. */
const fadeOut = 0.06;
/** More than this is never kept. */
const longest = 3000;

/** @typedef {{samples: Float32Array[], captured: number, at: number}} Piece at: samples of it that are gone */

export class StretchBuffer {
  #rate;
  #channels;
  /** @type {Piece[]} */ #pieces = [];
  #waiting = 0; // samples
  #end = NaN; // capture time after the last sample
  /** @type {Float32Array[]} */ #ready;
  #readyAt = 0;
  #readyLength = 0;
  /** @type {Float32Array[]} the newest that was heard, to make up from */ #past;
  #started = false;
  #stretching = false;
  #operatedAt = -Infinity;
  #missing = 0; // samples made up since the last real one
  #period = 0; // of what is made up
  #stats = {gaps: 0, stretched: 0, concealed: 0};

  /**
   * @param {number} rate of what is pulled, in Hz
   * @param {number} [channels]
   */
  constructor(rate, channels = 2) {
    this.#rate = rate;
    this.#channels = channels;
    const longestBlock = Math.ceil((blockTime + mostLag + 2 * fadeTime) * rate);
    this.#ready = this.#make(2 * longestBlock);
    this.#past = this.#make(Math.ceil(2 * (mostLag + fadeTime) * rate));
  }

  /** @param {number} n */
  #make(n) {
    return Array.from({length: this.#channels}, () => new Float32Array(n));
  }

  /** Counts: gaps heard, ms stretched in all, ms made up. */
  get stats() {
    return {...this.#stats};
  }

  /** ms that wait. */
  get buffered() {
    return (this.#waiting * 1000) / this.#rate;
  }

  /** When the sample that comes next was captured; NaN if there is none. */
  get playhead() {
    const first = this.#pieces[0];
    if (!first) return this.#end;
    return first.captured + ((first.at - this.#readyLength) * 1000) / this.#rate;
  }

  /**
   * Takes a piece of sound.
   * @param {Float32Array[]} channels one is heard on all
   * @param {number} rate of these samples
   * @param {number} captured of the first one
   */
  push(channels, rate, captured) {
    const source = rate === this.#rate ? channels : channels.map((c) => resample(c, rate, this.#rate));
    let samples = Array.from({length: this.#channels}, (_, i) => source[Math.min(i, source.length - 1)]);
    const off = captured - this.#end;
    if (Number.isNaN(off)) {
      // The first.
    } else if (off < -gapMost || off > gapMost) {
      this.#pieces = [];
      this.#waiting = 0;
      this.#started = false;
    } else if (off < -gapLeast - 20) {
      return; // it came before
    } else if (off > gapLeast) {
      samples = this.#fill(off, samples);
      captured = this.#end; // it is where it ends now
    } else {
      captured = this.#end + off / 16; // clocks are estimates: the pieces follow on each other, and drift with them
    }
    this.#add(samples, captured);
    while (this.buffered > longest) this.#drop(this.#pieces[0].samples[0].length - this.#pieces[0].at);
  }

  /**
   * @param {Float32Array[]} samples
   * @param {number} captured
   */
  #add(samples, captured) {
    this.#pieces.push({samples, captured, at: 0});
    this.#waiting += samples[0].length;
    this.#end = captured + (samples[0].length * 1000) / this.#rate;
  }

  /**
   * Makes up what did not come: the last period again and again, fading, and over into what came after it.
   * @param {number} ms
   * @param {Float32Array[]} next
   * @returns {Float32Array[]} next, faded into
   */
  #fill(ms, next) {
    const n = Math.round((ms * this.#rate) / 1000), fade = fadeOut * this.#rate;
    const over = Math.min(next[0].length, Math.round(fadeTime * this.#rate));
    const made = this.#make(n + over), last = this.#pieces.at(-1)?.samples ?? this.#past;
    const length = last[0].length, period = this.#periodOf(last);
    for (let c = 0; c < this.#channels; c++) {
      for (let i = 0; i < n + over && i < fade; i++) made[c][i] = last[c][length - period + (i % period)] * (1 - i / fade);
    }
    this.#stats.concealed += ms;
    this.#stats.gaps++;
    this.#add(made.map((c) => c.subarray(0, n)), this.#end);
    return next.map((samples, c) => {
      const out = samples.slice();
      for (let i = 0; i < over; i++) {
        const w = (i + 0.5) / over;
        out[i] = made[c][n + i] * (1 - w) + samples[i] * w;
      }
      return out;
    });
  }

  /** The period at the end of some sound, in samples. @param {Float32Array[]} x */
  #periodOf(x) {
    const length = x[0].length, fade = Math.round(fadeTime * this.#rate), least = Math.round(leastLag * this.#rate);
    const most = Math.min(Math.round(mostLag * this.#rate), length - fade);
    if (most <= least) return Math.max(1, Math.min(length, least));
    return bestLag(x.map((c) => c.slice(length - most - fade).reverse()), least, most, fade).lag;
  }

  /** @param {number} n */
  #drop(n) {
    this.#waiting -= Math.min(n, this.#waiting);
    while (n > 0 && this.#pieces.length > 0) {
      const p = this.#pieces[0], left = p.samples[0].length - p.at;
      if (n < left) {
        p.at += n;
        return;
      }
      n -= left;
      this.#pieces.shift();
    }
  }

  /**
   * A copy of what comes next.
   * @param {number} n
   */
  #peek(n) {
    const out = this.#make(n);
    let done = 0;
    for (const p of this.#pieces) {
      const m = Math.min(n - done, p.samples[0].length - p.at);
      for (let c = 0; c < this.#channels; c++) out[c].set(p.samples[c].subarray(p.at, p.at + m), done);
      done += m;
      if (done >= n) break;
    }
    return out;
  }

  /**
   * Fills out with what is to be heard from `now` on, when what was captured `delay` before is to be heard.
   * @param {Float32Array[]} out
   * @param {number} now
   * @param {number} delay
   */
  pull(out, now, delay) {
    const n = out[0].length;
    for (let done = 0; done < n; ) {
      if (this.#readyLength === 0) this.#next(now + (done * 1000) / this.#rate, delay);
      const m = Math.min(n - done, this.#readyLength);
      for (let c = 0; c < out.length; c++) {
        out[c].set(this.#ready[Math.min(c, this.#channels - 1)].subarray(this.#readyAt, this.#readyAt + m), done);
      }
      this.#readyAt += m;
      this.#readyLength -= m;
      done += m;
    }
  }

  /**
   * Makes the next block ready.
   * @param {number} now
   * @param {number} delay
   */
  #next(now, delay) {
    const block = Math.round(blockTime * this.#rate);
    const off = this.playhead - (now - delay); // positive: it would be heard too soon
    if (!this.#started) {
      if (this.#waiting < block || Number.isNaN(off) || off > 0) {
        this.#emit(this.#make(block));
        return;
      }
      this.#started = true;
      if (off < -startOff) this.#drop(Math.min(Math.round((-off * this.#rate) / 1000), this.#waiting - block));
    } else if (off < -jumpOff && this.#waiting > 2 * block) {
      this.#drop(Math.min(Math.round((-off * this.#rate) / 1000), this.#waiting - 2 * block));
      this.#missing = Math.max(1, this.#missing); // faded over, as after something made up
      this.#stats.gaps++;
    } else if (off > jumpOff && off < 10 * jumpOff) {
      this.#conceal(block); // it is heard later from now on
      return;
    }
    if (this.#waiting < block) {
      this.#conceal(block);
      return;
    }
    if (this.#missing > 0) {
      this.#resume(block);
      return;
    }
    this.#stretching = Math.abs(off) > (this.#stretching ? stopOff : startOff);
    const hurry = Math.abs(off) > hurryOff;
    if (this.#stretching && now - this.#operatedAt >= (hurry ? hurryEvery : calmEvery) && this.#stretch(off > 0, hurry, Math.abs(off))) {
      this.#operatedAt = now;
      return;
    }
    const plain = this.#peek(block);
    this.#drop(block);
    this.#emit(plain);
  }

  /**
   * Puts a period in or takes one out. It does nothing where too little waits or nothing is alike.
   * @param {boolean} longer
   * @param {boolean} hurry
   * @param {number} off ms, at most so much
   * @returns {boolean}
   */
  #stretch(longer, hurry, off) {
    const fade = Math.round(fadeTime * this.#rate), most = Math.round(mostLag * this.#rate);
    if (this.#waiting < most + fade) return false;
    const x = this.#peek(most + fade);
    const {lag, likeness} = bestLag(x, Math.round(leastLag * this.#rate), most, fade);
    if (likeness < alike && !hurry) return false;
    if (!hurry && (lag * 1000) / this.#rate > off + stopOff) return false;
    const out = this.#make(longer ? lag + fade : fade);
    for (let c = 0; c < this.#channels; c++) {
      const at = longer ? lag : 0;
      if (longer) out[c].set(x[c].subarray(0, lag));
      for (let i = 0; i < fade; i++) {
        const w = (i + 0.5) / fade, here = x[c][i], there = x[c][i + lag];
        out[c][at + i] = longer ? there * (1 - w) + here * w : here * (1 - w) + there * w;
      }
    }
    this.#drop(longer ? fade : lag + fade);
    this.#stats.stretched += (lag * 1000) / this.#rate;
    this.#emit(out);
    return true;
  }

  /** Makes a block up: the last period again, fading to silence. @param {number} n */
  #conceal(n) {
    const past = this.#past, length = past[0].length;
    if (this.#missing === 0) {
      this.#stats.gaps++;
      this.#period = this.#periodOf(past);
    }
    const out = this.#make(n), fade = fadeOut * this.#rate;
    for (let c = 0; c < this.#channels; c++) {
      for (let i = 0; i < n; i++) {
        const k = this.#missing + i;
        if (k >= fade) break;
        out[c][i] = past[c][length - this.#period + (k % this.#period)] * (1 - k / fade);
      }
    }
    this.#missing += n;
    this.#stats.concealed += (n * 1000) / this.#rate;
    this.#emit(out, false);
  }

  /** Fades from what was made up into what came. @param {number} n */
  #resume(n) {
    const out = this.#peek(n), past = this.#past, length = past[0].length, fade = fadeOut * this.#rate;
    const period = this.#period || Math.round(leastLag * this.#rate);
    const over = Math.min(n, Math.round(fadeTime * this.#rate));
    for (let c = 0; c < this.#channels; c++) {
      for (let i = 0; i < over; i++) {
        const k = this.#missing + i, w = (i + 0.5) / over;
        const made = k < fade ? past[c][length - period + (k % period)] * (1 - k / fade) : 0;
        out[c][i] = made * (1 - w) + out[c][i] * w;
      }
    }
    this.#missing = 0;
    this.#drop(n);
    this.#emit(out);
  }

  /**
   * @param {Float32Array[]} block
   * @param {boolean} [real] it is kept to make up from
   */
  #emit(block, real = true) {
    const n = block[0].length;
    for (let c = 0; c < this.#channels; c++) {
      this.#ready[c].set(block[c]);
      if (!real) continue;
      const past = this.#past[c];
      if (n >= past.length) past.set(block[c].subarray(n - past.length));
      else {
        past.copyWithin(0, n);
        past.set(block[c], past.length - n);
      }
    }
    this.#readyAt = 0;
    this.#readyLength = n;
  }
}

/**
 * The lag at which the beginning of x is most like what follows, by normalised correlation over all channels.
 * @param {Float32Array[]} x at least most + width samples
 * @param {number} least
 * @param {number} most
 * @param {number} width that is compared
 */
function bestLag(x, least, most, width) {
  /** @param {number} lag @param {number} by */
  const like = (lag, by) => {
    let xy = 0, xx = 0, yy = 0;
    for (const c of x) {
      for (let i = 0; i < width; i += by) {
        xy += c[i] * c[i + lag];
        xx += c[i] * c[i];
        yy += c[i + lag] * c[i + lag];
      }
    }
    if (xx + yy < silent * width) return 1;
    return xy / Math.sqrt(xx * yy + 1e-12);
  };
  let lag = most, likeness = -1;
  for (let l = least; l <= most; l += 4) {
    const v = like(l, 4);
    if (v > likeness) [lag, likeness] = [l, v];
  }
  likeness = -1;
  const near = lag;
  for (let l = Math.max(least, near - 4); l <= Math.min(most, near + 4); l++) {
    const v = like(l, 1);
    if (v > likeness) [lag, likeness] = [l, v];
  }
  return {lag, likeness};
}

/**
 * Samples at another rate, by straight lines: good enough for the few streams that are not at the device's own.
 * @param {Float32Array} x
 * @param {number} from
 * @param {number} to
 */
function resample(x, from, to) {
  const n = Math.round((x.length * to) / from), out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const at = Math.min((i * from) / to, x.length - 1), k = Math.floor(at), w = at - k;
    out[i] = x[k] * (1 - w) + (x[k + 1] ?? x[k]) * w;
  }
  return out;
}
