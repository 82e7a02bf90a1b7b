"""Zones: an offset belongs to an instant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wfmon.core import zones
from wfmon.core.errors import Refused

BERLIN, ST_JOHNS = ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")
HOUR_S = 3_600
ENDS_S = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp())
"""Summer time ends in Berlin."""


@pytest.mark.parametrize(
    ("name", "offset_s", "zone"),
    [
        ("Europe/Berlin", None, BERLIN), ("Europe/Berlin", 0, BERLIN), ("", None, UTC), ("", 0, UTC),
        ("", -12_600, timezone(timedelta(hours=-3.5))), ("Moon/Tycho", 20_700, timezone(timedelta(hours=5.75))),
    ],
)  # fmt: skip
def test_a_zone_is_found_by_its_name_else_it_is_the_offset(name, offset_s, zone):
    assert zones.zone_of(name, offset_s) == zone


@pytest.mark.parametrize("name", ["Asia/Katmandu", "Asia/Calcutta", "America/Buenos_Aires"])
def test_the_names_that_browsers_still_give_are_found(name):
    assert isinstance(zones.zone_of(name), ZoneInfo)


@pytest.mark.parametrize("name", ["Moon/Tycho", "/etc/passwd", "../passwd", "Europe", "x" * 500, "a\0b"])
def test_what_is_no_zone_is_a_sentence(name):
    with pytest.raises(Refused, match="is unknown on this machine"):
        zones.zone_of(name)
    with pytest.raises(Refused, match="No zone is 50401 s"):
        zones.zone_of("", 50_401)


def test_every_instant_has_its_own_offset():
    t_s = np.array([ENDS_S - 1, ENDS_S, ENDS_S + 5 * 86_400, ENDS_S - 40 * 86_400])
    assert (zones.to_local_s(t_s, BERLIN) - t_s).tolist() == [2 * HOUR_S, HOUR_S, HOUR_S, 2 * HOUR_S]
    assert zones.to_local_s(t_s[:0], BERLIN).tolist() == []
    assert (zones.to_local_s(t_s, ZoneInfo("Asia/Kathmandu")) - t_s).tolist() == [20_700] * 4


def test_the_changes_of_a_year_are_found_to_the_second():
    begin_s = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    since = [(each - begin_s) / HOUR_S for each, _ in zones.changes(begin_s, begin_s + 365 * 86_400, ST_JOHNS)]
    assert since == [0, (31 + 28 + 7) * 24 + 5.5, (31 + 28 + 31 + 30 + 31 + 30 + 31 + 31 + 30 + 31) * 24 + 4.5]


def test_a_reading_of_the_clock_is_an_instant():
    assert zones.instant_ms(date(2026, 10, 25), 0, BERLIN) == (ENDS_S - 3 * HOUR_S) * 1_000
    assert zones.instant_ms(date(2026, 10, 25), 2 * HOUR_S * 1_000, BERLIN) == (ENDS_S - HOUR_S) * 1_000  # its first
    assert zones.instant_ms(date(2026, 10, 24), 24 * HOUR_S * 1_000, BERLIN) == (ENDS_S - 3 * HOUR_S) * 1_000
    assert zones.local(ENDS_S * 1_000 + 5, BERLIN).isoformat() == "2026-10-25T02:00:00.005000+01:00"


def test_a_span_names_its_offsets():
    before, after = (ENDS_S - 86_400) * 1_000, (ENDS_S + 86_400) * 1_000
    assert zones.offset_words(before, before + 1, ST_JOHNS) == "UTC-02:30"
    assert zones.offset_words(before, after, BERLIN) == "UTC+02:00, then UTC+01:00"
    assert zones.offset_words(before, after, UTC) == "UTC"
