/**
 * The statistics below each chart of the History page: asked for when they are opened, anew whenever what is shown
 * changes.
 *
 * What is open, and the series that each is correlated with, outlive the charts' being drawn anew. `grown` is called
 * when the room that they need changes. What they say is in span-words.mjs.
 */

import { part, partsOf, targetOf, windowOf } from "../dom/elements.mjs";
import { SpanMarkup } from "./span-markup.mjs";
import * as words from "./span-words.mjs";
import { eastAt, zoneName } from "../series/zone.mjs";

/** @import { ChartRow, Correlation, Line, Spec, Statistics } from "./types" */

const MOST = 6; // series of a chart at once; a button shows the others
/** @type {Record<string, string>} */
const METHODS = {
  mean: "Figures",
  quantiles: "p50, p95, p99",
  change: "Change",
  trend: "Trend",
  profile: "Hours of the day",
  correlation: "Correlation",
};

/** @typedef {{ section: HTMLElement, body: HTMLElement, asked: string }} Place The elements of a series' answer. */

/**
 * What is open below a chart: its box, the sections of its series, whether all of them are shown, and how often it was
 * filled.
 * @typedef {{
 *   box: HTMLElement, how: HTMLElement, sections: Map<string, Place>, all: boolean, turn: number
 * }} Panel
 */

export class SpanStatistics {
  /** @param {Document} document @param {{ grown(): void }} on */
  constructor(document, { grown }) {
    this.document = document;
    this.window = windowOf(document);
    this.markup = new SpanMarkup(document);
    this.grown = grown;
    /** @type {Map<string, Panel>} */
    this.panels = new Map(); // by metric: {box, sections, all, turn}
    /** @type {Set<string>} */
    this.open = new Set();
    /** @type {Map<string, string>} */
    this.others = new Map(); // by series, what it is correlated with
    /** @type {Spec | null} */
    this.spec = null;
    this.sizes = new this.window.ResizeObserver(() => this.grown());
  }

  start() {
    this.document.addEventListener("toggle", (event) => this.#toggled(event), true);
  }

  /** The page was laid out anew: nothing is open. */
  begin() {
    this.sizes.disconnect();
    for (const panel of this.panels.values()) panel.turn += 1;
    this.panels.clear();
    this.open.clear();
    this.spec = null;
  }

  /**
   * The charts were drawn anew.
   * @param {Spec} spec
   */
  show(spec) {
    this.spec = spec;
    for (const box of /** @type {HTMLDetailsElement[]} */ (partsOf(this.document, ".history [data-statistics]"))) {
      const on = this.open.has(box.dataset.statistics ?? "");
      if (on) this.#fill(box);
      box.open = on;
    }
  }

  /** Pixels that what is open needs, by metric. What is closed has a height too: it is laid out, and not shown. */
  get extras() {
    /** @param {string} metric @param {HTMLElement | null} place */
    const height = (metric, place) => (this.open.has(metric) && place?.isConnected ? place.offsetHeight : 0);
    return Object.fromEntries([...this.panels].map(([metric, { box }]) => [metric, height(metric, box.parentElement)]));
  }

  /** @param {Event} event */
  #toggled(event) {
    const target = /** @type {HTMLDetailsElement} */ (targetOf(event));
    const metric = target.dataset?.statistics;
    if (!metric || !this.spec) return;
    if (target.open === this.open.has(metric)) return;
    if (target.open) {
      this.open.add(metric);
      this.#fill(target);
    } else this.open.delete(metric);
    this.grown();
  }

  /**
   * Ask for what the open box should say, one series after the other.
   * @param {HTMLElement} box
   */
  async #fill(box) {
    const metric = box.dataset.statistics ?? "";
    const row = this.spec?.rows.find((each) => each.name === metric);
    if (!row) return;
    const panel = this.panels.get(metric) ?? this.#panel();
    this.panels.set(metric, panel);
    const place = part(box, ".statistics");
    if (panel.box.parentElement !== place) {
      place.replaceChildren(panel.box);
      this.sizes.observe(place);
    }
    const turn = (panel.turn += 1);
    const lines = panel.all ? row.lines : row.lines.slice(0, MOST);
    const sections = lines.map((line) => this.#section(panel, row, line));
    const left = row.lines.length - lines.length;
    const more = this.markup.make("button", `Show the other ${left}`, { type: "button", className: "text" });
    more.addEventListener("click", () => {
      panel.all = true;
      this.#fill(box);
    });
    panel.box.replaceChildren(...sections, ...(left > 0 ? [more] : []), panel.how);
    for (const line of lines) {
      if (panel.turn !== turn) return;
      await this.#ask(panel, row, line);
    }
  }

