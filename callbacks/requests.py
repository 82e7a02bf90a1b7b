"""The Requests page: the rows and figures of the selected range."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output

from wfmon.ui import services
from wfmon.ui.requests import page as requests
from wfmon.ui.requests import spread


def register(app: Dash) -> None:
    """Register the callbacks."""

    @app.callback(
        Output(requests.ROWS, "data"),
        *(Output(f"requests-{name}", "data-spread") for name in spread.FIGURES),
        Output(requests.SUMMARY, "children"),
        Output(requests.NONE, "children"),
        Output(requests.FOOT, "children"),
        Output(requests.HOST, "data-state"),
        Output(requests.HOST, "data-models"),
        Input(requests.SPAN, "data"),
        running=[(Output(requests.HOST, "data-busy"), "yes", "")],
        prevent_initial_call=True,
    )
    def show(span: dict[str, Any]) -> tuple[Any, ...]:
        return requests.outputs(requests.load(services(), span))

    app.clientside_callback(
        "JSON.parse", Output(requests.GRID, "rowData"), Input(requests.ROWS, "data"), prevent_initial_call=True
    )
