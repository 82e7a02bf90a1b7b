"""What is usual and what is not: hand-computed figures, hysteresis, hours across a change of the clock, false marks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wfmon.analyse import anomaly
from wfmon.analyse.anomaly import (
    DAYS,
    LEAST_DAYS,
    LEAST_MINUTES,
    WATCHED,
    Run,
    Usual,
    hour_of,
    side_of,
    step,
    usual,
    windows,
)
from wfmon.core.catalogue import METRICS

BERLIN = ZoneInfo("Europe/Berlin")
CALM = Usual(median=20.0, scale=2.0, low=12.0, high=26.0, days=14)
"""Minutes begin what is unusual from 30 % on (z of 5), being over 26 + 2 scales; 27 is where it ends."""


def at(text, zone):
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def days(*values, count=LEAST_DAYS):
    """So many days, each with these minutes, as often as a day needs."""
    one = np.tile(np.array(values, float), -(-LEAST_MINUTES // len(values)))
    return [one] * count


def run_of(values, known=CALM, run=None, begin_s=0):
    """Step through minutes; gives each one's run."""
    found = []
    for number, value in enumerate(values):
        run = step(run, begin_s + 60 * number, value, known)
        found.append(run)
    return found


# --- what is usual


def test_median_and_mad_are_those_of_all_earlier_days_together():
    # Deviations from the median of 10: 9, 2, 0, 2, 9; their median is 2.
    found = usual(days(1, 8, 10, 12, 19), "")
    assert (found.median, found.scale, found.days) == (10.0, pytest.approx(1.4826 * 2), LEAST_DAYS)
    assert found.z(10 + 1.4826 * 2 * 3) == pytest.approx(3.0)


def test_the_median_is_the_middle_or_the_mean_of_both():
    random = np.random.default_rng(3)
    for count in range(1, 12):
        values = random.normal(size=count)
        assert anomaly._median(values) == pytest.approx(np.median(values))


def test_where_more_than_half_of_the_minutes_are_equal_the_mean_deviation_stands_in():
    # MAD 0; the mean deviation of 0, 0, 0, 0, 100 is 20.
    assert usual(days(0, 0, 0, 0, 100), "").scale == pytest.approx(1.2533 * 20)


@pytest.mark.parametrize(
    ("value", "unit", "scale"), [(80.0, "%", 4.0), (2.0, "%", 1.0), (8e9, "B", 4e8), (1e6, "B", 64e6), (0.0, "?", 1.0)]
)
def test_a_constant_series_has_a_scale_of_a_share_of_itself_or_of_what_its_unit_resolves(value, unit, scale):
    assert usual(days(value), unit).scale == pytest.approx(scale)


def test_a_day_with_too_few_minutes_does_not_count_and_too_few_days_are_a_number():
    whole, short, gaps = days(5.0, count=4), np.full(LEAST_MINUTES - 1, 5.0), np.full(500, np.nan)
    assert usual([*whole, short, gaps], "%") == 4
    assert usual([*whole, short, np.append(short, 5.0)], "%").days == 5
    assert usual([], "%") == 0


def test_one_day_that_was_odd_does_not_widen_what_all_others_had():
    odd = [*days(10.0, 12.0, count=6), days(10.0, 95.0, count=1)[0]]
    assert (usual(odd, "%").low, usual(odd, "%").high) == (10.0, 12.0)


def test_the_usual_range_keeps_to_what_is_possible():
    assert CALM.span(0.0, 100.0) == (13.0, 27.0)
    assert Usual(2.0, 1.0, 0, 0, 5).span(0.0, 100.0) == (0.0, 5.5)
    assert Usual(99.0, 1.0, 0, 0, 5).span(0.0, 100.0) == (95.5, 100.0)
    assert Usual(2.0, 1.0, 0, 0, 5).span(None, None) == (-1.5, 5.5)


# --- hours


def test_the_hour_is_that_of_the_wall_and_its_window_has_half_an_hour_on_each_side():
    hour_s = hour_of(at("2026-11-20T14:37:12", BERLIN), BERLIN)
    assert hour_s == at("2026-11-20T14:00", BERLIN)
    found = windows(hour_s, BERLIN)
    assert len(found) == DAYS
    assert found[0] == (at("2026-11-19T13:30", BERLIN), at("2026-11-19T15:30", BERLIN))
    assert found[-1][0] == at("2026-11-06T13:30", BERLIN)


def test_an_hour_begins_where_the_wall_says_so_in_zones_of_half_an_hour():
    india = ZoneInfo("Asia/Kolkata")
    assert hour_of(at("2026-11-20T14:05", india), india) == at("2026-11-20T14:00", india)


@pytest.mark.parametrize(("day", "hours"), [("2026-10-26", 25), ("2026-03-30", 23)])
def test_across_a_change_of_the_clock_the_same_hour_lies_23_or_25_hours_back(day, hours):
    hour_s = at(f"{day}T14:00", BERLIN)
    # The clock changed on the Sunday before, so the Sunday itself is a day as any other, and Saturday one hour off.
    sunday, saturday = (begin + 1_800 for begin, _ in windows(hour_s, BERLIN)[:2])
    assert hour_s - sunday == 24 * 3_600
    assert sunday - saturday == hours * 3_600


