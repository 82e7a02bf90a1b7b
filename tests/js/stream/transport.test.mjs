import assert from "node:assert/strict";
import test from "node:test";
import { initial, step } from "../../../assets/lib/stream/transport.mjs";

/** Feed events [type or object, seconds]; gives the effects of each and the last state. */
function play(events, state = initial()) {
  const effects = [];
  for (const [event, seconds = 0] of events) {
    const [next, done] = step(state, typeof event === "string" ? { type: event } : event, seconds * 1000);
    state = next;
    effects.push(done.map((e) => (e.do === "timer" ? `timer ${e.ms}` : e.do)));
  }
  return { state, effects, last: effects.at(-1) };
}
const probe = (status) => ({ type: "probe", status });
const LIVE = [["start"], ["ws-hello"]];
const ON_SSE = [["start"], ["ws-down"], [probe(200)], ["sse-hello"]];

test("the WebSocket is tried first and is live once it greets", () => {
  const { state, effects } = play(LIVE);
  assert.deepEqual(effects[0], ["open-ws", "timer 5000"]);
  assert.deepEqual([state.phase, state.way], ["live", "ws"]);
});

test("a WebSocket that cannot open though the server answers gives way to SSE", () => {
  const { state, effects } = play(ON_SSE);
  assert.deepEqual(effects[1], ["probe", "timer 5000"]);
  assert.deepEqual(effects[2], ["open-sse", "timer 5000"]);
  assert.deepEqual([state.phase, state.way], ["live", "sse"]);
});

test("a WebSocket that opens and never greets gives way to SSE too", () => {
  const { last } = play([["start"], ["timer", 5]]);
  assert.deepEqual(last, ["close-ws", "probe", "timer 5000"]);
});

test("one death of a live WebSocket: it is opened again at once", () => {
  assert.deepEqual(play([...LIVE, ["ws-down", 10]]).last, ["open-ws", "timer 5000"]);
});

test("two deaths within a minute: SSE", () => {
  const { state, effects } = play([...LIVE, ["ws-down", 10], ["ws-hello", 10], ["ws-down", 50], [probe(200), 50], ["sse-hello", 51]]);
  assert.deepEqual(effects[5], ["open-sse", "timer 5000"]);
  assert.equal(state.way, "sse");
});

test("two deaths more than a minute apart: still the WebSocket", () => {
  assert.deepEqual(play([...LIVE, ["ws-down", 10], ["ws-hello", 10], ["ws-down", 71]]).last, ["open-ws", "timer 5000"]);
});

test("on SSE the WebSocket is tried again, with growing pauses", () => {
  const { effects, state } = play([...ON_SSE, ["timer", 5], ["ws-down", 5], ["timer", 15], ["ws-down", 15], ["timer", 30], ["timer", 35]]);
  assert.deepEqual(effects.slice(3), [["timer 5000"], ["open-ws", "timer 5000"], ["timer 5000"], ["open-ws", "timer 5000"], ["timer 10000"], ["open-ws", "timer 5000"], ["close-ws", "timer 20000"]]);
  assert.deepEqual([state.phase, state.way], ["live", "sse"]);
});

test("back on the WebSocket, SSE is closed only after the greeting", () => {
  const { effects, state } = play([...ON_SSE, ["timer", 5], ["ws-hello", 5]]);
  assert.deepEqual(effects.at(-1), ["close-sse", "timer 60000"]);
  assert.deepEqual([state.way, state.sse], ["ws", "closed"]);
});

test("a server that does not answer is tried again, ever less often, up to every five seconds", () => {
  let { state } = play([["start"]]);
  const pauses = [];
  for (let i = 0; i < 8; i += 1) {
    const round = play([["ws-down", i], [probe(0), i], ["timer", i]], state);
    assert.deepEqual(round.effects[2], ["open-ws", "timer 5000"]);
    pauses.push(round.effects[1].at(-1));
    state = round.state;
  }
  assert.deepEqual(pauses.map((p) => Number(p.split(" ")[1])), [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
});

test("both ways failing though the server answers slows down and then tries both again", () => {
  const { effects } = play([["start"], ["ws-down"], [probe(200)], ["sse-down"], [probe(200)], ["timer", 1], ["ws-down", 1], [probe(200), 1]]);
  assert.deepEqual(effects[4], ["timer 250"]);
  assert.deepEqual(effects[7], ["open-sse", "timer 5000"]);
});

test("401 ends the session, and it is looked again at leisure", () => {
  const { state, effects } = play([["start"], ["ws-down"], [probe(401)], ["timer", 5]]);
  assert.deepEqual(effects[2], ["timer 5000"]);
  assert.deepEqual(effects[3], ["open-ws", "timer 5000"]);
  assert.equal(state.phase, "opening");
});

test("a refused token and another version end it too, with their own reason", () => {
  for (const [code, why] of [[4401, "session"], [4400, "version"]]) {
    const { state } = play([["start"], [{ type: "ws-down", code }]]);
    assert.deepEqual([state.phase, state.why], ["ended", why]);
  }
});

test("SSE that dies asks whether the server is there, then begins with the WebSocket", () => {
  const { effects } = play([...ON_SSE, ["sse-down", 9], [probe(0), 9], ["timer", 10]]);
  assert.deepEqual(effects.slice(4), [["close-sse", "probe", "timer 5000"], ["timer 250"], ["open-ws", "timer 5000"]]);
});

test("SSE that dies while the WebSocket returns leaves the decision to it", () => {
  const { state, effects } = play([...ON_SSE, ["timer", 5], ["sse-down", 5], ["ws-hello", 6]]);
  assert.deepEqual(effects[5], ["close-sse"]);
  assert.deepEqual([state.phase, state.way], ["live", "ws"]);
});

test("waking up does not wait for the pause to end, and disturbs nothing that lives", () => {
  assert.deepEqual(play([["start"], ["ws-down"], [probe(0)], ["wake"]]).last, ["open-ws", "timer 5000"]);
  assert.deepEqual(play([...LIVE, ["wake"]]).last, []);
});

test("late events of what was closed change nothing", () => {
  const { state } = play(LIVE);
  for (const event of ["sse-hello", "sse-down", "ws-hello"]) assert.deepEqual(step(state, { type: event }, 0), [state, []]);
  assert.deepEqual(play([...LIVE, ["ws-down", 1], ["ws-hello", 1], [probe(0), 1]]).last, []);
});

test("stop closes what is open and forgets", () => {
  const { state, last } = play([...LIVE, ["stop"]]);
  assert.deepEqual(last, ["close-ws"]);
  assert.deepEqual(state, initial());
});

test("a state is never changed in place", () => {
  const before = play(LIVE).state;
  const copy = structuredClone(before);
  step(before, { type: "ws-down" }, 1);
  assert.deepEqual(before, copy);
});
