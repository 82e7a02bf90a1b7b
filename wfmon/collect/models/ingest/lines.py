"""The line format: parses one JSON line into one validated value. Pure; as in hook.schema.json and docs/ingest.md.

Each kind of line has a table of its fields, and a line with any other field is rejected, so no text of a prompt or an
answer can enter. A rejected value is never quoted, neither here nor in the answer to the client.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from wfmon.collect.models.ingest.events import End, Event, EventSource, Phase, Prompt, Start, Tokens
from wfmon.collect.text import NAME_CHARS, clean

VERSION = 1
MAX_LABEL_CHARS = 120
MAX_CHUNKS = 4_096
MAX_TOP = 100
MAX_T_US = 2**53 - 1
MAX_TOKENS = 1_000_000_000
MAX_CHUNK_TOKENS = 100_000
MAX_VOCABULARY = 10_000_000
MAX_MS = 86_400_000
MAX_BITS = 64
LEAST_LOG = -1e5
"""The lowest valid log-probability; some runtimes send -9999 for 'impossible'."""
ROUNDING = 1e-3
"""Rounding tolerance of a sum of probabilities, or of a bound."""

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_REQUEST = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_VOCAB = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
_REASON = re.compile(r"[a-z0-9_]{1,32}")
_RUNTIME = re.compile(r"[A-Za-z0-9_.+ -]{0,64}")
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]{1,100}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_FIELD_NAME = re.compile(r"[a-z_]{1,24}")

_PHASES = ("queued", "loading", "prompt", "decode")
_STATUSES = ("ok", "aborted", "error")
_VIAS = ("hook", "proxy")

FIELDS: dict[str, frozenset[str]] = {
    "source": frozenset({"e", "v", "id", "via", "name", "runtime", "pid", "server"}),
    "beat": frozenset({"e", "t", "lost"}),
    "start": frozenset(
        {"e", "r", "t", "model", "server", "prompt_tokens", "vocab", "vocab_size", "again"}
    ),
    "phase": frozenset({"e", "r", "t", "name"}),
    "prompt": frozenset({"e", "r", "t", "tokens", "cached"}),
    "tokens": frozenset({"e", "r", "t", "n", "entropy", "low", "high", "k", "top", "hash"}),
    "end": frozenset(
        {"e", "r", "t", "status", "reason", "prompt_tokens", "cached_tokens", "output_tokens", "queue_ms", "load_ms",
         "prompt_ms", "decode_ms"}
    ),
}  # fmt: skip
"""The fields that each kind of line may have."""


class BadLine(ValueError):
    """An invalid line: the field, and what it must be. Never quotes the value."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class Beat(NamedTuple):
    """The sender's clock when it sent the line, and the number of events it has dropped so far."""

    t_us: int
    lost: int


def label(text: str) -> str:
    """Return an untrusted name fit for a label: printable, at most 120 characters, never empty."""
    text = text.strip()[:MAX_LABEL_CHARS]
    return "".join(clean(text[at : at + NAME_CHARS]) for at in range(0, len(text), NAME_CHARS)) or "unnamed"


