"""Tokens: many instants of several series at once, of which each says only what it knows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wfmon.core.catalogue import LABEL_CAPS, Metric
from wfmon.core.registry import Registry
from wfmon.core.types import ClockStep, Frame, Layout, Series, TokenBatch
from wfmon.process import Processor

NAN, INF = math.nan, math.inf
T = 1_700_000_000_000
METRICS = {
    m.name: m
    for m in (
        Metric("t.tokens", "", "event", "t", "Tokens of a chunk.", ("model",), high=100.0),
        Metric("t.entropy", "bit", "event", "t", "Entropy.", ("model",), dead_band=0.5),
        Metric("t.speed", "/s", "gauge", "t", "A gauge of the same source.", ("model",)),
    )
}


def layout(model="m"):
    return Layout((Series.of("t.tokens", model=model), Series.of("t.entropy", model=model)))


LAYOUT = layout()
SPEED = Layout((Series.of("t.speed", model="m"),))


@pytest.fixture
def registry():
    return Registry(METRICS)


@pytest.fixture
def processor(registry):
    return Processor(registry)


def tokens(processor, *rows, of=LAYOUT):
    """Process rows of (ms, value, ...); gives [(ms, id, value)]."""
    t_ms = np.array([row[0] for row in rows], np.int64)
    values = np.array([row[1:] for row in rows], np.float64).reshape(len(rows), len(of))
    batch = processor.tokens(TokenBatch("t", of, t_ms, values))
    assert (batch.t_ms.dtype, batch.ids.dtype, batch.values.dtype) == (np.int64, np.int32, np.float64)
    assert batch.changed.all()
    assert not np.isnan(batch.values).any()
    return list(zip(batch.t_ms.tolist(), batch.ids.tolist(), batch.values.tolist(), strict=True))


def speed(processor, t_ms, value):
    return processor.step(Frame("t", t_ms, SPEED, np.array([value]), {"t.speed": "none"}))


def test_each_value_is_a_sample_of_its_own_instant_in_order_of_time(processor):
    assert tokens(processor, (T, 1, 2.5), (T + 7, 4, 0.5)) == [
        (T, 0, 1), (T, 1, 2.5), (T + 7, 0, 4), (T + 7, 1, 0.5),
    ]  # fmt: skip
    assert (processor.taken, processor.dropped) == (4, {})


def test_what_an_instant_does_not_say_is_neither_sample_nor_gap(processor):
    assert tokens(processor, (T, 1, NAN), (T + 1, NAN, NAN), (T + 2, NAN, 3)) == [(T, 0, 1), (T + 2, 1, 3)]
    assert (processor.taken, processor.dropped) == (2, {})


def test_a_batch_of_nothing_is_nothing(processor):
    assert tokens(processor) == []
    assert tokens(processor, (T, NAN, NAN)) == []
    assert (processor.taken, processor.dropped) == (0, {})


def test_equal_values_are_news_each_time_whatever_the_dead_band(processor):
    for n in range(3):
        assert len(tokens(processor, (T + n, 1, 2.0))) == 2


def test_impossible_values_are_dropped_by_cause_and_their_row_stays(processor):
    found = tokens(processor, (T, INF, 1), (T + 1, -1, 2), (T + 2, 101, 3), (T + 3, 100, -INF), (T + 4, 1, 1e39))
    assert found == [(T, 1, 1), (T + 1, 1, 2), (T + 2, 1, 3), (T + 3, 0, 100), (T + 4, 0, 1)]
    assert processor.dropped == {"non_finite": 2, "out_of_range": 3}
    assert processor.taken + sum(processor.dropped.values()) == 10


def test_a_token_older_than_the_newest_of_its_series_is_late(processor):
    tokens(processor, (T, 1, NAN))
    assert tokens(processor, (T - 1, 1, 2), (T, 1, NAN), (T + 1, 1, NAN)) == [(T - 1, 1, 2), (T, 0, 1), (T + 1, 0, 1)]
    assert processor.dropped == {"late": 1}


def test_a_dropped_value_does_not_make_what_follows_late(processor):
    tokens(processor, (T + 4_000, INF, NAN))
    assert tokens(processor, (T, 1, NAN)) == [(T, 0, 1)]


def test_after_a_clock_that_was_set_back_the_series_goes_on(processor):
    tokens(processor, (T, 1, 1))
    assert len(tokens(processor, (T - 5_001, 1, 1))) == 2
    processor.on_clock_step(ClockStep(T - 60_000, -60_000, "step"))
    assert len(tokens(processor, (T - 60_000, 1, 1))) == 2


def test_a_silence_between_tokens_is_no_gap_while_the_gauges_of_the_same_source_vanish(processor, registry):
    tokens(processor, (T, 1, 1))
    speed(processor, T, 20.0)
    found = tokens(processor, (T + 60_000, 1, 1))
    assert found == [(T + 60_000, 0, 1), (T + 60_000, 1, 1)]
    other = Layout((Series.of("t.speed", model="other"),))
    batch = processor.step(Frame("t", T + 60_000, other, np.array([1.0])))
    gaps = batch.ids[np.isnan(batch.values)].tolist()
    assert [str(registry.series(number)) for number in gaps] == ['t.speed{model="m"}']


def test_models_past_the_cap_share_the_series_of_the_others(registry, processor):
    cap = LABEL_CAPS["model"]
    for number in range(cap):
        tokens(processor, (T, 1, 1), of=layout(f"m{number}"))
    one, two = layout("one too many"), layout("two too many")
    first, second = tokens(processor, (T, 1, 1), of=one), tokens(processor, (T + 1, 2, 2), of=two)
    assert [number for _, number, _ in first] == [number for _, number, _ in second] == [2 * cap, 2 * cap + 1]
    assert str(registry.series(2 * cap)) == 't.tokens{model="(other)"}'


def test_two_columns_that_are_one_series_both_stay_with_it(registry, processor):
    for number in range(LABEL_CAPS["model"]):
        registry.id(Series.of("t.speed", model=f"m{number}"))
    entropy = registry.id(Series.of("t.entropy", model="x"))
    count = registry.id(Series.of("t.tokens", model="x"))
    assert entropy < count
    both = Layout(
        (Series.of("t.tokens", model="x"), Series.of("t.entropy", model="y"), Series.of("t.tokens", model="z"))
    )
    assert tokens(processor, (T, 7, 1.5, NAN), (T + 1, NAN, NAN, 8), of=both) == [
        (T, count, 7), (T, entropy, 1.5), (T + 1, count, 8),
    ]  # fmt: skip


def test_the_values_that_came_in_stay_as_they_are(processor):
    given = np.array([[1.0, NAN]])
    processor.tokens(TokenBatch("t", LAYOUT, np.array([T], np.int64), given))
    assert given[0, 0] == 1
    assert math.isnan(given[0, 1])
