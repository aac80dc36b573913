// Who waits, and the other desks: asked for while the page is looked at.

import {clock, el, make, since, t} from "../shared/ui.js";

const every = 2_000;

/** @typedef {import("../shared/sign.js").Session} Session */

export class Lines {
  /** @type {any[]} */ #lines = [];
  /** @type {any[]} */ colleagues = [];
  #session;
  #served;

  /** @param {Session} session @param {() => boolean} open whether the desk is */
  constructor(session, open) {
    this.#session = session;
    this.#served = open;
    setInterval(() => !document.hidden && void this.look(), every);
    setInterval(() => this.#tick(), 1_000);
  }

  /** The queues, for passing calls on. */
  get queues() {
    return this.#lines.map((l) => ({id: l.queue, name: l.name || l.queue}));
  }

  async look() {
    try {
      const v = await this.#session.ask("GET", "/v1/desk");
      [this.#lines, this.colleagues] = [v.lines, v.colleagues];
      this.draw();
    } catch { /* the socket tells when the server is gone; it is asked again */ }
  }

  draw() {
    const head = () => make("thead", {}, make("tr", {}, ...["place", "name", "about", "waits"].map((c) => make("th", {scope: "col"}, t(`column_${c}`)))));
    const table = (/** @type {any} */ l) => {
      if (!l.serves) return make("p", {class: "soft small"}, t(this.#served() ? "line_others" : "line_closed", {n: l.waiting}));
      if (!l.callers?.length) return make("p", {class: "empty"}, t("line_empty"));
      return make("div", {class: "scroll"}, make("table", {}, head(), make("tbody", {}, ...l.callers.map((/** @type {any} */ c) => make("tr", {},
        make("td", {class: "figure"}, String(c.position)), make("td", {}, c.name || t("nameless"), c.ringing ? " ☎" : ""), make("td", {}, c.note ?? ""),
        make("td", {class: "figure", "data-since": c.since}, clock(since(c.since))),
      )))));
    };
    el("lines").replaceChildren(...this.#lines.map((l) => make("div", {}, make("p", {class: "small"}, make("b", {}, l.name || l.queue)), table(l))));
  }

  #tick() {
    for (const e of el("lines").querySelectorAll("[data-since]")) e.textContent = clock(since(/** @type {HTMLElement} */ (e).dataset.since ?? ""));
  }
}
