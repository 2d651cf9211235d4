// @ts-check
/** What a chart shows, in words: under the pointer, for those who listen, and as a table. */

import { count as digits, duration, moment, number } from "./format.js";
import { extent, place } from "./points.js";

/** @typedef {import("./points.js").Curve} Curve @typedef {"step" | "time" | "relative"} Axis */
/** @typedef {{key: string, label: string, curve: Curve}} Named */

const AXES = { step: "step", time: "time", relative: "seconds since the start" };

/** Where something is on the x axis. @param {Axis} axis @param {number} x */
export function where(axis, x) {
  if (axis === "time") return moment(x) + (x % 1 ? (x % 1).toFixed(3).slice(1) : "");
  if (axis === "relative") return `${duration(x)} since the start`;
  return `step ${Number.isInteger(x) ? digits(x) : number(x)}`;
}

/** The value of a point, or those of a bucket. @param {Curve} curve @param {number} i */
export function told(curve, i) {
  const value = number(curve.mean[i]);
  const range = curve.max[i] > curve.min[i] ? ` (${number(curve.min[i])} … ${number(curve.max[i])})` : "";
  const bad = curve.nonfinite[i];
  if (bad && bad === curve.count[i]) return "NaN or infinite";
  return value + range + (bad ? `, ${bad} not finite` : "");
}

/** The same, in a word: that of a bucket is about its mean. @param {Curve} curve @param {number} i */
export function brief(curve, i) {
  if (!Number.isFinite(curve.mean[i])) return "not finite";
  return (curve.max[i] > curve.min[i] ? "≈ " : "") + number(curve.mean[i]);
}

/**
 * What those hear who do not see the curves.
 *
 * @param {string} title @param {Axis} axis @param {Named[]} lines @param {number} low @param {number} high
 */
export function summary(title, axis, lines, low, high) {
  if (!lines.some(({ curve }) => curve.x.length)) return `${title}: no values.`;
  const parts = lines.slice(0, 10).map(({ label, curve }) => {
    const [least, greatest] = extent(curve, low, high, false);
    let [count, bad, last] = [0, 0, -1];
    let many = false; // a bucket may lie half inside
    for (let i = place(curve.x, low); i < curve.x.length && curve.x[i] <= high; i += 1) {
      count += curve.count[i];
      bad += curve.nonfinite[i];
      if (Number.isFinite(curve.mean[i])) last = i;
      many ||= curve.count[i] > 1 && (low > curve.low || high < curve.high);
    }
    if (!count) return `${label}: no values here`;
    const values = `${many ? "about " : ""}${count} ${count === 1 ? "value" : "values"}`;
    if (last < 0) return `${label}: ${values}, all NaN or infinite`;
    const about = curve.count[last] > 1 && curve.max[last] > curve.min[last] ? "about " : "";
    const odd = bad ? `, ${bad} NaN or infinite` : "";
    return `${label}: ${values} from ${number(least)} to ${number(greatest)}, the last ${about}${number(curve.mean[last])}${odd}`;
  });
  const more = lines.length > 10 ? ` And ${lines.length - 10} more.` : "";
  const [from, to] = axis === "step" ? steps(low, high) : [low, high];
  return `${title}, from ${where(axis, from)} to ${where(axis, to)}. ${parts.join(". ")}.${more}`;
}

/** The first and the last step within a range. @param {number} low @param {number} high */
function steps(low, high) {
  const [from, to] = [Math.ceil(low - 1e-6) || 0, Math.floor(high + 1e-6) || 0]; // no minus before 0
  return from <= to ? [from, to] : [low, high];
}

/**
 * A table of all points within a range, as CSV.
 *
 * @param {Axis} axis @param {Named[]} lines @param {number} low @param {number} high
 */
export function csv(axis, lines, low, high) {
  const rows = [`curve,${axis === "step" ? "step" : cell(AXES[axis])},mean,min,max,count,nonfinite`];
  for (const { label, curve } of lines) {
    const name = cell(label);
    for (let i = place(curve.x, low); i < curve.x.length && curve.x[i] <= high; i += 1) {
      const values = [curve.mean[i], curve.min[i], curve.max[i]].map((v) => (Number.isFinite(v) ? v : ""));
      rows.push([name, curve.x[i], ...values, curve.count[i], curve.nonfinite[i]].join(","));
    }
  }
  return `${rows.join("\r\n")}\r\n`;
}

/** Text in a table; a spreadsheet must not take it for a formula. @param {string} text */
function cell(text) {
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replace(/"/g, '""')}"` : inert;
}
