import assert from "node:assert/strict";
import test from "node:test";
import { logReach, logTicks, spread } from "../../../assets/lib/requests/spread.mjs";

const tags = ({ shapes }, tag, style) => shapes.filter(([name, { class: own }]) => name === tag && (!style || own === style));
const words = ({ shapes }) => shapes.filter(([tag]) => tag === "text").map(([, , text]) => text);

test("a logarithmic axis reaches to round ends and has powers of ten, or more where they are few", () => {
  assert.deepEqual(logReach(13, 4_200), [10, 5_000]);
  assert.deepEqual(logReach(10, 10), [5, 20]);
  assert.deepEqual(logTicks(1, 1_000), [1, 10, 100, 1_000]);
  assert.deepEqual(logTicks(20, 200), [20, 50, 100, 200]);
});

test("dots stand where their values say, in the colour of their model", () => {
  const series = [{ name: "m", color: "--s-1", points: [[10, 100], [1_000, 10_000]] }];
  const made = spread({ kind: "dots", x: { title: "prompt, tokens" }, y: { title: "first token, ms", unit: "ms" }, series }, 300);
  const [low, high] = tags(made, "circle").map(([, attributes]) => attributes);
  assert.ok(low.cx < high.cx && low.cy > high.cy);
  assert.equal(low.style, "--c: var(--s-1)");
  assert.ok(words(made).includes("1k"));
  assert.ok(words(made).includes("first token, ms"));
  assert.ok(words(made).includes("10 s"));
});

test("a box has its quarters, its median and its ends", () => {
  const boxes = [{ name: "a name that goes on and on until it has no room any more", color: "--s-1", count: 1_200, marks: [10, 20, 30, 40, 50] }];
  const made = spread({ kind: "boxes", x: { title: "tokens/s" }, boxes }, 300);
  const at = (value) => 8 + (value / 52.5) * 284; // the axis reaches a little further than the data
  const [[, box]] = tags(made, "rect", "box-of");
  assert.ok(Math.abs(box.x - at(20)) < 0.1 && Math.abs(box.width - (at(40) - at(20))) < 0.2);
  const [[, whisker]] = tags(made, "line", "whisker");
  assert.ok(whisker.x1 < box.x && whisker.x2 > box.x + box.width);
  assert.ok(words(made)[words(made).length - 2].endsWith("…"));
  assert.ok(words(made).includes("median 30, n = 1,200"));
});

test("bars are as high as their counts, and empty bins have none", () => {
  const made = spread({ kind: "bars", x: { title: "bits" }, y: { title: "requests" }, bars: [[0, 1, 4], [1, 2, 0], [2, 3, 2]] }, 300);
  const heights = tags(made, "rect").map(([, { height }]) => height);
  assert.equal(heights.length, 2);
  assert.ok(Math.abs(heights[0] / heights[1] - 2) < 0.01);
});

test("a figure without values has no shapes", () => {
  assert.deepEqual(spread({ kind: "dots", series: [] }, 300).shapes, []);
  assert.deepEqual(spread({ kind: "boxes", boxes: [] }, 300).shapes, []);
  assert.deepEqual(spread({ kind: "bars", bars: [] }, 300).shapes, []);
});
