/**
 * One card per model: a copy of the page's template with its placeholders filled in; the page's scan then updates it.
 * Names come from unknown programs: they are only used as text and as label values.
 */

import { STATES, modelKey, modelsOf, slotOf } from "../series/models.mjs";
import { span } from "../series/format.mjs";
import { part, partsOf, put, targetOf } from "../dom/elements.mjs";
import { records } from "../page/tables.mjs";
import { seriesKey } from "../series/selectors.mjs";

/**
 * @import { View } from "../chart/types"
 * @import { Page } from "../page/page.mjs"
 * @import { Store } from "../series/store.mjs"
 * @import { ModelName, ModelRow, Table } from "../series/types"
 */

export const MOST_CARDS = 12; // each has four charts and a strip: more only on request
const PATIENCE_MS = 2_500; // the table of models takes a moment to come; "no model" is said after it
const PALETTE = ["--s-1", "--s-2", "--s-3", "--s-4", "--s-5", "--s-6"];

/** What only a server knows: scraped, whoever tells of the model's requests. */
const SERVERS_OWN = new Set([
  "model.kv_cache_percent",
  "model.cache_hit_percent",
  "model.batch_size",
  "model.vram_bytes",
]);

/**
 * A label's value in a selector: as itself, wildcards too.
 * @param {string} text
 */
