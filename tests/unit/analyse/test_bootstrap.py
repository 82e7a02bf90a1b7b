"""Intervals hold as often as they say, for values that depend on those before: simulated where the truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from wfmon.analyse import bootstrap
from wfmon.analyse.bootstrap import Steps, block_length, correlation, difference, quantile, resampled, student, trend


def dice(seed=1):
    return np.random.default_rng(seed)


def ar(n, memory, random):
    """A series in which each value keeps so much of the one before (AR(1)), from its stationary distribution."""
    kept = itertools.accumulate(random.normal(size=n + 200).tolist(), lambda before, value: memory * before + value)
    return np.array([*kept][200:])


def steps_of(values):
    """One value a step; NaN is a gap."""
    return Steps(np.isfinite(values).astype(float), np.nan_to_num(values))


def binned(values, per_step, width=0.02):
    """Steps of so many values each, known by bins of so many (in logarithm)."""
    k = len(values) // per_step
    at = np.floor(np.log(values) / width).astype(int)
    low = at.min()
    bins = np.zeros((k, at.max() - low + 1), np.float32)
    np.add.at(bins, (np.repeat(np.arange(k), per_step), at[: k * per_step] - low), 1)
    ends = np.exp((np.arange(bins.shape[1] + 1) + low) * width)
    sums = values[: k * per_step].reshape(k, per_step).sum(axis=1)
    return Steps(np.full(k, float(per_step)), sums, bins, np.stack((ends[:-1], ends[1:])))


# --- how often the interval holds the truth


def held(memory, n=384, rounds=200):
    """How often the interval of a difference holds 0, of two series that do not differ; and the plain bootstrap's."""
    random, ours, plain = dice(7), [], []
    for turn in range(rounds):
        one, other = ar(n, memory, random), ar(n, memory, random)
        told = difference(steps_of(one), steps_of(other), None, random, paired=False)
        if told is not None:
            ours.append(not told[2].sure)
        if turn % 4 == 0:  # far off or not: 50 rounds say as much
            draws = [random.choice(each, (200, n)).mean(axis=1) for each in (one, other)]
            low, high = np.percentile(draws[1] - draws[0], (2.5, 97.5))
            plain.append(low <= 0 <= high)
    assert len(ours) >= 0.95 * rounds
    return np.mean(ours), np.mean(plain)


def test_the_interval_of_independent_values_holds_as_often_as_the_plain_one():
    ours, plain = held(0.0)
    assert 0.90 <= ours <= 0.99
    assert plain >= 0.90


@pytest.mark.parametrize(("memory", "least", "plain_at_most"), [(0.5, 0.88, 0.83), (0.9, 0.88, 0.5)])
def test_the_interval_of_values_alike_holds_where_the_plain_bootstraps_is_far_too_narrow(memory, least, plain_at_most):
    ours, plain = held(memory)
    assert least <= ours <= 0.995
    assert plain <= plain_at_most


def test_a_real_difference_is_found_and_its_interval_holds_it():
    random = dice(3)
    told = [difference(steps_of(ar(384, 0.6, random)), steps_of(ar(384, 0.6, random) + 1), None, random, paired=False)
            for _ in range(60)]  # fmt: skip
    assert sum(each[2].sure for each in told) >= 55
    assert sum(each[2].low <= 1 <= each[2].high for each in told) >= 50


def test_what_both_days_do_cancels_out_where_steps_are_paired():
    random, hour = dice(5), np.arange(288)
    day = 40 * np.sin(hour / 288 * 2 * np.pi)
    one, other = (steps_of(50 + day + random.normal(0, 3, 288) + up) for up in (0, 2))
    before, after, told = difference(one, other, None, random, paired=True)
    assert (before, after) == (pytest.approx(50, abs=1), pytest.approx(52, abs=1))
    assert told.sure
    assert told.high - told.low < 2
    alone = difference(one, other, None, random, paired=False)
    assert alone is None or not alone[2].sure


def test_medians_of_requests_are_compared_in_stretches_of_time():
    random = dice(2)
    slow = np.repeat(np.exp(ar(200, 0.5, random) * 0.2), 5)  # requests of one moment are alike
    values = random.lognormal(6, 0.4, 1_000) * slow
    before, after, told = difference(binned(values, 5), binned(values[::-1] * 1.4, 5), 0.5, random, paired=False)
    assert before == pytest.approx(np.median(values), rel=0.01)
    assert after == pytest.approx(1.4 * np.median(values), rel=0.01)
    assert told.sure
    assert told.low < 0.4 * np.median(values) < told.high


def test_a_trends_interval_holds_0_where_there_is_none():
    random, sure, told = dice(4), 0, 0
    for _ in range(200):
        found = trend(ar(64, 0.6, random), random)
        told += found is not None
        sure += found is not None and found.sure
    assert told >= 180
    assert sure <= 0.13 * told


def test_a_correlation_of_what_is_unconnected_is_rarely_sure():
    random, sure, plain = dice(6), 0, 0
    for _ in range(200):
        one, other = ar(300, 0.85, random), ar(300, 0.85, random)
        found = correlation(one, other, random)
        sure += found is not None and found.sure
        plain += abs(math.atanh(found.value if found else 0)) * math.sqrt(297) > 1.96
    assert sure <= 0.12 * 200
    assert plain >= 0.3 * 200


