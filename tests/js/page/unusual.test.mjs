import assert from "node:assert/strict";
import test from "node:test";
import { markOf, unusualOf } from "../../../assets/lib/page/unusual.mjs";
import { apply } from "../../../assets/lib/stream/wire.mjs";
import { T0, store } from "../helpers.mjs";

const row = (series, more = {}) => ({ series, also: [], usually: "usually 12 to 30 % at this hour", text: `${series}: 91 %.`, since_ms: T0, ...more });

test("a mark belongs to the charts of its series, and of what tells the same in other words", () => {
  const rows = [row("system.cpu_percent"), row("system.memory_percent", { also: ["system.memory_used_bytes"] })];
  assert.deepEqual(unusualOf(rows, new Set(["system.cpu_percent"])), [rows[0]]);
  assert.deepEqual(unusualOf(rows, new Set(["system.memory_used_bytes"])), [rows[1]]);
  assert.deepEqual(unusualOf(rows, new Set(["system.swap_percent"])), []);
  assert.deepEqual(unusualOf(undefined, new Set(["system.cpu_percent"])), []);
});

test("it says what is usual, and opens History where it began", () => {
  const mark = markOf([row("system.cpu_percent")], T0 + 600_000);
  assert.deepEqual([mark.text, mark.short], ["unusual: usually 12 to 30 % at this hour", "unusual"]);
  assert.match(mark.title, /^system\.cpu_percent: 91 %\.\nThis is a hint, not an alert/);
  const query = new URL(mark.href, "http://x").searchParams;
  assert.deepEqual([query.getAll("series"), query.get("range")], [["system.cpu_percent"], "last 6 h"]);
  const late = (hours) => new URL(markOf([row("a.b")], T0 + hours * 3_600_000).href, "http://x").searchParams.get("range");
  assert.deepEqual([late(5), late(6), late(30)], ["last 6 h", "last 24 h", "last 7 d"]);
  assert.equal(markOf([], T0), null);
});

test("of several the oldest is told, with the number of the others", () => {
  const rows = [row('a.b{c="1 2"}', { since_ms: T0 + 5 }), row("a.b", { usually: "usually 1 to 2 at this hour" })];
  const mark = markOf(rows, T0);
  assert.equal(mark.text, "unusual: usually 1 to 2 at this hour, and 1 more");
  assert.deepEqual(new URL(mark.href, "http://x").searchParams.getAll("series"), ['a.b{c="1 2"}', "a.b"]);
});

test("what is unusual comes with the stream's facts, and goes with them", () => {
  const s = store();
  apply(s, { type: "state", host_facts: { gpus: [], unusual: [row("system.cpu_percent")] } });
  assert.equal(s.facts.unusual.length, 1);
  apply(s, { type: "state", collectors: [] });
  assert.equal(s.facts.unusual.length, 1);
  apply(s, { type: "state", host_facts: { gpus: [], unusual: [] } });
  assert.equal(s.facts.unusual.length, 0);
});
