// @ts-check
/** The steps of a run and their times, from its densest streams: what the player's slider goes through. */

import * as api from "./api.js";
import { Timeline } from "./cursor.js";

const STREAMS = 4;
const EPISODES = 5000;

/** The index of a stream, as far as it was read. @typedef {{steps: number[], timestamps: number[], episodes: any[], read: number}} Known */

/**
 * The timeline of a run, read again as the run grows: of each stream only what is new.
 */
export class Timelines {
  /** @param {any} run @param {AbortSignal} signal */
  constructor(run, signal) {
    this.run = run;
    this.signal = signal;
    this.base = `runs/${encodeURIComponent(run.id)}/streams`;
    /** @type {Map<string, Known>} */
    this.known = new Map();
  }

  /**
   * @param {import("./frames.js").Camera[]} cameras
   * @returns {Promise<{timeline: Timeline, episodes: number[]}>} and the entries at which episodes begin
   */
  async load(cameras) {
    const streams = await api.get(this.base, {}, { signal: this.signal });
    const dense = streams
      .filter((/** @type {any} */ stream) => /^(tracks|metrics)\//.test(stream.name) && stream.rows)
      .sort((/** @type {any} */ a, /** @type {any} */ b) => Number(b.name.startsWith("tracks/")) - Number(a.name.startsWith("tracks/")) || b.rows - a.rows)
      .slice(0, STREAMS);
    const started = this.run.origin ?? this.run.started ?? 0;
    /** Step, time, and the number of the stream that told it. @type {[number, number, number][]} */
    const entries = [];
    /** @type {number[]} */
    let begins = [];
    const indexes = await Promise.all(dense.map((/** @type {any} */ stream) => this.#index(stream.name)));
    for (const [number, { steps, timestamps, episodes }] of indexes.entries()) {
      for (let i = 0; i < timestamps.length; i += 1) entries.push([steps[i] ?? NaN, timestamps[i] - started, number]);
      if (!begins.length && episodes.some((/** @type {any} */ one) => one !== null && one !== undefined)) begins = turns(episodes).map((i) => timestamps[i] - started);
    }
    for (const [number, camera] of cameras.entries()) {
      for (let i = 0; i < camera.length; i += 1) entries.push([camera.steps[i], camera.times[i], STREAMS + number]);
    }
    const timeline = merge(entries);
    const episodes = begins.slice(0, EPISODES).map((time) => Math.max(0, timeline.before(time + 1e-9)));
    return { timeline, episodes: [...new Set(episodes)] };
  }

  /**
   * Entries are numbered in order of time, so those that are new come last, but for a row with a time
   * of its own, or one that was united with the last: then it does not go on as it ended, and all is
   * read again.
   *
   * @param {string} stream @returns {Promise<Known>}
   */
  async #index(stream) {
    const known = this.known.get(stream);
    const first = known ? Math.max(0, known.read - 1) : 0;
    const ask = (/** @type {number} */ from) => api.get(`${this.base}/${api.encodePath(stream)}/index`, { column: "episode", first: from }, { signal: this.signal });
    let index = await ask(first);
    let begin = first;
    if (known && first && index.columns.timestamp[0] !== known.timestamps[first]) {
      index = await ask(0);
      begin = 0;
    }
    const { step, timestamp, episode } = index.columns;
    const made = {
      steps: [...(known?.steps ?? []).slice(0, begin), ...step],
      timestamps: [...(known?.timestamps ?? []).slice(0, begin), ...timestamp],
      episodes: [...(known?.episodes ?? []).slice(0, begin), ...(episode ?? timestamp.map(() => null))],
      read: index.total,
    };
    this.known.set(stream, made);
    return made;
  }
}

/**
 * Each step once, at the first time it was told. Only the stream that told it first can tell it again,
 * much later, after a resume: others may have another clock.
 *
 * @param {[number, number, number][]} entries
 */
function merge(entries) {
  entries.sort((a, b) => Number(a[2] > 0) - Number(b[2] > 0) || a[1] - b[1]);
  /** @type {[number, number][]} */
  const kept = [];
  /** When a step was told last, and by which stream. @type {Map<number, [number, number]>} */
  const seen = new Map();
  const any = entries.some(([step, , stream]) => !stream && !Number.isNaN(step)) || (!entries.some(([, , stream]) => !stream) && entries.some(([step]) => !Number.isNaN(step)));
  let highest = -Infinity;
  for (const [step, time, stream] of entries) {
    if (Number.isNaN(step)) {
      if (any) continue; // the slider goes by step
    } else {
      const before = seen.get(step);
      if (before && (before[1] !== stream || step >= highest - 1 || time - before[0] < 1)) continue;
      seen.set(step, [time, stream]);
      highest = step < highest - 1000 ? step : Math.max(highest, step);
    }
    kept.push([step, time]);
  }
  kept.sort((a, b) => a[1] - b[1]);
  return new Timeline(Float64Array.from(kept, ([step]) => step), Float64Array.from(kept, ([, time]) => time));
}

/** Where a value is another one than before. @param {any[]} values */
function turns(values) {
  const found = [];
  for (let i = 0; i < values.length; i += 1) if (!i || values[i] !== values[i - 1]) found.push(i);
  return found;
}
