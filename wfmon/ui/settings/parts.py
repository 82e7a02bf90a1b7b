"""Shared by the Settings page's parts: formatted durations, sizes and instants, a table, an error line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

CLIENT, FOCUS = "settings-client", "settings-focus"
"""What only the browser knows: {zone: IANA name, east: minutes east of UTC}; and the id to focus."""
BYTE_STEPS = ("B", "kB", "MB", "GB", "TB")
ORIGINS = {
    "default": "default",
    "config.yaml": "config.yaml",
    "settings.json": "changed on a page",
    "command line": "command line",
}


def bytes_text(value: float) -> str:
    """Format bytes: one decimal below 100, powers of 1000."""
    for step in BYTE_STEPS:
        if abs(value) < 999.5 or step == BYTE_STEPS[-1]:
            break
        value /= 1000
    decimals = 0 if step == "B" or abs(value) >= 99.95 else 1
    return f"{value:.{decimals}f} {step}"


def span_text(seconds: float) -> str:
    """Format a duration in the largest unit that fits."""
    for size, name in ((86_400 * 365, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds / size
            return f"{count:.3g} {name}{'' if count == 1 else 's'}"
    return f"{seconds:.3g} {'second' if seconds == 1 else 'seconds'}"


def moment(t_ms: int) -> Component:
    """Make an instant in UTC; the browser rewrites it in its own zone (assets/lib/page/moments.mjs)."""
    at = dt.datetime.fromtimestamp(t_ms / 1000, dt.UTC)
    return html.Time(
        at.strftime("%Y-%m-%d %H:%M UTC"), dateTime=at.isoformat(), **{"data-widget": "moment", "data-ms": str(t_ms)}
    )


def origin(origin: str) -> Component:
    """Make the name of a value's source."""
    return html.Span(ORIGINS.get(origin, origin), className="origin", **{"data-origin": origin})


def table(caption: str, heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> Component:
    """Make a table. A head is (title, class); the first cell of a row is its heading."""
    body = [
        html.Tr(
            [
                html.Th(row[0], scope="row"),
                *(html.Td(cell, className=kind or None) for cell, (_, kind) in zip(row[1:], heads[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    table = html.Table(
        [
            html.Caption(caption, className="aside"),
            html.Thead(html.Tr([html.Th(title, scope="col", className=kind or None) for title, kind in heads])),
            html.Tbody(body),
        ]
    )
    return html.Div(table, className="scroll", role="region", tabIndex=0, **{"aria-label": caption})


def count(number: int, what: str) -> str:
    """Format a count: ``1,204 parts``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def trouble(what: str, fix: str = "") -> Component:
    """Make an error line: what went wrong, and how to fix it."""
    return html.P(f"{what} {fix}".strip(), className="trouble", role="alert")


def buttons(*each: tuple[str, dict[str, Any], str]) -> Component:
    """Make a row of buttons of (words, id, class)."""
    made = [html.Button(words, id=which, type="button", className=style) for words, which, style in each]
    return html.Div(made, className="act")
