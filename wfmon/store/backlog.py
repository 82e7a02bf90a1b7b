"""What waits for the file: seconds, bounded. Past the bound the oldest are folded into tens, then lost, and counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from wfmon.store.buckets import Second, merged

WAITING = 60
"""Seconds that wait for the file at most before they are folded."""
MOST_WAITING = 400
FOLD_S = 10


class Backlog:
    """Seconds in the order of their coming. ``counts`` gets "folded" and "lost". The writer's thread alone."""

    def __init__(self, counts: Counter[str]) -> None:
        self._seconds: deque[Second] = deque()
        self._counts = counts

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: Iterable[Second]) -> None:
        """Take more, and keep within the bounds."""
        self._seconds.extend(seconds)
        while len(self._seconds) > WAITING and self._fold_oldest():
            pass
        self._lose(len(self._seconds) - MOST_WAITING)

    def waiting(self) -> list[Second]:
        """Give all that waits, the oldest first; it waits on until it is ``done``."""
        return list(self._seconds)

    def done(self, count: int) -> None:
        """Let go of the oldest ``count``: they are written."""
        for _ in range(count):
            self._seconds.popleft()

    def lose(self) -> None:
        """Give all of it up."""
        self._lose(len(self._seconds))

    def _lose(self, count: int) -> None:
        for _ in range(count):
            self._seconds.popleft()
            self._counts["lost"] += 1

    def _fold_oldest(self) -> bool:
        """Fold the two oldest neighbours that belong to one bucket of ten seconds; False where there are none."""
        for at in range(len(self._seconds) - WAITING // 2):
            one, other = self._seconds[at], self._seconds[at + 1]
            if one.t_s // FOLD_S == other.t_s // FOLD_S:
                self._seconds[at] = merged(one, other)
                del self._seconds[at + 1]
                self._counts["folded"] += 1
                return True
        return False
