/**
 * The cards beside the energy stage, one per ribbon: its figures, and with "Evidence" the formulas of its visuals.
 */

import { make, put } from "../dom/elements.mjs";
import { card, evidence, indexText } from "./energy-words.mjs";

/** @import { ModelRow } from "../series/types" */
/** @import { Place, Ribbon } from "./energy.mjs" */

const DENSE_FROM = 4; // cards: from so many models on they are short
const METER = [
  ["role", "meter"],
  ["aria-label", "Energy"],
  ["aria-valuemin", "0"],
  ["aria-valuemax", "1"],
];

/** @typedef {ReturnType<typeof makeCard>} Card */

/**
 * What the cards are written from: `rows` by the ribbons' keys, `ms` the instant that is shown, `lost` when nothing is
 * known, `thinned` the factor of the particles.
 * @typedef {{
 *   rows: Map<string, ModelRow>, ms: number, lost: boolean, evidence: boolean, place: Place, thinned: number
 * }} Shown
 */

/** @param {Text} node @param {string} text */
function set(node, text) {
  if (node.data !== text) node.data = text;
}

export class EnergyLegend {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {Map<string, Card>} */
    this.cards = new Map();
  }

  destroy() {
    this.element.replaceChildren();
  }

  /**
   * Show a card a ribbon, in the order of the stage.
   * @param {Ribbon[]} ribbons @param {Shown} shown
   */
  update(ribbons, shown) {
    const { element } = this;
    const here = new Set(ribbons.map(({ key }) => key));
    for (const [key, one] of this.cards) {
      if (here.has(key)) continue;
      one.root.remove();
      this.cards.delete(key);
    }
    ribbons.forEach((ribbon, i) => {
      let one = this.cards.get(ribbon.key);
      if (!one) this.cards.set(ribbon.key, (one = makeCard(element, ribbon)));
      if (element.children[i] !== one.root) element.insertBefore(one.root, element.children[i] ?? null);
      const colour = `var(--s-${ribbon.slot + 1})`;
      if (one.root.style.getPropertyValue("--c") !== colour) one.root.style.setProperty("--c", colour);
      fill(one, ribbon, ribbons[i + 1], shown);
    });
    element.classList.toggle("dense", ribbons.length >= DENSE_FROM);
  }
}

/** @param {HTMLElement} legend @param {Ribbon} ribbon */
function makeCard(legend, ribbon) {
  const { ownerDocument: document } = legend;
  const root = make("div", "model", legend);
  const name = make("p", "name", root);
  make("i", "", name);
  put(make("span", "", name), ribbon.model);
  name.title = `${ribbon.model} at ${ribbon.server}`;
  const state = make("p", "state", root);
  const big = make("p", "big", root);
  const tps = document.createTextNode("");
  big.append(tps);
  put(make("span", "unit", big), "tokens/s");
  const meter = make("span", "meter", root);
  for (const [attribute, value] of METER) meter.setAttribute(attribute, value);
  make("i", "", meter);
  const list = make("dl", "", root);
  const [ttft, entropy, way] = ["First token", "Entropy", "Source"].map((title) => {
    const pair = make("div", "", list);
    put(make("dt", "", pair), title);
    const figure = make("dd", "", pair);
    const number = document.createTextNode("");
    figure.append(number);
    return { figure, number, unit: make("span", "unit", figure) };
  });
  return { root, state, tps, meter, ttft, entropy, way, proof: make("dl", "proof", root) };
}

/** @param {Card} one @param {Ribbon} ribbon @param {Ribbon | undefined} below @param {Shown} shown */
function fill(one, ribbon, below, shown) {
  const row = shown.rows.get(ribbon.key);
  const texts = card(ribbon, row);
  if (one.root.dataset.state !== texts.state) one.root.dataset.state = texts.state;
  put(one.state, shown.lost ? "unknown" : texts.state);
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
  if (!shown.evidence) return;
  const rows = evidence(ribbon, row, below, shown.ms, shown.place, shown.thinned);
  fillPairs(
    one.proof,
    rows.map(({ shows, formula }) => [shows, `= ${formula}`]),
  );
}

/** @param {HTMLElement} list @param {string[][]} pairs */
function fillPairs(list, pairs) {
  while (list.children.length > pairs.length) list.lastChild?.remove();
  pairs.forEach((texts, i) => {
    const pair = list.children[i] ?? make("div", "", list);
    texts.forEach((text, n) => {
      put(pair.children[n] ?? make(n ? "dd" : "dt", "", pair), text);
    });
  });
}
