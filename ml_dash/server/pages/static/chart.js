// @ts-check
/** One chart: curves over a common axis, with a cursor, a zoom, and a look into the values. */

import { resolve } from "./colours.js";
import { h, style } from "./dom.js";
import { paint } from "./draw.js";
import { listen } from "./pointer.js";
import { Plane } from "./plane.js";
import { extent, notPositive, place, prepare } from "./points.js";
import { snapshot } from "./save.js";
import { around, numberTicks } from "./scales.js";
import { gestures } from "./steer.js";
import { axisTicks } from "./ticks.js";
import { Tip, under } from "./tip.js";
import { watch } from "./watch.js";
import { brief, csv, summary } from "./words.js";

style("chart.css");

/** @typedef {import("./points.js").Series} Series @typedef {import("./scales.js").Scale} Scale */
/** @typedef {[number, number]} Range */
/**
 * @typedef {object} Options
 * @property {string} [title]
 * @property {"step" | "time" | "relative"} [x] what the x axis is
 * @property {boolean} [log] whether the y axis is logarithmic
 * @property {number} [smooth] weight of what was before, 0 to 1
 * @property {boolean} [envelope] whether least and greatest values are shown
 * @property {(x: number | null) => void} [onCursor] a place has been chosen, by a click or a key
 * @property {(x: number | null) => void} [onHover]
 * @property {(range: Range | null) => void} [onZoom] null for all there is
 * @property {(key: string | null) => void} [onNear] the curve under the pointer
 * @property {() => void} [onVisible] it came into sight
 * @property {() => void} [onDrawn]
 * @property {AbortSignal} signal ends it
 */

export class Chart {
  /** @type {Range | null} */
  #range = null;
  /** @type {Scale | null} chosen by hand */
  #ownY = null;
  /** @type {number | null} */
  #hover = null;
  /** @type {string | null} */
  #strong = null;
  #frame = 0;
  #stale = true;
  /** All lines as they look while none stands out. @type {HTMLCanvasElement | null} */
  #plain = null;

  /** @param {HTMLElement} root what it fills @param {Options} options */
  constructor(root, options) {
    this.options = { title: "", x: /** @type {"step"} */ ("step"), log: false, smooth: 0, envelope: true, ...options };
    /** @type {(import("./tip.js").Shown & {name: string, colour: string, dash: number[], groups: string[]})[]} */
    this.lines = [];
    this.plane = new Plane();
    /** @type {number | null} */
    this.cursorAt = null;
    this.visible = false;
    /** How often it has been drawn. */
    this.draws = 0;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.hoverLine = h("div", { class: "chart-line", hidden: true });
    this.cursorLine = h("div", { class: "chart-line pinned", hidden: true });
    this.box = h("div", { class: "chart-box", hidden: true });
    this.note = h("div", { class: "chart-note", hidden: true });
    this.words = h("p", { class: "unseen" });
    this.spoken = h("p", { class: "unseen", "aria-live": "polite" });
    this.element = h(
      "div",
      { class: "chart", role: "group", tabindex: 0, "aria-roledescription": "chart", "aria-label": this.options.title },
      ...[this.canvas, this.hoverLine, this.cursorLine, this.box, this.note, this.words, this.spoken],
    );
    this.tip = new Tip(this.element);
    root.append(this.element);
    listen(this.element, gestures(this), options.signal);
    this.#watch(options.signal);
  }

  /** Puts these curves in place of those there were. @param {Series[]} series */
  series(series) {
    this.lines = series.map((one) => ({
      key: one.key,
      groups: one.groups ?? [],
      label: one.label,
      name: one.name ?? one.label,
      css: one.colour,
      colour: "",
      dash: one.dash ?? [],
      curve: prepare(one),
    }));
    this.#later();
  }

  /** Frees its curves and its picture. */
  release() {
    this.lines = [];
    this.#plain = null;
    Object.assign(this.canvas, { width: 0, height: 0 });
  }

  /** Changes how it is drawn. @param {Partial<Options>} changes */
  set(changes) {
    if ("log" in changes && changes.log !== this.options.log) this.#ownY = null;
    if ("x" in changes && changes.x !== this.options.x) this.#range = null;
    const before = JSON.stringify(this.options);
    Object.assign(this.options, changes);
    if (JSON.stringify(this.options) === before) return;
    this.element.setAttribute("aria-label", this.options.title);
    this.#later();
  }

  /** Puts the cursor somewhere. @param {number | null} x */
  cursor(x) {
    this.cursorAt = x;
    this.#put(this.cursorLine, x);
  }

