"""The Requests page's parts: every request of a range in a grid, or why there is none.

The browser's part (the range, the grid's columns, CSV, the timeline) is in assets/lib/requests/past-requests.mjs;
assets/requests.js formats the grid's cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import dash_ag_grid as dag
import orjson
from dash import dcc, html
from dash.development.base_component import Component

from wfmon.core.errors import Unreadable
from wfmon.core.services import Services
from wfmon.core.types import CAUSE_NOT_KNOWN
from wfmon.ui.kit.panels import Panel
from wfmon.ui.kit.parts import note
from wfmon.ui.requests.spread import FIGURES, SPREAD, Row, figures

HOST, GRID, SPAN, ROWS = "requests-host", "requests-grid", "requests-span", "requests-rows"
SUMMARY, NONE, FOOT = "requests-summary", "requests-none", "requests-foot"
"""Ids of what the callback writes."""
MOST_ROWS = 5_000
"""The most rows on the page: the newest of the range."""
PART = 200
MOST_IN_MEMORY = 2_000
"""The most requests in the monitor's memory: `collect.model.requests`."""
ROUNDED = (
    ("queue_ms", 3), ("load_ms", 3), ("prompt_ms", 3), ("ttft_ms", 3), ("duration_ms", 3), ("tokens_per_second", 3),
    ("time_per_output_token_ms", 4), ("entropy_bits", 4), ("energy", 4), ("joules", 3),
)  # fmt: skip
"""Decimals sent to the browser: floats of 17 digits would make the answer half as large again."""


@dataclass(frozen=True, slots=True)
class GridColumn:
    """A column of the grid. ``digits`` None: text; else a number in the title's unit, with so many decimals below 100.

    ``shown``: by default. ``optional``: not by default on narrow pages.
    """

    name: str
    title: str
    help: str
    width: int
    digits: int | None = None
    shown: bool = True
    optional: bool = True


COLUMNS = (
    GridColumn("started_ms", "Start", "When the request arrived, in this browser's time zone", 154, optional=False),
    GridColumn("model", "Model", "The model that answered", 120, optional=False),
    GridColumn("status", "Status", "How it ended", 72),
    GridColumn("prompt_tokens", "Prompt, tokens", "Tokens in the prompt", 66, 0),
    GridColumn("output_tokens", "Output, tokens", "Tokens in the answer", 66, 0),
    GridColumn("queue_ms", "Queue, ms", "Time in the server's queue", 64, 1),
    GridColumn("load_ms", "Load, ms", "Time spent loading the model", 64, 1),
    GridColumn("prompt_ms", "Prompt, ms", "Time spent processing the prompt", 66, 1, shown=False),
    GridColumn("ttft_ms", "First token, ms", "From the start to the first token", 72, 1, optional=False),
    GridColumn("duration_ms", "Duration, ms", "From the start to the end", 76, 1),
    GridColumn("tokens_per_second", "Tokens/s", "Output tokens per second", 70, 1, optional=False),
    GridColumn("time_per_output_token_ms", "Per token, ms", "Mean time per output token", 72, 1, shown=False),
    GridColumn("entropy_bits", "Entropy, bits", "Mean entropy of the answer's tokens", 68, 2),
    GridColumn("energy", "Energy, 0 to 1", "Mean of the index of speed, certainty and steadiness", 66, 2),
    GridColumn("joules", "Electricity, J", "Energy used by all graphics cards during the request", 84, 1, shown=False),
    GridColumn("stalled_ms", "Stalled, ms", "Total time of the stalls, in which no token came", 72, 1, shown=False),
    GridColumn("why", "Why slow", "Up to two causes, the costliest first", 170),
    GridColumn("server", "Server", "The server that answered", 128),
    GridColumn("via", "Source", "What reported it: hook or proxy", 72),
)


def _definition(column: GridColumn) -> dict[str, Any]:
    number = column.digits is not None
    definition: dict[str, Any] = {
        "field": column.name,
        "headerName": column.title,
        "headerTooltip": column.help,
        "width": column.width,
        "hide": not column.shown,
        "cellDataType": "number" if number or column.name == "started_ms" else "text",
        "filter": "agNumberColumnFilter" if number else "agTextColumnFilter",
    }
    if number:
        definition["type"] = "rightAligned"
        definition["valueFormatter"] = {"function": f"wfmonFigure(params, {column.digits})"}
    elif column.name == "started_ms":
        definition |= {"valueFormatter": {"function": "wfmonTime(params)"}, "sort": "desc", "filter": False,
                       "lockPosition": "left"}  # fmt: skip
    else:
        definition["valueFormatter"] = {"function": "wfmonText(params)"}
        definition["tooltipField"] = column.name
    if column.name in ("status", "why"):
        definition["cellClass"] = {"function": "wfmonClass(params)"}
    if column.name == "why":
        definition["flex"], definition["minWidth"] = 1, 150
    return definition


