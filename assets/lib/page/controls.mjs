/**
 * User input on the charts: pointing, reading them with the keyboard, choosing the window, freezing.
 */

import { partsOf, targetOf } from "../dom/elements.mjs";
import { keep, kept } from "../dom/storage.mjs";

/** @import { Cursor } from "../chart/cursor.mjs" */
/** @import { View } from "../chart/types" */
/** @import { Speaker } from "./a11y.mjs" */
/** @import { Page } from "./page.mjs" */
/** @import { PlacedChart } from "./types" */

/** @type {Record<string, number>} */
const WINDOWS = { 1: 30, 2: 60, 3: 300 }; // key -> seconds
const WINDOW_KEY = "wfmon.window";
const OWN_KEYS =
  "button, a, input, textarea, select, summary, dialog, [contenteditable], [role=menuitem], [role=switch]";

/**
 * The window that was chosen in this browser, ms.
 * @param {Window} window
 */
export function savedWindow(window) {
  const saved = Number(kept(window, WINDOW_KEY));
  return (Object.values(WINDOWS).includes(saved) ? saved : WINDOWS[1]) * 1000;
}

/**
 * What the controls act on. `serverNow()` gives the present instant; `reader` reads the cursor out, `speaker` says what
 * changed; `changed({ redraw })` is called when texts, and with `redraw` charts too, must be done anew; `held()` when
 * the picture was held or let go.
 * @typedef {{
 *   window: Window & typeof globalThis, page: Page, view: View, cursor: Cursor, reader: Speaker, speaker: Speaker,
 *   serverNow(): number, changed(what: { redraw: boolean }): void, held(): void
 * }} Controlled
 */

export class Controls {
  /** @param {Controlled} controlled */
  constructor(controlled) {
    this.controlled = controlled;
    this.document = controlled.window.document;
  }

  listen() {
    const { document } = this;
    const { page, cursor } = this.controlled;
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("pointermove", (event) => this.#pointer(event), { passive: true });
    document.addEventListener("pointerdown", (event) => this.#pointer(event), { passive: true });
    document.addEventListener("focusout", (event) => page.chartOn(targetOf(event)) && cursor.clear());
    document.addEventListener("wfmon:view", (event) => {
      const panel = targetOf(event);
      page.setView(panel, panel.dataset.view ?? "chart");
    });
  }

  /** @param {PointerEvent} event */
  #pointer(event) {
    const { page, cursor, view } = this.controlled;
    const chart = page.chartOn(targetOf(event));
    if (chart) {
      cursor.point(chart.shareAt(event.offsetX));
      view.cursorCanvas = chart.canvas;
    } else if (cursor.share === cursor.share) cursor.clear();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    /** @type {HTMLElement | null | undefined} */
    const button = targetOf(event).closest?.("[data-window], [data-freeze]");
    if (!button) return;
    if (button.dataset.window) this.setWindow(Number(button.dataset.window));
    else this.freeze(this.controlled.view.frozenMs === null);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = targetOf(event);
    const chart = this.controlled.page.chartAround(target);
    if (chart && this.#chartKey(event, chart)) {
      event.preventDefault();
      return;
    }
    if (target.closest?.(OWN_KEYS) || this.document.querySelector("dialog[open]")) return;
    if (event.key === " ") this.freeze(this.controlled.view.frozenMs === null);
    else if (WINDOWS[event.key]) this.setWindow(WINDOWS[event.key]);
    else return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event @param {PlacedChart} chart */
  #chartKey(event, chart) {
    const { view, cursor, page, reader } = this.controlled;
    if (event.key === "t" || event.key === "T") {
      const panel = /** @type {HTMLElement} */ (chart.host.closest("[data-panel]") ?? chart.host);
      page.setView(panel, chart.table.open ? "chart" : "table");
      (chart.table.open ? (chart.table.element ?? chart.canvas) : chart.canvas).focus();
      return true;
    }
    if (event.target !== chart.canvas || !cursor.key(event.key, event.shiftKey, view.right, view.span, view.known))
      return false;
    view.cursorCanvas = chart.canvas;
    const instant = cursor.at(view.right, view.span);
    if (instant === instant) {
      const rows = chart.reading(instant, view.known, view.minutesEast);
      reader.say(rows.map((row) => row.text).join(", "));
    }
    return true;
  }

  /**
   * Show the last `seconds` in all charts; kept in this browser.
   * @param {number} seconds
   */
  setWindow(seconds) {
    const { window, view, changed } = this.controlled;
    if (!Object.values(WINDOWS).includes(seconds)) return;
    view.span = seconds * 1000;
    keep(window, WINDOW_KEY, String(seconds));
    this.show();
    changed({ redraw: true });
  }

  /**
   * Hold the picture; what comes in is kept.
   * @param {boolean} on
   */
  freeze(on) {
    const { view, speaker, held, changed } = this.controlled;
    const serverNow = this.controlled.serverNow();
    if (on === (view.frozenMs !== null) || serverNow !== serverNow) return;
    view.frozenMs = on ? serverNow : null;
    const { dataset } = this.document.documentElement;
    if (on) dataset.frozen = "";
    else delete dataset.frozen;
    held();
    speaker.say(on ? "Frozen. New data is still recorded." : "Moving again.");
    this.show();
    changed({ redraw: false });
  }

  /** Show on the buttons what is chosen. */
  show() {
    const { view } = this.controlled;
    view.minutesEast = -new Date().getTimezoneOffset();
    for (const button of partsOf(this.document, "[data-window]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.window) * 1000 === view.span));
    }
    for (const button of partsOf(this.document, "[data-freeze]")) {
      button.setAttribute("aria-pressed", String(view.frozenMs !== null));
    }
  }
}
