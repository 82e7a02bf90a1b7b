/**
 * The History page in the browser: what a click, a key or a zoom does to the view, and the figure in the theme's
 * colours.
 *
 * The view is the query of the address. Whatever changes it goes through `History.ask`: the address follows, Python
 * draws (callbacks/history.py), and `paint` shows. Decisions are in lib/history/.
 */

import { part, targetOf } from "./lib/dom/elements.mjs";
import { Chooser } from "./lib/history/chooser.mjs";
import { RangeControls } from "./lib/history/controls.mjs";
import { Fingers } from "./lib/history/fingers.mjs";
import * as known from "./lib/history/history.mjs";
import { NARROW_PX, Picture } from "./lib/history/picture.mjs";
import { SavedViews } from "./lib/history/saved.mjs";
import { SpanStatistics } from "./lib/history/span-statistics.mjs";
import { ChartTables } from "./lib/history/tables.mjs";
import { eastAt, zoneName } from "./lib/series/zone.mjs";

/** @import { Asking, HistoryPage, Range, Relayout, Spec } from "./lib/history/types" */

const SETTLE_MS = 140; // keys and gestures ask once they rest
const SLOW_MS = 8_000;

/** @implements {HistoryPage} */
class History {
  /** @param {Window & typeof globalThis} window */
  constructor(window) {
    this.window = window;
    this.document = window.document;
    this.query = ""; // what is asked for
    /** @type {Spec | null} */
    this.spec = null; // what is shown
    this.asked = 0;
    /** @type {string[]} */
    this.before = []; // queries that a zoom or a move left behind
    this.settle = 0;
    this.slow = 0;
    /** @type {Range | null} */
    this.pending = null; // a range that is shown, and not asked for yet
    this.focus = ""; // where it goes when what was pressed is gone
    this.fingers = new Fingers({
      stack: () => this.#stack,
      inPlot: (target) => this.#inPlot(target),
      range: () => this.#range,
      nowMs: () => this.#nowMs,
      move: (range) => this.#move(range),
      rest: (range) => this.#rest(range),
    });
    this.statistics = new SpanStatistics(this.document, { grown: () => this.picture.grown() });
    this.picture = new Picture(this, this.statistics);
    this.controls = new RangeControls(this);
    this.chooser = new Chooser(this);
    this.views = new SavedViews(this);
    this.tables = new ChartTables(this.document);
  }

  start() {
    const { window, document } = this;
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("change", (event) => this.#change(event));
    document.addEventListener("keydown", (event) => this.#key(event), true);
    document.addEventListener("wfmon:theme", () => this.picture.recolour());
    window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.picture.recolour());
    window.addEventListener("popstate", (event) => this.#went(event), true);
    this.statistics.start();
    for (const kind of /** @type {const} */ (["pointerdown", "pointermove", "pointerup", "pointercancel"])) {
      document.addEventListener(kind, (event) => this.spec && this.fingers.take(event), true);
    }
    for (const kind of ["touchstart", "touchmove", "touchend"]) {
      // Plotly would keep the page from being scrolled; what fingers do here is in lib/history/fingers.mjs.
      document.addEventListener(
        kind,
        (event) => {
          const target = targetOf(event);
          if (this.#stack?.contains(target) && this.#inPlot(target)) event.stopPropagation();
        },
        true,
      );
    }
  }

  get #stack() {
    return this.picture.stack;
  }

  /** @param {string} name */
  by(name) {
    return this.document.getElementById(`history-${name}`);
  }

  /** @param {string} name @param {Record<string, unknown>} props */
  set(name, props) {
    this.window.dash_clientside.set_props(name, props);
  }

  /** The selectors that are asked for; without any they are those of the default view. */
  get #series() {
    const asked = new URLSearchParams(this.query).getAll("series");
    return asked.length ? asked : (this.spec?.series ?? []);
  }

  get #nowMs() {
    return Math.max(Date.now(), this.spec?.now_ms ?? 0);
  }

  // ---- the view

