// @ts-check
/** Numbers, times and sizes as people read them. */

/** A value of a row or a param, in short. @param {any} value @returns {string} */
export function short(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return number(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Four significant digits, whole numbers whole. @param {number} value @returns {string} */
export function number(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return minus(String(value));
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return minus(value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e"));
  return minus(String(Number(value.toPrecision(4))));
}

/** A count with thin spaces. @param {number} value */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** @param {number} size in bytes */
export function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let rank = 0;
  while (size >= 999.5 && rank < units.length - 1) {
    size /= 1000;
    rank += 1;
  }
  return `${rank && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[rank]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const sign = seconds <= -0.0005 ? "−" : ""; // nothing that is shown as 0.000 is below it
  const all = Math.abs(seconds);
  if (all < 10) return `${sign}${all.toFixed(all < 1 ? 3 : 2)} s`;
  if (all < 60) return `${sign}${all.toFixed(1)} s`;
  const days = Math.floor(all / 86_400);
  const hours = Math.floor((all % 86_400) / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  if (days) return `${sign}${days} d ${hours} h`;
  if (hours) return `${sign}${hours} h ${minutes} min`;
  return `${sign}${minutes} min ${Math.floor(all % 60)} s`;
}

/** When each run was told, to have those that go on grow older. @type {WeakMap<object, number>} */
const told = new WeakMap();

/** For how many seconds a run has gone on; NaN where its start is not known. @param {any} run @returns {number} */
export function lasted(run) {
  const now = Date.now() / 1000;
  if (!told.has(run)) told.set(run, now);
  return run.duration === null ? NaN : run.duration + (run.status === "RUNNING" ? now - (told.get(run) ?? now) : 0);
}

/** A moment by the clock of whoever looks. @param {number | null} seconds since 1970 */
export function moment(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const at = new Date(seconds * 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** How long ago. @param {number | null} seconds since 1970 @param {number} [now] */
export function ago(seconds, now = Date.now() / 1000) {
  if (seconds === null || seconds === undefined) return "";
  const passed = now - seconds;
  if (passed < 60) return passed < 5 ? "now" : `${Math.round(passed)} s ago`;
  if (passed < 3600) return `${Math.round(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.round(passed / 3600)} h ago`;
  return passed < 86_400 * 14 ? `${Math.round(passed / 86_400)} d ago` : moment(seconds).slice(0, 10);
}

/** The name of a track or a metric as its user gave it. @param {string} name of the stream */
export function streamName(name) {
  const own = name.replace(/^(tracks|metrics)\//, "");
  try {
    return decodeURIComponent(own);
  } catch {
    return own;
  }
}

/** A number's text with minus signs in place of hyphens. @param {string} text */
export function minus(text) {
  return text.replaceAll("-", "−");
}
