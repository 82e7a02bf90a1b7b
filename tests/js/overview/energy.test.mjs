import assert from "node:assert/strict";
import test from "node:test";
import {
  BUDGET, DENSITY, FLASH_MS, MAX_SPEED, PX_PER_TOKEN, Particles, RECENT_MS, Ribbon, STALE_MS, Signals, allot, choose, densityOf, disagreement, places, seenMs, speedOf, widthShare,
} from "../../../assets/lib/overview/energy.mjs";
import { MODELS, STATES, modelKey, modelsOf, slotOf } from "../../../assets/lib/series/models.mjs";
import { Store } from "../../../assets/lib/series/store.mjs";
import { Track } from "../../../assets/lib/series/track.mjs";
import { bodyAlpha, lineAlpha, withAlpha } from "../../../assets/lib/overview/ribbons.mjs";
import { T0 } from "../helpers.mjs";

/** Tracks of one model: name -> [[ms after T0, value], ...] or one value at T0. */
function tracks(values) {
  const made = {};
  for (const [name, given] of Object.entries(values)) {
    const kind = /ttft|entropy/.test(name) ? "event" : "gauge";
    made[name] = new Track({ id: 1, name: `model.${name}`, unit: "", kind, labels: { model: "m", server: "s" } });
    for (const [ms, value] of Array.isArray(given) ? given : [[0, given]]) made[name].push(T0 + ms, value === null ? NaN : value);
  }
  return made;
}

const FLOWING = {
  tokens_per_second: 50, throughput_percent: 72, energy: 0.8, energy_state: 2, entropy_bits: 1.5, entropy_k: 8, ttft_ms: 200,
};

function ribbon(values, slot = 0, key = "m\ns") {
  const made = new Ribbon(key, "m", "s", slot);
  made.tracks = tracks(values);
  return made;
}

/** Steps of 16 ms until the glide is over. */
function settle(made, from = T0 + 1_000) {
  for (let i = 0; i < 120; i += 1) made.step(from + i * 16, 16, true, false);
  return made;
}

test("each visual is its signal, in the stated measure", () => {
  assert.deepEqual([0, 25, 100, 130, NaN].map(widthShare), [0, 0.25, 1, 1, 0]);
  assert.deepEqual([0, 12.5, 1e6, NaN].map(speedOf), [0, 12.5 * PX_PER_TOKEN, MAX_SPEED, 0]);
  assert.equal(densityOf(0.5), DENSITY / 2);
  assert.equal(densityOf(NaN), NaN);
});

test("a ribbon shows within two percent what its signals say", () => {
  const shown = settle(ribbon(FLOWING));
  const near = (value, wanted) => assert.ok(Math.abs(value / wanted - 1) < 0.001, `${value} is not ${wanted}`);
  near(shown.share, 0.72);
  near(shown.speed, 200);
  near(shown.brightness, 0.8);
  near(shown.density, (1.5 / 3) * DENSITY);
});

test("it flies as far as the tokens say, and not while the picture stands or was away", () => {
  const flown = ribbon(FLOWING);
  for (let i = 0; i < 60; i += 1) flown.step(T0 + i * 50, 50, true, false);
  assert.ok(Math.abs(flown.flown - 3 * 50 * PX_PER_TOKEN) < 1e-6);
  flown.step(T0 + 3_000, 0, true, false);
  assert.ok(Math.abs(flown.flown - 600) < 1e-6);
  flown.step(T0 + 60_000, 57_000, true, false);
  assert.ok(flown.flown <= 600 + 20.001);
});

test("no motion is wanted: nothing flies, flashes or glides, and the figures are there at once", () => {
  const still = ribbon(FLOWING);
  still.step(T0 + 10, 16, true, true);
  assert.deepEqual([still.flown, still.flash, still.share], [0, 0, Math.fround(72) / 100]);
});

test("without log-probabilities there is no density, without energy no brightness", () => {
  const dark = settle(ribbon({ tokens_per_second: 20, throughput_percent: 50 }));
  assert.deepEqual([dark.density, dark.brightness], [NaN, NaN]);
  assert.equal(STATES[dark.signals.state], "flowing");
  assert.equal(settle(ribbon({ ...FLOWING, entropy_k: 1 })).density, NaN);
});

