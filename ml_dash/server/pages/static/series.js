// @ts-check
/** The columns of streams as curves: in buckets at first, exact where one zooms in, longer while a run goes on. */

import * as api from "./api.js";
import { place } from "./points.js";

/** @typedef {"step" | "time" | "relative"} Axis @typedef {[number, number]} Range */
/**
 * @typedef {object} Column
 * @property {Float64Array} x
 * @property {Float64Array | Float32Array} min
 * @property {Float64Array | Float32Array} max
 * @property {Float64Array | Float32Array} mean
 * @property {Uint32Array} count
 * @property {Uint32Array} nonfinite
 * @property {number[]} [passes] where a line begins of its own, as in each episode: x goes back there
 * @property {string[]} [names] what these are
 */
/** @typedef {{axis: Axis, buckets: number, from: number | null, to: number | null}} Query */

const ARRAYS = /** @type {const} */ (["x", "min", "max", "mean", "count", "nonfinite"]);
const AT_ONCE = 50; // columns of one request
const MARGIN = 0.02; // of a range, loaded on both sides of it
const LONGEST = 3; // times the points asked for, before all is asked for anew
const PAUSE = 1500; // milliseconds between two such, where lines begin anew
const AGAIN = 5000; // milliseconds after which all is asked for where nothing new came: steps may have gone back

/**
 * The arrays of an answer in binary, without a copy.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Map<string, {column: Column, exact: boolean}>}
 */
export function parse(buffer) {
  const bytes = new Uint8Array(buffer);
  const start = bytes.indexOf(10) + 1;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(0, start)));
  const found = new Map();
  for (const [name, { count, at, passes, names }] of Object.entries(header.columns)) {
    let place = start + at;
    const take = (/** @type {any} */ kind) => {
      const made = new kind(buffer, place, count);
      place += Math.ceil(made.byteLength / 8) * 8;
      return made;
    };
    const column = passes ? { passes, names } : {};
    for (const array of ARRAYS) {
      Object.assign(column, { [array]: take(array === "count" || array === "nonfinite" ? Uint32Array : Float64Array) });
    }
    found.set(name, { column, exact: header.exact });
  }
  return found;
}

/** Asks for what many curves want of one run, a stream at a time. */
export class Loader {
  /** @param {string} run its id */
  constructor(run) {
    this.run = run;
    /** @type {Map<string, {stream: string, query: Query, columns: Map<string, {done: Function, fail: Function}[]>}>} */
    this.wanted = new Map();
  }

  /**
   * One column. What is wanted in the same moment is asked for together.
   *
   * @param {string} stream @param {string} column @param {Query} query
   * @returns {Promise<{column: Column, exact: boolean}>}
   */
  load(stream, column, query) {
    if (!this.wanted.size) setTimeout(() => this.#ask());
    const key = JSON.stringify([stream, query]);
    let group = this.wanted.get(key);
    if (!group || (group.columns.size >= AT_ONCE && !group.columns.has(column))) {
      if (group) this.wanted.set(`${key}${this.wanted.size}`, group);
      group = { stream, query, columns: new Map() };
      this.wanted.set(key, group);
    }
    const { columns } = group;
    return new Promise((done, fail) => columns.set(column, [...(columns.get(column) ?? []), { done, fail }]));
  }

  #ask() {
    const groups = [...this.wanted.values()];
    this.wanted.clear();
    for (const { stream, query, columns } of groups) {
      const { axis, buckets, from, to } = query;
      const path = `runs/${encodeURIComponent(this.run)}/streams/${api.encodePath(stream)}/chart`;
      const params = new URLSearchParams();
      for (const name of columns.keys()) params.append("column", name);
      const rest = { x: axis, buckets, from, to, format: "binary" };
      api.bytes(`${path}?${params}`, rest).then(
        (buffer) => {
          const found = parse(buffer);
          for (const [name, all] of columns) for (const { done } of all) done(found.get(name));
        },
        (error) => [...columns.values()].flat().forEach(({ fail }) => fail(error)),
      );
    }
  }
}

/** One column of one run, as much of it as is needed. */
export class Source {
  /** @param {Loader} loader @param {string} stream @param {string} column */
  constructor(loader, stream, column) {
    this.loader = loader;
    this.stream = stream;
    this.column = column;
    /** @type {Column | null} all of it, in buckets unless `exact` */
    this.whole = null;
    this.exact = false;
    /** @type {{column: Column, range: Range} | null} a part, more finely */
    this.part = null;
    /** @type {Query} */
    this.query = { axis: "step", buckets: 500, from: null, to: null };
    this.asked = 0;
    /** When all of it was loaded. */
    this.loaded = 0;
    /** @type {Range | null} what is being loaded */
    this.coming = null;
  }

