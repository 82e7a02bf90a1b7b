"""What is unusual now, against the same hour of earlier days: a robust z-score. A mark on a chart, never an alert.

Pure functions. A minute's mean is compared with the minutes of the same hour of up to ``DAYS`` earlier days, half an
hour more on each side: z = (x - median) / scale, where the scale is 1.4826 times the median absolute deviation (MAD),
so that it is a standard deviation where values are normal. z is the modified z-score of Iglewicz and Hoaglin (How to
Detect and Handle Outliers, 1993), for 0.6745 is 1 / 1.4826; their bound of 3.5 is where the unusual ends here.

It begins later, for many series are looked at each minute: ``BEGIN`` and more, for ``MINUTES`` in a row, and ``BEYOND``
scales further out than any minute of the earlier days but one of them. That guard needs no form of the values: it
holds where tails are long and a MAD says little. docs/insights.md tells how often all of it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS, LEAST_DAYS = 14, 5
"""Earlier days that are looked at, and of which there must be so many."""
LEAST_MINUTES = 30
"""Minutes that a day must have in its window of two hours to count."""
MINUTE_S, HOUR_S, ASIDE_S = 60, 3_600, 1_800
BEGIN, END = 5.0, 3.5
"""z from which a minute may begin what is unusual, and below which it is usual again."""
BEYOND = 2.0
"""Scales that it must lie outside of what all earlier days but one had in this hour."""
MINUTES = 3
"""Minutes in a row for which it must hold, to begin as to end: a single spike is nothing."""
NORMAL = 1.4826
"""MAD to standard deviation, of normal values."""
MEAN_NORMAL = 1.2533
"""Mean absolute deviation to standard deviation: for a MAD of 0, as Iglewicz and Hoaglin advise."""
LEAST_SHARE = 0.05
"""The scale is never below this share of the median: what hardly ever moves must not shout when it does."""

WATCHED = (
    "system.cpu_percent", "system.load_1m", "system.memory_percent", "system.swap_percent",
    "system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second", "system.temperature_celsius",
    "gpu.utilisation_percent", "gpu.memory_percent", "gpu.temperature_celsius", "gpu.power_watts",
    "network.loopback_rx_bytes_per_second", "network.loopback_tx_bytes_per_second",
    "model.tokens_per_second", "model.requests_active", "model.requests_waiting", "model.kv_cache_percent",
    "model.vram_bytes", "model.joules_per_token", "ux.frame_time_ms",
)  # fmt: skip
"""Levels that have a rhythm of the day. Left out: what only grows, names of states and indexes of our own, sizes that
never change, single cores (the scheduler moves work between them), the monitor itself and what its own pages make,
free disk space (it drifts: the Insights page has a slope for it) and events, which belong to single requests."""
ALSO = {
    "system.memory_percent": ("system.memory_used_bytes",), "system.swap_percent": ("system.swap_used_bytes",),
    "gpu.memory_percent": ("gpu.memory_used_bytes",),
}  # fmt: skip
"""The same measure in other words: a live chart of it carries the same mark."""
RESOLUTION = {"%": 1.0, "B": 64e6, "B/s": 200e3, "°C": 1.0, "W": 2.0, "/s": 1.0, "ms": 1.0, "J": 0.01, "": 0.5}
"""By unit: what is no difference worth a word; the scale is never below it."""


class Usual(NamedTuple):
    """What a series usually is at an hour. ``low``, ``high``: of the days' least and largest minutes the second."""

    median: float
    scale: float
    low: float
    high: float
    days: int

    def z(self, value: float) -> float:
        """Give how many scales a value lies above (or, negative, below) the median."""
        return (value - self.median) / self.scale

    def span(self, least: float | None, most: float | None) -> tuple[float, float]:
        """Give the usual range, median - END scales to median + END scales, within what is possible at all."""
        low, high = self.median - END * self.scale, self.median + END * self.scale
        return low if least is None else max(low, least), high if most is None else min(high, most)


class Run(NamedTuple):
    """Minutes that are, or may become, unusual: [since_s, until_s) in UTC seconds. ``side``: 1 above, -1 below.

    ``value``, ``z``, ``usual``: of the minute that lay furthest out; ``last``: of the newest one.
    """

    side: int
    since_s: int
    until_s: int
    value: float
    z: float
    usual: Usual
    last: float
    calm: int = 0
    """Minutes since ``until_s`` that were usual, or not measured."""
    told: bool = False


