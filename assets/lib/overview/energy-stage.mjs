/**
 * The energy stage: a canvas of ribbons, a card a model, what a ribbon says, and the same in words. The one file of the
 * stage that touches the document; what it shows is decided in energy.mjs, said in energy-words.mjs, painted by ribbons.mjs.
 */

import { Speaker } from "../page/a11y.mjs";
import { LOST_MS, Ribbon, allot, choose, seenMs } from "./energy.mjs";
import { modelKey, modelsOf, slotOf } from "../series/models.mjs";
import {
  card,
  energyFormula,
  evidence,
  face,
  gist,
  indexText,
  reading,
  rowsOf,
  sentence,
  serverLine,
} from "./energy-words.mjs";
import { put } from "../page/readouts.mjs";
import { RibbonPainter } from "./ribbons.mjs";

const EVIDENCE_KEY = "wfmon.evidence";
const SAY_MS = 5_000;
const READ_MS = 500;
const DENSE_FROM = 4; // cards: from so many models on they are short
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
const CANVAS = [
  ["role", "img"],
  ["aria-roledescription", "energy stage"],
  ["aria-label", "Energy of the models"],
  ["aria-keyshortcuts", "ArrowUp ArrowDown Home End Escape"],
  ["tabindex", "0"],
];
const METER = [
  ["role", "meter"],
  ["aria-label", "Energy"],
  ["aria-valuemin", "0"],
  ["aria-valuemax", "1"],
];

export class EnergyStage {
  constructor(host, { document, paint }) {
    this.host = host;
    this.document = document;
    this.paint = paint;
    this.tables = ["models", "servers"];
    this.panel = host.closest("[data-panel]") ?? host;
    this.calm = document.defaultView.matchMedia("(prefers-reduced-motion: reduce)");
    this.ribbons = [];
    this.byKey = new Map(); // every ribbon that was ever shown, so that it goes on where it was
    this.models = new Map();
    this.rows = new Map(); // key -> row of the table `models`
    this.version = -1;
    this.ever = false;
    this.more = 0;
    this.marked = -1; // the ribbon that is read out
    this.pointed = false;
    this.last = null;
    this.lost = false;
    this.thinned = 1;
    this.drawn = { right: NaN, marked: -1, full: null, share: 1, ribbons: null }; // what the picture shows
    this.paints = 0; // pictures painted
    this.turn = { right: NaN, known: NaN, east: 0 };
    this.gist = null;
    this.#build();
    host.stage = this; // what tests read: debug()
  }