  /** @returns {Panel} */
  #panel() {
    const { markup } = this;
    return {
      box: markup.make("div", [], { className: "spans" }),
      how: markup.make("details", markup.make("summary", "How these are calculated"), {
        className: "how",
        hidden: true,
      }),
      sections: new Map(),
      all: false,
      turn: 0,
    };
  }

  /** @param {Panel} panel @param {ChartRow} row @param {Line} line */
  #section(panel, row, line) {
    let known = panel.sections.get(line.series);
    if (!known) {
      const swatch = this.markup.make("i", []);
      swatch.style.background = `var(${line.color})`;
      const name = [swatch, line.label];
      const head =
        row.lines.length > 1
          ? this.markup.make("h4", name)
          : this.markup.make("h4", line.label || row.name, { className: line.label ? "" : "aside" });
      const body = this.markup.make("div", this.markup.make("p", "Calculating…", { className: "muted" }), {
        className: "body",
      });
      const section = this.markup.make("section", [head, body], { dataset: { series: line.series } });
      section.style.setProperty("--c", `var(${line.color})`);
      known = { section, body, asked: "" };
      panel.sections.set(line.series, known);
    }
    return known.section;
  }

  /** @param {Panel} panel @param {ChartRow} row @param {Line} line */
  async #ask(panel, row, line) {
    const { spec } = this;
    const place = panel.sections.get(line.series);
    if (!spec || !place) return;
    const asked = words.address(spec, line.series, this.others.get(line.series) ?? "", {
      name: zoneName(),
      east: eastAt(spec.to_ms),
    });
    if (place.asked === asked) return;
    place.asked = asked;
    place.section.setAttribute("aria-busy", "true");
    const found = await this.#fetch(asked);
    if (place.asked !== asked) return; // a newer request was sent meanwhile
    place.section.removeAttribute("aria-busy");
    if ("told" in found) this.#tell(panel, place, found.told, row, line);
    else this.#trouble(panel, place, found, row, line);
  }

  /** @param {string} asked @returns {Promise<{ told: Statistics } | { detail: string, fix: string }>} */
  async #fetch(asked) {
    try {
      const answer = await this.window.fetch(asked, { cache: "no-store", credentials: "same-origin" });
      const told = await answer.json();
      return answer.ok ? { told } : { detail: told.detail, fix: told.fix };
    } catch {
      return { detail: "The monitor did not respond.", fix: "Is it running? Try again." };
    }
  }

  /**
   * @param {Panel} panel @param {Place} place @param {{ detail: string, fix: string }} trouble @param {ChartRow} row
   * @param {Line} line
   */
  #trouble(panel, place, { detail, fix }, row, line) {
    const again = this.markup.make("button", "Try again", { type: "button", className: "text" });
    again.addEventListener("click", () => this.#ask(panel, row, line));
    place.asked = "";
    const said = this.markup.make("p", `${detail} ${fix}`, { className: "bad" });
    place.body.replaceChildren(said, again);
    said.setAttribute("role", "alert");
  }

  /** @param {Panel} panel @param {Place} place @param {Statistics} told @param {ChartRow} row @param {Line} line */
  #tell(panel, place, told, row, line) {
    this.#how(panel, told.methods);
    const { markup, spec } = this;
    const { activeElement } = this.document;
    const kept = activeElement?.closest?.("select") && place.body.contains(activeElement);
    const notes = [
      { before: "", absent: told.span.absent },
      { before: "Comparison range: ", absent: told.against.absent },
    ].filter(({ absent }) => absent);
    const said = notes.map(({ before, absent }) => this.markup.make("p", before + absent, { className: "muted" }));
    const found = words.rows(told, row.unit);
    const facts = this.markup.make("dl", [
      ...markup.fact("Trend", markup.said(words.trend(told.trend, row.unit))),
      ...markup.fact("Hours of the day", markup.day(told.profile, row.unit)),
      ...markup.fact("Correlates with", this.#correlated(panel, told.correlation, row, line)),
    ]);
    place.body.replaceChildren(
      ...said,
      ...(found.length ? [markup.figures(found, told, row, line, spec?.compared_ms !== null)] : []),
      ...(told.span.absent ? [] : [facts]),
    );
    if (kept) place.body.querySelector("select")?.focus({ preventScroll: true });
  }

  /** @param {Panel} panel @param {Correlation | null} told @param {ChartRow} row @param {Line} line */
  #correlated(panel, told, row, line) {
    const chosen = this.others.get(line.series) ?? "";
    const all = (this.spec?.rows ?? [])
      .flatMap((each) => each.lines.map((one) => one.series))
      .filter((series) => series !== line.series);
    if (chosen && !all.includes(chosen)) all.push(chosen);
    /** @param {string} value @param {string} name */
    const option = (value, name) => this.markup.make("option", name, { value });
    const select = this.markup.make(
      "select",
      [option("", all.length ? "select a series" : "no other series shown"), ...all.map((each) => option(each, each))],
      {
        className: "field",
        disabled: !all.length,
        ariaLabel: `Series to correlate ${line.series} with`,
      },
    );
    select.value = chosen;
    select.addEventListener("change", (event) => {
      event.stopPropagation();
      this.others.set(line.series, select.value);
      this.#ask(panel, row, line);
    });
    return [
      select,
      ...(told ? [this.markup.make("p", this.markup.said(words.correlation(told)), { className: "answer" })] : []),
    ];
  }

  /** @param {Panel} panel @param {Record<string, string>} methods */
  #how(panel, methods) {
    const list = Object.entries(METHODS).flatMap(([key, name]) =>
      methods[key] ? [this.markup.make("dt", name), this.markup.make("dd", methods[key])] : [],
    );
    panel.how.replaceChildren(part(panel.how, "summary"), this.markup.make("dl", list));
    panel.how.hidden = false;
  }
}
