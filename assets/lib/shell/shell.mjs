/**
 * The frame around the pages: sidebar, theme, shortcuts. Decisions are in theme.mjs and keys.mjs, arranging panels in
 * arrange.mjs, their menu in menu.mjs.
 */

import { part, partsOf, targetOf, windowOf } from "../dom/elements.mjs";
import { Arranger } from "./arrange.mjs";
import { isTyping, Keys } from "./keys.mjs";
import { PanelMenu } from "./menu.mjs";
import { NO_CHOICE } from "./panels.mjs";
import { lookCookie, nextTheme, readLook, themeWords } from "./theme.mjs";

/**
 * Bring the frame of `document` to life, once; {arrange(): call it when a page has been laid out}.
 * @param {Document} document
 */
export function installShell(document) {
  const shell = new Shell(document);
  /** @param {string} sentence */
  const say = (sentence) => shell.say(sentence);
  return { arrange: () => shell.pageLaidOut(), say };
}

class Shell {
  /** @param {Document} document */
  constructor(document) {
    this.document = document;
    this.window = windowOf(document);
    this.root = document.documentElement;
    this.look = readLook(document.cookie);
    this.keys = new Keys();
    /** @param {string} sentence */
    const say = (sentence) => this.say(sentence);
    this.arranger = new Arranger(document, say);
    this.menu = new PanelMenu(document, this.arranger, say);
    this.showLook();
    this.listen();
  }

  /** @param {string} sentence */
  say(sentence) {
    part(this.document, "#announcer").textContent = sentence;
  }

  /** @returns {HTMLDialogElement} */
  get dialog() {
    return part(this.document, "#shortcuts");
  }

  listen() {
    const { document, window, dialog } = this;
    document.addEventListener("click", (event) => this.click(event));
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("popstate", () => this.markCurrent());
    this.arranger.listen();
    this.menu.listen();
    dialog.addEventListener("click", (event) => {
      if (event.target === event.currentTarget) dialog.close(); // the backdrop
    });
  }

  /* Dispatch of clicks and keys. */

  /** @param {MouseEvent} event */
  click(event) {
    const { arranger } = this;
    const target = targetOf(event);
    /** @param {string} selector @returns {HTMLElement | null} */
    const near = (selector) => target.closest(selector);
    const link = near("a[data-nav]");
    if (link) {
      if (event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        this.go(link.getAttribute("href"));
      }
      return;
    }
    /** @type {[selector: string, act: (found: HTMLElement) => void][]} */
    const acts = [
      ["[data-fold]", () => this.fold()],
      ["[data-theme-set]", () => this.theme()],
      ["[data-shortcuts]", () => this.shortcuts()],
      ["[data-close]", (found) => /** @type {HTMLDialogElement} */ (found.closest("dialog")).close()],
      ["[data-arrange]", () => arranger.arrange(!arranger.arranging)],
      ["[data-arrange-reset]", () => arranger.choose(NO_CHOICE, "Panels reset to their default places")],
      ["[data-show]", (found) => arranger.show(found.dataset.show ?? "")],
      ["[data-menu]", (found) => this.menu.open(found)],
      ["[data-do]", (found) => this.menu.press(found.dataset.do)],
      ["[data-arrange-do]", (found) => arranger.press(found)],
    ];
    for (const [selector, act] of acts) {
      const found = near(selector);
      if (!found) continue;
      act(found);
      return;
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = targetOf(event);
    const { arranger } = this;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(target)) return;
    if (this.document.querySelector("dialog[open]")) return;
    if (arranger.arranging && arranger.key(event)) return;
    const meant = this.keys.press(event.key, event.timeStamp);
    if (!meant) return;
    // A chart in focus has its own keys.
    if (event.key === "t" && target.closest?.("[data-chart]")) return;
    event.preventDefault();
    if (meant.go) this.go(this.document.querySelector(`.pages [data-nav="${meant.go}"]`)?.getAttribute("href"));
    else if (meant.do === "arrange") arranger.arrange(!arranger.arranging);
    else if (meant.do) this[meant.do]();
  }

  /* Going to another page without loading it anew: Dash listens to popstate. */

  /** @param {string | null | undefined} path */
  go(path) {
    const { window } = this;
    if (!path || path === window.location.pathname) return;
    this.arranger.arrange(false);
    window.history.pushState(null, "", path);
    window.dispatchEvent(new window.PopStateEvent("popstate"));
    window.scrollTo(0, 0);
    this.document.getElementById("main")?.focus({ preventScroll: true });
  }

  markCurrent() {
    for (const link of partsOf(this.document, ".pages [data-nav]")) {
      if (link.getAttribute("href") === this.window.location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.bringCurrent();
  }

  /** On a narrow screen the page links scroll in a row: scroll to the current one. */
  bringCurrent() {
    const row = this.document.querySelector(".side .pages");
    /** @type {HTMLElement | null | undefined} */
    const link = row?.querySelector("[aria-current]");
    if (!row || !link || row.scrollWidth <= row.clientWidth) return;
    row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
  }

  /* The look. */

  fold() {
    this.look.side = this.look.side === "open" ? "folded" : "open";
    this.keepLook();
  }

  theme() {
    this.look.theme = nextTheme(this.look.theme);
    this.keepLook();
    this.say(`Theme: ${themeWords(this.look.theme)}`);
    this.document.dispatchEvent(new this.window.CustomEvent("wfmon:theme"));
  }

  keepLook() {
    this.document.cookie = lookCookie(this.look);
    this.showLook();
  }

  showLook() {
    const { theme, side } = this.look;
    this.root.dataset.theme = theme;
    this.root.dataset.side = side;
    for (const button of partsOf(this.document, "[data-fold]"))
      button.setAttribute("aria-expanded", String(side === "open"));
    for (const button of partsOf(this.document, "[data-theme-set]"))
      button.setAttribute("aria-label", `Theme: ${themeWords(theme)}`);
  }

  shortcuts() {
    this.dialog.showModal();
  }

  pageLaidOut() {
    this.markCurrent();
    if (this.arranger.present) this.arranger.apply();
  }
}
