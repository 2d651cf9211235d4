// @ts-check
/** The files of a run: their tree, and the one that is chosen: a picture, text, JSON, video, or a download. */

import * as api from "./api.js";
import { h, replace, style } from "./dom.js";
import { bytes, count } from "./format.js";
import * as place from "./place.js";
import { empty, failure, loading } from "./states.js";

const PAGE = 1000;
const FEW = 20; // files of a folder that is open at first
const TEXT = 512 << 10;
const PICTURES = /\.(png|jpe?g|gif|webp|bmp)$/i;
const TEXTS = /\.(txt|md|json|jsonl|csv|tsv|ya?ml|toml|xml|log|py|html|svg|ini|cfg|sh)$/i;
const VIDEOS = /\.(mp4|webm)$/i;

const notShown = () => empty("This kind of file is not shown here.", "Download it to look at it.");

/** @param {HTMLElement} root @param {import("./view.js").Context} context */
export async function show(root, context) {
  await style("files.css");
  const pages = context.runs.map((run) => new Files(run, context));
  replace(root, h("div", { class: "files-side" }, pages.map((page) => page.element)));
  await Promise.all(pages.map((page) => page.reload()));
}

class Files {
  /** @param {any} run @param {import("./view.js").Context} context */
  constructor(run, context) {
    this.run = run;
    this.context = context;
    this.asked = 0;
    /** Ends what the file that is shown has asked for and holds. */
    this.ending = new AbortController();
    /** Folders that were opened or closed by hand. @type {Map<string, boolean>} */
    this.opened = new Map();
    this.search = h("input", {
      type: "search",
      placeholder: "Find by pattern, such as *.png",
      "aria-label": "Find files",
      on: { input: () => this.#later() },
    });
    this.said = h("span", { class: "dim", role: "status" });
    this.tree = h("div", { class: "tree", role: "tree", "aria-label": `Files of ${run.name}` });
    this.shown = h("div", { class: "shown" });
    this.hint = h("div", {}, empty("Choose a file to see it.", "Pictures, videos, text and JSON are shown here; everything can be downloaded."));
    const title = context.runs.length > 1 ? h("b", {}, h("span", { class: "swatch", style: { background: run.colour } }), run.label) : null;
    this.element = h("section", { class: "files" }, h("div", { class: "bar" }, title, this.search, this.said), h("div", { class: "halves" }, this.tree, this.shown));
    context.live.addEventListener(
      "segments",
      (event) => {
        const { run: other, paths } = /** @type {any} */ (event).detail;
        if (other.id === run.id && "files/index" in paths) this.#later(2000);
      },
      { signal: context.signal },
    );
  }

  get base() {
    return `runs/${encodeURIComponent(this.run.id)}/files`;
  }

  async reload() {
    if (!this.tree.childElementCount) replace(this.tree, loading());
    const asked = ++this.asked;
    try {
      const words = this.search.value.trim();
      const nodes = await (words ? this.#found(words, "") : this.#inside("", true));
      if (asked !== this.asked || this.context.signal.aborted) return;
      replace(this.tree, nodes.length ? nodes : nothing(Boolean(words)));
      if (!nodes.length && !words) this.hint.remove();
      else if (!this.shown.childElementCount) replace(this.shown, this.hint);
    } catch (error) {
      if (asked === this.asked && !this.context.signal.aborted) replace(this.tree, failure(error, () => this.reload()));
      return;
    }
    const path = place.value("file");
    if (!path || (this.shown.childElementCount && !this.hint.isConnected)) return;
    const wanted = await this.#find(path);
    if (wanted) await this.#show(wanted);
    else if (!this.context.signal.aborted) replace(this.shown, empty(`There is no file ${path}.`, "Choose one on the left."));
  }

  /** A file by its path. @param {string} path */
  async #find(path) {
    const found = await api.get(this.base, { prefix: path, limit: 1 }, { signal: this.context.signal }).catch(() => ({ files: [] }));
    return found.files.find((/** @type {any} */ file) => file.path === path) ?? null;
  }

  /**
   * What is in a folder, and in those below it that are open.
   *
   * @param {string} path @param {boolean} [top] @returns {Promise<Node[]>}
   */
  async #inside(path, top = false) {
    const answer = await this.#ask(path, "");
    const { folders, files, next } = answer;
    const all = files.length + folders.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.files, 0);
    if (top) this.said.textContent = all ? `${count(all)}${next ? "+" : ""} ${all === 1 ? "file" : "files"}` : "";
    const alone = folders.length + files.length === 1;
    const drawn = await Promise.all(folders.map((/** @type {any} */ folder) => this.#folder(path, folder, alone)));
    return [...drawn, ...files.map((/** @type {any} */ file) => this.#item(file)), ...this.#rest(next, (cursor) => this.#ask(path, cursor))];
  }

  /** @param {string} path @param {string} cursor */
  #ask(path, cursor) {
    const { signal } = this.context;
    return api.get(`runs/${encodeURIComponent(this.run.id)}/folders`, { path, cursor, limit: PAGE }, { signal });
  }

  /** @param {string} above @param {{name: string, files: number, size: number}} folder @param {boolean} alone there is nothing beside it */
  async #folder(above, { name, files, size }, alone) {
    const path = above ? `${above}/${name}` : name;
    const known = this.opened.get(path);
    const open = known ?? (alone || files <= FEW || place.value("file").startsWith(`${path}/`));
    const inside = h("div", { role: "group" });
    const details = h(
      "details",
      { open },
      h("summary", { role: "treeitem", title: `${path}, ${bytes(size)}` }, name, h("span", { class: "dim" }, ` ${count(files)}`)),
      inside,
    );
    if (open) replace(inside, await this.#inside(path));
    details.addEventListener("toggle", async () => {
      this.opened.set(path, details.open);
      if (!details.open || inside.childElementCount) return;
      replace(inside, loading());
      const nodes = await this.#inside(path).catch((error) => [failure(error, () => this.reload())]);
      replace(inside, nodes);
    });
    return details;
  }

  /**
   * A button for what follows.
   *
   * @param {string | null} next @param {(cursor: string) => Promise<any>} ask @returns {Node[]}
   */
  #rest(next, ask) {
    if (!next) return [];
    /** @type {HTMLButtonElement} */
    const button = h("button", { type: "button", on: { click: () => go() } }, "Show more");
    const go = async () => {
      button.disabled = true;
      const answer = await ask(next).catch((error) => (this.context.signal.aborted ? null : failure(error, () => this.reload())));
      if (!answer) return;
      if (answer instanceof Node) button.replaceWith(answer);
      else button.replaceWith(...answer.files.map((/** @type {any} */ file) => this.#item(file)), ...this.#rest(answer.next, ask));
    };
    return [button];
  }

  /** The files that a search finds, with their folders. @param {string} words @param {string} cursor @returns {Promise<Node[]>} */
  async #found(words, cursor) {
    const pattern = /[*?[]/.test(words) ? words : `*${words}*`;
    const ask = (/** @type {string} */ from) => api.get(this.base, { pattern, cursor: from, limit: PAGE }, { signal: this.context.signal });
    const { files, next } = await ask(cursor);
    this.said.textContent = files.length ? `${count(files.length)}${next ? "+" : ""} ${files.length === 1 ? "file" : "files"}` : "";
    return [...files.map((/** @type {any} */ file) => this.#item(file, true)), ...this.#rest(next, ask)];
  }

  /** @param {any} file @param {boolean} [whole] with its folders */
  #item(file, whole = false) {
    const name = whole ? file.path : file.path.split("/").at(-1);
    return h(
      "button",
      { class: "plain item", type: "button", role: "treeitem", title: file.path, data: { path: file.path }, on: { click: () => this.#show(file) } },
      h("span", { class: "name" }, name),
      h("span", { class: "dim" }, file.stored === false ? "on its way" : bytes(file.size ?? 0)),
    );
  }

  /** @param {any} file */
  async #show(file) {
    place.set({ file: file.path });
    const url = api.address(`${this.base}/${api.encodePath(file.path)}`);
    const name = file.path.split("/").at(-1);
    this.ending.abort();
    this.ending = new AbortController();
    const signal = AbortSignal.any([this.context.signal, this.ending.signal]);
    const content = h("div", { class: "content" }, loading());
    replace(
      this.shown,
      h("div", { class: "bar" }, h("b", { class: "mono" }, file.path), h("span", { class: "dim" }, bytes(file.size ?? 0)), typeof file.step === "number" ? h("span", { class: "dim" }, `step ${file.step}`) : null, h("span", { class: "gap" }), h("a", { href: url, download: name }, "Download")),
      content,
    );
    try {
      if (file.stored === false) replace(content, empty("This file has not arrived yet.", "It is sent after the rows; look again in a moment."));
      else if (PICTURES.test(name)) replace(content, await this.#picture(file, name, signal));
      else if (VIDEOS.test(name)) replace(content, await this.#video(url, signal));
      else if (TEXTS.test(name) || (!name.includes(".") && file.size <= TEXT)) replace(content, await this.#text(file, name, signal));
      else replace(content, notShown());
    } catch (error) {
      if (!signal.aborted) replace(content, failure(error, () => this.#show(file)));
    }
  }

  /** @param {any} file @param {string} name @param {AbortSignal} signal */
  async #picture(file, name, signal) {
    const data = await api.bytes(`${this.base}/${api.encodePath(file.path)}`, {}, { signal });
    const source = URL.createObjectURL(new Blob([data]));
    signal.addEventListener("abort", () => URL.revokeObjectURL(source));
    const picture = h("img", { src: source, alt: name });
    const broken = () => picture.replaceWith(empty("This picture cannot be shown.", "It is damaged, or no picture; download it to look at it."));
    picture.addEventListener("error", broken, { once: true });
    return picture;
  }

  /** @param {string} url @param {AbortSignal} signal */
  async #video(url, signal) {
    const answer = await fetch(url, { signal, credentials: "same-origin" });
    const source = URL.createObjectURL(new Blob([await answer.arrayBuffer()], { type: "video/mp4" }));
    signal.addEventListener("abort", () => URL.revokeObjectURL(source));
    return h("video", { src: source, controls: true });
  }

  /** @param {any} file @param {string} name @param {AbortSignal} signal */
  async #text(file, name, signal) {
    const data = await api.bytes(`${this.base}/${api.encodePath(file.path)}`, {}, { signal });
    if (!data.byteLength) return empty("This file is empty.");
    const cut = data.byteLength > TEXT;
    if (!TEXTS.test(name) && new Uint8Array(data, 0, Math.min(data.byteLength, TEXT)).includes(0)) return notShown();
    let text = new TextDecoder().decode(cut ? data.slice(0, TEXT) : data);
    if (/\.json$/i.test(name) && !cut) {
      try {
        text = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        // shown as it is
      }
    }
    return [h("pre", { class: "mono" }, text), cut ? h("p", { class: "dim" }, `The first ${bytes(TEXT)}; download it for the rest.`) : null];
  }

  #later(pause = 300) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.reload(), pause);
  }
}

/** @param {boolean} sought */
function nothing(sought) {
  if (sought) return empty("No file matches.");
  return empty("No files were saved.", "Save one: experiment.files(\"results\").save_text(…, to=\"a.txt\").");
}
