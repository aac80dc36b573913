// The caller's page: check of devices, line, consent, the call, and how it was.
//
//   /call/                     choose a queue: the public ones, or all on a server where nobody is set up
//   /call/?queue=main          that queue
//   /call/#link=SECRET         a one-time link (duet link call NAME)
//   /call/?queue=main#token=…  a user token of a backend's

import "../sdk/elements.js";
import {Room} from "../sdk/room.js";
import {api} from "../shared/api.js";
import {chat} from "../shared/chat.js";
import {controls, hints, quality} from "../shared/controls.js";
import {icon} from "../shared/icons.js";
import {chime} from "../shared/ring.js";
import {begin as beginLanguage, clock, el, failed, listener, make, show, shown, since, store, stored, t, value, why, write} from "../shared/ui.js";
import {checkWords, chosen, startCheck, stopCheck} from "./check.js";
import {forget, invited, lobby, sign} from "./sign.js";

const me = /** @type {any} */ (el("me")), them = /** @type {any} */ (el("them"));
const wanted = new URLSearchParams(location.search).get("queue");
const callingKey = "duet-calling"; // who was calling, and where, when the page went away
const lobbyEvery = 10_000, lobbyRetry = 2_000, retryAfter = 2_000;

/** @type {Room | null} */ let room = null;
/** @type {ReturnType<typeof chat> | null} */ let messages = null;
let call = "", self = "", token = "", dev = false, calling = "", from = "", begun = "";
/** @type {any} */ let place = null;
/** @type {any} */ let ended = null;
/** @type {any[]} */ let queues = [];
let queueChosen = wanted ?? "";
const names = new Map();

const controlWords = controls(me);
const say = hints(me, them);

function words() {
  controlWords();
  checkWords();
  showQueues();
  showPlace();
  messages?.words();
  if (ended) write("why", why(ended, self));
  title();
}

/** The tab's title tells the place in line, for who looks at another tab. */
function title() {
  const what = shown() === "waiting" && place ? t("place", {n: place.position, of: place.of}) : shown() === "talk" && calling ? calling : "";
  document.title = what ? `${what} · ${t("title_call")}` : t("title_call");
}

// Whom to call.

async function loadLobby() {
  if (invited) {
    for (const e of [el("queues"), el("name").parentElement]) if (e) e.hidden = true;
    return;
  }
  try {
    const v = await lobby();
    [queues, dev] = [v.queues, Boolean(v.dev)];
    if (!queues.some((q) => q.id === queueChosen)) queueChosen = queues.find((q) => !q.closed)?.id ?? "";
    if (wanted && !queues.some((q) => q.id === wanted)) failed({code: "forbidden_queue"});
    showQueues();
  } catch (e) {
    if (!queues.length) failed(e);
    setTimeout(loadLobby, lobbyRetry);
    return;
  }
  el("begin").toggleAttribute("disabled", !queueChosen);
}

function showQueues() {
  const list = el("queue-list"), focused = list.contains(document.activeElement);
  el("queues").hidden = invited || (wanted !== null && queues.some((q) => q.id === wanted));
  if (!queues.length) {
    list.replaceChildren(make("p", {class: "soft"}, t("no_queues")));
    return;
  }
  list.replaceChildren(...queues.map((q) => make("label", {class: "choice"},
    make("input", {type: "radio", name: "queue", value: q.id, checked: q.id === queueChosen, disabled: Boolean(q.closed), change: () => (queueChosen = q.id)}),
    make("span", {}, q.name || q.id, make("small", {}, state(q))),
  )));
  if (focused) /** @type {HTMLElement | null} */ (list.querySelector("input:checked"))?.focus();
}

/** @param {any} q */
function state(q) {
  if (q.closed) return t("queue_closed");
  if (q.waiting) return t(q.waiting === 1 ? "queue_waiting_one" : "queue_waiting", {n: q.waiting});
  return t(q.agents ? "queue_free" : "queue_nobody");
}

// The call.

