import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { parseSelector, parseSeries, selects, splitSelectors } from "../../../assets/lib/series/selectors.mjs";

const golden = JSON.parse(readFileSync(new URL("../../data/selectors.json", import.meta.url), "utf8"));

for (const { selector, series, matches } of golden.cases) {
  test(`${selector} ${matches ? "means" : "does not mean"} ${series}`, () => {
    assert.equal(selects(parseSelector(selector), parseSeries(series)), matches);
  });
}

for (const text of golden.malformed) {
  test(`${text} is not a selector`, () => {
    assert.throws(() => parseSelector(text), /not a selector/);
  });
}

test("several selectors stand in one attribute, label values may hold spaces and braces", () => {
  assert.deepEqual(splitSelectors('a.b  c.d{x="1 2}",y="*"} e'), ["a.b", 'c.d{x="1 2}",y="*"}', "e"]);
  assert.deepEqual(splitSelectors(""), []);
});
