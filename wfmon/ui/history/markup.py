"""The History page's markup: the frame of its charts, their titles and figures, and the messages.

assets/history.mjs handles ``data-act``: each click changes the view, and the view is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from wfmon.core import units
from wfmon.core.zones import local, offset_words
from wfmon.ui.history.lines import Stats
from wfmon.ui.history.lookup import Shown
from wfmon.ui.history.picture import HEAD, MORE, PLOT, ChartRow, Picture, Stroke
from wfmon.ui.kit import ids, ranges
from wfmon.ui.kit.parts import Content
from wfmon.ui.kit.ranges import Range

CONFIG = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "displayModeBar": False,
    "scrollZoom": False,
    "doubleClick": False,
    "responsive": True,
    "showTips": False,
}
MOST_MARKS = 100
AS_CHOSEN = "Reset to the selected range (0)"
STACK_WORDS = (
    "Charts. Arrow keys move in time, plus and minus zoom, 0 resets to the selected range, Backspace goes back."
)


def act_button(
    words: Content, act: str, value: str = "", label: str = "", title: str = "", kind: str = "text"
) -> Component:
    """Make a button that changes the view; ``label`` overrides its accessible name."""
    more = {"data-act": act, "data-to": value} if value else {"data-act": act}
    more["aria-label"] = label or str(words)
    return html.Button(words, type="button", className=kind, title=title or None, **more)


def charts() -> Component:
    """Make the frame of the charts: tools, the figure, and the overlay of titles and statistics."""
    tools = (
        ("←", "pan", "-0.5", "Earlier (←)"),
        ("−", "zoom", "2", "Zoom out (−)"),
        ("+", "zoom", "0.5", "Zoom in (+)"),
        ("→", "pan", "0.5", "Later (→)"),
    )
    back = act_button("Back", "back", title="Back to the previous range (Backspace)")
    back.id, back.hidden = "history-back", True
    return html.Section(
        [
            html.Header(
                [
                    html.Div(
                        [
                            html.H2("", id=ids.HISTORY_SAID),
                            html.P("", id=ids.HISTORY_DETAIL, className="detail"),
                        ]
                    ),
                    html.Div(
                        [
                            back,
                            *(act_button(sign, act, to, words, words, kind="icon") for sign, act, to, words in tools),
                            act_button("⟲", "reset", "", AS_CHOSEN, AS_CHOSEN, kind="icon"),
                            act_button("Refresh", "refresh", title="Load the newest data"),
                        ],
                        className="zoom",
                        role="group",
                        **{"aria-label": "Zoom and move"},
                    ),
                ],
                className="charts-head",
            ),
            html.Div(id=ids.HISTORY_MESSAGE, className="message", role="status"),
            html.Div(
                [
                    dcc.Graph(id=ids.HISTORY_GRAPH, config=CONFIG, responsive=True, figure=BLANK, className="graph"),
                    html.Div(skeleton(), id=ids.HISTORY_ROWS, className="rows"),
                ],
                id="history-stack",
                className="stack",
                tabIndex=0,
                role="group",
                **{"aria-label": STACK_WORDS},
            ),
            html.Div(id=ids.HISTORY_EVENTS, className="events"),
        ],
        className="panel charts",
        **{"aria-label": "Charts", "data-busy": ""},
    )


BLANK: dict[str, Any] = {
    "data": [],
    "layout": {
        "height": 600,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
    },
}


def stores() -> list[Component]:
    """Make the page's state between callbacks; saved views stay in this browser."""
    return [
        dcc.Store(id=ids.HISTORY_VIEW),
        dcc.Store(id=ids.HISTORY_CLIENT),
        dcc.Store(id=ids.HISTORY_SPEC),
        dcc.Store(id=ids.HISTORY_DONE),
        dcc.Store(id=ids.HISTORY_AREA, data=""),
        dcc.Store(id=ids.HISTORY_SAVED, storage_type="local"),
        dcc.Download(id=ids.HISTORY_DOWNLOAD),
    ]


def skeleton() -> list[Component]:
    """Make the placeholder shown before the first answer, of about the same size."""
    return [html.Div([html.I(), html.I(), html.I()], className="row skeleton") for _ in range(3)]


def chips(series: Sequence[str], missing: Sequence[str] = (), *, chosen: bool = True) -> list[Component]:
    """Make a chip for each selector, with a note if it was never recorded. ``chosen``: not the default series."""
    made = []
    for text in series:
        absent = text in missing
        words: list[Component | str] = [html.Span(text, className="code")]
        if absent:
            words.append(html.Small("never recorded"))
        words.append(act_button("×", "remove", text, label=f"Remove {text}", title="Remove", kind="icon"))
        made.append(html.Li(words, className="chip never" if absent else "chip"))
    if chosen and made:
        made.append(html.Li(act_button("Default", "default", title="Show the default series")))
    return made


def rows(picture: Picture, shown: Shown) -> list[Component]:
    """Make the overlay of the figure: each chart's title, buttons and statistics."""
    return [_row(row, shown) for row in picture.rows]


def _row(row: ChartRow, shown: Shown) -> Component:
    name = row.name
    head = html.Header(
        [
            html.H3(row.title),
            html.Span(name, className="code"),
            *_more(shown.left.get(name, 0), name),
            act_button("Table", "table", name, label=f"{row.title}: as a table", kind="text small"),
            act_button(
                "×", "remove-metric", name, label=f"{row.title}: remove this chart", title="Remove", kind="icon"
            ),
        ],
        style={"height": f"{HEAD}px"},
    )
    plot = html.Div(className="plot", style={"height": f"{PLOT}px"})
    stats = [_line(row, at, shown) for at in range(len(row.lines))]
    return html.Div(
        [head, plot, html.Div(stats, className="stats"), _statistics(row)],
        className="row",
        key=name,
        style={"top": f"{row.top}px", "height": f"{row.height}px"},
        **{"data-metric": name},
    )