test("entropy is of the newest second of tokens; when others come without it, it is stale after five", () => {
  const told = tracks({ entropy_bits: [[0, 9], [1_500, 1], [2_000, 3]], tokens_per_second: [[0, 9], [7_500, 0]] });
  const at = (ms) => {
    const signals = new Signals();
    signals.read(told, T0 + ms);
    return signals.entropy;
  };
  assert.equal(at(2_100), 2);
  assert.equal(at(2_700), 3);
  assert.equal(at(2_000 + STALE_MS), 2);
  assert.equal(at(2_001 + STALE_MS), NaN);
  assert.equal(at(60_000), 2);
});

test("the first token flashes and fades; a prompt that is read glows from the left", () => {
  const first = ribbon({ ...FLOWING, ttft_ms: [[1_000, 200]] });
  first.step(T0 + 999, 16, true, false);
  assert.equal(first.flash, 0);
  first.step(T0 + 1_000 + FLASH_MS / 2, 16, true, false);
  assert.equal(first.flash, 0.5);
  const reads = ribbon({ energy_state: [[0, 0], [500, 1]], tokens_per_second: 0 });
  reads.step(T0 + 400, 16, true, false);
  assert.equal(reads.glow, -1);
  reads.step(T0 + 1_500, 16, true, false);
  assert.equal(reads.glow, 120);
});

test("at rest it says that it need not be drawn, once it has settled", () => {
  const rests = ribbon({ tokens_per_second: 0, throughput_percent: 0, energy: 0, energy_state: 0 });
  assert.equal(rests.step(T0 + 10, 16, true, false), true);
  assert.equal(rests.step(T0 + 26, 16, true, false), false);
  assert.equal(settle(ribbon(FLOWING)).settled, false);
});

test("what is not known is shown as nothing", () => {
  const lost = settle(ribbon(FLOWING));
  for (let i = 0; i < 100; i += 1) lost.step(T0 + 9_000 + i * 16, 16, false, false);
  assert.deepEqual([lost.share, lost.speed, lost.brightness, lost.signals.active], [0, 0, NaN, false]);
});

test("particles are density times area, and a budget is shared fairly", () => {
  const place = { width: 1_000, full: 50 };
  const one = Object.assign(ribbon({}), { density: 20, share: 0.5 });
  const other = Object.assign(ribbon({}, 1), { density: 40, share: 1 });
  assert.equal(allot([one, other], { ...place, full: 40 }), 1);
  assert.deepEqual([one.count, other.count], [400, 1_600]);
  assert.equal(allot([one, other], { ...place, full: 80 }), BUDGET / 4_000);
  assert.deepEqual([one.count, other.count], [400, 1_600]);
  assert.equal(allot([one, other], { ...place, full: 40 }, 0.5), 0.5);
  assert.deepEqual([one.count, other.count], [200, 800]);
  allot([one, other], { ...place, full: 40 }, 0);
  assert.deepEqual([one.count, other.count], [0, 0]);
  allot([Object.assign(one, { density: NaN })], place);
  assert.equal(one.count, 0);
});

test("however many particles there are, they stand evenly along the ribbon and across it", () => {
  const particles = new Particles();
  for (const count of [50, 400, BUDGET]) {
    const quarters = new Array(8).fill(0);
    for (let i = 0; i < count; i += 1) {
      quarters[Math.floor(particles.at(i, 123, 1_000) / 250)] += 1;
      quarters[4 + Math.floor((particles.across(i, 123, 1_000) + 0.5) * 4)] += 1;
    }
    for (const quarter of quarters) assert.ok(Math.abs(quarter - count / 4) <= Math.max(4, count * 0.02), `${count}: ${quarters}`);
  }
});

test("a particle moves with its ribbon and comes round again", () => {
  const particles = new Particles();
  const start = particles.at(7, 0, 1_000);
  assert.ok(Math.abs(particles.at(7, 10, 1_000) - start - 10) < 1e-9);
  assert.ok(Math.abs(particles.at(7, 1_000, 1_000) - start) < 1e-9);
  assert.notEqual(particles.across(7, 0, 1_000), particles.across(7, 1_000, 1_000));
});

