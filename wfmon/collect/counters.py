"""Sums the counters of parts that come and go into one that never decreases."""

from __future__ import annotations

from collections.abc import Mapping


class Total:
    """The sum of several parts' counters, as a counter.

    A part that vanishes subtracts nothing; one that is new or was reset adds only what it counts from then on. So the
    sum's rate does not jump when a disk or an interface is plugged in or out. Starts at the parts' sum. One thread.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._sums: list[int] | None = None
        self._before: Mapping[str, tuple[int, ...]] = {}

    def add(self, parts: Mapping[str, tuple[int, ...]]) -> list[int]:
        """Add a reading of the parts' counters (each of the same width) and return the running sums."""
        if self._sums is None:
            self._sums = [sum(part[i] for part in parts.values()) for i in range(self._width)]
        else:
            for name, now in parts.items():
                before = self._before.get(name, now)
                for i in range(self._width):
                    self._sums[i] += max(0, now[i] - before[i])
        self._before = parts
        return self._sums
