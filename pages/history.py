"""History: any series over any range; compare, zoom, save, download."""

from __future__ import annotations

import dash
from dash import html
from dash.development.base_component import Component

from wfmon.ui.history import controls
from wfmon.ui.history import markup as parts

dash.register_page(__name__, path="/history", name="History", title="History · wfmon", order=10, icon="history")


def layout(**_query: str) -> Component:
    """Lay out the page. The address says what it shows; the browser reads it."""
    return html.Div(
        [html.H1("History", className="aside"), *parts.stores(), controls.controls(), parts.charts()],
        className="page history",
        key="history",
        id="page-history",
        **{"data-page": "history"},
    )
