// The core's vectors in Chromium: the Go tests that check them, compiled for the browser and run in a page.

import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import {mkdtempSync, readFileSync, readdirSync, rmSync} from "node:fs";
import os from "node:os";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {after, before, test} from "node:test";

import {launch, open, startServer} from "./harness.js";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "..");

/** @type {import("./harness.js").Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;
const dir = mkdtempSync(path.join(os.tmpdir(), "duet-e2e-"));

before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
  rmSync(dir, {recursive: true, force: true});
});

for (const name of ["transport/wire", "rtmpchunk", "fec", "crypto"]) {
  test(`vectors of ${name}`, async () => {
    const binary = path.join(dir, "test.wasm"), vectors = path.join(root, name, "testdata", "vectors");
    execFileSync("go", ["test", "-c", "-o", binary, "./" + name], {cwd: root, env: {...process.env, GOOS: "js", GOARCH: "wasm"}, stdio: ["ignore", "inherit", "inherit"]});
    const files = readdirSync(vectors).map((f) => [`/testdata/vectors/${f}`, readFileSync(path.join(vectors, f)).toString("base64")]);
    const page = await open(browser, server, "/example.html");
    await page.route("**/test.wasm", (r) => r.fulfill({path: binary, contentType: "application/wasm"}));
    await page.evaluate(disk, files);
    await page.addScriptTag({url: "/sdk/wasm_exec.js"});
    const said = await page.evaluate(async () => {
      const w = /** @type {any} */ (globalThis), go = new w.Go();
      go.argv = ["test", "-test.run=Vector", "-test.v"];
      go.exit = (/** @type {number} */ code) => (w.said += `exit ${code}\n`);
      const {instance} = await WebAssembly.instantiateStreaming(fetch("/test.wasm"), go.importObject);
      await go.run(instance);
      return w.said;
    });
    assert.match(said, /--- PASS: Test\w*Vector/, said);
    assert.match(said, /\nPASS\n[^]*exit 0\n/, said);
    await page.context().close();
  });
}

/** What Go's runtime has for a disk and a process in the page: the vectors, to be read. @param {string[][]} list paths and contents */
function disk(list) {
  const w = /** @type {any} */ (globalThis);
  w.said = "";
  /** @type {Map<string, Uint8Array | null>} null: a folder */ const tree = new Map([["/", null], ["/testdata", null], ["/testdata/vectors", null]]);
  for (const [name, text] of list) tree.set(name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const full = (/** @type {string} */ p) => "/" + p.split("/").filter((part) => part && part !== ".").join("/");
  const fail = (/** @type {string} */ code) => Object.assign(new Error(code), {code});
  /** @type {Map<number, {name: string, at: number}>} */ const opened = new Map();
  let next = 10;
  const stat = (/** @type {string} */ name) => {
    const b = tree.get(name), folder = b === null;
    return {
      isDirectory: () => folder, mode: folder ? 0o040755 : 0o100644, size: b?.length ?? 0, dev: 0, ino: 0, nlink: 1, uid: 0, gid: 0, rdev: 0, blksize: 512, blocks: 0,
      atimeMs: 0, mtimeMs: 0, ctimeMs: 0,
    };
  };
  /** @typedef {(err: Error | null, v?: any) => void} Done */
  const look = (/** @type {string} */ p, /** @type {Done} */ done) => (tree.has(full(p)) ? done(null, stat(full(p))) : done(fail("ENOENT")));
  w.fs = {
    constants: {O_WRONLY: 1, O_RDWR: 2, O_CREAT: 64, O_TRUNC: 512, O_APPEND: 1024, O_EXCL: 128, O_DIRECTORY: 65536},
    writeSync(/** @type {number} */ _, /** @type {Uint8Array} */ b) {
      w.said += new TextDecoder().decode(b);
      return b.length;
    },
    write(/** @type {number} */ fd, /** @type {Uint8Array} */ b, /** @type {number} */ from, /** @type {number} */ n, /** @type {null} */ _, /** @type {Done} */ done) {
      done(null, w.fs.writeSync(fd, b.subarray(from, from + n)));
    },
    open(/** @type {string} */ p, /** @type {number} */ flags, /** @type {number} */ _, /** @type {Done} */ done) {
      if (!tree.has(full(p))) return done(fail("ENOENT"));
      if (flags & 3) return done(fail("EROFS"));
      opened.set(next, {name: full(p), at: 0});
      return done(null, next++);
    },
    read(/** @type {number} */ fd, /** @type {Uint8Array} */ into, /** @type {number} */ from, /** @type {number} */ n, /** @type {number | null} */ at, /** @type {Done} */ done) {
      const f = opened.get(fd), b = f && tree.get(f.name);
      if (!f || !b) return done(fail("EBADF"));
      const piece = b.subarray(at ?? f.at, (at ?? f.at) + n);
      into.set(piece, from);
      if (at === null) f.at += piece.length;
      return done(null, piece.length);
    },
    fstat: (/** @type {number} */ fd, /** @type {Done} */ done) => (opened.has(fd) ? done(null, stat(opened.get(fd)?.name ?? "")) : done(fail("EBADF"))),
    stat: look,
    lstat: look,
    readdir(/** @type {string} */ p, /** @type {Done} */ done) {
      const of = full(p) + "/";
      done(null, [...tree.keys()].filter((k) => k.startsWith(of) && !k.slice(of.length).includes("/")).map((k) => k.slice(of.length)));
    },
    close(/** @type {number} */ fd, /** @type {Done} */ done) {
      opened.delete(fd);
      done(null);
    },
    fsync: (/** @type {number} */ _, /** @type {Done} */ done) => done(null),
  };
  w.process = {
    getuid: () => -1, getgid: () => -1, geteuid: () => -1, getegid: () => -1, pid: -1, ppid: -1, cwd: () => "/", chdir: () => undefined,
  };
}
