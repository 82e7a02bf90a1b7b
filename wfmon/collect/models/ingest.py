"""What hooks and the proxy send: lines of JSON, read, checked, and handed on as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wfmon.collect.models.events import Event
from wfmon.core.clock import Clock

VERSION = 1
MAX_MESSAGE_BYTES = 262_144


class Refusal(NamedTuple):
    """A line that was not taken: its number in the message, the field, and what it must be."""

    line: int
    field: str
    detail: str


class Taken(NamedTuple):
    """What became of a message."""

    events: int
    refused: list[Refusal]


class Ingest:
    """Opens connections. Any thread; each connection belongs to the thread that reads it."""

    def __init__(self, clock: Clock, put: Callable[[Sequence[Event]], int], *, boot: str) -> None:
        self._clock = clock
        self._put = put
        self.boot = boot

    def hello(self) -> dict[str, Any]:
        """What a client is greeted with: ``{"type": "hello", "version", "boot", "key", "max_bytes"}``."""
        return {"type": "hello", "version": VERSION, "boot": self.boot, "key": "", "max_bytes": MAX_MESSAGE_BYTES}

    def open(self) -> Connection:
        """Open a connection."""
        return Connection()


class Connection:
    """One client's lines. ``close`` when it ends: its source then has two seconds to come back."""

    def take(self, text: bytes) -> Taken:
        """Read the lines of one message. Raises ValueError when the client must be sent away."""
        return Taken(0, [])

    def close(self) -> None:
        """The connection ended. Idempotent."""
