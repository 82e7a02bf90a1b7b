/**
 * What the energy stage shows: a model's signals -> visual numbers -> where its particles are. Pure;
 * docs/energy-stage.md.
 *
 * Lengths are CSS pixels; times are server milliseconds. Nothing here is measured: what is not known is NaN, and no
 * visual claims anything for it.
 */

import { CHARGING, DRAINED, FLOWING, IDLE, MODELS, STATES } from "../series/models.mjs";

/**
 * @import { Model } from "../series/types"
 * @import { Track } from "../series/track.mjs"
 */

export const RECENT_MS = 180_000; // a model at rest keeps its ribbon for so long
export const PX_PER_TOKEN = 4; // what is on a ribbon moves so far with each token
export const MAX_SPEED = 1_200; // px/s: faster cannot be seen, and the readout says so
export const DENSITY = 40; // particles on 1,000 px² where the entropy is log2 k
export const BUDGET = 2_000; // particles, all ribbons together
export const DASH_PX = 48; // distance of the marks drawn instead of particles while the entropy is unknown
export const FLASH_MS = 400;
export const GLOW_PX_S = 120; // the glow of a prompt being read
export const GLOW_PX = 180;
export const ENTROPY_MS = 1_000; // the density is of the mean entropy of so long
export const STALE_MS = 5_000; // an older entropy is of other tokens than those that come now
export const LOST_MS = 1_500; // nothing known for so long: nothing is shown as if it went on
const EASE_MS = 80; // width, brightness and density glide; speed does not
const MAX_STEP_MS = 100; // a longer pause is no flight
const SETTLED = 0.0005;

const FULL_PX = 96; // a ribbon at its own peak, where there is room
const FULL_OF_LANE = 0.66;
const SWING_PX = 26;
const OVER_PX = 4; // neighbours bend alike, so that they may leave their lanes a little
const RIPPLE_PX = 12;
const DRIFT = 0.002; // radians a pixel flown: the ribbon bends on as tokens come

/** @typedef {ReturnType<typeof places>} Place */
/** @typedef {{ key: string, seen: number, active: boolean }} Candidate A model that may have a ribbon. */
/** @typedef {{ model: string, server: string, others?: Map<string, Track> }} Paired What may differ from another. */

/** @param {number} value @param {number} low @param {number} high */
const limited = (value, low, high) => (value < low ? low : value > high ? high : value);

/**
 * Time of the sample that holds at `ms`; NaN before the first.
 * @param {Track | undefined} track @param {number} ms
 */
export function lastAt(track, ms) {
  const count = track ? track.countUntil(ms) : 0;
  return track && count ? track.t[track.slot(count - 1)] : NaN;
}

/** @param {Track | undefined} track @param {number} ms */
const held = (track, ms) => (track ? track.valueAt(ms) : NaN);

/**
 * Mean of the newest second of an event series at `ms`; NaN where there is none, or it is older than `most`.
 * @param {Track | undefined} track @param {number} ms @param {number} most
 */
function newest(track, ms, most) {
  if (!track) return NaN;
  let sum = 0;
  let count = 0;
  let from = NaN;
  for (let i = track.countUntil(ms) - 1; i >= 0; i -= 1) {
    const slot = track.slot(i);
    const at = track.t[slot];
    const value = track.v[slot];
    if (value !== value) continue;
    if (!count) {
      if (ms - at > most) return NaN;
      from = (ms - at < ENTROPY_MS ? ms : at) - ENTROPY_MS;
    }
    if (at <= from) break;
    sum += value;
    count += 1;
  }
  return count ? sum / count : NaN;
}

/** What a model's series say at one instant. Reused: reading allocates nothing. */
export class Signals {
  constructor() {
    this.tps = NaN; // tokens/s
    this.throughput = NaN; // % of its own peak
    this.entropy = NaN; // bits
    this.k = NaN;
    this.energy = NaN; // 0 to 1
    this.state = IDLE;
    this.stateMs = NaN; // since when
    this.ttft = NaN; // ms
    this.ttftMs = NaN; // when the first token came
  }

