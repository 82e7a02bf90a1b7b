import assert from "node:assert/strict";
import test from "node:test";
import { FrameMeter, PaintWatch, VSYNC_MS, observe, pageName } from "../../../assets/lib/page/frames.mjs";
import { Quality } from "../../../assets/lib/page/quality.mjs";

const run = (meter, intervals, from = 1_000) => intervals.reduce((at, ms) => (meter.frame(at + ms, 5e6 + at), at + ms), (meter.frame(from, 5e6), from));

test("a frame that comes after three refreshes has missed two", () => {
  const meter = new FrameMeter();
  run(meter, [VSYNC_MS, VSYNC_MS, 3 * VSYNC_MS, VSYNC_MS]);
  assert.equal(meter.missed, 2);
  assert.equal(Math.round(meter.fps()), 40);
});

test("a faster display is learned, a slower one is not taken for normal", () => {
  const fast = new FrameMeter();
  run(fast, Array(240).fill(1000 / 144));
  assert.ok(Math.abs(fast.refreshMs - 1000 / 144) < 0.01);
  const slow = new FrameMeter();
  run(slow, Array(240).fill(33.3));
  assert.equal(slow.refreshMs, VSYNC_MS);
  assert.equal(slow.missed, 240);
});

test("a hidden span is no frame interval", () => {
  const meter = new FrameMeter();
  const at = run(meter, [16, 17]);
  meter.interrupt();
  run(meter, [16], at + 60_000);
  assert.deepEqual(meter.intervals.newest(), [16, 17, 16]);
  assert.equal(meter.missed, 0);
});

test("a report holds a second's measurements once, as the server wants them", () => {
  const meter = new FrameMeter();
  run(meter, [16.666, 33.337]);
  meter.worked(4.321);
  meter.painted(12.3);
  meter.long(61.2);
  meter.input(24);
  assert.deepEqual(meter.report("system", false, 9), {
    type: "ux", page: "system", t0: 5_001_000, intervals: [16.67, 33.34], work: [4.32], missed: 1,
    loaf: [{ duration_ms: 61.2 }], inputs: [24], stream_latency: [12.3], hidden: false,
  });
  assert.equal(meter.report("system", false, 9), null);
  assert.deepEqual(meter.report("system", true, 9.4).hidden, true);
});

test("the browser's own measurements are used where it makes them", () => {
  const meter = new FrameMeter();
  const made = [];
  class Observer {
    static supportedEntryTypes = ["event"];
    constructor(take) {
      this.take = take;
      made.push(this);
    }
    observe(options) {
      this.options = options;
    }
    disconnect() {
      this.gone = true;
    }
  }
  const stop = observe(meter, Observer);
  assert.deepEqual(made.map((o) => o.options), [{ type: "event", durationThreshold: 16 }]);
  made[0].take({ getEntries: () => [{ duration: 40, interactionId: 7 }, { duration: 80, interactionId: 0 }] });
  assert.deepEqual(meter.batch.inputs, [40]);
  stop();
  assert.equal(made[0].gone, true);
  observe(meter, undefined)();
});

test("a frame's oldest sample is on the screen when every chart had its turn", () => {
  const meter = new FrameMeter();
  const watch = new PaintWatch((id) => id !== 9);
  watch.expect(1_000, [[1, 5, 0.5], [2, 12, 1], [9, 900, 1], [3, 700, null]], 10);
  watch.expect(1_010, [[9, 0, 1]], 10);
  watch.drawn(10, 1, 1_001, meter);
  assert.deepEqual(meter.latencies.newest(), []);
  watch.drawn(11, 2, 1_016, meter);
  watch.expect(1_030, [[1, 0, 1]], 11);
  watch.drawn(12, 2, 1_033, meter);
  assert.deepEqual(meter.latencies.newest(), [45]);
  watch.drawn(13, 2, 1_050, meter);
  watch.drawn(14, 2, 1_066, meter);
  assert.deepEqual(meter.latencies.newest(), [45, 20]);
});

test("a page has a name for its measurements", () => {
  assert.deepEqual(["/", "", "/system", "/a/b/"].map(pageName), ["overview", "overview", "system", "a"]);
});

/** Seconds of frames, of which each `nth` missed one refresh. */
function feed(quality, from, seconds, nth) {
  const changes = [];
  for (let i = 0, at = from; at < from + seconds * 1000; i += 1) {
    const missed = nth && i % nth === 0 ? 1 : 0;
    at += VSYNC_MS * (1 + missed);
    if (quality.frame(at, missed)) changes.push(quality.step);
  }
  return changes;
}

test("one frame in ten missed for two seconds: a step down, and it says so", () => {
  const quality = new Quality();
  assert.deepEqual(feed(quality, 0, 2.2, 10), [1]);
  assert.match(quality.text, /30 Hz/);
});

test("one frame in fifty missed changes nothing", () => {
  const quality = new Quality();
  assert.deepEqual(feed(quality, 0, 20, 50), []);
  assert.equal(quality.text, "");
});

test("one long pause, as when a page is laid out, changes nothing", () => {
  const quality = new Quality();
  for (let i = 1; i <= 300; i += 1) assert.equal(quality.frame(i * VSYNC_MS + (i > 60 ? 600 : 0), i === 61 ? 36 : 0), false);
});

test("it falls to the last step and no further", () => {
  const quality = new Quality();
  assert.deepEqual(feed(quality, 0, 20, 2), [1, 2, 3]);
});

test("it climbs step by step after four calm seconds each", () => {
  const quality = new Quality();
  feed(quality, 0, 4.6, 2);
  assert.equal(quality.step, 2);
  quality.restart(10_000);
  assert.deepEqual(feed(quality, 10_000, 9, 0), [1, 0]);
});

test("fallen soon after a climb, it waits twice as long", () => {
  const quality = new Quality();
  const fall = (at) => (quality.restart(at), feed(quality, at, 2.2, 5), quality.restart(at + 2_300));
  fall(0);
  assert.deepEqual(feed(quality, 2_300, 5, 0), [0]);
  fall(10_000);
  assert.deepEqual(feed(quality, 12_300, 7, 0), []);
  assert.deepEqual(feed(quality, 19_300, 3, 0), [0]);
});

test("in a lower step the charts take turns", () => {
  const quality = new Quality();
  quality.step = 1;
  const drawn = (count) => [0, 1, 2, 3].filter((i) => quality.draws(i, count));
  assert.deepEqual(drawn(10), [0, 2]);
  assert.deepEqual(drawn(11), [1, 3]);
});
