/**
 * Tokens on a time axis: which column of the strip holds which, how tall and how sure. Pure.
 *
 * Columns are cut at absolute times, like those of a chart, so that the strip scrolls and only new columns are drawn.
 * A column of several tokens shows the largest chunk and the mean entropy of those that have one.
 */

import { text as written } from "./format.mjs";

export const STALL_MS = 400;
export const FULL_BITS = 6; // from here on the last colour
const WINDOWS = [[30_000, 10_000], [60_000, 20_000]]; // the view's window -> the strip's
const LONGEST_MS = 30_000;

/** The strip's window for the view's: a third of it, from ten to thirty seconds. */
export function spanFor(viewMs) {
  for (const [view, strip] of WINDOWS) if (viewMs <= view) return strip;
  return LONGEST_MS;
}

/** The step of a ramp of `steps` colours for an entropy: 0 is sure; -1 where it is not known. */
export function shade(bits, steps) {
  if (bits === null || bits === undefined || bits !== bits) return -1;
  return Math.min(steps - 1, Math.max(0, Math.floor((bits / FULL_BITS) * steps)));
}

/** The height of a chunk's line, as a share: one token 0.6, rising with each doubling, 1 from sixteen on. */
export function tallness(tokens) {
  return tokens > 0 ? Math.min(1, 0.6 + 0.1 * Math.log2(tokens)) : 0;
}

/** Columns of one model's tokens; owned by one strip. */
export class TickColumns {
  constructor() {
    this.capacity = 0;
    this.columnMs = 0;
    this.reset();
  }

  reset() {
    this.newest = -Infinity;
    this.chunks = { track: null, epoch: -1, cursor: 0 };
    this.bits = { track: null, epoch: -1, cursor: 0 };
    this.tokens?.fill(0);
    this.count?.fill(0);
    this.sum?.fill(0);
  }

  /**
   * Take what is new of the two tracks (either may be undefined) up to `untilMs`. Gives the first column that changed, or
   * Infinity; -Infinity when all did.
   */
  follow(chunks, bits, columnMs, capacity, untilMs) {
    let all = false;
    if (columnMs !== this.columnMs || capacity > this.capacity) {
      this.columnMs = columnMs;
      if (capacity > this.capacity) {
        this.capacity = capacity;
        this.tokens = new Float32Array(capacity);
        this.sum = new Float32Array(capacity);
        this.count = new Uint16Array(capacity);
      }
      all = true;
    }
    const ahead = this.newest > untilMs / columnMs + 1;
    if (all || ahead || this.#other(this.chunks, chunks) || this.#other(this.bits, bits)) {
      this.reset();
      this.#point(this.chunks, chunks);
      this.#point(this.bits, bits);
      all = true;
    }
    const first = Math.min(
      this.#take(this.chunks, untilMs, (at, value) => {
        if (value > this.tokens[at]) this.tokens[at] = value;
      }),
      this.#take(this.bits, untilMs, (at, value) => {
        this.sum[at] += value;
        this.count[at] += 1;
      }),
    );
    return all ? -Infinity : first;
  }

  #other(cursor, track) {
    return (track ?? null) !== cursor.track || (track && (track.epoch !== cursor.epoch || track.total - cursor.cursor > track.size));
  }

  #point(cursor, track) {
    cursor.track = track ?? null;
    cursor.epoch = track?.epoch ?? -1;
    cursor.cursor = track ? track.total - track.size : 0;
  }

  #take(cursor, untilMs, put) {
    const { track } = cursor;
    if (!track) return Infinity;
    let first = Infinity;
    for (let i = track.size - (track.total - cursor.cursor); i < track.size; i += 1) {
      const slot = track.slot(i);
      if (track.t[slot] > untilMs) break;
      cursor.cursor += 1;
      const value = track.v[slot];
      if (value !== value) continue;
      const column = Math.floor(track.t[slot] / this.columnMs);
      if (column > this.newest) this.#advance(column);
      if (column <= this.newest - this.capacity) continue;
      put(column % this.capacity, value);
      if (column < first) first = column;
    }
    return first;
  }

  #advance(column) {
    for (let c = Math.max(this.newest + 1, column - this.capacity + 1); c <= column; c += 1) {
      const at = c % this.capacity;
      this.tokens[at] = 0;
      this.sum[at] = 0;
      this.count[at] = 0;
    }
    this.newest = column;
  }

  /** Tokens of the largest chunk in a column; 0 for none. */
  tokensAt(column) {
    return column > this.newest || column <= this.newest - this.capacity ? 0 : this.tokens[column % this.capacity];
  }

  /** Mean entropy in a column, NaN where none is known. */
  bitsAt(column) {
    const at = column % this.capacity;
    return this.count[at] ? this.sum[at] / this.count[at] : NaN;
  }
}

