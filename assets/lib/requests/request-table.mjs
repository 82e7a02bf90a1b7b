/**
 * The latest requests. A row keeps its element while others arrive, so that it keeps the keyboard focus.
 */

import { part, partsOf, targetOf, textOf, windowOf } from "../dom/elements.mjs";
import { clockTime, text as written } from "../series/format.mjs";
import { records } from "../page/tables.mjs";
import { RequestDialog } from "./request-timeline.mjs";

/**
 * @import { Paint } from "../chart/paint.mjs"
 * @import { View } from "../chart/types"
 * @import { Store } from "../series/store.mjs"
 * @import { Table } from "../series/types"
 * @import { RequestRow } from "./types"
 */

/**
 * Column -> its text; the others are figures with the unit of their column.
 * @type {Record<string, (row: RequestRow, minutesEast: number | null) => string>}
 */
const TEXTS = {
  started_ms: (row, east) => clockTime(row.started_ms, east),
  model: (row) => row.model,
  via: (row) => row.via,
  status: (row) => (row.status === "open" ? "running" : row.status),
  why: (row) => row.why || "–",
};

/**
 * The text of one cell; what was not measured is a dash.
 * @param {RequestRow} row @param {string} name @param {string} unit @param {number | null} [minutesEast]
 */
export function requestCell(row, name, unit, minutesEast = null) {
  if (TEXTS[name]) return TEXTS[name](row, minutesEast) ?? "–";
  const value = /** @type {number | null | undefined} */ (row[name]);
  if (value === null || value === undefined) return "–";
  return name === "tokens_per_second" ? written(value, "tokens/s").replace(" tokens/s", "") : written(value, unit);
}

/**
 * Whether a row matches the filters.
 * @param {RequestRow} row @param {{ model?: string, status?: string }} choice
 */
export function wanted(row, { model, status }) {
  if (model && row.model !== model) return false;
  return !status || (status === "slow" ? Boolean(row.why) : row.status === status);
}

export class RequestTable {
  /** @param {HTMLElement} host @param {{ document: Document, paint: Paint }} room */
  constructor(host, { document, paint }) {
    this.document = document;
    this.tables = (host.dataset.watches ?? "").split(" ");
    /** @type {HTMLTableSectionElement} */
    this.body = part(host, "tbody");
    this.place = part(host, ".scroll");
    this.none = part(host, ".none");
    this.emptyWords = this.none.textContent;
    this.filters = part(host, ".filters");
    this.columns = partsOf(host, "thead th").map((th) => ({
      name: th.dataset.col ?? "",
      unit: th.dataset.unit ?? "",
      style: th.className,
    }));
    this.choices = Object.fromEntries(
      /** @type {HTMLSelectElement[]} */ (partsOf(this.filters, "[data-filter]")).map((select) => [
        select.dataset.filter,
        select,
      ]),
    );
    /** @type {Map<string, { tr: HTMLTableRowElement, row: RequestRow }>} */
    this.rows = new Map(); // id -> {tr, row}
    /** @type {HTMLDialogElement} */
    const dialog = part(document, "#request");
    this.dialog = new RequestDialog(dialog, { document, paint });
    /** @type {Table | null | undefined} */
    this.shown = null; // undefined: no such table, and that is what is shown
    this.east = NaN;
    this.filters.addEventListener("change", () => (this.shown = null));
    this.body.addEventListener("click", (event) => {
      const tr = targetOf(event).closest("tr");
      const id = tr?.dataset.request;
      const known = id === undefined ? undefined : this.rows.get(id);
      if (!tr || id === undefined || !known) return;
      part(tr, "button").focus(); // where the focus returns to
      this.dialog.open(id, known.row);
    });
  }

  destroy() {
    if (this.dialog.dialog.open) this.dialog.dialog.close();
  }

  /** @param {Store} store @param {View} view @param {number} serverNow */
  write(store, view, serverNow) {
    this.dialog.tick(serverNow);
    const table = store.tables.get("requests");
    if (table === this.shown && this.east === view.minutesEast) return;
    this.shown = table;
    this.east = view.minutesEast;
    /** @type {RequestRow[]} */
    const all = records(table);
    this.#offer(all);
    const chosen = { model: this.choices.model.value, status: this.choices.status.value };
    const rows = all.filter((row) => wanted(row, chosen));
    this.#show(rows);
    this.filters.hidden = all.length === 0;
    this.place.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    this.none.textContent = all.length ? "None of the latest requests matches." : this.emptyWords;
  }

  /**
   * The models among which one may choose.
   * @param {RequestRow[]} rows
   */
  #offer(rows) {
    const select = this.choices.model;
    const models = [...new Set(rows.map(({ model }) => model))].sort();
    const offered = [...select.options].slice(1).map(({ value }) => value);
    if (models.length === offered.length && models.every((name, i) => name === offered[i])) return;
    const { Option } = windowOf(this.document);
    const { value } = select;
    while (select.options.length > 1) select.remove(1);
    for (const name of models) select.add(new Option(name, name));
    select.value = models.includes(value) ? value : "";
  }

  /** @param {RequestRow[]} rows */
  #show(rows) {
    const ids = new Set(rows.map(({ id }) => String(id)));
    for (const [id, { tr }] of this.rows) {
      if (ids.has(id)) continue;
      tr.remove();
      this.rows.delete(id);
    }
    rows.forEach((row, i) => {
      const id = String(row.id);
      const known = this.rows.get(id) ?? { tr: this.#make(id), row };
      known.row = row;
      this.rows.set(id, known);
      if (this.body.rows[i] !== known.tr) this.body.insertBefore(known.tr, this.body.rows[i] ?? null);
      this.#write(known.tr, row);
    });
  }

  /** @param {string} id */
  #make(id) {
    const tr = this.document.createElement("tr");
    tr.dataset.request = id;
    this.columns.forEach(({ name, style }, i) => {
      const cell = tr.insertCell();
      cell.dataset.col = name;
      if (style) cell.className = style;
      if (i > 0) {
        cell.append(this.document.createTextNode(""));
        return;
      }
      const button = this.document.createElement("button");
      button.type = "button";
      button.append(this.document.createTextNode(""));
      cell.append(button);
    });
    return tr;
  }

  /** @param {HTMLTableRowElement} tr @param {RequestRow} row */
  #write(tr, row) {
    this.columns.forEach(({ name, unit }, i) => {
      const text = requestCell(row, name, unit);
      const node = textOf(i ? tr.cells[i] : part(tr.cells[0], "button"));
      if (node.data !== text) node.data = text;
      if (name === "model" || name === "why") tr.cells[i].title = text === "–" ? "" : text;
    });
    const { status } = row;
    if (tr.dataset.status !== status) tr.dataset.status = status;
    tr.classList.toggle("slow", Boolean(row.why));
    const label = `${requestCell(row, "started_ms", "")}, ${row.model}: timeline`;
    const button = part(tr.cells[0], "button");
    if (button.getAttribute("aria-label") !== label) {
      button.setAttribute("aria-label", label);
      button.setAttribute("aria-haspopup", "dialog");
      button.title = new Date(row.started_ms).toLocaleString();
    }
  }
}
