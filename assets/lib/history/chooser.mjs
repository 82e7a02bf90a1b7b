/**
 * The chooser of series: opens and closes, and lists one area of metrics at a time.
 */

import { part, partsOf } from "../dom/elements.mjs";

/** @import { HistoryPage } from "./types" */

export class Chooser {
  /** @param {HistoryPage} page */
  constructor(page) {
    this.page = page;
    this.area = "*"; // that is listed
    /** @type {MutationObserver | null} */
    this.listed = null; // sees that Dash has drawn the list anew
  }

  get #box() {
    return part(this.page.document, "#history-chooser");
  }

  /** Open it, or close it. */
  toggle() {
    this.#show(this.#box.hidden !== false);
  }

  /**
   * Open it with all series of a metric.
   * @param {string} metric
   */
  open(metric) {
    this.page.set("history-find", { value: metric });
    this.area = "*";
    this.#show(true);
  }

  /** @param {boolean} on */
  #show(on) {
    const { page } = this;
    const { document, window } = page;
    const box = this.#box;
    const button = part(document, "#history-add");
    box.hidden = !on;
    button.setAttribute("aria-expanded", String(!box.hidden));
    (box.hidden ? button : part(document, "#history-find")).focus();
    this.list(box.hidden ? "" : this.area);
    this.listed?.disconnect();
    this.listed = new window.MutationObserver(() => page.refocus());
    if (!box.hidden) this.listed.observe(part(document, "#history-list"), { childList: true });
  }

  /**
   * List an area; "" lists nothing.
   * @param {string} area
   */
  list(area) {
    const { page } = this;
    this.area = area || this.area;
    for (const each of partsOf(page.document, '[data-act="area"]'))
      each.setAttribute("aria-pressed", String(each.dataset.to === area));
    page.set("history-area", { data: area });
  }
}
