// @ts-check
/** What a run is: who, what, when, where, its code, its description and its README. */

import * as api from "./api.js";
import { h, replace, style } from "./dom.js";
import { ago, bytes, count, duration, lasted, moment, short } from "./format.js";

/** @param {HTMLElement} root @param {import("./view.js").Context} context */
export async function show(root, context) {
  await style("overview.css");
  const { runs, live, signal } = context;
  const draw = () => replace(root, h("div", { class: "cards" }, runs.map((run) => card(run, signal))));
  live.addEventListener("run", draw, { signal });
  draw();
}

/** @param {any} run @param {AbortSignal} signal */
function card(run, signal) {
  const readme = h("div");
  const environment = h("div");
  loadReadme(run, readme, signal);
  loadEnvironment(run, environment, signal);
  const running = run.status === "RUNNING";
  return h(
    "article",
    { class: "card run-card", data: { run: run.id } },
    h("h2", {}, h("span", { class: "swatch", style: { background: run.colour } }), run.prefix),
    run.description ? h("p", {}, run.description) : null,
    facts([
      ["Status", h("span", { class: `status ${run.status.toLowerCase()}` }, run.status.toLowerCase())],
      ["Started", run.started === null ? "" : `${moment(run.started)} (${ago(run.started)})`],
      ["Lasted", duration(lasted(run))],
      ["Heard of", running ? ago(run.heartbeat ?? run.updated) : ""],
      ["Host", run.host ?? ""],
      ["Commit", commit(run.git)],
      ["Tags", run.tags.map((/** @type {string} */ tag) => h("span", { class: "tag" }, tag))],
      ["Rows", run.rows ? `${count(run.rows)}, ${bytes(run.size)}` : ""],
      ["Files", run.files ? count(run.files) : ""],
      ["Run id", h("span", { class: "mono" }, run.client_id || run.id)],
      ...Object.entries(run.metadata ?? {}).map(([name, value]) => /** @type {[string, any]} */ ([name, short(value)])),
    ]),
    run.error ? [h("h3", {}, "Error"), h("pre", { class: "error mono" }, run.error)] : null,
    Object.keys(run.metrics ?? {}).length
      ? [h("h3", {}, "Last values"), facts(Object.entries(run.metrics).map(([name, value]) => [name, short(value)]))]
      : null,
    environment,
    readme,
  );
}

/** @param {[string, any][]} pairs */
function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== "" && value !== null && (!Array.isArray(value) || value.length));
  return h("dl", { class: "facts" }, told.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** @param {any} git */
function commit(git) {
  if (!git?.commit) return "";
  return h("span", { class: "mono" }, `${git.commit.slice(0, 12)}${git.branch ? ` on ${git.branch}` : ""}${git.dirty ? ", with changes" : ""}`);
}

/** @param {any} run @param {HTMLElement} into @param {AbortSignal} signal */
async function loadEnvironment(run, into, signal) {
  try {
    // Of the last session: all rows, since heartbeats lie between those of two
    const rows = await api.lines(`runs/${encodeURIComponent(run.id)}/streams/run/rows`, { columns: "environment" }, { signal });
    const found = rows.map((row) => row.environment).filter(Boolean).at(-1);
    if (!found) return;
    const { git: _, packages, ...rest } = found;
    const flat = Object.entries(rest)
      .flatMap(([name, value]) =>
        value && typeof value === "object" && !Array.isArray(value)
          ? Object.entries(value).map(([inner, own]) => /** @type {[string, any]} */ ([`${name} ${inner}`, own]))
          : [/** @type {[string, any]} */ ([name, value])],
      )
      .filter(([, value]) => value !== null && value !== "");
    replace(
      into,
      h("h3", {}, "Environment"),
      facts(flat.map(([name, value]) => [name, told(name, value)])),
      packages
        ? h("details", {}, h("summary", {}, `${Object.keys(packages).length} packages`), facts(Object.entries(packages).map(([name, value]) => [name, short(value)])))
        : null,
    );
  } catch {
    // nothing that a person would miss: the run's own facts are above
  }
}

/** @param {string} name @param {any} value */
function told(name, value) {
  if (name.endsWith("_bytes") && typeof value === "number") return bytes(value);
  return Array.isArray(value) ? h("span", { class: "mono" }, value.map(short).join(" ")) : short(value);
}

/** @param {any} run @param {HTMLElement} into @param {AbortSignal} signal */
async function loadReadme(run, into, signal) {
  try {
    const base = `runs/${encodeURIComponent(run.id)}/files`;
    const { files } = await api.get(base, { prefix: "README", limit: 5 }, { signal });
    const found = files.find((/** @type {any} */ file) => /^readme\.(md|txt)$/i.test(file.path) && file.stored && file.size < 200_000);
    if (!found) return;
    const text = new TextDecoder().decode(await api.bytes(`${base}/${api.encodePath(found.path)}`, {}, { signal }));
    replace(into, h("h3", {}, found.path), h("pre", { class: "readme" }, text));
  } catch {
    // no README, or it cannot be had: the files' tab tells more
  }
}
