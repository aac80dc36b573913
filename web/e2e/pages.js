// The pages in Chromium, against a real server: callers and agents.

import assert from "node:assert/strict";
import {describe, test} from "node:test";

import {hearsTone, showsPictures, until} from "./harness.js";
import {House, accessible, listen, putThrough, said, shot, shown, shows, write} from "./pages-parties.js";
import "./pages-admin.js";
import "./pages-rtcroom.js";

const slow = 20_000;

describe("calls", () => {
  const house = new House({args: ["--record", "always"]});

  test("in seven steps: pictures, sound and messages both ways, hang-up by the caller, and how it was", async () => {
    const desk = await house.agent({viewport: {width: 1280, height: 860}});
    await shot(desk, "agent-open");
    const customer = await house.page("/call/", {viewport: {width: 1280, height: 860}});
    await until("a level", async () => (await customer.locator("#level").evaluate((e) => /** @type {HTMLMeterElement} */ (e).value)) > 0.1);
    const network = await until("a look at the network", async () => /Network: (\d+) ms there and back, (\d+) % lost, ([\d.]+) Mbit/.exec((await customer.locator("#network-check").textContent()) ?? ""));
    assert.ok(Number(network[1]) < 100 && Number(network[2]) < 20 && Number(network[3]) > 2, network[0]);
    await until("a queue to choose", () => customer.locator("#queue-list input:checked").count());
    await customer.fill("#name", "Carl Weber");
    await customer.fill("#about", "My card is lost");
    await shot(customer, "call-check");
    await desk.reload(); // its socket is listened to from the beginning
    const log = listen({desk, customer});
    await desk.reload();
    await until("the desk is open still", () => desk.locator("#close").isVisible());
    await customer.click("#begin");
    await shows(desk, "incoming");
    assert.match(await desk.locator("#incoming").innerText(), /Carl Weber[^]*My card is lost/);
    await shot(desk, "agent-incoming");
    await putThrough(desk, customer);
    for (const p of [desk, customer]) {
      await showsPictures(p, "#them");
      await hearsTone(p, "#them");
    }
    const steps = log.filter((e) => e.step || (e.sent && e.type === "report" && e.code === 1002) || e.type === "call.accepted").map((e) => `${e.who} ${e.type} ${e.step ?? e.code ?? ""}`.trim());
    const order = ["customer call.push 1", "desk call.play 4", "desk call.push 5", "customer call.play 7"].map((s) => steps.indexOf(s));
    assert.ok(order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1] || i === 2)), steps.join(", "));
    assert.ok(steps.filter((s) => s.endsWith("report 1002")).length >= 2, steps.join(", "));

    await write(customer, "my card is lost");
    await until("the caller's message", async () => (await said(desk)).includes("my card is lost"));
    await until("it is marked as read", async () => (await customer.locator("#messages li.mine .state").last().textContent()) === "Read");
    await write(desk, "I block it now");
    await until("the agent's message", async () => (await said(customer)).includes("I block it now"));
    await until("the sign of the recording", () => customer.locator("#recording").isVisible());
    await desk.fill("#note", "card 4711");
    await until("the network's quality", async () => /excellent|good|fair/.test((await desk.locator("#quality").textContent()) ?? ""));
    await shot(desk, "agent-call");
    await shot(customer, "call-talk");
    await customer.click("#hangup");
    await shows(customer, "over");
    assert.equal(await customer.locator("#why").textContent(), "You have hung up.");
    await shows(desk, "wrap");
    assert.equal(await desk.locator("#why").textContent(), "Carl Weber has hung up.");
    assert.equal(await desk.locator("#wrap-note").inputValue(), "card 4711");
    await desk.selectOption("#disposition", "solved");
    await desk.click("#wrap-form button");
    await shows(desk, "desk");
    await customer.locator("#stars label").nth(3).click();
    await customer.click("#rating-send");
    await until("thanks", () => customer.locator("#thanks").isVisible());
    assert.match(JSON.stringify(await house.ask("GET", "/v1/audit?limit=1000")), /"rating"[^]*4\/5/);
    house.clean();
  });

  test("the agent hangs up; snapshot, mute and camera off before", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann");
    await putThrough(desk, customer);
    await showsPictures(desk, "#them");
    const [download] = await Promise.all([desk.waitForEvent("download"), desk.click("#snapshot")]);
    assert.match(download.suggestedFilename(), /\.png$/);
    await customer.click("#mute");
    assert.equal(await customer.locator("#mute").getAttribute("aria-pressed"), "true");
    await customer.click("#camera");
    assert.equal(await customer.locator("#me").evaluate((e) => /** @type {any} */ (e).tracks.camera), null);
    await customer.click("#camera");
    await showsPictures(desk, "#them");
    await customer.click("#devices");
    await until("a list of devices", () => customer.locator("#talk-camera option").count());
    await customer.keyboard.press("Escape");
    await desk.click("#hangup");
    await shows(customer, "over");
    assert.match((await customer.locator("#why").textContent()) ?? "", /agent\d+ has hung up\./);
    await shows(desk, "wrap");
    house.clean();
  });

  test("a queue: the second caller has a place, the desk sees who waits, a reload keeps it, and it is next", async () => {
    const desk = await house.agent(), first = await house.caller("Ann");
    await putThrough(desk, first);
    const second = await house.caller("Bob");
    await shows(second, "waiting");
    await until("the place", async () => (await second.locator("#place").textContent()) === "Place 1 of 1");
    const third = await house.caller("Cleo");
    await until("the third's place", async () => (await third.locator("#place").textContent()) === "Place 2 of 2");
    await until("the desk's list", async () => /Bob[^]*Cleo/.test((await desk.locator("#lines").textContent()) ?? ""));
    await shot(third, "call-waiting");
    await second.reload();
    await shows(second, "waiting");
    await until("the place again", async () => (await second.locator("#place").textContent()) === "Place 1 of 2");
    await third.click("#leave");
    await shows(third, "over");
    await until("fewer wait", async () => (await second.locator("#place").textContent()) === "Place 1 of 1");
    await desk.click("#hangup");
    await shows(first, "over");
    await putThrough(desk, second);
    await showsPictures(second, "#them");
    house.clean();
  });

  test("a reload in mid-call, on either side: the call and what was said go on", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann");
    await putThrough(desk, customer);
    await showsPictures(desk, "#them");
    await write(customer, "before");
    await until("the message", async () => (await said(desk)).includes("before"));
    for (const [gone, other] of [[customer, desk], [desk, customer]]) {
      await gone.reload();
      await shows(gone, "talk");
      assert.deepEqual(await said(gone), ["before"]);
      await showsPictures(gone, "#them", {timeout: slow});
      await showsPictures(other, "#them", {timeout: slow});
    }
    house.clean();
  });

  test("an agent declines: the caller waits on", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann");
    await shows(desk, "incoming");
    await desk.click("#decline");
    await shows(desk, "desk");
    await shows(customer, "waiting");
    await customer.click("#leave");
    await shows(customer, "over");
    house.clean();
  });

  test("a transfer to another agent", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann");
    await putThrough(desk, customer);
    await showsPictures(customer, "#them");
    const other = await house.agent();
    await desk.click("#pass");
    await desk.selectOption("#transfer-to", `agent ${other.user}`);
    await desk.fill("#transfer-note", "about a loan");
    await desk.click("#transfer-send");
    await shows(other, "incoming");
    assert.match((await other.locator("#caller").textContent()) ?? "", new RegExp(`${desk.user} passes on the call of Ann`));
    await other.click("#accept");
    await shows(other, "talk");
    await showsPictures(other, "#them", {timeout: slow});
    await shows(desk, "wrap");
    await showsPictures(customer, "#them", {timeout: slow});
    await until("whom the caller sees", async () => (await customer.locator("#who").textContent()) === other.user);
    house.clean();
  });

  test("the server restarts: the call goes on, and a message written meanwhile comes once", async () => {
    const desk = await house.agent(), customer = await house.caller("Ann");
    await putThrough(desk, customer);
    await showsPictures(customer, "#them");
    await house.server.stop();
    await until("the page says so", async () => /lost/.test((await customer.locator("#notice").textContent()) ?? ""));
    await write(customer, "are you there?");
    await house.server.start();
    await until("the message", async () => (await said(desk)).includes("are you there?"), slow);
    assert.deepEqual(await said(desk), ["are you there?"]);
    await until("all is well again", async () => (await customer.locator("#notice").textContent()) === "");
    assert.equal(await shown(customer), "talk");
    await showsPictures(customer, "#them", {timeout: slow});
    await showsPictures(desk, "#them", {timeout: slow});
    house.clean();
  });

  test("Chinese and English, chosen by the browser and by the person", async () => {
    const p = await house.page("/call/", {locale: "zh-CN"});
    await until("Chinese", async () => (await p.locator("h1").textContent()) === "视频通话");
    assert.equal(await p.locator("html").getAttribute("lang"), "zh-CN");
    await until("the queues", () => p.locator("#queue-list input").count());
    assert.match((await p.locator("#queue-list small").textContent()) ?? "", /没有客服在线|无需排队/);
    await shot(p, "call-zh");
    await p.click("#language");
    assert.equal(await p.locator("h1").textContent(), "Video call");
    assert.match((await p.locator("#queue-list small").textContent()) ?? "", /Nobody is/);
    await p.reload();
    await until("the choice is kept", async () => (await p.locator("h1").textContent()) === "Video call");
    const q = await house.page("/agent/");
    await until("English", async () => (await q.locator("h1").textContent()) === "Agent desk");
    house.clean();
  });

  for (const [what, options] of /** @type {[string, any][]} */ ([["light", {}], ["dark, Chinese, on a phone", {colorScheme: "dark", locale: "zh-CN", viewport: {width: 390, height: 800}}]])) {
    test(`no serious fault for those who can't see or use a mouse: ${what}`, async () => {
      const desk = await house.page("/agent/", {...options, bypassCSP: true});
      await shows(desk, "sign");
      await accessible(desk, "signing in");
      await desk.fill("#user", "axel");
      await desk.press("#user", "Enter");
      await until("a desk to open", () => desk.locator("#open").isVisible());
      await desk.click("#open");
      const customer = await house.page("/call/?queue=main", {...options, bypassCSP: true});
      await until("a call can be made", () => customer.locator("#begin").isEnabled());
      await accessible(customer, "the check");
      await customer.press("#name", "Enter");
      await shows(desk, "incoming");
      await accessible(desk, "a call comes in");
      await accessible(customer, "waiting");
      await desk.focus("#accept");
      await desk.keyboard.press("Enter");
      await shows(customer, "talk");
      await showsPictures(customer, "#them");
      await write(customer, "hello");
      await until("a message", async () => (await said(desk)).length);
      for (const p of [customer, desk]) {
        await accessible(p, "the call");
        const wide = await p.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${p.url()} is ${wide} px wider than the screen`);
      }
      if (options.colorScheme) await shot(customer, "call-phone-dark");
      await desk.click("#pass");
      await accessible(desk, "passing on");
      await desk.keyboard.press("Escape");
      await customer.click("#hangup");
      await shows(customer, "over");
      await accessible(customer, "afterwards");
      await accessible(desk, "notes");
      await desk.click("#close");
    });
  }
});

describe("consent", () => {
  const house = new House();

  test("the caller is asked, and nothing is sent before the answer", async () => {
    await house.ask("PUT", "/v1/queues/main", {record: "must", consent: true});
    const desk = await house.agent();
    for (const agree of [true, false]) {
      const customer = await house.caller("Ann");
      await shows(desk, "incoming");
      await desk.click("#accept");
      await shows(customer, "consent");
      assert.equal(await customer.locator("#me").getAttribute("url"), null);
      await customer.click(agree ? "#agree" : "#refuse");
      if (agree) {
        await shows(customer, "talk");
        await showsPictures(customer, "#them");
        await until("the sign of the recording", () => customer.locator("#recording").isVisible());
        await customer.click("#hangup");
      }
      await shows(customer, "over");
      await shows(desk, "wrap");
      if (!agree) assert.match((await customer.locator("#why").textContent()) ?? "", /no consent/);
      await desk.click("#wrap-form button");
      await shows(desk, "desk");
    }
    house.clean();
  });
});

describe("devices that are refused", () => {
  const house = new House({browser: {deny: true}});

  test("the page says what helps, and the call takes place with text", async () => {
    const desk = await house.agent(), customer = await house.page("/call/?queue=main");
    await until("what helps", async () => /camera is not allowed[^]*microphone is not allowed[^]*text always works/.test((await customer.locator("#trouble").textContent()) ?? ""));
    assert.ok(await customer.locator("#no-picture").isVisible());
    await customer.click("#begin");
    await putThrough(desk, customer);
    await write(customer, "I have no camera");
    await until("the message", async () => (await said(desk)).includes("I have no camera"));
    await customer.click("#hangup");
    await shows(customer, "over");
    await shows(desk, "wrap");
    house.clean();
  });
});

describe("a server with a CA of its own", () => {
  const house = new House({args: ["--tls-self", "--https", "127.0.0.1:0"]});

  test("its page says what to install and how to know it", async () => {
    const p = await house.page("/ca/", {bypassCSP: true});
    await shows(p, "install");
    assert.match((await p.locator("#fingerprint").textContent()) ?? "", /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    await accessible(p, "the CA's page");
    const [file] = await Promise.all([p.waitForEvent("download"), p.click("a.button")]);
    assert.equal(file.suggestedFilename(), "duet-ca.crt");
    house.clean();
  });
});
