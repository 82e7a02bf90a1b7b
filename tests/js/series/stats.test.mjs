import assert from "node:assert/strict";
import test from "node:test";
import { Ring, extent, figure, quantile, rank } from "../../../assets/lib/series/stats.mjs";
import { T0, track } from "../helpers.mjs";

const window = (from, to) => [T0 + from, T0 + to];

test("a value weighs as long as it held", () => {
  const t = track([[0, 10], [9_000, 100]]);
  assert.deepEqual(extent(t, ...window(0, 10_000)), { min: 10, max: 100, mean: 19, weight: 10_000 });
  assert.equal(quantile(t, ...window(0, 10_000), 0.5), 10);
  assert.equal(quantile(t, ...window(0, 10_000), 0.95), 100);
  assert.equal(quantile(t, ...window(0, 10_000), 0.9), 10);
});

test("what held before the window counts in it, what was a gap does not", () => {
  const t = track([[0, 4], [1_000, null], [2_000, 8]]);
  assert.deepEqual(extent(t, ...window(500, 2_500)), { min: 4, max: 8, mean: 6, weight: 1_000 });
  assert.equal(extent(t, ...window(1_200, 1_800)).weight, 0);
  assert.equal(quantile(t, ...window(1_200, 1_800), 0.5), NaN);
});

test("percentiles are those of an exact sort, on many shapes", () => {
  const shapes = [(i) => i, (i) => (i * 7919) % 1013, (i) => 2 ** (i % 20), (i) => (i % 2 ? 5 : -5), (i) => Math.fround(1 / (i + 1)), () => 3];
  for (const shape of shapes) {
    const samples = Array.from({ length: 1_000 }, (_, i) => [i * 10, Math.fround(shape(i))]);
    const sorted = samples.map(([, v]) => v).sort((a, b) => a - b);
    for (const q of [0.05, 0.5, 0.95, 0.99, 1]) {
      const exact = sorted[Math.ceil(q * 1_000 - 1e-9) - 1];
      assert.equal(quantile(track(samples), ...window(0, 10_000), q), exact, `${shape} ${q}`);
    }
  }
});

test("several tracks make a sum, but percentages and degrees a mean", () => {
  const two = [track([[0, 10]]), track([[0, 30]]), track([])];
  assert.equal(figure(two, "last", T0, T0 + 1_000, "B/s"), 40);
  assert.equal(figure(two, "last", T0, T0 + 1_000, "%"), 20);
  assert.equal(figure(two, "count", T0, T0 + 1_000, "%"), 2);
  assert.equal(figure(two, "max", T0, T0 + 1_000, "%"), 30);
  assert.equal(figure(two, "min", T0, T0 + 1_000, "%"), 10);
});

test("the sum of something per second is how much there was", () => {
  assert.equal(figure([track([[0, 100], [2_000, 0], [3_000, 50]])], "sum", T0, T0 + 4_000), 250);
});

test("of nothing there is no figure", () => {
  assert.equal(figure([], "last", T0, T0 + 1), NaN);
  assert.equal(figure([track([[0, 1], [10, null]])], "last", T0, T0 + 20), NaN);
  assert.equal(figure([], "count", T0, T0 + 1), 0);
});

test("a ring keeps the newest, in order", () => {
  const ring = new Ring(3);
  for (const v of [1, 2, 3, 4, 5]) ring.push(v);
  assert.deepEqual(ring.newest(), [3, 4, 5]);
  assert.deepEqual(ring.newest(2), [4, 5]);
  assert.equal(ring.total, 5);
});

test("a rank is a value that was there", () => {
  assert.equal(rank([5, 1, 3, 2, 4], 0.5), 3);
  assert.equal(rank([5, 1, 3, 2, 4], 0.95), 5);
  assert.equal(rank([], 0.5), NaN);
});

test("of events each one weighs the same, however long nothing follows", () => {
  const t = track([[0, 10], [10, 20], [20, 30], [9_000, 40]], "model.ttft_ms");
  t.kind = "event";
  assert.deepEqual(extent(t, ...window(-1, 10_000)), { min: 10, max: 40, mean: 25, weight: 4 });
  assert.equal(quantile(t, ...window(-1, 10_000), 0.5), 20);
  assert.equal(extent(t, ...window(100, 5_000)).weight, 0);
  assert.equal(figure([t], "sum", T0 + 5, T0 + 25), 50);
});
