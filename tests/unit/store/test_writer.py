from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from tests.kit import closing
from tests.unit.store.house import KEEP, START_S, House
from wfmon.core.clock import SystemClock
from wfmon.core.types import Request
from wfmon.store.backlog import MOST_WAITING, WAITING
from wfmon.store.rows import MAX_ROWS
from wfmon.store.series_ids import MAX_SERIES, Described
from wfmon.store.trouble import RETRY_S
from wfmon.store.writer import LAG_S, PAUSE_S, Pulled, SampleSource, Writer

HOUR, DAY = 3_600, 86_400


def request(name, **more):
    return Request(id=name, model="m", server="s", via="hook", started_ms=START_S * 1_000, status="ok", **more)


def texts(house):
    return [each["text"] for each in house.reader.annotations(0, 10**15)]


def samples(house, name, from_s=START_S, to_s=START_S + DAY, tier=0):
    found = house.buckets(name, from_s, to_s, tier)
    return dict(zip(found.t_s.tolist(), found.figures.samples.tolist(), strict=True))


@pytest.fixture
def house(tmp_path):
    return House(tmp_path, "a")


class Blocked:
    """Another program that holds the file for writing."""

    def __init__(self, house):
        import sqlite3

        self._connection = sqlite3.connect(house.writer.path, isolation_level=None)
        closing.later(self._connection.close)
        house.writer._connection.execute("PRAGMA busy_timeout = 0")

    def __enter__(self):
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_):
        self._connection.execute("ROLLBACK")
        self._connection.close()


# --- when, and how much


def test_a_second_is_written_when_no_sample_can_come_to_it_any_more(house):
    house.run(10, a=1.0)
    assert sorted(samples(house, "a")) == list(range(START_S, START_S + 10 - LAG_S))
    assert house.writer.written_to_ms == (START_S + 10 - LAG_S) * 1_000


def test_a_sample_that_comes_within_the_lag_is_in_its_second(house):
    house.run(5, a=1.0)
    house.sample("a", 9.0, (START_S + 2) * 1_000 + 500)
    house.run(5, a=1.0)
    assert samples(house, "a")[START_S + 2] == 2
    assert house.means("a", START_S + 2, START_S + 3) == {START_S + 2: 5.0}


def test_a_beat_without_samples_writes_nothing(house):
    house.run(20)
    assert house.rows("SELECT count(*) FROM journal") == [(0,)]
    assert house.writer.counts["seconds"] == 0


def test_seconds_and_samples_are_counted(house):
    house.sample("a", 2.0)
    house.run(10, a=1.0)
    assert (house.writer.counts["seconds"], house.writer.counts["samples"]) == (7, 8)


def test_a_beat_that_is_minutes_late_keeps_every_second_as_it_was(house):
    for at in range(290):
        house.sample("a", float(at), (START_S + at) * 1_000)
    house.clock.advance(290)
    house.writer.beat()
    assert samples(house, "a") == dict.fromkeys(range(START_S, START_S + 287), 1)
    assert house.writer.counts["folded"] == 0


def test_a_late_beat_pulls_in_parts(house):
    spans = []
    pull = house.writer._source.pull
    house.writer._source = SampleSource(lambda *span: (spans.append(span), pull(*span))[1], house.writer._source.series)
    house.clock.advance(303)
    house.writer.beat()
    assert spans == [((START_S + at) * 1_000, (START_S + at + 10) * 1_000) for at in range(0, 300, 10)]
    spans.clear()
    house.clock.advance(30 * DAY)
    house.writer.beat()
    assert len(spans) == 60


def test_nothing_is_pulled_before_the_file_was_open_and_nothing_is_missed_then(tmp_path):
    (tmp_path / "wfmon.db").mkdir()  # no file can be there
    house = House(tmp_path, "a")
    house.run(60, a=1.0)
    assert house.writer.status()["state"] == "failed"
    assert house.writer.depth == 0
    (tmp_path / "wfmon.db").rmdir()
    house.run(10, a=1.0)
    assert house.writer.status()["state"] == "recording"
    assert samples(house, "a") == dict.fromkeys(range(START_S, START_S + 67), 1)


# --- numbers of series


