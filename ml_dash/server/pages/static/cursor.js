// @ts-check
/** The one place in the runs that everything on the page shows: frames, curves and rows. */

import * as place from "./place.js";

/**
 * @typedef {object} Spot
 * @property {number | null} step
 * @property {number | null} time seconds since the first moment of the run
 * @property {number} [nth] which of several of that step and time, from 0
 */

export class Cursor {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    /** @type {Spot} */
    this.spot = { step: place.number("step"), time: place.number("time") };
    this.target = new EventTarget();
    /** How the step belongs to a time and back: set by who knows. @type {Timeline | null} */
    this.timeline = null;
    place.on((names) => names === null && this.#fromPlace(), signal);
  }

  /** Where it stands. @returns {Spot} */
  get() {
    return this.spot;
  }

  /** Where that is by the clock of the rows, which may begin anew in each episode. @returns {Spot} */
  moment() {
    return this.timeline?.moment(this.spot) ?? this.spot;
  }

  /**
   * Moves it; of step and time, the one that is not given follows from the other.
   *
   * @param {Partial<Spot>} wanted
   * @param {unknown} [from] who moves it, so that they need not follow themselves
   */
  set(wanted, from = null) {
    let { step = null, time = null } = wanted;
    if (step !== null && time === null) time = this.timeline?.timeNear(step, this.spot.time) ?? null;
    else if (time !== null && step === null) step = this.timeline?.stepAt(time) ?? null;
    if (step === this.spot.step && time === this.spot.time) return;
    this.spot = { step, time };
    // A step that comes again, as in each episode, says no place by itself
    const alone = step !== null && (this.timeline?.ordered ?? true);
    place.settle({ step, time: alone || time === null ? null : step === null ? time : Number(time.toFixed(6)) });
    this.#tell(from);
  }

  /** How steps belong to times from now on. @param {Timeline} timeline */
  follow(timeline) {
    this.timeline = timeline;
    const { step, time } = this.spot;
    if (step !== null) this.spot = { step, time: timeline.timeOf(step, time) };
    else if (time !== null) this.spot = { step: timeline.stepAt(time), time };
    this.#tell(this);
  }

  /**
   * Calls `listener` at each move.
   *
   * @param {(spot: Spot, from: unknown) => void} listener
   * @param {AbortSignal} [signal]
   */
  on(listener, signal = this.signal) {
    this.target.addEventListener(
      "move",
      (event) => {
        const { spot, from } = /** @type {any} */ (event).detail;
        listener(spot, from);
      },
      { signal },
    );
  }

  /** @param {unknown} from */
  #tell(from) {
    this.target.dispatchEvent(new CustomEvent("move", { detail: { spot: this.spot, from } }));
  }

  #fromPlace() {
    const step = place.number("step");
    const time = place.number("time");
    if (step !== null) this.set({ step, time: this.timeline && !this.timeline.ordered ? this.timeline.timeOf(step, time) : null });
    else if (time !== null) this.set({ time });
  }
}

/** The steps of a run and their times, in order of time. */
export class Timeline {
  /** @param {Float64Array} steps NaN where there is none @param {Float64Array} times in seconds */
  constructor(steps, times) {
    this.steps = steps;
    this.times = times;
    /** By the clock of the rows, where that begins anew: the time of each entry, and which of that time it is. @type {{times: Float64Array, nth: number[]} | null} */
    this.rows = null;
    this.ordered = steps.every((step, index) => !index || step >= steps[index - 1]);
  }

  /** @param {[number, number][]} entries step and time of each */
  static of(entries) {
    entries.sort((a, b) => a[1] - b[1]);
    return new Timeline(Float64Array.from(entries, ([step]) => step), Float64Array.from(entries, ([, time]) => time));
  }

  /** When a step may have been that lies between those there are. @param {number} step */
  between(step) {
    const i = this.at(step);
    const [low, high] = [this.steps[i], this.steps[i + 1]];
    const [from, to] = [this.times[i], this.times[i + 1]];
    if (!(step > low)) return from - 1e-6; // before all there are
    const each = i + 1 < this.steps.length ? (to - from) / (high - low) : i ? (from - this.times[0]) / (low - this.steps[0]) : 0;
    return from + (step - low) * (Number.isFinite(each) && each > 0 ? each : 1e-6);
  }

