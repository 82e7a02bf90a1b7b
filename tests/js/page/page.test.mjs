import assert from "node:assert/strict";
import test from "node:test";
import { Speaker, altText, tableRows } from "../../../assets/lib/page/a11y.mjs";
import { readConfig, shortName } from "../../../assets/lib/chart/config.mjs";
import { Cursor } from "../../../assets/lib/chart/cursor.mjs";
import { Page } from "../../../assets/lib/page/page.mjs";
import { connection } from "../../../assets/lib/page/readouts.mjs";
import { cellText } from "../../../assets/lib/page/tables.mjs";
import { T0, meta, track } from "../helpers.mjs";
import { Track } from "../../../assets/lib/series/track.mjs";

test("a pointer holds a place, so its instant moves on; a key holds an instant", () => {
  const cursor = new Cursor();
  cursor.point(0.5);
  assert.equal(cursor.at(1_000, 600), 700);
  assert.equal(cursor.at(2_000, 600), 1_700);
  cursor.key("ArrowLeft", false, 2_000, 600, 2_000);
  assert.equal(cursor.at(2_000, 600), 1_690);
  assert.equal(cursor.at(2_050, 600), 1_690);
  assert.equal(cursor.at(9_000, 600), 8_400); // left behind, it stays at the edge
});

test("keys go to the ends, by steps and by leaps, and never past what is known", () => {
  const cursor = new Cursor();
  const key = (name, big = false) => (cursor.key(name, big, 60_000, 60_000, 59_990), cursor.at(60_000, 60_000));
  assert.equal(key("ArrowLeft"), 59_990); // the first key shows where it is
  assert.equal(key("ArrowLeft"), 58_990);
  assert.equal(key("ArrowLeft", true), 48_990);
  assert.equal(key("Home"), 0);
  assert.equal(key("ArrowLeft"), 0);
  assert.equal(key("End"), 59_990);
  assert.equal(key("ArrowRight"), 59_990);
});

test("Escape is the cursor's only while there is one", () => {
  const cursor = new Cursor();
  assert.equal(cursor.key("Escape", false, 1, 1, 1), false);
  cursor.point(1);
  assert.equal(cursor.key("Escape", false, 1, 1, 1), true);
  assert.equal(cursor.active, false);
  assert.equal(cursor.key("x", false, 1, 1, 1), false);
});

test("a chart's sentence says what, now, between which values, over how long", () => {
  const lines = [{ name: "cpu", track: track([[0, 12], [10_000, 61], [20_000, 37]]) }];
  const said = altText("CPU", lines, "%", T0, T0 + 30_000, T0 + 30_000);
  assert.equal(said, "CPU: now 37 %, between 12 % and 61 %; last 30 seconds");
  const absent = new Track(meta(1, "gpu.x"));
  absent.absent = "no card";
  assert.equal(altText("GPU", [{ name: "x", track: absent }], "%", T0, T0 + 1_000, T0), "GPU: absent, no card; last 1 seconds");
});

test("a chart's table has the values that held, newest first, and says absent in a gap", () => {
  const lines = [{ track: track([[0, 5], [10_000, null], [20_000, 7]]) }];
  const rows = tableRows(lines, "%", T0, T0 + 30_000, T0 + 30_000, 0);
  assert.equal(rows.length, 30);
  assert.deepEqual([rows[0][1], rows[15][1], rows[25][1]], ["7.0 %", "no data", "5.0 %"]);
});

test("names in tables stay text, numbers take the unit of their column", () => {
  assert.equal(cellText("<img src=x onerror=alert(1)>", ""), "<img src=x onerror=alert(1)>");
  assert.equal(cellText(60_000_000, "B"), "60.0 MB");
  assert.equal(cellText(4242, ""), "4242");
  assert.equal(cellText(null, "B"), "–");
});

test("a line is called by its labels, or by its metric", () => {
  assert.equal(shortName(new Track(meta(1, "system.cpu_core_percent", { core: "3" }))), "3");
  assert.equal(shortName(new Track(meta(1, "system.load_1m"))), "load 1m");
});

test("a chart's description may leave out all but its series", () => {
  const config = readConfig('{"series":["a.b"]}');
  assert.deepEqual([config.min, config.max, config.height, config.label, config.legend], [null, null, 72, "a.b", false]);
});

test("the page says how it is connected, and what to do when it is not", () => {
  const last = Date.UTC(2026, 0, 5, 12, 0, 9);
  assert.deepEqual(connection({ phase: "live", way: "sse" }, last), { stream: "live", transport: "SSE", banner: "" });
  assert.deepEqual(connection({ phase: "opening" }, NaN), { stream: "connecting", transport: "connecting", banner: "" });
  const lost = connection({ phase: "waiting" }, last);
  assert.equal(lost.stream, "lost");
  assert.match(lost.banner, /reconnecting, last seen \d\d:00:09\. The page still shows/);
  assert.equal(connection({ phase: "waiting", patient: false }, NaN).stream, "lost");
  assert.match(connection({ phase: "ended", ended: "do this" }, last).banner, /session has ended.*do this\.$/);
});

test("a speaker says the newest thing, and not too often", () => {
  const region = { textContent: "" };
  const speaker = new Speaker(region, 500);
  speaker.say("a");
  speaker.say("b");
  speaker.tick(0);
  assert.equal(region.textContent, "b");
  speaker.say("c");
  speaker.tick(499);
  assert.equal(region.textContent, "b");
  speaker.tick(500);
  assert.equal(region.textContent, "c");
});

test("texts are written a part a frame, those that stand together in one, and every one of them in a turn", () => {
  const written = [];
  const part = (name) => ({ update: () => written.push(name) });
  const parts = (...names) => new Map(names.map((name) => [name, part(name)]));
  const widget = (name, visible) => [name, { visible, write: () => written.push(name) }];
  const page = Object.assign(Object.create(Page.prototype), {
    turn: 0,
    values: parts("a", "b", "c", "d", "e", "f", "g"),
    meters: parts("meter"),
    facts: parts("fact"),
    panels: parts("panel"),
    rows: parts("row"),
    tables: parts("table"),
    charts: [],
    widgets: new Map([widget("stage", true), widget("out of sight", false), widget("cards", true)]),
  });
  const frames = [];
  const turn = page.writes({}, {}, 0);
  for (let done = false; !done; frames.push(written.splice(0))) ({ done } = turn.next());
  const shared = ["meter", "fact", "panel", "row", "table"];
  assert.deepEqual(frames, [["a", "b"], ["c", "d"], ["e", "f"], ["g"], shared, [], ["stage"], ["cards"]]);
});
