// @ts-check
/** When a step was, by the clock of each stream: for axes of time, where streams go by several clocks. */

import * as api from "./api.js";
import { originOf } from "./clocks.js";

const AT_ONCE = 50; // streams of one request

/**
 * The rows of some streams at a spot, in as many answers as it takes.
 *
 * @param {any} run @param {string[]} streams
 * @param {{step?: number | null, time?: number | null, nth?: number}} when a step, a time in seconds since 1970, or both
 * @param {AbortSignal} signal
 * @returns {Promise<Record<string, any>>} null where a stream has none
 */
export async function readAt(run, streams, when, signal) {
  const path = `runs/${encodeURIComponent(run.id)}/at`;
  const parts = [];
  for (let first = 0; first < streams.length; first += AT_ONCE) parts.push(streams.slice(first, first + AT_ONCE));
  const answers = await Promise.all(parts.map((stream) => api.get(path, { ...when, stream }, { signal })));
  return Object.assign({}, ...answers.map((answer) => answer.streams));
}

/** The same; none where they cannot be had. @type {typeof readAt} */
export function rowsAt(run, streams, when, signal) {
  return readAt(run, streams, when, signal).catch(() => ({}));
}

export class Moments {
  /** @param {any} run @param {AbortSignal} signal @param {() => void} onKnown */
  constructor(run, signal, onKnown) {
    this.run = run;
    this.signal = signal;
    this.onKnown = onKnown;
    /** @type {number | null} */
    this.step = null;
    /** Seconds of a stream's own clock. @type {Map<string, number>} */
    this.known = new Map();
    this.busy = false;
    /** @type {{step: number, streams: string[]} | null} */
    this.wanted = null;
  }

  /** Seconds since the origin of a stream, once they are known. @param {string} stream @param {number} step */
  get(stream, step) {
    return step === this.step ? this.known.get(stream) ?? null : null;
  }

  /** Asks when a step was, one time after the other: while it plays, as often as answers come. @param {number} step @param {string[]} streams */
  async ask(step, streams) {
    if (step === this.step && streams.every((stream) => this.known.has(stream))) return;
    this.wanted = { step, streams };
    if (this.busy) return;
    this.busy = true;
    while (this.wanted && !this.signal.aborted) {
      const { step: own, streams: names } = this.wanted;
      this.wanted = null;
      const rows = await rowsAt(this.run, names, { step: own }, this.signal);
      this.step = own;
      this.known = new Map(names.map((name) => [name, rows[name] ? rows[name].timestamp - originOf(this.run, name) : NaN]));
      this.onKnown();
    }
    this.busy = false;
  }
}
