from __future__ import annotations

import math

import pytest

from wfmon.collect.models.meter.entropy import band, divergence, exact, of_top

HALVES = (math.log(0.5), math.log(0.5))


def test_the_entropy_of_a_whole_distribution_is_its_own_band():
    assert exact(1.5, 8) == (1.5, 1.5, 1.5, 8.0, 0.5)
    assert exact(0.0, 32_000).certainty == 1.0


def test_without_its_size_a_whole_distribution_has_no_certainty():
    found = exact(1.5, None)
    assert found[:3] == (1.5, 1.5, 1.5)
    assert math.isnan(found.k)
    assert math.isnan(found.certainty)


def test_a_top_that_is_the_whole_distribution_gives_its_entropy():
    found = of_top(HALVES, 2)
    assert found == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0), 2.0, pytest.approx(0.0))


def test_a_rest_widens_the_band_by_what_it_may_hide():
    # p = 1/2, 1/4; rest 1/4 over 4 tokens: H_top = 1/2 + 1/2 = 1, -r log2 r = 1/2, r log2 4 = 1/2
    found = of_top((math.log(0.5), math.log(0.25)), 6)
    assert found.low == pytest.approx(1.5)
    assert found.high == pytest.approx(2.0)
    assert found.bits == pytest.approx(1.75)
    assert found.k == 2.0
    # made whole: 2/3, 1/3
    assert found.certainty == pytest.approx(1 - (math.log2(3) - 2 / 3))


def test_without_the_vocabularys_size_the_lower_bound_is_shown_as_such():
    found = of_top((math.log(0.5), math.log(0.25)), None)
    assert found.bits == found.low == pytest.approx(1.5)
    assert math.isnan(found.high)


def test_the_true_entropy_lies_in_the_band():
    whole = [0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    true = -sum(p * math.log2(p) for p in whole)
    for k in range(1, 9):
        found = of_top([math.log(p) for p in whole[:k]], 8)
        assert found.low - 1e-9 <= true <= found.high + 1e-9


def test_one_outcome_says_nothing_of_certainty():
    assert math.isnan(of_top((-0.1,), 100).certainty)


def test_log_probabilities_of_nothing_are_nothing():
    found = of_top((0.0, -9999.0), 100)
    assert found == (0.0, 0.0, 0.0, 2.0, 1.0)


@pytest.mark.parametrize(("told", "bits"), [((None, 1.0, 3.0), 2.0), ((None, 1.0, None), 1.0), ((1.7, 1.0, 3.0), 1.7)])
def test_a_band_of_the_senders_own_is_shown_by_its_middle(told, bits):
    found = band(*told, 20)
    assert found.bits == bits
    assert found.low == 1.0
    assert found.k == 20.0
    assert math.isnan(found.certainty)


def test_no_band_is_nothing():
    assert band(None, None, 3.0, 20) is None


def test_equal_distributions_do_not_disagree_and_disjoint_ones_do_wholly():
    assert divergence({1: 0.5, 2: 0.5}, {2: 0.5, 1: 0.5}) == 0.0
    assert divergence({1: 1.0}, {2: 1.0}) == 1.0


def test_what_lies_outside_both_tops_is_one_more_outcome():
    # (1/2, 0, 1/2) and (0, 1/2, 1/2): the halves that differ give 1/2 bit
    assert divergence({1: 0.5}, {2: 0.5}) == pytest.approx(0.5)
    assert divergence({1: 0.5}, {1: 0.5}) == 0.0
