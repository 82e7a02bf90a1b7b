"""Stretches of time as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfmon.ui.kit import ranges
from wfmon.ui.kit.ranges import DAY_MS, HOUR_MS, MINUTE_MS, NotUnderstood, Range, parse


def utc(*parts) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000


NOW = utc(2026, 11, 28, 12, 30)
EAST = timezone(timedelta(hours=2))
"""Two hours east of UTC: it is half past two there."""


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [
        ("last 15 min", 15 * MINUTE_MS), ("last 1 h", HOUR_MS), ("last 3h", 3 * HOUR_MS), ("3 h", 3 * HOUR_MS),
        ("90m", 90 * MINUTE_MS), ("Last  24  Hours", DAY_MS), ("past 7 d", 7 * DAY_MS),
        ("the last 2 weeks", 14 * DAY_MS), ("last hour", HOUR_MS),
        ("last 1.5 h", 90 * MINUTE_MS), ("last month", 30 * DAY_MS), ("last 30 s", 30_000),
    ],
)  # fmt: skip
def test_so_long_until_now(text, span_ms):
    assert parse(text, NOW, EAST) == Range(NOW - span_ms, NOW, moving=True)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("today", utc(2026, 11, 27, 22), NOW),
        ("yesterday", utc(2026, 11, 26, 22), utc(2026, 11, 27, 22)),
        ("2026-11-20", utc(2026, 11, 19, 22), utc(2026, 11, 20, 22)),
        ("2026-11-20 to 2026-11-22", utc(2026, 11, 19, 22), utc(2026, 11, 22, 22)),
        ("2026-11-20 14:00 to 15:30", utc(2026, 11, 20, 12), utc(2026, 11, 20, 13, 30)),
        ("2026-11-20T14:00 to 2026-11-21T02:00:30", utc(2026, 11, 20, 12), utc(2026, 11, 21, 0, 0, 30)),
        ("yesterday 23:00 to today 01:00", utc(2026, 11, 27, 21), utc(2026, 11, 27, 23)),
        ("from 10:00 to 11:30", utc(2026, 11, 28, 8), utc(2026, 11, 28, 9, 30)),
        ("10:00 - 11:30", utc(2026, 11, 28, 8), utc(2026, 11, 28, 9, 30)),
        ("since 10:00", utc(2026, 11, 28, 8), NOW),
        ("since yesterday", utc(2026, 11, 26, 22), NOW),
        ("2026-11-20 to now", utc(2026, 11, 19, 22), NOW),
        ("2026-11-28", utc(2026, 11, 27, 22), NOW),
        ("2026-11-27 to 2026-11-29", utc(2026, 11, 26, 22), NOW),
    ],
)
def test_between_two_ends_on_the_users_clock(text, begin, end):
    found = parse(text, NOW, EAST)
    assert (found.from_ms, found.to_ms) == (begin, end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "last",
        "last 3 fortnights",
        "3",
        "h",
        "2026-11-20 to",
        "to 2026-11-20",
        "x to y",
        "<script>",
        "1 to 2 to 3",
    ],
)
def test_what_is_no_range_says_what_is_understood(text):
    with pytest.raises(NotUnderstood, match="“last 3 h”"):
        parse(text, NOW)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-02-30", "2026-02-30 is not a valid date"),
        ("25:00 to 26:00", "25:00 is not a valid time"),
        ("10:61 to 11:00", "10:61 is not a valid time"),
        ("2026-11-22 to 2026-11-20", "ends before it begins"), ("2030-01-01", "in the future"),
        ("last 3 s", "shorter than 10 s"),
        ("last 3000 d", "longer than 5 years"), ("1000-01-01 to 1000-01-02", "longer than 5 years"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_says_why(text, words):
    with pytest.raises(NotUnderstood, match=words):
        parse(text, NOW)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-10-25", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),  # a day of 25 hours
        ("2026-03-29", utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),  # one of 23
        ("2026-10-24 to 2026-10-26", utc(2026, 10, 23, 22), utc(2026, 10, 26, 23)),
        ("2026-10-24 12:00 to 2026-10-26 12:00", utc(2026, 10, 24, 10), utc(2026, 10, 26, 11)),
        ("2026-10-25 02:30 to 04:00", utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 3)),
        ("2026-07-01 09:00 to 24:00", utc(2026, 7, 1, 7), utc(2026, 7, 1, 22)),
        ("since 2026-07-01", utc(2026, 6, 30, 22), NOW),
    ],
)
def test_each_end_has_the_offset_of_its_own_instant_not_that_of_now(text, begin, end):
    found = parse(text, NOW, ZoneInfo("Europe/Berlin"))
    assert (found.from_ms, found.to_ms) == (begin, end)


def test_yesterday_is_a_day_of_the_calendar():
    noon = utc(2026, 10, 26, 11)
    assert parse("yesterday", noon, ZoneInfo("Europe/Berlin")).span_ms == 25 * HOUR_MS


@given(st.text(max_size=60), st.integers(-14 * 60, 14 * 60))
def test_whatever_is_typed_is_a_range_that_can_be_asked_for_or_a_sentence(text, east):
    try:
        found = parse(text, NOW, timezone(timedelta(minutes=east)))
    except NotUnderstood as error:
        said = str(error)
    else:
        said = "."
        assert 0 <= found.from_ms < found.to_ms
        assert found.from_ms < NOW
    assert said.endswith(".")


def test_every_preset_is_understood_and_the_default_is_one():
    assert ranges.DEFAULT in dict(ranges.PRESETS)
    assert all(parse(text, NOW).moving for text, _ in ranges.PRESETS)


def test_moving_on_stops_at_the_present():
    hour = Range(NOW - 2 * HOUR_MS, NOW - HOUR_MS)
    assert ranges.moved(hour, -0.5, NOW).from_ms == NOW - 2.5 * HOUR_MS
    assert ranges.moved(hour, 0.5, NOW).to_ms == NOW - HOUR_MS / 2
    assert ranges.moved(hour, 5, NOW).to_ms == NOW


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Range(utc(2026, 11, 20, 12), utc(2026, 11, 20, 13, 30)), "20 Nov 2026, 14:00 to 15:30"),
        (Range(utc(2026, 11, 20, 12, 0, 5), utc(2026, 11, 20, 13)), "20 Nov 2026, 14:00:05 to 15:00:00"),
        (Range(utc(2026, 11, 20, 12), utc(2026, 12, 2, 12)), "20 Nov 2026, 14:00 to 2 Dec 2026, 14:00"),
    ],
)
def test_a_range_in_words(shown, words):
    assert ranges.words(shown, EAST) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 s"),
        (4_000, "4 s"),
        (90_000, "1 min 30 s"),
        (HOUR_MS, "1 h"),
        (DAY_MS + 30_000, "1 d"),
        (5_400_000, "1 h 30 min"),
    ],
)
def test_a_length_in_words(ms, words):
    assert ranges.length(ms) == words


def test_instants_on_the_users_clock():
    assert ranges.iso(utc(2026, 11, 20, 23, 30), EAST) == "2026-11-21T01:30:00"
    assert ranges.iso(utc(2026, 11, 20) + 5) == "2026-11-20T00:00:00.005"
