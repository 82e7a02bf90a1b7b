"""Block-bootstrap confidence intervals for autocorrelated time series. Pure functions in numpy.

Neighbouring values of a time series are alike: an interval that assumes independence is several times too narrow. So
blocks of time are resampled, gaps included: the moving-block bootstrap of Kuensch ("The jackknife and the bootstrap
for general stationary observations", Ann. Statist. 17, 1989) on a circle (Politis and Romano, 1992), with the block
length of ``block_length``. Draws are widened for the small number of blocks, with Student's quantile (Hesterberg,
"What teachers should know about the bootstrap", 2015, "expanded percentile").

Every function that draws takes its random generator, so that results are reproducible.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

ROUNDS = 800
"""Resamples: the ends of a 95 % interval are then steady to about a tenth of its width."""
LEAST_BLOCKS = 4
"""Fewest blocks for a result: with fewer, the series varied too rarely to show what is usual."""
LONGER, SLOWEST = 3, 6
"""Factor on the variance-optimal block length; an optimum above 1 / SLOWEST of the span is too slow for a result."""
LEAST_STEPS = 8
"""Fewest known steps for a result."""
TREND_STEPS = 64
"""Steps used for a slope: 2,016 pairs."""
TREND_ROUNDS = 400
AT_ONCE = 50
"""Resamples processed together: a few megabytes at a time, not twenty."""
_Z = 1.959964
_MOST_CORRELATION = 0.999_999


class Steps(NamedTuple):
    """A span cut into k steps of equal length: the number of values in each, and their sum; ``counts`` 0 is a gap.

    ``bins`` (k, b), if the distribution is known: how many values of each step are in each bin; ``edges`` (2, b): the
    bins' ends, ascending.
    """

    counts: Floats
    sums: Floats
    bins: Singles | None = None
    edges: Floats | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.counts > 0


class Sampled(NamedTuple):
    """A statistic, its bootstrap draws (r,), and the number of blocks they are from."""

    value: float
    draws: Floats
    blocks: float


class Interval(NamedTuple):
    """A statistic with its 95 % interval; ``confidence`` that it is not 0: 1 - p, two-sided."""

    value: float
    low: float
    high: float
    confidence: float

    @property
    def sure(self) -> bool:
        return self.low > 0 or self.high < 0


def block_length(influence: Floats, known: int) -> int:
    """Return the block length in steps; all of them if the statistic changes too slowly for a result.

    ``influence`` (k,): by how much each step moves the statistic, 0 in gaps; ``known``: how many are not gaps. The rule
    of Politis and White (2004), corrected by Patton (2009): lags count up to the first after which five stay
    insignificant, tapered by a flat top. That length minimises the error of the variance. An interval with correct
    coverage needs longer blocks (Sun, Phillips and Jin, 2008): ``LONGER`` times, at most a quarter of what is known.
    """
    k = len(influence)
    centred = influence - influence.mean()
    spread = float(centred @ centred) / k
    if k < LEAST_STEPS or spread <= 1e-18 * float(np.abs(influence).max(initial=0)) ** 2:
        return 1
    run = max(5, math.ceil(math.sqrt(math.log10(k))))
    lags = min(k - 1, 2 * (math.ceil(math.sqrt(k)) + run))
    covariance = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * k)) ** 2)[: lags + 1] / k
    small = np.abs(covariance[1:]) / spread < 2 * math.sqrt(math.log10(k) / k)
    quiet = np.convolve(small, np.ones(run), "valid") == run
    reach = min(lags, 2 * max(1, int(np.argmax(quiet)) if quiet.any() else lags // 2))
    share = np.arange(1, reach + 1) / reach
    taper = np.clip(2 * (1 - share), 0, 1) * covariance[1 : reach + 1]
    around = float(covariance[0] + 2 * taper.sum())
    slope = float(2 * (taper * np.arange(1, reach + 1)).sum())
    if around <= covariance[0]:
        return 1  # negatively correlated: single steps then give an interval that is wide enough
    best = (1.5 * slope**2 / around**2 * k) ** (1 / 3)
    if best > known / SLOWEST:
        return k
    return int(np.clip(round(LONGER * best) if best >= 1.5 else 1, 1, max(1, known // LEAST_BLOCKS)))


def resampled(k: int, length: int, random: np.random.Generator, rounds: int = ROUNDS) -> Singles:
    """Return how often each of k steps occurs in each of ``rounds`` circular block resamples. Shape (rounds, k)."""
    found = np.empty((rounds, k), np.float32)
    blocks = -(-k // length)
    for part in _parts(rounds):
        n = part.stop - part.start
        starts = random.integers(0, k, (n, blocks))
        ends = starts + length
        ends[:, -1] -= blocks * length - k
        rows, size = np.arange(n)[:, None] * (2 * k + 1), n * (2 * k + 1)
        begun, ended = (np.bincount((rows + each).ravel(), minlength=size) for each in (starts, ends))
        over = np.cumsum((begun - ended).reshape(n, 2 * k + 1), axis=1, dtype=np.float32)
        found[part] = over[:, :k] + over[:, k : 2 * k]
    return found


def difference(
    before: Steps, after: Steps, wanted: float | None, random: np.random.Generator, *, paired: bool
) -> tuple[float, float, Interval] | None:
    """Return a figure of two spans and their difference; None where data is too sparse or changes too slowly.

    ``wanted``: a quantile, or None for the mean. ``paired``: the steps of both are at the same times of day, and each
    resample takes the same ones of both, so that the daily pattern cancels out. Else each span is drawn by itself, and
    the degrees of freedom are Welch's (1947).
    """
    sides = [_figure(each, wanted) for each in (before, after)]
    (one, moved), (other, also_moved) = sides
    known = [int(each.known.sum()) for each in (before, after)]
    if min(known) < LEAST_STEPS:
        return None
    if paired:
        n = min(known)
        length = block_length(also_moved - moved, n)
        if n / length < LEAST_BLOCKS:
            return None
        drawn = resampled(len(moved), length, random)
        left, right = _draws(before, one, wanted, drawn), _draws(after, other, wanted, drawn)
        both = _sampled(other - one, right - left, n / length)
        return one, other, _interval(both, both.blocks - 1)
    lengths = [block_length(influence, n) for (_, influence), n in zip(sides, known, strict=True)]
    if any(n / length < LEAST_BLOCKS for n, length in zip(known, lengths, strict=True)):
        return None
    parts = [
        _sampled(value, _draws(steps, value, wanted, resampled(len(influence), length, random)), n / length)
        for steps, (value, influence), length, n in zip((before, after), sides, lengths, known, strict=True)
    ]
    spread = [(float(each.draws.var()), each.blocks - 1) for each in parts]
    whole = sum(each for each, _ in spread)
    free = whole**2 / sum(each**2 / m for each, m in spread) if whole > 0 else math.inf
    both = Sampled(other - one, parts[1].draws - parts[0].draws, 0)
    return one, other, _interval(both, free)


def quantile(counts: Floats, edges: Floats, wanted: float) -> Floats:
    """Return a quantile of binned values, shape (r,), for ``counts`` (r, b), each row with at least one value.

    The rank is numpy's, interpolated between values; the values of a bin are assumed to be spread evenly over it.
    """
    upto = np.cumsum(counts, axis=1)
    rank = wanted * (upto[:, -1] - 1)
    lower = np.floor(rank)
    one, other = (
        _ranked(counts, upto, edges, lower),
        _ranked(counts, upto, edges, np.minimum(lower + 1, upto[:, -1] - 1)),
    )
    found: Floats = one + (rank - lower) * (other - one)
    return found


def trend(values: Floats, random: np.random.Generator, period: int = 1) -> Interval | None:
    """Return the slope per step of evenly spaced ``values`` (k,), NaN in gaps: Theil (1950) and Sen (1968).

    ``period``: steps per day; then only values of the same time of day are compared (Hirsch, Slack and Smith, 1982).
    The interval comes from slopes of the residuals, resampled in blocks, and so respects autocorrelation. None for
    fewer than ``LEAST_STEPS`` values, or if they change too slowly.
    """
    at = np.flatnonzero(np.isfinite(values))
    n = len(at)
    if n < LEAST_STEPS:
        return None
    known, i, j = values[at], *np.triu_indices(n, 1)
    alike = (at[j] - at[i]) % period == 0
    i, j = i[alike], j[alike]
    if len(i) < n:
        return None
    apart = (at[j] - at[i]).astype(np.float64)
    slope = float(np.median((known[j] - known[i]) / apart))
    left = known - slope * at
    for phase in range(period):
        mine = at % period == phase
        left[mine] -= np.median(left[mine]) if mine.any() else 0
    length = block_length(left, n)
    if n / length < LEAST_BLOCKS:
        return None
    starts = random.integers(0, n, (TREND_ROUNDS, -(-n // length)))
    places = ((starts[:, :, None] + np.arange(length)) % n).reshape(TREND_ROUNDS, -1)[:, :n]
    drawn = left[places]
    slopes = np.concatenate(
        [slope + np.median((drawn[part][:, j] - drawn[part][:, i]) / apart, axis=1) for part in _parts(len(drawn))]
    )
    cycles = max(2.0, n / period)
    wide = slope + (slopes - slope) * math.sqrt(cycles / (cycles - 1))  # the median of each time of day was subtracted
    return _interval(_sampled(slope, wide, n / length), n / length - 2)


def correlation(one: Floats, other: Floats, random: np.random.Generator) -> Interval | None:
    """Return Spearman's rank correlation (1904) of two series on common steps (k,), where both are known.

    None for fewer than ``LEAST_STEPS`` such steps, for too few blocks, or if one does not vary. Each resample is ranked
    again; the interval is computed in Fisher's z = artanh, where it is symmetric.
    """
    known = np.isfinite(one) & np.isfinite(other)
    n = int(known.sum())
    if n < LEAST_STEPS:
        return None
    x, y = (np.unique(each[known], return_inverse=True)[1] for each in (one, other))
    if not x.max() or not y.max():
        return None
    even = np.ones((1, len(x)), np.float32)
    rho = float(_spearman(even, x, y)[0])
    ranks = [(each - each.mean()) / each.std() for each in (_ranks(even, x)[0], _ranks(even, y)[0])]
    influence = np.zeros(len(known))
    influence[known] = ranks[0] * ranks[1] - rho / 2 * (ranks[0] ** 2 + ranks[1] ** 2)
    length = block_length(influence, n)
    if n / length < LEAST_BLOCKS:
        return None
    drawn = resampled(len(known), length, random)
    draws = np.concatenate([_spearman(drawn[part][:, known], x, y) for part in _parts(len(drawn))])
    z = np.arctanh(np.clip(draws, -_MOST_CORRELATION, _MOST_CORRELATION))
    middle = math.atanh(min(max(rho, -_MOST_CORRELATION), _MOST_CORRELATION))
    found = _interval(_sampled(middle, z, n / length), n / length - 2)
    return Interval(rho, math.tanh(found.low), math.tanh(found.high), found.confidence)


def student(free: float) -> float:
    """Return the 97.5 % quantile of Student's distribution, by Cornish and Fisher's series.

    Within 0.5 % from 4 degrees of freedom on, and within 4 % at 2.
    """
    z, f = _Z, max(1.0, free)
    terms = (
        (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1_482 * z**5 - 1_920 * z**3 - 945 * z) / 92_160,
    )  # fmt: skip
    return z + sum(term / f**power for power, term in enumerate(terms, 1))


def _figure(steps: Steps, wanted: float | None) -> tuple[float, Floats]:
    """Return a statistic, and by how much each step moves it (Hampel's influence, 1974); shape (k,)."""
    usual = max(float(steps.counts.mean()), 1e-300)
    if wanted is None or steps.bins is None or steps.edges is None:
        value = float(steps.sums.sum() / max(float(steps.counts.sum()), 1e-300))
        return value, (steps.sums - value * steps.counts) / usual
    whole = steps.bins.sum(axis=0, dtype=np.float64)[None]
    if not whole.any():
        return 0.0, np.zeros(len(steps.counts))
    value = float(quantile(whole, steps.edges, wanted)[0])
    near = min(wanted, 1 - wanted) / 2
    around = [float(quantile(whole, steps.edges, each)[0]) for each in (wanted - near, wanted + near)]
    steep = (around[1] - around[0]) / (2 * near)  # one over the density
    return value, -steep * (steps.bins @ _below(steps.edges, value) - wanted * steps.counts) / usual


def _draws(steps: Steps, value: float, wanted: float | None, drawn: Singles) -> Floats:
    """Return the statistic of each resample (r, k); NaN where a resample has no value."""
    many = drawn @ steps.counts.astype(np.float32)
    found = np.full(len(drawn), np.nan)
    if wanted is None or steps.bins is None or steps.edges is None:
        # Relative to the mean: in float32 a large offset would swamp the variation.
        left = drawn @ (steps.sums - value * steps.counts).astype(np.float32)
        found[many > 0] = value + left[many > 0] / many[many > 0]
    else:
        for part in _parts(len(drawn)):
            some = drawn[part][many[part] > 0]
            found[part][many[part] > 0] = quantile((some @ steps.bins).astype(np.float64), steps.edges, wanted)
    return found


def _parts(rounds: int) -> list[slice]:
    """Cut the rounds into portions, to limit memory."""
    return [slice(begin, min(begin + AT_ONCE, rounds)) for begin in range(0, rounds, AT_ONCE)]


def _sampled(value: float, draws: Floats, blocks: float) -> Sampled:
    """Widen draws for the small number of blocks: their variance is too small by a share of 1 / blocks."""
    return Sampled(value, value + (draws - value) * math.sqrt(blocks / (blocks - 1)), blocks)


def _interval(sampled: Sampled, free: float) -> Interval:
    value, draws = sampled.value, sampled.draws[np.isfinite(sampled.draws)]
    if not len(draws):
        return Interval(value, -math.inf, math.inf, 0.0)
    wide = value + (draws - value) * (student(free) / _Z)
    low, high = np.percentile(wide, (2.5, 97.5)).tolist()
    p = 2 * min(int((wide <= 0).sum()), int((wide >= 0).sum())) / len(wide)
    return Interval(value, low, high, 1 - min(1.0, max(p, 1 / len(wide))))


def _ranked(counts: Floats, upto: Floats, edges: Floats, rank: Floats) -> Floats:
    """Return the value at a rank (r,), counted from 0, in each row."""
    rows = np.arange(len(counts))
    at = np.minimum((upto <= rank[:, None]).sum(axis=1), counts.shape[1] - 1)
    inside = (rank - (upto[rows, at] - counts[rows, at]) + 0.5) / np.maximum(counts[rows, at], 1)
    low, high = edges[:, at]
    found: Floats = low + np.clip(inside, 0, 1) * (high - low)
    return found


def _below(edges: Floats, value: float) -> Singles:
    """Return the share of each bin that is below a value."""
    low, high = edges
    wide = np.where(high > low, high - low, 1)
    return np.asarray(np.where(high > low, np.clip((value - low) / wide, 0, 1), low <= value), np.float32)


def _spearman(weights: Singles, x: NDArray[np.intp], y: NDArray[np.intp]) -> Floats:
    """Return Spearman's correlation for each row of ``weights`` (r, k); NaN where one series does not vary."""
    whole = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (
            each - ((weights * each).sum(axis=1) / whole)[:, None] for each in (_ranks(weights, x), _ranks(weights, y))
        )
        both = (weights * one * other).sum(axis=1, dtype=np.float64)
        spread = [(weights * each * each).sum(axis=1, dtype=np.float64) for each in (one, other)]
        found = both / np.sqrt(spread[0] * spread[1])
    return np.asarray(found, np.float64)


def _ranks(weights: Singles, places: NDArray[np.intp]) -> Singles:
    """Return each value's mean rank in each row, counted ``weights`` (r, k) times; ``places``: its dense rank."""
    order = np.argsort(places, kind="stable")
    first = np.flatnonzero(np.diff(places[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], first, axis=1)
    ends = np.cumsum(sizes, axis=1)
    return np.asarray((ends - (sizes - 1) / 2)[:, places], np.float32)
