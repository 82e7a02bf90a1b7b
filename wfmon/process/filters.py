"""What is not a measurement, and what is not news. Pure functions of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wfmon.core.types import Flags, Floats, Millis

LATE_MS = 5_000
"""A sample up to this much older than its series' newest is late. Older still, and the newest was stamped by a clock
that has been set back since: the series goes on from the older time."""


def is_late(seen_ms: Millis, t_ms: int) -> Flags:
    """Tell where ``t_ms`` comes before the newest sample of a series. Shape (n,)."""
    return (t_ms < seen_ms) & (t_ms >= seen_ms - LATE_MS)


def is_news(sent: Floats, values: Floats, band: Floats) -> Flags:
    """Tell which values differ from the last sent by more than the dead-band. All of shape (n,).

    ``sent`` is inf where nothing was sent yet: a first value is news. So is every change from gap (NaN) to value and
    from value to gap; a gap after a gap is none.
    """
    with np.errstate(invalid="ignore"):
        return ~(np.abs(values - sent) <= band) & ~(np.isnan(values) & np.isnan(sent))


def news_in_burst(sent: float, values: Floats, band: float) -> Flags:
    """As ``is_news``, for many instants of one series: each is held against the last one that was news."""
    if band == 0.0:  # then the last sent is always the one before
        return is_news(np.concatenate(([sent], values[:-1])), values, np.zeros(len(values)))
    news = np.zeros(len(values), bool)
    for at, value in enumerate(values.tolist()):
        if not abs(value - sent) <= band and not (value != value and sent != sent):  # noqa: PLR0124 - NaN
            news[at], sent = True, value
    return news
