"""The hot cache: one-second blocks of every sample, and thread-safe queries of them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wfmon.core.sketch import EMPTY, Sketch, sketch
from wfmon.core.types import Batch, Window
from wfmon.window.block import SPAN_MS, Block, Columns, Sums, gather, seal
from wfmon.window.exact import QUANTILES, as_windows, window_of, windows_of
from wfmon.window.snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wfmon.core.clock import Clock
    from wfmon.core.registry import Registry
    from wfmon.core.types import ClockStep, Millis
    from wfmon.window.block import Singles, Small

SKETCH_S = 300
"""The span for which quantiles of all series are computed from sketches."""
SHORT_S = 10
"""Up to this span the windows of all series are exact."""
LATE_MS = 30_000
"""A sample later than this is dropped; a gap mark is moved to the limit instead, because it must not be lost."""
EARLY_MS = 5_000
"""A sample stamped further in the future than this is dropped: its clock is wrong."""
FRESH = 10
"""This many of the newest blocks are never compressed: the short windows read them often."""
_BATCH_OVERHEAD = 500
"""Bytes of a batch's Python objects, excluding their data."""


class _View(NamedTuple):
    """A consistent snapshot of references, taken under the lock, from which a reader computes."""

    now_ms: int
    blocks: list[Block]
    running: list[Batch]
    sketch: Sketch  # of blocks[sketched_from:]
    sketched_from: int
    carry: Singles


