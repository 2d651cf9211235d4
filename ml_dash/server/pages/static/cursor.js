// @ts-check
/** The one place in the runs that everything on the page shows: frames, curves and rows. */

import * as place from "./place.js";

/**
 * @typedef {object} Spot
 * @property {number | null} step
 * @property {number | null} time seconds since the first moment of the run
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

  /**
   * Moves it; of step and time, the one that is not given follows from the other.
   *
   * @param {Partial<Spot>} wanted
   * @param {unknown} [from] who moves it, so that they need not follow themselves
   */
  set(wanted, from = null) {
    let { step = null, time = null } = wanted;
    if (step !== null && time === null) time = this.timeline?.timeAt(step) ?? null;
    else if (time !== null && step === null) step = this.timeline?.stepAt(time) ?? null;
    if (step === this.spot.step && time === this.spot.time) return;
    this.spot = { step, time };
    place.settle({ step, time: step === null ? time : null });
    this.#tell(from);
  }

  /** How steps belong to times from now on. @param {Timeline} timeline */
  follow(timeline) {
    this.timeline = timeline;
    const { step, time } = this.spot;
    if (step !== null) this.spot = { step, time: timeline.timeAt(step) };
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
    if (step !== null) this.set({ step });
    else if (time !== null) this.set({ time });
  }
}

/** The steps of a run and their times, in order of time. */
export class Timeline {
  /** @param {Float64Array} steps NaN where there is none @param {Float64Array} times in seconds */
  constructor(steps, times) {
    this.steps = steps;
    this.times = times;
    this.ordered = steps.every((step, index) => !index || step >= steps[index - 1]);
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

  /** @param {number} step @returns {number | null} */
  timeAt(step) {
    return this.times.length ? this.times[this.at(step)] : null;
  }

  /** @param {number} time @returns {number | null} */
  stepAt(time) {
    if (!this.times.length) return null;
    const step = this.steps[Math.max(0, this.before(time))];
    return Number.isNaN(step) ? null : step;
  }
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
