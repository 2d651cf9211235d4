// @ts-check
/** What is on the page as files: a chart as a picture, and anything as a download. */

import { paint } from "./draw.js";
import { h } from "./dom.js";

const ROW = 18;
const SCALE = 2; // pixels of the picture to one of the screen

/**
 * A chart on its ground, with title and legend.
 *
 * @param {Element} element of the chart
 * @param {string} title
 * @param {{label: string, colour: string}[]} lines
 * @param {import("./draw.js").Picture} picture
 * @returns {Promise<Blob>}
 */
export function snapshot(element, title, lines, picture) {
  const css = getComputedStyle(element);
  const canvas = document.createElement("canvas");
  const to = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  to.font = picture.theme.font;
  const places = lay(to, lines, picture.width);
  const top = title ? 26 : 8;
  const height = top + picture.height + (places.at(-1)?.y ?? -ROW) + ROW + 8;
  canvas.width = Math.round(picture.width * SCALE);
  canvas.height = Math.round(height * SCALE);
  to.scale(SCALE, SCALE);
  const plot = document.createElement("canvas"); // `paint` clears what it paints on
  plot.width = canvas.width;
  plot.height = Math.round(picture.height * SCALE);
  const inner = /** @type {CanvasRenderingContext2D} */ (plot.getContext("2d"));
  inner.scale(SCALE, SCALE);
  paint(inner, picture);
  to.fillStyle = css.getPropertyValue("--panel").trim() || "#fff";
  to.fillRect(0, 0, picture.width, height);
  to.drawImage(plot, 0, top, picture.width, picture.height);
  to.fillStyle = picture.theme.text;
  to.textBaseline = "middle";
  to.font = `600 13px ${css.fontFamily}`;
  to.fillText(title, 10, 15);
  to.font = picture.theme.font;
  for (const [n, { x, y }] of places.entries()) {
    const middle = top + picture.height + y + ROW / 2;
    to.fillStyle = lines[n].colour;
    to.fillRect(x, middle - 4, 9, 9);
    to.fillStyle = picture.theme.text;
    to.fillText(lines[n].label, x + 14, middle);
  }
  return new Promise((done, fail) =>
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("the picture is too large"))), "image/png"),
  );
}

/** @param {CanvasRenderingContext2D} to @param {{label: string}[]} lines @param {number} width */
function lay(to, lines, width) {
  let [x, y] = [10, 0];
  return lines.map(({ label }) => {
    const own = to.measureText(label).width + 30;
    if (x > 10 && x + own > width) [x, y] = [10, y + ROW];
    const at = { x, y };
    x += own;
    return at;
  });
}

/** Gives a file to the browser. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name that any file system takes. @param {string} text */
export function fileName(text) {
  return text.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|-+$/g, "").slice(0, 100) || "chart";
}
