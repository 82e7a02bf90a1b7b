"""Splits a stream into its events' JSON texts: server-sent events or JSON lines. Incremental, bounded."""

from __future__ import annotations

from typing import Literal

MAX_EVENT_BYTES = 1_048_576
"""Longer lines or events are skipped; a token's event has a few hundred bytes."""


class Events:
    """The parser of one body. One thread."""

    def __init__(self, form: Literal["sse", "lines"]) -> None:
        self._sse = form == "sse"
        self._tail = b""  # an incomplete line
        self._data: list[bytes] = []  # of an incomplete event
        self._size = 0
        self._skipping = False
        self.skipped = 0
        """Number of lines and events that were too long."""

    def feed(self, payload: bytes) -> list[bytes]:
        """Parse a part of the body; return the texts of the events it completes."""
        *lines, self._tail = (self._tail + payload).split(b"\n")
        found: list[bytes] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                self._line(line.rstrip(b"\r"), found)
        if len(self._tail) > MAX_EVENT_BYTES:
            self.skipped += not self._skipping
            self._skipping = True
        if self._skipping:
            self._tail = b""
        return found

    def rest(self) -> list[bytes]:
        """Return the events left at the end of the body, without a line ending."""
        return self.feed(b"\n\n") if self._tail or self._data else []

    def _line(self, line: bytes, found: list[bytes]) -> None:
        if not self._sse:
            if line.strip():
                found.append(line)
        elif line.startswith(b"data:"):
            self._size += len(line)
            if self._size <= MAX_EVENT_BYTES:
                self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            if self._size > MAX_EVENT_BYTES:
                self.skipped += 1
            elif self._data:
                found.append(b"\n".join(self._data))
            self._data, self._size = [], 0
