"""Events to be sent: a bounded queue that the model's threads fill and the sender's thread empties.

``put`` takes well under a microsecond and no lock: an append, and sometimes the release of a lock that the sleeping
sender waits for. So it is safe in a destructor or a signal handler.
"""

from __future__ import annotations

from _thread import RLock, allocate_lock
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 10_000
"""Most events queued. Starts and ends may use as many places again: they matter more than a few tokens."""

START, PROMPT, PHASE, TOKENS, END, FLUSH = range(6)
"""Kinds of events. An event is a tuple ``(kind, record, t_us, ...)``; ``encoder`` lists the rest."""


class Record:
    """State of an open request. The request's own thread writes the first group, the sender the second."""

    __slots__ = (
        "announced", "cached_tokens", "done", "ended", "id", "lost", "model", "prompt_tokens", "sent", "server",
        "t_us", "tokens", "vocab", "vocab_size",
    )  # fmt: skip

    def __init__(self, id_: str, t_us: int, model: str, server: str, *, lost: bool = False) -> None:
        self.id = id_
        self.t_us = t_us
        self.model = model
        self.server = server
        self.vocab = ""
        self.vocab_size: int | None = None
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.tokens = 0
        """Tokens generated, sent or not."""
        self.lost = lost
        """The interval before the next token is unknown: events were dropped, or the true start was not observed."""
        self.ended: tuple[Any, ...] | None = None
        """The END event, kept in case the queue had no room for it."""

        self.announced = False
        """Whether its start was sent on this connection."""
        self.sent = 0
        """Tokens sent."""
        self.done = False


class Inbox:
    """Queue of events. Any thread puts; the sender takes."""

    __slots__ = ("_counting", "_items", "_limit", "_wake", "idle", "lost", "open")

    def __init__(self, limit: int = LIMIT) -> None:
        self._items: deque[tuple[Any, ...]] = deque()
        self._limit = limit
        self._counting = RLock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self.open = True
        """False: events are ignored and not counted."""
        self.idle = False
        """The sender sleeps until an event arrives."""
        self.lost = 0
        """Number of events dropped for lack of room."""

    def put(self, event: tuple[Any, ...]) -> None:
        """Queue an event ``(kind, record, t_us, ...)``, or count it as lost."""
        items = self._items
        if not self.open:
            return
        if len(items) >= self._limit and (event[0] in {TOKENS, PROMPT, PHASE} or len(items) >= 2 * self._limit):
            self._drop(event)
            return
        items.append(event)
        if self.idle:
            self.wake()

    def take(self) -> list[tuple[Any, ...]]:
        """Remove and return all queued events, oldest first."""
        items = self._items
        return [items.popleft() for _ in range(len(items))]

    def wake(self) -> None:
        """Wake the sender."""
        self.idle = False
        try:
            self._wake.release()
        except RuntimeError:  # already awake
            return

    def sleep(self, seconds: float, *, idle: bool) -> None:
        """Sleep for this time (negative: for ever), with ``idle`` at most until an event. Sender's thread only."""
        if idle:
            self.idle = True
            if self._items:  # queued before ``idle`` was visible
                self.idle = False
                return
        self._wake.acquire(timeout=seconds)
        self.idle = False

    def __len__(self) -> int:
        return len(self._items)

    def _drop(self, event: tuple[Any, ...]) -> None:
        with self._counting:
            self.lost += 1
        if event[1] is not None:
            event[1].lost = True
