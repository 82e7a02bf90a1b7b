"""What a picture shows where more series fit than it holds."""

from __future__ import annotations

from types import SimpleNamespace

from wfmon.analyse.query import MAX_SERIES
from wfmon.core.types import Series
from wfmon.ui.history.narrowing import MOST_LINES, MOST_RANKED, MOST_SERIES, narrowed
from wfmon.ui.kit.ranges import Range

SPAN = Range(1_000, 2_000)
METRICS = ("model.tokens_per_second", "model.ttft_ms")


def row(text, first_ms=1):
    series = Series.parse(text)
    return {"series": text, "name": series.name, "labels": dict(series.labels), "first_ms": first_ms}


def pair(metric, model, first_ms=1):
    return row(f'{metric}{{model="{model}",server="s"}}', first_ms)


class Services(SimpleNamespace):
    """Counts: by model, how many samples a series of it has in the span."""

    def __init__(self, counts):
        super().__init__(counts=counts, asked=[])

    def query(self, *, series, from_ms, to_ms, points, fn):
        assert (from_ms, to_ms, points, fn) == (1_000, 2_000, 1, "count")
        assert len(series) <= MAX_SERIES
        self.asked += series
        rows = [row(text) for text in series]
        return {"series": [{**each, "points": [[0, self.counts.get(each["labels"]["model"])]]} for each in rows]}


def models(chosen):
    return [dict(Series.parse(text).labels)["model"] for text in chosen]


def test_a_picture_holds_what_a_query_takes():
    assert MOST_SERIES == MAX_SERIES


def test_where_all_fits_the_selectors_themselves_are_asked_for():
    there = {METRICS[0]: [pair(METRICS[0], f"m{i}") for i in range(6)], METRICS[1]: [pair(METRICS[1], "m1")]}
    found = narrowed(Services({}), there, SPAN, default=True)
    assert (found.chosen, found.left, len(found.rows)) == (METRICS, {}, 7)
    there[METRICS[0]] += [pair(METRICS[0], f"more{i}") for i in range(MOST_SERIES - 7)]
    assert narrowed(Services({}), there, SPAN, default=False).chosen == METRICS


def test_the_default_shows_the_most_used_of_each_chart_and_the_same_models_in_all():
    there = {metric: [pair(metric, f"m{i:02}") for i in range(28)] for metric in METRICS}
    found = narrowed(Services({f"m{i:02}": i for i in range(28)}), there, SPAN, default=True)
    assert models(found.chosen) == ["m27", "m26", "m25", "m24", "m23", "m22"] * 2
    assert found.left == dict.fromkeys(METRICS, 22)


def test_of_those_as_much_used_the_newest_are_shown_and_what_was_not_used_is_not():
    there = {METRICS[0]: [pair(METRICS[0], f"m{i:02}", first_ms=i) for i in range(20)]}
    assert models(narrowed(Services({}), there, SPAN, default=True).chosen) == [f"m{i}" for i in range(19, 13, -1)]
    one = narrowed(Services({"m03": 1}), there, SPAN, default=True)
    assert (models(one.chosen), one.left) == (["m03"], {METRICS[0]: 19})
    there[METRICS[0]][5]["first_ms"] = None  # of this minute
    assert models(narrowed(Services({}), there, SPAN, default=True).chosen)[0] == "m05"


def test_a_choice_that_is_too_wide_leaves_room_for_what_was_named_beside_it():
    named = {f'model.energy_index{{model="n{i}"}}': [row(f'model.energy_index{{model="n{i}"}}')] for i in range(3)}
    there = {METRICS[0]: [pair(METRICS[0], f"m{i}") for i in range(60)], **named}
    found = narrowed(Services({}), there, SPAN, default=False)
    assert set(named) <= set(found.chosen)
    assert len(found.chosen) == MOST_LINES + 3
    assert found.left == {METRICS[0]: 54}


def test_many_wide_selectors_share_what_there_is_room_for():
    there = {f"t.m{n}": [row(f't.m{n}{{model="m{i}"}}') for i in range(20)] for n in range(24)}
    found = narrowed(Services({}), there, SPAN, default=False)
    assert len(found.chosen) == MOST_SERIES
    assert sum(found.left.values()) == 24 * 20 - MOST_SERIES
    assert {text.partition("{")[0] for text in found.chosen} == set(there)


def test_the_use_of_two_years_names_is_looked_up_for_the_newest_alone():
    there = {METRICS[0]: [pair(METRICS[0], f"m{i}", first_ms=i + 1) for i in range(5_000)]}
    services = Services({"m4500": 5})
    assert models(narrowed(services, there, SPAN, default=True).chosen) == ["m4500"]
    assert len(services.asked) == MOST_RANKED
