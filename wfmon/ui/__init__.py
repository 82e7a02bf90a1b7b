"""What pages and callbacks are made of: one panel for everything, and the services behind it."""

from __future__ import annotations

from typing import cast

import flask

from wfmon.core.services import Services


def services() -> Services:
    """Give what a running monitor offers; only inside a request of its server."""
    return cast("Services", flask.current_app.extensions["wfmon"])
