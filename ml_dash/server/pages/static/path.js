// @ts-check
/** The path of a point: x and y, or x, y and z of a track, with a mark at the cursor. */

import * as api from "./api.js";
import { last } from "./cursor.js";
import { h, replace, svg } from "./dom.js";
import { number, streamName } from "./format.js";
import * as place from "./place.js";

const POINTS = 2000;
const SIZE = 100;

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
      { "aria-label": "Plane", on: { change: () => this.#draw() } },
      ["xy", "xz", "yz"].map((name) => h("option", { value: name }, name)),
    );
    this.said = h("span", { class: "dim mono" });
    this.element = h(
      "section",
      { class: "path card", hidden: true, "aria-label": "Path" },
      h("div", { class: "bar" }, this.choice, this.plane, this.said),
      this.picture,
    );
    /** @type {{run: any, steps: Float64Array, axes: Float64Array[]}[]} */
    this.paths = [];
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
    const answer = await api.get(
      `runs/${encodeURIComponent(run.id)}/streams/${api.encodePath(name)}/chart`,
      { columns: columns.join(","), x: "step", buckets: POINTS },
      { signal },
    );
    const given = columns.map((column) => answer.columns[column]);
    const axes = given.map((one) => Float64Array.from(one.mean, (value) => value ?? NaN));
    return { run, steps: Float64Array.from(given[0].x), axes };
  }

  #draw() {
    const [a, b] = { xy: [0, 1], xz: [0, 2], yz: [1, 2] }[/** @type {"xy"} */ (this.plane.hidden ? "xy" : this.plane.value)];
    const all = (/** @type {number} */ axis) => this.paths.flatMap((path) => [...path.axes[axis]]).filter(Number.isFinite);
    const [xs, ys] = [all(a), all(b)];
    if (!xs.length || !ys.length) {
      replace(this.picture);
      return;
    }
    const ends = (/** @type {number[]} */ values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    const [left, right] = ends(xs);
    const [low, high] = ends(ys);
    const wide = Math.max(right - left, high - low) || 1; // one scale for both: a circle is round
    const x = (/** @type {number} */ v) => ((v - (left + right) / 2) / wide + 0.5) * SIZE;
    const y = (/** @type {number} */ v) => (0.5 - (v - (low + high) / 2) / wide) * SIZE;
    const lines = this.paths.map((path) =>
      svg("polyline", {
        stroke: path.run.colour,
        points: [...path.steps.keys()]
          .filter((i) => Number.isFinite(path.axes[a][i]) && Number.isFinite(path.axes[b][i]))
          .map((i) => `${x(path.axes[a][i]).toFixed(2)},${y(path.axes[b][i]).toFixed(2)}`)
          .join(" "),
      }),
    );
    this.marks = this.paths.map((path) => svg("circle", { r: 2.5, fill: path.run.colour, stroke: "var(--panel)", "stroke-width": 0.8 }));
    replace(this.picture, svg("rect", { class: "grid", x: 0, y: 0, width: SIZE, height: SIZE, fill: "none" }), lines, this.marks);
    this.spot = (/** @type {number} */ path, /** @type {number} */ i) => [x(this.paths[path].axes[a][i]), y(this.paths[path].axes[b][i]), this.paths[path].axes[a][i], this.paths[path].axes[b][i]];
    this.#mark();
  }

  #mark() {
    const { step } = this.context.cursor.get();
    if (step === null || !this.spot) return;
    this.paths.forEach((path, number_) => {
      const i = Math.max(0, last(path.steps, step));
      const [x, y, a, b] = /** @type {any} */ (this.spot)(number_, i);
      const mark = this.marks?.[number_];
      if (!mark || !Number.isFinite(x) || !Number.isFinite(y)) return;
      mark.setAttribute("cx", String(x));
      mark.setAttribute("cy", String(y));
      if (!number_) this.said.textContent = `${number(a)}, ${number(b)}`;
    });
  }
}
