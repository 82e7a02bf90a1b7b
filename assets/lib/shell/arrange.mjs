/**
 * Hiding and moving panels with keys, buttons or the mouse. The resulting order is computed in panels.mjs.
 */

import { part, partsOf, targetOf, windowOf } from "../dom/elements.mjs";
import { keep, kept } from "../dom/storage.mjs";
import { ARRANGE_KEYS } from "./keys.mjs";
import { arranged, moved, parseChoice, storageKey, withHidden } from "./panels.mjs";

/** @import { Choice } from "./panels.mjs" */
/** @typedef {HTMLElement & { ownOrder?: string[] }} Group */

/** Key of a panel in its page. @param {HTMLElement} panel */
const keyOf = (panel) => panel.dataset.panel ?? "";

/** What a panel is called. @param {HTMLElement} panel */
export const titleOf = (panel) => part(panel, "h2, h3").textContent;

export class Arranger {
  /** @param {Document} document @param {(sentence: string) => void} say */
  constructor(document, say) {
    this.document = document;
    this.window = windowOf(document);
    this.root = document.documentElement;
    this.say = say;
    /** @type {HTMLElement | null} */
    this.dragged = null; // the panel under way
  }

  listen() {
    const { document } = this;
    document.addEventListener("dragstart", (event) => this.#dragStart(event));
    document.addEventListener("dragover", (event) => this.#dragOver(event));
    document.addEventListener("drop", (event) => this.#drop(event));
    document.addEventListener("dragend", () => this.#dragEnd());
  }

  /** The current page; callers have checked that there is one. */
  get page() {
    return part(this.document, "[data-page]");
  }

  /** Whether there is a page. */
  get present() {
    return this.page !== null;
  }

  get arranging() {
    return this.root.hasAttribute("data-arranging");
  }

  /* What the user chose, put into the page. */

  /** @param {Group} group */
  #panels(group) {
    return /** @type {HTMLElement[]} */ ([...group.children]).filter((element) => element.dataset.panel);
  }

  /**
   * The page's own order of a group, noted before anything is moved.
   * @param {Group} group
   */
  #keysOf(group) {
    group.ownOrder ??= this.#panels(group).map(keyOf);
    return group.ownOrder;
  }

  /** The group that a panel stands in. @param {HTMLElement} panel */
  #groupOf(panel) {
    return /** @type {Group} */ (panel.parentElement);
  }

  get #storageKey() {
    return storageKey(this.page.dataset.page ?? "");
  }

