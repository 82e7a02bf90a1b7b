from __future__ import annotations

import json
from datetime import UTC, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from wfmon.core.errors import Cancelled, Failed, Refused
from wfmon.ui.insights import page as insights

WEEK = {
    "days_ms": [number * 86_400_000 for number in range(7)],
    "requests": [[0] * 24 for _ in range(6)] + [[4, 2, *[0] * 22]],
    "cpu_percent": [[None] * 24 for _ in range(6)] + [[50.4, 10.0, 0.0, *[None] * 21]],
}
FINDING = {
    "text": "Time to first token of <b>x</b> rose 38 %.", "from_ms": 0, "to_ms": 7 * 86_400_000, "confidence": 0.9999,
    "series": ['model.ttft_ms{model="a b",server="s"}'], "worse": True, "weight": 1.0, "method": "rank test",
}  # fmt: skip
TOLD = {
    "from_ms": 0, "to_ms": 1, "requests": 9, "findings": [FINDING], "week": WEEK,
    "health": {"score": 92, "parts": [{"name": "Requests that ended well", "share": 0.971, "weight": 3}]},
    "budgets": [{"name": "Frames of /", "text": "within 16.67 ms", "share": 0.9, "target": 0.95, "of": 1_200}],
    "causes": [{"code": "load", "requests": 3, "share": 1.0, "cost_ms": 1_500.0}],
}  # fmt: skip


def text(component):
    """All that a component says, as JSON of its tree."""
    return json.dumps(component.to_plotly_json(), default=lambda each: each.to_plotly_json(), ensure_ascii=False)


class Services:
    """Services whose analysis gives this, or fails so."""

    def __init__(self, told):
        self.told = told
        self.insights = self

    def report(self, *, days, zone):
        if isinstance(self.told, Exception):
            raise self.told
        return {**self.told, "asked": (days, zone)}


def test_every_part_has_its_words_and_units():
    parts = [text(part) for part in insights.show(Services(TOLD), {"days": 7, "zone": "UTC", "east": 0})]
    findings, health, week, budgets, causes = parts
    assert "Time to first token of <b>x</b> rose 38 %." in findings
    assert "99.99 % confidence · rank test · 01 Jan to 08 Jan" in findings
    assert '"92"' in health
    assert "97.1 %" in health
    assert "0:00: 4 requests, CPU 50 %" in week
    assert week.count("unknown") == 7 * 24 - 3
    assert "within 16.67 ms; 1,200 of them; target 95 %; missed" in budgets
    assert "the model had to load" in causes
    assert "3 requests, 1,500 ms each" in causes


def test_a_finding_leads_to_its_chart_at_its_span():
    address = urlsplit(insights.history_link(FINDING))
    assert address.path == "/history"
    asked = parse_qs(address.query)
    assert (asked["series"], asked["from"], asked["compare"]) == (FINDING["series"], ["0"], ["previous"])


def test_days_are_named_in_the_users_zone():
    assert "31 Dec to 07 Jan" in text(insights.findings(TOLD, timezone(timedelta(hours=-1))))


@pytest.mark.parametrize(("requests", "words"), [(0, "Not enough data to compare"), (9, "Nothing stands out")])
def test_an_empty_list_is_a_good_answer_and_says_which(requests, words):
    assert words in text(insights.findings({**TOLD, "findings": [], "requests": requests}, UTC))


@pytest.mark.parametrize(
    "error", [Failed("The analysis failed: no."), Refused("days", "days= is 91.", "Give 1 to 90.")]
)
def test_where_there_is_no_answer_the_page_says_why(error):
    first, *others = insights.show(Services(error), {"days": 7, "zone": "UTC", "east": 0})
    assert str(error) in text(first)
    assert "alert" in text(first)
    assert len(others) == 4


def test_what_was_cancelled_is_no_trouble_and_says_how_to_ask_again():
    first, *others = insights.show(Services(Cancelled()), {"days": 7, "zone": "UTC", "east": 0})
    assert "cancelled before it was done. Select a period" in text(first)
    assert "alert" not in text(first)
    assert len(others) == 4


ODD = {
    "series": 'model.tokens_per_second{model="a b",server="s"}', "since_ms": 15 * 60_000, "z": 6.2,
    "text": "Output tokens (a <b>, s): 91 tokens/s, usually 0 to 9 at this hour (9 days).",
}  # fmt: skip
JUDGED = {"state": "judging", "reason": "", "judged": 1_028, "days": 9, "at_ms": 2_400_000, "now": []}


def test_what_is_unusual_is_a_sentence_with_its_time_and_the_chart_of_that_place():
    told = insights.unusual({**JUDGED, "now": [ODD]}, timezone(timedelta(hours=1)))
    assert ODD["text"] in text(told)
    assert "since 01:15 · z +6.2" in text(told)
    address = urlsplit(told.children[0].children[0].children[1].children[1].href)
    asked = parse_qs(address.query)
    assert (address.path, asked["series"]) == ("/history", [ODD["series"]])
    assert int(asked["from"][0]) < ODD["since_ms"] < int(asked["to"][0])
    assert "alert" not in text(told).replace("not an alert", "")


def test_where_nothing_is_unusual_it_says_what_was_looked_at():
    told = text(insights.unusual(JUDGED, UTC))
    assert "Nothing is unusual for this hour of the day: 1,028 series were compared" in told
    assert "up to 9 earlier days" in told


def test_where_nothing_can_be_judged_yet_it_says_what_is_needed():
    reason = "Needs 5 earlier days with this hour of the day; has 2."
    assert reason in text(insights.unusual({**JUDGED, "state": "waiting", "reason": reason}, UTC))


def test_what_was_not_measured_has_no_score_and_no_bars():
    assert "Not enough was measured" in text(insights.health({"score": None, "parts": []}))
    assert "No page was open" in text(insights.budgets([]))
    assert "No request was slow" in text(insights.causes([]))
