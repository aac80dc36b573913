// The administrators' page in Chromium, against a real server.

import assert from "node:assert/strict";
import {describe, test} from "node:test";

import {until} from "./harness.js";
import {House, accessible, putThrough, shot, shows} from "./pages-parties.js";

/** @param {House} house @param {import("playwright-core").BrowserContextOptions} [options] */
async function admin(house, options) {
  const p = await house.page("/admin/", options);
  await shows(p, "sign");
  await p.fill("#user", "root");
  await p.click("#sign-form button");
  await shows(p, "house");
  return p;
}

/** @param {import("playwright-core").Page} p @param {string} id */
const text = async (p, id) => (await p.locator(`#${id}`).innerText()).replaceAll("\n", " ");

describe("administration", () => {
  const house = new House({args: ["--record", "always"]});

  test("what goes on, a call that is ended, its recording: played, checked, exported", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann Lee"), boss = await admin(house, {viewport: {width: 1280, height: 860}});
    await until("somebody waits", async () => (await text(boss, "n-waiting")) === "1");
    await putThrough(desk, customer);
    await until("a call", async () => (await text(boss, "n-calls")) === "1" && (await text(boss, "n-busy")) === "1");
    await until("the relay sends", async () => parseFloat(await text(boss, "v-out")) > 0.2);
    await until("its delay", async () => /^[\d.]+ ms$/.test(await text(boss, "v-relay")) && parseFloat(await text(boss, "v-relay")) > 0);
    await until("the caller in the list", async () => /Ann Lee[^]*main[^]*Connected/.test(await text(boss, "calls")));
    await shot(boss, "admin-live");
    boss.once("dialog", (d) => void d.accept());
    await boss.locator("#calls button").click();
    await shows(customer, "over");
    await until("the last calls", async () => /Ann Lee/.test(await text(boss, "ended")));
    await boss.click("#tab-recordings");
    await until("the recording is complete", async () => {
      await boss.click("#tab-recordings");
      return /Ann Lee[^]*Complete/.test(await text(boss, "recordings"));
    });
    await boss.locator("#recordings button", {hasText: "Check"}).click();
    await until("the verdict", async () => /Genuine/.test(await text(boss, "recordings")));
    await boss.locator("#recordings button", {hasText: "Play"}).click();
    /** @typedef {HTMLVideoElement & {webkitAudioDecodedByteCount: number, webkitVideoDecodedByteCount: number}} Film */
    const films = () => boss.locator("#views figure").evaluateAll((list) => list.map((figure) => {
      const v = /** @type {Film} */ (figure.querySelector("video"));
      return {name: figure.textContent, at: v.currentTime, paused: v.paused, heard: v.webkitAudioDecodedByteCount > 0, seen: v.webkitVideoDecodedByteCount > 0 && v.videoWidth > 0};
    }));
    await until("both parties are seen and heard", async () => {
      const [a, b, ...more] = await films();
      return !more.length && [a, b].some((f) => f.name === "Ann Lee") && [a, b].every((f) => f.at > 0.5 && f.heard && f.seen) && Math.abs(a.at - b.at) < 0.3;
    });
    await boss.locator("#views video").first().evaluate((v) => {
      /** @type {HTMLVideoElement} */ (v).pause();
      /** @type {HTMLVideoElement} */ (v).currentTime = 0.8;
    });
    await until("they stop, and go back, together", async () => (await films()).every((f) => f.paused && Math.abs(f.at - 0.8) < 0.2));
    await shot(boss, "admin-playback");
    await shot(boss, "admin-recordings");
    const [file] = await Promise.all([boss.waitForEvent("download"), boss.locator("#recordings button", {hasText: "Export"}).click()]);
    assert.match(file.suggestedFilename(), /\.zip$/);
    const log = JSON.stringify(await house.ask("GET", "/v1/audit?limit=1000"));
    for (const action of ["recording.view", "recording.export"]) assert.ok(log.includes(action), action);
    house.clean();
  });

  test("no serious fault for those who can't see or use a mouse", async () => {
    for (const options of [{}, {colorScheme: /** @type {const} */ ("dark"), locale: "zh-CN", viewport: {width: 390, height: 844}}]) {
      const p = await admin(house, {...options, bypassCSP: true});
      for (const tab of ["live", "recordings", "queues", "people"]) {
        await p.click(`#tab-${tab}`);
        await until(`something in ${tab}`, async () => (await text(p, `panel-${tab}`)).length > 20);
        await accessible(p, tab);
        assert.doesNotMatch(await text(p, `panel-${tab}`), /\b[a-z]+_[a-z]+\b/, "a text that is missing");
      }
    }
    house.clean();
  });

  test("queues and people: made, changed, kept out; the first person set up closes the open door", async () => {
    const boss = await admin(house);
    await boss.click("#tab-queues");
    await boss.fill("#queue-id", "loans");
    await boss.fill("#queue-name", "Loans");
    await boss.selectOption("#queue-record", "must");
    await boss.fill("#queue-wrapup", "90");
    await boss.check("#queue-public");
    await boss.click("#queue-form button");
    await until("the queue", async () => /loans[^]*Loans/.test(await text(boss, "queues")));
    const q = await house.ask("GET", "/v1/queues/loans");
    assert.deepEqual([q.record, q.wrapUp, q.public], ["must", "1m30s", true]);
    await boss.getByRole("button", {name: "Change: loans"}).click();
    assert.equal(await boss.inputValue("#queue-wrapup"), "90");
    boss.once("dialog", (d) => void d.accept());
    await boss.getByRole("button", {name: "Delete: loans"}).click();
    await until("it is gone", async () => !(await text(boss, "queues")).includes("loans"));
    await boss.click("#tab-people");
    await boss.fill("#person-id", "root");
    await boss.check("#person-roles input[value=admin]");
    await boss.fill("#person-password", "correct horse");
    await boss.click("#person-form button");
    await until("the person", async () => /root[^]*Administrator/.test(await text(boss, "people")));
    const later = await house.page("/admin/");
    await shows(later, "sign");
    await later.fill("#user", "root");
    await later.fill("#password", "wrong horse");
    await later.click("#sign-form button");
    await until("a refusal", async () => (await text(later, "notice")) === "User and password do not match.");
    await later.fill("#password", "correct horse");
    await later.click("#sign-form button");
    await shows(later, "house");
    await later.reload();
    await shows(later, "house");
    house.clean();
  });
});
