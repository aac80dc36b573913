import "./sdk/elements.js";

const [me, them, state] = ["me", "them", "state"].map((id) => /** @type {HTMLElement} */ (document.getElementById(id)));
for (const e of [me, them]) {
  e.addEventListener("statechange", (ev) => (state.textContent = /** @type {CustomEvent} */ (ev).detail.message));
  e.addEventListener("error", (ev) => (state.textContent = /** @type {any} */ (ev).detail.errMsg));
}
const given = new URLSearchParams(location.hash.slice(1)); // a fragment is not sent to the server
me.setAttribute("url", given.get("push") ?? "");
them.setAttribute("src", given.get("play") ?? "");
