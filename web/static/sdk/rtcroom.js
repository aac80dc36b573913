// RTCRoom's functions and callbacks on top of Room, for pages that were written for it: docs/browser.md says what is what.
//
//   import rtcroom from "/sdk/rtcroom.js";
//   rtcroom.setListener({onPusherJoin({pushers}) { … }, onRoomClose() { … }, … });
//   rtcroom.login({data: {userID, userSig}, success() { … }, fail({errCode, errMsg}) { … }});

import {later} from "./later.js";
import {Room, RoomError} from "./room.js";

/**
 * @typedef {{errCode: number, errMsg: string}} Failure
 * @typedef {Record<string, any>} Fields
 * @typedef {{data?: Fields, success?: (ret: any) => void, fail?: (e: Failure) => void}} Ask what RTCRoom's functions take; they also return a promise
 * @typedef {{userID: string, userName: string, accelerateURL: string}} Pusher
 */

/** The field's result codes for the server's refusals. @type {Record<string, number>} */
const codes = {"not-found": 1, malformed: 2, forbidden: 3, unauthorized: 7, "not-member": 5, conflict: 11, full: 5001, busy: 5001, closed: 1};
const otherwise = -1;

/** @param {any} e @returns {Failure} */
const failure = (e) => ({errCode: codes[e?.code] ?? otherwise, errMsg: e?.message || String(e)});

export class RTCRoom {
  /** @type {Record<string, (ret: any) => void>} */ #listener = {};
  /** @type {Room | null} */ #room = null;
  #server = location.origin;
  #call = "";
  #roomID = "";
  #hosting = false;
  /** Who is seen in the room. @type {Map<string, Pusher>} */ #pushers = new Map();
  /** @type {Map<string, string>} */ #names = new Map();
  /** @type {{url: string, give: (url: string) => void} | null} */ #push = null;

  /** @param {Record<string, (ret: any) => void>} callbacks */
  setListener(callbacks) {
    this.#listener = callbacks;
  }

