/**
 * The page's state for tests and benchmarks, as copied plain values. Pure.
 */

/** @import { View } from "../chart/types" */
/** @import { Ring } from "../series/stats.mjs" */
/** @import { Store } from "../series/store.mjs" */
/** @import { ServerClock } from "../stream/clock.mjs" */
/** @import { Link } from "../stream/link.mjs" */
/** @import { FrameMeter } from "./frames.mjs" */
/** @import { Page } from "./page.mjs" */
/** @import { Quality } from "./quality.mjs" */

/**
 * @param {{
 *   store: Store, meter: FrameMeter, link: Link, clock: ServerClock, quality: Quality, view: View, page: Page,
 *   tokensPainted: Ring
 * }} live
 */
export function figuresOf({ store, meter, link, clock, quality, view, page, tokensPainted }) {
  const { counters } = store;
  return {
    intervals: meter.intervals.newest(),
    work: meter.work.newest(),
    paint: meter.latencies.newest(),
    tokenPaint: tokensPainted.newest(),
    fps: meter.fps(),
    frames: meter.frames,
    missed: meter.missed,
    longFrames: meter.longFrames,
    phase: link.phase,
    transport: link.way,
    refused: link.bad,
    boot: store.boot,
    seq: store.seq,
    duplicates: counters.duplicates,
    gaps: counters.breaks,
    drops: counters.late + counters.unknown,
    counters: { ...counters },
    client: { ...store.client },
    series: store.tracks.size,
    known: store.knownMs,
    clockOffset: clock.offset,
    roundTrip: clock.roundTrip,
    quality: quality.step,
    falls: quality.falls,
    charts: page.charts.length,
    frozen: view.frozenMs !== null,
    window: view.span / 1000,
  };
}
