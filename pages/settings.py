"""Settings: every setting and where its value comes from; what is recorded, how long it is kept, what is forgotten."""

from __future__ import annotations

import dash
from dash import dcc
from dash.development.base_component import Component

from wfmon.ui import services
from wfmon.ui.kit.panels import page
from wfmon.ui.settings import deletion, retention
from wfmon.ui.settings import page as settings
from wfmon.ui.settings.parts import CLIENT, FOCUS

dash.register_page(__name__, path="/settings", name="Settings", title="Settings · wfmon", order=90, icon="settings")


def layout(**_query: str) -> Component:
    """Lay out the page, as things stand now. What is wrong with the history stands above all."""
    data = settings.data_of(services())
    store = services().store
    more = (retention.panel(store.retention()), deletion.panel(data.store, store.deletion()))
    laid = page("settings", "Settings", *settings.groups(services().settings.table(), data, more))
    laid.children[1:1] = [settings.wrong_line(data), dcc.Store(id=CLIENT), dcc.Store(id=FOCUS)]
    return laid