  /** data: userID and userSig, a user token; serverDomain: another server's host. @param {Ask} ask */
  login(ask) {
    return this.#answer(ask, async ({userSig, serverDomain}) => {
      if (!userSig) throw new RoomError({code: "malformed", title: "userSig is missing: a user token (POST /v1/tokens)"});
      if (serverDomain) this.#server = new URL(serverDomain.includes("://") ? serverDomain : `https://${serverDomain}`).origin;
      this.#room?.close();
      const room = new Room({server: this.#server, token: async (refused) => {
        if (refused) throw new RoomError({code: "unauthorized", status: 401, title: "the token has run out"});
        return userSig;
      }});
      this.#room = room;
      this.#listen(room);
      await room.connect();
      return {userID: room.user, userName: room.name};
    });
  }

  /** @param {Ask} [ask] */
  logout(ask = {}) {
    return this.#answer(ask, async () => {
      await this.#leave();
      this.#room?.close();
      this.#room = null;
    });
  }

  /** Rooms are the queues that anybody may enter. data: index, cnt. @param {Ask} ask */
  getRoomList(ask) {
    return this.#answer(ask, async ({index = 0, cnt = 20}) => ({rooms: (await this.#lobby()).slice(index, index + cnt)}));
  }

  /** For a live-pusher's url: it opens camera and microphone, tells 1002, and pushes as soon as the room brings somebody. @param {Ask} [ask] */
  getPushURL(ask = {}) {
    return this.#answer(ask, async () => {
      this.#push = later();
      return {pushURL: this.#push.url};
    });
  }

  /** data: roomID, of the room that one is in. @param {Ask} [ask] */
  getPushers(ask = {}) {
    return this.#answer(ask, async () => ({pushers: [...this.#pushers.values()]}));
  }

  /** An agent's desk, for whoever is next in line; of anybody else, to be entered by the user's ID. The room's ID is the user's. @param {Ask} [ask] */
  createRoom(ask = {}) {
    return this.#answer(ask, async () => {
      const room = this.#here();
      this.#hosting = true;
      this.#roomID ||= room.user;
      if (room.roles.includes("agent")) await room.openRoom();
      return {roomID: this.#roomID};
    });
  }

  /** data: roomID, a queue or the ID of the user whose room it is. @param {Ask} ask */
  enterRoom(ask) {
    return this.#answer(ask, async ({roomID, roomInfo}) => {
      const room = this.#here();
      if (!roomID) throw new RoomError({code: "malformed", title: "roomID is missing"});
      if (this.#call && this.#roomID === roomID) return {roomID}; // 1002 comes again when the push begins
      this.#roomID = roomID;
      const queue = (await this.#lobby()).some((/** @type {any} */ r) => r.roomID === roomID);
      this.#call = queue ? await room.joinQueue(roomID, roomInfo) : await room.dial(roomID, roomInfo);
      return {roomID};
    });
  }

  /** @param {Ask} ask */
  joinPusher(ask) {
    return this.enterRoom(ask);
  }

  /** @param {Ask} [ask] */
  exitRoom(ask = {}) {
    return this.#answer(ask, () => this.#leave());
  }

  /** data: msg. @param {Ask} ask */
  sendRoomTextMsg(ask) {
    return this.#answer(ask, async ({msg}) => void (await this.#here().say(this.#inCall(), msg)));
  }

  /** data: cmd, msg. @param {Ask} ask */
  sendRoomCustomMsg(ask) {
    return this.#answer(ask, async ({cmd, msg, message}) => void (await this.#here().say(this.#inCall(), msg ?? message, cmd)));
  }

  #here() {
    if (!this.#room) throw new RoomError({code: "unauthorized", title: "login comes first"});
    return this.#room;
  }

  #inCall() {
    if (!this.#call) throw new RoomError({code: "not-member", title: "nobody is in the room yet"});
    return this.#call;
  }

  async #lobby() {
    const r = await fetch(new URL("/v1/lobby", this.#server)).catch(() => null);
    if (!r?.ok) throw new RoomError({code: "unreachable", title: "the server can't be reached"});
    return (await r.json()).queues.map((/** @type {any} */ q) => ({roomID: q.id, roomInfo: q.name ?? "", roomCreator: "", pushers: []}));
  }

  async #leave() {
    const room = this.#room, call = this.#call;
    if (!room) return;
    if (this.#hosting && room.roles.includes("agent")) await room.closeRoom();
    this.#hosting = false;
    if (call) await room.hangUp(call);
  }

  /** @param {Room} room */
  #listen(room) {
    const on = (/** @type {string} */ type, /** @type {(e: any) => void} */ f) => room.addEventListener(type, (e) => this.#room === room && f(/** @type {CustomEvent} */ (e).detail));
    on("call.offered", (e) => {
      if (!this.#hosting || this.#call) return;
      this.#call = e.call;
      room.accept(e.call).catch((err) => this.#tell("onError", failure(err)));
    });
    on("call.offer-ended", (e) => {
      if (e.call === this.#call) this.#call = "";
    });
    on("call.accepted", (e) => this.#names.set(e.user, e.name || e.user));
    on("call.push", (e) => {
      this.#call = e.call;
      this.#push?.give(e.url);
    });
    on("call.play", (e) => this.#joined(e));
    on("call.party-left", (e) => (e.user === room.user ? this.#over(e) : this.#left(e.user)));
    on("call.ended", (e) => e.call === this.#call && this.#over(e));
    on("message", (e) => {
      const m = e.message;
      if (m.from === room.user) return;
      const from = {roomID: this.#roomID, userID: m.from, nickName: this.#names.get(m.from) ?? m.from, headPic: "", time: m.time};
      if (m.cmd) this.#tell("onRecvRoomCustomMsg", {...from, cmd: m.cmd, message: m.body});
      else this.#tell("onRecvRoomTextMsg", {...from, textMsg: m.body});
    });
    on("state", (s) => {
      if (this.#call && !s.calls.some((/** @type {any} */ c) => c.id === this.#call)) this.#over({reason: "while_away"});
      for (const e of s.urls) if (e.type === "call.play") this.#joined(e);
    });
    on("closed", (e) => this.#tell("onError", failure(e)));
  }

  /** @param {any} e call.play */
  #joined(e) {
    const pusher = {userID: e.user, userName: e.name || e.user, accelerateURL: e.url};
    if (this.#pushers.get(e.user)?.accelerateURL === e.url) return;
    const first = this.#pushers.size === 0;
    this.#names.set(e.user, pusher.userName);
    this.#pushers.set(e.user, pusher);
    if (first && !this.#hosting) this.#tell("onGetPusherList", {pushers: [pusher]});
    this.#tell("onPusherJoin", {pushers: [pusher]});
  }

  /** @param {string} user */
  #left(user) {
    const pusher = this.#pushers.get(user);
    if (!pusher) return;
    this.#pushers.delete(user);
    this.#tell("onPusherQuit", {pushers: [pusher]});
  }

  /** @param {any} e */
  #over(e) {
    const roomID = this.#roomID;
    for (const user of [...this.#pushers.keys()]) this.#left(user);
    this.#call = "";
    if (!this.#hosting) this.#roomID = "";
    this.#tell("onRoomClose", {roomID, reason: e.reason ?? "", errCode: 0, errMsg: ""});
  }

  /** @param {string} name @param {any} ret */
  #tell(name, ret) {
    this.#listener[name]?.(ret);
  }

  /** @param {Ask} ask @param {(data: Fields) => Promise<any>} f */
  async #answer({data = {}, success, fail}, f) {
    try {
      const ret = {errCode: 0, errMsg: "", ...(await f(data))};
      success?.(ret);
      return ret;
    } catch (e) {
      const failed = failure(e);
      fail?.(failed);
      if (!fail) throw failed;
      return failed;
    }
  }
}

export default new RTCRoom();
