// Camera, microphone and screen of the page, as streams of frames for the worker: MediaStreamTrackProcessor where there is one, else a <video>
// and an AudioWorklet.

/** Why a device could not be had. @typedef {"denied" | "missing" | "busy" | "insecure" | "failed"} Trouble */

/**
 * @typedef {object} CameraWish
 * @property {string} [deviceId]
 * @property {"front" | "back"} [position]
 * @property {number} width
 * @property {number} height
 */

/**
 * What an error of getUserMedia means.
 * @param {unknown} err
 * @returns {Trouble}
 */
export function trouble(err) {
  switch (/** @type {any} */ (err)?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return navigator.mediaDevices ? "failed" : "insecure";
  }
}

/**
 * Opens a camera.
 * @param {CameraWish} wish
 * @returns {Promise<MediaStreamTrack>}
 */
export async function openCamera(wish) {
  /** @type {MediaTrackConstraints} */
  const video = {width: {ideal: wish.width}, height: {ideal: wish.height}, frameRate: {ideal: 30, max: 30}};
  if (wish.deviceId) video.deviceId = {exact: wish.deviceId};
  else if (wish.position) video.facingMode = wish.position === "back" ? "environment" : "user";
  const stream = await navigator.mediaDevices.getUserMedia({video});
  return stream.getVideoTracks()[0];
}

/**
 * Opens a microphone, with echo and noise taken away.
 * @param {string} [deviceId]
 * @returns {Promise<MediaStreamTrack>}
 */
export async function openMicrophone(deviceId) {
  /** @type {MediaTrackConstraints} */
  const audio = {echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: {ideal: 1}};
  if (deviceId) audio.deviceId = {exact: deviceId};
  const stream = await navigator.mediaDevices.getUserMedia({audio});
  return stream.getAudioTracks()[0];
}

/**
 * Asks the user for a screen or window.
 * @returns {Promise<MediaStreamTrack>}
 */
export async function openScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({video: {frameRate: {ideal: 15, max: 30}}, audio: false});
  const track = stream.getVideoTracks()[0];
  track.contentHint = "detail";
  return track;
}

/** A source that is being read. @typedef {{stop: () => void}} Reading */

/**
 * Reads a track's frames into the worker.
 * @param {MediaStreamTrack} track
 * @param {Worker} worker
 * @param {boolean} compat reads it the way that every browser has
 * @returns {Reading}
 */
export function readVideo(track, worker, compat) {
  const Processor = /** @type {any} */ (globalThis).MediaStreamTrackProcessor;
  if (Processor && !compat) {
    const stream = new Processor({track, maxBufferSize: 2}).readable;
    worker.postMessage({type: "video", stream}, [stream]);
    return {stop: () => worker.postMessage({type: "video", stream: null})};
  }
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  let on = true, last = -1;
  // A page that is not seen gets no animation frames: a slow timer goes on in their place.
  /** @param {number} at ms */
  const take = (at) => {
    if (!on || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || at - last < 20) return;
    last = at;
    const frame = new VideoFrame(video, {timestamp: Math.round(at * 1000)});
    worker.postMessage({type: "videoFrame", frame}, [frame]);
  };
  /**
   * @param {number} now
   * @param {VideoFrameCallbackMetadata} meta
   */
  const each = (now, meta) => {
    if (!on) return;
    take(meta.captureTime ?? now);
    video.requestVideoFrameCallback(each);
  };
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(each);
  const timer = setInterval(() => {
    if (document.hidden || !("requestVideoFrameCallback" in video)) take(performance.now());
  }, 100);
  void video.play().catch(() => {});
  return {
    stop: () => {
      on = false;
      clearInterval(timer);
      video.srcObject = null;
      worker.postMessage({type: "video", stream: null});
    },
  };
}

/**
 * Reads a track's sound into the worker.
 * @param {MediaStreamTrack} track
 * @param {Worker} worker
 * @param {boolean} compat reads it the way that every browser has
 * @returns {Promise<Reading>}
 */
export async function readAudio(track, worker, compat) {
  const Processor = /** @type {any} */ (globalThis).MediaStreamTrackProcessor;
  if (Processor && !compat) {
    const stream = new Processor({track}).readable;
    worker.postMessage({type: "audio", stream}, [stream]);
    return {stop: () => worker.postMessage({type: "audio", stream: null})};
  }
  const context = new AudioContext({sampleRate: 48000});
  await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const node = new AudioWorkletNode(context, "duet-capture", {numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit"});
  node.port.onmessage = (e) => {
    const {samples, sampleRate, timestamp} = e.data;
    worker.postMessage({type: "samples", samples, sampleRate, channels: 1, timestamp}, [samples.buffer]);
  };
  source.connect(node);
  void context.resume().catch(() => {});
  return {
    stop: () => {
      node.port.onmessage = null;
      source.disconnect();
      void context.close().catch(() => {});
      worker.postMessage({type: "audio", stream: null});
    },
  };
}
