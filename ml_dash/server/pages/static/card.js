// @ts-check
/** One chart of the page with its title and tools, and the curves of all runs in it. */

import * as api from "./api.js";
import { Chart } from "./chart.js";
import { colour, dash } from "./colours.js";
import { h, replace } from "./dom.js";
import { number, streamName } from "./format.js";
import { sample } from "./legend.js";
import { offer } from "./offer.js";
import { download, fileName } from "./save.js";
import { lines, Source } from "./series.js";
import { failure } from "./states.js";

/** @typedef {import("./groups.js").Wanted} Wanted @typedef {import("./series.js").Axis} Axis */
/** @typedef {import("./series.js").Range} Range @typedef {Record<string, any> & {id: string, colour: string}} Run */
/**
 * @typedef {object} Look what all charts of a page have in common
 * @property {Axis} axis
 * @property {number} smooth @property {boolean} log @property {boolean} envelope
 * @property {Range | null} range
 * @property {Set<string>} hidden runs that are not shown
 *
 * @typedef {object} Room what a card is in
 * @property {{run: Run, loader: import("./series.js").Loader, streams: Record<string, string[]>}[]} runs
 * @property {Look} look
 * @property {boolean} compact
 * @property {(x: number | null, stream: string) => void} onCursor
 * @property {(x: number | null, from: Card) => void} onHover
 * @property {(range: Range | null, from: Card) => void} onZoom
 * @property {(name: string | null, from: Card) => void} onNear
 * @property {(card: Card) => void} onLoad
 * @property {(axis: Axis) => void} onAxis another axis is wanted
 * @property {((run: string, stream: string, column: string) => number | null) | null} row the value in the row at the
 *   cursor, where rows are known
 * @property {AbortSignal} signal
 */

/** @typedef {{run: Run, nth: number, column: string, place: number, source: Source}} Held */

const FEW = 4; // values beside a title
const FINEST = 2000; // buckets of a curve: at most twice as many points

export class Card {
  /** @type {Map<string, Held>} */
  #sources = new Map();
  #late = false; // what it shows is not all it should, since it was out of sight
  #asked = 0;
  /** @type {Set<string>} runs that have grown */
  #grown = new Set();
  #growing = false;
  #timer = 0;
  #fine = false; // what it shows is finer than all needs

