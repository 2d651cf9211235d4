// @ts-check
/** The player: one step for the frames of all cameras, the values, the curves and the path. */

import * as api from "./api.js";
import { dense, learn, originOf } from "./clocks.js";
import { h, replace, style } from "./dom.js";
import { nearestOf } from "./cursor.js";
import { Camera } from "./frames.js";
import { duration } from "./format.js";
import { PathView } from "./path.js";
import { empty, failure, loading } from "./states.js";
import { Timelines } from "./timeline.js";
import { Transport } from "./transport.js";
import { Values } from "./values.js";

const MARKERS = 1000;
/** Milliseconds without a new frame after which a camera no longer counts as one that goes on. */
const IDLE = 5000;

/** @param {HTMLElement} root @param {import("./view.js").Context} context */
export async function show(root, context) {
  await style("player.css");
  const player = new Player(root, context);
  await player.load();
}

class Player {
  /** @param {HTMLElement} root @param {import("./view.js").Context} context */
  constructor(root, context) {
    this.root = root;
    this.context = context;
    this.signal = context.signal;
    /** @type {View[]} */
    this.views = [];
    this.busy = false;
    /** What has grown since it was read, by run. @type {Map<any, Record<string, number>>} */
    this.news = new Map();
    this.timelines = new Timelines(context.runs[0], context.signal);
    /** @type {number[]} */
    this.episodes = [];
    /** Places of warnings and errors that were logged. @type {number[]} */
    this.markers = [];
    this.stage = h("section", { class: "stage", "aria-label": "Frames" });
    this.values = new Values(context);
    this.path = new PathView(context);
    this.curves = h("section", { class: "curves", "aria-label": "Curves" });
    this.transport = new Transport(
      context.cursor,
      { episodes: () => this.episodes, markers: () => this.markers, newest: () => this.#newest() },
      this.signal,
    );
    this.below = h("div", { class: "below" }, this.values.element, this.path.element);
    for (const part of [this.stage, this.curves, this.values.element]) replace(part, loading());
    replace(root, h("div", { class: "player" }, this.stage, this.curves, this.transport.element, this.below));
  }

  async load() {
    const { runs, cursor, live } = this.context;
    const lists = await Promise.all(runs.map((run) => this.#cameras(run)));
    await Promise.all(runs.map((run, i) => learnAll(run, lists[i], this.signal)));
    const count = lists.reduce((sum, list) => sum + list.length, 0);
    for (const [index, run] of runs.entries()) {
      for (const about of lists[index]) {
        const camera = new Camera(run, about, this.signal, count);
        this.views.push(new View(camera, this.context));
      }
    }
    replace(this.stage, this.views.map((view) => view.element));
    if (!count) {
      replace(this.stage, empty("There are no frames in this run.", "Save one with experiment.files(\"camera\").save_image(array, to=\"frame_00000.jpg\", step=0)."));
    }
    await Promise.all(this.views.map((view) => view.load()));
    await this.#time();
    cursor.on((spot) => this.views.forEach((view) => view.draw(spot)), this.signal);
    live.addEventListener("segments", (event) => this.#grown(/** @type {any} */ (event).detail), { signal: this.signal });
    live.addEventListener("run", () => this.transport.grown(), { signal: this.signal }); // its last step, when it ends
    if (cursor.get().step === null && cursor.get().time === null) this.transport.go(0);
    this.views.forEach((view) => view.draw(cursor.get()));
    await Promise.all([this.values.load(), this.path.load()]);
    this.below.classList.toggle("with-path", !this.path.element.hidden);
    const { drawCurves } = await import("./curves.js");
    if (!this.signal.aborted) await drawCurves(this.curves, { ...this.context, rows: this.values }, { compact: true });
  }

  /** @param {any} run @returns {Promise<{name: string, count: number, origin: number}[]>} */
  async #cameras(run) {
    const { cameras } = await api.get(`runs/${encodeURIComponent(run.id)}/frames`, {}, { signal: this.signal });
    return cameras;
  }

  /** What the slider goes through: the steps of the first run. */
  async #time() {
    const run = this.context.runs[0];
    const own = this.views.filter((view) => view.camera.run === run).map((view) => view.camera);
    const { timeline, episodes } = await this.timelines.load(own);
    this.episodes = episodes;
    this.context.cursor.follow(timeline);
    this.markers = await findMarkers(run, timeline, this.signal);
    this.transport.grown();
  }

  /** @param {{run: any, paths: Record<string, number>}} news */
  async #grown({ run, paths }) {
    this.news.set(run, { ...this.news.get(run), ...paths });
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.news.size && !this.signal.aborted) {
        const [next, grown] = /** @type {[any, Record<string, number>]} */ (this.news.entries().next().value);
        this.news.delete(next);
        await this.#reread(next, "files/index" in grown);
      }
    } catch (error) {
      if (!this.signal.aborted) console.warn("ml-dash: the run could not be followed", String(error));
    } finally {
      this.busy = false;
    }
  }

  /** @param {any} run @param {boolean} frames whether it has new ones */
  async #reread(run, frames) {
    if (frames) {
      await Promise.all(this.views.filter((view) => view.camera.run === run).map((view) => view.reload()));
      await this.#newCameras(run);
    }
    if (run === this.context.runs[0]) await this.#time();
    this.views.forEach((view) => view.draw(this.context.cursor.get()));
  }

  /** The newest entry that has its frames, too: they come a moment after the rows. */
  #newest() {
    const run = this.context.runs[0];
    const timeline = this.context.cursor.timeline;
    let newest = (timeline?.times.length ?? 0) - 1;
    if (!timeline || timeline.rows || run.status !== "RUNNING") return newest;
    for (const { camera, came } of this.views) {
      if (camera.run !== run || camera.origin !== run.origin || performance.now() - came > IDLE) continue;
      newest = Math.min(newest, timeline.before(camera.times[camera.length - 1] + 1e-9));
    }
    return newest;
  }

  /** @param {any} run */
  async #newCameras(run) {
    for (const about of await this.#cameras(run)) {
      if (this.views.some((view) => view.camera.run === run && view.camera.name === about.name)) continue;
      const view = new View(new Camera(run, about, this.signal, this.views.length + 1), this.context);
      await view.load();
      if (!this.views.length) replace(this.stage);
      this.views.push(view);
      this.stage.append(view.element);
    }
  }
}

