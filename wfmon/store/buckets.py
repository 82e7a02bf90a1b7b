"""Buckets: summaries of the samples of a span. Pure functions in numpy.

Two forms: a ``Second`` has one bucket of many series, ``Buckets`` has many buckets of one. In both, a NaN in ``last``
means that the series ended in a gap: its value after that is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.core.sketch import EMPTY, Keys, Sketch, counted, sketch

Small = NDArray[np.uint16]
Counts = NDArray[np.uint32]
Singles = NDArray[np.float32]
Seconds = NDArray[np.int64]

HALVINGS = 1
"""Bins of stored sketches are twice as wide (in logarithm) as live ones: quantiles within 2 %."""
MOST = 65_536
"""Maximum number of buckets of one distribution: a sketch's keys have 16 bits for the position."""
_BIN = np.uint32(0xFFFF)
_UP = np.uint32(16)


class Figures(NamedTuple):
    """The figures of each bucket, arrays of shape (k,): number of samples, and mean, minimum, maximum, last value."""

    samples: Counts
    mean: Singles
    low: Singles
    high: Singles
    last: Singles

    def at(self, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Figures:
        """Return the figures of selected buckets."""
        return Figures(self.samples[which], self.mean[which], self.low[which], self.high[which], self.last[which])


@dataclass(frozen=True, slots=True, eq=False)
class Second:
    """One bucket that begins at ``t_s`` (UTC seconds) of the series ``ids`` (k,), ascending.

    ``sketch``: of the distributions among them, by id.
    """

    t_s: int
    ids: Small
    figures: Figures
    sketch: Sketch = EMPTY


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Buckets of one series that begin at ``t_s`` (n,), ascending.

    ``sketch``: by bucket position; empty if the series is not a distribution.
    """

    t_s: Seconds
    figures: Figures
    sketch: Sketch = EMPTY

    def __len__(self) -> int:
        return len(self.t_s)


_NO_SINGLES: Singles = np.zeros(0, np.float32)
NONE = Buckets(np.zeros(0, np.int64), Figures(np.zeros(0, np.uint32), *[_NO_SINGLES] * 4))


def seconds_of(ids: Small, t_ms: NDArray[np.int64], values: Singles, distributions: NDArray[np.bool_]) -> list[Second]:
    """Fold samples, all of shape (n,), into seconds, oldest first; NaN is a gap mark.

    Each series' samples are in time order. ``distributions``: by id, whether a series gets a sketch.
    """
    if not len(ids):
        return []
    t_s = t_ms // 1_000
    order = np.argsort((t_s - t_s.min()) << 16 | ids, kind="stable")
    ids, t_s, values = ids[order], t_s[order], values[order]
    first = _starts(ids, t_s)
    figures, heads, seconds = _folded(values, first), ids[first], t_s[first]
    at = _starts(seconds)
    found = []
    for begin, end in zip(at.tolist(), [*at[1:].tolist(), len(first)], strict=True):
        samples = slice(int(first[begin]), int(first[end]) if end < len(first) else len(ids))
        chosen = distributions[ids[samples]]
        made = sketch(ids[samples][chosen], values[samples][chosen]).halved(HALVINGS)
        part = slice(begin, end)
        found.append(Second(int(seconds[begin]), heads[part], figures.at(part), made))
    return found


def of_samples(t_ms: NDArray[np.int64], values: Singles, step_s: int, *, distribution: bool) -> Buckets:
    """Fold one series' samples (n,), in time order, into buckets of ``step_s``; NaN is a gap mark."""
    if not len(t_ms):
        return NONE
    t_s = t_ms // (step_s * 1_000) * step_s
    first = _starts(t_s)
    made = EMPTY
    if distribution:
        _check_most(len(first))
        at = np.repeat(np.arange(len(first), dtype=np.uint16), np.diff(np.append(first, len(t_s))))
        made = sketch(at, values).halved(HALVINGS)
    return Buckets(t_s[first], _folded(values, first), made)


def merged(older: Second, newer: Second) -> Second:
    """Merge two seconds into one bucket that begins with the older one."""
    ids = np.concatenate((older.ids, newer.ids))
    order = np.argsort(ids, kind="stable")
    ids, first = ids[order], _starts(ids[order])
    figures = _combined(_side_by_side((older.figures, newer.figures)).at(order), first)
    return Second(older.t_s, ids[first], figures, older.sketch.plus(newer.sketch))


def picked(second: Second, ids: Small) -> Second:
    """Return a copy with the buckets of ``ids`` only, so that the rest can be freed."""
    chosen, bins = np.isin(second.ids, ids), np.isin(second.sketch.keys >> _UP, ids)
    whole = second.sketch
    kept = Sketch(whole.keys[bins], whole.counts[bins], whole.halvings) if bins.any() else EMPTY
    return Second(second.t_s, second.ids[chosen], second.figures.at(chosen), kept)


def of_series(seconds: Sequence[Second], ids: Small) -> dict[int, Buckets]:
    """Transpose seconds into the buckets of each of ``ids``, in time order. Series without any are omitted.

    Raises ValueError if a distribution has more than ``MOST``.
    """
    chosen = [np.isin(second.ids, ids) for second in seconds]
    picked = [second.ids[mask] for second, mask in zip(seconds, chosen, strict=True)]
    flat = np.concatenate([np.zeros(0, np.uint16), *picked])
    if not len(flat):
        return {}
    t_s = np.repeat(np.array([second.t_s for second in seconds], np.int64), [len(each) for each in picked])
    figures = _side_by_side([second.figures.at(mask) for second, mask in zip(seconds, chosen, strict=True)])
    order = np.lexsort((t_s, flat))
    flat, t_s, figures = flat[order], t_s[order], figures.at(order)
    sketches = _sketches_of(seconds, ids)
    first = _starts(flat)
    found = {}
    for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(flat)], strict=True):
        number, part = int(flat[begin]), slice(begin, end)
        buckets = Buckets(t_s[part], figures.at(part))
        if number in sketches:
            _check_most(end - begin)
            when, bins, counts = sketches[number]
            at = np.searchsorted(buckets.t_s, when).astype(np.uint32)
            buckets = replace(buckets, sketch=counted(at << _UP | bins, counts, HALVINGS))
        found[number] = buckets
    return found