  /**
   * Read the tracks {name without "model." -> Track} at `ms`; `known` false: nobody knows what holds.
   * @param {Model["tracks"]} tracks @param {number} ms @param {boolean} [known]
   */
  read(tracks, ms, known = true) {
    this.tps = known ? held(tracks.tokens_per_second, ms) : NaN;
    this.throughput = known ? held(tracks.throughput_percent, ms) : NaN;
    this.energy = known ? held(tracks.energy, ms) : NaN;
    this.entropy = newest(tracks.entropy_bits, ms, this.tps > 0 ? STALE_MS : Infinity);
    this.k = held(tracks.entropy_k, ms);
    this.ttft = held(tracks.ttft_ms, ms);
    this.ttftMs = lastAt(tracks.ttft_ms, ms);
    const state = held(tracks.energy_state, ms);
    this.stateMs = lastAt(tracks.energy_state, ms);
    if (!known) this.state = IDLE;
    else if (STATES[state]) this.state = state;
    else this.state = this.tps > 0 ? FLOWING : IDLE; // a source that only reports its rate
  }

  /** Whether it works: a request is open, or tokens came within the last second. */
  get active() {
    return (this.state !== IDLE && this.state !== DRAINED) || this.tps > 0;
  }

  /** The share of the entropy that was possible: H / log2 k. NaN: no claim. */
  get uncertainty() {
    return this.k >= 2 ? limited(this.entropy / Math.log2(this.k), 0, 1) : NaN;
  }
}

/**
 * Throughput in % -> the share of a ribbon's full width.
 * @param {number} throughput
 */
export const widthShare = (throughput) => (throughput > 0 ? limited(throughput / 100, 0, 1) : 0);
/**
 * Tokens a second -> px/s.
 * @param {number} tps
 */
export const speedOf = (tps) => (tps > 0 ? Math.min(MAX_SPEED, tps * PX_PER_TOKEN) : 0);
/**
 * H / log2 k -> particles on 1,000 px²; NaN stays: no claim.
 * @param {number} uncertainty
 */
export const densityOf = (uncertainty) => uncertainty * DENSITY;

/**
 * Places of `count` ribbons on a stage: `lane`, `full` (width at the own peak), `swing` of the bend, `ripple` at 1 bit.
 * @param {number} width @param {number} height @param {number} count
 */
export function places(width, height, count) {
  const top = Math.min(40, height * 0.16);
  const bottom = limited((height - 180) / 2, 12, top); // a low stage has no foot
  const lane = Math.max(0, height - top - bottom) / Math.max(1, count);
  const full = Math.min(FULL_PX, lane * FULL_OF_LANE);
  const room = lane - full;
  return {
    width,
    top,
    lane,
    full,
    swing: Math.min(SWING_PX, room / 2 + OVER_PX),
    ripple: Math.min(RIPPLE_PX, room * 0.3),
  };
}

/** One model's ribbon: its signals, what they look like, and how far it has flown. */
export class Ribbon {
  /** @param {string} key @param {string} model @param {string} server @param {number} slot */
  constructor(key, model, server, slot) {
    this.key = key;
    this.model = model;
    this.server = server;
    this.slot = slot; // its colour, and the bend that is its own
    /** @type {Model["tracks"]} */
    this.tracks = {};
    /** @type {Model["others"] | undefined} */
    this.others = undefined;
    this.signals = new Signals();
    this.share = 0; // of the full width
    this.brightness = 0; // energy; NaN: not known
    this.density = NaN; // particles on 1,000 px²; NaN: not known
    this.speed = 0; // px/s
    this.flown = 0; // px
    this.flash = 0; // 1 at the first token, 0 after FLASH_MS
    this.glow = -1; // px from the left; -1: no prompt is read
    this.count = 0; // particles drawn
    this.settled = false;
    this.ripple = NaN; // bits of disagreement with the ribbon below; NaN: not known
  }

