"""Statistics of a span of one series, alone and against another span: each with its confidence, or why it is absent.

Figures use all stored data of the span, not just what a chart shows. The mean is compared for a series over time,
because it is an amount (of use, of speed); quantiles are compared for values of single events (a request, a token, a
frame), because one slow event moves a mean but not a median. Intervals come from ``bootstrap``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfmon.analyse import bootstrap
from wfmon.analyse.bootstrap import Floats, Interval, Steps
from wfmon.analyse.query import HeldSpan, HistoryQueries, is_distribution, rounded
from wfmon.analyse.statistics import profile
from wfmon.core.answers.history import Statistics
from wfmon.core.errors import Refused
from wfmon.core.services import StatisticsQuery
from wfmon.core.sketch import ALPHA, Sketch
from wfmon.core.types import Series
from wfmon.core.zones import to_local_s

Places = NDArray[np.int64]

BUCKETS = 22_000
"""Approximate limit of buckets per span: what each tier holds by default, so that the finest one is read."""
STEPS = 384
"""Steps that are resampled: enough to capture autocorrelation, few enough to be fast."""
LEAST = {"mean": 8, "p50": 12, "p95": 100}
"""Fewest values on each side for a comparison."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
INTERVAL = ("low", "high", "confidence", "sure")
CHANGE = ("before", "after", "difference", *INTERVAL, "ratio", "ratio_low", "ratio_high")
SEED = 1_917
HOUR_S, DAY_S, WEEK_S = 3_600, 86_400, 604_800
PER_S = ((12 * HOUR_S, HOUR_S), (7 * DAY_S, DAY_S))
"""(longest span, unit of its slope), in seconds; longer spans use weeks."""
DAILY_S = 3 * DAY_S
"""Shortest span whose slope compares the same times of day."""
PARTS_S = (7_200, 10_800, 14_400, 21_600, 28_800, 43_200, DAY_S)
"""Step lengths that divide a day; longer ones are whole days."""
METHODS = {
    "mean": "Over all stored data of the span: each value has the same weight if values are single events, otherwise "
    "each step of the tier has.",
    "quantiles": "From the merged sketches of the whole span, within 2 %.",
    "change": "95 % interval by a moving-block bootstrap (Kuensch 1989), which accounts for autocorrelation; block "
    "length by the rule of Politis and White (2004), times three. It compares these two spans as they are: if they "
    "cover different hours of the day, part of a change may come from that.",
    "trend": "Theil-Sen slope over at most 64 steps; the 95 % interval resamples the residuals in blocks, which "
    "accounts for autocorrelation.",
    "profile": "The median of each hour of the day, in your time zone.",
    "correlation": "Spearman's rank correlation over common steps; the 95 % interval resamples blocks of time. "
    "Correlation is not causation.",
}  # fmt: skip
_FUTURE = "The span is in the future: nothing has been measured yet."
_NOTHING = "Nothing was measured in this span."
_BEFORE = "There is no time before this span."
_COARSE = "Data this old is stored at a coarser resolution: none of its steps begins in this span."
_OTHER = "Or compare it with the same span a day or a week earlier."
_SHORT = "Shorter than a day: there is no daily profile."
_NOT_BOTH = "One of them did not change, or changed too slowly, in this span."
_FEW_STEPS = "Too little in common: {0} steps with both values are needed, and there are {1}."
_FEW_BOTH = "Too few values: {0} are needed in each span, and one has {1}."
_FEW = "Too few values: {0} are needed, and there are {1}."
_SLOW = "It changed too rarely or too slowly in this span to show what is usual: choose a longer one."


