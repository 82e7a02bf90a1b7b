/**
 * The live page: one connection, one store, one animation loop. Everything else is in lib/.
 *
 * Dash lays the pages out; a clientside callback calls `window.wfmon.mount(path)` when it has. The contract with the
 * markup is in docs/markup.md.
 */

import { Speaker } from "./lib/page/a11y.mjs";
import { browserIo } from "./lib/stream/browser.mjs";
import { ServerClock } from "./lib/stream/clock.mjs";
import { Cursor } from "./lib/chart/cursor.mjs";
import { FrameMeter, PaintWatch, observe, pageName } from "./lib/page/frames.mjs";
import { Link } from "./lib/stream/link.mjs";
import { Page } from "./lib/page/page.mjs";
import { Paint } from "./lib/chart/paint.mjs";
import { Quality, STEPS } from "./lib/page/quality.mjs";
import { StatusBar, connection } from "./lib/page/readouts.mjs";
import { installShell } from "./lib/shell/shell.mjs";
import { Ring } from "./lib/series/stats.mjs";
import { Store } from "./lib/series/store.mjs";
import { apply } from "./lib/stream/wire.mjs";
import { WIDGETS } from "./lib/widgets.mjs";

const TEXT_MS = 250;
const CALM_MS = 1_000; // charts and texts when motion is not wanted
const SECOND_MS = 1_000;
const PINGS_AT_ONCE = 5;
const PING_EVERY_S = 5;
const WINDOWS = { 1: 30, 2: 60, 3: 300 };
const WINDOW_KEY = "wfmon.window";
const RATES = { shown: 60, calm: 10, hidden: 1 };
const CATCH_UP_MS = 1_000;
const OWN_KEYS =
  "button, a, input, textarea, select, summary, dialog, [contenteditable], [role=menuitem], [role=switch]";

