// The server's HTTP interface: docs/openapi.json.

import {RoomError} from "../sdk/room.js";

/**
 * Asks the HTTP interface.
 * @param {string} method @param {string} path @param {Record<string, any>} [body] @param {string} [token]
 * @returns {Promise<any>} rejects with a RoomError
 */
export async function api(method, path, body, token) {
  /** @type {Record<string, string>} */ const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const r = await fetch(path, {method, headers, body: body && JSON.stringify(body)}).catch(() => {
    throw new RoomError({code: "unreachable"});
  });
  const text = await r.text();
  const v = text && r.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : null;
  if (!r.ok) throw new RoomError(v ?? {code: String(r.status), status: r.status, title: r.statusText});
  return v;
}
