// Sounds that the pages make themselves: a ring tone, and a chime.

/** @param {AudioContext} audio @param {number} hertz @param {number} from @param {number} length @param {number} loud */
function tone(audio, hertz, from, length, loud) {
  const wave = audio.createOscillator(), volume = audio.createGain();
  wave.frequency.value = hertz;
  volume.gain.setValueAtTime(0, from);
  volume.gain.linearRampToValueAtTime(loud, from + 0.02);
  volume.gain.setTargetAtTime(0, from + length, 0.08);
  wave.connect(volume).connect(audio.destination);
  wave.start(from);
  wave.stop(from + length + 0.6);
}

const ringEvery = 2_600; // ms

/** A ring tone. @returns {() => void} ends it */
export function ring() {
  const audio = new AudioContext();
  const once = () => {
    for (const [i, hertz] of [659.3, 523.3, 659.3, 523.3].entries()) tone(audio, hertz, audio.currentTime + 0.05 + 0.22 * i, 0.14, 0.14);
  };
  once();
  const timer = setInterval(once, ringEvery);
  return () => {
    clearInterval(timer);
    void audio.close();
  };
}

/** Somebody is there. */
export function chime() {
  const audio = new AudioContext();
  tone(audio, 523.3, audio.currentTime + 0.02, 0.12, 0.1);
  tone(audio, 784, audio.currentTime + 0.18, 0.2, 0.1);
  setTimeout(() => void audio.close(), 1_500);
}
