"""The watch over what is measured, on a real file in accelerated time: days of minutes, and then a minute a beat."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.analyse import marks
from wfmon.analyse.anomaly import LEAST_DAYS
from wfmon.analyse.unusual import (
    LEAP_S,
    OFF,
    READING,
    RETRY_S,
    SETTLE_S,
    STEPPED,
    UNRECORDED,
    DetectionSources,
    Unusual,
)
from wfmon.core import units
from wfmon.core.catalogue import METRICS
from wfmon.core.clock import FakeClock
from wfmon.core.errors import Unreadable
from wfmon.core.types import ClockStep, Series

DAY, HOUR = 86_400, 3_600
CPU, MEMORY = "system.cpu_percent", "system.memory_percent"
UTC = ZoneInfo("UTC")


class Lived:
    """``days`` earlier days of minutes from ten to two, and a watch at noon that is handed each minute's means."""

    def __init__(self, folder, days, usual=20.0, **more):
        begin_s = START_S - days * DAY
        self.recorded = RecordedStore(
            folder, CPU, MEMORY, "system.load_5m", clock=FakeClock((begin_s + 10 * HOUR) * 1_000)
        )
        dice = np.random.default_rng(2)
        for _ in range(days):
            for _ in range(4 * 60):
                self.recorded.sample(CPU, usual + dice.normal())
                self.recorded.clock.advance(60)
            self.recorded.writer.tick()
            self.recorded.clock.advance(20 * HOUR)
        self.recorded.clock.advance(2 * HOUR)
        self.recorded.writer.tick()
        self.clock, self.values, self.recording, self.kept_s = self.recorded.clock, {CPU: usual}, True, 14 * DAY
        self.names = [CPU, MEMORY, "system.load_5m"]
        self.watch = self.made(**more)
        self.notes = []

    def made(self, **more):
        sources = DetectionSources(
            series=lambda: [(i, Series(name), METRICS[name]) for i, name in enumerate(self.names)],
            means=lambda *_: {i: self.values[name] for i, name in enumerate(self.names) if name in self.values},
            annotate=self.note, recording=lambda: self.recording, kept_s=lambda: self.kept_s, write=units.text,
        )  # fmt: skip
        return Unusual(self.recorded.reader, self.clock, sources, zone=UTC, **more)

    def note(self, kind, text, t_ms):
        self.notes.append((kind, text, t_ms))
        self.recorded.writer.annotate(kind, text, t_ms)

    def minutes(self, count, value=...):
        """Let so many minutes pass, a beat every second as the thread would."""
        if value is not ...:
            self.values = {CPU: value} if value is not None else {}
        for _ in range(count * 60):
            self.clock.advance(1)
            self.watch.tick()
        self.recorded.writer.tick()

    @property
    def now(self):
        return self.watch.status()["now"]


@pytest.fixture
def week(tmp_path):
    return Lived(tmp_path / "data", 7)


def test_what_is_as_usual_is_judged_and_nothing_is_told(week):
    week.minutes(4)
    told = week.watch.status()
    assert (told["state"], told["reason"], told["judged"], told["series"], told["days"]) == ("judging", "", 1, 2, 7)
    assert told["now"] == week.notes == []
    assert told["at_ms"] == (START_S + 12 * HOUR + 4 * 60) // 60 * 60_000 - 60_000


def test_days_before_a_series_was_first_recorded_are_not_read(week, monkeypatch):
    asked = []
    buckets = week.recorded.reader.buckets

    def noted(numbers, *span):
        asked.append((sorted(numbers), span[0]))
        return buckets(numbers, *span)

    monkeypatch.setattr(week.recorded.reader, "buckets", noted)
    week.recorded.sample(MEMORY, 50.0)
    week.minutes(4)
    numbers = {each.text: each.id for each in week.recorded.reader.series()}
    assert {CPU, MEMORY} <= numbers.keys()
    assert {number for asked_of, _ in asked for number in asked_of} == {numbers[CPU]}
    assert START_S - 7 * DAY < min(from_s for _, from_s in asked) < START_S - 6 * DAY
    assert week.watch.status()["days"] == 7


def test_a_rise_is_told_within_three_minutes_in_words_and_figures(week):
    week.minutes(3)
    week.minutes(2, 91.0)
    assert week.now == []
    week.minutes(1)
    [row] = week.now
    assert row["text"].startswith("CPU time in use, all cores together: 91 %, usually 1")
    assert row["text"].endswith(" % at this hour (7 days).")
    assert (row["series"], row["value"], row["days"], row["until_ms"]) == (CPU, 91.0, 7, None)
    assert (row["since_ms"] - START_S * 1_000) % DAY == (START_S + 12 * HOUR + 2 * 60) * 1_000 % DAY
    assert row["low"] < 20 < row["high"] < 30
    assert week.watch.facts()[0]["usually"] == row["usually"]


