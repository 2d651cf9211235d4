// @ts-check
/** All charts of a page: one cursor, one zoom, one curve that stands out. */

import { Card } from "./card.js";
import { isOfCursor, originOf, originOfCursor } from "./clocks.js";
import { Moments, rowsAt } from "./moments.js";
import * as place from "./place.js";

/** @typedef {import("./groups.js").Wanted} Wanted @typedef {import("./card.js").Look} Look */
/** @typedef {import("./series.js").Range} Range @typedef {import("./view.js").Context} Context */

const DWELL = 60; // milliseconds on a curve, or on its name, before all others are drawn faint
const FEW = 5; // streams that are asked when a step was
const HELD = 40; // charts that hold values
const QUIET = 120; // milliseconds without a move before a range is loaded, and told to the URL

export class Panel {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Set<Card>} those that hold values, the last that were loaded last */
  #held = new Set();
  #timer = 0;
  #waiting = 0;
  #asking = 0;
  /** @type {string | null} */
  #near = null;

  /**
   * @param {Context} context @param {import("./card.js").Room["runs"]} runs @param {Look} look
   * @param {boolean} compact
   */
  constructor(context, runs, look, compact) {
    this.compact = compact;
    this.context = context;
    this.runs = runs;
    this.look = look;
    /** @param {string | null} _name */
    this.onNear = (_name) => {};
    /** @param {import("./series.js").Axis} _axis */
    this.onAxis = (_axis) => {};
    /** @param {Range | null} _range */
    this.onRange = (_range) => {};
    this.moments = new Moments(context.runs[0], context.signal, () => this.#cursor());
    context.cursor.on(() => this.#cursor(), context.signal);
    context.rows?.on(() => this.#cards.forEach((card) => card.read()));
    context.signal.addEventListener("abort", () => [this.#timer, this.#waiting].forEach(clearTimeout));
  }

  /** The card of a chart, made when it is first wanted. @param {Wanted} wanted */
  card(wanted) {
    const old = this.#cards.get(wanted.key);
    if (old && old.wanted.columns.length === wanted.columns.length) {
      old.again();
      return old;
    }
    if (old) this.#held.delete(old);
    old?.end();
    const made = new Card(wanted, {
      runs: this.runs,
      look: this.look,
      compact: this.compact,
      onCursor: (x, stream) => this.#choose(x, stream),
      onHover: (x, from) => this.#others(from, (card) => card.chart.hover(x)),
      onZoom: (range, from) => this.zoom(range, from),
      onNear: (name) => this.highlight(name),
      onLoad: (card) => this.#hold(card),
      onAxis: (axis) => this.onAxis(axis),
      row: this.context.rows ? (...what) => this.context.rows?.number(...what) ?? null : null,
      signal: this.context.signal,
    });
    this.#cards.set(wanted.key, made);
    made.cursor(this.#place(wanted.stream));
    clearTimeout(this.#asking); // once for all cards that are made now
    this.#asking = window.setTimeout(() => this.context.signal.aborted || this.#resolve());
    return made;
  }

  /** Frees what has been out of sight for longest, where many charts hold values. @param {Card} card */
  #hold(card) {
    this.#held.delete(card);
    this.#held.add(card);
    for (const old of this.#held) {
      if (this.#held.size <= HELD) break;
      if (old.chart.visible) continue;
      this.#held.delete(old);
      old.release();
    }
  }

  /** Lets go of the cards of all other charts. @param {Wanted[]} wanted */
  keep(wanted) {
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, card] of this.#cards) {
      if (keys.has(key)) continue;
      card.end();
      this.#held.delete(card);
      this.#cards.delete(key);
    }
  }

  /** The look has changed. @param {{reload?: boolean}} [options] */
  changed(options) {
    if (options?.reload && this.look.range) this.zoom(null);
    for (const card of this.#cards.values()) card.changed(options);
    this.#cursor();
  }

  /** Shows a range of the x axis everywhere. @param {Range | null} range @param {Card} [from] */
  zoom(range, from) {
    this.look.range = range;
    this.onRange(range);
    this.#others(from, (card) => card.chart.zoom(range));
    const quiet = !this.#timer;
    clearTimeout(this.#timer);
    if (quiet) this.#refine();
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#refine();
      place.set({ from: range ? range[0] : null, to: range ? range[1] : null });
    }, QUIET);
  }

  #refine() {
    for (const card of this.#cards.values()) card.changed();
  }

  /** Lets a run, or a column, stand out everywhere, once the pointer stays. @param {string | null} name */
  highlight(name) {
    if (name === this.#near) return;
    this.#near = name;
    this.onNear(name);
    clearTimeout(this.#waiting);
    this.#waiting = window.setTimeout(() => this.#others(undefined, ({ chart }) => chart.highlight(name)), DWELL);
  }

  /** Follows runs that go on. @param {(run: string, stream: string) => void} onStream told what grew */
  listen(onStream) {
    const { live, signal } = this.context;
    live.addEventListener(
      "segments",
      (event) => {
        const { run, paths } = /** @type {CustomEvent} */ (event).detail;
        for (const stream of Object.keys(paths)) {
          onStream(run.id, stream);
          for (const card of this.#cards.values()) if (card.has(run.id, stream)) card.grown(run.id);
        }
      },
      { signal },
    );
    live.addEventListener(
      "run",
      (event) => {
        const { run } = /** @type {CustomEvent} */ (event).detail;
        if (run.status === "RUNNING") return;
        for (const card of this.#cards.values()) card.again();
      },
      { signal },
    );
  }

  /** @param {Card | undefined} from @param {(card: Card) => void} act */
  #others(from, act) {
    for (const card of this.#cards.values()) if (card !== from) act(card);
  }

  /** @param {number | null} x @param {string} stream of the chart */
  async #choose(x, stream) {
    const { cursor, signal } = this.context;
    const [run] = this.context.runs;
    if (x === null) cursor.set({ step: null, time: null }, this);
    else if (this.look.axis === "step") cursor.set({ step: Math.round(x) }, this);
    else {
      const time = this.look.axis === "time" ? x - originOf(run, stream) : x;
      if (isOfCursor(run, stream)) cursor.set({ time: cursor.timeline?.fromRows(time, cursor.get().time) ?? time }, this);
      else {
        // Another clock than that of the page: only the step is known to both
        const { [stream]: row } = await rowsAt(run, [stream], { time: time + originOf(run, stream) }, signal);
        if (signal.aborted || typeof row?.step !== "number") return;
        cursor.set({ step: row.step }, this);
      }
    }
    this.#cursor();
  }

  #cursor() {
    for (const card of this.#cards.values()) card.cursor(this.#place(card.wanted.stream));
    this.#resolve();
  }

  /** Finds out when a step was, or which step was then, for an axis that goes by the other. */
  async #resolve() {
    const { cursor, signal } = this.context;
    const spot = cursor.get();
    const [{ run, streams }] = this.runs;
    if (this.look.axis !== "step" && spot.step !== null) {
      const others = [...this.#cards.values()].map(({ wanted }) => wanted.stream).filter((name) => streams[name] && !isOfCursor(run, name));
      if (others.length) this.moments.ask(spot.step, [...new Set(others)]);
    }
    if (cursor.timeline || (spot.step === null) === (spot.time === null)) return;
    if (spot.step !== null && this.look.axis === "step") return;
    const names = Object.keys(streams).filter((name) => isOfCursor(run, name)).slice(0, FEW);
    const wanted = spot.step !== null ? { step: spot.step } : { time: originOfCursor(run) + (spot.time ?? 0) };
    const found = await rowsAt(run, names, wanted, signal);
    const rows = Object.values(found).filter((row) => row && row.step !== null && row.step !== undefined);
    if (signal.aborted || cursor.get() !== spot || !rows.length) return; // the line is not there, which is true
    const [row] = rows.sort((a, b) => b.step - a.step || a.timestamp - b.timestamp);
    cursor.set(spot.step !== null ? { ...spot, time: row.timestamp - originOfCursor(run) } : { ...spot, step: row.step }, this);
  }

  /** Where the cursor of the page is on the x axis of a stream's charts. @param {string} stream @returns {number | null} */
  #place(stream) {
    const { step, time } = this.context.cursor.moment();
    if (this.look.axis === "step") return step;
    const [run] = this.context.runs;
    const own = isOfCursor(run, stream) ? time : step === null ? null : this.moments.get(stream, step);
    if (own === null || Number.isNaN(own)) return null;
    return this.look.axis === "time" ? own + originOf(run, stream) : own;
  }
}
