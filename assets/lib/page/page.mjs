/**
 * The live elements of the page: finds those of the DOM contract, updates them, and drops those that were removed.
 */

import { partsOf, windowOf } from "../dom/elements.mjs";
import { ChartTable, altText } from "./a11y.mjs";
import { Chart } from "../chart/chart.mjs";
import { readConfig } from "../chart/config.mjs";
import { Legend } from "./legend.mjs";
import { CollectorRow, Fact, Meter, Panel, Value } from "./readouts.mjs";
import { DataTable } from "./tables.mjs";
import { UnusualMark } from "./unusual.mjs";

/**
 * @import { Paint } from "../chart/paint.mjs"
 * @import { View } from "../chart/types"
 * @import { Store } from "../series/store.mjs"
 * @import { PlacedChart, Widget, WidgetKinds } from "./types"
 */

const NEAR = "120px"; // draw a little before it is seen
const PARTS = 4; // frames that share the values' texts

/**
 * One page's charts, values, tables, panels and widgets. `kinds`: the name of a widget -> its class. `onTables()` is
 * called when other tables came into view.
 */
export class Page {
  /** @param {Document} document @param {Paint} paint @param {WidgetKinds} kinds @param {() => void} onTables */
  constructor(document, paint, kinds, onTables) {
    this.document = document;
    this.paint = paint;
    this.kinds = kinds;
    this.onTables = onTables;
    /** @type {PlacedChart[]} */
    this.charts = [];
    /** @type {Map<HTMLElement, PlacedChart>} */
    this.byHost = new Map();
    /** @type {Map<Element, PlacedChart | Widget>} */
    this.byCanvas = new Map();
    /** @type {Map<HTMLElement, Value>} */
    this.values = new Map();
    /** @type {Map<HTMLElement, Meter>} */
    this.meters = new Map();
    /** @type {Map<HTMLElement, Fact>} */
    this.facts = new Map();
    /** @type {Map<HTMLElement, Panel>} */
    this.panels = new Map();
    /** @type {Map<HTMLElement, CollectorRow>} */
    this.rows = new Map();
    /** @type {Map<HTMLTableElement, DataTable>} */
    this.tables = new Map();
    /** @type {Map<HTMLElement, Widget>} */
    this.widgets = new Map();
    const { ResizeObserver, IntersectionObserver } = windowOf(document);
    this.sizes = new ResizeObserver((entries) => entries.forEach((entry) => this.#resized(entry)));
    this.sight = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: NEAR });
    this.turn = 0;
  }

