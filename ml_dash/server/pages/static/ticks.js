// @ts-check
/** Ticks of axes of time: seconds since a start, and moments by the clock. Pure functions. */

import { numberTicks, rounds } from "./scales.js";

/** @typedef {import("./scales.js").Scale} Scale @typedef {import("./scales.js").Ticks} Ticks */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const UNITS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14].map((n) => n * DAY),
];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120];
const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * Ticks of an axis.
 *
 * @param {"step" | "time" | "relative"} axis @param {Scale} scale @param {number} count about how many
 * @returns {Ticks}
 */
export function axisTicks(axis, scale, count) {
  if (axis === "time") return momentTicks(scale, count);
  if (axis === "relative") return durationTicks(scale, count);
  return numberTicks(scale, count, true);
}

/** Seconds since a start, as minutes and hours. @param {Scale} scale @param {number} count @returns {Ticks} */
export function durationTicks(scale, count) {
  const raw = (scale.high - scale.low) / count;
  const largest = Math.max(Math.abs(scale.low), Math.abs(scale.high));
  const unit = UNITS.find((each) => each >= raw);
  if (raw < 0.5 || unit === undefined || largest < 2 * MINUTE) {
    const { ticks, base } = numberTicks(scale, count);
    return { ticks: ticks.map(({ value, label }) => ({ value, label: `${label} s` })), base: base && `${base} s` };
  }
  const values = [];
  for (let n = Math.ceil(scale.low / unit - 1e-9); n * unit <= scale.high; n += 1) values.push(n * unit);
  return { ticks: values.map((value) => ({ value, label: length(value, unit, largest) })), base: "" };
}

/** @param {number} value @param {number} unit @param {number} largest */
function length(value, unit, largest) {
  const size = Math.abs(value);
  const minus = value < 0 ? "−" : "";
  if (unit >= DAY) return `${minus}${size / DAY} d`;
  const [hours, minutes, seconds] = [Math.floor(size / HOUR), Math.floor(size / MINUTE) % 60, size % MINUTE];
  if (largest < HOUR) return `${minus}${minutes}:${two(seconds)}`;
  return `${minus}${hours}:${two(minutes)}${unit < MINUTE ? `:${two(seconds)}` : " h"}`;
}

/** Moments by the clock of whoever looks. @param {Scale} scale @param {number} count @returns {Ticks} */
export function momentTicks(scale, count) {
  const raw = (scale.high - scale.low) / count;
  if (raw > 20 * DAY) return monthTicks(scale, raw);
  const unit = UNITS.find((each) => each >= raw) ?? 28 * DAY;
  const day = date(scale.low).toDateString() === date(scale.high).toDateString() ? stamp(scale.low) : "";
  if (raw < 0.5) {
    const start = Math.floor(scale.low);
    const values = rounds(scale.low - start, scale.high - start, count);
    const digits = Math.max(0, Math.ceil(-Math.log10(raw)));
    const label = (/** @type {number} */ v) => clock(start + Math.floor(v), 1) + (v % 1).toFixed(digits).slice(1);
    return { ticks: values.map((v) => ({ value: start + v, label: label(v) })), base: day };
  }
  const ticks = [];
  for (const value of moments(scale, unit)) {
    const midnight = date(value).getHours() === 0 && date(value).getMinutes() === 0 && date(value).getSeconds() === 0;
    ticks.push({ value, label: unit >= DAY || midnight ? stamp(value) : clock(value, unit) });
  }
  return { ticks, base: day };
}

/** @param {Scale} scale @param {number} unit */
function moments({ low, high }, unit) {
  const found = [];
  if (unit >= DAY) {
    const first = date(low);
    for (let n = 0; n < 400; n += unit / DAY) {
      const value = new Date(first.getFullYear(), first.getMonth(), first.getDate() + n).getTime() / 1000;
      if (value > high) break;
      if (value >= low) found.push(value);
    }
    return found;
  }
  const shift = -date(low).getTimezoneOffset() * MINUTE;
  for (let n = Math.ceil((low + shift) / unit); n * unit - shift <= high; n += 1) found.push(n * unit - shift);
  return found;
}

/** @param {Scale} scale @param {number} raw @returns {Ticks} */
function monthTicks({ low, high }, raw) {
  const months = MONTHS.find((n) => n * 30 * DAY >= raw) ?? 240;
  const ticks = [];
  const start = date(low);
  const first = Math.floor((start.getFullYear() * 12 + start.getMonth()) / months) * months;
  for (let n = first; ticks.length < 60; n += months) {
    const at = new Date(Math.floor(n / 12), n % 12, 1);
    const value = at.getTime() / 1000;
    if (value > high) break;
    const label = n % 12 === 0 ? String(at.getFullYear()) : NAMES[at.getMonth()];
    if (value >= low) ticks.push({ value, label });
  }
  return { ticks, base: "" };
}

/** @param {number} seconds since 1970 */
function date(seconds) {
  return new Date(seconds * 1000);
}

/** @param {number} seconds @param {number} unit */
function clock(seconds, unit) {
  const at = date(seconds);
  return `${two(at.getHours())}:${two(at.getMinutes())}${unit < MINUTE ? `:${two(at.getSeconds())}` : ""}`;
}

/** @param {number} seconds */
function stamp(seconds) {
  const at = date(seconds);
  return `${at.getDate()} ${NAMES[at.getMonth()]}`;
}

/** @param {number} value */
function two(value) {
  return String(value).padStart(2, "0");
}
