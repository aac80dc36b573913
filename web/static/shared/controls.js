// The buttons of a call (microphone, camera, screen, devices) and what is said about its network.

import {particular} from "../sdk/codes.js";
import {icon} from "./icons.js";
import {el, make, t, write} from "./ui.js";

/** netQualityLevel from which people are told. */
const poor = 4;
/** A hint stays so long after what it is about. */
const hintStays = 6_000;
/** Codes of pusher and player that people can do something about, or wonder about. */
const told = new Set([1101, 1102, 2103, 2105, -1301, -1302, -1303, -1304, -1307, -1308, -2301, 3002, 3003]);

/** Lists of devices for selects. @param {MediaDeviceKind} kind @returns {Promise<MediaDeviceInfo[]>} */
async function devices(kind) {
  const list = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  return list.filter((d) => d.kind === kind && d.deviceId);
}

/**
 * Fills a select with devices; where there is no choice it is hidden.
 * @param {string} id @param {MediaDeviceKind} kind @param {string} now the one in use
 */
export async function fillDevices(id, kind, now) {
  const select = /** @type {HTMLSelectElement} */ (el(id)), list = await devices(kind);
  select.replaceChildren(...list.map((d, i) => make("option", {value: d.deviceId, selected: d.deviceId === now}, d.label || `${t(kind)} ${i + 1}`)));
  select.disabled = list.length === 0;
  if (list.length === 0) select.append(make("option", {value: ""}, t("no_device")));
}

/** How loud a track is, from 0 to 1, some 15 times a second. @param {MediaStreamTrack} track @param {(level: number) => void} tell @returns {() => void} ends it */
export function level(track, tell) {
  const context = new AudioContext(), meter = context.createAnalyser(), samples = new Float32Array(1024);
  meter.fftSize = 1024;
  context.createMediaStreamSource(new MediaStream([track])).connect(meter);
  const timer = setInterval(() => {
    meter.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((s, v) => s + v * v, 0) / samples.length);
    tell(Math.min(1, Math.max(0, 1 + Math.log10(rms + 1e-6) / 2.5))); // -50 dB ⇒ 0, full ⇒ 1, as ears have it
  }, 66);
  return () => {
    clearInterval(timer);
    void context.close();
  };
}

/**
 * The call's buttons: #mute, #camera, #share, #devices with the dialog #device-dialog.
 * @param {any} pusher
 * @returns {() => void} writes their texts anew
 */
export function controls(pusher) {
  const set = (/** @type {string} */ id, /** @type {string} */ picture, /** @type {string} */ text, /** @type {boolean} */ pressed) => {
    const b = el(id);
    b.replaceChildren(icon(picture), t(text));
    b.setAttribute("aria-pressed", String(pressed));
  };
  const words = () => {
    set("mute", pusher.muted ? "mic-off" : "mic", pusher.muted ? "unmute" : "mute", pusher.muted);
    set("camera", pusher.enableCamera ? "cam" : "cam-off", pusher.enableCamera ? "camera_off" : "camera_on", !pusher.enableCamera);
    set("share", "screen", pusher.sharing ? "share_stop" : "share", Boolean(pusher.sharing));
  };
  el("mute").addEventListener("click", () => {
    pusher.muted = !pusher.muted;
    words();
  });
  el("camera").addEventListener("click", () => {
    pusher.enableCamera = !pusher.enableCamera;
    words();
  });
  el("share").hidden = !navigator.mediaDevices?.getDisplayMedia;
  el("share").addEventListener("click", async () => {
    if (pusher.sharing) {
      pusher.stopShare();
    } else if (await pusher.shareScreen()) {
      pusher.tracks.screen?.addEventListener("ended", () => setTimeout(words));
    }
    words();
  });
  const dialog = /** @type {HTMLDialogElement} */ (el("device-dialog"));
  el("devices").addEventListener("click", async () => {
    const {camera, microphone} = pusher.tracks;
    await Promise.all([
      fillDevices("talk-camera", "videoinput", camera?.getSettings().deviceId ?? ""), fillDevices("talk-mic", "audioinput", microphone?.getSettings().deviceId ?? ""),
    ]);
    dialog.showModal();
  });
  const change = (/** @type {string} */ id, /** @type {"camera" | "microphone"} */ what) =>
    el(id).addEventListener("change", (e) => pusher.setDevice({[what]: /** @type {HTMLSelectElement} */ (e.target).value}));
  change("talk-camera", "camera");
  change("talk-mic", "microphone");
  el("device-close").addEventListener("click", () => dialog.close());
  return words;
}

/**
 * Says what is the matter with picture and sound, in #hint: one sentence, the latest.
 * @param {any} pusher @param {any} player
 * @returns {(text: string, stays?: boolean) => void} says something else there; stays: until something else is said
 */
export function hints(pusher, player) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  const say = (/** @type {string} */ text, stays = false) => {
    clearTimeout(timer);
    write("hint", text);
    if (!stays) timer = setTimeout(() => write("hint", ""), hintStays);
  };
  for (const e of [pusher, player]) {
    e.addEventListener("statechange", (/** @type {CustomEvent} */ ev) => {
      if (told.has(ev.detail.code)) say(ev.detail.message);
    });
    e.addEventListener("error", (/** @type {CustomEvent} */ ev) => say(ev.detail.errMsg, true));
  }
  pusher.addEventListener("netstatus", (/** @type {CustomEvent} */ e) => {
    if (e.detail.info.netQualityLevel >= poor) say(t("poor_up"));
  });
  player.addEventListener("netstatus", (/** @type {CustomEvent} */ e) => {
    if (e.detail.info.netQualityLevel >= poor) say(t("poor_down"));
  });
  player.addEventListener("blocked", () => {
    say(particular("soundBlocked"), true);
    document.addEventListener("pointerdown", () => {
      player.resume();
      say("");
    }, {once: true});
  });
  return say;
}

/** @param {number} q netQualityLevel @returns {string} as a word */
export const quality = (q) => t(`quality_${Math.max(0, Math.min(6, Math.round(q || 0)))}`);
