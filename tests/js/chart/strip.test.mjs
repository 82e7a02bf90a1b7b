import assert from "node:assert/strict";
import test from "node:test";
import { Track } from "../../../assets/lib/series/track.mjs";
import { Marks, TickColumns, reading, sentence, shade, spanFor, tallness, ticksIn } from "../../../assets/lib/chart/strip.mjs";
import { T0, meta } from "../helpers.mjs";

const events = (name, samples) => {
  const made = new Track({ ...meta(1, name), kind: "event" });
  for (const [ms, value] of samples) made.push(T0 + ms, value);
  return made;
};
const chunks = (...samples) => events("model.chunk_tokens", samples);
const bits = (...samples) => events("model.entropy_bits", samples);

test("the strip spans a third of the view, from ten to thirty seconds", () => {
  assert.deepEqual([30_000, 60_000, 300_000].map(spanFor), [10_000, 20_000, 30_000]);
});

test("the colour rises with the entropy and is none where it is not known", () => {
  assert.deepEqual([0, 0.99, 1, 5.9, 6, 40].map((b) => shade(b, 6)), [0, 0, 1, 5, 5, 5]);
  assert.deepEqual([NaN, null, undefined].map((b) => shade(b, 6)), [-1, -1, -1]);
});

test("a larger chunk is taller, and none is no line", () => {
  assert.equal(tallness(0), 0);
  assert.ok(tallness(1) < tallness(2) && tallness(2) < tallness(4));
  assert.equal(tallness(4_096), 1);
});

test("each column holds its largest chunk and the mean of the entropies that are known", () => {
  const columns = new TickColumns();
  const c = Math.floor(T0 / 10);
  columns.follow(chunks([0, 1], [3, 4], [12, 1], [40, 2]), bits([0, 1], [3, 3]), 10, 100, T0 + 50);
  assert.deepEqual([0, 1, 2, 4].map((i) => columns.tokensAt(c + i)), [4, 1, 0, 2]);
  assert.equal(columns.bitsAt(c), 2);
  assert.equal(columns.bitsAt(c + 1), NaN);
});

test("only what changed is told: nothing, then from the first new column on", () => {
  const columns = new TickColumns();
  const ticks = chunks([0, 1]);
  const look = (until) => columns.follow(ticks, undefined, 10, 100, T0 + until);
  assert.equal(look(50), -Infinity);
  assert.equal(look(50), Infinity);
  ticks.push(T0 + 25, 1);
  ticks.push(T0 + 90, 1);
  assert.equal(look(60), Math.floor((T0 + 25) / 10)); // what comes after the picture waits
  assert.equal(look(100), Math.floor((T0 + 90) / 10));
});

test("another width, another clock or another track is all anew", () => {
  const columns = new TickColumns();
  const ticks = chunks([0, 1], [20, 1]);
  columns.follow(ticks, undefined, 10, 100, T0 + 50);
  assert.equal(columns.follow(ticks, undefined, 5, 100, T0 + 50), -Infinity);
  ticks.shift(1_000);
  assert.equal(columns.follow(ticks, undefined, 5, 100, T0 + 2_000), -Infinity);
  assert.equal(columns.tokensAt(Math.floor((T0 + 1_020) / 5)), 1);
  assert.equal(columns.tokensAt(Math.floor((T0 + 20) / 5)), 0);
  assert.equal(columns.follow(chunks([0, 1]), undefined, 5, 100, T0 + 2_000), -Infinity);
});

test("old columns make room and are forgotten", () => {
  const columns = new TickColumns();
  columns.follow(chunks([0, 1], [5_000, 1]), undefined, 10, 100, T0 + 5_000);
  assert.equal(columns.tokensAt(Math.floor(T0 / 10)), 0);
});

