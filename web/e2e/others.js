// Who is in a call with a browser besides browsers: ffmpeg over RTMP, and `duet agent` and `duet call`.

import {spawn} from "node:child_process";
import {existsSync, mkdtempSync, rmSync, statSync} from "node:fs";
import os from "node:os";
import path from "node:path";
import {describe, test} from "node:test";

import {duet, freePort, hasCode, hearsTone, mediaDir, record, showsPictures, until} from "./harness.js";
import {film, tone} from "./media.js";
import {House, said, shows} from "./pages-parties.js";

/** Runs a program for as long as it is needed. @param {string} program @param {string[]} args @param {(text: () => string) => Promise<void>} use */
async function beside(program, args, use) {
  const child = spawn(program, args, {stdio: ["ignore", "pipe", "pipe"]});
  let text = "";
  for (const s of [child.stdout, child.stderr]) s.on("data", (b) => (text += b));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  try {
    await use(() => text);
  } catch (e) {
    throw new Error(`${program} said: ${text}`, {cause: e});
  } finally {
    child.kill("SIGINT");
    await ended;
  }
}

const rtmp = await freePort();

describe("others", () => {
  const house = new House({args: ["--rtmp", `127.0.0.1:${rtmp}`]});

  test("ffmpeg pushes over RTMP: the player shows its pictures and sounds its tone", async () => {
    const p = await house.page("/example.html"), {server} = house;
    await record(p, "live-player");
    const input = ["-re", "-stream_loop", "-1", "-i", film(mediaDir, 640, 360), "-f", "lavfi", "-i", `sine=frequency=${tone}:sample_rate=48000`];
    const coded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "1"];
    await beside("ffmpeg", ["-v", "error", ...input, ...coded, "-f", "flv", server.url("rtmp-push", "live/f")], async () => {
      await p.evaluate((src) => document.querySelector("live-player")?.setAttribute("src", src), server.url("play", "live/f"));
      await hasCode(p, "live-player", 2004);
      await showsPictures(p, "live-player");
      await hearsTone(p, "live-player");
    });
    house.clean();
  });

  for (const [what, browserIs] of [["duet agent takes a browser's call", "caller"], ["duet call is taken by a browser's agent", "agent"]]) {
    test(`${what}: both get the other's media and messages`, async () => {
      const dir = mkdtempSync(path.join(os.tmpdir(), "duet-e2e-")), file = path.join(dir, "got.flv"), {origin} = house.server;
      const common = ["--server", origin, "--output", file, "--say", "good morning from afar"];
      const p = browserIs === "caller" ? await house.page("/call/?queue=main") : await house.agent();
      const args = browserIs === "caller" ? ["agent", "--auto-accept", "--as", "robot-agent", ...common] : ["call", "--queue", "main", "--as", "robot-caller", ...common];
      await beside(duet(), args, async () => {
        if (browserIs === "caller") {
          await until("a call can be made", () => p.locator("#begin").isEnabled());
          await p.fill("#name", "Ann");
          await p.click("#begin");
        } else {
          await shows(p, "incoming");
          await p.click("#accept");
        }
        await shows(p, "talk");
        await until("pictures", () => p.evaluate(() => {
          const canvas = /** @type {any} */ (document.querySelector("#them"))?.shadowRoot?.querySelector("canvas");
          return canvas?.width > 0 && canvas.height > 0;
        }));
        await until("sound and pictures, by what the player tells", () => p.evaluate(() => new Promise((resolve) => {
          document.querySelector("#them")?.addEventListener("netstatus", (e) => {
            const {info} = /** @type {CustomEvent} */ (e).detail;
            resolve(info.videoFPS > 10 && info.audioBitrate > 10);
          }, {once: true});
        })));
        await until("the message", async () => (await said(p)).includes("good morning from afar"));
        await until("what the browser sent", () => existsSync(file) && statSync(file).size > 50_000, 20_000);
        await p.click("#hangup");
        await shows(p, browserIs === "caller" ? "over" : "wrap");
      });
      rmSync(dir, {recursive: true, force: true});
      house.clean();
    });
  }
});
