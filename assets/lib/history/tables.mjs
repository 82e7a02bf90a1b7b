/**
 * Charts as tables: a table of steps replaces the plot.
 */

import { part, partsOf } from "../dom/elements.mjs";
import { eastAt } from "../series/zone.mjs";
import { tableOf } from "./history.mjs";

/** @import { ChartRow, EastAt, Spec, Trace } from "./types" */

/**
 * Show `row` of the picture as a table in `plot`; without one the picture is seen again. `eastAt`: the zone.
 * @param {HTMLElement} plot @param {ChartRow | null | undefined} row @param {Trace[]} traces @param {string} title
 * @param {EastAt} eastAt
 */
export function fillPlot(plot, row, traces, title, eastAt) {
  const document = plot.ownerDocument;
  plot.classList.toggle("is-table", Boolean(row));
  if (!row) {
    plot.replaceChildren();
    for (const name of ["tabindex", "role", "aria-label"]) plot.removeAttribute(name);
    return;
  }
  /** @param {"caption" | "th" | "td"} tag @param {string} words @param {Partial<HTMLTableCellElement>} [more] */
  const make = (tag, words, more = {}) => Object.assign(document.createElement(tag), { textContent: words, ...more });
  const { head, body } = tableOf(row, traces, eastAt);
  const table = document.createElement("table");
  table.append(make("caption", `${title}: ${body.length} rows`, { className: "aside" }));
  const top = table.createTHead().insertRow();
  head.forEach((words, i) => top.append(make("th", words, { scope: "col", className: i ? "num" : "" })));
  const rows = table.createTBody();
  for (const cells of body) {
    const line = rows.insertRow();
    cells.forEach((words, i) => line.append(make(i ? "td" : "th", words, i ? { className: "num" } : { scope: "row" })));
  }
  plot.tabIndex = 0;
  plot.setAttribute("role", "region");
  plot.setAttribute("aria-label", `${title}, as a table`);
  plot.replaceChildren(table);
}

/** Which charts are shown as tables. */
export class ChartTables {
  /** @param {Document} document */
  constructor(document) {
    this.document = document;
    /** @type {Set<string>} */
    this.metrics = new Set();
  }

  /** The page was laid out anew: all are pictures. */
  clear() {
    this.metrics.clear();
  }

  /**
   * Show a chart as a table, or as a picture again.
   * @param {string} metric @param {Spec | null} spec
   */
  toggle(metric, spec) {
    if (!this.metrics.delete(metric)) this.metrics.add(metric);
    this.show(spec);
  }

  /**
   * The charts were drawn anew.
   * @param {Spec | null} spec
   */
  show(spec) {
    for (const row of partsOf(this.document, ".history .row[data-metric]")) {
      const { metric = "" } = row.dataset;
      const on = this.metrics.has(metric);
      const button = part(row, '[data-act="table"]');
      button.textContent = on ? "Chart" : "Table";
      const title = part(row, "h3").textContent;
      button.setAttribute("aria-label", `${title}: as a ${on ? "chart" : "table"}`);
      const shown = on ? spec?.rows.find((each) => each.name === metric) : null;
      fillPlot(part(row, ".plot"), shown, spec?.figure.data ?? [], title, eastAt);
    }
  }
}
