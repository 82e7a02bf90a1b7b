/** The History page's own reckoning: views, ranges, the figure's short forms. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  LEAST_MS, colour, coloured, expanded, keyMeans, localText, outline, panned, plotMs, plotText, relayouted, tableOf, toggled,
  withParts, withRange, withSpan, zoomed,
} from "../../../assets/lib/history/history.mjs";

const HOUR = 3_600_000;

test("a view changes in the parts that are named, and in no other", () => {
  assert.equal(withSpan("series=a&range=yesterday&compare=day", 5.4, 9), "series=a&compare=day&from=5&to=9");
  assert.equal(withRange("series=a&from=1&to=2", "last 3 h"), "series=a&range=last+3+h");
  assert.equal(withParts("series=a&series=b&quantiles=1", { series: ["b", "c"], quantiles: null }), "series=b&series=c");
  assert.equal(withParts("compare=day", { compare: "" }), "");
});

test("a click on a series puts it at the end, another takes it away", () => {
  assert.deepEqual(toggled(["a", "b"], "c"), ["a", "b", "c"]);
  assert.deepEqual(toggled(["a", "b"], "a"), ["b"]);
});

test("moving stops at the present, zooming keeps the middle and never goes below what is kept", () => {
  assert.deepEqual(panned([0, HOUR], -0.25, 2 * HOUR), [-HOUR / 4, HOUR * 0.75]);
  assert.deepEqual(panned([0, HOUR], 1, HOUR + 1_000), [1_000, HOUR + 1_000]);
  assert.deepEqual(zoomed([0, HOUR], 0.5, HOUR), [HOUR / 4, HOUR * 0.75]);
  assert.deepEqual(zoomed([0, HOUR], 2, HOUR), [-HOUR, HOUR]);
  assert.deepEqual(zoomed([0, HOUR], 0.5, HOUR, 0), [0, HOUR / 2]);
  const [from, to] = zoomed([0, 12_000], 0.01, HOUR);
  assert.equal(to - from, LEAST_MS);
});

test("keys of the charts", () => {
  assert.deepEqual(keyMeans("ArrowLeft", false), { pan: -0.25 });
  assert.deepEqual(keyMeans("ArrowRight", true), { pan: 1 });
  assert.deepEqual(keyMeans("=", false), { zoom: 0.5 });
  assert.deepEqual(keyMeans("0", false), { do: "reset" });
  assert.equal(keyMeans("x", false), null);
});

test("times on the user's clock and back", () => {
  assert.equal(localText(0, () => 90), "1970-01-01T01:30:00");
  assert.equal(localText(HOUR, (ms) => (ms < HOUR ? 0 : 60)), "1970-01-01T02:00:00", "with the offset of its own instant");
  assert.equal(plotText(1.4), "1970-01-01T00:00:00.001");
  assert.equal(plotMs(plotText(1_795_000_000_123)), 1_795_000_000_123);
  assert.equal(plotMs("2026-11-20"), Date.UTC(2026, 10, 20));
  assert.equal(plotMs("2026-11-20 10:00:00.1234"), Date.UTC(2026, 10, 20, 10, 0, 0, 123));
  assert.ok(Number.isNaN(plotMs("nonsense")));
});

test("what plotly says of its range", () => {
  assert.deepEqual(relayouted({ "xaxis.range[0]": "1970-01-01 00:00", "xaxis.range[1]": "1970-01-01 01:00" }), [0, HOUR]);
  assert.deepEqual(relayouted({ "xaxis.range": ["1970-01-01 00:00", "1970-01-01 01:00"] }), [0, HOUR]);
  assert.equal(relayouted({ "xaxis.autorange": true }), "reset");
  assert.equal(relayouted({ autosize: true }), null);
  assert.equal(relayouted({ "xaxis.range": ["x", "y"] }), null);
  assert.equal(relayouted(null), null);
});

const token = (name) => ({ "--s-1": "#102030", "--ink": "#ffffff" })[name] ?? "";

test("colours are those of the theme, wherever they stand, and numbers are not looked at", () => {
  assert.equal(colour("--s-1", token), "#102030");
  assert.equal(colour("--s-1/18", token), "rgba(16,32,48,0.18)");
  assert.equal(colour("red", token), "red");
  const y = [1, 2];
  const given = { y, line: { color: "--s-1" }, marker: { color: ["--ink", "--s-1/50"] }, none: null };
  const made = coloured(given, token);
  assert.deepEqual(made, { y, line: { color: "#102030" }, marker: { color: ["#ffffff", "rgba(16,32,48,0.5)"] }, none: null });
  assert.equal(made.y, y);
  assert.equal(given.line.color, "--s-1");
});

test("an envelope is a closed outline for each stretch, and a gap stays one", () => {
  assert.deepEqual(outline([1, 2, null, 3], [5, 6, null, 7], 100, 10), {
    x: [100, 110, 110, 100, null, 130, 130].map((ms) => (ms === null ? null : plotText(ms))),
    y: [5, 6, 2, 1, null, 7, 3],
  });
  assert.deepEqual(outline([null], [null], 0, 1), { x: [], y: [] });
});

test("a line with an envelope becomes two traces, and pointing at it tells the ends where they differ", () => {
  const [band, line] = expanded([
    { name: "a", x0: "1970-01-01T00:00:00", dx: 10, y: [1, 2], yaxis: "y2", meta: { low: [1, 1], high: [1, 3], band: "--s-1/18", unit: "%" } },
  ]);
  assert.equal(band.fill, "toself");
  assert.equal(band.yaxis, "y2");
  assert.deepEqual(band.x, [0, 10, 10, 0].map(plotText), "as text: a number would be moved by the browser's zone");
  assert.deepEqual(line.customdata, ["", " (1.0 % to 3.0 %)"]);
  assert.equal("meta" in line, false);
  const plain = { y: [1] };
  assert.deepEqual(expanded([plain]), [plain]);
});

test("a chart as a table: the newest first, a dash where nothing is known", () => {
  const row = {
    unit: "%",
    lines: [
      { label: "one", trace: 0, from_ms: 0, step_ms: 1_000 },
      { label: "", trace: 1, from_ms: 0, step_ms: 1_000 },
    ],
  };
  const traces = [{ y: [10, null], meta: { low: [5, null], high: [20, null] } }, { y: [30, 40] }];
  assert.deepEqual(tableOf(row, traces, () => 0), {
    head: ["Time", "one min", "one mean", "one max", "min", "mean", "max"],
    body: [
      ["1970-01-01 00:00:01", "–", "–", "–", "40 %", "40 %", "40 %"],
      ["1970-01-01 00:00:00", "5.0 %", "10 %", "20 %", "30 %", "30 %", "30 %"],
    ],
  });
});
