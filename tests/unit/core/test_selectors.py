from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path

import pytest

from wfmon.core.selectors import Selector, fits, glob, pick
from wfmon.core.types import Series

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "selectors.json").read_text("utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['selector']} {case['series']}")
def test_a_selector_means_the_series_of_the_golden_cases(case):
    series = Series.parse(case["series"])
    assert Selector.parse(case["selector"]).matches(series.name, dict(series.labels)) is case["matches"]


@pytest.mark.parametrize("case", GOLDEN["exact"], ids=lambda case: case["selector"])
def test_a_series_own_text_means_that_series_alone(case):
    assert pick(case["selector"], {text: Series.parse(text) for text in case["series"]}) == case["picks"]


@pytest.mark.parametrize("text", GOLDEN["malformed"])
def test_a_selector_that_cannot_be_read_says_why(text):
    with pytest.raises(ValueError, match=r"labels must"):
        Selector.parse(text)


@pytest.mark.parametrize(
    ("pattern", "text", "fit"),
    [
        ("", "", True), ("", "a", False), ("*", "", True), ("**", "ab", True), ("?", "", False), ("?", "*", True),
        ("a*c", "abcbc", True), ("a*c", "abcb", False), ("*ab", "aab", True), ("*a*b", "bba", False), ("a", "A", False),
        ("a?c*", "abc", True), ("[ab]", "a", False), ("[ab]", "[ab]", True), ("a.c", "abc", False), ("a*", "a\n", True),
        ("*" * 200 + "z", "a" * 64, False), ("*a" * 100 + "z", "a" * 120, False), ("a\\", "a\\", True),
    ],
)  # fmt: skip
def test_a_star_is_any_characters_a_question_mark_is_one_and_all_else_is_itself(pattern, text, fit):
    assert fits(glob(pattern), text) == fit


def test_selectors_leave_nothing_behind_in_the_caches_of_regular_expressions():
    Selector.parse('m{model="x"}').matches("m", {"model": "x"})
    before = fnmatch._compile_pattern.cache_info().currsize, len(re._cache)
    for number in range(200):
        Selector.parse(f'*{number}*{{model="?a*b{number}"}}').matches("m1", {"model": "xab"})
    assert (fnmatch._compile_pattern.cache_info().currsize, len(re._cache)) == before
