// @ts-check
/** The server's API, as the pages ask it. */

const BASE = new URL("api/v1/", document.baseURI);

/** What the server, or the way to it, has to say against a request. */
export class ApiError extends Error {
  /** @param {number} status 0 where no answer came. @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** @typedef {Record<string, string | number | boolean | string[] | null | undefined>} Params of a list each item is one */

/**
 * The address of something in the API.
 *
 * @param {string} path below `api/v1/`, its parts encoded
 * @param {Params} [params]
 */
export function address(path, params = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(params)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") url.searchParams.append(name, String(item));
    }
  }
  return url.href;
}

/** The parts of a path, each encoded, slashes kept. @param {string} path */
export function encodePath(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/**
 * Reads JSON.
 *
 * @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export async function get(path, params = {}, options = {}) {
  return (await ask(address(path, params), options)).json();
}

/**
 * Reads bytes.
 *
 * @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options]
 */
export async function bytes(path, params = {}, options = {}) {
  return (await ask(address(path, params), options)).arrayBuffer();
}

/**
 * Reads JSON Lines.
 *
 * @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<any[]>}
 */
export async function lines(path, params = {}, options = {}) {
  const text = await (await ask(address(path, params), options)).text();
  return text.split("\n").filter(Boolean).map(parse);
}

/**
 * Changes something.
 *
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method @param {string} path @param {any} [body]
 * @returns {Promise<any>} what the answer says, if it says something
 */
export async function send(method, path, body) {
  const token = document.querySelector("meta[name=csrf-token]")?.getAttribute("content") ?? "";
  /** @type {Record<string, string>} */
  const headers = { "X-CSRF-Token": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await ask(address(path), {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/**
 * Follows server-sent events until `signal` says to stop. Comes back by itself after a break.
 *
 * @param {string} path
 * @param {Record<string, (data: any) => void>} handlers by event; `connected` is told true or false
 * @param {{signal: AbortSignal}} options
 */
export function follow(path, handlers, { signal }) {
  /** @type {EventSource | null} */
  let source = null;
  let timer = 0;
  let pause = 1000;
  const open = () => {
    source = new EventSource(address(path));
    source.onopen = () => {
      pause = 1000;
      handlers.connected?.(true);
    };
    source.onerror = () => {
      handlers.connected?.(false);
      if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again
      timer = window.setTimeout(open, pause);
      pause = Math.min(2 * pause, 30_000);
    };
    for (const [name, handler] of Object.entries(handlers)) {
      if (name !== "connected") {
        source.addEventListener(name, (event) => handler(parse(/** @type {any} */ (event).data)));
      }
    }
  };
  signal.addEventListener("abort", () => {
    source?.close();
    clearTimeout(timer);
  });
  if (!signal.aborted) open();
}

/** JSON as the server writes it; of NaN and infinity, which other programs may have written, null.
 * @param {string} text
 */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(/(?<=[:,[]\s*)-?(NaN|Infinity)(?=\s*[,\]}])/g, "null"));
  }
}

/** @param {string} url @param {RequestInit} options */
async function ask(url, options) {
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new ApiError(
    answer.status,
    problem.code ?? String(answer.status),
    problem.detail ?? problem.title ?? `The server answered with status ${answer.status}.`,
  );
}
