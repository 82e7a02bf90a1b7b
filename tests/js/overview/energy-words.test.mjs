import assert from "node:assert/strict";
import test from "node:test";
import { Ribbon } from "../../../assets/lib/overview/energy.mjs";
import {
  ago, card, energyFormula, evidence, face, gist, rateText, reading, sentence, serverLine, sureness, wayText,
} from "../../../assets/lib/overview/energy-words.mjs";
import { Quality } from "../../../assets/lib/page/quality.mjs";
import { Track } from "../../../assets/lib/series/track.mjs";
import { cellText } from "../../../assets/lib/page/tables.mjs";
import { T0 } from "../helpers.mjs";

function ribbon(model, values) {
  const made = new Ribbon(`${model}\ns`, model, "127.0.0.1:11434", 0);
  for (const [name, value] of Object.entries(values)) {
    made.tracks[name] = new Track({ id: 1, name: `model.${name}`, unit: "", kind: "gauge", labels: {} });
    made.tracks[name].push(T0, value);
  }
  made.signals.read(made.tracks, T0 + 300);
  return made;
}

const SURE = {
  tokens_per_second: 48.2, throughput_percent: 72, energy: 0.81, energy_state: 2, entropy_bits: 0.75, entropy_k: 8, ttft_ms: 212,
};
const LESS = { ...SURE, tokens_per_second: 17.6, entropy_bits: 1.4 };
const PLACE = { full: 50, ripple: 12 };
const HOOK = { via: "hook" };

test("the picture in one true sentence", () => {
  const two = [ribbon("llama3.2:3b", SURE), ribbon("qwen2.5:7b", LESS)];
  assert.equal(sentence(two), "Two models are answering: llama3.2:3b at 48.2 tokens per second, certain; qwen2.5:7b at 17.6, less certain.");
  assert.equal(
    sentence([ribbon("a", { energy_state: 1 }), ribbon("b", { ...LESS, energy_state: 3 }), ribbon("c", { energy_state: 0 })]),
    "Two models are at work: a reads its prompt; b at 17.6, stalling.",
  );
  assert.equal(sentence([ribbon("a", { tokens_per_second: 9 })]), "One model is answering: a at 9.0 tokens per second, certainty unknown.");
});

