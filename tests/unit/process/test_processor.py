from __future__ import annotations

import math

import numpy as np
import pytest

from wfmon.core.catalogue import Metric
from wfmon.core.registry import Registry
from wfmon.core.types import Burst, ClockStep, Frame, Layout, Series
from wfmon.process import Processor

NAN = math.nan
HOUR = 3_600_000
METRICS = {
    m.name: m
    for m in (
        Metric("t.gauge", "", "gauge", "t", "A gauge."),
        Metric("t.percent", "%", "gauge", "t", "A percentage.", ("k",), high=100.0, dead_band=1.0),
        Metric("t.free", "", "gauge", "t", "Anything.", low=None),
        Metric("t.rate", "/s", "gauge", "t", "A rate.", ("k",), derive="rate"),
    )
}
GAUGE, PERCENT, FREE, RATE = Series("t.gauge"), Series.of("t.percent", k=1), Series("t.free"), Series.of("t.rate", k=1)
ALL = Layout((GAUGE, PERCENT, FREE, RATE))


@pytest.fixture
def registry():
    return Registry(METRICS)


@pytest.fixture
def processor(registry):
    return Processor(registry)


def step(processor, t_ms, *values, layout=ALL, reasons=None, collector="t"):
    return processor.step(Frame(collector, t_ms, layout, np.array(values, np.float64), reasons or {}))


def as_rows(batch):
    return [
        (t, i, None if math.isnan(v) else v, c)
        for t, i, v, c in zip(
            batch.t_ms.tolist(), batch.ids.tolist(), batch.values.tolist(), batch.changed.tolist(), strict=True
        )
    ]


def test_a_first_frame_gives_gauges_as_they_are_and_a_gap_for_the_rate(processor):
    batch = step(processor, 1_000, 5, 50, -3, 1_000)
    assert as_rows(batch) == [(1_000, 0, 5, True), (1_000, 1, 50, True), (1_000, 2, -3, True), (1_000, 3, None, True)]
    assert (batch.t_ms.dtype, batch.ids.dtype, batch.values.dtype) == (np.int64, np.int32, np.float64)
    assert (processor.taken, processor.dropped) == (4, {})


def test_a_counter_becomes_a_rate_per_second_of_the_samples_own_times(processor):
    step(processor, 1_000, 0, 0, 0, 1_000)
    assert step(processor, 1_250, 0, 0, 0, 1_100).values[3] == 400.0
    assert step(processor, 3_250, 0, 0, 0, 1_100).values[3] == 0.0


def test_a_counter_reset_gives_a_gap_and_no_negative_rate(processor):
    for t_ms, counter in ((1_000, 2**32 - 10), (2_000, 90), (3_000, 100)):
        batch = step(processor, t_ms, 0, 0, 0, counter)
        rate = batch.values[3]
        assert rate == 10.0 if t_ms == 3_000 else math.isnan(rate)  # a wrap of 32 bits is not guessed


def test_a_declared_absence_is_a_gap_and_the_interval_over_it_is_dropped(processor):
    step(processor, 1_000, 1, 1, 1, 100)
    absent = step(processor, 2_000, NAN, NAN, 1, NAN, reasons={"t.gauge": "x", 't.percent{k="1"}': "y", "t.rate": "z"})
    assert as_rows(absent) == [
        (2_000, 0, None, True),
        (2_000, 1, None, True),
        (2_000, 2, 1, False),
        (2_000, 3, None, False),
    ]
    back = step(processor, 3_000, 1, 1, 1, 300)
    assert as_rows(back) == [(3_000, 0, 1, True), (3_000, 1, 1, True), (3_000, 2, 1, False), (3_000, 3, None, False)]
    assert step(processor, 4_000, 1, 1, 1, 350).values[3] == 50.0
    assert processor.dropped == {}


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_a_non_finite_value_that_nobody_declared_is_neither_sample_nor_gap(processor, bad):
    step(processor, 1_000, 1, 1, 1, 100)
    batch = step(processor, 2_000, bad, 2, 1, bad, reasons={"t.free": "another one"})
    assert batch.ids.tolist() == [1, 2]
    assert processor.dropped == {"non_finite": 2}
    assert step(processor, 3_000, 1, 2, 1, 300).values[3] == 100.0  # over both seconds: a counter loses nothing


@pytest.mark.parametrize(("position", "value"), [(0, -1), (1, 100.5), (1, -0.5), (2, 1e300), (2, -1e300)])
def test_a_value_outside_what_is_possible_is_dropped_and_counted(processor, position, value):
    values = [1, 1, 1, 1]
    values[position] = value
    batch = step(processor, 1_000, *values)
    assert batch.ids.tolist() == [i for i in range(4) if i != position]
    assert (processor.taken, processor.dropped) == (3, {"out_of_range": 1})