def test_an_hour_that_a_day_has_twice_or_not_at_all_still_gives_one_window():
    twice = windows(at("2026-10-26T02:00", BERLIN), BERLIN)[0]
    assert datetime.fromtimestamp(twice[0] + 1_800, UTC).hour == 0  # 02:00 summer time, the first of both
    never = windows(at("2026-03-30T02:00", BERLIN), BERLIN)[0]
    assert never[1] - never[0] == 7_200


# --- when it begins and ends


def test_a_rise_is_told_after_three_minutes_and_since_its_first():
    *before, told = run_of([20, 60, 60, 60])
    assert before[0] is None
    assert [run.confirmed for run in before[1:]] == [False, False]
    assert told.confirmed
    assert (told.since_s, told.until_s, told.side, told.value, told.z) == (60, 240, 1, 60, 20.0)


def test_a_fall_is_found_as_a_rise_is():
    assert run_of([2, 2, 2])[-1].side == -1


@pytest.mark.parametrize(
    "values",
    [
        [60, 60, 20, 60, 60],  # spikes
        [60, 60, None, 60, 60],  # not measured in between
        [60, 60, 2, 2],  # to the other side
        [29.9] * 9,  # z of 4.95
    ],
)
def test_what_does_not_last_or_is_not_far_enough_is_nothing(values):
    assert not any(run and run.confirmed for run in run_of(values))


def test_what_all_earlier_days_but_one_had_too_is_nothing_however_far_out():
    wide = CALM._replace(high=80.0)
    assert side_of(83.9, wide) == 0
    assert side_of(84.1, wide) == 1
    assert side_of(8.0, CALM._replace(low=11.9)) == 0
    assert side_of(7.8, CALM._replace(low=11.9)) == -1


def test_minutes_that_are_left_out_break_a_row():
    run = run_of([60, 60])[-1]
    assert not step(run, 180, 60, CALM).confirmed
    assert step(run, 120, 60, CALM).confirmed


def test_it_ends_after_three_usual_minutes_and_not_before():
    run = run_of([60, 60, 60])[-1]
    *on, over = run_of([26.9, 26.9, 26.9], run=run, begin_s=180)
    assert over is None
    assert [each.until_s for each in on] == [180, 180]
    [_, back, _] = run_of([26.9, 27.1, 26.9], run=run, begin_s=180)
    assert (back.calm, back.until_s, back.last, back.value) == (0, 300, 27.1, 60)


def test_what_is_not_measured_any_more_or_has_no_usual_ends_too():
    run = run_of([60, 60, 60])[-1]
    assert run_of([None, None, None], run=run, begin_s=180)[-1] is None
    assert run_of([60, 60, 60], None, run=run, begin_s=180)[-1] is None
    assert isinstance(run_of([None, 60], run=run, begin_s=180)[-1], Run)


# --- what is looked at


def test_only_levels_are_watched():
    for name in WATCHED:
        metric = METRICS[name]
        assert metric.kind == "gauge", name
        assert metric.unit in anomaly.RESOLUTION, name
        assert not name.startswith("monitor."), name
    for name, others in anomaly.ALSO.items():
        assert name in WATCHED
        assert not set(others) & set(WATCHED)
        assert all(METRICS[other].labels == METRICS[name].labels for other in others)


# --- how often it is wrong


def lived(kind, random, minutes):
    """Ordinary values of a series, one a minute: (minutes,)."""
    noise = random.normal(size=minutes)
    if kind == "normal":
        return 50 + 10 * noise
    wander = np.empty(minutes)  # it takes twenty minutes to forget
    level = 0.0
    for number, each in enumerate(noise * np.sqrt(1 - 0.95**2)):
        level = wander[number] = 0.95 * level + each
    if kind == "wanders":
        return 50 + 10 * wander
    if kind == "days differ":
        return np.clip(
            50 + 10 * wander + np.repeat(random.normal(0, 10, -(-minutes // 1_440)), 1_440)[:minutes], 0, 100
        )
    return 20 * np.exp(0.6 * wander)  # a long tail that wanders


def marks_in_a_day(values):
    """Judge the fifteenth day, each hour by the fourteen before; gives how often something began."""
    began, run = 0, None
    for hour in range(24):
        first = DAYS * 1_440 + hour * 60
        known = usual([values[max(0, first - back * 1_440 - 30) :][:120] for back in range(1, DAYS + 1)], "%")
        for minute in range(first, first + 60):
            was = run is not None and run.confirmed
            run = step(run, minute * 60, values[minute], known)
            began += run is not None and run.confirmed and not was
    return began


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "most"), [("normal", 0.0), ("wanders", 0.0), ("days differ", 0.02), ("long tail", 0.5)]
)
def test_false_marks_a_series_and_day_are_as_rare_as_the_manual_says(kind, most):
    random = np.random.default_rng(1)
    found = [marks_in_a_day(lived(kind, random, (DAYS + 1) * 1_440)) for _ in range(60)]
    assert np.mean(found) <= most


def test_a_rise_in_ordinary_noise_is_found_within_three_minutes():
    random = np.random.default_rng(5)
    for _ in range(20):
        values = lived("normal", random, (DAYS + 1) * 1_440)
        known = usual([values[day * 1_440 :][:120] for day in range(DAYS)], "%")
        rise = values[DAYS * 1_440 :][:3] + 90  # nine standard deviations
        assert run_of(rise, known)[-1].confirmed
