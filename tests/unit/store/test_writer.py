from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from tests.kit import closing
from tests.kit.recorded_store import KEEP, START_S, RecordedStore
from wfmon.core.clock import SystemClock
from wfmon.core.types import Request
from wfmon.store.age_hold import PAUSE_S
from wfmon.store.backlog import MOST_WAITING, WAITING
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.rows import MAX_ROWS
from wfmon.store.series_ids import MAX_SERIES, Described
from wfmon.store.trouble import RETRY_S
from wfmon.store.writer import LAG_S, Writer

HOUR, DAY = 3_600, 86_400


def request(name, **more):
    return Request(id=name, model="m", server="s", via="hook", started_ms=START_S * 1_000, status="ok", **more)


def texts(recorded):
    return [each["text"] for each in recorded.reader.annotations(0, 10**15)]


def samples(recorded, name, from_s=START_S, to_s=START_S + DAY, tier=0):
    found = recorded.buckets(name, from_s, to_s, tier)
    return dict(zip(found.t_s.tolist(), found.figures.samples.tolist(), strict=True))


@pytest.fixture
def recorded(tmp_path):
    return RecordedStore(tmp_path, "a")


class Blocked:
    """Another program that holds the file for writing."""

    def __init__(self, recorded):
        import sqlite3

        self._connection = sqlite3.connect(recorded.writer.path, isolation_level=None)
        closing.later(self._connection.close)
        recorded.writer._connection.execute("PRAGMA busy_timeout = 0")

    def __enter__(self):
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_):
        self._connection.execute("ROLLBACK")
        self._connection.close()


# --- when, and how much


def test_a_second_is_written_when_no_sample_can_come_to_it_any_more(recorded):
    recorded.run(10, a=1.0)
    assert sorted(samples(recorded, "a")) == list(range(START_S, START_S + 10 - LAG_S))
    assert recorded.writer.written_to_ms == (START_S + 10 - LAG_S) * 1_000


def test_a_sample_that_comes_within_the_lag_is_in_its_second(recorded):
    recorded.run(5, a=1.0)
    recorded.sample("a", 9.0, (START_S + 2) * 1_000 + 500)
    recorded.run(5, a=1.0)
    assert samples(recorded, "a")[START_S + 2] == 2
    assert recorded.means("a", START_S + 2, START_S + 3) == {START_S + 2: 5.0}


def test_a_beat_without_samples_writes_nothing(recorded):
    recorded.run(20)
    assert recorded.rows("SELECT count(*) FROM journal") == [(0,)]
    assert recorded.writer.counts["seconds"] == 0


def test_seconds_and_samples_are_counted(recorded):
    recorded.sample("a", 2.0)
    recorded.run(10, a=1.0)
    assert (recorded.writer.counts["seconds"], recorded.writer.counts["samples"]) == (7, 8)


def test_a_beat_that_is_minutes_late_keeps_every_second_as_it_was(recorded):
    for at in range(290):
        recorded.sample("a", float(at), (START_S + at) * 1_000)
    recorded.clock.advance(290)
    recorded.writer.tick()
    assert samples(recorded, "a") == dict.fromkeys(range(START_S, START_S + 287), 1)
    assert recorded.writer.counts["folded"] == 0


def test_a_late_beat_pulls_in_parts(recorded):
    spans = []
    pull = recorded.writer._intake._source.pull
    recorded.writer._intake._source = SampleSource(
        lambda *span: (spans.append(span), pull(*span))[1], recorded.writer._intake._source.series
    )
    recorded.clock.advance(303)
    recorded.writer.tick()
    assert spans == [((START_S + at) * 1_000, (START_S + at + 10) * 1_000) for at in range(0, 300, 10)]
    spans.clear()
    recorded.clock.advance(30 * DAY)
    recorded.writer.tick()
    assert len(spans) == 60