def test_a_series_with_another_id_after_a_restart_keeps_its_history(house):
    house.run(20, a=1.0)
    number = house.number("a")
    house.described = []
    house.add("b", "a")  # in another order in the next boot
    later = house.killed()
    later.run(20, a=2.0, b=7.0)
    assert later.number("a") == number
    assert later.number("b") == number + 1
    assert set(later.means("a", START_S, START_S + 17).values()) == {1.0}
    assert set(later.means("a", START_S + 20, START_S + 37).values()) == {2.0}
    assert set(later.means("b", START_S, START_S + 37).values()) == {7.0}


def test_a_series_that_comes_later_gets_the_next_number(house):
    house.run(10, a=1.0)
    house.add("b_ms")
    house.run(10, a=1.0, b_ms=5.0)
    assert [(each.id, each.text, each.first_s - START_S) for each in house.reader.series()] == [
        (1, "a", 0), (2, "b_ms", 10),
    ]  # fmt: skip


def test_only_distributions_have_quantiles_in_the_file(tmp_path):
    house = House(tmp_path, "a", "b_ms")
    house.run(10, a=1.0, b_ms=5.0)
    assert len(house.buckets("a", START_S, START_S + 9).sketch.keys) == 0
    assert house.buckets("b_ms", START_S, START_S + 9).sketch.counts.tolist() == [1] * 7


def test_a_distribution_keeps_its_quantiles_under_its_new_id(tmp_path):
    house = House(tmp_path, "a", "b_ms")
    house.run(10, a=1.0, b_ms=5.0)
    house.described = house.described[::-1]
    later = house.killed()
    later.run(10, a=1.0, b_ms=5.0)
    assert len(later.buckets("a", START_S, START_S + 19).sketch.keys) == 0
    assert later.buckets("b_ms", START_S, START_S + 19).sketch.counts.sum() == 14


def test_past_the_last_number_a_series_is_counted_and_not_kept(house):
    house.run(5, a=1.0)
    house.writer._numbers._highest = MAX_SERIES
    house.add("b")
    house.run(5, a=1.0, b=1.0)
    assert house.writer.counts["series_cap"] == 1
    assert [each.text for each in house.reader.series()] == ["a"]
    assert len(samples(house, "a")) == 7


def test_a_series_first_seen_while_the_file_is_locked_has_its_number_from_then_on(house):
    house.run(5, a=1.0)
    with Blocked(house):
        house.add("b", "c")
        house.run(5, a=1.0, b=2.0, c=3.0)
        for number in range(MAX_ROWS + 5):
            house.writer.annotate("start", str(number))
    house.run(20, a=1.0, c=3.0, b=2.0)
    assert [each.text for each in house.reader.series()] == ["a", "b", "c"]
    assert set(house.means("b", START_S, START_S + 99).values()) == {2.0}
    assert set(house.means("c", START_S, START_S + 99).values()) == {3.0}
    assert min(samples(house, "c")) == START_S + 5


def test_a_series_first_seen_while_the_file_cannot_be_opened_is_not_mixed_up_with_another(house):
    house.run(5, a=1.0)
    house.writer._let_go()
    path, away = house.writer.path, house.folder / "away"
    path.replace(away)
    path.mkdir()
    house.add("b", "c")
    house.run(30, b=2.0, c=3.0)
    path.rmdir()
    away.replace(path)
    house.run(10, b=2.0, c=3.0)
    assert [each.text for each in house.reader.series()] == ["a", "b", "c"]
    assert set(house.means("b", START_S, START_S + 99).values()) == {2.0}
    assert set(house.means("c", START_S, START_S + 99).values()) == {3.0}
    assert min(samples(house, "c")) == START_S + 5


def test_a_file_that_numbers_the_series_otherwise_takes_nothing_that_was_numbered_for_the_one_before(tmp_path):
    (tmp_path / "other").mkdir()
    other = House(tmp_path / "other", "x", "b", "a")
    other.run(10, x=8.0, a=8.0, b=8.0)
    other.writer.finish()
    house = House(tmp_path, "a", "b")
    house.run(10, a=1.0, b=2.0)
    other.writer.path.replace(house.writer.path)
    for side in ("-wal", "-shm"):
        house.writer.path.with_name(f"wfmon.db{side}").unlink()
    house.run(20, a=1.0, b=2.0)
    assert [each.text for each in house.reader.series()] == ["x", "b", "a"]
    assert set(house.means("a", START_S + 10, START_S + 99).values()) == {1.0}
    assert set(house.means("b", START_S + 10, START_S + 99).values()) == {2.0}


