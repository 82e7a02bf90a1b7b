"""What the writer of the history and its readers take out of the cache: samples of a span, as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wfmon.core.catalogue import Metric
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, Series
from wfmon.window import HotCache

NAN = math.nan
START = 1_700_000_000_000
METRICS = {"t.g": Metric("t.g", "", "gauge", "t", "A gauge.", ("k",))}


class Rig:
    """A cache, its clock, and three series."""

    def __init__(self, seconds=300, max_bytes=12_000_000):
        self.clock = FakeClock(START)
        registry = Registry(METRICS)
        for k in range(3):
            registry.id(Series.of("t.g", k=k))
        self.cache = HotCache(registry, self.clock, seconds, max_bytes)

    def put(self, *values, ids=None, ago_ms=0):
        ids = np.array(range(len(values)) if ids is None else ids, np.int32)
        t_ms = np.full(len(ids), self.clock.now_ms() - ago_ms, np.int64)
        self.cache.append(Batch(t_ms, ids, np.array(values, np.float64), np.ones(len(ids), bool)))

    def seconds(self, *values):
        """A value a second of the first series, each in a block of its own, at START + 1, 2, 3 ... s."""
        for value in values:
            self.clock.advance(1)
            self.put(value)
            self.cache.fold()

    def samples(self, from_ms=-60_000, to_ms=600_000):
        return rows(self.cache.samples(START + from_ms, START + to_ms))

    def of(self, number, from_ms=-60_000, to_ms=600_000):
        return rows(self.cache.samples_of(number, START + from_ms, START + to_ms))


def rows(columns):
    """(id, ms since START, value), NaN as None."""
    assert columns.ids.dtype == np.uint16
    assert columns.t_ms.dtype == np.int64
    assert columns.values.dtype == np.float32
    values = [None if math.isnan(value) else value for value in columns.values.tolist()]
    return list(zip(columns.ids.tolist(), (columns.t_ms - START).tolist(), values, strict=True))


@pytest.fixture
def rig():
    return Rig()


def test_an_empty_cache_has_no_samples(rig):
    assert rig.samples() == rig.of(0) == []


def test_samples_are_those_of_closed_seconds_and_of_the_running_one(rig):
    rig.seconds(1.0)
    rig.clock.advance(0.5)
    rig.put(2.0, 9.0)
    assert rig.samples() == [(0, 1_000, 1.0), (0, 1_500, 2.0), (1, 1_500, 9.0)]
    assert rig.of(0) == [(0, 1_000, 1.0), (0, 1_500, 2.0)]
    assert rig.of(1) == [(1, 1_500, 9.0)]
    assert rig.of(2) == []


def test_a_span_begins_with_its_first_instant_and_ends_before_its_last(rig):
    rig.seconds(1.0, 2.0, 3.0)
    rig.clock.advance(1)
    rig.put(4.0)  # in the running second
    for take in (rig.samples, lambda *span: rig.of(0, *span)):
        assert [value for _, _, value in take(1_000, 3_000)] == [1.0, 2.0]
        assert [value for _, _, value in take(1_001, 3_001)] == [2.0, 3.0]
        assert [value for _, _, value in take(3_000, 4_001)] == [3.0, 4.0]
        assert take(2_000, 2_000) == []


def test_spans_side_by_side_take_every_sample_once(rig):
    for _ in range(100):
        rig.clock.advance(0.13)
        rig.put(1.0, 2.0)
        if rig.clock.now_ms() % 1_000 < 130:
            rig.cache.fold()
    parts = [each for at in range(0, 14_000, 500) for each in rig.samples(at, at + 500)]
    assert sorted(parts) == sorted(rig.samples())
    assert len(parts) == 200


def test_a_late_sample_stands_where_it_belongs_in_time(rig):
    rig.seconds(1.0, 2.0, 4.0)
    rig.put(3.0, ids=[0], ago_ms=500)
    rig.put(7.0, ids=[1], ago_ms=2_500)
    expected = [(0, 1_000, 1.0), (0, 2_000, 2.0), (0, 2_500, 3.0), (0, 3_000, 4.0)]
    assert rig.of(0) == expected
    assert [each for each in rig.samples() if each[0] == 0] == expected
    rig.cache.fold()
    assert rig.of(0) == expected
    assert rig.samples() == [*expected, (1, 500, 7.0)]


def test_samples_of_one_instant_stay_in_the_order_in_which_they_came(rig):
    rig.seconds(1.0)
    rig.put(5.0)
    rig.cache.fold()
    rig.put(3.0)
    assert [value for _, _, value in rig.of(0)] == [1.0, 5.0, 3.0]
    assert [value for _, _, value in rig.samples()] == [1.0, 5.0, 3.0]


def test_gap_marks_are_samples_too(rig):
    rig.seconds(1.0, NAN, 3.0)
    assert rig.samples() == rig.of(0) == [(0, 1_000, 1.0), (0, 2_000, None), (0, 3_000, 3.0)]


def test_blocks_that_were_compressed_give_the_same(rig):
    small = Rig(max_bytes=80_000)
    for each in (rig, small):
        each.seconds(*(float(number % 7) for number in range(60)))
    assert small.cache.bytes <= 80_000
    assert small.samples() == rig.samples()
    assert small.of(0, 10_000, 20_000) == rig.of(0, 10_000, 20_000)


def test_after_a_step_of_the_clock_samples_are_found_at_their_new_time(rig):
    rig.seconds(1.0, 2.0)
    rig.clock.step(-3_600)
    rig.cache.on_clock_step(rig.clock.check())
    assert rig.samples(-3_600_000, 0) == [(0, -3_599_000, 1.0), (0, -3_598_000, 2.0)]
    assert rig.of(0, -3_599_000, -3_598_000) == [(0, -3_599_000, 1.0)]


def test_with_nothing_held_all_is_held_from_now_on(rig):
    assert rig.cache.since_ms == START
    rig.clock.advance(5)
    assert rig.cache.since_ms == START + 5_000


def test_from_its_first_sample_on_all_is_held(rig):
    rig.clock.advance(1)
    rig.put(1.0)
    rig.clock.advance(1)
    assert rig.cache.since_ms == START + 1_000
    rig.cache.fold()
    rig.seconds(2.0)
    assert rig.cache.since_ms == START + 1_000


def test_it_reaches_back_no_further_than_its_span():
    rig = Rig(seconds=10)
    rig.seconds(*([1.0] * 30))
    assert rig.cache.since_ms == START + 21_000
    assert [t_ms for _, t_ms, _ in rig.samples(20_001)] == list(range(21_000, 31_000, 1_000))


def test_what_it_had_to_drop_for_its_size_is_not_held():
    rig = Rig(max_bytes=30_000)
    rig.seconds(*(float(number) for number in range(60)))
    assert rig.cache.shortened
    since_ms = rig.cache.since_ms
    assert START + 1_000 < since_ms < START + 60_000
    assert len(rig.samples(since_ms - START)) == (START + 60_000 - since_ms) // 1_000 + 1
