/**
 * One series and its ring of (time, value) pairs: Float64 milliseconds since the epoch, Float32 values, NaN = a gap
 * begins. Only changes are kept: between two samples the value holds. Pure.
 */

import { seriesKey } from "./selectors.mjs";

/** @import { Labels, Meta } from "./types" */

export const KEEP_MS = 300_000;
const FIRST_POINTS = 256;
const MAX_POINTS = 32_768; // a power of two above five minutes at 60 Hz
const SLOWEST_PERIOD_MS = 10_000;

/** One series and its ring of samples. */
export class Track {
  /** @param {Meta} meta */
  constructor(meta) {
    this.key = seriesKey(meta.name, meta.labels);
    this.t = new Float64Array(FIRST_POINTS);
    this.v = new Float32Array(FIRST_POINTS);
    this.head = 0; // slot of the oldest sample
    this.size = 0;
    this.total = 0; // samples ever taken: a reader's cursor
    this.epoch = 0; // rises when stored samples changed under the readers
    this.last = NaN;
    this.lastMs = -Infinity;
    this.periodMs = NaN; // the usual distance of two samples, a soft minimum
    this.beatMs = Infinity; // what the source's own rate allows it to be at most
    /** @type {string | null} */
    this.absent = null; // the reason, when there is none to measure
    this.id = -1;
    this.name = "";
    this.unit = "";
    this.kind = "gauge";
    /** @type {Labels} */
    this.labels = {};
    this.describe(meta);
  }

  /**
   * Take over the description of the server (ids live for one boot only).
   * @param {Meta} meta
   */
  describe({ id, name, unit = "", kind = "gauge", labels = {} }) {
    this.id = id;
    this.name = name;
    this.unit = unit;
    this.kind = kind;
    this.labels = labels;
  }

  /**
   * Append a sample; NaN begins a gap. False when it is not later than the newest one.
   * @param {number} ms @param {number} value
   */
  push(ms, value) {
    if (!(ms > this.lastMs)) return false;
    const distance = ms - this.lastMs;
    if (distance < SLOWEST_PERIOD_MS && value === value && this.last === this.last) this.#beat(distance);
    if (this.size === this.t.length) this.#makeRoom(ms);
    const slot = (this.head + this.size) & (this.t.length - 1);
    this.t[slot] = ms;
    this.v[slot] = value;
    this.size += 1;
    this.total += 1;
    this.last = value;
    this.lastMs = ms;
    if (value === value) this.absent = null;
    return true;
  }

  /** @param {number} distance */
  #beat(distance) {
    if (!(this.periodMs > 0)) this.periodMs = distance;
    else this.periodMs += (distance - this.periodMs) * (distance < this.periodMs ? 0.2 : 0.002);
    if (this.periodMs > this.beatMs) this.periodMs = this.beatMs;
  }

  /**
   * Its source measures this often: what changed after a longer time held until then, and is drawn so.
   * @param {number} ms
   */
  pace(ms) {
    this.beatMs = ms;
    if (this.periodMs > ms) this.periodMs = ms;
  }

  /**
   * A full ring forgets its oldest sample when that is old enough, else it doubles.
   * @param {number} ms
   */
  #makeRoom(ms) {
    const capacity = this.t.length;
    if (capacity >= MAX_POINTS || ms - this.t[this.head] > KEEP_MS) {
      this.head = (this.head + 1) & (capacity - 1);
      this.size -= 1;
      return;
    }
    const t = new Float64Array(capacity * 2);
    const v = new Float32Array(capacity * 2);
    const tail = capacity - this.head;
    t.set(this.t.subarray(this.head), 0);
    v.set(this.v.subarray(this.head), 0);
    t.set(this.t.subarray(0, this.head), tail);
    v.set(this.v.subarray(0, this.head), tail);
    this.t = t;
    this.v = v;
    this.head = 0;
  }

  /**
   * Slot of the i-th oldest sample.
   * @param {number} i
   */
  slot(i) {
    return (this.head + i) & (this.t.length - 1);
  }

  /**
   * How many samples are at or before `ms`.
   * @param {number} ms
   */
  countUntil(ms) {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.t[this.slot(middle)] <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * The value that held at `ms`; NaN in a gap or before the first sample.
   * @param {number} ms
   */
  valueAt(ms) {
    const count = this.countUntil(ms);
    return count ? this.v[this.slot(count - 1)] : NaN;
  }

  /**
   * Whether `value` (null: nothing) is what is known of the instant already.
   * @param {number} ms @param {number | null} value
   */
  holds(ms, value) {
    const known = this.valueAt(ms);
    return value === null ? known !== known : known === Math.fround(value) || this.t[this.head] > ms;
  }

  /**
   * Whether anything is known from `ms` on.
   * @param {number} ms
   */
  knownSince(ms) {
    const before = this.countUntil(ms);
    for (let i = Math.max(0, before - 1); i < this.size; i += 1) {
      const value = this.v[this.slot(i)];
      if (value === value) return true;
    }
    return false;
  }

  /**
   * Move the whole history by a step of the wall clock.
   * @param {number} stepMs
   */
  shift(stepMs) {
    for (let i = 0; i < this.size; i += 1) this.t[this.slot(i)] += stepMs;
    if (this.size) this.lastMs += stepMs;
    this.epoch += 1;
  }
}
