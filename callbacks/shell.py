"""The frame: tell the engine which page Dash has just laid out."""

from __future__ import annotations

from dash import Dash, Input, Output

from wfmon.ui.kit import ids

MOUNT = (
    "function () { if (window.wfmon) window.wfmon.mount(location.pathname); return window.dash_clientside.no_update; }"
)


def register(app: Dash) -> None:
    """Connect."""
    app.clientside_callback(MOUNT, Output(ids.MAIN, "title"), Input(ids.PAGES_CONTENT, "children"))
