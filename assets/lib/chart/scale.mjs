/**
 * Tick positions and axis ranges. Pure.
 */

const NICE = [1, 2, 2.5, 5, 10];

/**
 * The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `value`; 0 for nothing positive.
 * @param {number} value
 */
export function niceCeil(value) {
  if (!(value > 0) || !Number.isFinite(value)) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of NICE) if (value <= step * power * (1 + 1e-9)) return step * power;
  return 10 * power;
}

/**
 * Ticks from `low` to `high` on a nice step, at most `most` intervals: an array of numbers.
 * @param {number} low @param {number} high @param {number} [most]
 */
export function valueTicks(low, high, most = 2) {
  const step = niceCeil((high - low) / Math.max(1, most));
  if (!(step > 0)) return [low];
  const ticks = [];
  // + 0: no minus zero.
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i += 1) ticks.push(i * step + 0);
  return ticks;
}

const TIME_STEPS_MS = [1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];

/**
 * The time step that gives at most one label each `spacing` pixels.
 * @param {number} windowMs @param {number} widthPx @param {number} [spacing]
 */
export function timeStep(windowMs, widthPx, spacing = 90) {
  const wanted = (windowMs * spacing) / Math.max(1, widthPx);
  for (const step of TIME_STEPS_MS) if (step >= wanted) return step;
  return TIME_STEPS_MS[TIME_STEPS_MS.length - 1];
}

/**
 * First tick at or after `fromMs`, aligned to `stepMs` in local time (`minutesEast` of UTC).
 * @param {number} fromMs @param {number} stepMs @param {number} minutesEast
 */
export function firstTick(fromMs, stepMs, minutesEast) {
  const shift = minutesEast * 60_000;
  return Math.ceil((fromMs + shift) / stepMs) * stepMs - shift;
}

/**
 * The reach of a value axis that breathes calmly: grows at once, shrinks only after `patienceMs` of smaller data.
 * A fixed end (a number for min or max) never moves; with `reach` the upper end is at least that high. Owned by one
 * chart.
 */
export class AutoRange {
  /** @param {{ min?: number | null, max?: number | null, reach?: number | null, patienceMs?: number }} [ends] */
  constructor({ min = null, max = null, reach = null, patienceMs = 3_000 } = {}) {
    this.fixedMin = min;
    this.fixedMax = max;
    this.reach = reach;
    this.patienceMs = patienceMs;
    this.low = min ?? 0;
    this.high = max ?? 1;
    /** @type {number | null} */
    this.smallerSince = null;
    this.seen = false;
  }

  /**
   * Feed the extremes of what is visible (NaN: nothing visible) at `now` ms; true when the range changed.
   * @param {number} dataLow @param {number} dataHigh @param {number} now
   */
  update(dataLow, dataHigh, now) {
    if (!(dataHigh >= dataLow)) return false;
    const [low, high] = this.#wanted(dataLow, dataHigh);
    if (low === this.low && high === this.high) {
      this.smallerSince = null;
      this.seen = true;
      return false;
    }
    if (this.seen && low >= this.low && high <= this.high) {
      this.smallerSince ??= now;
      if (now - this.smallerSince < this.patienceMs) return false;
    }
    this.smallerSince = null;
    this.seen = true;
    this.low = low;
    this.high = high;
    return true;
  }

  /** @param {number} dataLow @param {number} dataHigh */
  #wanted(dataLow, dataHigh) {
    const low = this.fixedMin ?? (dataLow >= 0 ? 0 : -niceCeil(-dataLow));
    let high = this.fixedMax ?? (dataHigh > 0 ? niceCeil(dataHigh * 1.04) : 0);
    if (this.fixedMax === null && this.reach !== null && this.reach > high) high = this.reach;
    if (!(high > low)) high = low + 1;
    return [low, high];
  }
}