class Live {
  constructor(window) {
    const { document } = window;
    this.window = window;
    this.document = document;
    this.store = new Store();
    this.clock = new ServerClock();
    this.meter = new FrameMeter();
    // Reports of pages, and tokens that their own process sends in batches, are late by nature: tokens are timed apart.
    this.paints = new PaintWatch((id) => !/^(ux|model)\./.test(this.store.byId.get(id)?.name));
    this.tokenPaints = new PaintWatch((id) => this.store.byId.get(id)?.name === "model.chunk_tokens");
    this.tokensPainted = new Ring(3_600);
    this.tokenMeter = { painted: (ms) => this.tokensPainted.push(ms) };
    this.quality = new Quality();
    this.cursor = new Cursor();
    this.paint = new Paint(document);
    this.page = new Page(document, this.paint, WIDGETS, () => this.#want());
    this.status = new StatusBar(document);
    this.shell = installShell(document);
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.speaker = new Speaker(document.getElementById("announcer") ?? this.#region(), 5_000);
    this.reader = new Speaker(this.#region(), 500);
    this.view = {
      right: NaN,
      span: this.#savedWindow(),
      known: NaN,
      cursor: NaN,
      cursorMoved: 0,
      cursorCanvas: null,
      minutesEast: 0,
      now: 0,
      frozenMs: null,
      version: 0,
    };
    this.seen = { right: NaN, span: NaN, moved: -1 };
    this.path = window.location.pathname;
    this.drawings = 0; // frames drawn
    this.drawnMs = -Infinity;
    this.wroteMs = -Infinity;
    this.writing = null; // what is left of the texts' turn
    this.startMs = 0;
    this.caughtUpMs = 0; // what comes before is older news: no measure of the way to the screen
    this.pingId = Math.floor(Math.random() * 1e9);
    this.pings = new Map();
    this.seconds = 0;
    this.link = new Link(browserIo(window), {
      token: document.querySelector("meta[name=wfmon-token]")?.content ?? "",
      on: { message: (message, at) => this.#message(message, at), change: () => this.#connectionChanged() },
      resume: () => ({ boot: this.store.boot, since: this.store.seq }),
      wish: () => ({ rate_hz: this.#rate(), tables: this.document.hidden ? [] : this.page.watched }),
    });
  }

  #region() {
    const region = this.document.createElement("div");
    region.className = "aside";
    region.setAttribute("role", "status");
    region.setAttribute("aria-live", "polite");
    this.document.body.append(region);
    return region;
  }

  start() {
    const { window, document } = this;
    this.channel = new window.MessageChannel();
    this.channel.port1.onmessage = () => this.#frameDone();
    observe(this.meter, window.PerformanceObserver);
    document.addEventListener("visibilitychange", () => this.#visibility());
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("pointermove", (event) => this.#pointer(event), { passive: true });
    document.addEventListener("pointerdown", (event) => this.#pointer(event), { passive: true });
    document.addEventListener(
      "focusout",
      (event) => this.page.byCanvas.get(event.target)?.shareAt && this.cursor.clear(),
    );
    document.addEventListener("wfmon:theme", () => this.#themeChanged());
    document.addEventListener("wfmon:arranged", () => this.page.scan());
    document.addEventListener("wfmon:view", ({ target }) => this.page.setView(target, target.dataset.view));
    window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.#themeChanged());
    this.calm.addEventListener("change", () => this.#want());
    window.addEventListener("resize", () => window.devicePixelRatio !== this.paint.ratio && this.#themeChanged());
    window.addEventListener("online", () => this.link.wake());
    window.addEventListener("pagehide", () => this.link.stop());
    window.addEventListener("pageshow", (event) => event.persisted && this.link.start());
    window.setInterval(() => this.#second(), SECOND_MS);
    this.#showWindow();
    this.link.start();
    this.mount(this.path);
    window.requestAnimationFrame((stamp) => this.#frame(stamp));
  }

  /** Dash has laid out the page at `path`. Idempotent. */
  mount(path) {
    this.path = path ?? this.window.location.pathname;
    this.shell.arrange();
    this.page.scan();
    this.#showWindow();
    this.quality.restart(NaN); // laying out a page is no lack of power
    this.wroteMs = -Infinity;
  }

  /** Let go of the page's elements; the connection and the store go on. */
  unmount() {
    this.page.clear();
  }

  // ---- the connection

  #rate() {
    if (this.document.hidden) return RATES.hidden;
    return this.calm.matches ? RATES.calm : RATES.shown;
  }

  /** Tell what is wanted now; the answer brings values of any age, which measure nothing. */
  #want() {
    this.caughtUpMs = this.window.performance.now() + CATCH_UP_MS;
    this.link.want();
  }

  #message(message, receivedMs) {
    if (message.type === "pong") {
      const sent = this.pings.get(message.id);
      if (sent === undefined) return;
      this.pings.delete(message.id);
      this.clock.pong(sent, receivedMs, message.now_ms);
      return;
    }
    if (message.type === "hello") {
      this.clock.greet(message.now_ms, receivedMs);
      this.caughtUpMs = receivedMs + CATCH_UP_MS;
    }
    if (message.type === "clock") this.clock.step(message.step_ms);
    const fresh = apply(this.store, message);
    const drawn = !this.document.hidden && this.view.frozenMs === null;
    if (fresh && drawn && message.type === "frame" && receivedMs > this.caughtUpMs) {
      this.paints.expect(message.t, message.v, this.drawings);
      this.tokenPaints.expect(message.t, message.v, this.drawings);
    }
  }

  #connectionChanged() {
    const { link } = this;
    if (link.phase === "live") {
      this.speaker.say(`Live over ${connection(link, NaN).transport}.`);
      this.clock.reset();
      for (let i = 0; i < PINGS_AT_ONCE; i += 1) this.window.setTimeout(() => this.#ping(), i * 80);
    } else {
      const { banner } = connection(link, this.store.knownMs);
      if (banner) this.speaker.say(banner);
    }
    this.wroteMs = -Infinity;
  }

  #ping() {
    const id = (this.pingId += 1);
    const now = this.window.performance.now();
    if (this.pings.size > 20) this.pings.clear();
    if (this.link.send({ type: "ping", id, client_ms: now })) this.pings.set(id, now);
  }

  #second() {
    this.seconds += 1;
    this.link.tick();
    if (this.seconds % PING_EVERY_S === 0) this.#ping();
    if (this.document.hidden) return;
    this.page.scan();
    this.#report(false);
  }

  #report(hidden) {
    const report = this.meter.report(pageName(this.path), hidden, this.clock.at(this.window.performance.now()));
    const nowhere = this.document.querySelector("main .page.nothing"); // an address without a page measures nothing
    if (report && Number.isFinite(report.t0) && !nowhere) this.link.send(report);
  }

  #visibility() {
    const { hidden } = this.document;
    this.#report(hidden);
    this.meter.interrupt();
    this.quality.restart(NaN);
    this.paints.clear();
    this.tokenPaints.clear();
    if (!hidden) this.link.wake();
    this.#want();
  }

  // ---- the loop

  #frame(stamp) {
    const { window, meter } = this;
    window.requestAnimationFrame((next) => this.#frame(next));
    const now = window.performance.now();
    this.startMs = now;
    const serverNow = this.clock.at(now);
    const missed = meter.frame(stamp, serverNow);
    if (this.quality.frame(stamp, missed)) {
      const { text } = this.quality;
      this.speaker.say(text ? `Frames were missed: ${text}.` : "Charts move at full rate again.");
    }
    this.#look(now, serverNow);
    if (this.#mayDraw(now)) this.#draw(now);
    this.#write(now, serverNow);
    this.speaker.tick(now);
    this.reader.tick(now);
    this.channel.port2.postMessage(null);
  }

  /** Go on with the texts, a part a frame; begin anew when it is time, at once when something changed all of them. */
  #write(now, serverNow) {
    const since = now - this.wroteMs;
    if (since === Infinity || (this.writing === null && since >= (this.calm.matches ? CALM_MS : TEXT_MS))) {
      this.wroteMs = now;
      this.writing = this.#texts(serverNow);
    }
    if (this.writing?.next().done) this.writing = null;
  }

  *#texts(serverNow) {
    const { store, meter, quality, link, view } = this;
    this.status.update({ store, meter, quality, link, view, serverNow, wished: this.#rate() });
    if (view.right === view.right) yield* this.page.writes(store, view, serverNow);
  }

  /** Where the window stands in this frame. */
  #look(now, serverNow) {
    const { view, cursor } = this;
    view.now = now;
    view.known = this.store.knownMs;
    view.right = view.frozenMs ?? (this.calm.matches ? Math.floor(serverNow / CALM_MS) * CALM_MS : serverNow);
    view.cursor = cursor.at(view.right, view.span);
    view.cursorMoved = cursor.moved;
    const { seen } = this;
    if (seen.right === view.right && seen.span === view.span && seen.moved === cursor.moved) return;
    Object.assign(seen, { right: view.right, span: view.span, moved: cursor.moved });
    view.version += 1;
  }

  #mayDraw(now) {
    if (this.view.right !== this.view.right) return false;
    return !this.calm.matches || now - this.drawnMs >= CALM_MS || this.cursor.moved !== this.drawnMoved;
  }

  #draw(now) {
    const { view, page, quality } = this;
    this.drawings += 1;
    this.drawnMs = now;
    this.drawnMoved = view.cursorMoved;
    page.charts.forEach((chart, i) => {
      if (!chart.visible || chart.canvas.hidden) return;
      chart.resolve(this.store);
      const whole = chart.painted === this.paint.version;
      if (whole && (chart.drawnVersion === view.version || !quality.draws(i, this.drawings))) return;
      chart.draw(view);
      chart.drawnVersion = view.version;
    });
    for (const widget of page.widgets.values())
      if (widget.visible) widget.draw?.(view, this.store, this.drawings, quality);
  }

  /** The first task after the frame: layout and paint are done, the new samples are on the screen. */
  #frameDone() {
    const now = this.window.performance.now();
    this.meter.worked(now - this.startMs);
    const turns = STEPS[this.quality.step].every;
    this.paints.drawn(this.drawings, turns, this.clock.at(now), this.meter);
    this.tokenPaints.drawn(this.drawings, turns, this.clock.at(now), this.tokenMeter);
  }

  #themeChanged() {
    this.paint.read();
    this.page.remeasure();
  }

  // ---- the person

  #pointer(event) {
    const chart = this.page.byCanvas.get(event.target);
    if (chart?.shareAt) {
      this.cursor.point(chart.shareAt(event.offsetX));
      this.view.cursorCanvas = chart.canvas;
    } else if (this.cursor.share === this.cursor.share) this.cursor.clear();
  }

  #click(event) {
    const button = event.target.closest?.("[data-window], [data-freeze]");
    if (!button) return;
    if (button.dataset.window) this.setWindow(Number(button.dataset.window));
    else this.freeze(this.view.frozenMs === null);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const chart = this.page.byCanvas.get(event.target) ?? this.page.byHost.get(event.target.closest?.("[data-chart]"));
    if (chart?.shareAt && this.#chartKey(event, chart)) {
      event.preventDefault();
      return;
    }
    if (event.target.closest?.(OWN_KEYS) || this.document.querySelector("dialog[open]")) return;
    if (event.key === " ") this.freeze(this.view.frozenMs === null);
    else if (WINDOWS[event.key]) this.setWindow(WINDOWS[event.key]);
    else return;
    event.preventDefault();
  }

