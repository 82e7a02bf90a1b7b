"""A block: one second of samples in columns, sorted by series and time. Immutable: any thread may read it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wfmon.core.types import Batch, Millis

Small = NDArray[np.uint16]
Singles = NDArray[np.float32]

SPAN_MS = 60_000
"""The longest span of one block, because a sample's milliseconds are stored in 16 bits."""
MANY = 4
"""Samples per series from which on a block stores their sums."""
_OVERHEAD = 1_100
"""Bytes of a block's Python objects and array headers, excluding their data."""


class Columns(NamedTuple):
    """Samples as parallel arrays, all of shape (n,). NaN is a gap mark."""

    ids: Small
    t_ms: Millis
    values: Singles


class Sums(NamedTuple):
    """What samples come to, side by side; gap marks are left out."""

    samples: NDArray[np.uint32]
    total: NDArray[np.float64]
    low: Singles
    high: Singles
    last: Singles


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One second of all series.

    ``ids`` (k,) ascending; the samples of ``ids[i]`` are ``starts[i]:starts[i + 1]``, in time order. ``base_ms`` +
    ``ms`` is a sample's time, ``end_ms`` the newest. ``packed`` replaces ``ms`` and ``values`` once the block is
    compressed. ``kept`` are the sums, stored if there are many samples per series; of few they would dominate its size.
    """

    base_ms: int
    end_ms: int
    ids: Small
    starts: NDArray[np.uint32]
    kept: Sums | None
    ms: Small | None
    values: Singles | None
    packed: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held, including object overhead."""
        k, n = len(self.ids), int(self.starts[-1])
        return _OVERHEAD + k * (6 if self.kept is None else 30) + (n * 6 if self.packed is None else len(self.packed))

    def restamped(self, step_ms: int) -> Block:
        """Return the same samples with their times shifted by a clock step; the data is shared."""
        return replace(self, base_ms=self.base_ms + step_ms, end_ms=self.end_ms + step_ms)

    def compressed(self) -> Block:
        """Return the same samples in fewer bytes: the bytes of each column grouped by significance, then deflated."""
        if self.ms is None or self.values is None:
            return self
        planes = (
            self.values.view(np.uint8).reshape(-1, 4).T.tobytes() + self.ms.view(np.uint8).reshape(-1, 2).T.tobytes()
        )
        return replace(self, ms=None, values=None, packed=zlib.compress(planes, 1))

    def data(self) -> tuple[Small, Singles]:
        """Return ``ms`` and ``values``, inflated if need be. Shapes (n,)."""
        if self.ms is not None and self.values is not None:
            return self.ms, self.values
        n = int(self.starts[-1])
        planes = np.frombuffer(zlib.decompress(self.packed or b""), np.uint8)
        values = np.ascontiguousarray(planes[: n * 4].reshape(4, n).T).view(np.float32).reshape(n)
        ms = np.ascontiguousarray(planes[n * 4 :].reshape(2, n).T).view(np.uint16).reshape(n)
        return ms, values

    def sums(self) -> tuple[Small, Sums]:
        """Return ids and their sums: one entry per id if the sums are stored, else one per sample."""
        if self.kept is not None:
            return self.ids, self.kept
        values = self.data()[1]
        is_sample = ~np.isnan(values)
        total = np.where(is_sample, values, np.float32(0))
        return self.sample_ids(), Sums(is_sample.astype(np.uint32), total.astype(np.float64), values, values, values)

    def sample_ids(self) -> Small:
        """Return the series id of each sample. Shape (n,)."""
        return np.repeat(self.ids, np.diff(self.starts))

    def columns(self) -> Columns:
        """Return all samples, with their ids and full times."""
        ms, values = self.data()
        return Columns(self.sample_ids(), ms + np.int64(self.base_ms), values)

    def one(self, number: int) -> tuple[Millis, Singles] | None:
        """Return the times and values of one series, or None if it has no sample here."""
        at = int(np.searchsorted(self.ids, number))
        if at == len(self.ids) or int(self.ids[at]) != number:
            return None
        ms, values = self.data()
        part = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return ms[part] + np.int64(self.base_ms), values[part].copy()  # so that the inflated block can be freed


def gather(batches: Sequence[Batch]) -> Columns:
    """Concatenate batches in order of arrival."""
    if not batches:
        return Columns(np.zeros(0, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Columns(
        np.concatenate([batch.ids for batch in batches]).astype(np.uint16),
        np.concatenate([batch.t_ms for batch in batches]),
        np.concatenate([batch.values for batch in batches]).astype(np.float32),
    )


def seal(columns: Columns) -> Block:
    """Sort samples by series and time into a block with sums. ``columns``: not empty, and at most ``SPAN_MS`` long."""
    base_ms = int(columns.t_ms.min())
    ms = (columns.t_ms - base_ms).astype(np.uint16)
    order = np.argsort(columns.ids, kind="stable")  # 16 bits: a radix sort
    ids, ms = columns.ids[order], ms[order]
    if ((ids[1:] == ids[:-1]) & (ms[1:] < ms[:-1])).any():  # rare: the processor keeps each series in time order
        order = np.lexsort((columns.t_ms, columns.ids))
        ids, ms = columns.ids[order], (columns.t_ms[order] - base_ms).astype(np.uint16)
    values = columns.values[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    return Block(
        base_ms=base_ms,
        end_ms=base_ms + int(ms.max()),
        ids=ids[first],
        starts=np.append(first, len(ids)).astype(np.uint32),
        kept=_sums(values, first) if len(values) >= MANY * len(first) else None,
        ms=ms,
        values=values,
    )


def _sums(values: Singles, first: NDArray[np.intp]) -> Sums:
    """Add up the samples of each series; ``first``: where they begin."""
    is_sample = ~np.isnan(values)
    last_at = np.maximum.reduceat(np.where(is_sample, np.arange(len(values)), -1), first)
    return Sums(
        samples=np.add.reduceat(is_sample, first, dtype=np.uint32),
        total=np.add.reduceat(np.where(is_sample, values, 0), first, dtype=np.float64),
        low=np.fmin.reduceat(values, first),
        high=np.fmax.reduceat(values, first),
        last=np.where(last_at >= 0, values[last_at], np.float32(np.nan)),
    )
