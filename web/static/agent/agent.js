// The agent's page: sign in, open the desk, take calls.

import "../sdk/elements.js";
import {Room, api} from "../sdk/room.js";
import {chat, el, languageSwitch, mediaButtons, show, t, translate, why} from "../shared/ui.js";

const me = /** @type {any} */ (el("me")), them = /** @type {any} */ (el("them"));
const notice = el("notice"), hint = el("hint");

/** @type {Room} */ let room;
let call = "";
let offered = "";
let state = "CLOSE";
/** @type {any} */ let recording = {};
/** @type {() => void} */ let silence = () => undefined;
let token = "";

const words = mediaButtons(me);
translate();
words();
languageSwitch(el("language"), () => {
  words();
  showRoom();
});
const failed = (/** @type {any} */ e) => (notice.textContent = e.message);

/** A ring tone, made here. @returns {() => void} ends it */
function ring() {
  const audio = new AudioContext(), volume = audio.createGain();
  volume.gain.value = 0;
  volume.connect(audio.destination);
  for (const f of [440, 480]) {
    const o = audio.createOscillator();
    o.frequency.value = f;
    o.connect(volume);
    o.start();
  }
  for (let i = 0; i < 20; i++) {
    volume.gain.setTargetAtTime(0.08, audio.currentTime + 3 * i, 0.02);
    volume.gain.setTargetAtTime(0, audio.currentTime + 3 * i + 1, 0.02);
  }
  return () => void audio.close();
}

/** @param {string} user @param {string} password */
async function sign(user, password) {
  if (password) return (await api("POST", "/v1/login", {user, password})).token;
  return (await api("POST", "/v1/dev", {user, name: user, roles: ["agent"]})).token; // a server on which nobody is set up
}

/** @param {string} user @param {string} password */
async function begin(user, password) {
  notice.textContent = "";
  token = await sign(user, password);
  let used = false;
  room = new Room({token: async () => {
    if (used) token = password ? (await api("POST", "/v1/refresh")).token : await sign(user, "");
    used = true;
    return token;
  }});
  listen(room);
  await room.connect();
  el("who").textContent = room.name || room.user;
  sessionStorage.setItem("duet-agent", JSON.stringify({user, signed: Boolean(password)}));
  if (!el("sign").hidden) show("desk");
}

/** @param {Room} r */
function listen(r) {
  r.attach(me, them);
  const messages = chat(r, () => call);
  const on = (/** @type {string} */ type, /** @type {(e: any) => void} */ f) => r.addEventListener(type, (e) => f(/** @type {CustomEvent} */ (e).detail));
  on("state", (s) => {
    state = s.room?.state ?? "CLOSE";
    const c = s.calls.find((/** @type {any} */ c) => c.parties.some((/** @type {any} */ p) => p.user === r.user));
    const asked = s.calls.find((/** @type {any} */ c) => c.offered === r.user);
    if (c) {
      call = c.id;
      messages.clear();
      for (const m of c.messages ?? []) messages.add(m);
      record(c.record);
      show("talk");
    } else if (asked) {
      offer({call: asked.id, user: asked.caller, name: asked.name, note: asked.note});
    } else {
      call = s.room?.state === "WRAPUP" ? s.room.call : "";
      show(s.room?.state === "WRAPUP" ? "wrap" : "desk");
    }
    showRoom();
  });
  on("room.state", (e) => {
    if (e.user !== r.user) return;
    state = e.state;
    if (state === "IDLE" || state === "CLOSE") show("desk");
    else if (state === "WRAPUP") show("wrap");
    showRoom();
  });
  on("call.offered", offer);
  on("call.offer-ended", () => {
    silence();
    if (offered && !call) show("desk");
    offered = "";
  });
  on("call.accepted", (e) => {
    silence();
    if (e.user !== r.user) return;
    [call, offered] = [e.call, ""];
    messages.clear();
    show("talk");
  });
  on("record.state", (e) => record(e.record));
  on("call.transfer", (e) => (hint.textContent = `${t("transfer")}: ${e.state} ${e.reason ?? ""}`));
  on("call.link-lost", (e) => (hint.textContent = t("lost", {name: e.name || e.user})));
  on("call.resumed", (e) => (hint.textContent = t("back", {name: e.name || e.user})));
  const ended = (/** @type {any} */ e) => {
    el("why").textContent = hint.textContent = why(e, r.user);
    record({});
    if (state !== "WRAPUP") {
      call = "";
      show("desk");
    }
  };
  on("call.ended", ended);
  on("call.party-left", (e) => {
    if (e.user === r.user) ended({reason: "transferred"});
  });
  on("offline", () => (notice.textContent = t("offline")));
  on("online", () => (notice.textContent = ""));
  on("closed", () => show("sign"));
  /** @type {number[]} */ const rates = [];
  them.addEventListener("netstatus", (/** @type {any} */ e) => {
    const i = e.detail.info;
    rates.push(i.videoBitrate);
    if (rates.length > 60) rates.shift();
    const most = Math.max(500, ...rates);
    el("line").setAttribute("points", rates.map((v, n) => `${n * 5},${58 - (v / most) * 54}`).join(" "));
    el("net").textContent = `${t("quality")} ${i.netQualityLevel}/6 · ${Math.round(i.videoBitrate)} kbit/s · ${Math.round(i.videoFPS)} fps · ${i.videoWidth}×${i.videoHeight}`;
  });
}

