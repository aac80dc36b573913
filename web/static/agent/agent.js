// The agent's page: sign in, open the desk, take calls, note what came of them.

import "../sdk/elements.js";
import {Room} from "../sdk/room.js";
import {chat} from "../shared/chat.js";
import {controls, hints, quality} from "../shared/controls.js";
import {Graph} from "../shared/graph.js";
import {ring} from "../shared/ring.js";
import {signIn} from "../shared/sign.js";
import {begin as beginLanguage, clock, el, failed, listener, make, show, shown, since, t, value, why, write} from "../shared/ui.js";
import {Lines} from "./lines.js";

const me = /** @type {any} */ (el("me")), them = /** @type {any} */ (el("them"));
const dispositions = ["solved", "callback", "passed", "nothing"];
const warmUp = 300; // ms: a snapshot's URL is let go of after so long

/** @type {Room | null} */ let room = null;
/** @type {import("../shared/sign.js").Session | null} */ let session = null;
/** @type {Lines | null} */ let lines = null;
/** @type {ReturnType<typeof chat> | null} */ let messages = null;
let call = "", begun = "";
/** @type {any} */ let offered = null;
/** @type {any} */ let desk = {state: "CLOSE"};
/** @type {any} */ let recording = {};
/** @type {any} */ let ended = null;
/** @type {() => void} */ let silence = () => undefined;
const names = new Map();

const controlWords = controls(me);
const say = hints(me, them);
const label = (/** @type {string} */ what, /** @type {string} */ unit) => (/** @type {number} */ last, /** @type {number} */ most) =>
  t("graph_label", {what: t(what), unit, last: Math.round(last), most: Math.round(most)});
const rate = new Graph(el("graph-rate"), {least: 500, label: label("graph_rate", "kbit/s")});
const delay = new Graph(el("graph-delay"), {least: 200, label: label("graph_delay", "ms")});

function words() {
  controlWords();
  const kept = value("disposition");
  el("disposition").replaceChildren(make("option", {value: ""}, t("disposition_none")), ...dispositions.map((d) => make("option", {value: d, selected: d === kept}, t(`disposition_${d}`))));
  showDesk();
  showOffer();
  record(recording);
  lines?.draw();
  messages?.words();
  if (ended) write("why", why(ended, room?.user ?? ""));
}

// The desk.

function showDesk() {
  const {state} = desk;
  const pill = el("room");
  pill.className = `pill ${state === "IDLE" ? "yes" : state === "CLOSE" ? "" : "busy"}`;
  const text = desk.closing && state !== "CLOSE" ? `${t(`room_${state}`)} · ${t("room_closing")}` : t(`room_${state}`);
  write("room", text);
  write("state", t(`room_${state}`));
  write("state-hint", state === "CLOSE" || state === "IDLE" ? t(`desk_hint_${state}`) : "");
  const here = room !== null;
  pill.hidden = el("out").hidden = !here;
  el("open").hidden = !here || (state !== "CLOSE" && !desk.closing);
  el("close").hidden = !here || state === "CLOSE" || Boolean(desk.closing);
}

/** Shows what the desk's state asks for. */
function follow() {
  showDesk();
  if (offered) return show("incoming");
  if (call) return shown() === "talk" || show("talk");
  if (desk.state === "WRAPUP") return wrapUp(desk.call);
  if (shown() !== "wrap") show("desk");
}

// A call is offered.

/** @param {any} e call.offered */
function offer(e) {
  if (shown() === "wrap" && (value("wrap-note") || value("disposition"))) void saveNotes().catch(failed); // what was written is not lost to the next call
  offered = e;
  silence();
  silence = ring();
  showOffer();
  show("incoming");
  document.title = `☎ ${t("incoming", {name: e.name || e.user})}`;
}

function showOffer() {
  if (!offered) return;
  const name = offered.name || offered.user;
  write("caller", offered.transfer ? t("incoming_transfer", {name, by: offered.by}) : t("incoming", {name}));
  write("caller-note", offered.note ?? "");
  write("caller-waited", offered.since ? t("incoming_waited", {time: clock(since(offered.since))}) : "");
}

function noOffer() {
  silence();
  silence = () => undefined;
  offered = null;
  document.title = t("title_agent");
}

// The call.

