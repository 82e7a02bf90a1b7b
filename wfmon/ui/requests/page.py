"""The Requests page's parts: every request of a span in a grid, and what stands there without any.

What the browser does with them (choosing a span, the grid's columns, CSV, the timeline) is in
assets/lib/requests/past-requests.mjs; the grid's cells are written by assets/requests.js.
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
"""Rows that the page holds at most, the newest of the span."""
PART = 200
MOST_IN_MEMORY = 2_000
"""Requests that the monitor's memory holds at most: `collect.model.requests`."""
ROUNDED = (
    ("queue_ms", 3), ("load_ms", 3), ("prompt_ms", 3), ("ttft_ms", 3), ("duration_ms", 3), ("tokens_per_second", 3),
    ("time_per_output_token_ms", 4), ("entropy_bits", 4), ("energy", 4), ("joules", 3),
)  # fmt: skip
"""Digits that go to the browser: a float of 17 makes the answer half as large again."""


@dataclass(frozen=True, slots=True)
class GridColumn:
    """A column of the grid. ``digits`` None: text; else a figure in the title's unit, with so many below 100.

    ``shown``: from the start. ``optional`` is not shown from the start where the page is narrow.
    """

    name: str
    title: str
    help: str
    width: int
    digits: int | None = None
    shown: bool = True
    optional: bool = True


COLUMNS = (
    GridColumn("started_ms", "Start", "When the request came, in this browser's zone", 154, optional=False),
    GridColumn("model", "Model", "What was asked", 120, optional=False),
    GridColumn("status", "Status", "How it ended", 72),
    GridColumn("prompt_tokens", "Prompt, tokens", "Tokens that were asked", 66, 0),
    GridColumn("output_tokens", "Output, tokens", "Tokens that were answered", 66, 0),
    GridColumn("queue_ms", "Queue, ms", "Time in the server's queue", 64, 1),
    GridColumn("load_ms", "Load, ms", "Time in which the model was loaded", 64, 1),
    GridColumn("prompt_ms", "Prompt, ms", "Time in which the prompt was read", 66, 1, shown=False),
    GridColumn("ttft_ms", "First token, ms", "From the start to the first token", 72, 1, optional=False),
    GridColumn("duration_ms", "Duration, ms", "From the start to the end", 76, 1),
    GridColumn("tokens_per_second", "Tokens/s", "Output tokens a second", 70, 1, optional=False),
    GridColumn("time_per_output_token_ms", "Per token, ms", "Mean time of an output token", 72, 1, shown=False),
    GridColumn("entropy_bits", "Entropy, bits", "Mean entropy of the answer's tokens", 68, 2),
    GridColumn("energy", "Energy, 0 to 1", "Mean of the index of speed, certainty and steadiness", 66, 2),
    GridColumn("joules", "Electricity, J", "Of all graphics cards, while it ran", 84, 1, shown=False),
    GridColumn("stalled_ms", "Stalled, ms", "Time in which no token came, all stalls together", 72, 1, shown=False),
    GridColumn("why", "Why slow", "At most two causes, the costliest first", 170),
    GridColumn("server", "Server", "Who answered", 128),
    GridColumn("via", "Seen by", "By whom it was seen: hook or proxy", 72),
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
    """Make the grid, empty. Its filters and columns are kept in this browser."""
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
    """Make the row of controls: the span, the model, columns, CSV. It is the page's widget."""
    presets = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d"))
    segments = [
        html.Button(
            words, type="button", **{"data-span": name, "aria-pressed": "false", "aria-label": f"The last {words}"}
        )
        for name, words in presets
    ]
    # Dash has neither a plain input nor the attribute popover: the widget makes them.
    ends = [html.Label([words, html.Span(**{"data-end": name})]) for name, words in (("from", "From"), ("to", "To"))]
    model = html.Label(["Model", html.Select([html.Option("all", value="")], **{"data-model-choice": ""})])
    buttons = [
        html.Button(
            words, type="button", className="text", title=title,
            **{"data-requests-do": name, "aria-label": title, **more},
        )
        for name, words, title, more in (
            ("again", "Refresh", "Refresh: look again, with what came since", {}),
            ("columns", "Columns", "Columns: choose those that are shown",
             {"aria-haspopup": "true", "aria-expanded": "false"}),
            ("csv", "CSV", "CSV: save the rows that are shown", {}),
        )
    ]  # fmt: skip
    chooser = html.Fieldset(
        [
            html.Legend("Columns"),
            html.Div(className="choices"),
            html.Button(
                "As at first", type="button", className="text",
                **{"data-requests-do": "reset", "aria-label": "Columns as at first"},
            ),
        ],
        id="requests-columns",
    )  # fmt: skip
    return html.Div(
        [
            html.Div(segments, className="segments", role="group", **{"aria-label": "Span"}),
            *ends,
            model,
            html.Div([*buttons, chooser], className="doing"),
            dcc.Store(id=SPAN),
            dcc.Store(id=ROWS),
        ],
        id=HOST,
        className="request-tools",
        role="search",
        **{"data-widget": "past-requests", "aria-label": "Which requests", "data-state": "", "data-busy": "",
           "data-models": "[]", "data-optional": " ".join(each.name for each in COLUMNS if each.optional)},
    )  # fmt: skip


def panels() -> tuple[Panel, ...]:
    """Make the page's panels: three figures, and the grid."""
    titles = {
        "ttft": "First token by prompt",
        "rate": "Tokens a second by model",
        "entropy": "Mean entropy",
    }
    feet = {
        "ttft": "a dot a request; both axes are logarithmic",
        "rate": "box: the middle half, line: the median; ends: p5 and p95",
        "entropy": "requests by the mean entropy of their answer",
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
                note("a click, or Enter on a row, opens its timeline; prompts and answers are never kept"),
                html.Span(id=FOOT),
            ),
            charted=False,
        ),
    )


