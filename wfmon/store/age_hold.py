"""Suspends deletion by age after a large clock step: a wrong clock must not make the history look old."""

from __future__ import annotations

from wfmon.core.clock import Clock

PAUSE_S = 3_600
"""After a large clock step nothing is deleted by age for this long: it may be corrected again."""
LEAP_MS = 3_600_000
LEAP_BEFORE_S = 86_400
"""A start this long after the newest second counts as a step: a wrong clock looks like a machine that was off."""


class AgeHold:
    """Owned by the writer's thread; any thread reads ``left_s``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ns = 0

    @property
    def is_on(self) -> bool:
        """Whether nothing may be deleted by age now."""
        return self._clock.mono_ns() < self._until_ns

    @property
    def left_s(self) -> int:
        """Seconds until the hold ends, 0 if there is none."""
        return max(0, (self._until_ns - self._clock.mono_ns()) // 1_000_000_000)

    def after_step(self, step_ms: int) -> None:
        """Begin if the clock was set ahead by more than ``LEAP_MS``."""
        if step_ms > LEAP_MS:
            self._begin()

    def after_start(self, newest_s: int | None) -> None:
        """Begin if the newest second of the file is older than ``LEAP_BEFORE_S``."""
        if newest_s is not None and self._clock.now_ms() // 1_000 - newest_s > LEAP_BEFORE_S:
            self._begin()

    def _begin(self) -> None:
        self._until_ns = self._clock.mono_ns() + PAUSE_S * 1_000_000_000
