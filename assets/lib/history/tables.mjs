/** A chart's steps as a table, in the place of its picture. */

import { tableOf } from "./history.mjs";

/** Show `row` of the picture as a table in `plot`; without one the picture is seen again. `eastAt`: the zone. */
export function fillPlot(plot, row, traces, title, eastAt) {
  const document = plot.ownerDocument;
  plot.classList.toggle("is-table", Boolean(row));
  if (!row) {
    plot.replaceChildren();
    for (const name of ["tabindex", "role", "aria-label"]) plot.removeAttribute(name);
    return;
  }
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
