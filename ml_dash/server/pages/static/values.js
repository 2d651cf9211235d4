// @ts-check
/** The rows of all streams at the cursor's step. */

import * as api from "./api.js";
import { originOfCursor } from "./clocks.js";
import { h, replace } from "./dom.js";
import { short, streamName } from "./format.js";
import { readAt } from "./moments.js";
import { empty, failure } from "./states.js";

const PAUSE = 60;
const KEPT = 200;
/** Streams that are shown. */
const MOST = 200;
const HIDDEN = new Set(["step", "timestamp", "_sequence", "_nonfinite"]);
const LONGEST = 40;

export class Values {
  /** @param {import("./view.js").Context} context */
  constructor(context) {
    this.context = context;
    this.element = h("section", { class: "values card", "aria-label": "Values at the step" });
    /** Answers by run and spot. @type {Map<string, any>} */
    this.known = new Map();
    /** @type {Map<string, string[]>} */
    this.streams = new Map();
    /** The rows that are shown, by run and stream. @type {Map<string, Record<string, any>>} */
    this.shown = new Map();
    this.target = new EventTarget();
  }

  /** Calls `listener` when other rows are shown. @param {() => void} listener */
  on(listener) {
    this.target.addEventListener("shown", listener, { signal: this.context.signal });
  }

  /** What a shown row has in a column; null where that is no number. @param {string} run @param {string} stream @param {string} column */
  number(run, stream, column) {
    const row = this.shown.get(run)?.[stream];
    return row ? numberIn(row, column) : null;
  }

  async load() {
    const { cursor, live, signal } = this.context;
    cursor.on(() => this.#later(), signal);
    live.addEventListener(
      "segments",
      () => {
        [this.known, this.streams] = [new Map(), new Map()]; // what is under way fills the old ones
        this.stale = true;
        this.#later();
      },
      { signal },
    );
    await this.#show();
  }

  /** Not at each frame: while it plays, as often as answers come. */
  #later() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(async () => {
      this.stale = false;
      await this.#show();
      this.waiting = false;
      if ((this.stale || this.#key() !== this.key) && !this.context.signal.aborted) this.#later();
    }, PAUSE);
  }

  #key() {
    const { cursor } = this.context;
    const { step, time } = cursor.get();
    if (step === null) return `time ${time}`;
    return cursor.timeline && !cursor.timeline.ordered ? `step ${step} time ${time}` : `step ${step}`;
  }

  async #show() {
    const key = this.#key();
    this.key = key;
    try {
      const answers = await Promise.all(this.context.runs.map((run) => this.#ask(run, key)));
      if (this.context.signal.aborted || key !== this.key) return; // a later answer may come first
      const names = [...new Set(answers.flatMap((answer) => Object.keys(answer.streams)))];
      const blocks = names.flatMap((name) => answers.map((answer, i) => this.#draw(this.context.runs[i], name, answer.streams[name])));
      const shown = blocks.filter((block) => block !== null);
      const more = Math.max(...this.context.runs.map((run) => (this.streams.get(run.id)?.length ?? 0) - MOST));
      const rest = more > 0 ? h("p", { class: "dim" }, `and ${more} more streams`) : null;
      replace(this.element, shown.length ? shown : empty("No stream has a row here."), rest);
      this.element.dataset.at = key;
      this.shown = new Map(answers.map((answer, i) => [this.context.runs[i].id, answer.streams]));
      this.target.dispatchEvent(new Event("shown"));
    } catch (error) {
      if (!this.context.signal.aborted && key === this.key) replace(this.element, failure(error));
    }
  }

  /** @param {any} run @param {string} key */
  async #ask(run, key) {
    const name = `${run.id} ${key}`;
    const { known } = this;
    if (!known.has(name)) {
      const { step, time, nth } = this.context.cursor.moment();
      // Another run goes by its own clock: of it only the step counts
      const own = run === this.context.runs[0] || step === null;
      const at = time === null || !own ? null : time + originOfCursor(run);
      const where = step === null ? { time: at } : { step, time: at, nth };
      const names = (await this.#streams(run)).slice(0, MOST);
      const answer = { streams: await readAt(run, names, where, this.context.signal) };
      if (known.size > KEPT) known.delete(known.keys().next().value ?? "");
      known.set(name, answer);
    }
    return known.get(name);
  }

  /** Names of the tracks and metrics of a run. @param {any} run @returns {Promise<string[]>} */
  async #streams(run) {
    const { streams } = this;
    if (!streams.has(run.id)) {
      const all = await api.get(`runs/${encodeURIComponent(run.id)}/streams`, {}, { signal: this.context.signal });
      const names = all.map((/** @type {any} */ stream) => stream.name).filter((/** @type {string} */ name) => /^(tracks|metrics)\//.test(name));
      streams.set(run.id, names);
    }
    return streams.get(run.id) ?? [];
  }

  /** @param {any} run @param {string} name @param {any} row */
  #draw(run, name, row) {
    if (!row) return null;
    const { step } = this.context.cursor.get();
    const many = this.context.runs.length > 1;
    const late = row.step !== undefined && row.step !== null && row.step !== step ? ` at step ${row.step}` : "";
    return h(
      "div",
      { data: { stream: name, run: run.id } },
      h(
        "h3",
        {},
        many ? h("span", { class: "swatch", style: { background: run.colour } }) : null,
        streamName(name),
        h("span", { class: "dim" }, late),
      ),
      h("dl", {}, leaves(row).map(([field, value]) => [h("dt", { title: field }, field), h("dd", {}, value)])),
    );
  }
}

/** The fields of a row, those of nested ones by their path. @param {any} row @param {string} [above] @returns {[string, string][]} */
function leaves(row, above = "") {
  if (!above) restore(row);
  return Object.entries(row).flatMap(([name, value]) => {
    if (!above && HIDDEN.has(name)) return [];
    const path = above ? `${above}.${name}` : name;
    if (value && typeof value === "object" && !Array.isArray(value)) return leaves(value, path);
    return [[path, Array.isArray(value) ? list(value) : short(value)]];
  });
}

/** Puts NaN and infinities, which JSON has no words for, where the row says they were. @param {any} row */
function restore(row) {
  for (const [pointer, word] of Object.entries(row._nonfinite ?? {})) {
    const parts = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = parts.pop() ?? "";
    const place = parts.reduce((inner, part) => inner?.[part], row);
    if (place && typeof place === "object") place[last] = Number(word);
  }
}

/** A number of a row by the name of its column, such as `pose.q[0]`; null where there is none. @param {any} row @param {string} column */
export function numberIn(row, column) {
  const found = column in row ? row[column] : column.split(/[.[\]]+/).filter(Boolean).reduce((inner, part) => inner?.[part], row);
  return typeof found === "boolean" ? Number(found) : typeof found === "number" ? found : null;
}

/** @param {any[]} values */
function list(values) {
  const shown = values.slice(0, LONGEST).map((value) => short(value)).join(", ");
  return values.length > LONGEST ? `[${shown}, … ${values.length}]` : `[${shown}]`;
}
