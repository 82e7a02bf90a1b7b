/**
 * Touch gestures on the charts of the History page: one finger pans, two zoom; vertical movement scrolls the page.
 *
 * `charts`: { stack(), inPlot(target), range(), nowMs(), move(range), rest(range) }.
 */

import { targetOf } from "../dom/elements.mjs";
import { panned, zoomed } from "./history.mjs";

/** @import { FingerCharts, Range } from "./types" */

const SWIPE_PX = 8;
const LEAST_PX = 20; // between two fingers

export class Fingers {
  /** @param {FingerCharts} charts */
  constructor(charts) {
    this.charts = charts;
    /** @type {Map<number, { x0: number, x: number }>} */
    this.down = new Map();
    /** @type {{ range: Range, moved: boolean }} */
    this.held = { range: [NaN, NaN], moved: false }; // the range when the first came down, and whether it moved since
  }

  /** How many are down. */
  get size() {
    return this.down.size;
  }

  /** Know of none any more: the charts that they were on are gone. */
  drop() {
    this.down.clear();
  }

  /**
   * Take a pointer's event of any kind.
   * @param {PointerEvent} event
   */
  take(event) {
    const { charts, down } = this;
    if (event.pointerType !== "touch") return;
    if (event.type === "pointerdown") {
      const target = targetOf(event);
      if (!charts.stack()?.contains(target) || !charts.inPlot(target)) return;
      if (!down.size) this.held = { range: charts.range(), moved: false };
      down.set(event.pointerId, { x0: event.clientX, x: event.clientX });
      return;
    }
    const finger = down.get(event.pointerId);
    if (!finger) return;
    if (event.type !== "pointermove") {
      down.delete(event.pointerId);
      if (down.size) this.#again();
      else if (this.held.moved) charts.rest(charts.range());
      return;
    }
    finger.x = event.clientX;
    if (Math.abs(finger.x - finger.x0) > SWIPE_PX) this.held.moved = true;
    if (this.held.moved) this.#drag();
  }

  /** Go on from what is shown: those that are left would else undo what went before. */
  #again() {
    this.held.range = this.charts.range();
    for (const finger of this.down.values()) finger.x0 = finger.x;
  }

  #drag() {
    const { charts } = this;
    const { range } = this.held;
    const stack = charts.stack();
    if (!stack) return;
    const width = stack.clientWidth;
    const [one, other] = [...this.down.values()];
    if (!other) {
      charts.move(panned(range, (one.x0 - one.x) / width, charts.nowMs()));
      return;
    }
    const before = Math.max(LEAST_PX, Math.abs(one.x0 - other.x0));
    const after = Math.max(LEAST_PX, Math.abs(one.x - other.x));
    const left = stack.getBoundingClientRect().left;
    charts.move(zoomed(range, before / after, charts.nowMs(), ((one.x0 + other.x0) / 2 - left) / width));
  }
}
