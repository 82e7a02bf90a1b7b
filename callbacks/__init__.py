"""The callbacks: each file mirrors one page. Inputs in, one call into wfmon, a component out."""

from __future__ import annotations

from dash import Dash

from callbacks import history, insights, models, requests, settings, shell, system


def register(app: Dash) -> None:
    """Connect the callbacks of every page."""
    for module in (shell, system, models, history, requests, insights, settings):
        module.register(app)
