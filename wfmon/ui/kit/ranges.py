"""A stretch of time as people write it: "last 3 h", "yesterday", "2026-11-20 to 2026-11-22". Pure; the zone is given.

Times at rest are UTC milliseconds. The zone is the one offset that the user's clock has now, in minutes east of UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wfmon.core.errors import Refused

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PRESETS = (
    ("last 15 min", "15 min"),
    ("last 1 h", "1 h"),
    ("last 6 h", "6 h"),
    ("last 24 h", "24 h"),
    ("last 7 d", "7 d"),
    ("last 30 d", "30 d"),
)
"""What a button means, and what stands on it."""
DEFAULT = "last 1 h"
LEAST_MS = 10_000
"""No range is shorter: a second is the finest that is kept."""
MOST_MS = 5 * 366 * DAY_MS
UNDERSTOOD = (
    "Write it as “last 3 h”, “today”, “yesterday”, “2026-11-20”, “2026-11-20 to 2026-11-22”, "
    "“2026-11-20 14:00 to 15:30”, “10:00 to 11:30” or “since 10:00”."
)
"""The sentence that helps where nothing was understood."""

_UNITS = (
    (("s", "sec", "secs", "second", "seconds"), 1_000),
    (("m", "min", "mins", "minute", "minutes"), MINUTE_MS),
    (("h", "hr", "hrs", "hour", "hours"), HOUR_MS),
    (("d", "day", "days"), DAY_MS),
    (("w", "wk", "week", "weeks"), 7 * DAY_MS),
    (("month", "months"), 30 * DAY_MS),
)
_UNIT_MS = {name: size for names, size in _UNITS for name in names}
_LAST = re.compile(r"(?:(?:the )?(?:last|past) )?(?:(\d{1,6}(?:\.\d{1,3})?) ?)?([a-z]+)")
_DAY = r"\d{4}-\d{1,2}-\d{1,2}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_INSTANT = re.compile(rf"(?:({_DAY}|today|yesterday)(?:[ t]+|$))?({_CLOCK})?")


class NotUnderstood(Refused):
    """What was typed is no range; the message says why, and what is understood."""

    def __init__(self, detail: str) -> None:
        super().__init__("range", detail)


@dataclass(frozen=True, slots=True)
class Range:
    """[from_ms, to_ms) in UTC milliseconds. ``moving``: it ends now, and means something else a minute later."""

    from_ms: int
    to_ms: int
    moving: bool = False

    @property
    def span_ms(self) -> int:
        return self.to_ms - self.from_ms


def parse(text: str, now_ms: int, minutes_east: int = 0) -> Range:
    """Read a range. Raises NotUnderstood, whose message says what is understood."""
    plain = " ".join(text.lower().replace("…", "...").split())
    if not plain:
        raise NotUnderstood(f"Nothing was typed. {UNDERSTOOD}")
    found = _last(plain, now_ms) or _named(plain, now_ms, minutes_east) or _between(plain, now_ms, minutes_east)
    if found is None:
        raise NotUnderstood(f"“{text.strip()[:60]}” is not a range that is understood. {UNDERSTOOD}")
    return checked(found, now_ms)


def checked(found: Range, now_ms: int) -> Range:
    """Give the range, or say what is wrong with its ends. Raises NotUnderstood."""
    if found.to_ms <= found.from_ms:
        raise NotUnderstood("The range ends before it begins. Swap its two ends.")
    if found.from_ms >= now_ms:
        raise NotUnderstood("The range lies in the future: nothing was measured there yet. Choose an earlier one.")
    if found.span_ms < LEAST_MS:
        raise NotUnderstood("The range is shorter than 10 s. Seconds are the finest that is kept: choose a longer one.")
    if found.span_ms > MOST_MS or found.from_ms < 0:
        raise NotUnderstood("The range is longer than 5 years, and nothing is kept so long. Choose a shorter one.")
    return found


def instant(text: str, now_ms: int, minutes_east: int = 0) -> int | None:
    """Read one instant, such as ``2026-11-20 14:00`` or ``yesterday``, or an age, ``7 days``; gives UTC milliseconds.

    None where it is neither. Raises NotUnderstood for a day or time that there is not.
    """
    plain = " ".join(text.lower().split())
    found = _instant(plain, now_ms, minutes_east)
    if found is not None:
        return found[0]
    age = _last(f"last {plain}", now_ms)
    return None if age is None else age.from_ms


def moved(shown: Range, share: float, now_ms: int) -> Range:
    """Give the range moved by a share of its length, not past the present."""
    step = round(shown.span_ms * share)
    step = min(step, max(0, now_ms - shown.to_ms)) if step > 0 else step
    return Range(shown.from_ms + step, shown.to_ms + step)


def local(t_ms: int, minutes_east: int) -> datetime:
    """Give an instant on the user's clock."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=t_ms, minutes=minutes_east)


