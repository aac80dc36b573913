// <live-pusher>: sends camera and microphone to a push URL.

import {openCamera, openMicrophone, openScreen, readAudio, readVideo, trouble} from "./capture.js";
import {Code, particular} from "./codes.js";
import {LiveElement, supported} from "./element.js";
import {awaited} from "./later.js";

/** @typedef {import("./capture.js").Reading} Reading */
/** @typedef {"camera" | "microphone"} Device */

/** Lines of the largest picture by mode; RTC: by codec and machine. */
const modes = Object.freeze({RTC: 0, SD: 360, HD: 540, FHD: 720});
/** How many pictures a second are sent of a picture that stands still. */
const stillEvery = 500;
const stillSize = {width: 640, height: 360};
const codecs = Object.freeze(["h264", "vp8", "vp9", "av1"]);

/**
 * Attributes: url, mode (RTC, SD, HD, FHD), autopush, muted, enable-camera, enable-mic, min-bitrate, max-bitrate (kbit/s), audio-quality (high,
 * low), aspect (16:9, 9:16, 4:3, 3:4), device-position (front, back), video-width, video-height, waiting-image, background-mute, mirror,
 * camera-id, mic-id, video-codec, server, carrier, compat.
 *
 * Events: `statechange` {code, message, detail}, `netstatus` {info}, `error` {errCode, errMsg}, `carrierchange` {carrier}.
 */
export class LivePusher extends LiveElement {
  static observedAttributes = [
    "url", "autopush", "muted", "enable-camera", "enable-mic", "min-bitrate", "max-bitrate", "mode", "mirror", "device-position", "camera-id", "mic-id",
    "waiting-image", "object-fit",
  ];

  #preview = document.createElement("video");
  /** @type {MediaStreamTrack | null} */ #camera = null;
  /** @type {MediaStreamTrack | null} */ #mic = null;
  /** @type {MediaStreamTrack | null} */ #screen = null;
  /** @type {Reading | null} */ #video = null;
  /** @type {Reading | null} */ #audio = null;
  #opening = {camera: 0, microphone: 0};
  #still = 0;
  #paused = false;
  #previewing = false;
  #coming = ""; // the URL that stands for one to come
  #onDevices = () => void this.#devicesChanged();
  #onHidden = () => this.#applyMute();

