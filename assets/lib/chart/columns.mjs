/**
 * A track reduced to one column per device pixel: minimum, maximum and last value. Pure.
 *
 * Columns are cut at absolute times (column = floor(ms / msPerColumn)), so that a column never changes once time has
 * passed it: scrolling costs only the new samples, and peaks do not flicker. Cost of a frame: new samples + visible
 * columns.
 */

/** @import { Track } from "../series/track.mjs" */

export const HAS = 1; // there are values in the column
export const FRESH = 2; // its values begin after a gap: do not join them to what was before
export const ENDS = 4; // a gap begins in it after its values, if any

/** Columns of one track; owned by one chart. */
export class Columns {
  capacity = 0;
  msPerColumn = 0;
  newest = -Infinity; // absolute number of the newest column
  /** @type {Track | null} */
  track = null;
  epoch = -1;
  cursor = 0;
  low = new Float32Array(0);
  high = new Float32Array(0);
  end = new Float32Array(0);
  flags = new Uint8Array(0);

  /**
   * Follow `track` with `capacity` columns of `msPerColumn` up to `untilMs`, so that a picture that stands keeps its
   * columns while samples come in; takes what is new, or all of it when anything changed.
   * @param {Track} track @param {number} msPerColumn @param {number} capacity @param {number} [untilMs]
   */
  follow(track, msPerColumn, capacity, untilMs = Infinity) {
    if (capacity > this.capacity) this.#allot(capacity);
    const missed = track.total - this.cursor;
    const ahead = this.newest > untilMs / msPerColumn + 1; // time went back: the clock was corrected
    if (
      track !== this.track ||
      track.epoch !== this.epoch ||
      msPerColumn !== this.msPerColumn ||
      missed > track.size ||
      ahead
    ) {
      this.track = track;
      this.epoch = track.epoch;
      this.msPerColumn = msPerColumn;
      this.newest = -Infinity;
      this.cursor = track.total - track.size;
    }
    const fresh = track.total - this.cursor;
    for (let i = track.size - fresh; i < track.size; i += 1) {
      const slot = track.slot(i);
      if (track.t[slot] > untilMs) break;
      this.#take(track.t[slot], track.v[slot]);
      this.cursor += 1;
    }
  }

  /** @param {number} capacity */
  #allot(capacity) {
    this.capacity = capacity;
    this.low = new Float32Array(capacity);
    this.high = new Float32Array(capacity);
    this.end = new Float32Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.track = null;
  }

  /** @param {number} ms @param {number} value */
  #take(ms, value) {
    const column = Math.floor(ms / this.msPerColumn);
    if (column > this.newest) this.#advance(column);
    const at = column % this.capacity;
    if (value !== value) {
      this.flags[at] |= ENDS;
      return;
    }
    const flags = this.flags[at];
    if (flags & HAS) {
      if (value < this.low[at]) this.low[at] = value;
      if (value > this.high[at]) this.high[at] = value;
    } else {
      this.low[at] = value;
      this.high[at] = value;
    }
    this.end[at] = value;
    this.flags[at] = flags & ENDS ? HAS | FRESH : flags | HAS;
  }

  /** @param {number} column */
  #advance(column) {
    const from = Math.max(this.newest + 1, column - this.capacity + 1);
    for (let c = from; c <= column; c += 1) this.flags[c % this.capacity] = 0;
    this.newest = column;
  }

  /**
   * Write the least and greatest value of columns [from, to] into `out` [low, high]; NaN, NaN when there is none.
   * @param {number} from @param {number} to @param {Float64Array} out
   */
  extremes(from, to, out) {
    let low = Infinity;
    let high = -Infinity;
    const last = Math.min(to, this.newest);
    for (let c = Math.max(from, this.newest - this.capacity + 1); c <= last; c += 1) {
      const at = c % this.capacity;
      if (this.flags[at] & HAS) {
        if (this.low[at] < low) low = this.low[at];
        if (this.high[at] > high) high = this.high[at];
      }
    }
    out[0] = low <= high ? low : NaN;
    out[1] = low <= high ? high : NaN;
  }
}

/**
 * What two ascending lists of spans [from, to, from, to, ...] have in common, in the same form.
 * @param {number[]} a @param {number[]} b
 */
export function overlap(a, b) {
  /** @type {number[]} */
  const common = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i], b[j]);
    const to = Math.min(a[i + 1], b[j + 1]);
    if (from < to) common.push(from, to);
    if (a[i + 1] < b[j + 1]) i += 2;
    else j += 2;
  }
  return common;
}