test("lanes share the height, and a full ribbon fits into its own", () => {
  for (const count of [1, 2, 6]) {
    const { lane, full, top } = places(770, 268, count);
    assert.ok(full < lane && top + lane * count <= 268);
  }
});

test("a stage of many models shows those that work, then the most recent, and keeps places", () => {
  const one = (key, seen, active = false) => ({ key, seen: T0 + seen, active });
  const never = { key: "d", seen: -Infinity, active: false };
  const told = choose([one("a", 0, true), one("b", -10_000), one("c", -RECENT_MS - 1), never], ["b"], T0);
  assert.deepEqual([told.keys, told.more], [["b", "a"], 1]);
  assert.deepEqual(choose([one("a", -RECENT_MS * 9), one("b", -RECENT_MS * 8)], [], T0).keys, ["b"]);
  const many = Array.from({ length: 9 }, (_, i) => one(`m${i}`, -i, i > 5));
  const chosen = choose(many, ["m5", "m4"], T0);
  assert.equal(chosen.keys.length, MODELS);
  assert.deepEqual(chosen.keys.slice(0, 2), ["m5", "m4"]);
  assert.ok(["m6", "m7", "m8"].every((key) => chosen.keys.includes(key)));
  assert.equal(chosen.more, 3);
});

test("a model was seen when its last tokens came, or when the monitor says so", () => {
  const told = tracks({ tokens_per_second: [[0, 0], [1_000, 20], [2_000, 10], [3_000, 0], [4_000, null]] });
  assert.equal(seenMs(told, -Infinity, T0 + 9_000), T0 + 3_000);
  assert.equal(seenMs(told, -Infinity, T0 + 1_500), T0 + 1_500);
  assert.equal(seenMs(told, T0 + 8_000, T0 + 9_000), T0 + 8_000);
  assert.equal(seenMs({}, -Infinity, T0), -Infinity);
  assert.equal(seenMs(tracks({ tokens_per_second: 0 }), -Infinity, T0), -Infinity);
});

test("series become models: by model and server", () => {
  const store = new Store();
  store.begin("a");
  const row = (id, name, labels) => ({ id, name, unit: "", kind: "gauge", labels });
  store.describe([
    row(1, "model.energy", { model: "m", server: "s" }), row(2, "model.energy", { model: "m", server: "t" }),
    row(3, "model.disagreement", { model: "m", server: "s", other: "n" }), row(4, "system.cpu_percent", {}),
  ]);
  const found = modelsOf(store);
  assert.deepEqual([...found.keys()], ["m\ns", "m\nt"]);
  assert.equal(found.get(modelKey({ model: "m", server: "s" })).others.get("n").id, 3);
  store.byId.get(3).push(T0, 0.25);
  const n = { model: "n", server: "s", others: new Map() };
  assert.equal(disagreement(n, found.get("m\ns"), T0), 0.25);
  const same = { model: "m", server: "t", others: new Map([["m@s", store.byId.get(3)]]) };
  assert.equal(disagreement(found.get("m\ns"), same, T0), 0.25);
  assert.equal(slotOf(found, "m\nt", undefined), 1, "until the monitor tells its colour");
  assert.equal(slotOf(found, "m\nt", { colour: 5 }), 4, "the one that it has everywhere");
  assert.equal(disagreement(n, found.get("m\nt"), T0), NaN);
});

test("light is proportional to energy; without energy no light is claimed", () => {
  assert.equal(bodyAlpha(1, 0.5), bodyAlpha(1, 1) / 2);
  assert.equal(bodyAlpha(0, 1), 0);
  assert.deepEqual([lineAlpha(0), lineAlpha(1)], [0.35, 1]);
  assert.equal(lineAlpha(NaN), 0.6);
  assert.equal(withAlpha("#102030", 0.5), "#10203080");
  assert.match(withAlpha("hsl(1 2% 3%)", 0.5), /^color-mix\(.*50\.0%/);
});
