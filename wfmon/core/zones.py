"""Zones of the clock on the wall: found by their IANA name, and read with the offset of each instant's own. Pure.

A zone is a ``tzinfo``. Times at rest are UTC; whoever makes local ones of them asks here, so that summer time is seen.
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
"""No zone lies further than 14 hours from UTC."""
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
"""Names that browsers still give, and that some systems have only in a package apart (Debian's tzdata-legacy)."""


def zone_of(name: str, offset_s: int | None = None) -> tzinfo:
    """Find a zone by its IANA name, such as ``Europe/Berlin``; "" is the fixed offset, in seconds east of UTC.

    A name that this machine does not know is the offset too, if one is given: right for instants of the same half of
    the year. Raises Refused for one without, and for an offset of more than ``MOST_OFFSET_S``.
    """
    if offset_s is not None and abs(offset_s) > MOST_OFFSET_S:
        raise Refused("offset", f"No zone lies {offset_s} s from UTC.", f"Give {MOST_OFFSET_S} at most.")
    for each in (name, _NEWER.get(name, "")):
        try:
            if each and len(each) <= 64:
                return ZoneInfo(each)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as "Europe"
            continue
    if name and offset_s is None:
        fix = "Give an IANA name, such as Europe/Berlin, or offset= in seconds east of UTC."
        raise Refused("zone", f"The zone {name[:64]!r} is not known here.", fix)
    return timezone(timedelta(seconds=offset_s)) if offset_s else UTC


def local(t_ms: int, zone: tzinfo) -> datetime:
    """Give an instant on the zone's clock."""
    return (_EPOCH + timedelta(milliseconds=t_ms)).astimezone(zone)


def instant_ms(day: date, ms_of_day: int, zone: tzinfo) -> int:
    """Give when the zone's clock shows so many milliseconds past midnight of a day; 24 hours are the next midnight.

    A time that the day has twice is its first one; a time that it leaves out is read as if the clock were not yet set.
    """
    shown = datetime(day.year, day.month, day.day) + timedelta(milliseconds=ms_of_day)  # noqa: DTZ001  a clock's reading
    return round((shown.replace(tzinfo=zone) - _EPOCH) / timedelta(milliseconds=1))


def offset_s(t_s: int, zone: tzinfo) -> int:
    """Give how far east of UTC a zone lies at an instant, in seconds."""
    return round((local(t_s * 1_000, zone).utcoffset() or timedelta()).total_seconds())


def changes(from_s: int, to_s: int, zone: tzinfo) -> list[tuple[int, int]]:
    """Give [(since_s, offset_s)] over [from, to]: the first is of ``from_s``, each other one begins with a change.

    Two changes within one day that cancel each other are not seen: no zone has had such.
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
    """Give the zone's clock at each of ``t_s``, UTC seconds int64 of shape (n,): as seconds that count like UTC's."""
    if not len(t_s):
        return t_s
    since, offsets = np.array(changes(int(t_s.min()), int(t_s.max()), zone), np.int64).T
    found: Millis = t_s + offsets[np.searchsorted(since, t_s, side="right") - 1]
    return found


def offset_words(from_ms: int, to_ms: int, zone: tzinfo) -> str:
    """Name the offsets of a span: ``UTC+02:00``, or with a change inside it ``UTC+02:00, then UTC+01:00``."""
    return ", then ".join(_words(offset) for _, offset in changes(from_ms // 1_000, to_ms // 1_000, zone))


def _words(offset: int) -> str:
    minutes = abs(offset) // 60
    return f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"