def test_nothing_is_pulled_before_the_file_was_open_and_nothing_is_missed_then(tmp_path):
    (tmp_path / "wfmon.db").mkdir()  # no file can be there
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(60, a=1.0)
    assert recorded.writer.status()["state"] == "failed"
    assert recorded.writer.depth == 0
    (tmp_path / "wfmon.db").rmdir()
    recorded.run(10, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert samples(recorded, "a") == dict.fromkeys(range(START_S, START_S + 67), 1)


# --- numbers of series


def test_a_series_with_another_id_after_a_restart_keeps_its_history(recorded):
    recorded.run(20, a=1.0)
    number = recorded.number("a")
    recorded.described = []
    recorded.add("b", "a")  # in another order in the next boot
    later = recorded.killed()
    later.run(20, a=2.0, b=7.0)
    assert later.number("a") == number
    assert later.number("b") == number + 1
    assert set(later.means("a", START_S, START_S + 17).values()) == {1.0}
    assert set(later.means("a", START_S + 20, START_S + 37).values()) == {2.0}
    assert set(later.means("b", START_S, START_S + 37).values()) == {7.0}


def test_a_series_that_comes_later_gets_the_next_number(recorded):
    recorded.run(10, a=1.0)
    recorded.add("b_ms")
    recorded.run(10, a=1.0, b_ms=5.0)
    assert [(each.id, each.text, each.first_s - START_S) for each in recorded.reader.series()] == [
        (1, "a", 0), (2, "b_ms", 10),
    ]  # fmt: skip


def test_only_distributions_have_quantiles_in_the_file(tmp_path):
    recorded = RecordedStore(tmp_path, "a", "b_ms")
    recorded.run(10, a=1.0, b_ms=5.0)
    assert len(recorded.buckets("a", START_S, START_S + 9).sketch.keys) == 0
    assert recorded.buckets("b_ms", START_S, START_S + 9).sketch.counts.tolist() == [1] * 7


def test_a_distribution_keeps_its_quantiles_under_its_new_id(tmp_path):
    recorded = RecordedStore(tmp_path, "a", "b_ms")
    recorded.run(10, a=1.0, b_ms=5.0)
    recorded.described = recorded.described[::-1]
    later = recorded.killed()
    later.run(10, a=1.0, b_ms=5.0)
    assert len(later.buckets("a", START_S, START_S + 19).sketch.keys) == 0
    assert later.buckets("b_ms", START_S, START_S + 19).sketch.counts.sum() == 14


def test_past_the_last_number_a_series_is_counted_and_not_kept(recorded):
    recorded.run(5, a=1.0)
    recorded.writer._intake.numbers._highest = MAX_SERIES
    recorded.add("b")
    recorded.run(5, a=1.0, b=1.0)
    assert recorded.writer.counts["series_cap"] == 1
    assert [each.text for each in recorded.reader.series()] == ["a"]
    assert len(samples(recorded, "a")) == 7


def test_a_series_first_seen_while_the_file_is_locked_has_its_number_from_then_on(recorded):
    recorded.run(5, a=1.0)
    with Blocked(recorded):
        recorded.add("b", "c")
        recorded.run(5, a=1.0, b=2.0, c=3.0)
        for number in range(MAX_ROWS + 5):
            recorded.writer.annotate("start", str(number))
    recorded.run(20, a=1.0, c=3.0, b=2.0)
    assert [each.text for each in recorded.reader.series()] == ["a", "b", "c"]
    assert set(recorded.means("b", START_S, START_S + 99).values()) == {2.0}
    assert set(recorded.means("c", START_S, START_S + 99).values()) == {3.0}
    assert min(samples(recorded, "c")) == START_S + 5


def test_a_series_first_seen_while_the_file_cannot_be_opened_is_not_mixed_up_with_another(recorded):
    recorded.run(5, a=1.0)
    recorded.writer._close_file()
    path, away = recorded.writer.path, recorded.folder / "away"
    path.replace(away)
    path.mkdir()
    recorded.add("b", "c")
    recorded.run(30, b=2.0, c=3.0)
    path.rmdir()
    away.replace(path)
    recorded.run(10, b=2.0, c=3.0)
    assert [each.text for each in recorded.reader.series()] == ["a", "b", "c"]
    assert set(recorded.means("b", START_S, START_S + 99).values()) == {2.0}
    assert set(recorded.means("c", START_S, START_S + 99).values()) == {3.0}
    assert min(samples(recorded, "c")) == START_S + 5


def test_a_file_that_numbers_the_series_otherwise_takes_nothing_that_was_numbered_for_the_one_before(tmp_path):
    (tmp_path / "other").mkdir()
    other = RecordedStore(tmp_path / "other", "x", "b", "a")
    other.run(10, x=8.0, a=8.0, b=8.0)
    other.writer.finish()
    recorded = RecordedStore(tmp_path, "a", "b")
    recorded.run(10, a=1.0, b=2.0)
    other.writer.path.replace(recorded.writer.path)
    for side in ("-wal", "-shm"):
        recorded.writer.path.with_name(f"wfmon.db{side}").unlink()
    recorded.run(20, a=1.0, b=2.0)
    assert [each.text for each in recorded.reader.series()] == ["x", "b", "a"]
    assert set(recorded.means("a", START_S + 10, START_S + 99).values()) == {1.0}
    assert set(recorded.means("b", START_S + 10, START_S + 99).values()) == {2.0}


# --- waiting


def test_what_waits_too_long_is_folded_into_tens_and_counted(recorded):
    recorded.run(3, a=0.0)
    with Blocked(recorded):
        recorded.run(120, a=lambda t_s: float(t_s - START_S))
        assert recorded.writer.status()["state"] == "locked"
        assert recorded.writer.depth <= WAITING
        folded = recorded.writer.counts["folded"]
        assert folded == 120 - recorded.writer.depth > 0
    recorded.run(int(RETRY_S) + 3, a=1.0)
    found = samples(recorded, "a", START_S, START_S + 123)
    assert sum(found.values()) == 123  # no sample is lost
    assert [found[at] for at in range(START_S + 10, START_S + 60, 10)] == [10] * 5
    assert [found[at] for at in range(START_S + 110, START_S + 120)] == [1] * 10
    assert recorded.means("a", START_S + 10, START_S + 20) == {START_S + 10: 14.5}
    assert recorded.writer.status()["state"] == "recording"


def test_what_waits_for_hours_is_bounded_and_what_is_lost_is_counted(recorded):
    with Blocked(recorded):
        recorded.run(2 * HOUR, a=1.0)
        assert recorded.writer.depth == MOST_WAITING
        assert recorded.writer.counts["lost"] > 0
    kept = sum(each.figures.samples.sum() for each in recorded.writer._intake.backlog.waiting())
    assert 3_600 < kept < 3_800  # the last hour


def test_sparse_seconds_that_no_ten_takes_together_are_bounded_too(recorded):
    with Blocked(recorded):
        for _ in range(MOST_WAITING + 50):
            recorded.run(1, a=1.0)
            recorded.run(10)
        assert recorded.writer.depth == MOST_WAITING


def test_rows_that_wait_are_bounded_and_the_rest_is_counted(recorded):
    for number in range(MAX_ROWS + 10):
        recorded.writer.annotate("start", str(number))
    assert recorded.writer.counts["dropped_rows"] == 10
    recorded.run(1)
    assert recorded.rows("SELECT count(*) FROM annotation") == [(MAX_ROWS,)]


def test_how_long_recording_waited_is_told_once_and_kept(recorded, caplog):
    recorded.run(10, a=1.0)
    with Blocked(recorded):
        recorded.run(30, a=1.0)
    recorded.run(10, a=1.0)
    (text,) = texts(recorded)
    assert text.startswith("Recording waited for 30 s. Another program has locked the history")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "Another program has locked the history: recording waits until it is released."
    ]


