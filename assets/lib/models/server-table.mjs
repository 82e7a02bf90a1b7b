/**
 * Model servers on this machine: what each reports, what is missing, and the one line that would add it.
 * All texts are untrusted: never markup.
 */

import { text as written } from "../series/format.mjs";
import { records } from "../page/tables.mjs";
import { part, partsOf, put, targetOf, textOf, windowOf } from "../dom/elements.mjs";

/**
 * @import { Store } from "../series/store.mjs"
 * @import { ServerRow, Table } from "../series/types"
 */

/** @type {Record<string, string>} */
const STATES = { ok: "answering", needs_key: "needs a key", odd: "unexpected answer", silent: "no answer" };
const SAID_MS = 2_500;

/**
 * Column -> its text.
 * @type {Record<string, (row: ServerRow) => string>}
 */
export const CELLS = {
  server: (row) => row.server,
  runtime: (row) => [row.runtime, row.version].filter(Boolean).join(" ") || "unknown",
  process: (row) => [row.process, row.pid ? `(${row.pid})` : ""].filter(Boolean).join(" ") || "–",
  models: (row) => row.models || "–",
  gpu_bytes: (row) => (row.gpu_bytes === null ? "–" : written(row.gpu_bytes, "B")),
  state: (row) => STATES[row.state ?? ""] ?? row.state ?? "–",
};

// A command of wfmon: perhaps a folder to go to, an interpreter (quoted where its path needs it), and the module.
const CODE = /((?:\bcd .+? && )?(?:'[^']+'|"[^"]+"|[^\s,'"]+) -m wfmon[^,]*|https?:\/\/[^\s,]+|--[a-z][a-z-]+)/;

/**
 * A line's pieces, what is to be typed apart from the words around it: [{text, code}].
 * @param {string} line
 */
export function piecesOf(line) {
  return line
    .split(CODE)
    .map((text, i) => ({ text: text.trim(), code: i % 2 === 1 }))
    .filter(({ text }) => text);
}

export class ServerTable {
  /** @param {HTMLElement} host @param {{ document: Document }} room */
  constructor(host, { document }) {
    this.document = document;
    this.tables = (host.dataset.watches ?? "").split(" ");
    /** @type {HTMLTableElement} */
    this.table = part(host, "table");
    this.place = part(host, ".scroll");
    this.none = part(host, ".none");
    this.columns = partsOf(host, "thead th").map((th) => ({ name: th.dataset.col ?? "", style: th.className }));
    this.table.tBodies[0]?.remove(); // a body a server: its line, and what belongs to it
    /** @type {Map<string, HTMLTableSectionElement>} */
    this.bodies = new Map(); // server -> tbody
    host.addEventListener("click", (event) => this.#copy(targetOf(event).closest("button.copy")));
  }

  /** @type {Table | null | undefined} */
  shown = null;
  said = false; // whether anything was shown yet, be it no table

  destroy() {
    this.bodies.clear();
  }

  /** @param {Store} store */
  write(store) {
    const table = store.tables.get("servers");
    if (table === this.shown && this.said) return;
    this.said = true;
    this.shown = table;
    /** @type {ServerRow[]} */
    const rows = records(table);
    this.place.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    const here = new Set(rows.map(({ server }) => server));
    for (const [server, body] of this.bodies) {
      if (here.has(server)) continue;
      body.remove();
      this.bodies.delete(server);
    }
    for (const row of rows) this.#write(this.bodies.get(row.server) ?? this.#make(row.server), row);
  }

  /** @param {string} server */
  #make(server) {
    const body = this.table.createTBody();
    const line = body.insertRow();
    for (const { name, style } of this.columns) {
      const cell = line.insertCell();
      cell.dataset.col = name;
      if (style) cell.className = style;
      cell.append(this.document.createTextNode(""));
    }
    const cell = body.insertRow().insertCell();
    cell.colSpan = this.columns.length;
    cell.className = "more-of";
    this.bodies.set(server, body);
    return body;
  }

  /** @param {HTMLTableSectionElement} body @param {ServerRow} row */
  #write(body, row) {
    this.columns.forEach(({ name }, i) => {
      const text = CELLS[name](row);
      const cell = body.rows[0].cells[i];
      const node = textOf(cell);
      if (node.data === text) return;
      node.data = text;
      cell.title = text;
    });
    body.dataset.state = row.state ?? "";
    const key = JSON.stringify([row.shows, row.lacks, row.fix]);
    if (body.dataset.told === key) return;
    body.dataset.told = key;
    const told = [
      { name: "Available", text: row.shows ?? "" },
      { name: "Not available", text: row.lacks ?? "" },
      { name: "To get more", text: row.fix ?? "" },
    ].filter(({ text }) => text);
    body.rows[1].hidden = told.length === 0;
    body.rows[1].cells[0].replaceChildren(
      ...told.map(({ name, text }) => (text === row.fix ? this.#fix(name, text) : this.#line(name, text))),
    );
  }

  /** @param {string} name @param {string} text */
  #line(name, text) {
    const line = this.document.createElement("p");
    const label = this.document.createElement("span");
    label.className = "label";
    label.textContent = `${name} `;
    line.append(label, text);
    return line;
  }

  /** @param {string} name @param {string} text */
  #fix(name, text) {
    const line = this.#line(name, "");
    const words = this.document.createElement("span");
    words.className = "words";
    const said = this.document.createElement("span");
    said.className = "said";
    said.setAttribute("role", "status");
    for (const { text: piece, code } of piecesOf(text)) words.append(...(code ? this.#code(piece) : [`${piece} `]));
    line.append(words, said);
    return line;
  }

  /** @param {string} text */
  #code(text) {
    const code = this.document.createElement("code");
    code.textContent = text;
    const button = this.document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${text}`);
    return [code, button, " "];
  }

  /**
   * Copy the line, or, where that is not allowed, mark it so that the person can.
   * @param {HTMLElement | null} button
   */
  async #copy(button) {
    if (!button) return;
    const { document } = this;
    const window = windowOf(document);
    const code = /** @type {Element} */ (button.previousElementSibling);
    const said = part(/** @type {Element} */ (button.closest("p")), ".said");
    try {
      await window.navigator.clipboard.writeText(code.textContent);
      put(said, "Copied.");
      window.setTimeout(() => put(said, ""), SAID_MS);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = /** @type {Selection} */ (window.getSelection());
      selection.removeAllRanges();
      selection.addRange(range);
      put(said, "The browser does not allow copying. The line is selected: press Ctrl+C.");
    }
  }
}
