"""How requests spread: figures and their words."""

from __future__ import annotations

import pytest

from wfmon.ui.requests import spread

COLOURS = {"m": 1, "n": 4, **{f"m{i}": i % 6 + 1 for i in range(9)}}
"""What the monitor gave each model, whatever it is asked for."""


def past(_name, **given):
    """The fields of a request used by the figures."""
    return {**dict.fromkeys(spread.SPREAD), "model": "m", **given}


def test_dots_have_a_colour_a_model_and_leave_out_what_is_not_known():
    rows = [past("a", prompt_tokens=10, ttft_ms=100.04), past("b", prompt_tokens=20, ttft_ms=300, model="n"),
         past("c", prompt_tokens=10, ttft_ms=100), past("d", prompt_tokens=None, ttft_ms=9),
         past("e", prompt_tokens=0, ttft_ms=9)]  # fmt: skip
    figure = spread.figures(rows, COLOURS)["ttft"]
    assert figure["series"] == [
        {"name": "m", "color": "--s-1", "points": [[10, 100.0], [10, 100]]},
        {"name": "n", "color": "--s-4", "points": [[20, 300]]},
    ]
    assert "3 requests" in figure["text"]
    assert "10 to 20 tokens" in figure["text"]
    assert "median 100 ms" in figure["text"]


def test_many_dots_are_thinned_and_the_text_says_so():
    rows = [past(str(i), prompt_tokens=i + 1, ttft_ms=i + 1) for i in range(4_000)]
    figure = spread.figures(rows, COLOURS)["ttft"]
    assert sum(len(each["points"]) for each in figure["series"]) <= spread.MOST_DOTS
    assert "one of 3 drawn" in figure["text"]


def test_boxes_have_the_quantiles_of_each_model():
    rows = [past(str(i), tokens_per_second=float(i)) for i in range(101)]
    figure = spread.figures(rows, COLOURS)["rate"]
    assert figure["boxes"] == [
        {"name": "m", "color": "--s-1", "count": 100, "marks": [5.95, 25.75, 50.5, 75.25, 95.05]}
    ]
    assert figure["text"].startswith("Tokens per second by model. m: median 50.5")


def test_models_past_the_palette_share_a_colour_and_a_box():
    rows = [past(str(i), model=f"m{i}", tokens_per_second=10.0) for i in range(9)]
    boxes = spread.figures(rows, COLOURS)["rate"]["boxes"]
    assert [each["name"] for each in boxes] == ["m0", "m1", "m2", "m3", "m4", "m5", "3 others"]
    assert [each["color"] for each in boxes][-2:] == ["--s-6", "--s-dim"]
    assert boxes[-1]["count"] == 3


def test_bars_count_every_answer_once_also_those_of_no_entropy_at_all():
    rows = [past(str(i), entropy_bits=value) for i, value in enumerate([0.0, 0.04, 1.0, 1.0, 2.5])]
    figure = spread.figures([*rows, *[past("x")]], COLOURS)["entropy"]
    assert sum(count for _, _, count in figure["bars"]) == 5
    assert figure["bars"][0] == [0.0, 0.2, 2]
    assert figure["bars"][-1][:2] == pytest.approx([2.4, 2.6])
    assert "5 answers: 0.00 to 2.50 bits, median 1.00" in figure["text"]


@pytest.mark.parametrize("high", [0.0, 0.3, 1.1, 2.4, 7.0, 16.0, 400.0])
def test_a_histogram_never_has_more_bins_than_it_may(high):
    assert int(high / spread.bin_width(high)) + 1 <= spread.BINS


def test_without_values_a_figure_says_what_is_missing():
    for figure in spread.figures([], {}).values():
        assert figure["text"] == figure["empty"]
        assert figure["empty"].startswith("No request in this range reports")
