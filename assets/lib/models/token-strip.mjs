/**
 * The token strip: an oscilloscope of the answer without its text. One line a token, as tall as its chunk, coloured from
 * sure to unsure; first tokens and stalls are marked. A frame costs the new columns: the rest is moved.
 */

import { clockTime, text as written } from "../series/format.mjs";
import { put } from "../page/readouts.mjs";
import { seriesKey } from "../series/store.mjs";
import { Marks, STALL_MS, TickColumns, reading, sentence, spanFor, tallness, ticksIn } from "../chart/strip.mjs";
import { stripColours, tint } from "../chart/tints.mjs";
import { fillBody } from "../page/tables.mjs";

const HEIGHT_PX = 62;
const TOP_PX = 15; // room for the marks' words
const STALLING = 3; // of model.energy_state
const ALT_TURNS = 16; // of four a second
const TABLE_ROWS = 60;
const make = (document, tag, className, parent) => {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
};

export class TokenStrip {
  constructor(host, { document, paint }) {
    this.paint = paint;
    const { model, server } = host.dataset;
    this.name = model;
    this.keys = Object.fromEntries(
      ["chunk_tokens", "entropy_bits", "inter_token_latency_ms", "ttft_ms", "energy_state", "requests_active"].map(
        (metric) => [metric, seriesKey(`model.${metric}`, { model, server })],
      ),
    );
    this.columns = new TickColumns();
    this.marks = new Marks();
    this.live = null; // instant from which a stall goes on
    this.last = NaN; // newest column on the canvas
    this.painted = -1;
    this.width = 0;
    this.height = 0;
    this.turn = 0;
    this.chosen = NaN; // instant of the token that the keyboard reads
    this.nth = [...document.querySelectorAll("[data-widget=token-strip]")].indexOf(host); // its turn when not all can be drawn
    this.#build(host, document);
  }