# --- waiting


def test_what_waits_too_long_is_folded_into_tens_and_counted(house):
    house.run(3, a=0.0)
    with Blocked(house):
        house.run(120, a=lambda t_s: float(t_s - START_S))
        assert house.writer.status()["state"] == "locked"
        assert house.writer.depth <= WAITING
        folded = house.writer.counts["folded"]
        assert folded == 120 - house.writer.depth > 0
    house.run(int(RETRY_S) + 3, a=1.0)
    found = samples(house, "a", START_S, START_S + 123)
    assert sum(found.values()) == 123  # no sample is lost
    assert [found[at] for at in range(START_S + 10, START_S + 60, 10)] == [10] * 5
    assert [found[at] for at in range(START_S + 110, START_S + 120)] == [1] * 10
    assert house.means("a", START_S + 10, START_S + 20) == {START_S + 10: 14.5}
    assert house.writer.status()["state"] == "recording"


def test_what_waits_for_hours_is_bounded_and_what_is_lost_is_counted(house):
    with Blocked(house):
        house.run(2 * HOUR, a=1.0)
        assert house.writer.depth == MOST_WAITING
        assert house.writer.counts["lost"] > 0
    kept = sum(each.figures.samples.sum() for each in house.writer._backlog.waiting())
    assert 3_600 < kept < 3_800  # the last hour


def test_sparse_seconds_that_no_ten_takes_together_are_bounded_too(house):
    with Blocked(house):
        for _ in range(MOST_WAITING + 50):
            house.run(1, a=1.0)
            house.run(10)
        assert house.writer.depth == MOST_WAITING


def test_rows_that_wait_are_bounded_and_the_rest_is_counted(house):
    for number in range(MAX_ROWS + 10):
        house.writer.annotate("start", str(number))
    assert house.writer.counts["dropped_rows"] == 10
    house.run(1)
    assert house.rows("SELECT count(*) FROM annotation") == [(MAX_ROWS,)]


def test_how_long_recording_waited_is_told_once_and_kept(house, caplog):
    house.run(10, a=1.0)
    with Blocked(house):
        house.run(30, a=1.0)
    house.run(10, a=1.0)
    (text,) = texts(house)
    assert text.startswith("Recording waited for 30 s. Another program holds the file of the history")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "Another program holds the file of the history: recording waits until it lets go."
    ]


# --- rows that cannot be written


@pytest.mark.parametrize(
    "bad",
    [{"prompt_tokens": 2**70}, {"reason": "half \ud800"}, {"via": None}, {"energy": object()}, {"slow": [1]}],
    ids=["past 64 bits", "half a pair", "absent", "an object", "a list"],
)
def test_a_request_that_has_no_form_in_the_file_holds_up_no_other(house, bad):
    house.writer.request(request("one"))
    house.writer.request(dataclasses.replace(request("bad"), **bad))
    house.writer.request(request("two"))
    house.run(10, a=1.0)
    assert sorted(each["id"] for each in house.reader.requests(0, 10**15)) == ["one", "two"]
    assert house.writer.counts["dropped_rows"] == 1
    assert len(samples(house, "a")) == 7
    assert house.writer.trouble is None


def test_figures_that_are_no_numbers_become_absent(house):
    house.writer.request(request("one", energy=float("nan")))
    house.run(1)
    assert house.reader.request("one")["energy"] is None


def test_a_series_whose_name_has_half_a_pair_is_kept(house):
    house.add('b{m="\ud800"}')
    house.run(10, a=1.0, **{'b{m="\ud800"}': 2.0})
    assert [each.text for each in house.reader.series()] == ["a", 'b{m="?"}']
    assert len(samples(house, 'b{m="?"}')) == 7