  #make(tag, className, parent = this.host) {
    const element = this.document.createElement(tag);
    if (className) element.className = className;
    parent.append(element);
    return element;
  }

  #build() {
    const { host, panel } = this;
    this.canvas = this.document.createElement("canvas");
    for (const [name, value] of CANVAS) this.canvas.setAttribute(name, value);
    host.prepend(this.canvas);
    this.painter = new RibbonPainter(this.canvas, this.paint);
    this.rest = this.#make("p", "rest");
    this.box = this.#make("div", "readout");
    this.box.hidden = true;
    this.box.setAttribute("aria-hidden", "true"); // the same is said by the reader
    this.found = host.querySelector("[data-energy-servers]");
    this.legend = panel.querySelector("[data-energy-legend]");
    this.moreText = panel.querySelector("[data-energy-more]");
    this.switch = panel.querySelector("[data-energy-evidence]");
    this.cards = new Map();
    const formula = panel.querySelector("[data-energy-formula]");
    if (formula) put(formula, energyFormula(JSON.parse(host.dataset.energy || "{}")));
    this.speaker = new Speaker(this.#region(), SAY_MS);
    this.reader = new Speaker(this.#region(), READ_MS);
    this.canvas.addEventListener("pointermove", (event) => this.#point(event), { passive: true });
    this.canvas.addEventListener("pointerdown", (event) => this.#point(event), { passive: true });
    this.canvas.addEventListener("pointerleave", () => this.pointed && this.#mark(-1));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener(
      "focus",
      () => this.marked < 0 && this.canvas.matches(":focus-visible") && this.#step(0),
    );
    this.canvas.addEventListener("blur", () => this.#mark(-1));
    this.onSwitch = () => this.#setEvidence(!this.evidence);
    this.switch?.addEventListener("click", this.onSwitch);
    this.#setEvidence(this.#remembered());
    this.#face("waiting");
  }

  #region() {
    const region = this.#make("div", "aside");
    region.setAttribute("role", "status");
    region.setAttribute("aria-live", "polite");
    return region;
  }

  destroy() {
    this.switch?.removeEventListener("click", this.onSwitch);
    this.canvas.remove();
    this.legend?.replaceChildren();
  }

  resize(width, height) {
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.painter.resize(width, height);
    this.drawn.right = NaN;
  }

  // ---- what is wished

  #remembered() {
    try {
      return this.document.defaultView.localStorage.getItem(EVIDENCE_KEY) === "1";
    } catch {
      return false;
    }
  }

  #setEvidence(on) {
    this.evidence = on;
    this.panel.toggleAttribute("data-evidence", on);
    this.switch?.setAttribute("aria-pressed", String(on));
    try {
      this.document.defaultView.localStorage.setItem(EVIDENCE_KEY, on ? "1" : "0");
    } catch {
      // Storage may be forbidden: the choice then lasts as long as the page.
    }
    this.#cards();
  }

  #point(event) {
    this.pointed = true;
    const { ratio } = this.paint;
    const width = this.canvas.width / ratio;
    this.at = event.offsetX > width / 2 ? "left" : "right"; // beside the pointer, not under it
    this.#mark(this.painter.hit(event.offsetY, this.ribbons.length), true);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) this.#step(STEPS[event.key]);
    else if (event.key === "Home") this.#select(0);
    else if (event.key === "End") this.#select(this.ribbons.length - 1);
    else if (event.key === "Escape" && this.marked >= 0) this.#mark(-1);
    else return;
    event.preventDefault();
  }

  #step(by) {
    this.#select(this.marked < 0 ? 0 : (this.marked + by + this.ribbons.length) % Math.max(1, this.ribbons.length));
  }

  #select(index) {
    if (!this.ribbons.length) return;
    this.at = "right";
    this.#mark(index);
    const parts = this.#readingOf(index).map(({ what, value, age, how }) =>
      [`${what} ${value}`, age, how].filter(Boolean).join(", "),
    );
    this.reader.say(`${this.ribbons[index].model}: ${parts.join("; ")}`);
    this.reader.tick(this.document.defaultView.performance.now());
  }

  #mark(index, pointed = false) {
    this.pointed = pointed;
    if (index === this.marked) return;
    this.marked = index;
    this.#readOut();
  }

  // ---- a frame

  /** Draw the instant `view.right`, unless the picture stands already. */
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

  #advance(ms, stepMs, known, still) {
    let moved = false;
    for (let i = 0; i < this.ribbons.length; i += 1) moved = this.ribbons[i].step(ms, stepMs, known, still) || moved;
    return moved;
  }

  #resolve(store) {
    this.version = store.version;
    this.models = modelsOf(store);
    for (const ribbon of this.byKey.values()) this.#tie(ribbon);
  }

  #tie(ribbon) {
    const model = this.models.get(ribbon.key);
    ribbon.tracks = model?.tracks ?? {};
    ribbon.others = model?.others;
  }

  // ---- four times a second

  write(store, view) {
    if (store.version !== this.version) this.#resolve(store);
    const known = Math.min(view.right, view.known);
    this.lost = view.right - view.known > LOST_MS;
    this.turn = { right: view.right, known, east: view.minutesEast };
    this.rows = new Map(rowsOf(store, "models").map((row) => [modelKey(row), row]));
    this.#choose(known);
    const servers = rowsOf(store, "servers");
    this.#face(face(this.ribbons, this.ever, servers));
    this.#servers(servers);
    this.#cards();
    this.#readOut();
    this.#say();
  }

  #choose(ms) {
    const candidates = [];
    let last = null;
    for (const { key, model, tracks } of this.models.values()) {
      const row = this.rows.get(key);
      const seen = seenMs(tracks, row && row.via !== "scrape" ? row.seen_ms : -Infinity, ms); // a scrape sees servers, not tokens
      const rate = tracks.tokens_per_second?.valueAt(ms);
      const state = tracks.energy_state?.valueAt(ms);
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
    const taken = new Set(keys.filter((key) => shown.has(key)).map((key) => this.byKey.get(key).slot));
    this.ribbons = keys.map((key) => (shown.has(key) ? this.byKey.get(key) : this.#enter(key, taken)));
    for (const ribbon of this.ribbons) ribbon.signals.read(ribbon.tracks, ms, !this.lost);
    this.marked = this.ribbons.findIndex(({ key }) => key === marked);
    this.drawn.right = NaN;
  }

  /** A ribbon comes onto the stage, in a colour that no other there has. */
  #enter(key, taken) {
    const { model, server } = this.models.get(key);
    const slot = slotOf(this.models, key, taken);
    taken.add(slot);
    let ribbon = this.byKey.get(key);
    if (!ribbon) this.byKey.set(key, (ribbon = new Ribbon(key, model, server, slot)));
    ribbon.slot = slot;
    this.#tie(ribbon);
    return ribbon;
  }

  #face(name) {
    if (this.panel.dataset.energyFace !== name) this.panel.dataset.energyFace = name;
    put(this.rest, name === "resting" || this.lost ? sentence([], this.last, this.turn.east, this.lost) : "");
  }

  #servers(rows) {
    if (!this.found) return;
    while (this.found.children.length > rows.length) this.found.lastChild.remove();
    rows.forEach((row, i) => put(this.found.children[i] ?? this.#make("li", "", this.found), serverLine(row)));
  }

  // ---- cards

  #cards() {
    if (!this.legend) return;
    const shown = new Set(this.ribbons.map(({ key }) => key));
    for (const [key, one] of this.cards) {
      if (shown.has(key)) continue;
      one.root.remove();
      this.cards.delete(key);
    }
    this.ribbons.forEach((ribbon, i) => {
      let one = this.cards.get(ribbon.key);
      if (!one) this.cards.set(ribbon.key, (one = this.#card(ribbon)));
      if (this.legend.children[i] !== one.root) this.legend.insertBefore(one.root, this.legend.children[i] ?? null);
      this.#fill(one, ribbon, this.ribbons[i + 1]);
    });
    this.legend.classList.toggle("dense", this.ribbons.length >= DENSE_FROM);
    if (this.moreText) {
      this.moreText.hidden = this.more === 0;
      put(this.moreText.querySelector("a") ?? this.moreText, `and ${this.more} more on Models`);
    }
  }

  #card(ribbon) {
    const root = this.#make("div", "model", this.legend);
    root.style.setProperty("--c", `var(--s-${ribbon.slot + 1})`);
    const name = this.#make("p", "name", root);
    this.#make("i", "", name);
    put(this.#make("span", "", name), ribbon.model);
    name.title = `${ribbon.model} at ${ribbon.server}`;
    const state = this.#make("p", "state", root);
    const big = this.#make("p", "big", root);
    const tps = this.document.createTextNode("");
    big.append(tps);
    put(this.#make("span", "unit", big), "tokens/s");
    const meter = this.#make("span", "meter", root);
    for (const [attribute, value] of METER) meter.setAttribute(attribute, value);
    this.#make("i", "", meter);
    const list = this.#make("dl", "", root);
    const [ttft, entropy, way] = ["First token", "Entropy", "Seen by"].map((title) => {
      const pair = this.#make("div", "", list);
      put(this.#make("dt", "", pair), title);
      const figure = this.#make("dd", "", pair);
      const number = this.document.createTextNode("");
      figure.append(number);
      return { figure, number, unit: this.#make("span", "unit", figure) };
    });
    return { root, state, tps, meter, ttft, entropy, way, proof: this.#make("dl", "proof", root) };
  }

  #fill(one, ribbon, below) {
    const row = this.rows.get(ribbon.key);
    const texts = card(ribbon, row);
    const set = (node, text) => node.data !== text && (node.data = text);
    if (one.root.dataset.state !== texts.state) one.root.dataset.state = texts.state;
    put(one.state, this.lost ? "not known" : texts.state);
    set(one.tps, texts.tps);
    const energy = Number.isFinite(texts.energy) ? texts.energy.toFixed(3) : "0";
    one.meter.style.setProperty("--v", energy);
    one.meter.classList.toggle("is-absent", !Number.isFinite(texts.energy));
    one.meter.setAttribute("aria-valuenow", energy);
    one.meter.setAttribute("aria-valuetext", indexText(texts.energy));
    one.meter.title = `energy ${indexText(texts.energy)}`;
    set(one.ttft.number, texts.ttft.number);
    put(one.ttft.unit, texts.ttft.unit);
    set(one.entropy.number, texts.entropy.number);
    put(one.entropy.unit, texts.entropy.unit);
    one.entropy.figure.title = texts.entropyWhy;
    set(one.way.number, texts.way);
    one.way.figure.title = texts.wayWhy;
    if (!this.evidence) return;
    const rows = evidence(ribbon, row, below, this.turn.known, this.painter.place, this.thinned);
    this.#pairs(
      one.proof,
      rows.map(({ shows, formula }) => [shows, `= ${formula}`]),
    );
  }

  #pairs(list, pairs) {
    while (list.children.length > pairs.length) list.lastChild.remove();
    pairs.forEach((texts, i) => {
      const pair = list.children[i] ?? this.#make("div", "", list);
      texts.forEach((text, n) => put(pair.children[n] ?? this.#make(n ? "dd" : "dt", "", pair), text));
    });
  }

  // ---- what a ribbon says

  #readingOf(index) {
    const ribbon = this.ribbons[index];
    return reading(ribbon, this.rows.get(ribbon.key), this.ribbons[index + 1], this.turn.known);
  }

  #readOut() {
    const ribbon = this.ribbons[this.marked];
    this.box.hidden = !ribbon;
    if (!ribbon) return;
    this.box.dataset.at = this.at ?? "right";
    this.box.dataset.side = this.marked < this.ribbons.length / 2 ? "below" : "above";
    const head = { what: ribbon.model, value: card(ribbon).state, shows: "", age: "", how: ribbon.server };
    const rows = [head, ...this.#readingOf(this.marked)];
    while (this.box.children.length > rows.length) this.box.lastChild.remove();
    rows.forEach(({ what, value, shows, age, how }, i) => {
      const line = this.box.children[i] ?? this.#make("p", "", this.box);
      [what, value, shows, [age, how].filter(Boolean).join(" · ")].forEach((text, n) => {
        put(line.children[n] ?? this.#make(["b", "span", "i", "small"][n], "", line), text);
      });
    });
  }

  #say() {
    const text = sentence(this.ribbons, this.last, this.turn.east, this.lost);
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
    const now = gist(this.ribbons, this.lost);
    if (this.gist !== null && now !== this.gist) this.speaker.say(text);
    this.gist = now;
    const page = this.document.defaultView.performance.now();
    this.speaker.tick(page);
    this.reader.tick(page);
  }

  /** What tests read: plain values of every ribbon, lengths in CSS px. */
  debug() {
    const { painter, ribbons } = this;
    return {
      face: this.panel.dataset.energyFace,
      paints: this.paints,
      thinned: this.thinned,
      place: { ...painter.place },
      models: ribbons.map((ribbon, i) => ({
        model: ribbon.model,
        server: ribbon.server,
        slot: ribbon.slot,
        state: card(ribbon).state,
        width_px: painter.widthOf(ribbon),
        width_share: ribbon.share,
        speed_px_s: ribbon.speed,
        flown_px: ribbon.flown,
        density: ribbon.density,
        particles: ribbon.count,
        brightness: ribbon.brightness,
        flash: ribbon.flash,
        glow: ribbon.glow,
        ripple: ribbon.ripple ?? NaN,
        lane_y: painter.laneAt(i),
      })),
    };
  }
}
