/**
 * Tokens on a time axis: the column, height and certainty of each. Pure.
 *
 * Columns are cut at absolute times, like those of a chart, so that the strip scrolls and only new columns are drawn.
 * A column of several tokens shows the largest chunk and the mean entropy of those that have one.
 */

import { text as written } from "../series/format.mjs";

/**
 * @import { Mark, MarkTracks, Tick, TrackCursor } from "./types"
 * @import { Track } from "../series/track.mjs"
 */

export const STALL_MS = 400;
export const FULL_BITS = 6; // from here on the last colour
const WINDOWS = [
  [30_000, 10_000],
  [60_000, 20_000],
]; // the view's window -> the strip's
const LONGEST_MS = 30_000;

/**
 * The strip's window for the view's: a third of it, from ten to thirty seconds.
 * @param {number} viewMs
 */
export function spanFor(viewMs) {
  for (const [view, strip] of WINDOWS) if (viewMs <= view) return strip;
  return LONGEST_MS;
}

/**
 * The step of a ramp of `steps` colours for an entropy: 0 is sure; -1 where it is not known.
 * @param {number | null | undefined} bits @param {number} steps
 */
export function shade(bits, steps) {
  if (bits === null || bits === undefined || bits !== bits) return -1;
  return Math.min(steps - 1, Math.max(0, Math.floor((bits / FULL_BITS) * steps)));
}

/**
 * The height of a chunk's line, as a share: one token 0.6, rising with each doubling, 1 from sixteen on.
 * @param {number} tokens
 */
export function tallness(tokens) {
  return tokens > 0 ? Math.min(1, 0.6 + 0.1 * Math.log2(tokens)) : 0;
}

/** Columns of one model's tokens; owned by one strip. */
export class TickColumns {
  capacity = 0;
  columnMs = 0;
  newest = -Infinity;
  tokens = new Float32Array(0);
  sum = new Float32Array(0);
  count = new Uint16Array(0);
  /** @type {TrackCursor} */
  chunks = { track: null, epoch: -1, cursor: 0 };
  /** @type {TrackCursor} */
  bits = { track: null, epoch: -1, cursor: 0 };

  reset() {
    this.newest = -Infinity;
    this.chunks = { track: null, epoch: -1, cursor: 0 };
    this.bits = { track: null, epoch: -1, cursor: 0 };
    this.tokens.fill(0);
    this.count.fill(0);
    this.sum.fill(0);
  }

  /**
   * Take what is new of the two tracks (either may be undefined) up to `untilMs`. Gives the first column that changed,
   * or Infinity; -Infinity when all did.
   * @param {Track | undefined} chunks @param {Track | undefined} bits @param {number} columnMs @param {number} capacity
   * @param {number} untilMs
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

  /** @param {TrackCursor} cursor @param {Track | undefined} track */
  #other(cursor, track) {
    return (
      (track ?? null) !== cursor.track ||
      (track && (track.epoch !== cursor.epoch || track.total - cursor.cursor > track.size))
    );
  }

  /** @param {TrackCursor} cursor @param {Track | undefined} track */
  #point(cursor, track) {
    cursor.track = track ?? null;
    cursor.epoch = track?.epoch ?? -1;
    cursor.cursor = track ? track.total - track.size : 0;
  }

  /** @param {TrackCursor} cursor @param {number} untilMs @param {(at: number, value: number) => void} put */
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

  /** @param {number} column */
  #advance(column) {
    for (let c = Math.max(this.newest + 1, column - this.capacity + 1); c <= column; c += 1) {
      const at = c % this.capacity;
      this.tokens[at] = 0;
      this.sum[at] = 0;
      this.count[at] = 0;
    }
    this.newest = column;
  }

  /**
   * Tokens of the largest chunk in a column; 0 for none.
   * @param {number} column
   */
  tokensAt(column) {
    return column > this.newest || column <= this.newest - this.capacity ? 0 : this.tokens[column % this.capacity];
  }

  /**
   * Mean entropy in a column, NaN where none is known.
   * @param {number} column
   */
  bitsAt(column) {
    const at = column % this.capacity;
    return this.count[at] ? this.sum[at] / this.count[at] : NaN;
  }
}

/**
 * Whether a track has an event at this very instant.
 * @param {Track | undefined} track @param {number} ms
 */
function meets(track, ms) {
  const until = track ? track.countUntil(ms) : 0;
  return track !== undefined && until > 0 && track.t[track.slot(until - 1)] === ms;
}

/**
 * Whether a request was open all the time in [from, to]; a track that was never told does not speak against it.
 * @param {Track | undefined} active @param {number} from @param {number} to
 */
function openAll(active, from, to) {
  if (!active) return true;
  if (active.valueAt(from) < 1) return false;
  for (let i = active.countUntil(from); i < active.size; i += 1) {
    const slot = active.slot(i);
    if (active.t[slot] >= to) break;
    if (!(active.v[slot] >= 1)) return false;
  }
  return true;
}

/**
 * What stands above the ticks: first tokens, and stalls that ended. A stall is an interval of a request over 400 ms;
 * where chunks have several tokens, which are no interval, it is a silence of that length while a request was open.
 * Owned by one strip.
 */
export class Marks {
  constructor() {
    /** @type {Mark[]} */
    this.list = []; // {kind: "first" | "stall", from, to, ms}
    /** @type {Map<string, { track: Track, epoch: number, total: number, before: number }>} */
    this.cursors = new Map();
  }

