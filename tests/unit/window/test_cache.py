from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from wfmon.core.catalogue import Metric
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, ClockStep, Series, Window
from wfmon.window import HotCache
from wfmon.window.block import MANY

NAN = math.nan
START = 1_700_000_000_000
HOUR = 3_600_000
METRICS = {
    "t.g": Metric("t.g", "", "gauge", "t", "A gauge.", ("k",)),
    "t.e": Metric("t.e", "", "event", "t", "An event.", ("k",)),
}


class Rig:
    """A cache with its clock, and ids 0, 1, 2, ..."""

    def __init__(self, seconds=300, max_bytes=12_000_000, series=4):
        self.clock = FakeClock(START)
        registry = Registry(METRICS)
        for k in range(series):
            registry.id(Series.of("t.g", k=k))
        self.cache = HotCache(registry, self.clock, seconds, max_bytes)

    def put(self, *values, ids=None, ago_ms=0):
        self.put_at(self.clock.now_ms() - ago_ms, *values, ids=ids)

    def put_at(self, t_ms, *values, ids=None):
        ids = np.array(range(len(values)) if ids is None else ids, np.int32)
        values = np.array(values, np.float64)
        self.cache.append(Batch(np.full(len(ids), t_ms, np.int64), ids, values, np.ones(len(ids), bool)))

    def second(self, *values, beats=1):
        for _ in range(beats):
            self.clock.advance(1 / beats)
            self.put(*values)
        self.cache.fold()

    def sleep(self, seconds):
        self.clock.step(seconds, sleep=True)
        self.cache.on_clock_step(self.clock.check())

    def step(self, seconds):
        self.clock.step(seconds)
        self.cache.on_clock_step(self.clock.check())


@pytest.fixture
def rig():
    return Rig()


@pytest.mark.parametrize("beats", [1, MANY - 1, MANY, 10])
def test_sums_are_the_same_whether_they_are_kept_or_added_up_when_they_are_asked(rig, beats):
    for value in (1.0, 2.0, 6.0):
        rig.second(value, -value, NAN, beats=beats)
    rig.put_at(rig.clock.now_ms(), 9.0, ids=[3])
    rig.cache.fold()
    now_ms = rig.clock.now_ms()
    assert [block.kept is not None for block in rig.cache._blocks] == [beats >= MANY] * 3 + [False]
    assert rig.cache.means(now_ms - 10_000, now_ms + 1) == {0: 3.0, 1: -3.0, 3: 9.0}
    windows = rig.cache.windows(300)
    assert {(each.count, each.mean, each.min, each.max, each.last) for each in windows.values()} == {
        (3 * beats, 3.0, 1.0, 6.0, 6.0), (3 * beats, -3.0, -6.0, -1.0, -6.0), (1, 9.0, 9.0, 9.0, 9.0)
    }  # fmt: skip


def test_many_series_with_a_sample_a_second_take_little_more_than_their_samples():
    rig = Rig(series=1_000)
    for _ in range(20):
        rig.second(*range(1_000))
    assert rig.cache.bytes < 20 * (1_000 * 12 + 2_000) + rig.cache._sketch.nbytes + 1_100 * 21


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("span_s", [1, 10, 300])
def test_a_window_describes_its_samples_whether_folded_or_still_running(rig, folded, span_s):
    for value in (1.0, 2.0, 3.0, 4.0):
        rig.put(value)
    if folded:
        rig.cache.fold()
    expected = Window(span_s, 4, 2.5, 1.0, 4.0, 4.0, 2.5, 3.85, 3.97)
    exact = rig.cache.window(0, span_s)
    assert (exact.count, exact.mean, exact.min, exact.max, exact.last) == (4, 2.5, 1.0, 4.0, 4.0)
    assert (exact.p50, exact.p95, exact.p99) == pytest.approx((expected.p50, expected.p95, expected.p99), rel=1e-12)
    assert rig.cache._exact(span_s) == {0: exact}
    quick = rig.cache.windows(span_s)[0]
    assert (quick.count, quick.mean, quick.min, quick.max, quick.last) == (4, 2.5, 1.0, 4.0, 4.0)
    assert (quick.p50, quick.p95, quick.p99) == pytest.approx((2.5, 3.85, 3.97), rel=0.0101 if span_s == 300 else 1e-12)
    assert rig.cache.window(0, span_s, exact=False) == quick


