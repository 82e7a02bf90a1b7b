"""Where there is no page: says so, and leads back."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui.kit.panels import not_found

dash.register_page(__name__, title="No such page · wfmon")


def layout(**_query: str) -> Component:
    """Lay out the page."""
    return not_found()
