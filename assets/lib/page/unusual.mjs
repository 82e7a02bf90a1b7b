/**
 * Marks the live chart of a series that is unusual for this hour of the day. A hint, never an alert.
 */

/**
 * @import { Unusual } from "../series/types"
 * @import { Chart } from "../chart/chart.mjs"
 * @import { Line } from "../chart/types"
 * @import { Store } from "../series/store.mjs"
 */

const HOUR_MS = 3_600_000;
const SHORT_PX = 320; // a narrower chart shows the word alone, so that its line stays visible
/** @type {[hours: number, range: string][]} */
const RANGES = [
  [5, "last 6 h"],
  [20, "last 24 h"],
  [Infinity, "last 7 d"],
]; // it began so many hours ago at most: what is opened

/**
 * Those of the stream's facts that belong to one of these series, itself or in other words.
 * @param {Unusual[] | null} rows @param {Set<string>} keys
 */
export function unusualOf(rows, keys) {
  return (rows ?? []).filter((row) => keys.has(row.series) || row.also.some((key) => keys.has(key)));
}

/**
 * {text, title, href} of a chart's mark; null where all is as usual.
 * @param {Unusual[]} rows @param {number} nowMs
 */
export function markOf(rows, nowMs) {
  if (!rows.length) return null;
  const first = rows.reduce((one, other) => (other.since_ms < one.since_ms ? other : one));
  const query = new URLSearchParams(rows.map((row) => ["series", row.series]));
  const range = RANGES.find(([hours]) => !(nowMs - first.since_ms > hours * HOUR_MS));
  if (range) query.set("range", range[1]);
  return {
    text: `unusual: ${first.usually}${rows.length > 1 ? `, and ${rows.length - 1} more` : ""}`,
    short: "unusual",
    title: [...rows.map((row) => row.text), "This is a hint, not an alert. Opens History at this time."].join("\n"),
    href: `/history?${query}`,
  };
}

export class UnusualMark {
  /** @param {Chart} chart */
  constructor(chart) {
    this.chart = chart;
    const { ownerDocument: document } = chart.host;
    this.element = document.createElement("a");
    this.element.className = "unusual";
    this.element.hidden = true;
    this.words = document.createElement("span");
    this.element.append(this.words);
    chart.host.append(this.element);
    /** @type {Unusual[] | null} */
    this.rows = null;
    /** @type {Line[] | null} */
    this.lines = null;
    this.width = 0;
  }

  /**
   * Written only when the facts, the chart's lines or its width are others than before.
   * @param {Store} store @param {number} nowMs
   */
  update(store, nowMs) {
    const { chart, element } = this;
    const rows = store.facts.unusual ?? null;
    if (rows === this.rows && chart.lines === this.lines && chart.width === this.width) return;
    this.rows = rows;
    this.lines = chart.lines;
    this.width = chart.width;
    const mark = markOf(unusualOf(rows, new Set(chart.lines.map(({ track }) => track.key))), nowMs);
    element.hidden = mark === null;
    if (mark === null) return;
    this.words.textContent = chart.width < SHORT_PX * chart.paint.ratio ? mark.short : mark.text;
    element.setAttribute("aria-label", mark.text);
    element.title = mark.title;
    element.href = mark.href;
  }

  destroy() {
    this.element.remove();
  }
}
