"""Time ranges as people write them: "last 3 h", "yesterday", "2026-11-20 to 2026-11-22". Pure functions.

Results are UTC milliseconds. ``zone`` is the user's; each instant uses the zone's offset at that instant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo

from wfmon.core.errors import Refused
from wfmon.core.zones import instant_ms, local

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PRESETS = (
    ("last 15 min", "15 min"),
    ("last 1 h", "1 h"),
    ("last 6 h", "6 h"),
    ("last 24 h", "24 h"),
    ("last 7 d", "7 d"),
    ("last 30 d", "30 d"),
)
"""The range that a button selects, and its text."""
DEFAULT = "last 1 h"
LEAST_MS = 10_000
"""The shortest range: data is stored per second at best."""
MOST_MS = 5 * 366 * DAY_MS
UNDERSTOOD = (
    "Write for example “last 3 h”, “today”, “yesterday”, “2026-11-20”, “2026-11-20 to 2026-11-22”, "
    "“2026-11-20 14:00 to 15:30”, “10:00 to 11:30” or “since 10:00”."
)
"""Appended to the error where a text cannot be parsed."""

_UNITS = (
    (("s", "sec", "secs", "second", "seconds"), 1_000),
    (("m", "min", "mins", "minute", "minutes"), MINUTE_MS),
    (("h", "hr", "hrs", "hour", "hours"), HOUR_MS),
    (("d", "day", "days"), DAY_MS),
    (("w", "wk", "week", "weeks"), 7 * DAY_MS),
    (("month", "months"), 30 * DAY_MS),
)
_ONE = timedelta(days=1)
_UNIT_MS = {name: size for names, size in _UNITS for name in names}
_LAST = re.compile(r"(?:(?:the )?(?:last|past) )?(?:(\d{1,6}(?:\.\d{1,3})?) ?)?([a-z]+)")
_DAY = r"\d{4}-\d{1,2}-\d{1,2}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_CLOCK_AT_END = re.compile(rf"{_CLOCK}$")
_INSTANT = re.compile(rf"(?:({_DAY}|today|yesterday)(?:[ t]+|$))?({_CLOCK})?")


class NotUnderstood(Refused):
    """The text is not a valid range. The message says why, and which forms are valid."""

    def __init__(self, detail: str) -> None:
        super().__init__("range", detail)


@dataclass(frozen=True, slots=True)
class Range:
    """[from_ms, to_ms) in UTC milliseconds. ``moving``: its end is now, so it moves with the clock."""

    from_ms: int
    to_ms: int
    moving: bool = False

    @property
    def span_ms(self) -> int:
        return self.to_ms - self.from_ms


def parse(text: str, now_ms: int, zone: tzinfo = UTC) -> Range:
    """Parse a range. Raises NotUnderstood, whose message lists the valid forms."""
    plain = " ".join(text.lower().replace("…", "...").split())
    if not plain:
        raise NotUnderstood(f"The range is empty. {UNDERSTOOD}")
    found = _last(plain, now_ms) or _named(plain, now_ms, zone) or _between(plain, now_ms, zone)
    if found is None:
        raise NotUnderstood(f"“{text.strip()[:60]}” is not a valid range. {UNDERSTOOD}")
    return checked(found, now_ms)


def checked(found: Range, now_ms: int) -> Range:
    """Return the range if its ends are valid. Raises NotUnderstood."""
    if found.to_ms <= found.from_ms:
        raise NotUnderstood("The range ends before it begins. Swap its two ends.")
    if found.from_ms >= now_ms:
        raise NotUnderstood("The range is in the future. Choose an earlier one.")
    if found.span_ms < LEAST_MS:
        raise NotUnderstood("The range is shorter than 10 s, the shortest that can be shown. Choose a longer one.")
    if found.span_ms > MOST_MS or found.from_ms < 0:
        raise NotUnderstood("The range is longer than 5 years, the longest that can be shown. Choose a shorter one.")
    return found


def instant(text: str, now_ms: int, zone: tzinfo = UTC) -> int | None:
    """Parse an instant, such as ``2026-11-20 14:00`` or ``yesterday``, or an age, ``7 days``, to UTC milliseconds.

    None where it is neither. Raises NotUnderstood for a date or time that does not exist.
    """
    plain = " ".join(text.lower().split())
    found = _instant(plain, now_ms, zone)
    if found is not None:
        return instant_ms(*found, zone)
    age = _last(f"last {plain}", now_ms)
    return None if age is None else age.from_ms


def moved(shown: Range, share: float, now_ms: int) -> Range:
    """Return the range moved by a share of its length, at most up to now."""
    step = round(shown.span_ms * share)
    step = min(step, max(0, now_ms - shown.to_ms)) if step > 0 else step
    return Range(shown.from_ms + step, shown.to_ms + step)


def iso(t_ms: int, zone: tzinfo = UTC) -> str:
    """Format an instant in the user's zone as ``2026-11-20T14:00:00``, with milliseconds if there are any."""
    return local(t_ms, zone).replace(tzinfo=None).isoformat(timespec="milliseconds").removesuffix(".000")


