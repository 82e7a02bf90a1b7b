"""A series over a range as arrays, and its summary statistics. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfmon.core import units
from wfmon.core.types import Series

Floats = NDArray[np.float64]

_SHARES = np.array((0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0))
_PROBITS = (0.410, 0.779)
"""The positions of p75 and p90 of a normal distribution between its median (0) and its p95 (1)."""


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """One series over a range. ``envelope``, shape (n, 3): min, mean, max; NaN is a gap. ``quantiles``: p50, p95, p99.

    ``counts`` (n,): samples per step, only for distributions.
    """

    series: str
    unit: str
    from_ms: int
    step_ms: int
    envelope: Floats
    quantiles: Floats | None = None
    counts: Floats | None = None

    @property
    def name(self) -> str:
        return self.series.partition("{")[0]

    @property
    def model(self) -> str | None:
        """The value of its label ``model``, if it has one."""
        return dict(Series.parse(self.series).labels).get("model")

    @property
    def label(self) -> str:
        """Its label values, which distinguish it from the metric's other series; empty without labels."""
        return ", ".join(value for _, value in Series.parse(self.series).labels)


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of the range shown. None without data; ``p95`` is None unless the series is a distribution."""

    mean: float | None = None
    min: float | None = None
    max: float | None = None
    last: float | None = None
    p95: float | None = None


def read(
    found: Mapping[str, Any], quantiles: Mapping[str, Any] | None, counts: Mapping[str, Any] | None
) -> list[SeriesLine]:
    """Turn query answers into lines: the envelope, and for distributions their quantiles and counts."""
    more = {row["series"]: row["points"] for row in (quantiles or {"series": ()})["series"]}
    many = {row["series"]: row["points"] for row in (counts or {"series": ()})["series"]}
    lines = []
    for row in found["series"]:
        text, points = row["series"], row["points"]
        lines.append(
            SeriesLine(
                text, units.unit_of(row["name"], row["unit"]), points[0][0] if points else found["from_ms"],
                row["step_ms"], _columns(points, 3), _columns(more[text], 3) if text in more else None,
                _columns(many[text], 1)[:, 0] if text in many else None,
            )
        )  # fmt: skip
    return lines


def _columns(points: Sequence[Sequence[float | None]], width: int) -> Floats:
    return np.array([point[1 : width + 1] for point in points], np.float64).reshape(len(points), width)


def statistics(line: SeriesLine) -> Stats:
    """Summarise a line. A distribution's steps are weighted by their samples; all other steps weigh the same."""
    low, mean, high = line.envelope.T
    known = np.isfinite(mean)
    if not known.any():
        return Stats()
    weights = np.ones(len(mean)) if line.counts is None or len(line.counts) != len(mean) else line.counts
    weights = np.nan_to_num(weights[known])
    average = float(np.average(mean[known], weights=weights if weights.sum() > 0 else None))
    lows, highs = low[known], high[known]
    return Stats(average, float(lows.min()), float(highs.max()), float(mean[known][-1]), _p95(line))


def _p95(line: SeriesLine, wanted: float = 0.95) -> float | None:
    """Estimate the 95th percentile over all steps from each step's min, p50, p95, p99 and max.

    Between p50 and p95 a step is assumed to be log-normal, as durations are; elsewhere linear.
    """
    if (
        line.quantiles is None
        or line.counts is None
        or not len(line.quantiles) == len(line.envelope) == len(line.counts)
    ):
        return None
    known = np.isfinite(line.quantiles).all(axis=1) & np.isfinite(line.envelope[:, 1]) & (line.counts > 0)
    if not known.any():
        return None
    p50, p95, p99 = line.quantiles[known].T
    between = [np.where(p50 > 0, p50 * (p95 / np.where(p50 > 0, p50, 1)) ** z, p50 + (p95 - p50) * z) for z in _PROBITS]
    knots = np.stack([line.envelope[known, 0], p50, *between, p95, p99, line.envelope[known, 2]])
    knots, weights = np.maximum.accumulate(knots, axis=0), line.counts[known]
    low, high = float(knots[0].min()), float(knots[-1].max())
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if (_below(knots, middle) @ weights) < wanted * weights.sum() else (low, middle)
    return min(high, float(np.nanmax(line.envelope[:, 2])))  # a sketch is only accurate to some percent


def _below(knots: Floats, value: float) -> Floats:
    """Return each step's share of samples below a value; ``knots``, shape (7, n), are the values at ``_SHARES``."""
    at = np.clip((knots <= value).sum(axis=0) - 1, 0, len(_SHARES) - 2)
    steps = np.arange(knots.shape[1])
    low, high = knots[at, steps], knots[at + 1, steps]
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.where(high > low, np.clip((value - low) / (high - low), 0, 1), value >= low)
    return np.asarray(_SHARES[at] + (_SHARES[at + 1] - _SHARES[at]) * way)