def grid() -> Component:
    """Make the empty grid. Its filters and columns are saved in this browser."""
    return dag.AgGrid(
        id=GRID,
        columnDefs=[_definition(column) for column in COLUMNS],
        defaultColDef={"sortable": True, "resizable": True, "wrapHeaderText": True, "minWidth": 60,
                       "sortingOrder": ["desc", "asc"]},
        rowData=[],
        getRowId="params.data.id",
        dashGridOptions={
            "rowHeight": 32, "headerHeight": 44, "enableBrowserTooltips": True, "animateRows": False,
            "suppressDragLeaveHidesColumns": True, "suppressMultiSort": False, "loadThemeGoogleFonts": False,
            "suppressColumnVirtualisation": True,
        },
        className="requests-grid",
        style={"height": None},
        persistence=True,
        persistence_type="local",
        persisted_props=["columnState", "filterModel"],
    )  # fmt: skip


def tools() -> Component:
    """Make the row of controls: the range, the model, columns, CSV. It is the page's widget."""
    presets = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d"))
    segments = [
        html.Button(
            words, type="button", **{"data-span": name, "aria-pressed": "false", "aria-label": f"The last {words}"}
        )
        for name, words in presets
    ]
    # Dash has neither a plain input nor the attribute popover: the widget adds them.
    ends = [html.Label([words, html.Span(**{"data-end": name})]) for name, words in (("from", "From"), ("to", "To"))]
    model = html.Label(["Model", html.Select([html.Option("all", value="")], **{"data-model-choice": ""})])
    buttons = [
        html.Button(
            words, type="button", className="text", title=title,
            **{"data-requests-do": name, "aria-label": title, **more},
        )
        for name, words, title, more in (
            ("again", "Refresh", "Refresh: load newer requests", {}),
            ("columns", "Columns", "Columns: choose which to show",
             {"aria-haspopup": "true", "aria-expanded": "false"}),
            ("csv", "CSV", "CSV: save the rows shown", {}),
        )
    ]  # fmt: skip
    chooser = html.Fieldset(
        [
            html.Legend("Columns"),
            html.Div(className="choices"),
            html.Button(
                "Reset", type="button", className="text",
                **{"data-requests-do": "reset", "aria-label": "Reset the columns"},
            ),
        ],
        id="requests-columns",
    )  # fmt: skip
    return html.Div(
        [
            html.Div(segments, className="segments", role="group", **{"aria-label": "Range"}),
            *ends,
            model,
            html.Div([*buttons, chooser], className="doing"),
            dcc.Store(id=SPAN),
            dcc.Store(id=ROWS),
        ],
        id=HOST,
        className="request-tools",
        role="search",
        **{"data-widget": "past-requests", "aria-label": "Filter requests", "data-state": "", "data-busy": "",
           "data-models": "[]", "data-optional": " ".join(each.name for each in COLUMNS if each.optional)},
    )  # fmt: skip


def panels() -> tuple[Panel, ...]:
    """Make the page's panels: three figures, and the grid."""
    titles = {
        "ttft": "First token by prompt",
        "rate": "Tokens per second by model",
        "entropy": "Mean entropy",
    }
    feet = {
        "ttft": "one dot per request; both axes are logarithmic",
        "rate": "box: middle half; line: median; ends: p5 and p95",
        "entropy": "requests by the mean entropy of the answer",
    }
    figures = [
        Panel(
            f"spread-{name}",
            titles[name],
            html.Div(id=f"requests-{name}", className="spread", **{"data-widget": "spread", "data-spread": ""}),
            width=4,
            foot=(note(feet[name]),),
            charted=False,
        )
        for name in FIGURES
    ]
    table = html.Div(
        [
            html.P(id=NONE, className="none", role="status"),
            html.Div(grid(), className="grid-place", role="region", **{"aria-label": "The requests of the span"}),
        ],
        className="past-requests",
    )
    return (
        *figures,
        Panel(
            "past-requests",
            "Requests",
            table,
            width=12,
            now=html.Span([html.Span(id=SUMMARY, role="status"), _filtered()], className="quiet-now"),
            foot=(
                note("click a row or press Enter to open its timeline; prompts and answers are never stored"),
                html.Span(id=FOOT),
            ),
            charted=False,
        ),
    )


