"""History queries: any span of any series as points, from the file and, for the last minutes, from the hot cache.

A query never loses a peak: each point has the minimum, mean and maximum of its step. The tier is chosen so that there
are at least as many buckets as points; the cache's samples are folded in the same way as the file's seconds were, so
that both join without a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.core.answers.history import KeptSeries, Query
from wfmon.core.catalogue import METRICS
from wfmon.core.errors import Refused
from wfmon.core.selectors import is_pattern, pick
from wfmon.core.types import Series
from wfmon.store.buckets import NONE, Buckets, between, joined, of_samples
from wfmon.store.read import Known, Reader
from wfmon.store.retention import Keep
from wfmon.store.tiers import TIERS, Tier, tier_for

FUNCTIONS = ("envelope", "mean", "min", "max", "last", "count", "p50", "p95", "p99", "quantiles")
QUANTILES = {"p50": (0.5,), "p95": (0.95,), "p99": (0.99,), "quantiles": (0.5, 0.95, 0.99)}
MAX_POINTS = 5_000
MAX_SERIES = 50
HOLD_S = 15
"""A gauge's value holds until its next sample, at most this long; then it is unknown."""
DIGITS = 7
_LEAST = 1e-15
"""Smaller values are not rounded."""


class Hot(NamedTuple):
    """Access to the cache. ``samples(series, from_ms, to_ms)``: times (n,) and values (n,), in time order."""

    since_ms: Callable[[], int]
    samples: Callable[[str, int, int], tuple[NDArray[np.int64], NDArray[np.float32]]]
    known: Callable[[], Iterable[tuple[Series, str, str]]]
    """Series of this boot with unit and kind."""