  /** @param {Wanted} wanted @param {Room} room */
  constructor(wanted, room) {
    this.wanted = wanted;
    this.room = room;
    this.state = h("div", { class: "card-state", role: "status" }, "Loading…");
    this.plot = h("div", { class: "card-plot" }, this.state);
    const own = `${streamName(wanted.stream)}/`;
    const title = own + wanted.title;
    this.title = title;
    const tool = (/** @type {string} */ text, /** @type {string} */ hint, /** @type {() => void} */ click) =>
      h("button", { class: "plain", type: "button", title: hint, "aria-label": `${hint}: ${title}`, on: { click } }, text);
    this.values = h("span", { class: "card-values" });
    this.legend = h("div", { class: "card-legend" });
    /** @type {HTMLElement | any} what can be saved, while it is asked */
    this.offered = null;
    this.wide = tool("⤢", "Larger", () => this.#enlarge());
    this.element = h(
      "section",
      { class: room.compact && room.runs.length * wanted.columns.length > 1 ? "curve-card several" : "curve-card", data: { key: wanted.key } },
      h(
        "header",
        {},
        h("h3", { title: `${own}${wanted.columns.join(", ")}` }, room.compact ? h("span", { class: "above" }, own) : null, h("span", {}, wanted.title)),
        this.values,
        h("span", { class: "gap" }),
        tool("PNG", "Save as a picture", () => this.#save("png")),
        tool("CSV", "Save the points as a table", () => this.#save("csv")),
        this.wide,
      ),
      this.legend,
      this.plot,
    );
    const { look } = room;
    this.ending = new AbortController();
    const { signal } = this.ending;
    room.signal.addEventListener("abort", () => this.end(), { signal });
    this.chart = new Chart(this.plot, {
      ...{ title, x: look.axis, smooth: look.smooth, log: look.log, envelope: look.envelope, signal },
      onCursor: (x) => room.onCursor(x, wanted.stream),
      onHover: (x) => room.onHover(x, this),
      onZoom: (range) => room.onZoom(range, this),
      onNear: (name) => room.onNear(name, this),
      onVisible: () => this.#catchUp(),
      onDrawn: () => this.read(),
    });
    this.chart.zoom(look.range);
    this.#late = true;
  }

  /** It is not shown any more. */
  end() {
    this.ending.abort();
    this.element.remove();
  }

  /** Frees its values, until it comes into sight again. */
  release() {
    this.#sources.clear();
    this.#asked += 1;
    this.#late = true;
    this.chart.release();
  }

  /** Whether a stream of a run is among its curves. @param {string} run @param {string} stream */
  has(run, stream) {
    return stream === this.wanted.stream && [...this.#sources.values()].some((one) => one.run.id === run);
  }

  /** The look of the page has changed. @param {{reload?: boolean}} [options] */
  changed({ reload = false } = {}) {
    const { axis, smooth, log, envelope, range } = this.room.look;
    this.chart.set({ x: axis, smooth, log, envelope });
    this.chart.zoom(range);
    if (reload) this.#late = true;
    if (this.chart.visible) this.#catchUp();
    else this.#late = true;
  }

  /** Streams of a run have grown. @param {string} run */
  async grown(run) {
    if (!this.chart.visible || this.#late) {
      this.again();
      return;
    }
    this.#grown.add(run);
    if (this.#growing) return; // what is under way looks at it afterwards
    this.#growing = true;
    try {
      while (this.#grown.size && !this.ending.signal.aborted) {
        const own = [...this.#sources.values()].filter((one) => this.#grown.has(one.run.id));
        this.#grown.clear();
        const news = await Promise.all(own.map(({ source }) => source.extend()));
        if (news.includes(true) && !this.ending.signal.aborted) this.#show();
        this.#againIn(run, Math.min(...news.map((one) => (typeof one === "number" ? one : Infinity))));
      }
    } catch (error) {
      this.#late = true; // tried again when something happens next
    } finally {
      this.#growing = false;
    }
  }

  /** Looks again at what a run has. @param {string} run @param {number} pause milliseconds, infinite for never */
  #againIn(run, pause) {
    if (!Number.isFinite(pause) || this.#timer) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      if (!this.ending.signal.aborted) this.grown(run);
    }, pause);
  }

  /** Loads anew what is shown, as at the end of a run. */
  again() {
    this.#late = true;
    if (this.chart.visible) this.#catchUp();
  }

  #catchUp() {
    if (this.#late) this.#load();
    else this.#refine();
  }

  async #load() {
    const { look } = this.room;
    const { signal } = this.ending;
    const number = ++this.#asked;
    this.#late = false;
    this.room.onLoad(this);
    this.#make();
    const buckets = Math.min(FINEST, Math.ceil(Math.max(this.chart.width, 200) / 50) * 50);
    try {
      await Promise.all([...this.#sources.values()].map(({ source }) => source.load(look.axis, buckets)));
      if (signal.aborted || number !== this.#asked) return;
      this.#show();
      await this.#refine();
    } catch (error) {
      if (signal.aborted || number !== this.#asked) return;
      this.#late = true;
      this.state.hidden = false;
      replace(this.state, failure(error, () => this.#load()));
    }
  }

  async #refine() {
    const { look } = this.room;
    const { signal } = this.ending;
    const { range } = look;
    const coarse = [...this.#sources.values()].filter(({ source }) => source.isCoarse(range));
    if (!range || !coarse.length) {
      if (!range && this.#fine) this.#show();
      this.element.removeAttribute("aria-busy");
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    try {
      await Promise.all(coarse.map(({ source }) => source.refine(range)));
    } catch (error) {
      this.#late = true; // what is shown stays true, only coarse
    }
    if (signal.aborted || range !== look.range) return;
    this.element.removeAttribute("aria-busy");
    this.#show();
  }

  /** A source for each run that has the columns. */
  #make() {
    const { stream, columns } = this.wanted;
    /** @type {Map<string, Held>} */
    const kept = new Map();
    for (const [nth, { run, loader, streams }] of this.room.runs.entries()) {
      if (this.room.look.hidden.has(run.id)) continue;
      for (const [place, column] of columns.entries()) {
        if (!streams[stream]?.includes(column)) continue;
        const key = JSON.stringify([run.id, column]);
        const source = this.#sources.get(key)?.source ?? new Source(loader, stream, column);
        kept.set(key, { run, nth, column, place, source });
      }
    }
    this.#sources = kept;
  }

  #show() {
    this.#name();
    const { columns } = this.wanted;
    const single = this.room.runs.length === 1;
    const { range } = this.room.look;
    this.#fine = range !== null;
    const series = [];
    let values = 0;
    for (const [key, { run, column, place, nth, source }] of this.#sources) {
      const known = source.known(range);
      if (!known) continue;
      values += known.x.length;
      const name = columns.length === 1 ? run.label : single ? column : `${run.label} ${column}`;
      for (const line of lines(known)) {
        series.push({
          ...line.column,
          ...{ key, name, label: line.name ? `${name} ${line.name}` : name, groups: single ? [column] : [run.id, column] },
          colour: single && columns.length > 1 ? colour(place) : run.colour,
          dash: dash(single ? place : nth),
        });
      }
    }
    this.chart.series(series);
    this.state.hidden = values > 0;
    if (!values) this.#explain();
  }

  /** Says why nothing is shown. */
  async #explain() {
    const { room } = this;
    if (room.look.axis === "step" && this.#sources.size && this.state.querySelector(".unstepped")) return; // it is said
    replace(this.state, this.#sources.size ? "No numbers yet." : "No run that is shown has this.");
    const [first] = this.#sources.values();
    if (!first || room.look.axis !== "step") return;
    const all = await api.get(`runs/${encodeURIComponent(first.run.id)}/streams`).catch(() => []);
    const own = all.find((/** @type {any} */ stream) => stream.name === this.wanted.stream);
    if (!own?.rows || own.steps || this.state.hidden || room.look.axis !== "step") return;
    const change = h("button", { type: "button", on: { click: () => room.onAxis("relative") } }, "Show them over time");
    replace(this.state, h("p", { class: "unstepped" }, "These rows have no steps. ", change));
  }

  /** Puts the cursor somewhere. @param {number | null} x */
  cursor(x) {
    this.chart.cursor(x);
    this.read();
  }

  /** Shows the values at the cursor, where they are few: that of the row where it is known, else that of the curve. */
  read() {
    const values = this.chart.values(this.chart.cursorAt).map((value) => ({ ...value, exact: this.#exact(value.key) }));
    // Of a curve of several lines the row at the cursor is of one of them
    const own = values.filter(({ key, exact }, i) => exact === null || values.findIndex((one) => one.key === key) === i);
    replace(
      this.values,
      (own.length > FEW ? [] : own).map(({ label, css, text, exact }) =>
        h("span", { title: label }, h("span", { class: "swatch", style: { background: css } }), exact ?? text),
      ),
    );
  }

  /** What the row at the cursor says of a curve. @param {string} key */
  #exact(key) {
    const held = this.#sources.get(key);
    const found = held ? this.room.row?.(held.run.id, this.wanted.stream, held.column) : null;
    return found === null || found === undefined ? null : number(found);
  }

  /** Which part of a vector each line is. */
  #name() {
    const { columns } = this.wanted;
    if (columns.length === 1 || this.legend.childElementCount === columns.length) return;
    const { onNear } = this.room;
    replace(
      this.legend,
      columns.map((column, n) =>
        h(
          "span",
          { on: { pointerenter: () => onNear(column, this), pointerleave: () => onNear(null, this) } },
          sample(colour(n), dash(n)),
          column.slice(column.lastIndexOf("[")),
        ),
      ),
    );
  }

  #enlarge() {
    const large = this.element.classList.toggle("large");
    this.wide.setAttribute("aria-pressed", String(large));
    this.again(); // more pixels, more buckets
  }

  /** @param {"png" | "csv"} kind */
  async #save(kind) {
    const points = this.chart.buckets();
    if (kind === "csv" && points && !this.offered) this.#offer(points);
    else {
      this.#offer(0);
      const blob = kind === "png" ? await this.chart.png() : new Blob([this.chart.csv()], { type: "text/csv" });
      download(blob, `${fileName(this.title)}.${kind}`);
    }
  }

  /** Lets the user choose between the points and all rows; of no points, takes the choice away. @param {number} points */
  #offer(points) {
    this.offered?.remove();
    this.offered = null;
    if (!points) return;
    /** @type {Map<string, import("./offer.js").Part>} */
    const parts = new Map();
    for (const { run, column, source } of this.#sources.values()) {
      const rows = source.whole?.count.reduce((sum, one) => sum + one, 0) ?? 0;
      const part = parts.get(run.id) ?? { run, stream: this.wanted.stream, columns: [], rows: 0 };
      part.columns.push(column);
      part.rows = Math.max(part.rows, rows);
      parts.set(run.id, part);
    }
    this.offered = offer(points, [...parts.values()], { onPoints: () => this.#save("csv"), onDone: () => this.#offer(0) });
    this.plot.before(this.offered);
    this.offered.querySelector("button").focus();
  }
}