  get choice() {
    return parseChoice(kept(this.window, this.#storageKey)); // nothing kept: the page is as it came
  }

  /** @param {Choice} choice @param {string} sentence */
  choose(choice, sentence) {
    if (!keep(this.window, this.#storageKey, JSON.stringify(choice))) {
      this.say("This browser cannot save the arrangement: its storage is off");
      return;
    }
    this.apply();
    this.say(sentence);
    this.page.dispatchEvent(new this.window.CustomEvent("wfmon:arranged", { bubbles: true }));
  }

  apply() {
    const { choice } = this;
    for (const group of /** @type {Group[]} */ (partsOf(this.page, ".grid"))) {
      const byKey = new Map(this.#panels(group).map((panel) => [keyOf(panel), panel]));
      const order = arranged(this.#keysOf(group), choice);
      order.forEach((key, at) => {
        const panel = /** @type {HTMLElement} */ (byKey.get(key));
        if (group.children[at] !== panel) group.insertBefore(panel, group.children[at]);
        panel.hidden = choice.hidden.includes(key);
      });
    }
    this.#listHidden();
  }

  #listHidden() {
    const box = part(this.document, ".hidden-panels");
    box.replaceChildren(
      ...partsOf(this.page, "[data-panel][hidden]").map((panel) => {
        const button = this.document.createElement("button");
        button.type = "button";
        button.className = "text";
        button.dataset.show = keyOf(panel);
        button.textContent = `Show ${titleOf(panel)}`;
        return button;
      }),
    );
  }

  /* One panel. */

  /** @param {HTMLElement} panel @param {number} steps */
  move(panel, steps) {
    const choice = this.choice;
    const group = this.#groupOf(panel);
    const next = moved(choice, this.#keysOf(group), keyOf(panel), steps);
    if (next === choice) {
      this.say(`${titleOf(panel)} is at the ${steps < 0 ? "beginning" : "end"}`);
      return;
    }
    const active = /** @type {HTMLElement | null} */ (this.document.activeElement);
    const focused = active && panel.contains(active) ? active : panel;
    const shown = this.#panels(group).filter((each) => !each.hidden);
    this.choose(next, `${titleOf(panel)}: place ${shown.indexOf(panel) + 1 + steps} of ${shown.length}`);
    focused.focus(); // moving a node takes the focus away
  }

  /** @param {HTMLElement} panel */
  hide(panel) {
    const next = this.#neighbour(panel);
    this.choose(
      withHidden(this.choice, keyOf(panel), true),
      `${titleOf(panel)} is hidden. Arrange panels to show it again`,
    );
    const more = next ? part(next, ".more:not([hidden])") : null;
    (more ?? part(this.document, "#main")).focus({ preventScroll: true });
    if (this.arranging) next?.focus();
  }

  /** @param {HTMLElement} panel @returns {HTMLElement | undefined} */
  #neighbour(panel) {
    const shown = partsOf(this.page, "[data-panel]:not([hidden])");
    const at = shown.indexOf(panel);
    return shown[at + 1] ?? shown[at - 1];
  }

  /** @param {string} key */
  show(key) {
    const panel = part(this.page, `[data-panel="${key}"]`);
    this.choose(withHidden(this.choice, key, false), `${titleOf(panel)} is shown`);
    panel.focus();
  }

  /* Arranging: panels are taken by keys and by the pointer. */

  /** @param {boolean} on */
  arrange(on) {
    if (on === this.arranging || !this.present) return;
    this.root.toggleAttribute("data-arranging", on);
    part(this.document, "#arrange-bar").hidden = !on;
    for (const button of partsOf(this.document, ".side [data-arrange]"))
      button.setAttribute("aria-pressed", String(on));
    for (const panel of partsOf(this.document, "[data-panel]")) {
      panel.draggable = on;
      if (on) panel.tabIndex = 0;
      else panel.removeAttribute("tabindex");
    }
    this.say(on ? "Arranging panels: arrow keys move, Delete hides, Escape finishes" : "Finished arranging");
    if (on) part(this.page, "[data-panel]:not([hidden])")?.focus({ preventScroll: true });
  }

  /**
   * A key while panels are arranged; true when it was meant for that.
   * @param {KeyboardEvent} event
   */
  key(event) {
    if (event.key === "Escape") {
      this.arrange(false);
      return true;
    }
    /** @type {HTMLElement | null} */
    const panel = targetOf(event).closest("[data-panel]");
    const [action, steps] = ARRANGE_KEYS[event.key] ?? [];
    if (!panel || !action) return false;
    event.preventDefault();
    if (action === "move") this.move(panel, steps);
    else this.hide(panel);
    return true;
  }

  /**
   * One of a panel's buttons while panels are arranged.
   * @param {HTMLElement} button
   */
  press(button) {
    const panel = /** @type {HTMLElement} */ (button.closest("[data-panel]"));
    const what = button.dataset.arrangeDo;
    if (what === "earlier") this.move(panel, -1);
    else if (what === "later") this.move(panel, 1);
    else this.hide(panel);
  }

  /* Dragging: a panel is dropped on another one of its group, and takes its place. */

  /** @param {DragEvent} event */
  #dragStart(event) {
    const panel = targetOf(event);
    if (!this.arranging || !panel.dataset?.panel) return;
    this.dragged = panel;
    const { dataTransfer } = event;
    if (!dataTransfer) return;
    dataTransfer.effectAllowed = "move";
    dataTransfer.setData("text/plain", panel.dataset.panel);
  }

  /** @param {DragEvent} event */
  #dropPlace(event) {
    /** @type {HTMLElement | null} */
    const panel = targetOf(event).closest?.("[data-panel]");
    return this.dragged && panel && panel !== this.dragged && panel.parentElement === this.dragged.parentElement
      ? panel
      : null;
  }

  /** @param {DragEvent} event */
  #dragOver(event) {
    const place = this.#dropPlace(event);
    for (const marked of partsOf(this.document, "[data-drop]"))
      if (marked !== place) marked.removeAttribute("data-drop");
    if (!place) return;
    event.preventDefault();
    place.setAttribute("data-drop", "");
  }

  /** @param {DragEvent} event */
  #drop(event) {
    const place = this.#dropPlace(event);
    const { dragged } = this;
    if (!place || !dragged) return;
    event.preventDefault();
    const shown = this.#panels(this.#groupOf(place)).filter((each) => !each.hidden);
    this.move(dragged, shown.indexOf(place) - shown.indexOf(dragged));
  }

  #dragEnd() {
    this.dragged = null;
    for (const marked of partsOf(this.document, "[data-drop]")) marked.removeAttribute("data-drop");
  }
}