def test_whatever_fails_in_a_beat_does_not_end_it_and_is_told(house, caplog):
    pull = house.writer._source.pull
    calls = []

    def fails(*span):
        calls.append(span)
        raise KeyError("something")

    house.writer._source = SampleSource(fails, house.writer._source.series)
    house.run(10, a=1.0)
    assert house.writer.status()["state"] == "failed"
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "Traceback" in caplog.text
    house.writer._source = SampleSource(pull, house.writer._source.series)
    house.run(10, a=1.0)
    assert house.writer.status()["state"] == "recording"
    assert len(samples(house, "a")) == 17


def test_a_transaction_that_an_error_left_open_does_not_stop_it_for_ever(house):
    house.run(5, a=1.0)
    house.writer._connection.execute("BEGIN")
    house.run(10, a=1.0)
    assert house.writer.status()["state"] == "recording"
    assert len(samples(house, "a")) == 12


# --- recording switched off and on


def test_what_is_measured_while_it_is_off_is_not_kept(house):
    house.run(10, a=1.0)
    house.writer.set_enabled(False)
    assert house.writer.status()["state"] == "off"
    house.run(10, a=2.0)
    house.writer.set_enabled(True)
    house.run(10, a=3.0)
    assert set(house.means("a", START_S, START_S + 40).values()) == {1.0, 3.0}
    assert min(at for at in samples(house, "a") if at >= START_S + 10) == START_S + 20
    assert texts(house) == ["Recording was switched on."]


def test_a_request_that_ends_while_it_is_off_is_not_kept(house):
    house.writer.set_enabled(False)
    house.writer.request(request("secret"))
    house.run(5)
    house.writer.set_enabled(True)
    house.writer.request(request("told"))
    house.run(5)
    assert [each["id"] for each in house.reader.requests(0, 10**15)] == ["told"]


def test_switched_on_twice_it_says_so_once(house):
    house.writer.set_enabled(True)
    house.run(1)
    assert texts(house) == []


