// Who the caller is: a token of a one-time link, of a backend, of a public queue, or, on a server where nobody is set up, of anybody.

import {api} from "../shared/api.js";
import {store, stored} from "../shared/ui.js";

const given = new URLSearchParams(location.hash.slice(1)); // a fragment is not sent to the server
const key = "duet-caller";
const soon = 30_000; // what expires within is as good as expired

/** Whether who calls was said by who made the link: then the page asks for no queue and no name. */
export const invited = given.has("link") || given.has("token");

/** A lobby's queues. @returns {Promise<{queues: any[], dev?: boolean}>} */
export const lobby = () => api("GET", "/v1/lobby");

/**
 * @typedef {{token: string, expires: number, queue: string, name: string, link?: string}} Signed
 * @returns {Signed | null} who was signed in on this tab and still is
 */
export function signed() {
  const s = stored(sessionStorage, key);
  const same = s && (s.link ?? "") === (given.get("link") ?? given.get("token") ?? "");
  return same && s.expires > Date.now() + soon ? s : null;
}

export const forget = () => store(sessionStorage, key, null);

/** @param {string} name @param {string} queue @param {boolean} dev @returns {Promise<Signed>} */
export async function sign(name, queue, dev) {
  const before = signed();
  if (before && (invited || (before.queue === queue && before.name === name))) return before;
  /** @type {any} */ let v;
  const token = given.get("token"), link = given.get("link");
  if (token) {
    v = {...(await api("GET", "/v1/me", undefined, token)), token, expires: expiry(token), queue: given.get("queue")};
  } else if (link) {
    v = await api("POST", "/v1/links/redeem", {secret: link});
  } else if (dev) {
    v = await api("POST", "/v1/dev", {user: `guest-${crypto.randomUUID().slice(0, 8)}`, name, roles: ["caller"], ttl: "1h"});
  } else {
    v = await api("POST", "/v1/guest", {queue, name});
  }
  const s = {token: v.token, expires: Date.parse(v.expires), queue: v.queue || queue, name, link: link ?? token ?? ""};
  store(sessionStorage, key, s);
  return s;
}

/** When a token of a backend runs out, as it says itself. @param {string} token */
function expiry(token) {
  const body = token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
  return new Date(1000 * JSON.parse(atob(body)).exp).toISOString();
}
