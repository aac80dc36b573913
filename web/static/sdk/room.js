// A party's socket: docs/signaling.md. Events of the server come as events of this object, in order, none missing and none twice over breaks of the
// connection; requests are asked again where an answer did not come.

const subprotocol = "duet.v1";
const firstPause = 100, longestPause = 2_000; // ms
const pingEvery = 20_000;
const deadAfter = 3 * pingEvery;
const renewBefore = 60_000;

/** A refusal by the server, with a stable code. */
export class RoomError extends Error {
  /** @param {{code: string, status?: number, title?: string, detail?: string}} e */
  constructor(e) {
    super(e.detail || e.title || e.code);
    this.code = e.code;
    this.status = e.status ?? 0;
  }
}

/**
 * @typedef {Record<string, any>} Fields
 * @typedef {{server?: string, token: () => Promise<string>}} Options
 */

/**
 * A party in calls: requests go by `ask` and the methods below, what happens comes as CustomEvents named like the protocol's (`call.offered`, `message`, …) whose
 * `detail` is the event, and as `state` when everything known before is to be forgotten (`detail` is the state). `online` and `offline` tell of the socket, `closed` of its end.
 */
export class Room extends EventTarget {
  /** @param {Options} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#server = new URL(options.server ?? location.origin);
  }

  #options;
  #server;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Map<number, {text: string, resolve: (ok: any) => void, reject: (e: Error) => void}>} */ #pending = new Map();
  #nextID = 1;
  #seq = 0;
  #heard = 0;
  #pause = firstPause;
  #over = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #clock;
  #expires = 0;

  user = "";
  name = "";
  /** @type {string[]} */ roles = [];

  /** Connects; it is kept up until close. @returns {Promise<void>} rejects if the token is refused or nobody is there */
  async connect() {
    await this.#open();
    this.#clock = setInterval(() => this.#tick(), 1_000);
  }

