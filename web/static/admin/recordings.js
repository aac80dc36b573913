// Recordings: seen, checked, taken out. Each of these is in the audit log.

import {clock, el, failed, has, make, t, when, write} from "../shared/ui.js";
import {action, table} from "./table.js";
import {Views} from "./views.js";

const pageSize = 50;

export class Recordings {
  #session;
  #views;
  /** @type {any[]} */ #list = [];
  #more = false;
  #elsewhere = false;
  /** Reports by call; null: being checked. @type {Map<string, any>} */ #reports = new Map();

  /** @param {import("../shared/sign.js").Session} session */
  constructor(session) {
    this.#session = session;
    el("more").onclick = () => void this.#load(this.#list.length).catch(failed);
    this.#views = new Views(el("views"), () => failed({message: t("playback_failed")}));
  }

  look() {
    return this.#load(0);
  }

  /** @param {number} after */
  async #load(after) {
    try {
      const v = await this.#session.ask("GET", `/v1/recordings?after=${after}&limit=${pageSize}`);
      this.#list = [...this.#list.slice(0, after), ...v.recordings];
      this.#more = v.more;
    } catch (e) {
      if (/** @type {any} */ (e).code !== "not-found") throw e;
      this.#elsewhere = true;
    }
    this.draw();
  }

  draw() {
    el("more").hidden = !this.#more;
    const rows = this.#list.map((r) => [
      r.parties.map((/** @type {any} */ p) => p.name || p.user).join(", "), r.queue ?? "", when(r.began), clock(r.ms / 1000), `${(r.size / 2 ** 20).toFixed(1)} MiB`,
      t(`state_${r.state}`), this.#report(r.call),
      make("span", {class: "row"}, r.sealed ? make("span", {title: t("sealed_hint")}, t("sealed")) : action("play", () => this.#play(r), r.call),
        action("verify", () => this.#verify(r.call), r.call), action("export", () => this.#export(r.call), r.call)),
    ]);
    table(el("recordings"), this.#elsewhere ? "recordings_elsewhere" : "recordings_empty", ["parties", "queue", "began", "length", "size", "state", "result", ""], rows);
  }

  /** @param {string} call */
  #report(call) {
    const r = this.#reports.get(call);
    if (r === undefined) return make("span", {class: "soft"}, t("unchecked"));
    if (r === null) return make("span", {role: "status"}, t("checking"));
    const text = has(`verdict_${r.verdict}`) ? t(`verdict_${r.verdict}`) : t("verdict_other", {verdict: r.verdict});
    const found = (r.findings ?? []).map((/** @type {any} */ f) => make("li", {}, f.text ?? f.Text ?? JSON.stringify(f)));
    return make("div", {role: "status", class: r.verdict === "genuine" ? "good" : "bad"}, text, found.length ? make("details", {}, make("summary", {}, t("findings")), make("ul", {}, ...found)) : "");
  }

  /** @param {any} r @param {number} [part] */
  async #play(r, part = 1) {
    try {
      const v = await this.#session.ask("POST", `/v1/recordings/${r.call}/ticket`, {});
      el("playback").hidden = false;
      write("playback-title", t("playback", {time: when(r.began)}));
      el("parts").replaceChildren(...(r.parts > 1 ? Array.from({length: r.parts}, (_, i) => make("button", {
        class: "slim", type: "button", "aria-pressed": String(i + 1 === part), click: () => this.#play(r, i + 1),
      }, t("part", {n: i + 1}))) : []));
      el("playback").scrollIntoView({block: "nearest"});
      await this.#views.show(r.parties.map((/** @type {any} */ p) => ({name: p.name || p.user, url: `${v.url}&part=${part}&party=${encodeURIComponent(p.user)}`})));
    } catch (e) {
      failed(e);
    }
  }

  /** @param {string} call */
  async #verify(call) {
    this.#reports.set(call, null);
    this.draw();
    try {
      this.#reports.set(call, await this.#session.ask("GET", `/v1/recordings/${call}/verify`));
    } catch (e) {
      this.#reports.delete(call);
      failed(e);
    }
    this.draw();
  }

  /** @param {string} call */
  async #export(call) {
    try {
      const r = await fetch(`/v1/recordings/${call}/export`, {headers: {Authorization: `Bearer ${await this.#session.token()}`}});
      if (!r.ok) throw await r.json();
      const url = URL.createObjectURL(await r.blob());
      make("a", {href: url, download: `${call}.zip`}).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (e) {
      failed(e);
    }
  }
}
