"""The stream processor: owns the per-series state and applies the pure steps to each frame."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.types import Batch
from wfmon.process.filters import LATE_MS, changes_in_burst, is_change, is_late
from wfmon.process.layouts import Compiled, limits
from wfmon.process.rates import rates

if TYPE_CHECKING:
    from wfmon.core.registry import Registry
    from wfmon.core.types import Burst, ClockStep, Flags, Floats, Frame, Ids, Layout, Millis, TokenBatch

NEVER = -(2**62)
"""Older than any sample, with room to subtract."""
VANISHED_MS = 15_000
"""A series that its collector has left out for this long has vanished; a gap is written for it."""
VANISHED_CHECK_MS = 1_000
"""How often a collector's series are checked for vanished ones."""


class Processor:
    """Frames and bursts in, batches out. One thread (the ticker) calls it.

    An impossible value is neither sample nor gap: it is dropped and counted in ``dropped`` by cause, ``non_finite``
    (infinite, or a NaN without a reason in the frame), ``out_of_range`` (outside the catalogue's low..high) or
    ``late`` (older than its series' newest sample, or a counter read twice in one millisecond). A NaN with a reason is
    a gap, as is any NaN in a burst, which carries no reasons. ``taken`` + ``dropped`` is everything that came in.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.dropped: Counter[str] = Counter()
        self.taken = 0
        self._layouts: weakref.WeakKeyDictionary[Layout, Compiled] = weakref.WeakKeyDictionary()
        self._collectors: dict[str, int] = {}
        self._checked_ms: dict[str, int] = {}
        # State by id; grows by doubling. A counter of NaN has no previous reading; a sent value of inf was never sent.
        self._owner = np.full(0, -1, np.int16)
        self._is_event = np.zeros(0, bool)
        self._seen_ms = np.full(0, NEVER, np.int64)
        self._counter_ms = np.zeros(0, np.int64)
        self._counter = np.full(0, np.nan)
        self._sent = np.full(0, np.inf)

    def step(self, frame: Frame) -> Batch:
        """Process one frame: its samples in order, one per series, then gaps for the series that have vanished."""
        plan = self._plan(frame.layout)
        t_ms, ids, values, causes = frame.t_ms, plan.ids, plan.fold(frame.values), np.zeros(len(plan.ids), np.int8)
        finite = np.isfinite(values)
        if not finite.all():
            causes[~finite & ~(np.isnan(values) & plan.declared(frame.reasons))] = 1
        seen = self._seen_ms[ids]
        causes[is_late(seen, t_ms) | (plan.is_rate & (seen == t_ms))] = 2
        if len(plan.rates):
            self._derive(t_ms, plan, values, causes == 0)
        causes[((values < plan.low) | (values > plan.high)) & (causes == 0)] = 3
        kept = causes == 0
        if kept.all():
            self._seen_ms[ids] = t_ms
            band = plan.band
        else:
            self._count(causes)
            ids, values, band = ids[kept], values[kept], plan.band[kept]
            self._seen_ms[ids] = t_ms
        self.taken += len(ids)
        changed = is_change(self._sent[ids], values, band)
        self._sent[ids[changed]] = values[changed]
        batch = Batch(np.full(len(ids), t_ms, np.int64), ids, values, changed)
        self._owner[ids] = self._number(frame.collector)
        gone = self._vanished(frame.collector, t_ms)
        return batch if gone is None else _join(batch, gone)

    def burst(self, burst: Burst) -> Batch:
        """Process many instants of one series, then gaps for its collector's series that have vanished."""
        number = self._registry.id(burst.series)
        self._grow()
        batch = self._instants(number, burst.t_ms, burst.values.astype(np.float64))
        if not len(batch):
            return batch
        self._owner[number] = self._number(burst.collector)
        gone = self._vanished(burst.collector, int(batch.t_ms[-1]))
        return batch if gone is None else _join(batch, gone)

    def tokens(self, batch: TokenBatch) -> Batch:
        """Process token instants: every value present counts as changed, and a missing one is not a gap."""
        plan = self._plan(batch.layout)
        rows, columns = np.nonzero(~np.isnan(batch.values))
        t_ms, values = batch.t_ms[rows], batch.values[rows, columns].astype(np.float64)
        if len(plan.ids) < len(batch.layout):  # some were folded into one series: then the plan's ids are sorted
            columns = np.searchsorted(plan.ids, self._registry.ids(batch.layout))[columns]
        ids = plan.ids[columns]
        causes = np.zeros(len(ids), np.int8)
        causes[np.isinf(values)] = 1
        seen = self._seen_ms[ids]
        causes[(t_ms < seen) & (t_ms >= seen - LATE_MS)] = 2
        causes[((values < plan.low[columns]) | (values > plan.high[columns])) & (causes == 0)] = 3
        self._count(causes)
        kept = causes == 0
        ids, t_ms, values = ids[kept], t_ms[kept], values[kept]
        self._seen_ms[ids] = t_ms  # rows are in time order: an id's last instant is kept
        self._sent[ids] = values
        self._owner[ids] = self._number(batch.collector)
        self._is_event[ids] = True
        self.taken += len(ids)
        return Batch(t_ms, ids, values, np.ones(len(ids), bool))

    def on_clock_step(self, step: ClockStep) -> None:
        """Discard the interval across a step or a sleep: every rate restarts with a gap, and nothing counts as late."""
        self._counter[:] = np.nan
        if step.kind == "step":
            known = self._seen_ms != NEVER
            self._seen_ms[known] += step.step_ms
        else:  # clients show a gap from here: the next value counts as changed, even if it equals the old one
            self._sent[np.isfinite(self._sent)] = np.nan

    def on_absent(self, collector: str) -> Batch:
        """Return gaps for a collector that stopped: one per series, a millisecond after its last sample."""
        return self._gaps(self._ids_of(collector))

    def on_stall(self) -> Batch:
        """Return gaps for a pause of the monitor itself: one per series, after its last sample.

        Event series have none: nothing is missing between two events.
        """
        return self._gaps(np.flatnonzero((self._seen_ms != NEVER) & ~self._is_event).astype(np.int32))

    def _derive(self, t_ms: int, plan: Compiled, values: Floats, good: Flags) -> None:
        """Replace counters by their rates, and keep the good readings as the start of the next interval."""
        at = plan.rates
        ids, counters = plan.ids[at], values[at]
        values[at] = rates(self._counter_ms[ids], self._counter[ids], t_ms, counters)
        good = good[at]
        self._counter_ms[ids[good]] = t_ms
        self._counter[ids[good]] = counters[good]

    def _instants(self, number: int, t_ms: Millis, values: Floats) -> Batch:
        """Process a burst at once, without its late beginning, if it is in time order; else value by value."""
        metric = self._registry.metric(number)
        is_rate = metric.derive == "rate"
        causes = np.zeros(len(values), np.int8)
        seen = int(self._seen_ms[number])
        goes_back = (t_ms[:1] < seen - LATE_MS).any()
        if len(values) > 1 and (goes_back or (np.diff(t_ms) < is_rate).any()):
            return _join(*(self._instants(number, t_ms[i : i + 1], values[i : i + 1]) for i in range(len(values))))
        if not goes_back:
            causes[t_ms < seen + is_rate] = 2
        causes[np.isinf(values) & (causes == 0)] = 1
        if is_rate:
            good = causes == 0
            before_ms = np.concatenate(([self._counter_ms[number]], t_ms[good]))
            before = np.concatenate(([self._counter[number]], values[good]))
            values[good] = rates(before_ms[:-1], before[:-1], t_ms[good], values[good])
            self._counter_ms[number], self._counter[number] = before_ms[-1], before[-1]
        low, high = limits(metric)
        causes[((values < low) | (values > high)) & (causes == 0)] = 3
        self._count(causes)
        kept = causes == 0
        t_ms, values = t_ms[kept], values[kept]
        self.taken += len(values)
        changed = changes_in_burst(float(self._sent[number]), values, metric.dead_band)
        if len(values):
            self._seen_ms[number] = t_ms[-1]
        if changed.any():
            self._sent[number] = values[changed][-1]
        return Batch(t_ms, np.full(len(values), number, np.int32), values, changed)

    def _vanished(self, collector: str, t_ms: int) -> Batch | None:
        """Once a second, return gaps for the series that a running collector has left out for ``VANISHED_MS``."""
        if 0 <= t_ms - self._checked_ms.get(collector, NEVER) < VANISHED_CHECK_MS:
            return None
        self._checked_ms[collector] = t_ms
        ids = self._ids_of(collector)
        gone = ids[(self._seen_ms[ids] < t_ms - VANISHED_MS) & ~self._is_event[ids]]
        return self._gaps(gone) if len(gone) else None

    def _number(self, collector: str) -> int:
        return self._collectors.setdefault(collector, len(self._collectors))

    def _ids_of(self, collector: str) -> Ids:
        """Return the ids of a collector's series."""
        return np.flatnonzero(self._owner == self._collectors.get(collector, -2)).astype(np.int32)

    def _gaps(self, ids: Ids) -> Batch:
        """Return a gap just after the last sample of each series not in a gap yet; a rate's interval ends there."""
        self._counter[ids] = np.nan
        ids = ids[~np.isnan(self._sent[ids])]
        self._sent[ids] = np.nan
        return Batch(self._seen_ms[ids] + 1, ids, np.full(len(ids), np.nan), np.ones(len(ids), bool))

    def _plan(self, layout: Layout) -> Compiled:
        plan = self._layouts.get(layout)
        if plan is None:
            plan = self._layouts[layout] = Compiled(layout, self._registry)
            self._grow()
        return plan

    def _grow(self) -> None:
        """Make room for every id that the registry has assigned."""
        have, need = len(self._sent), len(self._registry)
        if need > have:
            more = max(64, have, need - have)
            self._owner = np.concatenate((self._owner, np.full(more, -1, np.int16)))
            self._is_event = np.concatenate((self._is_event, np.zeros(more, bool)))
            self._seen_ms = np.concatenate((self._seen_ms, np.full(more, NEVER)))
            self._counter_ms = np.concatenate((self._counter_ms, np.zeros(more, np.int64)))
            self._counter = np.concatenate((self._counter, np.full(more, np.nan)))
            self._sent = np.concatenate((self._sent, np.full(more, np.inf)))

    def _count(self, causes: np.ndarray[tuple[int], np.dtype[np.int8]]) -> None:
        for code, cause in ((1, "non_finite"), (2, "late"), (3, "out_of_range")):
            number = int(np.count_nonzero(causes == code))
            if number:
                self.dropped[cause] += number


def _join(*parts: Batch) -> Batch:
    return Batch(
        np.concatenate([part.t_ms for part in parts]),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.changed for part in parts]),
    )