  /**
   * Take the signals of `ms`, after `stepMs` of the picture's time. `still`: no motion is wanted. True when it moved.
   * @param {number} ms @param {number} stepMs @param {boolean} known @param {boolean} still
   */
  step(ms, stepMs, known, still) {
    const { signals } = this;
    signals.read(this.tracks, ms, known);
    const ease = still ? 1 : 1 - Math.exp(-stepMs / EASE_MS);
    const share = this.share;
    const wanted = widthShare(signals.throughput);
    this.share += (wanted - share) * ease;
    if (Math.abs(wanted - this.share) < SETTLED) this.share = wanted;
    this.brightness = eased(this.brightness, limited(signals.energy, 0, 1), ease);
    this.density = eased(this.density, densityOf(signals.uncertainty), ease);
    this.speed = speedOf(signals.tps);
    if (!still) this.flown += (this.speed * Math.min(stepMs, MAX_STEP_MS)) / 1000;
    const age = ms - signals.ttftMs;
    this.flash = !still && age >= 0 && age < FLASH_MS ? 1 - age / FLASH_MS : 0;
    this.glow = this.#glow(ms, still);
    const settled =
      this.share === share &&
      this.share === wanted &&
      !signals.active &&
      !(this.brightness > 0.005) &&
      this.flash === 0;
    const moved = !settled || !this.settled;
    this.settled = settled;
    return moved;
  }

  /** @param {number} ms @param {boolean} still */
  #glow(ms, still) {
    if (this.signals.state !== CHARGING) return -1;
    return still || !(ms >= this.signals.stateMs) ? 0 : ((ms - this.signals.stateMs) / 1000) * GLOW_PX_S;
  }

  /**
   * Where its middle is, from the middle of its lane, at the share `x` of the stage's width: -1 to 1.
   * @param {number} x
   */
  bend(x) {
    const turn = 5 + this.slot * 0.4;
    const drift = this.flown * DRIFT;
    const own = 0.6 + this.slot * 0.8;
    return 0.74 * Math.sin(x * turn + own - drift) + 0.26 * Math.sin(x * turn * 2.3 + 2 * own - drift * 1.7);
  }
}

/** @param {number} from @param {number} to @param {number} ease */
function eased(from, to, ease) {
  if (to !== to || from !== from) return to;
  const next = from + (to - from) * ease;
  return Math.abs(to - next) < SETTLED ? to : next;
}

/**
 * How many particles each ribbon shows: density x area, the budget shared by all; `share` is what the page's power
 * leaves. Gives the factor by which all of them were thinned (1: as many as the density says).
 * @param {Ribbon[]} ribbons @param {{ width: number, full: number }} place @param {number} [share]
 */
export function allot(ribbons, { width, full }, share = 1) {
  let wanted = 0;
  for (const ribbon of ribbons) wanted += amount(ribbon, width, full);
  const factor = Math.min(1, wanted > 0 ? BUDGET / wanted : 1) * share;
  for (const ribbon of ribbons) ribbon.count = Math.round(amount(ribbon, width, full) * factor);
  return factor;
}

/** @param {{ density: number, share: number }} ribbon @param {number} width @param {number} full */
const amount = ({ density, share }, width, full) =>
  density > 0 && share > 0 ? (density * width * share * full) / 1000 : 0;

const GOLDEN_X = 0.754877666246693; // the R2 sequence (Roberts 2018): every prefix of it is spread evenly
const GOLDEN_Y = 0.569840290998053;
const ASTRAY_X = 0.03; // each particle is offset a little, so that no lattice is visible
const ASTRAY_Y = 0.3;
/** @param {number} i @param {number} salt */
// The same on every machine and day.
const unsteady = (i, salt) => (((Math.sin(i * 127.1 + salt) * 43_758.5453) % 1) + 1) % 1;
const POOL = BUDGET + MODELS * 97;

