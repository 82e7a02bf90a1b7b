"""Counter to rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wfmon.core.types import Floats, Millis


def rates(before_ms: Millis, before: Floats, t_ms: Millis | int, counter: Floats) -> Floats:
    """Per second: (counter - before) / (t_ms - before_ms). All of shape (n,); NaN is a gap.

    A gap where there is no reading before (NaN), where the counter went backwards (a restart: how far it had come is
    not known, and a wrap at 32 bits looks the same, so neither is guessed), and where time did not go forwards. Never
    negative.
    """
    elapsed = t_ms - before_ms
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gained = counter - before
        return np.where((elapsed > 0) & (gained >= 0), gained * 1000.0 / elapsed, np.nan)
