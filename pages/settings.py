"""Settings: every setting and the source of its value; recording, retention and deletion of data."""

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
    """Lay out the page with the current state. A problem with the history is shown first."""
    data = settings.data_of(services())
    store = services().store
    more = (retention.panel(store.retention()), deletion.panel(data.store, store.deletion()))
    laid = page("settings", "Settings", *settings.groups(services().settings.table(), data, more))
    laid.children[1:1] = [settings.wrong_line(data), dcc.Store(id=CLIENT), dcc.Store(id=FOCUS)]
    return laid
