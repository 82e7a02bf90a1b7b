/**
 * A panel's menu: one popover for all panels.
 */

import { part, partsOf, windowOf } from "../dom/elements.mjs";
import { titleOf } from "./arrange.mjs";

/** @import { Arranger } from "./arrange.mjs" */

export class PanelMenu {
  /** @param {Document} document @param {Arranger} arranger @param {(sentence: string) => void} say */
  constructor(document, arranger, say) {
    this.document = document;
    this.window = windowOf(document);
    this.arranger = arranger;
    this.say = say;
    this.menu = part(document, "#panel-menu");
    /** @type {HTMLElement | null} */
    this.menuOf = null; // the panel whose menu is open
    /** @type {HTMLElement | null} */
    this.button = null; // what opened it
  }

  listen() {
    this.menu.addEventListener("toggle", (event) => this.#toggled(event.newState === "open"));
    this.menu.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * Open the menu of the panel that `button` stands on, or close it.
   * @param {HTMLElement} button
   */
  open(button) {
    const { menu } = this;
    const panel = /** @type {HTMLElement} */ (button.closest("[data-panel]"));
    if (this.menuOf && this.menuOf === panel) {
      menu.hidePopover();
      return;
    }
    this.menuOf = panel;
    this.button = button;
    const table = part(menu, '[data-do="table"]');
    table.hidden = button.dataset.menu !== "chart" || panel.hasAttribute("data-absent");
    table.textContent = panel.dataset.view === "table" ? "Show as a chart" : "Show as a table";
    menu.showPopover();
    const at = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = menu;
    menu.style.left = `${Math.max(8, Math.min(at.right - offsetWidth, this.window.innerWidth - offsetWidth - 8))}px`;
    menu.style.top = `${at.bottom + offsetHeight > this.window.innerHeight ? at.top - offsetHeight : at.bottom}px`;
    part(menu, "button:not([hidden])").focus();
  }

  /** @param {boolean} open */
  #toggled(open) {
    this.button?.setAttribute("aria-expanded", String(open));
    if (open) return;
    this.menuOf = null;
    const { activeElement } = this.document;
    if (this.menu.contains(activeElement) || activeElement === this.document.body) this.button?.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = partsOf(this.menu, "button:not([hidden])");
    const at = items.indexOf(/** @type {HTMLElement} */ (this.document.activeElement));
    /** @type {Record<string, number>} */
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
    const to = places[event.key];
    if (event.key === "Tab") this.menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length)?.focus();
  }

  /**
   * What an item of the menu asks for.
   * @param {string | undefined} what
   */
  press(what) {
    const panel = this.menuOf;
    this.menu.hidePopover();
    if (!panel) return;
    if (what === "hide") this.arranger.hide(panel);
    else if (what === "arrange") {
      this.arranger.arrange(true);
      panel.focus();
    } else this.#view(panel, panel.dataset.view === "table" ? "chart" : "table");
  }

  /** @param {HTMLElement} panel @param {string} view */
  #view(panel, view) {
    panel.dataset.view = view;
    panel.dispatchEvent(new this.window.CustomEvent("wfmon:view", { bubbles: true }));
    this.say(`${titleOf(panel)} as a ${view === "table" ? "table" : "chart"}`);
  }
}