const escapeLabel = (text) => text.replace(/[\\"*?]/g, "\\$&");

/**
 * Fill the placeholders of one attribute; in a chart's description the values are strings of JSON as well.
 * @param {string} name @param {string} raw @param {{ model: string, server: string, colour: string }} values
 */
export function filled(name, raw, { model, server, colour }) {
  /** @type {Record<string, string>} */
  const named = { MODEL: model, SERVER: server, COLOR: colour };
  const plain = name === "data-model" || name === "data-server";
  /** @param {string} text @param {(text: string) => string} safe */
  const put_ = (text, safe) => text.replace(/%(MODEL|SERVER|COLOR)%/g, (_, what) => safe(named[what]));
  if (name !== "data-chart") return put_(raw, plain || name === "style" ? (text) => text : escapeLabel);
  /** @type {{ series: string[], colors: string[], label: string }} */
  const spec = JSON.parse(raw);
  spec.series = spec.series.map((selector) => put_(selector, escapeLabel));
  spec.colors = spec.colors.map((token) => put_(token, String));
  spec.label = put_(spec.label, String);
  return JSON.stringify(spec);
}

/** @param {ModelName} given */
export const keyOf = ({ model, server }) => JSON.stringify([model, server]);

/**
 * The cards' order: known ones stay where they are, new ones come first, the most recent of them on top.
 * @param {string[]} known @param {ModelRow[]} rows
 */
export function ordered(known, rows) {
  const here = new Set(rows.map(keyOf));
  const fresh = rows.filter((row) => !known.includes(keyOf(row)));
  fresh.sort((a, b) => (b.seen_ms ?? 0) - (a.seen_ms ?? 0));
  return [...new Set(fresh.map(keyOf)), ...known.filter((key) => here.has(key))];
}

/**
 * How a model is seen, in a word.
 * @param {Partial<ModelRow>} row
 */
export function seenBy({ via, rate_hz: rate }) {
  return via === "scrape" ? `scraped${rate ? ` at ${Number(rate.toPrecision(1))} Hz` : ""}` : (via ?? "");
}

/**
 * Where it runs, in one line.
 * @param {Partial<ModelRow>} row
 */
export function whereOf({ server, runtime, pid }) {
  return [runtime, server, pid ? `pid ${pid}` : ""].filter(Boolean).join(" · ");
}

/**
 * The hover text of a figure: description, name, age, how it was measured.
 * @param {string} help @param {string} metric @param {number} ageMs @param {string} how
 */
export function hoverText(help, metric, ageMs, how) {
  const age = ageMs === ageMs ? `, ${span(Math.max(0, ageMs))} ago` : ", no value yet";
  return `${help}\n${metric}${age}${how ? `, by ${how}` : ""}`;
}

class Card {
  /** @param {HTMLElement} element @param {ModelRow} row @param {number} slot */
  constructor(element, row, slot) {
    this.element = element;
    this.fields = new Map(partsOf(element, "[data-field]").map((each) => [each.dataset.field, each]));
    this.ofEntropy = partsOf(element, "[data-fact-of=entropy]");
    this.element.dataset.model = row.model;
    this.element.style.setProperty("--c", `var(${PALETTE[slot]})`);
    this.element.setAttribute("aria-label", `Model ${row.model}, ${row.server}`);
    this.row = row;
    this.slot = slot;
    this.stateKey = seriesKey("model.energy_state", { model: row.model, server: row.server });
  }

  /**
   * The state at `ms`; the table of models is only updated once a second.
   * @param {Store} store @param {number} ms
   */
  live(store, ms) {
    const state = STATES[store.tracks.get(this.stateKey)?.valueAt(ms) ?? NaN] ?? this.row.state ?? "idle";
    const field = this.#text("state", state);
    if (field.dataset.state !== state) field.dataset.state = state;
  }

  /** @param {string} name @param {string} text */
  #text(name, text) {
    const field = /** @type {HTMLElement} */ (this.fields.get(name));
    put(field, text);
    if (field.hidden !== (text === "")) field.hidden = text === "";
    return field;
  }

  /** @param {ModelRow} row */
  update(row) {
    if (row === this.row && this.shown) return;
    this.row = row;
    this.shown = true;
    const name = this.#text("model", row.model);
    if (name.title !== row.model) name.title = row.model;
    const where = whereOf(row);
    const at = this.#text("where", where);
    if (at.title !== where) at.title = where;
    this.#text("via", seenBy(row));
    const via = row.via ?? "";
    if (this.element.dataset.via !== via) this.element.dataset.via = via;
    const reason = row.entropy_reason ?? "";
    this.#text("entropy_reason", reason ? `Entropy and certainty: n/a, ${reason}` : "");
    this.#text("note", row.note ?? "");
    for (const fact of this.ofEntropy) fact.classList.toggle("is-absent", reason !== "");
  }
}

export class ModelCards {
  /** @param {HTMLElement} host @param {{ document: Document, page: Pick<Page, "scan"> }} room */
  constructor(host, { document, page }) {
    this.document = document;
    this.page = page;
    this.tables = (host.dataset.watches ?? "").split(" ");
    this.place = part(host, ".cards");
    this.unseen = part(host, ".no-models");
    this.why = part(this.unseen, ".why");
    this.rest = part(host, ".all-models");
    /** @type {Map<string, Card>} */
    this.cards = new Map(); // key -> Card, in the order of the page
    /** @type {string[]} */
    this.order = [];
    this.most = MOST_CARDS;
    this.sinceMs = NaN;
    this.serverNow = NaN;
    /** @type {Store | null} */
    this.store = null;
    /** @type {Table | null | undefined} */
    this.shown = null; // undefined: there is no such table, and that is what is shown
    this.rest.addEventListener("click", () => {
      this.most = Infinity;
      this.shown = null;
    });
    this.place.addEventListener("pointerover", (event) => this.#hover(event));
  }

  destroy() {
    this.place.replaceChildren();
  }

  /** @param {Store} store @param {View} view @param {number} serverNow */
  write(store, view, serverNow) {
    this.store = store;
    this.serverNow = serverNow;
    if (!(this.sinceMs <= serverNow)) this.sinceMs = serverNow;
    const table = store.tables.get("models");
    if (table !== this.shown) {
      this.shown = table;
      this.#show(records(table));
    }
    for (const card of this.cards.values()) card.live(store, view.right);
    const none = this.cards.size === 0 && (table !== undefined || serverNow - this.sinceMs > PATIENCE_MS);
    if (this.unseen.hidden === none) this.unseen.hidden = !none;
    if (none) this.#whyNone(store);
  }

  /** @param {Store} store */
  #whyNone(store) {
    const status = store.collectors.get("model");
    const off = status?.state === "off" || status?.state === "error";
    const text = off
      ? status.reason || "The model collector is switched off. Turn it on at the bottom of the System page."
      : "";
    put(this.why, text);
    this.why.hidden = text === "";
  }

  /** @param {ModelRow[]} rows */
  #show(rows) {
    this.order = ordered(this.order, rows);
    const byKey = new Map(rows.map((row) => [keyOf(row), row]));
    /** @param {string} key */
    const rowOf = (key) => /** @type {ModelRow} */ (byKey.get(key));
    const wanted = this.order.slice(0, this.most);
    let changed = false;
    for (const [key, card] of this.cards) {
      if (wanted.includes(key)) continue;
      card.element.remove();
      this.cards.delete(key);
      changed = true;
    }
    wanted.forEach((key, i) => {
      let card = this.cards.get(key);
      if (!card) {
        card = this.#make(rowOf(key));
        this.cards.set(key, card);
        changed = true;
      }
      if (this.place.children[i] !== card.element)
        this.place.insertBefore(card.element, this.place.children[i] ?? null);
      card.update(rowOf(key));
    });
    const left = this.order.length - wanted.length;
    this.rest.hidden = left <= 0;
    if (left > 0) {
      const button = part(this.rest, ":scope > *");
      put(button, `Show all ${this.order.length} models`);
      button.setAttribute("aria-label", `Show all ${this.order.length} models`);
    }
    if (changed) this.page.scan();
  }

  /** @param {ModelRow} row */
  #make(row) {
    const models = modelsOf(/** @type {Store} */ (this.store));
    const slot = slotOf(models, modelKey(row), row);
    const template = part(this.document, '[data-template="model-card"] > *');
    const element = /** @type {HTMLElement} */ (template.cloneNode(true));
    const values = { model: row.model, server: row.server, colour: PALETTE[slot] };
    for (const each of [element, ...partsOf(element, "*")]) {
      for (const { name, value } of [...each.attributes]) {
        if (value.includes("%")) each.setAttribute(name, filled(name, value, values));
      }
    }
    return new Card(element, row, slot);
  }

  /**
   * A figure says on demand what it is, how old, and by whom; nothing of it is kept up to date unseen.
   * @param {Event} event
   */
  #hover(event) {
    /** @type {HTMLElement | null} */
    const fact = targetOf(event).closest("[data-metric]");
    const card = fact && [...this.cards.values()].find(({ element }) => element.contains(fact));
    if (!card || !this.store) return;
    const { metric = "", help = "" } = fact.dataset;
    /** @type {HTMLElement | null} */
    const value = fact.querySelector("[data-value]");
    const track = value ? this.store.select(value.dataset.value ?? "")[0] : null;
    const age = track && track.last === track.last ? this.serverNow - track.lastMs : NaN;
    const reason = fact.dataset.factOf ? card.row.entropy_reason : "";
    const how = SERVERS_OWN.has(metric) ? "scrape" : seenBy(card.row);
    fact.title = reason ? `${help}\nn/a: ${reason}` : hoverText(help, metric, age, how);
    for (const inner of fact.querySelectorAll('[title=""]')) inner.removeAttribute("title");
  }
}