def iso(t_ms: int, minutes_east: int) -> str:
    """Give an instant on the user's clock as ``2026-11-20T14:00:00``, with milliseconds where there are any."""
    return local(t_ms, minutes_east).replace(tzinfo=None).isoformat(timespec="milliseconds").removesuffix(".000")


def zone(minutes_east: int) -> str:
    """Give the zone's name: ``UTC+02:00``."""
    sign, size = "-" if minutes_east < 0 else "+", abs(minutes_east)
    return f"UTC{sign}{size // 60:02}:{size % 60:02}" if size else "UTC"


def words(shown: Range, minutes_east: int) -> str:
    """Give both ends for a person: ``20 Nov 2026, 14:00 to 15:30``."""
    one, other = local(shown.from_ms, minutes_east), local(shown.to_ms, minutes_east)
    fine = "%H:%M:%S" if shown.span_ms < 10 * MINUTE_MS or one.second or other.second else "%H:%M"
    day = f"{one.day} {one:%b %Y}"
    if one.date() == other.date():
        return f"{day}, {one:{fine}} to {other:{fine}}"
    return f"{day}, {one:{fine}} to {other.day} {other:%b %Y}, {other:{fine}}"


def length(span_ms: float) -> str:
    """Give a length of time for a person, in at most two units: ``1 h 30 min``."""
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


def _named(text: str, now_ms: int, minutes_east: int) -> Range | None:
    midnight = _midnight(now_ms, minutes_east)
    if text == "today":
        return Range(midnight, now_ms, moving=True)
    if text == "yesterday":
        return Range(midnight - DAY_MS, midnight)
    if re.fullmatch(_DAY, text):
        day = _day_ms(text, now_ms, minutes_east)
        return Range(day, min(day + DAY_MS, max(now_ms, day + 1)))
    return None


def _between(text: str, now_ms: int, minutes_east: int) -> Range | None:
    since = text.startswith("since ")
    parts = [text.removeprefix("since "), "now"] if since else re.split(r" to | until | \.\.\. | - | – ", text)
    if len(parts) != 2:
        return None
    one = _instant(parts[0].removeprefix("from "), now_ms, minutes_east)
    if one is None:
        return None
    if parts[1] == "now":
        return Range(one[0], now_ms, moving=True)
    day_of_one = _midnight(one[0], minutes_east)
    other = _instant(parts[1], now_ms, minutes_east, day_of_one)
    if other is None:
        return None
    end, whole_day = other
    return Range(one[0], min(end + DAY_MS if whole_day else end, max(now_ms, one[0] + 1)))


def _instant(text: str, now_ms: int, minutes_east: int, day_ms: int | None = None) -> tuple[int, bool] | None:
    """Read one end: UTC milliseconds, and whether it is a whole day. A bare clock time is of ``day_ms``, or today."""
    match = _INSTANT.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        day_ms = _day_ms(match[1], now_ms, minutes_east)
    elif day_ms is None:
        day_ms = _midnight(now_ms, minutes_east)
    return day_ms + _clock_ms(match[2]), match[2] is None


def _day_ms(text: str, now_ms: int, minutes_east: int) -> int:
    if text in ("today", "yesterday"):
        return _midnight(now_ms, minutes_east) - (DAY_MS if text == "yesterday" else 0)
    year, month, day = map(int, text.split("-"))
    try:
        there = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        raise NotUnderstood(f"There is no day {text}. {UNDERSTOOD}") from None
    return int(there.timestamp()) * 1_000 - minutes_east * MINUTE_MS


def _clock_ms(text: str | None) -> int:
    hour, minute, second = [*map(int, (text or "0:0").split(":")), 0][:3]
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and minute + second):
        raise NotUnderstood(f"There is no time {text}. {UNDERSTOOD}")
    return hour * HOUR_MS + minute * MINUTE_MS + second * 1_000


def _midnight(t_ms: int, minutes_east: int) -> int:
    return (t_ms + minutes_east * MINUTE_MS) // DAY_MS * DAY_MS - minutes_east * MINUTE_MS
