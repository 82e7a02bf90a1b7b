/**
 * The Requests page in the browser: the range, the columns, CSV of the rows shown, and a row's timeline.
 *
 * Dash brings the rows into the grid; this chooses the span that they are asked of, and speaks to the grid itself.
 */

import { csvText, isoTime } from "./csv.mjs";
import { part, partsOf, put, targetOf, windowOf } from "../dom/elements.mjs";
import { keep, kept } from "../dom/storage.mjs";
import { RequestDialog } from "./request-timeline.mjs";
import { fromInput, readChoice, spanOf, toInput } from "./spans.mjs";

/**
 * @import { Paint } from "../chart/paint.mjs"
 * @import { View } from "../chart/types"
 * @import { Store } from "../series/store.mjs"
 * @import { Cell } from "../series/types"
 * @import { SpanChoice } from "./types"
 */

const GRID = "requests-grid";
const SPAN = "requests-span";
const KEY = "wfmon.requests";
// Dash writes it once the grid exists, and at each change.
const COLUMNS_KEY = `_dash_persistence.${GRID}.columnState.true`;
const SEEN_KEY = "wfmon.requests-seen"; // the columns were fitted to the room once: from then on they are the user's
const NARROW_PX = 620;

export class PastRequests {
  /** @param {HTMLElement} host @param {{ document: Document, paint: Paint }} room */
  constructor(host, { document, paint }) {
    this.host = host;
    this.document = document;
    this.window = windowOf(document);
    this.page = /** @type {HTMLElement} */ (host.closest("[data-page]"));
    this.grid = part(this.page, ".grid-place");
    this.chooser = part(host, "#requests-columns");
    /** @type {HTMLSelectElement} */
    this.model = part(host, "[data-model-choice]");
    this.chooser.popover = "auto";
    this.ends = Object.fromEntries(partsOf(host, "[data-end]").map((place) => [place.dataset.end, this.#input(place)]));
    /** @type {HTMLDialogElement} */
    const dialog = part(document, "#request");
    this.dialog = new RequestDialog(dialog, { document, paint });
    this.first = !kept(this.window, SEEN_KEY);
    this.choice = readChoice(kept(this.window, KEY) ?? "");
    this.filtered = part(this.page, "[data-filtered]");
    /** @type {string | undefined} */
    this.offered = undefined; // models among which one may choose
    /** @type {number | null | undefined} */
    this.left = undefined; // rows that the filters leave; null: there are none
    this.page.addEventListener("click", (event) => this.#click(event));
    host.addEventListener("change", (event) => this.#change(event));
    this.grid.addEventListener("click", (event) => this.#openRow(targetOf(event)));
    this.grid.addEventListener("keydown", (event) => {
      // Or it would press what has the focus then.
      if (event.key === "Enter" && this.#openRow(targetOf(event))) event.preventDefault();
    });
    this.chooser.addEventListener("beforetoggle", (event) =>
      this.#toggled(/** @type {ToggleEvent} */ (event).newState === "open"),
    );
    this.#show();
    this.ask();
  }

  destroy() {
    if (this.dialog.dialog.open) this.dialog.dialog.close();
  }

  /**
   * Four times a second: what came from the monitor since.
   * @param {Store} _store @param {View} _view @param {number} serverNow
   */
  write(_store, _view, serverNow) {
    this.dialog.tick(serverNow);
    const { models, state } = this.host.dataset;
    if (this.first && state && kept(this.window, COLUMNS_KEY)) this.#narrow();
    if (models !== undefined && models !== this.offered) this.#offer(models);
    const api = this.#api();
    const left = api?.isAnyFilterPresent() ? api.getDisplayedRowCount() : null;
    if (left === this.left) return;
    this.left = left;
    this.filtered.hidden = left === null;
    put(part(this.filtered, ":scope > *"), left === null ? "" : ` · ${left.toLocaleString("en")} match the filters `);
  }

  /** @param {HTMLElement} place */
  #input(place) {
    const input = this.document.createElement("input");
    input.type = "datetime-local";
    input.step = "60";
    input.className = "when";
    place.replaceChildren(input);
    return input;
  }

  /** Ask for the rows of the span. */
  ask() {
    this.window.dash_clientside.set_props(SPAN, { data: spanOf(this.choice, Date.now()) });
  }

  #api() {
    try {
      return this.window.dash_ag_grid.getApi(GRID);
    } catch {
      return undefined; // the grid is not there yet
    }
  }

  /** @param {SpanChoice} choice */
  #choose(choice) {
    this.choice = choice;
    keep(this.window, KEY, JSON.stringify(choice));
    this.#show();
    this.ask();
  }

  /** Show which span is chosen. */
  #show() {
    const { preset } = this.choice;
    for (const button of partsOf(this.host, "[data-span]")) {
      button.setAttribute("aria-pressed", String(button.dataset.span === preset));
    }
    const { from_ms: from, to_ms: to } = spanOf(this.choice, Date.now());
    this.ends.from.value = toInput(from);
    this.ends.to.value = toInput(preset ? Date.now() : to);
  }

  /** @param {Event} event */
  #click(event) {
    const target = targetOf(event);
    /** @param {string} selector @returns {HTMLElement | null} */
    const near = (selector) => target.closest(selector);
    const preset = near("[data-span]")?.dataset.span;
    if (preset) this.#choose({ preset, model: this.choice.model });
    const act = near("[data-requests-do]")?.dataset.requestsDo;
    if (act === "again") {
      this.#show();
      this.ask();
    } else if (act === "columns") this.chooser.togglePopover();
    else if (act === "csv") this.#save();
    else if (act === "reset") this.#reset();
    else if (act === "clear") this.#api()?.setFilterModel(null);
  }

  /** @param {Event} event */
  #change(event) {
    const target = /** @type {HTMLInputElement} */ (targetOf(event));
    const { model } = this;
    if (event.target === model) this.#choose({ ...this.choice, model: model.value });
    else if (target.classList.contains("when")) {
      const [from, to] = [fromInput(this.ends.from.value), fromInput(this.ends.to.value)];
      if (Number.isFinite(from) && Number.isFinite(to)) this.#choose({ from, to, model: this.choice.model });
    } else if (target.dataset.column) this.#api()?.setColumnsVisible([target.dataset.column], target.checked);
  }

  /**
   * The models among which one may choose.
   * @param {string} text
   */
  #offer(text) {
    this.offered = text;
    const { model } = this.choice;
    const names = JSON.parse(text);
    if (model && !names.includes(model)) names.push(model);
    const { Option } = this.window;
    while (this.model.options.length > 1) this.model.remove(1);
    for (const name of names) this.model.add(new Option(name, name));
    this.model.value = model;
  }

