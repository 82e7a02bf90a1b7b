"""Time zones: looked up by IANA name, applied with each instant's own offset. Pure.

A zone is a ``tzinfo``. Stored times are UTC; every conversion to local time goes through here, so that daylight saving
is applied.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from wfmon.core.errors import Refused

if TYPE_CHECKING:
    from wfmon.core.types import Millis

MOST_OFFSET_S = 50_400
"""No zone is further than 14 hours from UTC."""
DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEWER = {
    "Africa/Asmera": "Africa/Asmara", "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "America/Catamarca": "America/Argentina/Catamarca", "America/Cordoba": "America/Argentina/Cordoba",
    "America/Godthab": "America/Nuuk", "America/Indianapolis": "America/Indiana/Indianapolis",
    "America/Jujuy": "America/Argentina/Jujuy", "America/Louisville": "America/Kentucky/Louisville",
    "America/Mendoza": "America/Argentina/Mendoza", "Asia/Calcutta": "Asia/Kolkata", "Asia/Katmandu": "Asia/Kathmandu",
    "Asia/Rangoon": "Asia/Yangon", "Asia/Saigon": "Asia/Ho_Chi_Minh", "Atlantic/Faeroe": "Atlantic/Faroe",
    "Europe/Kiev": "Europe/Kyiv", "Pacific/Ponape": "Pacific/Pohnpei", "Pacific/Truk": "Pacific/Chuuk",
}  # fmt: skip
"""Names that browsers still use, and that some systems only have in a separate package (Debian's tzdata-legacy)."""


def zone_of(name: str, offset_s: int | None = None) -> tzinfo:
    """Return a zone by its IANA name, such as ``Europe/Berlin``; for "" the fixed offset, in seconds east of UTC.

    A name unknown on this machine also falls back to the offset, which is right for instants in the same half of the
    year. Raises Refused for an unknown name without an offset, and for an offset above ``MOST_OFFSET_S``.
    """
    if offset_s is not None and abs(offset_s) > MOST_OFFSET_S:
        raise Refused("offset", f"No zone is {offset_s} s from UTC.", f"Give at most {MOST_OFFSET_S}.")
    for each in (name, _NEWER.get(name, "")):
        try:
            if each and len(each) <= 64:
                return ZoneInfo(each)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as "Europe"
            continue
    if name and offset_s is None:
        fix = "Give an IANA name, such as Europe/Berlin, or offset= in seconds east of UTC."
        raise Refused("zone", f"The zone {name[:64]!r} is unknown on this machine.", fix)
    return timezone(timedelta(seconds=offset_s)) if offset_s else UTC


def local(t_ms: int, zone: tzinfo) -> datetime:
    """Return an instant in the zone's local time."""
    return (_EPOCH + timedelta(milliseconds=t_ms)).astimezone(zone)


def instant_ms(day: date, ms_of_day: int, zone: tzinfo) -> int:
    """Return the instant of a local time, in milliseconds since a day's midnight; 24 hours is the next midnight.

    An ambiguous time is its first occurrence; a skipped time is read with the offset before the change.
    """
    shown = datetime(day.year, day.month, day.day) + timedelta(milliseconds=ms_of_day)  # noqa: DTZ001  a clock's reading
    return round((shown.replace(tzinfo=zone) - _EPOCH) / timedelta(milliseconds=1))


def offset_s(t_s: int, zone: tzinfo) -> int:
    """Return a zone's offset at an instant, in seconds east of UTC."""
    return round((local(t_s * 1_000, zone).utcoffset() or timedelta()).total_seconds())


def changes(from_s: int, to_s: int, zone: tzinfo) -> list[tuple[int, int]]:
    """Return [(since_s, offset_s)] over [from, to]: the offset at ``from_s``, then one entry per change.

    Two changes within a day that cancel each other are missed: no zone has had any.
    """
    found = [(from_s, offset_s(from_s, zone))]
    for begin in range(from_s, to_s, DAY_S):
        end = min(begin + DAY_S, to_s)
        now = offset_s(end, zone)
        if now == found[-1][1]:
            continue
        low, high = begin, end
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if offset_s(middle, zone) == now else (middle, high)
        found.append((high, now))
    return found


def to_local_s(t_s: Millis, zone: tzinfo) -> Millis:
    """Convert UTC seconds, int64 of shape (n,), to local seconds (UTC seconds plus the offset)."""
    if not len(t_s):
        return t_s
    since, offsets = np.array(changes(int(t_s.min()), int(t_s.max()), zone), np.int64).T
    found: Millis = t_s + offsets[np.searchsorted(since, t_s, side="right") - 1]
    return found


def offset_words(from_ms: int, to_ms: int, zone: tzinfo) -> str:
    """Format a span's offsets: ``UTC+02:00``, or with a change ``UTC+02:00, then UTC+01:00``."""
    return ", then ".join(_words(offset) for _, offset in changes(from_ms // 1_000, to_ms // 1_000, zone))


def _words(offset: int) -> str:
    minutes = abs(offset) // 60
    return f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"
