/**
 * The frame around the pages: sidebar, theme, shortcuts, and panels that the user hides and moves.
 * The one file of the frame that touches the DOM; what it decides stands in theme.mjs, panels.mjs and keys.mjs.
 */

import { ARRANGE_KEYS, isTyping, Keys } from "./keys.mjs";
import { arranged, moved, NO_CHOICE, parseChoice, storageKey, withHidden } from "./panels.mjs";
import { lookCookie, nextTheme, readLook, themeWords } from "./theme.mjs";

/** Bring the frame of `document` to life, once; {arrange(): call it when a page has been laid out}. */
export function installShell(document) {
  const shell = new Shell(document);
  return { arrange: () => shell.pageLaidOut(), say: (sentence) => shell.say(sentence) };
}

class Shell {
  constructor(document) {
    this.document = document;
    this.window = document.defaultView;
    this.root = document.documentElement;
    this.look = readLook(document.cookie);
    this.keys = new Keys();
    this.menu = document.getElementById("panel-menu");
    this.menuOf = null; // the panel whose menu is open
    this.dragged = null; // the panel under way
    this.showLook();
    this.listen();
  }

  get page() {
    return this.document.querySelector("[data-page]");
  }

  get arranging() {
    return this.root.hasAttribute("data-arranging");
  }

  find(selector) {
    return [...this.document.querySelectorAll(selector)];
  }

  say(sentence) {
    this.document.getElementById("announcer").textContent = sentence;
  }

  listen() {
    const { document, window } = this;
    document.addEventListener("click", (event) => this.click(event));
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("popstate", () => this.markCurrent());
    document.addEventListener("dragstart", (event) => this.dragStart(event));
    document.addEventListener("dragover", (event) => this.dragOver(event));
    document.addEventListener("drop", (event) => this.drop(event));
    document.addEventListener("dragend", () => this.dragEnd());
    this.menu.addEventListener("toggle", (event) => this.menuToggled(event.newState === "open"));
    this.menu.addEventListener("keydown", (event) => this.menuKey(event));
    document.getElementById("shortcuts").addEventListener("click", (event) => {
      if (event.target === event.currentTarget) event.currentTarget.close(); // the backdrop
    });
  }

  /* Where a click or a key goes. */

