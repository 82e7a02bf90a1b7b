/**
 * Number formatting: decimals fixed by magnitude and one unit, so that figures do not jitter.
 * Pure. `parts(value, unit)` gives {number, unit}; a value that is not finite reads "no data".
 */

import { eastAt } from "./zone.mjs";

/** @import { Written } from "./types" */

export const ABSENT = "no data";

const BYTE_STEPS = ["B", "kB", "MB", "GB", "TB", "PB"];
const PLAIN_STEPS = ["", "k", "M", "G", "T"];
const JOULE_STEPS = ["J", "kJ", "MJ"];
const HERTZ_STEPS = ["Hz", "kHz", "MHz", "GHz"];

/**
 * Climb a ladder of factors of 1000 so that what is shown, after rounding, stays under 1000.
 * @param {number} value @param {string[]} steps @param {(value: number, rung: number) => number} decimals
 */
function climb(value, steps, decimals) {
  let rung = 0;
  let scaled = value;
  while (rung < steps.length - 1 && Number(Math.abs(scaled).toFixed(decimals(scaled, rung))) >= 1000) {
    scaled /= 1000;
    rung += 1;
  }
  return { number: plain(scaled, decimals(scaled, rung)), unit: steps[rung] };
}

/**
 * A figure with fixed decimals; "-0" and "-0.0" lose their sign.
 * @param {number} value @param {number} decimals
 */
function plain(value, decimals) {
  const text = value.toFixed(decimals);
  return Number(text) === 0 && text.startsWith("-") ? text.slice(1) : text;
}

/** @param {number} limit @param {number} low @param {number} high @returns {(value: number) => number} */
const under = (limit, low, high) => (value) => (Math.abs(value) < limit ? low : high);
/** @param {number} value @param {number} rung */
const byteDecimals = (value, rung) => (rung === 0 || Math.abs(value) >= 99.95 ? 0 : 1);
/** @param {number} value @param {number} rung */
const countDecimals = (value, rung) => {
  if (rung > 0) return Math.abs(value) >= 99.95 ? 0 : 1;
  return Number.isInteger(value) || Math.abs(value) >= 99.95 ? 0 : 1;
};

/** @param {number} value @returns {Written} */
function milliseconds(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return seconds(value / 1000);
  if (size >= 99.95) return { number: plain(value, 0), unit: "ms" };
  return { number: plain(value, size < 0.95 && size > 0 ? 2 : 1), unit: "ms" };
}

/** @param {number} value @returns {Written} */
function seconds(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 0.9995) return milliseconds(value * 1000);
  if (size >= 86_400) return { number: plain(value / 86_400, 1), unit: "d" };
  if (size >= 5_999.5) return { number: plain(value / 3600, 1), unit: "h" };
  if (size >= 119.5) return { number: plain(value / 60, 1), unit: "min" };
  return { number: plain(value, size < 9.995 ? 2 : 1), unit: "s" };
}

/**
 * One row a unit of the metric catalogue; a unit without a row is written as it is.
 * @type {Record<string, (value: number) => Written>}
 */
const WRITERS = {
  "%": (v) => ({ number: plain(v, under(9.95, 1, 0)(v)), unit: "%" }),
  B: (v) => climb(v, BYTE_STEPS, byteDecimals),
  "B/s": (v) => {
    const { number, unit } = climb(v, BYTE_STEPS, byteDecimals);
    return { number, unit: `${unit}/s` };
  },
  ms: milliseconds,
  s: seconds,
  Hz: (v) => climb(v, HERTZ_STEPS, (x, rung) => (rung > 0 ? 2 : under(9.95, 1, 0)(x))),
  MHz: (v) => climb(v * 1e6, HERTZ_STEPS, (_, rung) => (rung === 3 ? 2 : 0)),
  us: (v) => (Math.abs(v) >= 999.5 ? milliseconds(v / 1000) : { number: plain(v, under(99.95, 1, 0)(v)), unit: "µs" }),
  "°C": (v) => ({ number: plain(v, 0), unit: "°C" }),
  W: (v) => ({ number: plain(v, under(99.95, 1, 0)(v)), unit: "W" }),
  FPS: (v) => ({ number: plain(v, 0), unit: "FPS" }),
  bit: (v) => ({ number: plain(v, under(0.995, 2, 1)(v)), unit: "bits" }),
  J: (v) => {
    const small = Math.abs(v) > 0 && Math.abs(v) < 0.9995;
    return small
      ? { number: plain(v * 1000, under(99.95, 1, 0)(v * 1000)), unit: "mJ" }
      : climb(v, JOULE_STEPS, under(99.95, 1, 0));
  },
  "tokens/s": (v) => {
    const { number, unit } = climb(v, PLAIN_STEPS, under(99.95, 1, 0));
    return { number: number + unit, unit: "tokens/s" };
  },
  index: (v) => ({ number: plain(v, 2), unit: "" }), // from 0 to 1
};

/** @type {Record<string, string>} */
const ALIASES = {
  percent: "%",
  bytes: "B",
  "bytes/s": "B/s",
  byte: "B",
  celsius: "°C",
  watts: "W",
  watt: "W",
  hertz: "Hz",
  seconds: "s",
  milliseconds: "ms",
  fps: "FPS",
  C: "°C",
};

/**
 * The unit's canonical name: `percent` and `%` are the same thing.
 * @param {string} unit
 */
export function canonicalUnit(unit) {
  return ALIASES[unit] ?? unit ?? "";
}

/**
 * {number, unit} of a value; `number` is "absent" and `unit` empty when there is nothing to show.
 * @param {number | null | undefined} value @param {string} [unit] @returns {Written}
 */
export function parts(value, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return { number: ABSENT, unit: "" };
  const name = canonicalUnit(unit);
  const writer = WRITERS[name];
  if (writer) return writer(value);
  const suffix = name === "1" || name === "count" ? "" : name;
  const { number, unit: prefix } = climb(value, PLAIN_STEPS, countDecimals);
  return { number: number + prefix, unit: suffix };
}

/**
 * The same as one string: "11.2 GB".
 * @param {number | null | undefined} value @param {string} [unit]
 */
export function text(value, unit = "") {
  const { number, unit: shown } = parts(value, unit);
  return shown ? `${number} ${shown}` : number;
}

/**
 * The same on an axis, without trailing zeros: "20 GB".
 * @param {number | null | undefined} value @param {string} [unit]
 */
export function axisText(value, unit = "") {
  const { number, unit: shown } = parts(value, unit);
  const short = /\.\d*0$/.test(number) ? number.replace(/\.?0+$/, "") : number;
  return shown ? `${short} ${shown}` : short;
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/**
 * hh:mm:ss in the user's zone; `minutesEast` fixes the zone (tests).
 * @param {number} ms @param {number | null} [minutesEast]
 */
export function clockTime(ms, minutesEast = null) {
  if (!Number.isFinite(ms)) return "--:--:--";
  const east = minutesEast ?? eastAt(ms);
  const date = new Date(ms + east * 60_000);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}

/**
 * "3 s", "2 min", "1 h 5 min": how long something lasts, in words for a person.
 * @param {number} ms
 */
export function span(ms) {
  if (!Number.isFinite(ms)) return "";
  const total = Math.max(0, Math.floor(ms / 1000));
  if (total < 120) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
