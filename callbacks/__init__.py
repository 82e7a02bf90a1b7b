"""What the pages do: each file mirrors one page, inputs in, one call into wfmon, a component out."""

from __future__ import annotations

from dash import Dash

from callbacks import models, shell, system


def register(app: Dash) -> None:
    """Connect the callbacks of every page."""
    for module in (shell, system, models):
        module.register(app)
