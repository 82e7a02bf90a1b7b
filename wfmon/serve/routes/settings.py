"""Settings, and switching collectors on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response

from wfmon.serve.routes.answers import as_json, read_switch

if TYPE_CHECKING:
    from wfmon.core.services import Live, Settings


def settings_routes(settings: Settings, live: Live) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("settings", __name__)

    @routes.get("/api/v1/settings")
    def table() -> Response:
        return as_json({"settings": settings.table()})

    @routes.post("/api/v1/collectors/<name>")
    def switch(name: str) -> Response:
        settings.switch_collector(name=name, enabled=read_switch("enabled"))
        return as_json(next(status for status in live.collectors() if status.name == name))

    return routes