  /** Shows where the pointer is on another chart. @param {number | null} x */
  hover(x) {
    this.#hover = x;
    this.#put(this.hoverLine, x);
  }

  /** Shows a range of the x axis; null for all. @param {Range | null} range */
  zoom(range) {
    if (range?.[0] === this.#range?.[0] && range?.[1] === this.#range?.[1]) return;
    this.#range = range;
    this.#later();
  }

  /** Shows a range as the user wants it. @param {Range} range @param {Range | null} [y] */
  zoomTo(range, y = null) {
    if (!(range[1] > range[0])) return;
    if (y) this.#ownY = { low: y[0], high: y[1], log: this.options.log };
    this.zoom(range);
    this.#later();
    this.options.onZoom?.(range);
  }

  /** Shows all, as the user wants it. */
  reset() {
    this.#ownY = null;
    this.zoom(null);
    this.#later();
    this.options.onZoom?.(null);
  }

  /** Puts the cursor where the user wants it. @param {number | null} x */
  choose(x) {
    this.cursor(x);
    this.options.onCursor?.(x);
  }

  /** Lets a curve, or a group of them, stand out. @param {string | null} key */
  highlight(key) {
    if (key !== null && !this.lines.some((line) => line.key === key || line.groups.includes(/** @type {string} */ (key)))) key = null;
    if (key === this.#strong) return;
    this.#strong = key;
    this.#later(false);
  }

  /** Pixels of the screen that the plot is wide. */
  get width() {
    return Math.max(1, Math.round(this.plane.box.width * (window.devicePixelRatio || 1)));
  }

  /** What the x axis shows. @returns {Range} */
  get range() {
    return this.#range ?? this.all;
  }

  /** From the first to the last point. @returns {Range} */
  get all() {
    let [low, high] = [Infinity, -Infinity];
    for (const { curve } of this.lines) {
      if (!curve.x.length) continue;
      low = Math.min(low, curve.low);
      high = Math.max(high, curve.high);
    }
    return low <= high ? [low, high] : [0, 1];
  }

  /** @param {{key: string, groups: string[]}} line */
  isStrong({ key, groups }) {
    return this.#strong !== null && (key === this.#strong || groups.includes(this.#strong));
  }

  /** The values at a place. @param {number | null} x */
  values(x) {
    if (x === null || !this.plane.drawable) return [];
    const points = under(this.lines, x, (v) => this.plane.toX(v));
    return points.map(({ line, index }) => ({ key: line.key, label: line.label, css: line.css, text: brief(line.curve, index) }));
  }

  /** What is shown, as a picture with its title and legend. @returns {Promise<Blob>} */
  png() {
    const picture = this.#picture();
    const named = this.lines.filter(({ key }, i) => this.lines.findIndex((one) => one.key === key) === i);
    return snapshot(this.element, this.options.title, named.map(({ name, colour }) => ({ label: name, colour })), picture);
  }

  /** How many points are shown, if any of them stands for several values; else 0. */
  buckets() {
    const [low, high] = this.range;
    let [points, most] = [0, 0];
    for (const { curve } of this.lines) {
      for (let i = place(curve.x, low); i < curve.x.length && curve.x[i] <= high; i += 1) {
        points += 1;
        most = Math.max(most, curve.count[i]);
      }
    }
    return most > 1 ? points : 0;
  }

  /** The points that are shown, as a table. */
  csv() {
    return csv(this.options.x, this.lines, ...this.range);
  }

  // -- drawing ------------------------------------------------------------------------------------

  /** @param {AbortSignal} signal */
  #watch(signal) {
    const redraw = () => this.#later();
    /** @param {number} width @param {number} height */
    const size = (width, height) => {
      Object.assign(this.plane, { width, height });
      this.#later();
    };
    /** @param {boolean} seen */
    const sight = (seen) => {
      this.visible = seen;
      if (!seen) return;
      this.#later();
      this.options.onVisible?.();
    };
    watch(this.element, { size, sight, redraw }, signal);
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
  }

  /** Draws in the next frame. @param {boolean} [stale] whether more has changed than what stands out */
  #later(stale = true) {
    this.#stale ||= stale;
    if (this.#frame || !this.visible) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.plane.drawable) this.#draw();
    });
  }

  #draw() {
    const scale = window.devicePixelRatio || 1;
    const { width, height } = this.plane;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    const resized = this.canvas.width !== wide || this.canvas.height !== high;
    if (resized) Object.assign(this.canvas, { width: wide, height: high });
    const to = this.canvas.getContext("2d");
    to.setTransform(scale, 0, 0, scale, 0, 0);
    this.draws += 1;
    if (!this.#emphasize(to, resized)) return;
    this.#put(this.cursorLine, this.cursorAt);
    this.#put(this.hoverLine, this.#hover);
    this.#tell();
    this.options.onDrawn?.();
  }

  /**
   * Paints all lines, or those that stand out over a faint picture of all: with many lines to a chart
   * and many charts to a page, painting each line anew takes too long for a pointer that moves.
   *
   * @param {CanvasRenderingContext2D} to @param {boolean} resized
   * @returns {boolean} whether more has changed than what stands out
   */
  #emphasize(to, resized) {
    const anew = this.#stale || resized;
    const picture = this.#picture();
    const lines = picture.lines.map((line) => ({ ...line, look: /** @type {"plain"} */ ("plain") }));
    if (anew) this.#plain = null;
    if (anew || (!this.#plain && this.#strong === null)) paint(to, { ...picture, lines });
    this.#stale = false;
    if (this.#strong !== null) {
      this.#plain ??= copied(this.canvas);
      paint(to, { ...picture, lines: picture.lines.filter(({ look }) => look === "strong"), behind: this.#plain, all: lines.length });
    } else if (this.#plain) {
      to.clearRect(0, 0, picture.width, picture.height);
      to.drawImage(this.#plain, 0, 0, picture.width, picture.height);
      this.#plain = null; // few charts need it for long
    }
    return anew;
  }

  /** @returns {import("./draw.js").Picture} */
  #picture() {
    const { plane } = this;
    const { x: axis, log, smooth, envelope } = this.options;
    const [low, high] = this.range;
    plane.x = low === high ? { low: low - 0.5, high: high + 0.5 } : { low, high };
    plane.y = this.#ownY ?? this.#fit();
    const css = getComputedStyle(this.element);
    const [text, dim, line] = ["--text", "--dim", "--line"].map((name) => css.getPropertyValue(name).trim());
    for (const each of this.lines) each.colour = resolve(this.element, each.css);
    const look = (/** @type {{key: string, groups: string[]}} */ line) =>
      this.#strong === null ? "plain" : this.isStrong(line) ? "strong" : "faint";
    const font = `11px ${css.fontFamily}`;
    const yTicks = numberTicks(plane.y, Math.max(2, plane.box.height / (log ? 24 : 38)));
    plane.fit(widest(this.canvas, font, yTicks.ticks));
    const { width, height, box, x, y } = plane;
    return {
      ...{ width, height, box, smooth, envelope, x, y },
      xTicks: axisTicks(axis, x, Math.max(2, box.width / 80)),
      yTicks,
      lines: this.lines.map((each) => ({ ...each, look: look(each) })),
      theme: { text, dim, line, font },
    };
  }

  #fit() {
    let [low, high] = [Infinity, -Infinity];
    for (const { curve } of this.lines) {
      const [a, b] = extent(curve, this.plane.x.low, this.plane.x.high, this.options.log);
      [low, high] = [Math.min(low, a), Math.max(high, b)];
    }
    return around(low, high, this.options.log);
  }

  #tell() {
    const { low, high } = this.plane.x;
    this.words.textContent = summary(this.options.title, this.options.x, this.lines, low, high);
    const hidden = this.options.log ? this.lines.reduce((sum, { curve }) => sum + notPositive(curve, low, high), 0) : 0;
    this.note.hidden = hidden === 0;
    this.note.textContent = `${hidden} ${hidden === 1 ? "place has" : "places have"} values that are not positive`;
  }

  /** @param {HTMLElement} line @param {number | null} x */
  #put(line, x) {
    const { low, high } = this.plane.x;
    const { box, drawable } = this.plane;
    line.hidden = x === null || !(x >= low && x <= high) || !drawable;
    if (line.hidden || x === null) return;
    Object.assign(line.style, {
      top: `${box.top}px`,
      height: `${box.height}px`,
      transform: `translateX(${Math.round(this.plane.toX(x))}px)`,
    });
  }
}

/** Pixels that the widest label takes. @param {HTMLCanvasElement} canvas @param {string} font @param {import("./scales.js").Tick[]} ticks */
function widest(canvas, font, ticks) {
  const to = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  to.font = font;
  return Math.max(0, ...ticks.map(({ label }) => to.measureText(label).width));
}

/** @param {HTMLCanvasElement} canvas */
function copied(canvas) {
  const made = document.createElement("canvas");
  Object.assign(made, { width: canvas.width, height: canvas.height });
  /** @type {CanvasRenderingContext2D} */ (made.getContext("2d")).drawImage(canvas, 0, 0);
  return made;
}
