// @ts-check
/** The URL's query as the state of the page, so that a link opens the very same picture. */

/** @typedef {Record<string, string | number | string[] | null>} Changes */

const target = new EventTarget();
let timer = 0;
/** @type {Changes} */
let pending = {};

/** What the URL says now. */
export function read() {
  return new URLSearchParams(location.search);
}

/** One value of it, as text. @param {string} name @param {string} [fallback] */
export function value(name, fallback = "") {
  return read().get(name) ?? fallback;
}

/** One value of it, as a number, or null. @param {string} name */
export function number(name) {
  const text = read().get(name);
  const found = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(found) ? found : null;
}

/**
 * Changes the URL; what is null or empty goes away.
 *
 * @param {Changes} changes
 * @param {{push?: boolean}} [options] whether "back" leads to where it was
 */
export function set(changes, { push = false } = {}) {
  const params = read();
  for (const [name, wanted] of Object.entries(changes)) {
    params.delete(name);
    for (const item of Array.isArray(wanted) ? wanted : [wanted]) {
      if (item !== null && item !== "") params.append(name, String(item));
    }
  }
  const query = params.toString();
  const url = `${location.pathname}${query ? `?${query}` : ""}`;
  if (url === `${location.pathname}${location.search}`) return;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  target.dispatchEvent(new CustomEvent("change", { detail: Object.keys(changes) }));
}

/**
 * The same a moment later, and once for many calls: browsers refuse a URL that changes at each frame.
 *
 * @param {Changes} changes
 */
export function settle(changes) {
  clearTimeout(timer);
  Object.assign(pending, changes);
  timer = window.setTimeout(() => {
    const all = pending;
    pending = {};
    set(all);
  }, 250);
}

/**
 * Calls `listener` when the URL has changed, by `set` or by the browser's buttons.
 *
 * @param {(names: string[] | null) => void} listener given the names that changed, null for any
 * @param {AbortSignal} signal
 */
export function on(listener, signal) {
  target.addEventListener("change", (event) => listener(/** @type {any} */ (event).detail), { signal });
  window.addEventListener("popstate", () => listener(null), { signal });
}