  click(event) {
    const { target } = event;
    const near = (selector) => target.closest(selector);
    const link = near("a[data-nav]");
    if (link) {
      if (event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        this.go(link.getAttribute("href"));
      }
    } else if (near("[data-fold]")) this.fold();
    else if (near("[data-theme-set]")) this.theme();
    else if (near("[data-shortcuts]")) this.shortcuts();
    else if (near("[data-close]")) near("dialog").close();
    else if (near("[data-arrange]")) this.arrange(!this.arranging);
    else if (near("[data-arrange-reset]")) this.choose(NO_CHOICE, "Panels stand as they came");
    else if (near("[data-show]")) this.show(near("[data-show]").dataset.show);
    else if (near("[data-menu]")) this.openMenu(near("[data-menu]"));
    else if (near("[data-do]")) this.menuDo(near("[data-do]").dataset.do);
    else if (near("[data-arrange-do]")) this.arrangeDo(near("[data-arrange-do]"));
  }

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (this.document.querySelector("dialog[open]")) return;
    if (this.arranging && this.arrangeKey(event)) return;
    const meant = this.keys.press(event.key, event.timeStamp);
    if (!meant) return;
    // A chart in focus has its own keys.
    if (event.key === "t" && event.target.closest?.("[data-chart]")) return;
    event.preventDefault();
    if (meant.go) this.go(this.document.querySelector(`.pages [data-nav="${meant.go}"]`)?.getAttribute("href"));
    else if (meant.do === "arrange") this.arrange(!this.arranging);
    else this[meant.do]();
  }

  /* Going to another page without loading it anew: Dash listens to popstate. */

  go(path) {
    const { window } = this;
    if (!path || path === window.location.pathname) return;
    this.arrange(false);
    window.history.pushState(null, "", path);
    window.dispatchEvent(new window.PopStateEvent("popstate"));
    window.scrollTo(0, 0);
    this.document.getElementById("main")?.focus({ preventScroll: true });
  }

  markCurrent() {
    for (const link of this.find(".pages [data-nav]")) {
      if (link.getAttribute("href") === this.window.location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.bringCurrent();
  }

  /** On a narrow screen the pages stand in a row that scrolls: the current one is to be seen. */
  bringCurrent() {
    const row = this.document.querySelector(".side .pages");
    const link = row?.querySelector("[aria-current]");
    if (!link || row.scrollWidth <= row.clientWidth) return;
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
    for (const button of this.find("[data-fold]")) button.setAttribute("aria-expanded", String(side === "open"));
    for (const button of this.find("[data-theme-set]"))
      button.setAttribute("aria-label", `Theme: ${themeWords(theme)}`);
  }

  shortcuts() {
    this.document.getElementById("shortcuts").showModal();
  }

  /* Panels: what the user chose, put into the page. */

  pageLaidOut() {
    this.markCurrent();
    if (this.page) this.apply();
  }

  groups() {
    return [...this.page.querySelectorAll(".grid")];
  }

  panels(group) {
    return [...group.children].filter((element) => element.dataset.panel);
  }

  /** The page's own order of a group, noted before anything is moved. */
  keysOf(group) {
    group.ownOrder ??= this.panels(group).map((panel) => panel.dataset.panel);
    return group.ownOrder;
  }

  get choice() {
    try {
      return parseChoice(this.window.localStorage.getItem(storageKey(this.page.dataset.page)));
    } catch {
      return NO_CHOICE; // storage is switched off: the page is as it came
    }
  }

  choose(choice, sentence) {
    try {
      this.window.localStorage.setItem(storageKey(this.page.dataset.page), JSON.stringify(choice));
    } catch {
      this.say("This browser does not keep the arrangement: its storage is off");
      return;
    }
    this.apply();
    this.say(sentence);
    this.page.dispatchEvent(new this.window.CustomEvent("wfmon:arranged", { bubbles: true }));
  }

  apply() {
    const { choice } = this;
    for (const group of this.groups()) {
      const byKey = new Map(this.panels(group).map((panel) => [panel.dataset.panel, panel]));
      const order = arranged(this.keysOf(group), choice);
      order.forEach((key, at) => {
        const panel = byKey.get(key);
        if (group.children[at] !== panel) group.insertBefore(panel, group.children[at]);
        panel.hidden = choice.hidden.includes(key);
      });
    }
    this.listHidden();
  }

  listHidden() {
    const box = this.document.querySelector(".hidden-panels");
    const hidden = [...this.page.querySelectorAll("[data-panel][hidden]")];
    box.replaceChildren(
      ...hidden.map((panel) => {
        const button = this.document.createElement("button");
        button.type = "button";
        button.className = "text";
        button.dataset.show = panel.dataset.panel;
        button.textContent = `Show ${this.titleOf(panel)}`;
        return button;
      }),
    );
  }

  titleOf(panel) {
    return panel.querySelector("h2, h3").textContent;
  }

  move(panel, steps) {
    const choice = this.choice;
    const next = moved(choice, this.keysOf(panel.parentElement), panel.dataset.panel, steps);
    if (next === choice) {
      this.say(`${this.titleOf(panel)} is at the ${steps < 0 ? "beginning" : "end"}`);
      return;
    }
    const focused = panel.contains(this.document.activeElement) ? this.document.activeElement : panel;
    const shown = this.panels(panel.parentElement).filter((each) => !each.hidden);
    this.choose(next, `${this.titleOf(panel)}: place ${shown.indexOf(panel) + 1 + steps} of ${shown.length}`);
    focused.focus(); // moving a node takes the focus away
  }

  hide(panel) {
    const next = this.neighbour(panel);
    this.choose(
      withHidden(this.choice, panel.dataset.panel, true),
      `${this.titleOf(panel)} is hidden. Arrange panels brings it back`,
    );
    (next?.querySelector(".more:not([hidden])") ?? this.document.getElementById("main")).focus({ preventScroll: true });
    if (this.arranging) next?.focus();
  }

  neighbour(panel) {
    const shown = [...this.page.querySelectorAll("[data-panel]:not([hidden])")];
    const at = shown.indexOf(panel);
    return shown[at + 1] ?? shown[at - 1];
  }

  show(key) {
    const panel = this.page.querySelector(`[data-panel="${key}"]`);
    this.choose(withHidden(this.choice, key, false), `${this.titleOf(panel)} is shown`);
    panel.focus();
  }

  arrange(on) {
    if (on === this.arranging || !this.page) return;
    this.root.toggleAttribute("data-arranging", on);
    this.document.getElementById("arrange-bar").hidden = !on;
    for (const button of this.find(".side [data-arrange]")) button.setAttribute("aria-pressed", String(on));
    for (const panel of this.find("[data-panel]")) {
      panel.draggable = on;
      if (on) panel.tabIndex = 0;
      else panel.removeAttribute("tabindex");
    }
    this.say(on ? "Arranging panels: arrow keys move, Delete hides, Escape ends" : "Arranging has ended");
    if (on) this.page.querySelector("[data-panel]:not([hidden])")?.focus({ preventScroll: true });
  }

  arrangeKey(event) {
    if (event.key === "Escape") {
      this.arrange(false);
      return true;
    }
    const panel = event.target.closest("[data-panel]");
    const [action, steps] = ARRANGE_KEYS[event.key] ?? [];
    if (!panel || !action) return false;
    event.preventDefault();
    if (action === "move") this.move(panel, steps);
    else this.hide(panel);
    return true;
  }

  arrangeDo(button) {
    const panel = button.closest("[data-panel]");
    const steps = { earlier: -1, later: 1 }[button.dataset.arrangeDo];
    if (steps) this.move(panel, steps);
    else this.hide(panel);
  }

  /* Dragging: a panel is dropped on another one of its group, and takes its place. */

  dragStart(event) {
    if (!this.arranging || !event.target.dataset?.panel) return;
    this.dragged = event.target;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", event.target.dataset.panel);
  }

  dropPlace(event) {
    const panel = event.target.closest?.("[data-panel]");
    return this.dragged && panel && panel !== this.dragged && panel.parentElement === this.dragged.parentElement
      ? panel
      : null;
  }

  dragOver(event) {
    const place = this.dropPlace(event);
    for (const marked of this.find("[data-drop]")) if (marked !== place) marked.removeAttribute("data-drop");
    if (!place) return;
    event.preventDefault();
    place.setAttribute("data-drop", "");
  }

  drop(event) {
    const place = this.dropPlace(event);
    if (!place) return;
    event.preventDefault();
    const shown = this.panels(place.parentElement).filter((each) => !each.hidden);
    this.move(this.dragged, shown.indexOf(place) - shown.indexOf(this.dragged));
  }

  dragEnd() {
    this.dragged = null;
    for (const marked of this.find("[data-drop]")) marked.removeAttribute("data-drop");
  }

  /* A panel's menu: one popover for all. */

  openMenu(button) {
    const { menu } = this;
    if (this.menuOf && this.menuOf === button.closest("[data-panel]")) {
      menu.hidePopover();
      return;
    }
    this.menuOf = button.closest("[data-panel]");
    this.menuButton = button;
    const table = menu.querySelector('[data-do="table"]');
    table.hidden = button.dataset.menu !== "chart" || this.menuOf.hasAttribute("data-absent");
    table.textContent = this.menuOf.dataset.view === "table" ? "Show as a picture" : "Show as a table";
    menu.showPopover();
    const at = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = menu;
    menu.style.left = `${Math.max(8, Math.min(at.right - offsetWidth, this.window.innerWidth - offsetWidth - 8))}px`;
    menu.style.top = `${at.bottom + offsetHeight > this.window.innerHeight ? at.top - offsetHeight : at.bottom}px`;
    menu.querySelector("button:not([hidden])").focus();
  }

  menuToggled(open) {
    this.menuButton.setAttribute("aria-expanded", String(open));
    if (open) return;
    this.menuOf = null;
    if (this.menu.contains(this.document.activeElement) || this.document.activeElement === this.document.body)
      this.menuButton.focus();
  }

  menuKey(event) {
    const items = [...this.menu.querySelectorAll("button:not([hidden])")];
    const at = items.indexOf(this.document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") this.menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length).focus();
  }

  menuDo(what) {
    const panel = this.menuOf;
    this.menu.hidePopover();
    if (what === "hide") this.hide(panel);
    else if (what === "arrange") {
      this.arrange(true);
      panel.focus();
    } else this.view(panel, panel.dataset.view === "table" ? "chart" : "table");
  }

  view(panel, view) {
    panel.dataset.view = view;
    panel.dispatchEvent(new this.window.CustomEvent("wfmon:view", { bubbles: true }));
    this.say(`${this.titleOf(panel)} as a ${view === "table" ? "table" : "picture"}`);
  }
}
