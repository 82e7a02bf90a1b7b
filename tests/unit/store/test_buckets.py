from __future__ import annotations

import math

import numpy as np
import pytest

from wfmon.core.sketch import EMPTY, sketch
from wfmon.store import buckets as buckets_module
from wfmon.store.buckets import HALVINGS, Buckets, Figures, Second, between, joined, merged, of_series, seconds_of

NAN = math.nan
T = 1_700_000_000
PLAIN = np.zeros(65_536, bool)
DISTRIBUTIONS = np.ones(65_536, bool)


def fold(*samples, distributions=PLAIN):
    """Samples as (id, ms since T, value)."""
    ids, ms, values = zip(*samples, strict=True) if samples else ((), (), ())
    return seconds_of(
        np.array(ids, np.uint16), np.array(ms, np.int64) + T * 1_000, np.array(values, np.float32), distributions
    )


def rows(figures):
    """Figures as tuples; NaN as None."""
    return [tuple(None if v != v else v for v in row) for row in zip(*(c.tolist() for c in figures), strict=True)]  # noqa: PLR0124


def row(*values, at=0, bins=()):
    """A bucket of one series at T + ``at``, of these values."""
    made = fold(*((1, 0, v) for v in values))[0].figures
    counts = sketch(np.zeros(len(bins), np.uint16), np.array(bins, np.float32)).halved(HALVINGS)
    return Buckets(np.array([T + at], np.int64), made, counts)


def column(*values, step=1, distribution=False):
    """Buckets of one value each, ``step`` seconds apart."""
    samples = [(1, at * 1_000 * step, v) for at, v in enumerate(values)]
    return of_series(fold(*samples, distributions=DISTRIBUTIONS if distribution else PLAIN), np.array([1], np.uint16))[
        1
    ]


def medians(buckets):
    return buckets.sketch.quantiles(np.arange(len(buckets), dtype=np.uint16), (0.5,))[:, 0]


def test_no_samples_are_no_seconds():
    assert fold() == []


def test_samples_of_one_second_become_one_bucket_a_series():
    (second,) = fold((7, 0, 1.0), (7, 400, 5.0), (3, 500, 9.0), (7, 999, 3.0))
    assert second.t_s == T
    assert second.ids.tolist() == [3, 7]
    assert rows(second.figures) == [(1, 9, 9, 9, 9), (3, 3, 1, 5, 3)]
    assert second.sketch is EMPTY


def test_a_sample_at_the_edge_begins_the_next_second():
    assert [each.t_s - T for each in fold((1, 999, 1.0), (1, 1_000, 2.0), (1, 5_000, 3.0))] == [0, 1, 5]


def test_seconds_stand_in_order_though_the_series_came_one_after_the_other():
    found = fold((1, 0, 1.0), (1, 1_000, 2.0), (2, 0, 3.0), (2, 1_000, 4.0))
    assert [(each.t_s - T, each.figures.mean.tolist()) for each in found] == [(0, [1, 3]), (1, [2, 4])]


def test_a_gap_mark_is_no_sample_and_leaves_the_last_unknown():
    (second,) = fold((1, 0, 4.0), (1, 500, NAN))
    assert rows(second.figures) == [(1, 4, 4, 4, None)]


def test_a_sample_after_a_gap_mark_is_the_last():
    (second,) = fold((1, 0, NAN), (1, 500, 4.0))
    assert rows(second.figures) == [(1, 4, 4, 4, 4)]


def test_a_second_of_gap_marks_alone_has_no_figures():
    (second,) = fold((1, 0, NAN), (1, 500, NAN), distributions=DISTRIBUTIONS)
    assert rows(second.figures) == [(0, None, None, None, None)]
    assert len(second.sketch.keys) == 0


