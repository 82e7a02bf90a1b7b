/**
 * How much the page draws when the machine is too slow. A pure state machine: frames and the time are its inputs.
 *
 * More than 5 % of the frames late over 2 s: one step down (one long pause is one late frame: it does not matter). At
 * most 2 % for 4 s: one step up. A fall soon after a climb doubles the patience for the next climb (at most 64 s), so
 * that it does not swing; a quiet minute restores it.
 */

/**
 * Each chart is drawn every `every` frames, the charts taking turns; `particles` is the share of them that is drawn.
 */
export const STEPS = [
  { every: 1, particles: 1, text: "" },
  { every: 2, particles: 1, text: "charts at 30 Hz" },
  { every: 4, particles: 0.5, text: "charts at 15 Hz, half the particles" },
  { every: 6, particles: 0, text: "charts at 10 Hz, no particles" },
];

const LOOK_MS = 2_000;
const FALL_SHARE = 0.05;
const CLIMB_MS = 4_000;
const CLIMB_SHARE = 0.02;
const MAX_CLIMB_MS = 64_000;
const SOON_MS = 20_000;
const QUIET_MS = 60_000;

export class Quality {
  step = 0;
  falls = 0;
  climbMs = CLIMB_MS;
  changedMs = -Infinity;
  climbedMs = -Infinity;
  sinceMs = NaN;
  calmSinceMs = NaN;
  frames = 0;
  late = 0;

  /**
   * Begin a new span of observation (after a hidden span, or a change).
   * @param {number} now
   */
  restart(now) {
    this.sinceMs = now;
    this.frames = 0;
    this.late = 0;
    this.calmSinceMs = now;
  }

  /**
   * A frame came at page time `now`, after `missed` missed refreshes; true when the step changed.
   * @param {number} now @param {number} missed
   */
  frame(now, missed) {
    if (this.sinceMs !== this.sinceMs) this.restart(now);
    this.frames += 1;
    if (missed > 0) this.late += 1;
    if (now - this.sinceMs < LOOK_MS) return false;
    const share = this.late / this.frames;
    this.sinceMs = now;
    this.frames = 0;
    this.late = 0;
    if (share > CLIMB_SHARE) this.calmSinceMs = now;
    if (share > FALL_SHARE && this.step < STEPS.length - 1) return this.#move(+1, now);
    if (this.step > 0 && now - this.calmSinceMs >= this.climbMs) return this.#move(-1, now);
    return false;
  }

  /** @param {number} by @param {number} now */
  #move(by, now) {
    if (by > 0) {
      this.falls += 1;
      if (now - this.climbedMs < SOON_MS) this.climbMs = Math.min(MAX_CLIMB_MS, this.climbMs * 2);
      else if (now - this.changedMs > QUIET_MS) this.climbMs = CLIMB_MS;
    } else this.climbedMs = now;
    this.step += by;
    this.changedMs = now;
    this.restart(now);
    return true;
  }

  /**
   * Whether chart number `index` is drawn in frame number `count`.
   * @param {number} index @param {number} count
   */
  draws(index, count) {
    return (index + count) % STEPS[this.step].every === 0;
  }

  get particles() {
    return STEPS[this.step].particles;
  }

  get text() {
    return STEPS[this.step].text;
  }
}