/** @param {string} name @param {boolean} again the page was loaded again in the middle */
async function begin(name, again) {
  write("notice", "");
  const who = await sign(name, queueChosen, dev);
  token = who.token;
  const r = new Room({token: async (refused) => {
    if (!refused) return token;
    forget(); // a link works once, and a guest's time was long: sign in anew
    throw Object.assign(new Error(t("err_unauthorized")), {code: "unauthorized", status: 401, final: true});
  }});
  [room, call, ended, place] = [r, "", null, null];
  listen(r);
  await r.connect();
  self = r.user;
  store(sessionStorage, callingKey, {name, queue: who.queue});
  if (!call && again) return over({reason: "while_away"});
  if (!call) call = await r.joinQueue(who.queue, value("about") || undefined);
  if (shown() === "check") show("waiting");
  title();
}

/** @param {Room} r */
function listen(r) {
  r.attach(me, them, el("others"));
  messages = chat(r, () => call, (user) => names.get(user) ?? user);
  const on = listener(r);
  on("state", (s) => {
    const c = s.calls.find((/** @type {any} */ one) => one.caller === r.user);
    if (!c) {
      if (call) over({reason: "while_away"});
      return;
    }
    call = c.id;
    from = c.created;
    for (const p of c.parties) names.set(p.user, p.name || p.user);
    calling = c.parties.find((/** @type {any} */ p) => p.user !== r.user)?.name ?? "";
    messages?.begin(c.messages, c.parties);
    if (s.place) place = s.place;
    const inCall = c.state === "setup" || c.state === "connected";
    if (inCall) begun ||= c.created;
    if (c.record?.state === "asked") record(c.record);
    else show(inCall ? "talk" : "waiting");
    record(c.record);
    showPlace();
  });
  on("call.waiting", (e) => {
    [call, from] = [e.call, e.since];
    messages?.begin();
  });
  on("queue.position", (e) => {
    place = e;
    showPlace();
  });
  on("call.moved", (e) => write("notice", t("moved", {name: queues.find((q) => q.id === e.queue)?.name ?? e.queue})));
  on("call.ringing", (e) => write("estimate", t("ringing", {name: e.name || e.user})));
  on("call.accepted", (e) => {
    names.set(e.user, e.name || e.user);
    calling = e.name || e.user;
    begun = new Date().toISOString();
    chime();
    if (shown() !== "consent") show("talk");
    write("who", calling);
    say(t("connecting"), true);
    title();
  });
  on("call.connected", () => {
    begun ||= new Date().toISOString();
    say("");
  });
  on("record.state", (e) => record(e.record));
  on("call.party-joined", (e) => {
    names.set(e.user, e.name || e.user);
    say(t("joined", {name: e.name || e.user}));
  });
  on("call.party-left", (e) => e.user !== r.user && say(t("left", {name: names.get(e.user) ?? e.user})));
  on("call.link-lost", (e) => say(e.user === r.user ? t("lost_me") : t("lost", {name: names.get(e.user) ?? e.user}), true));
  on("call.resumed", (e) => say(e.user === r.user ? t("back_me") : t("back", {name: names.get(e.user) ?? e.user})));
  on("call.transfer", (e) => e.state === "looking" && say(t("passing_on"), true));
  on("call.play", (e) => {
    names.set(e.user, e.name || e.user);
    if (e.role === "supervisor") return;
    calling = e.name || e.user;
    write("who", calling);
    title();
  });
  on("call.ended", (e) => e.call === call && over(e));
  on("offline", () => write("notice", t("offline")));
  on("online", () => write("notice", ""));
  on("closed", (e) => {
    failed(e);
    over({reason: "while_away"});
  });
}

/** @param {any} r */
function record(r) {
  el("recording").hidden = r?.state !== "recording";
  if (r?.state === "asked") {
    write("consent-policy", t(r.policy === "must" ? "consent_must" : "consent_may"));
    show("consent");
  } else if (shown() === "consent") {
    show("talk");
  }
}