  /**
   * Take what is new of {firsts, intervals, chunks, active} (tracks or undefined) up to `untilMs` and forget what ended
   * before `fromMs`; gives the new marks, null when all are new.
   * @param {MarkTracks} tracks @param {number} fromMs @param {number} untilMs
   */
  follow(tracks, fromMs, untilMs) {
    /** @type {Mark[]} */
    const fresh = [];
    const again = !this.#all(tracks, untilMs, fresh);
    if (again) {
      this.list = [];
      this.cursors.clear();
      fresh.length = 0;
      this.#all(tracks, untilMs, fresh);
    }
    this.list.push(...fresh);
    if (this.list.some((mark) => mark.to < fromMs)) this.list = this.list.filter((mark) => mark.to >= fromMs);
    return again ? null : fresh;
  }

  /**
   * Read all tracks' new events; false when one is another than before, or changed under us.
   * @param {MarkTracks} told @param {number} untilMs @param {Mark[]} fresh
   */
  #all({ firsts, intervals, chunks, active }, untilMs, fresh) {
    /** @param {number} t @param {number} ms */
    const first = (t, ms) => fresh.push({ kind: "first", from: t, to: t, ms });
    /** @param {number} from @param {number} to */
    const stall = (from, to) => {
      if (!fresh.some((mark) => mark.kind === "stall" && mark.to === to))
        fresh.push({ kind: "stall", from, to, ms: to - from });
    };
    const known = [
      this.#new("first", firsts, untilMs, first),
      this.#new("interval", intervals, untilMs, (t, ms) => ms > STALL_MS && stall(t - ms, t)),
      this.#new("chunk", chunks, untilMs, (t, _, before) => {
        if (t - before > STALL_MS && !meets(firsts, t) && openAll(active, before, t)) stall(before, t);
      }),
    ];
    return known.every(Boolean);
  }

  /**
   * @param {string} kind @param {Track | undefined} track @param {number} untilMs
   * @param {(t: number, value: number, before: number) => void} take
   */
  #new(kind, track, untilMs, take) {
    const known = this.cursors.get(kind);
    if (!track) return !known;
    if (known && (known.track !== track || known.epoch !== track.epoch || track.total - known.total > track.size))
      return false;
    let total = known ? known.total : track.total - track.size;
    let before = known ? known.before : NaN;
    for (let i = track.size - (track.total - total); i < track.size; i += 1) {
      const slot = track.slot(i);
      const t = track.t[slot];
      if (t > untilMs) break;
      total += 1;
      if (track.v[slot] !== track.v[slot]) continue;
      take(t, track.v[slot], before);
      before = t;
    }
    this.cursors.set(kind, { track, epoch: track.epoch, total, before });
    return true;
  }
}

/**
 * Tokens of a track in (from, to], oldest first: {t, tokens, bits}; `bits` NaN where the instant has none.
 * @param {Track | undefined} chunks @param {Track | undefined} bits @param {number} from @param {number} to
 * @returns {Tick[]}
 */
export function ticksIn(chunks, bits, from, to) {
  /** @type {Tick[]} */
  const ticks = [];
  if (!chunks) return ticks;
  let b = bits ? bits.countUntil(from) : 0;
  for (let i = chunks.countUntil(from); i < chunks.size; i += 1) {
    const slot = chunks.slot(i);
    const t = chunks.t[slot];
    if (t > to) break;
    if (chunks.v[slot] !== chunks.v[slot]) continue;
    while (bits && b < bits.size && bits.t[bits.slot(b)] < t) b += 1;
    const known = bits && b < bits.size && bits.t[bits.slot(b)] === t;
    ticks.push({ t, tokens: chunks.v[slot], bits: known ? bits.v[bits.slot(b)] : NaN });
  }
  return ticks;
}

/**
 * The i-th of some ticks in words: "token 12 of this window, 23 ms after the previous one, 1.4 bits".
 * @param {Tick[]} ticks @param {number} i @param {string} [scope]
 */
export function reading(ticks, i, scope = "this window") {
  const { t, tokens, bits } = ticks[i];
  const what =
    tokens > 1
      ? `chunk ${i + 1} of ${ticks.length} in ${scope}, ${tokens} tokens`
      : `token ${i + 1} of ${ticks.length} in ${scope}`;
  const after = i > 0 ? `, ${written(t - ticks[i - 1].t, "ms")} after the previous one` : "";
  return `${what}${after}, ${bits === bits && bits !== null ? written(bits, "bit") : "entropy unknown"}`;
}

/**
 * The picture in one sentence.
 * @param {string} name @param {Tick[]} ticks @param {number} stalls @param {number} spanMs
 */
export function sentence(name, ticks, stalls, spanMs) {
  const seconds = `the last ${Math.round(spanMs / 1000)} seconds`;
  if (!ticks.length) return `Tokens of ${name}: none in ${seconds}`;
  const tokens = ticks.reduce((sum, tick) => sum + tick.tokens, 0);
  const known = ticks.filter(({ bits }) => bits === bits && bits !== null);
  const mean = known.reduce((sum, { bits }) => sum + bits, 0) / known.length;
  const sure = known.length ? `mean entropy ${written(mean, "bit")}` : "entropy unknown";
  const paused = stalls ? `${stalls} stall${stalls > 1 ? "s" : ""}` : "no stall";
  return `Tokens of ${name}: ${tokens} in ${seconds}, ${sure}, ${paused}`;
}
