"""One series between two instants: what is asked when a request has ended."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from wfmon.core.catalogue import Metric
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, Series, Window
from wfmon.window import HotCache

NAN = math.nan
START = 1_700_000_000_000
METRICS = {"t.g": Metric("t.g", "", "gauge", "t", "A gauge.", ("k",))}


class Rig:
    """A cache, a clock, and two series."""

    def __init__(self, seconds=300, max_bytes=12_000_000):
        self.clock = FakeClock(START)
        registry = Registry(METRICS)
        for k in range(2):
            registry.id(Series.of("t.g", k=k))
        self.cache = HotCache(registry, self.clock, seconds, max_bytes)

    def put(self, value, number=0, ago_ms=0):
        t_ms = np.array([self.clock.now_ms() - ago_ms], np.int64)
        self.cache.append(Batch(t_ms, np.array([number], np.int32), np.array([float(value)]), np.ones(1, bool)))

    def seconds(self, *values):
        """A value a second, each in a block of its own, at START + 1, 2, 3 ... s."""
        for value in values:
            self.clock.advance(1)
            self.put(value)
            self.cache.fold()

    def between(self, from_s, to_s, number=0):
        return self.cache.between(number, START + round(from_s * 1_000), START + round(to_s * 1_000))


@pytest.fixture
def rig():
    return Rig()


def test_a_span_holds_what_came_after_its_start_up_to_and_with_its_end(rig):
    rig.seconds(1, 2, 3, 4, 5)
    window = rig.between(1, 4)
    assert (window.span_s, window.count, window.min, window.max, window.mean, window.last) == (3, 3, 2, 4, 3, 4)
    assert (window.p50, window.p95, window.p99) == (3, pytest.approx(3.9), pytest.approx(3.98))
    assert rig.between(1.001, 3.999).count == 2
    assert rig.between(0.999, 4.001).count == 4


def test_it_is_the_same_before_and_after_the_running_second_is_folded(rig):
    for value in range(10):
        rig.clock.advance(0.1)
        rig.put(value)
    before = rig.between(0.25, 0.75)
    rig.cache.fold()
    assert rig.between(0.25, 0.75) == before
    assert (before.count, before.min, before.max) == (5, 2, 6)


def test_a_span_over_blocks_and_the_running_second_holds_both(rig):
    rig.seconds(1, 2, 3)
    rig.clock.advance(0.5)
    rig.put(9)
    assert (rig.between(1, 3.5).count, rig.between(1, 3.5).last) == (3, 9)
    assert rig.between(1, 3.4).last == 3


@pytest.mark.parametrize(("from_s", "to_s"), [(10, 20), (-20, -10), (2, 2), (3, 1), (1.2, 1.8)])
def test_a_span_without_a_sample_says_so(rig, from_s, to_s):
    rig.seconds(1, 2, 3)
    window = rig.between(from_s, to_s)
    assert window == Window(window.span_s, 0)


def test_a_series_never_seen_has_no_sample(rig):
    rig.seconds(1, 2)
    assert rig.between(0, 10, number=1).count == 0
    assert HotCache(Registry(METRICS), rig.clock, 300, 1_000_000).between(0, START, START + 1_000).count == 0


def test_other_series_do_not_count(rig):
    rig.seconds(1, 2)
    rig.put(50, number=1)
    assert rig.between(0, 10).max == 2
    assert rig.between(0, 10, number=1).count == 1


def test_gaps_are_no_samples(rig):
    rig.seconds(1, NAN, 3, NAN)
    window = rig.between(0, 10)
    assert (window.count, window.mean, window.last) == (2, 2, 3)


def test_values_that_came_late_stand_in_order_of_time(rig):
    rig.seconds(1, 2, 3)
    rig.put(7, ago_ms=1_500)
    window = rig.between(0, 2.5)
    assert (window.count, window.last, window.max) == (3, 2, 7)
    assert rig.between(1.4, 1.6).last == 7


def test_it_reaches_back_as_far_as_the_cache_and_no_further():
    rig = Rig(seconds=30)
    rig.seconds(*range(40))
    assert rig.between(0, 40).count == 30
    assert rig.between(0, 40).min == 10
    assert rig.between(0, 10).count == 0


def test_a_cache_that_had_to_shorten_gives_what_it_still_holds(rig):
    small = Rig(max_bytes=1)
    for each in (rig, small):
        each.seconds(*range(30))
    assert small.cache.shortened
    held = small.between(0, 30)
    assert 0 < held.count < 30
    assert dataclasses.replace(held, span_s=held.count) == rig.between(30 - held.count, 30)


def test_after_a_step_of_the_wall_clock_the_samples_keep_their_distance(rig):
    rig.seconds(1, 2, 3)
    rig.clock.step(100)
    rig.cache.on_clock_step(rig.clock.check())
    assert rig.between(0, 4).count == 0
    assert rig.between(101, 103).count == 2
