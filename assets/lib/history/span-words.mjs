/**
 * The History page's statistics of a range: their address, the texts of their cells, and how the charts
 * make room. Pure. The answer of /api/v1/statistics is described in docs/openapi.yaml.
 */

import { parts, text } from "../series/format.mjs";

/**
 * @import { Axis, ChartRow, Figure, FigureRow, Spec } from "./types"
 * @import { Change, Correlation, Statistics, Trend, Verdict } from "./types"
 */

export const NONE = "–";
const UNKNOWN = "unknown";
const NOISE = 1e-9; // what is smaller is 0
const FIGURES = [
  ["p50", "median (p50)"],
  ["p95", "95th percentile (p95)"],
  ["p99", "99th percentile (p99)"],
  ["mean", "mean"],
  ["min", "minimum"],
  ["max", "maximum"],
  ["last", "last"],
  ["measured", "measured"],
  ["count", "samples"],
];
/** @type {Record<number, string>} */
const PERIODS = { 3600000: "per hour", 86400000: "per day", 604800000: "per week" };
const HEIGHT = 44;
const BAR = 10;

/**
 * The address that answers for a series in what is shown. `other`: a series to correlate with, or ""; `zone`: {name,
 * east}.
 * @param {Pick<Spec, "from_ms" | "to_ms" | "compared_ms">} spec @param {string} series @param {string} other
 * @param {{ name: string, east: number }} zone
 */
export function address(spec, series, other, { name, east }) {
  const query = new URLSearchParams({
    series,
    from: String(spec.from_ms),
    to: String(spec.to_ms),
    zone: name,
    offset: String(east * 60),
  });
  if (spec.compared_ms !== null) {
    query.set("against_from", String(spec.compared_ms));
    query.set("against_to", String(spec.compared_ms + spec.to_ms - spec.from_ms));
  }
  if (other) query.set("with", other);
  return `/api/v1/statistics?${query}`;
}

/**
 * Rows of the table: {name, now, before, change}; `change` is null where nothing is compared. A row without any figure
 * is left out.
 * @param {Pick<Statistics, "span" | "against" | "changes">} told @param {string} unit @returns {FigureRow[]}
 */
export function rows(told, unit) {
  const changes = Object.fromEntries(told.changes.map((each) => [each.of, each]));
  return FIGURES.filter(([key]) => told.span[key] !== null || told.against[key] !== null).map(([key, name]) => ({
    key,
    name,
    now: figure(key, told.span[key], unit),
    before: figure(key, told.against[key], unit),
    change: changes[key] ?? null,
  }));
}

/** @param {string} key @param {number | string | null} value @param {string} unit */
function figure(key, value, unit) {
  if (typeof value !== "number") return NONE;
  if (key === "count") return value.toLocaleString("en");
  if (key === "measured") return `${(value * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`;
  return text(value, unit);
}

/**
 * A change in words: {verdict, size, sure}. Of percent it is in points, else a share of what was before.
 * @param {Change} told @param {string} unit @returns {Verdict}
 */
export function change(told, unit) {
  if (told.absent) return { verdict: "inconclusive", size: told.absent, sure: false };
  const shares = unit !== "%" && told.ratio !== null;
  /** @param {number | null} each */
  const share = (each) => signed(each === null ? null : each * 100, "%");
  const ends = shares
    ? [told.ratio, told.ratio_low, told.ratio_high].map(share)
    : [told.difference, told.low, told.high].map((each) => amount(each, unit));
  const sure = told.sure
    ? `significantly ${(told.difference ?? NaN) > 0 ? "higher" : "lower"}`
    : "no significant difference";
  return { verdict: sure, size: `${ends[0]} (${between(ends[1], ends[2])})`, sure: told.sure };
}

/**
 * A slope in words, in the unit a period.
 * @param {Trend} told @param {string} unit @returns {Verdict}
 */
export function trend(told, unit) {
  if (told.absent) return { verdict: "inconclusive", size: told.absent, sure: false };
  const verdict = told.sure
    ? `significantly ${(told.slope ?? NaN) > 0 ? "rising" : "falling"}`
    : "no significant trend";
  const [middle, low, high] = [told.slope, told.low, told.high].map((each) => amount(each, unit));
  return { verdict, size: `${middle} ${PERIODS[told.per_ms]} (${between(low, high)})`, sure: told.sure };
}

/**
 * How two series go together, in words.
 * @param {Correlation} told @returns {Verdict}
 */
export function correlation(told) {
  if (told.absent) return { verdict: "inconclusive", size: told.absent, sure: false };
  const size = Math.abs(told.rho);
  const how = size >= 0.6 ? "strongly" : size >= 0.3 ? "moderately" : "weakly";
  const verdict = told.sure
    ? `significant, ${how}: ${told.rho > 0 ? "they rise and fall together" : "one rises as the other falls"}`
    : "no significant correlation";
  const [rho, low, high] = [told.rho, told.low, told.high].map((each) => signed(each, "", 2));
  return {
    verdict,
    size: `ρ ${rho} (${between(low, high)}), ${told.steps.toLocaleString("en")} steps`,
    sure: told.sure,
  };
}

/**
 * Both ends of an interval; a unit shared by both is written once.
 * @param {string} low @param {string} high
 */
