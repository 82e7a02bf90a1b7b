import assert from "node:assert/strict";
import test from "node:test";
import { Columns, ENDS, FRESH, HAS, overlap } from "../../../assets/lib/chart/columns.mjs";
import { T0, track } from "../helpers.mjs";

const WIDE = 1_000; // ms a column
const at = (columns, i) => {
  const slot = (T0 / WIDE + i) % columns.capacity;
  const { flags, low, high, end } = columns;
  return flags[slot] & HAS ? [flags[slot], low[slot], high[slot], end[slot]] : [flags[slot]];
};

test("a column keeps the least, the greatest and the last value of its span", () => {
  const columns = new Columns();
  columns.follow(track([[0, 5], [100, 9], [200, 2], [300, 4], [1_000, 7]]), WIDE, 8);
  assert.deepEqual(at(columns, 0), [HAS, 2, 9, 4]);
  assert.deepEqual(at(columns, 1), [HAS, 7, 7, 7]);
});

test("only new samples are taken, with the same result as all at once", () => {
  const piecemeal = new Columns();
  const whole = new Columns();
  const t = track([]);
  for (let i = 0; i < 400; i += 1) {
    t.push(T0 + i * 37, i % 50 === 49 ? NaN : (i * 7919) % 101);
    piecemeal.follow(t, WIDE, 10);
  }
  whole.follow(t, WIDE, 10);
  assert.deepEqual(piecemeal.flags, whole.flags);
  assert.deepEqual(piecemeal.low, whole.low);
  assert.deepEqual(piecemeal.high, whole.high);
  assert.equal(piecemeal.cursor, 400);
});

test("a gap ends a column, and what follows it is not joined", () => {
  const columns = new Columns();
  columns.follow(track([[0, 5], [100, null], [2_000, null], [3_000, 1], [3_100, null], [3_200, 2], [4_100, null], [4_200, 8], [4_300, null]]), WIDE, 8);
  assert.deepEqual(at(columns, 0), [HAS | ENDS, 5, 5, 5]);
  assert.deepEqual(at(columns, 1), [0]);
  assert.deepEqual(at(columns, 2), [ENDS]);
  assert.deepEqual(at(columns, 3), [HAS | FRESH, 1, 2, 2]);
  assert.deepEqual(at(columns, 4), [HAS | FRESH | ENDS, 8, 8, 8]);
});

test("columns that scroll out are used again, empty", () => {
  const columns = new Columns();
  const t = track([[0, 1], [1_000, 2]]);
  columns.follow(t, WIDE, 4);
  t.push(T0 + 5_000, 9);
  columns.follow(t, WIDE, 4);
  const out = new Float64Array(2);
  columns.extremes(T0 / WIDE + 2, T0 / WIDE + 5, out);
  assert.deepEqual([...out], [9, 9]);
  assert.deepEqual(at(columns, 4), [0]);
});

test("a picture that stands keeps its columns while samples come in, and takes those when it goes on", () => {
  const columns = new Columns();
  const t = track([[0, 1], [1_000, 2]]);
  columns.follow(t, WIDE, 4, T0 + 1_500);
  for (let s = 2; s < 9; s += 1) t.push(T0 + s * 1_000, s + 1);
  columns.follow(t, WIDE, 4, T0 + 1_500);
  assert.deepEqual([at(columns, 0), at(columns, 1)], [[HAS, 1, 1, 1], [HAS, 2, 2, 2]]);
  columns.follow(t, WIDE, 4, T0 + 8_000);
  assert.deepEqual([5, 6, 7, 8].map((i) => at(columns, i)[3]), [6, 7, 8, 9]);
  columns.follow(t, WIDE, 4, T0 + 4_000); // the clock was corrected
  assert.deepEqual([1, 2, 3, 4].map((i) => at(columns, i)[3]), [2, 3, 4, 5]);
});

test("another scale, a wider canvas or a changed history starts anew", () => {
  const columns = new Columns();
  const t = track([[0, 1], [1_500, 3]]);
  columns.follow(t, WIDE, 4);
  columns.follow(t, 500, 4);
  assert.equal(columns.newest, T0 / 500 + 3);
  columns.follow(t, 500, 16);
  assert.equal(columns.capacity, 16);
  t.shift(-10_000);
  columns.follow(t, 500, 16);
  assert.equal(columns.newest, (T0 - 8_500) / 500);
});

test("a frozen picture keeps its left side while samples come in, and catches up afterwards", () => {
  const columns = new Columns();
  const t = track([[0, 1], [3_000, 4]]);
  columns.follow(t, WIDE, 4, T0 + 3_500);
  for (let i = 4; i < 10; i += 1) t.push(T0 + i * 1_000, i);
  columns.follow(t, WIDE, 4, T0 + 3_500);
  assert.deepEqual(at(columns, 0), [HAS, 1, 1, 1]);
  assert.equal(columns.cursor, 2);
  columns.follow(t, WIDE, 4, T0 + 60_000);
  assert.deepEqual(at(columns, 9), [HAS, 9, 9, 9]);
  assert.equal(columns.cursor, 8);
});

test("where there is nothing, there are no extremes", () => {
  const columns = new Columns();
  const out = new Float64Array(2);
  columns.follow(track([]), WIDE, 4);
  columns.extremes(0, 1e9, out);
  assert.deepEqual([...out], [NaN, NaN]);
});

test("only where no line is known, nothing is known", () => {
  assert.deepEqual(overlap([0, 10, 20, 30], [5, 25]), [5, 10, 20, 25]);
  assert.deepEqual(overlap([0, 10], [10, 20]), []);
  assert.deepEqual(overlap([0, 100], []), []);
  assert.deepEqual(overlap([0, 100], [1, 2, 3, 4]), [1, 2, 3, 4]);
});
