// The administrators' page, and supervisors' and auditors': what goes on, recordings, queues, people.

import {signIn} from "../shared/sign.js";
import {begin as beginLanguage, el, failed, make, show, t, write} from "../shared/ui.js";
import {Live} from "./live.js";
import {Recordings} from "./recordings.js";
import {People, Queues} from "./setup.js";

/**
 * @typedef {import("../shared/sign.js").Session} Session
 * @typedef {{look: () => Promise<void>, draw: () => void, every?: number}} Panel what a tab shows; every: ms after which it is looked at again
 */

/** Who sees which tab. @type {Record<string, {roles: string[], make: (s: Session) => Panel}>} */
const tabs = {
  live: {roles: ["supervisor"], make: (s) => new Live(s)},
  recordings: {roles: ["auditor"], make: (s) => new Recordings(s)},
  queues: {roles: [], make: (s) => new Queues(s)},
  people: {roles: [], make: (s) => new People(s)},
};

/** @type {Session | null} */ let session = null;
/** @type {Record<string, Panel>} */ let panels = {};
let chosen = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */ let again;

function words() {
  for (const id of Object.keys(panels)) {
    write(`tab-${id}`, t(`tab_${id}`));
    panels[id].draw();
  }
}

/** @param {string} id */
function choose(id) {
  chosen = id;
  for (const other of Object.keys(panels)) {
    const tab = el(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === id));
    tab.tabIndex = other === id ? 0 : -1;
    el(`panel-${other}`).hidden = other !== id;
  }
  void look();
}

async function look() {
  clearTimeout(again);
  const id = chosen, panel = panels[id];
  if (!panel) return;
  try {
    if (!document.hidden) await panel.look();
    write("notice", "");
  } catch (e) {
    failed(e);
  }
  if (panel.every && id === chosen) again = setTimeout(look, panel.every);
}

/** @param {Session} s */
async function enter(s) {
  session = s;
  write("who", s.user);
  el("out").hidden = false;
  panels = {};
  for (const [id, tab] of Object.entries(tabs)) if (s.roles.includes("admin") || tab.roles.some((r) => s.roles.includes(r))) panels[id] = tab.make(s);
  const ids = Object.keys(panels);
  el("tabs").replaceChildren(...ids.map((id) => make("button", {
    id: `tab-${id}`, type: "button", role: "tab", "aria-controls": `panel-${id}`, click: () => choose(id),
    keydown: (/** @type {KeyboardEvent} */ e) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
      if (!step) return;
      const next = ids[(ids.indexOf(id) + step + ids.length) % ids.length];
      choose(next);
      el(`tab-${next}`).focus();
    },
  })));
  words();
  show("house");
  choose(ids[0]);
}

el("out").addEventListener("click", async () => {
  clearTimeout(again);
  chosen = "";
  await session?.out();
  location.reload();
});
beginLanguage(words);
await signIn("admin", ["supervisor", "auditor"], enter);
