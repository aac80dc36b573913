// What the pages share: language, elements by ID, messages in a list.

/** @type {Record<string, Record<string, string>>} */
const texts = {
  en: {
    title_call: "Video call", title_agent: "Agent desk", language: "中文", check: "Before the call", check_hint: "Look at your picture and say something: the bar should move.",
    camera: "Camera", microphone: "Microphone", name: "Your name", queue: "Whom do you want to speak to?", begin: "Call now", waiting: "You are in line",
    place: "Place {n} of {of}", estimate: "about {min} min to wait", estimate_short: "it is your turn soon", nobody: "Nobody is at a desk at present. You keep your place.", ringing: "{name} is being called",
    leave: "Leave the line", mute: "Mute", unmute: "Unmute", camera_off: "Camera off", camera_on: "Camera on", share: "Share screen", share_stop: "Stop sharing", hangup: "Hang up",
    chat: "Messages", write: "Write a message", send: "Send", ended: "The call is over", again: "Call again", consent: "May this call be recorded?",
    consent_hint: "The call begins after your answer.", agree: "Yes, record it", refuse: "No", recording: "Recorded", lost: "{name}'s network is away for a moment", back: "{name} is back",
    offline: "The connection to the server is lost. It is tried again by itself.", sign_in: "Sign in", user: "User", password: "Password", open: "Open the desk", close: "Close the desk",
    room_IDLE: "Open: waiting for a call", room_BUSY: "In a call", room_RINGING: "A call", room_CLOSE: "Closed", room_WRAPUP: "After the call", incoming: "{name} calls", accept: "Accept", decline: "Decline",
    transfer: "Transfer", transfer_to: "Agent or queue", wrap: "After the call", disposition: "Result", note: "Note", ready: "Ready for the next", quality: "Network", asked: "The caller is asked about recording",
    snapshot: "Picture", record: "Record", record_stop: "Stop recording", reason_hangup: "{name} has hung up.", reason_gone: "The network of {name} was away for too long.", reason_other: "It ended: {reason}.",
    no_consent: "You do not agree to be recorded; this call has to be.", not_recorded: "It can't be recorded at present, and it has to be.", dev: "Nobody is set up on this server: any name will do.", you: "You",
  },
  zh: {
    title_call: "视频通话", title_agent: "客服台", language: "English", check: "通话前检查", check_hint: "请看一下画面并说句话：音量条应该会动。",
    camera: "摄像头", microphone: "麦克风", name: "您的姓名", queue: "您要联系哪个部门？", begin: "开始呼叫", waiting: "正在排队",
    place: "第 {n} 位，共 {of} 人", estimate: "大约还需 {min} 分钟", estimate_short: "马上就到您了", nobody: "目前没有客服在线，您的位置会保留。", ringing: "正在呼叫 {name}",
    leave: "退出排队", mute: "静音", unmute: "取消静音", camera_off: "关闭摄像头", camera_on: "打开摄像头", share: "共享屏幕", share_stop: "停止共享", hangup: "挂断",
    chat: "消息", write: "输入消息", send: "发送", ended: "通话已结束", again: "再次呼叫", consent: "是否同意对本次通话录音录像？",
    consent_hint: "回答后通话开始。", agree: "同意", refuse: "不同意", recording: "录制中", lost: "{name} 的网络暂时中断", back: "{name} 已恢复",
    offline: "与服务器的连接中断，正在自动重连。", sign_in: "登录", user: "用户名", password: "密码", open: "开放坐席", close: "关闭坐席",
    room_IDLE: "空闲：等待来电", room_BUSY: "通话中", room_RINGING: "来电", room_CLOSE: "已关闭", room_WRAPUP: "话后处理", incoming: "{name} 来电", accept: "接听", decline: "拒绝",
    transfer: "转接", transfer_to: "客服或队列", wrap: "话后处理", disposition: "结果", note: "备注", ready: "准备接下一个", quality: "网络", asked: "正在征求来电者的录制许可",
    snapshot: "拍照", record: "录制", record_stop: "停止录制", reason_hangup: "{name} 已挂断。", reason_gone: "{name} 的网络中断太久。", reason_other: "通话结束：{reason}。",
    no_consent: "您不同意录制，而本次通话必须录制。", not_recorded: "目前无法录制，而本次通话必须录制。", dev: "服务器尚未设置用户：任意名称均可。", you: "您",
  },
};