def joined(parts: Sequence[Buckets], step_s: int) -> Buckets:
    """Join parts, in any order and overlapping, into buckets of ``step_s`` aligned to UTC.

    If parts share a second, the later part's ``last`` counts. Raises ValueError if a distribution has more than
    ``MOST``.
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return NONE
    t_s = np.concatenate([part.t_s for part in parts])
    figures = _side_by_side([part.figures for part in parts])
    order = None if (t_s[1:] >= t_s[:-1]).all() else np.argsort(t_s, kind="stable")
    if order is not None:
        t_s, figures = t_s[order], figures.at(order)
    t_s = t_s // step_s * step_s
    first = _starts(t_s)
    if len(first) < len(t_s):
        figures = _combined(figures, first)
    return Buckets(t_s[first], figures, _together(parts, first, order))


def _together(parts: Sequence[Buckets], first: NDArray[np.intp], order: NDArray[np.intp] | None) -> Sketch:
    """Merge the sketches of all parts by group position; ``order``: the sort order of the buckets."""
    if not any(len(part.sketch.keys) for part in parts):
        return EMPTY
    _check_most(len(first))
    n = sum(map(len, parts))
    sizes = np.diff(np.append(first, n))
    group_of = np.repeat(np.arange(len(first), dtype=np.uint32), sizes)
    if order is not None:
        placed = np.empty(n, np.uint32)
        placed[order] = group_of
        group_of = placed
    keys, counts, base = [], [], 0
    for part in parts:
        keys.append(group_of[base + (part.sketch.keys >> _UP)] << _UP | part.sketch.keys & _BIN)
        counts.append(part.sketch.counts)
        base += len(part)
    halvings = max(part.sketch.halvings for part in parts)
    return counted(np.concatenate(keys), np.concatenate(counts), halvings)


def between(buckets: Buckets, from_s: int, to_s: int) -> Buckets:
    """Return the buckets that begin in [from_s, to_s)."""
    begin, end = np.searchsorted(buckets.t_s, (from_s, to_s)).tolist()
    if begin == 0 and end == len(buckets):
        return buckets
    part = slice(begin, end)
    whole = buckets.sketch
    mine = slice(*np.searchsorted(whole.keys, np.array((begin, end), np.int64) << 16).tolist())
    kept = Sketch(whole.keys[mine] - np.uint32(begin << 16), whole.counts[mine], whole.halvings)
    return Buckets(buckets.t_s[part], buckets.figures.at(part), kept)


def _check_most(n: int) -> None:
    if n > MOST:
        raise ValueError(f"{n:,} buckets of a distribution are more than {MOST:,}: ask for longer ones, or for less")


def _sketches_of(seconds: Sequence[Second], ids: Small) -> dict[int, tuple[Seconds, Keys, Counts]]:
    """Return the sketch bins of ``ids`` that have any: for each bin its second, its number and its count."""
    keys = np.concatenate([EMPTY.keys, *(second.sketch.keys for second in seconds)])
    counts = np.concatenate([EMPTY.counts, *(second.sketch.counts for second in seconds)])
    sizes = [len(second.sketch.keys) for second in seconds]
    t_s = np.repeat(np.array([second.t_s for second in seconds], np.int64), sizes)
    owners = keys >> _UP
    mine = np.flatnonzero(np.isin(owners, ids))
    mine = mine[np.argsort(owners[mine], kind="stable")]
    owners, keys, counts, t_s = owners[mine], keys[mine] & _BIN, counts[mine], t_s[mine]
    if not len(owners):
        return {}
    first = _starts(owners)
    return {
        int(owners[begin]): (t_s[begin:end], keys[begin:end], counts[begin:end])
        for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(owners)], strict=True)
    }


def _starts(*columns: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return where groups of equal rows begin in sorted columns of shape (n,), n > 0."""
    differs = np.zeros(len(columns[0]) - 1, np.bool_)
    for column in columns:
        differs |= column[1:] != column[:-1]
    return np.flatnonzero(np.concatenate(([True], differs)))


