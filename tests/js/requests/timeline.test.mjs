import assert from "node:assert/strict";
import test from "node:test";
import { axisTicks, failure, figures, lengthOf, phases, stallText, timelineSentence, verdict } from "../../../assets/lib/requests/timeline.mjs";

const request = (given) => ({
  id: "r1", model: "m", server: "127.0.0.1:8000", via: "hook", started_ms: 0, status: "ok", ended_ms: 1, prompt_tokens: null,
  cached_tokens: null, output_tokens: 0, queue_ms: null, load_ms: null, prompt_ms: null, ttft_ms: null, duration_ms: null,
  tokens_per_second: null, time_per_output_token_ms: null, entropy_bits: null, entropy_k: null, energy: null, joules: null,
  stalls: [], reason: "", causes: [], ticks: { t_ms: [], tokens: [], entropy_bits: [] }, ...given,
});
const spans = (given) => phases(request(given)).map(({ kind, from, to }) => [kind, from, to]);

test("queue, load, prompt and tokens follow one another to scale", () => {
  assert.deepEqual(spans({ queue_ms: 100, load_ms: 400, prompt_ms: 500, ttft_ms: 1_000, duration_ms: 3_000 }), [
    ["queue", 0, 100], ["load", 100, 500], ["prompt", 500, 1_000], ["tokens", 1_000, 3_000],
  ]);
});

test("what was not told apart is one phase of its own", () => {
  assert.deepEqual(spans({ ttft_ms: 800, duration_ms: 2_000 }), [["before", 0, 800], ["tokens", 800, 2_000]]);
  assert.deepEqual(spans({ load_ms: 500, ttft_ms: 800, duration_ms: 2_000 }), [
    ["load", 0, 500], ["before", 500, 800], ["tokens", 800, 2_000],
  ]);
});

test("phases never reach over the first token, whatever a runtime says", () => {
  assert.deepEqual(spans({ queue_ms: 700, load_ms: 700, prompt_ms: 9, ttft_ms: 1_000, duration_ms: 2_000 }), [
    ["queue", 0, 700], ["load", 700, 1_000], ["tokens", 1_000, 2_000],
  ]);
});

test("a request without a token has no phase of tokens", () => {
  assert.deepEqual(spans({ duration_ms: 400, status: "error" }), [["before", 0, 400]]);
});

test("a request that runs is as long as its newest token", () => {
  assert.equal(lengthOf(request({ status: "open", ttft_ms: 100, ticks: { t_ms: [100, 900], tokens: [1, 1], entropy_bits: [null, null] } })), 900);
  assert.equal(lengthOf(request({})), 1);
});

test("the axis stands on nice steps from 0", () => {
  assert.deepEqual(axisTicks(8_800), [0, 2_000, 4_000, 6_000, 8_000]);
  assert.deepEqual(axisTicks(1).slice(0, 2), [0, 0.2]);
});

test("what was not measured has no figure", () => {
  const byName = Object.fromEntries(figures(request({ ttft_ms: 1_310, joules: 0.5, reason: "stop", output_tokens: 1_234 })));
  assert.equal(byName.Load, null);
  assert.equal(byName.Entropy, null);
  assert.equal(byName["First token"], "1.31 s");
  assert.equal(byName.Status, "finished (stop)");
  assert.equal(byName.Answer, "1,234 tokens");
  assert.equal(byName.Electricity, "500 mJ of all graphics cards");
});

test("stalls are told with their number, their sum and the longest", () => {
  assert.equal(stallText(request({})), "none over 400 ms");
  assert.equal(stallText(request({ stalls: [[3_400, 1_500]] })), "one of 1.50 s, 3.40 s after the start");
  assert.match(stallText(request({ stalls: [[1_000, 500], [3_400, 1_500]] })), /^2, 2\.00 s in total; the longest 1\.50 s, 3\.40 s/);
});

test("why it was slow: the causes with their share, an unknown cause, or not slow", () => {
  const causes = [{ code: "load", text: "cold load 7.9 s", cost_ms: 7_900 }, ["gpu_busy", "GPU 98 % busy with python (991)", null]];
  assert.deepEqual(verdict(request({ causes, duration_ms: 15_800 })), {
    slow: true, lines: ["cold load 7.9 s, 50 % of the request's time", "GPU 98 % busy with python (991)"],
  });
  assert.deepEqual(verdict(request({ ttft_ms: 8_400, duration_ms: 9_000 })).lines, [
    "Slow, for an unknown reason: the first token took 8.40 s.",
  ]);
  assert.match(verdict(request({ ttft_ms: 9, stalls: [[0, 900], [2_000, 900]] })).lines[0], /it stalled for 1\.80 s\.$/);
  assert.match(verdict(request({ status: "aborted", duration_ms: 3_000 })).lines[0], /no token came in 3\.00 s\.$/);
  assert.match(verdict(request({ slow: true, ttft_ms: 9 })).lines[0], /for an unknown reason: fewer tokens/);
  assert.deepEqual(verdict(request({ ttft_ms: 200, duration_ms: 9_000 })), { slow: false, lines: ["Not slow."] });
  assert.deepEqual(verdict(request({ status: "open" })).lines, ["It is still running."]);
  assert.deepEqual(verdict(request({ status: "open", ttft_ms: 8_400 })).lines, ["It is still running; so far the first token took 8.40 s."]);
});

test("the timeline is a sentence for those who do not see it", () => {
  assert.equal(
    timelineSentence(request({ queue_ms: 100, ttft_ms: 100, duration_ms: 600 })),
    "Timeline of 600 ms: queue 100 ms, then tokens 500 ms; stalls: none over 400 ms",
  );
});

test("what went wrong is said with what it means", () => {
  assert.match(failure(404), /no longer in memory/);
  assert.match(failure(401), /Reload the page/);
  assert.match(failure(500), /status 500/);
  assert.match(failure(0), /did not respond/);
});
