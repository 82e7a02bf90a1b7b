"""/api/v1 and /metrics: what the page shows, for scripts. All answers come from ``Services``."""

from __future__ import annotations

import logging
import math
import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from wfmon.analyse.child import Failed
from wfmon.analyse.query import Refused
from wfmon.core.settings import SettingsError
from wfmon.core.types import Asked
from wfmon.serve.problem import Problem
from wfmon.serve.routes import openmetrics
from wfmon.serve.routes.answers import as_json as _json
from wfmon.serve.routes.answers import as_json_parts as _json_parts
from wfmon.serve.routes.answers import bad as _bad
from wfmon.serve.routes.answers import not_kept as _not_kept
from wfmon.serve.routes.answers import read_body as _body
from wfmon.serve.routes.store import store_routes

if TYPE_CHECKING:
    from flask import Flask

    from wfmon.core.types import Services

log = logging.getLogger(__name__)

REQUESTS = 50
"""Requests that are listed where nothing else was asked for."""
MAX_REQUESTS = 2_000
POINTS = 1_000
PAST_REQUESTS, MAX_PAST_REQUESTS = 5_000, 50_000
_AGAINST = {"against_from", "against_to"}
_OFFSET = re.compile(r"-?[0-9]{1,5}")
_SPANS = "Give a number of seconds above 0, at most the seconds of the cache: 1, 10 and 300 are the usual ones."
_FIXES = {
    400: "Mend the request as the detail says.",
    404: "docs/api.md lists every route.",
    405: "Use a method that the Allow header names.",
    413: "Send less.",
    415: "Send Content-Type: application/json.",
}


def routes(services: Services) -> Blueprint:
    """Give the API's routes."""
    blueprint = Blueprint("api", __name__)

    @blueprint.get("/api/v1/health")
    def health() -> Response:
        return _json(services.health())

    @blueprint.get("/api/v1/series")
    def series() -> Response:
        return _json({"series": services.series()})

    @blueprint.get("/api/v1/latest")
    def latest() -> Response:
        return _json(services.latest())

    @blueprint.get("/api/v1/window")
    def window() -> Response:
        name, span = request.args.get("series", ""), request.args.get("window", "")
        if not name:
            return _bad("series", "No series was named.", 'Give series=, such as system.cpu_core_percent{core="0"}.')
        span_s = _seconds(span)
        longest = next(row["value"] for row in services.settings() if row["name"] == "window.cache_seconds")
        if not 0 < span_s <= longest:
            return _bad("window", f"The cache holds {longest} seconds, and window= is {span[:40]!r}.", _SPANS)
        try:
            return _json(services.window(name, span_s))
        except ValueError as error:
            return _bad("series", f"{error}.", 'Write it as /api/v1/series does: name, or name{label="value"}.')
        except KeyError:
            return Problem(
                404, "series", "No such series was seen since the start.", "GET /api/v1/series lists those that were.",
                extra={"field": "series"},
            ).response()  # fmt: skip

    @blueprint.get("/api/v1/windows")
    def windows() -> Response:
        try:
            return _json(services.windows(_seconds(request.args.get("window", ""))))
        except ValueError as error:
            return _bad("window", f"{error}.", "Give window=1, 10 or 300; /api/v1/window takes any span of one series.")

    @blueprint.get("/api/v1/settings")
    def settings() -> Response:
        return _json({"settings": services.settings()})

    @blueprint.get("/api/v1/collectors")
    def collectors() -> Response:
        return _json({"collectors": services.collectors()})

    @blueprint.post("/api/v1/collectors/<name>")
    def switch(name: str) -> Response:
        body = _body()
        if not isinstance(body, dict) or set(body) != {"enabled"} or not isinstance(body["enabled"], bool):
            return _bad("enabled", "The body does not say what to do.", 'Send {"enabled": true} or {"enabled": false}.')
        try:
            services.switch(name, body["enabled"])
        except KeyError:
            return Problem(
                404,
                "collector",
                "There is no such collector.",
                "GET /api/v1/collectors lists them.",
                extra={"field": "name"},
            ).response()
        except (SettingsError, OSError) as error:
            return _not_kept(error)
        return _json(next(status for status in services.collectors() if status.name == name))

    _model_routes(blueprint, services)
    _history_routes(blueprint, services)
    store_routes(blueprint, services)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(openmetrics.render(services.latest()["series"]), content_type=openmetrics.CONTENT_TYPE)

    @blueprint.route("/api/<path:rest>", methods=["GET", "POST"])
    def unknown(rest: str) -> Response:
        """Answer for Dash, whose own catch-all would give a page."""
        del rest
        others = {
            method for method in ("GET", "POST") if _endpoint(request.path, method) not in (None, request.endpoint)
        }
        raise MethodNotAllowed(sorted(others)) if others else NotFound("There is no such route.")

    return blueprint


