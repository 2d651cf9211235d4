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
  const started = run.origin ?? run.started ?? 0;
  /** Step, time, and the number of the stream that told it. @type {[number, number, number][]} */
  const entries = [];
  /** @type {number[]} */
  let begins = [];
  const indexes = await Promise.all(
    dense.map((/** @type {any} */ stream) =>
      api.get(`${base}/${api.encodePath(stream.name)}/index`, { column: "episode" }, { signal }),
    ),
  );
  for (const [number, index] of indexes.entries()) {
    const { step: steps, timestamp: timestamps, episode: episodes } = index.columns;
    for (let i = 0; i < timestamps.length; i += 1) entries.push([steps[i] ?? NaN, timestamps[i] - started, number]);
    if (!begins.length && episodes?.some((/** @type {any} */ one) => one !== null)) begins = turns(episodes).map((i) => timestamps[i] - started);
  }
  for (const [number, camera] of cameras.entries()) {
    for (let i = 0; i < camera.length; i += 1) entries.push([camera.steps[i], camera.times[i], STREAMS + number]);
  }
  const timeline = merge(entries);
  const episodes = begins.slice(0, EPISODES).map((time) => Math.max(0, timeline.before(time + 1e-9)));
  return { timeline, episodes: [...new Set(episodes)] };
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
