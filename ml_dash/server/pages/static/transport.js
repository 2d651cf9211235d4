// @ts-check
/** The slider, the buttons and the keys of the player, and its clock. */

import { h, isFree, replace, svg } from "./dom.js";
import { duration, number } from "./format.js";
import * as memory from "./memory.js";

const SPEEDS = ["0.25x", "0.5x", "1x", "2x", "4x", "8x", "5 fps", "10 fps", "30 fps", "60 fps"];
const COARSE = 10;
/** Marks that can be told from each other below the slider. */
const MOST = 500;

/** Drawn on a ground of 16 by 16: fonts lack some of these signs. */
const SIGNS = {
  first: "M2 2h2v12H2z M14 2v12L5 8z",
  back: "M13 2v12L4 8z",
  play: "M4 2v12l10-6z",
  pause: "M3 2h4v12H3z M9 2h4v12H9z",
  on: "M3 2v12l9-6z",
  last: "M12 2h2v12h-2z M2 2v12l9-6z",
  before: "M3 3h2v10H3z M7 7h7v2H7z M10 4v8L6 8z",
  after: "M11 3h2v10h-2z M2 7h7v2H2z M6 4v8l4-4z",
};

/** @param {keyof typeof SIGNS} name */
function sign(name) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SIGNS[name] }));
}

export class Transport {
  /**
   * @param {import("./cursor.js").Cursor} cursor
   * @param {{episodes: () => number[], markers: () => number[], newest: () => number}} tools the places at which
   *   episodes begin, those of markers, and the last one that all has come of
   * @param {AbortSignal} signal
   */
  constructor(cursor, tools, signal) {
    this.cursor = cursor;
    this.tools = tools;
    this.signal = signal;
    this.playing = false;
    this.live = false;
    this.speed = memory.load("speed", "1x");
    this.element = this.#draw();
    cursor.on(() => this.#show(), signal);
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    signal.addEventListener("abort", () => this.pause());
  }

  get timeline() {
    return this.cursor.timeline;
  }

  /** The entry that is shown. */
  get place() {
    const { step, time } = this.cursor.get();
    if (!this.timeline) return 0;
    if (time !== null) return Math.max(0, this.timeline.before(time + 1e-9));
    return step === null ? 0 : this.timeline.at(step);
  }

  /** Shows an entry; those beyond the ends are the ends. @param {number} place */
  go(place) {
    const timeline = this.timeline;
    if (!timeline?.times.length) return;
    const wanted = Math.max(0, Math.min(timeline.times.length - 1, Math.round(place)));
    const step = timeline.steps[wanted];
    this.cursor.set({ step: Number.isNaN(step) ? null : step, time: timeline.times[wanted] }, this);
  }

  /** There are more entries than before. */
  grown() {
    const length = this.timeline?.times.length ?? 0;
    this.slider.max = String(Math.max(0, length - 1));
    this.slider.disabled = !length;
    if (this.live) this.go(Math.max(this.place, this.tools.newest()));
    this.#marks();
    this.#show();
  }

  play() {
    if (this.playing || !this.timeline?.times.length) return;
    if (this.live) this.follow(false);
    if (this.place >= this.timeline.times.length - 1) this.go(0);
    this.playing = true;
    this.#show();
    let before = 0;
    let position = this.#position();
    const tick = (/** @type {number} */ now) => {
      if (!this.playing || !this.timeline) return;
      if (before) position += ((now - before) / 1000) * this.#rate();
      before = now;
      const timeline = this.timeline;
      const places = this.#isReal() ? timeline.before(position) : Math.floor(position);
      const end = timeline.times.length - 1;
      this.go(places);
      if (places >= end) this.pause();
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    this.playing = false;
    this.#show();
  }

  #isReal() {
    return this.speed.endsWith("x");
  }

  #rate() {
    return Number.parseFloat(this.speed);
  }

