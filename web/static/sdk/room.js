// A party's socket: docs/signaling.md. What happens comes as events of this object, in order, none missing and none twice over breaks of the connection;
// requests are asked again where an answer did not come, which is safe: the server knows what has been done.

const subprotocol = "duet.v1";
const helloID = 0;
const firstPause = 100, longestPause = 2_000; // ms, between attempts
const helloWithin = 10_000;
const usualPing = 20_000;
const deadAfter = 3; // pings
const renewBefore = 60_000;
const tickEvery = 1_000;
/** Media that gave up is begun again with fresh URLs, after pauses that grow; a call of which the network is gone for good is ended by the server. */
const firstMediaPause = 1_000, longestMediaPause = 8_000;
/** The server has ended it: replaced by another page of the same party, or the call is over. To come again would replace that one in turn. */
const endedByServer = 3004;

/** A refusal by the server, with a stable code (docs/signaling.md, Errors). `unreachable` without a status: nobody answered. */
export class RoomError extends Error {
  /** @param {{code: string, status?: number, title?: string, detail?: string}} e */
  constructor(e) {
    super(e.detail || e.title || e.code);
    this.name = "RoomError";
    this.code = e.code;
    this.status = e.status ?? 0;
  }

  /** Whether trying again is no use. */
  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

/**
 * @typedef {Record<string, any>} Fields
 * @typedef {object} Options
 * @property {(refused: boolean) => Promise<string>} token gives a user token that is valid for a while; refused: the server did not take the last one
 * @property {string} [server] origin of the server; default: the page's
 * @typedef {{text: string, resolve: (ok: any) => void, reject: (e: Error) => void}} Pending
 * @typedef {HTMLElement & {running: boolean, start?: () => Promise<void>, play?: () => Promise<void>, stop: () => Promise<void>}} Live
 */

/**
 * A party in calls. Requests go by `ask` and the methods below; events are CustomEvents named like the protocol's (`call.offered`, `message`, …) whose `detail` is the
 * event. Besides: `state` (forget everything known before; `detail` is what is), `online` and `offline` (the socket), `closed` ({code}: it is over, and does not come again).
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
  /** @type {Map<number, Pending>} requests without an answer, in their order */ #pending = new Map();
  #nextID = helloID + 1;
  #seq = 0;
  #heard = 0;
  #wrote = 0;
  #ping = usualPing;
  #pause = firstPause;
  #greeted = false; // this socket's hello was answered
  #over = false;
  #refused = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #clock;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #again;
  #expires = 0;
  #onNetwork = () => this.#hurry();

  user = "";
  name = "";
  /** @type {string[]} */ roles = [];

  /** Whether the server is there at the moment. */
  get online() {
    return this.#greeted;
  }