def test_started_switched_off_it_keeps_nothing_but_forgets_what_is_past_its_time(tmp_path):
    house = House(tmp_path, "a")
    house.run(400, a=1.0)
    house.writer.finish()
    house.clock.advance(DAY // 2)
    writer = Writer(tmp_path, house.clock, house.writer._source, lambda: KEEP, enabled=False)
    closing.later(writer.close)
    house.writer = writer
    house.run(400, a=2.0)
    writer.tidy_all()
    assert set(house.means("a", START_S, START_S + 2 * DAY, 1).values()) == {1.0}
    assert 0 not in house.reader.first_of()


def test_a_clock_set_back_right_after_it_was_switched_on_does_not_keep_it_off(house):
    house.writer.set_enabled(False)
    house.run(10)
    house.writer.set_enabled(True)
    house.step(-HOUR)
    house.run(20, a=1.0)
    assert len(samples(house, "a", START_S - DAY)) >= 17


# --- the clock


def test_the_clock_set_back_an_hour_keeps_both_hours_and_each_sample_once(house):
    house.run(HOUR + 60, a=1.0)
    house.step(-HOUR)
    house.run(HOUR, a=5.0)
    found = house.buckets("a", START_S, START_S + 2 * HOUR)
    assert found.figures.samples.sum() == 2 * HOUR + 60 - LAG_S
    twice = house.means("a", START_S + 100, START_S + 1_000)
    assert set(twice.values()) == {3.0}
    assert "The clock was set back by 3,600.0 s." in texts(house)


@pytest.mark.parametrize("seconds", [-0.4, 0.3, 1.7, -1.7, 59.999])
def test_a_small_step_loses_no_sample_and_doubles_none(house, seconds):
    for _ in range(100):
        house.sample("a", 1.0)
        house.clock.advance(0.1)
    house.writer.beat()
    house.step(seconds)
    for _ in range(100):
        house.sample("a", 1.0)
        house.clock.advance(0.1)
    house.writer.beat()
    house.clock.advance(LAG_S + 1)
    house.writer.beat()
    assert house.buckets("a", START_S - 60, START_S + 200).figures.samples.sum() == 200


def test_the_clock_set_ahead_a_day_deletes_nothing_for_an_hour(house):
    house.run(700, a=1.0)
    house.step(DAY)
    house.run(PAUSE_S - 2)
    assert house.reader.first_of()[0] == START_S
    assert "The clock was set ahead by 86,400.0 s." in texts(house)
    house.run(10)
    assert house.reader.first_of()[0] > START_S + DAY


def test_set_ahead_and_right_again_within_the_hour_nothing_was_deleted(house):
    house.run(700, a=1.0)
    house.step(DAY)
    house.run(60, a=2.0)
    house.step(-DAY)
    house.run(HOUR + 100, a=1.0)
    assert house.reader.first_of()[0] == START_S
    assert sum(samples(house, "a", START_S, START_S + DAY).values()) == 700 + HOUR + 100 - LAG_S
    assert house.reader.span()[1] < START_S + DAY


def test_a_beat_between_a_leap_and_its_news_does_not_stop_recording_for_a_day(house):
    house.run(10, a=1.0)
    house.clock.step(DAY)
    house.writer.beat()
    house.writer.on_clock_step(house.clock.check())
    house.run(20, a=2.0)
    assert len(samples(house, "a", START_S + DAY, START_S + 2 * DAY)) >= 17


def test_a_sleep_is_a_gap_and_keeps_its_place(house):
    house.run(10, a=1.0)
    house.step(4 * HOUR, sleep=True)
    house.run(10, a=2.0)
    found = samples(house, "a")
    assert sum(found.values()) == 20 - LAG_S
    assert max(at for at in found if at < START_S + HOUR) == START_S + 9
    assert texts(house) == ["The machine slept for 14,400 s."]


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


def test_finishing_takes_the_running_second_and_a_restart_within_it_goes_on(house):
    house.run(10, a=1.0)
    house.sample("a", 3.0)
    house.writer.finish()
    assert house.reader.span() == (START_S, START_S + 11)
    later = House(house.folder, "a", clock=house.clock)
    later.sample("a", 5.0)
    later.run(10)
    assert later.means("a", START_S + 10, START_S + 11) == {START_S + 10: 4.0}


def test_closing_what_was_never_started_is_harmless(tmp_path):
    house = House(tmp_path, "a")
    house.writer.close()
    house.run(5, a=1.0)
    assert len(samples(house, "a")) == 2


def test_the_status_says_how_it_fares(house):
    house.run(5, a=1.0)
    status = house.writer.status()
    assert (status["state"], status["reason"], status["since_ms"], status["notice"]) == ("recording", "", None, "")
    assert status["waiting"] == 0
    assert status["counts"]["seconds"] == 2


def test_damaged_seconds_are_counted_in_the_status(house):
    house.run(20, a=1.0)
    house.writer._connection.execute("UPDATE journal SET data = x'00' WHERE t_s < ?", (START_S + 4,))
    house.run(400, a=1.0)
    assert house.writer.status()["counts"]["unreadable"] == 4


def test_while_it_does_not_record_nothing_of_what_happens_is_noted(tmp_path):
    house = House(tmp_path, "a")
    house.writer.set_enabled(False)
    house.writer.annotate("collector", "The gpu collector was switched off.")
    house.run(3)
    house.writer.set_enabled(True)
    house.run(2)
    assert [each["text"] for each in house.reader.annotations(0, 2**62)] == ["Recording was switched on."]


# --- a start with a clock that may be wrong


def test_a_start_long_after_the_newest_second_deletes_nothing_by_age_for_an_hour(tmp_path):
    house = House(tmp_path, "a")
    house.run(700, a=1.0)
    house.writer.finish()
    house.clock.advance(1_000 * DAY)  # or the clock is wrong
    later = House(tmp_path, "a", clock=house.clock)
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
    house = House(tmp_path, "a")
    assert house.writer.status()["held_s"] == 0
    house.run(700, a=1.0)
    house.writer.finish()
    house.clock.advance(DAY - 100)
    later = House(tmp_path, "a", clock=house.clock)
    assert later.writer.status()["held_s"] == 0
    later.run(3, a=1.0)
    later.writer.tidy_all()
    assert 0 not in later.reader.first_of()
    later.writer.finish()
