// @ts-check
/** One table: sorted by its head, chosen from by click or key, drawn in pages as they come. */

import { h, isFree, replace } from "./dom.js";

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {string} title
 * @property {boolean} [number] aligned right
 * @property {string} [sort] what the server sorts by; none: it cannot
 * @property {(row: any) => import("./dom.js").Child} show
 */

/**
 * @typedef {object} Options
 * @property {(row: any) => string} id
 * @property {(row: any) => string} name what a row is called
 * @property {(row: any) => string} href where a row leads
 * @property {(sort: string) => void} onSort
 * @property {(chosen: Set<string>) => void} onChoose
 * @property {(row: any) => string | null} [group] the title of the group that a row is in
 * @property {(row: any) => string} [tick] what of a row changes by itself, such as its age
 * @property {string} label for those who do not see the table
 */

export class Table {
  /** @param {Element} element @param {Options} options */
  constructor(element, options) {
    this.options = options;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {any[]} */
    this.rows = [];
    /** @type {Set<string>} */
    this.chosen = new Set();
    this.sort = "";
    this.drawn = "";
    /** Rows as they are drawn: what they show, and their elements. @type {Map<string, [string, HTMLElement]>} */
    this.held = new Map();
    this.anchor = -1;
    this.head = h("thead");
    this.body = h("tbody", { on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) } });
    this.table = h("table", { class: "data", "aria-label": options.label }, this.head, this.body);
    element.append(this.table);
  }

  /** Shows these columns. @param {Column[]} columns @param {string} sort */
  setColumns(columns, sort) {
    const wanted = JSON.stringify([sort, columns.map((column) => column.key)]);
    if (wanted === this.drawn) return;
    const focused = [...this.head.querySelectorAll("th")].findIndex((one) => one.contains(document.activeElement));
    this.drawn = wanted;
    this.columns = columns;
    this.sort = sort;
    this.held.clear();
    replace(this.head, h("tr", {}, h("th", {}, this.#all()), columns.map((column) => this.#title(column))));
    if (focused > 0) this.head.querySelectorAll("th")[focused]?.querySelector("button")?.focus();
    this.setRows(this.rows);
  }

  /** Shows these rows; those that stay keep their elements, and with them the focus. @param {any[]} rows */
  setRows(rows) {
    const active = document.activeElement;
    const focused = this.body.contains(active) ? active : null;
    this.rows = rows;
    const before = this.held;
    this.held = new Map();
    /** @type {Node[]} */
    const made = [];
    let group = null;
    for (const row of rows) {
      const title = this.options.group?.(row) ?? null;
      if (title !== null && title !== group) {
        group = title;
        made.push(h("tr", { class: "group" }, h("th", { colspan: this.columns.length + 1, scope: "rowgroup" }, h("span", {}, title))));
      }
      const id = this.options.id(row);
      const json = JSON.stringify(row) + (this.options.tick?.(row) ?? "");
      const held = before.get(id);
      const element = held?.[0] === json ? held[1] : this.#row(row);
      this.held.set(id, [json, element]);
      made.push(element);
    }
    const same = made.length === this.body.children.length && made.every((one, place) => one === this.body.children[place]);
    if (!same) this.body.replaceChildren(...made);
    if (focused && !same) {
      const id = focused.closest("tr")?.dataset.id ?? "";
      const again = this.body.contains(focused) ? focused : this.#element(id);
      /** @type {HTMLElement | undefined} */ (again)?.focus();
    }
    this.#reach();
    const there = new Set(rows.map(this.options.id));
    for (const id of [...this.chosen]) if (!there.has(id)) this.chosen.delete(id);
  }

  /** Has Tab lead to one row: the one that has the focus, else the one it led to before, else the first. */
  #reach() {
    const rows = [...this.body.children].filter((one) => one.dataset.id);
    const chosen = rows.find((row) => row === document.activeElement) ?? rows.find((row) => row.tabIndex === 0) ?? rows[0];
    for (const row of rows) if ((row.tabIndex === 0) !== (row === chosen)) row.tabIndex = row === chosen ? 0 : -1;
  }

  /** @param {Column} column */
  #title(column) {
    const own = column.sort ? this.sort.replace(/^-/, "") === column.sort : false;
    const down = own && this.sort.startsWith("-");
    const content = column.sort
      ? h(
          "button",
          {
            class: "plain",
            type: "button",
            on: { click: () => this.options.onSort(own && !down ? `-${column.sort}` : /** @type {string} */ (column.sort)) },
          },
          column.title,
          own ? (down ? " ▾" : " ▴") : "",
        )
      : column.title;
    return h(
      "th",
      { class: column.number ? "number" : null, scope: "col", "aria-sort": own ? (down ? "descending" : "ascending") : null },
      content,
    );
  }

  /** @param {any} row */
  #row(row) {
    const id = this.options.id(row);
    const chosen = this.chosen.has(id);
    const box = h("input", {
      type: "checkbox",
      checked: chosen,
      "aria-label": `choose ${this.options.name(row)}`,
      on: { click: (/** @type {MouseEvent} */ event) => this.#choose(this.#place(id), event.shiftKey, /** @type {any} */ (event.target).checked) },
    });
    return h(
      "tr",
      { tabindex: -1, "aria-selected": String(chosen), data: { id } },
      h("td", {}, box),
      this.columns.map((column, place) => {
        const content = column.show(row);
        return h(
          "td",
          { class: column.number ? "number" : null, title: typeof content === "string" && content.length > 24 ? content : null },
          place === 0 ? h("a", { href: this.options.href(row) }, content) : content,
        );
      }),
    );
  }

  /** Where a row is now. @param {string} id */
  #place(id) {
    return this.rows.findIndex((row) => this.options.id(row) === id);
  }

  #all() {
    return h("input", {
      type: "checkbox",
      "aria-label": "choose all that are shown",
      on: {
        click: (/** @type {MouseEvent} */ event) => {
          this.anchor = 0;
          this.#choose(this.rows.length - 1, true, /** @type {any} */ (event.target).checked);
        },
      },
    });
  }

  /** @param {number} index @param {boolean} range from the one that was chosen before @param {boolean} wanted */
  #choose(index, range, wanted) {
    const from = range && this.anchor >= 0 ? Math.min(this.anchor, index) : index;
    const to = range && this.anchor >= 0 ? Math.max(this.anchor, index) : index;
    for (const row of this.rows.slice(from, to + 1)) {
      const id = this.options.id(row);
      if (wanted) this.chosen.add(id);
      else this.chosen.delete(id);
      const element = this.#element(id);
      element?.setAttribute("aria-selected", String(wanted));
      const box = element?.querySelector("input");
      if (box) /** @type {any} */ (box).checked = wanted;
    }
    this.anchor = index;
    this.options.onChoose(this.chosen);
  }

  /** @param {string} id @returns {HTMLElement | undefined} */
  #element(id) {
    return [...this.body.children].find((row) => row.dataset.id === id);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("tr");
    if (!row || !isFree(event)) return;
    const rows = [...this.body.children].filter((one) => one.dataset.id);
    const index = rows.indexOf(row);
    const moves = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: rows.length - 1 };
    if (event.key in moves) {
      const next = rows[/** @type {any} */ (moves)[event.key]];
      if (next) {
        row.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else if (event.key === " ") this.#choose(index, event.shiftKey, !this.chosen.has(row.dataset.id ?? ""));
    else if (event.key === "Enter") row.querySelector("a")?.click();
    else return;
    event.preventDefault();
  }
}
