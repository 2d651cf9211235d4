// @ts-check
/** Paints a chart: grid, envelopes, lines and marks, from what is given and nothing else. */

import { reduce, smoothed } from "./points.js";
import { mapper } from "./scales.js";

/** @typedef {import("./points.js").Curve} Curve @typedef {import("./scales.js").Scale} Scale */
/** @typedef {import("./scales.js").Ticks} Ticks */

/**
 * @typedef {object} Line
 * @property {Curve} curve
 * @property {string} colour resolved
 * @property {number[]} dash
 * @property {"plain" | "strong" | "faint"} look
 *
 * @typedef {object} Box the plot within the picture, in CSS pixels
 * @property {number} left @property {number} top @property {number} width @property {number} height
 *
 * @typedef {object} Picture
 * @property {number} width @property {number} height in CSS pixels
 * @property {Box} box
 * @property {Scale} x @property {Scale} y
 * @property {Ticks} xTicks @property {Ticks} yTicks
 * @property {Line[]} lines
 * @property {number} smooth 0 for none
 * @property {boolean} envelope
 * @property {HTMLCanvasElement | null} [behind] a picture of all lines, shown faintly below these
 * @property {number} [all] how many lines there are in it
 * @property {{text: string, dim: string, line: string, font: string}} theme
 */

const STEPS = 1000; // smoothing is counted by this part of the range that is shown
const FAR = 2.5; // times the usual distance from the mean: a spike
const FAINT = 0.18; // what is left of a line while another one stands out
const DOTS = 9; // pixels between points from which on each has a dot

/** @param {CanvasRenderingContext2D} to @param {Picture} picture */
export function paint(to, picture) {
  const { box } = picture;
  to.clearRect(0, 0, picture.width, picture.height);
  grid(to, picture);
  if (picture.behind) {
    to.globalAlpha = FAINT;
    to.drawImage(picture.behind, 0, 0, picture.width, picture.height);
    to.globalAlpha = 1;
  }
  to.save();
  to.beginPath();
  to.rect(box.left - 3, box.top - 3, box.width + 6, box.height + 6);
  to.clip();
  const order = { faint: 0, plain: 1, strong: 2 };
  const lines = [...picture.lines].sort((a, b) => order[a.look] - order[b.look]);
  for (const line of lines) drawLine(to, picture, line);
  to.restore();
  for (const line of lines) drawMarks(to, picture, line);
}

/** @param {CanvasRenderingContext2D} to @param {Picture} picture */
function grid(to, { box, x, y, xTicks, yTicks, theme }) {
  const toX = mapper(x, box.left, box.left + box.width);
  const toY = mapper(y, box.top + box.height, box.top);
  to.font = theme.font;
  to.lineWidth = 1;
  to.strokeStyle = theme.line;
  to.fillStyle = theme.dim;
  to.beginPath();
  to.textAlign = "right";
  to.textBaseline = "middle";
  for (const { value, label } of yTicks.ticks) {
    const at = Math.round(toY(value)) + 0.5;
    to.moveTo(box.left, at);
    to.lineTo(box.left + box.width, at);
    to.fillText(label, box.left - 6, at);
  }
  to.textBaseline = "top";
  to.textAlign = "center";
  const bottom = box.top + box.height;
  let free = box.left - 30; // where the text before ends
  for (const { value, label } of xTicks.ticks) {
    const at = Math.round(toX(value)) + 0.5;
    to.moveTo(at, box.top);
    to.lineTo(at, bottom);
    const half = to.measureText(label).width / 2;
    const middle = Math.min(at, box.left + box.width + 8 - half);
    if (middle - half < free + 6) continue;
    to.fillText(label, middle, bottom + 6);
    free = middle + half;
  }
  to.stroke();
  to.textAlign = "left";
  to.textBaseline = "bottom";
  if (yTicks.base) to.fillText(yTicks.base, 4, box.top - 1);
  to.textBaseline = "top";
  if (xTicks.base) to.fillText(xTicks.base, 4, bottom + 6);
}

