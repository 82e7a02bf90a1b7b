/**
 * The page's own performance: frame intervals, main-thread time, missed frames, long frames, inputs. Pure but for
 * `observe`.
 *
 * A frame's work is the time from the start of its animation callback to the first task after it: drawing, style,
 * layout and paint included. Hidden spans are left out: after one, the first interval is not counted.
 */

import { Ring, rank } from "../series/stats.mjs";

/**
 * @import { Sample } from "../series/types"
 * @import { UxReport } from "../stream/messages"
 */

export const VSYNC_MS = 1000 / 60;
const KEPT = 3_600; // a minute at 60 Hz
const MISSED = 1.5; // an interval longer than this many refreshes has missed at least one
const MAX_BATCH = 300; // intervals of one report at most
const REFRESH_AFTER = 120;

/** Counts and rings of one page. */
export class FrameMeter {
  constructor() {
    this.intervals = new Ring(KEPT);
    this.work = new Ring(KEPT);
    this.latencies = new Ring(KEPT);
    this.refreshMs = VSYNC_MS; // the display's own beat; never taken for slower than 60 Hz
    this.missed = 0;
    this.frames = 0;
    this.longFrames = 0;
    this.lastStamp = NaN;
    this.batch = emptyBatch();
  }

  /**
   * A frame began: `stamp` is the animation callback's argument, `serverMs` the server's time then. Gives missed
   * refreshes.
   * @param {number} stamp @param {number} serverMs
   */
  frame(stamp, serverMs) {
    const before = this.lastStamp;
    this.lastStamp = stamp;
    if (before !== before || stamp <= before) return 0;
    const interval = stamp - before;
    this.frames += 1;
    this.intervals.push(interval);
    if (this.frames % REFRESH_AFTER === 0) {
      const fastest = rank(this.intervals.newest(REFRESH_AFTER), 0.1);
      this.refreshMs = Math.min(VSYNC_MS, Math.max(4, fastest));
    }
    const missed = interval > this.refreshMs * MISSED ? Math.round(interval / this.refreshMs) - 1 : 0;
    this.missed += missed;
    this.batch.missed += missed;
    if (this.batch.intervals.length < MAX_BATCH) {
      if (this.batch.t0 === null && serverMs === serverMs) this.batch.t0 = serverMs;
      this.batch.intervals.push(round(interval));
    }
    return missed;
  }

  /**
   * The main thread was busy for `ms` with the last frame.
   * @param {number} ms
   */
  worked(ms) {
    this.work.push(ms);
    if (this.batch.work.length < MAX_BATCH) this.batch.work.push(round(ms));
  }

  /**
   * A frame message's oldest sample was on the screen `ms` after it was taken.
   * @param {number} ms
   */
  painted(ms) {
    this.latencies.push(ms);
    if (this.batch.latency.length < MAX_BATCH) this.batch.latency.push(round(ms));
  }

  /**
   * The browser reported a long animation frame.
   * @param {number} ms
   */
  long(ms) {
    this.longFrames += 1;
    if (this.batch.loaf.length < 60) this.batch.loaf.push({ duration_ms: round(ms) });
  }

  /**
   * An input took `ms` to its next paint.
   * @param {number} ms
   */
  input(ms) {
    if (this.batch.inputs.length < 60) this.batch.inputs.push(round(ms));
  }

  /** The page was hidden or slept: the next interval says nothing. */
  interrupt() {
    this.lastStamp = NaN;
  }

  /** Forget the measurements so far (not what is still to be reported). */
  forget() {
    for (const ring of [this.intervals, this.work, this.latencies]) ring.clear();
    this.missed = 0;
    this.longFrames = 0;
  }

  /**
   * Frames a second over the newest `count` intervals; NaN before there are any.
   * @param {number} [count]
   */
  fps(count = 60) {
    const newest = this.intervals.newest(count);
    if (!newest.length) return NaN;
    return (1000 * newest.length) / newest.reduce((a, b) => a + b, 0);
  }

