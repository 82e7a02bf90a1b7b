"""What waits to be sent: a bounded queue that the model's threads fill and one thread empties.

``put`` takes well under a microsecond and no lock: an append, and now and then the release of a lock that the sleeping
sender waits for. So it may be called from a destructor or a signal handler.
"""

from __future__ import annotations

from _thread import RLock, allocate_lock
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 10_000
"""Events that wait at most. Starts and ends may take as many places again: a few tokens are worth less."""

START, PROMPT, PHASE, TOKENS, END, FLUSH = range(6)
"""Kinds of events. An event is a tuple ``(kind, record, t_us, ...)``; what follows: see ``tell.Teller``."""


class Record:
    """A request, as long as it lives. The request's own thread writes the first group, the sender the second."""

    __slots__ = (
        "cached_tokens", "done", "ended", "id", "lost", "model", "prompt_tokens", "sent", "server", "t_us", "tokens",
        "told", "vocab", "vocab_size",
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
        """Tokens that the model gave, told or not."""
        self.lost = lost
        """The interval before the next token is not known: events were dropped, or its true start was not seen."""
        self.ended: tuple[Any, ...] | None = None
        """The event of its end, kept in case the queue had no room for it."""

        self.told = False
        """Told on this connection."""
        self.sent = 0
        """Tokens told."""
        self.done = False


class Inbox:
    """Holds events until the sender takes them. Any thread puts; one takes."""

    __slots__ = ("_counting", "_items", "_limit", "_wake", "idle", "lost", "open")

    def __init__(self, limit: int = LIMIT) -> None:
        self._items: deque[tuple[Any, ...]] = deque()
        self._limit = limit
        self._counting = RLock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self.open = True
        """False: nothing is taken any more, and nothing counted."""
        self.idle = False
        """The sender sleeps until something comes."""
        self.lost = 0
        """Events for which there was no room."""

    def put(self, event: tuple[Any, ...]) -> None:
        """Leave an event ``(kind, record, t_us, ...)``, or count it as lost."""
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
        """Give all that waits, oldest first."""
        items = self._items
        return [items.popleft() for _ in range(len(items))]

    def wake(self) -> None:
        """End the sender's sleep."""
        self.idle = False
        try:
            self._wake.release()
        except RuntimeError:  # it is awake
            return

    def sleep(self, seconds: float, *, idle: bool) -> None:
        """Sleep so long, negative without end; ``idle``: until something comes. The sender's thread alone."""
        if idle:
            self.idle = True
            if self._items:  # came before it could see that we sleep
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
