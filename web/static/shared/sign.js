// Signing in for agents and administrators: user and password, a cookie that renews, a one-time link, or, where nobody is set up, any name.

import {api} from "./api.js";
import {el, failed, show, store, stored, t, value, write} from "./ui.js";

const key = "duet-signed"; // how somebody signed in on this tab, for when the page is loaded again
const renewBefore = 60_000;
const retryAfter = 2_000;

/** Where cookies are not kept (plain HTTP off loopback) a token lasts as long as it lasts. */
export class Session {
  /** @param {string} role whom the page is for @param {any} answer of the server @param {"password" | "dev" | "link"} by */
  constructor(role, answer, by) {
    this.role = role;
    this.by = by;
    this.user = /** @type {string} */ (answer.user);
    this.roles = /** @type {string[]} */ (answer.roles ?? []);
    this.#token = /** @type {string} */ (answer.token);
    this.#expires = Date.parse(answer.expires);
    store(sessionStorage, key, {by, user: this.user, role, ...(by === "link" ? {answer} : {})}); // a link works once
  }

  /** @type {string} */ #token;
  /** @type {number} */ #expires;
  /** @type {Promise<void> | null} */ #renewing = null;

  /** A token that is valid for a while. @param {boolean} [refused] the last one was not taken @returns {Promise<string>} */
  async token(refused = false) {
    if (refused || Date.now() > this.#expires - renewBefore) {
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = null)); // a cookie is good for one renewal
      await this.#renewing;
    }
    return this.#token;
  }

  async #renew() {
    if (this.by === "link") return; // it can't be had again: the server says when it is over
    const v = this.by === "password" ? await api("POST", "/v1/refresh") : await dev(this.user, this.role);
    [this.#token, this.#expires] = [v.token, Date.parse(v.expires)];
  }

  /** Asks the server in this person's name. @param {string} method @param {string} path @param {Record<string, any>} [body] */
  async ask(method, path, body) {
    return api(method, path, body, await this.token());
  }

  async out() {
    store(sessionStorage, key, null);
    if (this.by === "password") await api("POST", "/v1/logout").catch(() => undefined);
  }
}

/** @param {string} user @param {string} role */
const dev = (user, role) => api("POST", "/v1/dev", {user, name: user, roles: [role]});

/** Whoever is signed in on this tab still, or comes with a link. @param {string} role @returns {Promise<Session | null>} */
async function before(role) {
  const link = new URLSearchParams(location.hash.slice(1)).get("link");
  const was = stored(sessionStorage, key);
  if (was?.role === role) {
    if (was.by === "dev") return new Session(role, await dev(was.user, role), "dev");
    if (was.by === "link" && Date.parse(was.answer.expires) > Date.now() + renewBefore) return new Session(role, was.answer, "link");
    if (was.by === "password") return new Session(role, await api("POST", "/v1/refresh"), "password");
  }
  return link ? new Session(role, await api("POST", "/v1/links/redeem", {secret: link}), "link") : null;
}

/**
 * The part of the page with #sign-form: asks who it is until it is somebody who may.
 * @param {string} role whom the page is for @param {string[]} others roles that may besides
 * @param {(session: Session) => Promise<void>} enter
 */
export async function signIn(role, others, enter) {
  let open = false;
  const words = () => write("sign-hint", t(open ? "sign_dev" : "sign_hint"));
  const go = async (/** @type {Session} */ s) => {
    if (![role, ...others, "admin"].some((r) => s.roles.includes(r))) {
      await s.out();
      throw Object.assign(new Error(t("err_role", {role: t(`role_${role}`)})), {final: true});
    }
    write("notice", "");
    await enter(s);
  };
  el("sign-form").addEventListener("submit", async (e) => {
    e.preventDefault();
    const user = value("user"), password = /** @type {HTMLInputElement} */ (el("password")).value;
    const button = /** @type {HTMLButtonElement} */ (el("sign-form").querySelector("button"));
    button.disabled = true;
    try {
      await go(open && !password ? new Session(role, await dev(user, role), "dev") : new Session(role, await api("POST", "/v1/login", {user, password}), "password"));
      /** @type {HTMLInputElement} */ (el("password")).value = "";
    } catch (err) {
      const e2 = /** @type {any} */ (err);
      failed(e2.code === "unauthorized" ? {code: "login"} : e2);
    }
    button.disabled = false;
  });
  for (;;) {
    try {
      open = Boolean((await api("GET", "/v1/lobby")).dev);
      el("password-label").hidden = open;
      words();
      const s = await before(role);
      if (s) return void (await go(s));
      break;
    } catch (e) {
      if (!(/** @type {any} */ (e).final)) { // nobody answered, as when the page goes away in the middle: that signs nobody out
        failed(e);
        await new Promise((resolve) => setTimeout(resolve, retryAfter));
        continue;
      }
      store(sessionStorage, key, null);
      if (/** @type {any} */ (e).code !== "unauthorized") failed(e);
      break;
    }
  }
  show("sign");
}
