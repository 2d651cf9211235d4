// @ts-check
/** Colours that people with any kind of sight tell apart, on dark and on light ground. */

const COLOURS = 8;

/** The colour of the n-th run or curve, as a CSS value. @param {number} place */
export function colour(place) {
  return `var(--c${place % COLOURS})`;
}

/** Beyond the colours there are, lines are dashed. @param {number} place @returns {number[]} */
export function dash(place) {
  const patterns = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
  return patterns[Math.floor(place / COLOURS) % patterns.length];
}

/** A CSS colour as it is now, for a canvas. @param {Element} element @param {string} css */
export function resolve(element, css) {
  const name = /^var\((--[\w-]+)\)$/.exec(css)?.[1];
  return name ? getComputedStyle(element).getPropertyValue(name).trim() : css;
}
