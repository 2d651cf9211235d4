// @ts-check
/** Charts for tests to drive: what a test needs of the modules is in `window.bench`. */

import { Chart } from "../static/chart.js";
import * as points from "../static/points.js";
import * as scales from "../static/scales.js";
import * as ticks from "../static/ticks.js";

const root = /** @type {HTMLElement} */ (document.getElementById("root"));
/** @type {{charts: Chart[], events: any[], [name: string]: any}} */
const bench = { charts: [], events: [], points, scales, ticks };
const ending = new AbortController();

/** A chart; of numbers that are left out, each series is as the server gives values. */
bench.add = (/** @type {any} */ options, /** @type {any[]} */ series) => {
  const frame = document.createElement("div");
  frame.className = "frame";
  root.append(frame);
  const number = bench.charts.length;
  const tell = (/** @type {string} */ name) => (/** @type {any} */ what) => bench.events.push([name, number, what]);
  const chart = new Chart(frame, {
    onCursor: tell("cursor"),
    onHover: tell("hover"),
    onZoom: tell("zoom"),
    onNear: tell("near"),
    ...options,
    signal: ending.signal,
  });
  bench.charts.push(chart);
  chart.series(series.map(complete));
  return number;
};

bench.complete = complete;
bench.end = () => ending.abort();

/** @param {any} one */
function complete(one, /** @type {number} */ place = 0) {
  const y = Float64Array.from(one.mean ?? one.y, (/** @type {any} */ v) => (v === null ? NaN : v));
  const x = Float64Array.from(one.x ?? y.keys());
  return {
    key: one.label ?? `run ${place}`,
    label: `run ${place}`,
    colour: `var(--c${place % 8})`,
    ...one,
    ...{ x, mean: y, min: Float64Array.from(one.min ?? y), max: Float64Array.from(one.max ?? y) },
    count: one.count && Uint32Array.from(one.count),
    nonfinite: one.nonfinite && Uint32Array.from(one.nonfinite),
  };
}

/** The colour of a pixel of a chart's canvas. */
bench.pixel = (/** @type {number} */ number, /** @type {number} */ x, /** @type {number} */ y) => {
  const { canvas } = bench.charts[number];
  return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
};

/** How many pixels of a part of a chart are painted in about a colour. */
bench.painted = (/** @type {number} */ number, /** @type {number[]} */ box, /** @type {number[]} */ colour, reach = 40) => {
  const { canvas } = bench.charts[number];
  const { data } = canvas.getContext("2d").getImageData(box[0], box[1], box[2], box[3]);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const away = Math.max(...[0, 1, 2].map((n) => Math.abs(data[at + n] - colour[n])));
    if (data[at + 3] > 60 && away < reach) found += 1;
  }
  return found;
};

/** A picture has been drawn since. */
bench.settled = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

/** @type {any} */ (window).bench = bench;
