// @ts-check
/** The rows of a track as they were recorded: all of them where they are few, else those that stick out. */

import * as api from "./api.js";
import { isOfCursor, originOf } from "./clocks.js";
import { last, nearestOf, Timeline } from "./cursor.js";

const PAGE = 250_000; // rows of one answer
const KEPT = 500_000; // rows of a run that are held
const BLOCKS = 2000; // of a line: of each its ends, and where it goes farthest

/** Columns of entries, by name. @typedef {{total: number, columns: Map<string, Float64Array>}} Entries */

export class TrackRows {
  /** @param {any} run @param {string} stream @param {string[]} columns @param {AbortSignal} signal */
  constructor(run, stream, columns, signal) {
    this.run = run;
    this.stream = stream;
    this.columns = columns;
    this.signal = signal;
    /** @type {Promise<void>} */
    this.loading = Promise.resolve();
    this.stepped = false;
    this.total = 0;
    /** Whether rows are left out. */
    this.reduced = false;
    /** Moment of the last row that was read. */
    this.end = NaN;
    this.steps = new Float64Array(0);
    this.times = new Float64Array(0);
    this.axes = columns.map(() => new Float64Array(0));
    this.timeline = new Timeline(this.steps, this.times);
  }

  /** Reads all rows, or those that came since; one time after the other. @returns {Promise<void>} */
  load() {
    this.loading = this.loading.catch(() => {}).then(() => this.#load());
    return this.loading;
  }

  async #load() {
    let from = Math.max(0, this.total - 1);
    let page = await this.#ask(from);
    if (from && page.columns.get("timestamp")?.[0] !== this.end) {
      from = 0; // a row came before the last: numbers are others
      page = await this.#ask(0);
    }
    if (!from) this.#clear();
    for (let first = from; ; page = await this.#ask(first)) {
      const given = ["step", "timestamp", ...this.columns].map((name) => page.columns.get(name) ?? new Float64Array(0));
      const size = given[1].length;
      const skip = from && first === from ? 1 : 0;
      this.#add(given.map((one) => (one.length === size ? one : new Float64Array(size).fill(NaN)).subarray(skip)), page.total);
      first += size;
      if (size) this.end = given[1][size - 1];
      this.total = first;
      if (!size || first >= page.total) break;
    }
    this.timeline = new Timeline(this.steps, this.times);
    this.stepped = this.steps.some((one) => !Number.isNaN(one));
  }

  /** The row at a place of the run; -1 for none. @param {import("./cursor.js").Spot} spot */
  at({ step, time, nth }) {
    if (!this.steps.length) return -1;
    const origin = originOf(this.run, this.stream);
    if (step !== null && this.stepped) {
      if ((this.timeline.ordered && nth === undefined) || time === null || !isOfCursor(this.run, this.stream)) return this.timeline.at(step);
      const own = nearestOf(this.steps, this.times, step, time + origin, nth);
      if (own >= 0) return own;
    }
    return time === null ? -1 : Math.max(0, last(this.times, time + origin + 1e-3));
  }

  /** Rows between which a line looks as between all. @param {number} a an axis @param {number} b another */
  outline(a, b) {
    return outline([this.axes[a], this.axes[b]], BLOCKS);
  }

  #clear() {
    this.total = 0;
    this.reduced = false;
    this.steps = this.times = new Float64Array(0);
    this.axes = this.columns.map(() => new Float64Array(0));
  }

  /** @param {Float64Array[]} given step, time and axes @param {number} total */
  #add(given, total) {
    let kept = given;
    if (total > KEPT) {
      this.reduced = true;
      const rows = outline(given.slice(2), Math.ceil((BLOCKS * given[1].length) / total) + 1);
      kept = given.map((one) => Float64Array.from(rows, (row) => one[row]));
    }
    const [steps, times, ...axes] = kept;
    this.steps = joined(this.steps, steps);
    this.times = joined(this.times, times);
    this.axes = this.axes.map((axis, i) => joined(axis, axes[i]));
  }

  /** @param {number} first @returns {Promise<Entries>} */
  async #ask(first) {
    const path = `runs/${encodeURIComponent(this.run.id)}/streams/${api.encodePath(this.stream)}/index`;
    const buffer = await api.bytes(path, { first, count: PAGE, column: this.columns, format: "binary" }, { signal: this.signal });
    const start = new Uint8Array(buffer).indexOf(10) + 1;
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 0, start)));
    const columns = new Map();
    for (const [name, { at }] of Object.entries(header.columns)) columns.set(name, new Float64Array(buffer, start + at, header.count));
    return { total: header.total, columns };
  }
}

/**
 * Of each block of rows its first and last, and those at which an axis is least or greatest.
 *
 * @param {Float64Array[]} axes @param {number} blocks
 * @returns {number[]} in order
 */
export function outline(axes, blocks) {
  const size = axes[0].length;
  const each = Math.max(1, Math.ceil(size / blocks));
  /** @type {number[]} */
  const found = [];
  for (let begin = 0; begin < size; begin += each) {
    const end = Math.min(begin + each, size);
    const rows = new Set([begin, end - 1]);
    for (const axis of axes) {
      let [low, high] = [-1, -1];
      for (let i = begin; i < end; i += 1) {
        if (!Number.isFinite(axis[i])) continue;
        if (low < 0 || axis[i] < axis[low]) low = i;
        if (high < 0 || axis[i] > axis[high]) high = i;
      }
      if (low >= 0) rows.add(low).add(high);
    }
    found.push(...[...rows].sort((a, b) => a - b));
  }
  return found;
}

/** @param {Float64Array} a @param {Float64Array} b */
export function joined(a, b) {
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
