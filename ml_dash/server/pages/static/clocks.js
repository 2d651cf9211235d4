// @ts-check
/** From when on the seconds of a run count, as the server tells it of each stream and camera. */

import * as api from "./api.js";

/**
 * What is known of a stream.
 *
 * @typedef {{name: string, rows: number, steps: number[] | null, times: number[] | null, origin: number | null}} Stream
 */

/** The streams that the slider goes through: the densest, tracks before metrics. @param {Stream[]} streams @returns {Stream[]} */
export function dense(streams) {
  const track = (/** @type {Stream} */ { name }) => Number(name.startsWith("tracks/"));
  return streams
    .filter(({ name, rows }) => /^(tracks|metrics)\//.test(name) && rows)
    .sort((a, b) => track(b) - track(a) || b.rows - a.rows);
}

/**
 * Asks for the streams of a run, and keeps of each from when on its seconds count: `run.origins`, by
 * stream, and `run.origin` of those that the cursor's time belongs to.
 *
 * @param {any} run @param {AbortSignal} [signal] @returns {Promise<Stream[]>}
 */
export async function learn(run, signal) {
  const streams = await api.get(`runs/${encodeURIComponent(run.id)}/streams`, {}, { signal });
  return keep(run, streams);
}

/** @param {any} run @param {Stream[]} streams */
function keep(run, streams) {
  run.origins = new Map(streams.map(({ name, origin }) => [name, origin]));
  run.origin ??= dense(streams)[0]?.origin ?? undefined;
  return streams;
}

/** From when on the seconds of the cursor count. @param {any} run @returns {number} */
export function originOfCursor(run) {
  return run.origin ?? run.started ?? 0;
}

/** From when on the seconds of a stream count. @param {any} run @param {string} stream @returns {number} */
export function originOf(run, stream) {
  return run.origins?.get(stream) ?? originOfCursor(run);
}

/** Whether a stream goes by the clock of the cursor. @param {any} run @param {string} stream */
export function isOfCursor(run, stream) {
  return originOf(run, stream) === originOfCursor(run);
}
