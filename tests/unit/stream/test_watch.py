from __future__ import annotations

import fnmatch
import re

import pytest

from wfmon.core.registry import Registry
from wfmon.core.types import Series
from wfmon.stream.watch import Watched, fits, selectors

KNOWN = [
    Series("system.cpu_percent"), Series.of("system.cpu_core_percent", core=0),
    Series.of("system.cpu_core_percent", core=1),
    Series.of("gpu.power_watts", gpu=0), Series.of("ux.fps", page="overview"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([], []), (["system.cpu_percent"], [0]), (["system.cpu_core_percent"], [1, 2]), (["system.*"], [0, 1, 2]),
        (['system.cpu_core_percent{core="1"}'], [2]), (['*{core="?"}'], [1, 2]), (['ux.*{page="over*"}'], [4]),
        (['gpu.power_watts{core="0"}'], []), (["gpu.*", "ux.fps"], [3, 4]), (["SYSTEM.*"], []),
        (["*"], [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_a_selector_names_series_by_name_label_and_glob(texts, wanted):
    registry = Registry()
    for series in KNOWN:
        registry.id(series)
    assert Watched(selectors(texts)).flags(registry).nonzero()[0].tolist() == wanted


def test_series_that_come_later_are_watched_too():
    registry = Registry()
    watched = Watched(selectors(["system.cpu_core*"]))
    assert watched.flags(registry).tolist() == []
    registry.id(KNOWN[0])
    assert watched.flags(registry).tolist() == [False]
    registry.id(KNOWN[1])
    registry.id(KNOWN[2])
    assert watched.flags(registry).tolist() == [False, True, True]


def test_the_same_wishes_have_one_form():
    assert selectors(["b", "a", "b"]) == selectors(["a", "b"]) == ("a", "b")


def test_a_selector_that_cannot_be_read_says_why():
    with pytest.raises(ValueError, match='labels must read key="value"'):
        selectors(["system.cpu_core_percent{core=1}"])


@pytest.mark.parametrize(
    ("pattern", "text", "fit"),
    [
        ("", "", True), ("", "a", False), ("*", "", True), ("**", "ab", True), ("?", "", False), ("?", "*", True),
        ("a*c", "abcbc", True), ("a*c", "abcb", False), ("*ab", "aab", True), ("*a*b", "bba", False), ("a", "A", False),
        ("a?c*", "abc", True), ("[ab]", "a", False), ("[ab]", "[ab]", True), ("a.c", "abc", False), ("a*", "a\n", True),
        ("*" * 200 + "z", "a" * 64, False), ("*a" * 100 + "z", "a" * 120, False),
    ],
)  # fmt: skip
def test_a_star_is_any_characters_a_question_mark_is_one_and_all_else_is_itself(pattern, text, fit):
    assert fits(pattern, text) == fit


def test_selectors_leave_nothing_behind_in_the_caches_of_regular_expressions():
    registry = Registry()
    for series in KNOWN:
        registry.id(series)
    before = fnmatch._compile_pattern.cache_info().currsize, len(re._cache)
    Watched(selectors([f"*{number}*?a*b" for number in range(200)])).flags(registry)
    assert (fnmatch._compile_pattern.cache_info().currsize, len(re._cache)) == before
