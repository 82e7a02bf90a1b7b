"""A sparse DDSketch of many series at once: quantiles with a bounded relative error, that can forget.

Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", PVLDB
12(12), 2019. A value v falls into the bin ceil(log(|v|) / log(gamma)) of its sign, gamma = (1 + alpha) / (1 - alpha),
and the bin's answer 2 gamma^bin / (gamma + 1) is off by at most alpha. Bins are counters: what leaves the window is
taken off again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wfmon.core.types import Floats
    from wfmon.window.block import Singles, Small

ALPHA = 0.01
"""Relative error of a quantile."""
_GAMMA = (1 + ALPHA) / (1 - ALPHA)
_LOG_GAMMA = float(np.log(_GAMMA))
_ZERO = 32_768
_SHIFT = 5_300
"""Float32 reaches from 1e-45 (bin -5,170) to 3.4e38 (bin 4,437): with this added, every bin is positive."""

Keys = NDArray[np.uint32]


class Sketch(NamedTuple):
    """Counts (m,) of the bins in ``keys`` (m,), ascending: a series' id in the upper 16 bits, its bin in the lower."""

    keys: Keys
    counts: NDArray[np.uint32]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.counts.nbytes

    def plus(self, other: Sketch) -> Sketch:
        """Give both together."""
        at = np.searchsorted(self.keys, other.keys)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == other.keys[known]
        counts = self.counts.copy()
        counts[at[known]] += other.counts[known]
        new = ~known
        if not new.any():
            return Sketch(self.keys, counts)
        return Sketch(np.insert(self.keys, at[new], other.keys[new]), np.insert(counts, at[new], other.counts[new]))

    def minus(self, other: Sketch) -> Sketch:
        """Give what is left when ``other``, which was added before, is taken off."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.keys, other.keys)] -= other.counts
        left = counts > 0
        return Sketch(self.keys[left], counts[left])

    def quantiles(self, ids: Small, q: tuple[float, ...]) -> Floats:
        """Give shape (len(ids), len(q)); NaN where a series has no sample. ``ids`` ascending."""
        starts = np.searchsorted(self.keys, ids.astype(np.uint32) << np.uint32(16))
        ends = np.searchsorted(self.keys, ids.astype(np.uint32) << np.uint32(16) | np.uint32(0xFFFF), side="right")
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
            answers[some] = _value(self.keys[below]) * (1 - part[some]) + _value(self.keys[above]) * part[some]
        return answers


EMPTY = Sketch(np.zeros(0, np.uint32), np.zeros(0, np.uint32))


def sketch(ids: Small, values: Singles) -> Sketch:
    """Count samples into bins; gap marks (NaN) are left out. Both of shape (n,), in any order."""
    is_sample = ~np.isnan(values)
    if not is_sample.all():
        ids, values = ids[is_sample], values[is_sample]
    if not len(values):
        return EMPTY
    with np.errstate(divide="ignore"):
        bins = np.ceil(np.log(np.abs(values)) / np.float32(_LOG_GAMMA))
    bins = np.where(values == 0, 0, np.where(values > 0, bins + _SHIFT, -bins - _SHIFT))
    keys = np.sort((ids.astype(np.uint32) << np.uint32(16)) + (bins + _ZERO).astype(np.uint32))
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return Sketch(keys[first], np.diff(np.append(first, len(keys))).astype(np.uint32))


def _value(keys: Keys) -> Floats:
    """Give the value that stands for each key's bin."""
    bins = (keys & np.uint32(0xFFFF)).astype(np.float64) - _ZERO
    size = np.exp((np.abs(bins) - _SHIFT) * _LOG_GAMMA) * 2 / (_GAMMA + 1)
    return np.where(bins == 0, 0.0, np.sign(bins) * size)
