"""Time: the only module that reads the operating system's clocks."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from wfmon.core.types import ClockStep

STEP_MS = 250
"""A wall clock off by more than this has stepped; smaller differences are corrected silently."""


class Clock(Protocol):
    """Wall and monotonic time, injectable."""

    def now_ms(self) -> int:
        """Return UTC milliseconds since the epoch: a wall-clock anchor plus monotonic time. Steps only in ``check``."""

    def mono_ns(self) -> int:
        """Return monotonic nanoseconds, not counting time in which the machine was suspended."""

    def thread_cpu_ns(self) -> int:
        """Return the calling thread's CPU time in nanoseconds."""

    def check(self) -> ClockStep | None:
        """Move the anchor if it differs from the wall clock, and return a step if there was one. One thread only."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most this long. True if it is set."""


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()
        self._asleep_ns = _asleep_ns()

    def now_ms(self) -> int:
        return (self._anchor_ns + time.monotonic_ns()) // 1_000_000

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def thread_cpu_ns(self) -> int:
        return time.thread_time_ns()

    def check(self) -> ClockStep | None:
        anchor_ns, asleep_ns = time.time_ns() - time.monotonic_ns(), _asleep_ns()
        step_ms = (anchor_ns - self._anchor_ns) // 1_000_000
        slept_ms = (asleep_ns - self._asleep_ns) // 1_000_000
        self._anchor_ns, self._asleep_ns = anchor_ns, asleep_ns
        if abs(step_ms) <= STEP_MS:
            return None
        slept = slept_ms > STEP_MS and abs(step_ms - slept_ms) < slept_ms
        return ClockStep(self.now_ms(), step_ms, "sleep" if slept else "step")

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


def _asleep_ns() -> int:
    """Return how long this machine was suspended since boot, in nanoseconds; 0 if unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


class FakeClock:
    """A clock for tests: only ``advance``, ``step`` and ``wait`` move it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._wall_ns = now_ms * 1_000_000
        self._mono_ns = 0
        self._cpu_ns = 0
        self._step: ClockStep | None = None

    def now_ms(self) -> int:
        return self._wall_ns // 1_000_000

    def mono_ns(self) -> int:
        return self._mono_ns

    def thread_cpu_ns(self) -> int:
        return self._cpu_ns

    def check(self) -> ClockStep | None:
        step, self._step = self._step, None
        return step

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.advance(max(0.0, seconds))
        return event.is_set()

    def advance(self, seconds: float, *, cpu_seconds: float = 0.0) -> None:
        """Advance all clocks."""
        self._wall_ns += round(seconds * 1e9)
        self._mono_ns += round(seconds * 1e9)
        self._cpu_ns += round(cpu_seconds * 1e9)

    def step(self, seconds: float, *, sleep: bool = False) -> None:
        """Step the wall clock only; the next check returns the step."""
        self._wall_ns += round(seconds * 1e9)
        self._step = ClockStep(self.now_ms(), round(seconds * 1000), "sleep" if sleep else "step")
