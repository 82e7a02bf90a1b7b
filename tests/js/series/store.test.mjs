import assert from "node:assert/strict";
import test from "node:test";
import { seriesKey } from "../../../assets/lib/series/selectors.mjs";
import { Store } from "../../../assets/lib/series/store.mjs";
import { KEEP_MS } from "../../../assets/lib/series/track.mjs";
import { T0, meta, store, stored, track } from "../helpers.mjs";

test("a series is named as everywhere else", () => {
  assert.equal(seriesKey("a.b"), "a.b");
  assert.equal(seriesKey("a.b", { z: "1", c: 'x"\\' }), 'a.b{c="x\\"\\\\",z="1"}');
});

test("a frame's samples land at its time less their age", () => {
  const s = store();
  assert.equal(s.frame(7, T0 + 100, [[1, 60, 1.5], [1, 10, 2.5], [2, 0, 9]]), true);
  assert.deepEqual(stored(s.byId.get(1)), [[40, 1.5], [90, 2.5]]);
  assert.equal(s.knownMs, T0 + 100);
  assert.equal(s.counters.samples, 3);
});

test("a frame seen before is dropped and counted", () => {
  const s = store();
  s.frame(7, T0, [[1, 0, 1]]);
  assert.equal(s.frame(7, T0 + 50, [[1, 0, 2]]), false);
  assert.equal(s.frame(6, T0 + 50, [[1, 0, 2]]), false);
  assert.equal(s.counters.duplicates, 2);
  assert.equal(s.byId.get(1).size, 1);
});

test("null begins a gap, and what is not sent holds", () => {
  const t = track([[0, 5], [1_000, null], [2_000, 7]]);
  assert.equal(t.valueAt(T0 - 1), NaN);
  assert.equal(t.valueAt(T0 + 999), 5);
  assert.equal(t.valueAt(T0 + 1_500), NaN);
  assert.equal(t.valueAt(T0 + 60_000), 7);
});

test("samples out of order and samples of unknown series are counted, not stored", () => {
  const s = store();
  s.frame(1, T0 + 100, [[1, 80, 0], [1, 0, 1], [1, 50, 2], [99, 0, 3]]);
  assert.deepEqual([s.counters.late, s.counters.unknown, s.byId.get(1).size], [1, 1, 2]);
});

test("a value told again is no loss", () => {
  const s = store();
  s.frame(1, T0 + 100, [[1, 0, 1.1], [2, 0, null]]);
  s.frame(2, T0 + 200, [[1, 100, 1.1], [1, 150, 7], [2, 100, null]]);
  assert.deepEqual([s.counters.late, s.counters.samples], [0, 2]);
  s.frame(3, T0 + 300, [[1, 0, 2]]);
  s.frame(4, T0 + 400, [[1, 200, 9]]);
  assert.equal(s.counters.late, 1);
});

test("five minutes at 60 Hz are kept, older samples make room", () => {
  const t = track([]);
  for (let i = 0; i < 60 * 400; i += 1) t.push(T0 + i * (1000 / 60), i);
  assert.ok(t.lastMs - t.t[t.head] >= KEEP_MS);
  assert.equal(t.t.length, 32_768);
  assert.equal(t.v[t.slot(t.size - 1)], 60 * 400 - 1);
  assert.equal(t.valueAt(t.lastMs - 100_000), 60 * 300 - 1);
});

test("a slow series never grows beyond its first ring", () => {
  const t = track([]);
  for (let i = 0; i < 2_000; i += 1) t.push(T0 + i * 2_000, i);
  assert.equal(t.t.length, 256);
  assert.equal(t.size, 256);
});

test("a snapshot brings changes, not repetitions", () => {
  const s = store();
  s.fill(42, T0, 100, { 1: [null, 1, 1, 1, 2, null, null, 3], 2: [8] });
  assert.deepEqual(stored(s.byId.get(1)), [[100, 1], [400, 2], [500, NaN], [700, 3]]);
  assert.equal(s.seq, 42);
  assert.equal(s.knownMs, T0 + 700);
});

test("a snapshot brings each event of its own step, equal ones too, and none that is known already", () => {
  const s = new Store();
  s.begin("a");
  s.describe([{ ...meta(1, "model.chunk_tokens", { model: "m", server: "s" }, ""), kind: "event" }]);
  s.fill(1, T0, 100, { 1: [null, 1, 1, null, 2] });
  assert.deepEqual(stored(s.byId.get(1)), [[100, 1], [200, 1], [400, 2]]);
  s.frame(2, T0 + 450, [[1, 0, 1]]);
  s.fill(9, T0 + 100, 100, { 1: [1, 1, null, 2, 1, 3] });
  assert.deepEqual(stored(s.byId.get(1)), [[100, 1], [200, 1], [400, 2], [450, 1], [600, 3]]);
});

test("a snapshot after a break fills the hole and leaves the finer history", () => {
  const s = store();
  s.fill(1, T0, 100, { 1: [1] });
  s.frame(2, T0 + 50, [[1, 0, 1.25]]);
  s.frame(3, T0 + 120, [[1, 0, 1.5]]);
  s.fill(9, T0, 100, { 1: [1, 1.25, 1.5, 4] });
  assert.deepEqual(stored(s.byId.get(1)), [[0, 1], [50, 1.25], [120, 1.5], [300, 4]]);
});

