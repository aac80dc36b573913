// What the pages are made of: language, elements by ID, parts of which one is seen, sentences for what went wrong.

import {icons} from "./icons.js";
import {texts} from "./texts.js";

const languageKey = "duet-language";

/** @returns {"en" | "zh"} the person's choice, else the browser's */
function firstLanguage() {
  const chosen = stored(localStorage, languageKey);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.languages.find((l) => /^(zh|en)\b/i.test(l))?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

let language = firstLanguage();

/** What is kept under a name; storage may be forbidden. @param {Storage} where @param {string} name @returns {any} */
export function stored(where, name) {
  try {
    return JSON.parse(where.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Storage} where @param {string} name @param {any} value null: forget it */
export function store(where, name, value) {
  try {
    if (value === null) where.removeItem(name);
    else where.setItem(name, JSON.stringify(value));
  } catch { /* it is asked for again next time */ }
}

/** @param {string} key @param {Record<string, string | number>} [values] for {NAME} in the text @returns {string} */
export function t(key, values = {}) {
  const pair = texts[key];
  return (pair ? pair[language === "zh" ? 1 : 0] : key).replace(/\{(\w+)\}/g, (_, k) => String(values[k] ?? ""));
}

/** Whether there is a text of that name. @param {string} key */
export const has = (key) => key in texts;

/** Writes the texts of elements with data-t, of attributes with data-t-placeholder and data-t-label, and the pictures. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(/** @type {HTMLElement} */ (e).dataset.t ?? "");
  for (const e of document.querySelectorAll("[data-t-placeholder]")) e.setAttribute("placeholder", t(/** @type {HTMLElement} */ (e).dataset.tPlaceholder ?? ""));
  for (const e of document.querySelectorAll("[data-t-label]")) e.setAttribute("aria-label", t(/** @type {HTMLElement} */ (e).dataset.tLabel ?? ""));
  icons();
  document.title = t(document.body.dataset.title ?? "");
}

/** The button that changes the language, and the first translation. @param {() => void} changed writes what no data-t stands for */
export function begin(changed) {
  const button = el("language");
  button.lang = language === "zh" ? "en" : "zh-CN";
  translate();
  changed();
  button.addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    button.lang = language === "zh" ? "en" : "zh-CN";
    store(localStorage, languageKey, language);
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

/** An input's text. @param {string} id */
export const value = (id) => /** @type {HTMLInputElement} */ (el(id)).value.trim();

/**
 * An element with attributes (functions are listeners) and what is in it.
 * @param {string} tag @param {Record<string, any>} attributes @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, v] of Object.entries(attributes)) {
    if (typeof v === "function") e.addEventListener(name, v);
    else if (v === true) e.setAttribute(name, "");
    else if (v !== false && v !== undefined) e.setAttribute(name, String(v));
  }
  e.append(...children);
  return e;
}

/** Shows one of the parts of the page, and takes those who listen to it. @param {string} id */
export function show(id) {
  for (const s of document.querySelectorAll("main > section")) /** @type {HTMLElement} */ (s).hidden = s.id !== id;
  const h = el(id).querySelector("h2");
  if (!h) return;
  h.tabIndex = -1;
  h.focus({preventScroll: true});
}

/** Which part is seen. */
export const shown = () => document.querySelector("main > section:not([hidden])")?.id ?? "";

/** Text that changes often is written only where it differs: screen readers say it once. @param {string} id @param {string} text */
export function write(id, text) {
  const e = el(id);
  if (e.textContent !== text) e.textContent = text;
}

/** A sentence for what went wrong, in the page's language. @param {any} e */
export function sentence(e) {
  if (e?.code === "limit" && has("err_limit")) return t("err_limit");
  if (e?.code && has(`err_${e.code}`)) return t(`err_${e.code}`);
  return e?.message || String(e);
}

/** Tells it at the top of the page. @param {any} e */
export const failed = (e) => write("notice", sentence(e));

/** Listens to a room. @param {EventTarget} room @returns {(type: string, f: (detail: any) => void) => void} */
export const listener = (room) => (type, f) => room.addEventListener(type, (e) => f(/** @type {CustomEvent} */ (e).detail));

/** 75 s ⇒ 1:15. @param {number} seconds */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds)), two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Seconds since a time of the server's. @param {string} time */
export const since = (time) => (Date.now() - Date.parse(time)) / 1000;

/** A time of day as people here write it. @param {string} time */
export function when(time) {
  return time ? new Date(time).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", {dateStyle: "medium", timeStyle: "short"}) : "";
}

/** Why a call ended. @param {any} ended @param {string} me */
export function why(ended, me) {
  const by = ended.by === me ? t("you") : ended.by || t("the_other");
  const own = ended.by === me && has(`reason_${ended.reason}_me`);
  return has(`reason_${ended.reason}`) ? t(own ? `reason_${ended.reason}_me` : `reason_${ended.reason}`, {name: by}) : t("reason_other", {reason: ended.reason});
}