test("an interval over 400 ms is a stall as long as it was, a first token stands at its instant", () => {
  const marks = new Marks();
  const firsts = events("model.ttft_ms", [[100, 212]]);
  const intervals = events("model.inter_token_latency_ms", [[120, 20], [1_520, 1_400], [1_900, 380]]);
  assert.equal(marks.follow({ firsts, intervals }, T0, T0 + 3_000).length, 2);
  assert.deepEqual(marks.list.map(({ kind, from, to, ms }) => [kind, from - T0, to - T0, ms]), [
    ["first", 100, 100, 212], ["stall", 120, 1_520, 1_400],
  ]);
  assert.deepEqual(marks.follow({ firsts, intervals }, T0, T0 + 3_000), []);
  marks.follow({ firsts, intervals }, T0 + 5_000, T0 + 6_000);
  assert.equal(marks.list.length, 0);
});

test("a silence between chunks is a stall while a request is open, unless a first token ends it", () => {
  const ticks = chunks([0, 3], [900, 2], [1_600, 4], [2_600, 1]);
  const active = new Track(meta(2, "model.requests_active"));
  for (const [ms, value] of [[-100, 1], [1_000, 0], [1_100, 1]]) active.push(T0 + ms, value);
  const marks = new Marks();
  marks.follow({ firsts: events("model.ttft_ms", [[0, 80], [2_600, 500]]), chunks: ticks, active }, T0, T0 + 3_000);
  const stalls = marks.list.filter(({ kind }) => kind === "stall");
  assert.deepEqual(stalls.map(({ from, to }) => [from - T0, to - T0]), [[0, 900]]);
});

test("an interval and its silence are one stall", () => {
  const marks = new Marks();
  marks.follow({ intervals: events("model.inter_token_latency_ms", [[900, 900]]), chunks: chunks([0, 1], [900, 1]) }, T0, T0 + 3_000);
  assert.equal(marks.list.length, 1);
});

test("marks of a track that was moved by the clock are read anew", () => {
  const marks = new Marks();
  const firsts = events("model.ttft_ms", [[100, 212]]);
  marks.follow({ firsts }, T0, T0 + 3_000);
  firsts.shift(500);
  assert.equal(marks.follow({ firsts }, T0, T0 + 3_000), null);
  assert.deepEqual(marks.list.map(({ from }) => from - T0), [600]);
});

test("a token has the entropy of its own instant, or none", () => {
  const ticks = ticksIn(chunks([0, 1], [20, 1], [40, 3]), bits([20, 1.4]), T0 - 1, T0 + 100);
  assert.deepEqual(ticks.map(({ t, tokens, bits: b }) => [t - T0, tokens, b]), [[0, 1, NaN], [20, 1, bits([0, 1.4]).v[0]], [40, 3, NaN]]);
  assert.deepEqual(ticksIn(undefined, undefined, 0, 1), []);
  assert.equal(ticksIn(chunks([0, 1], [20, 1]), undefined, T0, T0 + 10).length, 0); // from is before the window
});

test("a token is read with its place, its distance and its entropy", () => {
  const ticks = [{ t: 0, tokens: 1, bits: 1.4 }, { t: 23, tokens: 1, bits: 1.42 }, { t: 60, tokens: 3, bits: NaN }];
  assert.equal(reading(ticks, 0), "token 1 of 3 in this window, 1.4 bits");
  assert.equal(reading(ticks, 1), "token 2 of 3 in this window, 23.0 ms after the previous one, 1.4 bits");
  assert.equal(reading(ticks, 2), "chunk 3 of 3 in this window, 3 tokens, 37.0 ms after the previous one, entropy unknown");
});

test("the picture in a sentence counts tokens, not chunks, and says what is not known", () => {
  const ticks = [{ t: 0, tokens: 1, bits: 1 }, { t: 23, tokens: 4, bits: NaN }];
  assert.equal(sentence("m", ticks, 2, 10_000), "Tokens of m: 5 in the last 10 seconds, mean entropy 1.0 bits, 2 stalls");
  assert.equal(sentence("m", [ticks[1]], 0, 10_000), "Tokens of m: 4 in the last 10 seconds, entropy unknown, no stall");
  assert.equal(sentence("m", [], 0, 20_000), "Tokens of m: none in the last 20 seconds");
});