/**
 * Where particles are born: shares of the stage's width and of the ribbon's width. Shared by all ribbons, never written
 * again.
 */
export class Particles {
  constructor() {
    this.x = new Float64Array(POOL);
    this.y = new Float64Array(POOL);
    for (let i = 0; i < POOL; i += 1) {
      this.x[i] = (0.5 + i * GOLDEN_X + ASTRAY_X * unsteady(i, 1)) % 1;
      this.y[i] = (0.5 + i * GOLDEN_Y + ASTRAY_Y * unsteady(i, 2)) % 1;
    }
  }

  /**
   * Index of a ribbon's first particle: no two ribbons look alike.
   * @param {number} slot
   */
  first(slot) {
    return (slot % MODELS) * 97;
  }

  /**
   * px from the left of particle `i` of a ribbon that has flown so far; on a round trip it comes back elsewhere across.
   * @param {number} i @param {number} flown @param {number} width
   */
  at(i, flown, width) {
    return (this.x[i] * width + flown) % width;
  }

  /**
   * Across the ribbon, -0.5 to 0.5.
   * @param {number} i @param {number} flown @param {number} width
   */
  across(i, flown, width) {
    const rounds = Math.floor((this.x[i] * width + flown) / width);
    return ((this.y[i] + rounds * 0.381966011250105) % 1) - 0.5;
  }
}

/**
 * When tokens of a model were last known to come, at or before `ms`; -Infinity: never.
 * @param {Model["tracks"]} tracks @param {number} rowMs @param {number} ms
 */
export function seenMs(tracks, rowMs, ms) {
  const rate = tracks.tokens_per_second;
  let seen = rowMs <= ms ? rowMs : -Infinity;
  if (!rate) return seen;
  for (let i = rate.countUntil(ms) - 1, until = ms; i >= 0; i -= 1) {
    const slot = rate.slot(i);
    if (rate.v[slot] > 0) {
      if (until > seen) seen = until;
      break;
    }
    until = rate.t[slot];
  }
  return seen;
}

/**
 * Which models have a ribbon: of `candidates` [{key, seen, active}] those that work or were seen within RECENT_MS, the
 * most recent first when there are too many; always the newest that was ever seen. Those that `had` one keep their
 * place.
 * @param {Candidate[]} candidates @param {string[]} had @param {number} ms @param {number} [limit]
 */
export function choose(candidates, had, ms, limit = MODELS) {
  const ever = candidates.filter((one) => one.active || one.seen > -Infinity);
  /** @param {Candidate} a @param {Candidate} b */
  const working = (a, b) => Number(b.active) - Number(a.active);
  ever.sort((a, b) => working(a, b) || (b.active ? 0 : b.seen - a.seen));
  const chosen = ever.filter((one, i) => i === 0 || one.active || ms - one.seen <= RECENT_MS);
  const kept = new Set(had);
  if (chosen.length > limit) chosen.sort((a, b) => working(a, b) || Number(kept.has(b.key)) - Number(kept.has(a.key)));
  const keys = new Set(chosen.slice(0, limit).map((one) => one.key));
  return {
    keys: [...had.filter((key) => keys.has(key)), ...[...keys].filter((key) => !kept.has(key))],
    more: ever.length - keys.size,
  };
}

/**
 * What another model is called in the series of a model's disagreements.
 * @param {Paired} other @param {Paired} from
 */
const named = (other, from) => (other.model === from.model ? `${other.model}@${other.server}` : other.model);

/**
 * The series of the disagreement of two neighbours, as either of them has it, or undefined.
 * @param {Paired} one @param {Paired} other
 */
export function pairOf(one, other) {
  return one.others?.get(named(other, one)) ?? other.others?.get(named(one, other));
}

/**
 * Disagreement of two neighbours in bits; NaN: not known.
 * @param {Paired} one @param {Paired} other @param {number} ms
 */
export const disagreement = (one, other, ms) => held(pairOf(one, other), ms);
