/**
 * Charts for screen readers: an up-to-date sentence, a table of the same window, a spoken cursor.
 */

import { clockTime, text as written } from "../series/format.mjs";
import { extent } from "../series/stats.mjs";
import { fillBody } from "./tables.mjs";

/**
 * @import { Line, View } from "../chart/types"
 * @import { Chart } from "../chart/chart.mjs"
 */

const ROWS = 30;
const MAX_SENTENCES = 4;

/**
 * The picture in one sentence: what, now, between which values, over how long.
 * @param {string} label @param {Pick<Line, "name" | "track">[]} lines @param {string} unit @param {number} from
 * @param {number} to @param {number} known
 */
export function altText(label, lines, unit, from, to, known) {
  const seconds = Math.round((to - from) / 1000);
  const facts = lines.slice(0, MAX_SENTENCES).map(({ name, track }) => {
    const { min, max, weight } = extent(track, from, Math.min(to, known));
    const who = lines.length > 1 ? `${name} ` : "";
    if (!weight) return `${who}${track.absent ? `absent, ${track.absent}` : "no data"}`;
    return `${who}now ${written(track.valueAt(known), unit)}, between ${written(min, unit)} and ${written(max, unit)}`;
  });
  if (lines.length > MAX_SENTENCES) facts.push(`and ${lines.length - MAX_SENTENCES} more`);
  return `${label}: ${facts.length ? facts.join("; ") : "no data"}; last ${seconds} seconds`;
}

/**
 * Rows of texts for the table of a chart: newest first, the value that held at each of ROWS instants.
 * @param {Pick<Line, "track">[]} lines @param {string} unit @param {number} from @param {number} to
 * @param {number} known @param {number} minutesEast
 */
export function tableRows(lines, unit, from, to, known, minutesEast) {
  const step = (to - from) / ROWS;
  const rows = [];
  for (let t = Math.floor(Math.min(to, known) / step) * step; t > from; t -= step) {
    rows.push([clockTime(t, minutesEast), ...lines.map(({ track }) => written(track.valueAt(t), unit))]);
  }
  return rows;
}

/** The table beside one chart; made on first use. */
export class ChartTable {
  /** @param {Chart} chart */
  constructor(chart) {
    this.chart = chart;
    const document = chart.host.ownerDocument;
    this.table = document.createElement("table");
    this.head = this.table.createTHead().insertRow();
    this.body = this.table.createTBody();
    /** @type {HTMLElement | null} */
    this.element = null;
    /** @type {Line[] | null} */
    this.lines = null;
  }

  get open() {
    return this.element !== null && !this.element.hidden;
  }

  /**
   * Show the table in place of the canvas, or the canvas again.
   * @param {boolean} open
   */
  show(open) {
    if (open) this.element ??= this.#build();
    if (this.element) this.element.hidden = !open;
    this.chart.canvas.hidden = open;
    this.chart.host.classList.toggle("as-table", open);
  }

  #build() {
    const document = this.chart.host.ownerDocument;
    const element = document.createElement("div");
    element.className = "chart-table scroll";
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", `${this.chart.config.label}, as a table`);
    element.append(this.table);
    this.chart.host.append(element);
    return element;
  }

  /** @param {View} view */
  update(view) {
    if (!this.open) return;
    const { chart } = this;
    if (this.lines !== chart.lines) {
      this.lines = chart.lines;
      const names = ["Time", ...chart.lines.map((line) => (chart.lines.length > 1 ? line.name : "Value"))];
      this.head.replaceChildren(
        ...names.map((name) => {
          const th = this.head.ownerDocument.createElement("th");
          th.scope = "col";
          th.textContent = name;
          return th;
        }),
      );
    }
    fillBody(
      this.body,
      tableRows(chart.lines, chart.unit, view.right - view.span, view.right, view.known, view.minutesEast),
    );
  }

  destroy() {
    this.element?.remove();
    this.element = null;
  }
}

/** Says things politely in a live region: the newest of what came together, at most once in `pauseMs`. */
export class Speaker {
  /** @param {Pick<Element, "textContent">} region @param {number} pauseMs */
  constructor(region, pauseMs) {
    this.region = region;
    this.pauseMs = pauseMs;
    /** @type {string | null} */
    this.pending = null;
    this.saidMs = -Infinity;
  }

  /** @param {string} sentence */
  say(sentence) {
    this.pending = sentence;
  }

  /**
   * Called from the page's loop.
   * @param {number} now
   */
  tick(now) {
    if (this.pending === null || now - this.saidMs < this.pauseMs) return;
    this.region.textContent = this.pending;
    this.pending = null;
    this.saidMs = now;
  }
}
