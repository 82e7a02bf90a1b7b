"""Helpers that routes share: parsing bodies and parameters, encoding answers, common problems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import tzinfo
from itertools import islice
from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from wfmon.core.errors import Refused
from wfmon.core.zones import zone_of
from wfmon.serve.problem import Problem

PART = 1_000
"""Rows encoded at a time."""
_OFFSET = re.compile(r"-?[0-9]{1,5}")


def read_body() -> Any:  # noqa: ANN401
    """Parse a JSON body; orjson bounds its depth. Raises BadRequest, UnsupportedMediaType."""
    if not request.is_json:
        raise UnsupportedMediaType("The body must be JSON.")
    try:
        return orjson.loads(request.get_data(cache=False))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def as_json(value: Any, status: int = 200) -> Response:  # noqa: ANN401
    """Encode as JSON. Dataclasses become objects, NaN becomes null."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, content_type="application/json")


def as_json_parts(name: str, rows: Iterable[Any]) -> Response:
    """Encode {name: rows} in parts: many thousand rows are tens of megabytes as objects, a third of it as text.

    All rows are read before any is sent: a slow client does not hold the database, and no error truncates the answer.
    """
    rest, parts = iter(rows), []
    while part := list(islice(rest, PART)):
        parts.append(orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
    return Response(b"{%b:[%b]}" % (orjson.dumps(name), b",".join(parts)), content_type="application/json")


def bad(field: str, detail: str, fix: str) -> Response:
    """Return a 400 about a wrong parameter or member."""
    return Problem(400, "field", detail, fix, extra={"field": field}).response()


def read_switch(member: str) -> bool:
    """Parse a body with exactly one member, true or false. Raises Refused, BadRequest, UnsupportedMediaType."""
    body = read_body()
    if not isinstance(body, dict) or set(body) != {member} or not isinstance(body[member], bool):
        fix = f'Send {{"{member}": true}} or {{"{member}": false}}.'
        raise Refused(member, "The body does not say what to do.", fix)
    return bool(body[member])


def read_zone() -> tzinfo:
    """Parse the time zone of the query string. Raises Refused.

    ``zone=`` is an IANA name; ``offset=``, seconds east of UTC, is used if that is missing or unknown.
    """
    offset = request.args.get("offset")
    if offset is not None and not _OFFSET.fullmatch(offset):
        raise Refused("offset", f"offset= is {offset[:40]!r}.", "Give seconds east of UTC, such as 3600 or -18000.")
    return zone_of(request.args.get("zone", ""), None if offset is None else int(offset))


def read_span(begin: str = "from", end: str = "to") -> tuple[int, int]:
    """Parse the two ends of a time span from the query string, in UTC milliseconds. Raises Refused."""
    found = []
    for field in (begin, end):
        text = request.args.get(field, "")
        number = whole(text)
        if number < 0:
            raise Refused(field, f"{field}= is {text[:40]!r}.", "Give UTC milliseconds, such as 1767225600000.")
        found.append(number)
    return found[0], found[1]


def whole(text: str) -> int:
    """Parse a non-negative whole number; -1 if it is not one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else -1
