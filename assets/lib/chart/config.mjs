/**
 * A chart's configuration, as described in the page's markup, and the names of its lines. Pure.
 */

/** @import { ChartConfig } from "./types" */
/** @import { Track } from "../series/track.mjs" */

/**
 * How a chart is described in `data-chart`; unknown fields are ignored.
 * @param {string} raw @returns {ChartConfig}
 */
export function readConfig(raw) {
  const given = JSON.parse(raw);
  /** @type {string[]} */
  const series = [given.series ?? []].flat();
  return {
    series,
    min: given.min === undefined ? null : given.min,
    max: given.max ?? null,
    reach: given.reach ?? null,
    colors: given.colors ?? [],
    unit: given.unit ?? null,
    height: given.height ?? 72,
    label: given.label ?? series.join(", "),
    legend: Boolean(given.legend),
    names: given.names ?? [],
    budget: given.budget ?? null,
  };
}

/**
 * The short name of a track among its neighbours: its label values, else its metric.
 * @param {Track} track
 */
export function shortName(track) {
  const values = Object.values(track.labels);
  return values.length ? values.join(" ") : track.name.slice(track.name.indexOf(".") + 1).replaceAll("_", " ");
}
