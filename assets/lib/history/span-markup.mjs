/**
 * The statistics of a span as elements: the table of figures, a verdict beside its size, the hours of the day as a
 * picture.
 */

import { eastAt } from "../series/zone.mjs";
import { localText } from "./history.mjs";
import * as words from "./span-words.mjs";

/** @import { ChartRow, FigureRow, Line, Profile, Statistics, Verdict } from "./types" */

const SVG = "http://www.w3.org/2000/svg";
const MARKS = ["0:00", "6:00", "12:00", "18:00", "24:00"];

/** @typedef {string | Node} Content */
/** @typedef {Record<string, unknown> & { dataset?: Record<string, string> }} More Properties of an element. */

export class SpanMarkup {
  /** @param {Document} document */
  constructor(document) {
    this.document = document;
  }

  /**
   * An element with its content and its properties.
   * @template {keyof HTMLElementTagNameMap} K
   * @param {K} tag @param {Content | Content[]} content @param {More} [more]
   */
  make(tag, content, more = {}) {
    const { dataset, ...rest } = more;
    const made = Object.assign(this.document.createElement(tag), rest);
    Object.assign(made.dataset, dataset);
    made.append(...[content].flat());
    return made;
  }

  /**
   * A verdict, and beside it how much.
   * @param {Verdict} verdict
   */
  said({ verdict, size, sure }) {
    return [
      this.make("strong", verdict, { className: sure ? "sure" : "" }),
      " ",
      this.make("span", size, { className: "size" }),
    ];
  }

  /**
   * A name and what is said of it, for a list of facts.
   * @param {string} name @param {Content | Content[]} content
   */
  fact(name, content) {
    return [this.make("dt", name), this.make("dd", content)];
  }

  /**
   * The figures of both spans, and how they changed. `compared`: the other span was chosen by the person.
   * @param {FigureRow[]} rows @param {Statistics} told @param {ChartRow} row @param {Line} line
   * @param {boolean} compared
   */
  figures(rows, told, row, line, compared) {
    /** @param {number} ms */
    const clock = (ms) => localText(ms, eastAt).slice(0, 16).replace("T", " ");
    /** @param {{ from_ms: number, to_ms: number }} ends */
    const span = ({ from_ms: from, to_ms: to }) => `${clock(from)} to ${clock(to)}`;
    const head = this.make("tr", [
      this.make("th", this.make("span", "Figure", { className: "aside" }), { scope: "col" }),
      this.make("th", "This range", { scope: "col", className: "num", title: span(told.span) }),
      this.make("th", compared ? "Compared range" : "Previous range", {
        scope: "col",
        className: "num",
        title: span(told.against),
      }),
      this.make("th", "Change (95 % interval)", { scope: "col" }),
    ]);
    const body = rows.map(({ key, name, now, before, change }) =>
      this.make("tr", [
        this.make("th", name, { scope: "row" }),
        this.make("td", now, { className: "num" }),
        this.make("td", before, { className: "num" }),
        this.make("td", change ? this.said(words.change(change, row.unit)) : [], {
          className: "changed",
          dataset: { of: key },
        }),
      ]),
    );
    const title = `${line.label || row.name}: ${span(told.span)}, compared with ${span(told.against)}`;
    const caption = this.make("caption", title, { className: "aside" });
    return this.make("table", [caption, this.make("thead", head), this.make("tbody", body)]);
  }

  /**
   * The hours of the day as a picture, or why there is none.
   * @param {Profile} profile @param {string} unit @returns {Content[]}
   */
  day(profile, unit) {
    const found = words.day(profile.hours, unit);
    if (!found) {
      const why = profile.absent || "Data exists for fewer than two hours of the day.";
      return [this.make("span", why, { className: "size" })];
    }
    const [width, height] = found.size;
    const all = found.bars.map((bar) => bar.words).join("; ");
    const picture = this.#draw("svg", {
      viewBox: `0 0 ${width} ${height}`,
      class: "day",
      role: "img",
      "aria-label": `Median by hour of the day: ${all}`,
      preserveAspectRatio: "none",
    });
    for (const { words: said, ...box } of found.bars) {
      const bar = this.#draw("rect", box);
      const title = this.#draw("title", {});
      title.textContent = said;
      bar.append(title);
      picture.append(bar);
    }
    const marks = this.make(
      "span",
      MARKS.map((each) => this.make("span", each)),
      { className: "marks", ariaHidden: "true" },
    );
    return [
      this.make("div", [picture, marks], { className: "hours" }),
      this.make("span", found.words, { className: "size" }),
    ];
  }

  /** @param {string} tag @param {Record<string, string | number>} attributes */
  #draw(tag, attributes) {
    const made = this.document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    return made;
  }
}
