/**
 * One chart: a canvas that draws its tracks, its time axis and the cursor shared by all charts of the page.
 *
 * Lines are one device pixel wide (wider ones cost three times as much) and drawn from columns, so a frame costs the
 * new samples and the pixels, not the five minutes. Sizes come from a ResizeObserver only; nothing here reads layout.
 */

import { painterOf } from "../dom/elements.mjs";
import { Columns, overlap } from "./columns.mjs";
import { shortName } from "./config.mjs";
import { axisText, clockTime, text as written } from "../series/format.mjs";
import { NO_GAPS, drawLine } from "./pen.mjs";
import { LABEL_PX, SERIES_TOKENS } from "./paint.mjs";
import { AutoRange, firstTick, timeStep, valueTicks } from "./scale.mjs";

/**
 * @import { ChartConfig, Frame, Line, Reading, View } from "./types"
 * @import { Paint } from "./paint.mjs"
 * @import { Store } from "../series/store.mjs"
 */

const AXIS_PX = 14; // room for the time labels
const AXIS_FROM_PX = 56; // lower charts have no labels
const TALL_PX = 140; // from here on the value axis has labels between its ends
const READOUT_MS = 250; // figures under a resting cursor do not dance
const extremes = new Float64Array(2);

export class Chart {
  /** @param {HTMLElement} host @param {ChartConfig} config @param {Paint} paint */
  constructor(host, config, paint) {
    this.host = host;
    this.config = config;
    this.paint = paint;
    this.range = new AutoRange(config);
    /** @type {Line[]} */
    this.lines = []; // {track, columns, token, hidden, name}
    /** @type {Set<string>} */
    this.hidden = new Set(); // keys switched off by the legend
    this.visible = true; // set by the IntersectionObserver
    this.version = -1;
    this.width = 0;
    this.height = 0;
    this.painted = -1;
    this.unit = config.unit ?? "";
    /** @type {Reading[]} */
    this.rows = [];
    this.readAt = -1;
    this.readMs = -Infinity;
    this.canvas = paint.document.createElement("canvas");
    this.context = painterOf(this.canvas);
    this.#build();
  }

