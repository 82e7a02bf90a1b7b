import assert from "node:assert/strict";
import test from "node:test";
import { ServerClock } from "../../../assets/lib/stream/clock.mjs";

test("before the first pong the greeting serves", () => {
  const clock = new ServerClock();
  assert.equal(clock.at(5), NaN);
  clock.greet(1_000_050, 50);
  assert.equal(clock.at(60), 1_000_060);
});

test("the ping of least round trip decides", () => {
  const clock = new ServerClock();
  clock.pong(0, 40, 1_000_035); // skewed: all of the delay was on the way there
  clock.pong(100, 102, 1_000_101);
  clock.pong(200, 260, 1_000_205);
  assert.equal(clock.offset, 1_000_000);
  assert.equal(clock.roundTrip, 2);
});

test("an old ping, however short, gives way: clocks drift", () => {
  const clock = new ServerClock();
  clock.pong(0, 1, 1_000_000.5);
  clock.pong(130_000, 130_004, 1_130_012);
  assert.equal(clock.offset, 1_000_010);
});

test("a step of the server's clock moves the offset and what it rests on", () => {
  const clock = new ServerClock();
  clock.pong(0, 2, 1_000_001);
  clock.step(-3_600_000);
  assert.equal(clock.offset, 1_000_000 - 3_600_000);
  clock.pong(100, 108, 1_000_104 - 3_600_000);
  assert.equal(clock.offset, 1_000_000 - 3_600_000);
});

test("nonsense is not taken for a pong", () => {
  const clock = new ServerClock();
  clock.pong(10, 5, 1);
  clock.pong(1, 2, NaN);
  assert.equal(clock.pings.length, 0);
});