def parse(line: bytes) -> dict[str, Any]:
    """Return the fields of a line, all of them known. Raises BadLine."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        # From None: the JSON error contains the line.
        raise BadLine("line", "must be one JSON object without NaN or Infinity, ended by a line feed") from None
    if type(fields) is not dict:
        raise BadLine("line", "must be an object: {...}")
    kind = fields.get("e")
    known = FIELDS.get(kind) if type(kind) is str else None
    if known is None:
        raise BadLine("e", f"must be one of {', '.join(FIELDS)}")
    if not fields.keys() <= known:
        name = next(name for name in fields if name not in known)
        shown = name if _FIELD_NAME.fullmatch(name) else "(unnamed)"
        raise BadLine(shown, f"is not a field of {kind}: leave it out; text is never accepted")
    return fields


def source(fields: dict[str, Any]) -> EventSource:
    """Parse a source line. Raises BadLine."""
    if fields.get("e") != "source":
        raise BadLine("e", "the first line must be source: it identifies the sender")
    if fields.get("v") != VERSION or type(fields["v"]) is not int:
        raise BadLine("v", f"must be {VERSION}, the version of the format that this monitor reads")
    if fields.get("via") not in _VIAS:
        raise BadLine("via", "must be hook or proxy")
    return EventSource(
        _matching(fields, "id", _ID, "must be 8 to 64 of A-Z a-z 0-9 _ -, random for each process"),
        fields["via"],
        _name(fields, "name"),
        _optional_text(fields, "runtime", _RUNTIME, "must be at most 64 of A-Z a-z 0-9 _ . + - and space"),
        _whole(fields, "pid", 0, 2**31 - 1),
        _server(fields),
    )


def beat(fields: dict[str, Any]) -> Beat:
    """Parse a beat line. Raises BadLine."""
    return Beat(_whole(fields, "t", 0, MAX_T_US), 0 if "lost" not in fields else _whole(fields, "lost", 0, MAX_T_US))


def event(who: EventSource, fields: dict[str, Any]) -> Event:
    """Parse any other line of a source. Raises BadLine."""
    reader = _READERS.get(fields["e"])
    if reader is None:
        raise BadLine("e", "source is allowed in the first line only")
    request = fields.get("r")
    if type(request) is not str or not _REQUEST.fullmatch(request):
        raise BadLine("r", "must be 1 to 64 of A-Z a-z 0-9 _ . : -, one for each request")
    return reader(who, request, fields)


def _start(who: EventSource, request: str, fields: dict[str, Any]) -> Start:
    again = fields.get("again")
    if again is not None and type(again) is not bool:
        raise BadLine("again", "must be true or false")
    return Start(
        who,
        request,
        _whole(fields, "t", 0, MAX_T_US),
        _name(fields, "model"),
        _server(fields),
        _count(fields, "prompt_tokens"),
        _optional_text(fields, "vocab", _VOCAB, "must be at most 64 of A-Z a-z 0-9 _ . : -"),
        _optional_whole(fields, "vocab_size", 2, MAX_VOCABULARY),
        bool(again),
    )


def _phase(who: EventSource, request: str, fields: dict[str, Any]) -> Phase:
    if fields.get("name") not in _PHASES:
        raise BadLine("name", f"must be one of {', '.join(_PHASES)}")
    return Phase(who, request, _whole(fields, "t", 0, MAX_T_US), fields["name"])


def _prompt(who: EventSource, request: str, fields: dict[str, Any]) -> Prompt:
    tokens = _whole(fields, "tokens", 0, MAX_TOKENS)
    cached = _count(fields, "cached")
    if cached is not None and cached > tokens:
        raise BadLine("cached", "must not be more than tokens")
    return Prompt(who, request, _whole(fields, "t", 0, MAX_T_US), tokens, cached)


def _end(who: EventSource, request: str, fields: dict[str, Any]) -> End:
    if fields.get("status") not in _STATUSES:
        raise BadLine("status", f"must be one of {', '.join(_STATUSES)}")
    return End(
        who,
        request,
        _whole(fields, "t", 0, MAX_T_US),
        fields["status"],
        _optional_text(fields, "reason", _REASON, "must be one word: 1 to 32 of a-z 0-9 _"),
        _count(fields, "prompt_tokens"),
        _count(fields, "cached_tokens"),
        _count(fields, "output_tokens"),
        _ms(fields, "queue_ms"),
        _ms(fields, "load_ms"),
        _ms(fields, "prompt_ms"),
        _ms(fields, "decode_ms"),
    )


def _tokens(who: EventSource, request: str, fields: dict[str, Any]) -> Tokens:
    times = fields.get("t")
    if type(times) is not list or not 0 < len(times) <= MAX_CHUNKS:
        raise BadLine("t", f"must be a list of 1 to {MAX_CHUNKS} whole microseconds, one per chunk")
    last = 0
    for each in times:
        if type(each) is not int or not last <= each <= MAX_T_US:
            raise BadLine("t", "must be non-decreasing whole microseconds of your monotonic clock")
        last = each
    many = len(times)
    if len(fields) == 3:  # e, r, t: the most frequent line
        return Tokens(who, request, tuple(times), (1,) * many)
    counts = _column(fields, "n", many)
    if counts is None:
        counts = (1,) * many
    else:
        for each in counts:
            if type(each) is not int or not 0 <= each <= MAX_CHUNK_TOKENS:
                raise BadLine("n", f"must be whole numbers from 0 to {MAX_CHUNK_TOKENS}, one per chunk")
    entropy, low, high = (_bits(fields, name, many) for name in ("entropy", "low", "high"))
    if low is not None and high is not None:
        for least, most in zip(low, high, strict=True):
            if least is not None and most is not None and least > most + ROUNDING:
                raise BadLine("low", "must not be more than high")
    sizes = _column(fields, "k", many)
    for each in sizes or ():
        if each is not None and (type(each) is not int or not 1 <= each <= MAX_VOCABULARY):
            raise BadLine("k", f"must be whole numbers from 1 to {MAX_VOCABULARY} or null, one per chunk")
    tops = _tops(fields, many)
    return Tokens(who, request, tuple(times), counts, entropy, low, high, sizes, tops, _hashes(fields, many, tops))


def _column(fields: dict[str, Any], name: str, many: int) -> tuple[Any, ...] | None:
    values = fields.get(name)
    if values is None:
        return None
    if type(values) is not list or len(values) != many:
        raise BadLine(name, "must be a list with one entry for each entry of t")
    return tuple(values)


def _bits(fields: dict[str, Any], name: str, many: int) -> tuple[float | None, ...] | None:
    values = _column(fields, name, many)
    for each in values or ():
        if each is not None and (type(each) not in _NUMBERS or not -ROUNDING <= each <= MAX_BITS):
            raise BadLine(name, f"must be bits from 0 to {MAX_BITS} or null, one per chunk")
    return values


def _tops(fields: dict[str, Any], many: int) -> tuple[array[float] | None, ...] | None:
    values = _column(fields, "top", many)
    if values is None:
        return None
    found: list[array[float] | None] = []
    for each in values:
        if each is None:
            found.append(None)
            continue
        if type(each) is not list or not 0 < len(each) <= MAX_TOP:
            raise BadLine("top", f"must be lists of 1 to {MAX_TOP} natural log-probabilities, or null")
        last = ROUNDING
        for one in each:
            if type(one) not in _NUMBERS or not LEAST_LOG <= one <= last:
                raise BadLine("top", "must be natural log-probabilities: finite, at most 0, in descending order")
            last = one
        if sum(map(math.exp, each)) > 1 + MAX_TOP * ROUNDING:
            raise BadLine("top", "must be natural log-probabilities of one distribution: these sum to more than 1")
        found.append(array("d", each))
    return tuple(found)


def _hashes(
    fields: dict[str, Any], many: int, tops: tuple[array[float] | None, ...] | None
) -> tuple[array[int] | None, ...] | None:
    values = _column(fields, "hash", many)
    if values is None:
        return None
    if tops is None:
        raise BadLine("hash", "must come with top: one hash for each log-probability")
    found: list[array[int] | None] = []
    for each, top in zip(values, tops, strict=True):
        if each is None:
            found.append(None)
            continue
        if type(each) is not list or top is None or len(each) != len(top):
            raise BadLine("hash", "must be lists as long as those of top, or null")
        for one in each:
            if type(one) is not int or not 0 <= one <= MAX_T_US:
                raise BadLine("hash", "must be whole numbers of 53 bits, made with the key of this boot")
        found.append(array("Q", each))
    return tuple(found)


_NUMBERS = (float, int)
_READERS: dict[str, Callable[[EventSource, str, dict[str, Any]], Event]] = {
    "start": _start, "phase": _phase, "prompt": _prompt, "tokens": _tokens, "end": _end,
}  # fmt: skip


def _matching(fields: dict[str, Any], name: str, pattern: re.Pattern[str], detail: str) -> str:
    value = fields.get(name)
    if type(value) is not str or not pattern.fullmatch(value):
        raise BadLine(name, detail)
    return value


def _optional_text(fields: dict[str, Any], name: str, pattern: re.Pattern[str], detail: str) -> str:
    return "" if fields.get(name) is None else _matching(fields, name, pattern, detail)


def _name(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if type(value) is not str or not 0 < len(value) <= MAX_LABEL_CHARS:
        raise BadLine(name, f"must be a name of 1 to {MAX_LABEL_CHARS} characters")
    return label(value)


def _server(fields: dict[str, Any]) -> str:
    return _optional_text(fields, "server", _SERVER, "must be host:port, such as 127.0.0.1:8000")


def _whole(fields: dict[str, Any], name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        what = "whole microseconds of your monotonic clock" if name == "t" else "a whole number"
        raise BadLine(name, f"must be {what} from {low} to {high}")
    return value


def _optional_whole(fields: dict[str, Any], name: str, low: int, high: int) -> int | None:
    return None if fields.get(name) is None else _whole(fields, name, low, high)


def _count(fields: dict[str, Any], name: str) -> int | None:
    return _optional_whole(fields, name, 0, MAX_TOKENS)


def _ms(fields: dict[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) not in _NUMBERS or not 0 <= value <= MAX_MS:
        raise BadLine(name, f"must be milliseconds from 0 to {MAX_MS}")
    return float(value)
