"""Rates and the rest of process against the slowest model that is plainly right."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wfmon.core.catalogue import Metric
from wfmon.core.registry import Registry
from wfmon.core.types import Burst, ClockStep, Frame, Layout, Series
from wfmon.process import Processor

METRICS = {
    m.name: m
    for m in (
        Metric("t.rate", "/s", "gauge", "t", "A rate.", derive="rate", high=1e6),
        Metric("t.gauge", "%", "gauge", "t", "A gauge.", high=100.0, dead_band=2.0),
    )
}
LAYOUT = Layout((Series("t.rate"), Series("t.gauge")))
LATE_MS = 5_000


class Model:
    """One series, one value at a time."""

    def __init__(self, metric):
        self.metric = metric
        self.seen = self.reading = self.sent = None
        self.dropped = {}

    def drop(self, cause):
        self.dropped[cause] = self.dropped.get(cause, 0) + 1

    def step(self, t_ms, value, *, declared=False):
        """(value or None for a gap, changed), or nothing."""
        if self.seen is not None and (
            self.seen - LATE_MS <= t_ms < self.seen or (self.metric.derive and t_ms == self.seen)
        ):
            return self.drop("late")
        if not math.isfinite(value):
            if not (declared and math.isnan(value)):
                return self.drop("non_finite")
            value = None
        if self.metric.derive:
            before, self.reading = self.reading, None if value is None else (t_ms, value)
            if before is None or value is None or t_ms <= before[0] or value < before[1]:
                value = None
            else:
                value = (value - before[1]) * 1000.0 / (t_ms - before[0])
        if value is not None and not self.metric.low <= value <= self.metric.high:
            return self.drop("out_of_range")
        self.seen = t_ms
        changed = self.sent is None or (
            (value is None) != (self.sent[0] is None)
            or (value is not None and abs(value - self.sent[0]) > self.metric.dead_band)
        )
        if changed:
            self.sent = (value,)
        return value, changed


VALUES = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 100.0, 101.0, -1.0, 1e12]),
    st.floats(0, 100),
    st.integers(0, 10_000).map(float),
)
FRAME = st.tuples(
    st.sampled_from([0, 1, 16, 100, 1_000, 6_000, -1, -50, -4_999, -6_000]),
    VALUES,
    VALUES,
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAME, max_size=40))
def test_every_frame_comes_out_as_the_slow_model_says(frames):
    processor = Processor(Registry(METRICS))
    models = [Model(METRICS["t.rate"]), Model(METRICS["t.gauge"])]
    now = 1_700_000_000_000
    came_in = 0
    for dt_ms, counter, gauge, counter_declared, gauge_declared in frames:
        now += dt_ms
        reasons = {name: "why" for name, on in (("t.rate", counter_declared), ("t.gauge", gauge_declared)) if on}
        batch = processor.step(Frame("t", now, LAYOUT, np.array([counter, gauge]), reasons))
        expected = [
            (i, *out)
            for i, (model, value, declared) in enumerate(
                zip(models, (counter, gauge), (counter_declared, gauge_declared), strict=True)
            )
            if (out := model.step(now, value, declared=declared)) is not None
        ]
        # What has been left out for long is another test's; here it can only be a series whose values were dropped.
        rows = [
            (i, None if math.isnan(v) else v, c)
            for t, i, v, c in zip(batch.t_ms, batch.ids, batch.values.tolist(), batch.changed, strict=True)
            if t == now
        ]
        assert rows == expected
        assert not (batch.values < 0).any()
        came_in += 2
    dropped = {}
    for model in models:
        for cause, n in model.dropped.items():
            dropped[cause] = dropped.get(cause, 0) + n
    assert processor.dropped == dropped
    assert processor.taken + processor.dropped.total() == came_in


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["t.rate", "t.gauge"]),
    st.lists(st.lists(st.tuples(st.sampled_from([0, 1, 16, 1_000, -1, -6_000]), VALUES), max_size=20), max_size=5),
)
def test_bursts_however_they_are_cut_come_out_as_the_slow_model_says(name, bursts):
    processor = Processor(Registry(METRICS))
    model = Model(METRICS[name])
    now = 1_700_000_000_000
    for pairs in bursts:
        times = []
        for dt_ms, _ in pairs:
            now += dt_ms
            times.append(now)
        values = [value for _, value in pairs]
        batch = processor.burst(Burst("t", Series(name), np.array(times, np.int64), np.array(values, np.float64)))
        expected = [
            (t, *out)
            for t, v in zip(times, values, strict=True)
            if (out := model.step(t, v, declared=True)) is not None
        ]
        rows = zip(batch.t_ms.tolist(), batch.values.tolist(), batch.changed.tolist(), strict=True)
        assert [(t, None if math.isnan(v) else v, c) for t, v, c in rows] == expected
    assert processor.dropped == model.dropped


EVENT = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 2_000), st.integers(0, 1_000)),
    st.tuples(st.just("reset"), st.integers(1, 2_000), st.just(0)),
    st.tuples(st.just("step"), st.sampled_from([-3_600_000, -300, 300, 3_600_000]), st.just(0)),
    st.tuples(st.just("sleep"), st.sampled_from([1_000, 86_400_000]), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENT, max_size=40))
def test_through_resets_steps_and_sleeps_every_rate_is_that_of_an_unbroken_interval_or_a_gap(events):
    processor = Processor(Registry(METRICS))
    now, counter, broken = 1_700_000_000_000, 0, True
    for kind, amount, gained in events:
        if kind in {"step", "sleep"}:
            now += amount
            processor.on_clock_step(ClockStep(now, amount, kind))
            broken = True
            continue
        now += amount
        if kind == "reset":
            broken = broken or counter > 0
            counter = 0
        counter += gained
        rate = processor.step(Frame("t", now, LAYOUT, np.array([counter, 1.0]))).values[0]
        assert math.isnan(rate) if broken else rate == gained * 1000.0 / amount
        broken = False
    assert not processor.dropped
