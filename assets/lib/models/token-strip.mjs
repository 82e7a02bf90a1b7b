/**
 * The token strip: an oscilloscope of the answer without its text. One line a token, as tall as its chunk, coloured
 * from sure to unsure; first tokens and stalls are marked. A frame costs the new columns: the rest is moved.
 */

import { clockTime, text as written } from "../series/format.mjs";
import { make, painterOf, partsOf, put } from "../dom/elements.mjs";
import { seriesKey } from "../series/selectors.mjs";
import { Marks, STALL_MS, TickColumns, reading, sentence, spanFor, tallness, ticksIn } from "../chart/strip.mjs";
import { stripColours, tint } from "../chart/tints.mjs";
import { fillBody } from "../page/tables.mjs";

/**
 * @import { Mark, Tick, View } from "../chart/types"
 * @import { Paint } from "../chart/paint.mjs"
 * @import { Quality } from "../page/quality.mjs"
 * @import { Store } from "../series/store.mjs"
 * @import { Track } from "../series/track.mjs"
 */

const HEIGHT_PX = 62;
const TOP_PX = 15; // room for the marks' words
const STALLING = 3; // of model.energy_state
const ALT_TURNS = 16; // of four a second
const TABLE_ROWS = 60;
/**
 * The elements of a strip: its canvas, the texts above and below it, and the container of its table.
 * @param {HTMLElement} host @param {string} name
 */
function buildStrip(host, name) {
  const canvas = make("canvas", "", host);
  canvas.style.height = `${HEIGHT_PX}px`;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-roledescription", "token strip");
  canvas.setAttribute("aria-label", `Tokens of ${name}`);
  canvas.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End Escape");
  const caret = make("i", "caret", host);
  caret.hidden = true;
  const rest = make("p", "rest", host);
  const axis = make("p", "ends", host);
  const begin = make("span", "", axis);
  const said = make("span", "said", axis);
  said.setAttribute("role", "status");
  make("span", "", axis).textContent = "now";
  const table = make("div", "chart-table scroll", host);
  table.hidden = true;
  table.tabIndex = 0;
  table.setAttribute("role", "region");
  table.setAttribute("aria-label", `Tokens of ${name}, as a table`);
  return { canvas, caret, rest, axis, begin, said, table };
}

export class TokenStrip {
  /** @param {HTMLElement} host @param {{ document: Document, paint: Paint }} room */
  constructor(host, { document, paint }) {
    this.paint = paint;
    const { model = "", server = "" } = host.dataset;
    this.name = model;
    this.keys = Object.fromEntries(
      ["chunk_tokens", "entropy_bits", "inter_token_latency_ms", "ttft_ms", "energy_state", "requests_active"].map(
        (metric) => [metric, seriesKey(`model.${metric}`, { model, server })],
      ),
    );
    this.columns = new TickColumns();
    this.marks = new Marks();
    this.span = NaN; // ms that the strip shows
    this.columnMs = NaN;
    /** @type {Record<string, string>} */
    this.colours = {};
    /** @type {View | null} */
    this.view = null; // the moment and the store that were drawn last
    /** @type {Store | null} */
    this.store = null;
    /** @type {number | null} */
    this.live = null; // the start of an ongoing stall
    this.last = NaN; // newest column on the canvas
    this.painted = -1;
    this.width = 0;
    this.height = 0;
    this.turn = 0;
    this.chosen = NaN; // instant of the token that the keyboard reads
    this.nth = partsOf(document, "[data-widget=token-strip]").indexOf(host); // its turn when not all can be drawn
    const { canvas, caret, rest, axis, begin, said, table } = buildStrip(host, model);
    this.canvas = canvas;
    this.context = painterOf(canvas);
    this.caret = caret;
    this.rest = rest; // what an empty strip says
    this.axis = axis;
    this.begin = begin;
    this.said = said;
    this.table = table;
    /** @type {HTMLTableSectionElement | null} */
    this.body = null; // of the table, once it is shown
    this.#listen();
  }

