// Networks that are worse than loopback: a way for UDP that can be closed, and given loss and delay; and one for everything that a browser does.

import {spawn} from "node:child_process";
import dgram from "node:dgram";
import {mkdtempSync, rmSync, writeFileSync} from "node:fs";
import os from "node:os";
import path from "node:path";

import {duet, until} from "./harness.js";

/**
 * A way between a browser and a WebTransport port.
 * @typedef {object} Cable
 * @property {number} port where the browser is to send to
 * @property {boolean} blocked nothing passes
 * @property {number} loss share of datagrams that are lost, each way
 * @property {number} delay ms each way
 * @property {number} rate kbit/s each way; 0: as it comes
 * @property {() => void} close
 */

/**
 * Opens a cable to a port of this machine.
 * @param {number} to
 * @returns {Promise<Cable>}
 */
export async function cable(to) {
  const near = dgram.createSocket({type: "udp4", recvBufferSize: 1 << 21, sendBufferSize: 1 << 21});
  /** @type {Map<number, dgram.Socket>} by the browser's port */ const far = new Map();
  let seed = 1;
  const chance = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const free = [0, 0];
  /** @param {number} way 0 to the server @param {number} bytes @param {() => void} send */
  const pass = (way, bytes, send) => {
    if (c.blocked || chance() < c.loss) return;
    const now = performance.now();
    let wait = c.delay;
    if (c.rate > 0) {
      free[way] = Math.max(now, free[way]) + (bytes * 8) / c.rate;
      if (free[way] - now > 300) { // a queue of 300 ms, then it drops
        free[way] -= (bytes * 8) / c.rate;
        return;
      }
      wait += free[way] - now;
    }
    if (wait < 1) send();
    else setTimeout(send, wait);
  };
  near.on("message", (b, from) => {
    let s = far.get(from.port);
    if (!s) {
      s = dgram.createSocket("udp4");
      s.on("message", (answer) => pass(1, answer.length, () => c.blocked || near.send(answer, from.port, from.address, () => {})));
      s.on("error", () => {});
      far.set(from.port, s);
    }
    const out = s;
    pass(0, b.length, () => {
      try {
        out.send(b, to, "127.0.0.1", () => {});
      } catch {
        // It was closed meanwhile.
      }
    });
  });
  await new Promise((resolve) => near.bind(0, "127.0.0.1", () => resolve(undefined)));
  /** @type {Cable} */
  const c = {
    port: near.address().port, blocked: false, loss: 0, delay: 0, rate: 0,
    close: () => {
      c.blocked = true; // what is still on its way is lost
      near.close();
      for (const s of far.values()) s.close();
    },
  };
  return c;
}

/**
 * Sends a context's WebTransport over a cable: it changes what the server says of its carriers.
 * @param {import("playwright-core").BrowserContext} context
 * @param {number} port
 */
export async function over(context, port) {
  await context.route("**/v1/carriers", async (route) => {
    try {
      const answer = await route.fetch();
      const info = await answer.json();
      const url = new URL(info.webtransport.url);
      url.port = String(port);
      info.webtransport.url = url.href;
      await route.fulfill({json: info});
    } catch {
      await route.abort().catch(() => {}); // the server is not there, or the page is not there any more
    }
  });
}

/**
 * A bad network that a browser of its own is behind, with TCP and UDP.
 * @typedef {object} Wire
 * @property {string} host this machine, seen from there
 * @property {string} program starts Chromium there
 * @property {() => Promise<void>} close
 */

/**
 * Puts Chromium into a network namespace behind `duet bench wire`: Linux, as root.
 * @param {string[]} args what the wire is like, such as "--loss", "5%"
 * @returns {Promise<Wire>}
 */
export async function wire(args) {
  const name = "duete2e", host = "10.203.9.1", dir = mkdtempSync(path.join(os.tmpdir(), "duet-wire-")), program = path.join(dir, "chromium");
  writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${name} ${process.env.CHROMIUM ?? "/usr/bin/chromium"} "$@"\n`, {mode: 0o755});
  const child = spawn(duet(), ["bench", "wire", "--name", name, "--subnet", "10.203.9.0/30", "--every", "0s", ...args], {stdio: ["ignore", "pipe", "pipe"]});
  let said = "";
  for (const s of [child.stdout, child.stderr]) s.on("data", (b) => (said += b));
  await until("a wire", () => {
    if (child.exitCode !== null) throw new Error("the wire ended: " + said);
    return said.includes("wire  this machine is");
  });
  return {
    host, program,
    close: async () => {
      child.kill("SIGINT");
      await until("the wire's end", () => child.exitCode !== null);
      rmSync(dir, {recursive: true});
    },
  };
}