@pytest.mark.parametrize("number", [0, 1, 65_535])
def test_the_first_and_the_last_id_are_ids_like_others(number):
    (second,) = fold((number, 0, 2.0), (number, 1, 4.0), distributions=DISTRIBUTIONS)
    assert second.ids.tolist() == [number]
    assert second.sketch.quantiles(np.array([number], np.uint16), (1.0,))[0, 0] == pytest.approx(4, rel=0.02)
    assert len(of_series([second], np.array([number], np.uint16))[number]) == 1


def test_only_distributions_have_a_sketch():
    some = PLAIN.copy()
    some[2] = True
    (second,) = fold((1, 0, 1.0), (2, 0, 8.0), distributions=some)
    assert (second.sketch.keys >> 16).tolist() == [2]
    assert second.sketch.halvings == HALVINGS


def test_infinity_has_no_mean_beside_its_negative_and_no_bin_of_another_series():
    (second,) = fold((1, 0, math.inf), (1, 1, -math.inf), (2, 0, 3.0), distributions=DISTRIBUTIONS)
    assert rows(second.figures)[0] == (2, None, -math.inf, math.inf, -math.inf)
    assert rows(second.figures)[1] == (1, 3, 3, 3, 3)
    assert (second.sketch.keys >> 16).tolist() == [1, 1, 2]


def test_merged_holds_both_and_begins_with_the_older():
    older, newer = fold((1, 0, 1.0), (2, 0, 5.0), (1, 3_000, 4.0), (1, 3_500, 7.0), (3, 3_000, 2.0))
    both = merged(older, newer)
    assert both.t_s == T
    assert both.ids.tolist() == [1, 2, 3]
    assert rows(both.figures) == [(3, 4, 1, 7, 7), (1, 5, 5, 5, 5), (1, 2, 2, 2, 2)]


def test_merged_adds_up_distributions():
    older, newer = fold((1, 0, 1.0), (1, 1_000, 1.0), (1, 1_500, 100.0), distributions=DISTRIBUTIONS)
    assert merged(older, newer).sketch.counts.tolist() == [2, 1]


def test_rows_become_columns_in_order_of_time():
    seconds = fold((1, 0, 1.0), (2, 0, 2.0), (1, 1_000, 3.0), (2, 2_000, 4.0))
    found = of_series(seconds[::-1], np.array([1, 2, 9], np.uint16))
    assert sorted(found) == [1, 2]
    assert (found[1].t_s - T).tolist() == [0, 1]
    assert found[2].figures.mean.tolist() == [2, 4]


def test_columns_keep_each_seconds_distribution():
    found = column(1.0, 50.0, 3_000.0, distribution=True)
    assert medians(found) == pytest.approx([1, 50, 3_000], rel=0.02)


def test_two_rows_of_one_second_are_one_bucket_once_joined():
    seconds = [*fold((1, 0, 1.0), distributions=DISTRIBUTIONS), *fold((1, 500, 3.0), distributions=DISTRIBUTIONS)]
    found = joined([of_series(seconds, np.array([1], np.uint16))[1]], 1)
    assert rows(found.figures) == [(2, 2, 1, 3, 3)]
    assert found.sketch.counts.sum() == 2


def test_joined_of_nothing_is_nothing():
    assert len(joined([], 10)) == 0
    assert len(joined([buckets_module.NONE, buckets_module.NONE], 10)) == 0


def test_joined_weighs_the_mean_by_samples():
    found = joined([row(1.0, 1.0, 1.0), row(9.0, at=1)], 10)
    assert rows(found.figures) == [(4, 3, 1, 9, 9)]


def test_joined_takes_parts_in_any_order():
    parts = [row(5.0, at=12), row(1.0, at=0), row(3.0, at=9), row(7.0, at=25)]
    found = joined(parts, 10)
    assert (found.t_s - T).tolist() == [0, 10, 20]
    assert rows(found.figures) == [(2, 2, 1, 3, 3), (1, 5, 5, 5, 5), (1, 7, 7, 7, 7)]