class HeldSpan(NamedTuple):
    """The stored data of one series in [from_s, to_s): the buckets that begin there; ``to_s`` is at most ``now_ms``."""

    known: Known
    now_ms: int
    tier: Tier
    from_s: int
    to_s: int
    buckets: Buckets

    def means(self) -> NDArray[np.float64]:
        """Return the mean at each of the tier's steps, NaN where unknown; a gauge holds its value for a while."""
        step_s = self.tier.step_s
        grid = np.full((max(0, self.to_s - self.from_s) // step_s, 1), np.nan)
        where = (self.buckets.t_s - self.from_s) // step_s
        grid[where, 0] = self.buckets.figures.mean
        if self.known.kind == "gauge":
            _hold(grid, where, self.buckets.figures.last, HOLD_S // step_s)
        found: NDArray[np.float64] = grid[:, 0]
        return found


class HistoryQueries:
    """Answers queries. Any thread."""

    def __init__(self, reader: Reader, hot: Hot, now_ms: Callable[[], int], keep: Callable[[], Keep]) -> None:
        self._reader = reader
        self._hot = hot
        self._now_ms = now_ms
        self._keep = keep

    def series(self) -> list[KeptSeries]:
        """Return every series with any data: {series, name, labels, unit, kind, first_ms, distribution}."""
        return [
            {
                "series": each.text, "name": each.name, "labels": dict(Series.parse(each.text).labels),
                "unit": each.unit, "kind": each.kind, "first_ms": each.first_s * 1_000 if each.first_s else None,
                "distribution": is_distribution(each.name),
            }
            for each in self._known()
        ]  # fmt: skip

    def query(
        self, series: Sequence[str], from_ms: int, to_ms: int, points: int = 1_000, fn: str = "envelope"
    ) -> Query:
        """Return {from_ms, to_ms, step_ms, tier, fn, series: [{series, name, labels, unit, kind, step_ms, points}]}.

        A point is [t_ms, min, mean, max] for "envelope", [t_ms, p50, p95, p99] for "quantiles", else [t_ms, value];
        there is one per step of the span, null in gaps. A selector in ``series`` may omit labels or use ``*``: each
        series that matches is a line. Raises Refused.
        """
        now_ms = self._now_ms()
        _check(from_ms, to_ms, points, fn)
        chosen = self._chosen(series, fn)
        tier, step_s = self._resolution(from_ms, to_ms, points, now_ms)
        from_s = from_ms // 1_000 // step_s * step_s
        to_s = -(-min(to_ms, now_ms) // 1_000)
        found = self._parts(chosen, from_s, to_s, tier, sketches=fn in QUANTILES)
        return {
            "from_ms": from_ms, "to_ms": to_ms, "step_ms": step_s * 1_000, "tier": tier.name, "fn": fn,
            "series": [
                {
                    "series": each.text, "name": each.name, "labels": dict(Series.parse(each.text).labels),
                    "unit": each.unit, "kind": each.kind, "step_ms": step_s * 1_000,
                    "points": _points(joined(found[each.text], step_s), from_s, max(to_s, from_s), step_s, each, fn),
                }
                for each in chosen
            ],
        }  # fmt: skip

    def held(self, text: str, from_ms: int, to_ms: int, most: int, field: str = "series") -> HeldSpan:
        """Return the stored data of one series at the finest resolution with at most about ``most`` buckets.

        A bucket belongs to the span in which it begins, so that adjacent spans share none. Raises Refused, naming
        ``field``.
        """
        try:
            chosen = self._chosen([text] if text else [], "mean")
        except Refused as error:
            raise Refused(field, str(error), error.fix) from None
        if len(chosen) > 1:
            raise Refused(field, f"{len(chosen)} series match {text[:200]!r}.", "Name one, with all its labels.")
        now_ms = self._now_ms()
        end_ms = min(to_ms, now_ms)
        # The future has no buckets: the resolution is chosen for the rest.
        tier, _ = self._resolution(from_ms, end_ms if end_ms > from_ms else to_ms, most, now_ms)
        from_s, to_s = (-(-ms // (tier.step_s * 1_000)) * tier.step_s for ms in (from_ms, end_ms))
        if to_s <= from_s:
            return HeldSpan(chosen[0], now_ms, tier, from_s, from_s, NONE)
        found = joined(self._parts(chosen, from_s, to_s, tier, sketches=True)[chosen[0].text], tier.step_s)
        return HeldSpan(chosen[0], now_ms, tier, from_s, to_s, between(found, from_s, to_s))

    def _known(self, names: Collection[str] = ()) -> list[Known]:
        """Return the known series with these names; all if none are given."""
        kept = [each for each in self._reader.series() if not names or each.name in names]
        there = {each.text for each in kept}
        fresh = [
            Known(0, text, series.name, unit, kind, 0)
            for series, unit, kind in self._hot.known()
            if (not names or series.name in names) and (text := str(series)) not in there
        ]
        return kept + fresh

    def _chosen(self, selectors: Sequence[str], fn: str) -> list[Known]:
        names = {text.partition("{")[0] for text in selectors}
        every = any(is_pattern(name) for name in names)
        known = {each.text: each for each in self._known(() if every else names)} if names else {}
        series = {text: Series.parse(text) for text in known}
        chosen: dict[str, Known] = {}
        for text in selectors:
            try:
                found = pick(text, series)
            except ValueError as error:
                raise Refused("series", f"{error}.", 'Write it as name, or name{label="value"}.') from None
            if not found:
                raise Refused("series", f"No series {text[:200]!r} was ever seen.", "GET /api/v1/history lists them.")
            chosen.update((each, known[each]) for each in found)
        if not chosen:
            raise Refused("series", "No series was named.", "Use series=, once or several times.")
        if len(chosen) > MAX_SERIES:
            raise Refused("series", f"{len(chosen)} series match.", f"Ask for at most {MAX_SERIES} at once.")
        if fn in QUANTILES:
            bare = next((each.text for each in chosen.values() if not is_distribution(each.name)), None)
            if bare is not None:
                raise Refused("fn", f"{bare} has no distribution.", "Ask for envelope, mean, min, max or last.")
        return list(chosen.values())

    def _resolution(self, from_ms: int, to_ms: int, points: int, now_ms: int) -> tuple[Tier, int]:
        """Return the tier that reaches back far enough, and the step in seconds, a multiple of its bucket length."""
        wanted_s = (to_ms - from_ms) / 1_000 / points
        tier, keep, first = tier_for(wanted_s), self._keep(), self._reader.first_of()
        while tier is not TIERS[-1] and (
            from_ms < now_ms - keep.tiers[tier.number] * 1_000 or _is_cut(tier, from_ms // 1_000, first)
        ):
            tier = TIERS[tier.number + 1]
        return tier, tier.step_s * max(1, -(-int(wanted_s * 1_000) // (tier.step_s * 1_000)))

    def _parts(
        self, chosen: Sequence[Known], from_s: int, to_s: int, tier: Tier, *, sketches: bool
    ) -> dict[str, list[Buckets]]:
        """Return each series' buckets from the file and from the cache, without overlap."""
        if to_s <= from_s:
            return {each.text: [] for each in chosen}
        fresh = {each.text: self._hot.samples(each.text, from_s * 1_000, to_s * 1_000) for each in chosen}
        # Read after the samples: whatever the cache has dropped since then comes complete from the file.
        hot_from_s = max(from_s, -(-self._hot.since_ms() // 1_000))
        sealed_to_s, kept = self._reader.parts_before(
            [each.id for each in chosen if each.id], from_s, to_s, tier, journal_to_s=hot_from_s, sketches=sketches
        )
        hot_from_s = max(hot_from_s, sealed_to_s)
        return {
            each.text: [*kept.get(each.id, ()), _folded(each, fresh[each.text], hot_from_s, tier.step_s, sketches)]
            for each in chosen
        }


def _folded(
    each: Known,
    samples: tuple[NDArray[np.int64], NDArray[np.float32]],
    from_s: int,
    step_s: int,
    sketches: bool,  # noqa: FBT001
) -> Buckets:
    """Fold the cache's samples from ``from_s`` on."""
    t_ms, values = samples
    begin = int(np.searchsorted(t_ms, from_s * 1_000))
    return of_samples(t_ms[begin:], values[begin:], step_s, distribution=sketches and is_distribution(each.name))


def _is_cut(tier: Tier, from_s: int, first: Mapping[int, int]) -> bool:
    """Return whether a coarser tier certainly reaches further back, because the size limit removed data early."""
    mine = first.get(tier.number)
    if mine is None or mine <= from_s:
        return False
    return any(at + TIERS[number].chunk_s <= mine for number, at in first.items() if number > tier.number)


def is_distribution(name: str) -> bool:
    """Return whether quantiles of a metric are stored."""
    metric = METRICS.get(name)
    return metric is not None and metric.is_distribution


def _check(from_ms: int, to_ms: int, points: int, fn: str) -> None:
    if not 0 <= from_ms < to_ms:
        raise Refused("from", "The span is empty.", "Use from= and to= in milliseconds, with from before to.")
    if not 1 <= points <= MAX_POINTS:
        raise Refused("points", f"points= is {points}.", f"Use a whole number from 1 to {MAX_POINTS}.")
    if fn not in FUNCTIONS:
        raise Refused("fn", f"There is no function {fn[:40]!r}.", f"Use one of {', '.join(FUNCTIONS)}.")


def _points(buckets: Buckets, from_s: int, to_s: int, step_s: int, each: Known, fn: str) -> list[list[Any]]:
    """Place buckets on the grid of the span; a gauge's last value is held over short gaps."""
    n = max(0, -(-(to_s - from_s) // step_s))
    columns = _columns(buckets, fn)
    grid = np.full((n, len(columns)), np.nan)
    at = (buckets.t_s - from_s) // step_s
    inside = (at >= 0) & (at < n)
    where = at[inside]
    for number, column in enumerate(columns):
        grid[where, number] = column[inside]
    if each.kind == "gauge" and fn not in QUANTILES and fn != "count" and len(where):
        _hold(grid, where, buckets.figures.last[inside], HOLD_S // step_s)
    rows = np.empty((n, 1 + len(columns)), object)
    rows[:, 0] = (from_s + np.arange(n, dtype=np.int64) * step_s) * 1_000
    rows[:, 1:] = rounded(grid)
    rows[:, 1:][np.isnan(grid)] = None
    found: list[list[Any]] = rows.tolist()
    return found


def _columns(buckets: Buckets, fn: str) -> list[NDArray[Any]]:
    figures = buckets.figures
    if fn in QUANTILES:
        ids = np.arange(len(buckets), dtype=np.uint16)
        return list(buckets.sketch.quantiles(ids, QUANTILES[fn]).T)
    if fn == "envelope":
        return [figures.low, figures.mean, figures.high]
    one: dict[str, NDArray[Any]] = {
        "mean": figures.mean, "min": figures.low, "max": figures.high, "last": figures.last, "count": figures.samples,
    }  # fmt: skip
    return [one[fn]]


def _hold(grid: NDArray[np.float64], where: NDArray[np.int64], last: NDArray[np.float32], most: int) -> None:
    """Fill empty steps with the last value, if at most ``most`` in a row are empty; a gap mark holds nothing."""
    n = len(grid)
    ends = np.append(where[1:], n)
    for begin, end, value in zip(where.tolist(), ends.tolist(), last.tolist(), strict=True):
        if end - begin > 1 and end - begin - 1 <= most and value == value:  # noqa: PLR0124  NaN
            grid[begin + 1 : end] = value


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to seven significant digits, the precision of a float32, which keeps JSON short."""
    size = np.abs(values)
    places = np.zeros(values.shape)
    normal = (size >= _LEAST) & (size < np.inf)
    places[normal] = DIGITS - 1 - np.floor(np.log10(size[normal]))
    # Powers of ten up to 22 are exact, so one division or multiplication by them is correctly rounded.
    up, down = 10.0 ** np.clip(places, 0, 22), 10.0 ** np.clip(-places, 0, None)
    found: NDArray[np.float64] = np.rint(values * up / down) / up * down
    return np.where(normal, found, values)