function showPlace() {
  if (!place || shown() === "talk") return;
  write("place-number", String(place.position));
  write("place", t("place", {n: place.position, of: place.of}));
  const seconds = place.estimate;
  write("estimate", seconds === undefined ? t("nobody") : seconds < 60 ? t("estimate_short") : t("estimate", {min: Math.ceil(seconds / 60)}));
  title();
}

/** @param {any} e call.ended, or what stands for it */
function over(e) {
  if (shown() === "over") return;
  ended = {...e, by: e.by === self ? self : names.get(e.by) ?? e.by};
  const talked = begun !== "", id = e.call ?? "";
  [call, place, begun, from, calling] = ["", null, "", "", ""];
  store(sessionStorage, callingKey, null);
  el("recording").hidden = true;
  write("why", why(ended, self));
  room?.close();
  room = null;
  el("rating").hidden = !talked || !id;
  el("rating").dataset.call = id;
  /** @type {HTMLFormElement} */ (el("rating")).reset();
  for (const part of ["rating-more", "rating-send", "thanks"]) el(part).hidden = true;
  show("over");
  title();
}

// How it was.

el("stars").append(...[1, 2, 3, 4, 5].map((n) => {
  const input = make("input", {type: "radio", name: "stars", value: n, class: "hush", "aria-label": `${n} / 5`});
  input.addEventListener("change", () => (el("rating-more").hidden = el("rating-send").hidden = false));
  return make("label", {}, input, icon("star"));
}));
el("rating").addEventListener("submit", async (e) => {
  e.preventDefault();
  const stars = Number(new FormData(/** @type {HTMLFormElement} */ (el("rating"))).get("stars"));
  try {
    await api("POST", `/v1/calls/${el("rating").dataset.call}/rating`, {stars, text: value("rating-text") || undefined}, token);
    el("rating").hidden = true;
    el("thanks").hidden = false;
  } catch (err) {
    failed(err);
  }
});

// Buttons.

const start = async (/** @type {string} */ name, again = false) => {
  const button = el("begin");
  button.toggleAttribute("disabled", true);
  const {camera, microphone} = chosen();
  if (camera) me.setAttribute("camera-id", camera);
  if (microphone) me.setAttribute("mic-id", microphone);
  stopCheck(); // phones open a camera once
  try {
    await begin(name, again);
  } catch (e) {
    room?.close();
    room = null;
    if (again && !(/** @type {any} */ (e).final)) { // nobody answered: the place in line is kept
      failed(e);
      setTimeout(() => void start(name, true), retryAfter);
      return;
    }
    store(sessionStorage, callingKey, null);
    show("check");
    void startCheck();
    failed(e);
  }
  button.toggleAttribute("disabled", false);
};
el("start").addEventListener("submit", (e) => {
  e.preventDefault();
  void start(value("name"));
});
for (const id of ["leave", "hangup"]) el(id).addEventListener("click", () => room?.hangUp(call).catch(failed));
el("agree").addEventListener("click", () => room?.consent(call, true).catch(failed));
el("refuse").addEventListener("click", () => room?.consent(call, false).catch(failed));
el("again").addEventListener("click", () => {
  write("notice", "");
  show("check");
  void startCheck();
  void loadLobby();
});
them.addEventListener("netstatus", (/** @type {any} */ e) => write("network", `${t("quality")}: ${quality(e.detail.info.netQualityLevel)}`));
setInterval(() => {
  if (shown() === "waiting" && from) el("waited").textContent = clock(since(from));
  if (shown() === "talk" && begun) el("lasts").textContent = clock(since(begun));
}, 1_000);
setInterval(() => shown() === "check" && !document.hidden && void loadLobby(), lobbyEvery);

beginLanguage(words);
const before = stored(sessionStorage, callingKey);
if (before) {
  queueChosen = before.queue;
  void loadLobby().then(() => start(before.name, true));
} else {
  void Promise.all([loadLobby(), startCheck()]);
}
