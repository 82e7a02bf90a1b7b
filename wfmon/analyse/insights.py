"""Insights into the last days: findings as sentences, each with its figures, its span and its confidence.

Runs in a short-lived process (``-m wfmon.analyse``), because pandas takes 60 MB. Nothing is reported below ``SURE``;
an empty list is a good answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta, tzinfo
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wfmon.analyse.statistics import LEAST, Change, change, profile, split, trend
from wfmon.core.types import Series
from wfmon.core.zones import instant_ms, local, to_local_s

SURE = 0.95
"""Minimum confidence of a finding."""
WORTH = 0.10
"""Minimum relative change of a median worth reporting."""
DAY_S, HOUR_S = 86_400, 3_600
EPOCH_DAY = date(1970, 1, 1)
FRAME_BUDGET_MS = 16.67
TTFT_TARGET_MS = 1_000.0
MOST = 8
MOST_MODELS = 20
"""Models whose first-token budget is reported: those with the most requests."""
FULL_WITHIN_DAYS = 60
"""A disk that fills up later than this is not reported."""
HOUR_RATIO = 1.5
"""An hour of the day is reported if its median is this many times the day's."""
SEED = 1_917
"""Fixed seed of the bootstrap, so that the same history gives the same findings."""


class Kind(NamedTuple):
    """A figure of requests to compare; ``worse``: the sign of a change for the worse."""

    column: str
    words: str
    unit: str
    worse: int
    metric: str


KINDS = (
    Kind("ttft_ms", "Time to first token", "ms", 1, "model.ttft_ms"),
    Kind("tokens_per_second", "Speed", "tokens/s", -1, "model.tokens_per_second"),
    Kind("entropy_bits", "Mean entropy", "bits", 1, "model.entropy_bits"),
    Kind("queue_ms", "Wait in the queue", "ms", 1, "model.queue_wait_ms"),
)
COMPANIONS = (
    ("system.swap_used_bytes", "swap use"),
    ("system.memory_percent", "memory use"),
    ("system.cpu_percent", "CPU use"),
    ("system.disk_read_bytes_per_second", "disk reads"),
)
"""Machine figures that may have changed together with a model's: named only if they rose on the same day, as surely."""


class Past(NamedTuple):
    """The input of the analysis.

    ``requests``: the table's columns, one row per request. ``series(text)``: hourly means, indexed by UTC seconds, NaN
    in gaps. ``within(text, limit)``: the share of a distribution's samples at or below a limit, and the number of
    samples; None if there are none.
    """

    requests: pd.DataFrame
    series: Callable[[str], pd.Series]
    within: Callable[[str, float], tuple[float, int] | None]
    known: tuple[str, ...]


def insights(past: Past, now_ms: int, days: int, zone: tzinfo) -> dict[str, Any]:
    """Return {span, findings, week, health, budgets, causes}. ``zone``: the user's."""
    random = np.random.default_rng(SEED)
    begin_ms = now_ms - days * DAY_S * 1_000
    requests = past.requests[past.requests["started_ms"] >= begin_ms - days * DAY_S * 1_000]
    span = (begin_ms, now_ms)
    findings = [
        *_changes(past, requests, span, zone, random),
        *_hours(requests[requests["started_ms"] >= begin_ms], span, zone),
        *_disk(past, now_ms, random),
    ]
    findings.sort(key=lambda each: (-each["weight"], each["text"]))
    recent = requests[requests["started_ms"] >= begin_ms]
    budgets = _budgets(past, recent)
    return {
        "from_ms": begin_ms, "to_ms": now_ms, "requests": len(recent), "findings": findings[:MOST],
        "week": _week(past, recent, now_ms, zone), "budgets": budgets, "causes": _causes(recent),
        "health": _health(recent, budgets),
    }  # fmt: skip


def _changes(
    past: Past, requests: pd.DataFrame, span: tuple[int, int], zone: tzinfo, random: np.random.Generator
) -> list[dict[str, Any]]:
    """Compare each model's figures with those of the previous span."""
    found = []
    good = requests[requests["status"] == "ok"]
    for (model, server), mine in good.groupby(["model", "server"], sort=True):
        if len(mine) < 2 * LEAST:
            continue
        for kind in KINDS:
            known = mine.dropna(subset=[kind.column])
            before = known[known["started_ms"] < span[0]][kind.column].to_numpy(np.float64)
            after = known[known["started_ms"] >= span[0]][kind.column].to_numpy(np.float64)
            diff = change(before, after, random)
            if diff is None or not _worth(diff):
                continue
            since, with_what = _since(past, known, kind, zone)
            series = str(Series.of(kind.metric, model=str(model), server=str(server)))
            moved = f"{'rose' if diff.ratio > 0 else 'fell'} {100 * abs(diff.ratio):.0f} %"
            found.append(_finding(
                f"{kind.words} of {model} {moved}{since}{with_what}: {_figure(diff.before)} to {_figure(diff.after)} "
                f"{kind.unit}, medians of {len(before):,} and {len(after):,} requests.",
                span, diff.confidence, [series], worse=diff.ratio * kind.worse > 0, weight=abs(diff.ratio),
                method=f"change between {100 * diff.low:+.0f} and {100 * diff.high:+.0f} % (95 % bootstrap); rank test",
            ))  # fmt: skip
    return found


