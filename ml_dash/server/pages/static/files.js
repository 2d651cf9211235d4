// @ts-check
/** The files of a run: their tree, and the one that is chosen: a picture, text, JSON, video, or a download. */

import * as api from "./api.js";
import { h, replace, style } from "./dom.js";
import { bytes, count } from "./format.js";
import * as place from "./place.js";
import { empty, failure, loading } from "./states.js";

const PAGE = 1000;
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
    /** @type {any[]} */
    this.files = [];
    this.next = "";
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
    this.element = h("section", { class: "files" }, h("div", { class: "bar" }, this.search, this.said), h("div", { class: "halves" }, this.tree, this.shown));
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
    if (!this.files.length) replace(this.tree, loading());
    this.files = [];
    this.next = "";
    await this.#more();
    const path = place.value("file");
    if (!path || (this.shown.childElementCount && !this.hint.isConnected)) return;
    const wanted = this.files.find((file) => file.path === path) ?? (await this.#find(path));
    if (wanted) await this.#show(wanted);
    else if (!this.context.signal.aborted) replace(this.shown, empty(`There is no file ${path}.`, "Choose one on the left."));
  }

  /** A file that is not among those that are listed. @param {string} path */
  async #find(path) {
    const found = await api.get(this.base, { prefix: path, limit: 1 }, { signal: this.context.signal }).catch(() => ({ files: [] }));
    return found.files.find((/** @type {any} */ file) => file.path === path) ?? null;
  }

  async #more() {
    const words = this.search.value.trim();
    const pattern = words && !/[*?[]/.test(words) ? `*${words}*` : words;
    try {
      const answer = await api.get(this.base, { pattern, cursor: this.next, limit: PAGE }, { signal: this.context.signal });
      this.files.push(...answer.files);
      this.next = answer.next ?? "";
      this.#draw();
      if (!this.files.length && !words) this.hint.remove();
      else if (!this.shown.childElementCount) replace(this.shown, this.hint);
    } catch (error) {
      if (!this.context.signal.aborted) replace(this.tree, failure(error, () => this.reload()));
    }
  }

  #draw() {
    this.said.textContent = this.files.length ? `${count(this.files.length)}${this.next ? "+" : ""} ${this.files.length === 1 ? "file" : "files"}` : "";
    if (!this.files.length) {
      replace(this.tree, this.search.value ? empty("No file matches.") : empty("No files were saved.", "Save one: experiment.files(\"results\").save_text(…, to=\"a.txt\")."));
      return;
    }
    replace(
      this.tree,
      this.#folder(grow(this.files), ""),
      this.next ? h("button", { type: "button", on: { click: () => this.#more() } }, "Show more") : null,
    );
  }

  /** @param {Tree} tree @param {string} above @returns {Node[]} */
  #folder(tree, above) {
    const folders = [...tree.folders].map(([name, inner]) => {
      const path = above ? `${above}/${name}` : name;
      const inside = h("div", { role: "group" });
      const opened = tree.folders.size + tree.files.length === 1 || inner.count <= 20 || place.value("file").startsWith(`${path}/`);
      const details = h("details", { open: opened }, h("summary", { role: "treeitem" }, name, h("span", { class: "dim" }, ` ${count(inner.count)}${this.#isCut(path) ? "+" : ""}`)), inside);
      const fill = () => details.open && !inside.childElementCount && replace(inside, this.#folder(inner, path));
      details.addEventListener("toggle", fill);
      fill();
      return details;
    });
    return [...folders, ...tree.files.map((file) => this.#item(file))];
  }

  /** Whether more of a folder may follow: files come in the order of their paths. @param {string} path */
  #isCut(path) {
    return Boolean(this.next) && this.files.at(-1).path.startsWith(`${path}/`);
  }

  /** @param {any} file */
  #item(file) {
    const name = file.path.split("/").at(-1);
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
    const { signal } = this.context;
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

/** @typedef {{folders: Map<string, Tree>, files: any[], count: number}} Tree */

/** @param {any[]} files @returns {Tree} */
function grow(files) {
  /** @type {Tree} */
  const root = { folders: new Map(), files: [], count: 0 };
  for (const file of files) {
    let here = root;
    for (const part of file.path.split("/").slice(0, -1)) {
      here.count += 1;
      let next = here.folders.get(part);
      if (!next) here.folders.set(part, (next = { folders: new Map(), files: [], count: 0 }));
      here = next;
    }
    here.count += 1;
    here.files.push(file);
  }
  return root;
}
