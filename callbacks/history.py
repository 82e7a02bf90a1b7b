"""The History page: a view in, a figure out. What the browser does itself is in assets/history.mjs."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import orjson
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, no_update

from wfmon.core.clock import SystemClock
from wfmon.core.errors import WfmonError
from wfmon.core.zones import zone_of
from wfmon.ui import services
from wfmon.ui.history import controls, lookup
from wfmon.ui.history import markup as parts
from wfmon.ui.history.views import HistoryView
from wfmon.ui.kit import ids, ranges


def register(app: Dash) -> None:
    """Register the callbacks."""
    _clientside(app)

    @app.callback(
        Output(ids.HISTORY_DONE, "data"),
        Output(ids.HISTORY_MESSAGE, "children"),
        Output(ids.HISTORY_SPEC, "data"),
        Output(ids.HISTORY_ROWS, "children"),
        Output(ids.HISTORY_CHIPS, "children"),
        Output(ids.HISTORY_SAID, "children"),
        Output(ids.HISTORY_DETAIL, "children"),
        Output(ids.HISTORY_EVENTS, "children"),
        Input(ids.HISTORY_VIEW, "data"),
        State(ids.HISTORY_CLIENT, "data"),
        prevent_initial_call=True,
    )
    def draw(asked: dict[str, Any], client: dict[str, Any]) -> tuple[Any, ...]:
        return asked["n"], *_draw(HistoryView.read(asked["query"]), _zone(client), narrow=client["narrow"])

    @app.callback(
        Output(ids.HISTORY_LIST, "children"),
        Input(ids.HISTORY_FIND, "value"),
        Input(ids.HISTORY_AREA, "data"),
        Input(ids.HISTORY_SPEC, "data"),
        prevent_initial_call=True,
    )
    def found(text: str | None, area: str, spec: str | None) -> Any:  # noqa: ANN401  Dash's own form
        if not area:
            return no_update  # the chooser is closed
        chosen = orjson.loads(spec)["series"] if spec else ()
        return controls.found(services().history.series(), text or "", area, chosen)

    @app.callback(
        Output(ids.HISTORY_DOWNLOAD, "data"),
        Input(ids.HISTORY_CSV, "n_clicks"),
        State(ids.HISTORY_SPEC, "data"),
        State(ids.HISTORY_CLIENT, "data"),
        prevent_initial_call=True,
    )
    def download(_clicks: int, spec: str | None, client: dict[str, Any]) -> Any:  # noqa: ANN401  Dash's own form
        if not spec:
            return no_update
        view = HistoryView.read(orjson.loads(spec)["fixed"])
        zone = _zone(client)
        shown = lookup.load(services(), view, SystemClock().now_ms(), zone, narrow=client["narrow"])
        name = f"wfmon-{ranges.iso(shown.range.from_ms, zone)[:19].replace(':', '')}.csv"
        return dcc.send_string(lookup.csv_text(shown, zone), name, type="text/csv")


def _keep_figure(view: HistoryView) -> tuple[Any, ...]:
    """Return the outputs that keep the last figure and show the requested series as chips."""
    return no_update, no_update, parts.chips(view.series), no_update, no_update, no_update


def _zone(client: dict[str, Any]) -> tzinfo:
    return zone_of(client["zone"], 60 * client["east"])


def _draw(view: HistoryView, zone: tzinfo, *, narrow: bool) -> tuple[Any, ...]:
    """Return the message and the figure; without a new figure the last one stays."""
    now_ms = SystemClock().now_ms()
    try:
        shown = lookup.load(services(), view, now_ms, zone, narrow=narrow)
        store = services().store.status()
    except WfmonError as error:
        return parts.trouble(str(error), error.fix), *_keep_figure(view)
    picture = lookup.picture(shown, services().models, narrow=narrow)
    return (
        parts.message(shown, store, now_ms, zone),
        orjson.dumps(lookup.spec(picture, shown, view, now_ms)).decode(),
        parts.rows(picture, shown),
        parts.chips(shown.fixed.series, shown.missing, chosen=bool(view.series)),
        ranges.words(shown.range, zone),
        parts.detail(shown, zone),
        parts.events(shown.marks, zone),
    )


def _clientside(app: Dash) -> None:
    def clientside(name: str, *ends: Any, first: bool = False) -> None:  # noqa: ANN401  Dash's own inputs and outputs
        app.clientside_callback(ClientsideFunction("wfmon_history", name), *ends, prevent_initial_call=not first)

    clientside(
        "begin", Output(ids.HISTORY_CLIENT, "data"), Output(ids.HISTORY_VIEW, "data"), Input("page-history", "id"),
        first=True,
    )  # fmt: skip
    clientside("paint", Output(ids.HISTORY_GRAPH, "figure"), Input(ids.HISTORY_SPEC, "data"))
    clientside("done", Output(ids.HISTORY_MESSAGE, "title"), Input(ids.HISTORY_DONE, "data"))
    clientside("zoomed", Output("history-stack", "title"), Input(ids.HISTORY_GRAPH, "relayoutData"))
    clientside("saved", Output("history-views", "title"), Input(ids.HISTORY_SAVED, "data"), first=True)
