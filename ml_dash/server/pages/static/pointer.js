// @ts-check
/** What the mouse, a finger and the keys do on a chart: look, choose, zoom, move along. */

/**
 * @typedef {object} Gestures all places are CSS pixels within the element
 * @property {(at: {x: number, y: number} | null) => void} look the pointer is there, or gone
 * @property {(x: number, again: boolean) => void} pick by a click, `again` if it is the second of two
 * @property {(from: {x: number, y: number}, to: {x: number, y: number} | null) => void} drag while
 *   a box is drawn; null when it has been given up
 * @property {(from: {x: number, y: number}, to: {x: number, y: number}) => void} box
 * @property {(pixels: number) => void} pan
 * @property {(x: number, factor: number) => void} scale
 * @property {() => void} reset
 * @property {() => void} restore by a double click, the first of which has chosen a place
 * @property {(count: number) => void} walk along the points; infinite for the first or the last
 */

const STILL = 4; // pixels that a click may move

/** @param {HTMLElement} element @param {Gestures} does @param {AbortSignal} signal */
export function listen(element, does, signal) {
  /** @type {{x: number, y: number} | null} */
  let start = null;
  let pans = false;
  let moved = false;
  let last = 0;
  const place = (/** @type {MouseEvent} */ event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.x, y: event.clientY - box.y };
  };
  /** @param {string} name @param {(event: any) => void} listener */
  const on = (name, listener) => element.addEventListener(name, listener, { signal, passive: false });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = place(event);
    moved = event.shiftKey;
    pans = event.shiftKey;
    last = start.x;
    element.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    const at = place(event);
    does.look(at);
    if (!start) return;
    if (pans) {
      does.pan(at.x - last);
      last = at.x;
    } else if (Math.hypot(at.x - start.x, at.y - start.y) >= STILL) does.drag(start, at);
  });
  on("pointerup", (event) => {
    if (!start) return;
    const [from, at] = [start, place(event)];
    start = null;
    if (pans) return;
    does.drag(from, null);
    moved = Math.hypot(at.x - from.x, at.y - from.y) >= STILL;
    if (moved) does.box(from, at);
  });
  on("click", (event) => !moved && does.pick(place(event).x, event.detail > 1));
  const giveUp = () => {
    if (start) does.drag(start, null);
    start = null;
  };
  on("pointercancel", giveUp);
  on("pointerleave", () => !start && does.look(null));
  on("dblclick", () => does.restore());
  on("wheel", (event) => {
    const amount = event.deltaY || event.deltaX;
    if (event.ctrlKey || event.metaKey) does.scale(place(event).x, 1.0015 ** Math.max(-400, Math.min(400, amount)));
    else if (event.shiftKey) does.pan(-amount);
    else return; // the page scrolls
    event.preventDefault();
  });
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== element) return;
    const far = event.shiftKey ? 10 : 1;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => does.walk(-far),
      ArrowRight: () => does.walk(far),
      Home: () => does.walk(-Infinity),
      End: () => does.walk(Infinity),
      "+": () => does.scale(NaN, 1 / 1.5),
      "=": () => does.scale(NaN, 1 / 1.5),
      "-": () => does.scale(NaN, 1.5),
      0: () => does.reset(),
      Escape: () => (start ? giveUp() : does.reset()),
    };
    if (!(event.key in keys)) return;
    keys[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });
}
