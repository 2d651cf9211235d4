// @ts-check
/** Text with the codes by which programs colour a terminal: as coloured spans, never as markup. */

import { h } from "./dom.js";

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
/** A style; another control sequence; a title or a link; any other of two bytes. */
// eslint-disable-next-line no-control-regex
const CODES = /\x1b\[([\d;:]*)m|\x1b\[[\d;:?<=>!]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?/g;

/** @typedef {{colour: string, bold: boolean, faint: boolean}} Look */

/** The text without codes. @param {string} text */
export function plain(text) {
  return text.includes("\x1b") ? text.replace(CODES, "") : text;
}

/**
 * The text in pieces, each as it is to look.
 *
 * @param {string} text
 * @returns {(string | HTMLElement)[]}
 */
export function styled(text) {
  if (!text.includes("\x1b")) return [text];
  /** @type {(string | HTMLElement)[]} */
  const found = [];
  /** @type {Look} */
  let look = { colour: "", bold: false, faint: false };
  let from = 0;
  const take = (/** @type {number} */ to) => {
    if (to > from) found.push(piece(text.slice(from, to), look));
  };
  for (const match of text.matchAll(CODES)) {
    take(match.index);
    from = match.index + match[0].length;
    if (match[1] !== undefined) look = change(look, match[1]);
  }
  take(text.length);
  return found;
}

/** @param {string} text @param {Look} look */
function piece(text, { colour, bold, faint }) {
  const names = [colour && `ansi-${colour}`, bold && "ansi-bold", faint && "ansi-faint"].filter(Boolean);
  return names.length ? h("span", { class: names.join(" ") }, text) : text;
}

/** @param {Look} look @param {string} codes @returns {Look} */
function change(look, codes) {
  const numbers = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < numbers.length; i += 1) {
    const code = numbers[i];
    if (code === 0) look = { colour: "", bold: false, faint: false };
    else if (code === 1) look = { ...look, bold: true };
    else if (code === 2) look = { ...look, faint: true };
    else if (code === 22) look = { ...look, bold: false, faint: false };
    else if (code === 39) look = { ...look, colour: "" };
    else if (code >= 30 && code < 38) look = { ...look, colour: NAMES[code - 30] };
    else if (code >= 90 && code < 98) look = { ...look, colour: NAMES[code - 90] };
    else if (code === 38 || code === 48) {
      // One of 256 colours, or any: of the first sixteen we have ours, the others are left out
      const few = numbers[i + 1] === 5;
      if (code === 38) look = { ...look, colour: few && numbers[i + 2] < 16 ? NAMES[numbers[i + 2] % 8] : "" };
      i += few ? 2 : 4;
    }
  }
  return look;
}