def _more(count: int, name: str) -> list[Component]:
    """Make the button that lists a metric's series, if more match than are shown."""
    if not count:
        return []
    words = f"and {count:,} more"
    return [act_button(words, "more-of", name, label=f"{words} of {name}", kind="text small more-of")]


def _statistics(row: ChartRow) -> Component:
    """Make the fold-out of a chart's statistics; assets/lib/history/span-statistics.mjs fills it when it is opened."""
    summary = html.Summary(
        ["Statistics", html.Span(f" of {row.title}", className="aside")], style={"height": f"{MORE}px"}
    )
    return html.Details(
        [summary, html.Div(className="statistics")], className="reckoned", **{"data-statistics": row.name}
    )


def _line(row: ChartRow, at: int, shown: Shown) -> Component:
    line, stats, before = row.lines[at], row.stats[at], row.compared[at]
    several = len(row.lines) > 1
    figures = [("mean", stats.mean), ("min", stats.min), ("max", stats.max), ("last", stats.last)]
    if line.quantiles is not None:
        figures.append(("p95", stats.p95))
    pairs = [_figure(word, units.text(value, line.unit)) for word, value in figures]
    if shown.compared is not None:
        pairs.append(_changed(stats, before or Stats(), line.unit))
    key: list[Component | str] = [_key(row.strokes[at])] if several else []
    return html.Div(
        [
            html.P([*key, html.Span(line.label)], className="who", title=line.label) if line.label else "",
            html.Dl(pairs),
        ],
        className="stat-line",
        style={"height": f"{row.line_px}px"},
        **{"data-series": line.series},
    )


def _key(stroke: Stroke) -> Component:
    return html.I(style={"--c": f"var({stroke.color})"}, className="broken" if stroke.dash else None)


def _figure(word: str, figure: str) -> Component:
    return html.Div([html.Dt(word), html.Dd(figure)], className="figure")


def _changed(stats: Stats, before: Stats, unit: str) -> Component:
    words = units.change(stats.mean, before.mean)
    figure = [units.text(before.mean, unit), html.Span(f" ({words})" if before.mean is not None else "")]
    return html.Div(
        [html.Dt("previous mean"), html.Dd(figure)],
        className="figure changed",
        **{"data-change": words},
    )


def detail(shown: Shown, zone: tzinfo) -> str:
    """Describe the range: its length, resolution and time zone."""
    parts = [ranges.length(shown.range.span_ms), offset_words(shown.range.from_ms, shown.range.to_ms, zone)]
    if shown.step_ms:
        parts.insert(1, f"one point per {ranges.length(shown.step_ms)}, {shown.tier} tier")
    if shown.compared is not None:
        parts.append(f"dashed: {ranges.words(shown.compared, zone)}")
    return " · ".join(parts)


def message(shown: Shown, store: Mapping[str, Any], now_ms: int, zone: tzinfo) -> list[Component | str]:
    """Say why there is no data, or what is not recorded; empty if all is well."""
    said: list[Component | str] = []
    off = store["state"] == "off"
    since = store.get("from_ms")
    if shown.empty:
        said.append(html.P("Nothing was recorded in this range.", className="lead-line"))
        said.append(html.P(_since(since, shown.range, now_ms, zone)))
        if shown.missing:
            said.append(html.P(f"Never recorded by this monitor: {', '.join(shown.missing)}."))
    elif shown.left:
        count = len(shown.lines)
        words = f"{count + sum(shown.left.values()):,} series match; the {count} most used in this range are shown."
        said.append(html.P(f"{words} Select “and … more” beside a chart's name to list the others."))
    if off:
        said.append(
            html.P(
                "Recording is off: only earlier recordings and the last minutes are available. Turn it on in Settings, "
                "or with store.enabled in config.yaml.",
                className="warn",
            )
        )
    elif store.get("reason"):
        said.append(html.P(store["reason"], className="warn"))
    return said


def _since(since: int | None, shown: Range, now_ms: int, zone: tzinfo) -> str:
    if since is None:
        return "There is no history yet. It begins with the first minute that wfmon runs; refresh shortly."
    begun = local(since, zone)
    words = f"The history begins on {begun.day} {begun:%b %Y} at {begun:%H:%M}"
    ago = f", {ranges.length(max(0, now_ms - since))} ago" if since <= now_ms else ""
    hint = (
        "choose a later range"
        if shown.to_ms <= since
        else "wfmon may not have been running then, or the collector was off"
    )
    return f"{words}{ago}: {hint}."


def trouble(words: str, fix: str = "") -> list[Component | str]:
    """Make the message of an error: what went wrong and what to do."""
    return [html.P(words, className="bad"), *([html.P(fix)] if fix else [])]


def events(marks: Sequence[Mapping[str, Any]], zone: tzinfo) -> list[Component | str]:
    """List the events in the range, as text for the marks in the figure."""
    if not marks:
        return []
    shown = marks[-MOST_MARKS:]
    items = [
        html.Li(
            [
                html.Time(
                    ranges.iso(mark["t_ms"], zone).replace("T", " ")[:19],
                    dateTime=datetime.fromtimestamp(mark["t_ms"] / 1_000, UTC).isoformat(),
                ),
                html.Span(mark["text"]),
            ]
        )
        for mark in reversed(shown)
    ]
    left = f", the latest {len(shown)} listed" if len(shown) < len(marks) else ""
    words = f"{len(marks)} {'event' if len(marks) == 1 else 'events'} in this range{left}"
    return [html.Details([html.Summary(words), html.Ol(items)])]
