"""A bounded queue of seconds waiting for the file. When full, the oldest are folded into tens, then lost; counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from wfmon.store.buckets import Second, merged

WAITING = 60
"""Seconds that may wait for the file before they are folded."""
MOST_WAITING = 400
FOLD_S = 10


class Backlog:
    """Seconds in order of arrival. Counts "folded" and "lost" in ``counts``. The writer's thread only."""

    def __init__(self, counts: Counter[str]) -> None:
        self._seconds: deque[Second] = deque()
        self._counts = counts

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: Iterable[Second]) -> None:
        """Add seconds, and stay within the bounds."""
        self._seconds.extend(seconds)
        while len(self._seconds) > WAITING and self._fold_oldest():
            pass
        self._lose(len(self._seconds) - MOST_WAITING)

    def waiting(self) -> list[Second]:
        """Return all waiting seconds, oldest first; they stay until ``done``."""
        return list(self._seconds)

    def done(self, count: int) -> None:
        """Remove the oldest ``count``, which are written."""
        for _ in range(count):
            self._seconds.popleft()

    def lose(self) -> None:
        """Discard everything."""
        self._lose(len(self._seconds))

    def _lose(self, count: int) -> None:
        for _ in range(count):
            self._seconds.popleft()
            self._counts["lost"] += 1

    def _fold_oldest(self) -> bool:
        """Fold the two oldest neighbours of one ten-second bucket; False if there are none."""
        for at in range(len(self._seconds) - WAITING // 2):
            one, other = self._seconds[at], self._seconds[at + 1]
            if one.t_s // FOLD_S == other.t_s // FOLD_S:
                self._seconds[at] = merged(one, other)
                del self._seconds[at + 1]
                self._counts["folded"] += 1
                return True
        return False
