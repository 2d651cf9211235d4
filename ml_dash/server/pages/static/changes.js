// @ts-check
/** Changes to runs from the table: tags, and deletion, each asked for in a dialog. */

import * as api from "./api.js";
import { h, replace } from "./dom.js";

/** @param {any[]} runs @param {() => void} done */
export function editTags(runs, done) {
  const common = runs[0].tags.filter((/** @type {string} */ tag) => runs.every((run) => run.tags.includes(tag)));
  const field = h("input", { type: "text", value: common.join(", "), "aria-label": "Tags, with commas between" });
  ask(
    runs.length > 1 ? `Tags that these ${runs.length} runs share` : `Tags of ${runs[0].name}`,
    [field],
    "Save",
    async () => {
      const wanted = field.value.split(/\s*,\s*/).map((/** @type {string} */ tag) => tag.trim()).filter(Boolean);
      for (const run of runs) {
        const own = run.tags.filter((/** @type {string} */ tag) => !common.includes(tag));
        await api.send("PATCH", `runs/${encodeURIComponent(run.id)}`, { tags: [...new Set([...own, ...wanted])] });
      }
      done();
    },
  );
}

/** @param {any[]} runs @param {() => void} done */
export function confirmDeletion(runs, done) {
  const names = runs.slice(0, 10).map((run) => h("li", { class: "mono" }, run.prefix));
  const rest = runs.length > 10 ? h("li", {}, `and ${runs.length - 10} more`) : null;
  ask(
    runs.length > 1 ? `Delete ${runs.length} runs for good?` : "Delete this run for good?",
    [h("ul", {}, names, rest)],
    "Delete",
    async () => {
      for (const run of runs) await api.send("DELETE", `runs/${encodeURIComponent(run.id)}`);
      done();
    },
  );
}

/** @param {string} title @param {Node[]} content @param {string} action @param {() => Promise<void>} act */
function ask(title, content, action, act) {
  const trouble = h("p", { class: "bad", role: "alert" });
  const dialog = h("dialog", { "aria-label": title });
  const go = async () => {
    replace(trouble);
    try {
      await act();
      dialog.close();
    } catch (error) {
      trouble.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  replace(
    dialog,
    h("h2", {}, title),
    content,
    trouble,
    h(
      "div",
      { class: "bar" },
      h("span", { class: "gap" }),
      h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel"),
      h("button", { type: "button", class: action === "Delete" ? "danger" : "main", on: { click: go } }, action),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
