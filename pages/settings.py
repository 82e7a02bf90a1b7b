"""Settings: every setting and where its value comes from; what is recorded, how much of it, and the switch."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui import services, settings
from wfmon.ui.panels import page

dash.register_page(__name__, path="/settings", name="Settings", title="Settings · wfmon", order=90, icon="settings")


def layout(**_query: str) -> Component:
    """Lay out the page, as things stand now. What is wrong with the history stands above all."""
    data = settings.data_of(services())
    laid = page("settings", "Settings", *settings.groups(services().settings(), data))
    laid.children.insert(1, settings.wrong_line(data))
    return laid