test("at rest it says so, and who spoke last", () => {
  const last = { ms: Date.UTC(2026, 0, 5, 14, 2, 31), model: "llama3.2:3b" };
  assert.equal(sentence([], last, 0), "Nothing is being generated. Last: 14:02:31, llama3.2:3b.");
  assert.equal(sentence([], null), "No model detected yet.");
  assert.match(sentence([ribbon("a", SURE)], last, 0, true), /^The models' current activity is unknown\. Last: 14:02:31/);
});

test("news for the ear is a change of state, not of figures, nor between flowing and saturated", () => {
  const one = gist([ribbon("a", SURE)]);
  assert.equal(gist([ribbon("a", { ...LESS, energy_state: 4 })]), one);
  assert.notEqual(gist([ribbon("a", { ...SURE, energy_state: 3 })]), one);
  assert.equal(gist([ribbon("a", { energy_state: 5 })]), "");
});

test("figures keep their decimals", () => {
  assert.deepEqual([48, 48.25, 99.96, 117.4, NaN].map(rateText), ["48.0", "48.3", "100", "117", "no data"]);
  assert.deepEqual([0.1, 0.4, 0.9, NaN].map(sureness), ["certain", "less certain", "uncertain", "certainty unknown"]);
});

test("a card says n/a and why where there is no entropy", () => {
  const row = { via: "scrape", rate_hz: 1, entropy_reason: "counters hold no log-probabilities", note: "" };
  const told = card(ribbon("a", { tokens_per_second: 3 }), row);
  assert.deepEqual(told.entropy, { number: "n/a", unit: "" });
  assert.equal(told.entropyWhy, "counters hold no log-probabilities");
  assert.deepEqual([told.way, told.wayWhy, told.ttft.number], ["scrape", "scraped at 1 Hz", "–"]);
  assert.deepEqual(card(ribbon("a", SURE), HOOK).ttft, { number: "212", unit: "ms" });
});

test("a ribbon tells metric, value, unit, age and how it was measured", () => {
  const rows = reading(ribbon("a", SURE), HOOK, ribbon("b", LESS), T0 + 300);
  assert.deepEqual(rows.map(({ shows }) => shows), ["width", "speed", "density", "brightness", "flash", "ripples"]);
  assert.deepEqual(rows[1], { what: "Rate", value: "48.2 tokens/s", shows: "speed", age: "changed 0.3 s ago", how: "hook" });
  assert.deepEqual([rows[2].value, rows[2].age], ["0.8 bits of 3.0", "0.3 s ago"]);
  assert.match(rows[5].how, /vocabulary/);
  assert.equal(reading(ribbon("a", {}), undefined, undefined, T0)[2].value, "n/a: no token with log-probabilities came");
  assert.deepEqual([wayText({ via: "scrape", rate_hz: 0.5 }), wayText({ via: "scrape" }), wayText()], ["scraped at 0.5 Hz", "scraped", ""]);
  assert.deepEqual([ago(-5), ago(9_940), ago(12_000), ago(NaN)], ["0.0 s ago", "9.9 s ago", "12 s ago", ""]);
});

test("evidence: the figures of each visual, and the formula with the settings' constants", () => {
  const told = evidence(ribbon("a", SURE), HOOK, undefined, T0 + 300, PLACE);
  const rows = Object.fromEntries(told.map(({ shows, formula }) => [shows, formula]));
  assert.equal(rows.width, "throughput 72 % of peak 66.9 tokens/s × 50 px = 36 px");
  assert.equal(rows.speed, "48.2 tokens/s × 4 px = 193 px/s");
  assert.equal(rows.density, "H 0.75 bits / log2 8 = 0.25 × 40 = 10 on 1,000 px²");
  assert.equal(rows.brightness, "energy 0.81, certainty c: 0.75");
  assert.match(energyFormula(), /^E = 0\.35 base \+ 0\.65 E before, per token\. base = 0\.5 v \+ 0\.3 c \+ 0\.2 s;/);
  assert.match(energyFormula(), /; c n\/a: 0\.7 v \+ 0\.3 s\./);
  assert.match(energyFormula({ smoothing: 0.4 }), /^E = 0\.4 base \+ 0\.6 E before/);
  const none = evidence(ribbon("a", {}), { entropy_reason: "why" }, ribbon("b", {}), T0, PLACE, 0.5).map(({ formula }) => formula);
  assert.ok(none.every((formula) => formula.includes("n/a")), none.join("\n"));
  assert.match(evidence(ribbon("a", SURE), HOOK, undefined, T0 + 300, PLACE, 0.5)[2].formula, /thinned to 50 %$/);
  const fast = ribbon("a", { ...SURE, tokens_per_second: 900 });
  assert.match(evidence(fast, HOOK, undefined, T0, PLACE)[1].formula, /the maximum shown$/);
});

test("the stage has four faces, and servers that were found say what would show more", () => {
  assert.equal(face([], false, []), "unseen");
  assert.equal(face([], false, [{}]), "silent");
  assert.equal(face([ribbon("a", { energy_state: 5 })], true, []), "resting");
  assert.equal(face([ribbon("a", SURE)], true, []), "flowing");
  const fix = "It shows tokens when asked through the proxy.";
  const found = { server: "127.0.0.1:11434", runtime: "Ollama", version: "0.5", state: "ok", fix };
  assert.equal(serverLine(found), "Ollama 0.5 listens at 127.0.0.1:11434; It shows tokens when asked through the proxy.");
  assert.equal(serverLine({ server: "h:1" }), "A model server listens at h:1.");
});

test("cells: a time of day, counts, rates and bits", () => {
  assert.match(cellText(T0, "time"), /^\d\d:\d\d:20$/);
  const texts = [cellText(1204, "count"), cellText(48.21, "rate"), cellText(1.44, "bits"), cellText(212.4, "ms")];
  assert.deepEqual(texts, ["1,204", "48.2", "1.4", "212 ms"]);
  assert.equal(cellText(null, "time"), "–");
});

test("a page short of power draws half the particles, then none, and says so", () => {
  const quality = new Quality();
  const told = [0, 1, 2, 3].map((step) => ((quality.step = step), [quality.particles, /particles/.test(quality.text)]));
  assert.deepEqual(told, [[1, false], [1, false], [0.5, true], [0, true]]);
});
