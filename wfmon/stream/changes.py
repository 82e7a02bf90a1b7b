"""Changes since a tick: a ring buffer of the last ticks, and the latest value of every series.

The ring returns every sample since tick n; the arrays return each changed series' latest value.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wfmon.stream.wire import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wfmon.core.registry import Registry
    from wfmon.core.types import Batch, Flags

RING_TICKS = 600
"""Ten seconds at 60 Hz: how long a client may be disconnected and still resume without a gap."""
RING_SAMPLES = 100_000
"""2 MB; above 10,000 samples a second the ring covers less time."""
FRAME_SAMPLES = 20_000
"""A frame with more than this carries only the latest values."""

Since = tuple[int, int, int]
"""The last tick a client has received, for each priority; -1 before the first."""
NOTHING = Samples(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0))


class _Tick(NamedTuple):
    seq: int
    samples: Samples


class Changes:
    """Recent changes of all series. Owned by the hub, under its lock."""

    def __init__(self, registry: Registry, ticks: int = RING_TICKS, samples: int = RING_SAMPLES) -> None:
        self._registry = registry
        self._ticks = ticks
        self._most = samples
        self._ring: deque[_Tick] = deque()  # ticks that changed something
        self.held = 0
        """Samples in the ring."""
        self.seq = 0
        """The number of the last tick."""
        self.floor = 0
        """The ring has every sample after this tick."""
        self._value = np.full(256, np.nan)
        self._t_ms = np.zeros(256, np.int64)
        self._changed = np.full(256, -1, np.int64)  # the tick of a series' last change; -1: none yet
        self._priority = np.zeros(256, np.int8)
        self._known = 0

    def push(self, batches: Sequence[Batch]) -> int:
        """Append a tick's changes and return its number."""
        self.seq += 1
        self._grow()
        parts = [_changed(batch) for batch in batches]
        parts = [part for part in parts if len(part.ids)]
        if parts:
            tick = _Tick(self.seq, _joined(parts))
            ids, t_ms, values = tick.samples
            self._value[ids] = values  # of several samples of one series, the last is kept
            self._t_ms[ids] = t_ms
            self._changed[ids] = self.seq
            self._ring.append(tick)
            self.held += len(ids)
        self.floor = max(self.floor, self.seq - self._ticks)
        while self._ring and (self._ring[0].seq <= self.floor or self.held > self._most):
            gone = self._ring.popleft()
            self.held -= len(gone.samples.ids)
            self.floor = max(self.floor, gone.seq)
        return self.seq

    def since(self, since: Since, watched: Flags | None, *, latest: bool) -> Samples:
        """Return the changes after ``since``: every sample, or with ``latest`` each series' latest value.

        ``watched``: one flag per series id, or None for all. Latest values are also returned if the ring no longer
        reaches back to ``since`` or there are more than FRAME_SAMPLES samples.
        """
        lowest = min(since)
        if not latest and lowest >= self.floor:
            parts = [self._of(tick, since, watched) for tick in self._after(lowest)]
            if sum(len(part.ids) for part in parts) <= FRAME_SAMPLES:
                return _joined(parts)
        return self._latest(since, watched)

    def _after(self, seq: int) -> list[_Tick]:
        found = []
        for tick in reversed(self._ring):
            if tick.seq <= seq:
                break
            found.append(tick)
        return found[::-1]

    def _of(self, tick: _Tick, since: Since, watched: Flags | None) -> Samples:
        ids, t_ms, values = tick.samples
        if watched is None and max(since) < tick.seq:
            return tick.samples
        wanted = np.asarray(since)[self._priority[ids]] < tick.seq
        if watched is not None:
            wanted &= watched[ids]
        return Samples(ids[wanted], t_ms[wanted], values[wanted])

    def _latest(self, since: Since, watched: Flags | None) -> Samples:
        known = self._known
        wanted = self._changed[:known] > np.asarray(since)[self._priority[:known]]
        if watched is not None:
            wanted &= watched[:known]
        ids = np.flatnonzero(wanted).astype(np.int32)
        return Samples(ids, self._t_ms[ids], self._value[ids])

    def _grow(self) -> None:
        """Extend the arrays by the series registered since the last tick, with their priorities."""
        count = len(self._registry)
        if count == self._known:
            return
        if count > len(self._value):
            size = max(count, 2 * len(self._value))
            self._value = _longer(self._value, size, np.nan)
            self._t_ms = _longer(self._t_ms, size, 0)
            self._changed = _longer(self._changed, size, -1)
            self._priority = _longer(self._priority, size, 0)
        for number, _, metric in self._registry.all(self._known)[: count - self._known]:
            self._priority[number] = metric.priority
        self._known = count


def _changed(batch: Batch) -> Samples:
    return Samples(batch.ids[batch.changed], batch.t_ms[batch.changed], batch.values[batch.changed])


def _joined(parts: list[Samples]) -> Samples:
    if len(parts) == 1:
        return parts[0]
    return Samples(*(np.concatenate(each) for each in zip(*parts, strict=True))) if parts else NOTHING


def _longer(array: NDArray[Any], size: int, fill: float) -> NDArray[Any]:
    longer = np.full(size, fill, array.dtype)
    longer[: len(array)] = array
    return longer
