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
import { Controls, savedWindow } from "./lib/page/controls.mjs";
import { figuresOf } from "./lib/page/debug.mjs";
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

/**
 * @import { Message } from "./lib/stream/messages"
 * @import { View } from "./lib/chart/types"
 */

const TEXT_MS = 250;
const CALM_MS = 1_000; // charts and texts when motion is not wanted
const SECOND_MS = 1_000;
const PINGS_AT_ONCE = 5;
const PING_EVERY_S = 5;
const RATES = { shown: 60, calm: 10, hidden: 1 };
const CATCH_UP_MS = 1_000;

/**
 * The moment that is shown, before there is any.
 * @param {number} span @returns {View}
 */
function newView(span) {
  return {
    right: NaN,
    span,
    known: NaN,
    cursor: NaN,
    cursorMoved: 0,
    cursorCanvas: null,
    minutesEast: 0,
    now: 0,
    frozenMs: null,
    version: 0,
  };
}

class Live {
  /** @param {Window & typeof globalThis} window */
  constructor(window) {
    const { document } = window;
    this.window = window;
    this.document = document;
    this.store = new Store();
    this.clock = new ServerClock();
    this.meter = new FrameMeter();
    // Reports of pages, and tokens that their own process sends in batches, are late by nature: tokens are timed apart.
    this.paints = new PaintWatch((id) => !/^(ux|model)\./.test(this.store.byId.get(id)?.name ?? ""));
    this.tokenPaints = new PaintWatch((id) => this.store.byId.get(id)?.name === "model.chunk_tokens");
    this.tokensPainted = new Ring(3_600);
    this.tokenMeter = { painted: (/** @type {number} */ ms) => this.tokensPainted.push(ms) };
    this.quality = new Quality();
    this.cursor = new Cursor();
    this.paint = new Paint(document);
    this.page = new Page(document, this.paint, WIDGETS, () => this.#want());
    this.status = new StatusBar(document);
    this.shell = installShell(document);
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.speaker = new Speaker(document.getElementById("announcer") ?? this.#region(), 5_000);
    this.reader = new Speaker(this.#region(), 500);
    this.view = newView(savedWindow(window));
    this.controls = new Controls({
      window,
      page: this.page,
      view: this.view,
      cursor: this.cursor,
      reader: this.reader,
      speaker: this.speaker,
      serverNow: () => this.clock.at(window.performance.now()),
      changed: ({ redraw }) => {
        this.wroteMs = -Infinity;
        if (redraw) this.drawnMs = -Infinity;
      },
      held: () => this.#forgetPaints(),
    });
    this.channel = new window.MessageChannel();
    this.seen = { right: NaN, span: NaN, moved: -1 };
    this.path = window.location.pathname;
    this.drawings = 0; // frames drawn
    this.drawnMs = -Infinity;
    this.drawnMoved = -1; // moves of the cursor that were drawn
    this.wroteMs = -Infinity;
    /** @type {Generator<undefined, void> | null} */
    this.writing = null; // what is left of the texts' turn
    this.startMs = 0;
    this.caughtUpMs = 0; // what comes before is older news: no measure of the way to the screen
    this.pingId = Math.floor(Math.random() * 1e9);
    /** @type {Map<number, number>} */
    this.pings = new Map(); // id -> when it was sent
    this.seconds = 0;
    this.link = new Link(browserIo(window), {
      token: document.querySelector("meta[name=wfmon-token]")?.getAttribute("content") ?? "",
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
    this.channel.port1.onmessage = () => this.#frameDone();
    observe(this.meter, window.PerformanceObserver);
    this.controls.listen();
    document.addEventListener("visibilitychange", () => this.#visibility());
    document.addEventListener("wfmon:theme", () => this.#themeChanged());
    document.addEventListener("wfmon:arranged", () => this.page.scan());
    window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.#themeChanged());
    this.calm.addEventListener("change", () => this.#want());
    window.addEventListener("resize", () => window.devicePixelRatio !== this.paint.ratio && this.#themeChanged());
    window.addEventListener("online", () => this.link.wake());
    window.addEventListener("pagehide", () => this.link.stop());
    window.addEventListener("pageshow", (event) => event.persisted && this.link.start());
    window.setInterval(() => this.#second(), SECOND_MS);
    this.controls.show();
    this.link.start();
    this.mount(this.path);
    window.requestAnimationFrame((stamp) => this.#frame(stamp));
  }

  /**
   * Dash has laid out the page at `path`. Idempotent.
   * @param {string} [path]
   */
  mount(path) {
    this.path = path ?? this.window.location.pathname;
    this.shell.arrange();
    this.page.scan();
    this.controls.show();
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

  /** @param {Message} message @param {number} receivedMs */
  #message(message, receivedMs) {
    if (message.type === "pong") {
      const { id = NaN } = message;
      const sent = this.pings.get(id);
      if (sent === undefined) return;
      this.pings.delete(id);
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

  /** @param {boolean} hidden */
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
    this.#forgetPaints();
    if (!hidden) this.link.wake();
    this.#want();
  }

  /** Samples that came while nothing was drawn measure nothing. */
  #forgetPaints() {
    this.paints.clear();
    this.tokenPaints.clear();
  }

  // ---- the loop

  /** @param {number} stamp */
  #frame(stamp) {
    const { window, meter } = this;
    window.requestAnimationFrame((next) => this.#frame(next));
    const now = window.performance.now();
    this.startMs = now;
    const serverNow = this.clock.at(now);
    const missed = meter.frame(stamp, serverNow);
    if (this.quality.frame(stamp, missed)) {
      const { text } = this.quality;
      this.speaker.say(text ? `Frames were missed; ${text}.` : "Charts are back at full rate.");
    }
    this.#look(now, serverNow);
    if (this.#mayDraw(now)) this.#draw(now);
    this.#write(now, serverNow);
    this.speaker.tick(now);
    this.reader.tick(now);
    this.channel.port2.postMessage(null);
  }

  /**
   * Go on with the texts, a part a frame; begin anew when it is time, at once when something changed all of them.
   * @param {number} now @param {number} serverNow
   */
  #write(now, serverNow) {
    const since = now - this.wroteMs;
    if (since === Infinity || (this.writing === null && since >= (this.calm.matches ? CALM_MS : TEXT_MS))) {
      this.wroteMs = now;
      this.writing = this.#texts(serverNow);
    }
    if (this.writing?.next().done) this.writing = null;
  }

  /** @param {number} serverNow */
  *#texts(serverNow) {
    const { store, meter, quality, link, view } = this;
    this.status.update({ store, meter, quality, link, view, serverNow, wished: this.#rate() });
    if (view.right === view.right) yield* this.page.writes(store, view, serverNow);
  }

  /**
   * The window's position in this frame.
   * @param {number} now @param {number} serverNow
   */
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

  /** @param {number} now */
  #mayDraw(now) {
    if (this.view.right !== this.view.right) return false;
    return !this.calm.matches || now - this.drawnMs >= CALM_MS || this.cursor.moved !== this.drawnMoved;
  }

  /** @param {number} now */
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

  /**
   * What tests and benchmarks read. `reset`: forget the measurements so far.
   * @param {{ reset?: boolean }} [options]
   */
  debug({ reset = false } = {}) {
    const { store, meter, link, clock, quality, view, page, tokensPainted } = this;
    const told = figuresOf({ store, meter, link, clock, quality, view, page, tokensPainted });
    if (reset) {
      meter.forget();
      tokensPainted.clear();
    }
    return { ...told, draws: this.drawings, rate: this.#rate() };
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
