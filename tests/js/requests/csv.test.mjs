import assert from "node:assert/strict";
import test from "node:test";
import { csvCell, csvText, isoTime } from "../../../assets/lib/requests/csv.mjs";

test("a text that a spreadsheet would compute gets an apostrophe", () => {
  for (const bad of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]) assert.ok(csvCell(bad).replace(/^"/, "").startsWith("'"), bad);
  assert.equal(csvCell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
  assert.equal(csvCell("qwen2.5:7b"), "qwen2.5:7b");
});

test("a number is a number, also below zero, and what is not there is empty", () => {
  assert.equal(csvCell(-1.25), "-1.25");
  assert.equal(csvCell(0), "0");
  assert.equal(csvCell(null), "");
  assert.equal(csvCell(undefined), "");
  assert.equal(csvCell(NaN), "");
});

test("commas, quotes and line ends are quoted", () => {
  assert.equal(csvText(["a", "b"], [['say "no", now', "x\ny"]]), 'a,b\r\n"say ""no"", now","x\ny"\r\n');
});

test("an instant keeps its zone", () => {
  const ms = Date.UTC(2026, 10, 28, 13, 2, 31, 250);
  assert.equal(isoTime(ms, 60), "2026-11-28T14:02:31.250+01:00");
  assert.equal(isoTime(ms, 0), "2026-11-28T13:02:31.250+00:00");
  assert.equal(isoTime(ms, -210), "2026-11-28T09:32:31.250-03:30");
});