/** What stands above the ticks: first tokens and stalls that ended, by their events. Owned by one strip. */
export class Marks {
  constructor() {
    this.list = []; // {kind: "first" | "stall", from, to, ms}
    this.cursors = new Map();
  }

  /** Take what is new up to `untilMs` and forget what ended before `fromMs`; gives the new marks, null when all are new. */
  follow(firsts, intervals, fromMs, untilMs) {
    const fresh = [];
    const again = [this.#new("first", firsts, untilMs, fresh), this.#new("stall", intervals, untilMs, fresh)].some(Boolean);
    if (again) {
      this.list = [];
      this.cursors.clear();
      fresh.length = 0;
      this.#new("first", firsts, untilMs, fresh);
      this.#new("stall", intervals, untilMs, fresh);
    }
    this.list.push(...fresh);
    while (this.list.length && this.list[0].to < fromMs) this.list.shift();
    return again ? null : fresh;
  }

  /** Read one track's new events; true when it is another track than before, or one that changed under us. */
  #new(kind, track, untilMs, fresh) {
    const known = this.cursors.get(kind);
    if (!track) return Boolean(known);
    const lost = known && (known.track !== track || known.epoch !== track.epoch || track.total - known.total > track.size);
    if (lost) return true;
    let total = known ? known.total : track.total - track.size;
    for (let i = track.size - (track.total - total); i < track.size; i += 1) {
      const slot = track.slot(i);
      const t = track.t[slot];
      if (t > untilMs) break;
      total += 1;
      const ms = track.v[slot];
      if (kind === "first" && ms === ms) fresh.push({ kind, from: t, to: t, ms });
      if (kind === "stall" && ms > STALL_MS) fresh.push({ kind, from: t - ms, to: t, ms });
    }
    this.cursors.set(kind, { track, epoch: track.epoch, total });
    return false;
  }
}

/** Tokens of a track in (from, to], oldest first: {t, tokens, bits}; `bits` NaN where the instant has none. */
export function ticksIn(chunks, bits, from, to) {
  const ticks = [];
  if (!chunks) return ticks;
  let b = bits ? bits.countUntil(from) : 0;
  for (let i = chunks.countUntil(from); i < chunks.size; i += 1) {
    const slot = chunks.slot(i);
    const t = chunks.t[slot];
    if (t > to) break;
    if (chunks.v[slot] !== chunks.v[slot]) continue;
    while (bits && b < bits.size && bits.t[bits.slot(b)] < t) b += 1;
    const meets = bits && b < bits.size && bits.t[bits.slot(b)] === t;
    ticks.push({ t, tokens: chunks.v[slot], bits: meets ? bits.v[bits.slot(b)] : NaN });
  }
  return ticks;
}

/** The i-th of some ticks in words: "token 12 of this window, 23 ms after the one before, 1.4 bits". */
export function reading(ticks, i, scope = "this window") {
  const { t, tokens, bits } = ticks[i];
  const what = tokens > 1 ? `chunk ${i + 1} of ${ticks.length} in ${scope}, ${tokens} tokens` : `token ${i + 1} of ${ticks.length} in ${scope}`;
  const after = i > 0 ? `, ${written(t - ticks[i - 1].t, "ms")} after the one before` : "";
  return `${what}${after}, ${bits === bits && bits !== null ? written(bits, "bit") : "entropy not known"}`;
}

/** The picture in one sentence. */
export function sentence(name, ticks, stalls, spanMs) {
  const seconds = `the last ${Math.round(spanMs / 1000)} seconds`;
  if (!ticks.length) return `Tokens of ${name}: none in ${seconds}`;
  const tokens = ticks.reduce((sum, tick) => sum + tick.tokens, 0);
  const known = ticks.filter(({ bits }) => bits === bits && bits !== null);
  const mean = known.reduce((sum, { bits }) => sum + bits, 0) / known.length;
  const sure = known.length ? `mean entropy ${written(mean, "bit")}` : "entropy not known";
  const paused = stalls ? `${stalls} stall${stalls > 1 ? "s" : ""}` : "no stall";
  return `Tokens of ${name}: ${tokens} in ${seconds}, ${sure}, ${paused}`;
}