def hour_of(now_s: int, zone: tzinfo | None = None) -> int:
    """Give when this hour of the clock on the wall began, UTC seconds. ``zone`` None: the machine's own."""
    local = datetime.fromtimestamp(now_s, zone)
    return now_s - (local.minute * 60 + local.second)


def windows(hour_s: int, zone: tzinfo | None = None) -> list[tuple[int, int]]:
    """Give [from, to) in UTC seconds of the same hour of each earlier day, the nearest first, with ``ASIDE_S`` around.

    The same hour of the wall clock: across a change to summer time 23 or 25 hours back. An hour that such a day has
    twice is its first one, an hour that it leaves out is the one after.
    """
    local = datetime.fromtimestamp(hour_s, zone)
    found = []
    for back in range(1, DAYS + 1):
        begin_s = int((local - timedelta(days=back)).replace(fold=0).timestamp())
        found.append((begin_s - ASIDE_S, begin_s + HOUR_S + ASIDE_S))
    return found


def usual(days: Sequence[Floats], unit: str) -> Usual | int:
    """Give what is usual, from the means of the minutes of each earlier day; where these are too few, their number.

    A day with fewer than ``LEAST_MINUTES`` known minutes does not count; ``LEAST_DAYS`` must.
    """
    known = [each[~np.isnan(each)] for each in days]
    known = [each for each in known if len(each) >= LEAST_MINUTES]
    if len(known) < LEAST_DAYS:
        return len(known)
    values = np.concatenate(known)
    median = _median(values)
    apart = np.abs(values - median)
    scale = NORMAL * _median(apart) or MEAN_NORMAL * float(apart.mean())
    floor = max(LEAST_SHARE * abs(median), RESOLUTION.get(unit, 0.0))
    lows, highs = sorted(float(each.min()) for each in known), sorted(float(each.max()) for each in known)
    return Usual(median, max(scale, floor) or 1.0, lows[1], highs[-2], len(known))


def _median(values: Floats) -> float:
    """Give the median of (n,) known values. Numpy's own brings in its masked arrays: a megabyte that stays."""
    ranked, half = np.sort(values), (len(values) - 1) // 2
    return float(ranked[half] + ranked[len(values) - 1 - half]) / 2


def side_of(value: float, usual: Usual) -> int:
    """Give 1 or -1 where a minute may begin what is unusual, above or below, else 0."""
    z = usual.z(value)
    if z >= BEGIN and value > usual.high + BEYOND * usual.scale:
        return 1
    return -1 if z <= -BEGIN and value < usual.low - BEYOND * usual.scale else 0


def step(run: Run | None, minute_s: int, value: float | None, usual: Usual | None) -> Run | None:
    """Take in the minute that began at ``minute_s``; None: nothing is unusual, or what was is over.

    ``value`` None: not measured. ``usual`` None: nothing to compare with; both count as usual. Whoever calls sees by
    ``told`` of the run before and after whether it began or ended.
    """
    side = 0 if value is None or usual is None else side_of(value, usual)
    if run is None or not run.told:
        if not side or value is None or usual is None:
            return None
        fresh = Run(side, minute_s, minute_s + MINUTE_S, value, usual.z(value), usual, value)
        if run is None or run.side != side or run.until_s != minute_s:
            return fresh
        longer = _further(run, fresh)
        return longer._replace(told=longer.until_s - longer.since_s >= MINUTES * MINUTE_S)
    if value is not None and usual is not None and run.side * usual.z(value) >= END:
        return _further(run, Run(run.side, minute_s, minute_s + MINUTE_S, value, usual.z(value), usual, value))
    return run._replace(calm=run.calm + 1) if run.calm + 1 < MINUTES else None


def _further(run: Run, fresh: Run) -> Run:
    """Let a run go on by a minute."""
    far = fresh if abs(fresh.z) > abs(run.z) else run
    return far._replace(since_s=run.since_s, until_s=fresh.until_s, last=fresh.last, calm=0, told=run.told)