def test_means_of_a_span_are_of_the_whole_seconds_that_begin_in_it(rig):
    begun = rig.clock.now_ms()
    for value in range(1, 7):
        rig.second(float(value), 100.0, *([7.0] if value == 2 else []), beats=4)
    at = begun + 250  # the first sample
    assert rig.cache.means(at + 1_000, at + 4_000) == {0: 3.0, 1: 100.0, 2: 7.0}
    assert rig.cache.means(at, at + 1) == {0: 1.0, 1: 100.0}
    assert rig.cache.means(begun - HOUR, begun) == {}


def test_gap_marks_do_not_count_into_a_mean(rig):
    rig.second(4.0, NAN)
    rig.second(NAN, NAN)
    rig.second(8.0, NAN)
    assert rig.cache.means(0, 2**50) == {0: 6.0}


def test_a_window_without_a_sample_says_so(rig):
    rig.put(NAN)
    assert rig.cache.window(0, 10) == Window(10, 0)
    assert rig.cache.window(0, 300, exact=False) == rig.cache.window(3, 300, exact=False) == Window(300, 0)
    assert rig.cache.windows(1) == rig.cache.windows(10) == rig.cache.windows(300) == {}


def test_a_window_reaches_back_to_just_before_its_span_and_no_further(rig):
    rig.put(1.0)
    rig.clock.advance(0.5)
    rig.put(2.0)
    rig.cache.fold()
    rig.clock.advance(0.499)
    assert rig.cache.window(0, 1).count == rig.cache.windows(1)[0].count == 2
    rig.clock.advance(0.001)
    assert rig.cache.window(0, 1).count == rig.cache.windows(1)[0].count == 1


def test_gap_marks_are_no_samples_and_show_in_the_snapshot(rig):
    for value in (1.0, NAN, NAN, 2.0, 2.0):
        rig.put(value)
        rig.clock.advance(0.1)
    rig.cache.fold()
    window = rig.cache.window(0, 10)
    assert (window.count, window.mean, window.min, window.max, window.last) == (3, 5 / 3, 1.0, 2.0, 2.0)
    grid = rig.cache.snapshot()
    assert (grid.t0_ms, grid.step_ms, grid.until_ms) == (START, 100, START + 500)
    np.testing.assert_array_equal(grid.columns[0], np.array([1, NAN, NAN, 2, 2, 2], np.float32))
    assert grid.columns[0].dtype == np.float32


def test_the_latest_value_of_each_series_is_there_at_once_as_it_came(rig):
    rig.put(0.1, 2.0)
    rig.clock.advance(0.1)
    rig.put(16e9 + 1, ids=[1])
    rig.put(NAN, ids=[3])
    latest = rig.cache.latest()
    assert latest[0] == (START, 0.1)
    assert latest[1] == (START + 100, 16e9 + 1)
    assert math.isnan(latest[3][1])
    assert set(latest) == {0, 1, 3}


def test_a_block_lives_for_as_long_as_the_cache_promises_and_no_longer():
    rig = Rig(seconds=30)
    for second in range(40):
        rig.second(float(second))
    assert rig.cache.window(0, 1_000).count == 30
    assert rig.cache.window(0, 1_000).min == 10.0
    assert rig.cache.seconds_held == 29.0
    assert not rig.cache.shortened


def test_the_sketched_window_forgets_what_is_older_than_five_minutes_even_if_the_cache_is_longer():
    rig = Rig(seconds=600)
    for second in range(400):
        rig.second(float(second + 1))
    quick = rig.cache.windows(300)[0]
    assert (quick.count, quick.min, quick.max, quick.last) == (300, 101.0, 400.0, 400.0)
    assert quick.p50 == pytest.approx(250.5, rel=0.01)
    assert rig.cache.window(0, 600).count == 400


def test_past_its_bytes_the_cache_compresses_then_shortens_and_says_so():
    quiet = Rig(max_bytes=1_000_000, series=100)
    for _ in range(120):
        quiet.second(*[1.0] * 100, beats=40)  # 24 KB a second raw: compressed, all of it fits
    assert quiet.cache.bytes <= 1_000_000
    assert quiet.cache.seconds_held == pytest.approx(120, abs=1)
    assert not quiet.cache.shortened
    noise = np.random.default_rng(1).normal(size=(120, 100))
    loud = Rig(max_bytes=400_000, series=100)
    for second in range(60):
        for beat in range(10):
            loud.clock.advance(0.1)
            loud.put(*np.roll(noise[second], beat) * (1 + beat / 7))
        loud.cache.fold()
    assert loud.cache.bytes <= 400_000
    assert loud.cache.shortened
    assert 20 < loud.cache.seconds_held < 59
    held = loud.cache.window(7, 300)
    assert held.count == loud.cache.windows(300)[7].count == pytest.approx(loud.cache.seconds_held * 10, abs=10)