  /** The page was laid out: the address says what to show. */
  begin() {
    this.query = this.window.location.search.slice(1);
    this.before = [];
    this.spec = null;
    this.tables.clear();
    this.fingers.drop();
    this.statistics.begin();
    this.asked += 1;
    this.#busy(true);
    const narrow = (this.#stack?.clientWidth ?? this.window.innerWidth) < NARROW_PX;
    return [
      { zone: zoneName(), east: eastAt(Date.now()), narrow },
      { query: this.query, n: this.asked },
    ];
  }

  /**
   * Show another view.
   * @param {string} query @param {Asking} [how]
   */
  ask(query, { leave = false, silent = false } = {}) {
    this.window.clearTimeout(this.settle);
    this.pending = null;
    if (leave) this.before.push(this.query);
    this.query = query;
    this.asked += 1;
    if (!silent) this.window.history.pushState(null, "", query ? `?${query}` : this.window.location.pathname);
    this.#busy(true);
    this.set("history-view", { data: { query, n: this.asked } });
    this.#showBack();
  }

  /**
   * A range was chosen, not zoomed to: there is nothing to go back to.
   * @param {string} query
   */
  fresh(query) {
    this.before = [];
    this.ask(query);
  }

  /** @param {PopStateEvent} event */
  #went(event) {
    const { window } = this;
    if (window.location.pathname !== "/history" || !this.#stack || !event.isTrusted) return;
    event.stopImmediatePropagation(); // the page stays: only its view changes
    this.before = [];
    this.ask(window.location.search.slice(1), { silent: true });
  }

  /** @param {boolean} on */
  #busy(on) {
    const box = this.document.querySelector(".history .charts");
    this.window.clearTimeout(this.slow);
    if (!box) return;
    box.toggleAttribute("data-busy", on);
    box.removeAttribute("data-slow");
    if (on) this.slow = this.window.setTimeout(() => box.setAttribute("data-slow", ""), SLOW_MS);
  }