  // ---- columns

  /** @param {boolean} open */
  #toggled(open) {
    const button = part(this.host, "[data-requests-do=columns]");
    button.setAttribute("aria-expanded", String(open));
    const api = this.#api();
    if (!open || !api) return;
    const { bottom } = button.getBoundingClientRect();
    this.chooser.style.top = `${Math.round(bottom + 6)}px`;
    const choices = api.getColumns().map((column) => {
      const label = this.document.createElement("label");
      const box = this.document.createElement("input");
      box.type = "checkbox";
      box.dataset.column = column.getColId();
      box.checked = column.isVisible();
      label.append(box, column.getColDef().headerName);
      return label;
    });
    part(this.chooser, ".choices").replaceChildren(...choices);
  }

  #reset() {
    this.window.dash_clientside.set_props(GRID, { resetColumnState: true });
    this.#api()?.setFilterModel(null);
    this.chooser.hidePopover();
    this.window.setTimeout(() => this.#narrow(), 0);
  }

  /** Where there is little room, show the columns that matter; the others can be chosen. */
  #narrow() {
    this.first = false;
    keep(this.window, SEEN_KEY, "1");
    if (this.grid.clientWidth < NARROW_PX)
      this.#api()?.setColumnsVisible((this.host.dataset.optional ?? "").split(" "), false);
  }

  // ---- rows

  /** @param {HTMLElement} target */
  #openRow(target) {
    const id = target.closest?.(".ag-row[row-id]")?.getAttribute("row-id");
    const data = id && this.#api()?.getRowNode(id)?.data;
    if (!data) return false;
    this.dialog.open(data.id, data, { kept: !data.in_memory });
    return true;
  }

  #save() {
    const api = this.#api();
    if (!api) return;
    const columns = api.getAllDisplayedColumns().map((column) => column.getColDef());
    /** @type {Cell[][]} */
    const rows = [];
    api.forEachNodeAfterFilterAndSort(({ data }) => {
      const cells = /** @type {Record<string, Cell>} */ (data);
      rows.push(columns.map(({ field }) => (field === "started_ms" ? isoTime(data.started_ms) : cells[field])));
    });
    const text = csvText(
      columns.map(({ headerName }) => headerName),
      rows,
    );
    const url = this.window.URL.createObjectURL(new Blob(["\uFEFF", text], { type: "text/csv;charset=utf-8" }));
    const link = this.document.createElement("a");
    link.href = url;
    link.download = `wfmon-requests-${isoTime(Date.now()).slice(0, 10)}.csv`;
    link.click();
    this.window.setTimeout(() => this.window.URL.revokeObjectURL(url), 10_000);
    put(part(this.document, "#announcer"), `Saved ${rows.length} rows as ${link.download}.`);
  }
}