def _filtered() -> Component:
    """Make what says that the grid's filters leave rows out, and takes them away; the widget writes and shows it."""
    clear = html.Button(
        "Show all", type="button", className="text", **{"data-requests-do": "clear", "aria-label": "Clear the filters"}
    )
    return html.Span([html.Span(), clear], hidden=True, **{"data-filtered": ""})


# --- what stands in them


@dataclass(frozen=True, slots=True)
class RequestsView:
    """What the page shows of a span. ``state``: ready, empty, error; ``none``: what stands in the grid's place.

    ``rows``: those of the grid, as JSON. ``spread``: of each what the figures need.
    """

    state: Literal["ready", "empty", "error"]
    models: list[str]
    summary: str
    none: str = ""
    foot: str = ""
    rows: str = "[]"
    spread: Sequence[Row] = ()
    colours: Mapping[str, int] = field(default_factory=dict)


def look(services: Services, span: Mapping[str, Any]) -> RequestsView:
    """Give what is kept of ``span``: {from_ms, to_ms, model}. What it cannot be read from is said, never raised."""
    from_ms, to_ms, model = int(span["from_ms"]), int(span["to_ms"]), str(span.get("model") or "")
    if from_ms >= to_ms:
        return RequestsView("empty", [], "", "The span ends before it begins: choose a later end.")
    try:
        in_memory = {each["id"] for each in services.models.requests(limit=MOST_IN_MEMORY)}
        past = iter(services.history.requests(from_ms=from_ms, to_ms=to_ms, limit=MOST_ROWS + 1, model=model))
        parts: list[str] = []
        spread: list[Row] = []
        slow = 0
        # A part at a time: all rows at once are ten megabytes, here and once more in Dash's encoder.
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
        return RequestsView("empty", models, "", nothing(store, model))
    summary = (
        f"{len(spread):,}{' newest' if more else ''} {'request' if len(spread) == 1 else 'requests'}, {slow:,} slow"
    )
    foot = f"the span holds more than {MOST_ROWS:,}: the older ones are not shown" if more else ""
    return RequestsView(
        "ready", models, summary, foot=foot, rows=f"[{','.join(parts)}]", spread=spread, colours=colours
    )


def finished(row: Row, in_memory: set[str]) -> Row:
    """Make a row of the grid of a request of the past, itself, and give it.

    It gets why it was slow in words, how long it stalled, and whether the times of its tokens are in memory.
    """
    row["why"] = why(row)
    row["stalled_ms"] = sum(length for _, length in row["stalls"]) if row["stalls"] else None
    row["in_memory"] = row["id"] in in_memory
    for name, digits in ROUNDED:
        if row[name] is not None:
            row[name] = round(row[name], digits)
    return row


def why(request: Mapping[str, Any]) -> str:
    """Say why a request was slow, in its causes' words."""
    told = ", ".join(cause["text"] for cause in request["causes"])
    return told or (CAUSE_NOT_KNOWN if request["slow"] else "")


def models_of(series: Iterable[Mapping[str, Any]], past: Iterable[Mapping[str, Any]]) -> list[str]:
    """Give the models among which one may choose."""
    labels = (each["labels"].get("model", "") for each in series)
    return sorted({*labels, *(each["model"] for each in past)} - {""})


def nothing(store: Mapping[str, Any], model: str) -> str:
    """Say why there is no request in a span, and what to do."""
    if not store["usage"]["tables"].get("request"):
        how = "Requests are seen by the hook and by the proxy, and kept from then on."
        if store["state"] == "off":
            return f"No request was ever kept, and recording is off: switch it on under Settings. {how}"
        return f"No request was kept yet. {how} A server that is only read shows its figures on Models, and none here."
    of = f" of {model}" if model else ""
    off = " Recording is off: new ones are not kept." if store["state"] == "off" else ""
    return f"No request{of} began in this span. Choose a longer one.{off}"


def told(view: RequestsView) -> tuple[Any, ...]:
    """Give what the callback writes, in the order of its outputs."""
    drawn = figures(view.spread, view.colours)
    return (
        view.rows, *(json.dumps(drawn[name], separators=(",", ":")) for name in FIGURES), view.summary, view.none,
        view.foot, view.state, json.dumps(view.models),
    )  # fmt: skip
