"""A bounded parser of the Prometheus and OpenMetrics text format, for the wanted names only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

MAX_LINES = 20_000
MAX_LINE = 8_192
"""A longer line is skipped."""
MAX_LABELS = 32
MAX_HEADS, MAX_HEAD = 5_000, 512
"""Line heads cached per page, and their longest length: a vLLM page has 1,500 of 150 characters."""
_LABEL = re.compile(rb'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n"}


class SampleHead(NamedTuple):
    """The part of a line before the value."""

    name: str
    labels: dict[str, str]


class Sample(NamedTuple):
    """One line: its name, its labels, its finite value."""

    name: str
    labels: dict[str, str]
    value: float


class Page:
    """Parses a server's page repeatedly. The part of a line before its value is parsed once and cached. One thread."""

    def __init__(self, wanted: AbstractSet[str]) -> None:
        self._wanted = {name.encode(): name for name in wanted}
        self._heads: dict[bytes, SampleHead | None] = {}

    def read(self, body: bytes) -> list[Sample]:
        """Return the wanted samples. Malformed, NaN and infinite ones are skipped silently."""
        found: list[Sample] = []
        heads = self._heads
        if len(heads) >= MAX_HEADS:
            heads.clear()
        for line in body.split(b"\n", MAX_LINES)[:MAX_LINES]:
            start, _, text = line.rpartition(b" ")
            if start in heads:
                head = heads[start]
            else:
                head, text, alone = self._head(line, text)
                if alone and len(start) <= MAX_HEAD and len(heads) < MAX_HEADS:
                    heads[start] = head
            if head is not None and (value := _number(text)) is not None:
                found.append(Sample(*head, value))
        return found

    def _head(self, line: bytes, text: bytes) -> tuple[SampleHead | None, bytes, bool]:
        """Return the head, the value's text, and whether the line ends there (no time or exemplar follows)."""
        if not 0 < len(line) <= MAX_LINE or line[:1] in b"# \t\r":
            return None, text, True
        brace = line.find(b"{")
        name = self._wanted.get(line[:brace] if brace >= 0 else line.split(None, 1)[0])
        if name is None:
            return None, text, True
        labels: dict[str, str] = {}
        end = _labels(line, brace + 1, labels) if brace >= 0 else len(name.encode())
        words = [] if end is None else line[end:].split(None, 1)
        return (SampleHead(name, labels), words[0], words == [text]) if words else (None, text, False)


def samples(body: bytes, wanted: AbstractSet[str]) -> list[Sample]:
    """Parse a page once."""
    return Page(wanted).read(body)


def has_prefix(body: bytes, prefix: str) -> bool:
    """Return whether a page has a sample whose name starts with ``prefix``."""
    start = prefix.encode()
    return any(line.startswith(start) for line in _lines(body))


def _lines(body: bytes) -> Iterator[bytes]:
    for line in body.split(b"\n", MAX_LINES)[:MAX_LINES]:
        if 0 < len(line) <= MAX_LINE and line[:1] not in b"# \r\t":
            yield line


def _labels(raw: bytes, at: int, labels: dict[str, str]) -> int | None:
    """Parse labels after the brace into ``labels``; return where the value begins, None if malformed."""
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
    if b"_" in text:  # Python accepts digit separators, Prometheus does not
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
