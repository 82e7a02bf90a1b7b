"""Recorded history: series, queries, statistics, annotations, requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from wfmon.core.services import StatisticsQuery
from wfmon.serve.routes.answers import as_json, as_json_parts, bad, read_span, read_zone, whole

if TYPE_CHECKING:
    from wfmon.core.services import History

POINTS = 1_000
REQUESTS, MAX_REQUESTS = 5_000, 50_000
_AGAINST = {"against_from", "against_to"}


def history_routes(history: History) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("history", __name__)

    @routes.get("/api/v1/history")
    def series() -> Response:
        return as_json({"series": history.series()})

    @routes.get("/api/v1/query")
    def query() -> Response:
        from_ms, to_ms = read_span()
        return as_json(
            history.query(
                series=request.args.getlist("series"), from_ms=from_ms, to_ms=to_ms,
                points=whole(request.args.get("points", str(POINTS))), fn=request.args.get("fn", "envelope"),
            )
        )  # fmt: skip

    @routes.get("/api/v1/statistics")
    def statistics() -> Response:
        span = read_span()
        against = read_span("against_from", "against_to") if _AGAINST & set(request.args) else None
        other = request.args.get("with", "")
        asked = StatisticsQuery(request.args.get("series", ""), span, against, other, read_zone())
        return as_json(history.statistics(query=asked))

    @routes.get("/api/v1/annotations")
    def annotations() -> Response:
        from_ms, to_ms = read_span()
        return as_json({"annotations": history.annotations(from_ms=from_ms, to_ms=to_ms)})

    @routes.get("/api/v1/history/requests")
    def requests() -> Response:
        from_ms, to_ms = read_span()
        limit = whole(request.args.get("limit", str(REQUESTS)))
        if not 1 <= limit <= MAX_REQUESTS:
            return bad("limit", "limit= is not a number of rows.", f"Give a whole number from 1 to {MAX_REQUESTS}.")
        model = request.args.get("model", "")
        rows = history.requests(from_ms=from_ms, to_ms=to_ms, limit=limit, model=model)
        return as_json_parts("requests", rows)

    return routes
