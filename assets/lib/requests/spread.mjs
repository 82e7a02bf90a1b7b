/**
 * Distributions as SVG: dots on two logarithmic axes, one box per group, bars of a histogram; the monitor counts.
 *
 * `spread(figure, width)` is pure: {height, shapes: [[tag, attributes, text], ...]}. The widget makes elements of them.
 */

import { axisText } from "../series/format.mjs";
import { valueTicks } from "../chart/scale.mjs";

/** @import { Axis, Bars, Box, Boxes, Dots, Figure, Shape } from "./types" */

const HEIGHT = 188;
const BOX_ROW = 31;
const CHAR_PX = 6; // of a label, about
const DOT = 2.2;
const EMPTY_PX = 72;

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;
/**
 * @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {string} style @returns {Shape}
 */
const line = (x1, y1, x2, y2, style) => [
  "line",
  { x1: round(x1), y1: round(y1), x2: round(x2), y2: round(y2), class: style },
];
/**
 * @param {number} x @param {number} y @param {string} words @param {string} anchor @param {string} [style]
 * @returns {Shape}
 */
const text = (x, y, words, anchor, style = "") => [
  "text",
  { x: round(x), y: round(y), "text-anchor": anchor, ...(style && { class: style }) },
  words,
];
const log = Math.log10;

/**
 * A tick's words: 0.5, 20, 1k, 10k; times with their unit.
 * @param {number} value @param {string} [unit]
 */
function tickText(value, unit = "") {
  if (unit) return axisText(value, unit);
  /** @type {[size: number, sign: string]} */
  const size = value >= 1e6 ? [1e6, "M"] : value >= 1e3 ? [1e3, "k"] : [1, ""];
  return `${Number((value / size[0]).toPrecision(3))}${size[1]}`;
}

/**
 * Ticks of a logarithmic axis: the powers of ten between, and 2 and 5 times them where there are few.
 * @param {number} low @param {number} high
 */
export function logTicks(low, high) {
  /** @param {number[]} steps */
  const made = (steps) => {
    const ticks = [];
    for (let power = Math.floor(log(low)); power <= Math.ceil(log(high)); power += 1) {
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push(value);
      }
    }
    return ticks;
  };
  const tens = made([1]);
  return tens.length >= 3 ? tens : made([1, 2, 5]);
}

/**
 * The reach of a logarithmic axis: to the next of 1, 2, 5 times a power of ten on both sides.
 * @param {number} low @param {number} high
 */
export function logReach(low, high) {
  const steps = [1, 2, 5, 10];
  /** @param {number} value */
  const power = (value) => 10 ** Math.floor(log(value) + 1e-9);
  const down = (steps.findLast((step) => step * power(low) <= low * (1 + 1e-9)) ?? 1) * power(low);
  const up = (steps.find((step) => step * power(high) >= high * (1 - 1e-9)) ?? 10) * power(high);
  return up > down ? [down, up] : [down / 2, up * 2];
}

/**
 * The figure as shapes.
 * @param {Figure} figure @param {number} width
 */
export function spread(figure, width) {
  if (figure.kind === "dots" && figure.series.length) return dots(figure, width);
  if (figure.kind === "boxes" && figure.boxes.length) return boxes(figure, width);
  if (figure.kind === "bars" && figure.bars.length) return bars(figure, width);
  return { height: EMPTY_PX, shapes: [] };
}

/** @param {Shape[]} shapes @param {number[]} ticks @param {(value: number) => number} at @param {Box & Axis} place */
function xAxis(shapes, ticks, at, { bottom, left, right, title }) {
  shapes.push(line(left, bottom, right, bottom, "axis"));
  let end = -Infinity;
  for (const tick of ticks) {
    const words = tickText(tick);
    const half = (words.length * CHAR_PX) / 2;
    if (at(tick) - half < end + 4) continue; // no room beside the one before
    const anchor = at(tick) + half > right + 4 ? "end" : "middle";
    end = at(tick) + half;
    shapes.push(text(at(tick), bottom + 14, words, anchor));
  }
  shapes.push(text((left + right) / 2, bottom + 28, title, "middle", "title"));
}

/** @param {Shape[]} shapes @param {number[]} ticks @param {(value: number) => number} at @param {Box & Axis} place */
function yAxis(shapes, ticks, at, { left, right, title, unit = "" }) {
  for (const tick of ticks) {
    shapes.push(
      line(left, at(tick), right, at(tick), "rule"),
      text(left - 6, at(tick) + 3.5, tickText(tick, unit), "end"),
    );
  }
  shapes.push(text(0, 10, title, "start", "title"));
}

/** @param {Dots} figure @param {number} width */
function dots({ x, y, series }, width) {
  const points = series.flatMap((each) => each.points);
  /** @param {0 | 1} i */
  const reach = (i) => logReach(Math.min(...points.map((p) => p[i])), Math.max(...points.map((p) => p[i])));
  const [xLow, xHigh] = reach(0);
  const [yLow, yHigh] = reach(1);
  const box = { left: 48, right: width - 8, top: 20, bottom: HEIGHT - 34 };
  /** @param {number} value */
  const xAt = (value) => box.left + ((log(value) - log(xLow)) / (log(xHigh) - log(xLow))) * (box.right - box.left);
  /** @param {number} value */
  const yAt = (value) => box.bottom - ((log(value) - log(yLow)) / (log(yHigh) - log(yLow))) * (box.bottom - box.top);
  /** @type {Shape[]} */
  const shapes = [];
  yAxis(shapes, logTicks(yLow, yHigh), yAt, { ...box, title: y.title, unit: y.unit });
  xAxis(shapes, logTicks(xLow, xHigh), xAt, { ...box, title: x.title });
  for (const { color, points: own } of series) {
    for (const [px, py] of own)
      shapes.push([
        "circle",
        { cx: round(xAt(px)), cy: round(yAt(py)), r: DOT, class: "dot-of", style: `--c: var(${color})` },
      ]);
  }
  return { height: HEIGHT, shapes };
}

