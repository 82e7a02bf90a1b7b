import assert from "node:assert/strict";
import test from "node:test";
import { AutoRange, firstTick, niceCeil, timeStep, valueTicks } from "../../../assets/lib/chart/scale.mjs";

test("an axis ends on 1, 2, 2.5 or 5 times a power of ten", () => {
  assert.deepEqual([0.7, 1, 1.2, 2.3, 4.8, 77, 1001].map(niceCeil), [1, 1, 2, 2.5, 5, 100, 2000]);
  assert.deepEqual([0, -3, NaN, Infinity].map(niceCeil), [0, 0, 0, 0]);
});

test("ticks stand on nice steps and include both ends", () => {
  assert.deepEqual(valueTicks(0, 100, 4), [0, 25, 50, 75, 100]);
  assert.deepEqual(valueTicks(0, 2, 2), [0, 1, 2]);
  assert.deepEqual(valueTicks(-10, 10, 2), [-10, 0, 10]);
});

test("time labels never crowd", () => {
  assert.equal(timeStep(30_000, 230), 15_000);
  assert.equal(timeStep(30_000, 1_000), 5_000);
  assert.equal(timeStep(300_000, 230), 120_000);
});

test("time ticks are round in the user's zone", () => {
  const at = Date.UTC(2026, 0, 5, 12, 0, 1);
  assert.equal(firstTick(at, 15_000, 0), Date.UTC(2026, 0, 5, 12, 0, 15));
  assert.equal(firstTick(at, 120_000, 345), Date.UTC(2026, 0, 5, 12, 1, 0)); // 17:46 in Kathmandu
});

test("an axis grows at once and shrinks only after the data have been small for a while", () => {
  const range = new AutoRange({ patienceMs: 1_000 });
  assert.equal(range.update(1, 3, 0), true);
  assert.equal(range.high, 5);
  assert.equal(range.update(1, 80, 10), true);
  assert.equal(range.high, 100);
  assert.equal(range.update(1, 3, 20), false);
  assert.equal(range.update(1, 3, 900), false);
  assert.equal(range.high, 100);
  assert.equal(range.update(1, 3, 1_021), true);
  assert.equal(range.high, 5);
});

test("a peak in between starts the patience anew", () => {
  const range = new AutoRange({ patienceMs: 1_000 });
  range.update(0, 80, 0);
  range.update(0, 3, 100);
  range.update(0, 80, 900);
  assert.equal(range.update(0, 3, 1_200), false);
  assert.equal(range.high, 100);
});

test("an axis that reaches so far at least goes further where the data do: nothing is cut off without a mark", () => {
  const range = new AutoRange({ min: 0, reach: 10, patienceMs: 1_000 });
  range.update(0.5, 2, 0);
  assert.deepEqual([range.low, range.high], [0, 10]);
  range.update(0.5, 37, 10);
  assert.equal(range.high, 50);
  range.update(0.5, 2, 20);
  range.update(0.5, 2, 1_100);
  assert.equal(range.high, 10);
});

test("fixed ends do not move, and nothing visible changes nothing", () => {
  const range = new AutoRange({ min: 0, max: 100 });
  range.update(20, 400, 0);
  assert.deepEqual([range.low, range.high], [0, 100]);
  assert.equal(range.update(Infinity, -Infinity, 5), false);
  assert.equal(range.update(NaN, NaN, 5), false);
});

test("all zeros still have an axis, and negative data reach below it", () => {
  const range = new AutoRange({});
  range.update(0, 0, 0);
  assert.deepEqual([range.low, range.high], [0, 1]);
  range.update(-7, 2, 1);
  assert.deepEqual([range.low, range.high], [-10, 2.5]);
});
