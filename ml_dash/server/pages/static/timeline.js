// @ts-check
/** The steps of a run and their times, from its densest streams: what the player's slider goes through. */

import * as api from "./api.js";
import { dense, learn, originOf } from "./clocks.js";
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
    const streams = dense(await learn(this.run, this.signal)).slice(0, STREAMS);
    const indexes = await Promise.all(streams.map(({ name }) => this.#index(name)));
    const told = indexes.map(({ steps, timestamps, episodes }, i) => {
      const origin = originOf(this.run, streams[i].name);
      return { origin, steps: steps.map((step) => step ?? NaN), times: timestamps.map((time) => time - origin), episodes };
    });
    // Steps that only rise say a place by themselves, so they come before those that begin anew
    const first = Math.max(0, told.findIndex(({ steps }) => rises(steps) && 2 * steps.length >= told[0].steps.length));
    const main = told.splice(first, 1);
    if (main.length) this.run.origin = main[0].origin;
    const shown = cameras.map(({ origin, steps, times }) => ({ origin, steps: [...steps], times: [...times], episodes: [] }));
    const again = main.length && main[0].origin !== this.run.started ? unfold(main[0]) : null;
    const timeline = again ?? merge([...main, ...told, ...shown]);
    const parted = [...main, ...told].find(({ episodes }) => episodes.some((one) => one !== null && one !== undefined));
    if (again) return { timeline, episodes: turns(again.episodes).slice(0, EPISODES) };
    const begins = parted ? turns(parted.episodes).slice(0, EPISODES).map((i) => entryOf(timeline, parted, i, main[0].origin)) : [];
    return { timeline, episodes: [...new Set(begins)] };
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
    let index = await this.#ask(stream, first);
    let begin = first;
    if (known && first && index.columns.timestamp[0] !== known.timestamps[first]) {
      index = await this.#ask(stream, 0);
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

  /** @param {string} stream @param {number} first @returns {Promise<any>} */
  async #ask(stream, first) {
    const path = `${this.base}/${api.encodePath(stream)}/index`;
    const { signal } = this;
    try {
      return await api.get(path, { column: "episode", first }, { signal });
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 413) throw error;
      return api.get(path, { first }, { signal }); // episodes that are texts, of too many rows to read them all
    }
  }
}

/** What a stream or a camera tells: steps, NaN where there is none, and their seconds. @typedef {{origin: number, steps: number[], times: number[], episodes: any[]}} Told */

/** The entry of a row. @param {Timeline} timeline @param {Told} told @param {number} i @param {number} origin of the timeline */
function entryOf(timeline, told, i, origin) {
  if (told.origin !== origin && !Number.isNaN(told.steps[i])) return timeline.at(told.steps[i]);
  return Math.max(0, timeline.before(told.times[i] + 1e-9));
}

/** Whether there are steps, and none is before the one that was told before it. @param {number[]} steps */
function rises(steps) {
  const known = steps.filter((step) => !Number.isNaN(step));
  return known.length > 0 && known.every((step, i) => !i || step >= known[i - 1]);
}

/**
 * Each step once, at the first time it was told; again where the first of those that tell, and it
 * alone, begins anew, as in each episode or after a resume.
 *
 * @param {Told[]} all that which the slider goes by first
 */
function merge(all) {
  const [main, ...others] = all;
  if (!main) return new Timeline(new Float64Array(0), new Float64Array(0));
  const stepped = main.steps.some((step) => !Number.isNaN(step));
  const kept = stepped ? anew(main) : main.times.map((time) => /** @type {[number, number]} */ ([NaN, time]));
  const seen = new Set(kept.map(([step]) => step));
  const ordered = Timeline.of(kept);
  for (const { origin, steps, times } of others) {
    for (const [i, step] of steps.entries()) {
      if (Number.isNaN(step) ? stepped : seen.has(step)) continue; // the slider goes by step, if it can
      seen.add(step);
      kept.push([step, origin === main.origin || !stepped ? times[i] : ordered.between(step)]);
    }
  }
  return Timeline.of(kept);
}

/** The entries of what tells steps again. @param {Told} told @returns {[number, number][]} */
function anew({ steps, times, episodes }) {
  /** @type {[number, number][]} */
  const kept = [];
  /** When a step was told last, and in which pass. @type {Map<number, [number, number]>} */
  const seen = new Map();
  let [pass, highest, episode] = [0, -Infinity, episodes[0]];
  for (const [i, step] of steps.entries()) {
    if (Number.isNaN(step)) continue;
    const before = seen.get(step);
    if (episodes[i] !== episode) {
      episode = episodes[i];
      if (step < highest) [pass, highest] = [pass + 1, step];
    } else if (before?.[1] === pass) {
      // Two processes tell a step twice, or one tells late of it; much later, it is told again
      if (step >= highest - 1 || times[i] - before[0] < 1 || following(steps, i) > highest) continue;
      [pass, highest] = [pass + 1, step];
    }
    if (seen.get(step)?.[1] === pass) continue;
    highest = Math.max(highest, step);
    seen.set(step, [times[i], pass]);
    kept.push([step, times[i]]);
  }
  return kept;
}

/** The step that is told after a row; NaN if there is none. @param {number[]} steps @param {number} i */
function following(steps, i) {
  for (i += 1; i < steps.length && Number.isNaN(steps[i]); ) i += 1;
  return steps[i] ?? NaN;
}

/**
 * One episode after the other, where they lie over each other because the clock of the rows begins anew
 * with each; null where they do not.
 *
 * @param {Told} told @returns {(Timeline & {episodes: any[]}) | null}
 */
function unfold({ steps, times, episodes }) {
  /** @type {Map<any, number[]>} */
  const parts = new Map();
  for (const [i, episode] of episodes.entries()) {
    if (episode === null || episode === undefined || Number.isNaN(steps[i])) return null;
    if (!parts.has(episode)) parts.set(episode, []);
    parts.get(episode)?.push(i);
  }
  if (parts.size < 2 || turns(episodes).length === parts.size) return null;
  /** How many rows of a step and a time have been there. @type {Map<string, number>} */
  const seen = new Map();
  const order = [];
  const shown = [];
  const nth = [];
  let begin = 0;
  for (const [, rows] of [...parts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const first = times[rows[0]];
    for (const i of rows) {
      const key = `${steps[i]} ${times[i]}`;
      nth.push(seen.get(key) ?? 0);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      order.push(i);
      shown.push(begin + times[i] - first);
    }
    const length = times[rows[rows.length - 1]] - first;
    begin += length + (length / (rows.length - 1) || 1e-3);
  }
  const made = new Timeline(Float64Array.from(order, (i) => steps[i]), Float64Array.from(shown));
  made.rows = { times: Float64Array.from(order, (i) => times[i]), nth };
  made.ordered = false; // a time is of several episodes
  return Object.assign(made, { episodes: order.map((i) => episodes[i]) });
}

/** Where a value is another one than before. @param {any[]} values */
function turns(values) {
  const found = [];
  for (let i = 0; i < values.length; i += 1) if (!i || values[i] !== values[i - 1]) found.push(i);
  return found;
}