let language = localStorage.getItem("duet-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export function t(key, values = {}) {
  return (texts[language]?.[key] ?? texts.en?.[key] ?? key).replace(/\{(\w+)\}/g, (_, k) => String(values[k] ?? ""));
}

/** Writes the texts of all elements with data-t, and of attributes with data-t-ATTRIBUTE. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(/** @type {HTMLElement} */ (e).dataset.t ?? "");
  for (const e of document.querySelectorAll("[data-t-placeholder]")) e.setAttribute("placeholder", t(/** @type {HTMLElement} */ (e).dataset.tPlaceholder ?? ""));
  const title = document.querySelector("h1");
  if (title) document.title = title.textContent ?? "";
}

/** @param {HTMLElement} button @param {() => void} changed */
export function languageSwitch(button, changed) {
  button.addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    localStorage.setItem("duet-language", language);
    translate();
    changed();
  });
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function el(id) {
  const e = document.getElementById(id);
  if (!e) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (e);
}

/** Shows one of several parts of the page and moves the focus there. @param {string} id */
export function show(id) {
  for (const s of document.querySelectorAll("main > section")) /** @type {HTMLElement} */ (s).hidden = s.id !== id;
  const h = el(id).querySelector("h2");
  if (h) {
    h.tabIndex = -1;
    h.focus({preventScroll: true});
  }
}

/**
 * A call's messages: a list and a form.
 * @param {import("../sdk/room.js").Room} room @param {() => string} call
 */
export function chat(room, call) {
  const list = el("messages"), form = /** @type {HTMLFormElement} */ (el("chat-form")), input = /** @type {HTMLInputElement} */ (el("chat-input"));
  /** @type {Set<number>} */
  let there = new Set();
  const add = (/** @type {any} */ m) => {
    if (there.has(m.n) || m.cmd) return;
    there.add(m.n);
    const li = document.createElement("li");
    li.className = m.from === room.user ? "mine" : "";
    li.textContent = m.body;
    list.append(li);
    li.scrollIntoView({block: "nearest"});
    if (m.from !== room.user) void room.seen(call(), m.n).catch(() => undefined);
  };
  room.addEventListener("message", (e) => add(/** @type {CustomEvent} */ (e).detail.message));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    const text = input.value.trim();
    if (!text || !call()) return;
    input.value = "";
    room.say(call(), text).catch((err) => {
      input.value = text; // nothing is lost
      el("notice").textContent = err.message;
    });
  });
  return {
    clear() {
      there = new Set();
      list.replaceChildren();
    },
    add,
  };
}

/** Buttons of a call: mute, camera, screen. @param {any} pusher */
export function mediaButtons(pusher) {
  const mute = el("mute"), camera = el("camera"), share = el("share");
  const words = () => {
    mute.textContent = t(pusher.muted ? "unmute" : "mute");
    mute.setAttribute("aria-pressed", String(pusher.muted));
    camera.textContent = t(pusher.enableCamera ? "camera_off" : "camera_on");
    camera.setAttribute("aria-pressed", String(!pusher.enableCamera));
    share.textContent = t(pusher.sharing ? "share_stop" : "share");
    share.setAttribute("aria-pressed", String(Boolean(pusher.sharing)));
  };
  mute.addEventListener("click", () => { pusher.muted = !pusher.muted; words(); });
  camera.addEventListener("click", () => { pusher.enableCamera = !pusher.enableCamera; words(); });
  share.addEventListener("click", async () => {
    try {
      await (pusher.sharing ? pusher.stopShare() : pusher.shareScreen());
    } catch { /* the person said no; an event tells */ }
    words();
  });
  return words;
}

/** @param {any} ended @param {string} me */
export function why(ended, me) {
  const name = ended.by === me ? t("you") : ended.by;
  switch (ended.reason) {
    case "hangup": case "cancelled": return t("reason_hangup", {name});
    case "gone": case "abandoned": return t("reason_gone", {name});
    case "no-consent": return t("no_consent");
    case "not-recorded": return t("not_recorded");
    default: return t("reason_other", {reason: ended.reason});
  }
}
