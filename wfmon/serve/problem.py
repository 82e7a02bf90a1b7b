"""Refusals and errors as ``application/problem+json`` (RFC 9457): what happened, and what to do about it."""

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
    """One thing that went wrong. ``cause`` is a short name for counting, ``fix`` the sentence that helps.

    ``extra`` are further members, such as the field that was wrong.
    """

    status: int
    cause: str
    detail: str
    fix: str
    headers: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        """Give the status as WSGI wants it: ``403 Forbidden``."""
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
        """Give the problem as a Flask response."""
        return Response(self.body(), self.status, headers=list(self.headers), content_type=CONTENT_TYPE)
