// @ts-check
/** The params of one run, or those in which several differ. */

import * as api from "./api.js";
import { h, replace } from "./dom.js";
import { short } from "./format.js";
import * as place from "./place.js";
import { empty } from "./states.js";

/** @param {HTMLElement} root @param {import("./view.js").Context} context */
export async function show(root, context) {
  const { runs, live, signal } = context;
  /** @type {Record<string, any>[]} */
  let params = [];
  const search = h("input", { type: "search", placeholder: "Find a param", "aria-label": "Find a param", on: { input: () => draw() } });
  const differing = h("input", { type: "checkbox", checked: place.value("all") !== "1", on: { change: () => {
    place.set({ all: differing.checked ? null : 1 });
    draw();
  } } });
  const table = h("table", { class: "data", "aria-label": "Params" });
  const rest = h("div");
  replace(
    root,
    h("div", { class: "bar" }, search, runs.length > 1 ? h("label", {}, differing, " only those that differ") : null),
    table,
    rest,
  );

  const load = async () => {
    const answers = await Promise.all(runs.map((run) => api.get(`runs/${encodeURIComponent(run.id)}/params`, {}, { signal })));
    params = answers.map((answer) => answer.params);
    draw();
  };
  const draw = () => {
    const names = [...new Set(params.flatMap((own) => Object.keys(own)))].sort();
    const words = search.value.toLowerCase();
    const differ = (/** @type {string} */ name) => new Set(params.map((own) => JSON.stringify(own[name]))).size > 1;
    const shown = names.filter(
      (name) =>
        (!words || name.toLowerCase().includes(words) || params.some((own) => short(own[name]).toLowerCase().includes(words))) &&
        (runs.length < 2 || !differing.checked || differ(name)),
    );
    replace(
      table,
      runs.length > 1
        ? h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Param"), runs.map((run) => h("th", { scope: "col" }, h("span", { class: "swatch", style: { background: run.colour } }), run.name))))
        : null,
      h(
        "tbody",
        {},
        shown.map((name) =>
          h("tr", { data: { param: name } }, h("th", { scope: "row" }, name), params.map((own) => h("td", { class: "mono", title: full(own[name]) }, name in own ? short(own[name]) : "–"))),
        ),
      ),
    );
    table.hidden = !shown.length;
    replace(rest, shown.length ? null : nothing(names.length, words));
  };
  const nothing = (/** @type {number} */ count, /** @type {string} */ words) => {
    if (!count) return empty("No params were set.", "Set some: experiment.params.set(lr=1e-3, model={…}).");
    if (words) return empty("No param matches.");
    return empty("All params are equal.", "Untick “only those that differ” to see them.");
  };
  live.addEventListener("segments", (event) => "params" in /** @type {any} */ (event).detail.paths && load(), { signal });
  await load();
}

/** @param {any} value */
function full(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}