def test_a_shortened_cache_grows_back_when_less_comes_in():
    rig = Rig(seconds=30, max_bytes=100_000, series=100)
    noise = np.random.default_rng(1).normal(size=100)
    for _ in range(30):
        rig.second(*noise, beats=10)
    assert rig.cache.shortened
    for _ in range(32):
        rig.second(1.0)
    assert not rig.cache.shortened


def test_a_step_of_the_clock_moves_what_is_held_along_with_it(rig):
    for value in (1.0, 2.0, 3.0):
        rig.second(value)
    rig.put(4.0)
    for step_s in (-3600, 7200, -1):
        rig.step(step_s)
        assert rig.cache.window(0, 10).count == rig.cache.windows(10)[0].count == rig.cache.windows(300)[0].count == 4
        assert rig.cache.latest()[0] == (rig.clock.now_ms(), 4.0)
        assert rig.cache.seconds_held == 2.0
    rig.second(5.0)
    np.testing.assert_array_equal(rig.cache.snapshot().columns[0][::10], [1, 2, 4, 5])


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_sample_stamped_before_a_step_and_appended_after_it_is_dropped_and_counted(rig, step_s):
    before_ms = rig.clock.now_ms()
    rig.step(step_s)
    rig.put_at(before_ms, 1.0)
    assert rig.cache.dropped == {"too_early" if step_s < 0 else "too_late": 1}
    assert rig.cache.latest() == {}
    assert rig.cache.windows(1) == {}


def test_over_a_sleep_nothing_moves_and_every_series_has_a_gap(rig):
    rig.second(1.0, 10.0)
    rig.put(2.0)  # in the millisecond in which the sleep begins: the gap stands
    rig.sleep(60)
    assert all(math.isnan(value) for _, value in rig.cache.latest().values())
    rig.clock.advance(1)
    rig.put(3.0)
    grid = rig.cache.snapshot()
    assert grid.until_ms - grid.t0_ms == 61_000
    assert grid.columns[0][-1] == 3.0
    assert np.isnan(grid.columns[0][:-1]).all()
    assert np.isnan(grid.columns[1]).all()
    assert rig.cache.window(0, 300).count == 3
    assert rig.cache.window(0, 10).count == 1


def test_after_a_sleep_of_a_day_the_old_is_gone_and_the_new_is_there(rig):
    for value in (1.0, 2.0, 3.0):
        rig.second(value)
    rig.sleep(86_400)
    assert rig.cache.windows(300) == {}
    rig.second(4.0)
    assert rig.cache.windows(300)[0].count == rig.cache.window(0, 1_000_000).count == 1
    assert rig.cache.seconds_held == 0.0
    assert set(rig.cache.snapshot().columns) == {0}
    assert rig.cache.snapshot().columns[0].tolist() == [4.0]


def test_a_late_sample_counts_where_it_belongs_a_gap_mark_too_late_is_moved_and_other_late_ones_are_counted(rig):
    for _ in range(40):
        rig.second(1.0)
    rig.put(2.0, ids=[1], ago_ms=20_000)
    rig.put(3.0, ids=[2], ago_ms=31_000)
    rig.put(NAN, ids=[3], ago_ms=31_000)
    assert rig.cache.dropped == {"too_late": 1}
    assert rig.cache.windows(10).keys() == {0}
    assert rig.cache._exact(30).keys() == {0, 1}
    assert rig.cache.latest()[3][0] == rig.clock.now_ms() - 30_000


def test_a_cache_that_is_not_folded_for_an_hour_loses_nothing(rig):
    for _ in range(100):
        rig.clock.advance(36)
        rig.put(1.0)
    assert rig.cache.window(0, 7_200).count == 100
    rig.cache.fold()
    assert rig.cache.window(0, 7_200).count == pytest.approx(300 / 36, abs=2)


def test_a_silent_series_holds_its_value_even_when_its_last_sample_has_left_the_cache():
    rig = Rig(seconds=30)
    rig.second(7.0, NAN, 5.0)
    rig.put(NAN, ids=[2])
    for _ in range(60):
        rig.clock.advance(1)
        rig.put(1.0, ids=[3])
        rig.cache.fold()
    grid = rig.cache.snapshot()
    assert set(grid.columns) == {0, 3}
    assert (grid.columns[0] == 7.0).all()