/** From when on the times of a run count; of one that has frames alone, those of its first camera. @param {any} run @param {any[]} cameras @param {AbortSignal} signal */
async function learnAll(run, cameras, signal) {
  const streams = await learn(run, signal);
  if (cameras.length && !dense(streams).length) run.origin = cameras[0].origin;
}

/**
 * The places of warnings and errors: by their step, or by their time.
 *
 * @param {any} run @param {import("./cursor.js").Timeline} timeline @param {AbortSignal} signal
 */
async function findMarkers(run, timeline, signal) {
  if (!timeline.times.length) return [];
  const { rows } = await api.get(`runs/${encodeURIComponent(run.id)}/logs`, { level: "warning", limit: MARKERS }, { signal });
  const origin = originOf(run, "logs");
  const places = rows.map((/** @type {any} */ row) =>
    markerAt(timeline, row.step, row.timestamp - origin),
  );
  return [...new Set(places)].sort((a, b) => a - b);
}

/** @param {import("./cursor.js").Timeline} timeline @param {unknown} step @param {number} time */
function markerAt(timeline, step, time) {
  if (typeof step !== "number") return Math.max(0, timeline.before(time));
  if (timeline.ordered) return timeline.at(step);
  const own = nearestOf(timeline.steps, timeline.times, step, time);
  return own < 0 ? timeline.at(step) : own;
}

/** One camera on the stage. */
class View {
  /** @param {Camera} camera @param {import("./view.js").Context} context */
  constructor(camera, context) {
    this.camera = camera;
    this.cursor = context.cursor;
    this.first = camera.run === context.runs[0];
    this.canvas = h("canvas", { width: 4, height: 3, role: "img", "aria-label": `frame of ${camera.name}` });
    this.over = h("div", { class: "over", hidden: true, role: "status" });
    this.said = h("span", { class: "dim mono" });
    /** @type {ImageBitmap | null} */
    this.shown = null;
    this.came = -Infinity; // when frames came that were not there when the page was opened
    const several = context.runs.length > 1;
    const swatch = several ? h("span", { class: "swatch", style: { background: camera.run.colour } }) : null;
    const owner = several ? h("span", { class: "dim owner" }, camera.run.label) : null;
    const title = several ? `${camera.name} of ${camera.run.name}` : camera.name;
    this.element = h(
      "article",
      { class: "camera", data: { camera: camera.name, run: camera.run.id, name: camera.run.name } },
      h("header", { title }, swatch, h("b", {}, camera.name), owner, h("span", { class: "gap" }), this.said),
      h("div", { class: "picture" }, this.canvas, this.over),
    );
    camera.onPicture = (place) => place === this.wanted && this.draw(this.cursor.get());
  }

  async load() {
    try {
      await this.camera.load();
    } catch (error) {
      if (!this.camera.signal.aborted) replace(this.element, failure(error));
    }
  }

  /** Learns of the frames that came since. */
  async reload() {
    const before = this.camera.length;
    await this.camera.load();
    if (this.camera.length > before) this.came = performance.now();
  }

  /** @param {import("./cursor.js").Spot} spot */
  draw(spot) {
    // Another run goes by its own clock: of it only the step is known
    const own = this.first || spot.step === null ? this.cursor.moment() : { ...spot, time: null };
    const place = this.camera.find(own, !(this.cursor.timeline?.ordered ?? true));
    this.wanted = place;
    if (place < 0) {
      this.#say(this.camera.length ? "no frame yet at this step" : "no frames yet");
      this.said.textContent = "";
      this.#mark(this.shown !== null);
      return;
    }
    const step = this.camera.steps[place];
    this.said.textContent = `${Number.isNaN(step) ? "" : `step ${step} · `}${duration(this.camera.times[place])}`;
    const picture = this.camera.show(place);
    if (picture) {
      if (this.shown !== picture) this.#paint(picture);
      this.shown = picture;
      this.canvas.dataset.step = Number.isNaN(step) ? "" : String(step);
      this.#say("");
      this.#mark(false);
      return;
    }
    if (this.camera.trouble) this.#say(this.camera.trouble.message);
    else if (this.camera.broken === place) this.#say("this browser cannot show this frame");
    else this.#say(this.camera.failed.size ? "the frame has not arrived yet" : "");
    this.#mark(this.shown !== null);
  }

  /** Whether the picture is that of another place, until the one that is named has come. @param {boolean} other */
  #mark(other) {
    this.element.classList.toggle("other", other);
    this.canvas.setAttribute("aria-busy", String(other));
  }

  /** @param {ImageBitmap} picture */
  #paint(picture) {
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    const drawing = this.canvas.getContext("2d");
    drawing.imageSmoothingEnabled = picture.width > 200; // small ones show their pixels
    this.canvas.style.imageRendering = picture.width > 200 ? "auto" : "pixelated";
    drawing.drawImage(picture, 0, 0);
  }

  /** @param {string} text */
  #say(text) {
    this.over.hidden = !text;
    this.over.textContent = text;
  }
}

