/**
 * The energy stage in words: the sentence for its picture, what a ribbon says, the formulas beside it. Pure.
 */

import { ABSENT, clockTime, parts, span, text as written } from "../series/format.mjs";
import {
  DENSITY,
  MAX_SPEED,
  PX_PER_TOKEN,
  densityOf,
  disagreement,
  pairOf,
  speedOf,
  lastAt,
  widthShare,
} from "./energy.mjs";
import { CHARGING, STALLING, STATES } from "../series/models.mjs";

/**
 * @import { ModelRow, ServerRow } from "../series/types"
 * @import { Track } from "../series/track.mjs"
 * @import { Place, Ribbon, Signals } from "./energy.mjs"
 */

/** @typedef {{ ms: number, model: string }} Last Who spoke last, and when. */

export const NOT_KNOWN = "n/a";
const NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six"];
/** @type {[least: number, word: string][]} */
const SURE = [
  [0.75, "certain"],
  [0.5, "less certain"],
  [-Infinity, "uncertain"],
];

/** @param {number | null | undefined} value @returns {value is number} */
const known = (value) => value === value && value !== null && value !== undefined;

/**
 * Tokens a second with a decimal that stays: 48.2, 117.
 * @param {number} tps
 */
export const rateText = (tps) => (known(tps) ? tps.toFixed(tps < 99.95 ? 1 : 0) : ABSENT);
/** @param {number} bits */
export const bitsText = (bits) => (known(bits) ? bits.toFixed(1) : NOT_KNOWN);
/** @param {number} value */
export const indexText = (value) => (known(value) ? value.toFixed(2) : NOT_KNOWN);
/** @param {number} value */
const percentText = (value) => (known(value) ? written(value, "%") : NOT_KNOWN);
/** @param {number} value @param {number} [digits] */
const plain = (value, digits = 3) => String(Number(value.toPrecision(digits)));

/**
 * How sure a model is, in a word, from H / log2 k.
 * @param {number} uncertainty
 */
export function sureness(uncertainty) {
  return known(uncertainty)
    ? (SURE.find(([least]) => 1 - uncertainty >= least)?.[1] ?? "uncertain")
    : "certainty unknown";
}

/**
 * How a row of the table `models` was measured: "hook", "proxy", "scraped at 1 Hz".
 * @param {Partial<ModelRow>} [row]
 */
export function wayText({ via, rate_hz: rate } = {}) {
  if (via === "scrape") return known(rate) ? `scraped at ${plain(rate)} Hz` : "scraped";
  return via ?? "";
}

/** @param {Partial<ModelRow> | undefined} row */
const wayShort = (row) => (row?.via === "scrape" ? "scrape" : (row?.via ?? "–"));

/**
 * The picture in one sentence. `ribbons` in the order of the stage; `last` {ms, model} is who spoke last, if anybody.
 * @param {Ribbon[]} ribbons @param {Last | null} [last] @param {number | null} [minutesEast] @param {boolean} [lost]
 */
export function sentence(ribbons, last = null, minutesEast = null, lost = false) {
  const named = last ? ` Last: ${clockTime(last.ms, minutesEast)}, ${last.model}.` : "";
  if (lost) return `The models' current activity is unknown.${named}`;
  const working = ribbons.filter((ribbon) => ribbon.signals.active);
  if (!working.length) return last ? `Nothing is being generated.${named}` : "No model detected yet.";
  const answering = working.every(({ signals }) => signals.state !== CHARGING);
  const count = `${NUMBERS[working.length] ?? working.length} model${working.length > 1 ? "s" : ""}`;
  const doing = answering
    ? `${working.length > 1 ? "are" : "is"} answering`
    : `${working.length > 1 ? "are" : "is"} at work`;
  return `${count} ${doing}: ${working.map((ribbon, i) => phrase(ribbon, i === 0)).join("; ")}.`;
}

/** @param {Ribbon} ribbon @param {boolean} first */
function phrase({ model, signals }, first) {
  if (signals.state === CHARGING) return `${model} reads its prompt`;
  const rate = `${model} at ${rateText(signals.tps)}${first ? " tokens per second" : ""}`;
  return `${rate}, ${signals.state === STALLING ? "stalling" : sureness(signals.uncertainty)}`;
}

/**
 * What the sentence is about, without its figures: it is said aloud when this changes.
 * @param {Ribbon[]} ribbons @param {boolean} [lost]
 */
