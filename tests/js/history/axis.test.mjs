/** The axis of time: ticks on the local clock, across a change of summer time too. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { axisTicks, instantText, timeTicks } from "../../../assets/lib/history/axis.mjs";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const utc = () => 0;
const kathmandu = () => 345;
/** St John's: 2 h 30 min west until the clock goes back on 1 November 2026 at 04:30 UTC, then 3 h 30 min. */
const CHANGE = Date.UTC(2026, 10, 1, 4, 30);
const stJohns = (ms) => (ms < CHANGE ? -150 : -210);
const words = (ticks) => ticks.map(({ text, more }) => (more ? `${text}|${more}` : text));

test("ticks stand on the local clock, as many as there is room for, and the date is said where it changes", () => {
  const from = Date.UTC(2026, 10, 20, 18);
  assert.deepEqual(words(timeTicks(from, from + 12 * HOUR, 4, utc)), ["18:00|20 Nov", "21:00", "00:00|21 Nov", "03:00", "06:00"]);
  assert.deepEqual(words(timeTicks(from, from + 12 * HOUR, 4, kathmandu)), ["00:00|21 Nov", "03:00", "06:00", "09:00"]);
  assert.equal(timeTicks(from, from + 12 * HOUR, 4, kathmandu)[0].ms, Date.UTC(2026, 10, 20, 18, 15));
  assert.deepEqual(words(timeTicks(from, from + 20_000, 4, utc)), ["18:00:00|20 Nov", "18:00:05", "18:00:10", "18:00:15", "18:00:20"]);
});

test("over days a tick is a date, over months too, and the year is said once", () => {
  const from = Date.UTC(2026, 10, 20, 7);
  assert.deepEqual(words(timeTicks(from, from + 4 * DAY, 6, utc)), ["21 Nov|2026", "22 Nov", "23 Nov", "24 Nov"]);
  assert.deepEqual(words(timeTicks(from, from + 30 * DAY, 6, utc)), ["23 Nov|2026", "30 Nov", "7 Dec", "14 Dec"], "Mondays");
  assert.deepEqual(words(timeTicks(from, from + 200 * DAY, 6, utc)), ["1 Jan|2027", "1 Mar", "1 May"]);
  assert.ok(timeTicks(0, 40 * 366 * DAY, 6, utc).length <= 21);
});

test("across a change of summer time every tick has the offset of its own instant", () => {
  const from = Date.UTC(2026, 9, 31, 14, 30);
  const ticks = timeTicks(from, from + 26 * HOUR, 8, stJohns);
  assert.deepEqual(words(ticks), ["12:00|31 Oct", "18:00", "00:00|1 Nov", "06:00", "12:00"]);
  assert.deepEqual(ticks.map(({ ms }) => (ms - from) / HOUR), [0, 6, 12, 19, 25]);
  const days = timeTicks(from, from + 4 * DAY, 8, stJohns).filter(({ text }) => text === "00:00");
  assert.deepEqual(days.map(({ ms }) => new Date(ms).toISOString().slice(11, 16)), ["02:30", "03:30", "03:30", "03:30"]);
  const spring = (ms) => (ms < Date.UTC(2026, 2, 29, 1) ? 60 : 120); // Berlin has no 02:30 on that day
  const half = timeTicks(Date.UTC(2026, 2, 29, 0), Date.UTC(2026, 2, 29, 2), 6, spring);
  assert.deepEqual(words(half), ["01:00|29 Mar", "01:30", "03:00", "03:30", "04:00"]);
});

test("the upper axis has one line: a date where a day begins", () => {
  const { xaxis, xaxis2 } = axisTicks(Date.UTC(2026, 10, 20, 18), Date.UTC(2026, 10, 21, 6), 4, utc);
  assert.deepEqual(xaxis.ticktext, ["18:00<br>20 Nov", "21:00", "00:00<br>21 Nov", "03:00", "06:00"]);
  assert.deepEqual(xaxis2.ticktext, ["18:00", "21:00", "21 Nov", "03:00", "06:00"]);
  assert.equal(xaxis.tickvals[2], "2026-11-21T00:00:00.000");
  assert.equal(axisTicks(Date.UTC(2026, 10, 20), Date.UTC(2026, 10, 24), 5, utc).xaxis2.ticktext.join(), "20 Nov,21 Nov,22 Nov,23 Nov,24 Nov");
});

test("an instant is named as the local clock showed it then", () => {
  assert.equal(instantText(CHANGE - 1_000, stJohns), "1 Nov 2026, 01:59:59");
  assert.equal(instantText(CHANGE, stJohns), "1 Nov 2026, 01:00:00");
});
