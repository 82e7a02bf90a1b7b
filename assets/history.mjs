/**
 * The History page in the browser: what a click, a key or a zoom makes of the view, and the figure in the theme's colours.
 *
 * The view is the query of the address. Whatever changes it goes through `Page.ask`: the address follows, Python draws
 * (callbacks/history.py), and `paint` shows. Decisions are in lib/history/.
 */

import * as known from "./lib/history/history.mjs";
import { axisTicks, instantText } from "./lib/history/axis.mjs";
import { Fingers } from "./lib/history/fingers.mjs";
import { fillPlot } from "./lib/history/tables.mjs";
import { SpanStatistics } from "./lib/history/span-statistics.mjs";
import { placed, stretched } from "./lib/history/span-words.mjs";
import { eastAt, zoneName } from "./lib/series/zone.mjs";

const SETTLE_MS = 140; // keys and gestures ask once they rest
const SLOW_MS = 8_000;
const NARROW_PX = 620;
const TICK_PX = [72, 118]; // a tick of the axis of time each so many pixels, on a narrow page and a wide one
const SAID_MS = 2_500;

class History {
  constructor(window) {
    this.window = window;
    this.document = window.document;
    this.query = ""; // what is asked for
    this.spec = null; // what is shown
    this.asked = 0;
    this.before = []; // queries that a zoom or a move left behind
    this.settle = 0;
    this.slow = 0;
    this.pending = null; // a range that is shown, and not asked for yet
    this.tables = new Set(); // metrics that are shown as tables
    this.views = {};
    this.area = "*"; // that the chooser lists
    this.focus = ""; // where it goes when what was pressed is gone
    this.fingers = new Fingers({
      stack: () => this.#stack, inPlot: (target) => this.#inPlot(target), range: () => this.#range, nowMs: () => this.#nowMs,
      move: (range) => this.#move(range), rest: (range) => this.#rest(range),
    });
    this.statistics = new SpanStatistics(this.document, { grown: () => this.#grown() });
    this.extras = "{}"; // the room below the charts that the figure was drawn with
  }

  start() {
    const { window, document } = this;
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("change", (event) => this.#change(event));
    document.addEventListener("keydown", (event) => this.#key(event), true);
    document.addEventListener("wfmon:theme", () => this.#recolour());
    window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.#recolour());
    window.addEventListener("popstate", (event) => this.#went(event), true);
    this.statistics.start();
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      document.addEventListener(kind, (event) => this.spec && this.fingers.take(event), true);
    }
    for (const kind of ["touchstart", "touchmove", "touchend"]) {
      // Plotly would keep the page from being scrolled; what fingers do here is in lib/history/fingers.mjs.
      document.addEventListener(kind, (event) => this.#stack?.contains(event.target) && this.#inPlot(event.target) && event.stopPropagation(), true);
    }
  }

  get #stack() {
    return this.document.getElementById("history-stack");
  }

  get #graph() {
    return this.document.querySelector("#history-graph .js-plotly-plot");
  }

  #by(name) {
    return this.document.getElementById(`history-${name}`);
  }

  /** The selectors that are asked for; without any they are those of the default view. */
  get #series() {
    const asked = new URLSearchParams(this.query).getAll("series");
    return asked.length ? asked : this.spec?.series ?? [];
  }

  #set(name, props) {
    this.window.dash_clientside.set_props(name, props);
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
    const stack = this.#stack;
    const narrow = (stack?.clientWidth ?? this.window.innerWidth) < NARROW_PX;
    return [{ zone: zoneName(), east: eastAt(Date.now()), narrow }, { query: this.query, n: this.asked }];
  }

  /** Show another view. `leave`: the one shown now can be gone back to by the button; `silent`: the address stays. */
  ask(query, { leave = false, silent = false } = {}) {
    this.window.clearTimeout(this.settle);
    this.pending = null;
    if (leave) this.before.push(this.query);
    this.query = query;
    this.asked += 1;
    if (!silent) this.window.history.pushState(null, "", query ? `?${query}` : this.window.location.pathname);
    this.#busy(true);
    this.#set("history-view", { data: { query, n: this.asked } });
    this.#showBack();
  }

  #went(event) {
    const { window } = this;
    if (window.location.pathname !== "/history" || !this.#stack || !event.isTrusted) return;
    event.stopImmediatePropagation(); // the page stays: only its view changes
    this.before = [];
    this.ask(window.location.search.slice(1), { silent: true });
  }

  #busy(on) {
    const box = this.document.querySelector(".history .charts");
    this.window.clearTimeout(this.slow);
    if (!box) return;
    box.toggleAttribute("data-busy", on);
    box.removeAttribute("data-slow");
    if (on) this.slow = this.window.setTimeout(() => box.setAttribute("data-slow", ""), SLOW_MS);
  }

