import {make, t} from "../shared/ui.js";

/**
 * A table, or a sentence where there is nothing to show.
 * @param {Element} into @param {string} empty name of the sentence @param {string[]} columns names of their heads; "" for buttons @param {(string | Node)[][]} rows
 */
export function table(into, empty, columns, rows) {
  if (!rows.length) return into.replaceChildren(make("p", {class: "empty"}, t(empty)));
  const head = columns.map((c) => (c ? make("th", {scope: "col"}, t(`column_${c}`)) : make("th", {scope: "col"}, make("span", {class: "hush"}, t("column_actions")))));
  const cell = (/** @type {string | Node} */ v, /** @type {number} */ i) => make("td", columns[i] ? {} : {class: "acts"}, v);
  return into.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.map((r) => make("tr", {}, ...r.map(cell))))));
}

/** @param {string} text name of it @param {() => void} click @param {string} [of] what it acts on, for those who only hear it */
export const action = (text, click, of = "") => make("button", {class: "slim", type: "button", click, ...(of ? {"aria-label": `${t(text)}: ${of}`} : {})}, t(text));
