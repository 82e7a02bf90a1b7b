"""Insights: notable changes of the last days, a health score, and what made requests slow."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui.insights import page as insights
from wfmon.ui.kit.panels import Group, Panel, page

dash.register_page(__name__, path="/insights", name="Insights", title="Insights · wfmon", order=30, icon="insights")

PANELS = (
    Panel("unusual", "Unusual now", insights.part(insights.UNUSUAL, 1), width=12, charted=False),
    Panel("findings", "Findings", insights.part(insights.FINDINGS, 3), width=8, charted=False),
    Panel("health", "Health", insights.part(insights.HEALTH, 3), width=4, charted=False),
    Panel("week", "The week at a glance", insights.part(insights.WEEK, 4), width=12, charted=False),
    Panel("budgets", "Budgets", insights.part(insights.BUDGETS, 3), width=6, charted=False),
    Panel("causes", "Why requests were slow", insights.part(insights.CAUSES, 3), width=6, charted=False),
)


def layout(**_query: str) -> Component:
    """Lay out the page; the callback fills it."""
    laid = page("insights", "Insights", Group(PANELS))
    laid.children.insert(1, insights.chooser())
    return laid
