"""Messages a client may send, as one strict table. An unknown type, field or value is refused with a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

MAX_MESSAGE_BYTES = 65_536
MAX_SELECTORS = 200
MAX_TABLES = 16

CODES = {
    "stopping": 1001,
    "binary": 1003,
    "malformed": 1007,
    "refused": 1008,
    "too_big": 1009,
    "failed": 1011,
    "stalled": 1013,
    "full": 1013,
    "version": 4400,
    "token": 4401,
    "no_hello": 4408,
    "too_fast": 4429,
}
"""Causes for closing a client, with their WebSocket close codes."""


class StreamClosed(Exception):
    """A client is closed. ``cause`` is a key of CODES; ``sentence`` says what happened and what to do."""

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.sentence = sentence

    @property
    def code(self) -> int:
        """The WebSocket close code."""
        return CODES[self.cause]


class ClientMessage(NamedTuple):
    """A valid message from a client. The fields of ``ux`` are checked by its collector instead."""

    kind: str
    fields: dict[str, Any]


Check = Callable[[Any], "str | None"]
"""Returns what is wrong with a value ("must be ..."), or None."""


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return None if is_number and low <= value <= high else f"must be a number from {low:g} to {high:g}"

    return check


def _whole(value: Any) -> str | None:  # noqa: ANN401
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53
    return None if is_whole else "must be a whole number of at least 0"


def _flag(value: Any) -> str | None:  # noqa: ANN401
    return None if isinstance(value, bool) else "must be true or false"


def _text(longest: int) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        is_text = isinstance(value, str) and len(value) <= longest
        return None if is_text else f"must be text of at most {longest} characters"

    return check


def _texts(most: int, longest: int, *, or_null: bool = False) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        if value is None and or_null:
            return None
        if isinstance(value, list) and len(value) <= most and not any(_text(longest)(each) for each in value):
            return None
        return f"must be {'null or ' if or_null else ''}a list of at most {most} texts of at most {longest} characters"

    return check


def _object(fields: dict[str, Check]) -> Check:
    def check(value: Any) -> str | None:  # noqa: ANN401
        if not isinstance(value, dict):
            return "must be an object"
        for name, each in value.items():
            wrong = fields[name](each) if name in fields else "is not a known field"
            if wrong:
                return f"has {name!r}, which {wrong}"
        return None

    return check


class _Form(NamedTuple):
    needed: dict[str, Check]
    optional: dict[str, Check]


_RATE = _number(0.2, 1_000)
_WATCH: dict[str, Check] = {
    "series": _texts(MAX_SELECTORS, 400, or_null=True),
    "tables": _texts(MAX_TABLES, 64),
}
_FORMS: dict[str, _Form] = {
    "hello": _Form(
        {"version": _whole},
        {"token": _text(256), "rate_hz": _RATE, "boot": _text(64), "since": _whole, "watch": _object(_WATCH)},
    ),
    "rate": _Form({"rate_hz": _RATE}, {}),
    "watch": _Form({}, _WATCH),
    "pause": _Form({"paused": _flag}, {}),
    "ping": _Form({"id": _whole, "client_ms": _number(-9e15, 9e15)}, {}),
}


def parse(data: str | bytes) -> ClientMessage:
    """Parse one message. Raises StreamClosed."""
    if isinstance(data, bytes):
        raise StreamClosed("binary", "Messages are JSON text, not binary.")
    if len(data) > MAX_MESSAGE_BYTES:
        raise StreamClosed("too_big", f"A message may have {MAX_MESSAGE_BYTES} bytes.")
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StreamClosed("malformed", f"This is not JSON: {error}.") from error
    if not isinstance(fields, dict) or not isinstance(kind := fields.pop("type", None), str):
        raise StreamClosed("refused", 'A message must be an object with its type under "type".')
    if kind == "ux":
        return ClientMessage(kind, fields)
    form = _FORMS.get(kind)
    if form is None:
        raise StreamClosed(
            "refused", f"There is no message of type {kind[:32]!r}; known are {', '.join([*_FORMS, 'ux'])}."
        )
    for name in form.needed:
        if name not in fields:
            raise StreamClosed("refused", f"{kind}: {name!r} is missing.")
    wrong = _object({**form.needed, **form.optional})(fields)
    if wrong:
        raise StreamClosed("refused", f"{kind} {wrong[:200]}.")
    return ClientMessage(kind, fields)
