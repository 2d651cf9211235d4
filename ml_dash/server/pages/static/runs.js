// @ts-check
/** The page of all runs: found, sorted, grouped, chosen, compared, tagged and deleted. */

import * as api from "./api.js";
import { columnsFor, STANDARD, valuesOf } from "./columns.js";
import { confirmDeletion, editTags } from "./changes.js";
import { h, isFree, replace } from "./dom.js";
import { ago, count, short } from "./format.js";
import * as memory from "./memory.js";
import * as place from "./place.js";
import { empty, failure, loading } from "./states.js";
import { Rights } from "./rights.js";
import { Table } from "./table.js";

const PAGE = 100;
const EVERY = 4000;
/** Runs that can be told from each other beside each other. */
const MOST = 100;
const root = /** @type {HTMLElement} */ (document.getElementById("root"));

class RunsPage {
  constructor() {
    /** @type {any[]} */
    this.runs = [];
    /** @type {string | null} */
    this.next = null;
    this.total = null;
    this.asked = 0;
    this.offered = "";
    /** @type {string[]} */
    this.shown = memory.load("columns", STANDARD);
    this.whole = new AbortController();
    this.rights = new Rights(() => this.#drawActions());
    this.table = this.#draw();
    place.on(() => this.reload(), this.whole.signal);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && isFree(event)) {
        event.preventDefault();
        this.search.focus();
      }
    });
    setInterval(() => document.hidden || this.refresh(), EVERY);
    this.reload();
  }

  #draw() {
    this.search = h("input", {
      type: "search",
      placeholder: "Search, or filter: lr > 1e-3 and tag:baseline",
      "aria-label": "Search and filter",
      value: place.value("filter"),
      spellcheck: "false",
      on: { input: () => this.#later(), search: () => this.#later(0) },
    });
    this.said = h("span", { class: "dim", role: "status" });
    this.actions = h("span", { class: "bar" });
    this.choices = h("div", { hidden: true });
    this.grouping = h("select", { "aria-label": "Group by", on: { change: () => place.set({ group: this.grouping.value }) } });
    const close = () => this.choices.hidden || this.#toggle(chooser);
    document.addEventListener("keydown", (event) => event.key === "Escape" && close());
    document.addEventListener("click", (event) => !chooser.parentElement?.contains(/** @type {Node} */ (event.target)) && close());
    const chooser = h("button", { type: "button", "aria-expanded": "false", on: { click: () => this.#toggle(chooser) } }, "Columns");
    this.place = h("div", { class: "pane" });
    this.more = h("div", { class: "bar" });
    replace(
      root,
      h("div", { class: "bar" }, this.search, this.said, this.actions, this.grouping, h("span", { class: "menu" }, chooser, this.choices)),
      this.place,
    );
    const table = new Table(this.place, {
      id: (run) => run.id,
      name: (run) => run.name,
      href: (run) => `view?run=${encodeURIComponent(run.id)}`,
      onSort: (sort) => place.set({ sort }),
      onChoose: () => this.#drawActions(),
      group: (run) => this.#groupOf(run),
      tick: (run) => `${ago(run.started)} ${run.status === "RUNNING" ? Math.floor(Date.now() / EVERY) : ""}`,
      label: "Runs",
    });
    this.notice = h("div");
    this.place.append(this.notice, this.more);
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.loadMore(), {
      root: this.place,
      rootMargin: "400px",
    }).observe(this.more);
    return table;
  }

  #sort() {
    return place.value("sort", "-started");
  }

  /** What the server is asked for, grouped ones beside each other. */
  #query() {
    const group = place.value("group");
    const sorts = group ? `${group},${this.#sort()}` : this.#sort();
    return { filter: place.value("filter"), sort: sorts, limit: PAGE };
  }

  /** Asks anew, from the beginning. */
  async reload() {
    const asked = ++this.asked;
    if (!this.runs.length) replace(this.notice, loading());
    try {
      const answer = await api.get("runs", this.#query());
      if (asked !== this.asked) return;
      this.#take(answer.runs, answer.next, answer.total);
    } catch (error) {
      if (asked === this.asked) this.#fail(error);
    }
  }

  /** The next page, when its place comes into sight. */
  async loadMore() {
    if (!this.next || this.busy) return;
    this.busy = true;
    const asked = this.asked;
    try {
      const answer = await api.get("runs", { ...this.#query(), cursor: this.next });
      if (asked === this.asked) this.#take([...this.runs, ...answer.runs], answer.next, answer.total);
    } catch (error) {
      if (asked === this.asked) this.#fail(error);
    } finally {
      this.busy = false;
    }
  }

  /** What is shown, as it is now: as many rows as there are on the page. */
  async refresh() {
    if (this.busy) return;
    const asked = this.asked;
    try {
      const answer = await api.get("runs", { ...this.#query(), limit: Math.min(1000, Math.max(PAGE, this.runs.length)) });
      if (asked === this.asked && !this.busy && this.runs.length <= 1000) {
        this.#take(answer.runs, answer.next, answer.total);
      }
    } catch (error) {
      if (asked === this.asked) this.#fail(error);
    }
  }

  /** @param {any[]} runs @param {string | null} next @param {number | null} total */
  #take(runs, next, total) {
    this.runs = runs;
    this.next = next;
    this.search.setAttribute("aria-invalid", "false");
    const known = total ?? (next ? null : runs.length);
    this.said.textContent = known === null ? "" : `${count(known)} ${known === 1 ? "run" : "runs"}`;
    replace(this.notice, runs.length ? null : this.#nothing());
    this.table.table.hidden = !runs.length;
    this.#drawTable();
  }

  #drawTable() {
    const found = valuesOf(this.runs);
    this.table.setColumns(columnsFor(this.shown), this.#sort());
    this.table.setRows(this.runs);
    this.#drawChoices(found);
    this.#drawActions();
  }

  #nothing() {
    if (place.value("filter")) return empty("No run matches.", "Change the filter, or empty it to see all runs.");
    const local = document.querySelector("meta[name=ml-dash-local]")?.getAttribute("content");
    return empty(
      "There are no runs yet.",
      local
        ? "Record one: with ml_dash.Experiment(\"robotics/arm\").run as experiment: …"
        : `Record one: Experiment("robotics/arm", dash_url="${new URL(".", document.baseURI).href}"), after ml-dash login.`,
    );
  }

  /** @param {unknown} error */
  #fail(error) {
    if (error instanceof api.ApiError && error.status === 401) location.reload();
    const refused = error instanceof api.ApiError && error.status === 422;
    this.search.setAttribute("aria-invalid", String(refused));
    if (refused) this.said.textContent = ""; // the count was of another filter
    replace(this.notice, failure(error, () => this.reload()));
    this.table.table.hidden = refused;
  }

  /** @param {any} run */
  #groupOf(run) {
    const key = place.value("group");
    if (!key) return null;
    const [room, ...rest] = key.split(".");
    const value = rest.length ? run[room]?.[rest.join(".")] : run[room];
    const told = short(value) || "none";
    return `${rest.join(".") || room}: ${key === "status" ? told.toLowerCase() : told}`;
  }

  #later(pause = 250) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => place.set({ filter: this.search.value.trim() }), pause);
  }

  /** @param {HTMLElement} button */
  #toggle(button) {
    this.choices.hidden = !this.choices.hidden;
    button.setAttribute("aria-expanded", String(!this.choices.hidden));
  }

  /** @param {{params: string[], metrics: string[]}} found */
  #drawChoices(found) {
    const box = (/** @type {string} */ key, /** @type {string} */ title) =>
      h(
        "label",
        {},
        h("input", {
          type: "checkbox",
          value: key,
          checked: this.shown.includes(key),
          on: { change: (/** @type {any} */ event) => this.#show(key, event.target.checked) },
        }),
        ` ${title}`,
      );
    const names = JSON.stringify([found, place.value("group")]);
    if (names === this.offered) return; // the boxes know themselves whether they are ticked
    this.offered = names;
    const focused = this.choices.contains(document.activeElement) ? /** @type {any} */ (document.activeElement).value : null;
    const scrolled = this.choices.scrollTop;
    const keys = [...found.params.map((name) => `params.${name}`), ...found.metrics.map((name) => `metrics.${name}`)];
    replace(
      this.choices,
      STANDARD.map((key) => box(key, columnsFor([key])[0].title)),
      keys.length ? h("hr") : null,
      keys.map((key) => box(key, key)),
    );
    this.choices.scrollTop = scrolled;
    if (focused !== null) [...this.choices.querySelectorAll("input")].find((one) => one.value === focused)?.focus();
    const chosen = place.value("group");
    const groups = ["", "project", "status", "host", ...found.params.map((name) => `params.${name}`)];
    if (chosen && !groups.includes(chosen)) groups.push(chosen);
    replace(
      this.grouping,
      groups.map((key) => h("option", { value: key, selected: key === chosen }, key ? `by ${key}` : "not grouped")),
    );
  }

  /** @param {string} key @param {boolean} wanted */
  #show(key, wanted) {
    this.shown = wanted ? [...this.shown, key] : this.shown.filter((one) => one !== key);
    memory.save("columns", this.shown);
    this.table.setColumns(columnsFor(this.shown), this.#sort());
  }

  #drawActions() {
    const chosen = this.runs.filter((run) => this.table.chosen.has(run.id));
    if (!chosen.length) {
      replace(this.actions);
      return;
    }
    const query = new URLSearchParams(chosen.slice(0, MOST).map((run) => ["run", run.id]));
    if (chosen.length > 1) query.set("tab", "curves");
    replace(
      this.actions,
      h("a", { href: `view?${query}`, class: "main" }, chosen.length > MOST ? `Compare the first ${MOST}` : chosen.length > 1 ? `Compare ${chosen.length}` : "Open"),
      this.rights.may(chosen, "writer") ? h("button", { type: "button", on: { click: () => editTags(chosen, () => this.refresh()) } }, "Tags…") : null,
      this.rights.may(chosen, "owner")
        ? h("button", { type: "button", class: "danger", on: { click: () => confirmDeletion(chosen, () => this.refresh()) } }, "Delete…")
        : null,
    );
  }
}

new RunsPage();
