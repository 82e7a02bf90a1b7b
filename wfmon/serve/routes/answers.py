"""What routes share: reading a body, writing an answer, the problems that more than one of them meets."""

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
"""Rows that are encoded at once."""
_OFFSET = re.compile(r"-?[0-9]{1,5}")


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


def read_switch(member: str) -> bool:
    """Read a body that is one member, true or false. Raises Refused, BadRequest, UnsupportedMediaType."""
    body = read_body()
    if not isinstance(body, dict) or set(body) != {member} or not isinstance(body[member], bool):
        fix = f'Send {{"{member}": true}} or {{"{member}": false}}.'
        raise Refused(member, "The body does not say what to do.", fix)
    return bool(body[member])


def read_zone() -> tzinfo:
    """Read whose clock counts. Raises Refused.

    ``zone=`` is an IANA name; ``offset=``, seconds east of UTC, stands in without one, or where it is not known.
    """
    offset = request.args.get("offset")
    if offset is not None and not _OFFSET.fullmatch(offset):
        raise Refused("offset", f"offset= is {offset[:40]!r}.", "Give seconds east of UTC, such as 3600 or -18000.")
    return zone_of(request.args.get("zone", ""), None if offset is None else int(offset))


def read_span(begin: str = "from", end: str = "to") -> tuple[int, int]:
    """Read the ends of a span from the address, UTC milliseconds. Raises Refused."""
    found = []
    for field in (begin, end):
        text = request.args.get(field, "")
        number = whole(text)
        if number < 0:
            raise Refused(field, f"{field}= is {text[:40]!r}.", "Give UTC milliseconds, such as 1767225600000.")
        found.append(number)
    return found[0], found[1]


def whole(text: str) -> int:
    """Read a whole number; -1 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else -1
