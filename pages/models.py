"""Models: a card per model, the latest requests and why they were slow, and this machine's model servers."""

from __future__ import annotations

import dash
from dash import html
from dash.development.base_component import Component

from wfmon.ui.kit.panels import Group, Panel, page
from wfmon.ui.kit.parts import note, value
from wfmon.ui.models import page as models

dash.register_page(__name__, path="/models", name="Models", title="Models · wfmon", order=1, icon="models")

PANELS = (
    Panel("models", "Models", models.cards(), width=12),
    Panel(
        "requests",
        "Latest requests",
        models.requests(),
        width=12,
        foot=(note("the newest 50; prompt and answer text is never stored"),),
        charted=False,
    ),
    Panel(
        "servers",
        "Servers on this machine",
        models.servers(),
        width=12,
        now=value("servers.found", absent="–"),
        foot=(note("detected by their listening sockets; queried on loopback only, at most once a second"),),
        charted=False,
        collector="servers",
    ),
)


def layout(**_query: str) -> Component:
    """Lay out the page. The card's template and the dialog are outside the panels."""
    panels = page("models", "Models", Group(PANELS))
    panels.children += [models.template(), html.Div(models.request_dialog())]
    return panels
