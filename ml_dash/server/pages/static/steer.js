// @ts-check
/** What gestures do to a chart. */

import { nearest, place } from "./points.js";
import { valueAt } from "./scales.js";
import { under } from "./tip.js";
import { told, where } from "./words.js";

/** @typedef {import("./chart.js").Chart} Chart @typedef {{x: number, y: number}} Spot */

const FLAT = 12; // pixels that a box is high at least, to zoom the y axis too
const FINEST = 2; // steps that a zoom shows at least
const SPOKEN = 6; // curves whose values are told

/** @param {Chart} chart @returns {import("./pointer.js").Gestures} */
export function gestures(chart) {
  const { plane } = chart;
  /** @param {number} low @param {number} high @param {[number, number] | null} [y] */
  const zoom = (low, high, y = null) => {
    const missing = chart.options.x === "step" ? Math.max(0, FINEST - (high - low)) / 2 : 0;
    chart.zoomTo([low - missing, high + missing], y);
  };
  /** @type {number | null} */
  let before = null;
  return {
    look: (at) => look(chart, at),
    pick(x, again) {
      if (!again) before = chart.cursorAt;
      chart.choose(snap(chart, plane.fromX(x)));
    },
    drag: (from, to) => drag(chart, from, to),
    box(from, to) {
      const [a, b] = [plane.fromX(from.x), plane.fromX(to.x)].sort((one, other) => one - other);
      const [c, d] = [plane.fromY(from.y), plane.fromY(to.y)].sort((one, other) => one - other);
      const flat = Math.abs(to.y - from.y) < FLAT || Math.abs(to.x - from.x) < FLAT;
      zoom(a, b, flat ? null : [c, d]);
    },
    pan(pixels) {
      const { low, high } = plane.x;
      const [first, last] = chart.all;
      const moved = Math.min(Math.max(-plane.distance(pixels), first - low), last - high);
      chart.zoomTo([low + moved, high + moved]);
    },
    scale(pixels, factor) {
      const { low, high } = plane.x;
      const middle = Number.isNaN(pixels) ? chart.cursorAt ?? valueAt(plane.x, 0.5) : plane.fromX(pixels);
      const [first, last] = chart.all;
      const [a, b] = [middle + (low - middle) * factor, middle + (high - middle) * factor];
      if (a <= first && b >= last) chart.reset();
      else zoom(Math.max(a, first), Math.min(b, last));
    },
    reset: () => chart.reset(),
    restore() {
      chart.choose(before); // a double click is no wish to go there
      chart.reset();
    },
    walk: (count) => walk(chart, count),
  };
}

/** The place of the point nearest to x. @param {Chart} chart @param {number} x */
function snap(chart, x) {
  let best = NaN;
  for (const { curve } of chart.lines) {
    const i = nearest(curve.x, x);
    if (i >= 0 && !(Math.abs(curve.x[i] - x) >= Math.abs(best - x))) best = curve.x[i];
  }
  const found = Number.isNaN(best) ? x : best;
  return chart.options.x === "step" ? Math.round(found) : found;
}

/** @param {Chart} chart @param {Spot | null} at */
function look(chart, at) {
  const { plane, options } = chart;
  const x = at && chart.lines.length ? plane.fromX(at.x) : null;
  chart.hover(x);
  options.onHover?.(x);
  if (x === null || at === null) chart.tip.hide();
  const near = x === null || at === null ? null : chart.tip.show(options.x, x, chart.lines, at, plane);
  options.onNear?.(near);
}

/** Shows the box that is drawn. @param {Chart} chart @param {Spot} from @param {Spot | null} to */
function drag({ box, plane }, from, to) {
  box.hidden = to === null;
  if (to === null) return;
  const { left, top, width, height } = plane.box;
  const flat = Math.abs(to.y - from.y) < FLAT;
  const x = [from.x, to.x].map((v) => Math.min(Math.max(v, left), left + width)).sort((a, b) => a - b);
  const y = flat ? [top, top + height] : [from.y, to.y].map((v) => Math.min(Math.max(v, top), top + height)).sort((a, b) => a - b);
  Object.assign(box.style, { left: `${x[0]}px`, top: `${y[0]}px`, width: `${x[1] - x[0]}px`, height: `${y[1] - y[0]}px` });
}

/** Along the points of the curve that stands out, or of the first. @param {Chart} chart @param {number} count */
function walk(chart, count) {
  const line = chart.lines.find((one) => chart.isStrong(one)) ?? chart.lines.find(({ curve }) => curve.x.length);
  if (!line?.curve.x.length) return;
  const { x } = line.curve;
  const [low, high] = chart.range;
  const first = Math.min(place(x, low), x.length - 1);
  const end = Math.max(first, x[place(x, high)] === high ? place(x, high) : place(x, high) - 1);
  const from = chart.cursorAt === null ? (count > 0 ? first - 1 : end + 1) : nearest(x, chart.cursorAt);
  const at = x[Math.min(Math.max(from + count, first), end)];
  chart.choose(chart.options.x === "step" ? Math.round(at) : at);
  const points = under(chart.lines, at, (v) => chart.plane.toX(v)).slice(0, SPOKEN);
  const values = points.map(({ line: own, index }) => `${own.label} ${told(own.curve, index)}`);
  chart.spoken.textContent = `${where(chart.options.x, at)}: ${values.join("; ")}`;
}