  /** Ends it. */
  close() {
    this.#over = true;
    clearInterval(this.#clock);
    this.#socket?.close(1000);
    for (const p of this.#pending.values()) p.reject(new RoomError({code: "closed"}));
    this.#pending.clear();
  }

  /** @param {string} type @param {Fields} [fields] @returns {Promise<any>} what the server answers; rejects with a RoomError */
  ask(type, fields = {}) {
    const id = this.#nextID++;
    const text = JSON.stringify({...fields, id, type});
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(new RoomError({code: "closed"}));
      this.#pending.set(id, {text, resolve, reject});
      if (this.#socket?.readyState === WebSocket.OPEN && this.user) this.#socket.send(text);
    });
  }

  /** @param {string} queue @param {string} [note] @returns {Promise<string>} the call */
  async joinQueue(queue, note) { return (await this.ask("queue.join", {queue, note})).call; }
  /** @param {string} user @param {string} [note] @returns {Promise<string>} the call */
  async dial(user, note) { return (await this.ask("call.dial", {user, note})).call; }
  /** @param {string[]} [queues] */
  openRoom(queues) { return this.ask("room.open", {queues}); }
  closeRoom() { return this.ask("room.close"); }
  /** @param {string} call @param {string} [disposition] @param {string} [note] */
  ready(call, disposition, note) { return this.ask("room.ready", {call, disposition, note}); }
  /** @param {string} call */
  accept(call) { return this.ask("call.accept", {call}); }
  /** @param {string} call */
  decline(call) { return this.ask("call.decline", {call}); }
  /** @param {string} call */
  hangUp(call) { return this.ask("call.hangup", {call}); }
  /** @param {string} call @param {{agent?: string, queue?: string, note?: string}} to */
  transfer(call, to) { return this.ask("call.transfer", {call, ...to}); }
  /** @param {string} call @param {string} body @param {string} [cmd] */
  say(call, body, cmd) { return this.ask("message.send", {call, body, cmd, mid: crypto.randomUUID()}); }
  /** @param {string} call @param {number} n */
  seen(call, n) { return this.ask("message.seen", {call, delivered: n, read: n}); }
  /** @param {string} call @param {boolean} agree */
  consent(call, agree) { return this.ask("record.consent", {call, agree}); }
  /** @param {string} call @param {number} code @param {string} [text] */
  report(call, code, text) { return this.ask("report", {call, code, text}).catch(() => undefined); }

  /**
   * Gives a call's media to two elements: the push URL to a live-pusher and the play URLs to a live-player, and tells the server what they tell.
   * @param {HTMLElement} pusher @param {HTMLElement} player
   */
  attach(pusher, player) {
    let call = "";
    const report = (/** @type {Event} */ e) => {
      if (call) void this.report(call, /** @type {CustomEvent} */ (e).detail.code);
    };
    pusher.addEventListener("statechange", report);
    player.addEventListener("statechange", report);
    /** What each of them has at present, by stream: a URL of the same stream changes nothing. @type {Map<HTMLElement, string>} */
    const streams = new Map();
    const give = async (/** @type {any} */ element, /** @type {string} */ attribute, /** @type {any} */ ev) => {
      call = ev.call;
      if (streams.get(element) === ev.stream && element.running) return;
      const before = streams.get(element);
      streams.set(element, ev.stream);
      if (before) await element.stop();
      element.setAttribute(attribute, ev.url);
      await (attribute === "url" ? element.start() : element.play());
    };
    this.addEventListener("call.push", (e) => void give(pusher, "url", /** @type {CustomEvent} */ (e).detail));
    // One player: the caller sees the agent who came last, everybody else the caller (step 4 of the seven), also while a call is passed on and there are two agents.
    let caller = false;
    this.addEventListener("call.play", (e) => {
      const ev = /** @type {CustomEvent} */ (e).detail;
      if (ev.role === "supervisor" || (caller && ev.step !== 4)) return;
      caller = ev.step === 4;
      void give(player, "src", ev);
    });
    const stop = () => {
      call = "";
      caller = false;
      streams.clear();
      void /** @type {any} */ (pusher).stop();
      void /** @type {any} */ (player).stop();
      pusher.removeAttribute("url");
      player.removeAttribute("src");
    };
    this.addEventListener("call.ended", stop);
    this.addEventListener("state", (e) => {
      const state = /** @type {CustomEvent} */ (e).detail;
      for (const ev of state.urls) this.#tell(ev.type, ev);
      if (!state.calls.length && call) stop();
    });
  }

  async #open() {
    const token = await this.#options.token();
    const url = new URL("/v1/socket", this.#server);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, subprotocol);
    this.#socket = socket;
    await new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify({id: 0, type: "hello", token, ...(this.#seq ? {after: this.#seq} : {})}));
      socket.onmessage = (m) => {
        this.#heard = Date.now();
        const v = JSON.parse(m.data);
        if (v.reply === 0) {
          if (v.error) return reject(new RoomError(v.error));
          this.#hello(v.ok);
          return resolve(undefined);
        }
        this.#take(v);
      };
      socket.onclose = (e) => {
        reject(new RoomError({code: e.code === 4401 ? "unauthorized" : e.code === 4403 ? "disabled" : "unreachable", detail: e.reason}));
        if (this.#socket === socket) this.#lost(e.code);
      };
    });
  }

  /** @param {any} ok */
  #hello(ok) {
    [this.user, this.name, this.roles] = [ok.user, ok.name ?? "", ok.roles];
    this.#expires = Date.parse(ok.expires);
    this.#pause = firstPause;
    if (!ok.resumed) {
      this.#seq = ok.seq;
      this.#tell("state", ok.state);
    }
    for (const p of this.#pending.values()) this.#socket?.send(p.text); // those without an answer, in their order
    this.#tell("online", null);
  }

  /** @param {any} v */
  #take(v) {
    if (v.reply !== undefined) {
      const p = this.#pending.get(v.reply);
      this.#pending.delete(v.reply);
      if (v.error) p?.reject(new RoomError(v.error));
      else p?.resolve(v.ok);
      return;
    }
    if (v.type === "ping") return this.#socket?.send('{"type":"pong"}');
    if (v.type === "pong" || (v.seq && v.seq <= this.#seq)) return undefined;
    if (v.seq) this.#seq = v.seq;
    return this.#tell(v.type, v);
  }

  /** @param {string} type @param {any} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  /** @param {number} code */
  #lost(code) {
    this.#socket = null;
    if (this.#over) return;
    if (code === 4403) {
      this.close();
      this.#tell("closed", {code: "disabled"});
      return;
    }
    if (!this.#clock) return; // connect has not come to its end
    this.#tell("offline", null);
    setTimeout(() => {
      if (!this.#over) {
        this.#open().catch((e) => {
          if (e.code !== "unauthorized") return; // onclose goes on
          this.close();
          this.#tell("closed", {code: e.code});
        });
      }
    }, this.#pause);
    this.#pause = Math.min(2 * this.#pause, longestPause);
  }

  #tick() {
    const s = this.#socket;
    if (s?.readyState !== WebSocket.OPEN) return;
    const silent = Date.now() - this.#heard;
    if (silent > deadAfter) s.close();
    else if (silent > pingEvery) s.send('{"type":"ping"}');
    if (this.#expires && Date.now() > this.#expires - renewBefore) {
      this.#expires = 0;
      this.#options.token().then((token) => this.ask("renew", {token})).then((ok) => (this.#expires = Date.parse(ok.expires)), () => (this.#expires = Date.now() + 2 * renewBefore));
    }
  }
}

/**
 * Asks the HTTP interface.
 * @param {string} method @param {string} path @param {Fields} [body] @param {string} [token]
 */
export async function api(method, path, body, token) {
  const r = await fetch(path, {
    method, headers: {...(body ? {"Content-Type": "application/json"} : {}), ...(token ? {Authorization: `Bearer ${token}`} : {})}, ...(body ? {body: JSON.stringify(body)} : {}),
  });
  const text = await r.text();
  const v = text ? JSON.parse(text) : null;
  if (!r.ok) throw new RoomError(v ?? {code: String(r.status)});
  return v;
}