class SpanStatistics:
    """Computes statistics of spans. Any thread."""

    def __init__(self, history: HistoryQueries) -> None:
        self._history = history

    def statistics(self, asked: StatisticsQuery) -> Statistics:
        """Return {series, name, labels, unit, kind, distribution, span, against, changes, trend, ...}: docs/api.md.

        Every part has ``absent``: why it is missing, else "". Raises Refused.
        """
        against = _checked(asked)
        shown = self._history.held(asked.series, *asked.span, BUCKETS)
        before = self._history.held(asked.series, *against, BUCKETS) if against[0] < against[1] else None
        random = np.random.default_rng(SEED)
        figures, earlier = _figures(shown, asked.span), _figures(before, against)
        return {
            "series": shown.known.text, "name": shown.known.name, "unit": shown.known.unit, "kind": shown.known.kind,
            "labels": dict(Series.parse(shown.known.text).labels),
            "distribution": is_distribution(shown.known.name), "span": figures, "against": earlier,
            "changes": _changes(before, shown, (earlier, figures), random),
            "trend": _trend(shown, figures, random), "profile": _profile(shown, figures, asked.zone),
            "correlation": self._correlation(shown, asked, random) if asked.other else None,
            "methods": METHODS,
        }  # fmt: skip

    def _correlation(self, shown: HeldSpan, asked: StatisticsQuery, random: np.random.Generator) -> dict[str, Any]:
        other = self._history.held(asked.other, *asked.span, BUCKETS, "with")
        base = {"with": other.known.text, "unit": other.known.unit}
        values = [np.zeros(0)] * 2
        pair = (shown, other)
        if all((each.buckets.figures.samples > 0).any() for each in pair):
            extents = [_extent(each, STEPS) for each in pair]
            step_s = max(each[2] for each in extents)
            begin_s, end_s = max(each[0] for each in extents) // step_s * step_s, min(each[1] for each in extents)
            if end_s > begin_s:
                values = [_typical(each, begin_s, end_s, step_s) for each in pair]
        n = min(map(len, values))
        one, another = (each[:n] for each in values)
        steps = int((np.isfinite(one) & np.isfinite(another)).sum())
        result = bootstrap.correlation(one, another, random)
        if result is None:
            absent = _FEW_STEPS.format(bootstrap.LEAST_STEPS, steps) if steps < bootstrap.LEAST_STEPS else _NOT_BOTH
            return {**base, **_none("rho", *INTERVAL), "steps": steps, "absent": absent}
        return {**base, **_interval(result, "rho"), "steps": steps, "absent": ""}


def _checked(asked: StatisticsQuery) -> tuple[int, int]:
    """Return the span to compare with, empty if there is none. Raises Refused."""
    begin, end = asked.span
    if not 0 <= begin < end:
        raise Refused("from", "The span is empty.", "Use from= and to= in milliseconds, with from before to.")
    if asked.against is None:
        return max(0, begin - (end - begin)), begin
    if not 0 <= asked.against[0] < asked.against[1]:
        fix = "Use against_from= before against_to=, in milliseconds; or neither, for the previous span."
        raise Refused("against_from", "The span to compare with is empty.", fix)
    return asked.against


def _figures(held: HeldSpan | None, span: tuple[int, int]) -> dict[str, Any]:
    """Summarise a span. ``measured``: the share of its steps with data; None if values are events."""
    names = ("count", "mean", "min", "max", "last", *QUANTILES, "measured")
    base: dict[str, Any] = {"from_ms": span[0], "to_ms": span[1]}
    if held is None:
        return {**base, "tier": None, "step_ms": None, **_none(*names), "absent": _BEFORE}
    base |= {"tier": held.tier.name, "step_ms": held.tier.step_s * 1_000}
    figures = held.buckets.figures
    known = figures.samples > 0
    if not known.any():
        return {**base, **_none(*names), "absent": _why_nothing(held, span)}
    whole, many = is_distribution(held.known.name), figures.samples[known].astype(np.float64)
    means = figures.mean[known].astype(np.float64) if whole else held.means()
    there = np.isfinite(means)
    lasts = figures.last[np.isfinite(figures.last)]
    low, high = float(np.nanmin(figures.low)), float(np.nanmax(figures.high))
    quantiles: dict[str, float | None] = dict.fromkeys(QUANTILES)
    if whole:
        steps = _steps(held, held.from_s, held.to_s, held.to_s - held.from_s)
        found = {name: _quantile(steps, each)[0] for name, each in QUANTILES.items()}
        quantiles = {name: float(np.clip(each, low, high)) for name, each in found.items()}
    result = {
        "mean": float(np.average(means[there], weights=many[there] if whole else None)), "min": low, "max": high,
        "last": float(lasts[-1]) if len(lasts) else None, **quantiles,
        "measured": None if whole else float(there.mean()),
    }  # fmt: skip
    return {**base, "count": int(many.sum()), **_rounded(result), "absent": ""}


def _why_nothing(held: HeldSpan, span: tuple[int, int]) -> str:
    if span[0] >= held.now_ms:
        return _FUTURE
    return _COARSE if held.to_s <= held.from_s else _NOTHING


def _changes(
    before: HeldSpan | None, after: HeldSpan, figures: Sequence[Mapping[str, Any]], random: np.random.Generator
) -> list[dict[str, Any]]:
    """Compare two spans: p50 and p95 of a distribution, else the mean. ``figures``: of both, in the same order."""
    wanted = ("p50", "p95") if is_distribution(after.known.name) else ("mean",)
    absent = next((each["absent"] for each in figures if each["absent"]), "")
    if before is None or absent:
        return [{"of": name, **_none(*CHANGE), "absent": absent} for name in wanted]
    paired = _are_paired(*figures)
    sides = (
        _abreast(before, after, figures)
        if paired
        else [_steps(each, *_extent(each, STEPS)) for each in (before, after)]
    )
    return [_change(name, sides, random, paired=paired) for name in wanted]


