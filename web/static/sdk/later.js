// Push URLs that are given before there is one. RTCRoom's order is to push first and to look for a room then; here a URL is good for one call, and comes with it.

const scheme = "duet-later:";

/** @type {Map<string, Promise<string>>} */ const coming = new Map();

/** A URL that stands for one to come. @returns {{url: string, give: (url: string) => void}} */
export function later() {
  const url = scheme + crypto.randomUUID();
  /** @type {(url: string) => void} */ let give = () => undefined;
  coming.set(url, new Promise((resolve) => (give = resolve)));
  return {url, give};
}

/** What a URL stands for; null: itself. @param {string} url @returns {Promise<string> | null} */
export const awaited = (url) => coming.get(url) ?? null;
