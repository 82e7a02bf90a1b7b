/**
 * The History page's time axis: tick positions and labels. Pure.
 *
 * The picture itself counts in UTC, so that a day of 23 or 25 hours is as long as it was; only words are local.
 * `eastAt` gives the minutes east of UTC at an instant.
 */

/** @import { EastAt, Ticks } from "./types" */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14].map((n) => n * DAY),
];
const MONTHS = [1, 2, 3, 6, 12, 24];
const MONTH = 30.4 * DAY;
const MONDAY = 4 * DAY; // the first one of 1970 was the fifth day: weeks are counted from it
const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");
/** @param {Date} at @param {boolean} fine */
const clock = (at, fine) =>
  `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${fine ? `:${two(at.getUTCSeconds())}` : ""}`;
/** @param {Date} at */
const day = (at) => `${at.getUTCDate()} ${NAMES[at.getUTCMonth()]}`;

/**
 * The local clock's reading at `ms`, as a Date whose UTC fields are the local ones.
 * @param {number} ms @param {EastAt} eastAt
 */
const local = (ms, eastAt) => new Date(ms + eastAt(ms) * MINUTE);

/**
 * The instant at which the local clock reads `reading`; NaN where it never does (an hour that summer time leaves out).
 * @param {number} reading @param {EastAt} eastAt
 */
function instantOf(reading, eastAt) {
  for (const guess of [
    reading - eastAt(reading) * MINUTE - HOUR,
    reading - eastAt(reading) * MINUTE,
    reading - eastAt(reading) * MINUTE + HOUR,
  ]) {
    const ms = reading - eastAt(guess) * MINUTE;
    if (ms + eastAt(ms) * MINUTE === reading) return ms;
  }
  return NaN;
}

/**
 * Local readings of the ticks between two readings, on a step that gives at most `most` of them.
 * @param {number} from @param {number} to @param {number} most
 */
function readings(from, to, most) {
  const wanted = (to - from) / Math.max(1, most);
  const step = STEPS.find((each) => each >= wanted);
  /** @type {number[]} */
  const found = [];
  if (step) {
    const origin = step >= 7 * DAY ? MONDAY : 0;
    for (let at = Math.ceil((from - origin) / step) * step + origin; at <= to; at += step) found.push(at);
    return { found, step };
  }
  const months = MONTHS.find((each) => each * MONTH >= wanted) ?? MONTHS[MONTHS.length - 1];
  const begin = new Date(from);
  for (
    let month = Math.ceil(begin.getUTCMonth() / months) * months, at;
    (at = Date.UTC(begin.getUTCFullYear(), month)) <= to;
    month += months
  ) {
    if (at >= from) found.push(at);
  }
  return { found, step: months * MONTH };
}

/**
 * Ticks of the axis from `fromMs` to `toMs`, `most` at most: [{ms, text, more}]. `text` tells them apart (a time, or
 * over days a date); `more` is what goes with it (the date of a time, the year of a date) where it is not that of the
 * tick before.
 * @param {number} fromMs @param {number} toMs @param {number} most @param {EastAt} eastAt
 */
export function timeTicks(fromMs, toMs, most, eastAt) {
  const { found, step } = readings(fromMs + eastAt(fromMs) * MINUTE, toMs + eastAt(toMs) * MINUTE, most);
  let before = "";
  const ticks = [];
  for (const reading of found) {
    const ms = instantOf(reading, eastAt);
    if (!(ms >= fromMs && ms <= toMs)) continue;
    const at = new Date(reading);
    const [text, more] = step >= DAY ? [day(at), String(at.getUTCFullYear())] : [clock(at, step < MINUTE), day(at)];
    ticks.push({ ms, text, more: more === before ? "" : more });
    before = more;
  }
  return ticks;
}

/**
 * What plotly is told of the ticks: on the lower axis both lines, on the upper one a date takes the place of 00:00.
 * @param {number} fromMs @param {number} toMs @param {number} most @param {EastAt} eastAt
 * @returns {Record<"xaxis" | "xaxis2", Ticks>}
 */
export function axisTicks(fromMs, toMs, most, eastAt) {
  const ticks = timeTicks(fromMs, toMs, most, eastAt);
  const tickvals = ticks.map(({ ms }) => new Date(ms).toISOString().slice(0, 23));
  const lower = ticks.map(({ text, more }) => (more ? `${text}<br>${more}` : text));
  const upper = ticks.map(({ text, more }) => (/^00:00(:00)?$/.test(text) && more ? more : text));
  /** @param {string[]} ticktext @returns {Ticks} */
  const as = (ticktext) => ({ tickmode: "array", tickvals, ticktext });
  return { xaxis: as(lower), xaxis2: as(upper) };
}

/**
 * An instant as pointing at a chart names it: "20 Nov 2026, 14:00:05".
 * @param {number} ms @param {EastAt} eastAt
 */
export function instantText(ms, eastAt) {
  const at = local(ms, eastAt);
  return `${day(at)} ${at.getUTCFullYear()}, ${clock(at, true)}`;
}