/** @param {CanvasRenderingContext2D} to @param {Picture} picture @param {Line} line */
function drawLine(to, picture, { curve, colour, dash, look }) {
  const { box, x, y, smooth } = picture;
  const toX = mapper(x, box.left, box.left + box.width);
  const toY = mapper(y, box.top + box.height, box.top);
  const shown = reduce(curve, x.low, x.high, box.width * (globalThis.devicePixelRatio || 1));
  const xs = shown.x.map(toX);
  const faint = look === "faint" ? FAINT : 1;
  to.strokeStyle = colour;
  to.fillStyle = colour;
  to.lineJoin = "round";
  const floor = box.top + box.height + 4;
  const pieces = split(shown);
  if (picture.envelope && look !== "faint") {
    const many = Math.min(1, Math.sqrt(4 / (picture.all ?? picture.lines.length))); // bands over each other turn to mud
    to.globalAlpha = (smooth ? 0.12 : 0.26) * (look === "strong" ? 1 : many);
    to.fill(envelope(shown, xs, toY, pieces, floor));
    to.globalAlpha = smooth ? 0.4 : 0.9;
    to.lineWidth = 1;
    to.stroke(needles(shown, xs, toY, floor));
  }
  const width = look === "strong" ? 2.4 : 1.4;
  to.setLineDash(dash);
  to.globalAlpha = faint * (smooth ? 0.3 : 1);
  to.lineWidth = smooth ? 1 : width;
  const ys = shown.mean.map(toY);
  stroke(to, xs, ys, pieces, shown);
  if (smooth) {
    const unit = (x.high - x.low) / STEPS;
    const soft = smoothed(shown.x, shown.mean, smooth, unit).map(toY);
    to.globalAlpha = faint;
    to.lineWidth = width;
    stroke(to, xs, soft, pieces, shown);
  }
  to.setLineDash([]);
  dots(to, xs, ys, look === "strong" ? 3 : 2);
  to.globalAlpha = 1;
}

/**
 * Where the line is not to be broken: from one place up to another.
 *
 * @param {Curve} shown @returns {[number, number][]}
 */
function split(shown) {
  /** @type {[number, number][]} */
  const found = [];
  let first = 0;
  for (let i = 0; i <= shown.x.length; i += 1) {
    const breaks = i === shown.x.length || !Number.isFinite(shown.mean[i]);
    if (!breaks && (i === first || shown.x[i] - shown.x[i - 1] <= shown.gap)) continue;
    if (i > first) found.push([first, i]);
    first = breaks ? i + 1 : i;
  }
  return found;
}

/**
 * @param {Curve} shown @param {Float64Array} xs @param {(y: number) => number} toY
 * @param {[number, number][]} pieces @param {number} floor
 */
function envelope(shown, xs, toY, pieces, floor) {
  const path = new Path2D();
  for (const [first, end] of pieces) {
    let any = false;
    for (let i = first; i < end && !any; i += 1) any = shown.max[i] > shown.min[i];
    if (!any) continue;
    for (let i = first; i < end; i += 1) {
      const at = or(toY(shown.max[i]), floor);
      if (i === first) path.moveTo(xs[i], at);
      else path.lineTo(xs[i], at);
    }
    for (let i = end - 1; i >= first; i -= 1) path.lineTo(xs[i], or(toY(shown.min[i]), floor));
    path.closePath();
  }
  return path;
}

/**
 * Values far outside of what their neighbours have: a spike of one value in a million is a line.
 *
 * @param {Curve} shown @param {Float64Array} xs @param {(y: number) => number} toY @param {number} floor
 */