def _are_paired(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two spans have equal length and are whole days apart, so that their steps cover the same hours."""
    long = after["to_ms"] - after["from_ms"] == before["to_ms"] - before["from_ms"]
    return bool(long and (after["from_ms"] - before["from_ms"]) % (DAY_S * 1_000) == 0)


def _abreast(before: HeldSpan, after: HeldSpan, figures: Sequence[Mapping[str, Any]]) -> list[Steps]:
    """Cut two spans into the same steps, from where the data of either begins."""
    apart_s = (figures[1]["from_ms"] - figures[0]["from_ms"]) // 1_000
    extents = [_extent(before, STEPS), _extent(after, STEPS)]
    tier_s = max(each.tier.step_s for each in (before, after))
    begin_s = min(extents[0][0], extents[1][0] - apart_s) // tier_s * tier_s
    end_s = max(extents[0][1], extents[1][1] - apart_s)
    step_s = tier_s * -(-(end_s - begin_s) // (tier_s * STEPS))
    cut = [_steps(each, begin_s + by, end_s + by, step_s) for each, by in ((before, 0), (after, apart_s))]
    k = max(len(each.counts) for each in cut)
    return [_longer(each, k) for each in cut]


def _longer(steps: Steps, k: int) -> Steps:
    """Pad with gaps at the end, to k steps."""
    more = k - len(steps.counts)
    bins = None if steps.bins is None else np.pad(steps.bins, ((0, more), (0, 0)))
    return Steps(np.pad(steps.counts, (0, more)), np.pad(steps.sums, (0, more)), bins, steps.edges)


def _change(name: str, sides: Sequence[Steps], random: np.random.Generator, *, paired: bool) -> dict[str, Any]:
    """Compare one figure. Ratios are relative to the figure before: none if that is not positive."""
    fewest = int(min(each.counts.sum() for each in sides))
    if fewest < LEAST[name]:
        return {"of": name, **_none(*CHANGE), "absent": _FEW_BOTH.format(LEAST[name], fewest)}
    found = bootstrap.difference(sides[0], sides[1], QUANTILES.get(name), random, paired=paired)
    if found is None:
        return {"of": name, **_none(*CHANGE), "absent": _SLOW if paired else f"{_SLOW} {_OTHER}"}
    before, after, result = found
    by = before if before > 0 else math.nan
    return {
        "of": name,
        **_rounded({"before": before, "after": after}), **_interval(result, "difference"),
        **_rounded({"ratio": result.value / by, "ratio_low": result.low / by, "ratio_high": result.high / by}),
        "absent": "",
    }  # fmt: skip


def _trend(held: HeldSpan, figures: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """Return the slope, in a unit that suits the span, over the part of it with data."""
    span_s = (figures["to_ms"] - figures["from_ms"]) / 1_000
    per_s = next((unit_s for most_s, unit_s in PER_S if span_s <= most_s), WEEK_S)
    base = {"per_ms": per_s * 1_000}
    values, step_s, period = np.zeros(0), 1, 1
    if not figures["absent"]:
        begin_s, end_s, step_s = _extent(held, bootstrap.TREND_STEPS)
        if end_s - begin_s >= DAILY_S:
            step_s = next((each for each in PARTS_S if each >= step_s), DAY_S * -(-step_s // DAY_S))
            period = max(1, DAY_S // step_s)
        values = _typical(held, begin_s, end_s, step_s)
    result = bootstrap.trend(values, random, period)
    if result is None:
        n = int(np.isfinite(values).sum())
        few = _FEW.format(bootstrap.LEAST_STEPS, n) if n < bootstrap.LEAST_STEPS else _SLOW
        return {**base, **_none("slope", *INTERVAL), "absent": figures["absent"] or few}
    by = per_s / step_s
    scaled = Interval(result.value * by, result.low * by, result.high * by, result.confidence)
    return {**base, **_interval(scaled, "slope"), "absent": ""}


def _profile(held: HeldSpan, figures: Mapping[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Return the median of each hour of the day: of a distribution's values, else of the tier's steps."""
    short = figures["to_ms"] - figures["from_ms"] < DAY_S * 1_000
    if figures["absent"] or short:
        return {"hours": None, "absent": figures["absent"] or _SHORT}
    t_s = held.from_s + np.arange(0, held.to_s - held.from_s, held.tier.step_s)
    hour_of = to_local_s(t_s, zone) // HOUR_S % 24
    if not is_distribution(held.known.name):
        hours = profile(hour_of, held.means())
    else:
        steps = _steps(held, held.from_s, held.to_s, held.tier.step_s, hour_of)
        hours = np.full(24, np.nan)
        hours[: len(steps.counts)][steps.known] = _quantile(steps, 0.5)
    return {"hours": [None if np.isnan(each) else each for each in rounded(hours).tolist()], "absent": ""}


def _extent(held: HeldSpan, most: int) -> tuple[int, int, int]:
    """Return [begin, end) of the data, and a multiple of the tier's step that gives at most ``most`` steps; seconds."""
    t_s, tier_s = held.buckets.t_s[held.buckets.figures.samples > 0], held.tier.step_s
    begin_s, end_s = int(t_s[0]), int(t_s[-1]) + tier_s
    return begin_s, end_s, tier_s * -(-(end_s - begin_s) // (tier_s * most))


def _steps(held: HeldSpan, begin_s: int, end_s: int, step_s: int, places: Places | None = None) -> Steps:
    """Cut [begin_s, end_s) into steps. ``places``: the target of each of the tier's steps, if not in time order."""
    buckets, tier_s = held.buckets, held.tier.step_s
    if places is None:
        places = (np.arange(held.from_s, held.to_s, tier_s) - begin_s) // step_s
        places[(places < 0) | (places >= -(-(end_s - begin_s) // step_s))] = -1
    k = int(places.max(initial=-1)) + 1
    if not is_distribution(held.known.name):
        values = held.means()
        known = np.isfinite(values) & (places >= 0)
        counts, sums = (_summed(places[known], of, k) for of in (np.ones(int(known.sum())), values[known]))
        return Steps(counts, sums)
    mine = places[(buckets.t_s - held.from_s) // tier_s]
    inside, many = mine >= 0, buckets.figures.samples.astype(np.float64)
    total = np.nan_to_num(buckets.figures.mean.astype(np.float64)) * many
    counts, sums = (_summed(mine[inside], of[inside], k) for of in (many, total))
    sketch = buckets.sketch
    step_of = mine[(sketch.keys >> np.uint32(16)).astype(np.int64)]
    numbers, at = np.unique(sketch.keys & np.uint32(0xFFFF), return_inverse=True)
    chosen, b = step_of >= 0, len(numbers)
    bins = _summed(step_of[chosen] * b + at[chosen], sketch.counts[chosen].astype(np.float64), k * b).reshape(k, b)
    return Steps(counts, sums, bins.astype(np.float32), _edges(Sketch(numbers, sketch.counts[:0], sketch.halvings)))


def _summed(places: Places, values: Floats, size: int) -> Floats:
    """Sum values by place. Shape (size,)."""
    found: Floats = np.bincount(places, values, size).astype(np.float64)
    return found


def _edges(sketch: Sketch) -> Floats:
    """Return the ends of a sketch's bins, ascending, shape (2, b); core.sketch places ``values`` between them."""
    middle = sketch.values()
    growth = ((1 + ALPHA) / (1 - ALPHA)) ** 2**sketch.halvings
    outer = np.abs(middle) * (growth + 1) / 2
    found: Floats = np.sort(np.stack((np.copysign(outer / growth, middle), np.copysign(outer, middle))), axis=0)
    return found


def _typical(held: HeldSpan, begin_s: int, end_s: int, step_s: int) -> Floats:
    """Return the typical value of each step, NaN in a gap: the median of a distribution, else the mean."""
    steps = _steps(held, begin_s, end_s, step_s)
    found = np.full(len(steps.counts), np.nan)
    known = steps.known
    found[known] = _quantile(steps, 0.5) if steps.bins is not None else steps.sums[known] / steps.counts[known]
    return found


def _quantile(steps: Steps, wanted: float) -> Floats:
    """Return a quantile of each step with values."""
    if steps.bins is None or steps.edges is None:
        return np.zeros(0)
    return bootstrap.quantile(steps.bins[steps.known].astype(np.float64), steps.edges, wanted)


def _interval(result: Interval, name: str) -> dict[str, Any]:
    found = _rounded({name: result.value, "low": result.low, "high": result.high})
    return {**found, "confidence": round(result.confidence, 4), "sure": result.sure}


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Round each to seven digits, None if not finite."""
    values = rounded(np.array([math.nan if each is None else each for each in figures.values()]))
    return {name: value if math.isfinite(value) else None for name, value in zip(figures, values.tolist(), strict=True)}


def _none(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)
