"""The text form of Prometheus and OpenMetrics, read within bounds, and only the names that are wanted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

MAX_LINES = 20_000
MAX_LINE = 8_192
"""A longer line is left out."""
MAX_LABELS = 32
MAX_SAMPLES = 20_000
_LABEL = re.compile(rb'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n"}


class Sample(NamedTuple):
    """One line: its name, its labels, its finite value."""

    name: str
    labels: dict[str, str]
    value: float


def samples(body: bytes, wanted: AbstractSet[str]) -> list[Sample]:
    """Read the wanted samples of a page. What is malformed, NaN or infinite is left out: nothing is said of it."""
    names = {name.encode(): name for name in wanted}
    found: list[Sample] = []
    for raw in _lines(body):
        end = raw.find(b"{")
        name = names.get(raw[:end] if end >= 0 else raw.split(None, 1)[0])
        if name is None:
            continue
        sample = _sample(name, raw, end)
        if sample is not None:
            found.append(sample)
            if len(found) >= MAX_SAMPLES:
                break
    return found


def has_prefix(body: bytes, prefix: str) -> bool:
    """Tell whether a page holds a sample whose name begins so."""
    start = prefix.encode()
    return any(line.startswith(start) for line in _lines(body))


def _lines(body: bytes) -> Iterator[bytes]:
    for line in body.split(b"\n", MAX_LINES)[:MAX_LINES]:
        if 0 < len(line) <= MAX_LINE and line[:1] not in b"# \r\t":
            yield line


def _sample(name: str, raw: bytes, brace: int) -> Sample | None:
    labels: dict[str, str] = {}
    rest = raw[len(name) :]
    if brace >= 0:
        end = _labels(raw, brace + 1, labels)
        if end is None:
            return None
        rest = raw[end:]
    value = _number(rest.split(None, 1)[0]) if rest.strip() else None
    return None if value is None else Sample(name, labels, value)


def _labels(raw: bytes, at: int, labels: dict[str, str]) -> int | None:
    """Read labels from behind the brace; give where the value begins, None when they are malformed."""
    while len(labels) <= MAX_LABELS:
        tail = raw[at:].lstrip()
        if tail.startswith(b"}"):
            return len(raw) - len(tail) + 1
        match = _LABEL.match(raw, at) or _LAST.match(raw, at)
        if match is None:
            return None
        text = match[2].decode("utf-8", "replace")
        labels[match[1].decode()] = _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)
        at = match.end()
    return None


_LAST = re.compile(rb'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?=\})')


def _number(text: bytes) -> float | None:
    if b"_" in text:  # Python's own digit separator is none of Prometheus'
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