  #showBack() {
    const back = this.#by("back");
    if (back) back.hidden = this.before.length === 0;
  }

  // ---- what came

  done(n) {
    if (n === this.asked) this.#busy(false);
    if (this.spec === null && this.#stack) this.#stack.hidden = true; // there is only a sentence to show
    this.window.setTimeout(() => this.#refocus(), 30);
    return this.window.dash_clientside.no_update;
  }

  paint(text) {
    if (!text) return this.window.dash_clientside.no_update;
    this.spec = JSON.parse(text);
    this.#showControls();
    this.window.requestAnimationFrame(() => {
      this.#listen();
      this.#showTables();
      this.statistics.show(this.spec);
      this.#grown({ anew: true });
    });
    return this.#figure();
  }

  /** What had the focus was drawn anew: it, or what stands for it, has it again. */
  #refocus() {
    const { document } = this;
    if (!this.focus || document.activeElement !== document.body || !this.#stack) return;
    (document.querySelector(this.focus) ?? this.#by("add")).focus({ preventScroll: true });
    this.focus = "";
  }

  #figure() {
    const style = this.window.getComputedStyle(this.document.documentElement);
    const { extras } = this.statistics;
    this.extras = JSON.stringify(extras);
    const plain = known.figureOf(this.spec.figure, (name) => style.getPropertyValue(name).trim(), this.#ticks([this.spec.from_ms, this.spec.to_ms]));
    const figure = stretched(plain, this.spec.rows, extras);
    const stack = this.#stack;
    if (stack) stack.style.height = `${figure.layout.height}px`;
    return figure;
  }

  /** What is open below the charts takes more room, or less: what comes after it moves. */
  #grown({ anew = false } = {}) {
    if (!this.spec || !this.#stack) return;
    const { extras } = this.statistics;
    const same = this.extras === JSON.stringify(extras);
    if (same && !anew) return;
    const rows = [...this.document.querySelectorAll(".history .row[data-metric]")];
    for (const { name, top, height } of placed(this.spec.rows, extras)) {
      const row = rows.find((each) => each.dataset.metric === name);
      if (row) Object.assign(row.style, { top: `${top}px`, height: `${height}px` });
    }
    if (!same) this.#recolour();
  }

  /** Pointing at a chart: plotly names the instant in UTC, and the person's clock showed another time. */
  #listen() {
    if (!this.#graph || this.#graph === this.heard) return;
    this.heard = this.#graph;
    this.heard.on("plotly_hover", ({ points }) => {
      const title = this.heard.querySelector(".hoverlayer .legendtitletext");
      const ms = known.plotMs(points[0]?.x);
      if (title && Number.isFinite(ms)) title.textContent = instantText(ms, eastAt);
    });
  }

  #recolour() {
    if (this.spec && this.#stack) this.#set("history-graph", { figure: this.#figure() });
  }

  #showControls() {
    const { spec, document } = this;
    for (const button of document.querySelectorAll('[data-act="range"]')) {
      button.setAttribute("aria-pressed", String(button.dataset.to === spec.text));
    }
    this.#set("history-typed", { value: spec.text });
    const minute = (ms) => known.localText(ms, eastAt).slice(0, 16); // as an input of kind datetime-local takes it
    this.#set("history-from", { value: minute(spec.from_ms) });
    this.#set("history-to", { value: minute(spec.to_ms) });
    const other = /^\d+$/.test(spec.compare);
    this.#by("compare").value = other ? "other" : spec.compare;
    this.#by("other-label").hidden = !other;
    if (other) this.#set("history-other", { value: minute(spec.compared_ms) });
    this.#by("quantiles").setAttribute("aria-pressed", String(spec.quantiles));
    const stack = this.#stack;
    stack.hidden = spec.empty;
    Object.assign(stack.dataset, { from: spec.from_ms, to: spec.to_ms, step: spec.step_ms, tier: spec.tier });
    this.#showBack();
  }

  saved(views) {
    this.views = views ?? {};
    const list = this.#by("views");
    if (!list) return this.window.dash_clientside.no_update;
    const option = (value, words) => Object.assign(this.document.createElement("option"), { value, textContent: words });
    const names = Object.keys(this.views).sort();
    list.replaceChildren(option("", names.length ? "Saved views" : "No saved views"), ...names.map((name) => option(name, name)));
    return this.window.dash_clientside.no_update;
  }

  // ---- ranges

  get #range() {
    return this.pending ?? [this.spec.from_ms, this.spec.to_ms];
  }

  /** Plotly's range changed: by the mouse, or by `#move`. */
  zoomed(event) {
    const found = this.spec && known.relayouted(event);
    if (found === "reset") this.#reset();
    else if (found && found.some((each, i) => Math.abs(each - this.#range[i]) > 1)) this.#rest(known.zoomed(found, 1, this.#nowMs));
    return this.window.dash_clientside.no_update;
  }

  /** Show a range at once with what is there, and ask for it when it rests. */
  #move(range) {
    this.#rest(range);
    const range_ = range.map(known.plotText);
    const axes = Object.entries(this.#ticks(range)).flatMap(([axis, ticks]) => Object.entries({ ...ticks, range: range_ }).map(([name, value]) => [`${axis}.${name}`, value]));
    if (this.#graph) this.window.Plotly?.relayout(this.#graph, Object.fromEntries(axes));
  }

  /** Ticks of both axes of time, as many as there is room for. */
  #ticks([from, to]) {
    const width = this.#stack?.clientWidth || this.window.innerWidth;
    return axisTicks(from, to, Math.max(2, Math.floor(width / TICK_PX[Number(width >= NARROW_PX)])), eastAt);
  }

  #rest(range) {
    this.pending = range;
    this.window.clearTimeout(this.settle);
    if (this.fingers.size) return; // it rests when they are lifted
    this.settle = this.window.setTimeout(() => this.ask(known.withSpan(this.query, ...range), { leave: true }), SETTLE_MS);
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

  #click(event) {
    const button = event.target.closest?.(".history [data-act]");
    if (!button || button.tagName === "SELECT") return;
    const { act, to } = button.dataset;
    this.focus = to === undefined ? "" : `.history [data-act="${act}"][data-to="${this.window.CSS.escape(to)}"]`;
    ({
      range: () => this.#fresh(known.withRange(this.query, to)),
      typed: () => this.#typed(),
      refresh: () => this.ask(this.query, { silent: true }),
      choose: () => this.#chooser(),
      "more-of": () => this.#chooser(to),
      more: () => button.setAttribute("aria-expanded", String(button.closest(".choose").toggleAttribute("data-more"))),
      area: () => this.#area(to),
      toggle: () => this.#choose(known.toggled(this.#series, to)),
      remove: () => this.#choose(this.#series.filter((each) => each !== to)),
      "remove-metric": () => this.#choose(this.#series.filter((each) => known.nameOf(each) !== to)),
      default: () => this.#choose([]),
      quantiles: () => this.ask(known.withParts(this.query, { quantiles: this.spec?.quantiles ? null : "1" })),
      back: () => this.#back(),
      reset: () => this.#reset(),
      pan: () => this.spec && this.#move(known.panned(this.#range, Number(to), this.#nowMs)),
      zoom: () => this.spec && this.#move(known.zoomed(this.#range, Number(to), this.#nowMs)),
      table: () => this.#table(to),
      link: () => this.#copy(button),
      "save-view": () => this.#save(),
      "delete-view": () => this.#forget(),
    })[act]?.();
  }

  #change({ target }) {
    if (!target.closest?.(".history")) return;
    if (target.id === "history-compare") this.#compare(target.value);
    else if (target.id === "history-views" && target.value) this.#open(target.value);
    else if (target.id === "history-other") this.#compareFrom(target.value);
    else if (target.id === "history-from" || target.id === "history-to") this.#calendar();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    if (key === "Enter" && target.id === "history-typed") this.#typed();
    else if (key === "Enter" && target.id === "history-name") this.#save();
    else if (key === "Escape" && target.closest?.("#history-chooser")) this.#chooser();
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

  /** A range was chosen, not zoomed to: there is nothing to go back to. */
  #fresh(query) {
    this.before = [];
    this.ask(query);
  }

  #typed() {
    const words = this.document.getElementById("history-typed").value.trim();
    if (words) this.#fresh(known.withRange(this.query, words));
  }

  #calendar() {
    const ends = ["history-from", "history-to"].map((name) => new Date(this.document.getElementById(name).value).getTime());
    if (ends.every(Number.isFinite)) this.#fresh(known.withSpan(this.query, ...ends));
  }

  #compare(value) {
    this.#by("other-label").hidden = value !== "other";
    if (value === "other") this.document.getElementById("history-other").focus();
    else this.ask(known.withParts(this.query, { compare: value }));
  }

  #compareFrom(value) {
    const ms = new Date(value).getTime();
    if (Number.isFinite(ms) && ms >= 0) this.ask(known.withParts(this.query, { compare: String(ms) }));
  }

  #choose(series) {
    this.ask(known.withParts(this.query, { series }));
  }

  /** Open the list of series, or close it; with a metric's name it opens and lists that one's. */
  #chooser(name = "") {
    const box = this.#by("chooser");
    const button = this.#by("add");
    box.hidden = !box.hidden && !name;
    if (name) {
      this.#set("history-find", { value: name });
      this.area = "*";
    }
    button.setAttribute("aria-expanded", String(!box.hidden));
    (box.hidden ? button : this.document.getElementById("history-find")).focus();
    this.#area(box.hidden ? "" : this.area);
    this.listed?.disconnect();
    this.listed = new this.window.MutationObserver(() => this.#refocus());
    if (!box.hidden) this.listed.observe(this.#by("list"), { childList: true });
  }

  #area(area) {
    this.area = area || this.area;
    for (const each of this.document.querySelectorAll('[data-act="area"]')) each.setAttribute("aria-pressed", String(each.dataset.to === area));
    this.#set("history-area", { data: area });
  }

  // ---- saved views, links

  #save() {
    const field = this.document.getElementById("history-name");
    const name = field.value.trim();
    if (!name) {
      field.focus();
      return;
    }
    this.#set("history-saved", { data: { ...this.views, [name]: this.query } });
    this.#set("history-name", { value: "" });
    this.#say(`The view ${name} is saved in this browser.`);
    this.window.setTimeout(() => (this.#by("views").value = name));
  }

  #open(name) {
    if (name in this.views) this.#fresh(this.views[name]);
  }

  #forget() {
    const { value } = this.#by("views");
    if (!value) return;
    const { [value]: gone, ...rest } = this.views;
    this.#set("history-saved", { data: rest });
    this.#say(gone === undefined ? "" : `The view ${value} is deleted.`);
  }

  async #copy(button) {
    if (!this.spec) return;
    const { origin, pathname } = this.window.location;
    const link = `${origin}${pathname}?${this.spec.fixed}`;
    let words = "Copied";
    try {
      await this.window.navigator.clipboard.writeText(link);
    } catch {
      this.window.history.replaceState(null, "", link); // not allowed: it stands in the address bar
      words = "In the address bar";
    }
    const before = button.textContent;
    const named = (now) => Object.assign(button, { textContent: now, ariaLabel: now });
    named(words);
    this.#say(`The link is ${words === "Copied" ? "copied" : "in the address bar"}.`);
    this.window.setTimeout(() => named(before), SAID_MS);
  }

  #say(sentence) {
    const box = this.document.getElementById("announcer");
    if (box) box.textContent = sentence;
  }

  // ---- tables

  #table(name) {
    if (this.tables.has(name)) this.tables.delete(name);
    else this.tables.add(name);
    this.#showTables();
  }

  #showTables() {
    for (const row of this.document.querySelectorAll(".history .row[data-metric]")) {
      const { metric } = row.dataset;
      const on = this.tables.has(metric);
      const button = row.querySelector('[data-act="table"]');
      button.textContent = on ? "Chart" : "Table";
      button.setAttribute("aria-label", `${row.querySelector("h3").textContent}: as a ${on ? "chart" : "table"}`);
      const shown = on ? this.spec.rows.find((each) => each.name === metric) : null;
      fillPlot(row.querySelector(".plot"), shown, this.spec?.figure.data, row.querySelector("h3").textContent, eastAt);
    }
  }

  #inPlot(target) {
    return Boolean(target.closest?.("#history-graph"));
  }
}

const page = new History(window);
page.start();
document.dispatchEvent(new CustomEvent("wfmon:history", { detail: page })); // history.js waits for it
