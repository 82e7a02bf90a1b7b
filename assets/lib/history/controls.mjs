/**
 * The fields above the charts: they show the view, and change it.
 */

import { part, partsOf } from "../dom/elements.mjs";
import { eastAt } from "../series/zone.mjs";
import { localText, withParts, withRange, withSpan } from "./history.mjs";

/** @import { HistoryPage, Spec } from "./types" */

export class RangeControls {
  /** @param {HistoryPage} page */
  constructor(page) {
    this.page = page;
  }

  /**
   * An input of the page.
   * @param {string} name @returns {HTMLInputElement}
   */
  #input(name) {
    return part(this.page.document, `#history-${name}`);
  }

  /**
   * Show what was drawn.
   * @param {Spec} spec
   */
  show(spec) {
    const { page } = this;
    for (const button of partsOf(page.document, '[data-act="range"]')) {
      button.setAttribute("aria-pressed", String(button.dataset.to === spec.text));
    }
    page.set("history-typed", { value: spec.text });
    /** @param {number} ms */
    const minute = (ms) => localText(ms, eastAt).slice(0, 16); // as an input of kind datetime-local takes it
    page.set("history-from", { value: minute(spec.from_ms) });
    page.set("history-to", { value: minute(spec.to_ms) });
    const other = /^\d+$/.test(spec.compare);
    this.#input("compare").value = other ? "other" : spec.compare;
    this.#input("other-label").hidden = !other;
    if (other && spec.compared_ms !== null) page.set("history-other", { value: minute(spec.compared_ms) });
    this.#input("quantiles").setAttribute("aria-pressed", String(spec.quantiles));
    const stack = this.#input("stack");
    stack.hidden = spec.empty;
    Object.assign(stack.dataset, { from: spec.from_ms, to: spec.to_ms, step: spec.step_ms, tier: spec.tier });
  }

  /** A range was typed. */
  typed() {
    const { page } = this;
    const words = this.#input("typed").value.trim();
    if (words) page.fresh(withRange(page.query, words));
  }

  /** An end was picked in a calendar. */
  picked() {
    const { page } = this;
    const [from, to] = ["from", "to"].map((name) => new Date(this.#input(name).value).getTime());
    if (Number.isFinite(from) && Number.isFinite(to)) page.fresh(withSpan(page.query, from, to));
  }

  /**
   * A span to compare with was chosen.
   * @param {string} value
   */
  compare(value) {
    const { page } = this;
    this.#input("other-label").hidden = value !== "other";
    if (value === "other") this.#input("other").focus();
    else page.ask(withParts(page.query, { compare: value }));
  }

  /**
   * The begin of a span to compare with was picked.
   * @param {string} value
   */
  compareFrom(value) {
    const { page } = this;
    const ms = new Date(value).getTime();
    if (Number.isFinite(ms) && ms >= 0) page.ask(withParts(page.query, { compare: String(ms) }));
  }
}
