"""A client's mailbox, and its four pressure levels."""

from __future__ import annotations

import threading
from typing import NamedTuple

from wfmon.stream.wire import Outgoing

BATCH_BYTES = 65_536
"""Most bytes handed to the sender at a time; a larger message goes alone."""


class PressureLevel(NamedTuple):
    """One row of the table: when a client enters and leaves the level, and what it still receives.

    Entered above the share ``above`` of the mailbox's capacity, left at ``until``. ``every``: for each priority of the
    catalogue (0, 1, 2), every how many frames its series are sent; or ONCE_A_SECOND, NEVER.
    """

    name: str
    above: float
    until: float
    every: tuple[int, int, int]


ONCE_A_SECOND, NEVER = 0, -1
NORMAL, PRESSURE, CRITICAL, DROP = range(4)
LEVELS = (
    PressureLevel("normal", 0.0, 0.0, (1, 1, 1)),
    PressureLevel("pressure", 0.80, 0.25, (1, 1, 4)),
    PressureLevel("critical", 0.95, 0.50, (1, ONCE_A_SECOND, ONCE_A_SECOND)),
    PressureLevel("drop", 1.0, 0.0, (NEVER, NEVER, NEVER)),
)


def next_level(level: int, depth: int, capacity: int) -> int:
    """Return the next level: up at once, down only once the mailbox has drained to the level's ``until``."""
    share = depth / capacity
    reached = DROP if depth >= capacity else max(i for i, row in enumerate(LEVELS) if i == 0 or share > row.above)
    if reached >= level:
        return reached
    while level > reached and share <= LEVELS[level].until:
        level -= 1
    return level


class Mailbox:
    """Messages waiting for one client's sender. Any thread puts, one takes; neither waits for the other.

    The caller bounds the frames (see ``depth``). A message with a key replaces a waiting one with the same key, in its
    place, so that tables and states never pile up.
    """

    def __init__(self, wake: threading.Event) -> None:
        """``wake`` is set at each put."""
        self.wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[Outgoing, bool]] = {}  # by key, or by number if it has none
        self._number = 0
        self._frames = 0
        self._taken = 0  # frames at the sender

    @property
    def depth(self) -> int:
        """Frames not yet sent, including those being sent."""
        return self._frames + self._taken

    def put(self, message: Outgoing, key: str | None = None, *, is_frame: bool = False) -> None:
        """Add a message and wake the sender."""
        with self._lock:
            self._number += 1
            self._waiting[self._number if key is None else key] = (message, is_frame)
            self._frames += is_frame
        self.wake.set()

    def take(self) -> list[Outgoing]:
        """Return the next messages, oldest first, [] if none. Counts the previously returned ones as sent."""
        batch: list[Outgoing] = []
        size = 0
        with self._lock:
            self._taken = 0
            for key, (message, is_frame) in list(self._waiting.items()):
                size += len(message.text)
                if batch and size > BATCH_BYTES:
                    break
                del self._waiting[key]
                batch.append(message)
                self._frames -= is_frame
                self._taken += is_frame
        return batch
