// A line over the last minutes, as SVG.

const svgNS = "http://www.w3.org/2000/svg";
const width = 300, height = 60;

/** @param {string} name @param {Record<string, string>} attributes */
function shape(name, attributes) {
  const e = document.createElementNS(svgNS, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

export class Graph {
  /** @type {number[]} */ #values = [];
  #area = shape("polygon", {class: "area"});
  #curve = shape("polyline", {class: "curve"});
  /** @type {number} */ #places;
  /** @type {number} */ #least;
  /** @type {Element} */ #svg;
  /** @type {(last: number, most: number) => string} */ #label;

  /**
   * @param {Element} svg
   * @param {{places?: number, least?: number, label: (last: number, most: number) => string}} options places: how many values are shown; least: the scale's top
   *   at least; label: what a screen reader is told
   */
  constructor(svg, {places = 60, least = 1, label}) {
    [this.#svg, this.#places, this.#least, this.#label] = [svg, places, least, label];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.replaceChildren(shape("line", {class: "base", x1: "0", y1: String(height), x2: String(width), y2: String(height)}), this.#area, this.#curve);
    this.#draw();
  }

  /** @param {number} v */
  push(v) {
    this.#values.push(Number.isFinite(v) ? v : 0);
    if (this.#values.length > this.#places) this.#values.shift();
    this.#draw();
  }

  clear() {
    this.#values = [];
    this.#draw();
  }

  #draw() {
    const most = Math.max(this.#least, ...this.#values), step = width / (this.#places - 1), first = width - (this.#values.length - 1) * step;
    const at = this.#values.map((v, i) => `${(first + i * step).toFixed(1)},${(height - (v / most) * (height - 4)).toFixed(1)}`);
    this.#curve.setAttribute("points", at.join(" "));
    this.#area.setAttribute("points", at.length ? `${first.toFixed(1)},${height} ${at.join(" ")} ${width},${height}` : "");
    this.#svg.setAttribute("aria-label", this.#label(this.#values.at(-1) ?? 0, Math.max(0, ...this.#values)));
  }
}
