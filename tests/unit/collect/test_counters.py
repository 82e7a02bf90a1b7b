from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wfmon.collect.counters import Total


def test_the_sum_starts_at_the_parts_sum_and_adds_what_each_counts():
    total = Total(2)
    assert total.add({"a": (10, 1), "b": (5, 2)}) == [15, 3]
    assert total.add({"a": (12, 1), "b": (5, 4)}) == [17, 5]


def test_a_part_that_is_reset_leaves_or_arrives_makes_no_jump():
    total = Total(1)
    total.add({"a": (100,), "b": (50,)})
    assert total.add({"a": (3,), "b": (50,)}) == [150]
    assert total.add({"a": (4,)}) == [151]
    assert total.add({"a": (4,), "b": (9_000,)}) == [151]
    assert total.add({"a": (4,), "b": (9_001,)}) == [152]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 2**64)), max_size=3), min_size=1))
def test_the_sum_never_falls(readings):
    total = Total(1)
    sums = [total.add(parts)[0] for parts in readings]
    assert sums == sorted(sums)
