"""Models, their requests, the servers that run them, the proxy and the demo model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from wfmon.serve.routes.answers import as_json, bad, read_switch, whole

if TYPE_CHECKING:
    from wfmon.core.services import Models

REQUESTS = 50
"""Default number of requests listed."""
MAX_REQUESTS = 2_000


def model_routes(models: Models) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("models", __name__)

    @routes.get("/api/v1/models")
    def every_model() -> Response:
        return as_json({"models": models.models()})

    @routes.get("/api/v1/requests")
    def requests() -> Response:
        text = request.args.get("limit", str(REQUESTS))
        limit = whole(text)
        if not 1 <= limit <= MAX_REQUESTS:
            return bad("limit", f"limit= is {text[:40]!r}.", f"Give a whole number from 1 to {MAX_REQUESTS}.")
        return as_json({"requests": models.requests(limit=limit)})

    @routes.get("/api/v1/requests/<name>")
    def one_request(name: str) -> Response:
        return as_json(models.request(request_id=name))

    @routes.get("/api/v1/servers")
    def servers() -> Response:
        return as_json({"servers": models.servers()})

    @routes.get("/api/v1/proxy")
    def proxy() -> Response:
        return as_json(models.proxy())

    @routes.get("/api/v1/demo")
    def demo() -> Response:
        return as_json(models.demo())

    @routes.post("/api/v1/demo")
    def run_demo() -> Response:
        return as_json(models.demo(command="start" if read_switch("running") else "stop"))

    return routes
