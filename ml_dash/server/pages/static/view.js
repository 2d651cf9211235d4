// @ts-check
/** The page of one run, or of several beside each other: what they are, and the tabs. */

import * as api from "./api.js";
import { colour } from "./colours.js";
import { Cursor } from "./cursor.js";
import { h, replace } from "./dom.js";
import { ago, moment } from "./format.js";
import * as place from "./place.js";
import { empty, failure, loading } from "./states.js";

/** @typedef {Record<string, any> & {id: string, colour: string}} Run */

/**
 * What a tab is given.
 *
 * @typedef {object} Context
 * @property {Run[]} runs as the API shows them, with the `colour` of each, and the `label` that tells it from the others
 * @property {Cursor} cursor the step that everything shows
 * @property {EventTarget} live tells `segments` ({run, paths}) and `run` ({run}) while runs go on
 * @property {AbortSignal} signal ends with the tab
 * @property {import("./values.js").Values} [rows] the rows at the cursor, where they are shown
 */

const TABS = {
  overview: "Overview",
  player: "Player",
  curves: "Curves",
  params: "Params",
  logs: "Logs",
  files: "Files",
};

/** Runs that hold a connection open: a browser has six for one server, and the page needs some. */
const FOLLOWED = 2;
const EVERY = 3000;

const root = /** @type {HTMLElement} */ (document.getElementById("root"));
const where = /** @type {HTMLElement} */ (document.getElementById("where"));

/** @returns {Promise<void>} */
async function main() {
  const whole = new AbortController();
  const names = place.read().getAll("run");
  if (!names.length) {
    replace(root, empty("No run is chosen.", "Choose one or more in the table of runs."));
    return;
  }
  replace(root, loading());
  /** @type {Run[]} */
  let runs;
  try {
    runs = await Promise.all(names.map(loadRun));
  } catch (error) {
    replace(root, failure(error, main));
    return;
  }
  label(runs);
  // Asked for by the id that a run gave itself, it has another one in addresses
  if (runs.some(({ id }, i) => id !== names[i])) place.set({ run: runs.map(({ id }) => id) });
  document.title = `${runs.map((run) => run.name).join(", ")} · ML-Dash`;
  const live = new EventTarget();
  const cursor = new Cursor(whole.signal);
  const pane = h("div", { class: "pane", id: "pane" });
  const tabs = h("nav", { class: "tabs", "aria-label": "Views" });
  replace(root, tabs, pane);
  showRuns(runs);
  const going = runs.filter((run) => run.status === "RUNNING");
  for (const [index, run] of going.entries()) {
    if (index < FOLLOWED) followRun(run, live, runs, whole.signal);
    else pollRun(run, live, runs, whole.signal);
  }

  let tab = new AbortController();
  let shown = "";
  const show = async () => {
    const wanted = Object.hasOwn(TABS, place.value("tab")) ? place.value("tab") : "overview";
    replace(tabs, Object.entries(TABS).map(([name, title]) => link(name, title, name === wanted)));
    if (wanted === shown) return;
    shown = wanted;
    tab.abort();
    tab = new AbortController();
    const { signal } = tab;
    replace(pane, loading());
    try {
      const module = await load(wanted);
      if (signal.aborted) return;
      replace(pane);
      await module.show(pane, { runs, cursor, live, signal });
    } catch (error) {
      if (!signal.aborted) replace(pane, failure(error, () => { shown = ""; show(); }));
    }
  };
  place.on(show, whole.signal);
  await show();
}

/** The module of a tab. @param {string} tab */
async function load(tab) {
  try {
    return await import(`./${tab}.js`);
  } catch (error) {
    // A module that is not even fetched: browsers have no word of their own for it
    if (error instanceof TypeError) throw new api.ApiError(0, "unreachable", "The server does not answer. Is it still running?");
    throw error;
  }
}

/** @param {string} id @param {number} index @returns {Promise<Run>} */
async function loadRun(id, index) {
  const { run } = await api.get(`runs/${encodeURIComponent(id)}`);
  return { ...run, colour: colour(index) };
}

/** Gives each run what tells it from the others: its name without the folders that all are in. @param {Run[]} runs */
function label(runs) {
  const parts = runs.map((run) => run.name.split("/"));
  const same = (/** @type {number} */ at) => parts.every((own) => own.length > at + 1 && own[at] === parts[0][at]);
  let common = 0;
  while (runs.length > 1 && same(common)) common += 1;
  runs.forEach((run, i) => (run.label = parts[i].slice(common).join("/")));
}

/** @param {string} name @param {string} title @param {boolean} current */
function link(name, title, current) {
  const params = place.read();
  params.set("tab", name);
  return h(
    "a",
    {
      href: `?${params}`,
      "aria-current": current ? "page" : null,
      on: {
        /** @param {MouseEvent} event */
        click(event) {
          if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
          event.preventDefault();
          place.set({ tab: name }, { push: true });
        },
      },
    },
    title,
  );
}

/** Its folders apart, which a narrow window leaves out. @param {Run} run @param {boolean} among others */
function named(run, among) {
  if (among) return run.label;
  const end = run.prefix.lastIndexOf("/") + 1;
  return [h("span", { class: "above" }, run.prefix.slice(0, end)), run.prefix.slice(end)];
}

/** @param {Run[]} runs */
function showRuns(runs) {
  replace(
    where,
    runs.map((run) =>
      h(
        "span",
        { class: "run", title: `${run.prefix}\nstarted ${moment(run.started)}`, data: { run: run.id } },
        runs.length > 1 ? h("span", { class: "swatch", style: { background: run.colour } }) : null,
        h("b", {}, named(run, runs.length > 1)),
        " ",
        h("span", { class: `status ${run.status.toLowerCase()}` }, run.status.toLowerCase()),
        " ",
        h("span", { class: "dim" }, ago(run.started)),
      ),
    ),
  );
}

/** @param {Run} run @param {EventTarget} live @param {Run[]} runs @param {AbortSignal} signal */
function followRun(run, live, runs, signal) {
  const own = new AbortController();
  signal.addEventListener("abort", () => own.abort());
  api.follow(
    `runs/${encodeURIComponent(run.id)}/events`,
    {
      segments: ({ paths }) => live.dispatchEvent(new CustomEvent("segments", { detail: { run, paths } })),
      run: (now) => {
        Object.assign(run, now);
        showRuns(runs);
        live.dispatchEvent(new CustomEvent("run", { detail: { run } }));
        if (run.status !== "RUNNING" && run.status !== "INTERRUPTED") own.abort();
      },
      connected: (good) => where.classList.toggle("cut", !good),
    },
    { signal: own.signal },
  );
}

/** @param {Run} run @param {EventTarget} live @param {Run[]} runs @param {AbortSignal} signal */
function pollRun(run, live, runs, signal) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const { run: now } = await api.get(`runs/${encodeURIComponent(run.id)}`, {}, { signal });
      if (now.updated === run.updated && now.status === run.status) return;
      const streams = await api.get(`runs/${encodeURIComponent(run.id)}/streams`, {}, { signal });
      Object.assign(run, now);
      showRuns(runs);
      const paths = Object.fromEntries(streams.map((/** @type {any} */ stream) => [stream.name, stream.size]));
      live.dispatchEvent(new CustomEvent("segments", { detail: { run, paths } }));
      live.dispatchEvent(new CustomEvent("run", { detail: { run } }));
      if (run.status !== "RUNNING" && run.status !== "INTERRUPTED") clearInterval(timer);
    } catch {
      // it is asked again
    }
  }, EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

main();
