/**
 * The shared cursor: the instant at which all charts show their values. Pure.
 *
 * A pointer holds a place of the window: the instant under it moves on with the data. The keyboard holds an instant: it
 * moves left with the data until it leaves the window.
 */

const STEPS_A_WINDOW = 60;

export class Cursor {
  constructor() {
    this.share = NaN; // place of the pointer: 0 left, 1 right
    this.instant = NaN; // instant of the keyboard
    this.moved = 0; // rises with each move
  }

  /**
   * Put the cursor at a share of the window.
   * @param {number} share
   */
  point(share) {
    this.share = share;
    this.instant = NaN;
    this.moved += 1;
  }

  clear() {
    if (!this.active) return;
    this.share = NaN;
    this.instant = NaN;
    this.moved += 1;
  }

  get active() {
    return this.share === this.share || this.instant === this.instant;
  }

  /**
   * The instant for the window that ends at `right` and lasts `span`; NaN when there is none.
   * @param {number} right @param {number} span
   */
  at(right, span) {
    if (this.share === this.share) return right - span * (1 - this.share);
    return this.instant === this.instant ? Math.max(this.instant, right - span) : NaN;
  }

  /**
   * A key on a chart; `known` is the newest instant with data. True when the key was meant for the cursor.
   * @param {string} name @param {boolean} big @param {number} right @param {number} span @param {number} known
   */
  key(name, big, right, span, known) {
    const newest = Math.min(right, known);
    const step = (span / STEPS_A_WINDOW) * (big ? 10 : 1);
    const here = this.active ? this.at(right, span) : newest;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowLeft: this.active ? here - step : newest,
      ArrowRight: here + step,
      Home: right - span,
      End: newest,
    };
    if (name === "Escape") {
      if (!this.active) return false;
      this.clear();
      return true;
    }
    if (!(name in targets)) return false;
    this.share = NaN;
    this.instant = Math.min(newest, Math.max(right - span, targets[name]));
    this.moved += 1;
    return true;
  }
}
