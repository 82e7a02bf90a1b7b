/**
 * An instant of the past, written in this browser's zone: "2026-11-28 14:02". The monitor wrote it in UTC, for those
 * without.
 */

import { textOf } from "../dom/elements.mjs";

/** @param {number} n */
const two = (n) => String(n).padStart(2, "0");

/**
 * Day, hour and minute; `minutesEast` fixes the zone (tests).
 * @param {number} ms @param {number} [minutesEast]
 */
export function momentText(ms, minutesEast = -new Date(ms).getTimezoneOffset()) {
  const at = new Date(ms + minutesEast * 60_000);
  const day = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
  return `${day} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

export class Moment {
  /** @param {HTMLTimeElement} host */
  constructor(host) {
    this.host = host;
    /** @type {string | undefined} */
    this.shown = undefined;
    this.write();
  }

  destroy() {}

  /** Write it anew where the page has put another instant there. */
  write() {
    const { ms } = this.host.dataset;
    if (ms === this.shown) return;
    this.shown = ms;
    textOf(this.host).data = momentText(Number(ms));
    this.host.title = `${this.host.dateTime} (UTC)`;
  }
}
