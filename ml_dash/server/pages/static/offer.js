// @ts-check
/** What a table of a chart can hold: the points that are shown, or every row that was recorded. */

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count } from "./format.js";

const CELL = 19; // bytes of a number and its comma, roughly
const HEAD = 26; // of time and step

/** @typedef {{run: any, stream: string, columns: string[], rows: number}} Part what one run has of it */

/**
 * A choice, for a chart whose points are not all there is.
 *
 * @param {number} points that are shown
 * @param {Part[]} parts
 * @param {{onPoints: () => void, onDone: () => void}} does
 */
export function offer(points, parts, { onPoints, onDone }) {
  const link = (/** @type {Part} */ { run, stream, columns, rows }) => {
    const path = `runs/${encodeURIComponent(run.id)}/streams/${api.encodePath(stream)}/rows`;
    const href = api.address(path, { format: "csv", column: columns });
    return h(
      "li",
      {},
      h("a", { href, download: "", on: { click: () => setTimeout(onDone) } }, `All ${count(rows)} rows of ${run.name}`),
      h("span", { class: "dim" }, ` about ${bytes(rows * (HEAD + CELL * columns.length))}`),
    );
  };
  const shown = h("button", { type: "button", class: "plain", on: { click: onPoints } }, `The ${count(points)} points that are shown`);
  const close = h("button", { type: "button", class: "plain", "aria-label": "Close", on: { click: onDone } }, "✕");
  const made = h(
    "div",
    { class: "card-offer", role: "group", "aria-label": "Save as a table", on: { keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && onDone() } },
    h("ul", {}, h("li", {}, shown, h("span", { class: "dim" }, " (buckets)")), parts.map(link)),
    close,
  );
  return made;
}