  /** Loads all of it. @param {Axis} axis @param {number} buckets */
  async load(axis, buckets) {
    if (axis !== this.query.axis) this.whole = this.part = null;
    this.query = { axis, buckets, from: null, to: null };
    const { query } = this;
    const { column, exact } = await this.loader.load(this.stream, this.column, query);
    if (query !== this.query) return; // another axis has been asked for since
    [this.whole, this.exact] = [column, exact];
    this.loaded = performance.now();
  }

  /** Whether a range needs to be loaded more finely. @param {Range | null} range */
  isCoarse(range) {
    if (!range || this.exact || !this.whole) return false;
    const [low, high] = this.coming ?? this.part?.range ?? [Infinity, -Infinity];
    return !(low === range[0] && high === range[1]);
  }

  /** Loads a range, each value where they are few. @param {Range} range */
  async refine(range) {
    const number = ++this.asked;
    const more = (range[1] - range[0]) * MARGIN;
    const query = { ...this.query, from: range[0] - more, to: range[1] + more };
    this.coming = range;
    try {
      const { column } = await this.loader.load(this.stream, this.column, query);
      if (number === this.asked && query.axis === this.query.axis) this.part = { column, range };
    } finally {
      if (number === this.asked) this.coming = null;
    }
  }

  /**
   * Loads what came after all that is known.
   *
   * @returns {Promise<boolean | number>} whether something did; or in how many milliseconds to look again
   */
  async extend() {
    const { whole, query } = this;
    if (!whole) return false;
    const rest = (/** @type {number} */ pause) => this.loaded + pause - performance.now();
    if (whole.passes && rest(PAUSE) > 0) return rest(PAUSE);
    if (!whole.x.length || whole.passes || whole.x.length > LONGEST * Math.max(query.buckets, 300)) {
      await this.load(query.axis, query.buckets);
      return true;
    }
    const from = query.axis === "step" ? Math.round(end(whole)) + 1 : end(whole) + 1e-6;
    const { column, exact } = await this.loader.load(this.stream, this.column, { ...query, from });
    if (query !== this.query || whole !== this.whole) return false;
    if (!column.x.length || column.passes) {
      if (!column.x.length && rest(AGAIN) > 0) return query.axis === "step" ? rest(AGAIN) : false;
      if (!column.x.length && query.axis !== "step") return false;
      await this.load(query.axis, query.buckets);
      return true;
    }
    this.whole = join([whole, column]);
    this.exact &&= exact;
    return true;
  }

  /**
   * What is known: all of it, or where a range is shown the fine part, and around it the rest.
   *
   * @param {Range | null} range
   * @returns {Column | null}
   */
  known(range) {
    const { whole, part } = this;
    if (!whole || !part || !range || this.exact) return whole;
    if (whole.passes || part.column.passes) return part.column;
    const { x } = part.column;
    if (!x.length) return whole;
    return join([cut(whole, 0, place(whole.x, x[0])), part.column, cut(whole, place(whole.x, x[x.length - 1] + 1e-9), whole.x.length)]);
  }
}

/**
 * The lines of a column: one, or one for each pass.
 *
 * @param {Column} column
 * @returns {{name: string, column: Column}[]}
 */
export function lines(column) {
  const { passes, names = [] } = column;
  if (!passes) return [{ name: "", column }];
  return passes.map((begin, n) => ({ name: names[n] ?? "", column: cut(column, begin, passes[n + 1] ?? column.x.length) }));
}

/** The last x that a column knows of: that of a value, or the end of a bucket. @param {Column} column */
function end({ x, count }) {
  const last = x.length - 1;
  if (last < 1 || count[last] === 1) return x[last];
  return x[last] + (x[last] - x[last - 1]) / 2;
}

/** @param {Column} column @param {number} first @param {number} end @returns {Column} */
function cut(column, first, end) {
  return /** @type {any} */ (Object.fromEntries(ARRAYS.map((name) => [name, column[name].subarray(first, end)])));
}

/** @param {Column[]} parts @returns {Column} */
function join(parts) {
  const size = parts.reduce((sum, { x }) => sum + x.length, 0);
  /** @type {any} */
  const made = {};
  for (const name of ARRAYS) {
    made[name] = new (name === "count" || name === "nonfinite" ? Uint32Array : Float64Array)(size);
    let at = 0;
    for (const part of parts) {
      made[name].set(part[name], at);
      at += part.x.length;
    }
  }
  return made;
}
