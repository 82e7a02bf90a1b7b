"""Counters become rates over the span between two scrapes, or nothing."""

from __future__ import annotations

import pytest

from wfmon.collect.models.scrape.spans import MAX_SPAN_S, Span

S = 1_000_000_000


def test_the_first_scrape_has_no_span():
    span = Span()
    span.step(0, {"tokens": 100.0})
    assert (span.seconds, span.per_second("tokens"), span.grown("tokens")) == (None, None, None)


def test_a_rate_is_the_growth_over_the_seconds():
    span = Span()
    span.step(0, {"tokens": 100.0, "sum": 1.0, "count": 10.0})
    span.step(2 * S, {"tokens": 150.0, "sum": 1.5, "count": 20.0})
    assert (span.seconds, span.per_second("tokens"), span.over("sum", "count", 1_000)) == (2.0, 25.0, 50.0)


def test_a_mean_over_nothing_is_none_not_zero():
    span = Span()
    span.step(0, {"sum": 1.0, "count": 10.0})
    span.step(S, {"sum": 1.0, "count": 10.0})
    assert span.over("sum", "count") is None


def test_one_counter_that_fell_drops_the_span_of_all_and_the_next_one_counts():
    span = Span()
    span.step(0, {"tokens": 100.0, "prompt": 5.0})
    span.step(S, {"tokens": 3.0, "prompt": 9.0})
    assert (span.per_second("tokens"), span.per_second("prompt")) == (None, None)
    span.step(2 * S, {"tokens": 13.0, "prompt": 9.0})
    assert (span.per_second("tokens"), span.per_second("prompt")) == (10.0, 0.0)


def test_a_counter_that_came_later_has_no_rate_yet():
    span = Span()
    span.step(0, {})
    span.step(S, {"tokens": 5.0})
    assert span.per_second("tokens") is None


@pytest.mark.parametrize("seconds", [0.0, MAX_SPAN_S + 1])
def test_a_span_of_no_time_or_of_long_ago_is_dropped(seconds):
    span = Span()
    span.step(S, {"tokens": 1.0})
    span.step(S + round(seconds * S), {"tokens": 2.0})
    assert span.per_second("tokens") is None