def _model_routes(blueprint: Blueprint, services: Services) -> None:
    @blueprint.get("/api/v1/models")
    def models() -> Response:
        return _json({"models": services.models()})

    @blueprint.get("/api/v1/requests")
    def requests() -> Response:
        text = request.args.get("limit", str(REQUESTS))
        limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
        if not 1 <= limit <= MAX_REQUESTS:
            return _bad("limit", f"limit= is {text[:40]!r}.", f"Give a whole number from 1 to {MAX_REQUESTS}.")
        return _json({"requests": services.requests(limit)})

    @blueprint.get("/api/v1/requests/<name>")
    def one_request(name: str) -> Response:
        try:
            return _json(services.request(name))
        except KeyError:
            return Problem(
                404, "request", "No such request is kept: only the last ones are.",
                "GET /api/v1/requests lists those that are; collect.model.requests in config.yaml says how many.",
                extra={"field": "id"},
            ).response()  # fmt: skip

    @blueprint.get("/api/v1/servers")
    def servers() -> Response:
        return _json({"servers": services.servers()})

    @blueprint.get("/api/v1/proxy")
    def proxy() -> Response:
        return _json(services.proxy())

    @blueprint.get("/api/v1/demo")
    def demo() -> Response:
        return _json(services.demo(""))

    @blueprint.post("/api/v1/demo")
    def run_demo() -> Response:
        body = _body()
        if not isinstance(body, dict) or set(body) != {"running"} or not isinstance(body["running"], bool):
            return _bad("running", "The body does not say what to do.", 'Send {"running": true} or {"running": false}.')
        return _json(services.demo("start" if body["running"] else "stop"))


