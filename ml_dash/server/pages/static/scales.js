// @ts-check
/** From values to places on an axis and back, and the ticks of an axis. Pure functions. */

import { minus } from "./format.js";

/** @typedef {{low: number, high: number, log?: boolean}} Scale */
/** @typedef {{value: number, label: string}} Tick */
/** @typedef {{ticks: Tick[], base: string}} Ticks `base` is what each label is counted from */

const MOST = 60;
const FINEST = 16;
/** @type {[number, string][]} */
const SUFFIXES = [[12, "T"], [9, "G"], [6, "M"], [3, "k"]];

/**
 * A function from values to places. On a log scale what is not positive has none: NaN.
 *
 * @param {Scale} scale @param {number} from place of its lower end @param {number} to
 * @returns {(value: number) => number}
 */
export function mapper(scale, from, to) {
  if (scale.log) {
    const low = Math.log10(scale.low);
    const slope = (to - from) / (Math.log10(scale.high) - low);
    return (value) => (value > 0 ? from + (Math.log10(value) - low) * slope : NaN);
  }
  const half = scale.high / 2 - scale.low / 2; // the difference of two finite values may be infinite
  return (value) => from + ((value / 2 - scale.low / 2) / half) * (to - from);
}

/** The value at a place. @param {Scale} scale @param {number} part 0 at its lower end, 1 at the other */
export function valueAt(scale, part) {
  if (scale.log) return scale.low ** (1 - part) * scale.high ** part;
  return scale.low * (1 - part) + scale.high * part;
}

/**
 * A scale that shows these values with some room around them.
 *
 * @param {number} low @param {number} high not finite where there is no value
 * @param {boolean} [log] @param {number} [room] as a part of the range
 * @returns {Scale}
 */
export function around(low, high, log = false, room = 0.04) {
  if (!(low <= high)) return log ? { low: 0.1, high: 10, log } : { low: 0, high: 1, log };
  if (log) {
    if (low === high) return { low: low / 2, high: high * 2, log };
    const grow = (high / low) ** room;
    return { low: Math.max(low / grow, Number.MIN_VALUE), high: finite(high * grow), log };
  }
  if (low === high) {
    const half = Math.abs(low) / 10 || 1;
    return { low: finite(low - half), high: finite(high + half), log };
  }
  const more = (high / 2 - low / 2) * 2 * room;
  return { low: finite(low - more), high: finite(high + more), log };
}

/** @param {number} value */
function finite(value) {
  return Math.min(Math.max(value, -Number.MAX_VALUE), Number.MAX_VALUE);
}

/**
 * Round values within a range, about `count` of them.
 *
 * @param {number} low @param {number} high @param {number} count @param {boolean} [whole] no fractions
 */
export function rounds(low, high, count, whole = false) {
  const raw = high / count - low / count;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 5, 10].find((f) => f * power >= raw * 0.75) ?? 10;
  const unit = whole ? Math.max(1, factor * power) : factor * power;
  /** @type {number[]} */
  const found = [];
  for (let n = Math.ceil(low / unit - 1e-9); n * unit <= high + 1e-9 * unit; n += 1) {
    const value = Number((n * unit).toPrecision(15));
    if (found.length > MOST || value === found[found.length - 1]) break;
    found.push(value === 0 ? 0 : value);
  }
  if (found.length < 2 && count < FINEST && !(whole && unit === 1)) return rounds(low, high, count * 2, whole);
  return found;
}

/**
 * Ticks of plain numbers.
 *
 * @param {Scale} scale @param {number} count about how many @param {boolean} [whole] as steps are
 * @returns {Ticks}
 */
export function numberTicks(scale, count, whole = false) {
  const values = scale.log ? logRounds(scale.low, scale.high, count) : rounds(scale.low, scale.high, count, whole);
  if (scale.log) return { ticks: values.map((value) => ({ value, label: plain(value) })), base: "" };
  const unit = values.length > 1 ? values[1] - values[0] : 1;
  const largest = Math.max(...values.map(Math.abs), 0);
  let base = 0;
  if (largest / unit > 1e5 && values.length > 1) {
    const coarse = 10 ** Math.ceil(Math.log10(unit * values.length));
    base = Number((Math.floor(values[0] / coarse) * coarse).toPrecision(15));
    if (largest < 1e7 && Number.isInteger(base)) base = 0; // short enough as it is
  }
  const label = labeller(unit, base ? Math.max(...values.map((v) => Math.abs(v - base))) : largest);
  return {
    ticks: values.map((value) => ({ value, label: (base ? "+" : "") + label(value - base) })),
    base: base ? minus(String(base)) : "",
  };
}

/** @param {number} unit between two ticks @param {number} largest @returns {(value: number) => string} */
function labeller(unit, largest) {
  const [power, suffix] = largest >= 1e15 || largest < 1e-3 ? [0, "e"] : thousands(unit, largest);
  if (suffix === "e") return (value) => scientific(value, unit);
  const size = unit / 10 ** power;
  const digits = Math.max(0, -Math.floor(Math.log10(size) + 1e-9));
  if (suffix) return (value) => (value ? minus((value / 10 ** power).toFixed(digits)) + suffix : "0");
  return (value) => minus(value.toFixed(Math.min(digits, 12)));
}

/** @param {number} unit @param {number} largest @returns {[number, string]} */
function thousands(unit, largest) {
  const found = SUFFIXES.find(([power]) => largest >= 10 ** power);
  if (largest < 1e4 || !found || unit < 10 ** (found[0] - 1)) return [0, ""];
  return found;
}

/** With as many digits as tell it from its neighbours. @param {number} value @param {number} unit between them */
function scientific(value, unit) {
  if (!value) return "0";
  const digits = rank(value) - rank(unit);
  return minus(value.toExponential(Math.min(Math.max(digits, 0), 15)).replace("e+", "e"));
}

/** The power of ten of a number. @param {number} value */
function rank(value) {
  return Number(value.toExponential().split("e")[1]);
}

/** A number with as few characters as it needs. @param {number} value */
function plain(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-3)) {
    return minus(Number(value.toPrecision(12)).toExponential().replace("e+", "e"));
  }
  if (size >= 1e4 && Number.isInteger(value / 1000)) {
    for (const [power, suffix] of SUFFIXES) {
      const part = value / 10 ** power;
      if (size >= 10 ** power && Number.isInteger(part * 100)) return minus(String(part)) + suffix;
    }
  }
  return minus(String(Number(value.toPrecision(12))));
}

/** @param {number} low @param {number} high @param {number} count */
function logRounds(low, high, count) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const decades = last - first + 1;
  if (decades < 2) {
    const fine = rounds(low, high, count).filter((value) => value > 0);
    const coarse = multiples(first - 1, last + 1, [1, 2, 5]).filter((v) => v >= low && v <= high);
    return coarse.length >= 2 ? coarse : fine;
  }
  if (decades <= count / 3) return multiples(first - 1, last + 1, [1, 2, 5]).filter((v) => v >= low && v <= high);
  const every = Math.max(1, Math.ceil(decades / count));
  const found = [];
  for (let power = Math.ceil(first / every) * every; power <= last; power += every) found.push(decade(power));
  return found;
}

/** @param {number} first @param {number} last @param {number[]} factors */
function multiples(first, last, factors) {
  const found = [];
  for (let power = first; power <= last; power += 1) {
    for (const factor of factors) found.push(Number((factor * decade(power)).toPrecision(3)));
  }
  return found;
}

/** @param {number} power */
function decade(power) {
  return Number(`1e${power}`);
}