def words(shown: Range, zone: tzinfo) -> str:
    """Format both ends for a person: ``20 Nov 2026, 14:00 to 15:30``."""
    one, other = local(shown.from_ms, zone), local(shown.to_ms, zone)
    fine = "%H:%M:%S" if shown.span_ms < 10 * MINUTE_MS or one.second or other.second else "%H:%M"
    day = f"{one.day} {one:%b %Y}"
    if one.date() == other.date():
        return f"{day}, {one:{fine}} to {other:{fine}}"
    return f"{day}, {one:{fine}} to {other.day} {other:%b %Y}, {other:{fine}}"


def days_before(t_ms: int, days: int, zone: tzinfo) -> int:
    """Return the same local time so many days earlier."""
    there = local(t_ms, zone)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    ms_of_day = round((there.replace(tzinfo=None) - midnight) / timedelta(milliseconds=1))
    return instant_ms(there.date() - timedelta(days=days), ms_of_day, zone)


def length(span_ms: float) -> str:
    """Format a duration for a person, in at most two units: ``1 h 30 min``."""
    left, parts = round(span_ms / 1_000), []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def _last(text: str, now_ms: int) -> Range | None:
    match = _LAST.fullmatch(text)
    if match is None or match[2] not in _UNIT_MS or (match[1] is None and " " not in text):
        return None
    size = _UNIT_MS[match[2]] * float(match[1] or 1)
    return Range(round(now_ms - size), now_ms, moving=True)


def _named(text: str, now_ms: int, zone: tzinfo) -> Range | None:
    if text == "today":
        return Range(_midnight(_today(now_ms, zone), zone), now_ms, moving=True)
    if text != "yesterday" and not re.fullmatch(_DAY, text):
        return None
    day = _day(text, now_ms, zone)
    begin = _midnight(day, zone)
    return Range(begin, min(_midnight(day + _ONE, zone), max(now_ms, begin + 1)))


def _between(text: str, now_ms: int, zone: tzinfo) -> Range | None:
    since = text.startswith("since ")
    parts = [text.removeprefix("since "), "now"] if since else re.split(r" to | until | \.\.\. | - | – ", text)
    if len(parts) != 2:
        return None
    one = _instant(parts[0].removeprefix("from "), now_ms, zone)
    if one is None:
        return None
    begin = instant_ms(*one, zone)
    if parts[1] == "now":
        return Range(begin, now_ms, moving=True)
    other = _instant(parts[1], now_ms, zone, one[0])
    if other is None:
        return None
    day, clock_ms = other
    whole_day = _CLOCK_AT_END.search(parts[1]) is None
    end = _midnight(day + _ONE, zone) if whole_day else instant_ms(day, clock_ms, zone)
    return Range(begin, min(end, max(now_ms, begin + 1)))


def _instant(text: str, now_ms: int, zone: tzinfo, day: date | None = None) -> tuple[date, int] | None:
    """Parse one end: a day and its local milliseconds. A time without a date belongs to ``day``, or to today."""
    match = _INSTANT.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        day = _day(match[1], now_ms, zone)
    return day or _today(now_ms, zone), _clock_ms(match[2])


def _day(text: str, now_ms: int, zone: tzinfo) -> date:
    if text in ("today", "yesterday"):
        return _today(now_ms, zone) - (_ONE if text == "yesterday" else timedelta())
    try:
        return date(*map(int, text.split("-")))
    except ValueError:
        raise NotUnderstood(f"{text} is not a valid date. {UNDERSTOOD}") from None


def _clock_ms(text: str | None) -> int:
    hour, minute, second = [*map(int, (text or "0:0").split(":")), 0][:3]
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and minute + second):
        raise NotUnderstood(f"{text} is not a valid time. {UNDERSTOOD}")
    return hour * HOUR_MS + minute * MINUTE_MS + second * 1_000


def _today(now_ms: int, zone: tzinfo) -> date:
    return local(now_ms, zone).date()


def _midnight(day: date, zone: tzinfo) -> int:
    return instant_ms(day, 0, zone)
