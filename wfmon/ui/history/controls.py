"""The History page's controls: range, series, comparison, saved views, link and CSV.

assets/history.mjs handles ``data-act``: each click changes the view, and the view is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from wfmon.core.catalogue import METRICS
from wfmon.core.types import Series
from wfmon.ui.history.markup import act_button
from wfmon.ui.history.views import COMPARISONS
from wfmon.ui.kit import ids, ranges

AREAS = ("system", "gpu", "model", "network", "ux", "monitor", "servers")
MOST_LISTED = 120
"""The most series listed in the chooser; a search finds the others."""


def controls() -> Component:
    """Make the controls: range, series, comparison, saved views, link and CSV."""
    return html.Section(
        [_range_line(), _series_line(), _chooser(), _more_line()],
        className="panel choose",
        **{"aria-label": "What to show"},
    )


def _range_line() -> Component:
    presets = [act_button(name, "range", text, label=text, kind="preset") for text, name in ranges.PRESETS]
    typed = html.Div(
        [
            dcc.Input(
                id=ids.HISTORY_TYPED,
                type="text",
                placeholder="last 3 h, yesterday, …",
                autoComplete="off",
                spellCheck="false",
                className="field typed",
            ),
            act_button("Show", "typed", label="Show the typed range"),
        ],
        className="typed-range",
    )
    ends = html.Div(
        [
            html.Label(["From ", _calendar(ids.HISTORY_FROM)]),
            html.Label(["to ", _calendar(ids.HISTORY_TO)]),
        ],
        className="ends",
    )
    return html.Div(
        [
            html.Div(presets, className="segments presets", role="group", **{"aria-label": "Range"}),
            html.Label([html.Span("Range in words", className="aside"), typed]),
            ends,
        ],
        className="line",
    )


def _calendar(name: str) -> Component:
    return dcc.Input(id=name, type="datetime-local", step=60, className="field calendar")


def _series_line() -> Component:
    return html.Div(
        [
            html.Ul(id=ids.HISTORY_CHIPS, className="chips", **{"aria-label": "Series shown"}),
            html.Button(
                "Add series",
                type="button",
                className="text",
                id="history-add",
                **{
                    "data-act": "choose",
                    "aria-label": "Add series",
                    "aria-expanded": "false",
                    "aria-controls": "history-chooser",
                },
            ),
            html.Button(
                "More",
                type="button",
                className="text more-button",
                **{
                    "data-act": "more",
                    "aria-expanded": "false",
                    "aria-label": "More: start and end, comparison, saved views",
                },
            ),
        ],
        className="line",
    )


def _chooser() -> Component:
    areas = [act_button("all", "area", "*", label="all areas", kind="preset")] + [
        act_button(area, "area", area, kind="preset") for area in AREAS
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.Label(
                        [
                            html.Span("Find", className="aside"),
                            dcc.Input(
                                id=ids.HISTORY_FIND,
                                type="search",
                                placeholder='Find: cpu, llama, core="0" …',
                                autoComplete="off",
                                spellCheck="false",
                                className="field find",
                                value="",
                            ),
                        ]
                    ),
                    html.Div(areas, className="segments", role="group", **{"aria-label": "Area"}),
                    act_button("Done", "choose"),
                ],
                className="line",
            ),
            html.Div(id=ids.HISTORY_LIST, className="found", role="group", **{"aria-label": "Recorded series"}),
        ],
        id="history-chooser",
        className="chooser",
        hidden=True,
    )


def _more_line() -> Component:
    return html.Div([*_comparison(), _quantiles(), _saved_views(), _take_away()], className="line more-line")


def _comparison() -> tuple[Component, Component]:
    """Make the menu of comparisons, and the field for any other start, which the menu's last entry shows."""
    options = [html.Option(words, value=value) for value, words in COMPARISONS]
    menu = html.Select(
        [*options, html.Option("another start", value="other")],
        className="field",
        id="history-compare",
        **{"data-act": "compare"},
    )
    other = html.Label(
        [html.Span("Start of the comparison period", className="aside"), _calendar(ids.HISTORY_OTHER)],
        id="history-other-label",
        hidden=True,
    )
    return html.Label(["Compare with ", menu]), other


