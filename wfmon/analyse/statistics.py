"""Two-sample tests, trends and confidence intervals. Pure functions in numpy; each names its method for the page.

Every function that draws takes its random generator, so that results are reproducible.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 1_000
"""Resamples of a bootstrap: the ends of a 95 % interval are then steady to about a tenth of its width."""
LEAST = 12
"""Fewest values on each side for a comparison."""
MAX_PAIRS = 300
"""Most points used for a Theil-Sen slope: 45,000 pairs."""


class Change(NamedTuple):
    """A change between two samples: their medians, the ratio of these minus one, and its 95 % interval."""

    before: float
    after: float
    ratio: float
    low: float
    high: float
    confidence: float
    """1 - p of a rank test: the confidence that one of both tends to larger values."""


class Trend(NamedTuple):
    """A slope per second, its 95 % interval, and whether that excludes 0."""

    slope: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        return self.low > 0 or self.high < 0


def change(before: Floats, after: Floats, random: np.random.Generator) -> Change | None:
    """Compare two samples, of shapes (n,) and (m,); None if one has fewer than ``LEAST`` values or its median is 0.

    The interval is a percentile bootstrap of the ratio of the medians (Efron and Tibshirani, 1993, ch. 13); the
    confidence comes from the rank test of Mann and Whitney (1947).
    """
    if min(len(before), len(after)) < LEAST:
        return None
    one, other = float(np.median(before)), float(np.median(after))
    if one == 0:
        return None
    drawn = [_medians(each, random) for each in (before, after)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = drawn[1] / drawn[0] - 1
    low, high = np.nanpercentile(ratios, (2.5, 97.5)).tolist()
    return Change(one, other, other / one - 1, low, high, 1 - rank_test(before, after))


def rank_test(one: Floats, other: Floats) -> float:
    """Return p of Mann and Whitney's two-sided rank test: normal approximation, corrected for ties and continuity."""
    n, m = len(one), len(other)
    if not n or not m:
        return 1.0
    values = np.concatenate((one, other))
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    u = ranks[:n].sum() - n * (n + 1) / 2
    total = n + m
    spread = n * m / 12 * (total + 1 - float((counts.astype(np.float64) ** 3 - counts).sum()) / (total * (total - 1)))
    if spread <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2))


def split(values: Floats, days: NDArray[np.int64]) -> tuple[int, float] | None:
    """Return the day from which ``values`` differ most from those before, and p; None if no day splits them.

    ``values`` and the day of each, of shape (n,). The smallest p of a rank test at each day, times the number of days
    tried (Bonferroni).
    """
    tried = [day for day in np.unique(days)[1:].tolist() if LEAST <= int((days < day).sum()) <= len(days) - LEAST]
    if not tried:
        return None
    found = {day: rank_test(values[days < day], values[days >= day]) for day in tried}
    best = min(tried, key=lambda day: found[day])
    return best, min(1.0, found[best] * len(tried))


def trend(t_s: Floats, values: Floats, random: np.random.Generator) -> Trend | None:
    """Return the slope of Theil (1950) and Sen (1968), the median slope of all pairs; None for fewer than 8 values.

    The interval is Sen's, from Kendall's variance; of more than ``MAX_PAIRS`` points a sample is drawn.
    """
    known = ~np.isnan(values)
    t_s, values = t_s[known], values[known]
    if len(values) > MAX_PAIRS:
        at = np.sort(random.choice(len(values), MAX_PAIRS, replace=False))
        t_s, values = t_s[at], values[at]
    n = len(values)
    if n < 8:
        return None
    i, j = np.triu_indices(n, 1)
    apart = t_s[j] - t_s[i]
    slopes = np.sort(((values[j] - values[i])[apart > 0]) / apart[apart > 0])
    if not len(slopes):
        return None
    half = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    ends = [int(np.clip(round((len(slopes) + way * half) / 2), 0, len(slopes) - 1)) for way in (-1, 1)]
    return Trend(float(np.median(slopes)), float(slopes[ends[0]]), float(slopes[ends[1]]))


def profile(hours: NDArray[np.int64], values: Floats) -> Floats:
    """Return the median by hour of the day, shape (24,), NaN where none is. ``hours``: of each value."""
    found = np.full(24, np.nan)
    for hour in np.unique(hours).tolist():
        mine = values[(hours == hour) & ~np.isnan(values)]
        if len(mine):
            found[hour] = np.median(mine)
    return found


def _medians(values: Floats, random: np.random.Generator) -> Floats:
    """Return the medians of ``ROUNDS`` resamples; a large sample is thinned first, which widens the interval."""
    some = values if len(values) <= 2_000 else random.choice(values, 2_000, replace=False)
    found: Floats = np.median(random.choice(some, (ROUNDS, len(some))), axis=1)
    return found
