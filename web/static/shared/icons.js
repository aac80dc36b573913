// The pictures on buttons: strokes on a grid of 24.

/** @type {Record<string, string>} */
const paths = {
  mic: "M9 5a3 3 0 0 1 6 0v6a3 3 0 0 1-6 0zM5 11a7 7 0 0 0 14 0M12 18v3",
  "mic-off": "M9 9v2a3 3 0 0 0 5 2.2M15 10V5a3 3 0 0 0-5.7-1.3M5 11a7 7 0 0 0 11 5.7M19 11a7 7 0 0 1-.6 2.8M12 18v3M4 3l16 18",
  cam: "M3 7h11a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zM15 11l6-3.5v9L15 13",
  "cam-off": "M6 7h8a1 1 0 0 1 1 1v3l6-3.5v9l-3-1.8M14 17H3a1 1 0 0 1-1-1V8a1 1 0 0 1 .6-.9M4 3l16 18",
  screen: "M3 4h18v12H3zM8 20h8M12 13V7.5M9.5 9.5 12 7l2.5 2.5",
  end: "M3 14.5c-.6-1.6 0-3.4 1.4-4.2C9 7.6 15 7.6 19.6 10.3c1.4.8 2 2.6 1.4 4.2l-.3.7-4-.9-.3-2.3c-2.8-.8-6-.8-8.8 0l-.3 2.3-4 .9z",
  chat: "M4 5h16v11H9l-5 4z",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M13 7a2 2 0 1 0 4 0 2 2 0 1 0-4 0M7 17a2 2 0 1 0 4 0 2 2 0 1 0-4 0",
  snap: "M4 8h3l2-3h6l2 3h3v11H4zM8.5 13a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0",
  record: "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0M9.5 12a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0",
  pass: "M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4",
  star: "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9-4.3-4.1 5.9-.8z",
  accept: "M5 12.5l4.5 4.5L19 7",
  decline: "M6 6l12 12M18 6 6 18",
};

/** @param {string} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", paths[name] ?? "");
  svg.append(path);
  return svg;
}

/** Puts a picture before the text of every element with data-icon. */
export function icons() {
  for (const e of document.querySelectorAll("[data-icon]")) {
    const name = /** @type {HTMLElement} */ (e).dataset.icon ?? "";
    e.querySelector("svg.icon")?.remove();
    e.prepend(icon(name));
  }
}
