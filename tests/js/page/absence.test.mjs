import assert from "node:assert/strict";
import test from "node:test";
import { Panel, factText } from "../../../assets/lib/page/readouts.mjs";
import { T0, store, track } from "../helpers.mjs";

const panel = (...selectors) => new Panel({ dataset: { collector: "system" }, querySelector: () => null, querySelectorAll: () => [] }, selectors);
const view = (rightMs, span = 30_000) => ({ right: T0 + rightMs, span });

test("a metric that never had a sample says why", () => {
  const s = store();
  s.state({ absent: [["system.temperature_celsius", "no sensor"]] });
  assert.equal(panel("system.temperature_celsius").reason(s, view(0)), "no sensor");
  assert.equal(panel('system.temperature_celsius{sensor="a"}').reason(s, view(0)), "no sensor");
  s.state({ collectors: [] });
  assert.equal(panel("system.temperature_celsius").reason(s, view(0)), "no sensor", "a state without absences takes none back");
  s.state({ absent: [] });
  assert.equal(panel("system.temperature_celsius").reason(s, view(0)), null);
});

test("what is absent now is shown as long as the window holds values of it", () => {
  const s = store();
  s.frame(1, T0, [[1, 0, 4]]);
  s.frame(2, T0 + 1_000, [[1, 0, null]]);
  s.state({ absent: [[1, "no input"]] });
  assert.equal(panel("system.cpu_percent").reason(s, view(20_000)), null);
  assert.equal(panel("system.cpu_percent").reason(s, view(31_500)), "no input");
});

test("a collector that does not run is the reason, whatever the window holds", () => {
  const s = store();
  s.frame(1, T0, [[1, 0, 4]]);
  s.state({ collectors: [{ name: "system", state: "off", reason: "switched off" }] });
  assert.equal(panel("system.cpu_percent").reason(s, view(1_000)), "switched off");
});

test("known since: a value that held at the start of the window counts, a gap does not", () => {
  assert.equal(track([[0, 1], [5_000, null]]).knownSince(T0 + 4_000), true);
  assert.equal(track([[0, 1], [5_000, null]]).knownSince(T0 + 5_000), false);
  assert.equal(track([[0, 1], [5_000, null], [9_000, 2]]).knownSince(T0 + 6_000), true);
  assert.equal(track([]).knownSince(T0), false);
});

test("a card's name stands alone, several have their numbers, and none is nothing", () => {
  assert.equal(factText(["NVIDIA H200"]), "NVIDIA H200");
  assert.equal(factText(["A", "B"]), "0 A · 1 B");
  assert.equal(factText([]), "");
  assert.equal(factText(undefined), "");
});

test("a frozen panel stays what it was, and one that comes while frozen is told once", () => {
  const s = store();
  const shown = [];
  const made = panel("system.cpu_percent");
  made.element.toggleAttribute = (_, on) => shown.push(on);
  s.state({ absent: [[1, "no sensor"]] });
  made.update(s, { ...view(0), frozenMs: T0 }, T0);
  s.frame(1, T0, [[1, 0, 4]]);
  made.update(s, { ...view(1_000), frozenMs: T0 }, T0);
  assert.deepEqual(shown, [true]);
  made.update(s, { ...view(1_000), frozenMs: null }, T0);
  assert.deepEqual(shown, [true, false]);
});
