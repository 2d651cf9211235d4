// @ts-check
/** The runs of the page: which colour each has, and which are shown. */

import { dash } from "./colours.js";
import { h, replace, svg } from "./dom.js";

/** @typedef {Record<string, any> & {id: string, colour: string}} Run */

export class Legend {
  /**
   * @param {Run[]} runs
   * @param {{onHover: (run: string | null) => void, onHide: (hidden: Set<string>) => void}} does
   * @param {Set<string>} hidden
   */
  constructor(runs, does, hidden) {
    this.runs = runs;
    this.does = does;
    this.hidden = hidden;
    this.element = h("aside", { class: "curve-legend", "aria-label": "Runs" });
    this.#draw();
  }

  /** Marks one of them. @param {string | null} run */
  mark(run) {
    for (const row of this.element.children) row.classList.toggle("near", row.dataset.run === run);
  }

  #draw() {
    replace(this.element, this.runs.map((run, nth) => this.#row(run, nth)));
  }

  /** @param {Run} run @param {number} nth */
  #row(run, nth) {
    const shown = !this.hidden.has(run.id);
    const over = () => this.does.onHover(shown ? run.id : null);
    const out = () => this.does.onHover(null);
    return h(
      "button",
      {
        class: "plain",
        type: "button",
        title: `${run.prefix ?? run.name}\nclick to hide or show, with Alt to show it alone`,
        "aria-pressed": String(shown),
        data: { run: run.id },
        on: {
          pointerenter: over,
          pointerleave: out,
          focus: over,
          blur: out,
          click: (/** @type {MouseEvent} */ event) => this.#toggle(run.id, event.altKey),
        },
      },
      sample(run.colour, dash(nth)),
      h("span", { class: "name" }, run.label),
    );
  }

  /** @param {string} id @param {boolean} alone */
  #toggle(id, alone) {
    const others = this.runs.filter((run) => run.id !== id).map((run) => run.id);
    if (alone) this.hidden = new Set(others.every((other) => this.hidden.has(other)) ? [] : others);
    else if (!this.hidden.delete(id)) this.hidden.add(id);
    this.does.onHover(null);
    this.#draw();
    /** @type {HTMLElement | null} */ (this.element.querySelector(`[data-run="${CSS.escape(id)}"]`))?.focus();
    this.does.onHide(this.hidden);
  }
}

/** A piece of a line. @param {string} css its colour @param {number[]} dashes */
export function sample(css, dashes) {
  const line = svg("line", { x1: 0, x2: 18, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": dashes.join(" ") || null });
  line.style.stroke = css;
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, line);
}