test("a snapshot that begins after the last known time leaves a gap between", () => {
  const s = store();
  s.frame(1, T0, [[1, 0, 1]]);
  s.fill(2, T0 + 600_000, 100, { 1: [3] });
  assert.deepEqual(stored(s.byId.get(1)), [[0, 1], [1, NaN], [600_000, 3]]);
});

test("after a restart the ids are new, the history stays, and the silence is a gap", () => {
  const s = store();
  s.frame(500, T0 + 1_000, [[1, 0, 1]]);
  s.begin("b");
  s.describe([meta(33, "system.cpu_percent")]);
  assert.equal(s.seq, -1);
  s.frame(1, T0 + 9_000, [[33, 0, 2], [1, 0, 7]]);
  assert.deepEqual(stored(s.tracks.get("system.cpu_percent")), [[1_000, 1], [1_001, NaN], [9_000, 2]]);
  assert.equal(s.counters.unknown, 1);
});

test("a break counts once, however it is found", () => {
  const s = store();
  s.frame(500, T0, [[1, 0, 1], [2, 0, 1]]);
  s.begin("b");
  s.describe([meta(1, "system.cpu_percent"), meta(2, "system.memory_used_bytes", {}, "B")]);
  s.fill(3, T0 + 9_000, 100, { 1: [2], 2: [3] });
  assert.equal(s.counters.breaks, 1);
});

test("a step of the wall clock moves the history along and marks the step", () => {
  const s = store();
  s.frame(1, T0 + 1_000, [[1, 0, 1]]);
  s.clockStep(-3_600_000);
  assert.equal(s.frame(2, T0 + 2_000 - 3_600_000, [[1, 0, 2]]), true);
  assert.deepEqual(stored(s.byId.get(1)), [[1_000 - 3_600_000, 1], [1_001 - 3_600_000, NaN], [2_000 - 3_600_000, 2]]);
});

test("an absence has a reason until a value comes", () => {
  const s = store();
  s.state({ absent: [[1, "no sensor"]], collectors: [{ name: "gpu", state: "absent", reason: "no card" }] });
  assert.equal(s.byId.get(1).absent, "no sensor");
  assert.equal(s.collectors.get("gpu").reason, "no card");
  s.frame(1, T0, [[1, 0, 4]]);
  assert.equal(s.byId.get(1).absent, null);
});

test("a selector is a metric, a series, or a series with globs", () => {
  const s = new Store();
  s.begin("a");
  const cores = ["10", "2", "1"].map((core, id) => meta(id, "system.cpu_core_percent", { core }));
  s.describe([...cores, meta(9, "system.cpu_percent"), meta(10, "t.x", { sensor: "Core 0, left" })]);
  const keys = (selector) => s.select(selector).map((t) => Object.values(t.labels)[0] ?? t.name);
  assert.deepEqual(keys("system.cpu_core_percent"), ["1", "2", "10"]);
  assert.deepEqual(keys('system.cpu_core_percent{core="1*"}'), ["1", "10"]);
  assert.deepEqual(keys('system.cpu_core_percent{core="2"}'), ["2"]);
  assert.deepEqual(keys('system.cpu_core_percent{gpu="*"}'), []);
  assert.deepEqual(keys("system.cpu_percent"), ["system.cpu_percent"]);
  assert.deepEqual(keys('t.x{sensor="*re*left"}'), ["Core 0, left"]);
  assert.deepEqual(keys('t.x{sensor="left*"}'), []);
});

test("the same selection is the same array until the series change", () => {
  const s = store();
  const first = s.select("system.cpu_percent");
  assert.equal(s.select("system.cpu_percent"), first);
  s.describe([meta(3, "system.load_1m")]);
  assert.notEqual(s.select("system.cpu_percent"), first);
});

test("a series' own text means that series alone, whatever characters its labels have", () => {
  const s = new Store();
  s.begin("a");
  s.describe([meta(0, "m", { model: "q?en" }), meta(1, "m", { model: "qwen" })]);
  assert.deepEqual(s.select('m{model="q?en"}').map((t) => t.id), [0]);
  assert.deepEqual(s.select('m{model="q?e*"}').map((t) => t.id), [0, 1]);
});

test("the usual distance of samples is learned, and a pause does not change it much", () => {
  const t = track([]);
  for (let i = 0; i < 50; i += 1) t.push(T0 + i * 100, i);
  assert.equal(t.periodMs, 100);
  t.push(T0 + 9_000, 1);
  assert.ok(t.periodMs < 110);
});

test("a series that seldom changes held in between: no period is longer than its collector's", () => {
  const s = store();
  const [cpu] = s.select("system.cpu_percent");
  s.frame(1, T0, [[1, 0, 4]]);
  s.frame(2, T0 + 8_000, [[1, 0, 5]]);
  assert.equal(cpu.periodMs, 8_000, "nothing else is known of it");
  s.state({ collectors: [{ name: "system", state: "running", rate_hz: 10 }] });
  assert.equal(cpu.periodMs, 100);
  s.frame(3, T0 + 16_000, [[1, 0, 6]]);
  assert.equal(cpu.periodMs, 100);
  s.describe([meta(3, "system.swap_used_bytes")]);
  s.frame(4, T0 + 17_000, [[3, 0, 1]]);
  s.frame(5, T0 + 25_000, [[3, 0, 2]]);
  assert.equal(s.select("system.swap_used_bytes")[0].periodMs, 100, "a series that came later too");
});