def _worth(diff: Change) -> bool:
    return diff.confidence >= SURE and abs(diff.ratio) >= WORTH and (diff.low > 0 or diff.high < 0)


def _since(past: Past, known: pd.DataFrame, kind: Kind, zone: tzinfo) -> tuple[str, str]:
    """Return since which day, and together with what, as parts of a sentence; "" where unknown."""
    days = to_local_s(known["started_ms"].to_numpy(np.int64) // 1_000, zone) // DAY_S
    at = split(known[kind.column].to_numpy(np.float64), days)
    if at is None or 1 - at[1] < SURE:
        return "", ""
    day = pd.Timestamp(at[0] * DAY_S, unit="s")
    from_s = _midnight_s(at[0], zone)
    companions = []
    for text, words in COMPANIONS:
        if text not in past.known:
            continue
        hourly = past.series(text).dropna()
        diff = change(
            hourly[hourly.index < from_s].to_numpy(np.float64), hourly[hourly.index >= from_s].to_numpy(np.float64),
            np.random.default_rng(SEED),
        )  # fmt: skip
        if diff is not None and _worth(diff) and diff.ratio > 0:
            companions.append((diff.ratio, words))
    best = max(companions, default=None)
    return f" since {day:%A, %d %B}", f", together with {best[1]}" if best else ""


def _hours(recent: pd.DataFrame, span: tuple[int, int], zone: tzinfo) -> list[dict[str, Any]]:
    """Find the hour of the day in which first tokens take longest, if it stands out."""
    good = recent[recent["status"] == "ok"].dropna(subset=["ttft_ms"])
    if len(good) < 10 * LEAST:
        return []
    t_s = good["started_ms"].to_numpy(np.int64) // 1_000
    values = good["ttft_ms"].to_numpy(np.float64)
    hours = to_local_s(t_s, zone) // HOUR_S % 24
    counts = np.bincount(hours, minlength=24)
    by_hour = np.where(counts >= LEAST, profile(hours, values), np.nan)
    if np.isnan(by_hour).all():
        return []
    worst, middle = int(np.nanargmax(by_hour)), float(np.median(values))
    diff = change(values[hours != worst], values[hours == worst], np.random.default_rng(SEED))
    tried = int((~np.isnan(by_hour)).sum())
    if diff is None or by_hour[worst] < HOUR_RATIO * middle or 1 - (1 - diff.confidence) * tried < SURE:
        return []
    ratio = float(by_hour[worst]) / middle
    return [_finding(
        f"First tokens take longest from {worst}:00 to {(worst + 1) % 24}:00: {ratio:.1f} times the day's median, "
        f"{_figure(float(by_hour[worst]))} against {_figure(middle)} ms, {int(counts[worst])} requests.",
        span, 1 - (1 - diff.confidence) * tried, ["model.ttft_ms"], worse=True, weight=0.5 * (ratio - 1),
        method="rank test of that hour against the others, corrected for the number of hours tried",
    )]  # fmt: skip


def _disk(past: Past, now_ms: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Predict when the disk will be full at the current pace."""
    text = "system.disk_free_bytes"
    if text not in past.known:
        return []
    hourly = past.series(text).dropna()
    fitted = trend(hourly.index.to_numpy(np.float64), hourly.to_numpy(np.float64), random)
    if fitted is None or fitted.high >= 0 or hourly.index[-1] - hourly.index[0] < 2 * DAY_S:
        return []
    left_days = float(hourly.iloc[-1]) / -fitted.slope / DAY_S
    pace, least, most = (-each * DAY_S / 1e9 for each in (fitted.slope, fitted.high, fitted.low))
    if left_days > FULL_WITHIN_DAYS:
        return []
    return [_finding(
        f"Free disk space falls by {pace:.1f} GB a day: at that pace the disk is full in {left_days:.0f} days.",
        (int(hourly.index[0]) * 1_000, now_ms), SURE, [text], worse=True, weight=10 / max(1.0, left_days),
        method=f"Theil-Sen slope, between {least:.1f} and {most:.1f} GB a day (95 %)",
    )]  # fmt: skip


def _finding(
    text: str, span: tuple[int, int], confidence: float, series: list[str], *, worse: bool, weight: float, method: str
) -> dict[str, Any]:
    return {
        "text": text, "from_ms": span[0], "to_ms": span[1], "confidence": round(min(confidence, 0.9999), 4),
        "series": series, "worse": worse, "weight": round(weight, 4), "method": method,
    }  # fmt: skip


def _week(past: Past, recent: pd.DataFrame, now_ms: int, zone: tzinfo) -> dict[str, Any]:
    """Return the last seven days hour by hour: {days: [start_ms], requests: 7 x 24, cpu_percent: 7 x 24 or None}."""
    first = (local(now_ms, zone).date() - EPOCH_DAY).days - 6
    counts = np.zeros((7, 24), np.int64)
    at = to_local_s(recent["started_ms"].to_numpy(np.int64) // 1_000, zone) - first * DAY_S
    inside = (at >= 0) & (at < 7 * DAY_S)
    np.add.at(counts, (at[inside] // DAY_S, at[inside] % DAY_S // HOUR_S), 1)
    cpu: list[list[float | None]] | None = None
    if "system.cpu_percent" in past.known:
        hourly = past.series("system.cpu_percent")
        grid = np.full((7, 24), np.nan)
        where = to_local_s(hourly.index.to_numpy(np.int64), zone) - first * DAY_S
        mine = (where >= 0) & (where < 7 * DAY_S)
        grid[where[mine] // DAY_S, where[mine] % DAY_S // HOUR_S] = hourly.to_numpy(np.float64)[mine]
        cpu = [[None if math.isnan(v) else round(v, 1) for v in row] for row in grid.tolist()]
    days = [_midnight_s(first + number, zone) for number in range(7)]
    return {"days_ms": [day * 1_000 for day in days], "requests": counts.tolist(), "cpu_percent": cpu}


def _midnight_s(day: int, zone: tzinfo) -> int:
    """Return the start of a day, counted from 1970, in a zone; UTC seconds."""
    return instant_ms(EPOCH_DAY + timedelta(days=day), 0, zone) // 1_000


def _budgets(past: Past, recent: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the budgets of frames and first tokens: {name, text, share, target, of}."""
    found = []
    for text in past.known:
        if text.startswith("ux.frame_time_ms"):
            kept = past.within(text, FRAME_BUDGET_MS * 1.05)
            if kept is not None:
                page = dict(Series.parse(text).labels).get("page", "")
                found.append(_budget(f"Frames of {page}", f"within {FRAME_BUDGET_MS} ms", *kept, 0.95))
    good = recent[recent["status"] == "ok"].dropna(subset=["ttft_ms"])
    most = good["model"].value_counts().index[:MOST_MODELS]
    for model, mine in good[good["model"].isin(most)].groupby("model", sort=True):
        share = float((mine["ttft_ms"] <= TTFT_TARGET_MS).mean())
        found.append(_budget(f"First tokens of {model}", f"within {TTFT_TARGET_MS:,.0f} ms", share, len(mine), 0.95))
    return found


def _budget(name: str, text: str, share: float, of: int, target: float) -> dict[str, Any]:
    return {"name": name, "text": text, "share": round(share, 4), "target": target, "of": of}


def _causes(recent: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the causes of slow requests, most frequent first: {code, requests, share of the slow ones, cost_ms}."""
    slow = recent[recent["slow"] == 1]
    if slow.empty:
        return []
    rows = [(cause["code"], cause.get("cost_ms") or math.nan) for causes in slow["causes"] for cause in causes]
    table = pd.DataFrame(rows, columns=["code", "cost_ms"])
    found = [
        {
            "code": str(code), "requests": len(mine), "share": round(len(mine) / len(slow), 4),
            "cost_ms": None if mine["cost_ms"].isna().all() else round(float(mine["cost_ms"].median()), 1),
        }
        for code, mine in table.groupby("code", sort=True)
    ]  # fmt: skip
    none = int((slow["causes"].map(len) == 0).sum())
    if none:
        found.append({"code": "", "requests": none, "share": round(none / len(slow), 4), "cost_ms": None})
    return sorted(found, key=lambda each: -each["requests"])


def _health(recent: pd.DataFrame, budgets: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a score from 0 to 100 and its parts; parts that were not measured are omitted, with their weights."""
    parts = []
    if len(recent):
        ended = recent[recent["status"] != "open"]
        if len(ended):
            parts.append(("Requests that ended well", float((ended["status"] == "ok").mean()), 3))
        judged = recent.dropna(subset=["slow"])
        if len(judged):
            parts.append(("Requests that were not slow", float((judged["slow"] == 0).mean()), 3))
    for name, words, weight in (("Frames", "Frames in time", 2), ("First tokens", "First tokens in time", 2)):
        mine = [each for each in budgets if each["name"].startswith(name)]
        total = sum(each["of"] for each in mine)
        if total:
            parts.append((words, sum(each["share"] * each["of"] for each in mine) / total, weight))
    whole = sum(weight for *_, weight in parts)
    score = sum(share * weight for _, share, weight in parts) / whole if whole else math.nan
    return {
        "score": None if math.isnan(score) else round(100 * score),
        "parts": [{"name": name, "share": round(share, 4), "weight": weight} for name, share, weight in parts],
    }


def _figure(value: float) -> str:
    """Format a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