  #chartKey(event, chart) {
    const { view, cursor } = this;
    if (event.key === "t" || event.key === "T") {
      const panel = chart.host.closest("[data-panel]") ?? chart.host;
      this.page.setView(panel, chart.table.open ? "chart" : "table");
      (chart.table.open ? chart.table.element : chart.canvas).focus();
      return true;
    }
    if (event.target !== chart.canvas || !cursor.key(event.key, event.shiftKey, view.right, view.span, view.known))
      return false;
    view.cursorCanvas = chart.canvas;
    const instant = cursor.at(view.right, view.span);
    if (instant === instant)
      this.reader.say(
        chart
          .reading(instant, view.known, view.minutesEast)
          .map((row) => row.text)
          .join(", "),
      );
    return true;
  }

  /** Show the last `seconds` in all charts; kept in this browser. */
  setWindow(seconds) {
    if (!Object.values(WINDOWS).includes(seconds)) return;
    this.view.span = seconds * 1000;
    try {
      this.window.localStorage.setItem(WINDOW_KEY, String(seconds));
    } catch {
      // Storage may be forbidden: the choice then lasts as long as the page.
    }
    this.#showWindow();
    this.wroteMs = -Infinity;
    this.drawnMs = -Infinity;
  }

  #savedWindow() {
    let saved = NaN;
    try {
      saved = Number(this.window.localStorage.getItem(WINDOW_KEY));
    } catch {
      saved = NaN;
    }
    return (Object.values(WINDOWS).includes(saved) ? saved : WINDOWS[1]) * 1000;
  }

  /** Hold the picture; what comes in is kept. */
  freeze(on) {
    const { view, document } = this;
    const serverNow = this.clock.at(this.window.performance.now());
    if (on === (view.frozenMs !== null) || serverNow !== serverNow) return;
    view.frozenMs = on ? serverNow : null;
    if (on) document.documentElement.dataset.frozen = "";
    else delete document.documentElement.dataset.frozen;
    this.paints.clear();
    this.tokenPaints.clear();
    this.speaker.say(on ? "Frozen. What comes in is kept." : "Moving again.");
    this.#showWindow();
    this.wroteMs = -Infinity;
  }

  #showWindow() {
    this.view.minutesEast = -new Date().getTimezoneOffset();
    for (const button of this.document.querySelectorAll("[data-window]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.window) * 1000 === this.view.span));
    }
    for (const button of this.document.querySelectorAll("[data-freeze]")) {
      button.setAttribute("aria-pressed", String(this.view.frozenMs !== null));
    }
  }

  /** What tests and benchmarks read: plain values, copied. `reset`: forget the measurements so far. */
  debug({ reset = false } = {}) {
    const { store, meter, link, clock, quality, view } = this;
    const { counters } = store;
    const told = {
      intervals: meter.intervals.newest(),
      work: meter.work.newest(),
      paint: meter.latencies.newest(),
      tokenPaint: this.tokensPainted.newest(),
      fps: meter.fps(),
      frames: meter.frames,
      missed: meter.missed,
      longFrames: meter.longFrames,
      draws: this.drawings,
      phase: link.phase,
      transport: link.way,
      refused: link.bad,
      boot: store.boot,
      seq: store.seq,
      duplicates: counters.duplicates,
      gaps: counters.breaks,
      drops: counters.late + counters.unknown,
      counters: { ...counters },
      rate: this.#rate(),
      client: { ...store.client },
      series: store.tracks.size,
      known: store.knownMs,
      clockOffset: clock.offset,
      roundTrip: clock.roundTrip,
      quality: quality.step,
      falls: quality.falls,
      charts: this.page.charts.length,
      frozen: view.frozenMs !== null,
      window: view.span / 1000,
    };
    if (reset) {
      meter.forget();
      this.tokensPainted.clear();
    }
    return told;
  }
}

const live = new Live(window);
window.wfmon = {
  store: live.store,
  mount: (path) => live.mount(path),
  unmount: () => live.unmount(),
  debug: (options) => live.debug(options),
};
live.start();
document.dispatchEvent(new CustomEvent("wfmon:ready"));