  #listen() {
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#choose(NaN));
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => this.#choose(NaN));
  }

  destroy() {
    this.canvas.remove();
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    this.canvas.width = width;
    this.canvas.height = height;
    this.painted = -1;
  }

  /**
   * Draw what is new since the last frame, or all of it when anything else changed.
   * @param {View} view @param {Store} store @param {number} drawing @param {Quality | undefined} quality
   */
  draw(view, store, drawing, quality) {
    const { width, paint } = this;
    if (width < 2 || this.canvas.hidden) return;
    if (this.painted === paint.version && quality && !quality.draws(this.nth, drawing)) return;
    this.view = view;
    this.store = store;
    /** @param {string} metric */
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
      if (mark.wide !== undefined && mark.at !== undefined && mark.wide > this.last - mark.at)
        from = Math.min(from, mark.at); // its words reach over the edge
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

  /**
   * The start of an ongoing stall; returns the first column to redraw.
   * @param {Track | undefined} chunks @param {Track | undefined} state @param {View} view @param {number} columnMs
   */
  #stalling(chunks, state, view, columnMs) {
    const before = this.live;
    const stalls = chunks?.size && state && state.valueAt(view.right) === STALLING;
    const held = chunks?.countUntil(view.right) ?? 0;
    const since = chunks && stalls && held ? chunks.t[chunks.slot(held - 1)] : null;
    this.live = since !== null && view.right - since > STALL_MS ? since : null;
    if (before === this.live) return Infinity;
    return Math.floor(Math.min(before ?? Infinity, this.live ?? Infinity) / columnMs);
  }

  /** @param {number} columns */
  #move(columns) {
    const { context: g, canvas } = this;
    g.globalCompositeOperation = "copy";
    g.drawImage(canvas, -columns, 0);
    g.globalCompositeOperation = "source-over";
  }

  /** @param {number} from @param {number} last @param {number} columnMs */
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

  /**
   * A first token: a line with its time. A stall: a bar over its length with how long it was.
   * @param {Mark} mark @param {number} left @param {number} columnMs @param {number} top @param {number} room
   * @param {number} wordsTo
   */
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

  /** @param {number} from @param {number} to @param {number} top @param {number} room */
  #bar(from, to, top, room) {
    const { context: g, colours, paint } = this;
    const thick = Math.round(2 * paint.ratio);
    g.fillStyle = colours["--bad"];
    g.fillRect(from, top + Math.floor((room - thick) / 2), to - from, thick);
    g.fillRect(from, top - thick, 1, room / 2 + thick);
  }

  /**
   * The words: what is read aloud, the empty strip's, the table.
   * @param {Store} store @param {View} view
   */
  write(store, view) {
    this.turn += 1;
    /** @param {string} metric */
    const track = (metric) => store.tracks.get(this.keys[metric]);
    const span = spanFor(view.span);
    const to = Math.min(view.right, view.known);
    put(this.begin, `${span / 1000} s ago`);
    const chunks = track("chunk_tokens");
    const held = chunks ? chunks.countUntil(to) : 0;
    const silent = !chunks || !held || chunks.t[chunks.slot(held - 1)] <= view.right - span;
    const scraped = this.canvas.closest("[data-via=scrape]");
    const why = scraped
      ? "Its server is only polled, so single tokens are not measured."
      : `No tokens in the last ${span / 1000} seconds.`;
    put(this.rest, silent ? why : "");
    /** @type {HTMLElement | null} */
    const panel = this.canvas.closest("[data-panel]");
    const asTable = panel?.dataset.view === "table";
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

  /** @param {Tick[]} ticks @param {View} view */
  #fill(ticks, view) {
    this.body ??= this.#buildTable();
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

  #buildTable() {
    const table = make("table", "", this.table);
    const head = table.createTHead().insertRow();
    for (const name of ["Time", "Since the previous one", "Tokens", "Entropy"]) {
      const th = make("th", "", head);
      th.scope = "col";
      th.textContent = name;
    }
    return table.createTBody();
  }

  // ---- the person

  get #ticks() {
    const { view, store } = this;
    if (!view || !store) return [];
    /** @param {string} metric */
    const track = (metric) => store.tracks.get(this.keys[metric]);
    return ticksIn(
      track("chunk_tokens"),
      track("entropy_bits"),
      view.right - this.span,
      Math.min(view.right, view.known),
    );
  }

  /** @param {KeyboardEvent} event */
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
      put(this.said, "No tokens in this window.");
      return;
    }
    const here = this.chosen === this.chosen ? ticks.findIndex(({ t }) => t >= this.chosen) : ticks.length;
    const step = event.shiftKey ? 10 : 1;
    /** @type {Record<string, number>} */
    const places = { ArrowLeft: here - step, ArrowRight: here + step, Home: 0, End: ticks.length - 1 };
    const wanted = places[event.key];
    const i = Math.min(ticks.length - 1, Math.max(0, wanted));
    this.#choose(ticks[i].t);
    put(this.said, reading(ticks, i));
  }

  /**
   * The token nearest to the pointer, within a few pixels.
   * @param {MouseEvent} event
   */
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

  /** @param {number} instant */
  #choose(instant) {
    this.chosen = instant;
    if (instant !== instant) put(this.said, "");
  }

  /** @param {number} columnMs */
  #showCaret(columnMs) {
    const x = this.chosen === this.chosen ? Math.floor(this.chosen / columnMs) - (this.last - this.width + 1) : -1;
    if (this.caret.hidden !== x < 0) this.caret.hidden = x < 0;
    if (x >= 0) this.caret.style.transform = `translateX(${x / this.paint.ratio}px)`;
  }
}
