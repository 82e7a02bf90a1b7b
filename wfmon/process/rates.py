"""Rates from counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wfmon.core.types import Floats, Millis


def rates(before_ms: Millis, before: Floats, t_ms: Millis | int, counter: Floats) -> Floats:
    """Return rates per second: (counter - before) / (t_ms - before_ms). All of shape (n,); NaN is a gap.

    A gap where there is no previous reading (NaN), where the counter went backwards (a restart loses an unknown
    amount, and a 32-bit wrap looks the same, so neither is guessed), and where time did not advance. Never negative.
    """
    elapsed = t_ms - before_ms
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gained = counter - before
        return np.where((elapsed > 0) & (gained >= 0), gained * 1000.0 / elapsed, np.nan)
