import assert from "node:assert/strict";
import test from "node:test";
import { FIRST, HOUR_MS, fromInput, readChoice, spanOf, toInput } from "../../../assets/lib/requests/spans.mjs";

const NOW = 1_700_000_000_000;

test("a preset ends a little after now, so that what has just begun is in it", () => {
  const { from_ms: from, to_ms: to, model } = spanOf({ preset: "24h", model: "m" }, NOW);
  assert.equal(NOW - from, 24 * HOUR_MS);
  assert.ok(to > NOW);
  assert.equal(model, "m");
});

test("two instants are taken as they are", () => {
  assert.deepEqual(spanOf({ from: 1, to: 2, model: "" }, NOW), { from_ms: 1, to_ms: 2, model: "" });
});

test("what was kept is taken up again, and nonsense is not", () => {
  assert.deepEqual(readChoice('{"preset":"7d","model":"m"}'), { preset: "7d", model: "m" });
  assert.deepEqual(readChoice('{"from":1,"to":2}'), { from: 1, to: 2, model: "" });
  for (const odd of ["", "x", "[]", '{"preset":"constructor"}', '{"from":"1","to":2}', "null"]) assert.deepEqual(readChoice(odd), FIRST, odd);
});

test("an input of date and time means what it shows", () => {
  const minute = Math.floor(NOW / 60_000) * 60_000;
  assert.equal(fromInput(toInput(NOW)), minute);
  assert.ok(Number.isNaN(fromInput("")));
});
