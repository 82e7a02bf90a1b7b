/**
 * Rows as CSV (RFC 4180), safe to open in a spreadsheet. Pure.
 */

/** @import { Cell } from "../series/types" */

const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would compute a text that begins like this
const QUOTED = /[",\r\n]/;

/**
 * One cell. A number is written in full; a text that begins like a formula gets an apostrophe before it.
 * @param {Cell | undefined} value
 */
export function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const told = String(value);
  const text = FORMULA.test(told) ? `'${told}` : told;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * The whole file: a line of titles, then a line a row. `rows`: arrays of cells.
 * @param {string[]} titles @param {(Cell | undefined)[][]} rows
 */
export function csvText(titles, rows) {
  return [titles, ...rows].map((cells) => `${cells.map(csvCell).join(",")}\r\n`).join("");
}

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/**
 * An instant with its zone, ISO 8601: 2026-11-28T14:02:31.250+01:00. `minutesEast` fixes the zone (tests).
 * @param {number} ms @param {number} [minutesEast]
 */
export function isoTime(ms, minutesEast = -new Date(ms).getTimezoneOffset()) {
  const sign = minutesEast < 0 ? "-" : "+";
  const size = Math.abs(minutesEast);
  const there = new Date(ms + minutesEast * 60_000).toISOString().slice(0, -1);
  return `${there}${sign}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