  #build(host, document) {
    this.canvas = make(document, "canvas", "", host);
    this.canvas.style.height = `${HEIGHT_PX}px`;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-roledescription", "token strip");
    this.canvas.setAttribute("aria-label", `Tokens of ${this.name}`);
    this.canvas.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End Escape");
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#choose(NaN));
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => this.#choose(NaN));
    this.context = this.canvas.getContext("2d");
    this.caret = make(document, "i", "caret", host);
    this.caret.hidden = true;
    this.rest = make(document, "p", "rest", host);
    this.axis = make(document, "p", "ends", host);
    this.begin = make(document, "span", "", this.axis);
    this.said = make(document, "span", "said", this.axis);
    this.said.setAttribute("role", "status");
    make(document, "span", "", this.axis).textContent = "now";
    this.table = make(document, "div", "chart-table scroll", host);
    this.table.hidden = true;
    this.table.tabIndex = 0;
    this.table.setAttribute("role", "region");
    this.table.setAttribute("aria-label", `Tokens of ${this.name}, as a table`);
  }

  destroy() {
    this.canvas.remove();
  }

  resize(width, height) {
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    this.canvas.width = width;
    this.canvas.height = height;
    this.painted = -1;
  }

  /** Draw what is new since the last frame, or all of it when anything else changed. */
  draw(view, store, drawing, quality) {
    const { width, paint } = this;
    if (width < 2 || this.canvas.hidden) return;
    if (this.painted === paint.version && quality && !quality.draws(this.nth, drawing)) return;
    this.view = view;
    this.store = store;
    const track = (metric) => store.tracks.get(this.keys[metric]);
    this.span = spanFor(view.span);
    const columnMs = this.span / width;
    const last = Math.floor(view.right / columnMs);
    const chunks = track("chunk_tokens");
    let from = this.columns.follow(chunks, track("entropy_bits"), columnMs, width + 2, view.right);
    const told = {
      firsts: track("ttft_ms"),
      intervals: track("inter_token_latency_ms"),
      chunks,
      active: track("requests_active"),
    };
    const fresh = this.marks.follow(told, view.right - this.span * 1.5, view.right);
    if (fresh === null) from = -Infinity;
    else for (const mark of fresh) from = Math.min(from, Math.floor(mark.from / columnMs));
    from = Math.min(from, this.#stalling(chunks, track("energy_state"), view, columnMs));
    const moved = last - this.last;
    if (this.painted !== paint.version) this.colours = stripColours(this.canvas);
    if (this.painted !== paint.version || columnMs !== this.columnMs || !(moved >= 0 && moved < width))
      from = -Infinity;
    for (const mark of this.marks.list) {
      if (mark.wide > this.last - mark.at) from = Math.min(from, mark.at); // its words reach over the edge
    }
    this.painted = paint.version;
    this.columnMs = columnMs;
    if (moved > 0 && from > -Infinity) this.#move(moved);
    this.last = last;
    if (from > -Infinity) from = Math.min(from, last - moved + 1);
    from = Math.max(from, last - width + 1);
    if (from <= last) this.#paint(from, last, columnMs);
    this.#showCaret(columnMs);
  }

  /** A stall that goes on: its beginning; gives the first column to draw anew. */
  #stalling(chunks, state, view, columnMs) {
    const before = this.live;
    const stalls = chunks?.size && state && state.valueAt(view.right) === STALLING;
    const held = chunks?.countUntil(view.right) ?? 0;
    const since = stalls && held ? chunks.t[chunks.slot(held - 1)] : null;
    this.live = since !== null && view.right - since > STALL_MS ? since : null;
    if (before === this.live) return Infinity;
    return Math.floor(Math.min(before ?? Infinity, this.live ?? Infinity) / columnMs);
  }

  #move(columns) {
    const { context: g, canvas } = this;
    g.globalCompositeOperation = "copy";
    g.drawImage(canvas, -columns, 0);
    g.globalCompositeOperation = "source-over";
  }

  #paint(from, last, columnMs) {
    const { context: g, width, height, columns, colours, paint } = this;
    const left = last - width + 1;
    const top = Math.round(TOP_PX * paint.ratio);
    const room = height - top;
    g.clearRect(from - left, 0, width, height);
    g.save();
    g.beginPath();
    g.rect(from - left, 0, width, height);
    g.clip();
    g.fillStyle = colours["--grid"];
    g.fillRect(from - left, top + Math.floor(room / 2), last - from + 1, 1);
    for (let s = Math.ceil((from * columnMs) / 1000); s * 1000 < (last + 1) * columnMs; s += 1) {
      g.fillRect(Math.floor((s * 1000) / columnMs) - left, top, 1, room);
    }
    let tinted = null;
    for (let c = Math.max(from, columns.newest - columns.capacity + 1); c <= Math.min(last, columns.newest); c += 1) {
      const tokens = columns.tokensAt(c);
      if (!tokens) continue;
      const colour = tint(colours, columns.bitsAt(c));
      if (colour !== tinted) g.fillStyle = tinted = colour;
      const tall = Math.max(2, Math.round(room * tallness(tokens)));
      g.fillRect(c - left, top + ((room - tall) >> 1), 1, tall);
    }
    let wordsTo = -Infinity; // words of marks that come close together are not painted over one another
    for (const mark of this.marks.list) wordsTo = this.#mark(mark, left, columnMs, top, room, wordsTo);
    if (this.live !== null) this.#bar(Math.floor(this.live / columnMs) - left, width, top, room);
    g.restore();
  }

  /** A first token: a line with its time. A stall: a bar over its length with how long it was. */
  #mark(mark, left, columnMs, top, room, wordsTo) {
    const { context: g, colours, paint } = this;
    mark.at = Math.floor(mark.from / columnMs);
    const x = mark.at - left;
    const words = mark.kind === "first" ? `first token ${written(mark.ms, "ms")}` : `stall ${written(mark.ms, "ms")}`;
    const label = paint.label(words, "--ink-2");
    mark.wide = Math.max(label.width + 4, (mark.to - mark.from) / columnMs + 1);
    if (x + mark.wide < 0) return wordsTo;
    if (mark.kind === "stall") this.#bar(x, Math.floor(mark.to / columnMs) - left, top, room);
    else {
      g.fillStyle = colours["--ink"];
      g.fillRect(x, 0, Math.max(1, Math.floor(paint.ratio)), top + room);
    }
    const wordsFrom = x + Math.round(3 * paint.ratio);
    if (wordsFrom < wordsTo) return wordsTo;
    g.drawImage(label.canvas, wordsFrom, 0);
    return wordsFrom + label.width;
  }

  #bar(from, to, top, room) {
    const { context: g, colours, paint } = this;
    const thick = Math.round(2 * paint.ratio);
    g.fillStyle = colours["--bad"];
    g.fillRect(from, top + Math.floor((room - thick) / 2), to - from, thick);
    g.fillRect(from, top - thick, 1, room / 2 + thick);
  }

  /** The words: what is read aloud, the empty strip's, the table. */
  write(store, view) {
    this.turn += 1;
    const track = (metric) => store.tracks.get(this.keys[metric]);
    const span = spanFor(view.span);
    const to = Math.min(view.right, view.known);
    put(this.begin, `${span / 1000} s ago`);
    const chunks = track("chunk_tokens");
    const held = chunks ? chunks.countUntil(to) : 0;
    const silent = !held || chunks.t[chunks.slot(held - 1)] <= view.right - span;
    const scraped = this.canvas.closest("[data-via=scrape]");
    const why = scraped
      ? "Its server is only read: single tokens are not seen."
      : `No token in the last ${span / 1000} seconds.`;
    put(this.rest, silent ? why : "");
    const asTable = this.canvas.closest("[data-panel]")?.dataset.view === "table";
    if (this.table.hidden === asTable) {
      this.table.hidden = !asTable;
      this.canvas.hidden = asTable;
      this.rest.hidden = asTable;
      this.axis.hidden = asTable;
    }
    if (!asTable && this.turn % ALT_TURNS !== 1) return;
    const ticks = ticksIn(chunks, track("entropy_bits"), view.right - span, to);
    if (asTable) this.#fill(ticks, view);
    const stalls =
      this.marks.list.filter((mark) => mark.kind === "stall" && mark.to > view.right - span).length +
      (this.live === null ? 0 : 1);
    this.canvas.setAttribute("aria-label", sentence(this.name, ticks, stalls, span));
  }

  #fill(ticks, view) {
    if (!this.body) {
      const table = make(this.canvas.ownerDocument, "table", "", this.table);
      const head = table.createTHead().insertRow();
      for (const name of ["Time", "After the one before", "Tokens", "Entropy"]) {
        const th = make(this.canvas.ownerDocument, "th", "", head);
        th.scope = "col";
        th.textContent = name;
      }
      this.body = table.createTBody();
    }
    const rows = [];
    for (let i = ticks.length - 1; i >= 0 && rows.length < TABLE_ROWS; i -= 1) {
      const { t, tokens, bits } = ticks[i];
      rows.push([
        clockTime(t, view.minutesEast),
        i ? written(t - ticks[i - 1].t, "ms") : "–",
        String(tokens),
        bits === bits ? written(bits, "bit") : "n/a",
      ]);
    }
    fillBody(this.body, rows);
  }

  // ---- the person

  get #ticks() {
    const { view, store } = this;
    if (!view) return [];
    const track = (metric) => store.tracks.get(this.keys[metric]);
    return ticksIn(
      track("chunk_tokens"),
      track("entropy_bits"),
      view.right - this.span,
      Math.min(view.right, view.known),
    );
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.chosen === this.chosen) {
      event.preventDefault();
      this.#choose(NaN);
      return;
    }
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const ticks = this.#ticks;
    if (!ticks.length) {
      put(this.said, "No token in this window.");
      return;
    }
    const here = this.chosen === this.chosen ? ticks.findIndex(({ t }) => t >= this.chosen) : ticks.length;
    const step = event.shiftKey ? 10 : 1;
    const wanted = { ArrowLeft: here - step, ArrowRight: here + step, Home: 0, End: ticks.length - 1 }[event.key];
    const i = Math.min(ticks.length - 1, Math.max(0, wanted));
    this.#choose(ticks[i].t);
    put(this.said, reading(ticks, i));
  }

  /** The token nearest to the pointer, within a few pixels. */
  #point(event) {
    const ticks = this.#ticks;
    if (!ticks.length || !this.width) return;
    const at = (this.last - this.width + 1 + event.offsetX * this.paint.ratio) * this.columnMs;
    let best = 0;
    for (let i = 1; i < ticks.length; i += 1) if (Math.abs(ticks[i].t - at) < Math.abs(ticks[best].t - at)) best = i;
    if (Math.abs(ticks[best].t - at) > this.columnMs * 8 * this.paint.ratio) {
      this.#choose(NaN);
      return;
    }
    this.#choose(ticks[best].t);
    put(this.said, reading(ticks, best));
  }

  #choose(instant) {
    this.chosen = instant;
    if (instant !== instant) put(this.said, "");
  }

  #showCaret(columnMs) {
    const x = this.chosen === this.chosen ? Math.floor(this.chosen / columnMs) - (this.last - this.width + 1) : -1;
    if (this.caret.hidden !== x < 0) this.caret.hidden = x < 0;
    if (x >= 0) this.caret.style.transform = `translateX(${x / this.paint.ratio}px)`;
  }
}
