"""The Requests page: rows, words and figures, from what the history gives."""

from __future__ import annotations

import json
import sqlite3
from types import SimpleNamespace

import pytest

from wfmon.core.types import Request
from wfmon.ui import requests

NOW = 1_700_000_000_000
SPAN = {"from_ms": NOW - 3_600_000, "to_ms": NOW, "model": ""}


def past(name="r1", **given):
    """A request as the store gives it."""
    row = dict.fromkeys(Request.__dataclass_fields__)
    row |= {"id": name, "model": "m", "server": "s", "via": "proxy", "started_ms": NOW - 1_000, "status": "ok",
            "output_tokens": 0, "stalls": [], "causes": [], "reason": "", "slow": False}  # fmt: skip
    return {**row, **given}


def house(found=(), *, live=(), kept=1, state="recording", error=None):
    """Services with a past, that remember what they were asked."""
    asked = []

    def past_requests(*given):
        asked.append(given)
        if error:
            raise error
        return list(found)

    return SimpleNamespace(
        asked=asked,
        past_requests=past_requests,
        kept_series=lambda: [{"labels": {"model": "quiet-1", "server": "s"}}, {"labels": {}}],
        store=lambda: {"state": state, "usage": {"tables": {"request": kept}}},
        requests=lambda _limit: [{"id": name} for name in live],
    )


def test_a_span_is_asked_of_the_history_with_its_model():
    services = house([past()])
    requests.look(services, {**SPAN, "model": "m"})
    assert services.asked == [(SPAN["from_ms"], SPAN["to_ms"], requests.MOST_ROWS + 1, "m")]


def test_rows_say_why_how_long_they_stalled_and_whether_their_tokens_are_in_memory():
    causes = [
        {"code": "load", "text": "cold load 2.0 s", "cost_ms": 2e3},
        {"code": "swap", "text": "swap", "cost_ms": 1},
    ]
    found = [
        past("a", causes=causes, slow=True, stalls=[[10, 500], [900, 450]]), past("b", slow=True), past("c", slow=None),
    ]  # fmt: skip
    view = requests.look(house(found, live=["b"]), SPAN)
    assert [(row["why"], row["stalled_ms"], row["in_memory"]) for row in view.rows] == [
        ("cold load 2.0 s, swap", 950, False), ("cause not known", None, True), ("", None, False),
    ]  # fmt: skip
    assert view.summary == "3 requests, 2 slow"
    assert view.state == "ready"
    assert view.models == ["m", "quiet-1"]


def test_one_request_is_not_several():
    assert requests.look(house([past()]), SPAN).summary == "1 request, 0 slow"


def test_a_span_of_too_many_shows_the_newest_and_says_so():
    view = requests.look(house([past(str(i)) for i in range(requests.MOST_ROWS + 1)]), SPAN)
    assert len(view.rows) == requests.MOST_ROWS
    assert view.rows[-1]["id"] == str(requests.MOST_ROWS - 1)
    assert view.summary.startswith("5,000 newest requests")
    assert "more than 5,000" in view.foot


@pytest.mark.parametrize(
    ("given", "model", "words"),
    [
        ({"kept": 0}, "", ("No request was kept yet", "hook", "proxy")),
        ({"kept": 0, "state": "off"}, "", ("recording is off", "Settings")),
        ({"kept": 5}, "", ("No request began in this span", "longer")),
        ({"kept": 5}, "tiny", ("No request of tiny began",)),
        ({"kept": 5, "state": "off"}, "", ("Recording is off",)),
    ],
)
def test_without_requests_the_page_says_why_and_what_to_do(given, model, words):
    view = requests.look(house(**given), {**SPAN, "model": model})
    assert view.state == "empty"
    assert view.rows == []
    assert [word for word in words if word not in view.none] == []


def test_a_span_that_ends_before_it_begins_is_not_asked_of_the_history():
    services = house([past()])
    view = requests.look(services, {"from_ms": 2, "to_ms": 1})
    assert (view.state, services.asked) == ("empty", [])
    assert "ends before it begins" in view.none


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError("gone")])
def test_a_history_that_cannot_be_read_is_said_and_not_raised(error):
    view = requests.look(house(error=error), SPAN)
    assert view.state == "error"
    assert str(error) in view.none


