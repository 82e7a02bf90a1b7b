"""The History page's numbers: views, figures, statistics, CSV, words."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wfmon.core import units
from wfmon.core.types import Series
from wfmon.ui.history import controls, lookup, markup
from wfmon.ui.history import picture as history
from wfmon.ui.history.lines import SeriesLine, Stats, statistics
from wfmon.ui.history.picture import build
from wfmon.ui.history.views import HistoryView
from wfmon.ui.kit import ranges
from wfmon.ui.kit.ranges import DAY_MS, HOUR_MS, NotUnderstood, Range

NAN = float("nan")
T0 = 1_795_000_000_000


def utc_ms(*parts) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000


HOUR = Range(T0, T0 + HOUR_MS)


def line(*means, series="system.cpu_percent", unit="%", spread=0.0, step_ms=60_000, from_ms=T0, **more):
    mean = np.array(means, float)
    return SeriesLine(series, unit, from_ms, step_ms, np.stack([mean - spread, mean, mean + spread], 1), **more)


# --- views


@pytest.mark.parametrize(
    "view",
    [
        HistoryView(),
        HistoryView(text="yesterday"),
        HistoryView(series=("system.cpu_percent", 'model.ttft_ms{model="a&b=c",server="x,y"}')),
        HistoryView(span=(T0, T0 + 1), compare="previous", quantiles=True),
        HistoryView(compare="1700000000000"),
    ],
)
def test_a_view_is_read_from_the_address_as_it_was_written(view):
    assert HistoryView.read(view.query()) == view
    assert HistoryView.read("?" + view.query()) == view


@pytest.mark.parametrize("query", ["", "from=5", "from=x&to=9", "compare=nonsense", "quantiles=2", "series=", "range="])
def test_what_an_address_says_badly_is_the_default(query):
    assert HistoryView.read(query) == HistoryView()


def test_an_address_cannot_ask_for_more_series_than_a_person_looks_at():
    assert len(HistoryView.read("&".join(f"series=a.b{i}" for i in range(99))).series) == 24


@pytest.mark.parametrize(
    ("compare", "start"), [("previous", T0 - HOUR_MS), ("day", T0 - DAY_MS), ("week", T0 - 7 * DAY_MS), ("5000", 5_000)]
)
def test_the_compared_period_is_as_long_as_the_one_shown(compare, start):
    assert HistoryView(compare=compare).compared(HOUR, UTC) == Range(start, start + HOUR_MS)


def test_a_period_is_not_compared_with_itself():
    assert HistoryView().compared(HOUR, UTC) is None
    with pytest.raises(NotUnderstood, match="same as the range shown"):
        HistoryView(compare=str(T0)).compared(HOUR, UTC)


def test_a_fixed_view_shows_the_same_at_any_later_time():
    fixed = HistoryView(text="last 1 h", compare="day").fixed(HOUR, ("system.cpu_percent",))
    assert HistoryView.read(fixed.query()).range(T0 + 9 * DAY_MS, 60) == HOUR
    assert fixed.compare == "day"


# --- statistics


def test_statistics_of_a_gauge_weigh_every_known_step_the_same():
    assert statistics(line(10, NAN, 20, 60, spread=5)) == Stats(mean=30, min=5, max=65, last=60)


def test_nothing_known_has_no_statistics():
    assert statistics(line(NAN, NAN)) == Stats()


def test_a_distribution_weighs_its_steps_by_their_samples():
    found = statistics(
        line(
            100,
            200,
            series="model.ttft_ms",
            quantiles=np.array([[100.0] * 3, [200.0] * 3]),
            counts=np.array([96.0, 4.0]),
        )
    )
    assert found.mean == pytest.approx(104)
    assert found.p95 == pytest.approx(100, abs=0.01)


def test_p95_lies_near_that_of_the_samples_themselves():
    random = np.random.default_rng(7)
    steps = [random.lognormal(4 + i / 10, 0.5, 400) for i in range(12)]
    found = statistics(
        SeriesLine(
            "model.ttft_ms", "ms", T0, 60_000,
            np.array([[each.min(), each.mean(), each.max()] for each in steps]),
            np.array([np.quantile(each, (0.5, 0.95, 0.99)) for each in steps]),
            np.full(12, 400.0),
        )
    )  # fmt: skip
    every = np.concatenate(steps)
    assert found.p95 == pytest.approx(np.quantile(every, 0.95), rel=0.08)
    assert found.mean == pytest.approx(every.mean())


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (12, 10, "+20 %"),
        (9.5, 10, "−5.0 %"),
        (10, 10, "±0 %"),
        (0, 0, "±0 %"),
        (1, 0, "–"),
        (None, 1, "–"),
        (2, -1, "+300 %"),
    ],
)
def test_a_change_in_words(now, before, words):
    assert units.change(now, before) == words


# --- the figure


def traces(picture, **wanted):
    return [each for each in picture.figure["data"] if all(each.get(key) == value for key, value in wanted.items())]


def test_a_chart_a_metric_and_a_line_a_series_over_one_axis_of_time():
    lines = [
        line(1, series='system.cpu_core_percent{core="0"}'), line(5, series="system.memory_used_bytes", unit="B"),
        line(2, series='system.cpu_core_percent{core="1"}'),
    ]  # fmt: skip
    picture = build(HOUR, lines)
    assert [(row.name, [each.label for each in row.lines]) for row in picture.rows] == [
        ("system.cpu_core_percent", ["0", "1"]),
        ("system.memory_used_bytes", [""]),
    ]
    drawn = [each for each in picture.figure["data"] if each["mode"] == "lines"]
    assert [(each["yaxis"], each["line"]["color"]) for each in drawn] == [
        ("y", "--s-1"),
        ("y", "--s-2"),
        ("y2", "--s-2"),
    ]
    assert all("xaxis" not in each for each in drawn)
    assert picture.figure["layout"]["hovermode"] == "x unified"
    assert picture.figure["layout"]["xaxis"]["range"] == [history.iso(HOUR.from_ms), history.iso(HOUR.to_ms)]
    assert picture.figure["data"][picture.rows[0].traces[1]]["name"] == "1"


def test_the_picture_of_each_chart_lies_where_its_frame_is():
    picture = build(HOUR, [line(1), line(2, series="system.load_1m", unit="")])
    inner = picture.height - history.TOP - history.BOTTOM
    for row, axis in zip(picture.rows, ("yaxis", "yaxis2"), strict=True):
        low, high = picture.figure["layout"][axis]["domain"]
        assert history.TOP + (1 - high) * inner == pytest.approx(row.top + history.HEAD)
        assert (high - low) * inner == pytest.approx(history.PLOT)
    assert picture.rows[1].top >= picture.rows[0].top + picture.rows[0].height


def test_gaps_stay_gaps_and_the_envelope_is_not_sent_where_it_is_the_line():
    with_band, without = build(HOUR, [line(1, NAN, 3, 4, spread=1)]), build(HOUR, [line(1, NAN, 3, 4)])
    (trace,) = traces(with_band, mode="lines")
    assert trace["y"] == [1, None, 3, 4]
    assert trace["meta"] == {"low": [0, None, 2, 3], "high": [2, None, 4, 5], "band": "--s-1/18", "unit": "%"}
    assert "meta" not in traces(without, mode="lines")[0]
    assert not trace.get("connectgaps")


def test_a_value_that_stands_alone_is_a_point():
    (points,) = [
        each for each in build(HOUR, [line(NAN, 7, NAN, 1, 2)]).figure["data"] if each.get("hoverinfo") == "skip"
    ]
    assert points["y"] == [7]
    assert points["x"] == [history.iso(T0 + 60_000)]


def test_the_picture_is_in_utc_and_points_at_it_as_such_until_the_browser_names_its_own_time():
    figure = build(HOUR, [line(1, 2)]).figure
    assert figure["data"][0]["x0"] == history.iso(T0)
    assert figure["layout"]["xaxis"]["unifiedhovertitle"]["text"].endswith(" UTC")


def test_a_day_or_a_week_earlier_is_the_same_time_of_the_users_clock():
    berlin = ZoneInfo("Europe/Berlin")
    noon = Range(utc_ms(2026, 10, 26, 11), utc_ms(2026, 10, 26, 12))  # 12:00, the day after summer time ended
    assert HistoryView(compare="day").compared(noon, berlin).from_ms == utc_ms(2026, 10, 25, 11)
    assert HistoryView(compare="week").compared(noon, berlin) == Range(
        utc_ms(2026, 10, 19, 10), utc_ms(2026, 10, 19, 11)
    )


def test_what_is_said_of_a_span_names_both_offsets_where_summer_time_ends_in_it():
    over = Range(utc_ms(2026, 10, 24, 10), utc_ms(2026, 10, 26, 11))
    said = markup.detail(lookup.Shown(HistoryView(), over), ZoneInfo("Europe/Berlin"))
    assert said == "2 d 1 h · UTC+02:00, then UTC+01:00"


def test_the_compared_line_is_dashed_and_lies_on_the_axis_of_the_one_shown():
    then = Range(T0 - DAY_MS, T0 - DAY_MS + HOUR_MS)
    picture = build(HOUR, [line(4, 4)], (then, {"system.cpu_percent": line(2, 2, from_ms=then.from_ms)}))
    (before,) = [each for each in traces(picture, mode="lines") if each["line"].get("dash") == "dash"]
    assert before["x0"] == history.iso(T0)
    assert before["y"] == [2, 2]
    assert picture.rows[0].compared[0].mean == 2
    assert picture.figure["data"][picture.rows[0].traces[0]]["y"] == [4, 4]


def test_quantiles_are_drawn_where_they_are_kept_and_asked_for():
    given = line(
        5, 6, series="model.ttft_ms", unit="ms", quantiles=np.array([[4.0, 9, 10], [5.0, 9, 10]]), counts=np.ones(2)
    )
    assert len(traces(build(HOUR, [given]), mode="lines")) == 1
    drawn = traces(build(HOUR, [given, line(1)], quantiles=True), mode="lines")
    assert [each["y"] for each in drawn] == [[5, 6], [4, 5], [9, 9], [1]]


def test_what_happened_is_marked_over_all_charts_and_alerts_stand_out():
    marks = [
        {"t_ms": T0, "kind": "start", "text": "The <b>monitor</b> started."},
        {"t_ms": T0 + 1, "kind": "alert", "text": "Hot."},
    ]
    picture = build(HOUR, [line(1)], marks=marks)
    (lane,) = traces(picture, xaxis="x2")
    assert lane["text"] == ["The &lt;b&gt;monitor&lt;/b&gt; started.", "Hot."]
    assert lane["marker"]["symbol"] == ["triangle-down", "diamond"]
    assert lane["marker"]["color"][1] == "--bad"
    assert [(each["yref"], each["y0"], each["y1"]) for each in picture.figure["layout"]["shapes"]] == [
        ("paper", 0, 1)
    ] * 2


def test_so_many_marks_are_drawn_and_no_more():
    marks = [{"t_ms": T0 + i, "kind": "start", "text": "x"} for i in range(500)]
    assert len(build(HOUR, [line(1)], marks=marks).figure["layout"]["shapes"]) == history.MAX_MARKS


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [
        ("system.cpu_percent", [20, 100], 0, 102),
        ("system.temperature_celsius", [40, 60], 38.8, 61.2),
        ("system.load_1m", [], 0, 1),
        ("system.load_1m", [0, 0], 0, 1.06),
    ],
)
def test_an_axis_begins_at_nothing_where_its_metric_does(name, values, low, high):
    assert history.bounds(name, np.array(values, float)) == pytest.approx((low, high))


def test_axes_carry_their_unit():
    picture = build(HOUR, [line(3e9, 9e9, series="system.memory_used_bytes", unit="B")])
    assert picture.figure["layout"]["yaxis"]["ticktext"] == ["0 B", "5 GB"]


def test_a_figure_of_ten_charts_is_small_and_plain():
    many = [
        line(*np.linspace(0, 99.12345, 1_000).round(4), spread=1, series=name, unit="%", step_ms=3_600)
        for name in list(history.METRICS)[:10]
    ]
    assert len(json.dumps(build(HOUR, many).figure)) < 350_000


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "%", "–"), (NAN, "B", "–"), (12.34, "%", "12 %"), (3.21, "%", "3.2 %"), (11_200_000_000, "B", "11.2 GB"),
        (999_950, "B", "1.0 MB"), (950, "B/s", "950 B/s"), (0.5, "ms", "0.50 ms"), (1_500, "ms", "1.50 s"),
        (7_200, "s", "2.0 h"), (42, "", "42"), (12_345, "", "12.3k"), (48.21, "tokens/s", "48.2 tokens/s"),
        (-0.001, "%", "0.0 %"), (1.234, "bit", "1.2 bits"), (1_200, "us", "1.2 ms"), (63.4, "°C", "63 °C"),
        (0.1234, "/s", "0.1 /s"),
    ],
)  # fmt: skip
def test_numbers_with_their_units(value, unit, words):
    assert units.text(value, unit) == words


def test_ticks_are_round():
    assert units.ticks(0, 102) == [0, 50, 100]
    assert units.ticks(38.8, 61.2) == [40, 50, 60]
    assert units.ticks(5, 5) == [5]


# --- asking, and CSV

KEPT = [
    {"series": text, "name": Series.parse(text).name, "labels": dict(Series.parse(text).labels), "unit": unit,
     "kind": "gauge", "first_ms": T0, "distribution": distribution}
    for text, unit, distribution in (
        ("system.cpu_percent", "%", False), ("system.memory_percent", "%", False),
        ('model.ttft_ms{model="=cmd",server="s"}', "ms", True), ('model.ttft_ms{model="b",server="s"}', "ms", True),
    )
]  # fmt: skip


def asked(log):
    """Services that give two points of every series that fits, and write down what they were asked."""

    def query(*, series, from_ms, to_ms, points, fn):
        log.append((tuple(series), from_ms, to_ms, points, fn))
        width = {"envelope": 3, "quantiles": 3}.get(fn, 1)
        found = [row for rows in lookup.matching(series, KEPT).values() for row in rows]
        values = [from_ms % 97 + i for i in range(width)]
        return {
            "from_ms": from_ms, "to_ms": to_ms, "step_ms": 4_000, "tier": "1s", "fn": fn,
            "series": [{**row, "step_ms": 4_000,
                        "points": [[from_ms, *values], [from_ms + 4_000, *([None] * width)]]} for row in found],
        }  # fmt: skip

    return SimpleNamespace(
        history=SimpleNamespace(
            series=lambda: KEPT,
            query=query,
            annotations=lambda **_: [{"t_ms": T0, "kind": "start", "text": "Started."}],
        ),
        insights=SimpleNamespace(past_unusual=lambda **_: []),
    )


MODELS = SimpleNamespace(colours=lambda *, models: dict.fromkeys(models, 4))


def test_a_model_has_its_colour_whatever_stands_beside_it_and_lines_of_one_colour_differ_in_stroke():
    def of(model, server="s"):
        return line(1, 2, series=f'model.ttft_ms{{model="{model}",server="{server}"}}', unit="ms")

    def strokes(*lines):
        return build(HOUR, lines, colours={"a": 3, "b": 5, "g": 3}).rows[0].strokes

    assert strokes(of("a")) == strokes(of("a"), of("b"))[:1] == strokes(of("b"), of("a"))[1:] == (("--s-3", ""),)
    assert [each.dash for each in strokes(of("a"), of("g"), of("a", "t"))] == ["", "longdash", "longdashdot"]
    drawn = build(HOUR, [of("a"), of("g")], colours={"a": 3, "g": 3}).figure["data"]
    assert [each["line"] for each in drawn if each["mode"] == "lines" and "dash" in each["line"]] == [
        {"color": "--s-3", "width": 1.5, "dash": "longdash"}
    ]


def test_by_default_it_shows_what_there_is_of_the_usual():
    log = []
    shown = lookup.load(asked(log), HistoryView(), T0 + HOUR_MS, UTC)
    assert log[0] == (
        ("system.cpu_percent", "system.memory_percent", "model.ttft_ms"),
        T0,
        T0 + HOUR_MS,
        1_000,
        "envelope",
    )
    assert [call[4] for call in log] == ["envelope", "quantiles", "count"]
    assert log[1][0] == (KEPT[2]["series"], KEPT[3]["series"])
    assert shown.missing == ()
    assert shown.fixed.series == ("system.cpu_percent", "system.memory_percent", "model.ttft_ms")


def test_what_was_unusual_is_a_stretch_on_the_chart_of_its_series_and_other_series_leave_no_mark():
    services = asked([])
    services.history.annotations = lambda **_: [
        {"t_ms": T0 + 5, "kind": "anomaly", "text": "The note of the same."},
        {"t_ms": T0, "kind": "start", "text": "Started."},
    ]
    odd = {"series": "system.memory_percent", "since_ms": T0 - 60_000, "until_ms": None, "text": "Odd."}
    services.insights.past_unusual = lambda **_: [odd, {**odd, "series": "gpu.power_watts"}]
    shown = lookup.load(
        services, HistoryView(series=("system.cpu_percent", "system.memory_percent")), T0 + HOUR_MS, UTC
    )
    assert [mark["text"] for mark in shown.marks] == ["Started.", "Odd."]
    assert shown.marks[1]["t_ms"] == T0  # what began before is marked where the range begins
    figure = lookup.picture(shown, MODELS).figure
    line, band = figure["layout"]["shapes"]
    assert (line["type"], band["type"], band["yref"]) == ("line", "rect", "y2 domain")
    assert (band["x0"], band["x1"]) == (ranges.iso(T0), ranges.iso(T0 + HOUR_MS))
    assert figure["data"][-1]["marker"]["symbol"] == ["triangle-down", "circle"]
    ended = lookup.load(services, HistoryView(series=("system.cpu_percent",)), T0 + HOUR_MS, UTC)
    assert [mark["text"] for mark in ended.marks] == ["Started."]


def test_what_was_chosen_and_never_seen_is_named():
    shown = lookup.load(asked([]), HistoryView(series=("gpu.power_watts", "system.cpu_percent")), T0 + HOUR_MS, UTC)
    assert shown.missing == ("gpu.power_watts",)
    assert [each.series for each in shown.lines] == ["system.cpu_percent"]
    assert lookup.load(asked([]), HistoryView(series=("nonsense{",)), T0 + HOUR_MS, UTC).empty


def test_a_narrow_page_asks_for_fewer_points():
    log = []
    lookup.load(asked(log), HistoryView(), T0 + HOUR_MS, 0, narrow=True)
    assert {call[3] for call in log} == {400}


@pytest.mark.parametrize(
    ("selector", "fits"),
    [("model.ttft_ms", True), ('model.ttft_ms{model="b"}', True), ('model.ttft_ms{model="*"}', True),
     ('model.ttft_ms{model="c"}', False), ("model.ttft", False), ("model.ttft_ms{", False)],
)  # fmt: skip
def test_a_selector_may_leave_labels_out(selector, fits):
    assert (lookup.matching([selector], KEPT[3:4])[selector] != []) is fits


def test_csv_holds_the_numbers_of_the_query_and_no_formula():
    view = HistoryView(series=("system.cpu_percent", "model.ttft_ms"), compare="previous")
    shown = lookup.load(asked([]), view, T0 + HOUR_MS, UTC)
    rows = list(csv.DictReader(io.StringIO(lookup.csv_text(shown, timezone(timedelta(hours=2))))))
    assert [(row["period"], row["series"]) for row in rows] == [
        (period, series)
        for period in ("shown", "compared")
        for series in ("system.cpu_percent", KEPT[2]["series"], KEPT[3]["series"])
    ]
    first = T0 % 97
    cpu, ttft = rows[0], rows[1]
    assert [cpu[key] for key in ("t_ms", "unit", "step_ms", "min", "mean", "max", "p95")] == [
        str(T0), "%", "4000", str(first), str(first + 1), str(first + 2), "",
    ]  # fmt: skip
    assert [ttft[key] for key in ("p50", "p95", "p99")] == [str(first), str(first + 1), str(first + 2)]
    assert cpu["time (UTC+02:00)"] == history.iso(T0, timezone(timedelta(hours=2)))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_would_be_a_formula_is_made_inert(text):
    assert lookup.inert(text) == f"'{text}"


def test_a_plain_cell_stays():
    assert lookup.inert('model.ttft_ms{model="=1"}') == 'model.ttft_ms{model="=1"}'


# --- texts


def text_of(component) -> str:
    if isinstance(component, (list, tuple)):
        return "".join(map(text_of, component))
    children = getattr(component, "children", component)
    return (
        text_of(children)
        if isinstance(children, (list, tuple)) or hasattr(children, "children")
        else str(children or "")
    )


def test_the_figures_under_a_chart_have_units_and_say_what_changed():
    view = HistoryView(series=("system.cpu_percent",), compare="previous")
    shown = lookup.load(asked([]), view, T0 + HOUR_MS, UTC)
    words = text_of(markup.rows(lookup.picture(shown, MODELS), shown))
    first = T0 % 97 + 1
    assert f"mean{first} %" in words
    assert "previous mean" in words
    assert "CPU time in use, all cores together" in words


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ({"state": "recording", "from_ms": None}, "There is no history yet"),
        ({"state": "recording", "from_ms": T0 + HOUR_MS}, "The history begins on"),
        ({"state": "off", "from_ms": None}, "Recording is off"),
        ({"state": "full", "from_ms": None, "reason": "The disk is full."}, "The disk is full."),
    ],
)
def test_where_nothing_is_it_says_since_when_it_records_and_whether(store, words):
    shown = lookup.Shown(HistoryView(), HOUR)
    assert words in text_of(markup.message(shown, store, T0 + 2 * HOUR_MS, UTC))


def test_nothing_is_said_where_all_is_well():
    shown = lookup.load(asked([]), HistoryView(), T0 + HOUR_MS, UTC)
    assert markup.message(shown, {"state": "recording", "from_ms": T0}, T0, UTC) == []


def test_series_are_found_by_words_labels_and_area():
    def names(text, area="*"):
        return [each.children[0].children for each in controls.found(KEPT, text, area, ())]

    assert names("") == ["system.cpu_percent", "system.memory_percent", "model.ttft_ms"]
    assert names("first token") == ["model.ttft_ms"]
    assert names("model=b") == ["model.ttft_ms"]
    assert names("", "system") == ["system.cpu_percent", "system.memory_percent"]
    assert "No recorded series matches" in text_of(controls.found(KEPT, "zzz", "*", ()))


def test_what_happened_is_listed_newest_first():
    marks = [{"t_ms": T0, "kind": "start", "text": "One."}, {"t_ms": T0 + 1_000, "kind": "stop", "text": "Two."}]
    words = text_of(markup.events(marks, UTC))
    assert words.index("Two.") < words.index("One.")
    assert markup.events([], UTC) == []
