// @ts-check
/** The values under the pointer, in a box beside it. */

import { h, replace } from "./dom.js";
import { nearest } from "./points.js";
import { told, where } from "./words.js";

/** @typedef {import("./words.js").Named & {css: string, groups: string[]}} Shown */

const MOST = 14;
const CLOSE = 16; // pixels within which the pointer means a curve
const REACH = 24; // pixels beyond its ends at which a curve has values still

/**
 * The point of each curve that belongs to a place.
 *
 * @param {Shown[]} lines @param {number} x @param {(x: number) => number} toX to pixels
 * @returns {{line: Shown, index: number}[]} the greatest value first
 */
export function under(lines, x, toX) {
  const found = [];
  for (const line of lines) {
    const index = nearest(line.curve.x, x);
    const { low, high } = line.curve;
    if (index < 0 || Math.abs(toX(Math.min(Math.max(x, low), high)) - toX(x)) > REACH) continue;
    found.push({ line, index });
  }
  const value = (/** @type {{line: Shown, index: number}} */ { line, index }) => line.curve.mean[index];
  return found.sort((a, b) => (value(b) || 0) - (value(a) || 0));
}

export class Tip {
  /** @param {HTMLElement} element of the chart */
  constructor(element) {
    this.chart = element;
    this.element = h("div", { class: "chart-tip", hidden: true });
    element.append(this.element);
  }

  /**
   * @param {import("./words.js").Axis} axis @param {number} x @param {Shown[]} lines
   * @param {{x: number, y: number}} at the pointer
   * @param {import("./plane.js").Plane} plane
   * @returns {string | null} the group of the curve nearest to the pointer
   */
  show(axis, x, lines, at, plane) {
    const points = under(lines, x, (v) => plane.toX(v));
    let near = -1;
    let best = Infinity;
    points.forEach(({ line, index }, n) => {
      const away = Math.abs(plane.toY(line.curve.mean[index]) - at.y);
      if (away < best) [near, best] = [n, away];
    });
    const first = Math.max(0, Math.min(near - MOST / 2, points.length - MOST));
    const shown = points.slice(first, first + MOST);
    const exact = points[near >= 0 ? near : 0];
    const place = exact ? exact.line.curve.x[exact.index] : x;
    replace(
      this.element,
      h("div", { class: "dim" }, where(axis, axis === "step" && !Number.isInteger(place) ? Math.round(place) : place)),
      h(
        "table",
        {},
        shown.map(({ line, index }, n) =>
          h(
            "tr",
            { class: first + n === near ? "near" : null },
            h("td", {}, h("span", { class: "swatch", style: { background: line.css } }), line.label),
            h("td", {}, told(line.curve, index)),
          ),
        ),
      ),
      points.length > shown.length ? h("div", { class: "dim" }, `and ${points.length - shown.length} more`) : null,
    );
    this.element.hidden = false;
    this.#place(at);
    return near >= 0 && best < CLOSE ? points[near].line.groups[0] ?? points[near].line.key : null;
  }

  hide() {
    this.element.hidden = true;
  }

  /** @param {{x: number, y: number}} at */
  #place(at) {
    const [width, height] = [this.element.offsetWidth, this.element.offsetHeight];
    const room = this.chart.getBoundingClientRect();
    let left = at.x + 14;
    if (room.x + left + width > window.innerWidth - 8) left = Math.max(at.x - 14 - width, 4 - room.x);
    const top = Math.max(4 - room.y, Math.min(at.y - height / 2, window.innerHeight - room.y - height - 4));
    this.element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}