def _quantiles() -> Component:
    button = act_button(
        "p50, p95", "quantiles", title="Show the median and the 95th percentile where they are recorded"
    )
    button.id = "history-quantiles"
    return button


def _saved_views() -> Component:
    menu = html.Select([], className="field", id="history-views", **{"data-act": "open-view"})
    name = dcc.Input(
        id=ids.HISTORY_NAME,
        type="text",
        placeholder="Name of this view",
        maxLength=40,
        autoComplete="off",
        className="field name",
    )
    return html.Div(
        [
            html.Label([html.Span("Saved views", className="aside"), menu]),
            name,
            act_button("Save", "save-view", label="Save this view under this name"),
            act_button("Delete", "delete-view", label="Delete the selected view"),
        ],
        className="saved",
        role="group",
        **{"aria-label": "Saved views"},
    )


def _take_away() -> Component:
    """Make the buttons for a link and a CSV file."""
    csv = html.Button(
        "CSV",
        type="button",
        className="text",
        id=ids.HISTORY_CSV,
        title="Download the numbers shown as a file",
        **{"aria-label": "Download the numbers shown as CSV"},
    )
    link = act_button("Copy link", "link", title="Copy a link to exactly this view")
    return html.Div([link, csv], className="take")


def found(kept: Sequence[Mapping[str, Any]], text: str, area: str, chosen: Sequence[str]) -> list[Component]:
    """List the choices: each metric as a whole, and its series below it."""
    listed = _matching(kept, text, area)
    if not listed:
        return [html.P("No recorded series matches. Try part of a metric's name, or a label.", className="none")]
    made: list[Component] = []
    count = 0
    for name, its in listed.items():
        if count >= MOST_LISTED:
            made.append(html.P("More series match. Type part of a name to narrow the list.", className="none"))
            break
        count += len(its)
        made.append(_metric(name, its, chosen))
    return made


def _matching(kept: Sequence[Mapping[str, Any]], text: str, area: str) -> dict[str, list[str]]:
    words = text.lower().split()
    listed: dict[str, list[str]] = {}
    for row in sorted(kept, key=lambda row: (_area_order(row["name"]), row["series"])):
        help_ = METRICS[row["name"]].help if row["name"] in METRICS else ""
        inside = f"{row['series']} {' '.join(f'{k}={v}' for k, v in row['labels'].items())} {help_}".lower()
        if area in ("*", row["name"].partition(".")[0]) and all(word in inside for word in words):
            listed.setdefault(row["name"], []).append(row["series"])
    return listed


def _area_order(name: str) -> tuple[int, int]:
    area = name.partition(".")[0]
    order = list(METRICS)
    return (AREAS.index(area) if area in AREAS else len(AREAS), order.index(name) if name in METRICS else len(order))


def _metric(name: str, its: Sequence[str], chosen: Sequence[str]) -> Component:
    labelled = [text for text in its if "{" in text]
    whole = _pick(name, name, name in chosen)
    metric = METRICS.get(name)
    single = [_pick(text, ", ".join(_values(text)), text in chosen or name in chosen) for text in labelled]
    inside = [whole, html.Span(metric.help if metric else "", className="help")]
    return html.Div([*inside, *([html.Div(single, className="singles")] if single else [])], className="metric")


def _values(text: str) -> list[str]:
    return [f"{key} {value}" for key, value in Series.parse(text).labels]


def _pick(selector: str, words: str, on: bool) -> Component:  # noqa: FBT001
    data = {"data-act": "toggle", "data-to": selector, "aria-label": words, "aria-pressed": str(on).lower()}
    return html.Button(words, type="button", className="pick", **data)
