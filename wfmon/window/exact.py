"""Exact windows: quantiles by linear interpolation between the nearest ranks, numpy's default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.types import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wfmon.core.types import Floats
    from wfmon.window.block import Columns, Singles

QUANTILES = (0.5, 0.95, 0.99)
_Q = np.array(QUANTILES)
_SIGN = np.uint32(0x8000_0000)
_ALL = np.uint32(0xFFFF_FFFF)


def window_of(values: Singles, span_s: float) -> Window:
    """Summarise the samples of one series, given in time order. NaN is ignored."""
    values = values[~np.isnan(values)].astype(np.float64)
    n = len(values)
    if n == 0:
        return Window(span_s, 0)
    rank = (n - 1) * _Q
    lower = np.floor(rank).astype(np.intp)
    upper = np.minimum(lower + 1, n - 1)
    sorted_there = np.partition(values, np.unique(np.concatenate((lower, upper))))
    p50, p95, p99 = between(sorted_there[lower], sorted_there[upper], rank - lower).tolist()
    return Window(
        span_s, n, float(values.mean()), float(values.min()), float(values.max()), float(values[-1]), p50, p95, p99
    )


def windows_of(columns: Columns, span_s: float) -> dict[int, Window]:
    """Summarise every series with a sample. Series may be interleaved, each in time order."""
    is_sample = ~np.isnan(columns.values)
    ids, values = columns.ids[is_sample], columns.values[is_sample]
    if not len(ids):
        return {}
    order = np.argsort(ids, kind="stable")
    ids, values = ids[order], values[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    ends = np.append(first[1:], len(ids))
    count = ends - first
    ranked = _sorted_within(ids, values)
    rank = (count - 1)[:, None] * _Q
    lower = np.floor(rank).astype(np.intp)
    upper = np.minimum(lower + 1, (count - 1)[:, None])
    quantiles = between(ranked[first[:, None] + lower], ranked[first[:, None] + upper], rank - lower)
    return as_windows(
        span_s,
        ids[first],
        count,
        np.add.reduceat(values, first, dtype=np.float64) / count,
        ranked[first],
        ranked[ends - 1],
        values[ends - 1],
        quantiles,
    )


def as_windows(
    span_s: float,
    ids: NDArray[np.uint16],
    count: NDArray[np.int64],
    mean: Floats,
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    last: NDArray[np.floating],
    quantiles: Floats,
) -> dict[int, Window]:
    """Return one window per id; all of shape (k,), ``quantiles`` (k, 3)."""
    columns = (count, mean, low, high, last, *quantiles.T)
    rows = zip(ids.tolist(), *(column.tolist() for column in columns), strict=True)
    return {number: Window(span_s, *row) for number, *row in rows}


def between(lower: Floats, upper: Floats, part: Floats) -> Floats:
    """Interpolate linearly, exact at both ends."""
    return np.where(part < 0.5, lower + (upper - lower) * part, upper - (upper - lower) * (1 - part))


def _sorted_within(ids: NDArray[np.uint16], values: Singles) -> Floats:
    """Sort values within each id by one integer sort: the id in the high bits, order-preserving float bits below."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    bits = bits ^ np.where(bits & _SIGN, _ALL, _SIGN)
    keys = np.sort(ids.astype(np.uint64) << np.uint64(32) | bits)
    bits = keys.astype(np.uint32)
    bits = bits ^ np.where(bits & _SIGN, _SIGN, _ALL)
    return bits.view(np.float32).astype(np.float64)
