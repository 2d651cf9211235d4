// @ts-check
/** The tab of curves: every numeric column of the runs, one chart each, under one cursor and one zoom. */

import * as api from "./api.js";
import { learn } from "./clocks.js";
import { h, replace, style } from "./dom.js";
import { group, search, telling, united } from "./groups.js";
import { Legend } from "./legend.js";
import * as memory from "./memory.js";
import * as place from "./place.js";
import { Panel } from "./panel.js";
import { Loader } from "./series.js";
import { empty, failure, loading } from "./states.js";
import { toolbar } from "./toolbar.js";

style("curves.css");

/** @typedef {import("./view.js").Context} Context @typedef {import("./card.js").Look} Look */
/** @typedef {{run: any, loader: Loader, streams: Record<string, string[]>}} Known */

const FEW = 6; // charts of the compact form

/** The tab. @param {HTMLElement} root @param {Context} context */
export function show(root, context) {
  return drawCurves(root, context);
}

/**
 * @param {HTMLElement} root
 * @param {Context} context
 * @param {{compact?: boolean}} [options] a few charts alone, to stand below something else
 */
export async function drawCurves(root, context, { compact = false } = {}) {
  const { signal } = context;
  replace(root, loading());
  /** @type {Known[]} */
  let runs;
  try {
    runs = await Promise.all(context.runs.map(know));
  } catch (error) {
    if (!signal.aborted) replace(root, failure(error, () => drawCurves(root, context, { compact })));
    return;
  }
  const lists = await Promise.all(runs.map(({ run }) => learn(run, signal).catch(() => [])));
  if (signal.aborted) return;
  const look = readLook();
  if (look.axis === "step" && !place.value("x") && !stepped(runs, lists)) look.axis = "relative";
  place.settle(told(look)); // another browser keeps another look
  const panel = new Panel(context, runs, look, compact);
  const legend = new Legend(
    context.runs,
    {
      onHover: (run) => panel.highlight(run),
      onHide: (hidden) => {
        look.hidden = hidden;
        place.set({ hide: [...hidden] });
        panel.changed({ reload: true });
      },
    },
    look.hidden,
  );
  panel.onNear = (name) => legend.mark(name);
  const body = h("div", { class: compact ? "curves compact" : "curves" });
  const charts = h("div", { class: "curve-groups" });
  const draw = () => (compact ? drawFew(charts, panel, runs) : drawAll(charts, panel, runs));
  const bar = toolbar(look, {
    compact,
    onLook: (changes) => {
      Object.assign(look, changes);
      keepLook(look);
      panel.changed({ reload: "axis" in changes });
    },
    onSearch: draw,
    onReset: () => panel.zoom(null),
    choose: compact ? () => chooser(runs, draw) : null,
  });
  panel.onRange = bar.onRange;
  panel.onAxis = bar.onAxis;
  const several = context.runs.length > 1;
  replace(body, bar.element, h("div", { class: "curve-body" }, several && !compact ? legend.element : null, charts));
  replace(root, body);
  draw();
  panel.listen(async (run, stream) => {
    const known = runs.find((one) => one.run.id === run);
    if (!known || known.streams[stream] || !/^(metrics|tracks)\//.test(stream)) return;
    known.streams = (await know(known.run)).streams;
    draw();
  });
}

/** The columns of a run. @param {any} run @returns {Promise<Known>} */
async function know(run) {
  const { streams } = await api.get(`runs/${encodeURIComponent(run.id)}/columns`);
  return { run, loader: new Loader(run.id), streams };
}

/** Whether any row of what is drawn has a step, as far as that is known. @param {Known[]} runs @param {import("./clocks.js").Stream[][]} lists their streams */
function stepped(runs, lists) {
  const drawn = runs.flatMap(({ streams }, i) => lists[i].filter(({ name, rows }) => streams[name]?.length && rows));
  return !drawn.length || drawn.some(({ steps }) => steps);
}

/** @param {Known[]} runs */
function groupsOf(runs) {
  return group(united(runs.map(({ streams }) => streams)), runs.length === 1);
}

/** @param {HTMLElement} root @param {Panel} panel @param {Known[]} runs */
function drawAll(root, panel, runs) {
  const all = groupsOf(runs);
  const found = search(all, place.value("find"));
  if (!found.length) {
    replace(root, all.length ? empty("No curve has such a name.", "Search for a part of it.") : nothing());
    panel.keep([]);
    return;
  }
  const closed = new Set(memory.load("curves.closed", /** @type {string[]} */ ([])));
  const charts = found.flatMap(({ charts: own }) => own);
  panel.keep(charts);
  replace(
    root,
    found.map(({ stream, title, room, charts: own }) =>
      h(
        "details",
        {
          class: "curve-group",
          open: !closed.has(stream),
          on: {
            toggle: (/** @type {Event} */ event) => {
              closed[/** @type {HTMLDetailsElement} */ (event.target).open ? "delete" : "add"](stream);
              memory.save("curves.closed", [...closed]);
            },
          },
        },
        h("summary", {}, h("b", {}, title), h("span", { class: "dim" }, ` ${room} · ${own.length}`)),
        h("div", { class: "curve-grid" }, own.map((chart) => panel.card(chart).element)),
      ),
    ),
  );
}

/** @param {HTMLElement} root @param {Panel} panel @param {Known[]} runs */
function drawFew(root, panel, runs) {
  const charts = chosen(runs);
  panel.keep(charts);
  replace(root, charts.length ? h("div", { class: "curve-grid" }, charts.map((chart) => panel.card(chart).element)) : nothing());
}

/** @param {Known[]} runs */
function chosen(runs) {
  const groups = groupsOf(runs);
  const wanted = place.read().getAll("cols");
  if (!wanted.length) return telling(groups, FEW);
  const all = groups.flatMap(({ charts }) => charts);
  return wanted.map((key) => all.find((chart) => chart.key === key)).filter((chart) => chart !== undefined);
}

/** What is drawn in the compact form. @param {Known[]} runs @param {() => void} draw */
function chooser(runs, draw) {
  const shown = new Set(chosen(runs).map(({ key }) => key));
  return groupsOf(runs).map(({ title, charts }) =>
    h(
      "fieldset",
      {},
      h("legend", {}, title),
      charts.map(({ key, title: name }) =>
        h(
          "label",
          {},
          h("input", {
            type: "checkbox",
            checked: shown.has(key),
            on: {
              change: () => {
                if (!shown.delete(key)) shown.add(key);
                place.set({ cols: [...shown] });
                draw();
              },
            },
          }),
          ` ${name}`,
        ),
      ),
    ),
  );
}

function nothing() {
  return empty(
    "No metric and no track with numbers was recorded.",
    "experiment.metrics(\"train\").log(step=0, loss=0.5) makes the first curve.",
  );
}

/** @returns {Look} */
function readLook() {
  const kept = memory.load("curves.look", { axis: "step", smooth: 0, log: false, envelope: true });
  const axis = place.value("x") || kept.axis;
  const [from, to] = [place.number("from"), place.number("to")];
  const flag = (/** @type {string} */ name, /** @type {boolean} */ own) => (place.value(name) ? place.value(name) === "1" : own);
  return {
    axis: axis === "time" || axis === "relative" ? axis : "step",
    smooth: Math.min(Math.max(place.number("smooth") ?? kept.smooth, 0), 0.999) || 0,
    log: flag("log", kept.log),
    envelope: flag("range", kept.envelope),
    range: from !== null && to !== null && from < to ? [from, to] : null,
    hidden: new Set(place.read().getAll("hide")),
  };
}

/** @param {Look} look */
function keepLook(look) {
  const { axis, smooth, log, envelope } = look;
  memory.save("curves.look", { axis, smooth, log, envelope });
  place.settle(told(look));
}

/** A look as the URL has it. @param {Look} look */
function told({ axis, smooth, log, envelope }) {
  return { x: axis, smooth, log: log ? "1" : "0", range: envelope ? "1" : "0" };
}
