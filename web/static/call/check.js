// Before the call: is there a picture, is there sound, and if not, what helps.

import {codeText, particular} from "../sdk/codes.js";
import {supported} from "../sdk/element.js";
import {checkNetwork} from "../sdk/netcheck.js";
import {fillDevices, level} from "../shared/controls.js";
import {el, t, write} from "../shared/ui.js";

/** @type {MediaStreamTrack | null} */ let camera = null;
/** @type {MediaStreamTrack | null} */ let mic = null;
let turn = 0;
/** @type {() => void} */ let quiet = () => undefined;
/** What is the matter, as functions: the language may change. @type {(() => string)[]} */ let matters = [];

const selected = (/** @type {string} */ id) => /** @type {HTMLSelectElement} */ (el(id)).value;

/** The devices that were chosen, for live-pusher. */
export const chosen = () => ({camera: selected("check-camera"), microphone: selected("check-mic")});

/** @param {"video" | "audio"} kind @param {string} id @returns {Promise<MediaStreamTrack | null>} */
async function open(kind, id) {
  const video = kind === "video", wish = id ? {deviceId: {ideal: id}} : {};
  try {
    const stream = await navigator.mediaDevices.getUserMedia({[kind]: video ? {...wish, width: {ideal: 1280}, height: {ideal: 720}} : wish});
    return stream.getTracks()[0] ?? null;
  } catch (e) {
    const name = /** @type {Error} */ (e).name;
    if (name === "NotAllowedError" || name === "SecurityError") matters.push(() => codeText(video ? 10001 : 10002));
    else if (name === "NotFoundError") matters.push(() => particular(video ? "cameraMissing" : "microphoneMissing"));
    else matters.push(() => codeText(video ? -1301 : -1302));
    return null;
  }
}

/** What the network is like, as a function. @type {() => string} */ let network = () => t("net_checking");

/** The look at it, until it is over. @type {AbortController | null} */ let looking = null;
let looked = false;

/** Looks at the network, once. */
async function lookAtNetwork() {
  if (looked || looking) return;
  const c = (looking = new AbortController());
  try {
    const {udp, tcp} = await checkNetwork(undefined, c.signal);
    looked = true;
    const way = udp.ok ? udp : tcp;
    const values = {rtt: Math.round(way.rtt), loss: Math.round(100 * way.loss), rate: (way.rate / 1e6).toFixed(1)};
    const poor = way.ok && (way.rtt > 300 || way.loss > 0.15 || way.rate < 500_000);
    network = () => (way.ok ? t(udp.ok ? "net_udp" : "net_tcp", values) + (poor ? " " + t("net_poor") : "") : t("err_unreachable"));
  } catch {
    if (!c.signal.aborted) network = () => t("err_unreachable");
  } finally {
    if (looking === c) looking = null;
  }
  write("network-check", network());
}

/** Opens camera and microphone and shows them. A call is possible without either, and the page says so. */
export async function startCheck() {
  stopCheck();
  void lookAtNetwork();
  const mine = ++turn;
  matters = [];
  const usable = navigator.mediaDevices && supported();
  el("begin").toggleAttribute("disabled", !usable);
  if (!usable) {
    matters.push(() => particular(navigator.mediaDevices ? "unsupported" : "insecure"));
  } else {
    const {camera: wantedCamera, microphone: wantedMic} = chosen();
    // One after the other: browsers ask for both in turn, and only one may be refused.
    const video = await open("video", wantedCamera), audio = await open("audio", wantedMic);
    if (mine !== turn) {
      for (const track of [video, audio]) track?.stop();
      return;
    }
    [camera, mic] = [video, audio];
    await Promise.all([
      fillDevices("check-camera", "videoinput", camera?.getSettings().deviceId ?? ""), fillDevices("check-mic", "audioinput", mic?.getSettings().deviceId ?? ""),
    ]);
  }
  /** @type {HTMLVideoElement} */ (el("preview")).srcObject = camera ? new MediaStream([camera]) : null;
  el("no-picture").hidden = camera !== null;
  el("retry").hidden = matters.length === 0 || !usable;
  const meter = /** @type {HTMLMeterElement} */ (el("level"));
  meter.value = 0;
  if (mic) quiet = level(mic, (v) => (meter.value = v));
  checkWords();
}

/** Lets go of devices and network: the call opens them anew. */
export function stopCheck() {
  looking?.abort();
  looking = null;
  turn++;
  quiet();
  quiet = () => undefined;
  for (const track of [camera, mic]) track?.stop();
  camera = mic = null;
  /** @type {HTMLVideoElement} */ (el("preview")).srcObject = null;
}

/** Writes what is the matter anew. */
export function checkWords() {
  const without = matters.length && navigator.mediaDevices ? " " + t("call_without") : "";
  write("network-check", network());
  write("trouble", matters.map((m) => m()).join(" ") + without);
}

for (const id of ["check-camera", "check-mic"]) el(id).addEventListener("change", () => void startCheck());
el("retry").addEventListener("click", () => void startCheck());
