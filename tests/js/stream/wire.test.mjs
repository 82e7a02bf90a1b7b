import assert from "node:assert/strict";
import test from "node:test";
import { WireError, apply, hello, parse } from "../../../assets/lib/stream/wire.mjs";
import { Store } from "../../../assets/lib/series/store.mjs";
import { T0, meta, stored } from "../helpers.mjs";

const greeting = { type: "hello", version: 1, boot: "a", client: "c", now_ms: T0, mono_ms: 1, rate_hz: 60, resumed: false, series: [meta(1, "x.y")], collectors: [], cores: 8 };

test("a whole conversation ends in the store", () => {
  const store = new Store();
  for (const message of [
    greeting,
    { type: "snapshot", seq: 5, t0: T0, step_ms: 100, series: { 1: [1, 2] } },
    { type: "series", series: [meta(2, "x.z")] },
    { type: "frame", seq: 6, t: T0 + 300, v: [[1, 0, 3], [2, 5, 1]] },
    { type: "state", absent: [[2, "unplugged"]] },
    { type: "table", name: "processes", t: T0, columns: ["pid"], rows: [[1]] },
    { type: "something-new", from: "a later version" },
  ]) apply(store, parse(JSON.stringify(message)));
  assert.deepEqual(stored(store.tracks.get("x.y")), [[0, 1], [100, 2], [300, 3]]);
  assert.equal(store.tracks.get("x.z").absent, "unplugged");
  assert.deepEqual(store.tables.get("processes").rows, [[1]]);
  assert.equal(store.facts.cores, 8);
});

test("facts that come later join those of the greeting", () => {
  const s = new Store();
  apply(s, { ...greeting, cores: 2, host_facts: { gpus: [] } });
  apply(s, { type: "state", host_facts: { gpus: ["NVIDIA H200"] } });
  apply(s, { type: "state", collectors: [] });
  assert.deepEqual(s.facts, { cores: 2, gpus: ["NVIDIA H200"] });
});

test("a frame that was in the snapshot is not taken twice", () => {
  const store = new Store();
  apply(store, greeting);
  apply(store, { type: "snapshot", seq: 5, t0: T0, step_ms: 100, series: { 1: [1] } });
  assert.equal(apply(store, { type: "frame", seq: 5, t: T0 + 50, v: [[1, 0, 9]] }), false);
  assert.equal(apply(store, { type: "frame", seq: 6, t: T0 + 66, v: [[1, 0, 9]] }), true);
});

const bad = [
  ["not JSON", "{"],
  ["a list", "[]"],
  ["no type", "{}"],
  ["a hello of another version", JSON.stringify({ ...greeting, version: 2 })],
  ["a series without an id", JSON.stringify({ type: "series", series: [{ name: "x", unit: "" }] })],
  ["a frame without a time", '{"type":"frame","seq":1,"v":[]}'],
  ["a frame whose seq is text", '{"type":"frame","seq":"1","t":1,"v":[]}'],
  ["a snapshot with a step of 0", '{"type":"snapshot","seq":1,"t0":1,"step_ms":0,"series":{}}'],
  ["a table whose rows are no lists", '{"type":"table","name":"x","t":1,"columns":[],"rows":[1]}'],
];
for (const [what, raw] of bad) test(`${what} is refused`, () => assert.throws(() => parse(raw), WireError));

test("the first message asks to be resumed only when there is something to resume", () => {
  assert.deepEqual(hello({ token: "t", rateHz: 60, boot: null, since: -1 }), { type: "hello", version: 1, token: "t", rate_hz: 60 });
  assert.deepEqual(hello({ token: "t", rateHz: 1, boot: "a", since: 7, watch: { series: null, tables: [] } }), {
    type: "hello", version: 1, token: "t", rate_hz: 1, boot: "a", since: 7, watch: { series: null, tables: [] },
  });
});