def test_the_limits_themselves_are_possible(processor):
    assert len(step(processor, 1_000, 0, 100, 0, 0)) == 4
    assert len(step(processor, 2_000, 0, 0, 0, 0)) == 4


def test_a_late_frame_is_dropped_and_counted(processor):
    step(processor, 2_000, 1, 1, 1, 100)
    assert len(step(processor, 1_900, 2, 2, 2, 110)) == 0
    assert processor.dropped == {"late": 4}
    assert step(processor, 3_000, 1, 1, 1, 120).values[3] == 20.0


def test_two_frames_of_one_millisecond_give_two_gauges_and_no_second_rate(processor):
    step(processor, 2_000, 1, 1, 1, 100)
    assert step(processor, 2_000, 2, 1, 1, 110).ids.tolist() == [0, 1, 2]
    assert processor.dropped == {"late": 1}


def test_only_a_change_past_the_dead_band_since_the_last_sent_is_news(processor):
    sent = [
        bool(step(processor, 1_000 * i, 0, v, 0, 0).changed[1]) for i, v in enumerate((50, 50.9, 49.1, 51.1, 51.1, 50))
    ]
    assert sent == [True, False, False, True, False, True]  # 50 differs from 51.1, the last sent, by 1.1


def test_without_a_dead_band_any_change_is_news_and_no_change_is_not(processor):
    sent = [bool(step(processor, 1_000 * i, v, 0, 0, 0).changed[0]) for i, v in enumerate((0, 0, 1e-12, 1e-12))]
    assert sent == [True, False, True, False]


def test_a_clock_that_jumps_back_an_hour_makes_nothing_late_and_no_negative_rate(processor):
    now = 10 * HOUR
    step(processor, now, 1, 1, 1, 100)
    processor.on_clock_step(ClockStep(now - HOUR + 100, -HOUR, "step"))
    batch = step(processor, now - HOUR + 100, 2, 1, 1, 110)
    assert as_rows(batch)[0] == (now - HOUR + 100, 0, 2, True)
    assert as_rows(batch)[3] == (now - HOUR + 100, 3, None, False)
    assert step(processor, now - HOUR + 200, 2, 1, 1, 120).values[3] == 100.0
    assert processor.dropped == {}


@pytest.mark.parametrize("step_ms", [-HOUR, -30_000, HOUR])
def test_a_frame_stamped_before_a_step_and_drained_after_it_does_not_stop_its_series(processor, step_ms):
    now = 10 * HOUR
    step(processor, now, 1, 1, 1, 100)
    processor.on_clock_step(ClockStep(now + step_ms, step_ms, "step"))
    step(processor, now + 5, 1, 1, 1, 101)
    batch = step(processor, now + step_ms + 100, 1, 1, 1, 110)
    assert len(batch) == 4
    assert not batch.values[3] < 0
    assert step(processor, now + step_ms + 200, 1, 1, 1, 120).values[3] == 100.0


def test_after_a_sleep_of_a_day_the_rate_over_it_is_a_gap_and_old_values_are_news(processor):
    step(processor, 1_000, 1, 1, 1, 100)
    processor.on_clock_step(ClockStep(24 * HOUR, 24 * HOUR - 1_000, "sleep"))
    batch = step(processor, 24 * HOUR + 100, 1, 1, 1, 200)
    assert [row[2:] for row in as_rows(batch)] == [(1, True), (1, True), (1, True), (None, False)]
    assert step(processor, 24 * HOUR + 1_100, 1, 1, 1, 300).values[3] == 100.0


def test_a_collector_that_goes_absent_leaves_one_gap_a_series_and_starts_anew(processor):
    step(processor, 1_000, 1, 1, 1, 100)
    step(processor, 2_000, 1, 1, 1, 200)
    assert as_rows(processor.on_absent("t")) == [(2_001, i, None, True) for i in range(4)]
    assert len(processor.on_absent("t")) == 0
    assert len(processor.on_absent("never spoke")) == 0
    back = step(processor, 9_000, 1, 1, 1, 900)
    assert [row[2:] for row in as_rows(back)] == [(1, True), (1, True), (1, True), (None, False)]


def test_a_pause_of_the_monitor_leaves_one_gap_a_series_and_the_old_value_is_news_after_it(processor):
    assert len(processor.on_stall()) == 0
    step(processor, 1_000, 1, 1, 1, 100)
    step(processor, 2_000, 1, 1, 1, 200)
    assert as_rows(processor.on_stall()) == [(2_001, i, None, True) for i in range(4)]
    assert len(processor.on_stall()) == 0
    back = step(processor, 28_000, 1, 1, 1, 900)
    assert [row[2:] for row in as_rows(back)] == [(1, True), (1, True), (1, True), (None, False)]