  /** Where the clock stands: in seconds, or in entries. */
  #position() {
    return this.#isReal() ? /** @type {any} */ (this.timeline).times[this.place] : this.place;
  }

  #draw() {
    const button = (/** @type {string} */ title, /** @type {keyof typeof SIGNS} */ name, /** @type {() => void} */ act) =>
      h("button", { type: "button", title, "aria-label": title, on: { click: act } }, sign(name));
    this.slider = h("input", {
      type: "range",
      min: "0",
      max: "0",
      step: "1",
      class: "slider",
      "aria-label": "Step",
      on: {
        input: () => {
          const wanted = Number(this.slider.value); // stopping shows where it stands now
          this.#stop();
          this.go(wanted);
        },
      },
    });
    this.playButton = button("Play or pause (space)", "play", () => (this.playing ? this.pause() : this.play()));
    this.stepField = h("input", {
      type: "number",
      class: "step number",
      "aria-label": "Go to step",
      on: { change: () => this.#typed(this.stepField.value), blur: () => this.#show() },
    });
    this.timeField = h("input", {
      type: "number",
      class: "step number",
      step: "any",
      "aria-label": "Go to time, in seconds",
      on: { change: () => this.#typedTime(this.timeField.value), blur: () => this.#show() },
    });
    this.markerButtons = h(
      "span",
      { class: "pair", hidden: true },
      button("The marker before ({)", "before", () => this.#next(this.tools.markers(), -1)),
      "markers",
      button("The next marker (})", "after", () => this.#next(this.tools.markers(), 1)),
    );
    this.said = h("span", { class: "mono dim said" });
    this.ticks = h("div", { class: "marks", "aria-hidden": "true" });
    this.speeds = h(
      "select",
      { "aria-label": "Speed", on: { change: () => this.#setSpeed(this.speeds.value) } },
      SPEEDS.map((speed) => h("option", { value: speed, selected: speed === this.speed }, speed.replace("x", "×"))),
    );
    this.liveButton = h(
      "button",
      { type: "button", "aria-pressed": "false", title: "Show the newest as it comes", on: { click: () => this.follow(!this.live) } },
      "Follow",
    );
    return h(
      "div",
      { class: "transport" },
      h("div", { class: "track" }, this.slider, this.ticks),
      h(
        "div",
        { class: "bar" },
        button("To the beginning (Home)", "first", () => this.#by(-Infinity)),
        button("The episode before ([)", "before", () => this.#next(this.tools.episodes(), -1)),
        button("Back (left arrow; with shift 10)", "back", () => this.#by(-1)),
        this.playButton,
        button("On (right arrow; with shift 10)", "on", () => this.#by(1)),
        button("The next episode (])", "after", () => this.#next(this.tools.episodes(), 1)),
        button("To the end (End)", "last", () => this.#by(Infinity)),
        this.speeds,
        this.liveButton,
        h("label", {}, "step ", this.stepField),
        h("label", {}, "time ", this.timeField, " s"),
        this.markerButtons,
        this.said,
      ),
    );
  }

  /** Whether the newest is shown as it comes. @param {boolean} wanted */
  follow(wanted) {
    this.live = wanted;
    this.liveButton.setAttribute("aria-pressed", String(wanted));
    if (wanted) {
      this.pause();
      this.go(this.tools.newest());
    }
  }

  #show() {
    const { step, time } = this.cursor.get();
    const place = this.place;
    this.slider.value = String(place);
    const end = this.timeline?.times.length ?? 0;
    this.slider.setAttribute("aria-valuetext", step === null ? `entry ${place + 1} of ${end}` : `step ${step}`);
    if (document.activeElement !== this.timeField) this.timeField.value = time === null ? "" : time.toFixed(2).replace(/^-(?=0\.00$)/, "");
    this.markerButtons.hidden = !this.tools.markers().length;
    if (document.activeElement !== this.stepField) this.stepField.value = step === null ? "" : String(step);
    this.said.textContent = `${time === null || time < 60 ? "" : `${duration(time)}  `}${end ? place + 1 : 0} of ${number(end)}`;
    const wanted = this.playing ? "pause" : "play";
    if (this.playButton.dataset.sign !== wanted) replace(this.playButton, sign(wanted));
    this.playButton.dataset.sign = wanted;
  }

  #marks() {
    const end = Math.max(1, (this.timeline?.times.length ?? 1) - 1);
    const tick = (/** @type {string} */ kind) => (/** @type {number} */ place) =>
      h("i", { class: kind, style: { left: `${(100 * place) / end}%` } });
    const few = (/** @type {number[]} */ places) => (places.length > MOST ? [] : places);
    replace(this.ticks, few(this.tools.episodes()).map(tick("episode")), few(this.tools.markers()).map(tick("marker")));
  }

  /** @param {string} speed */
  #setSpeed(speed) {
    this.speed = speed;
    memory.save("speed", speed);
    if (this.playing) {
      this.pause();
      this.play();
    }
  }

  #stop() {
    this.pause();
    if (this.live) this.follow(false);
  }

  /** Goes to a step; beyond the ends, to the end. @param {string} text */
  #typed(text) {
    const step = Number(text);
    if (text !== "" && Number.isFinite(step) && this.timeline) {
      this.#stop();
      this.go(this.timeline.placeNear(step, this.cursor.get().time));
    }
    this.stepField.value = String(this.cursor.get().step ?? "");
  }

  /** Goes to the last entry that is not later. @param {string} text in seconds */
  #typedTime(text) {
    const time = Number(text);
    if (text === "" || !Number.isFinite(time) || !this.timeline) return;
    this.#stop();
    this.go(Math.max(0, this.timeline.before(time + 1e-6)));
  }

  /** @param {number} entries */
  #by(entries) {
    this.#stop();
    this.go(entries === -Infinity ? 0 : this.place + entries);
  }

  /** @param {number[]} marks @param {number} direction */
  #next(marks, direction) {
    this.#stop();
    const here = this.place;
    const next = direction > 0 ? marks.find((mark) => mark > here) : marks.filter((mark) => mark < here).at(-1);
    if (next !== undefined) this.go(next);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!isFree(event)) return;
    const far = event.shiftKey ? COARSE : 1;
    const own = {
      ArrowLeft: () => this.#by(-far),
      ArrowRight: () => this.#by(far),
      Home: () => this.#by(-Infinity),
      End: () => this.#by(Infinity),
      "[": () => this.#next(this.tools.episodes(), -1),
      "]": () => this.#next(this.tools.episodes(), 1),
      "{": () => this.#next(this.tools.markers(), -1),
      "}": () => this.#next(this.tools.markers(), 1),
      " ": () => (this.playing ? this.pause() : this.play()),
    };
    const act = /** @type {any} */ (own)[event.key];
    if (!act || (event.key === " " && /** @type {Element} */ (event.target).tagName === "BUTTON")) return;
    event.preventDefault();
    act();
  }
}
