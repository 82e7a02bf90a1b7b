/**
 * The legend of a chart: buttons that show and hide its lines, each with the current value.
 */

import { text as written } from "../series/format.mjs";
import { put, targetOf } from "../dom/elements.mjs";

/**
 * @import { Chart } from "../chart/chart.mjs"
 * @import { Line, View } from "../chart/types"
 */

export class Legend {
  /** @param {Chart} chart */
  constructor(chart) {
    this.chart = chart;
    this.element = chart.host.ownerDocument.createElement("div");
    this.element.className = "legend";
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", `Lines of ${chart.config.label}`);
    this.element.addEventListener("click", (event) => this.#clicked(event));
    chart.host.append(this.element);
    /** @type {Line[] | null} */
    this.lines = null;
  }

  /** @param {Event} event */
  #clicked(event) {
    const button = targetOf(event).closest("button");
    if (!button) return;
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    this.chart.toggle(button.dataset.key ?? "", shown);
  }

  /** @param {View} view */
  update(view) {
    const { chart } = this;
    if (this.lines !== chart.lines) {
      this.lines = chart.lines;
      this.element.replaceChildren(...chart.lines.map((line) => this.#button(line)));
    }
    chart.lines.forEach(({ track }, i) => {
      const value = /** @type {Element} */ (this.element.children[i].lastElementChild);
      put(value, written(track.valueAt(Math.min(view.right, view.known)), chart.unit));
    });
  }

  /** @param {Line} line */
  #button({ track, token, name }) {
    const document = this.element.ownerDocument;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "key";
    button.dataset.key = track.key;
    button.setAttribute("aria-pressed", String(!this.chart.hidden.has(track.key)));
    const swatch = document.createElement("i");
    swatch.style.setProperty("--c", `var(${token})`);
    const label = document.createElement("span");
    label.textContent = name;
    const value = document.createElement("span");
    value.className = "value";
    button.append(swatch, label, value);
    return button;
  }

  destroy() {
    this.element.remove();
  }
}
