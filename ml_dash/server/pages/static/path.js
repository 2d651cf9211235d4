// @ts-check
/** The path of a point: x and y, or x, y and z of a track, with a mark at the cursor. */

import * as api from "./api.js";
import { originOfCursor } from "./clocks.js";
import { h, replace, svg } from "./dom.js";
import { number, streamName } from "./format.js";
import { rowsAt } from "./moments.js";
import * as place from "./place.js";
import { TrackRows } from "./track.js";
import { numberIn } from "./values.js";

const SETTLED = 120; // milliseconds without a move before the exact row is asked for
const SIZE = 100;
const EPISODE = "episode";
const PLANES = ["xy", "xz", "yz"];

/** Names that the two or three columns of a point have. */
const NAMES = [
  ["x", "y", "z"],
  ["pos.x", "pos.y", "pos.z"],
  ["position.x", "position.y", "position.z"],
  ["pos[0]", "pos[1]", "pos[2]"],
  ["position[0]", "position[1]", "position[2]"],
];

export class PathView {
  /** @param {import("./view.js").Context} context */
  constructor(context) {
    this.context = context;
    this.picture = svg("svg", { viewBox: `-6 -6 ${SIZE + 12} ${SIZE + 12}`, role: "img", "aria-label": "Path" });
    this.choice = h("select", { "aria-label": "Track of the path", on: { change: () => this.#choose(this.choice.value) } });
    this.plane = h(
      "select",
      { "aria-label": "Plane", on: { change: () => this.#turn() } },
      PLANES.map((name) => h("option", { value: name, selected: name === place.value("plane") }, name)),
    );
    this.said = h("span", { class: "dim mono" });
    this.element = h(
      "section",
      { class: "path card", hidden: true, "aria-label": "Path" },
      h("div", { class: "bar" }, this.choice, this.plane, this.said),
      this.picture,
    );
    /** @type {TrackRows[]} */
    this.paths = [];
    /** Rows that were read, by run and track. @type {Map<string, TrackRows>} */
    this.known = new Map();
    /** Tracks whose rows say of which episode they are. @type {Set<string>} */
    this.parted = new Set();
  }

  async load() {
    const { runs, cursor, live, signal } = this.context;
    const { streams } = await api.get(`runs/${encodeURIComponent(runs[0].id)}/columns`, {}, { signal });
    /** @type {Record<string, string[]>} */
    this.found = {};
    for (const [name, columns] of Object.entries(streams)) {
      if (!name.startsWith("tracks/")) continue;
      for (const names of NAMES) {
        const there = names.filter((column) => columns.includes(column));
        if (there.length >= 2 && there[0] === names[0] && there[1] === names[1]) {
          this.found[name] = there;
          if (columns.includes(EPISODE)) this.parted.add(name);
          break;
        }
      }
    }
    const tracks = Object.keys(this.found);
    this.element.hidden = !tracks.length;
    if (!tracks.length) return;
    const wanted = place.value("path");
    const chosen = tracks.includes(wanted) ? wanted : tracks[0];
    replace(this.choice, tracks.map((name) => h("option", { value: name, selected: name === chosen }, streamName(name))));
    cursor.on(() => this.#mark(), signal);
    live.addEventListener("segments", (event) => this.choice.value in /** @type {any} */ (event).detail.paths && this.#later(), { signal });
    await this.#choose(chosen);
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#choose(this.choice.value), 1000);
  }

  /** @param {string} name */
  async #choose(name) {
    const columns = this.found?.[name];
    if (!columns) return;
    place.set({ path: name === Object.keys(this.found ?? {})[0] ? null : name });
    this.plane.hidden = columns.length < 3;
    const { runs, signal } = this.context;
    const loaded = await Promise.all(runs.map((run, number_) => this.#has(run, number_, name, signal).then((has) => (has ? this.#load(run, name, columns, signal) : null)).catch(() => null)));
    if (signal.aborted) return;
    this.paths = loaded.filter((path) => path !== null);
    this.#draw();
  }

  /** Whether a run has the track. @param {any} run @param {number} number_ @param {string} name @param {AbortSignal} signal */
  async #has(run, number_, name, signal) {
    if (!number_) return true;
    const all = await api.get(`runs/${encodeURIComponent(run.id)}/streams`, {}, { signal });
    return all.some((/** @type {any} */ stream) => stream.name === name);
  }

  /** @param {any} run @param {string} name @param {string[]} columns @param {AbortSignal} signal */
  async #load(run, name, columns, signal) {
    const key = JSON.stringify([run.id, name]);
    const rows = this.known.get(key) ?? new TrackRows(run, name, this.parted.has(name) ? [...columns, EPISODE] : columns, signal);
    await rows.load();
    this.known.set(key, rows);
    return rows;
  }

  #turn() {
    place.set({ plane: this.plane.value === PLANES[0] ? null : this.plane.value });
    this.#draw();
  }

  #draw() {
    const [a, b] = { xy: [0, 1], xz: [0, 2], yz: [1, 2] }[/** @type {"xy"} */ (this.plane.hidden ? "xy" : this.plane.value)];
    const shown = this.paths.map((path) => path.outline(a, b).filter((i) => Number.isFinite(path.axes[a][i]) && Number.isFinite(path.axes[b][i])));
    const all = (/** @type {number} */ axis) => this.paths.flatMap((path, n) => shown[n].map((i) => path.axes[axis][i]));
    const [xs, ys] = [all(a), all(b)];
    if (!xs.length) {
      replace(this.picture);
      return;
    }
    const ends = (/** @type {number[]} */ values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    const [left, right] = ends(xs);
    const [low, high] = ends(ys);
    const wide = Math.max(right - left, high - low) || 1; // one scale for both: a circle is round
    const x = (/** @type {number} */ v) => ((v - (left + right) / 2) / wide + 0.5) * SIZE;
    const y = (/** @type {number} */ v) => (0.5 - (v - (low + high) / 2) / wide) * SIZE;
    const lines = this.paths.flatMap((path, n) =>
      pieces(shown[n], path.axes[path.columns.indexOf(EPISODE)]).map((piece) =>
        svg("polyline", {
          stroke: path.run.colour,
          points: piece.map((i) => `${x(path.axes[a][i]).toFixed(2)},${y(path.axes[b][i]).toFixed(2)}`).join(" "),
        }),
      ),
    );
    this.marks = this.paths.map((path) => svg("circle", { r: 2.5, fill: path.run.colour, stroke: "var(--panel)", "stroke-width": 0.8 }));
    replace(this.picture, svg("rect", { class: "grid", x: 0, y: 0, width: SIZE, height: SIZE, fill: "none" }), lines, this.marks);
    this.spot = (/** @type {number[]} */ point) => [x(point[a]), y(point[b]), point[a], point[b]];
    this.#mark();
  }

  #mark() {
    const { cursor } = this.context;
    const spot = cursor.get();
    if (!this.spot) return;
    this.paths.forEach((path, nth) => {
      const i = path.at(nth && spot.step !== null ? { step: spot.step, time: null } : cursor.moment());
      if (i >= 0) this.#put(nth, path.axes.map((axis) => axis[i]));
    });
    clearTimeout(this.settling);
    if (this.paths.some((path) => path.reduced)) this.settling = setTimeout(() => this.#exact(spot), SETTLED);
  }

  /** Puts the mark of a path at a point. @param {number} nth @param {number[]} point */
  #put(nth, point) {
    const [x, y, a, b] = /** @type {any} */ (this.spot)(point);
    const mark = this.marks?.[nth];
    if (!mark || !Number.isFinite(x) || !Number.isFinite(y)) return;
    mark.setAttribute("cx", String(x));
    mark.setAttribute("cy", String(y));
    if (!nth) this.said.textContent = `${number(a)}, ${number(b)}`;
  }

  /** Asks for the rows at the cursor where not all are held. @param {import("./cursor.js").Spot} spot */
  async #exact(spot) {
    const { cursor, signal } = this.context;
    const { paths } = this;
    await Promise.all(
      paths.map(async (path, nth) => {
        if (!path.reduced) return;
        /** @type {import("./cursor.js").Spot} */
        const own = nth && spot.step !== null ? { step: spot.step, time: null } : cursor.moment();
        const time = own.time === null ? null : own.time + originOfCursor(path.run);
        const row = (await rowsAt(path.run, [path.stream], { step: spot.step, time, nth: own.nth }, signal))[path.stream];
        if (row && paths === this.paths && cursor.get() === spot) this.#put(nth, path.columns.map((name) => numberIn(row, name) ?? NaN));
      }),
    );
  }
}

/** Rows in pieces, one for each episode: nobody moved from the end of one to the beginning of the next. @param {number[]} rows @param {Float64Array | undefined} episodes */
function pieces(rows, episodes) {
  /** @type {number[][]} */
  const found = [];
  let before = NaN;
  for (const row of rows) {
    const own = episodes ? episodes[row] : 0;
    if (!found.length || !Object.is(own, before)) found.push([]);
    found[found.length - 1].push(row);
    before = own;
  }
  // Rows of episodes of the same times lie between each other: a simulation's clock begins anew
  const torn = episodes && found.length > 2 && found.filter(({ length }) => length === 1).length > found.length / 2;
  if (!torn) return found;
  /** @type {Map<number, number[]>} */
  const whole = new Map();
  for (const row of rows) {
    const own = whole.get(episodes[row]);
    if (own) own.push(row);
    else whole.set(episodes[row], [row]);
  }
  return [...whole.values()];
}