def test_a_series_that_vanishes_and_returns_has_a_hole_in_its_line(rig):
    rig.put(1.0)
    rig.clock.advance(0.1)
    rig.put(NAN)
    rig.clock.advance(0.8)
    rig.cache.fold()
    rig.clock.advance(0.1)
    rig.put(2.0)
    np.testing.assert_array_equal(rig.cache.snapshot().columns[0], np.array([1] + [NAN] * 9 + [2], np.float32))


def test_an_event_stands_in_its_own_step_of_the_snapshot_and_is_not_carried_on():
    rig = Rig(seconds=30, series=0)
    number = rig.cache._registry.id(Series.of("t.e", k=0))
    rig.put(7.0, ids=[number])
    for _ in range(5):
        rig.clock.advance(0.1)
        rig.put(3.0, ids=[rig.cache._registry.id(Series.of("t.g", k=0))])
    rig.cache.fold()
    np.testing.assert_array_equal(rig.cache.snapshot().columns[number], np.array([7] + [NAN] * 5, np.float32))
    for _ in range(60):
        rig.clock.advance(1)
        rig.put(3.0, ids=[1])
        rig.cache.fold()
    assert set(rig.cache.snapshot().columns) == {1}


def test_the_snapshot_picks_the_finest_step_that_keeps_to_its_size(rig):
    for second in range(300):
        rig.second(float(second), 1.0, 2.0, 3.0, beats=2)
    steps = {most: rig.cache.snapshot(most) for most in (150_000, 10_000, 4_000, 1_300, 100)}
    assert [grid.step_ms for grid in steps.values()] == [100, 200, 500, 1_000, 5_000]
    for most, grid in steps.items():
        assert sum(len(column) for column in grid.columns.values()) <= most
        assert grid.t0_ms + (len(grid.columns[0]) - 1) * grid.step_ms == grid.until_ms == rig.clock.now_ms()
        assert grid.columns[0][-1] == 299.0
    assert len(steps[100].columns[0]) == 25  # no step is coarse enough: the newest part
    assert steps[1_300].columns[0][-10:].tolist() == [290, 291, 292, 293, 294, 295, 296, 297, 298, 299]


def test_an_empty_cache_answers(rig):
    assert rig.cache.latest() == {}
    assert rig.cache.snapshot().columns == {}
    assert (rig.cache.seconds_held, rig.cache.shortened) == (0.0, False)
    assert rig.cache.window(0, 10) == Window(10, 0)
    rig.cache.fold()
    rig.cache.on_clock_step(ClockStep(START, 1_000, "sleep"))
    rig.cache.on_clock_step(ClockStep(START, 1_000, "step"))
    assert rig.cache.windows(300) == {}


def test_the_cache_of_a_default_load_takes_two_to_four_megabytes():
    rig = Rig(series=70)
    rng = np.random.default_rng(1)
    for _ in range(300):
        rig.second(*rng.uniform(0, 100, 70), beats=10)
    assert 2_000_000 < rig.cache.bytes < 4_000_000


def test_readers_see_whole_seconds_while_the_ticker_appends_folds_and_steps():
    rig = Rig(seconds=30, max_bytes=60_000, series=50)
    seen, failed, done = [], [], threading.Event()

    def read():
        while not done.is_set():
            windows = rig.cache.windows(300)
            counts = {window.count for window in windows.values()}
            exact = {window.count for window in rig.cache._exact(20).values()}
            grid = rig.cache.snapshot(2_000)
            if len(counts) > 1 or len(exact) > 1 or len({len(column) for column in grid.columns.values()}) > 1:
                failed.append((counts, exact))
            seen.append(counts)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    noise = np.random.default_rng(1).normal(size=50)
    rig.second(*noise, beats=5)
    for reader in readers:
        reader.start()
    while len(seen) < 60:
        rig.second(*noise, beats=5)
        rig.step(1.5)
    done.set()
    for reader in readers:
        reader.join(10)
    assert not failed
    assert seen[-1]


def test_a_span_that_would_take_all_samples_of_all_series_is_refused(rig):
    rig.second(1.0)
    with pytest.raises(ValueError, match="up to 10 s or 300 s, not 60 s"):
        rig.cache.windows(60)
    assert rig.cache.window(0, 60).count == 1
