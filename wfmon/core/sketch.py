"""A sparse DDSketch of many series at once: quantiles with a bounded relative error, with removal of old samples.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", PVLDB
12(12), 2019. A value v falls into the bin ceil(log(|v|) / log(gamma)) of its sign, gamma = (1 + alpha) / (1 - alpha),
and the bin's value 2 gamma^bin / (gamma + 1) has a relative error of at most alpha. Bins are counters, so samples that
leave a window can be subtracted. Halving merges neighbouring bins in pairs and squares gamma: coarser and smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wfmon.core.types import Floats

ALPHA = 0.01
"""Relative error of a quantile; about doubled by each halving."""
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LOG_GAMMA = float(np.log(_GAMMA))
_ZERO = 32_768
_SHIFT = 5_300
"""Float32 ranges from 1e-45 (bin -5,170) to 3.4e38 (bin 4,437): adding this makes every bin positive."""
DENSE = 4
"""Most table cells per counted key."""
_MOST = 4_437
"""The last bin, also for infinity: a bin past 16 bits would belong to another series."""

Keys = NDArray[np.uint32]
Small = NDArray[np.uint16]
Singles = NDArray[np.float32]
_BIN = np.uint32(0xFFFF)
_UP = np.uint32(16)


class Sketch(NamedTuple):
    """Counts (m,) of the bins in ``keys`` (m,), ascending: a series's id in the upper 16 bits, the bin in the lower."""

    keys: Keys
    counts: NDArray[np.uint32]
    halvings: int = 0

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.counts.nbytes

    def plus(self, other: Sketch) -> Sketch:
        """Return the sum of both; they must have equal halvings unless one is empty."""
        if not len(self.keys):
            return other
        at = np.searchsorted(self.keys, other.keys)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == other.keys[known]
        counts = self.counts.copy()
        counts[at[known]] += other.counts[known]
        new = ~known
        if not new.any():
            return Sketch(self.keys, counts, self.halvings)
        keys = np.insert(self.keys, at[new], other.keys[new])
        return Sketch(keys, np.insert(counts, at[new], other.counts[new]), self.halvings)

    def minus(self, other: Sketch) -> Sketch:
        """Return the difference; ``other`` must have been added before."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.keys, other.keys)] -= other.counts
        left = counts > 0
        return Sketch(self.keys[left], counts[left], self.halvings)

    def halved(self, times: int = 1) -> Sketch:
        """Return a coarser sketch: neighbouring bins merged in pairs, ``times`` times."""
        if not times or not len(self.keys):
            return self
        bins = (self.keys & _BIN).astype(np.int64) - _ZERO
        size = np.abs(bins) - _SHIFT
        for _ in range(times):
            size = -(-size // 2)
        bins = np.where(bins == 0, 0, np.sign(bins) * (size + _SHIFT)) + _ZERO
        return counted(self.keys & ~_BIN | bins.astype(np.uint32), self.counts, self.halvings + times)

    def quantiles(self, ids: Small, q: tuple[float, ...]) -> Floats:
        """Return quantiles of shape (len(ids), len(q)); NaN for a series without samples. ``ids`` ascending."""
        starts = np.searchsorted(self.keys, ids.astype(np.uint32) << _UP)
        ends = np.searchsorted(self.keys, ids.astype(np.uint32) << _UP | _BIN, side="right")
        upto = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        n = upto[ends] - upto[starts]
        rank = np.maximum(n - 1, 0)[:, None] * np.array(q)
        lower = np.floor(rank)
        part = rank - lower
        answers = np.full(rank.shape, np.nan)
        some = n > 0
        if some.any():
            base = upto[starts[some]][:, None]
            ends_at = (ends[some] - 1)[:, None]
            below = np.searchsorted(upto[1:], base + lower[some], side="right")
            above = np.minimum(np.searchsorted(upto[1:], base + lower[some] + 1, side="right"), ends_at)
            values = self.values()
            answers[some] = values[below] * (1 - part[some]) + values[above] * part[some]
        return answers

    def values(self) -> Floats:
        """Return the value that represents each bin, shape (m,)."""
        log_gamma = _LOG_GAMMA * 2**self.halvings
        bins = (self.keys & _BIN).astype(np.float64) - _ZERO
        size = np.exp((np.abs(bins) - _SHIFT) * log_gamma) * 2 / (np.exp(log_gamma) + 1)
        return np.where(bins == 0, 0.0, np.sign(bins) * size)


EMPTY = Sketch(np.zeros(0, np.uint32), np.zeros(0, np.uint32))


def sketch(ids: Small, values: Singles) -> Sketch:
    """Build a sketch of samples, skipping gaps (NaN). Both arrays have shape (n,), in any order."""
    is_sample = ~np.isnan(values)
    if not is_sample.all():
        ids, values = ids[is_sample], values[is_sample]
    if not len(values):
        return EMPTY
    with np.errstate(divide="ignore"):
        bins = np.minimum(np.ceil(np.log(np.abs(values)) / np.float32(_LOG_GAMMA)), _MOST)
    bins = np.where(values == 0, 0, np.where(values > 0, bins + _SHIFT, -bins - _SHIFT))
    keys = np.sort((ids.astype(np.uint32) << _UP) + (bins + _ZERO).astype(np.uint32))
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return Sketch(keys[first], np.diff(np.append(first, len(keys))).astype(np.uint32))


def counted(keys: Keys, counts: NDArray[np.uint32], halvings: int) -> Sketch:
    """Build a sketch from unsorted keys with duplicates."""
    if not len(keys):
        return EMPTY
    owner, low = int(keys.min() >> _UP), int((keys & _BIN).min())
    width = int((keys & _BIN).max()) - low + 1
    cells = (int(keys.max() >> _UP) - owner + 1) * width
    if cells <= DENSE * len(keys):
        return _tabled(keys, counts, halvings, owner, low, width, cells)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return Sketch(keys[first], np.add.reduceat(counts[order], first, dtype=np.uint32), halvings)


def _tabled(
    keys: Keys, counts: NDArray[np.uint32], halvings: int, owner: int, low: int, width: int, cells: int
) -> Sketch:
    """Count in a table of series x bins: if well filled, two to three times as fast as sorting."""
    at = (keys >> _UP).astype(np.intp)
    at -= owner
    at *= width
    at += keys & _BIN
    at -= low
    table = np.bincount(at, counts, cells)  # exact: doubles count up to 2^53
    filled = np.flatnonzero(table)
    made = ((filled // width + owner) << 16) + filled % width + low
    return Sketch(made.astype(np.uint32), np.minimum(table[filled], 2**32 - 1).astype(np.uint32), halvings)