def test_dots_have_a_colour_a_model_and_leave_out_what_is_not_known():
    rows = requests.rows(
        [past("a", prompt_tokens=10, ttft_ms=100.04), past("b", prompt_tokens=20, ttft_ms=300, model="n"),
         past("c", prompt_tokens=10, ttft_ms=100), past("d", prompt_tokens=None, ttft_ms=9),
         past("e", prompt_tokens=0, ttft_ms=9)],
        set(),
    )  # fmt: skip
    figure = requests.figures(rows)["ttft"]
    assert figure["series"] == [
        {"name": "m", "color": "--s-1", "points": [[10, 100.0], [10, 100]]},
        {"name": "n", "color": "--s-2", "points": [[20, 300]]},
    ]
    assert "3 requests" in figure["text"]
    assert "10 to 20 tokens" in figure["text"]
    assert "median 100 ms" in figure["text"]


def test_many_dots_are_thinned_and_the_text_says_so():
    rows = requests.rows([past(str(i), prompt_tokens=i + 1, ttft_ms=i + 1) for i in range(4_000)], set())
    figure = requests.figures(rows)["ttft"]
    assert sum(len(each["points"]) for each in figure["series"]) <= requests.MOST_DOTS
    assert "one of 3 drawn" in figure["text"]


def test_boxes_have_the_quantiles_of_each_model():
    rows = requests.rows([past(str(i), tokens_per_second=float(i)) for i in range(101)], set())
    figure = requests.figures(rows)["rate"]
    assert figure["boxes"] == [
        {"name": "m", "color": "--s-1", "count": 100, "marks": [5.95, 25.75, 50.5, 75.25, 95.05]}
    ]
    assert figure["text"].startswith("Tokens a second by model. m: median 50.5")


def test_models_past_the_palette_share_a_colour_and_a_box():
    rows = requests.rows([past(str(i), model=f"m{i}", tokens_per_second=10.0) for i in range(9)], set())
    boxes = requests.figures(rows)["rate"]["boxes"]
    assert [each["name"] for each in boxes] == ["m0", "m1", "m2", "m3", "m4", "m5", "3 others"]
    assert [each["color"] for each in boxes][-2:] == ["--s-6", "--s-dim"]
    assert boxes[-1]["count"] == 3


def test_bars_count_every_answer_once_also_those_of_no_entropy_at_all():
    rows = requests.rows(
        [past(str(i), entropy_bits=value) for i, value in enumerate([0.0, 0.04, 1.0, 1.0, 2.5])], set()
    )
    figure = requests.figures([*rows, *requests.rows([past("x")], set())])["entropy"]
    assert sum(count for _, _, count in figure["bars"]) == 5
    assert figure["bars"][0] == [0.0, 0.2, 2]
    assert figure["bars"][-1][:2] == pytest.approx([2.4, 2.6])
    assert "5 answers: 0.00 to 2.50 bits, median 1.00" in figure["text"]


@pytest.mark.parametrize("high", [0.0, 0.3, 1.1, 2.4, 7.0, 16.0, 400.0])
def test_a_histogram_never_has_more_bins_than_it_may(high):
    assert int(high / requests.bin_width(high)) + 1 <= requests.BINS


def test_without_values_a_figure_says_what_is_missing():
    for figure in requests.figures([]).values():
        assert figure["text"] == figure["empty"]
        assert figure["empty"].startswith("No request of this span tells")


def test_what_is_told_is_text_and_never_markup():
    told = requests.told(requests.look(house([past(model="<img src=x>")]), SPAN))
    rows, ttft, rate, entropy, summary, none, foot, state, models = told
    assert rows[0]["model"] == "<img src=x>"  # a grid's cell is text
    assert all(isinstance(each, str) for each in (summary, none, foot, state))
    assert json.loads(models) == ["<img src=x>", "quiet-1"]
    assert all(json.loads(each)["kind"] for each in (ttft, rate, entropy))


def test_the_grid_evaluates_no_text_but_the_names_of_its_writers():
    functions = {
        value["function"].partition("(")[0]
        for column in requests.grid().columnDefs
        for value in column.values()
        if isinstance(value, dict)
    }
    assert functions == {"wfmonFigure", "wfmonTime", "wfmonText", "wfmonClass"}
    assert not getattr(requests.grid(), "dangerously_allow_code", False)


def test_every_column_is_a_field_of_a_row():
    row = requests.rows([past()], set())[0]
    assert {column.name for column in requests.COLUMNS} <= set(row)
