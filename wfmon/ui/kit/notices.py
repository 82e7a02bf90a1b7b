"""The page's notice: what a callback could not do, and how to fix it. Every unhandled callback error ends here."""

from __future__ import annotations

import logging

from dash import html, set_props
from dash.development.base_component import Component

from wfmon.core.errors import WfmonError

log = logging.getLogger(__name__)
NOTICE, TEXT, CLOSE = "notice", "notice-text", "notice-close"
UNFORESEEN = "Something went wrong, and the action was not completed. See the log in the data folder for details."


def notice() -> Component:
    """Make the element of the notice, hidden until it is needed."""
    text = html.P(id=TEXT, role="alert")
    close = html.Button("Close", id=CLOSE, type="button", className="text")
    return html.Div([text, close], id=NOTICE, className="notice", hidden=True)


def on_error(error: Exception) -> None:
    """Show an error that a callback did not handle; its outputs stay unchanged. Called within the callback."""
    if isinstance(error, WfmonError):
        words = error.sentences
    else:
        log.error("a callback failed", exc_info=error)
        words = UNFORESEEN
    set_props(TEXT, {"children": words})
    set_props(NOTICE, {"hidden": False})
