"""What routes share: reading a body, writing an answer, the problems that more than one of them meets."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from wfmon.serve.problem import Problem

PART = 1_000
"""Rows that are encoded at once."""


def read_body() -> Any:  # noqa: ANN401
    """Read a JSON body; orjson bounds its depth. Raises BadRequest, UnsupportedMediaType."""
    if not request.is_json:
        raise UnsupportedMediaType("The body must be JSON.")
    try:
        return orjson.loads(request.get_data(cache=False))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is no JSON: {error}.") from None


def as_json(value: Any, status: int = 200) -> Response:  # noqa: ANN401
    """Encode; dataclasses become objects, and NaN becomes null."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, content_type="application/json")


def as_json_parts(name: str, rows: Iterable[Any]) -> Response:
    """Encode {name: rows}, some rows at a time: many thousands at once are tens of megabytes, as text a third of it.

    All are read before any is sent: a client that reads slowly must not hold the file, nor an error cut it off.
    """
    rest, parts = iter(rows), []
    while part := list(islice(rest, PART)):
        parts.append(orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
    return Response(b"{%b:[%b]}" % (orjson.dumps(name), b",".join(parts)), content_type="application/json")


def bad(field: str, detail: str, fix: str) -> Response:
    """Answer that a parameter or member is wrong."""
    return Problem(400, "field", detail, fix, extra={"field": field}).response()


def not_kept(error: Exception) -> Response:
    """Answer that a choice could not be written into the data folder."""
    return Problem(
        507, "storage", f"The choice could not be kept ({error}).", "Mend or free the data folder; then try again."
    ).response()