  /** What a place of this line is by the clock of the rows. @param {Spot} spot @returns {Spot} */
  moment({ step, time }) {
    if (!this.rows || time === null) return { step, time };
    const i = Math.max(0, this.before(time + 1e-9));
    return { step, time: this.rows.times[i], nth: this.rows.nth[i] };
  }

  /** The entry at or just before a time. @param {number} time */
  before(time) {
    return last(this.times, time);
  }

  /** The entry at or just before a step, or the first. @param {number} step */
  at(step) {
    if (this.ordered) return Math.max(0, last(this.steps, step));
    let found = -1; // steps went back, as after a resume: the last entry with the nearest step
    for (let index = 0; index < this.steps.length; index += 1) {
      const own = this.steps[index];
      if (own <= step && (found < 0 || own >= this.steps[found])) found = index;
    }
    return Math.max(0, found);
  }

  /** Entries beside a place among which steps only rise: first and last. @param {number} place @returns {[number, number]} */
  pass(place) {
    let [first, end] = [place, place];
    while (first > 0 && this.steps[first - 1] <= this.steps[first]) first -= 1;
    while (end + 1 < this.steps.length && this.steps[end + 1] >= this.steps[end]) end += 1;
    return [first, end];
  }

  /**
   * The entry at or just before a step, where steps come again in the pass that is shown, or, if that
   * has not come to it or begins behind it, in the nearest that has it.
   *
   * @param {number} step @param {number | null} time where the page is
   */
  placeNear(step, time) {
    if (this.ordered || time === null) return this.at(step);
    const [first, end] = this.pass(Math.max(0, this.before(time + 1e-9)));
    if (step < this.steps[first] || step > this.steps[end]) {
      const other = nearestOf(this.steps, this.times, step, time);
      if (other >= 0) return other;
    }
    for (let i = end; i >= first; i -= 1) if (this.steps[i] <= step) return i;
    return first;
  }

  /** The time of that entry. @param {number} step @param {number | null} time @returns {number | null} */
  timeNear(step, time) {
    return this.times.length ? this.times[this.placeNear(step, time)] : null;
  }

  /** A time of the rows as one of this line, in the pass that is shown. @param {number} time @param {number | null} near */
  fromRows(time, near) {
    if (!this.rows) return time;
    const [first, end] = this.pass(Math.max(0, this.before((near ?? 0) + 1e-9)));
    let found = first;
    for (let i = first; i <= end; i += 1) if (this.rows.times[i] <= time + 1e-9) found = i;
    return this.times[found];
  }

  /** @param {number} step @returns {number | null} */
  timeAt(step) {
    return this.times.length ? this.times[this.at(step)] : null;
  }

  /**
   * When a step was, of several times the one that is named.
   *
   * @param {number} step @param {number | null} time about when @returns {number | null}
   */
  timeOf(step, time) {
    if (this.ordered || time === null) return this.timeAt(step);
    const i = nearestOf(this.steps, this.times, step, time);
    return i < 0 ? this.timeAt(step) : this.times[i];
  }

  /** @param {number} time @returns {number | null} */
  stepAt(time) {
    if (!this.times.length) return null;
    const step = this.steps[Math.max(0, this.before(time))];
    return Number.isNaN(step) ? null : step;
  }
}

/**
 * Of the entries of a step the one nearest in time; -1 if there is none.
 *
 * @param {Float64Array} steps @param {Float64Array} times @param {number} step @param {number} time
 * @param {number} [nth] which of those of one time, from 0, or the last there is
 */
export function nearestOf(steps, times, step, time, nth = 0) {
  let [found, left] = [-1, 0];
  for (let i = 0; i < steps.length; i += 1) {
    if (steps[i] !== step) continue;
    const [own, best] = [Math.abs(times[i] - time), found < 0 ? Infinity : Math.abs(times[found] - time)];
    if (own < best) [found, left] = [i, nth];
    else if (own === best && left > 0) [found, left] = [i, left - 1];
  }
  return found;
}

/** The last place whose value is at most `wanted`; -1 if there is none. @param {Float64Array} values in order @param {number} wanted */
export function last(values, wanted) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
