/**
 * The range of past requests: a preset that ends now, or two instants. Pure.
 */

/** @import { SpanChoice } from "./types" */

export const HOUR_MS = 3_600_000;
/** @type {Record<string, number>} */
const LENGTHS = { "1h": HOUR_MS, "24h": 24 * HOUR_MS, "7d": 7 * 24 * HOUR_MS, "30d": 30 * 24 * HOUR_MS };
export const FIRST = { preset: "24h", model: "" };
const AHEAD_MS = 60_000; // what began while we asked is in it

/**
 * What was kept of a choice; the first one for anything else.
 * @param {string} text @returns {SpanChoice}
 */
export function readChoice(text) {
  try {
    const { preset, from, to, model } = JSON.parse(text);
    const chosen = Object.hasOwn(LENGTHS, preset)
      ? { preset }
      : Number.isFinite(from) && Number.isFinite(to)
        ? { from, to }
        : { preset: FIRST.preset };
    return { ...chosen, model: typeof model === "string" ? model : "" };
  } catch {
    return FIRST;
  }
}

/**
 * The span of a choice: {from_ms, to_ms, model}.
 * @param {SpanChoice} choice @param {number} nowMs
 */
export function spanOf({ preset, from, to, model }, nowMs) {
  if (!preset) return { from_ms: from ?? NaN, to_ms: to ?? NaN, model };
  return { from_ms: nowMs - LENGTHS[preset], to_ms: nowMs + AHEAD_MS, model };
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/**
 * An instant, to the minute, as an input of type datetime-local has it, in this browser's zone.
 * @param {number} ms
 */
export function toInput(ms) {
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/**
 * The instant that such an input means; NaN for what is none.
 * @param {string} text
 */
export function fromInput(text) {
  return text ? new Date(text).getTime() : NaN;
}