  #build() {
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-roledescription", "chart");
    this.canvas.setAttribute("aria-label", this.config.label);
    this.canvas.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight Home End Escape T");
    this.canvas.tabIndex = 0;
    this.canvas.style.width = "100%";
    this.canvas.style.touchAction = "pan-y";
    this.canvas.style.height = `${this.config.height}px`;
    this.host.append(this.canvas);
  }

  destroy() {
    this.canvas.remove();
    this.lines = [];
  }

  /**
   * The room given by the layout, in device pixels.
   * @param {number} width @param {number} height
   */
  resize(width, height) {
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    this.canvas.width = width;
    this.canvas.height = height;
    this.painted = -1;
  }

  /**
   * Find the tracks again when the set of series changed; true when the lines are others than before.
   * @param {Store} store
   */
  resolve(store) {
    if (this.version === store.version) return false;
    this.version = store.version;
    const { series, colors, names } = this.config;
    const found = series.flatMap((selector, i) => {
      const tracks = store.select(selector);
      return tracks.map((track, n) => ({
        track,
        token: colors[i] ?? SERIES_TOKENS[(tracks.length > 1 ? n : i) % SERIES_TOKENS.length],
        name: (tracks.length === 1 && names[i]) || shortName(track),
      }));
    });
    if (found.length === this.lines.length && found.every(({ track }, i) => track === this.lines[i].track))
      return false;
    const before = new Map(this.lines.map((line) => [line.track, line.columns]));
    this.lines = found.map((line) => ({ ...line, columns: before.get(line.track) ?? new Columns() }));
    this.unit = this.config.unit ?? found[0]?.track.unit ?? "";
    this.painted = -1;
    return true;
  }

  /**
   * Show or hide one line.
   * @param {string} key @param {boolean} shown
   */
  toggle(key, shown) {
    if (shown) this.hidden.delete(key);
    else this.hidden.add(key);
    this.painted = -1;
  }

  get shown() {
    return this.lines.filter((line) => !this.hidden.has(line.track.key));
  }

  /**
   * Share of the window at `clientX` of a pointer over the canvas: 0 left, 1 right.
   * @param {number} offsetX
   */
  shareAt(offsetX) {
    return Math.min(1, Math.max(0, (offsetX * this.paint.ratio) / Math.max(1, this.width)));
  }

  /**
   * Draw the window that ends at `view.right` (server ms) and lasts `view.span`; `view.known` is the newest time that
   * is known, `view.cursor` the shared instant or NaN, `view.cursorMoved` counts its moves, `view.cursorCanvas` is
   * where it was moved, `view.minutesEast` is the zone, `view.now` page time.
   * @param {View} view
   */
  draw(view) {
    const { context: g, width, height } = this;
    if (width < 2 || height < 2) return;
    this.painted = this.paint.version;
    const ratio = this.paint.ratio;
    const axis = this.config.height >= AXIS_FROM_PX ? Math.round(AXIS_PX * ratio) : 0;
    const bottom = height - axis - 1;
    const columnMs = view.span / width;
    const right = view.right / columnMs; // in columns, a fraction
    const first = Math.floor(right - width);
    const last = Math.floor(right);
    g.clearRect(0, 0, width, height);

    let low = Infinity;
    let high = -Infinity;
    for (const line of this.lines) {
      if (this.hidden.has(line.track.key)) continue;
      line.columns.follow(line.track, columnMs, width + 2, view.right);
      line.columns.extremes(first, last, extremes);
      const held = line.track.valueAt(view.right - view.span);
      if (extremes[0] < low) low = extremes[0];
      if (extremes[1] > high) high = extremes[1];
      if (held < low) low = held;
      if (held > high) high = held;
    }
    if (this.config.budget !== null && high === high && this.config.budget > high) high = this.config.budget;
    this.range.update(low, high, view.now);
    const { low: from, high: to } = this.range;
    const top = ratio;
    const scale = (bottom - top) / (to - from);

    const frame = { first, last, right, top, bottom, axis, scale, from, to, columnMs, ratio };

    this.#grid(g, view, frame);
    let unknown = null; // spans in which no line is known
    for (const line of this.lines) {
      if (this.hidden.has(line.track.key) || !line.track.size) continue;
      g.strokeStyle = this.paint.colour[line.token] ?? line.token;
      const gaps = drawLine(g, line, view, frame, width);
      unknown = unknown ? overlap(unknown, gaps) : gaps;
    }
    this.#hatch(g, unknown ?? NO_GAPS, top, bottom);
    this.#labels(g, frame);
    if (view.cursor === view.cursor) this.#cursor(g, view, frame);
  }

  /** @param {CanvasRenderingContext2D} g @param {View} view @param {Frame} frame */
  #grid(g, view, { top, bottom, axis, scale, from, to, columnMs, ratio }) {
    const { colour } = this.paint;
    const { width } = this;
    const thin = Math.max(1, Math.floor(ratio));
    g.fillStyle = colour["--grid"];
    const ticks = valueTicks(from, to, this.config.height >= TALL_PX ? 4 : 2);
    for (const tick of ticks) g.fillRect(0, Math.round(bottom - (tick - from) * scale), width, thin);
    if (axis) {
      const step = timeStep(view.span, width / ratio);
      const left = view.right - view.span;
      for (let t = firstTick(left, step, view.minutesEast); t <= view.right; t += step) {
        const x = (t - left) / columnMs;
        g.fillRect(Math.round(x), top, thin, bottom - top);
        const label = this.paint.label(clockTime(t, view.minutesEast));
        const at = Math.round(x - label.width / 2);
        if (at > 0 && at + label.width < width) g.drawImage(label.canvas, at, bottom + 2);
      }
    }
    if (this.config.budget !== null && this.config.budget <= to) {
      const y = Math.round(bottom - (this.config.budget - from) * scale);
      g.fillStyle = colour["--warn"];
      const dash = Math.round(4 * ratio);
      for (let x = 0; x < width; x += dash * 2) g.fillRect(x, y, dash, thin);
    }
  }

  /**
   * Labels of the value axis and of the budget; over the lines, on a thin ground, so that they can be read.
   * @param {CanvasRenderingContext2D} g @param {Frame} frame
   */
  #labels(g, { top, bottom, scale, from, to, ratio }) {
    const thin = Math.max(1, Math.floor(ratio));
    this.#label(g, axisText(to, this.unit), "--ink-3", 0, top + thin);
    if (this.config.height >= TALL_PX) {
      for (const tick of valueTicks(from, to, 4)) {
        const inside = tick > from && tick < to - (to - from) * 0.05;
        if (inside)
          this.#label(g, axisText(tick, this.unit), "--ink-3", 0, Math.round(bottom - (tick - from) * scale) + thin);
      }
    }
    const { budget } = this.config;
    if (budget === null || budget > to) return;
    const y = Math.round(bottom - (budget - from) * scale);
    const text = axisText(budget, this.unit);
    const { width, height } = this.paint.label(text, "--warn");
    this.#label(g, text, "--warn", this.width - width, y - height > top ? y - height : y + thin);
  }

  /**
   * @param {CanvasRenderingContext2D} g @param {string} text @param {string} token @param {number} x @param {number} y
   */
  #label(g, text, token, x, y) {
    const label = this.paint.label(text, token);
    g.globalAlpha = 0.7;
    g.fillStyle = this.paint.colour["--panel"];
    g.fillRect(x, y, label.width, label.height);
    g.globalAlpha = 1;
    g.drawImage(label.canvas, x, y);
  }

  /** @param {CanvasRenderingContext2D} g @param {number[]} spans @param {number} top @param {number} bottom */
  #hatch(g, spans, top, bottom) {
    if (!spans.length) return;
    g.fillStyle = this.paint.hatch() ?? "";
    for (let i = 0; i < spans.length; i += 2) g.fillRect(spans[i], top, spans[i + 1] - spans[i], bottom - top);
  }

  /** @param {CanvasRenderingContext2D} g @param {View} view @param {Frame} frame */
  #cursor(g, view, { top, bottom, scale, from, columnMs, ratio }) {
    const { width, paint } = this;
    const x = Math.round((view.cursor - (view.right - view.span)) / columnMs);
    if (x < 0 || x > width) return;
    g.fillStyle = paint.colour["--ink-3"];
    g.fillRect(x, top, Math.max(1, Math.floor(ratio)), bottom - top);
    const shown = this.shown.reverse().slice(0, Math.max(1, Math.floor((bottom - top) / this.#rowHeight) - 1));
    for (const line of shown) {
      const value = view.cursor <= view.known ? line.track.valueAt(view.cursor) : NaN;
      if (value !== value) continue;
      const y = Math.min(bottom, Math.max(top, bottom - (value - from) * scale));
      g.fillStyle = paint.colour[line.token] ?? line.token;
      g.beginPath();
      g.arc(x, y, 2.5 * ratio, 0, 2 * Math.PI);
      g.fill();
    }
    if (view.cursorMoved !== this.readAt || view.now - this.readMs >= READOUT_MS) {
      this.readAt = view.cursorMoved;
      this.readMs = view.now;
      this.rows = this.reading(view.cursor, view.known, view.minutesEast, shown);
      if (view.cursorCanvas !== this.canvas) this.rows.shift(); // the time is shown once, under the pointer
    }
    this.#readout(g, x, top, ratio);
  }

  get #rowHeight() {
    return Math.round(LABEL_PX * 1.35 * this.paint.ratio);
  }

  /**
   * What the cursor says at an instant: rows of {text, token}, the time first.
   * @param {number} cursor @param {number} known @param {number} minutesEast @param {Line[]} [lines]
   */
  reading(cursor, known, minutesEast, lines = this.shown) {
    /** @type {Reading[]} */
    const rows = [{ text: clockTime(cursor, minutesEast), token: null }];
    for (const line of lines) {
      const figure = written(cursor <= known ? line.track.valueAt(cursor) : NaN, this.unit);
      rows.push({ text: this.lines.length > 1 ? `${line.name}  ${figure}` : figure, token: line.token });
    }
    return rows;
  }

  /** @param {CanvasRenderingContext2D} g @param {number} x @param {number} top @param {number} ratio */
  #readout(g, x, top, ratio) {
    const { colour, font } = this.paint;
    const pad = Math.round(5 * ratio);
    const swatch = this.lines.length > 1 ? Math.round(9 * ratio) : 0;
    const rowHeight = this.#rowHeight;
    if (!this.rows.length) return;
    g.font = `500 ${LABEL_PX * ratio}px ${font}`;
    g.textBaseline = "middle";
    const boxWidth = Math.ceil(Math.max(...this.rows.map((row) => g.measureText(row.text).width))) + pad * 2 + swatch;
    const boxHeight = Math.min(this.rows.length * rowHeight + pad, this.height);
    const left = x + pad + boxWidth < this.width ? x + pad : Math.max(0, x - pad - boxWidth);
    g.fillStyle = colour["--panel"];
    g.globalAlpha = 0.92;
    g.fillRect(left, top, boxWidth, boxHeight);
    g.globalAlpha = 1;
    this.rows.forEach(({ text, token }, i) => {
      const middle = top + pad / 2 + (i + 0.5) * rowHeight;
      if (token && swatch) {
        g.fillStyle = colour[token] ?? token;
        g.fillRect(left + pad, Math.round(middle - 3 * ratio), Math.round(5 * ratio), Math.round(5 * ratio));
      }
      g.fillStyle = colour[token ? "--ink" : "--ink-2"];
      g.fillText(text, left + pad + (token ? swatch : 0), middle);
    });
  }
}