  /**
   * One report of what came together since the last one; null when there is nothing to say.
   * @param {string} page @param {boolean} hidden @param {number} serverMs @returns {UxReport | null}
   */
  report(page, hidden, serverMs) {
    const b = this.batch;
    if (!hidden && !b.intervals.length && !b.inputs.length) return null;
    this.batch = emptyBatch();
    return {
      type: "ux",
      page,
      t0: Math.round(b.t0 ?? serverMs),
      intervals: b.intervals,
      work: b.work,
      missed: b.missed,
      loaf: b.loaf,
      inputs: b.inputs,
      stream_latency: b.latency,
      hidden,
    };
  }
}

const WAITING = 64;

/** From a sample to the screen: frames of the stream whose samples wait to be drawn. */
export class PaintWatch {
  /**
   * `counts(id)`: whether a series' samples measure the way at all.
   * @param {(id: number) => boolean} counts
   */
  constructor(counts) {
    this.counts = counts;
    this.takenMs = new Float64Array(WAITING); // server time of a frame's oldest sample
    this.after = new Float64Array(WAITING); // number of the drawing before it came
    this.size = 0;
  }

  /**
   * A frame came, after drawing number `drawing`.
   * @param {number} t @param {Sample[]} values @param {number} drawing
   */
  expect(t, values, drawing) {
    if (this.size === WAITING) return;
    let oldest = -1;
    for (let i = 0; i < values.length; i += 1) {
      const [id, dt, value] = values[i];
      if (dt > oldest && value !== null && this.counts(id)) oldest = dt;
    }
    if (oldest < 0) return;
    this.takenMs[this.size] = t - oldest;
    this.after[this.size] = drawing;
    this.size += 1;
  }

  /**
   * Drawing number `drawing` is on the screen at server time `serverMs`; all charts had their turn within `turns`.
   * @param {number} drawing @param {number} turns @param {number} serverMs @param {{ painted(ms: number): void }} meter
   */
  drawn(drawing, turns, serverMs, meter) {
    let kept = 0;
    for (let i = 0; i < this.size; i += 1) {
      if (drawing - this.after[i] >= turns) meter.painted(serverMs - this.takenMs[i]);
      else {
        this.takenMs[kept] = this.takenMs[i];
        this.after[kept] = this.after[i];
        kept += 1;
      }
    }
    this.size = kept;
  }

  clear() {
    this.size = 0;
  }
}

/** @param {number} ms */
const round = (ms) => Math.round(ms * 100) / 100;

/**
 * What came together since the last report.
 * @typedef {Pick<UxReport, "intervals" | "work" | "missed" | "loaf" | "inputs">
 *   & { t0: number | null, latency: number[] }} Batch
 */

/** @returns {Batch} */
const emptyBatch = () => ({ t0: null, intervals: [], work: [], missed: 0, loaf: [], inputs: [], latency: [] });

/**
 * Hear the browser's own measurements where it makes them; gives a function that stops it.
 * @param {Pick<FrameMeter, "long" | "input">} meter @param {typeof PerformanceObserver | undefined} [Observer]
 */
export function observe(meter, Observer = globalThis.PerformanceObserver) {
  if (!Observer) return () => {};
  const known = Observer.supportedEntryTypes ?? [];
  /** @type {PerformanceObserver[]} */
  const observers = [];
  /** @param {string} type @param {PerformanceObserverInit} options @param {(entry: PerformanceEntry) => void} take */
  const listen = (type, options, take) => {
    if (!known.includes(type)) return;
    const observer = new Observer((entries) => entries.getEntries().forEach(take));
    observer.observe({ type, ...options });
    observers.push(observer);
  };
  listen("long-animation-frame", {}, (entry) => meter.long(entry.duration));
  // Both names are newer than the types of the browser that the compiler knows.
  listen("event", /** @type {PerformanceObserverInit} */ ({ durationThreshold: 16 }), (entry) => {
    if (/** @type {PerformanceEntry & { interactionId?: number }} */ (entry).interactionId) meter.input(entry.duration);
  });
  return () => observers.forEach((observer) => observer.disconnect());
}

/**
 * A page's name for its measurements: "/" -> "overview", "/system" -> "system".
 * @param {string} path
 */
export function pageName(path) {
  return path.replace(/^\/+|\/+$/g, "").split("/")[0] || "overview";
}
