"""One thread per polled collector: drift-free schedule, back-off, error count, CPU time, and hang detection."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from wfmon.core.clock import Clock
from wfmon.core.types import Collector, CollectorState, CollectorStatus, Frame, Unavailable

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0
HANG_S = 10.0
"""A call that takes longer counts as lost. NVML's first call may load the driver, which takes seconds."""
CPU_SPAN_S = 5
STOP_S = 0.3
_IDLE_S = 3_600.0
_SECOND = 1_000_000_000


def _log_error(message: str, error: Exception) -> None:
    logging.getLogger("wfmon.collect").error(message, exc_info=error)


class CollectorLoop:
    """Runs one collector on its own thread, ``wfmon-<name>``.

    The n-th tick is due at start + n / rate on the monotonic clock. A slower collector skips ticks, which are counted.
    Unavailable sets the status to absent or lost; any other exception sets it to "error", is counted and passed to
    ``log``; after both, collect is retried after 1 s, 2 s, ... 60 s.

    ``sink`` and ``on_status`` run on the loop's thread; ``on_status`` is called when the state or its reason changes,
    and must not raise. Any thread may call any public method; each returns at once, ``stop`` within 0.3 s.
    """

    def __init__(
        self,
        collector: Collector,
        rate_hz: float,
        clock: Clock,
        sink: Callable[[Frame], None],
        on_status: Callable[[CollectorStatus], None],
        *,
        enabled: bool = True,
        hang_s: float = HANG_S,
        log: Callable[[str, Exception], None] = _log_error,
    ) -> None:
        self._collector = collector
        self._rate = rate_hz
        self._clock = clock
        self._sink = sink
        self._on_status = on_status
        self._enabled = enabled
        self._hang_ns = round(hang_s * _SECOND)
        self._log = log
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"wfmon-{collector.name}", daemon=True)
        # Written by the loop's thread only, read by any: each is one reference, replaced atomically.
        self._state: tuple[CollectorState, str, int] = ("starting", "", clock.now_ms())
        self._call_ns: int | None = None
        self._checked_ms = 0
        self._beats = self._skipped = self._errors = self._failures = 0
        self._cpu_ns = 0
        self._cpu: deque[tuple[int, int]] = deque(maxlen=CPU_SPAN_S + 1)
        # Owned by the loop's thread: the tick schedule.
        self._start_ns = 0
        self._next = 0
        self._regrid = True

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Signal the thread to end, without waiting for it. Idempotent."""
        self._stopping = True
        self._wake.set()

    def stop(self) -> None:
        """End the thread and close its source. A thread that hangs in its source is abandoned. Idempotent."""
        self.ask_to_stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch on or off. Off closes the source and emits no more frames."""
        if enabled != self._enabled:
            self._enabled = enabled
            self._regrid = True
            self._wake.set()

    def set_rate(self, rate_hz: float) -> None:
        """Change the ticks per second; the schedule restarts."""
        if rate_hz != self._rate:
            self._rate = rate_hz
            self._regrid = True
            self._wake.set()

    def cpu_ns(self) -> int:
        """Return the thread's CPU time in nanoseconds, as of its last tick."""
        return self._cpu_ns

    def status(self) -> CollectorStatus:
        """Return the current status; a hanging call shows as lost, a dead thread as an error."""
        state, reason, since_ms = self._current_state()
        return CollectorStatus(
            name=self._collector.name,
            state=state,
            reason=reason,
            since_ms=since_ms,
            checked_ms=self._checked_ms,
            rate_hz=self._rate,
            beats=self._beats,
            skipped=self._skipped,
            errors=self._errors,
            cpu_percent=self._cpu_percent(),
        )

    def _current_state(self) -> tuple[CollectorState, str, int]:
        """Return (state, reason, since_ms): the thread's own state, unless it hangs or has died."""
        call_ns, now_ns = self._call_ns, self._clock.mono_ns()
        if call_ns is not None and now_ns - call_ns >= self._hang_ns:
            hung_s = (now_ns - call_ns) // _SECOND
            since_ms = self._clock.now_ms() - hung_s * 1_000
            return "lost" if self._enabled else "off", f"the call has not returned for {hung_s} s", since_ms
        if self._thread.ident is not None and not self._stopping and not self._thread.is_alive():
            return "error", "the thread has ended", self._state[2]
        return self._state

    def _run(self) -> None:
        while True:
            self._wake.clear()  # before reading the flags, so that no change is missed
            if self._stopping:
                break
            self._clock.wait(self._wake, self._turn())
        self._close()

    def _turn(self) -> float:
        """Tick if one is due; return the seconds to wait before the next call."""
        if not self._enabled:
            if self._state[0] != "off":
                self._close()
                self._cpu.clear()
                self._failures = 0
                self._set_state("off", "switched off")
            return _IDLE_S
        rate = self._rate
        if self._regrid:
            self._regrid = False
            self._start_ns, self._next = self._clock.mono_ns(), 0
        due_ns = self._start_ns + round(self._next * _SECOND / rate)
        wait_ns = due_ns - self._clock.mono_ns()
        if wait_ns > 0:
            return wait_ns / _SECOND
        this, retry_s = self._next, self._collect_once()
        passed = int((self._clock.mono_ns() - self._start_ns) * rate / _SECOND)
        self._next = max(this, passed) + 1
        if retry_s:
            self._next += int(retry_s * rate)
        else:
            self._skipped += self._next - this - 1
        return 0.0

    def _collect_once(self) -> float:
        """Collect once and pass the frame to ``sink``; return the seconds to back off, 0 on success."""
        self._checked_ms = self._clock.now_ms()
        self._call_ns = self._clock.mono_ns()
        try:
            frame = self._collector.collect()
            self._call_ns = None
            if not self._enabled or self._stopping:
                return 0.0
            self._sink(frame)
        except Unavailable as gone:
            self._set_state("lost" if gone.lost else "absent", gone.reason)
        except Exception as error:  # noqa: BLE001  the edge: one source's failure must not end its thread
            self._errors += 1
            reason = f"{type(error).__name__}: {error}"
            self._log(f"collector {self._collector.name} failed: {reason}", error)
            self._set_state("error", reason)
        else:
            self._beats += 1
            self._failures = 0
            self._set_state("running", "")
            return 0.0
        finally:
            self._call_ns = None
            self._count_cpu()
        retry_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return retry_s

    def _set_state(self, state: CollectorState, reason: str) -> None:
        if self._state[:2] != (state, reason):
            since_ms = self._clock.now_ms() if self._state[0] != state else self._state[2]
            self._state = (state, reason, since_ms)
            self._on_status(self.status())

    def _count_cpu(self) -> None:
        self._cpu_ns = self._clock.thread_cpu_ns()
        now_ns = self._clock.mono_ns()
        if not self._cpu or now_ns - self._cpu[-1][0] >= _SECOND:
            self._cpu.append((now_ns, self._cpu_ns))

    def _cpu_percent(self) -> float | None:
        marks = tuple(self._cpu)
        if len(marks) < 2:
            return None
        (from_ns, from_cpu), (to_ns, to_cpu) = marks[0], marks[-1]
        return 100.0 * (to_cpu - from_cpu) / (to_ns - from_ns)

    def _close(self) -> None:
        try:
            self._collector.close()
        except Exception as error:  # noqa: BLE001  as above: it is logged, and the thread goes on
            self._errors += 1
            self._log(f"collector {self._collector.name} failed to close: {error}", error)
