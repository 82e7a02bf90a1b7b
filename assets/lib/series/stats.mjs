/**
 * Statistics of the visible window. Pure.
 *
 * Only changes arrive, and between two samples a value holds: each value therefore weighs as long as it held. That
 * makes a percentile here the same as one over evenly spaced samples. Gaps weigh nothing. Of events (a token, a
 * request) each one weighs the same.
 */

/** @import { Track } from "./track.mjs" */

const BINS = 1024;
const weights = new Float64Array(BINS);

/**
 * Walk the spans of a track in (from, to]: visit(value, milliseconds).
 * @param {Track} track @param {number} from @param {number} to @param {(value: number, ms: number) => void} visit
 */
function spans(track, from, to, visit) {
  if (track.kind === "event") {
    for (let i = track.countUntil(from); i < track.size; i += 1) {
      const slot = track.slot(i);
      if (track.t[slot] > to) break;
      if (track.v[slot] === track.v[slot]) visit(track.v[slot], 1);
    }
    return;
  }
  let i = Math.max(0, track.countUntil(from) - 1);
  for (; i < track.size; i += 1) {
    const slot = track.slot(i);
    const begin = Math.max(from, track.t[slot]);
    if (begin >= to) break;
    const end = i + 1 < track.size ? Math.min(to, track.t[track.slot(i + 1)]) : to;
    const value = track.v[slot];
    if (value === value && end > begin) visit(value, end - begin);
  }
}

/**
 * {min, max, mean, weight} over the window; weight 0 when there is nothing.
 * @param {Track} track @param {number} from @param {number} to
 */
export function extent(track, from, to) {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let weight = 0;
  spans(track, from, to, (value, ms) => {
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value * ms;
    weight += ms;
  });
  return weight > 0 ? { min, max, mean: sum / weight, weight } : { min: NaN, max: NaN, mean: NaN, weight: 0 };
}

/**
 * The value under which the share `q` of the time lies; NaN when there is nothing. Exact: the bin that holds the
 * quantile is found first, then only its own values are sorted. Linear in the samples, without garbage of their number.
 * @param {Track} track @param {number} from @param {number} to @param {number} q
 */
export function quantile(track, from, to, q) {
  const { min, max, weight } = extent(track, from, to);
  if (weight === 0) return NaN;
  if (min === max) return min;
  const scale = (BINS - 1) / (max - min);
  /** @param {number} value */
  const bin = (value) => Math.floor((value - min) * scale);
  weights.fill(0);
  spans(track, from, to, (value, ms) => {
    weights[bin(value)] += ms;
  });
  let left = weight * q;
  let chosen = 0;
  while (chosen < BINS - 1 && left > weights[chosen]) {
    left -= weights[chosen];
    chosen += 1;
  }
  /** @type {[value: number, ms: number][]} */
  const held = [];
  spans(track, from, to, (value, ms) => {
    if (bin(value) === chosen) held.push([value, ms]);
  });
  held.sort((a, b) => a[0] - b[0]);
  for (const [value, ms] of held) {
    left -= ms;
    if (left <= 1e-9) return value;
  }
  return held.length ? held[held.length - 1][0] : max;
}

/**
 * Statistic over the window -> {of: one track's figure, join: how several become one}.
 * @type {Record<string, {
 *   of: (track: Track, from: number, to: number) => number, join: (all: number[]) => number
 * }>}
 */
const OVER_TIME = {
  min: { of: (track, from, to) => extent(track, from, to).min, join: (all) => Math.min(...all) },
  max: { of: (track, from, to) => extent(track, from, to).max, join: (all) => Math.max(...all) },
  mean: { of: (track, from, to) => extent(track, from, to).mean, join: mean },
  p50: { of: (track, from, to) => quantile(track, from, to, 0.5), join: (all) => Math.max(...all) },
  p95: { of: (track, from, to) => quantile(track, from, to, 0.95), join: (all) => Math.max(...all) },
  p99: { of: (track, from, to) => quantile(track, from, to, 0.99), join: (all) => Math.max(...all) },
  // Of something per second: how much there was in all.
  sum: { of: total, join: sum },
};

/** @param {number[]} values */
function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}

/** @param {number[]} values */
function mean(values) {
  return sum(values) / values.length;
}

/** @param {Track} track @param {number} from @param {number} to */
function total(track, from, to) {
  const { mean: level, weight } = extent(track, from, to);
  return weight > 0 && track.kind === "event" ? level * weight : (level * weight) / 1000;
}

/** Units of which several together make a mean, not a sum. */
const INTENSIVE = new Set(["%", "°C", "ms", "MHz", "bit"]);

/**
 * True for a statistic over the visible window, false for one of this moment.
 * @param {string} stat
 */
export const overTime = (stat) => stat in OVER_TIME;

/**
 * One figure of several tracks, NaN when there is none. `last`: what holds at `to`, summed over the tracks (a mean
 * where a sum would be no such thing: %, °C, ms); `count`: how many tracks have a value at `to`; the others over (from,
 * to]: min, max, mean, p50, p95, p99 (of several tracks the worst), sum (of something per second: all of it).
 * @param {Track[]} tracks @param {string} stat @param {number} from @param {number} to @param {string} [unit]
 */
export function figure(tracks, stat, from, to, unit = "") {
  const over = OVER_TIME[stat];
  const values = [];
  for (const track of tracks) {
    const value = over ? over.of(track, from, to) : track.valueAt(to);
    if (value === value) values.push(value);
  }
  if (stat === "count") return values.length;
  if (values.length < 2) return values.length ? values[0] : NaN;
  if (over) return over.join(values);
  return INTENSIVE.has(unit) ? mean(values) : sum(values);
}

/** A fixed ring of numbers for measurements of the page itself. */
export class Ring {
  /** @param {number} capacity */
  constructor(capacity) {
    this.data = new Float64Array(capacity);
    this.size = 0;
    this.next = 0;
    this.total = 0;
  }

  /** @param {number} value */
  push(value) {
    this.data[this.next] = value;
    this.next = (this.next + 1) % this.data.length;
    if (this.size < this.data.length) this.size += 1;
    this.total += 1;
  }

  /**
   * The newest `count` values, oldest first, as an array.
   * @param {number} [count] @returns {number[]}
   */
  newest(count = this.size) {
    const n = Math.min(count, this.size);
    const out = new Array(n);
    const start = this.next - n + this.data.length;
    for (let i = 0; i < n; i += 1) out[i] = this.data[(start + i) % this.data.length];
    return out;
  }

  clear() {
    this.size = 0;
    this.next = 0;
  }
}

/**
 * Nearest-rank quantile of an array; NaN for an empty one.
 * @param {ArrayLike<number>} values @param {number} q
 */
export function rank(values, q) {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}