# --- rows that cannot be written


@pytest.mark.parametrize(
    "bad",
    [{"prompt_tokens": 2**70}, {"reason": "half \ud800"}, {"via": None}, {"energy": object()}, {"slow": [1]}],
    ids=["past 64 bits", "half a pair", "absent", "an object", "a list"],
)
def test_a_request_that_has_no_form_in_the_file_holds_up_no_other(recorded, bad):
    recorded.writer.request(request("one"))
    recorded.writer.request(dataclasses.replace(request("bad"), **bad))
    recorded.writer.request(request("two"))
    recorded.run(10, a=1.0)
    assert sorted(each["id"] for each in recorded.reader.requests(0, 10**15)) == ["one", "two"]
    assert recorded.writer.counts["dropped_rows"] == 1
    assert len(samples(recorded, "a")) == 7
    assert recorded.writer.trouble is None


def test_figures_that_are_no_numbers_become_absent(recorded):
    recorded.writer.request(request("one", energy=float("nan")))
    recorded.run(1)
    assert recorded.reader.request("one")["energy"] is None


def test_a_series_whose_name_has_half_a_pair_is_kept(recorded):
    recorded.add('b{m="\ud800"}')
    recorded.run(10, a=1.0, **{'b{m="\ud800"}': 2.0})
    assert [each.text for each in recorded.reader.series()] == ["a", 'b{m="?"}']
    assert len(samples(recorded, 'b{m="?"}')) == 7


