"""A bound on the threads that clients can make this process hold."""

from __future__ import annotations

import threading


class Slots:
    """So many at once, connections and HTTP/2 streams together. Any thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._used = 0
        self._changed = threading.Condition()

    def take(self) -> bool:
        """Take one; False when all are in use. Does not wait."""
        with self._changed:
            if self._used >= self._count:
                return False
            self._used += 1
            return True

    def give(self) -> None:
        """Give one back."""
        with self._changed:
            self._used -= 1
            self._changed.notify_all()

    def wait_free(self, timeout_s: float) -> bool:
        """Wait until none is in use; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._used == 0, timeout_s)
