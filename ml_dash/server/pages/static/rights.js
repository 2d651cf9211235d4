// @ts-check
/** What may be done to runs: as the session allows, and the user's role in their namespace. */

import * as api from "./api.js";

const ROLES = ["reader", "writer", "owner"];

export class Rights {
  /** @param {() => void} onKnown */
  constructor(onKnown) {
    const said = (/** @type {string} */ name) => document.querySelector(`meta[name=ml-dash-${name}]`)?.getAttribute("content");
    this.write = Boolean(said("may-write"));
    this.local = Boolean(said("local"));
    /** The user's role by namespace. @type {Map<string, string>} */
    this.roles = new Map();
    if (this.write && !this.local) this.#ask(onKnown);
  }

  /** @param {any[]} runs @param {string} role that it takes */
  may(runs, role) {
    if (!this.write) return false;
    return this.local || runs.every(({ namespace }) => ROLES.indexOf(this.roles.get(namespace) ?? "") >= ROLES.indexOf(role));
  }

  /** @param {() => void} onKnown */
  async #ask(onKnown) {
    try {
      const { namespaces } = await api.get("namespaces");
      this.roles = new Map(namespaces.map((/** @type {any} */ { name, role }) => [name, role]));
      onKnown();
    } catch {
      // without it nothing is offered that may be refused
    }
  }
}
