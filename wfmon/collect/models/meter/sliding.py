"""Tokens of one model in a sliding second, with exact edges; and their five-minute peak."""

from __future__ import annotations

from bisect import insort
from collections import deque

SECOND_US = 1_000_000.0
PEAK_S = 300


class SlidingSecond:
    """Counts the tokens of (now - 1 s, now]. Times: the monitor's monotonic microseconds. One thread."""

    def __init__(self) -> None:
        self._tokens: list[tuple[float, int]] = []  # in order of time
        self.total = 0
        """Tokens per second, as of the last ``add`` or ``at``."""

    def add(self, t_us: float, tokens: int) -> int:
        """Add tokens, and return the number in the second up to then."""
        found = self._tokens
        insort(found, (t_us, tokens))
        self.total += tokens
        return self.total if found[0][0] > t_us - SECOND_US else self.at(t_us)

    def at(self, now_us: float) -> int:
        """Drop tokens older than a second, and return the number left. If time goes back, nothing is dropped."""
        tokens, edge, old = self._tokens, now_us - SECOND_US, 0
        if not tokens or tokens[0][0] > edge:
            return self.total
        while old < len(tokens) and tokens[old][0] <= edge:
            self.total -= tokens[old][1]
            old += 1
        if old:
            del tokens[:old]
        return self.total


class Peak:
    """The largest value of the last five minutes, to the second."""

    def __init__(self) -> None:
        self._falling: deque[list[float]] = deque()  # [second, value], values falling

    def add(self, now_us: float, value: float) -> float:
        """Add a value, and return the peak."""
        second, falling = now_us // SECOND_US, self._falling
        if falling and falling[-1][0] == second and falling[-1][1] >= value:
            return falling[0][1]
        while falling and falling[-1][1] <= value:
            falling.pop()
        if not falling or falling[-1][0] != second:
            falling.append([second, value])
        while falling[0][0] <= second - PEAK_S:
            falling.popleft()
        return falling[0][1]
