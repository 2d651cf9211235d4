// @ts-check
/** The steps of a run and their times, from its densest streams: what the player's slider goes through. */

import * as api from "./api.js";
import { Timeline } from "./cursor.js";

const STREAMS = 4;
const EPISODES = 5000;

/**
 * @param {any} run @param {import("./frames.js").Camera[]} cameras @param {AbortSignal} signal
 * @returns {Promise<{timeline: Timeline, episodes: number[]}>} and the entries at which episodes begin
 */
export async function loadTimeline(run, cameras, signal) {
  const base = `runs/${encodeURIComponent(run.id)}/streams`;
  const streams = await api.get(base, {}, { signal });
  const dense = streams
    .filter((/** @type {any} */ stream) => /^(tracks|metrics)\//.test(stream.name) && stream.rows)
    .sort((/** @type {any} */ a, /** @type {any} */ b) => Number(b.name.startsWith("tracks/")) - Number(a.name.startsWith("tracks/")) || b.rows - a.rows)
    .slice(0, STREAMS);
  const started = run.started ?? 0;
  /** @type {[number, number][]} */
  const entries = [];
  /** @type {number[]} */
  let begins = [];
  const indexes = await Promise.all(
    dense.map((/** @type {any} */ stream) =>
      api.get(`${base}/${api.encodePath(stream.name)}/index`, { column: "episode" }, { signal }),
    ),
  );
  for (const index of indexes) {
    const { step: steps, timestamp: timestamps, episode: episodes } = index.columns;
    for (let i = 0; i < timestamps.length; i += 1) entries.push([steps[i] ?? NaN, timestamps[i] - started]);
    if (!begins.length && episodes?.some((/** @type {any} */ one) => one !== null)) begins = turns(episodes).map((i) => timestamps[i] - started);
  }
  for (const camera of cameras) {
    for (let i = 0; i < camera.length; i += 1) entries.push([camera.steps[i], camera.times[i]]);
  }
  const timeline = merge(entries);
  const episodes = begins.slice(0, EPISODES).map((time) => Math.max(0, timeline.before(time + 1e-9)));
  return { timeline, episodes: [...new Set(episodes)] };
}

/** Each step once, at the first time it was told; what has no step, at its time. @param {[number, number][]} entries */
function merge(entries) {
  entries.sort((a, b) => a[1] - b[1]);
  /** @type {number[]} */
  const steps = [];
  /** @type {number[]} */
  const times = [];
  /** Where a step was seen last: it may come again, much later, after a resume. @type {Map<number, number>} */
  const seen = new Map();
  const any = entries.some(([step]) => !Number.isNaN(step));
  let highest = -Infinity;
  for (const [step, time] of entries) {
    if (Number.isNaN(step)) {
      if (any) continue; // the slider goes by step
    } else {
      const before = seen.get(step);
      if (before !== undefined && (step >= highest - 1 || time - before < 1)) continue;
      seen.set(step, time);
      highest = step < highest - 1000 ? step : Math.max(highest, step);
    }
    steps.push(step);
    times.push(time);
  }
  return new Timeline(Float64Array.from(steps), Float64Array.from(times));
}

/** Where a value is another one than before. @param {any[]} values */
function turns(values) {
  const found = [];
  for (let i = 0; i < values.length; i += 1) if (!i || values[i] !== values[i - 1]) found.push(i);
  return found;
}
