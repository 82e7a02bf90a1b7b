/**
 * Fills tables that are not series; the page wrote their heads. Names are untrusted: text only, never markup.
 */

import { partsOf, textOf } from "../dom/elements.mjs";
import { clockTime, parts } from "../series/format.mjs";

/**
 * @import { Cell, Table } from "../series/types"
 * @import { Store } from "../series/store.mjs"
 */

const NONE = "–";

/**
 * Rows of a table as objects.
 * @template R @param {Table | undefined} table @returns {R[]}
 */
export function records(table) {
  if (!table) return [];
  const { columns, rows } = table;
  // The monitor names the columns of each table; who asks for its rows knows them.
  return rows.map((row) => /** @type {R} */ (Object.fromEntries(columns.map((name, i) => [name, row[i] ?? null]))));
}

/**
 * Make `body` have exactly these rows of texts; cells and rows are kept and only what changed is written.
 * @param {HTMLTableSectionElement} body @param {string[][]} rows @param {{ name?: string, style?: string }[]} [columns]
 */
export function fillBody(body, rows, columns = []) {
  const { ownerDocument: document } = body;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((texts, r) => {
    const row = body.rows[r] ?? body.insertRow();
    while (row.cells.length > texts.length) row.deleteCell(-1);
    texts.forEach((text, c) => {
      let cell = row.cells[c];
      if (!cell) {
        cell = row.insertCell();
        cell.append(document.createTextNode(""));
        const { style, name } = columns[c] ?? {};
        if (style) cell.className = style;
        if (name) cell.dataset.col = name;
      }
      const node = textOf(cell);
      if (node.data === text) return;
      node.data = text;
      cell.classList.toggle("is-none", text === NONE);
    });
  });
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/**
 * Units of columns that no metric has: a time of day in the user's zone, figures whose unit stands in the column's
 * head.
 * @type {Record<string, (value: number) => string>}
 */
const CELLS = {
  time: (ms) => clockTime(ms),
  count: (n) => grouped.format(n),
  rate: (n) => n.toFixed(n < 99.95 ? 1 : 0),
  bits: (n) => n.toFixed(1),
};

/**
 * One value of a row as text, with the unit of its column.
 * @param {Cell | undefined} value @param {string} unit
 */
export function cellText(value, unit) {
  if (value === null || value === undefined || value === "") return NONE;
  if (typeof value !== "number" || !unit) return String(value);
  if (CELLS[unit]) return CELLS[unit](value);
  const { number, unit: shown } = parts(value, unit);
  return shown ? `${number} ${shown}` : number;
}

/** One `<table data-table>` of the page. */
export class DataTable {
  /** @param {HTMLTableElement} element */
  constructor(element) {
    this.element = element;
    this.name = element.dataset.table ?? "";
    this.body = element.tBodies[0] ?? element.createTBody();
    this.columns = partsOf(element, "thead th[data-col]").map((th) => ({
      name: th.dataset.col ?? "",
      unit: th.dataset.unit ?? "",
      style: th.className,
    }));
    this.visible = false; // set by the IntersectionObserver: only visible tables are watched
    /** @type {Table | null} */
    this.shown = null;
    this.empty = false;
  }

  /**
   * Show the newest rows of the store; nothing happens when they are shown already.
   * @param {Store} store
   */
  update(store) {
    const table = store.tables.get(this.name);
    if (!table || table === this.shown || !this.visible) return;
    this.shown = table;
    const at = this.columns.map(({ name }) => table.columns.indexOf(name));
    const rows = table.rows.map((row) =>
      this.columns.map(({ unit }, c) => cellText(at[c] < 0 ? null : row[at[c]], unit)),
    );
    if (this.empty || !rows.length) this.body.replaceChildren();
    this.empty = rows.length === 0;
    if (!this.empty) fillBody(this.body, rows, this.columns);
    else this.#sayEmpty();
  }

  #sayEmpty() {
    const cell = this.body.insertRow().insertCell();
    cell.className = "empty";
    cell.colSpan = this.columns.length;
    cell.textContent = this.element.dataset.empty ?? "None.";
  }
}