  constructor() {
    super();
    this.#preview.muted = true;
    this.#preview.playsInline = true;
    this.#preview.autoplay = true;
    this.root.append(this.#preview);
  }

  connectedCallback() {
    navigator.mediaDevices?.addEventListener("devicechange", this.#onDevices);
    document.addEventListener("visibilitychange", this.#onHidden);
    if (this.flag("autopush") && this.url && !this.running) void this.start();
  }

  disconnectedCallback() {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#onDevices);
    document.removeEventListener("visibilitychange", this.#onHidden);
    void this.stop();
  }

  /**
   * @param {string} name
   * @param {string | null} old
   * @param {string | null} value
   */
  attributeChangedCallback(name, old, value) {
    if (old === value) return;
    switch (name) {
      case "url":
      case "autopush":
        if (this.isConnected && this.flag("autopush") && this.url && !this.running) void this.start();
        break;
      case "muted":
      case "enable-mic":
        this.#applyMute();
        if (this.#active && name === "enable-mic") void this.#openMic();
        break;
      case "enable-camera":
      case "device-position":
      case "camera-id":
        if (this.#active) void this.#openCam();
        break;
      case "mic-id":
        if (this.#active) void this.#openMic(true);
        break;
      case "min-bitrate":
      case "max-bitrate":
      case "mode":
        this.post({type: "configure", change: this.#limits()});
        break;
      case "mirror":
        this.#preview.classList.toggle("mirror", this.flag("mirror"));
        break;
      case "object-fit":
        this.style.setProperty("--duet-fit", value);
        break;
    }
  }

  get url() {
    return this.getAttribute("url") ?? "";
  }
  set url(v) {
    this.setAttribute("url", v);
  }
  get muted() {
    return this.flag("muted");
  }
  set muted(on) {
    this.setFlag("muted", on);
  }
  get enableCamera() {
    return this.flag("enable-camera", true);
  }
  set enableCamera(on) {
    this.setFlag("enable-camera", on, true);
  }
  get enableMic() {
    return this.flag("enable-mic", true);
  }
  set enableMic(on) {
    this.setFlag("enable-mic", on, true);
  }

  /** The tracks that are captured now, for meters and previews. */
  get tracks() {
    return {camera: this.#camera, microphone: this.#mic, screen: this.#screen};
  }

  /** Whether the screen is sent in place of the camera. */
  get sharing() {
    return this.#screen !== null;
  }

  get #active() {
    return this.running || this.#previewing;
  }

  #limits() {
    const mode = /** @type {keyof typeof modes} */ ((this.getAttribute("mode") ?? "RTC").toUpperCase());
    return {
      minBitrate: this.number("min-bitrate", 200), maxBitrate: Math.max(this.number("max-bitrate", 1000), this.number("min-bitrate", 200)),
      maxHeight: modes[mode] ?? 0,
    };
  }

  /** Opens camera and microphone for the preview, without sending. */
  async startPreview() {
    if (!this.#usable()) return;
    this.#previewing = true;
    await Promise.all([this.#openCam(), this.#openMic()]);
  }

  /** Closes what startPreview opened, unless it is being sent. */
  stopPreview() {
    this.#previewing = false;
    if (!this.running) this.#closeDevices();
  }

  /** Connects and sends. Code 1002 tells that it has begun. */
  async start() {
    if (this.running) return;
    if (!this.url) {
      this.state(Code.connectionFailed);
      return;
    }
    if (!this.#usable()) return;
    const coming = awaited(this.url);
    if (coming) return void (await this.#startLater(this.url, coming));
    const chosen = this.getAttribute("video-codec") ?? "";
    const worker = this.openWorker({
      role: "push", url: this.url,
      sender: {
        ...this.#limits(), videoCodec: codecs.includes(chosen) ? /** @type {any} */ (chosen) : "", highAudio: this.getAttribute("audio-quality") !== "low",
      },
    });
    this.#paused = false;
    await Promise.all([worker, this.#openCam(), this.#openMic()]);
    if (this.worker) this.#send();
  }

  /** RTCRoom's pages look for a room when they are told 1002: camera and microphone are ready by then, and the push begins with the call. @param {string} url @param {Promise<string>} coming */
  async #startLater(url, coming) {
    await this.startPreview();
    this.state(Code.pushBegins, undefined, "ready: the push begins when somebody is in the room");
    this.#coming = url;
    const real = await coming;
    if (this.#coming !== url || this.url !== url) return; // it was stopped, or has another
    this.#coming = "";
    this.setAttribute("url", real);
    await this.start();
    this.stopPreview();
  }

  /** Ends the stream; the other side is told at once. */
  async stop() {
    if (this.#coming) {
      this.#coming = "";
      this.stopPreview();
    }
    if (!this.worker) {
      if (!this.#previewing) this.#closeDevices();
      return;
    }
    const worker = this.worker;
    this.#unread();
    if (!this.#previewing) this.#closeDevices();
    const over = new Promise((resolve) => {
      worker.addEventListener("message", (e) => e.data.type === "over" && resolve(undefined));
      setTimeout(resolve, 1000);
    });
    this.post({type: "close"});
    await over;
    if (this.worker === worker) this.closeWorker();
  }

  /** Sends the waiting image, or nothing, in place of the camera, and silence; the stream goes on. */
  pause() {
    this.#paused = true;
    this.#applyMute();
    this.#send();
  }

  resume() {
    this.#paused = false;
    this.#applyMute();
    this.#send();
  }

  /** Takes the other camera: front or back, or the next one in the list. */
  async switchCamera() {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput");
    const facing = this.#camera?.getSettings().facingMode;
    if (facing) {
      this.removeAttribute("camera-id");
      this.setAttribute("device-position", facing === "user" ? "back" : "front");
    } else if (cameras.length > 1) {
      const now = cameras.findIndex((c) => c.deviceId === this.#camera?.getSettings().deviceId);
      this.setAttribute("camera-id", cameras[(now + 1) % cameras.length].deviceId);
    }
  }

  /** Takes another camera or microphone. @param {{camera?: string, microphone?: string}} ids */
  setDevice({camera, microphone}) {
    if (camera !== undefined) this.setAttribute("camera-id", camera);
    if (microphone !== undefined) this.setAttribute("mic-id", microphone);
  }

  /** Sends a screen or window in place of the camera, until stopShare or until the user ends it. @returns {Promise<boolean>} */
  async shareScreen() {
    try {
      const track = await openScreen();
      this.#screen = track;
      track.addEventListener("ended", () => this.stopShare());
      this.state(Code.screenStarted);
      this.#send();
      return true;
    } catch (err) {
      this.state(Code.screenFailed, undefined, String(err));
      return false;
    }
  }

  stopShare() {
    if (!this.#screen) return;
    this.#screen.stop();
    this.#screen = null;
    this.#send();
  }

  /**
   * A picture of what is sent.
   * @param {string} [type] as of a blob
   * @returns {Promise<Blob>}
   */
  async snapshot(type = "image/png") {
    const v = this.#preview;
    if (!v.videoWidth) throw new DOMException("there is no picture", "InvalidStateError");
    const canvas = new OffscreenCanvas(v.videoWidth, v.videoHeight);
    canvas.getContext("2d")?.drawImage(v, 0, 0);
    return canvas.convertToBlob({type});
  }

  /** Turns the camera's light on or off. @returns {Promise<boolean>} whether there is one */
  async toggleTorch() {
    const track = this.#camera;
    const can = /** @type {any} */ (track?.getCapabilities?.())?.torch;
    if (!track || !can) return false;
    const on = /** @type {any} */ (track.getSettings()).torch === true;
    await track.applyConstraints({advanced: [/** @type {any} */ ({torch: !on})]});
    return true;
  }

  /** Sends a text within the stream, at most 2,000 bytes: the player gets it in order with the frames. @param {string} text */
  sendMessage(text) {
    this.post({type: "message", text});
  }

  #usable() {
    if (!supported()) this.fail(Code.videoEncoding, particular("unsupported"));
    else if (!navigator.mediaDevices) this.fail(Code.cameraDenied, particular("insecure"));
    else return true;
    return false;
  }

  #cameraWish() {
    const [w, h] = (this.getAttribute("aspect") ?? "16:9").split(":").map(Number);
    const portrait = h > w, long = 1280, short = Math.round((long * Math.min(w, h)) / Math.max(w, h)) || 720;
    const position = this.getAttribute("device-position");
    return {
      deviceId: this.getAttribute("camera-id") ?? undefined,
      position: position === "back" ? /** @type {const} */ ("back") : position === "front" ? /** @type {const} */ ("front") : undefined,
      width: this.number("video-width", portrait ? short : long), height: this.number("video-height", portrait ? long : short),
    };
  }

  /** Opens the camera that is wished for, or closes it. */
  async #openCam() {
    const turn = ++this.#opening.camera;
    const old = this.#camera;
    if (!this.enableCamera) {
      old?.stop();
      this.#camera = null;
      this.#send();
      return;
    }
    // Phones open one camera at a time.
    if (old) {
      old.stop();
      this.#camera = null;
    }
    try {
      const track = await openCamera(this.#cameraWish());
      if (turn !== this.#opening.camera || !this.#active) {
        track.stop();
        return;
      }
      this.#camera = track;
      track.addEventListener("ended", () => this.#unplugged("camera", track));
      this.state(Code.cameraOpened, undefined, track.label);
      this.#send();
    } catch (err) {
      if (turn === this.#opening.camera) this.#trouble("camera", err);
    }
  }

  /** Opens the microphone. @param {boolean} [again] also where one is open */
  async #openMic(again = false) {
    if (!this.enableMic) return; // a microphone that is off is muted, and stays open: people turn it on to speak
    if (this.#mic && !again) return;
    const turn = ++this.#opening.microphone;
    try {
      const track = await openMicrophone(this.getAttribute("mic-id") ?? undefined);
      if (turn !== this.#opening.microphone || !this.#active) {
        track.stop();
        return;
      }
      this.#mic?.stop();
      this.#mic = track;
      this.#audio?.stop();
      this.#audio = null;
      track.addEventListener("ended", () => this.#unplugged("microphone", track));
      this.#applyMute();
      this.#send();
    } catch (err) {
      if (turn === this.#opening.microphone) this.#trouble("microphone", err);
    }
  }

  /**
   * @param {Device} device
   * @param {unknown} err
   */
  #trouble(device, err) {
    const camera = device === "camera", why = trouble(err);
    const code = camera ? Code.cameraFailed : Code.microphoneFailed;
    if (why === "denied") this.fail(camera ? Code.cameraDenied : Code.microphoneDenied);
    const message = why === "missing" ? particular(camera ? "cameraMissing" : "microphoneMissing") : undefined;
    this.state(code, message, String(err));
    this.#send();
  }

  /**
   * @param {Device} device
   * @param {MediaStreamTrack} track
   */
  #unplugged(device, track) {
    if (device === "camera" && track === this.#camera) {
      this.#camera = null;
      this.state(Code.cameraFailed, particular("cameraUnplugged"));
    } else if (device === "microphone" && track === this.#mic) {
      this.#mic = null;
      this.#audio?.stop();
      this.#audio = null;
      this.state(Code.microphoneFailed, particular("microphoneUnplugged"));
    } else {
      return;
    }
    this.#send();
    void this.#devicesChanged();
  }

  /** A device that was missing may be there now. */
  async #devicesChanged() {
    if (!this.#active) return;
    const devices = await navigator.mediaDevices.enumerateDevices();
    if (!this.#camera && this.enableCamera && devices.some((d) => d.kind === "videoinput")) {
      this.#forget("camera-id", devices);
      await this.#openCam();
    }
    if (!this.#mic && this.enableMic && devices.some((d) => d.kind === "audioinput")) {
      this.#forget("mic-id", devices);
      await this.#openMic();
    }
  }

  /** A device that is not there any more is no wish. @param {string} attribute @param {MediaDeviceInfo[]} devices */
  #forget(attribute, devices) {
    const id = this.getAttribute(attribute);
    if (id && !devices.some((d) => d.deviceId === id)) {
      (attribute === "camera-id" ? this.#opening.camera++ : this.#opening.microphone++);
      const attributes = this.attributes;
      attributes.removeNamedItem(attribute);
    }
  }

  #applyMute() {
    const silent = this.muted || !this.enableMic || this.#paused || (document.hidden && this.flag("background-mute"));
    if (this.#mic) this.#mic.enabled = !silent;
    this.post({type: "configure", change: {muted: silent}});
  }

  /** What is sent now: the screen, the camera, a picture that stands still, or nothing. */
  #send() {
    const track = this.#paused ? null : this.#screen ?? this.#camera;
    this.#show(this.#screen ?? this.#camera);
    if (!this.worker) return;
    this.#video?.stop();
    this.#video = null;
    clearInterval(this.#still);
    const compat = this.flag("compat");
    // The preview goes on with the track itself; what is read is a copy, so that stopping one leaves the other alone.
    if (track && track.readyState === "live") this.#video = readVideo(track, this.worker, compat);
    else this.#sendStill();
    if (this.#mic && !this.#audio) {
      const worker = this.worker;
      this.#audio = {stop: () => {}};
      void readAudio(this.#mic, worker, compat).then((reading) => {
        if (this.worker === worker) this.#audio = reading;
        else reading.stop();
      });
    }
    this.#applyMute();
  }

  /** Sends the waiting image, twice a second. */
  #sendStill() {
    const src = this.getAttribute("waiting-image");
    if (!src) return;
    const image = new Image();
    image.crossOrigin = "anonymous";
    image.src = src;
    const canvas = new OffscreenCanvas(stillSize.width, stillSize.height);
    const context = canvas.getContext("2d");
    const send = () => {
      if (!this.worker || !image.complete || !image.naturalWidth || !context) return;
      const scale = Math.min(canvas.width / image.naturalWidth, canvas.height / image.naturalHeight);
      const w = image.naturalWidth * scale, h = image.naturalHeight * scale;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
      const frame = new VideoFrame(canvas, {timestamp: Math.round(performance.now() * 1000)});
      this.post({type: "videoFrame", frame}, [frame]);
    };
    this.#still = setInterval(send, stillEvery);
  }

  /** @param {MediaStreamTrack | null} track */
  #show(track) {
    const shown = /** @type {MediaStream | null} */ (this.#preview.srcObject)?.getVideoTracks()[0] ?? null;
    this.#preview.classList.toggle("off", !track);
    if (shown === track) return;
    this.#preview.srcObject = track ? new MediaStream([track]) : null;
  }

  #unread() {
    this.#video?.stop();
    this.#audio?.stop();
    this.#video = this.#audio = null;
    clearInterval(this.#still);
  }

  #closeDevices() {
    this.#opening.camera++;
    this.#opening.microphone++;
    for (const t of [this.#camera, this.#mic, this.#screen]) t?.stop();
    this.#camera = this.#mic = this.#screen = null;
    this.#show(null);
  }

  /** @param {number} code @param {string} text */
  ended(code, text) {
    this.#unread();
    if (!this.#previewing) this.#closeDevices();
    if (code !== 0) this.fail(code);
    this.emit("close", {code, text});
  }
}

customElements.define("live-pusher", LivePusher);
