// @ts-check
/** Styles that belong to a module: loaded when the module first is. */

/** @param {string} name a file beside this one */
export function style(name) {
  const href = new URL(name, import.meta.url).href;
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return;
  if (document.querySelector(`link[data-style="${name}"]`)) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  link.dataset.style = name;
  document.head.append(link);
}
