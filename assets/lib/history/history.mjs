/**
 * Calculations of the History page: views as addresses, ranges, and the figure's two abbreviations. Pure.
 */

import { text } from "../series/format.mjs";

/** @import { ChartRow, EastAt, Figure, Range, Relayout, Trace } from "./types" */

/** @typedef {{ pan?: number, zoom?: number, do?: "reset" | "back" }} KeyMeaning */
/** @typedef {(name: string) => string} Token The value of a colour's token in the theme, #rrggbb. */

export const LEAST_MS = 10_000;
const HOLES = new Set(["y", "x", "low", "high", "text", "customdata"]);

// ---- views: the query of the address

/**
 * A view's query with some of its parts set; null takes one away, an array stands for several.
 * @param {string} query @param {Record<string, string | string[] | null>} parts
 */
export function withParts(query, parts) {
  const given = new URLSearchParams(query);
  for (const [name, value] of Object.entries(parts)) {
    given.delete(name);
    if (Array.isArray(value)) for (const each of value) given.append(name, each);
    else if (value !== null && value !== "") given.set(name, value);
  }
  return given.toString();
}

/**
 * The query that asks for fixed ends.
 * @param {string} query @param {number} fromMs @param {number} toMs
 */
export function withSpan(query, fromMs, toMs) {
  return withParts(query, { range: null, from: String(Math.round(fromMs)), to: String(Math.round(toMs)) });
}

/**
 * The query that asks for a range in words.
 * @param {string} query @param {string} words
 */
export function withRange(query, words) {
  return withParts(query, { from: null, to: null, range: words });
}

/**
 * The chosen selectors after a click on one: gone if it was there, else at the end.
 * @param {string[]} chosen @param {string} selector
 */
export function toggled(chosen, selector) {
  return chosen.includes(selector) ? chosen.filter((each) => each !== selector) : [...chosen, selector];
}

/** @param {string} selector */
export const nameOf = (selector) => selector.split("{", 1)[0];

// ---- ranges

/**
 * [from, to] moved by a share of its length, not past `nowMs`.
 * @param {Range} range @param {number} share @param {number} nowMs @returns {Range}
 */
export function panned([from, to], share, nowMs) {
  const step = share > 0 ? Math.min((to - from) * share, Math.max(0, nowMs - to)) : (to - from) * share;
  return [from + step, to + step];
}

/**
 * [from, to] made longer or shorter by a factor around a place (0 to 1) of it, not past `nowMs`.
 * @param {Range} range @param {number} factor @param {number} nowMs @param {number} [at] @returns {Range}
 */
export function zoomed([from, to], factor, nowMs, at = 0.5) {
  const span = Math.max(LEAST_MS, (to - from) * factor);
  const start = from + (to - from - span) * at;
  const end = Math.min(start + span, Math.max(nowMs, to));
  return [end - span, end];
}

/**
 * What a key asks of the charts: {pan}, {zoom}, {do}, or null.
 * @param {string} key @param {boolean} shift @returns {KeyMeaning | null}
 */
export function keyMeans(key, shift) {
  const far = shift ? 1 : 0.25;
  /** @type {Record<string, KeyMeaning>} */
  const meanings = {
    ArrowLeft: { pan: -far },
    ArrowRight: { pan: far },
    "+": { zoom: 0.5 },
    "=": { zoom: 0.5 },
    "-": { zoom: 2 },
    _: { zoom: 2 },
    0: { do: "reset" },
    Backspace: { do: "back" },
  };
  return meanings[key] ?? null;
}

/**
 * An instant on the local clock, to the second. `eastAt`: minutes east of UTC at an instant.
 * @param {number} ms @param {EastAt} eastAt
 */
export function localText(ms, eastAt) {
  return new Date(ms + eastAt(ms) * 60_000).toISOString().slice(0, 19);
}

/**
 * An instant as the picture has it: UTC, as text. Plotly takes a number for an instant of the browser's zone, and a
 * text for the one that it says.
 * @param {number} ms
 */
export function plotText(ms) {
  return new Date(Math.round(ms)).toISOString().slice(0, 23);
}

/**
 * UTC milliseconds of what plotly says; NaN for what is no time.
 * @param {unknown} value
 */
export function plotMs(value) {
  const plain = String(value).trim().replace(" ", "T");
  const whole = plain.length === 10 ? `${plain}T00:00` : plain;
  return Date.parse(`${whole.slice(0, 23)}Z`);
}

/**
 * The range of a `plotly_relayout`: [from, to] in UTC milliseconds, "reset", or null when it was about something else.
 * @param {Relayout | null} event @returns {Range | "reset" | null}
 */
export function relayouted(event) {
  if (!event) return null;
  if (event["xaxis.autorange"]) return "reset";
  const range = /** @type {unknown[]} */ (event["xaxis.range"] ?? event["xaxis2.range"] ?? []);
  const from = range[0] ?? event["xaxis.range[0]"] ?? event["xaxis2.range[0]"];
  const to = range[1] ?? event["xaxis.range[1]"] ?? event["xaxis2.range[1]"];
  if (from === undefined || to === undefined) return null;
  /** @type {Range} */
  const found = [plotMs(from), plotMs(to)];
  return found.every(Number.isFinite) ? found : null;
}

