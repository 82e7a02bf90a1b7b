"""The one place where errors become responses: each class of ``core.errors`` has a status and a cause."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import Response, request
from werkzeug.exceptions import HTTPException

from wfmon.core.errors import Busy, Failed, NotSaved, Refused, Unknown, Unreadable, WfmonError
from wfmon.serve.problem import Problem

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

_KINDS: tuple[tuple[type[WfmonError], int, str], ...] = (
    (Unknown, 404, "unknown"),
    (Refused, 400, "field"),
    (Busy, 409, "busy"),
    (Unreadable, 503, "store"),
    (NotSaved, 507, "storage"),
    (Failed, 503, "analysis"),
)
"""The first class that matches decides status and cause; for Unknown, ``what`` is the cause."""
_LOG = "The log in the data folder has the details."
_FIXES = {
    400: "Correct the request as the detail says.",
    404: "docs/api.md lists every route.",
    405: "Use a method that the Allow header names.",
    413: "Send less.",
    415: "Send Content-Type: application/json.",
}


def problem_of(error: WfmonError) -> Problem:
    """Return the problem details of an error."""
    status, cause = next((status, cause) for kind, status, cause in _KINDS if isinstance(error, kind))
    if isinstance(error, Unknown):
        cause = error.what
    extra = {"field": error.field} if isinstance(error, Refused) else {}
    return Problem(status, cause, str(error), error.fix or f"Try again. {_LOG}", extra=extra)


def install_errors(server: Flask) -> None:
    """Turn every error of the server into problem details: no stack trace, no HTML."""

    def of_wfmon(error: WfmonError) -> Response:
        return problem_of(error).response()

    def of_http(error: HTTPException) -> Response:
        if error.response is not None or error.code is None or error.code < 400:
            return error.get_response()  # type: ignore[return-value]
        headers = tuple((name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After"))
        fix = _FIXES.get(error.code, f"Try again. {_LOG}")
        return Problem(error.code, "http", error.description or error.name, fix, headers).response()

    def unforeseen(error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return Problem(500, "error", "The monitor met an error while answering.", _LOG).response()

    server.register_error_handler(WfmonError, of_wfmon)
    server.register_error_handler(HTTPException, of_http)
    server.register_error_handler(Exception, unforeseen)
