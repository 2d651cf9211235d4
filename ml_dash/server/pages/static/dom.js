// @ts-check
/** Elements made without markup: what comes from data only ever becomes text. */

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

const SCHEMES = new Set(["http:", "https:", "mailto:", "blob:"]);

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Record<string, any>} [props] `class`, `on` (listeners by event), `style` (properties),
 *   `data` (data attributes); of the others, what is null or false is left out, `true` is an empty
 *   attribute, and all else is the attribute's text.
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  apply(made, props);
  append(made, children);
  return made;
}

/**
 * Makes an element of a drawing.
 *
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(tag, props = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  apply(made, props);
  append(made, children);
  return made;
}

/**
 * Puts other children into an element.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * A link's address, if it is one that may be followed; else none.
 *
 * @param {string} address
 */
export function safe(address) {
  try {
    return SCHEMES.has(new URL(address, document.baseURI).protocol) ? address : null;
  } catch {
    return null;
  }
}

/** Whether keys are the page's own: not while something is typed, chosen or held with a modifier.
 *
 * @param {KeyboardEvent} event
 */
export function isFree(event) {
  const target = /** @type {HTMLElement | null} */ (event.target);
  const typing = target?.closest?.("input:not([type=range]), textarea, select, [contenteditable]");
  return !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
}

/** @param {Element} element @param {Record<string, any>} props */
function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name === "style") Object.assign(/** @type {any} */ (element).style, value);
    else if (name === "data") Object.assign(/** @type {any} */ (element).dataset, value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else if (name === "href" && safe(String(value)) === null) continue;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Element} element @param {Child[]} children */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** Has a style of these pages loaded, once; done when it is there. @param {string} name @returns {Promise<void>} */
export async function style(name) {
  const href = new URL(name, import.meta.url).href;
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return;
  if (document.querySelector(`link[href="${CSS.escape(href)}"]`)) return;
  await new Promise((done) => {
    document.head.append(h("link", { rel: "stylesheet", href, on: { load: done, error: done } }));
  });
}