  #showBack() {
    const back = this.by("back");
    if (back) back.hidden = this.before.length === 0;
  }

  // ---- what came

  /** @param {number} n */
  done(n) {
    if (n === this.asked) this.#busy(false);
    if (this.spec === null && this.#stack) this.#stack.hidden = true; // there is only a sentence to show
    this.window.setTimeout(() => this.refocus(), 30);
    return this.window.dash_clientside.no_update;
  }

  /** @param {string} text */
  paint(text) {
    if (!text) return this.window.dash_clientside.no_update;
    /** @type {Spec} */
    const spec = JSON.parse(text);
    this.spec = spec;
    this.controls.show(spec);
    this.#showBack();
    this.window.requestAnimationFrame(() => {
      this.picture.listen();
      this.tables.show(this.spec);
      if (this.spec) this.statistics.show(this.spec);
      this.picture.grown({ anew: true });
    });
    return this.picture.figure(spec);
  }

  /** What had the focus was drawn anew: it, or what stands for it, has it again. */
  refocus() {
    const { document } = this;
    if (!this.focus || document.activeElement !== document.body || !this.#stack) return;
    (part(document, this.focus) ?? part(document, "#history-add")).focus({ preventScroll: true });
    this.focus = "";
  }

  /** @param {Record<string, string> | null} views */
  saved(views) {
    this.views.show(views);
    return this.window.dash_clientside.no_update;
  }

  // ---- ranges

  /** @returns {Range} */
  get #range() {
    return this.pending ?? [this.spec?.from_ms ?? NaN, this.spec?.to_ms ?? NaN];
  }

  /**
   * Plotly's range changed: by the mouse, or by `#move`.
   * @param {Relayout | null} event
   */
  zoomed(event) {
    const found = this.spec && known.relayouted(event);
    if (found === "reset") this.#reset();
    else if (found?.some((each, i) => Math.abs(each - this.#range[i]) > 1))
      this.#rest(known.zoomed(found, 1, this.#nowMs));
    return this.window.dash_clientside.no_update;
  }

  /**
   * Show a range at once with what is there, and ask for it when it rests.
   * @param {Range} range
   */
  #move(range) {
    this.#rest(range);
    this.picture.move(range);
  }

  /** @param {Range} range */
  #rest(range) {
    this.pending = range;
    this.window.clearTimeout(this.settle);
    if (this.fingers.size) return; // it rests when they are lifted
    const [from, to] = range;
    this.settle = this.window.setTimeout(
      () => this.ask(known.withSpan(this.query, from, to), { leave: true }),
      SETTLE_MS,
    );
  }

  #reset() {
    const [first] = this.before;
    this.before = [];
    this.pending = null;
    if (first !== undefined) this.ask(first);
    else if (this.spec) this.ask(this.query);
  }

  #back() {
    const last = this.before.pop();
    if (last !== undefined) this.ask(last);
  }

  // ---- the person

  /** @param {MouseEvent} event */
  #click(event) {
    /** @type {HTMLElement | null | undefined} */
    const button = targetOf(event).closest?.(".history [data-act]");
    if (!button || button.tagName === "SELECT") return;
    const { act = "", to } = button.dataset;
    this.focus = to === undefined ? "" : `.history [data-act="${act}"][data-to="${this.window.CSS.escape(to)}"]`;
    this.#act(act, to ?? "", button);
  }

  /** @param {string} act @param {string} to @param {HTMLElement} button */
  #act(act, to, button) {
    const chosen = this.#series;
    /** @type {Record<string, () => void>} */
    const acts = {
      range: () => this.fresh(known.withRange(this.query, to)),
      typed: () => this.controls.typed(),
      refresh: () => this.ask(this.query, { silent: true }),
      choose: () => this.chooser.toggle(),
      "more-of": () => this.chooser.open(to),
      more: () => {
        const open = button.closest(".choose")?.toggleAttribute("data-more") ?? false;
        button.setAttribute("aria-expanded", String(open));
      },
      area: () => this.chooser.list(to),
      toggle: () => this.#choose(known.toggled(chosen, to)),
      remove: () => this.#choose(chosen.filter((each) => each !== to)),
      "remove-metric": () => this.#choose(chosen.filter((each) => known.nameOf(each) !== to)),
      default: () => this.#choose([]),
      quantiles: () => this.ask(known.withParts(this.query, { quantiles: this.spec?.quantiles ? null : "1" })),
      back: () => this.#back(),
      reset: () => this.#reset(),
      pan: () => this.spec && this.#move(known.panned(this.#range, Number(to), this.#nowMs)),
      zoom: () => this.spec && this.#move(known.zoomed(this.#range, Number(to), this.#nowMs)),
      table: () => this.tables.toggle(to, this.spec),
      link: () => this.views.copyLink(button),
      "save-view": () => this.views.save(),
      "delete-view": () => this.views.delete(),
    };
    acts[act]?.();
  }

  /** @param {Event} event */
  #change(event) {
    const target = /** @type {HTMLInputElement} */ (targetOf(event));
    if (!target.closest?.(".history")) return;
    if (target.id === "history-compare") this.controls.compare(target.value);
    else if (target.id === "history-views" && target.value) this.views.open(target.value);
    else if (target.id === "history-other") this.controls.compareFrom(target.value);
    else if (target.id === "history-from" || target.id === "history-to") this.controls.picked();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    const target = targetOf(event);
    if (key === "Enter" && target.id === "history-typed") this.controls.typed();
    else if (key === "Enter" && target.id === "history-name") this.views.save();
    else if (key === "Escape" && target.closest?.("#history-chooser")) this.chooser.toggle();
    else if (this.#stack === target && this.spec) {
      const meant = known.keyMeans(key, event.shiftKey);
      if (!meant) return;
      event.preventDefault();
      event.stopPropagation();
      if (meant.pan) this.#move(known.panned(this.#range, meant.pan, this.#nowMs));
      else if (meant.zoom) this.#move(known.zoomed(this.#range, meant.zoom, this.#nowMs));
      else if (meant.do === "reset") this.#reset();
      else this.#back();
    }
  }

  /** @param {string[]} series */
  #choose(series) {
    this.ask(known.withParts(this.query, { series }));
  }

  /** @param {string} sentence */
  say(sentence) {
    const box = this.document.getElementById("announcer");
    if (box) box.textContent = sentence;
  }

  /** @param {Element} target */
  #inPlot(target) {
    return Boolean(target.closest?.("#history-graph"));
  }
}

const page = new History(window);
page.start();
document.dispatchEvent(new CustomEvent("wfmon:history", { detail: page })); // history.js waits for it
