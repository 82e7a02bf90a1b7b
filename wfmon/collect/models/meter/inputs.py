"""Checks of what sources send before it is counted: instants, distributions, readings. Pure functions."""

from __future__ import annotations

from typing import Any

from wfmon.collect.models.ingest.events import End, Reading, Start, Tokens
from wfmon.collect.models.meter import entropy as bits
from wfmon.collect.models.meter.entropy import Entropy
from wfmon.collect.models.meter.model import Now
from wfmon.collect.models.meter.requests import OpenRequest

LARGEST = 2**63
"""A reading with a larger value is invalid."""


def instant_us(event: Start | End, now: Now, behind_us: float) -> float:
    """Return an event's instant on the monitor's clock; now, if the source's clock puts it ahead or far behind."""
    us = event.t_us + event.source.offset_us
    return us if now.us - behind_us <= us <= now.us else now.us


def entropy_of(event: Tokens, at: int, request: OpenRequest) -> Entropy | None:
    """Return the entropy of a chunk's last token: exact, as a band, or from its top k; None if unknown."""
    whole = event.entropy[at] if event.entropy is not None else None
    low = event.low[at] if event.low is not None else None
    high = event.high[at] if event.high is not None else None
    k = event.ks[at] if event.ks is not None else None
    if whole is not None and low is None and high is None:
        return bits.exact(whole, k or request.vocab_size)
    top = event.tops[at] if event.tops is not None else None
    if top is not None:
        return bits.of_top(top, request.vocab_size)
    return bits.band(whole, low, high, k)


def sane(reading: Reading) -> Reading:
    """Return a reading without impossible values: a server may send anything."""
    fields = zip(reading._fields, reading, strict=True)
    wrong: dict[str, Any] = {
        name: None for name, value in fields if isinstance(value, float | int) and not 0 <= value < LARGEST
    }
    if "rate_hz" in wrong:
        wrong["rate_hz"] = 1.0
    return reading._replace(**wrong) if wrong else reading


def gained(total: float, before: float | None) -> int:
    """Return the growth of a server's counter; 0 at first sight and after a restart, where it is unknown."""
    return int(total - before) if before is not None and total >= before else 0
