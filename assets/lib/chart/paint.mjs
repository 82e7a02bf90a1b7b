/**
 * Shared by all charts when drawing: the theme's tokens, small pictures of labels, the hatch of a gap.
 * Touches the document only to read tokens and to make off-screen canvases.
 */

import { painterOf, windowOf } from "../dom/elements.mjs";

const TOKENS = [
  "--grid",
  "--line-strong",
  "--ink",
  "--ink-2",
  "--ink-3",
  "--panel",
  "--accent",
  "--warn",
  "--s-1",
  "--s-2",
  "--s-3",
  "--s-4",
  "--s-5",
  "--s-6",
  "--s-dim",
];
export const SERIES_TOKENS = TOKENS.filter((name) => /^--s-\d/.test(name));
const MAX_LABELS = 256;
export const LABEL_PX = 10;

export class Paint {
  /** @param {Document} document */
  constructor(document) {
    this.document = document;
    /** @type {Record<string, string>} */
    this.colour = {};
    this.font = "";
    this.ratio = 1;
    /** @type {Map<string, { canvas: HTMLCanvasElement, width: number, height: number }>} */
    this.labels = new Map();
    /** @type {CanvasPattern | null} */
    this.pattern = null;
    this.version = 0; // rises when everything must be drawn anew
    this.read();
  }

  /** Read the tokens again: the theme or the device's pixel ratio changed. */
  read() {
    const window = windowOf(this.document);
    const style = window.getComputedStyle(this.document.documentElement);
    this.colour = Object.fromEntries(TOKENS.map((name) => [name, style.getPropertyValue(name).trim()]));
    this.font = style.getPropertyValue("--font").trim() || "sans-serif";
    this.ratio = window.devicePixelRatio || 1;
    this.labels.clear();
    this.pattern = null;
    this.version += 1;
  }

  /**
   * A label as a small canvas, drawn once: {canvas, width, height} in device pixels.
   * @param {string} text @param {string} [token]
   */
  label(text, token = "--ink-3") {
    const key = token + text;
    let label = this.labels.get(key);
    if (label) return label;
    if (this.labels.size >= MAX_LABELS) this.labels.clear();
    const canvas = this.document.createElement("canvas");
    const context = painterOf(canvas);
    const font = `${LABEL_PX * this.ratio}px ${this.font}`;
    context.font = font;
    const width = Math.max(1, Math.ceil(context.measureText(text).width) + 2);
    const height = Math.ceil(LABEL_PX * 1.3 * this.ratio);
    canvas.width = width;
    canvas.height = height;
    context.font = font;
    context.textBaseline = "middle";
    context.fillStyle = this.colour[token];
    context.fillText(text, 1, height / 2);
    label = { canvas, width, height };
    this.labels.set(key, label);
    return label;
  }

  /** The pattern of a span in which nothing is known. */
  hatch() {
    if (this.pattern) return this.pattern;
    const size = Math.round(6 * this.ratio);
    const tile = this.document.createElement("canvas");
    tile.width = size;
    tile.height = size;
    const g = painterOf(tile);
    g.strokeStyle = this.colour["--line-strong"];
    g.lineWidth = Math.max(1, this.ratio * 0.75);
    g.beginPath();
    for (const shift of [-size, 0, size]) {
      g.moveTo(shift - 1, size + 1);
      g.lineTo(shift + size + 1, -1);
    }
    g.stroke();
    this.pattern = g.createPattern(tile, "repeat");
    return this.pattern;
  }
}
