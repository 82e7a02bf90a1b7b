"""The page for an unknown address, with a link back."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui.kit.panels import not_found

dash.register_page(__name__, title="Page not found · wfmon")


def layout(**_query: str) -> Component:
    """Lay out the page."""
    return not_found()
