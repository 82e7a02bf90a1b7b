/**
 * The energy stage: a canvas of ribbons, a card a model, what a ribbon says, and the same in words. The one file of the
 * stage that touches the document; what it shows is decided in energy.mjs, said in energy-words.mjs, painted by
 * ribbons.mjs.
 */

import { Speaker } from "../page/a11y.mjs";
import { LOST_MS, Ribbon, allot, choose, seenMs } from "./energy.mjs";
import { modelKey, modelsOf, slotOf } from "../series/models.mjs";
import { card, energyFormula, face, gist, reading, sentence, serverLine } from "./energy-words.mjs";
import { figuresOf } from "./debug.mjs";
import { EnergyLegend } from "./legend.mjs";
import { make, put, windowOf } from "../dom/elements.mjs";
import { keep, kept } from "../dom/storage.mjs";
import { records } from "../page/tables.mjs";
import { Readout } from "./readout.mjs";
import { RibbonPainter } from "./ribbons.mjs";

/**
 * @import { View } from "../chart/types"
 * @import { Paint } from "../chart/paint.mjs"
 * @import { Quality } from "../page/quality.mjs"
 * @import { Store } from "../series/store.mjs"
 * @import { Model, ModelRow, ServerRow } from "../series/types"
 * @import { Last } from "./energy-words.mjs"
 */

const EVIDENCE_KEY = "wfmon.evidence";
const SAY_MS = 5_000;
const READ_MS = 500;
/** @type {Record<string, number>} */
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
const CANVAS = [
  ["role", "img"],
  ["aria-roledescription", "energy stage"],
  ["aria-label", "Energy of the models"],
  ["aria-keyshortcuts", "ArrowUp ArrowDown Home End Escape"],
  ["tabindex", "0"],
];

export class EnergyStage {
  /** @param {HTMLElement & { stage?: EnergyStage }} host @param {{ document: Document, paint: Paint }} room */
  constructor(host, { document, paint }) {
    this.host = host;
    this.window = windowOf(document);
    this.paint = paint;
    this.tables = ["models", "servers"];
    this.panel = /** @type {HTMLElement} */ (host.closest("[data-panel]") ?? host);
    this.calm = this.window.matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {Ribbon[]} */
    this.ribbons = [];
    /** @type {Map<string, Ribbon>} */
    this.byKey = new Map(); // every ribbon ever shown, so that it continues where it was
    /** @type {Map<string, Model>} */
    this.models = new Map();
    /** @type {Map<string, ModelRow>} */
    this.rows = new Map(); // key -> row of the table `models`
    this.version = -1;
    this.ever = false;
    this.more = 0;
    this.marked = -1; // the ribbon that is read out
    this.pointed = false;
    /** @type {Last | null} */
    this.last = null;
    this.lost = false;
    this.thinned = 1;
    this.drawn = { right: NaN, marked: -1, full: false, share: 1, ribbons: this.ribbons }; // what the picture shows
    this.paints = 0; // pictures painted
    this.turn = { right: NaN, known: NaN };
    /** @type {string | null} */
    this.gist = null;
    this.evidence = false;
    this.at = "right"; // the side of the stage on which the box is
    this.canvas = document.createElement("canvas");
    for (const [name, value] of CANVAS) this.canvas.setAttribute(name, value);
    host.prepend(this.canvas);
    this.painter = new RibbonPainter(this.canvas, paint);
    this.rest = make("p", "rest", host);
    this.readout = new Readout(host);
    this.found = host.querySelector("[data-energy-servers]");
    /** @type {HTMLElement | null} */
    const cards = this.panel.querySelector("[data-energy-legend]");
    this.legend = cards ? new EnergyLegend(cards) : null;
    /** @type {HTMLElement | null} */
    this.moreText = this.panel.querySelector("[data-energy-more]");
    this.switch = this.panel.querySelector("[data-energy-evidence]");
    this.speaker = new Speaker(this.#region(), SAY_MS);
    this.reader = new Speaker(this.#region(), READ_MS);
    this.onSwitch = () => this.#setEvidence(!this.evidence);
    this.#build();
    host.stage = this; // what tests read: debug()
  }

  #build() {
    const formula = this.panel.querySelector("[data-energy-formula]");
    if (formula) put(formula, energyFormula(JSON.parse(this.host.dataset.energy || "{}")));
    this.canvas.addEventListener("pointermove", (event) => this.#point(event), { passive: true });
    this.canvas.addEventListener("pointerdown", (event) => this.#point(event), { passive: true });
    this.canvas.addEventListener("pointerleave", () => this.pointed && this.#mark(-1));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener(
      "focus",
      () => this.marked < 0 && this.canvas.matches(":focus-visible") && this.#step(0),
    );
    this.canvas.addEventListener("blur", () => this.#mark(-1));
    this.switch?.addEventListener("click", this.onSwitch);
    this.#setEvidence(kept(this.window, EVIDENCE_KEY) === "1");
    this.#face("waiting");
  }

  #region() {
    const region = make("div", "aside", this.host);
    region.setAttribute("role", "status");
    region.setAttribute("aria-live", "polite");
    return region;
  }

  destroy() {
    this.switch?.removeEventListener("click", this.onSwitch);
    this.canvas.remove();
    this.legend?.destroy();
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.painter.resize(width, height);
    this.drawn.right = NaN;
  }

  // ---- what is wished

  /** @param {boolean} on */
  #setEvidence(on) {
    this.evidence = on;
    this.panel.toggleAttribute("data-evidence", on);
    this.switch?.setAttribute("aria-pressed", String(on));
    keep(this.window, EVIDENCE_KEY, on ? "1" : "0");
    this.#cards();
  }

  /** @param {MouseEvent} event */
  #point(event) {
    this.pointed = true;
    const { ratio } = this.paint;
    const width = this.canvas.width / ratio;
    this.at = event.offsetX > width / 2 ? "left" : "right"; // beside the pointer, not under it
    this.#mark(this.painter.hit(event.offsetY, this.ribbons.length), true);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) this.#step(STEPS[event.key]);
    else if (event.key === "Home") this.#select(0);
    else if (event.key === "End") this.#select(this.ribbons.length - 1);
    else if (event.key === "Escape" && this.marked >= 0) this.#mark(-1);
    else return;
    event.preventDefault();
  }

  /** @param {number} by */
  #step(by) {
    this.#select(this.marked < 0 ? 0 : (this.marked + by + this.ribbons.length) % Math.max(1, this.ribbons.length));
  }

