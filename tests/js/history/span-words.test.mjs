/** The statistics of a span in words, and the room that the charts make for them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { address, change, correlation, day, placed, rows, stretched, trend } from "../../../assets/lib/history/span-words.mjs";

const SPEC = { from_ms: 5_000, to_ms: 9_000, compared_ms: null };
const CHANGE = { of: "p50", before: 100, after: 125, difference: 25, low: 4, high: 38, ratio: 0.25, ratio_low: 0.04, ratio_high: 0.38, sure: true, absent: "" };
const NOTHING = { count: null, mean: null, min: null, max: null, last: null, p50: null, p95: null, p99: null, measured: null };

test("what is compared on the page is what is asked for, else the server's choice", () => {
  assert.equal(address(SPEC, "a", "", { name: "Atlantic/Azores", east: -60 }), "/api/v1/statistics?series=a&from=5000&to=9000&zone=Atlantic%2FAzores&offset=-3600");
  const query = new URLSearchParams(address({ ...SPEC, compared_ms: 1_000 }, 'a{b="c"}', "d", { name: "UTC", east: 0 }).split("?")[1]);
  assert.deepEqual(["series", "against_from", "against_to", "with"].map((name) => query.get(name)), ['a{b="c"}', "1000", "5000", "d"]);
});

test("a figure that neither span has is no row", () => {
  const told = { span: { ...NOTHING, mean: 12.34, measured: 0.8125, count: 1_234 }, against: { ...NOTHING, mean: 10 }, changes: [{ of: "mean", absent: "x" }] };
  assert.deepEqual(rows(told, "%").map(({ key, now, before }) => [key, now, before]), [["mean", "12 %", "10 %"], ["measured", "81.3 %", "–"], ["count", "1,234", "–"]]);
  assert.equal(rows(told, "%")[0].change.absent, "x");
  assert.equal(rows(told, "%")[1].change, null);
});

test("a change is a share of what was before, of percent it is in points, and it says how sure it is", () => {
  assert.deepEqual(change(CHANGE, "ms"), { verdict: "significantly higher", size: "+25 % (between +4.0 and +38 %)", sure: true });
  assert.deepEqual(change({ ...CHANGE, difference: -3.04, low: -8, high: 1, sure: false }, "%"), { verdict: "no significant difference", size: "−3.0 points (between −8.0 and +1.0 points)", sure: false });
  assert.equal(change({ ...CHANGE, ratio: null, difference: -2_000, low: -3_000, high: -1_500 }, "B").size, "−2.0 kB (between −3.0 and −1.5 kB)");
  assert.equal(change({ ...CHANGE, difference: 0, low: 0, high: 0, sure: false }, "%").size, "±0.0 points (between ±0.0 and ±0.0 points)");
  assert.deepEqual(change({ absent: "Too few." }, "ms"), { verdict: "inconclusive", size: "Too few.", sure: false });
});

test("a trend has its period, a correlation its strength and direction", () => {
  assert.equal(trend({ per_ms: 86_400_000, slope: 12, low: -1, high: 250, sure: false, absent: "" }, "ms").size, "+12.0 ms per day (between −1.0 and +250 ms)");
  assert.equal(trend({ per_ms: 3_600_000, slope: -2, low: -3, high: -1, sure: true, absent: "" }, "%").verdict, "significantly falling");
  assert.deepEqual(correlation({ rho: -0.72, low: -0.8, high: -0.4, steps: 1_300, sure: true, absent: "" }), {
    verdict: "significant, strongly: one rises as the other falls", size: "ρ −0.72 (between −0.80 and −0.40), 1,300 steps", sure: true,
  });
  assert.equal(correlation({ rho: 0.1, low: -0.2, high: 0.3, steps: 99, sure: false, absent: "" }).verdict, "no significant correlation");
});

test("what is small is told with two digits, what is 0 as 0, and an end that is not known as such", () => {
  const rising = (unit, slope, low, high) => trend({ per_ms: 3_600_000, slope, low, high, sure: true, absent: "" }, unit).size;
  assert.equal(rising("%", 0.0004, 0.0001, 0.0009), "+0.00040 points per hour (between +0.00010 and +0.00090 points)");
  assert.equal(rising("%", -0.34, -12.6, 0), "−0.34 points per hour (between −13 and ±0.0 points)");
  assert.equal(rising("B", 0.0123, 5.4, 2_000_000), "+0.012 B per hour (between +5.4 B and +2.0 MB)");
  assert.equal(rising("°C", 0.3, -3.42, 71.3), "+0.30 °C per hour (between −3.4 and +71 °C)");
  assert.equal(rising("s", 0.0000004, 0.004, 7_000), "+0.00040 ms per hour (between +4.0 ms and +1.9 h)");
  assert.equal(rising("J", 0.00002, 0.02, 20_000), "+0.020 mJ per hour (between +20.0 mJ and +20.0 kJ)");
  assert.equal(rising("MHz", 0.0000004, 5.4, -3_000), "+0.40 Hz per hour (between +5.4 MHz and −3.00 GHz)");
  assert.equal(rising("", 0.004, 5, 12_345), "+0.0040 per hour (between +5 and +12.3k)");
  assert.equal(rising("tokens/s", 1e-15, 0, -1e-12), "±0.0 tokens/s per hour (between ±0.0 and ±0.0 tokens/s)");
  assert.equal(rising("%", 1e-15, 0, null), "±0.0 points per hour (between ±0.0 points and unknown)");
  assert.equal(rising("ms", 5, null, 7), "+5.0 ms per hour (between unknown and +7.0 ms)");
  assert.equal(change({ ...CHANGE, ratio_low: null, ratio_high: null }, "ms").size, "+25 % (its ends are unknown)");
  assert.equal(correlation({ rho: 0.03, low: 0.004, high: null, steps: 900, sure: true, absent: "" }).size, "ρ +0.030 (between +0.0040 and unknown), 900 steps");
});

test("the day is bars from 0, and its words tell the least and the most", () => {
  const hours = new Array(24).fill(null);
  hours[3] = 10;
  hours[14] = 40;
  const found = day(hours, "%");
  assert.equal(found.words, "lowest 10 % from 3:00, highest 40 % from 14:00");
  assert.deepEqual(found.bars.map(({ x, words }) => [x, words]), [[31, "3:00 to 4:00: 10 %"], [141, "14:00 to 15:00: 40 %"]]);
  assert.equal(found.bars[1].height, 4 * found.bars[0].height);
  assert.equal(day(null, "%"), null);
  assert.equal(day([5, ...new Array(23).fill(null)], "%"), null);
});

test("what is open below a chart moves all that comes after it, and no chart changes its size", () => {
  const charts = [{ name: "a", top: 48, height: 200 }, { name: "b", top: 260, height: 100 }];
  const px = (layout, name) => layout[name].domain.map((end) => layout.margin.t + (1 - end) * (layout.height - layout.margin.t - layout.margin.b));
  const layout = { height: 500, margin: { t: 26, b: 30 }, yaxis: { domain: [0.6, 0.9] }, yaxis2: { domain: [0.1, 0.4] }, yaxis3: { domain: [0.95, 1] } };
  const found = stretched({ data: [1], layout }, charts, { a: 120, b: 30 });
  assert.equal(found.layout.height, 650);
  const close = (one, other) => one.forEach((each, i) => assert.ok(Math.abs(each - other[i]) < 1e-9, `${one} is not ${other}`));
  close(px(found.layout, "yaxis"), px(layout, "yaxis"));
  close(px(found.layout, "yaxis2"), px(layout, "yaxis2").map((each) => each + 120));
  close(px(found.layout, "yaxis3"), px(layout, "yaxis3"));
  assert.equal(stretched({ layout }, charts, {}).layout, layout);
  assert.deepEqual(placed(charts, { a: 120, b: 30 }), [{ name: "a", top: 48, height: 320 }, { name: "b", top: 380, height: 130 }]);
});
