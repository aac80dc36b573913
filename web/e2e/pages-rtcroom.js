// A page that was written for RTCRoom, with nothing changed but the import, in Chromium against a real server.

import assert from "node:assert/strict";
import {describe, test} from "node:test";

import {hearsTone, showsPictures, until} from "./harness.js";
import {House} from "./pages-parties.js";

/** @typedef {import("playwright-core").Page} Page */

/** What such a page does: log in, push, and when that has begun make or enter a room. @param {{userID: string, userSig: string, enter: boolean}} options */
async function run({userID, userSig, enter}) {
  const sdk = "/sdk/rtcroom.js";
  const w = /** @type {any} */ (globalThis), {default: rtcroom} = await import(sdk);
  Object.assign(w, {rtcroom, log: []});
  const pusher = /** @type {any} */ (document.querySelector("live-pusher")), player = /** @type {any} */ (document.querySelector("live-player"));
  const note = (/** @type {string} */ name) => (/** @type {any} */ ret) => w.log.push([name, ret]);
  const fail = note("fail");
  rtcroom.setListener({
    onGetPusherList: note("onGetPusherList"), onPusherQuit: note("onPusherQuit"), onRoomClose: note("onRoomClose"), onRecvRoomTextMsg: note("onRecvRoomTextMsg"),
    onRecvRoomCustomMsg: note("onRecvRoomCustomMsg"), onError: note("onError"),
    onPusherJoin(/** @type {any} */ ret) {
      note("onPusherJoin")(ret);
      player.setAttribute("src", ret.pushers[0].accelerateURL);
    },
  });
  pusher.addEventListener("statechange", (/** @type {any} */ e) => {
    if (e.detail.code !== 1002) return;
    if (!enter) return void rtcroom.createRoom({data: {roomInfo: "consulting", pushURL: pusher.url}, success: note("created"), fail});
    rtcroom.getRoomList({data: {index: 0, cnt: 10}, fail, success: (/** @type {any} */ list) => rtcroom.enterRoom({
      data: {roomID: list.rooms[0].roomID, pushURL: pusher.url}, success: note("entered"), fail,
    })});
  });
  rtcroom.login({data: {userID, userSig}, fail, success: () => rtcroom.getPushURL({fail, success: (/** @type {any} */ ret) => {
    pusher.setAttribute("url", ret.pushURL);
    if (!pusher.hasAttribute("autopush")) pusher.start();
  }})});
}

/** @param {Page} p @param {string} name */
const heard = (p, name) => until(name, async () => {
  const log = await p.evaluate(() => /** @type {any} */ (globalThis).log);
  const found = log.find((/** @type {any[]} */ [n]) => n === name);
  if (!found) throw new Error(JSON.stringify(log));
  return found[1];
}, 20_000);

describe("RTCRoom", () => {
  const house = new House();

  test("two pages find each other, see, hear and text, and one leaves", async () => {
    /** @type {Page[]} */ const pages = [];
    for (const [userID, role] of [["doctor", "agent"], ["patient", "caller"]]) {
      const p = await house.page("/example.html");
      const r = await fetch(`${house.server.origin}/v1/dev`, {method: "POST", body: JSON.stringify({user: userID, name: userID.toUpperCase(), roles: [role]})});
      await p.evaluate(run, {userID, userSig: (await r.json()).token, enter: role === "caller"});
      await heard(p, role === "agent" ? "created" : "entered");
      pages.push(p);
    }
    const [doctor, patient] = pages;
    assert.equal((await heard(doctor, "onPusherJoin")).pushers[0].userName, "PATIENT");
    assert.equal((await heard(patient, "onGetPusherList")).pushers[0].userID, "doctor");
    for (const p of pages) {
      await showsPictures(p, "live-player");
      await hearsTone(p, "live-player");
    }
    await patient.evaluate(() => /** @type {any} */ (globalThis).rtcroom.sendRoomTextMsg({data: {msg: "my head aches"}}));
    const said = await heard(doctor, "onRecvRoomTextMsg");
    assert.deepEqual([said.userID, said.nickName, said.textMsg], ["patient", "PATIENT", "my head aches"]);
    await doctor.evaluate(() => /** @type {any} */ (globalThis).rtcroom.sendRoomCustomMsg({data: {cmd: "pulse", msg: "72"}}));
    const custom = await heard(patient, "onRecvRoomCustomMsg");
    assert.deepEqual([custom.cmd, custom.message], ["pulse", "72"]);
    await patient.evaluate(() => /** @type {any} */ (globalThis).rtcroom.exitRoom());
    await heard(doctor, "onPusherQuit");
    await heard(doctor, "onRoomClose");
    const faults = await doctor.evaluate(() => /** @type {any} */ (globalThis).log.filter((/** @type {any[]} */ [n]) => n === "fail" || n === "onError"));
    assert.deepEqual(faults, []);
    house.clean();
  });
});
