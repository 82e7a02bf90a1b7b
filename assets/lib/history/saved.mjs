/**
 * Views saved in this browser, and the link to the current view.
 */

import { part } from "../dom/elements.mjs";

/** @import { HistoryPage } from "./types" */

const SAID_MS = 2_500;

export class SavedViews {
  /** @param {HistoryPage} page */
  constructor(page) {
    this.page = page;
    /** @type {Record<string, string>} */
    this.views = {}; // name -> query
  }

  /** @returns {HTMLSelectElement} */
  get #list() {
    return part(this.page.document, "#history-views");
  }

  /**
   * Dash has read them.
   * @param {Record<string, string> | null} views
   */
  show(views) {
    this.views = views ?? {};
    const { document } = this.page;
    const list = this.#list;
    if (!list) return;
    /** @param {string} value @param {string} words */
    const option = (value, words) => Object.assign(document.createElement("option"), { value, textContent: words });
    const names = Object.keys(this.views).sort();
    list.replaceChildren(
      option("", names.length ? "Saved views" : "No saved views"),
      ...names.map((name) => option(name, name)),
    );
  }

  save() {
    const { page } = this;
    /** @type {HTMLInputElement} */
    const field = part(page.document, "#history-name");
    const name = field.value.trim();
    if (!name) {
      field.focus();
      return;
    }
    page.set("history-saved", { data: { ...this.views, [name]: page.query } });
    page.set("history-name", { value: "" });
    page.say(`View ${name} saved in this browser.`);
    page.window.setTimeout(() => {
      this.#list.value = name;
    });
  }

  /** @param {string} name */
  open(name) {
    if (name in this.views) this.page.fresh(this.views[name]);
  }

  delete() {
    const { value } = this.#list;
    if (!value) return;
    const { [value]: gone, ...rest } = this.views;
    this.page.set("history-saved", { data: rest });
    this.page.say(gone === undefined ? "" : `View ${value} deleted.`);
  }

  /**
   * Copy the link to what is shown; where that is not allowed it stands in the address bar. `button` says what came of
   * it.
   * @param {HTMLElement} button
   */
  async copyLink(button) {
    const { page } = this;
    const { window, spec } = page;
    if (!spec) return;
    const { origin, pathname } = window.location;
    const link = `${origin}${pathname}?${spec.fixed}`;
    let words = "Copied";
    try {
      await window.navigator.clipboard.writeText(link);
    } catch {
      window.history.replaceState(null, "", link);
      words = "In the address bar";
    }
    const before = button.textContent;
    /** @param {string} now */
    const named = (now) => Object.assign(button, { textContent: now, ariaLabel: now });
    named(words);
    page.say(`${words === "Copied" ? "Link copied." : "The link is in the address bar."}`);
    window.setTimeout(() => named(before), SAID_MS);
  }
}