def _filtered() -> Component:
    """Make the note that filters hide rows, with a button to clear them; the widget fills and shows it."""
    clear = html.Button(
        "Show all", type="button", className="text", **{"data-requests-do": "clear", "aria-label": "Clear the filters"}
    )
    return html.Span([html.Span(), clear], hidden=True, **{"data-filtered": ""})


# --- their content


@dataclass(frozen=True, slots=True)
class RequestsView:
    """The page's content for a range. ``state``: ready, empty, error; ``none``: the text instead of the grid.

    ``rows``: the grid's rows, as JSON. ``spread``: what the figures need of each.
    """

    state: Literal["ready", "empty", "error"]
    models: list[str]
    summary: str
    none: str = ""
    foot: str = ""
    rows: str = "[]"
    spread: Sequence[Row] = ()
    colours: Mapping[str, int] = field(default_factory=dict)


def load(services: Services, span: Mapping[str, Any]) -> RequestsView:
    """Read the requests of ``span``: {from_ms, to_ms, model}. An unreadable history becomes a message."""
    from_ms, to_ms, model = int(span["from_ms"]), int(span["to_ms"]), str(span.get("model") or "")
    if from_ms >= to_ms:
        return RequestsView("empty", [], "", "The range ends before it begins. Choose a later end.")
    try:
        in_memory = {each["id"] for each in services.models.requests(limit=MOST_IN_MEMORY)}
        past = iter(services.history.requests(from_ms=from_ms, to_ms=to_ms, limit=MOST_ROWS + 1, model=model))
        parts: list[str] = []
        spread: list[Row] = []
        slow = 0
        # In parts: all rows at once are ten megabytes, here and again in Dash's encoder.
        while part := [finished({**row}, in_memory) for row in islice(past, min(PART, MOST_ROWS - len(spread)))]:
            parts.append(orjson.dumps(part).decode()[1:-1])
            spread += [{name: row[name] for name in SPREAD} for row in part]
            slow += sum(1 for row in part if row["slow"])
        more = next(past, None) is not None
        models = models_of(services.history.series(), spread)
        store: Mapping[str, Any] = {} if spread else services.store.status()
        colours = services.models.colours(models=list(dict.fromkeys(row["model"] for row in spread)))
    except Unreadable as error:
        return RequestsView("error", [], "", error.sentences)
    if not spread:
        return RequestsView("empty", models, "", why_empty(store, model))
    summary = (
        f"{len(spread):,}{' newest' if more else ''} {'request' if len(spread) == 1 else 'requests'}, {slow:,} slow"
    )
    foot = f"this range has more than {MOST_ROWS:,} requests; the older ones are not shown" if more else ""
    return RequestsView(
        "ready", models, summary, foot=foot, rows=f"[{','.join(parts)}]", spread=spread, colours=colours
    )


def finished(row: Row, in_memory: set[str]) -> Row:
    """Turn a stored request into a row of the grid, in place, and return it.

    Adds why it was slow, how long it stalled, and whether the times of its tokens are still in memory.
    """
    row["why"] = why(row)
    row["stalled_ms"] = sum(length for _, length in row["stalls"]) if row["stalls"] else None
    row["in_memory"] = row["id"] in in_memory
    for name, digits in ROUNDED:
        if row[name] is not None:
            row[name] = round(row[name], digits)
    return row


def why(request: Mapping[str, Any]) -> str:
    """Return why a request was slow, in words."""
    words = ", ".join(cause["text"] for cause in request["causes"])
    return words or (CAUSE_NOT_KNOWN if request["slow"] else "")


def models_of(series: Iterable[Mapping[str, Any]], past: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the models to choose from."""
    labels = (each["labels"].get("model", "") for each in series)
    return sorted({*labels, *(each["model"] for each in past)} - {""})


def why_empty(store: Mapping[str, Any], model: str) -> str:
    """Say why a range has no requests, and what to do."""
    if not store["usage"]["tables"].get("request"):
        how = "Requests are recorded by the hook and by the proxy."
        if store["state"] == "off":
            return f"No requests recorded, and recording is off: turn it on in Settings. {how}"
        return f"No requests recorded yet. {how} A server that is only polled is shown on Models, not here."
    of = f" of {model}" if model else ""
    off = " Recording is off: new requests are not stored." if store["state"] == "off" else ""
    return f"No request{of} started in this range. Choose a longer one.{off}"


def outputs(view: RequestsView) -> tuple[Any, ...]:
    """Return the callback's outputs, in order."""
    drawn = figures(view.spread, view.colours)
    return (
        view.rows, *(json.dumps(drawn[name], separators=(",", ":")) for name in FIGURES), view.summary, view.none,
        view.foot, view.state, json.dumps(view.models),
    )  # fmt: skip
