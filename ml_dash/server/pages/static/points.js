// @ts-check
/** The points of a curve, as a chart needs them. Pure functions over typed arrays. */

/**
 * What a chart is given: values, or the least, greatest and mean value of buckets. The x ascend.
 *
 * @typedef {object} Series
 * @property {string} key what it is known by
 * @property {string[]} [groups] what it belongs to, such as its run
 * @property {string} label
 * @property {string} [name] without what tells one line of a curve from the others
 * @property {string} colour a CSS colour, or `var(--name)`
 * @property {number[]} [dash]
 * @property {Float64Array} x
 * @property {Float64Array | Float32Array} min NaN where there is nothing
 * @property {Float64Array | Float32Array} max
 * @property {Float64Array | Float32Array} mean
 * @property {Uint32Array} [count] values in each bucket; one if it is left out
 * @property {Uint32Array} [nonfinite] how many of them are NaN or infinite
 */

/**
 * @typedef {object} Curve a series without its empty buckets
 * @property {Float64Array} x
 * @property {Float64Array} min
 * @property {Float64Array} max
 * @property {Float64Array} mean NaN where all values are NaN or infinite
 * @property {Uint32Array} count
 * @property {Uint32Array} nonfinite
 * @property {number} low where the first value may be: buckets begin before their middle
 * @property {number} high
 * @property {number} gap a distance beyond this is one in which values are missing
 */

const SPACINGS = 10; // as many usual distances without a value are a gap

/** @param {Series} series @returns {Curve} */
export function prepare(series) {
  const size = series.x.length;
  /** @type {number[]} */
  const kept = [];
  for (let i = 0; i < size; i += 1) {
    if ((series.count ? series.count[i] > 0 : true) && !Number.isNaN(series.x[i])) kept.push(i);
  }
  const take = (/** @type {ArrayLike<number>} */ from) => Float64Array.from(kept, (i) => from[i]);
  const x = take(series.x);
  const mean = take(series.mean);
  const bad = series.nonfinite;
  return {
    ...ends(series),
    x,
    min: take(series.min),
    max: take(series.max),
    mean,
    count: Uint32Array.from(kept, (i) => (series.count ? series.count[i] : 1)),
    nonfinite: Uint32Array.from(kept, (i) => (bad ? bad[i] : Number.isFinite(series.mean[i]) ? 0 : 1)),
    gap: SPACINGS * spacing(x),
  };
}

/** From where to where a series goes. @param {Series} series @returns {{low: number, high: number}} */
function ends({ x, count }) {
  const last = x.length - 1;
  if (last < 0) return { low: NaN, high: NaN };
  const half = (/** @type {number} */ i, /** @type {number} */ other) =>
    last > 0 && count && !isSingle(count, i, other) ? Math.abs(x[other] - x[i]) / 2 : 0;
  return { low: x[0] - half(0, 1), high: x[last] + half(last, last - 1) };
}

/** Whether places are of single values rather than of buckets. @param {Uint32Array} count @param {number[]} places */
function isSingle(count, ...places) {
  return places.every((place) => count[place] === 1);
}

/** The usual distance between two points. @param {Float64Array} x */
function spacing(x) {
  if (x.length < 8) return Infinity;
  const every = Math.max(1, Math.floor(x.length / 1000));
  const found = [];
  for (let i = 1; i < x.length; i += every) found.push(x[i] - x[i - 1]);
  found.sort((a, b) => a - b);
  return found[found.length >> 1] || Infinity;
}