/** @param {any} c a call as the server shows it, or call.accepted */
function talk(c) {
  noOffer();
  call = c.id ?? c.call;
  begun = new Date().toISOString();
  rate.clear();
  delay.clear();
  write("quality", quality(0));
  write("net", "");
  /** @type {HTMLTextAreaElement} */ (el("note")).value = "";
  el("passing").hidden = true;
  messages?.begin(c.messages, c.parties);
  say(t("connecting"), true);
  show("talk");
}

/** @param {any} r */
function record(r) {
  recording = r ?? {};
  const on = recording.state === "recording";
  el("recording").hidden = !on;
  el("record").hidden = recording.policy !== "on-request";
  write("record-text", t(on ? "record_stop" : "record"));
  el("record").setAttribute("aria-pressed", String(on));
  if (call && ["asked", "refused", "failed"].includes(recording.state)) say(t(`record_${recording.state}`), recording.state === "asked");
}

/** The call is over for this desk. @param {any} e */
function over(e) {
  if (e.call !== call) return;
  ended = {...e, by: e.by === room?.user ? e.by : names.get(e.by) ?? e.by};
  const text = why(ended, room?.user ?? "");
  write("why", text);
  write("last-call", text);
  record({});
  call = begun = "";
  wrapUp(e.call);
}

/** Notes are asked for after every call, whether the desk waits for them or not. @param {string} id */
function wrapUp(id) {
  if (shown() === "wrap" && el("wrap-form").dataset.call === id) return;
  el("wrap-form").dataset.call = id;
  /** @type {HTMLTextAreaElement} */ (el("wrap-note")).value = value("note");
  /** @type {HTMLSelectElement} */ (el("disposition")).value = "";
  show("wrap");
}

const saveNotes = async () => room?.ready(el("wrap-form").dataset.call ?? "", value("disposition") || undefined, value("wrap-note") || undefined);

// The socket.

/** @param {Room} r */
function listen(r) {
  r.attach(me, them, el("others"));
  messages = chat(r, () => call, (user) => names.get(user) ?? user);
  const on = listener(r);
  on("state", (s) => {
    desk = s.room ?? {state: "CLOSE"};
    noOffer();
    const mine = s.calls.find((/** @type {any} */ c) => c.parties.some((/** @type {any} */ p) => p.user === r.user));
    for (const c of s.calls) for (const p of c.parties) names.set(p.user, p.name || p.user);
    if (mine && mine.id !== call) talk(mine);
    if (!mine) call = "";
    if (mine) record(mine.record);
    const asked = s.calls.find((/** @type {any} */ c) => c.offered === r.user);
    if (asked) offer({call: asked.id, user: asked.caller, name: asked.name, note: asked.note, since: asked.created, until: desk.until, transfer: asked.transfer, by: ""});
    follow();
  });
  on("room.state", (e) => {
    if (e.user !== r.user) return;
    desk = {...e, closing: e.reason === "closing"};
    follow();
    void lines?.look();
  });
  on("call.offered", offer);
  on("call.offer-ended", (e) => {
    if (offered?.call !== e.call) return;
    noOffer();
    follow();
  });
  on("call.accepted", (e) => {
    names.set(e.user, e.name || e.user);
    if (e.user === r.user) talk(e);
  });
  on("call.play", (e) => {
    names.set(e.user, e.name || e.user);
    if (e.step === 4 || e.step === 7) write("with", e.name || e.user);
  });
  on("call.connected", () => say(""));
  on("record.state", (e) => e.call === call && record(e.record));
  on("call.transfer", (e) => {
    el("passing").hidden = e.state !== "looking";
    if (e.state !== "looking") say(t(`transfer_${e.state}`));
  });
  on("call.party-joined", (e) => {
    names.set(e.user, e.name || e.user);
    if (e.user !== r.user) say(t("joined", {name: e.name || e.user}));
  });
  on("call.party-left", (e) => {
    if (e.user === r.user) over({...e, reason: "transferred", by: ""});
    else say(t("left", {name: names.get(e.user) ?? e.user}));
  });
  on("call.link-lost", (e) => say(e.user === r.user ? t("lost_me") : t("lost", {name: names.get(e.user) ?? e.user}), true));
  on("call.resumed", (e) => say(e.user === r.user ? t("back_me") : t("back", {name: names.get(e.user) ?? e.user})));
  on("call.ended", over);
  on("offline", () => write("notice", t("offline")));
  on("online", () => write("notice", ""));
  on("closed", (e) => {
    failed(e);
    leave();
  });
}