def test_joined_adds_overlapping_parts_and_the_later_part_has_the_last():
    found = joined([row(1.0, 2.0), row(6.0)], 1)
    assert rows(found.figures) == [(3, 3, 1, 6, 6)]
    assert rows(joined([row(6.0), row(1.0, 2.0)], 1).figures) == [(3, 3, 1, 6, 2)]


def test_joined_moves_each_distribution_into_its_bucket():
    parts = [row(9.0, at=12, bins=(9.0,)), row(1.0, bins=(1.0,)), row(2.0, at=3), row(100.0, at=14, bins=(9.0, 100.0))]
    found = joined(parts, 10)
    assert (found.sketch.keys >> 16).tolist() == [0, 1, 1]
    assert found.sketch.counts.tolist() == [1, 2, 1]


def test_an_empty_bucket_in_between_changes_no_mean_and_ends_in_a_gap():
    found = joined([row(4.0), row(NAN, at=1)], 10)
    assert rows(found.figures) == [(1, 4, 4, 4, None)]


def test_a_bucket_that_begins_off_the_grid_belongs_to_the_one_it_begins_in():
    (found,) = rows(joined([row(1.0, at=-1), row(2.0, at=-T % 10)], 10).figures)[-1:]
    assert found == (1, 2, 2, 2, 2)


def test_samples_past_32_bits_stay_at_the_most():
    most = Figures(np.array([2**32 - 1], np.uint32), *[np.ones(1, np.float32)] * 4)
    part = Buckets(np.array([T], np.int64), most)
    assert joined([part, part], 10).figures.samples.tolist() == [2**32 - 1]


def test_a_constant_keeps_its_value_through_every_fold():
    value = float(np.float32(0.1))
    found = column(*[0.1] * 600)
    for step in (10, 60, 300):
        found = joined([found], step)
        assert set(found.figures.mean.tolist()) == {value}


def test_between_gives_what_begins_in_the_span():
    found = between(column(1.0, 2.0, 3.0, 4.0), T + 1, T + 3)
    assert (found.t_s - T).tolist() == [1, 2]
    assert found.figures.mean.tolist() == [2, 3]


def test_between_of_all_is_the_same():
    whole = column(1.0, 2.0)
    assert between(whole, T - 5, T + 99) is whole


@pytest.mark.parametrize("span", [(-9, 0), (4, 9), (2, 2)])
def test_between_may_be_empty(span):
    found = between(column(1.0, 2.0, 3.0, 4.0, distribution=True), T + span[0], T + span[1])
    assert len(found) == 0
    assert len(found.sketch.keys) == 0


def test_between_takes_the_distributions_along():
    found = between(column(1.0, 50.0, 3_000.0, 7.0, distribution=True), T + 1, T + 3)
    assert (found.sketch.keys >> 16).tolist() == [0, 1]
    assert medians(found) == pytest.approx([50, 3_000], rel=0.02)


def test_more_buckets_of_a_distribution_than_its_keys_can_number_are_refused_and_not_mixed_up():
    n = buckets_module.MOST
    t_s = np.arange(T, T + n + 1, dtype=np.int64)
    figures = Figures(np.ones(n + 1, np.uint32), *[np.ones(n + 1, np.float32)] * 4)
    plain, some = Buckets(t_s, figures), row(1.0, bins=(1.0,))
    assert len(joined([plain], 1)) == n + 1
    assert len(joined([between(plain, T, T + n), some], 1)) == n
    with pytest.raises(ValueError, match="65,537 buckets of a distribution are more than 65,536"):
        joined([plain, some], 1)


def test_a_second_is_made_of_rows_in_order():
    (second,) = fold((9, 0, 1.0), (2, 0, 1.0), (5, 0, 1.0))
    assert isinstance(second, Second)
    assert second.ids.tolist() == [2, 5, 9]
    assert second.ids.dtype == np.uint16
