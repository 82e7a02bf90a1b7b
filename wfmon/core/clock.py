"""Time: the only module that asks the operating system for it."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from wfmon.core.types import ClockStep

STEP_MS = 250
"""A wall clock that is off by more than this has stepped; less is slewed without a mark."""


class Clock(Protocol):
    """Wall and monotonic time, injectable."""

    def now_ms(self) -> int:
        """UTC milliseconds since the epoch: a wall-clock anchor plus monotonic time, so it never steps by itself."""

    def mono_ns(self) -> int:
        """Monotonic nanoseconds; stands still while the machine sleeps."""

    def thread_cpu_ns(self) -> int:
        """CPU nanoseconds that the calling thread has used."""

    def check(self) -> ClockStep | None:
        """Compare the anchor with the wall clock, move it if they differ, and tell a step. One thread calls it."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most so long; True if it is set."""


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
    """Nanoseconds this machine has been suspended since boot; 0 where the system does not tell."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


class FakeClock:
    """A clock for tests: it moves when it is told to, and waiting moves it."""

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
        """Let time pass."""
        self._wall_ns += round(seconds * 1e9)
        self._mono_ns += round(seconds * 1e9)
        self._cpu_ns += round(cpu_seconds * 1e9)

    def step(self, seconds: float, *, sleep: bool = False) -> None:
        """Step the wall clock alone; the next check tells it."""
        self._wall_ns += round(seconds * 1e9)
        self._step = ClockStep(self.now_ms(), round(seconds * 1000), "sleep" if sleep else "step")
