/** Fingers on the charts of the History page: what a swipe and a pinch make of the range, and what stays when they end. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fingers } from "../../../assets/lib/history/fingers.mjs";

const FIRST = [10_000_000, 20_000_000];

/** Fingers on charts of 1000 pixels; what they asked for is in `moved` and `rested`. */
function rig() {
  const stack = { clientWidth: 1_000, contains: (target) => target !== "elsewhere", getBoundingClientRect: () => ({ left: 0 }) };
  const found = { range: FIRST, moved: [], rested: [] };
  found.fingers = new Fingers({
    stack: () => stack, inPlot: (target) => target === "plot", range: () => found.range, nowMs: () => 100_000_000,
    move: (range) => found.moved.push((found.range = range)), rest: (range) => found.rested.push(range),
  });
  const take = (kind, more) => found.fingers.take({ type: `pointer${kind}`, pointerType: "touch", target: "plot", ...more });
  found.down = (pointerId, clientX, more) => take("down", { pointerId, clientX, ...more });
  found.move = (pointerId, clientX, more) => take("move", { pointerId, clientX, ...more });
  found.up = (pointerId, clientX, more) => take("up", { pointerId, clientX, ...more });
  return found;
}

test("one finger moves in time, and the range rests when it is lifted", () => {
  const charts = rig();
  charts.down(1, 500);
  charts.move(1, 495);
  assert.deepEqual(charts.moved, [], "it may be a tap yet");
  charts.move(1, 600);
  assert.deepEqual(charts.range, [9_000_000, 19_000_000]);
  charts.move(1, 400);
  assert.deepEqual(charts.range, [11_000_000, 21_000_000]);
  assert.deepEqual(charts.rested, []);
  charts.up(1, 400);
  assert.deepEqual(charts.rested, [[11_000_000, 21_000_000]]);
});

test("a tap asks for nothing", () => {
  const charts = rig();
  charts.down(1, 500);
  charts.up(1, 503);
  assert.deepEqual([charts.moved, charts.rested], [[], []]);
});

test("how many fingers are down is known: while one is, the page asks for nothing", () => {
  const charts = rig();
  const sizes = [["down", 1], ["down", 2], ["up", 1], ["up", 2]].map(([kind, id]) => {
    charts[kind](id, 200 * id);
    return charts.fingers.size;
  });
  assert.deepEqual(sizes, [1, 2, 1, 0]);
});

test("two fingers zoom around the middle between them", () => {
  const charts = rig();
  charts.down(1, 400);
  charts.down(2, 600);
  charts.move(1, 300);
  charts.move(2, 700);
  assert.deepEqual(charts.range, [12_500_000, 17_500_000]);
});

test("a pinch stays when its fingers are lifted one after the other, and the last one moves from there", () => {
  const charts = rig();
  charts.down(1, 400);
  charts.down(2, 600);
  charts.move(1, 300);
  charts.move(2, 700);
  charts.up(1, 300);
  assert.deepEqual(charts.rested, [], "one is down");
  charts.move(2, 701);
  charts.move(2, 700);
  assert.deepEqual(charts.range, [12_500_000, 17_500_000]);
  charts.move(2, 800);
  assert.deepEqual(charts.range, [12_000_000, 17_000_000]);
  charts.up(2, 800);
  assert.deepEqual(charts.rested, [[12_000_000, 17_000_000]]);
});

test("fingers on charts that are gone are known no more", () => {
  const charts = rig();
  charts.down(1, 500);
  charts.fingers.drop();
  charts.move(1, 600);
  charts.up(1, 600);
  assert.deepEqual([charts.fingers.size, charts.moved, charts.rested], [0, [], []]);
});

test("a mouse, a pen, a finger beside the plot and one that never came down are ignored", () => {
  const charts = rig();
  charts.down(1, 500, { pointerType: "mouse" });
  charts.down(2, 500, { pointerType: "pen" });
  charts.down(3, 500, { target: "elsewhere" });
  charts.down(4, 500, { target: "axis" });
  for (const id of [1, 2, 3, 4, 5]) charts.move(id, 900);
  for (const id of [1, 2, 3, 4, 5]) charts.up(id, 900);
  assert.deepEqual([charts.fingers.size, charts.moved, charts.rested], [0, [], []]);
});