/** The first place whose x is at least `wanted`. @param {Float64Array} x @param {number} wanted */
export function place(x, wanted) {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place whose x is nearest, -1 if there is none. @param {Float64Array} x @param {number} wanted */
export function nearest(x, wanted) {
  const after = place(x, wanted);
  if (after === 0) return x.length ? 0 : -1;
  if (after === x.length) return after - 1;
  return wanted - x[after - 1] <= x[after] - wanted ? after - 1 : after;
}

/**
 * The least and greatest value within a range of x, those of a log scale alone where `log` is set.
 *
 * @param {Curve} curve @param {number} low @param {number} high @param {boolean} log
 * @returns {[number, number]} infinite where there is none
 */
export function extent(curve, low, high, log) {
  let [least, greatest] = [Infinity, -Infinity];
  let [first, end] = [place(curve.x, low), place(curve.x, high)];
  if (end < curve.x.length && curve.x[end] === high) end += 1;
  if (first >= end) return between(curve, first, low, high, log);
  for (let i = first; i < end; i += 1) {
    const [a, b] = [curve.min[i], curve.max[i]];
    if (b > greatest && Number.isFinite(b)) greatest = b;
    if (a < least && Number.isFinite(a) && !(log && a <= 0)) least = a;
    else if (log && a <= 0) least = Math.min(least, curve.mean[i] > 0 ? curve.mean[i] : Infinity, b > 0 ? b : Infinity);
  }
  return log && greatest <= 0 ? [Infinity, -Infinity] : [least, greatest];
}

/** The same where a range lies between two points. @param {Curve} curve @param {number} after the second of them @param {number} low @param {number} high @param {boolean} log @returns {[number, number]} */
function between({ x, mean }, after, low, high, log) {
  if (after === 0 || after >= x.length) return [Infinity, -Infinity];
  const at = (/** @type {number} */ v) =>
    mean[after - 1] + ((mean[after] - mean[after - 1]) * (v - x[after - 1])) / (x[after] - x[after - 1]);
  const found = [at(low), at(high)].filter((v) => Number.isFinite(v) && !(log && v <= 0));
  return [Math.min(...found), Math.max(...found)];
}

/** How many values, or buckets that have such, cannot be on a log scale. @param {Curve} curve @param {number} low @param {number} high */
export function notPositive(curve, low, high) {
  let found = 0;
  for (let i = place(curve.x, low); i < curve.x.length && curve.x[i] <= high; i += 1) found += Number(curve.min[i] <= 0);
  return found;
}

/**
 * The points of a range, no more than two for each pixel: those of one pixel become one bucket.
 *
 * @param {Curve} curve @param {number} low @param {number} high the range of x
 * @param {number} pixels how many it is wide
 * @returns {Curve}
 */
export function reduce(curve, low, high, pixels) {
  const first = Math.max(0, place(curve.x, low) - 1);
  const end = Math.min(curve.x.length, place(curve.x, high) + 1);
  if (end - first <= 2 * pixels) return slice(curve, first, end);
  const made = blank(Math.min(end - first, Math.ceil(pixels) + 4), curve);
  const width = (high - low) / pixels;
  let [size, column] = [0, NaN];
  for (let i = first; i < end; i += 1) {
    const own = Math.min(Math.max(Math.floor((curve.x[i] - low) / width), -1), Math.ceil(pixels));
    if (own === column) add(made, size - 1, curve, i);
    else {
      column = own;
      put(made, size, curve, i);
      size += 1;
    }
  }
  return slice(made, 0, size);
}

/** @param {number} size @param {Curve} like @returns {Curve} */
function blank(size, { gap, low, high }) {
  const [x, min, max, mean] = [1, 2, 3, 4].map(() => new Float64Array(size));
  return { x, min, max, mean, count: new Uint32Array(size), nonfinite: new Uint32Array(size), gap, low, high };
}

/** @param {Curve} to @param {number} at @param {Curve} from @param {number} i */
function put(to, at, from, i) {
  for (const name of /** @type {const} */ (["x", "min", "max", "mean", "count", "nonfinite"])) to[name][at] = from[name][i];
}

/** @param {Curve} to @param {number} at @param {Curve} from @param {number} i */
function add(to, at, from, i) {
  const own = from.count[i] - from.nonfinite[i];
  if (own > 0) {
    const before = to.count[at] - to.nonfinite[at];
    if (before > 0) {
      if (from.min[i] < to.min[at]) to.min[at] = from.min[i];
      if (from.max[i] > to.max[at]) to.max[at] = from.max[i];
      to.mean[at] += (from.mean[i] - to.mean[at]) * (own / (before + own));
    } else for (const name of /** @type {const} */ (["min", "max", "mean"])) to[name][at] = from[name][i];
  }
  to.count[at] += from.count[i];
  to.nonfinite[at] += from.nonfinite[i];
}

/** @param {Curve} curve @param {number} first @param {number} end @returns {Curve} */
export function slice(curve, first, end) {
  return {
    ...curve,
    x: curve.x.subarray(first, end),
    min: curve.min.subarray(first, end),
    max: curve.max.subarray(first, end),
    mean: curve.mean.subarray(first, end),
    count: curve.count.subarray(first, end),
    nonfinite: curve.nonfinite.subarray(first, end),
  };
}

/**
 * The exponential moving average, without the pull of where it began. Its weight is counted by
 * distance, so that runs recorded more and less often are smoothed alike.
 *
 * @param {Float64Array} x @param {Float64Array} y NaN is passed over
 * @param {number} weight below 1: what is left of a value after one `unit` @param {number} unit
 */
export function smoothed(x, y, weight, unit) {
  const made = new Float64Array(y.length);
  const rate = Math.log(weight) / unit;
  let [sum, total, last] = [0, 0, NaN];
  for (let i = 0; i < y.length; i += 1) {
    if (!Number.isFinite(y[i])) {
      made[i] = NaN;
      continue;
    }
    const kept = Number.isNaN(last) ? 0 : Math.exp(rate * (x[i] - last));
    sum = sum * kept + y[i];
    total = total * kept + 1;
    made[i] = sum / total;
    last = x[i];
  }
  return made;
}