function leave() {
  noOffer();
  room?.close();
  room = null;
  call = "";
  write("who", "");
  showDesk();
  show("sign");
}

/** @param {import("../shared/sign.js").Session} s */
async function enter(s) {
  session = s;
  const r = new Room({token: (refused) => s.token(refused)});
  room = r;
  listen(r);
  try {
    await r.connect();
  } catch (e) {
    room = null;
    throw e;
  }
  write("who", r.name || r.user);
  lines ??= new Lines(s, () => desk.state !== "CLOSE");
  void lines.look();
}

// Buttons.

const act = (/** @type {string} */ id, /** @type {(r: Room) => Promise<any> | undefined} */ f) => el(id).addEventListener("click", () => void (room && f(room)?.catch(failed)));
act("open", (r) => r.openRoom());
act("close", (r) => r.closeRoom());
act("accept", (r) => r.accept(offered.call));
act("decline", (r) => r.decline(offered.call));
act("hangup", (r) => r.hangUp(call));
act("record", (r) => r.record(call, recording.state === "recording" ? "stop" : "start"));
act("pass-cancel", (r) => r.cancelTransfer(call));
el("out").addEventListener("click", async () => {
  await session?.out();
  leave();
  location.reload();
});
el("snapshot").addEventListener("click", async () => {
  try {
    const url = URL.createObjectURL(await them.snapshot());
    make("a", {href: url, download: `${call}-${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.png`}).click();
    setTimeout(() => URL.revokeObjectURL(url), warmUp);
    if (recording.state === "recording") await room?.record(call, "snapshot");
    say(t("snapshot_done"));
  } catch (e) {
    failed(e);
  }
});
el("pass").addEventListener("click", async () => {
  await lines?.look();
  const group = (/** @type {string} */ name, /** @type {HTMLElement[]} */ list) => (list.length ? [make("optgroup", {label: t(name)}, ...list)] : []);
  const agents = (lines?.colleagues ?? []).map((a) => make("option", {value: `agent ${a.agent}`, disabled: a.state !== "IDLE"},
    a.state === "IDLE" ? a.name || a.agent : t("transfer_busy", {name: a.name || a.agent})));
  const queues = (lines?.queues ?? []).map((q) => make("option", {value: `queue ${q.id}`}, q.name));
  el("transfer-to").replaceChildren(...group("transfer_agents", agents), ...group("transfer_queues", queues));
  el("transfer-none").hidden = agents.length > 0;
  /** @type {HTMLDialogElement} */ (el("transfer-dialog")).showModal();
});
el("transfer-close").addEventListener("click", () => /** @type {HTMLDialogElement} */ (el("transfer-dialog")).close());
el("transfer-form").addEventListener("submit", () => {
  const [kind, id] = value("transfer-to").split(" ");
  const note = value("transfer-note") || undefined;
  if (id) room?.transfer(call, kind === "queue" ? {queue: id, note} : {agent: id, note}).catch(failed);
});
el("wrap-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  try {
    await saveNotes();
    /** @type {HTMLTextAreaElement} */ (el("note")).value = "";
    show("desk");
    follow();
  } catch (err) {
    failed(err);
  }
});
them.addEventListener("netstatus", (/** @type {any} */ e) => {
  const i = e.detail.info;
  rate.push(i.videoBitrate + i.audioBitrate);
  delay.push(i.playDelay ?? i.rtt ?? 0);
  write("quality", quality(i.netQualityLevel));
  el("net").textContent = t("facts", {rate: Math.round(i.videoBitrate + i.audioBitrate), fps: Math.round(i.videoFPS), size: `${i.videoWidth}×${i.videoHeight}`});
});
setInterval(() => {
  if (call && begun) el("lasts").textContent = clock(since(begun));
  if (offered?.until) el("answer-left").textContent = t("incoming_left", {n: Math.max(0, Math.ceil(-since(offered.until)))});
  el("wrap-left").textContent = desk.state === "WRAPUP" && desk.until ? t("wrap_left", {time: clock(-since(desk.until))}) : "";
}, 500);

beginLanguage(words);
void signIn("agent", [], enter);
