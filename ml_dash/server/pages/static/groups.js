// @ts-check
/** Which charts there are: the numeric columns of streams, in groups. Pure functions. */

import { streamName } from "./format.js";

/**
 * @typedef {object} Wanted one chart
 * @property {string} key
 * @property {string} stream
 * @property {string[]} columns more than one where they are the parts of one vector
 * @property {string} title
 *
 * @typedef {{stream: string, title: string, room: string, charts: Wanted[]}} Group
 */

const MOST_PARTS = 16; // of a vector in one chart
const TELLING = [
  /(^|[/._:])(loss|reward|return|success|error|acc(uracy)?)\b/i,
  /(command|target|action|joint|angle|qpos|(^|[/._:])q\b|position|pose|force|torque)/i,
];

/**
 * @param {Record<string, string[]>} streams the columns of each stream
 * @param {boolean} together whether the parts of a vector are in one chart
 * @returns {Group[]} metrics first
 */
export function group(streams, together) {
  const found = Object.entries(streams).map(([stream, columns]) => {
    const [room, ...rest] = stream.split("/");
    return { stream, room, title: rest.length ? streamName(stream) : stream, charts: charts(stream, columns, together) };
  });
  const order = (/** @type {Group} */ { room, title }) => `${room === "metrics" ? 0 : 1}${title}`;
  return found.filter(({ charts: own }) => own.length).sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** @param {string} stream @param {string[]} columns @param {boolean} together @returns {Wanted[]} */
function charts(stream, columns, together) {
  /** @type {Map<string, string[]>} */
  const byStem = new Map();
  for (const column of columns) {
    const stem = together ? column.replace(/\[\d+\]$/, "") : column;
    byStem.set(stem, [...(byStem.get(stem) ?? []), column]);
  }
  const found = [];
  for (const [stem, all] of byStem) {
    for (let first = 0; first < all.length; first += MOST_PARTS) {
      const own = all.slice(first, first + MOST_PARTS);
      const title = own.length === 1 ? own[0] : all.length > MOST_PARTS ? `${stem} ${first}–${first + own.length - 1}` : stem;
      found.push({ key: `${stream}:${own[0]}`, stream, columns: own, title });
    }
  }
  return found;
}

/** All streams of several runs, as if they were of one. @param {Record<string, string[]>[]} all */
export function united(all) {
  /** @type {Record<string, string[]>} */
  const found = {};
  for (const streams of all) {
    for (const [stream, columns] of Object.entries(streams)) {
      found[stream] = [...new Set([...(found[stream] ?? []), ...columns])];
    }
  }
  return found;
}

/** The groups, with the charts alone whose name holds each word. @param {Group[]} groups @param {string} text */
export function search(groups, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (/** @type {Wanted} */ { stream, columns }) => {
    const name = `${stream.split("/")[0]}/${streamName(stream)}/${columns.join(" ")}`.toLowerCase();
    return words.every((word) => name.includes(word));
  };
  return groups
    .map((each) => ({ ...each, charts: each.charts.filter(fits) }))
    .filter(({ charts: own }) => own.length);
}

/** A few charts that say most. @param {Group[]} groups @param {number} count */
export function telling(groups, count) {
  const all = groups.flatMap(({ charts: own, room }) => own.map((chart, n) => ({ chart, room, n })));
  const rank = (/** @type {{chart: Wanted, room: string, n: number}} */ { chart, room, n }) => {
    const name = chart.key.slice(chart.key.indexOf("/"));
    const kind = TELLING.findIndex((pattern) => pattern.test(name));
    return (kind < 0 ? 20 : kind * 2) + (room === "tracks" ? 0 : 1) + n / 1000;
  };
  return all.sort((a, b) => rank(a) - rank(b)).slice(0, count).map(({ chart }) => chart);
}
