"""Building blocks of pages and callbacks, and access to the running monitor's services."""

from __future__ import annotations

from typing import cast

import flask

from wfmon.core.services import Services


def services() -> Services:
    """Return the running monitor's services. Only valid inside a request to its server."""
    return cast("Services", flask.current_app.extensions["wfmon"])
