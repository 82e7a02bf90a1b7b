/**
 * The Requests page in the browser: which span, which columns, CSV of what is shown, and a row's timeline.
 *
 * Dash brings the rows into the grid; this chooses the span that they are asked of, and speaks to the grid itself.
 */

import { csvText, isoTime } from "./csv.mjs";
import { put } from "../page/readouts.mjs";
import { RequestDialog } from "./request-timeline.mjs";
import { fromInput, readChoice, spanOf, toInput } from "./spans.mjs";

const GRID = "requests-grid";
const SPAN = "requests-span";
const KEY = "wfmon.requests";
const COLUMNS_KEY = `_dash_persistence.${GRID}.columnState.true`; // Dash writes it once the grid stands, and at each change
const SEEN_KEY = "wfmon.requests-seen"; // the columns were fitted to the room once: from then on they are the user's
const NARROW_PX = 620;

export class PastRequests {
  constructor(host, { document, paint }) {
    this.host = host;
    this.document = document;
    this.window = document.defaultView;
    this.page = host.closest("[data-page]");
    this.grid = this.page.querySelector(".grid-place");
    this.chooser = host.querySelector("#requests-columns");
    this.model = host.querySelector("[data-model-choice]");
    this.chooser.popover = "auto";
    this.ends = Object.fromEntries(
      [...host.querySelectorAll("[data-end]")].map((place) => [place.dataset.end, this.#input(place)]),
    );
    this.dialog = new RequestDialog(document.getElementById("request"), { document, paint });
    this.first = !this.#kept(SEEN_KEY);
    this.choice = readChoice(this.#kept(KEY) ?? "");
    this.filtered = this.page.querySelector("[data-filtered]");
    this.page.addEventListener("click", (event) => this.#click(event));
    host.addEventListener("change", (event) => this.#change(event));
    this.grid.addEventListener("click", (event) => this.#openRow(event.target));
    this.grid.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.#openRow(event.target)) event.preventDefault(); // or it would press what has the focus then
    });
    this.chooser.addEventListener("beforetoggle", (event) => this.#toggled(event.newState === "open"));
    this.#show();
    this.ask();
  }

  destroy() {
    if (this.dialog.dialog.open) this.dialog.dialog.close();
  }

  /** Four times a second: what came from the monitor since. */
  write(_store, _view, serverNow) {
    this.dialog.tick(serverNow);
    const { models, state } = this.host.dataset;
    if (this.first && state && this.#kept(COLUMNS_KEY)) this.#narrow();
    if (models !== this.offered) this.#offer(models);
    const api = this.#api();
    const left = api?.isAnyFilterPresent() ? api.getDisplayedRowCount() : null;
    if (left === this.left) return;
    this.left = left;
    this.filtered.hidden = left === null;
    put(this.filtered.firstChild, left === null ? "" : ` · ${left.toLocaleString("en")} of them by the filters `);
  }

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

  #kept(key) {
    try {
      return this.window.localStorage.getItem(key);
    } catch {
      return null;
    }
  }

  #keep(key, text) {
    try {
      this.window.localStorage.setItem(key, text);
    } catch {
      // Storage may be forbidden: the choice then lasts as long as the page.
    }
  }

  #choose(choice) {
    this.choice = choice;
    this.#keep(KEY, JSON.stringify(choice));
    this.#show();
    this.ask();
  }

  /** Show which span is chosen. */
  #show() {
    const { preset } = this.choice;
    for (const button of this.host.querySelectorAll("[data-span]")) {
      button.setAttribute("aria-pressed", String(button.dataset.span === preset));
    }
    const { from_ms: from, to_ms: to } = spanOf(this.choice, Date.now());
    this.ends.from.value = toInput(from);
    this.ends.to.value = toInput(preset ? Date.now() : to);
  }

  #click({ target }) {
    const preset = target.closest("[data-span]")?.dataset.span;
    if (preset) this.#choose({ preset, model: this.choice.model });
    const act = target.closest("[data-requests-do]")?.dataset.requestsDo;
    if (act === "again") {
      this.#show();
      this.ask();
    } else if (act === "columns") this.chooser.togglePopover();
    else if (act === "csv") this.#save();
    else if (act === "reset") this.#reset();
    else if (act === "clear") this.#api()?.setFilterModel(null);
  }

  #change({ target }) {
    const { model } = this;
    if (target === model) this.#choose({ ...this.choice, model: model.value });
    else if (target.classList.contains("when")) {
      const [from, to] = [fromInput(this.ends.from.value), fromInput(this.ends.to.value)];
      if (Number.isFinite(from) && Number.isFinite(to)) this.#choose({ from, to, model: this.choice.model });
    } else if (target.dataset.column) this.#api()?.setColumnsVisible([target.dataset.column], target.checked);
  }

  /** The models among which one may choose. */
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

  #toggled(open) {
    this.host.querySelector("[data-requests-do=columns]").setAttribute("aria-expanded", String(open));
    const api = this.#api();
    if (!open || !api) return;
    const { bottom } = this.host.querySelector("[data-requests-do=columns]").getBoundingClientRect();
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
    this.chooser.querySelector(".choices").replaceChildren(...choices);
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
    this.#keep(SEEN_KEY, "1");
    if (this.grid.clientWidth < NARROW_PX) this.#api()?.setColumnsVisible(this.host.dataset.optional.split(" "), false);
  }

  // ---- rows

  #openRow(target) {
    const row = target.closest?.(".ag-row[row-id]");
    const data = row && this.#api()?.getRowNode(row.getAttribute("row-id"))?.data;
    if (!data) return false;
    this.dialog.open(data.id, data, { kept: !data.in_memory });
    return true;
  }

  #save() {
    const api = this.#api();
    if (!api) return;
    const columns = api.getAllDisplayedColumns().map((column) => column.getColDef());
    const rows = [];
    api.forEachNodeAfterFilterAndSort(({ data }) => {
      rows.push(columns.map(({ field }) => (field === "started_ms" ? isoTime(data[field]) : data[field])));
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
    put(this.document.getElementById("announcer"), `${rows.length} rows saved as ${link.download}.`);
  }
}
