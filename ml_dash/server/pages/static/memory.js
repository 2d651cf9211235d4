// @ts-check
/** What this browser keeps of its user's choices. It may keep nothing: all works without. */

const PREFIX = "ml-dash:";

/**
 * @template T
 * @param {string} key @param {T} fallback
 * @returns {T}
 */
export function load(key, fallback) {
  try {
    const text = localStorage.getItem(PREFIX + key);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback; // no storage, or something else wrote into it
  }
}

/** @param {string} key @param {any} wanted */
export function save(key, wanted) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(wanted));
  } catch {
    // full, or switched off
  }
}
