/**
 * The box on the energy stage with the figures of one ribbon.
 */

import { make, put } from "../dom/elements.mjs";

/** @typedef {{ what: string, value: string, shows: string, age: string, how: string }} Row */

/** @type {("b" | "span" | "i" | "small")[]} */
const TAGS = ["b", "span", "i", "small"]; // what, its value, the visual that shows it, age and source

export class Readout {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.box = make("div", "readout", host);
    this.box.hidden = true;
    this.box.setAttribute("aria-hidden", "true"); // the same is said by the reader
  }

  hide() {
    this.box.hidden = true;
  }

  /**
   * Show these rows; `at` left or right of the stage, `side` below or above the middle.
   * @param {Row[]} rows @param {string} at @param {string} side
   */
  show(rows, at, side) {
    const { box } = this;
    box.hidden = false;
    box.dataset.at = at;
    box.dataset.side = side;
    while (box.children.length > rows.length) box.lastChild?.remove();
    rows.forEach(({ what, value, shows, age, how }, i) => {
      const line = box.children[i] ?? make("p", "", box);
      [what, value, shows, [age, how].filter(Boolean).join(" · ")].forEach((text, n) => {
        put(line.children[n] ?? make(TAGS[n], "", line), text);
      });
    });
  }
}
