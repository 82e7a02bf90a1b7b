"""Cuts a stream into the JSON texts of its events: server-sent events, or one object a line. Incremental, bounded."""

from __future__ import annotations

from typing import Literal

MAX_EVENT_BYTES = 1_048_576
"""A longer line or event is not looked at; a token's event has some hundred bytes."""


class Events:
    """One body's. One thread."""

    def __init__(self, form: Literal["sse", "lines"]) -> None:
        self._sse = form == "sse"
        self._tail = b""  # a line that is not whole
        self._data: list[bytes] = []  # of an event that is not whole
        self._size = 0
        self._skipping = False
        self.skipped = 0
        """Lines and events that were too long."""

    def feed(self, payload: bytes) -> list[bytes]:
        """Take more of the body; gives the texts of the events that it completes."""
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
        """The body ended: give what came without a line's end."""
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
