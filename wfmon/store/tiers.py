"""THE tier table: the resolutions of the history and their retention. All code iterates over it."""

from __future__ import annotations

from typing import NamedTuple

DAY_S = 86_400


class Tier(NamedTuple):
    """``step_s``: seconds per bucket; ``chunk_s``: seconds per chunk, aligned to UTC; ``keep_days``: the default."""

    number: int
    name: str
    step_s: int
    chunk_s: int
    keep_days: float


TIERS = (
    # name, bucket, chunk, kept: each chunk holds 24 to 360 buckets, enough to compress and few enough to read one
    Tier(0, "1s", 1, 300, 0.25),
    Tier(1, "10s", 10, 3_600, 2),
    Tier(2, "1min", 60, 21_600, 14),
    Tier(3, "5min", 300, DAY_S, 30),
    Tier(4, "1h", 3_600, DAY_S, 730),
)


def tier_for(wanted_s: float) -> Tier:
    """Return the coarsest tier whose buckets are at most ``wanted_s`` long, else the finest."""
    return next((tier for tier in reversed(TIERS) if tier.step_s <= wanted_s), TIERS[0])
