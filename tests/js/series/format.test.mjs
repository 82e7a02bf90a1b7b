import assert from "node:assert/strict";
import test from "node:test";
import { axisText, clockTime, parts, span, text } from "../../../assets/lib/series/format.mjs";

const cases = [
  [37.4, "%", "37 %"],
  [9.94, "%", "9.9 %"],
  [9.96, "%", "10 %"],
  [0, "%", "0.0 %"],
  [-0.01, "%", "0.0 %"],
  [11_200_000_000, "B", "11.2 GB"],
  [999, "B", "999 B"],
  [999.6, "B", "1.0 kB"],
  [999_960, "B", "1.0 MB"],
  [2_100_000, "B/s", "2.1 MB/s"],
  [512e9, "B", "512 GB"],
  [6.94, "ms", "6.9 ms"],
  [0.25, "ms", "0.25 ms"],
  [212.4, "ms", "212 ms"],
  [1310, "ms", "1.31 s"],
  [999.6, "ms", "1.00 s"],
  [8.4, "s", "8.40 s"],
  [0.5, "s", "500 ms"],
  [7200, "s", "2.0 h"],
  [61.7, "°C", "62 °C"],
  [42.26, "W", "42.3 W"],
  [1_980, "MHz", "1.98 GHz"],
  [340, "us", "340 µs"],
  [14, "", "14"],
  [1_234_567, "", "1.2M"],
  [14.25, "/s", "14.3 /s"],
  [1.42, "bit", "1.4 bits"],
  [0.042, "bit", "0.04 bits"],
  [0.34, "J", "340 mJ"],
  [0.0456, "J", "45.6 mJ"],
  [12.34, "J", "12.3 J"],
  [1_500, "J", "1.5 kJ"],
  [0.804, "index", "0.80"],
  [36, "tokens/s", "36.0 tokens/s"],
  [117.4, "tokens/s", "117 tokens/s"],
  [3_200, "tokens/s", "3.2k tokens/s"],
];

for (const [value, unit, wanted] of cases) {
  test(`${value} ${unit || "of no unit"} is written ${wanted}`, () => assert.equal(text(value, unit), wanted));
}

test("what is not known is absent, never a number", () => {
  for (const nothing of [NaN, null, undefined, Infinity]) assert.deepEqual(parts(nothing, "%"), { number: "no data", unit: "" });
});

test("an axis has no trailing zeros", () => {
  assert.equal(axisText(20e9, "B"), "20 GB");
  assert.equal(axisText(2.5e9, "B"), "2.5 GB");
  assert.equal(axisText(100, "%"), "100 %");
  assert.equal(axisText(2000, "ms"), "2 s");
});

test("the time of day is the user's, not UTC's", () => {
  const noon = Date.UTC(2026, 0, 5, 12, 0, 9);
  assert.equal(clockTime(noon, 0), "12:00:09");
  assert.equal(clockTime(noon, 330), "17:30:09");
  assert.equal(clockTime(noon, -300), "07:00:09");
  assert.equal(clockTime(NaN, 0), "--:--:--");
});

test("a span is said in the two largest words it needs", () => {
  assert.equal(span(3_400), "3 s");
  assert.equal(span(-5), "0 s");
  assert.equal(span(150_000), "2 min");
  assert.equal(span(7_500_000), "2 h 5 min");
});
