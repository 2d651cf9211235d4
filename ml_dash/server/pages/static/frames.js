// @ts-check
/** The frames of one camera of a run: which there are, and pictures of those near the cursor. */

import * as api from "./api.js";
import { originOfCursor } from "./clocks.js";
import { last, nearestOf } from "./cursor.js";
import { joined } from "./track.js";

const PAGE = 10_000;
/** Frames that one request brings. */
const CHUNK = 16;
const AHEAD = 90;
const BEHIND = 30;
/** Bytes of pictures, as they are stored and as they are drawn, that one camera keeps. */
const STORED = 192 << 20;
const DRAWN = 160 << 20;
const AT_ONCE = 3;
/** Milliseconds after which frames that were not there are asked for again, at first and at most. */
const AGAIN = 2000;
const LATEST = 10_000;
/** Seconds within which a frame of a step is saved, and its rows. */
const LAG = 2;

export class Camera {
  /** @param {any} run @param {{name: string, count: number, origin: number}} about @param {AbortSignal} signal @param {number} cameras that share the memory */
  constructor(run, about, signal, cameras = 1) {
    this.run = run;
    this.name = about.name;
    /** From when on its seconds count. */
    this.origin = about.origin;
    this.signal = signal;
    this.share = Math.max(1, cameras);
    this.steps = new Float64Array(0);
    this.times = new Float64Array(0);
    /** @type {string[]} */
    this.hashes = [];
    /** @type {string[]} */
    this.types = [];
    this.ordered = true;
    /** Where to read on: behind all that is known, and behind what was known the time before. */
    this.page = { cursor: "", begin: 0 };
    this.next = { cursor: "", begin: 0 };
    /** Stored pictures by place. @type {Map<number, Blob>} */
    this.blobs = new Map();
    this.stored = 0;
    /** Drawn ones. @type {Map<number, ImageBitmap>} */
    this.bitmaps = new Map();
    /** @type {Set<number>} */
    this.decoding = new Set();
    /** @type {Set<number>} */
    this.fetching = new Set();
    /** Chunks that could not be had, and when to ask again. @type {Map<number, {pause: number, until: number}>} */
    this.failed = new Map();
    /** How many pictures one answer may have; 0 where each is asked for alone, since even one is too large. */
    this.together = CHUNK;
    /** @type {Error | null} */
    this.trouble = null;
    this.place = 0;
    this.direction = 1;
    /** Called when a picture has come. @type {(place: number) => void} */
    this.onPicture = () => {};
    signal.addEventListener("abort", () => this.#close());
  }

  get length() {
    return this.hashes.length;
  }

  /** Reads which frames there are; again, to learn of those that came since. */
  async load() {
    const before = this.next;
    const known = [...this.hashes];
    let count = await this.#read(before);
    // What was encoded at the same time may come out of order, and a hash may come late
    if (this.length !== count || this.hashes.includes(/** @type {any} */ (null), this.page.begin)) count = await this.#read(this.page);
    if (this.length !== count) await this.#read({ cursor: "", begin: 0 });
    this.page = before;
    this.ordered = this.steps.every((step, i) => !i || step >= this.steps[i - 1]);
    known.forEach((hash, place) => hash !== this.hashes[place] && this.#drop(place));
  }

  /** Forgets the picture of a place at which there is another frame now. @param {number} place */
  #drop(place) {
    this.stored -= this.blobs.get(place)?.size ?? 0;
    this.blobs.delete(place);
    this.bitmaps.get(place)?.close();
    this.bitmaps.delete(place);
  }

  /** Reads all that is behind a place, and says how many frames there are. @param {{cursor: string, begin: number}} from */
  async #read(from) {
    const base = `runs/${encodeURIComponent(this.run.id)}/frames/${api.encodePath(this.name)}`;
    for (let { cursor, begin } = from; ; ) {
      const page = await api.get(base, { cursor, limit: PAGE }, { signal: this.signal });
      this.steps = joined(
        this.steps.subarray(0, begin),
        Float64Array.from(page.steps, (step) => (step === null ? NaN : step)),
      );
      this.times = joined(
        this.times.subarray(0, begin),
        Float64Array.from(page.timestamps, (time) => time - this.origin),
      );
      this.hashes.length = this.types.length = begin;
      for (const hash of page.sha256) this.hashes.push(hash);
      for (const type of page.types) this.types.push(type);
      this.next = { cursor: page.last ?? cursor, begin: this.length };
      if (!page.next) return page.count;
      [cursor, begin] = [page.next, this.length];
    }
  }

