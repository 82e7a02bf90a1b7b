"""The one notice of the page: what a callback could not do, and what helps. Every error of a callback ends here."""

from __future__ import annotations

import logging

from dash import html, set_props
from dash.development.base_component import Component

from wfmon.core.errors import WfmonError

log = logging.getLogger(__name__)
NOTICE, TEXT, CLOSE = "notice", "notice-text", "notice-close"
UNFORESEEN = "The monitor met an error: what you asked for was not done. The log in the data folder has the details."


def notice() -> Component:
    """Make the place of the notice, hidden until there is one."""
    text = html.P(id=TEXT, role="alert")
    close = html.Button("Close", id=CLOSE, type="button", className="text")
    return html.Div([text, close], id=NOTICE, className="notice", hidden=True)


def on_error(error: Exception) -> None:
    """Show an error that a callback did not handle itself; its outputs stay as they are. Called within the callback."""
    if isinstance(error, WfmonError):
        words = error.sentences
    else:
        log.error("a callback failed", exc_info=error)
        words = UNFORESEEN
    set_props(TEXT, {"children": words})
    set_props(NOTICE, {"hidden": False})
