"""Late samples, and changes beyond the dead-band. Pure functions of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wfmon.core.types import Flags, Floats, Millis

LATE_MS = 5_000
"""A sample up to this much older than its series' newest is late. If it is older still, the clock that stamped the
newest has been set back since, and the series continues from the older time."""


def is_late(seen_ms: Millis, t_ms: int) -> Flags:
    """Return where ``t_ms`` is before the newest sample of its series. Shape (n,)."""
    return (t_ms < seen_ms) & (t_ms >= seen_ms - LATE_MS)


def is_change(sent: Floats, values: Floats, band: Floats) -> Flags:
    """Return which values differ from the last one sent by more than the dead-band. All of shape (n,).

    ``sent`` is inf where nothing was sent yet: a first value is a change. So is every step from gap (NaN) to value and
    from value to gap; a gap after a gap is not.
    """
    with np.errstate(invalid="ignore"):
        return ~(np.abs(values - sent) <= band) & ~(np.isnan(values) & np.isnan(sent))


def changes_in_burst(sent: float, values: Floats, band: float) -> Flags:
    """Like ``is_change``, for many instants of one series: each is compared with the last one that was a change."""
    if band == 0.0:  # then the last change equals the value before
        return is_change(np.concatenate(([sent], values[:-1])), values, np.zeros(len(values)))
    news = np.zeros(len(values), bool)
    for at, value in enumerate(values.tolist()):
        if not abs(value - sent) <= band and not (value != value and sent != sent):  # noqa: PLR0124 - NaN
            news[at], sent = True, value
    return news