  /** @param {number} index */
  #select(index) {
    if (!this.ribbons.length) return;
    this.at = "right";
    this.#mark(index);
    const parts = this.#readingOf(index).map(({ what, value, age, how }) =>
      [`${what} ${value}`, age, how].filter(Boolean).join(", "),
    );
    this.reader.say(`${this.ribbons[index].model}: ${parts.join("; ")}`);
    this.reader.tick(this.window.performance.now());
  }

  /** @param {number} index @param {boolean} [pointed] */
  #mark(index, pointed = false) {
    this.pointed = pointed;
    if (index === this.marked) return;
    this.marked = index;
    this.#readOut();
  }

  // ---- a frame

  /**
   * Draw the instant `view.right`, unless it is drawn already.
   * @param {View} view @param {Store} store @param {number} _turn @param {Quality | undefined} quality
   */
  draw(view, store, _turn, quality) {
    const { right } = view;
    const { drawn, painter, ribbons } = this;
    if (store.version !== this.version) this.#resolve(store);
    if (this.canvas.width < 2 || this.canvas.height < 2) return;
    const known = Math.min(right, view.known);
    const still = this.calm.matches;
    const stepMs = right >= drawn.right ? right - drawn.right : 0;
    const moved = right !== drawn.right && this.#advance(known, stepMs, right - view.known <= LOST_MS, still);
    const renewed = painter.ready(ribbons.length);
    const share = quality?.particles ?? 1;
    const same =
      drawn.marked === this.marked &&
      drawn.full === this.evidence &&
      drawn.share === share &&
      drawn.ribbons === ribbons;
    drawn.right = right;
    if (!moved && !renewed && same) return;
    drawn.marked = this.marked;
    drawn.full = this.evidence;
    drawn.share = share;
    drawn.ribbons = ribbons;
    this.thinned = allot(ribbons, painter.place, share);
    painter.draw(ribbons, known, this.marked, this.evidence);
    this.paints += 1;
  }

  /** @param {number} ms @param {number} stepMs @param {boolean} known @param {boolean} still */
  #advance(ms, stepMs, known, still) {
    let moved = false;
    for (let i = 0; i < this.ribbons.length; i += 1) moved = this.ribbons[i].step(ms, stepMs, known, still) || moved;
    return moved;
  }

  /** @param {Store} store */
  #resolve(store) {
    this.version = store.version;
    this.models = modelsOf(store);
    for (const ribbon of this.byKey.values()) this.#tie(ribbon);
  }

  /** @param {Ribbon} ribbon */
  #tie(ribbon) {
    const model = this.models.get(ribbon.key);
    ribbon.tracks = model?.tracks ?? {};
    ribbon.others = model?.others;
  }

  // ---- four times a second

  /** @param {Store} store @param {View} view */
  write(store, view) {
    if (store.version !== this.version) this.#resolve(store);
    const known = Math.min(view.right, view.known);
    this.lost = view.right - view.known > LOST_MS;
    this.turn = { right: view.right, known };
    this.rows = new Map(
      /** @type {ModelRow[]} */ (records(store.tables.get("models"))).map((row) => [modelKey(row), row]),
    );
    this.#choose(known);
    this.#recolour();
    /** @type {ServerRow[]} */
    const servers = records(store.tables.get("servers"));
    this.#face(face(this.ribbons, this.ever, servers));
    this.#servers(servers);
    this.#cards();
    this.#readOut();
    this.#say();
  }

  /** @param {number} ms */
  #choose(ms) {
    const candidates = [];
    /** @type {Last | null} */
    let last = null;
    for (const { key, model, tracks } of this.models.values()) {
      const row = this.rows.get(key);
      // A scrape sees servers, not tokens.
      const seen = seenMs(tracks, row && row.via !== "scrape" ? (row.seen_ms ?? NaN) : -Infinity, ms);
      const rate = tracks.tokens_per_second?.valueAt(ms) ?? NaN;
      const state = tracks.energy_state?.valueAt(ms) ?? NaN;
      candidates.push({ key, seen, active: !this.lost && (rate > 0 || (state > 0 && state < 5)) });
      if (seen > (last?.ms ?? -Infinity)) last = { ms: seen, model };
    }
    this.last = last;
    this.ever = candidates.some(({ seen, active }) => active || seen > -Infinity);
    const { keys, more } = choose(
      candidates,
      this.ribbons.map(({ key }) => key),
      ms,
    );
    this.more = more;
    if (keys.length === this.ribbons.length && keys.every((key, i) => key === this.ribbons[i].key)) return;
    const marked = this.ribbons[this.marked]?.key;
    const shown = new Set(this.ribbons.map(({ key }) => key));
    /** @param {string} key */
    const known = (key) => /** @type {Ribbon} */ (this.byKey.get(key));
    this.ribbons = keys.map((key) => (shown.has(key) ? known(key) : this.#enter(key)));
    for (const ribbon of this.ribbons) ribbon.signals.read(ribbon.tracks, ms, !this.lost);
    this.marked = this.ribbons.findIndex(({ key }) => key === marked);
    this.drawn.right = NaN;
  }

  /**
   * A ribbon comes onto the stage.
   * @param {string} key
   */
  #enter(key) {
    const { model, server } = /** @type {Model} */ (this.models.get(key));
    const slot = slotOf(this.models, key, this.rows.get(key));
    let ribbon = this.byKey.get(key);
    if (!ribbon) this.byKey.set(key, (ribbon = new Ribbon(key, model, server, slot)));
    ribbon.slot = slot;
    this.#tie(ribbon);
    return ribbon;
  }

  /** The monitor assigns a model's colour within a second; until then a ribbon has a provisional one. */
  #recolour() {
    for (const ribbon of this.ribbons) {
      const slot = slotOf(this.models, ribbon.key, this.rows.get(ribbon.key));
      if (slot !== ribbon.slot) this.drawn.right = NaN;
      ribbon.slot = slot;
    }
  }

  #cards() {
    const { ribbons, rows, turn, lost, evidence, painter, thinned } = this;
    if (!this.legend) return;
    this.legend.update(ribbons, { rows, ms: turn.known, lost, evidence, place: painter.place, thinned });
    if (!this.moreText) return;
    this.moreText.hidden = this.more === 0;
    put(this.moreText.querySelector("a") ?? this.moreText, `${this.more} more on Models`);
  }

  /** @param {string} name */
  #face(name) {
    if (this.panel.dataset.energyFace !== name) this.panel.dataset.energyFace = name;
    put(this.rest, name === "resting" || this.lost ? sentence([], this.last, null, this.lost) : "");
  }

  /** @param {ServerRow[]} rows */
  #servers(rows) {
    const { found } = this;
    if (!found) return;
    while (found.children.length > rows.length) found.lastChild?.remove();
    rows.forEach((row, i) => {
      put(found.children[i] ?? make("li", "", found), serverLine(row));
    });
  }

  // ---- what a ribbon says

  /** @param {number} index */
  #readingOf(index) {
    const ribbon = this.ribbons[index];
    return reading(ribbon, this.rows.get(ribbon.key), this.ribbons[index + 1], this.turn.known);
  }

  #readOut() {
    const { marked, ribbons, at } = this;
    const ribbon = ribbons[marked];
    if (!ribbon) {
      this.readout.hide();
      return;
    }
    const head = { what: ribbon.model, value: card(ribbon).state, shows: "", age: "", how: ribbon.server };
    const side = marked < ribbons.length / 2 ? "below" : "above";
    this.readout.show([head, ...this.#readingOf(marked)], at, side);
  }

  #say() {
    const text = sentence(this.ribbons, this.last, null, this.lost);
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
    const now = gist(this.ribbons, this.lost);
    if (this.gist !== null && now !== this.gist) this.speaker.say(text);
    this.gist = now;
    const page = this.window.performance.now();
    this.speaker.tick(page);
    this.reader.tick(page);
  }

  /** What tests read. */
  debug() {
    return figuresOf(this);
  }
}
