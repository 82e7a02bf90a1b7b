"""A bound on the threads that clients can occupy."""

from __future__ import annotations

import threading


class Slots:
    """A counting semaphore for connections and HTTP/2 streams together. Any thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self) -> bool:
        """Take a slot without waiting. False when all are in use."""
        with self._changed:
            if self._used >= self._count:
                return False
            self._used += 1
            return True

    def release(self) -> None:
        """Return a slot."""
        with self._changed:
            self._used -= 1
            self._changed.notify_all()

    def wait_free(self, timeout_s: float) -> bool:
        """Wait until no slot is in use. False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._used == 0, timeout_s)