  /** Connects; the socket is kept up until close. @returns {Promise<void>} rejects if the token is refused or nobody is there */
  async connect() {
    try {
      await this.#open(await this.#options.token(false));
    } catch (e) {
      this.close();
      throw e;
    }
    this.#clock = setInterval(() => this.#tick(), tickEvery);
    globalThis.addEventListener("online", this.#onNetwork);
  }

  /** Ends it. The calls go on as if the network were gone: hang up first. */
  close() {
    this.#over = true;
    this.#greeted = false;
    clearInterval(this.#clock);
    clearTimeout(this.#again);
    globalThis.removeEventListener("online", this.#onNetwork);
    this.#socket?.close(1000);
    for (const p of this.#pending.values()) p.reject(new RoomError({code: "closed"}));
    this.#pending.clear();
  }

  /**
   * Asks the server, now or when it is there again.
   * @param {string} type @param {Fields} [fields] @returns {Promise<any>} what the server answers; rejects with a RoomError
   */
  ask(type, fields = {}) {
    const id = this.#nextID++;
    const text = JSON.stringify({...fields, id, type});
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(new RoomError({code: "closed"}));
      this.#pending.set(id, {text, resolve, reject});
      if (this.#greeted) this.#write(text);
    });
  }

  /** @param {string} queue @param {string} [note] @param {string[]} [skills] @returns {Promise<string>} the call */
  async joinQueue(queue, note, skills) { return (await this.ask("queue.join", {queue, note, skills})).call; }
  /** @param {string} user @param {string} [note] @returns {Promise<string>} the call */
  async dial(user, note) { return (await this.ask("call.dial", {user, note})).call; }
  /** The answer while `record.state` is `asked`. @param {string} call @param {boolean} agree */
  consent(call, agree) { return this.ask("record.consent", {call, agree}); }

  /** @param {string[]} [queues] @param {string[]} [skills] */
  openRoom(queues, skills) { return this.ask("room.open", {queues, skills}); }
  /** Closes after the call that is in it. @param {string} [agent] a supervisor: whose */
  closeRoom(agent) { return this.ask("room.close", {agent}); }
  /** @param {string} call @param {string} [disposition] @param {string} [note] */
  ready(call, disposition, note) { return this.ask("room.ready", {call, disposition, note}); }
  /** @param {string} call */
  accept(call) { return this.ask("call.accept", {call}); }
  /** @param {string} call */
  decline(call) { return this.ask("call.decline", {call}); }
  /** @param {string} call @param {{agent?: string, queue?: string, note?: string}} to */
  transfer(call, to) { return this.ask("call.transfer", {call, ...to}); }
  /** @param {string} call */
  cancelTransfer(call) { return this.ask("call.transfer-cancel", {call}); }
  /** @param {string} call @param {"start" | "stop" | "snapshot"} what */
  record(call, what) { return this.ask(`record.${what}`, {call}); }

  /** @param {string} call */
  hangUp(call) { return this.ask("call.hangup", {call}); }
  /** @param {string} call @returns {Promise<Fields[]>} the member's call.push and call.play events, with fresh URLs */
  async urls(call) { return (await this.ask("call.urls", {call})).urls ?? []; }
  /** @param {string} call @param {string} body @param {string} [cmd] makes it a custom message @returns {Promise<number>} its number */
  async say(call, body, cmd) { return (await this.ask("message.send", {call, body, cmd, mid: crypto.randomUUID()})).message; }
  /** Up to these numbers. @param {string} call @param {{delivered?: number, read?: number}} upTo */
  seen(call, upTo) { return this.ask("message.seen", {call, ...upTo}); }
  /** @param {string} call @param {number} [after] @returns {Promise<Fields[]>} */
  async messages(call, after) { return (await this.ask("message.list", {call, after})).messages ?? []; }
  /** For the server's log: a call goes on without. @param {string} call @param {number} code @param {string} [text] */
  report(call, code, text) { return this.ask("report", {call, code, text}).catch(() => undefined); }

  /** @param {string} call */
  watch(call) { return this.ask("call.watch", {call}); }
  /** @param {string} call */
  join(call) { return this.ask("call.join", {call}); }
  /** @param {string} call */
  leave(call) { return this.ask("call.leave", {call}); }
  /** @param {string} call @param {string} user */
  remove(call, user) { return this.ask("call.remove", {call, user}); }
  /** @param {string} call @param {string} [reason] */
  end(call, reason) { return this.ask("call.end", {call, reason}); }
  /** @param {"rooms" | "queues" | "calls"} what @returns {Promise<Fields[]>} */
  async list(what) { return (await this.ask(`list.${what}`))[what] ?? []; }

  /**
   * Gives a call's media to elements: the push URL to a live-pusher, and the play URL of the other party to a live-player. A caller sees the agent who came last, everybody
   * else the caller; who is there besides (a supervisor, the agent that a call comes from) gets a live-player of their own in `others`, or none. The server is told what
   * pusher and player tell. Once, before connect.
   * @param {Live} pusher @param {Live} player @param {HTMLElement} [others]
   */
  attach(pusher, player, others) {
    let call = "";
    /** What each element has. @type {Map<Live, {stream: string, user: string, pause: number}>} */ const has = new Map();
    const listen = (/** @type {Live} */ e) => {
      e.addEventListener("statechange", (ev) => call && void this.report(call, /** @type {CustomEvent} */ (ev).detail.code));
      e.addEventListener("close", (ev) => this.#revive(e, has.get(e), /** @type {CustomEvent} */ (ev).detail.code, () => call, give));
    };
    const give = async (/** @type {Live} */ element, /** @type {any} */ ev) => {
      call = ev.call;
      const before = has.get(element);
      if (before?.stream === ev.stream && element.running) return;
      has.set(element, {stream: ev.stream, user: ev.user, pause: before && before.stream === ev.stream ? before.pause : firstMediaPause});
      if (element.running) await element.stop();
      if (has.get(element)?.stream !== ev.stream) return; // meanwhile it got another
      element.setAttribute(element.play ? "src" : "url", ev.url);
      await (element.play ? element.play() : element.start?.());
    };
    const take = (/** @type {Live} */ element) => {
      has.delete(element);
      element.removeAttribute(element.play ? "src" : "url");
      return element.stop();
    };
    const extra = (/** @type {any} */ ev) => {
      if (!others) return;
      let e = [...has].find(([one, h]) => one !== player && one.play && h.user === ev.user)?.[0];
      if (!e) {
        e = /** @type {Live} */ (document.createElement("live-player"));
        listen(e);
        others.append(e);
      }
      void give(e, ev);
    };
    const stop = () => {
      call = "";
      for (const e of [pusher, player]) void take(e);
      for (const e of has.keys()) void take(e);
      others?.replaceChildren();
    };
    const on = (/** @type {string} */ type, /** @type {(ev: any) => void} */ f) => this.addEventListener(type, (e) => f(/** @type {CustomEvent} */ (e).detail));
    listen(pusher);
    listen(player);
    let answering = false; // not the caller: the main picture is the caller's, which comes at step 4
    on("call.push", (ev) => void give(pusher, ev));
    on("call.play", (ev) => {
      if (ev.step === 4) answering = true;
      if (ev.role === "supervisor" || (answering && ev.step !== 4)) extra(ev);
      else void give(player, ev);
    });
    on("call.party-left", (ev) => {
      if (ev.user === this.user) stop();
      for (const [e, h] of has) {
        if (e === pusher || h.user !== ev.user) continue;
        void take(e);
        if (e !== player) e.remove();
      }
    });
    on("call.ended", () => {
      answering = false;
      stop();
    });
    on("state", (state) => {
      if (call && !state.calls.some((/** @type {any} */ c) => c.id === call)) stop();
      answering = false;
      for (const ev of state.urls) this.#tell(ev.type, ev);
    });
  }

  /**
   * Media gave up while the call goes on: with fresh URLs it may work again.
   * @param {Live} element @param {{stream: string, pause: number} | undefined} had @param {number} code @param {() => string} call
   * @param {(element: Live, ev: any) => Promise<void>} give
   */
  #revive(element, had, code, call, give) {
    if (!had || code === 0 || code === endedByServer) return;
    const id = call();
    setTimeout(async () => {
      if (!id || call() !== id || element.running) return;
      const list = await this.urls(id).catch(() => []);
      const ev = list.find((e) => e.stream === had.stream && (e.type === "call.play") === Boolean(element.play));
      had.pause = Math.min(2 * had.pause, longestMediaPause);
      if (ev && call() === id && !element.running) await give(element, {...ev, call: id});
    }, had.pause);
  }

  /** @param {string} token @param {boolean} [twice] it comes in place of one that was refused */
  async #open(token, twice = false) {
    if (this.#over) throw new RoomError({code: "closed"});
    const url = new URL("/v1/socket", this.#server);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, subprotocol);
    this.#socket = socket;
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => socket.close(), helloWithin);
      socket.onopen = () => this.#write(JSON.stringify({id: helloID, type: "hello", token, ...(this.#seq ? {after: this.#seq} : {})}));
      socket.onmessage = (m) => {
        if (this.#socket !== socket) return;
        this.#heard = Date.now();
        const v = JSON.parse(m.data);
        if (v.reply !== helloID) return this.#take(v);
        clearTimeout(late);
        if (v.error) return reject(new RoomError(v.error));
        this.#hello(v.ok);
        return resolve(undefined);
      };
      socket.onclose = (e) => {
        clearTimeout(late);
        const why = e.code === 4401 ? {code: "unauthorized", status: 401} : e.code === 4403 ? {code: "disabled", status: 403} : {code: "unreachable"};
        const error = new RoomError({...why, detail: e.reason});
        reject(error);
        if (this.#socket === socket) this.#lost(error, twice);
      };
    });
  }

  /** @param {any} ok */
  #hello(ok) {
    [this.user, this.name, this.roles] = [ok.user, ok.name ?? "", ok.roles];
    this.#expires = Date.parse(ok.expires);
    this.#ping = 1_000 * (parseFloat(ok.ping) || usualPing / 1_000);
    this.#pause = firstPause;
    this.#greeted = true;
    for (const p of this.#pending.values()) this.#write(p.text);
    this.#tell("online", null);
    if (ok.resumed) return;
    this.#seq = ok.seq;
    this.#tell("state", ok.state);
  }

  /** @param {any} v */
  #take(v) {
    if (v.reply !== undefined) {
      const p = this.#pending.get(v.reply);
      this.#pending.delete(v.reply);
      if (v.error) p?.reject(new RoomError(v.error));
      else p?.resolve(v.ok ?? {});
    } else if (v.type === "ping") {
      this.#write('{"type":"pong"}');
    } else if (v.type !== "pong" && !(v.seq && v.seq <= this.#seq)) {
      if (v.seq) this.#seq = v.seq;
      this.#tell(v.type, v);
    }
  }

  /** @param {string} text */
  #write(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(text);
    this.#wrote = Date.now();
  }

  /** @param {string} type @param {any} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  /** The socket is gone. @param {RoomError} why @param {boolean} twice the token was refused before */
  #lost(why, twice) {
    this.#socket = null;
    const was = this.#greeted;
    this.#greeted = false;
    if (this.#over || !this.#clock) return; // connect has not come to its end, and tells of it
    if (why.code === "disabled" || (why.code === "unauthorized" && twice)) return this.#end(why);
    this.#refused = why.code === "unauthorized";
    if (was) this.#tell("offline", null);
    this.#later();
  }

  #later() {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => void this.#retry(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, longestPause);
  }

  async #retry() {
    if (this.#over || this.#socket) return;
    const refused = this.#refused;
    try {
      const token = await this.#options.token(refused);
      if (!this.#over && !this.#socket) await this.#open(token, refused).catch(() => undefined); // its end has told
    } catch (e) {
      if (this.#over) return;
      if (e instanceof RoomError && e.final) this.#end(e);
      else this.#later();
    }
  }

  /** The network has just come back. */
  #hurry() {
    if (this.#over || this.#socket) return;
    this.#pause = firstPause;
    this.#later();
  }

  /** @param {RoomError} why */
  #end(why) {
    this.close();
    this.#tell("closed", {code: why.code, message: why.message});
  }

  #tick() {
    const now = Date.now();
    if (!this.#greeted) return;
    if (now - this.#heard > deadAfter * this.#ping) {
      const socket = this.#socket;
      this.#socket = null; // closing a dead one takes long
      socket?.close();
      this.#lost(new RoomError({code: "unreachable"}), false);
      return;
    }
    if (now - this.#wrote > this.#ping) this.#write('{"type":"ping"}');
    if (this.#expires && now > this.#expires - renewBefore) void this.#renew();
  }

  async #renew() {
    this.#expires = 0; // one at a time
    try {
      const token = await this.#options.token(false);
      this.#expires = Date.parse((await this.ask("renew", {token})).expires);
    } catch {
      this.#expires = Date.now() + renewBefore + 5 * tickEvery; // soon again; in the end the server closes, and a new socket needs a new token
    }
  }
}