def test_when_it_is_over_the_history_has_its_beginning_and_its_end(week):
    week.minutes(3)
    week.minutes(10, 91.0)
    week.minutes(5, 20.0)
    assert week.now == []
    begin, end = week.notes
    assert (begin[0], begin[2]) == (marks.KIND, end[2] - 10 * 60_000)
    assert end[1].startswith("Unusual for 10.0 min: CPU time in use, all cores together was 91 %, usually ")
    [row] = week.watch.past(begin[2] - 1, begin[2] + 1)
    assert (row["series"], row["since_ms"], row["until_ms"], row["value"]) == (CPU, begin[2], end[2], 91.0)
    assert week.watch.past(end[2], end[2] + DAY) == []
    assert [each["since_ms"] for each in week.watch.past(end[2] - 1, end[2] + DAY)] == [begin[2]]


def test_what_is_unusual_still_is_in_the_past_too_and_has_no_end(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    now_ms = week.clock.now_ms()
    assert week.watch.past(now_ms - 60_000, now_ms) == week.now


def test_of_one_that_was_killed_the_end_is_when_it_was_seen_last(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    [begun] = week.now
    [row] = week.made().past(0, 2**50)
    assert begun["since_ms"] + 3 * 60_000 <= row["until_ms"] <= week.clock.now_ms()
    assert row["text"] == begun["text"]


def test_notes_are_read_as_sentences_by_whoever_asks_what_happened(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    week.recorded.writer.annotate("store", "Another.")
    week.recorded.writer.tick()
    texts = [row["text"] for row in week.watch.annotations(0, 2**50)]
    assert texts[-1] == "Another."
    assert [text for text in texts if "\n" in text or "{" in text] == []
    assert any(text.startswith("CPU time in use") for text in texts)


def test_at_the_end_all_that_is_unusual_is_noted_as_over(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    week.watch._stop.set()
    week.watch._run()
    assert [text.partition(":")[0] for _, text, _ in week.notes][-1] == "Unusual for 4.0 min"


# --- where nothing is judged


def test_the_first_days_say_how_many_are_needed_and_how_many_there_are(tmp_path):
    lived = Lived(tmp_path / "data", 2)
    lived.minutes(3)
    lived.minutes(5, 91.0)
    told = lived.watch.status()
    assert (told["state"], told["judged"], told["days"], told["needs_days"]) == ("waiting", 0, 2, LEAST_DAYS)
    assert told["reason"] == "Needs 5 earlier days with this hour of the day; has 2."
    assert told["now"] == []


def test_without_any_history_it_waits_for_one(tmp_path):
    lived = Lived(tmp_path / "data", 0)
    lived.recorded.writer.finish()
    lived.recorded.writer.path.unlink()
    for _ in range(200):
        lived.clock.advance(1)
        lived.watch.tick()
    assert lived.watch.status()["reason"] == "Needs 5 earlier days with this hour of the day; has 0."


def test_while_recording_is_off_nothing_is_judged_and_it_says_so(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    week.recording = False
    week.minutes(1)
    assert (week.watch.status()["state"], week.watch.status()["reason"], week.now) == ("off", UNRECORDED, [])
    week.recording = True
    week.minutes(4)
    assert len(week.now) == 1


def test_where_minutes_are_not_kept_long_enough_it_names_the_setting(week):
    week.kept_s = DAY
    week.minutes(1)
    assert "kept for 1 days and 6 are needed: store.keep_1min_days" in week.watch.status()["reason"]


def test_switched_off_there_is_no_thread_and_it_says_so(week):
    watch = week.made(enabled=False)
    watch.start()
    assert not watch._thread.is_alive()
    watch.close()
    assert (watch.status()["state"], watch.status()["reason"]) == ("off", OFF)


def test_a_file_that_is_held_is_a_reason_and_is_tried_again(week, monkeypatch):
    def held(*_args):
        raise Unreadable("The history could not be read (database is locked).")

    with monkeypatch.context() as broken:
        broken.setattr(week.recorded.reader, "buckets", held)
        week.minutes(3)
        told = week.watch.status()
        assert (told["state"], "database is locked" in told["reason"]) == ("waiting", True)
    week.minutes(-(-RETRY_S // 60) + 2)
    assert week.watch.status()["state"] == "judging"


def test_the_minutes_in_which_the_monitor_started_are_not_judged(week):
    week.minutes(1)
    assert week.watch.status()["reason"] == READING


# --- clocks


@pytest.mark.parametrize("kind", ["step", "sleep"])
def test_after_a_step_of_the_clock_or_a_sleep_nothing_is_unusual_for_a_while(week, kind):
    week.minutes(3)
    week.minutes(4, 91.0)
    assert len(week.now) == 1
    week.watch.on_clock_step(ClockStep(week.clock.now_ms(), 60_000, kind))
    week.minutes(1)
    assert (week.now, week.watch.status()["reason"]) == ([], STEPPED)
    week.minutes(SETTLE_S // 60 - 2)
    assert week.now == []
    week.minutes(6)
    assert len(week.now) == 1


def test_what_a_clock_that_was_hours_off_recorded_is_compared_with_nothing(tmp_path):
    lived = Lived(tmp_path / "data", 7)
    lived.minutes(3)
    assert lived.watch.status()["days"] == 7
    # This run recorded all of these days, three hours off.
    lived.watch._started_s = START_S - 8 * DAY
    lived.watch.on_clock_step(ClockStep(lived.clock.now_ms(), 3 * HOUR * 1_000, "step"))
    lived.minutes(LEAP_S // 60 + 6, 91.0)
    told = lived.watch.status()
    assert (told["now"], told["days"], told["judged"]) == ([], 0, 0)


def test_at_a_new_hour_what_is_usual_is_read_anew_and_meanwhile_the_old_one_holds(week):
    week.minutes(56)
    first = week.watch._known[CPU]
    week.minutes(6)
    assert week.watch.status()["judged"] == 1
    assert week.watch._known[CPU].from_s == first.from_s + HOUR


def test_a_series_that_comes_later_is_looked_at_too(week):
    week.names.remove(CPU)
    week.minutes(3)
    assert week.watch.status()["judged"] == 0
    week.names.append(CPU)
    week.minutes(2)
    assert week.watch.status()["judged"] == 1


def test_a_series_that_is_gone_ends_what_was_unusual_of_it(week):
    week.minutes(3)
    week.minutes(4, 91.0)
    week.names.remove(CPU)
    week.minutes(1)
    assert week.now == []
    assert len(week.notes) == 2


# --- words


def test_a_range_is_written_with_its_unit_once_where_both_ends_share_it():
    between = [marks._between(low, high, unit, units.text) for low, high, unit in
               ((12, 30, "%"), (0, 5.5, "%"), (9e8, 2e9, "B"), (1, 2, ""), (3, 3.5, "°C"))]  # fmt: skip
    assert between == ["12 to 30 %", "up to 5.5 %", "900 MB to 2.0 GB", "1 to 2", "3 to 4 °C"]


@pytest.mark.parametrize("model", ['a "quoted" [x]', "two\nlines", '{"series":"x"}', "<b>"])
def test_a_name_of_a_model_cannot_break_out_of_its_note(model):
    from wfmon.analyse.anomaly import Run, Usual

    series = Series.of("model.tokens_per_second", model=model, server="s")
    run = Run(1, 60, 240, 50.0, 9.0, Usual(1.0, 1.0, 0.0, 2.0, 9), 48.0, confirmed=True)
    row = marks.row_of(series, run, units.text)
    text = marks.note(row, units.text, 300_000)
    assert text.count("\n") == 1
    [told] = marks.without_figures([{"t_ms": 1, "kind": marks.KIND, "text": text}])
    assert told["text"] == row["text"]
    [read] = marks.past([{"t_ms": 1, "kind": marks.KIND, "text": text}], (), 0, 10**9, units.text)
    assert (read["series"], read["labels"]["model"]) == (str(series), model)
    assert (read["low"], read["high"], read["until_ms"], read["last"]) == (0.0, 4.5, 300_000, None)


@pytest.mark.parametrize("line", ["", "{}", "[]", "no JSON", json.dumps({"series": "a{"})])
def test_a_note_that_is_not_ours_is_a_sentence_and_no_row(line):
    row = {"t_ms": 1, "kind": marks.KIND, "text": f"Words.\n{line}"}
    assert marks.past([row], (), 0, 10**9, units.text) == []
    assert marks.without_figures([row])[0]["text"] == "Words."


@pytest.mark.parametrize("asked", [{"all": True}, {"series": CPU}])
def test_once_something_is_forgotten_nothing_of_before_is_told_or_noted_any_more(week, asked):
    week.recorded.writer.on_deleted.append(week.watch.on_deleted)
    week.minutes(5, value=60.0)
    assert [row["series"] for row in week.now] == [CPU]
    week.recorded.writer.deletion.request(asked)
    week.recorded.writer.tick()
    assert (week.now, week.watch.facts(), week.watch.past(0, 10**15)) == ([], [], [])
    week.watch.on_clock_step(ClockStep(week.clock.now_ms(), 60_000, "sleep"))
    week.minutes(1, value=60.0)
    week.watch._run_out()
    week.recorded.writer.tick()
    assert [row for row in week.recorded.reader.annotations(0, 10**15) if row["kind"] == marks.KIND] == []
    told = week.watch.status()
    assert (told["now"], told["judged"], told["days"]) == ([], 0, 0)
