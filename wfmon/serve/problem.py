"""Errors as ``application/problem+json`` (RFC 9457): what happened, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error response. ``cause`` is a short identifier, ``detail`` what happened, ``fix`` what the user can do.

    ``extra`` holds further members, such as the wrong field.
    """

    status: int
    cause: str
    detail: str
    fix: str
    headers: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        """The status in WSGI's form: ``403 Forbidden``."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def body(self) -> bytes:
        """Encode the problem details object."""
        return orjson.dumps(
            {
                "type": f"urn:wfmon:problem:{self.cause}",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "fix": self.fix,
                **self.extra,
            }
        )

    def response(self) -> Response:
        """Return the problem as a Flask response."""
        return Response(self.body(), self.status, headers=list(self.headers), content_type=CONTENT_TYPE)
