/**
 * Marks on and between the ribbons: stalls, ripples, the width of the peak, the selected ribbon.
 */

import { disagreement } from "./energy.mjs";

/** @import { Ribbon } from "./energy.mjs" */
/** @import { RibbonPainter } from "./ribbons.mjs" */
/** @typedef {Pick<RibbonPainter, "paint" | "place" | "middles" | "points" | "widthOf">} Stage */

export const STEP_PX = 4; // distance of the points of an edge
const RIPPLES = 3;
const RIPPLE_WAVE_PX = 30;
const MARK = { px: 14, gap: 5, bar: 3, at: 36 }; // px

/**
 * It stalls: two bars, as on a pause button.
 * @param {Stage} stage @param {CanvasRenderingContext2D} g @param {number} i
 */
export function drawStall(stage, g, i) {
  const { ratio, colour } = stage.paint;
  const x = Math.round((stage.place.width - MARK.at) * ratio);
  const p = Math.min(stage.points - 1, (x / (STEP_PX * ratio)) | 0);
  const y = Math.round(stage.middles[i][p] - (MARK.px / 2) * ratio);
  g.globalAlpha = 1;
  g.fillStyle = colour["--panel"];
  g.fillRect(x - 4 * ratio, y - 4 * ratio, (MARK.gap + MARK.bar + 8) * ratio, (MARK.px + 8) * ratio);
  g.fillStyle = colour["--warn"];
  for (let n = 0; n < 2; n += 1) g.fillRect(x + n * MARK.gap * ratio, y, MARK.bar * ratio, MARK.px * ratio);
}

/**
 * Two models differ: waves between their ribbons, as high as the disagreement.
 * @param {Stage} stage @param {CanvasRenderingContext2D} g
 * @param {Ribbon} upper @param {Ribbon} lower @param {number} i @param {number} ms
 */
export function drawRipples(stage, g, upper, lower, i, ms) {
  const bits = disagreement(upper, lower, ms);
  upper.ripple = bits;
  if (!(bits > 0) || !upper.signals.active || !lower.signals.active) return;
  const { ratio, colour } = stage.paint;
  const high = stage.middles[i];
  const low = stage.middles[i + 1];
  const above = (stage.widthOf(upper) * ratio) / 2;
  const below = (stage.widthOf(lower) * ratio) / 2;
  const swing = Math.min(1, bits) * stage.place.ripple * ratio;
  const turn = (2 * Math.PI * STEP_PX) / RIPPLE_WAVE_PX;
  const drift = ((upper.flown + lower.flown) / 2) * 0.05;
  g.strokeStyle = colour["--ink-2"];
  g.lineWidth = 1;
  g.globalAlpha = 0.3 + 0.5 * Math.min(1, bits);
  g.beginPath();
  for (let n = 1; n <= RIPPLES; n += 1) {
    const share = n / (RIPPLES + 1);
    for (let p = 0; p < stage.points; p += 1) {
      const from = high[p] + above;
      const y = from + (low[p] - below - from) * share + swing * Math.sin(p * turn - drift + n);
      if (p) g.lineTo(p * STEP_PX * ratio, y);
      else g.moveTo(0, y);
    }
  }
  g.stroke();
}

/**
 * Where the edges would be at the model's own peak.
 * @param {Stage} stage @param {CanvasRenderingContext2D} g @param {number} i
 */
export function drawFull(stage, g, i) {
  const { ratio, colour } = stage.paint;
  const half = (stage.place.full * ratio) / 2;
  g.fillStyle = colour["--ink-3"];
  g.globalAlpha = 0.8;
  for (const shift of [-half, half]) {
    for (let p = 0; p < stage.points; p += 2)
      g.fillRect(p * STEP_PX * ratio, Math.round(stage.middles[i][p] + shift), STEP_PX * ratio, 1);
  }
}

/**
 * The ribbon that is read out has an arrow at its left.
 * @param {Stage} stage @param {CanvasRenderingContext2D} g @param {number} i
 */
export function drawChosen(stage, g, i) {
  const { ratio, colour } = stage.paint;
  const half = 6 * ratio;
  const from = 5 * ratio;
  const y = stage.middles[i][2];
  g.globalAlpha = 1;
  g.fillStyle = colour["--ink"];
  g.beginPath();
  g.moveTo(from, y - half);
  g.lineTo(from + 1.6 * half, y);
  g.lineTo(from, y + half);
  g.fill();
}
