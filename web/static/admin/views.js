// A call's recording as a film for each party. The first one's controls are everybody's.

import {make} from "../shared/ui.js";

/** Films that are further apart than this, in seconds, are put together again. */
const apart = 0.15;

export class Views {
  #box;
  #failed;
  /** @type {HTMLVideoElement[]} */ #films = [];

  /**
   * @param {HTMLElement} box
   * @param {() => void} failed none of the films can be played
   */
  constructor(box, failed) {
    this.#box = box;
    this.#failed = failed;
  }

  /** @param {{name: string, url: string}[]} views */
  async show(views) {
    const before = this.#films;
    this.#films = views.map(({url}) => /** @type {HTMLVideoElement} */ (make("video", {class: "film", playsinline: "", preload: "auto", src: url})));
    this.#box.replaceChildren(...this.#films.map((film, i) => make("figure", {}, film, make("figcaption", {}, views[i].name))));
    for (const film of this.#films) film.onerror = () => this.#without(film);
    for (const f of before) { // what is shown no more is loaded no more
      f.removeAttribute("src");
      f.load();
    }
    if (!views.length) this.#failed();
    this.#lead();
    await this.#films[0]?.play().catch(() => undefined); // the person can press the button
  }

  /** A party who sent nothing has no film. @param {HTMLVideoElement} film */
  #without(film) {
    if (!this.#films.includes(film)) return;
    const led = film === this.#films[0];
    this.#films = this.#films.filter((f) => f !== film);
    film.closest("figure")?.remove();
    if (!this.#films.length) this.#failed();
    if (!led) return;
    this.#lead();
    void this.#films[0]?.play().catch(() => undefined);
  }

  #lead() {
    const [first] = this.#films;
    if (!first) return;
    first.controls = true;
    const others = () => this.#films.slice(1);
    const together = () => {
      for (const f of others()) if (Math.abs(f.currentTime - first.currentTime) > apart) f.currentTime = first.currentTime;
    };
    first.onplay = () => {
      together();
      for (const f of others()) void f.play().catch(() => undefined);
    };
    first.onpause = () => {
      if (!first.ended) for (const f of others()) f.pause(); // who was there longer is seen to the end
    };
    first.onseeked = first.ontimeupdate = () => {
      if (!first.ended) together();
    };
    first.onratechange = () => {
      for (const f of others()) f.playbackRate = first.playbackRate;
    };
    first.onvolumechange = () => {
      for (const f of others()) Object.assign(f, {volume: first.volume, muted: first.muted});
    };
  }
}
