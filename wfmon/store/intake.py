"""What is recorded and waits for the file: samples pulled from the cache, folded into seconds, and rows."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.core.types import ClockStep
from wfmon.store.backlog import FOLD_S, Backlog
from wfmon.store.buckets import seconds_of
from wfmon.store.codec import encode_second
from wfmon.store.rows import Rows, insert
from wfmon.store.seal import transaction
from wfmon.store.series_ids import INSERT_SERIES, Described, SeriesIds

MOST_STRIDES = 60
"""A late tick catches up in at most this many parts: five minutes at once would take 100 MB."""


class Pulled(NamedTuple):
    """Samples of a span, by the ids of this boot, each series in time order; arrays of shape (n,)."""

    ids: NDArray[np.uint16]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SampleSource:
    """The source of the writer's samples; called by its thread only.

    ``pull(from_ms, to_ms)``: all samples in [from, to). ``series(since)``: series with ids from ``since`` on, in order.
    """

    pull: Callable[[int, int], Pulled]
    series: Callable[[int], Sequence[Described]]


class Intake:
    """Owns the seconds and rows that wait. The writer's thread, except ``rows``, ``enabled`` and ``set_enabled``."""

    def __init__(self, source: SampleSource, counts: Counter[str], from_ms: int, *, enabled: bool) -> None:
        self._source = source
        self._counts = counts
        self.next_ms = from_ms
        """Everything before this instant was pulled."""
        self.rows = Rows(counts)
        self.backlog = Backlog(counts)
        self.numbers = SeriesIds(counts)
        self._lock = threading.Lock()
        # Under the lock.
        self._enabled = enabled
        self._since_ms = 0  # samples before this are not recorded: recording was off

    @property
    def enabled(self) -> bool:
        """Whether recording is on. Any thread."""
        with self._lock:
            return self._enabled

    def set_enabled(self, now_ms: int, *, enabled: bool) -> bool:
        """Switch recording on or off; return whether that was a change. Any thread."""
        with self._lock:
            changed, self._enabled = enabled != self._enabled, enabled
            if changed and enabled:
                self._since_ms = now_ms
        return changed

    def strides(self, to_s: int) -> Iterator[int]:
        """Yield the ends of the parts in which to pull up to ``to_s``."""
        from_s = self.next_ms // 1_000
        stride_s = max(FOLD_S, -(-(to_s - from_s) // MOST_STRIDES))
        yield from range(from_s + stride_s, to_s, stride_s)
        yield to_s

    def pull_to(self, to_s: int) -> None:
        """Pull the seconds before ``to_s``; only after the file was first opened, because it numbers the series."""
        from_ms, to_ms = self.next_ms, to_s * 1_000
        if to_ms <= from_ms:
            return
        with self._lock:
            enabled, from_ms = self._enabled, max(from_ms, self._since_ms)
        if enabled and from_ms < to_ms:
            pulled = self._source.pull(from_ms, to_ms)
            self.next_ms = to_ms  # before adding them: samples that cannot be added must not return forever
            self.learn()
            if len(pulled.ids):
                self._add(pulled)
        self.next_ms = to_ms

    def learn(self) -> None:
        """Number the series that are new since the last call."""
        self.numbers.learn(self._source.series(len(self.numbers)))

    def write(self, connection: sqlite3.Connection) -> list[int]:
        """Write everything that waits, in one transaction; return the seconds written, UTC.

        Raises sqlite3.Error; then everything keeps waiting.
        """
        rows, seconds = self.rows.waiting(), self.backlog.waiting()
        if not rows and not seconds and not self.numbers.unwritten:
            return []
        with transaction(connection) as cursor:
            cursor.executemany(INSERT_SERIES, self.numbers.unwritten)
            refused = insert(cursor, rows)
            cursor.executemany(
                "INSERT INTO journal (t_s, data) VALUES (?, ?)", [(each.t_s, encode_second(each)) for each in seconds]
            )
        self.numbers.unwritten = []
        self.rows.done(len(rows), refused)
        self.backlog.done(len(seconds))
        self._counts["seconds"] += len(seconds)
        return [each.t_s for each in seconds]

    def shift(self, step: ClockStep) -> None:
        """Follow a step of the wall clock."""
        # Not past the step itself: a tick between the step and its report has used the new time already.
        self.next_ms = min(self.next_ms + step.step_ms, step.t_ms)
        self.numbers.moved(step.step_ms)
        self.rows.moved(step.step_ms)
        with self._lock:
            self._since_ms = 0

    def _add(self, pulled: Pulled) -> None:
        numbers, known = self.numbers.recorded(pulled.ids, pulled.t_ms)
        ids, t_ms, values = numbers[known], pulled.t_ms[known], pulled.values[known]
        self.backlog.add(seconds_of(ids, t_ms, values, self.numbers.distributions))
        self._counts["samples"] += len(ids)