  /**
   * The frame that is shown at a spot: the last one that is not later; -1 if there is none.
   *
   * @param {import("./cursor.js").Spot} spot @param {boolean} [again] whether steps come again, and time decides
   */
  find({ step, time, nth }, again = false) {
    const timed = time !== null && this.origin === originOfCursor(this.run);
    if (step !== null && this.ordered && !(again && timed)) return last(this.steps, step);
    if (step !== null && time !== null && timed) {
      const own = nearestOf(this.steps, this.times, step, time, nth);
      if (own >= 0 && Math.abs(this.times[own] - time) < LAG) return own;
    }
    if (!timed) time = null;
    if (time !== null && nth !== undefined) {
      const i = last(this.times, time + 1e-3);
      return i < 0 ? i : nearestOf(this.steps, this.times, this.steps[i], this.times[i], nth);
    }
    if (step !== null && time === null) {
      let found = -1; // steps went back, as after a resume
      this.steps.forEach((own, i) => {
        if (own <= step && (found < 0 || own >= this.steps[found])) found = i;
      });
      return found;
    }
    return time === null ? -1 : last(this.times, time + 1e-3);
  }

  /** The picture of a frame if it is there, and has those around it fetched. @param {number} place @returns {ImageBitmap | null} */
  show(place) {
    this.direction = place < this.place ? -1 : 1;
    this.place = place;
    this.#work();
    return this.bitmaps.get(place) ?? null;
  }