# --- figures by hand


def test_the_lengths_of_blocks_grow_with_memory_and_end_where_nothing_can_be_said():
    random = dice()
    lengths = [np.median([block_length(ar(400, memory, random), 400) for _ in range(20)]) for memory in (0, 0.5, 0.9)]
    assert lengths[0] <= 8
    assert 10 <= lengths[1] <= 35  # the rule gives 3 * (1.5 * (4 / 3)^2 * 400)^(1 / 3) = 31
    assert 60 <= lengths[2] <= 100
    assert block_length(np.arange(60.0), 60) == 60, "a ramp is one movement"
    assert block_length(np.zeros(50), 50) == 1
    assert block_length(np.where(np.arange(384) % 2, 1.0, -1.0), 384) == 1, "what swings back needs no longer ones"


@pytest.mark.parametrize("length", [1, 3, 7])
def test_each_resample_has_as_many_steps_in_whole_blocks_on_a_circle(length):
    drawn = resampled(10, length, dice(), 500)
    assert drawn.shape == (500, 10)
    assert (drawn.sum(axis=1) == 10).all()
    assert drawn.min() >= 0
    assert drawn.mean(axis=0) == pytest.approx(np.ones(10), abs=0.25)


def test_a_quantile_of_bins_is_that_of_the_values():
    values = dice().lognormal(5, 1, 2_000)
    steps = binned(values, 2_000)
    for wanted in (0.5, 0.95, 0.99):
        assert quantile(steps.bins.astype(float), steps.edges, wanted)[0] == pytest.approx(
            np.quantile(values, wanted), rel=0.02
        )
    few = binned(np.array([100.0, 1_000.0]), 2)
    assert quantile(few.bins.astype(float), few.edges, 0.5)[0] == pytest.approx(550, rel=0.02)


@pytest.mark.parametrize(("free", "reach"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (math.inf, 1.960)])
def test_students_reach_is_that_of_the_tables(free, reach):
    assert student(free) == pytest.approx(reach, rel=0.002)


def test_a_trend_is_the_median_of_the_slopes_of_all_pairs():
    # By hand: of 0 2 4 6 8 10 12 99 every pair without the last has slope 2
    assert trend(np.array([0.0, 2, 4, 6, 8, 10, 12, 99]), dice()).value == 2
    assert trend(np.arange(7.0), dice()) is None


def test_a_trend_by_days_does_not_see_what_the_day_does():
    hours = np.arange(7 * 8)
    values = 0.5 * hours + 40 * np.sin(hours / 8 * 2 * np.pi) + dice().normal(0, 1, 56)
    found = trend(values, dice(), period=8)
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert found.sure
    assert found.high - found.low < 0.2


def test_spearmans_correlation_agrees_with_a_worked_example():
    # By hand, with a tie: ranks 1 2.5 2.5 4 5 6 7 8 and 2 1 4 3 6 5 8 7; Pearson's of them
    one = np.array([1.0, 2, 2, 4, 5, 6, 7, 8])
    other = np.array([2.0, 1, 4, 3, 6, 5, 8, 7])
    ranks = np.array([1, 2.5, 2.5, 4, 5, 6, 7, 8])
    found = correlation(one, other, dice())
    assert found is not None
    assert found.value == pytest.approx(np.corrcoef(ranks, other)[0, 1])


def test_what_rises_together_is_correlated_however_bent_and_gaps_are_left_out():
    x = dice().normal(size=200)
    bent = np.exp(x)
    bent[::3] = np.nan
    found = correlation(x, bent, dice())
    assert found.value == pytest.approx(1)
    assert found.low > 0.99
    assert correlation(x, np.ones(200), dice()) is None
    assert correlation(x[:7], x[:7], dice()) is None


def test_gaps_weigh_nothing():
    values = dice().normal(10, 1, 300)
    values[50:180] = np.nan
    before, after, told = difference(steps_of(values), steps_of(values + 5), None, dice(), paired=False)
    assert before == pytest.approx(np.nanmean(values))
    assert after - before == pytest.approx(5)
    assert told.sure


def test_constants_that_are_equal_do_not_differ_and_others_do():
    flat = steps_of(np.full(50, 16.0))
    same = difference(flat, flat, None, dice(), paired=False)[2]
    assert (same.value, same.low, same.high, same.sure, same.confidence) == (0, 0, 0, False, 0)
    other = difference(flat, steps_of(np.full(50, 32.0)), None, dice(), paired=True)[2]
    assert (other.value, other.low, other.high, other.sure) == (16, 16, 16, True)
    assert difference(flat, steps_of(np.full(7, 1.0)), None, dice(), paired=False) is None


def test_the_same_data_gives_the_same_answer():
    one, other = steps_of(ar(200, 0.5, dice(1))), steps_of(ar(200, 0.5, dice(2)))
    answers = [difference(one, other, None, dice(), paired=False) for _ in range(2)]
    assert answers[0] == answers[1]
    assert bootstrap.ROUNDS >= 500
