// @ts-check
/** What stands where data would: loading, nothing there, or an error, each with what to do next. */

import { ApiError } from "./api.js";
import { h } from "./dom.js";

/** @param {string} [what] */
export function loading(what = "Loading…") {
  return h("p", { class: "state", role: "status" }, h("span", { class: "spinner" }), what);
}

/** @param {string} text what is not there @param {string} [hint] how it gets there */
export function empty(text, hint = "") {
  return h("div", { class: "state" }, h("p", {}, text), hint ? h("p", { class: "dim" }, hint) : null);
}

/** @param {unknown} error @param {() => void} [again] tries it once more */
export function failure(error, again) {
  const [title, hint] = told(error);
  return h(
    "div",
    { class: "state bad", role: "alert" },
    h("p", {}, title),
    h("p", { class: "dim" }, hint),
    again ? h("button", { type: "button", on: { click: again } }, "Try again") : null,
  );
}

/** What to do where the server does not know who asks. @returns {[string, string]} */
function unknown() {
  const local = document.querySelector("meta[name=ml-dash-local]")?.getAttribute("content");
  if (!local) return ["You are not logged in.", "Load the page again to log in."];
  return ["These pages are closed.", "`ml-dash ui` was started anew: open the address that it printed."];
}

/** @param {unknown} error @returns {[string, string]} */
function told(error) {
  if (!(error instanceof ApiError)) return ["The page has a defect.", String(error)];
  if (error.status === 0) return [error.message, "The page goes on as soon as it is back."];
  if (error.status === 401) return unknown();
  if (error.status === 403) return ["You may not do that.", error.message];
  if (error.status === 404) return ["There is no such thing, or not for you.", error.message];
  if (error.status === 422) return [error.message, "Change what is asked for."];
  return [error.message, `Status ${error.status}.`];
}
