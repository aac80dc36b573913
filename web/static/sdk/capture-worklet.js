// A microphone in the audio thread, for browsers that have no other way to its samples.

/** Samples that are handed on at a time: 10 ms of 48 kHz. */
const piece = 480;

/** @type {any} */ const scope = globalThis;

class Capture extends scope.AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(piece);
    this.length = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const input = inputs[0]?.[0];
    const n = input?.length ?? 128;
    for (let i = 0; i < n; i++) {
      this.samples[this.length++] = input ? input[i] : 0;
      if (this.length < piece) continue;
      const end = scope.currentTime + (i + 1) / scope.sampleRate;
      this.port.postMessage({samples: this.samples, sampleRate: scope.sampleRate, timestamp: (end - piece / scope.sampleRate) * 1e6}, [this.samples.buffer]);
      this.samples = new Float32Array(piece);
      this.length = 0;
    }
    return true;
  }
}

scope.registerProcessor("duet-capture", Capture);