def test_a_series_that_its_collector_leaves_out_for_long_gets_a_gap_and_may_return(processor):
    few = Layout((GAUGE,))
    step(processor, 0, 1, 1, 1, 100)
    seen = [as_rows(step(processor, t_ms, 1, layout=few)) for t_ms in range(1_000, 20_000, 1_000)]
    gaps = [row for rows in seen for row in rows if row[1] != 0]
    assert gaps == [(1, i, None, True) for i in (1, 2)]  # the rate was a gap already
    assert all(len(rows) == 1 for rows in seen[:15])  # not before it has been away for 15 s
    assert as_rows(step(processor, 20_000, 1, 1, 1, 100))[1:] == [
        (20_000, 1, 1, True), (20_000, 2, 1, True), (20_000, 3, None, False)
    ]  # fmt: skip


def test_a_layout_that_takes_turns_with_a_shorter_one_loses_nothing(processor):
    few = Layout((GAUGE,))
    for second in range(30):
        assert len(step(processor, second * 1_000, 1, 1, 1, second * 10)) == 4
        for beat in range(1, 10):
            assert len(step(processor, second * 1_000 + beat * 100, 1, layout=few)) == 1


def test_series_folded_into_other_add_their_counters_and_show_their_largest_gauge():
    registry = Registry(METRICS, max_series=2)
    processor = Processor(registry)
    layout = Layout(
        (Series("t.gauge"), Series("t.free"), *(Series.of(n, k=k) for n in ("t.percent", "t.rate") for k in "ab"))
    )
    assert len(set(registry.ids(layout).tolist())) == 4
    step(processor, 0, 1, 2, 30, 40, 100, 200, layout=layout)
    batch = step(processor, 1_000, 1, 2, 30, 50, 110, 220, layout=layout)
    assert dict(zip(batch.ids.tolist(), batch.values.tolist(), strict=True)) == {0: 1, 1: 2, 2: 50, 3: 30}


def test_a_batch_keeps_its_values_when_the_collector_reuses_its_array(processor):
    values = np.array([1.0, 2, 3, 4])
    batch = processor.step(Frame("t", 1_000, ALL, values))
    values[:] = 9
    assert batch.values[:3].tolist() == [1, 2, 3]


def burst(processor, series, *pairs):
    t_ms, values = zip(*pairs, strict=True)
    return processor.burst(Burst("t", series, np.array(t_ms, np.int64), np.array(values, np.float64)))


def test_a_burst_gives_each_of_its_instants_with_the_dead_band_held_against_the_last_sent(processor):
    batch = burst(processor, PERCENT, (10, 50), (20, 50.5), (30, 52), (40, NAN), (50, NAN), (60, 52))
    assert [(t, v, c) for t, _, v, c in as_rows(batch)] == [
        (10, 50, True), (20, 50.5, False), (30, 52, True), (40, None, True), (50, None, False), (60, 52, True)
    ]  # fmt: skip
    assert as_rows(burst(processor, PERCENT, (70, 52.5), (80, 54))) == [(70, 0, 52.5, False), (80, 0, 54, True)]


def test_a_burst_drops_what_is_late_infinite_or_impossible(processor):
    burst(processor, GAUGE, (100, 1))
    batch = burst(processor, GAUGE, (90, 1), (110, math.inf), (120, -5), (130, 2), (125, 3), (130, 4))
    assert as_rows(batch) == [(130, 0, 2, True), (130, 0, 4, True)]
    assert (processor.taken, processor.dropped) == (3, {"late": 2, "non_finite": 1, "out_of_range": 1})


def test_a_burst_of_counters_becomes_rates(processor):
    batch = burst(processor, RATE, (1_000, 10), (2_000, 20), (2_000, 25), (3_000, 5), (4_000, 6))
    assert [row[2] for row in as_rows(batch)] == [None, 10, None, 1]
    assert [row[2] for row in as_rows(burst(processor, RATE, (6_000, 10)))] == [2]


def test_an_empty_burst_is_an_empty_batch(processor):
    assert len(processor.burst(Burst("t", GAUGE, np.zeros(0, np.int64), np.zeros(0)))) == 0


def test_two_thousand_series_grow_the_state_without_mixing_it():
    metrics = {"t.rate": METRICS["t.rate"]}
    processor = Processor(Registry(metrics))
    layouts = [
        Layout(tuple(Series.of("t.rate", k=f"{a}-{i}") for i in range(a, a + 100))) for a in range(0, 1_900, 100)
    ]
    for n, layout in enumerate(layouts):
        step(processor, 1_000, *range(100), layout=layout, collector=str(n))
    for n, layout in enumerate(layouts):
        batch = step(processor, 2_000, *(i + n for i in range(100)), layout=layout, collector=str(n))
        assert batch.values.tolist() == [n] * 100


def test_every_series_of_a_pushed_collector_gets_its_gap_when_it_goes_absent(processor):
    for series in (GAUGE, PERCENT, FREE):
        burst(processor, series, (100, 1))
    assert [row[1:] for row in as_rows(processor.on_absent("t"))] == [(i, None, True) for i in range(3)]