function between(low, high) {
  if (low === UNKNOWN || high === UNKNOWN)
    return low === high ? `its ends are ${UNKNOWN}` : `between ${low} and ${high}`;
  const [, unit] = / (.*)$/.exec(high) ?? [];
  return `between ${unit && low.endsWith(` ${unit}`) ? low.slice(0, -unit.length - 1) : low} and ${high}`;
}

/**
 * A number with its sign, always, and with two digits at least of what is not 0.
 * @param {number | null} value @param {string} unit @param {number} [digits]
 */
function signed(value, unit, digits = Math.abs(value ?? 0) < 9.95 ? 1 : 0) {
  if (value === null) return UNKNOWN;
  const size = Math.abs(value);
  const places = size < NOISE ? digits : Math.max(digits, placesOf(size));
  const number = size.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return unit ? `${signOf(value)}${number} ${unit}` : `${signOf(value)}${number}`;
}

/**
 * The same of a quantity, written as everywhere on the page but where that leaves fewer than two digits of it.
 * @param {number | null} value @param {string} unit
 */
function amount(value, unit) {
  if (value === null) return UNKNOWN;
  if (unit === "%") return signed(value, "points");
  const size = Math.abs(value);
  const shown = text(size < NOISE ? 0 : size, unit);
  const [digits] = /[\d.]+/.exec(shown) ?? [""];
  const few = digits.replace(".", "").replace(/^0+/, "").length < 2;
  return `${signOf(value)}${size >= NOISE && few && Number(digits) !== size ? finer(size, unit) : shown}`;
}

/**
 * A size in the unit that it has on the page, with two digits.
 * @param {number} size @param {string} unit
 */
function finer(size, unit) {
  let probe = size; // as large as is needed to see what the unit makes of it
  while (Number.parseFloat(parts(probe, unit).number) === 0) probe *= 10;
  const { number, unit: shown } = parts(probe, unit);
  const scaled = size * 1000 ** Math.round(Math.log10(Number.parseFloat(number) / probe) / 3);
  return `${scaled.toFixed(placesOf(scaled))}${shown ? ` ${shown}` : ""}`;
}

/** @param {number} size */
const placesOf = (size) => Math.max(0, 1 - Math.floor(Math.log10(size)));
/** @param {number} value */
const signOf = (value) => (Math.abs(value) < NOISE ? "±" : value > 0 ? "+" : "−");

/**
 * The day as bars: {bars: [{x, y, width, height, words}], words}; null where fewer than two hours are known.
 * @param {(number | null)[] | null} hours @param {string} unit
 */
export function day(hours, unit) {
  const known = hours?.filter((each) => each !== null) ?? [];
  if (!hours || known.length < 2) return null;
  const high = Math.max(...known);
  const low = Math.min(...known, 0);
  const scale = high > low ? (HEIGHT - 2) / (high - low) : 0;
  const bars = hours.flatMap((value, hour) => {
    if (value === null) return [];
    const height = Math.max(2, (value - low) * scale);
    return [
      {
        x: hour * BAR + 1,
        y: HEIGHT - height,
        width: BAR - 2,
        height,
        words: `${hour}:00 to ${(hour + 1) % 24}:00: ${text(value, unit)}`,
      },
    ];
  });
  /** @param {number} value */
  const at = (value) => `${text(value, unit)} from ${hours.indexOf(value)}:00`;
  const least = Math.min(...known);
  return {
    bars,
    size: [24 * BAR, HEIGHT],
    words: least === high ? `${text(high, unit)} at every hour` : `lowest ${at(least)}, highest ${at(high)}`,
  };
}

/**
 * The figure with room below each chart: `extras` has pixels by metric. Layouts are plotly's, already coloured.
 * @param {Figure} figure @param {ChartRow[]} charts @param {Record<string, number>} extras @returns {Figure}
 */
export function stretched(figure, charts, extras) {
  const total = charts.reduce((sum, row) => sum + (extras[row.name] ?? 0), 0);
  if (!total) return figure;
  const { layout } = figure;
  const inner = layout.height - layout.margin.t - layout.margin.b;
  /** @param {[number, number]} domain @param {number} by */
  const moved = ([low, high], by) =>
    /** @type {[number, number]} */ (
      [low, high].map((end) => Math.min(1, Math.max(0, 1 - ((1 - end) * inner + by) / (inner + total))))
    );
  /** @type {Record<string, Axis>} */
  const axes = {};
  /** @param {string} name */
  const axisOf = (name) => /** @type {Axis | undefined} */ (layout[name]);
  let by = 0;
  charts.forEach((row, i) => {
    const name = i ? `yaxis${i + 1}` : "yaxis";
    const axis = axisOf(name);
    if (axis) axes[name] = { ...axis, domain: moved(axis.domain, by) };
    by += extras[row.name] ?? 0;
  });
  const lane = `yaxis${charts.length + 1}`;
  const marks = axisOf(lane);
  if (marks) axes[lane] = { ...marks, domain: moved(marks.domain, 0) };
  return { ...figure, layout: { ...layout, ...axes, height: layout.height + total } };
}

/**
 * The position of each chart's text, with that room: [{name, top, height}].
 * @param {ChartRow[]} charts @param {Record<string, number>} extras
 */
export function placed(charts, extras) {
  let by = 0;
  return charts.map(({ name, top, height }) => {
    const extra = extras[name] ?? 0;
    const place = { name, top: top + by, height: height + extra };
    by += extra;
    return place;
  });
}