def _side_by_side(parts: Sequence[Figures]) -> Figures:
    return Figures(
        np.concatenate([part.samples for part in parts]),
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.last for part in parts]),
    )


def _folded(values: Singles, first: NDArray[np.intp]) -> Figures:
    """Fold samples into groups that begin at ``first``."""
    is_sample = ~np.isnan(values)
    samples = np.add.reduceat(is_sample, first, dtype=np.uint32)
    with np.errstate(invalid="ignore"):  # infinities of both signs: their mean is undefined
        total = np.add.reduceat(np.where(is_sample, values, 0), first, dtype=np.float64)
    last = values[np.append(first[1:], len(values)) - 1]
    return Figures(
        samples, _mean(total, samples), np.fmin.reduceat(values, first), np.fmax.reduceat(values, first), last
    )


def _combined(figures: Figures, first: NDArray[np.intp]) -> Figures:
    """Combine buckets into groups that begin at ``first``."""
    samples = np.add.reduceat(figures.samples, first, dtype=np.uint64)
    with np.errstate(invalid="ignore"):
        weighed = np.where(figures.samples > 0, figures.mean.astype(np.float64) * figures.samples, 0)
        total = np.add.reduceat(weighed, first)
    return Figures(
        np.minimum(samples, 2**32 - 1).astype(np.uint32),
        _mean(total, samples),
        np.fmin.reduceat(figures.low, first),
        np.fmax.reduceat(figures.high, first),
        figures.last[np.append(first[1:], len(figures.last)) - 1],
    )


def _mean(total: NDArray[np.float64], samples: NDArray[np.integer]) -> Singles:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(samples > 0, total / samples, np.nan).astype(np.float32)
