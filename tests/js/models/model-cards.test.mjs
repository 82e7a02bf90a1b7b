import assert from "node:assert/strict";
import test from "node:test";
import { filled, keyOf, ordered, seenBy, hoverText, whereOf } from "../../../assets/lib/models/model-cards.mjs";
import { records } from "../../../assets/lib/page/tables.mjs";
import { requestCell, wanted } from "../../../assets/lib/requests/request-table.mjs";
import { CELLS, piecesOf } from "../../../assets/lib/models/server-table.mjs";
import { parseSeries, splitSelectors } from "../../../assets/lib/series/selectors.mjs";

const NASTY = 'a"b\\c {x}, %SERVER% $& *? <img src=x onerror=alert(1)>';
const values = { model: NASTY, server: "127.0.0.1:8000", colour: "--s-2" };
const row = (model, seen_ms = 0) => ({ model, server: "s", seen_ms });

test("a name in a selector is that name again, whatever stands in it", () => {
  const selector = filled("data-value", 'model.ttft_ms{model="%MODEL%",server="%SERVER%"}', values);
  assert.deepEqual(splitSelectors(selector), [selector]);
  assert.deepEqual(parseSeries(selector), { name: "model.ttft_ms", labels: { model: NASTY, server: "127.0.0.1:8000" } });
});

test("a chart's description stays JSON, and its label is the plain name", () => {
  const raw = JSON.stringify({ series: ['model.energy{model="%MODEL%",server="%SERVER%"}'], colors: ["%COLOR%"], label: "Energy of %MODEL%" });
  const spec = JSON.parse(filled("data-chart", raw, values));
  assert.equal(parseSeries(spec.series[0]).labels.model, NASTY);
  assert.deepEqual([spec.colors, spec.label], [["--s-2"], `Energy of ${NASTY}`]);
});

test("a widget's own attributes hold the name as it is, a style the colour", () => {
  assert.equal(filled("data-model", "%MODEL%", values), NASTY);
  assert.equal(filled("style", "--c: var(%COLOR%)", values), "--c: var(--s-2)");
});

test("cards stay where they are; new ones come on top, the most recent first", () => {
  const first = ordered([], [row("a", 1), row("b", 3), row("c", 2)]);
  assert.deepEqual(first, ["b", "c", "a"].map((name) => keyOf(row(name))));
  assert.deepEqual(ordered(first, [row("a", 9), row("b", 3), row("d", 1)]), ["d", "b", "a"].map((name) => keyOf(row(name))));
});

test("a model told twice has one card, and the same name on two servers has two", () => {
  assert.equal(ordered([], [row("a"), row("a")]).length, 1);
  assert.equal(ordered([], [row("a"), { ...row("a"), server: "t" }]).length, 2);
});

test("how a model is seen, and where", () => {
  assert.equal(seenBy({ via: "scrape", rate_hz: 1 }), "scraped at 1 Hz");
  assert.equal(seenBy({ via: "scrape", rate_hz: 0.5 }), "scraped at 0.5 Hz");
  assert.equal(seenBy({ via: "scrape", rate_hz: 0.97 }), "scraped at 1 Hz");
  assert.equal(seenBy({ via: "hook", rate_hz: null }), "hook");
  assert.equal(whereOf({ server: "127.0.0.1:8000", runtime: "vllm", pid: 12 }), "vllm · 127.0.0.1:8000 · pid 12");
  assert.equal(whereOf({ server: "", runtime: "", pid: null }), "");
});

test("a figure tells what it is, its age and how it was measured", () => {
  assert.equal(hoverText("Time to first token.", "model.ttft_ms", 2_400, "hook"), "Time to first token.\nmodel.ttft_ms, 2 s ago, by hook");
  assert.match(hoverText("x", "model.ttft_ms", NaN, "hook"), /no value yet/);
});

test("rows of a table are objects, and a missing table has none", () => {
  assert.deepEqual(records({ columns: ["a", "b"], rows: [[1], [2, 3]] }), [{ a: 1, b: null }, { a: 2, b: 3 }]);
  assert.deepEqual(records(undefined), []);
});

test("a request's cells have units, and a dash for what was not measured", () => {
  const request = { started_ms: Date.UTC(2026, 0, 5, 14, 2, 31), status: "open", ttft_ms: 1_310, entropy_bits: 0.42, energy: 0.5, prompt_tokens: 0, load_ms: null, tokens_per_second: 48.23, why: "" };
  const cell = (name, unit = "") => requestCell(request, name, unit, 60);
  assert.equal(cell("started_ms"), "15:02:31");
  assert.equal(cell("status"), "running");
  assert.equal(cell("ttft_ms", "ms"), "1.31 s");
  assert.equal(cell("entropy_bits", "bit"), "0.42 bits");
  assert.equal(cell("energy", "index"), "0.50");
  assert.equal(cell("tokens_per_second", "/s"), "48.2");
  assert.equal(cell("prompt_tokens"), "0");
  assert.deepEqual([cell("load_ms", "ms"), cell("queue_ms", "ms"), cell("why")], ["–", "–", "–"]);
});

test("requests are chosen by model, by status, and the slow ones by their cause", () => {
  const request = { model: "m", status: "ok", why: "cold load 7.9 s" };
  assert.ok(wanted(request, { model: "", status: "" }));
  assert.ok(wanted(request, { model: "m", status: "slow" }));
  assert.ok(!wanted(request, { model: "n", status: "" }));
  assert.ok(!wanted({ ...request, why: "" }, { model: "m", status: "slow" }));
});

test("a server of which nothing is known says so", () => {
  const server = { server: "127.0.0.1:1", runtime: "", version: "", process: "", pid: null, models: "", gpu_bytes: null, state: "needs_key" };
  assert.deepEqual(Object.values(CELLS).map((text) => text(server)), ["127.0.0.1:1", "unknown", "–", "–", "–", "needs a key"]);
});

test("what is to be typed stands apart from the words around it", () => {
  const interpreters = [
    "/opt/x/bin/python3", "'/home/me, here/bin/python'", '"C:\\my house\\python.exe"', "cd /home/me/wfmon && .venv/bin/python",
    "cd '/home/me, and you/wfmon' && .venv/bin/python",
  ];
  for (const python of interpreters) {
    const code = `${python} -m wfmon proxy --upstream http://127.0.0.1:1 --listen 127.0.0.1:2`;
    assert.deepEqual(piecesOf(`for tokens and entropy: ${code}, and point clients there`), [
      { text: "for tokens and entropy:", code: false },
      { text: code, code: true },
      { text: ", and point clients there", code: false },
    ]);
  }
  assert.deepEqual(piecesOf("start it with --metrics"), [{ text: "start it with", code: false }, { text: "--metrics", code: true }]);
  assert.deepEqual(piecesOf("wait until it is loaded"), [{ text: "wait until it is loaded", code: false }]);
});
