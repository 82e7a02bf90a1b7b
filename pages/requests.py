"""Requests: every model request of a range, sortable and filterable, with its distributions."""

from __future__ import annotations

import dash
from dash import html
from dash.development.base_component import Component

from wfmon.ui.kit.panels import Group, page
from wfmon.ui.models import page as models
from wfmon.ui.requests import page as requests

dash.register_page(__name__, path="/requests", name="Requests", title="Requests · wfmon", order=20, icon="requests")


def layout(**_query: str) -> Component:
    """Lay out the page: the controls above the panels, and the same request dialog as on Models."""
    laid = page("requests", "Requests", Group(requests.panels()))
    laid.children.insert(1, requests.tools())
    laid.children.append(html.Div(models.request_dialog()))
    return laid