// ---- the figure's short forms

/**
 * `--s-1` and `--s-1/20` as CSS colours. `token` gives a token's value, #rrggbb.
 * @param {string} form @param {Token} token
 */
export function colour(form, token) {
  const [, name, share] = /^(--[\w-]+)(?:\/(\d+))?$/.exec(form) ?? [];
  if (!name) return form;
  const value = token(name);
  if (!share || !/^#[0-9a-f]{6}$/i.test(value)) return value;
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${Number(share) / 100})`;
}

/**
 * A copy with every colour resolved; long arrays of numbers are not walked, and not copied.
 * @template T @param {T} value @param {Token} token @param {string} [key] @returns {T}
 */
export function coloured(value, token, key = "") {
  return /** @type {T} */ (resolved(value, token, key));
}

/** @param {unknown} value @param {Token} token @param {string} [key] @returns {unknown} */
function resolved(value, token, key = "") {
  if (typeof value === "string") return value.startsWith("--") ? colour(value, token) : value;
  if (Array.isArray(value)) return HOLES.has(key) ? value : value.map((each) => resolved(each, token));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolved(each, token, name)]));
}

/**
 * The outline of an envelope, a closed polygon for every stretch without a gap: {x, y}, times as plotly takes them.
 * @param {(number | null)[]} low @param {(number | null)[]} high @param {number} startMs @param {number} stepMs
 */
export function outline(low, high, startMs, stepMs) {
  /** @type {(string | null)[]} */
  const x = [];
  /** @type {(number | null)[]} */
  const y = [];
  let begin = 0;
  while (begin < low.length) {
    if (low[begin] === null || high[begin] === null) {
      begin += 1;
      continue;
    }
    let end = begin;
    while (end < low.length && low[end] !== null && high[end] !== null) end += 1;
    if (x.length) {
      x.push(null);
      y.push(null);
    }
    for (let i = begin; i < end; i += 1) {
      x.push(plotText(startMs + i * stepMs));
      y.push(high[i]);
    }
    for (let i = end - 1; i >= begin; i -= 1) {
      x.push(plotText(startMs + i * stepMs));
      y.push(low[i]);
    }
    begin = end;
  }
  return { x, y };
}

/**
 * Traces with their envelopes as traces of their own below them, and the numbers that pointing at them shows.
 * @param {Trace[]} traces
 */
export function expanded(traces) {
  /** @type {Trace[]} */
  const all = [];
  for (const trace of traces) {
    const { meta, ...rest } = trace;
    if (!meta?.low) {
      all.push(trace);
      continue;
    }
    const { x, y } = outline(meta.low, meta.high, plotMs(trace.x0), trace.dx ?? NaN);
    all.push({
      type: "scatter",
      mode: "lines",
      x,
      y,
      yaxis: trace.yaxis,
      fill: "toself",
      fillcolor: meta.band,
      line: { width: 0 },
      hoverinfo: "skip",
      name: `${trace.name} (from min to max)`,
    });
    all.push({
      ...rest,
      customdata: meta.low.map((low, i) =>
        low === meta.high[i] ? "" : ` (${text(low, meta.unit)} to ${text(meta.high[i], meta.unit)})`,
      ),
    });
  }
  return all;
}

/**
 * The figure as plotly takes it. `token` reads a colour of the theme; `ticks` are those of its axes of time.
 * @param {Figure} figure @param {Token} token @param {Record<string, object>} [ticks] @returns {Figure}
 */
export function figureOf(figure, token, ticks = {}) {
  const layout = coloured(figure.layout, token);
  for (const [axis, more] of Object.entries(ticks)) layout[axis] = { .../** @type {object} */ (layout[axis]), ...more };
  return { data: coloured(expanded(figure.data), token), layout };
}

// ---- a chart as a table

/**
 * {head, body} of texts: a row an instant at which anything is known, the newest first. `eastAt`: see `localText`.
 * @param {Pick<ChartRow, "unit" | "lines">} row @param {Trace[]} traces @param {EastAt} eastAt
 */
export function tableOf(row, traces, eastAt) {
  const head = ["Time"];
  /** @type {Map<number, string[]>} */
  const byTime = new Map();
  row.lines.forEach((line, at) => {
    const trace = traces[line.trace];
    const low = trace.meta?.low ?? trace.y;
    const high = trace.meta?.high ?? trace.y;
    head.push(...["min", "mean", "max"].map((word) => (line.label ? `${line.label} ${word}` : word)));
    trace.y.forEach((mean, i) => {
      if (mean === null) return;
      const ms = line.from_ms + i * line.step_ms;
      const cells = byTime.get(ms) ?? new Array(row.lines.length * 3).fill("–");
      byTime.set(ms, cells);
      cells.splice(at * 3, 3, ...[low[i], mean, high[i]].map((each) => text(each, row.unit)));
    });
  });
  const body = [...byTime]
    .sort(([a], [b]) => b - a)
    .map(([ms, cells]) => [localText(ms, eastAt).replace("T", " "), ...cells]);
  return { head, body };
}
