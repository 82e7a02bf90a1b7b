/**
 * One line of a chart, drawn from its columns. A gauge holds its value between two samples; events stand alone, or are
 * joined where they are close. Pure but for the context that is drawn with.
 */

import { ENDS, FRESH, HAS } from "./columns.mjs";

/** @import { Frame, Line, View } from "./types" */

const HOLD = 1.6; // samples further apart than this many periods: the value held, then moved
const EVENT_GAP_MS = 1_500; // events further apart are not joined: nothing is known between
const EVENT_TICK_PX = 2; // an isolated event is a tick of this length up and down
const LOST_MS = 1_500; // nothing known for so long: say so

/** @type {number[]} */
export const NO_GAPS = [];

/**
 * Draw one line in the context's colour; gives the spans of pixels [from, to, from, to, ...] in which it is not known.
 * @param {CanvasRenderingContext2D} g @param {Line} line @param {View} view @param {Frame} frame @param {number} width
 */
export function drawLine(g, line, view, frame, width) {
  g.lineWidth = 1;
  g.lineJoin = "bevel";
  g.beginPath();
  if (line.track.kind !== "event") return drawHeld(g, line, view, frame, width);
  drawEvents(g, line, frame, width);
  return NO_GAPS; // between two events nothing is missing
}

/**
 * y of a value, kept within the chart.
 * @param {Frame} frame @returns {(value: number) => number}
 */
function heightIn({ top, bottom, scale, from }) {
  return (value) => {
    const at = bottom - (value - from) * scale;
    return at < top ? top : at > bottom ? bottom : at;
  };
}

/**
 * The column's reach as a stroke from where the pen is, to where its last value stands.
 * @param {CanvasRenderingContext2D} g @param {number} x @param {number} penY
 * @param {number} yLow @param {number} yHigh @param {number} yEnd
 */
function drawColumn(g, x, penY, yLow, yHigh, yEnd) {
  if (yLow - yHigh < 0.25) g.lineTo(x, yEnd);
  else if (penY - yHigh < yLow - penY) {
    g.lineTo(x, yHigh);
    g.lineTo(x, yLow);
  } else {
    g.lineTo(x, yLow);
    g.lineTo(x, yHigh);
  }
}

/**
 * @param {CanvasRenderingContext2D} g @param {Line} line @param {View} view @param {Frame} frame @param {number} width
 */
function drawHeld(g, { columns, track }, view, frame, width) {
  const { first, last, right, columnMs } = frame;
  const y = heightIn(frame);
  const origin = width - right; // x of column 0's left edge
  const hold = (track.periodMs > 0 ? track.periodMs * HOLD : 0) / columnMs + 1.5;
  const slope = track.periodMs > 0 ? track.periodMs / columnMs : 0;
  const before = track.valueAt(view.right - view.span);
  let pen = before === before;
  let penY = pen ? y(before) : 0;
  let penColumn = first - 1;
  let gaps = NO_GAPS;
  let gapX = !pen && track.t[track.head] < view.right - view.span ? 0 : NaN;
  if (pen) g.moveTo(0, penY + 0.5);
  const { flags, low, high, end, capacity } = columns;
  const newest = Math.min(last, columns.newest);
  for (let c = Math.max(first, columns.newest - capacity + 1); c <= newest; c += 1) {
    const at = c % capacity;
    const flag = flags[at];
    if (flag === 0) continue;
    const x = c + 0.5 + origin;
    if (flag & HAS) {
      const yLow = y(low[at]) + 0.5;
      if (pen && !(flag & FRESH)) {
        if (c - penColumn > hold) g.lineTo(Math.max(0, x - slope), penY + 0.5);
      } else {
        if (x - gapX >= 1) (gaps = gaps === NO_GAPS ? [] : gaps).push(gapX, x);
        g.moveTo(x, yLow);
      }
      drawColumn(g, x, penY, yLow, y(high[at]) + 0.5, y(end[at]) + 0.5);
      penY = y(end[at]);
      penColumn = c;
      pen = true;
      gapX = NaN;
    }
    if (flag & ENDS) {
      if (pen && c - penColumn > 0) g.lineTo(x, penY + 0.5);
      pen = false;
      gapX = gapX === gapX ? gapX : x;
    }
  }
  const knownX = Math.min(width, (view.known - view.right) / columnMs + width);
  if (pen && knownX > 0) g.lineTo(knownX, penY + 0.5);
  g.stroke();
  const lost = view.right - view.known > LOST_MS;
  const blankFrom = pen && lost ? Math.max(0, knownX) : gapX;
  if (width - blankFrom >= 1) (gaps = gaps === NO_GAPS ? [] : gaps).push(blankFrom, width);
  return gaps;
}

/** @param {CanvasRenderingContext2D} g @param {Line} line @param {Frame} frame @param {number} width */
function drawEvents(g, { columns }, frame, width) {
  const { first, last, right, columnMs } = frame;
  const y = heightIn(frame);
  const origin = width - right;
  const apart = EVENT_GAP_MS / columnMs;
  let pen = false;
  let penY = 0;
  let penColumn = first - 1;
  const { flags, low, high, end, capacity } = columns;
  const newest = Math.min(last, columns.newest);
  for (let c = Math.max(first, columns.newest - capacity + 1); c <= newest; c += 1) {
    const at = c % capacity;
    const flag = flags[at];
    const x = c + 0.5 + origin;
    if (flag & HAS) {
      const yLow = y(low[at]) + 0.5;
      const yHigh = y(high[at]) + 0.5;
      if (!pen || flag & FRESH || c - penColumn > apart) {
        g.moveTo(x, yLow + EVENT_TICK_PX);
        g.lineTo(x, yHigh - EVENT_TICK_PX);
      }
      drawColumn(g, x, penY, yLow, yHigh, y(end[at]) + 0.5);
      penY = y(end[at]);
      penColumn = c;
      pen = true;
    }
    if (flag & ENDS) {
      if (pen && c - penColumn > 0) g.lineTo(x, penY + 0.5);
      pen = false;
    }
  }
  g.stroke();
}
