// The caller's page: check of devices, waiting, consent, the call.
//
//   /call/?queue=main          a public queue, or a server on which nobody is set up
//   /call/#link=SECRET         a one-time link (duet link call NAME)

import "../sdk/elements.js";
import {Room, api} from "../sdk/room.js";
import {chat, el, languageSwitch, mediaButtons, show, t, translate, why} from "../shared/ui.js";

const me = /** @type {any} */ (el("me")), them = /** @type {any} */ (el("them"));
const query = new URLSearchParams(location.search);
const given = new URLSearchParams(location.hash.slice(1)); // a fragment is not sent to the server
const notice = el("notice"), hint = el("hint");

/** @type {Room | null} */ let room = null;
let call = "";
let token = "";
let expires = 0;
/** @type {any} */ let place = null;
/** @type {MediaStream | null} */ let preview = null;

const words = mediaButtons(me);
translate();
words();
languageSwitch(el("language"), () => {
  words();
  showPlace();
});
if (query.get("queue")) /** @type {HTMLInputElement} */ (el("queue")).value = query.get("queue") ?? "";
el("queue-label").hidden = query.has("queue") || given.has("link");

/** Picture and level before the call. A device that is missing is told, and the call is possible without. */
async function check() {
  try {
    preview = await navigator.mediaDevices.getUserMedia({video: true, audio: true});
  } catch (e) {
    notice.textContent = `${t("camera")}, ${t("microphone")}: ${/** @type {Error} */ (e).message}`;
    return;
  }
  /** @type {HTMLVideoElement} */ (el("preview")).srcObject = preview;
  const audio = new AudioContext(), meter = audio.createAnalyser(), samples = new Float32Array(meter.fftSize);
  audio.createMediaStreamSource(preview).connect(meter);
  const look = () => {
    if (!preview) return void audio.close();
    meter.getFloatTimeDomainData(samples);
    /** @type {HTMLMeterElement} */ (el("level")).value = Math.min(1, 4 * Math.sqrt(samples.reduce((s, v) => s + v * v, 0) / samples.length));
    return void requestAnimationFrame(look);
  };
  look();
}

function endCheck() {
  for (const track of preview?.getTracks() ?? []) track.stop();
  preview = null;
}

/** A user token: of a link, of a public queue, or, on a server without users, of anybody. @param {string} name @param {string} queue */
async function sign(name, queue) {
  const saved = JSON.parse(sessionStorage.getItem("duet-caller") ?? "null");
  if (saved && saved.expires > Date.now() + 5_000) return saved;
  let v;
  if (given.has("link")) {
    v = await api("POST", "/v1/links/redeem", {secret: given.get("link")});
  } else {
    v = await api("POST", "/v1/guest", {queue, name}).catch((e) => {
      const user = `guest-${crypto.randomUUID().slice(0, 8)}`;
      return api("POST", "/v1/dev", {user, name, roles: ["caller"]}).catch(() => { throw e; });
    });
  }
  const got = {token: v.token, expires: Date.parse(v.expires), queue: v.queue || queue};
  sessionStorage.setItem("duet-caller", JSON.stringify(got));
  return got;
}

/** @param {string} name @param {string} queue */
async function begin(name, queue) {
  notice.textContent = "";
  const who = await sign(name, queue);
  [token, expires] = [who.token, who.expires];
  room = new Room({token: async () => {
    if (Date.now() > expires) throw new Error("the token has run out");
    return token;
  }});
  listen(room);
  await room.connect();
  if (!call) call = await room.joinQueue(who.queue);
  sessionStorage.setItem("duet-calling", who.queue);
  if (el("talk").hidden && el("consent").hidden) show("waiting");
}

/** @param {Room} r */
function listen(r) {
  r.attach(me, them);
  const messages = chat(r, () => call);
  const on = (/** @type {string} */ type, /** @type {(e: any) => void} */ f) => r.addEventListener(type, (e) => f(/** @type {CustomEvent} */ (e).detail));
  on("state", (s) => {
    const c = s.calls[0];
    if (!c) return;
    call = c.id;
    messages.clear();
    for (const m of c.messages ?? []) messages.add(m);
    record(c.record);
    if (c.state === "setup" || c.state === "connected") talk();
    else show("waiting");
  });
  on("queue.position", (e) => {
    place = e;
    showPlace();
  });
  on("call.ringing", (e) => (el("estimate").textContent = t("ringing", {name: e.name || e.user})));
  on("call.accepted", () => {
    endCheck();
    talk();
  });
  on("record.state", (e) => record(e.record));
  on("call.link-lost", (e) => (hint.textContent = t("lost", {name: e.name || e.user})));
  on("call.resumed", (e) => (hint.textContent = t("back", {name: e.name || e.user})));
  on("call.ended", (e) => {
    el("why").textContent = why(e, r.user);
    over();
  });
  on("offline", () => (notice.textContent = t("offline")));
  on("online", () => (notice.textContent = ""));
  on("closed", () => over());
  them.addEventListener("netstatus", (/** @type {any} */ e) => (hint.textContent = e.detail.info.netQualityLevel > 3 ? `${t("quality")}: ${e.detail.info.netQualityLevel}/6` : hint.textContent));
}

function talk() {
  if (el("consent").hidden) show("talk");
}

/** @param {any} r */
function record(r) {
  el("recording").hidden = r?.state !== "recording";
  if (r?.state === "asked") show("consent");
  else if (!el("consent").hidden) show("talk");
}

function showPlace() {
  if (!place) return;
  el("place").textContent = t("place", {n: place.position, of: place.of});
  const seconds = place.estimate;
  el("estimate").textContent = seconds === undefined ? t("nobody") : seconds < 60 ? t("estimate_short") : t("estimate", {min: Math.ceil(seconds / 60)});
}

function over() {
  call = "";
  place = null;
  sessionStorage.removeItem("duet-calling");
  room?.close();
  room = null;
  el("recording").hidden = true;
  show("over");
}

const failed = (/** @type {any} */ e) => (notice.textContent = e.message);
el("start").addEventListener("submit", (e) => {
  e.preventDefault();
  begin(/** @type {HTMLInputElement} */ (el("name")).value.trim(), /** @type {HTMLInputElement} */ (el("queue")).value.trim()).catch(failed);
});
for (const id of ["leave", "hangup"]) el(id).addEventListener("click", () => room?.hangUp(call).catch(failed));
el("agree").addEventListener("click", () => room?.consent(call, true).catch(failed));
el("refuse").addEventListener("click", () => room?.consent(call, false).catch(failed));
el("again").addEventListener("click", () => {
  show("check");
  void check();
});

if (sessionStorage.getItem("duet-calling")) begin("", sessionStorage.getItem("duet-calling") ?? "").catch(failed); // the page was loaded again in the middle
else void check();
