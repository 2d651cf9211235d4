// @ts-check
/** The bar above the curves: search, the axis, and how lines are drawn. */

import { h, replace } from "./dom.js";
import * as place from "./place.js";

/** @typedef {import("./card.js").Look} Look @typedef {import("./series.js").Range} Range */

const AXES = { step: "Step", relative: "Time since start", time: "Clock" };

/**
 * @param {Look} look
 * @param {object} does
 * @param {boolean} does.compact
 * @param {(changes: Partial<Look>) => void} does.onLook
 * @param {() => void} does.onSearch
 * @param {() => void} does.onReset
 * @param {(() => HTMLElement[]) | null} does.choose what is offered to choose from
 * @returns {{element: HTMLElement, onRange: (range: Range | null) => void, onAxis: (axis: Look["axis"]) => void}}
 */
export function toolbar(look, does) {
  const reset = h("button", { type: "button", hidden: !look.range, title: "Show all (double click)", on: { click: does.onReset } }, "Reset zoom");
  const chooseAxis = axis(look, does.onLook);
  const element = h(
    "div",
    { class: "bar curve-bar" },
    does.compact ? menu(does.choose) : searchField(does.onSearch),
    chooseAxis,
    smoothing(look, does.onLook),
    toggle("Log", "Logarithmic y axis", look.log, (log) => does.onLook({ log })),
    toggle("Min–max", "Least and greatest value behind the line", look.envelope, (envelope) => does.onLook({ envelope })),
    reset,
  );
  /** @param {Look["axis"]} wanted */
  const onAxis = (wanted) => {
    chooseAxis.querySelector("select").value = wanted;
    does.onLook({ axis: wanted });
  };
  return { element, onRange: (range) => (reset.hidden = !range), onAxis };
}

/** @param {() => void} onSearch */
function searchField(onSearch) {
  let timer = 0;
  return h("input", {
    type: "search",
    placeholder: "Search curves",
    "aria-label": "Search curves",
    value: place.value("find"),
    on: {
      input: (/** @type {Event} */ event) => {
        const { value } = /** @type {HTMLInputElement} */ (event.target);
        clearTimeout(timer);
        timer = window.setTimeout(() => {
          place.set({ find: value });
          onSearch();
        }, 150);
      },
    },
  });
}

/** @param {Look} look @param {(changes: Partial<Look>) => void} onLook */
function axis(look, onLook) {
  return h(
    "label",
    {},
    h("span", { class: "dim" }, "x "),
    h(
      "select",
      {
        "aria-label": "x axis",
        on: { change: (/** @type {any} */ event) => onLook({ axis: event.target.value }) },
      },
      Object.entries(AXES).map(([value, name]) => h("option", { value, selected: value === look.axis }, name)),
    ),
  );
}

/** @param {Look} look @param {(changes: Partial<Look>) => void} onLook */
function smoothing(look, onLook) {
  const told = h("output", { class: "number" }, look.smooth.toFixed(2));
  return h(
    "label",
    { class: "smoothing", title: "Moving average, with the line itself behind it" },
    h("span", { class: "dim" }, "Smooth "),
    h("input", {
      ...{ type: "range", min: 0, max: 0.99, step: 0.01, value: look.smooth, "aria-label": "Smoothing" },
      on: {
        input: (/** @type {any} */ event) => {
          const smooth = Number(event.target.value);
          told.textContent = smooth.toFixed(2);
          onLook({ smooth });
        },
      },
    }),
    told,
  );
}

/** @param {string} name @param {string} title @param {boolean} pressed @param {(on: boolean) => void} change */
function toggle(name, title, pressed, change) {
  const button = h("button", { type: "button", title, "aria-pressed": String(pressed), on: { click } }, name);
  function click() {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    change(on);
  }
  return button;
}

/** @param {(() => HTMLElement[]) | null} choose */
function menu(choose) {
  const list = h("div", {});
  return h(
    "details",
    { class: "menu curve-menu", on: { toggle: () => choose && replace(list, choose()) } },
    h("summary", {}, "Curves"),
    list,
  );
}
