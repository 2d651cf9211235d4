// @ts-check
/** The messages of a run: the newest at the bottom, older ones as one scrolls up, followed live. */

import { plain, styled } from "./ansi.js";
import * as api from "./api.js";
import { h, replace, style } from "./dom.js";
import { duration, moment, short } from "./format.js";
import * as place from "./place.js";
import { empty, failure, loading } from "./states.js";

const PAGE = 200;
const MOST = 5000;
const LEVELS = ["", "debug", "info", "warning", "error", "fatal"];
const OWN = new Set(["timestamp", "level", "message", "step"]);

/** @param {HTMLElement} root @param {import("./view.js").Context} context */
export async function show(root, context) {
  await style("logs.css");
  const pages = context.runs.map((run) => new Logs(run, context));
  replace(root, h("div", { class: "logs-side" }, pages.map((page) => page.element)));
  await Promise.all(pages.map((page) => page.reload()));
}

class Logs {
  /** @param {any} run @param {import("./view.js").Context} context */
  constructor(run, context) {
    this.run = run;
    this.context = context;
    /** @type {any[]} newest last */
    this.rows = [];
    /** @type {string | null} */
    this.next = null;
    this.asked = 0;
    this.bottom = true;
    this.behind = false;
    this.following = false;
    this.search = h("input", {
      type: "search",
      placeholder: "Find in messages",
      "aria-label": "Find in messages",
      value: place.value("search"),
      on: { input: () => this.#later(() => place.set({ search: this.search.value })) },
    });
    this.level = h(
      "select",
      { "aria-label": "Least level", on: { change: () => place.set({ level: this.level.value }) } },
      LEVELS.map((level) => h("option", { value: level, selected: level === place.value("level") }, level ? `${level} and up` : "all levels")),
    );
    this.said = h("span", { class: "dim", role: "status" });
    this.list = h("ol", { class: "messages", tabindex: "0", "aria-label": `Messages of ${run.name}` });
    this.notice = h("div");
    this.list.addEventListener("scroll", () => this.#scrolled(), { signal: context.signal });
    const title = context.runs.length > 1 ? h("b", {}, h("span", { class: "swatch", style: { background: run.colour } }), run.name) : null;
    this.element = h("section", { class: "logs" }, h("div", { class: "bar" }, title, this.search, this.level, this.said), this.notice, this.list);
    context.live.addEventListener("segments", (event) => this.#grown(/** @type {any} */ (event).detail), { signal: context.signal });
    place.on((names) => (!names || names.includes("search") || names.includes("level")) && this.reload(), context.signal);
  }

  #ask(/** @type {Record<string, any>} */ more) {
    return api.get(
      `runs/${encodeURIComponent(this.run.id)}/logs`,
      { search: place.value("search"), level: place.value("level"), limit: PAGE, ...more },
      { signal: this.context.signal },
    );
  }

  async reload() {
    const asked = ++this.asked;
    if (!this.rows.length) replace(this.notice, loading());
    try {
      const answer = await this.#fill("");
      if (asked !== this.asked) return;
      this.rows = answer.rows.reverse();
      this.next = answer.next;
      this.bottom = true;
      this.#draw();
    } catch (error) {
      if (!this.context.signal.aborted) replace(this.notice, failure(error, () => this.reload()));
    }
  }

  /** A page, in as many requests as it takes: a search may go through much that does not match. @param {string} cursor */
  async #fill(cursor) {
    /** @type {any[]} */
    let rows = [];
    /** @type {string | null} */
    let next = cursor;
    for (let tries = 0; tries < 20 && next !== null && rows.length < PAGE; tries += 1) {
      const answer = await this.#ask(next ? { cursor: next } : {});
      rows = [...rows, ...answer.rows];
      next = answer.next;
      if (tries) this.said.textContent = "searching…";
    }
    return { rows, next };
  }

  async #older() {
    if (!this.next || this.busy || this.rows.length >= MOST) return;
    this.busy = true;
    const asked = this.asked;
    try {
      const answer = await this.#fill(this.next);
      if (asked !== this.asked) return;
      const before = this.list.scrollHeight;
      this.rows = [...answer.rows.reverse(), ...this.rows];
      this.next = answer.next;
      this.list.prepend(...answer.rows.map((row) => this.#line(row)));
      this.list.scrollTop += this.list.scrollHeight - before;
      this.#tell();
    } catch (error) {
      if (!this.context.signal.aborted) replace(this.notice, failure(error));
    } finally {
      this.busy = false;
    }
  }

  /** @param {{run: any, paths: Record<string, number>}} news */
  async #grown({ run, paths }) {
    if (run.id !== this.run.id || !("logs" in paths)) return;
    this.behind = true;
    if (this.following) return; // what is under way looks at it afterwards
    this.following = true;
    try {
      while (this.behind && !this.context.signal.aborted) {
        this.behind = false;
        await this.#newer();
      }
    } catch {
      // the next growth, or a reload, brings it
    } finally {
      this.following = false;
    }
  }

  /** What came after that which is shown: many messages, where a program logs fast. */
  async #newer() {
    const asked = this.asked;
    const last = this.rows.at(-1);
    const answer = await this.#ask(last ? { start_time: last.timestamp, limit: MOST } : {});
    if (asked !== this.asked || !answer.rows.length) return;
    if (!last || answer.next) {
      await this.reload(); // nothing to go on from, or not all of it
      return;
    }
    const there = new Set(this.rows.slice(-PAGE).map(key));
    const fresh = answer.rows.reverse().filter((/** @type {any} */ row) => !there.has(key(row)));
    if (!fresh.length) return;
    this.rows = [...this.rows, ...fresh];
    this.list.append(...fresh.map((/** @type {any} */ row) => this.#line(row)));
    while (this.list.children.length > MOST) this.list.firstChild?.remove();
    this.#tell();
    if (this.bottom) this.list.scrollTop = this.list.scrollHeight;
  }

  #draw() {
    this.list.replaceChildren(...this.rows.map((row) => this.#line(row)));
    const searching = place.value("search") || place.value("level");
    replace(
      this.notice,
      this.rows.length
        ? null
        : searching
          ? empty("No message matches.", "Change what is searched for.")
          : empty("Nothing was logged.", "Log something: experiment.log(\"…\", level=\"info\")."),
    );
    this.list.scrollTop = this.list.scrollHeight;
    this.#tell();
    this.#scrolled(); // few lines leave nothing to scroll
  }

  #tell() {
    const more = this.next ? (this.rows.length >= MOST ? "; narrow the search to see older ones" : "; scroll up for older ones") : "";
    this.said.textContent = this.rows.length ? `${this.rows.length} ${this.rows.length === 1 ? "message" : "messages"}${more}` : "";
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    this.bottom = scrollHeight - scrollTop - clientHeight < 20;
    if (scrollTop < 200) this.#older();
  }

  /** @param {any} row */
  #line(row) {
    const level = String(row.level ?? "info").toLowerCase();
    const given = row.fields && typeof row.fields === "object" && !Array.isArray(row.fields) ? row.fields : {};
    const fields = [...Object.entries(row).filter(([name, value]) => !OWN.has(name) && !name.startsWith("_") && value !== given), ...Object.entries(given)];
    const step = typeof row.step === "number" ? row.step : null;
    return h(
      "li",
      { class: `message ${/^[a-z]+$/.test(level) ? level : ""}` },
      h("time", { class: "dim", title: moment(row.timestamp) }, duration(row.timestamp - (this.run.started ?? row.timestamp))),
      step === null
        ? h("span")
        : h("button", { class: "plain", type: "button", title: "Show this step", on: { click: () => this.context.cursor.set({ step }) } }, `#${step}`),
      h("b", {}, level),
      h("span", { class: "text" }, styled(String(row.message ?? "")), fields.map(([name, value]) => h("span", { class: "dim" }, ` ${name}=${short(typeof value === "string" ? plain(value) : value)}`))),
    );
  }

  /** @param {() => void} act */
  #later(act) {
    clearTimeout(this.timer);
    this.timer = setTimeout(act, 250);
  }
}

/** What tells a message from another. @param {any} row */
function key(row) {
  return JSON.stringify([row.timestamp, row.level, row.message, row.step]);
}