def _history_routes(blueprint: Blueprint, services: Services) -> None:
    @blueprint.get("/api/v1/history")
    def history() -> Response:
        return _json({"series": services.kept_series()})

    @blueprint.get("/api/v1/query")
    def query() -> Response:
        span = _span()
        if isinstance(span, Response):
            return span
        points = _whole(request.args.get("points", str(POINTS)))
        try:
            found = services.query(request.args.getlist("series"), *span, points, request.args.get("fn", "envelope"))
        except Refused as error:
            return _bad(error.field, str(error), error.fix)
        return _json(found)

    @blueprint.get("/api/v1/statistics")
    def statistics() -> Response:
        span = _span()
        if isinstance(span, Response):
            return span
        against = _span("against_from", "against_to") if _AGAINST & set(request.args) else None
        if isinstance(against, Response):
            return against
        offset = request.args.get("offset", "0")
        if not _OFFSET.fullmatch(offset):
            return _bad("offset", f"offset= is {offset[:40]!r}.", "Give seconds east of UTC, such as 3600 or -18000.")
        asked = Asked(request.args.get("series", ""), span, against, request.args.get("with", ""), int(offset))
        try:
            return _json(services.statistics(asked))
        except Refused as error:
            return _bad(error.field, str(error), error.fix)

    @blueprint.get("/api/v1/annotations")
    def annotations() -> Response:
        span = _span()
        return span if isinstance(span, Response) else _json({"annotations": services.annotations(*span)})

    @blueprint.get("/api/v1/anomalies")
    def anomalies() -> Response:
        told = services.unusual()
        if not request.args.keys() & {"from", "to"}:
            return _json(told)
        span = _span()
        return span if isinstance(span, Response) else _json({**told, "past": services.was_unusual(*span)})

    @blueprint.get("/api/v1/history/requests")
    def past_requests() -> Response:
        span = _span()
        if isinstance(span, Response):
            return span
        limit = _whole(request.args.get("limit", str(PAST_REQUESTS)))
        if not 1 <= limit <= MAX_PAST_REQUESTS:
            return _bad("limit", "limit= is no number of rows.", f"Give a whole number from 1 to {MAX_PAST_REQUESTS}.")
        return _json_parts("requests", services.past_requests(*span, limit, request.args.get("model", "")))

    @blueprint.get("/api/v1/insights")
    def insights() -> Response:
        days, offset = request.args.get("days", "7"), request.args.get("offset", "0")
        sign, digits = (-1, offset[1:]) if offset.startswith("-") else (1, offset)
        try:
            return _json(services.insights(_whole(days), sign * _whole(digits)))
        except ValueError:
            fix = "Give days= from 1 to 90, and offset= in seconds east of UTC, such as 3600 or -18000."
            return _bad("days", f"days= is {days[:40]!r}, offset= is {offset[:40]!r}.", fix)
        except Failed as error:
            return Problem(503, "analysis", str(error), "Try again; the log in the data folder tells more.").response()

    @blueprint.get("/api/v1/store")
    def store() -> Response:
        return _json(services.store())

    @blueprint.post("/api/v1/store")
    def record() -> Response:
        body = _body()
        if not isinstance(body, dict) or set(body) != {"recording"} or not isinstance(body["recording"], bool):
            return _bad("recording", "The body does not say what to do.", 'Send {"recording": true}, or false.')
        try:
            services.record(body["recording"])
        except (SettingsError, OSError) as error:
            return _not_kept(error)
        return _json(services.store())


def install_errors(server: Flask) -> None:
    """Have every error of the server leave as a problem: no stack trace, no HTML."""

    def known(error: HTTPException) -> Response:
        if error.response is not None or error.code is None or error.code < 400:
            return error.get_response()  # type: ignore[return-value]
        headers = tuple((name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After"))
        fix = _FIXES.get(error.code, "Try again; the log in the data folder tells more.")
        return Problem(error.code, "http", error.description or error.name, fix, headers).response()

    def unknown(error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return Problem(
            500, "error", "The monitor met an error while answering.", "The log in the data folder tells what happened."
        ).response()

    server.register_error_handler(HTTPException, known)
    server.register_error_handler(Exception, unknown)


def _span(begin: str = "from", end: str = "to") -> tuple[int, int] | Response:
    """Read the ends of a span, UTC milliseconds; give the problem where they are none."""
    found = []
    for field in (begin, end):
        text = request.args.get(field, "")
        number = _whole(text)
        if number < 0:
            return _bad(field, f"{field}= is {text[:40]!r}.", "Give UTC milliseconds, such as 1767225600000.")
        found.append(number)
    return found[0], found[1]


def _whole(text: str) -> int:
    """Read a whole number; -1 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else -1


def _seconds(text: str) -> float:
    """Read seconds; NaN, which fits no bounds, for what is none."""
    try:
        return float(text) if len(text) <= 20 else math.nan
    except ValueError:
        return math.nan


def _endpoint(path: str, method: str) -> str | None:
    """Give the endpoint that would answer, or None."""
    try:
        return str(current_app.url_map.bind("").match(path, method)[0])
    except HTTPException:
        return None