/** @param {any} e */
function offer(e) {
  offered = e.call;
  el("caller").textContent = t("incoming", {name: e.name || e.user});
  el("caller-note").textContent = e.note ?? "";
  show("incoming");
  silence();
  silence = ring();
}

/** @param {any} r */
function record(r) {
  recording = r ?? {};
  el("recording").hidden = recording.state !== "recording";
  el("snapshot").hidden = recording.state !== "recording";
  el("record").hidden = recording.policy !== "on-request";
  el("record").textContent = t(recording.state === "recording" ? "record_stop" : "record");
  if (recording.state === "asked") hint.textContent = t("asked");
}

function showRoom() {
  el("room").textContent = el("state").textContent = t(`room_${state}`);
  el("open").hidden = state !== "CLOSE";
  el("close").hidden = state === "CLOSE";
}

el("sign-form").addEventListener("submit", (e) => {
  e.preventDefault();
  begin(/** @type {HTMLInputElement} */ (el("user")).value.trim(), /** @type {HTMLInputElement} */ (el("password")).value).catch(failed);
});
el("open").addEventListener("click", () => room.openRoom().catch(failed));
el("close").addEventListener("click", () => room.closeRoom().catch(failed));
el("accept").addEventListener("click", () => room.accept(offered).catch(failed));
el("decline").addEventListener("click", () => room.decline(offered).catch(failed));
el("hangup").addEventListener("click", () => room.hangUp(call).catch(failed));
el("snapshot").addEventListener("click", () => room.ask("record.snapshot", {call}).catch(failed));
el("record").addEventListener("click", () => room.ask(recording.state === "recording" ? "record.stop" : "record.start", {call}).catch(failed));
el("transfer-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const to = /** @type {HTMLInputElement} */ (el("transfer-to")).value.trim();
  if (to) room.transfer(call, {agent: to}).catch(() => room.transfer(call, {queue: to})).catch(failed);
});
el("wrap-form").addEventListener("submit", (e) => {
  e.preventDefault();
  room.ready(call, /** @type {HTMLInputElement} */ (el("disposition")).value, /** @type {HTMLTextAreaElement} */ (el("note")).value).then(() => {
    call = "";
    /** @type {HTMLFormElement} */ (el("wrap-form")).reset();
  }, failed);
});

const before = JSON.parse(sessionStorage.getItem("duet-agent") ?? "null");
if (before && !before.signed) begin(before.user, "").catch(failed); // the page was loaded again
