"""The Requests page: rows, words and figures, from what the history gives."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from wfmon.core.errors import Unreadable
from wfmon.core.types import Request
from wfmon.ui.requests import page as requests

NOW = 1_700_000_000_000
SPAN = {"from_ms": NOW - 3_600_000, "to_ms": NOW, "model": ""}


def past(name="r1", **given):
    """A request as the store gives it."""
    row = dict.fromkeys(Request.__dataclass_fields__)
    row |= {"id": name, "model": "m", "server": "s", "via": "proxy", "started_ms": NOW - 1_000, "status": "ok",
            "output_tokens": 0, "stalls": [], "causes": [], "reason": "", "slow": False}  # fmt: skip
    return {**row, **given}


def services_with(found=(), *, live=(), kept=1, state="recording", error=None):
    """Services with a past, that remember what they were asked."""
    asked = []

    def past_requests(**given):
        asked.append(tuple(given.values()))
        if error:
            raise error
        return list(found)

    return SimpleNamespace(
        asked=asked,
        history=SimpleNamespace(
            requests=past_requests,
            series=lambda: [{"labels": {"model": "quiet-1", "server": "s"}}, {"labels": {}}],
        ),
        store=SimpleNamespace(status=lambda: {"state": state, "usage": {"tables": {"request": kept}}}),
        models=SimpleNamespace(
            requests=lambda *, limit: [{"id": name} for name in live[:limit]],
            colours=lambda *, models: dict.fromkeys(models, 1),
        ),
    )


def test_a_span_is_asked_of_the_history_with_its_model():
    services = services_with([past()])
    requests.load(services, {**SPAN, "model": "m"})
    assert services.asked == [(SPAN["from_ms"], SPAN["to_ms"], requests.MOST_ROWS + 1, "m")]


def test_rows_say_why_how_long_they_stalled_and_whether_their_tokens_are_in_memory():
    causes = [
        {"code": "load", "text": "cold load 2.0 s", "cost_ms": 2e3},
        {"code": "swap", "text": "swap", "cost_ms": 1},
    ]
    found = [
        past("a", causes=causes, slow=True, stalls=[[10, 500], [900, 450]]), past("b", slow=True), past("c", slow=None),
    ]  # fmt: skip
    view = requests.load(services_with(found, live=["b"]), SPAN)
    assert [(row["why"], row["stalled_ms"], row["in_memory"]) for row in json.loads(view.rows)] == [
        ("cold load 2.0 s, swap", 950, False), ("cause not known", None, True), ("", None, False),
    ]  # fmt: skip
    assert view.summary == "3 requests, 2 slow"
    assert view.state == "ready"
    assert view.models == ["m", "quiet-1"]


def test_one_request_is_not_several():
    assert requests.load(services_with([past()]), SPAN).summary == "1 request, 0 slow"


def test_a_span_of_too_many_shows_the_newest_and_says_so():
    view = requests.load(services_with([past(str(i)) for i in range(requests.MOST_ROWS + 1)]), SPAN)
    rows = json.loads(view.rows)
    assert len(rows) == len(view.spread) == requests.MOST_ROWS
    assert rows[-1]["id"] == str(requests.MOST_ROWS - 1)
    assert view.summary.startswith("5,000 newest requests")
    assert "more than 5,000" in view.foot


@pytest.mark.parametrize(
    ("given", "model", "words"),
    [
        ({"kept": 0}, "", ("No requests recorded yet", "hook", "proxy")),
        ({"kept": 0, "state": "off"}, "", ("recording is off", "Settings")),
        ({"kept": 5}, "", ("No request started in this range", "longer")),
        ({"kept": 5}, "tiny", ("No request of tiny started",)),
        ({"kept": 5, "state": "off"}, "", ("Recording is off",)),
    ],
)
def test_without_requests_the_page_says_why_and_what_to_do(given, model, words):
    view = requests.load(services_with(**given), {**SPAN, "model": model})
    assert view.state == "empty"
    assert view.rows == "[]"
    assert [word for word in words if word not in view.none] == []


def test_a_span_that_ends_before_it_begins_is_not_asked_of_the_history():
    services = services_with([past()])
    view = requests.load(services, {"from_ms": 2, "to_ms": 1})
    assert (view.state, services.asked) == ("empty", [])
    assert "ends before it begins" in view.none


def test_a_history_that_cannot_be_read_is_said_and_not_raised():
    error = Unreadable("The history could not be read (disk I/O error).", "Try again in a moment.")
    view = requests.load(services_with(error=error), SPAN)
    assert view.state == "error"
    assert view.none == error.sentences


def test_what_is_told_is_text_and_never_markup():
    told = requests.outputs(requests.load(services_with([past(model="<img src=x>")]), SPAN))
    rows, ttft, rate, entropy, summary, none, foot, state, models = told
    assert json.loads(rows)[0]["model"] == "<img src=x>"  # a grid's cell is text
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
    row = requests.finished(past(), set())
    assert {column.name for column in requests.COLUMNS} <= set(row)
