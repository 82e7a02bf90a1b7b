"""Live values and the monitor itself: health, collectors, series, values, windows, OpenMetrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from wfmon.serve.routes import openmetrics
from wfmon.serve.routes.answers import as_json, bad

if TYPE_CHECKING:
    from wfmon.core.services import Live, Settings

_SPANS = "Give seconds above 0 and within the cache, such as 1, 10 or 300."


def live_routes(live: Live, settings: Settings) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("live", __name__)

    @routes.get("/api/v1/health")
    def health() -> Response:
        return as_json(live.health())

    @routes.get("/api/v1/collectors")
    def collectors() -> Response:
        return as_json({"collectors": live.collectors()})

    @routes.get("/api/v1/series")
    def series() -> Response:
        return as_json({"series": live.series()})

    @routes.get("/api/v1/latest")
    def latest() -> Response:
        return as_json(live.latest())

    @routes.get("/api/v1/window")
    def window() -> Response:
        name, span = request.args.get("series", ""), request.args.get("window", "")
        if not name:
            return bad(
                "series",
                "The parameter series= is missing.",
                'Give series=, such as system.cpu_core_percent{core="0"}.',
            )
        span_s = _seconds(span)
        longest = next(row["value"] for row in settings.table() if row["name"] == "window.cache_seconds")
        if not 0 < span_s <= longest:
            return bad("window", f"The cache holds {longest} seconds, and window= is {span[:40]!r}.", _SPANS)
        return as_json(live.window(series=name, span_s=span_s))

    @routes.get("/api/v1/windows")
    def windows() -> Response:
        return as_json(live.windows(span_s=_seconds(request.args.get("window", ""))))

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(openmetrics.render(live.latest()["series"]), content_type=openmetrics.CONTENT_TYPE)

    return routes


def _seconds(text: str) -> float:
    """Parse seconds; NaN, which is within no bounds, if it is not a number."""
    try:
        return float(text) if len(text) <= 20 else math.nan
    except ValueError:
        return math.nan
