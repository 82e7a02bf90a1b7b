"""Rates and means of one server's counters over the span between two scrapes."""

from __future__ import annotations

from collections.abc import Mapping

MAX_SPAN_S = 10.0
"""A longer span would show old data as current."""


class Span:
    """Growth of counters since the last step. A counter that fell (a restart) invalidates the span. One thread."""

    def __init__(self) -> None:
        self._before: Mapping[str, float] = {}
        self._before_ns: int | None = None
        self._grown: dict[str, float] = {}
        self.seconds: float | None = None
        """Its length; None for the first scrape, after a restart, and if it is too long."""

    def step(self, now_ns: int, counters: Mapping[str, float]) -> None:
        """Record the current counters."""
        seconds = None if self._before_ns is None else (now_ns - self._before_ns) / 1e9
        fell = any(counters.get(name, value) < value for name, value in self._before.items())
        whole = seconds is not None and 0 < seconds <= MAX_SPAN_S and not fell
        self.seconds = seconds if whole else None
        self._grown = {k: v - self._before[k] for k, v in counters.items() if k in self._before} if whole else {}
        self._before, self._before_ns = dict(counters), now_ns

    def grown(self, name: str) -> float | None:
        """Return a counter's growth, None if unknown."""
        return self._grown.get(name)

    def per_second(self, name: str) -> float | None:
        """Return a counter's growth per second, None if unknown."""
        return self._over(self._grown.get(name), self.seconds)

    def over(self, part: str, whole: str, scale: float = 1.0) -> float | None:
        """Return one counter's growth over another's (a histogram's mean, a hit rate), None if that did not grow."""
        share = self._over(self._grown.get(part), self._grown.get(whole))
        return None if share is None else share * scale

    @staticmethod
    def _over(part: float | None, whole: float | None) -> float | None:
        return None if part is None or whole is None or whole <= 0 else part / whole
