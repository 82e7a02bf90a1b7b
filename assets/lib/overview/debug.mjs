/**
 * Values of the energy stage for tests: every ribbon as plain values, lengths in CSS px. Pure.
 */

import { card } from "./energy-words.mjs";

/** @import { EnergyStage } from "./energy-stage.mjs" */

/** @param {Pick<EnergyStage, "painter" | "ribbons" | "panel" | "paints" | "thinned">} stage */
export function figuresOf({ painter, ribbons, panel, paints, thinned }) {
  return {
    face: panel.dataset.energyFace,
    paints,
    thinned,
    place: { ...painter.place },
    models: ribbons.map((ribbon, i) => ({
      model: ribbon.model,
      server: ribbon.server,
      slot: ribbon.slot,
      state: card(ribbon).state,
      width_px: painter.widthOf(ribbon),
      width_share: ribbon.share,
      speed_px_s: ribbon.speed,
      flown_px: ribbon.flown,
      density: ribbon.density,
      particles: ribbon.count,
      brightness: ribbon.brightness,
      flash: ribbon.flash,
      glow: ribbon.glow,
      ripple: ribbon.ripple ?? NaN,
      lane_y: painter.laneAt(i),
    })),
  };
}
