"""The frame: mount the page that Dash has just laid out, and close the notice."""

from __future__ import annotations

from dash import Dash, Input, Output

from wfmon.ui.kit import ids, notices

MOUNT = (
    "function () { if (window.wfmon) window.wfmon.mount(location.pathname); return window.dash_clientside.no_update; }"
)
CLOSED = "function () { return true; }"


def register(app: Dash) -> None:
    """Register the callbacks. Opening another page closes the notice, too."""
    app.clientside_callback(MOUNT, Output(ids.MAIN, "title"), Input(ids.PAGES_CONTENT, "children"))
    app.clientside_callback(
        CLOSED,
        Output(notices.NOTICE, "hidden"),
        Input(notices.CLOSE, "n_clicks"),
        Input(ids.PAGES_CONTENT, "children"),
        prevent_initial_call=True,
    )
