"""The content of panels. Each part is markup only; the scripts in assets/ fill it with live data.

A *selector* is a metric's name (all its series) or a series with labels, where ``*`` matches any text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from dash import html
from dash.development.base_component import Component

from wfmon.core.catalogue import METRICS, Metric

Content: TypeAlias = Component | str | Sequence[Component | str]
Stat = Literal["last", "min", "max", "mean", "p50", "p95", "p99", "sum", "count"]

FRAME_BUDGET_MS = 16.67
"""Time of one frame at 60 Hz."""


def metric_of(selector: str) -> Metric:
    """Return a selector's metric. Raises KeyError for a name that is not in the catalogue."""
    return METRICS[selector.partition("{")[0]]


def chart(
    *selectors: str,
    label: str,
    height: int = 72,
    colors: Sequence[str | None] = (),
    names: Sequence[str] = (),
    low: float | None = 0.0,
    high: float | None = None,
    reach: float | None = None,
    legend: bool = False,
    budget: float | None = None,
) -> Component:
    """Make a chart of the selectors' series, which share a unit.

    ``label`` is the text alternative. ``colors``: a CSS variable per selector, None for the next of the palette.
    ``names``: names of the selectors in the legend and the readout. ``high`` None: up to the data's maximum, 100 for
    percentages. ``reach``: at least this high, more if the data is. ``budget`` draws a line at a limit.
    """
    first = metric_of(selectors[0])
    if first.unit == "%" and high is None and reach is None:
        high = 100.0
    spec: dict[str, Any] = {
        "series": list(selectors),
        "unit": first.unit,
        "label": label,
        "height": height,
        "min": low,
        "max": high,
        "colors": list(colors) or [f"--s-{i % 6 + 1}" for i in range(len(selectors))],
    }
    if names:
        spec["names"] = list(names)
    if legend:
        spec["legend"] = True
    if reach is not None:
        spec["reach"] = reach
    if budget is not None:
        spec["budget"] = budget
    return html.Div(
        className="chart", style={"--h": f"{height}px"}, **{"data-chart": json.dumps(spec, separators=(",", ":"))}
    )


def value(
    *selectors: str,
    stat: Stat = "last",
    unit: str = "",
    absent: str = "",
    warn: float | None = None,
) -> Component:
    """Make a live figure with its unit: the sum of the selectors' series, or a statistic over the visible window.

    ``absent`` replaces the default text for a missing value; above ``warn`` the figure is highlighted.
    """
    for selector in selectors:
        metric_of(selector)
    data = {"data-value": " ".join(selectors), "data-unit": unit or metric_of(selectors[0]).unit}
    if stat != "last":
        data["data-stat"] = stat
    if absent:
        data["data-absent-text"] = absent
    if warn is not None:
        data["data-warn"] = f"{warn:g}"
    return html.Span(className="value", **data)


def note(*content: Component | str) -> Component:
    """Make one entry of a panel's footer."""
    return html.Span(list(content))


def machine_fact(name: str) -> Component:
    """Make one entry of a panel's footer: a fact about this machine from the stream's hello, such as ``gpus``."""
    return html.Span(**{"data-fact": name})


def stat(name: str, selector: str, which: Stat, **more: Any) -> Component:  # noqa: ANN401  value()'s own options
    """Make a footer entry such as "p95 61 %", over the visible window."""
    return note(f"{name} ", value(selector, stat=which, absent="–", **more))


def meter(selector: str, high: float | str = 100.0, color: str = "--s-1") -> Component:
    """Make a bar from 0 to ``high``, a number or the selector of the limit's series. Put its figure beside it."""
    return html.Span(
        html.I(),
        className="meter",
        style={"--c": f"var({color})"},
        **{"data-meter": selector, "data-max": str(high), "aria-hidden": "true"},
    )


def facts(*pairs: tuple[str, Content]) -> Component:
    """Make a short list of names and figures."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(what)]) for name, what in pairs])


def reading(name: str, figure: Component, *more: Component, color: str = "") -> Component:
    """Make a large figure under its name: a block beside a wide panel."""
    swatch = [html.I(style={"background": f"var({color})"})] if color else []
    return html.Div(
        [html.P([*swatch, name], className="name"), html.P(figure, className="big"), *more], className="reading"
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a live table. ``numeric``: right-aligned; ``optional``: hidden on narrow pages."""

    name: str
    title: str
    unit: str = ""
    numeric: bool = False
    optional: bool = False


def live_table(name: str, caption: str, columns: Sequence[Column], empty: str) -> Component:
    """Make a table whose rows the page's scripts fill, subscribed only while it is visible."""
    return html.Div(
        html.Table(
            [
                html.Caption(caption, className="aside"),
                html.Thead(html.Tr([_head(column) for column in columns])),
                html.Tbody(),
            ],
            **{"data-table": name, "data-empty": empty},
        ),
        className="scroll",
        tabIndex=0,
        role="region",
        **{"aria-label": caption},
    )


def _head(column: Column) -> Component:
    data = {"data-col": column.name, "data-unit": column.unit} if column.unit else {"data-col": column.name}
    classes = " ".join(word for word, on in (("num", column.numeric), ("opt", column.optional)) if on)
    return html.Th(column.title, scope="col", className=classes or None, **data)


def small(title: str, selector: str) -> Component:
    """Make one of several small charts in a panel, with its figure."""
    return html.Div([html.P([title, value(selector)]), chart(selector, label=title, colors=(None,))], className="small")


def several(*charts: Component) -> Component:
    """Make a row of small charts that wraps."""
    return html.Div(list(charts), className="set")


def proofs(*pairs: tuple[str, str], why: str) -> Component:
    """Make large figures that are good at 0 and bad above, with their captions and an explanation."""
    figures = [html.Div([html.P(value(selector, warn=0), className="big"), html.P(what)]) for selector, what in pairs]
    return html.Div([html.Div(figures, className="proofs"), html.P(why, className="why-text")])
