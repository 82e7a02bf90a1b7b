"""Insights: the analysis of the last days, and values unusual for this hour of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from wfmon.serve.routes.answers import as_json, read_span, read_zone, whole

if TYPE_CHECKING:
    from wfmon.core.services import Insights


def insight_routes(insights: Insights) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("insights", __name__)

    @routes.get("/api/v1/insights")
    def report() -> Response:
        return as_json(insights.report(days=whole(request.args.get("days", "7")), zone=read_zone()))

    @routes.get("/api/v1/anomalies")
    def anomalies() -> Response:
        status = insights.unusual()
        if request.args.keys() & {"from", "to"}:
            from_ms, to_ms = read_span()
            status = {**status, "past": insights.past_unusual(from_ms=from_ms, to_ms=to_ms)}
        return as_json(status)

    return routes