  /** Places around the one that is shown, the nearest in the direction of travel first. */
  *#window() {
    yield this.place;
    const [ahead, behind] = this.direction > 0 ? [AHEAD, BEHIND] : [BEHIND, AHEAD];
    for (let distance = 1; distance <= Math.max(ahead, behind); distance += 1) {
      const after = this.place + distance;
      const before = this.place - distance;
      if (distance <= ahead && after < this.length) yield after;
      if (distance <= behind && before >= 0) yield before;
    }
  }

  #work() {
    if (this.signal.aborted || !this.length) return;
    let room = DRAWN / this.share;
    const picture = this.bitmaps.values().next().value;
    const each = picture ? 4 * picture.width * picture.height : 1 << 21;
    /** @type {Set<number>} */
    const kept = new Set();
    for (const place of this.#window()) {
      room -= each;
      if (room < 0 && kept.size) break;
      kept.add(place);
      const blob = this.blobs.get(place);
      if (blob) this.#decode(place, blob);
      else this.#fetch(Math.floor(place / CHUNK), place === this.place);
    }
    for (const [place, bitmap] of this.bitmaps) {
      if (kept.has(place)) continue;
      bitmap.close();
      this.bitmaps.delete(place);
    }
    this.kept = kept;
  }

  /** @param {number} place @param {Blob} blob */
  async #decode(place, blob) {
    if (this.bitmaps.has(place) || this.decoding.has(place)) return;
    this.decoding.add(place);
    try {
      const bitmap = await createImageBitmap(blob);
      if (this.signal.aborted || !this.kept?.has(place) || this.blobs.get(place) !== blob) bitmap.close();
      else {
        this.bitmaps.set(place, bitmap);
        this.onPicture(place);
      }
    } catch {
      this.broken = place; // not a picture that this browser can draw
      this.onPicture(place);
    } finally {
      this.decoding.delete(place);
      if (this.blobs.get(place) !== blob) this.#work(); // another frame has come there
    }
  }

  /** @param {number} chunk @param {boolean} urgent */
  async #fetch(chunk, urgent) {
    if (this.fetching.has(chunk) || this.fetching.size >= AT_ONCE + (urgent ? 1 : 0)) return;
    if ((this.failed.get(chunk)?.until ?? 0) > performance.now()) return;
    this.fetching.add(chunk);
    const first = chunk * CHUNK;
    const hashes = this.hashes.slice(first, first + CHUNK);
    const missing = new Set(hashes.filter((_, i) => !this.blobs.has(first + i)));
    try {
      await this.#bring([...missing].filter(Boolean), (parts) => {
        hashes.forEach((hash, i) => {
          const part = parts.get(hash);
          // There may be another frame by now: one that was saved before and encoded after it
          if (part && this.hashes[first + i] === hash) this.#keep(first + i, new Blob([part], { type: this.types[first + i] }));
        });
        parts.forEach((_, hash) => missing.delete(hash));
        this.#work();
      });
      if (missing.size) this.#again(chunk); // they are on their way
      else this.failed.delete(chunk);
      this.trouble = null;
    } catch (error) {
      if (this.signal.aborted) return;
      this.trouble = /** @type {Error} */ (error);
      this.#again(chunk);
      this.onPicture(this.place);
    } finally {
      this.fetching.delete(chunk);
      this.#work();
    }
  }

  /**
   * Brings pictures, in as many answers as their size takes; what is not there yet is left out.
   *
   * @param {string[]} hashes @param {(parts: Map<string, ArrayBuffer>) => void} take
   */
  async #bring(hashes, take) {
    const base = `runs/${encodeURIComponent(this.run.id)}/blobs`;
    const { signal } = this;
    for (let begin = 0; begin < hashes.length; ) {
      const own = hashes.slice(begin, begin + Math.max(1, this.together));
      const alone = !this.together;
      try {
        if (alone) take(new Map([[own[0], await api.bytes(`${base}/${own[0]}`, {}, { signal })]]));
        else take(unpack(await api.bytes(`${base}/batch`, { sha256: own.join(",") }, { signal })));
      } catch (error) {
        const status = error instanceof api.ApiError ? error.status : 0;
        if (status === 413 && !alone) {
          this.together = Math.min(this.together, own.length >> 1);
          continue;
        }
        if (status !== 404 || !alone) throw error;
      }
      begin += own.length;
    }
  }

  /** Asks for a chunk once more, a while later. @param {number} chunk */
  #again(chunk) {
    const pause = Math.min(2 * (this.failed.get(chunk)?.pause ?? AGAIN / 2), LATEST);
    this.failed.set(chunk, { pause, until: performance.now() + pause });
    setTimeout(() => this.#work(), pause + 100);
  }

  /** @param {number} place @param {Blob} blob */
  #keep(place, blob) {
    if (this.blobs.has(place)) return;
    this.blobs.set(place, blob);
    this.stored += blob.size;
    for (const [old, held] of this.blobs) {
      if (this.stored <= STORED / this.share) break;
      if (Math.abs(old - this.place) <= AHEAD) continue;
      this.blobs.delete(old);
      this.stored -= held.size;
    }
  }

  #close() {
    for (const bitmap of this.bitmaps.values()) bitmap.close();
    this.bitmaps.clear();
    this.blobs.clear();
  }
}

/** Several contents of one answer, by hash. @param {ArrayBuffer} body @returns {Map<string, ArrayBuffer>} */
export function unpack(body) {
  const all = new Uint8Array(body);
  const end = all.indexOf(10);
  const header = JSON.parse(new TextDecoder().decode(all.subarray(0, end)));
  let at = end + 1;
  const found = new Map();
  for (const { sha256, size } of header.pieces) {
    found.set(sha256, body.slice(at, at + size));
    at += size;
  }
  return found;
}