/** @param {Boxes} figure @param {number} width */
function boxes({ x, boxes: rows }, width) {
  const height = Math.max(HEIGHT, 8 + rows.length * BOX_ROW + 38);
  const high = Math.max(...rows.map(({ marks }) => marks[4]));
  const ticks = valueTicks(0, high * 1.05, Math.max(2, Math.floor(width / 90)));
  const top = Math.max(high * 1.05, ticks[ticks.length - 1]);
  const box = { left: 8, right: width - 8, bottom: height - 34 };
  /** @param {number} value */
  const at = (value) => box.left + (value / top) * (box.right - box.left);
  const shapes = ticks.slice(1).map((tick) => line(at(tick), 4, at(tick), box.bottom, "rule"));
  xAxis(shapes, ticks, at, { ...box, title: x.title });
  rows.forEach(({ name, color, count, marks }, i) => {
    const [low, q1, median, q3, up] = marks;
    const y = 8 + i * BOX_ROW;
    const style = `--c: var(${color})`;
    const most = Math.max(6, Math.floor((box.right - box.left - 110) / CHAR_PX));
    shapes.push(
      text(box.left, y + 8, name.length > most ? `${name.slice(0, most - 1)}…` : name, "start", "name"),
      text(box.right, y + 8, `median ${tickText(median)}, n = ${count.toLocaleString("en")}`, "end"),
      ["line", { x1: round(at(low)), x2: round(at(up)), y1: y + 19, y2: y + 19, class: "whisker", style }],
      [
        "rect",
        {
          x: round(at(q1)),
          y: y + 14.5,
          width: Math.max(2, round(at(q3) - at(q1))),
          height: 9,
          rx: 2,
          class: "box-of",
          style,
        },
      ],
      ["line", { x1: round(at(median)), x2: round(at(median)), y1: y + 13, y2: y + 25, class: "median", style }],
    );
  });
  return { height, shapes };
}

/** @param {Bars} figure @param {number} width */
function bars({ x, y, bars: rows }, width) {
  const high = Math.max(...rows.map(([, , count]) => count));
  const ticks = valueTicks(0, high, 3).filter(Number.isInteger);
  const box = { left: 40, right: width - 8, top: 20, bottom: HEIGHT - 34 };
  const xTop = rows[rows.length - 1][1];
  /** @param {number} value */
  const xAt = (value) => box.left + (value / xTop) * (box.right - box.left);
  /** @param {number} value */
  const yAt = (value) => box.bottom - (value / high) * (box.bottom - box.top);
  /** @type {Shape[]} */
  const shapes = [];
  yAxis(shapes, ticks, yAt, { ...box, title: y.title });
  xAxis(shapes, valueTicks(0, xTop, Math.max(2, Math.floor(width / 60))), xAt, { ...box, title: x.title });
  for (const [from, to, count] of rows) {
    if (!count) continue;
    const [left, right] = [xAt(from), xAt(to)];
    shapes.push([
      "rect",
      {
        x: round(left + 0.5),
        y: round(yAt(count)),
        width: Math.max(1, round(right - left - 1)),
        height: round(box.bottom - yAt(count)),
        class: "bar-in",
      },
    ]);
  }
  return { height: HEIGHT, shapes };
}

const SVG = "http://www.w3.org/2000/svg";

/** A figure in the page: drawn anew when the monitor gave another, or the room changed. */
export class Spread {
  /** @param {HTMLElement} host @param {{ document: Document }} room */
  constructor(host, { document }) {
    this.host = host;
    this.document = document;
    this.drawn = "";
    this.width = 0;
  }

  destroy() {
    this.host.replaceChildren();
  }

  write() {
    const { spread: told } = this.host.dataset;
    const { clientWidth: width } = this.host;
    if (!told || !width || (told === this.drawn && width === this.width)) return;
    this.drawn = told;
    this.width = width;
    /** @type {Figure} */
    const figure = JSON.parse(told);
    const { height, shapes } = spread(figure, width);
    if (!shapes.length) {
      const none = this.document.createElement("p");
      none.className = "none";
      none.textContent = figure.empty ?? "";
      this.host.replaceChildren(none);
      return;
    }
    const svg = this.#make("svg", {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": figure.text,
    });
    svg.append(...shapes.map(([tag, attributes, words]) => this.#make(tag, attributes, words)));
    this.host.replaceChildren(svg, ...this.#keys(figure));
  }

  /**
   * Names of the models, where the picture itself has none.
   * @param {Figure} figure
   */
  #keys(figure) {
    if (figure.kind !== "dots" || figure.series.length < 2) return [];
    const list = this.document.createElement("ul");
    list.className = "keys";
    for (const { name, color } of figure.series) {
      const item = this.document.createElement("li");
      const swatch = this.document.createElement("i");
      swatch.style.background = `var(${color})`;
      item.title = name;
      item.append(swatch, name);
      list.append(item);
    }
    return [list];
  }

  /** @param {string} tag @param {Shape[1]} attributes @param {string} [words] */
  #make(tag, attributes, words) {
    const element = this.document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") element.style.cssText = String(value);
      else element.setAttribute(name, String(value));
    }
    if (words !== undefined) element.textContent = words;
    return element;
  }
}