  /** Take in what is new in the document and drop what is gone. Cheap when nothing changed; true when something did. */
  scan() {
    const before = this.charts.length;
    const changed = [
      this.#sync(
        this.byHost,
        "[data-chart]",
        (host) => this.#addChart(host),
        (chart) => this.#dropChart(chart),
      ),
      this.#sync(
        this.tables,
        "table[data-table]",
        (element) => this.#addTable(element),
        (table) => this.sight.unobserve(table.element),
      ),
      this.#sync(
        this.widgets,
        "[data-widget]",
        (host) => this.#addWidget(host),
        (widget) => this.#dropWidget(widget),
      ),
      this.#sync(this.values, "[data-value]", (element) => new Value(element)),
      this.#sync(this.facts, "[data-fact]", (element) => new Fact(element)),
      this.#sync(this.meters, "[data-meter]", (element) => new Meter(element)),
      this.#sync(this.rows, "[data-collector-row]", (element) => new CollectorRow(element)),
      this.#sync(this.panels, "[data-panel]", (element) => new Panel(element, this.#seriesIn(element))),
    ].some(Boolean);
    if (changed) this.charts = [...this.byHost.values()];
    if (before !== this.charts.length) this.turn = 0;
    return changed;
  }

  /**
   * @template {Element} E @template T @param {Map<E, T>} known @param {string} selector @param {(element: E) => T} add
   * @param {(thing: T) => void} [drop]
   */
  #sync(known, selector, add, drop = () => {}) {
    const present = /** @type {NodeListOf<E>} */ (this.document.querySelectorAll(selector));
    let changed = false;
    for (const [element, thing] of known) {
      if (element.isConnected) continue;
      drop(thing);
      known.delete(element);
      changed = true;
    }
    for (const element of present) {
      if (known.has(element) || element.closest("[data-template]")) continue;
      known.set(element, add(element));
      changed = true;
    }
    return changed;
  }

  /** @param {HTMLElement} panel */
  #seriesIn(panel) {
    return partsOf(panel, "[data-chart]").flatMap((host) => this.byHost.get(host)?.config.series ?? []);
  }

  /** @param {HTMLElement} host */
  #addChart(host) {
    const chart = /** @type {PlacedChart} */ (new Chart(host, readConfig(host.dataset.chart ?? "{}"), this.paint));
    chart.table = new ChartTable(chart);
    chart.legend = chart.config.legend ? new Legend(chart) : null;
    chart.unusual = new UnusualMark(chart);
    chart.visible = false;
    this.byCanvas.set(chart.canvas, chart);
    this.sizes.observe(chart.canvas);
    this.sight.observe(host);
    /** @type {HTMLElement | null} */
    const panel = host.closest("[data-panel]");
    if (panel?.dataset.view === "table") chart.table.show(true);
    return chart;
  }

  /** @param {PlacedChart} chart */
  #dropChart(chart) {
    this.sizes.unobserve(chart.canvas);
    this.sight.unobserve(chart.host);
    this.byCanvas.delete(chart.canvas);
    chart.table.destroy();
    chart.legend?.destroy();
    chart.unusual.destroy();
    chart.destroy();
  }

  /** @param {HTMLElement} host */
  #addWidget(host) {
    const Kind = this.kinds[host.dataset.widget ?? ""];
    const { document, paint } = this;
    const widget = new Kind(/** @type {never} */ (host), { document, paint, page: this });
    widget.host = host;
    widget.visible = false;
    if (widget.canvas) {
      this.byCanvas.set(widget.canvas, widget);
      this.sizes.observe(widget.canvas);
    }
    this.sight.observe(host);
    return widget;
  }

  /** @param {Widget} widget */
  #dropWidget(widget) {
    if (widget.canvas) {
      this.byCanvas.delete(widget.canvas);
      this.sizes.unobserve(widget.canvas);
    }
    if (widget.host) this.sight.unobserve(widget.host);
    widget.destroy();
  }

  /** @param {HTMLTableElement} element */
  #addTable(element) {
    this.sight.observe(element);
    return new DataTable(element);
  }

  /** @param {ResizeObserverEntry} entry */
  #resized({ target, contentRect, devicePixelContentBoxSize: exact }) {
    const chart = this.byCanvas.get(target);
    if (!chart) return;
    const { ratio } = this.paint;
    if (exact) chart.resize?.(exact[0].inlineSize, exact[0].blockSize);
    else chart.resize?.(Math.round(contentRect.width * ratio), Math.round(contentRect.height * ratio));
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    let tables = false;
    for (const { target: element, isIntersecting } of entries) {
      const target = /** @type {HTMLTableElement} */ (element);
      const thing = this.byHost.get(target) ?? this.tables.get(target) ?? this.widgets.get(target);
      if (!thing) continue;
      thing.visible = isIntersecting;
      if (thing instanceof DataTable || ("tables" in thing && thing.tables)) tables = true;
    }
    if (tables) this.onTables();
  }

  /** The device's pixel ratio changed: update all sizes. */
  remeasure() {
    for (const canvas of this.byCanvas.keys()) {
      this.sizes.unobserve(canvas);
      this.sizes.observe(canvas);
    }
  }

  /** Names of the tables in view, sorted. */
  get watched() {
    const shown = [...this.tables.values()].filter((table) => table.visible).map((table) => table.name);
    const wanted = [...this.widgets.values()]
      .filter((widget) => widget.visible)
      .flatMap((widget) => widget.tables ?? []);
    return [...new Set([...shown, ...wanted])].sort();
  }

  /**
   * The chart whose canvas this is.
   * @param {Element} canvas @returns {PlacedChart | undefined}
   */
  chartOn(canvas) {
    const thing = this.byCanvas.get(canvas);
    return thing instanceof Chart ? thing : undefined;
  }

  /**
   * The chart that an element belongs to: its canvas, its table, its legend.
   * @param {Element} element
   */
  chartAround(element) {
    const host = /** @type {HTMLElement | null | undefined} */ (element.closest?.("[data-chart]"));
    return this.chartOn(element) ?? (host ? this.byHost.get(host) : undefined);
  }

  /**
   * Show the charts of a panel as tables or as pictures.
   * @param {HTMLElement} panel @param {string} view
   */
  setView(panel, view) {
    panel.dataset.view = view;
    for (const host of partsOf(panel, "[data-chart]")) this.byHost.get(host)?.table.show(view === "table");
  }

  /**
   * All texts, a part of them a frame: what is written must be laid out and painted, and no frame has to bear it all.
   * Values that stand together go together. Statistics over the window and alt texts take turns: a quarter of them each
   * time.
   * @param {Store} store @param {View} view @param {number} serverNow
   */
  *writes(store, view, serverNow) {
    this.turn += 1;
    const part = Math.ceil(this.values.size / PARTS);
    let written = 0;
    let i = 0;
    for (const value of this.values.values()) {
      if (written && written % part === 0) yield;
      written += 1;
      if (!value.slow || value.shown === null || (i += 1) % 4 === this.turn % 4) value.update(store, view);
    }
    yield;
    for (const meter of this.meters.values()) meter.update(store, view);
    for (const fact of this.facts.values()) fact.update(store);
    for (const panel of this.panels.values()) panel.update(store, view, serverNow);
    for (const row of this.rows.values()) row.update(store, serverNow);
    for (const table of this.tables.values()) table.update(store);
    yield;
    this.charts.forEach((chart, n) => {
      chart.resolve(store);
      chart.legend?.update(view);
      chart.unusual.update(store, serverNow);
      if ((n + this.turn) % 4 === 0) chart.table.update(view);
      if ((n + this.turn) % 20 === 0) {
        const sentence = altText(
          chart.config.label,
          chart.shown,
          chart.unit,
          view.right - view.span,
          view.right,
          view.known,
        );
        chart.canvas.setAttribute("aria-label", sentence);
      }
    });
    for (const widget of this.widgets.values()) {
      if (!widget.visible || !widget.write) continue;
      yield;
      widget.write(store, view, serverNow);
    }
  }

  /** Let go of everything. Idempotent. */
  clear() {
    for (const chart of this.byHost.values()) this.#dropChart(chart);
    for (const widget of this.widgets.values()) this.#dropWidget(widget);
    for (const known of [
      this.widgets,
      this.byHost,
      this.values,
      this.meters,
      this.facts,
      this.panels,
      this.rows,
      this.tables,
    ])
      known.clear();
    this.charts = [];
    this.sight.disconnect();
    this.sizes.disconnect();
  }
}
