/**
 * The charts as plotly draws them: in the theme's colours, with ticks on the local clock, and with room for what is
 * open below them.
 */

import { part, partsOf } from "../dom/elements.mjs";
import { eastAt } from "../series/zone.mjs";
import { axisTicks, instantText } from "./axis.mjs";
import { figureOf, plotMs, plotText } from "./history.mjs";
import { placed, stretched } from "./span-words.mjs";

/** @import { SpanStatistics } from "./span-statistics.mjs" */
/** @import { HistoryPage, PlotElement, Range, Spec } from "./types" */

const TICK_PX = [72, 118]; // a tick of the axis of time each so many pixels, on a narrow page and a wide one
export const NARROW_PX = 620;

export class Picture {
  /** @param {HistoryPage} page @param {SpanStatistics} statistics */
  constructor(page, statistics) {
    this.page = page;
    this.statistics = statistics;
    this.extras = "{}"; // the room below the charts that the figure was drawn with
    /** @type {PlotElement | null} */
    this.heard = null; // the graph whose pointing is heard
  }

  /** The place of all charts, while the page is laid out. */
  get stack() {
    return this.page.by("stack");
  }

  /** @returns {PlotElement | null} */
  get #graph() {
    return part(this.page.document, "#history-graph .js-plotly-plot");
  }

  /**
   * The figure as plotly takes it; the place of the charts gets its height.
   * @param {Spec} spec
   */
  figure(spec) {
    const { window, document } = this.page;
    const style = window.getComputedStyle(document.documentElement);
    const { extras } = this.statistics;
    this.extras = JSON.stringify(extras);
    /** @param {string} name */
    const token = (name) => style.getPropertyValue(name).trim();
    const plain = figureOf(spec.figure, token, this.#ticks([spec.from_ms, spec.to_ms]));
    const figure = stretched(plain, spec.rows, extras);
    const { stack } = this;
    if (stack) stack.style.height = `${figure.layout.height}px`;
    return figure;
  }

  /**
   * What is open below the charts takes more room, or less: what comes after it moves. `anew`: the charts were drawn.
   */
  grown({ anew = false } = {}) {
    const { spec, document } = this.page;
    if (!spec || !this.stack) return;
    const { extras } = this.statistics;
    const same = this.extras === JSON.stringify(extras);
    if (same && !anew) return;
    const rows = partsOf(document, ".history .row[data-metric]");
    for (const { name, top, height } of placed(spec.rows, extras)) {
      const row = rows.find((each) => each.dataset.metric === name);
      if (row) Object.assign(row.style, { top: `${top}px`, height: `${height}px` });
    }
    if (!same) this.recolour();
  }

  /** Pointing at a chart: plotly names the instant in UTC, and the person's clock showed another time. */
  listen() {
    const graph = this.#graph;
    if (!graph || graph === this.heard) return;
    this.heard = graph;
    graph.on("plotly_hover", ({ points }) => {
      const title = graph.querySelector(".hoverlayer .legendtitletext");
      const ms = plotMs(points[0]?.x);
      if (title && Number.isFinite(ms)) title.textContent = instantText(ms, eastAt);
    });
  }

  /** Draw again: the theme or the room changed. */
  recolour() {
    const { page } = this;
    if (page.spec && this.stack) page.set("history-graph", { figure: this.figure(page.spec) });
  }

  /**
   * Show another range with what is there.
   * @param {Range} range
   */
  move(range) {
    const ends = range.map(plotText);
    const axes = Object.entries(this.#ticks(range)).flatMap(([axis, ticks]) =>
      Object.entries({ ...ticks, range: ends }).map(([name, value]) => [`${axis}.${name}`, value]),
    );
    const graph = this.#graph;
    if (graph) this.page.window.Plotly?.relayout(graph, Object.fromEntries(axes));
  }

  /**
   * Ticks of both axes of time, as many as there is room for.
   * @param {Range} range
   */
  #ticks([from, to]) {
    const width = this.stack?.clientWidth || this.page.window.innerWidth;
    return axisTicks(from, to, Math.max(2, Math.floor(width / TICK_PX[Number(width >= NARROW_PX)])), eastAt);
  }
}