function needles(shown, xs, toY, floor) {
  const path = new Path2D();
  /** @type {[Float64Array, number][]} */
  const sides = [[shown.max, 1], [shown.min, -1]];
  for (const [ends, side] of sides) {
    const lengths = shown.mean.map((mean, i) => (ends[i] - mean) * side);
    const usual = lengths.filter(Number.isFinite).sort();
    const limit = FAR * (usual[usual.length >> 1] ?? 0);
    for (let i = 0; i < lengths.length; i += 1) {
      if (!(lengths[i] > limit) || (lengths[i - 1] > limit && lengths[i + 1] > limit)) continue;
      const [from, end] = [or(toY(shown.mean[i]), floor), or(toY(ends[i]), floor)];
      if (Math.abs(end - from) < 3) continue;
      const at = Math.floor(xs[i]) + 0.5; // on whole pixels, or it would be faint
      path.moveTo(at, from);
      path.lineTo(at, end);
    }
  }
  return path;
}

/** @param {number} value @param {number} fallback */
function or(value, fallback) {
  return Number.isNaN(value) ? fallback : value;
}

/**
 * @param {CanvasRenderingContext2D} to @param {Float64Array} xs @param {Float64Array} ys places, NaN
 *   where there is none @param {[number, number][]} pieces @param {Curve} shown
 */
function stroke(to, xs, ys, pieces, shown) {
  to.beginPath();
  for (const [first, end] of pieces) {
    let drawn = false;
    for (let i = first; i < end; i += 1) {
      const there = !Number.isNaN(ys[i]);
      if (there && drawn) to.lineTo(xs[i], ys[i]);
      else if (there) to.moveTo(xs[i], ys[i]);
      drawn = there;
    }
  }
  to.stroke();
  // Over a gap in which nothing was recorded: so faint that nobody takes it for values
  to.save();
  to.setLineDash([1, 5]);
  to.globalAlpha *= 0.6;
  to.beginPath();
  for (let n = 1; n < pieces.length; n += 1) {
    const [before, after] = [pieces[n - 1][1] - 1, pieces[n][0]];
    // What lies between them otherwise is no number: the line is broken
    if (after !== before + 1 || Number.isNaN(ys[before]) || Number.isNaN(ys[after])) continue;
    if (shown.x[after] - shown.x[before] <= shown.gap) continue;
    to.moveTo(xs[before], ys[before]);
    to.lineTo(xs[after], ys[after]);
  }
  to.stroke();
  to.restore();
}

/**
 * Points that stand alone.
 *
 * @param {CanvasRenderingContext2D} to @param {Float64Array} xs @param {Float64Array} ys
 * @param {number} radius
 */
function dots(to, xs, ys, radius) {
  to.beginPath();
  for (let i = 0; i < xs.length; i += 1) {
    if (Number.isNaN(ys[i])) continue;
    if (xs[i] - xs[i - 1] < DOTS && !Number.isNaN(ys[i - 1])) continue;
    if (xs[i + 1] - xs[i] < DOTS && !Number.isNaN(ys[i + 1])) continue;
    to.moveTo(xs[i] + radius, ys[i]);
    to.arc(xs[i], ys[i], radius, 0, 2 * Math.PI);
  }
  to.fill();
}

/** What has no place on the y axis has a mark below it. @param {CanvasRenderingContext2D} to @param {Picture} picture @param {Line} line */
function drawMarks(to, { box, x, y }, { curve, colour, look }) {
  const shown = reduce(curve, x.low, x.high, box.width);
  const toX = mapper(x, box.left, box.left + box.width);
  const bottom = box.top + box.height;
  to.fillStyle = colour;
  to.globalAlpha = look === "faint" ? 0.25 : 1;
  to.beginPath();
  for (let i = 0; i < shown.x.length; i += 1) {
    const at = toX(shown.x[i]);
    if (at < box.left || at > box.left + box.width) continue;
    if (shown.nonfinite[i]) {
      to.moveTo(at, bottom - 8);
      to.lineTo(at + 4, bottom);
      to.lineTo(at - 4, bottom);
      to.closePath();
    } else if (y.log && shown.min[i] <= 0) {
      to.rect(at - 1, bottom - 2, 2, 4);
    }
  }
  to.fill();
  to.globalAlpha = 1;
}