export function gist(ribbons, lost = false) {
  if (lost) return "lost";
  return ribbons
    .filter(({ signals }) => signals.active)
    .map(({ key, signals }) => `${key} ${said(signals.state)}`)
    .join("\n");
}

// A model switches often between flowing and saturated: not worth an announcement.
/** @param {number} state */
const said = (state) => (state === CHARGING || state === STALLING ? STATES[state] : "answers");

/**
 * The texts of a model's card.
 * @param {Ribbon} ribbon @param {Partial<ModelRow>} [row]
 */
export function card(ribbon, row) {
  const { signals } = ribbon;
  const ttft = parts(signals.ttft, "ms");
  return {
    state: STATES[signals.state],
    tps: rateText(signals.tps),
    energy: signals.energy,
    ttft: known(signals.ttft) ? ttft : { number: "–", unit: "" },
    entropy: { number: bitsText(signals.entropy), unit: known(signals.entropy) ? "bits" : "" },
    entropyWhy: known(signals.entropy) ? "" : entropyWhy(row, ribbon),
    way: wayShort(row),
    wayWhy: [wayText(row), row?.note].filter(Boolean).join("; "),
  };
}

/** @param {Partial<ModelRow> | undefined} row @param {Pick<Ribbon, "tracks">} ribbon */
export function entropyWhy(row, { tracks }) {
  if (row?.entropy_reason) return row.entropy_reason;
  return tracks.entropy_bits?.size
    ? "the newest tokens came without log-probabilities"
    : "no token with log-probabilities came";
}

/**
 * "0.3 s ago", "12 s ago".
 * @param {number} ms
 */
