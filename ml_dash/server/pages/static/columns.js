// @ts-check
/** The columns that the table of runs can have. */

import { h } from "./dom.js";
import { ago, count, duration, lasted, moment, short } from "./format.js";

/** Shown until a user chooses. */
export const STANDARD = ["name", "project", "status", "started", "duration", "tags", "host", "commit", "rows", "files"];

/** @type {Record<string, import("./table.js").Column>} */
const KNOWN = {
  name: { key: "name", title: "Run", sort: "name", show: (run) => run.name },
  project: { key: "project", title: "Project", sort: "project", show: (run) => `${run.namespace}/${run.project}` },
  status: { key: "status", title: "Status", sort: "status", show: status },
  started: {
    key: "started",
    title: "Started",
    sort: "started",
    show: (run) => h("time", { title: moment(run.started) }, ago(run.started)),
  },
  duration: { key: "duration", title: "Duration", sort: "duration", number: true, show: (run) => duration(lasted(run)) },
  tags: { key: "tags", title: "Tags", show: (run) => run.tags.map((/** @type {string} */ tag) => h("span", { class: "tag" }, tag)) },
  host: { key: "host", title: "Host", sort: "host", show: (run) => run.host ?? "" },
  commit: { key: "commit", title: "Commit", show: commit },
  rows: { key: "rows", title: "Rows", sort: "rows", number: true, show: (run) => (run.rows ? count(run.rows) : "") },
  files: { key: "files", title: "Files", sort: "files", number: true, show: (run) => count(run.files) },
};

/** @param {string[]} keys @returns {import("./table.js").Column[]} */
export function columnsFor(keys) {
  return keys.map((key) => {
    if (key in KNOWN) return KNOWN[key];
    const [room, ...rest] = key.split(".");
    const name = rest.join(".");
    return {
      key,
      title: name,
      sort: key,
      number: true,
      show: (/** @type {any} */ run) => short(run[room]?.[name]),
    };
  });
}

/** The names of params and metrics that runs have. @param {any[]} runs */
export function valuesOf(runs) {
  const names = (/** @type {string} */ room) => [...new Set(runs.flatMap((run) => Object.keys(run[room] ?? {})))].sort();
  return { params: names("params"), metrics: names("metrics") };
}

/** @param {any} run */
function status(run) {
  const name = run.status.toLowerCase();
  const alive = run.status === "RUNNING" ? `last heard of ${ago(run.heartbeat ?? run.updated)}` : "";
  return h("span", { class: `status ${name}`, title: run.error ?? alive }, name, run.error ? `: ${lastLine(run.error)}` : "");
}

/** @param {string} text */
function lastLine(text) {
  const lines = text.trim().split("\n");
  const telling = lines.findLast((line) => /^[\w.]+(Error|Exception|Interrupt|Exit|Warning)\b/.test(line));
  return telling ?? lines.at(-1) ?? "";
}

/** @param {any} run */
function commit(run) {
  const git = run.git;
  if (!git?.commit) return "";
  return h("span", { class: "mono", title: `${git.branch ?? ""} ${git.commit}` }, git.commit.slice(0, 8), git.dirty ? "*" : "");
}