def test_whatever_fails_in_a_beat_does_not_end_it_and_is_told(recorded, caplog):
    pull = recorded.writer._intake._source.pull
    calls = []

    def fails(*span):
        calls.append(span)
        raise KeyError("something")

    recorded.writer._intake._source = SampleSource(fails, recorded.writer._intake._source.series)
    recorded.run(10, a=1.0)
    assert recorded.writer.status()["state"] == "failed"
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "Traceback" in caplog.text
    recorded.writer._intake._source = SampleSource(pull, recorded.writer._intake._source.series)
    recorded.run(10, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert len(samples(recorded, "a")) == 17


def test_a_transaction_that_an_error_left_open_does_not_stop_it_for_ever(recorded):
    recorded.run(5, a=1.0)
    recorded.writer._connection.execute("BEGIN")
    recorded.run(10, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert len(samples(recorded, "a")) == 12


# --- recording switched off and on


def test_what_is_measured_while_it_is_off_is_not_kept(recorded):
    recorded.run(10, a=1.0)
    recorded.writer.set_enabled(False)
    assert recorded.writer.status()["state"] == "off"
    recorded.run(10, a=2.0)
    recorded.writer.set_enabled(True)
    recorded.run(10, a=3.0)
    assert set(recorded.means("a", START_S, START_S + 40).values()) == {1.0, 3.0}
    assert min(at for at in samples(recorded, "a") if at >= START_S + 10) == START_S + 20
    assert texts(recorded) == ["Recording was switched on."]


def test_a_request_that_ends_while_it_is_off_is_not_kept(recorded):
    recorded.writer.set_enabled(False)
    recorded.writer.request(request("secret"))
    recorded.run(5)
    recorded.writer.set_enabled(True)
    recorded.writer.request(request("told"))
    recorded.run(5)
    assert [each["id"] for each in recorded.reader.requests(0, 10**15)] == ["told"]


def test_switched_on_twice_it_says_so_once(recorded):
    recorded.writer.set_enabled(True)
    recorded.run(1)
    assert texts(recorded) == []


def test_started_switched_off_it_keeps_nothing_but_forgets_what_is_past_its_time(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(400, a=1.0)
    recorded.writer.finish()
    recorded.clock.advance(DAY // 2)
    writer = Writer(tmp_path, recorded.clock, recorded.writer._intake._source, lambda: KEEP, enabled=False)
    closing.later(writer.close)
    recorded.writer = writer
    recorded.run(400, a=2.0)
    writer.tidy_all()
    assert set(recorded.means("a", START_S, START_S + 2 * DAY, 1).values()) == {1.0}
    assert 0 not in recorded.reader.first_of()


def test_a_clock_set_back_right_after_it_was_switched_on_does_not_keep_it_off(recorded):
    recorded.writer.set_enabled(False)
    recorded.run(10)
    recorded.writer.set_enabled(True)
    recorded.step(-HOUR)
    recorded.run(20, a=1.0)
    assert len(samples(recorded, "a", START_S - DAY)) >= 17


# --- the clock


def test_the_clock_set_back_an_hour_keeps_both_hours_and_each_sample_once(recorded):
    recorded.run(HOUR + 60, a=1.0)
    recorded.step(-HOUR)
    recorded.run(HOUR, a=5.0)
    found = recorded.buckets("a", START_S, START_S + 2 * HOUR)
    assert found.figures.samples.sum() == 2 * HOUR + 60 - LAG_S
    twice = recorded.means("a", START_S + 100, START_S + 1_000)
    assert set(twice.values()) == {3.0}
    assert "The clock was set back by 3,600.0 s." in texts(recorded)


@pytest.mark.parametrize("seconds", [-0.4, 0.3, 1.7, -1.7, 59.999])
def test_a_small_step_loses_no_sample_and_doubles_none(recorded, seconds):
    for _ in range(100):
        recorded.sample("a", 1.0)
        recorded.clock.advance(0.1)
    recorded.writer.tick()
    recorded.step(seconds)
    for _ in range(100):
        recorded.sample("a", 1.0)
        recorded.clock.advance(0.1)
    recorded.writer.tick()
    recorded.clock.advance(LAG_S + 1)
    recorded.writer.tick()
    assert recorded.buckets("a", START_S - 60, START_S + 200).figures.samples.sum() == 200


def test_the_clock_set_ahead_a_day_deletes_nothing_for_an_hour(recorded):
    recorded.run(700, a=1.0)
    recorded.step(DAY)
    recorded.run(PAUSE_S - 2)
    assert recorded.reader.first_of()[0] == START_S
    assert "The clock was set ahead by 86,400.0 s." in texts(recorded)
    recorded.run(10)
    assert recorded.reader.first_of()[0] > START_S + DAY


def test_set_ahead_and_right_again_within_the_hour_nothing_was_deleted(recorded):
    recorded.run(700, a=1.0)
    recorded.step(DAY)
    recorded.run(60, a=2.0)
    recorded.step(-DAY)
    recorded.run(HOUR + 100, a=1.0)
    assert recorded.reader.first_of()[0] == START_S
    assert sum(samples(recorded, "a", START_S, START_S + DAY).values()) == 700 + HOUR + 100 - LAG_S
    assert recorded.reader.span()[1] < START_S + DAY


def test_a_beat_between_a_leap_and_its_news_does_not_stop_recording_for_a_day(recorded):
    recorded.run(10, a=1.0)
    recorded.clock.step(DAY)
    recorded.writer.tick()
    recorded.writer.on_clock_step(recorded.clock.check())
    recorded.run(20, a=2.0)
    assert len(samples(recorded, "a", START_S + DAY, START_S + 2 * DAY)) >= 17


def test_a_sleep_is_a_gap_and_keeps_its_place(recorded):
    recorded.run(10, a=1.0)
    recorded.step(4 * HOUR, sleep=True)
    recorded.run(10, a=2.0)
    found = samples(recorded, "a")
    assert sum(found.values()) == 20 - LAG_S
    assert max(at for at in found if at < START_S + HOUR) == START_S + 9
    assert texts(recorded) == ["The machine slept for 14,400 s."]


# --- the end


def test_closing_writes_what_is_left(tmp_path):
    clock = SystemClock()
    now_ms = clock.now_ms()
    pulled = []

    def pull(from_ms, to_ms):
        if pulled or not from_ms <= now_ms < to_ms:
            return Pulled(np.zeros(0, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32))
        pulled.append(from_ms)
        return Pulled(np.zeros(1, np.uint16), np.array([now_ms]), np.ones(1, np.float32))

    opened = threading.Event()
    described = [Described("a", "a", "", "gauge", distribution=False)]

    def keep():
        opened.set()  # the first beat is over but for this
        return KEEP

    writer = Writer(tmp_path, clock, SampleSource(pull, lambda since: described[since:]), keep)
    closing.later(writer.close)
    writer.annotate("start", "The monitor started.")
    writer.start()
    assert opened.wait(10)
    writer.annotate("stop", "The monitor stopped.")
    writer.close()
    writer.close()
    assert not writer._thread.is_alive()
    assert not (tmp_path / "wfmon.db-wal").exists()
    from wfmon.store.read import Reader

    reader = Reader(writer.path)
    assert [each["text"] for each in reader.annotations(0, 10**15)] == ["The monitor started.", "The monitor stopped."]
    assert [each.text for each in reader.series()] == ["a"]
    from wfmon.store.tiers import TIERS

    assert len(reader.buckets([1], now_ms // 1_000 - 5, now_ms // 1_000 + 5, TIERS[0])[1]) == 1


def test_finishing_takes_the_running_second_and_a_restart_within_it_goes_on(recorded):
    recorded.run(10, a=1.0)
    recorded.sample("a", 3.0)
    recorded.writer.finish()
    assert recorded.reader.span() == (START_S, START_S + 11)
    later = RecordedStore(recorded.folder, "a", clock=recorded.clock)
    later.sample("a", 5.0)
    later.run(10)
    assert later.means("a", START_S + 10, START_S + 11) == {START_S + 10: 4.0}


def test_closing_what_was_never_started_is_harmless(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.writer.close()
    recorded.run(5, a=1.0)
    assert len(samples(recorded, "a")) == 2


def test_the_status_says_how_it_fares(recorded):
    recorded.run(5, a=1.0)
    status = recorded.writer.status()
    assert (status["state"], status["reason"], status["since_ms"], status["notice"]) == ("recording", "", None, "")
    assert status["waiting"] == 0
    assert status["counts"]["seconds"] == 2


def test_damaged_seconds_are_counted_in_the_status(recorded):
    recorded.run(20, a=1.0)
    recorded.writer._connection.execute("UPDATE journal SET data = x'00' WHERE t_s < ?", (START_S + 4,))
    recorded.run(400, a=1.0)
    assert recorded.writer.status()["counts"]["unreadable"] == 4


def test_while_it_does_not_record_nothing_of_what_happens_is_noted(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.writer.set_enabled(False)
    recorded.writer.annotate("collector", "The gpu collector was switched off.")
    recorded.run(3)
    recorded.writer.set_enabled(True)
    recorded.run(2)
    assert [each["text"] for each in recorded.reader.annotations(0, 2**62)] == ["Recording was switched on."]


# --- a start with a clock that may be wrong


def test_a_start_long_after_the_newest_second_deletes_nothing_by_age_for_an_hour(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(700, a=1.0)
    recorded.writer.finish()
    recorded.clock.advance(1_000 * DAY)  # or the clock is wrong
    later = RecordedStore(tmp_path, "a", clock=recorded.clock)
    assert later.writer.status()["held_s"] == PAUSE_S
    later.run(PAUSE_S - 10, a=1.0)
    assert 0 < later.writer.status()["held_s"] <= 10
    assert later.reader.first_of()[0] == START_S
    later.run(20, a=1.0)
    later.writer.tidy_all()
    assert later.writer.status()["held_s"] == 0
    assert later.reader.first_of()[0] > START_S + 1_000 * DAY
    later.writer.finish()


def test_a_start_a_day_after_the_newest_second_or_on_a_new_file_holds_nothing(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    assert recorded.writer.status()["held_s"] == 0
    recorded.run(700, a=1.0)
    recorded.writer.finish()
    recorded.clock.advance(DAY - 100)
    later = RecordedStore(tmp_path, "a", clock=recorded.clock)
    assert later.writer.status()["held_s"] == 0
    later.run(3, a=1.0)
    later.writer.tidy_all()
    assert 0 not in later.reader.first_of()
    later.writer.finish()
