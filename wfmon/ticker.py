"""The 60 Hz ticker (10 Hz while nobody watches): moves incoming frames through process and window to the stream."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfmon.core.types import Burst, Frame, Layout, TokenBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wfmon.core.clock import Clock
    from wfmon.core.types import Batch, ClockStep, CollectorState, Table

INBOX_FRAMES = 512
"""Capacity of the inbox in frames: five seconds of all collectors at 100 frames a second."""
IDLE_RATE_HZ = 10
"""The rate while nobody watches: the collectors' own rate, so that the cache still receives every sample in time."""
STALL_S = 3
"""A pause this long between two ticks (a stopped process, a machine that swaps) is a gap: nothing was measured."""
JOIN_S = 0.3
_NO_REASONS: tuple[str, dict[str, str]] = ("", {})


@dataclass(frozen=True, slots=True)
class Stages:
    """The callables that samples pass through, in order. Only the ticker's thread calls them."""

    drain: Callable[[], list[Frame | Burst | TokenBatch]]
    step: Callable[[Frame], Batch]
    burst: Callable[[Burst], Batch]
    tokens: Callable[[TokenBatch], Batch]
    gaps: Callable[[str], Batch]
    stalled: Callable[[], Batch]
    append: Callable[[Batch], None]
    publish: Callable[[list[Batch], int], None]
    table: Callable[[str, Table, int], None]
    clock_step: Callable[[ClockStep], None]
    absent: Callable[[dict[str, str]], None]
    states: Callable[[], dict[str, CollectorState]]
    each_second: Callable[[], None]
    watched: Callable[[], bool]
    on_error: Callable[[BaseException], None]


class Ticker:
    """Owns the reading end of the inbox and the tick thread. ``put`` may be called by any thread; it never blocks."""

    def __init__(self, clock: Clock, stages: Stages, rate_hz: int = 60) -> None:
        self._clock = clock
        self._rate_hz = rate_hz
        self._do = stages
        self._inbox: deque[Frame | Burst] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wfmon-ticker", daemon=True)
        # By layout, because a collector may send its slow values rarely; reasons go when their layout is freed.
        self._reasons: weakref.WeakKeyDictionary[Layout, tuple[str, Mapping[str, str]]] = weakref.WeakKeyDictionary()
        self._states: dict[str, CollectorState] = {}
        self._next_second = 0
        self._tick_ns: int | None = None
        self.dropped: Counter[str] = Counter()
        self.skipped = 0
        self.errors = 0
        self.samples = 0
        self.late_ms = 0.0
        """The latest start of a tick in the last full second."""
        self.work_ms = 0.0
        """The longest tick of the last full second."""
        self._late_ns = self._work_ns = 0

    @property
    def depth(self) -> int:
        """Frames waiting in the inbox."""
        return len(self._inbox)

    def put(self, item: Frame | Burst) -> None:
        """Queue a frame. When the inbox is full the frame is dropped and its samples are counted."""
        if len(self._inbox) >= INBOX_FRAMES:
            self.dropped["inbox_full"] += len(item.values)
            return
        self._inbox.append(item)

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait up to 0.3 s for it to end. Idempotent; frames put later are never read."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        due = self._clock.mono_ns()
        self._next_second = due + 1_000_000_000
        while not self._clock.wait(self._stop, (due - self._clock.mono_ns()) / 1e9):
            started = self._clock.mono_ns()
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  one bad tick must not end the pipeline; it is counted and logged
                self.errors += 1
                self._do.on_error(error)
            ended = self._clock.mono_ns()
            self._late_ns = max(self._late_ns, started - due)
            self._work_ns = max(self._work_ns, ended - started)
            period = 1_000_000_000 // (self._rate_hz if self._do.watched() else min(self._rate_hz, IDLE_RATE_HZ))
            behind = max(0, (ended - due) // period)
            self.skipped += behind
            due += (behind + 1) * period

    def tick(self) -> None:
        """Process everything that waits, once. Public for tests, which call it instead of starting the thread."""
        now_ns = self._clock.mono_ns()
        if now_ns >= self._next_second:
            self._each_second(now_ns)
        items = self._take()
        batches = self._mark_stall(items, now_ns)
        batches += self._carry_all(items)
        batches += self._mark_gaps()
        for batch in batches:
            self._do.append(batch)
        self._do.publish(batches, self._clock.now_ms())

    def _take(self) -> list[Frame | Burst | TokenBatch]:
        waiting: list[Frame | Burst | TokenBatch] = [self._inbox.popleft() for _ in range(len(self._inbox))]
        return waiting + self._do.drain()

    def _carry_all(self, items: list[Frame | Burst | TokenBatch]) -> list[Batch]:
        """Process each item. One that raises is dropped and counted; the others go on."""
        batches = []
        for item in items:
            try:
                batches.append(self._carry(item))
            except Exception as error:  # noqa: BLE001  as for a tick
                self.dropped["error"] += item.values.size
                self.errors += 1
                self._do.on_error(error)
        return batches

    def _carry(self, item: Frame | Burst | TokenBatch) -> Batch:
        if isinstance(item, TokenBatch):
            batch = self._do.tokens(item)
            self.samples += len(batch)
            return batch
        self.samples += len(item.values)
        if isinstance(item, Burst):
            return self._do.burst(item)
        for name, table in item.tables.items():
            self._do.table(name, table, item.t_ms)
        batch = self._do.step(item)  # first: it assigns ids to new series, and reasons are published by id
        if item.reasons != self._reasons.get(item.layout, _NO_REASONS)[1]:
            self._reasons[item.layout] = (item.collector, item.reasons)
            self._publish_reasons()
        return batch

    def _publish_reasons(self) -> None:
        merged: dict[str, str] = {}
        for _, reasons in self._reasons.values():
            merged.update(reasons)
        self._do.absent(merged)

    def _mark_stall(self, items: list[Frame | Burst | TokenBatch], now_ns: int) -> list[Batch]:
        """Append a gap to every series after a pause of the monitor itself, so that no line is drawn across it.

        Frames measured before the pause and still waiting are removed from ``items`` and processed first.
        """
        paused_ns = 0 if self._tick_ns is None else now_ns - self._tick_ns
        self._tick_ns = now_ns
        if paused_ns < STALL_S * 1_000_000_000:
            return []
        resumed_ms = self._clock.now_ms() - paused_ns // 2_000_000
        is_old = [isinstance(item, Frame) and item.t_ms < resumed_ms for item in items]
        before = [item for item, old in zip(items, is_old, strict=True) if old]
        items[:] = [item for item, old in zip(items, is_old, strict=True) if not old]
        return [*self._carry_all(before), self._do.stalled()]

    def _mark_gaps(self) -> list[Batch]:
        """Append gap marks to the series of every collector that has stopped running since the last tick."""
        now = self._do.states()
        ended = [name for name, state in self._states.items() if state == "running" and now.get(name) != "running"]
        self._states = now
        for layout in [layout for layout, (name, _) in self._reasons.items() if name in ended]:
            del self._reasons[layout]
        if ended:
            self._publish_reasons()
        return [self._do.gaps(name) for name in ended]

    def _each_second(self, now_ns: int) -> None:
        self._next_second = now_ns + 1_000_000_000
        self.late_ms, self._late_ns = self._late_ns / 1e6, 0
        self.work_ms, self._work_ns = self._work_ns / 1e6, 0
        step = self._clock.check()
        if step is not None:
            self._do.clock_step(step)
        self._do.each_second()
