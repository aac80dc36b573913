// A call's messages: #messages, #chat-form, #chat-input, and #unread on the button that leads there.

import {el, failed, listener, make, t} from "./ui.js";

/**
 * @param {import("../sdk/room.js").Room} room
 * @param {() => string} call the present one's ID
 * @param {(user: string) => string} nameOf
 */
export function chat(room, call, nameOf) {
  const list = el("messages"), form = /** @type {HTMLFormElement} */ (el("chat-form")), input = /** @type {HTMLInputElement} */ (el("chat-input"));
  const on = listener(room);
  /** @type {Map<number, HTMLElement>} */ const there = new Map();
  let read = 0, unread = 0, delivered = 0, seen = 0;

  const badge = () => {
    const b = document.getElementById("unread");
    if (!b) return;
    b.hidden = unread === 0;
    b.textContent = String(unread);
    b.setAttribute("aria-label", t("unread", {n: unread}));
  };
  /** Whether somebody looks: what a hidden page shows is delivered, and not read. */
  const looking = () => !document.hidden && list.getBoundingClientRect().top < innerHeight;
  const tellRead = () => {
    const last = Math.max(0, ...there.keys());
    if (!looking() || last <= read || !call()) return;
    read = last;
    unread = 0;
    badge();
    void room.seen(call(), {read: last}).catch(() => undefined);
  };
  const mark = (/** @type {HTMLElement} */ li, /** @type {number} */ n) => {
    const small = li.querySelector("small.state");
    if (small) small.textContent = t(n <= seen ? "message_read" : n <= delivered ? "message_delivered" : "message_sent");
  };
  const marks = () => {
    for (const [n, li] of there) mark(li, n);
  };
  const add = (/** @type {any} */ m) => {
    if (there.has(m.n) || m.cmd) return;
    const mine = m.from === room.user;
    const li = make("li", {class: mine ? "mine" : ""}, mine ? "" : make("span", {class: "hush"}, nameOf(m.from) + ": "), m.body, mine ? make("small", {class: "state"}) : "");
    there.set(m.n, li);
    list.querySelector(".empty")?.remove();
    list.append(li);
    if (list.parentElement) list.parentElement.scrollTop = list.scrollHeight;
    mark(li, m.n);
    if (mine) return;
    unread++;
    badge();
    void room.seen(call(), {delivered: m.n}).catch(() => undefined);
    tellRead();
  };
  on("message", (e) => e.call === call() && add(e.message));
  on("message.delivered", (e) => {
    delivered = Math.max(delivered, e.upto);
    marks();
  });
  on("message.read", (e) => {
    [delivered, seen] = [Math.max(delivered, e.upto), Math.max(seen, e.upto)];
    marks();
  });
  document.addEventListener("visibilitychange", tellRead);
  addEventListener("scroll", tellRead, {passive: true});
  form.onsubmit = (e) => {
    e.preventDefault();
    const text = input.value.trim();
    if (!text || !call()) return;
    input.value = "";
    room.say(call(), text).catch((err) => {
      if (!input.value) input.value = text; // nothing is lost
      failed(err);
    });
  };
  return {
    /** Another call, with what was said in it. @param {any[]} [messages] @param {any[]} [parties] */
    begin(messages = [], parties = []) {
      there.clear();
      [read, unread, delivered, seen] = [0, 0, 0, 0];
      for (const p of parties) {
        if (p.user === room.user) continue;
        [delivered, seen] = [Math.max(delivered, p.delivered), Math.max(seen, p.read)];
      }
      list.replaceChildren(make("li", {class: "empty", "data-t": "chat_empty"}, t("chat_empty")));
      badge();
      for (const m of messages) add(m);
    },
    words: marks,
  };
}
