"""Detects values unusual for the hour of the day, by a robust z-score. A mark on a chart, never an alert.

Pure functions. A minute's mean is compared with the minutes of the same hour of up to ``DAYS`` earlier days, plus half
an hour on each side: z = (x - median) / scale, where the scale is 1.4826 times the median absolute deviation (MAD), so
that it equals the standard deviation of normal values. z is the modified z-score of Iglewicz and Hoaglin (How to
Detect and Handle Outliers, 1993), because 0.6745 is 1 / 1.4826; their threshold of 3.5 is where an anomaly ends.

It begins at a higher threshold, because many series are tested each minute: ``BEGIN`` or more, for ``MINUTES`` in a
row, and ``BEYOND`` scales outside the range of all earlier days but one. That guard assumes no distribution: it works
where tails are long and a MAD says little. docs/insights.md states the rate of false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS, LEAST_DAYS = 14, 5
"""Earlier days that are compared, and how many of them are required."""
LEAST_MINUTES = 30
"""Minutes that a day must have in its two-hour window to count."""
MINUTE_S, HOUR_S, ASIDE_S = 60, 3_600, 1_800
BEGIN, END = 5.0, 3.5
"""z at which a minute may begin an anomaly, and below which a minute is normal again."""
BEYOND = 2.0
"""Scales by which it must lie outside the range of all earlier days but one at this hour."""
MINUTES = 3
"""Minutes in a row required to begin and to end an anomaly: a single spike is ignored."""
NORMAL = 1.4826
"""Factor from MAD to standard deviation, for normal values."""
MEAN_NORMAL = 1.2533
"""Factor from mean absolute deviation to standard deviation: used if the MAD is 0 (Iglewicz and Hoaglin)."""
LEAST_SHARE = 0.05
"""The scale is never below this share of the median, so that an almost constant series does not alarm at a twitch."""

WATCHED = (
    "system.cpu_percent", "system.load_1m", "system.memory_percent", "system.swap_percent",
    "system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second", "system.temperature_celsius",
    "gpu.utilisation_percent", "gpu.memory_percent", "gpu.temperature_celsius", "gpu.power_watts",
    "network.loopback_rx_bytes_per_second", "network.loopback_tx_bytes_per_second",
    "model.tokens_per_second", "model.requests_active", "model.requests_waiting", "model.kv_cache_percent",
    "model.vram_bytes", "model.joules_per_token", "ux.frame_time_ms",
)  # fmt: skip
"""Levels with a daily rhythm. Excluded: counters, state numbers and our own indexes, constant sizes, single cores (the
scheduler moves work between them), the monitor itself and the load of its own pages, free disk space (it drifts: the
Insights page shows its slope) and events, which belong to single requests."""
ALSO = {
    "system.memory_percent": ("system.memory_used_bytes",), "system.swap_percent": ("system.swap_used_bytes",),
    "gpu.memory_percent": ("gpu.memory_used_bytes",),
}  # fmt: skip
"""Other metrics of the same quantity: their live charts carry the same mark."""
RESOLUTION = {"%": 1.0, "B": 64e6, "B/s": 200e3, "°C": 1.0, "W": 2.0, "/s": 1.0, "ms": 1.0, "J": 0.01, "": 0.5}
"""By unit: the smallest relevant difference; the scale is never below it."""


class Usual(NamedTuple):
    """A series' usual values at an hour. ``low``, ``high``: second lowest and highest of the days' extreme minutes."""

    median: float
    scale: float
    low: float
    high: float
    days: int

    def z(self, value: float) -> float:
        """Return by how many scales a value is above (negative: below) the median."""
        return (value - self.median) / self.scale

    def span(self, least: float | None, most: float | None) -> tuple[float, float]:
        """Return the usual range, median +- END scales, clipped to the possible range."""
        low, high = self.median - END * self.scale, self.median + END * self.scale
        return low if least is None else max(low, least), high if most is None else min(high, most)


class Run(NamedTuple):
    """An anomaly, or a candidate for one: [since_s, until_s) in UTC seconds. ``side``: 1 above, -1 below.

    ``value``, ``z``, ``usual``: of the most extreme minute; ``last``: the newest value.
    """

    side: int
    since_s: int
    until_s: int
    value: float
    z: float
    usual: Usual
    last: float
    calm: int = 0
    """Minutes since ``until_s`` that were normal or not measured."""
    confirmed: bool = False
    """Whether it has lasted ``MINUTES``, so that it is reported."""


def hour_of(now_s: int, zone: tzinfo | None = None) -> int:
    """Return the start of the current local hour, UTC seconds. ``zone`` None: the machine's own."""
    local = datetime.fromtimestamp(now_s, zone)
    return now_s - (local.minute * 60 + local.second)


def windows(hour_s: int, zone: tzinfo | None = None) -> list[tuple[int, int]]:
    """Return [from, to) in UTC seconds of the same hour of each earlier day, nearest first, widened by ``ASIDE_S``.

    The same hour of the local clock: 23 or 25 hours back across a change of summer time. Of an hour that such a day has
    twice the first is used, for one that it skips the one after.
    """
    local = datetime.fromtimestamp(hour_s, zone)
    found = []
    for back in range(1, DAYS + 1):
        begin_s = int((local - timedelta(days=back)).replace(fold=0).timestamp())
        found.append((begin_s - ASIDE_S, begin_s + HOUR_S + ASIDE_S))
    return found


def usual(days: Sequence[Floats], unit: str) -> Usual | int:
    """Return the usual values from the minute means of each earlier day; if there are too few days, their number.

    A day needs ``LEAST_MINUTES`` known minutes to count; ``LEAST_DAYS`` days are required.
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
    """Return the median of (n,) known values. Numpy's own imports masked arrays, which cost a megabyte."""
    ranked, half = np.sort(values), (len(values) - 1) // 2
    return float(ranked[half] + ranked[len(values) - 1 - half]) / 2


def side_of(value: float, usual: Usual) -> int:
    """Return 1 (above) or -1 (below) if a minute may begin an anomaly, else 0."""
    z = usual.z(value)
    if z >= BEGIN and value > usual.high + BEYOND * usual.scale:
        return 1
    return -1 if z <= -BEGIN and value < usual.low - BEYOND * usual.scale else 0


def step(run: Run | None, minute_s: int, value: float | None, usual: Usual | None) -> Run | None:
    """Advance by the minute that began at ``minute_s``; None: no anomaly, or it is over.

    ``value`` None: not measured. ``usual`` None: nothing to compare with; both count as normal. The caller compares
    ``confirmed`` of the run before and after to detect a beginning or an end.
    """
    side = 0 if value is None or usual is None else side_of(value, usual)
    if run is None or not run.confirmed:
        if not side or value is None or usual is None:
            return None
        fresh = Run(side, minute_s, minute_s + MINUTE_S, value, usual.z(value), usual, value)
        if run is None or run.side != side or run.until_s != minute_s:
            return fresh
        longer = _further(run, fresh)
        return longer._replace(confirmed=longer.until_s - longer.since_s >= MINUTES * MINUTE_S)
    if value is not None and usual is not None and run.side * usual.z(value) >= END:
        return _further(run, Run(run.side, minute_s, minute_s + MINUTE_S, value, usual.z(value), usual, value))
    return run._replace(calm=run.calm + 1) if run.calm + 1 < MINUTES else None


def _further(run: Run, fresh: Run) -> Run:
    """Extend a run by a minute."""
    far = fresh if abs(fresh.z) > abs(run.z) else run
    return far._replace(since_s=run.since_s, until_s=fresh.until_s, last=fresh.last, calm=0, confirmed=run.confirmed)