export function ago(ms) {
  if (!known(ms)) return "";
  if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s ago`;
  return `${span(ms)} ago`;
}

/**
 * What a ribbon says when it is pointed at: rows {what, value, shows, age, how}. A gauge that did not change is not
 * sent again: its age counts from its last change, and says so.
 * @param {Ribbon} ribbon @param {Partial<ModelRow> | undefined} row @param {Ribbon | undefined} below
 * @param {number} ms
 */
export function reading(ribbon, row, below, ms) {
  const { signals, tracks } = ribbon;
  const how = wayText(row);
  /** @param {Track | undefined} track */
  const changed = (track) => (track ? `changed ${ago(ms - lastAt(track, ms))}` : "");
  /** @param {Track | undefined} track */
  const event = (track) => (track ? ago(ms - lastAt(track, ms)) : "");
  /** @param {number} signal @param {string} text @param {string} [less] */
  const or = (signal, text, less = NOT_KNOWN) => (known(signal) ? text : less);
  /** @param {string} what @param {number} signal @param {string} text @param {string} shows @param {string} age */
  const line = (what, signal, text, shows, age) => ({
    what,
    value: text,
    shows,
    age: or(signal, age, ""),
    how: or(signal, how, ""),
  });
  const share = `${percentText(signals.throughput)} of its peak`;
  const { throughput, tps, entropy, energy, ttft } = signals;
  const rows = [
    line("Throughput", throughput, or(throughput, share), "width", changed(tracks.throughput_percent)),
    line("Rate", tps, or(tps, `${rateText(tps)} tokens/s`), "speed", changed(tracks.tokens_per_second)),
    line("Entropy", entropy, entropyText(ribbon, row), "density", event(tracks.entropy_bits)),
    line("Energy", energy, or(energy, `${indexText(energy)} of 1`), "brightness", changed(tracks.energy)),
    line("First token", ttft, or(ttft, written(ttft, "ms")), "flash", event(tracks.ttft_ms)),
  ];
  if (below) {
    const bits = disagreement(ribbon, below, ms);
    rows.push({
      what: "Disagreement",
      value: known(bits) ? `${bits.toFixed(2)} bit with ${below.model}` : NOT_KNOWN,
      shows: "ripples",
      age: "",
      how: known(bits) ? how : (pairOf(ribbon, below)?.absent ?? "needs one vocabulary and token hashes from both"),
    });
  }
  return rows;
}

/** @param {Ribbon} ribbon @param {Partial<ModelRow> | undefined} row */
function entropyText(ribbon, row) {
  const { signals } = ribbon;
  if (!known(signals.entropy)) return `${NOT_KNOWN}: ${entropyWhy(row, ribbon)}`;
  const most = known(signals.uncertainty) ? ` of ${bitsText(Math.log2(signals.k))}` : "";
  return `${bitsText(signals.entropy)} bits${most}`;
}

const CONSTANTS = {
  smoothing: 0.35,
  weight_velocity: 0.5,
  weight_certainty: 0.3,
  weight_steadiness: 0.2,
  weight_velocity_alone: 0.7,
  weight_steadiness_alone: 0.3,
};

/**
 * Figures and formulas of the visuals: rows {shows, formula}. `place` has the full width, `thinned` the particles'
 * factor.
 * @param {Ribbon} ribbon @param {Partial<ModelRow> | undefined} row @param {Ribbon | undefined} below
 * @param {number} ms @param {Place} place @param {number} [thinned]
 */
export function evidence(ribbon, row, below, ms, place, thinned = 1) {
  const { signals } = ribbon;
  const rows = [
    { shows: "width", formula: widthFormula(signals, place) },
    { shows: "speed", formula: speedFormula(signals) },
    { shows: "density", formula: densityFormula(ribbon, row, thinned) },
    {
      shows: "brightness",
      formula: `energy ${indexText(signals.energy)}, certainty c: ${indexText(1 - signals.uncertainty)}`,
    },
  ];
  if (below) {
    const bits = disagreement(ribbon, below, ms);
    const figures = known(bits) ? `${bits.toFixed(2)} bit with ${below.model} × ${plain(place.ripple)} px` : NOT_KNOWN;
    rows.push({ shows: "ripples", formula: `disagreement ${figures}` });
  }
  return rows;
}

/** @param {Signals} signals @param {Place} place */
function widthFormula({ throughput, tps }, place) {
  if (!known(throughput)) return `throughput ${NOT_KNOWN}: drawn as a hairline`;
  const peak = throughput > 0 ? ` ${rateText((tps * 100) / throughput)} tokens/s` : "";
  const width = plain(widthShare(throughput) * place.full);
  return `throughput ${percentText(throughput)} of peak${peak} × ${plain(place.full)} px = ${width} px`;
}

/** @param {Signals} signals */
function speedFormula({ tps }) {
  if (!known(tps)) return `tokens/s ${NOT_KNOWN}: no motion`;
  const most = speedOf(tps) === MAX_SPEED ? ", the maximum shown" : "";
  return `${rateText(tps)} tokens/s × ${PX_PER_TOKEN} px = ${speedOf(tps).toFixed(0)} px/s${most}`;
}

/** @param {Ribbon} ribbon @param {Partial<ModelRow> | undefined} row @param {number} thinned */
function densityFormula(ribbon, row, thinned) {
  const { signals } = ribbon;
  if (!known(signals.uncertainty)) return `entropy ${NOT_KNOWN} (${entropyWhy(row, ribbon)}): sparse marks`;
  const share = signals.uncertainty.toFixed(2);
  const less = thinned < 1 ? `, thinned to ${percentText(thinned * 100)}` : "";
  const density = plain(densityOf(signals.uncertainty));
  const entropy = `H ${signals.entropy.toFixed(2)} bits / log2 ${signals.k}`;
  return `${entropy} = ${share} × ${DENSITY} = ${density} on 1,000 px²${less}`;
}

/**
 * The formula of energy, with the settings' own constants.
 * @param {Partial<typeof CONSTANTS>} [constants]
 */
export function energyFormula(constants = {}) {
  const c = { ...CONSTANTS, ...constants };
  return (
    `E = ${plain(c.smoothing)} base + ${plain(1 - c.smoothing)} E before, per token. ` +
    `base = ${plain(c.weight_velocity)} v + ${plain(c.weight_certainty)} c + ${plain(c.weight_steadiness)} s; ` +
    `c n/a: ${plain(c.weight_velocity_alone)} v + ${plain(c.weight_steadiness_alone)} s. ` +
    "v: speed, c = 1 − H / log2 k: certainty, s: steadiness."
  );
}

/**
 * Which of its faces the stage shows: "unseen", "silent" (servers, no model yet), "resting" or "flowing".
 * @param {Ribbon[]} ribbons @param {boolean} ever @param {ServerRow[]} servers
 */
export function face(ribbons, ever, servers) {
  if (ribbons.some(({ signals }) => signals.active)) return "flowing";
  if (ever) return "resting";
  return servers.length ? "silent" : "unseen";
}

/**
 * One line a server that was found and shows no tokens yet.
 * @param {Partial<ServerRow>} server
 */
export function serverLine({ server, runtime, version, fix, state }) {
  const name = [runtime || "A model server", version].filter(Boolean).join(" ");
  const listens = `${name} ${state === "silent" ? "listened" : "listens"} at ${server}`;
  return fix ? `${listens}; ${fix.replace(/\.$/, "")}.` : `${listens}.`;
}