class HotCache:
    """The last ``seconds`` of every sample, in at most ``max_bytes``.

    Only the ticker appends, folds and reports clock steps. Any thread reads: blocks are immutable, so a reader takes
    references under a short lock and computes outside it. Values are stored as float32 (24 significant bits: 16 GB is
    exact to the nearest KB). Above ``max_bytes`` older blocks are compressed, then dropped.
    """

    def __init__(self, registry: Registry, clock: Clock, seconds: int, max_bytes: int) -> None:
        self._registry = registry
        self._clock = clock
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._blocks: deque[Block] = deque()
        self._running: list[Batch] = []
        self._running_from_ms = self._running_to_ms = 0
        self._running_bytes = 0
        self._block_bytes = 0
        self._packed = 0  # how many of the oldest blocks are compressed
        self._sketch = EMPTY
        self._sketched_from = 0  # how many of the oldest blocks are older than the sketch
        self._last_ms = np.zeros(0, np.int64)
        self._last = np.zeros(0)
        self._seen = np.zeros(0, np.bool_)
        self._carry = np.zeros(0, np.float32)  # by id, the value before the oldest block; replaced, never written into
        self.shortened = False
        """Whether blocks were dropped early to stay within ``max_bytes``."""
        self.dropped: Counter[str] = Counter()
        """Rejected samples by cause: too_late, too_early."""

    # Called by the ticker only.

    def append(self, batch: Batch) -> None:
        """Add a batch to the running second."""
        if not len(batch):
            return
        now_ms = self._clock.now_ms()
        if int(batch.t_ms.min()) < now_ms - LATE_MS or int(batch.t_ms.max()) > now_ms + EARLY_MS:
            batch = self._in_time(batch, now_ms)
        if len(batch):
            self._take(batch)

    def fold(self) -> None:
        """Seal the running second, then expire old blocks and enforce ``max_bytes``. Call once a second."""
        self._seal()
        self._expire(self._clock.now_ms())
        self._fit()

    def on_clock_step(self, step: ClockStep) -> None:
        """Keep the cached samples aligned with the wall clock.

        A step of the wall clock shifts all timestamps, so that samples keep their distance from now. A sleep shifts
        none, and every series gets a gap mark where the sleep began.
        """
        before_ms = step.t_ms - step.step_ms
        self._seal()
        if step.kind == "sleep":
            ids = np.flatnonzero(self._seen & ~np.isnan(self._last)).astype(np.int32)
            if len(ids):
                t_ms = np.maximum(self._last_ms[ids], before_ms)
                self._take(Batch(t_ms, ids, np.full(len(ids), np.nan), np.ones(len(ids), np.bool_)))
                self._seal()
            self._expire(step.t_ms)
        else:
            blocks = deque(block.restamped(step.step_ms) for block in self._blocks)
            with self._lock:
                self._blocks = blocks
                self._last_ms[self._seen] += step.step_ms

    # Called by any thread.

    def window(self, series_id: int, span_s: float, *, exact: bool = True) -> Window:
        """Summarise the last ``span_s`` of one series, up to now. Not ``exact``: 300 s has quantiles from a sketch."""
        view = self._view()
        if not exact and span_s == SKETCH_S:
            return self._sketched(view).get(series_id, Window(span_s, 0))
        return self._one(view, series_id, view.now_ms - round(span_s * 1000), None, span_s)

    def between(self, series_id: int, from_ms: int, to_ms: int) -> Window:
        """Summarise one series over (``from_ms``, ``to_ms``], as far back as the cache reaches; exact."""
        return self._one(self._view(), series_id, from_ms, to_ms, (to_ms - from_ms) / 1000)

    def samples(self, from_ms: int, to_ms: int) -> Columns:
        """Return all samples of all series in [``from_ms``, ``to_ms``), each series in time order."""
        view = self._view()
        parts = [block.columns() for block in view.blocks if block.end_ms >= from_ms and block.base_ms < to_ms]
        parts.append(gather(view.running))
        ids, t_ms, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        wanted = (t_ms >= from_ms) & (t_ms < to_ms)
        ids, t_ms, values = ids[wanted], t_ms[wanted], values[wanted]
        order = np.lexsort((t_ms, ids)) if (np.diff(t_ms) < 0).any() else slice(None)
        return Columns(ids[order], t_ms[order], values[order])

    def samples_of(self, series_id: int, from_ms: int, to_ms: int) -> Columns:
        """Return the samples of one series in [``from_ms``, ``to_ms``), in time order."""
        t_ms, values = self._of(self._view(), series_id, from_ms - 1, to_ms - 1)
        return Columns(np.full(len(t_ms), series_id, np.uint16), t_ms, values)

    @property
    def since_ms(self) -> int:
        """The instant from which the cache holds every sample."""
        view = self._view()
        held = view.blocks[0].base_ms if view.blocks else self._running_from_ms if view.running else view.now_ms
        return max(held, view.now_ms - self._seconds * 1000)

    def means(self, from_ms: int, to_ms: int) -> dict[int, float]:
        """Return the mean of every series with a sample in [``from_ms``, ``to_ms``), by id.

        Computed from whole blocks, selected by their start: each end is accurate to about a second.
        """
        blocks = [block for block in self._view().blocks if from_ms <= block.base_ms < to_ms]
        if not blocks:
            return {}
        ids, sums = _sums_of(blocks)
        count, total = np.bincount(ids, sums.samples), np.bincount(ids, sums.total)
        there = np.flatnonzero(count)
        return dict(zip(there.tolist(), (total[there] / count[there]).tolist(), strict=True))

    def windows(self, span_s: float) -> dict[int, Window]:
        """Summarise the last ``span_s`` of every series with a sample in it: up to 10 s exactly, or 300 s.

        300 s uses a sketch: quantiles within 1 %, and the old end rounded to a block (about a second). Raises
        ValueError for other spans, which would load every sample of all series into memory at once.
        """
        if span_s == SKETCH_S:
            return self._sketched(self._view())
        if not 0 < span_s <= SHORT_S:
            raise ValueError(f"windows of all series span up to {SHORT_S} s or {SKETCH_S} s, not {span_s} s")
        return self._exact(span_s)

    def latest(self) -> dict[int, tuple[int, float]]:
        """Return the newest (t_ms, value) of every series ever seen; NaN is a gap."""
        with self._lock:
            ids = np.flatnonzero(self._seen)
            t_ms, values = self._last_ms[ids], self._last[ids]
        return dict(zip(ids.tolist(), zip(t_ms.tolist(), values.tolist(), strict=True), strict=True))

    def snapshot(self, max_values: int = 150_000) -> Snapshot:
        """Return all series as a grid ending now, with at most ``max_values`` values."""
        view = self._view()
        known = np.flatnonzero(~np.isnan(view.carry)).tolist()
        held = np.array([number for number in known if not self._is_event(number)], np.uint16)
        carried = Columns(held, np.zeros(len(held), np.int64), view.carry[held])
        running = gather(view.running)
        ids = np.unique(np.concatenate([held, *(block.ids for block in view.blocks), running.ids]))
        starts_ms = [block.base_ms for block in view.blocks] + running.t_ms[:1].tolist()
        since_ms = max(min(starts_ms, default=view.now_ms), view.now_ms - self._seconds * 1000)
        parts = chain((carried,), (block.columns() for block in view.blocks), (running,))
        events = np.array([self._is_event(number) for number in ids.tolist()], np.bool_)
        return snapshot(ids, parts, since_ms, view.now_ms, max_values, events)

    @property
    def bytes(self) -> int:
        """Bytes held, overhead of the objects included."""
        return self._block_bytes + self._running_bytes + self._sketch.nbytes + len(self._last) * 21

    @property
    def seconds_held(self) -> float:
        """Age of the oldest sample held, in seconds."""
        view = self._view()
        if view.blocks:
            return max(0, view.now_ms - view.blocks[0].base_ms) / 1000
        return max(0, view.now_ms - self._running_from_ms) / 1000 if view.running else 0.0

    # Inside.

    def _is_event(self, number: int) -> bool:
        return self._registry.metric(number).kind == "event"

    def _one(self, view: _View, series_id: int, since_ms: int, until_ms: int | None, span_s: float) -> Window:
        return window_of(self._of(view, series_id, since_ms, until_ms)[1], span_s)

    def _of(self, view: _View, series_id: int, since_ms: int, until_ms: int | None) -> tuple[Millis, Singles]:
        """Return times and values of one series in (since, until], in time order."""
        parts = [
            part for block in view.blocks if block.end_ms > since_ms and (part := block.one(series_id)) is not None
        ]
        running = gather(view.running)
        mine = running.ids == series_id
        parts.append((running.t_ms[mine], running.values[mine]))
        t_ms = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        order = np.argsort(t_ms, kind="stable")
        wanted = t_ms[order] > since_ms
        if until_ms is not None:
            wanted &= t_ms[order] <= until_ms
        return t_ms[order][wanted], values[order][wanted]

    def _view(self) -> _View:
        with self._lock:
            return _View(
                self._clock.now_ms(),
                list(self._blocks),
                self._running.copy(),
                self._sketch,
                self._sketched_from,
                self._carry,
            )

    def _exact(self, span_s: float) -> dict[int, Window]:
        view = self._view()
        since_ms = view.now_ms - round(span_s * 1000)
        parts = [block.columns() for block in view.blocks if block.end_ms > since_ms]
        parts.append(gather(view.running))
        ids, t_ms, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        recent = t_ms > since_ms
        return windows_of(Columns(ids[recent], t_ms[recent], values[recent]), span_s)

    def _sketched(self, view: _View) -> dict[int, Window]:
        """Compute windows of SKETCH_S from the blocks' sums and the sketch."""
        blocks = view.blocks[view.sketched_from :]
        whole = view.sketch
        if view.running:
            last = seal(gather(view.running))
            blocks.append(last)
            whole = whole.plus(_sketch_of(last))
        if not blocks:
            return {}
        rows, sums = _sums_of(blocks)
        order = np.argsort(rows, kind="stable")  # 16 bits: a radix sort; a series' blocks stay in order of time
        order = order[sums.samples[order] > 0]
        rows = rows[order]
        if not len(rows):
            return {}
        first = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        ids, count = rows[first], np.add.reduceat(sums.samples[order], first, dtype=np.int64)
        total = np.add.reduceat(sums.total[order], first)
        low = np.minimum.reduceat(sums.low[order], first)
        high = np.maximum.reduceat(sums.high[order], first)
        last = sums.last[order][np.append(first[1:], len(rows)) - 1]
        quantiles = np.clip(whole.quantiles(ids, QUANTILES), low[:, None], high[:, None])
        return as_windows(SKETCH_S, ids, count, total / count, low, high, last, quantiles)

    def _in_time(self, batch: Batch, now_ms: int) -> Batch:
        """Drop and count samples stamped too late or too early."""
        late, early = batch.t_ms < now_ms - LATE_MS, batch.t_ms > now_ms + EARLY_MS
        gap = np.isnan(batch.values)
        for cause, flags in (("too_late", late & ~gap), ("too_early", early)):
            number = int(np.count_nonzero(flags))
            if number:
                self.dropped[cause] += number
        keep = ~early & (gap | ~late)
        t_ms = np.maximum(batch.t_ms[keep], now_ms - LATE_MS)
        return Batch(t_ms, batch.ids[keep], batch.values[keep], batch.changed[keep])

    def _take(self, batch: Batch) -> None:
        first_ms, last_ms = int(batch.t_ms.min()), int(batch.t_ms.max())
        if self._running and max(last_ms, self._running_to_ms) - min(first_ms, self._running_from_ms) > SPAN_MS:
            self._seal()
        self._running_from_ms = min(first_ms, self._running_from_ms) if self._running else first_ms
        self._running_to_ms = max(last_ms, self._running_to_ms) if self._running else last_ms
        self._running_bytes += _BATCH_OVERHEAD + len(batch) * 21
        with self._lock:
            self._running.append(batch)
            if len(self._registry) > len(self._last):
                self._grow()
            self._last_ms[batch.ids] = batch.t_ms
            self._last[batch.ids] = batch.values
            self._seen[batch.ids] = True

    def _seal(self) -> None:
        """Turn the running second into a block."""
        if not self._running:
            return
        block = seal(gather(self._running))
        whole = self._sketch.plus(_sketch_of(block))
        with self._lock:
            self._blocks.append(block)
            self._running = []
            self._sketch = whole
        self._block_bytes += block.nbytes
        self._running_bytes = 0

    def _expire(self, now_ms: int) -> None:
        """Remove expired blocks from the cache and from the sketch."""
        while self._blocks and self._blocks[0].end_ms <= now_ms - self._seconds * 1000:
            self._drop_oldest()
        while (
            self._sketched_from < len(self._blocks)
            and self._blocks[self._sketched_from].end_ms <= now_ms - SKETCH_S * 1000
        ):
            smaller = self._sketch.minus(_sketch_of(self._blocks[self._sketched_from]))
            with self._lock:
                self._sketch = smaller
                self._sketched_from += 1

    def _fit(self) -> None:
        """Stay within ``max_bytes``: compress older blocks, then drop the oldest."""
        while self.bytes > self._max_bytes and self._packed < len(self._blocks) - FRESH:
            before = self._blocks[self._packed]
            after = before.compressed()
            with self._lock:
                self._blocks[self._packed] = after
            self._packed += 1
            self._block_bytes += after.nbytes - before.nbytes
        dropped = False
        while self.bytes > self._max_bytes and len(self._blocks) > 1:
            self._drop_oldest()
            dropped = True
        self.shortened = dropped or (self.shortened and self.seconds_held < self._seconds - 2)

    def _drop_oldest(self) -> None:
        block = self._blocks[0]
        smaller = self._sketch if self._sketched_from else self._sketch.minus(_sketch_of(block))
        carry = np.full(len(self._last), np.nan, np.float32)
        carry[: len(self._carry)] = self._carry
        carry[block.ids] = block.data()[1][block.starts[1:] - 1]
        with self._lock:
            self._blocks.popleft()
            self._carry = carry
            self._sketch = smaller
            self._sketched_from = max(0, self._sketched_from - 1)
        self._packed = max(0, self._packed - 1)
        self._block_bytes -= block.nbytes

    def _grow(self) -> None:
        more = max(64, len(self._last), len(self._registry) - len(self._last))
        self._last_ms = np.concatenate((self._last_ms, np.zeros(more, np.int64)))
        self._last = np.concatenate((self._last, np.zeros(more)))
        self._seen = np.concatenate((self._seen, np.zeros(more, np.bool_)))


def _sums_of(blocks: Sequence[Block]) -> tuple[Small, Sums]:
    """Put the sums of blocks side by side, in order of time; at least one."""
    ids, sums = zip(*(block.sums() for block in blocks), strict=True)
    return np.concatenate(ids), Sums(*(np.concatenate(column) for column in zip(*sums, strict=True)))


def _sketch_of(block: Block) -> Sketch:
    return sketch(block.sample_ids(), block.data()[1])
