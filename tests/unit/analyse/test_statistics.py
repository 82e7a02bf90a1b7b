from __future__ import annotations

import math

import numpy as np
import pytest

from wfmon.analyse import statistics as st


def dice(seed=1):
    return np.random.default_rng(seed)


def test_a_clear_change_is_told_with_an_interval_that_holds_it():
    before, after = dice(1).normal(200, 20, 300), dice(2).normal(276, 20, 300)
    told = st.change(before, after, dice())
    assert told.ratio == pytest.approx(0.38, abs=0.03)
    assert told.low < 0.38 < told.high
    assert told.high - told.low < 0.08
    assert told.confidence > 0.999


def test_no_change_is_no_change():
    sure = [st.change(dice(n).normal(200, 20, 100), dice(n + 500).normal(200, 20, 100), dice()) for n in range(200)]
    assert sum(each.confidence >= 0.95 for each in sure) <= 20  # one in twenty, by its meaning
    assert sum(each.low <= 0 <= each.high for each in sure) >= 175


@pytest.mark.parametrize(("n", "m"), [(st.LEAST - 1, 100), (100, st.LEAST - 1), (0, 0)])
def test_of_too_few_values_nothing_is_said(n, m):
    assert st.change(np.ones(n), np.full(m, 2.0), dice()) is None


def test_a_change_from_nothing_has_no_ratio():
    assert st.change(np.zeros(50), np.ones(50), dice()) is None


def test_the_rank_test_agrees_with_a_worked_example():
    # By hand: U = 3 of 6 against 6 without ties; z = (|3 - 18| - 0.5) / sqrt(6 * 6 * 13 / 12)
    one, other = np.array([1.0, 2, 3, 4, 5, 9]), np.array([6.0, 7, 8, 10, 11, 12])
    assert st.rank_test(one, other) == pytest.approx(math.erfc(14.5 / math.sqrt(39) / math.sqrt(2)))
    assert st.rank_test(one, other) == st.rank_test(other, one)


def test_equal_values_and_none_at_all_differ_in_nothing():
    assert st.rank_test(np.ones(20), np.ones(20)) == 1.0
    assert st.rank_test(np.zeros(0), np.ones(5)) == 1.0


def test_the_day_of_a_change_is_found():
    days = np.repeat(np.arange(10), 30)
    values = dice().normal(100, 10, 300) + 40 * (days >= 6)
    day, p = st.split(values, days)
    assert day == 6
    assert p < 0.001
    assert st.split(dice().normal(100, 10, 300), days)[1] > 0.05
    assert st.split(np.ones(10), np.zeros(10, np.int64)) is None


def test_a_slope_is_found_through_outliers():
    t = np.arange(200.0)
    values = 5 + 2 * t + dice().normal(0, 3, 200)
    values[::17] = 10_000
    told = st.trend(t, values, dice())
    assert told.slope == pytest.approx(2, abs=0.1)
    assert told.low < told.slope < told.high
    assert told.sure
    flat = st.trend(t, dice().normal(0, 3, 200), dice())
    assert not flat.sure
    assert st.trend(t[:5], values[:5], dice()) is None
    assert st.trend(np.zeros(20), np.arange(20.0), dice()) is None


def test_a_long_series_costs_no_more_pairs():
    t = np.arange(50_000.0)
    assert st.trend(t, 3 * t, dice()).slope == pytest.approx(3)


def test_the_median_of_each_hour_and_none_where_nothing_is():
    hours = np.arange(240) % 24
    by_hour = st.profile(hours, hours.astype(float))
    assert by_hour.tolist() == list(range(24))
    assert np.isnan(st.profile(hours[:1], np.ones(1))[5])
