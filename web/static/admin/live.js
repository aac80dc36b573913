// What goes on at the moment: desks, calls, and what the relay carries.

import {Graph} from "../shared/graph.js";
import {clock, el, failed, has, since, t, when, why, write} from "../shared/ui.js";
import {action, table} from "./table.js";

const every = 2_000;

/** A quantile of what two looks at a histogram differ by, in ms; 0 if nothing came between. @param {any[]} before @param {any[]} now @param {number} q */
export function quantile(before, now, q) {
  const counts = now.map((b, i) => b.packets - (before[i]?.packets ?? 0)), total = counts.at(-1) ?? 0;
  if (total <= 0) return 0;
  const i = counts.findIndex((n) => n >= q * total);
  if (i < 0) return now.at(-1).ms;
  const [low, below] = i ? [now[i - 1].ms, counts[i - 1]] : [0, 0];
  return low + (now[i].ms - low) * (counts[i] > below ? (q * total - below) / (counts[i] - below) : 1); // evenly within a bucket
}

export class Live {
  every = every;
  #session;
  /** @type {any} */ #rooms = [];
  /** @type {any[]} */ #calls = [];
  /** @type {any[]} */ #ended = [];
  /** @type {any} */ #media = null; // of the last look, with `at`
  #elsewhere = false;
  /** @type {Record<string, {graph: Graph, unit: string}>} */ #graphs;

  /** @param {import("../shared/sign.js").Session} session */
  constructor(session) {
    this.#session = session;
    const graph = (/** @type {string} */ name, /** @type {string} */ unit, /** @type {number} */ least) => ({unit, graph: new Graph(el(`graph-${name}`), {
      least, label: (last, most) => t("graph_label", {what: t(`graph_${name}`), unit, last: round(last), most: round(most)}),
    })});
    this.#graphs = {out: graph("out", "Mbit/s", 1), relay: graph("relay", "ms", 5), again: graph("again", "%", 1), cpu: graph("cpu", "%", 25)};
  }

  async look() {
    const ask = (/** @type {string} */ path) => this.#session.ask("GET", path);
    const [rooms, live, ended] = await Promise.all([ask("/v1/rooms"), ask("/v1/calls?state=live&limit=200"), ask("/v1/calls?state=ended&limit=20")]);
    [this.#rooms, this.#calls, this.#ended] = [rooms.rooms, live.live ?? [], ended.ended ?? []];
    if (!this.#elsewhere) await this.#lookMedia();
    this.draw();
  }

  async #lookMedia() {
    /** @type {any} */ let now;
    try {
      now = {...(await this.#session.ask("GET", "/v1/media")), at: performance.now()};
    } catch (e) {
      this.#elsewhere = /** @type {any} */ (e).code === "not-found";
      if (!this.#elsewhere) throw e;
      return;
    }
    const before = this.#media;
    this.#media = now;
    el("graphs").hidden = false;
    if (!before || now.bytesOut < before.bytesOut) return; // the first look, or the server is a new one
    const seconds = (now.at - before.at) / 1000;
    const again = now.retransmits + now.repairs - before.retransmits - before.repairs;
    this.#show("out", (8e-6 * (now.bytesOut - before.bytesOut)) / seconds);
    this.#show("relay", quantile(before.delay, now.delay, 0.99));
    this.#show("again", (100 * again) / Math.max(1, now.packets - before.packets));
    this.#show("cpu", (100 * (now.cpu - before.cpu)) / seconds);
  }

  /** @param {string} name @param {number} v */
  #show(name, v) {
    const g = this.#graphs[name];
    g.graph.push(v);
    write(`v-${name}`, `${round(v)} ${g.unit}`);
  }

  draw() {
    const open = this.#rooms.filter((/** @type {any} */ r) => r.state !== "CLOSE");
    write("n-calls", String(this.#calls.filter((c) => c.state === "setup" || c.state === "connected").length));
    write("n-waiting", String(this.#calls.filter((c) => c.state === "waiting" || c.state === "offered").length));
    write("n-busy", String(open.filter((/** @type {any} */ r) => r.field === "BUSY").length));
    write("n-idle", String(open.filter((/** @type {any} */ r) => r.state === "IDLE").length));
    table(el("rooms"), "rooms_empty", ["agent", "state", "since", "call"], open.map((/** @type {any} */ r) => [
      r.name || r.agent, t(`room_${r.state}`) + (r.closing ? ` · ${t("room_closing")}` : ""), clock(since(r.since)), this.#nameOf(r.call),
    ]));
    table(el("calls"), "calls_empty", ["caller", "queue", "state", "since", "parties", ""], this.#calls.map((c) => [
      c.name || c.caller, c.queue ?? "", t(`call_${c.state}`), clock(since(c.created)), c.parties.map((/** @type {any} */ p) => p.name || p.user).join(", "),
      action("end_call", () => this.#end(c), c.name || c.caller),
    ]));
    table(el("ended"), "ended_empty", ["caller", "queue", "began", "length", "agent", "reason", "result"], this.#ended.map((c) => [
      c.name || c.caller, c.queue ?? "", when(c.created), c.accepted ? clock((Date.parse(c.ended) - Date.parse(c.accepted)) / 1000) : "", (c.agents ?? []).join(", "),
      why(c, ""), has(`disposition_${c.disposition}`) ? t(`disposition_${c.disposition}`) : c.disposition ?? "",
    ]));
  }

  /** Who is in a call. @param {string} id */
  #nameOf(id) {
    const c = this.#calls.find((one) => one.id === id);
    return c ? c.name || c.caller : "";
  }

  /** @param {any} c */
  async #end(c) {
    if (!confirm(t("sure_end", {name: c.name || c.caller}))) return;
    try {
      await this.#session.ask("POST", `/v1/calls/${c.id}/end`, {});
      await this.look();
    } catch (e) {
      failed(e);
    }
  }
}

/** @param {number} v */
const round = (v) => String(v < 10 ? Math.round(10 * v) / 10 : Math.round(v));
