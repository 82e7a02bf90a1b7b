import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const window = {};
const source = readFileSync(new URL("../../../assets/requests.js", import.meta.url), "utf8");
new Function("window", source)(window); // a classic script
const { wfmonClass: style, wfmonFigure: figure, wfmonText: words, wfmonTime: time } = window.dashAgGridFunctions;

test("a figure has its digits below 100 and groups above; what was not measured is a dash", () => {
  assert.equal(figure({ value: 59.44 }, 1), "59.4");
  assert.equal(figure({ value: 7 }, 1), "7.0");
  assert.equal(figure({ value: 12_345.6 }, 1), "12,346");
  assert.equal(figure({ value: 318 }, 0), "318");
  for (const value of [null, undefined, NaN, "7"]) assert.equal(figure({ value }, 1), "–");
});

test("an instant is written in this zone, to the second", () => {
  const ms = new Date(2026, 10, 8, 4, 2, 31).getTime();
  assert.equal(time({ value: ms }), "2026-11-08 04:02:31");
  assert.equal(time({ value: undefined }), "–");
});

test("a text stays a text, and an empty one is a dash", () => {
  assert.equal(words({ value: "<b>m</b>" }), "<b>m</b>");
  assert.equal(words({ value: "" }), "–");
});

test("slowness and a bad end are marked", () => {
  assert.equal(style({ colDef: { field: "why" }, data: { slow: true } }), "is-slow");
  assert.equal(style({ colDef: { field: "why" }, data: { slow: false } }), "");
  assert.equal(style({ colDef: { field: "status" }, data: { status: "error" } }), "is-error");
});
