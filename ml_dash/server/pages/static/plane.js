// @ts-check
/** The plane that a chart is drawn on: its size, its scales, and where a value is on the screen. */

import { mapper, valueAt } from "./scales.js";

/** @typedef {import("./scales.js").Scale} Scale */

const LEFT = 54; // at least: labels may need more
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 22;

export class Plane {
  constructor() {
    this.width = 0;
    this.height = 0;
    this.left = LEFT;
    /** @type {Scale} */
    this.x = { low: 0, high: 1 };
    /** @type {Scale} */
    this.y = { low: 0, high: 1 };
  }

  /** Makes room at the left for labels. @param {number} pixels that the widest one takes */
  fit(pixels) {
    this.left = Math.max(LEFT, Math.min(Math.ceil(pixels) + 10, this.width / 2));
  }

  /** Whether there is room to draw. */
  get drawable() {
    return this.width > LEFT + RIGHT && this.height > TOP + BOTTOM;
  }

  /** The plot within the picture, in CSS pixels. @returns {import("./draw.js").Box} */
  get box() {
    return { left: this.left, top: TOP, width: this.width - this.left - RIGHT, height: this.height - TOP - BOTTOM };
  }

  /** @param {number} x */
  toX(x) {
    return mapper(this.x, this.left, this.width - RIGHT)(x);
  }

  /** @param {number} y */
  toY(y) {
    return mapper(this.y, this.height - BOTTOM, TOP)(y);
  }

  /** @param {number} pixels */
  fromX(pixels) {
    return valueAt(this.x, within((pixels - this.left) / (this.width - this.left - RIGHT)));
  }

  /** @param {number} pixels */
  fromY(pixels) {
    return valueAt(this.y, within(1 - (pixels - TOP) / (this.height - TOP - BOTTOM)));
  }

  /** What a move over the screen is on the x axis. @param {number} pixels */
  distance(pixels) {
    return (this.x.high - this.x.low) * (pixels / (this.width - this.left - RIGHT));
  }
}

/** @param {number} part */
function within(part) {
  return Math.min(Math.max(part, 0), 1);
}
