"""The API's routes, one file per topic. Each parses its request, calls one service and encodes the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from wfmon.serve.routes.errors import install_errors
from wfmon.serve.routes.history import history_routes
from wfmon.serve.routes.insights import insight_routes
from wfmon.serve.routes.live import live_routes
from wfmon.serve.routes.models import model_routes
from wfmon.serve.routes.settings import settings_routes
from wfmon.serve.routes.store import store_routes

if TYPE_CHECKING:
    from flask import Flask

    from wfmon.core.services import Services


def install_routes(server: Flask, services: Services) -> None:
    """Add the API's routes, and turn every error of the server into problem details."""
    for routes in (
        live_routes(services.live, services.settings),
        model_routes(services.models),
        history_routes(services.history),
        insight_routes(services.insights),
        store_routes(services.store),
        settings_routes(services.settings, services.live),
        _unknown_routes(),
    ):
        server.register_blueprint(routes)
    install_errors(server)


def _unknown_routes() -> Blueprint:
    """Return the catch-all for /api/: Dash's own would answer with a page."""
    routes = Blueprint("api", __name__)

    @routes.route("/api/<path:rest>", methods=["GET", "POST"])
    def unknown(rest: str) -> Response:
        del rest
        others = {
            method for method in ("GET", "POST") if _endpoint(request.path, method) not in (None, request.endpoint)
        }
        raise MethodNotAllowed(sorted(others)) if others else NotFound("There is no such route.")

    return routes


def _endpoint(path: str, method: str) -> str | None:
    """Return the endpoint that would handle the request, or None."""
    try:
        return str(current_app.url_map.bind("").match(path, method)[0])
    except HTTPException:
        return None
