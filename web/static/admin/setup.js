// Queues and people.

import {el, failed, make, t, value, write} from "../shared/ui.js";
import {action, table} from "./table.js";

const policies = ["", "never", "on-request", "always", "must"];
const roles = ["caller", "agent", "supervisor", "auditor", "admin"];

const box = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (el(id));

/** A form's submission: what went wrong is told, what worked too. @param {string} form @param {string} saved @param {() => Promise<void>} send */
function onSubmit(form, saved, send) {
  el(form).onsubmit = async (e) => {
    e.preventDefault();
    write(saved, "");
    try {
      await send();
      write(saved, t("saved"));
      write("notice", "");
    } catch (err) {
      failed(err);
    }
  };
}

export class Queues {
  #session;
  /** @type {any[]} */ #list = [];

  /** @param {import("../shared/sign.js").Session} session */
  constructor(session) {
    this.#session = session;
    onSubmit("queue-form", "queue-saved", async () => {
      const id = value("queue-id"), seconds = Number(value("queue-wrapup"));
      const before = this.#list.find((q) => q.id === id) ?? {}; // what the form does not show stays
      await this.#session.ask("PUT", `/v1/queues/${encodeURIComponent(id)}`, {
        ...before, name: value("queue-name") || undefined, record: value("queue-record") || undefined, wrapUp: seconds ? `${seconds}s` : undefined,
        public: box("queue-public").checked, consent: box("queue-consent").checked, closed: box("queue-closed").checked,
      });
      await this.look();
    });
  }

  async look() {
    this.#list = (await this.#session.ask("GET", "/v1/queues")).queues;
    this.draw();
  }

  draw() {
    const kept = value("queue-record");
    el("queue-record").replaceChildren(...policies.map((p) => make("option", {value: p, selected: p === kept}, t(`record_${p || "default"}`))));
    table(el("queues"), "queues_empty", ["id", "name", "record", "state", ""], this.#list.map((q) => [
      q.id, q.name ?? "", t(`record_${q.record || "default"}`), q.closed ? t("queue_closed") : q.public ? t("queue_public") : "",
      make("span", {class: "row"}, action("edit", () => this.#edit(q), q.id), action("remove", () => this.#remove(q.id), q.id)),
    ]));
  }

  /** @param {any} q */
  #edit(q) {
    box("queue-id").value = q.id;
    box("queue-name").value = q.name ?? "";
    box("queue-record").value = q.record ?? "";
    box("queue-wrapup").value = String(seconds(q.wrapUp));
    [box("queue-public").checked, box("queue-consent").checked, box("queue-closed").checked] = [Boolean(q.public), Boolean(q.consent), Boolean(q.closed)];
    write("queue-saved", "");
    box("queue-name").focus();
  }

  /** @param {string} id */
  async #remove(id) {
    if (!confirm(t("sure_remove", {name: id}))) return;
    try {
      await this.#session.ask("DELETE", `/v1/queues/${encodeURIComponent(id)}`);
      await this.look();
    } catch (e) {
      failed(e);
    }
  }
}

/** A time as the server writes it, "1m30s", in seconds. @param {string} [text] */
function seconds(text = "") {
  const unit = /** @type {Record<string, number>} */ ({h: 3600, m: 60, s: 1, ms: 0.001});
  return Math.round([...text.matchAll(/([\d.]+)(h|ms|m|s)/g)].reduce((sum, [, n, u]) => sum + Number(n) * unit[u], 0));
}

export class People {
  #session;
  /** @type {any[]} */ #list = [];

  /** @param {import("../shared/sign.js").Session} session */
  constructor(session) {
    this.#session = session;
    el("person-roles").replaceChildren(...roles.map((r) => make("label", {class: "row"}, make("input", {type: "checkbox", value: r}), make("span", {"data-t": `role_${r}`}, t(`role_${r}`)))));
    onSubmit("person-form", "person-saved", async () => {
      const id = value("person-id"), before = this.#list.find((u) => u.id === id);
      await this.#session.ask("PUT", `/v1/users/${encodeURIComponent(id)}`, {
        name: value("person-name") || undefined, roles: this.#boxes().filter((b) => b.checked).map((b) => b.value), queues: before?.queues, skills: before?.skills,
        password: box("person-password").value || undefined,
      });
      box("person-password").value = "";
      await this.look();
    });
  }

  #boxes() {
    return /** @type {HTMLInputElement[]} */ ([...el("person-roles").querySelectorAll("input")]);
  }

  async look() {
    this.#list = (await this.#session.ask("GET", "/v1/users")).users;
    this.draw();
  }

  draw() {
    table(el("people"), "people_empty", ["id", "full_name", "roles", "state", ""], this.#list.map((u) => [
      u.id, u.name ?? "", (u.roles ?? []).map((/** @type {string} */ r) => t(`role_${r}`)).join(", "), t(u.disabled ? "disabled" : u.here ? "here" : "away"),
      make("span", {class: "row"}, action("edit", () => this.#edit(u), u.id), action(u.disabled ? "enable" : "disable", () => this.#do("POST", u.id, u.disabled ? "/enable" : "/disable"), u.id),
        action("remove", () => confirm(t("sure_remove", {name: u.id})) && this.#do("DELETE", u.id, ""), u.id)),
    ]));
  }

  /** @param {any} u */
  #edit(u) {
    box("person-id").value = u.id;
    box("person-name").value = u.name ?? "";
    box("person-password").value = "";
    for (const b of this.#boxes()) b.checked = (u.roles ?? []).includes(b.value);
    write("person-saved", "");
    box("person-name").focus();
  }

  /** @param {string} method @param {string} id @param {string} what */
  async #do(method, id, what) {
    try {
      await this.#session.ask(method, `/v1/users/${encodeURIComponent(id)}${what}`);
      await this.look();
    } catch (e) {
      failed(e);
    }
  }
}
