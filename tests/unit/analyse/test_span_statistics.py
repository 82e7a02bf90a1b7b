"""Statistics of a span: exact figures of what is kept, against another span, or why there are none."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, timedelta, timezone

import numpy as np
import pytest

from tests.unit.analyse.test_query import CPU, START_S, TTFT, Past
from wfmon.analyse.span_statistics import LEAST, SpanStatistics
from wfmon.core.errors import Refused
from wfmon.core.services import StatisticsQuery
from wfmon.store.tiers import DAY_S

MEMORY, DISK = "system.memory_percent", "system.disk_total_bytes"
HOUR_S = 3_600


def dice(seed=1):
    return np.random.default_rng(seed)


def ask(past, series, from_s, to_s, against=None, other="", zone=UTC):
    """What is said, as JSON says it: no NaN."""
    ms = None if against is None else (against[0] * 1_000, against[1] * 1_000)
    told = SpanStatistics(past.history).statistics(
        StatisticsQuery(series, (from_s * 1_000, to_s * 1_000), ms, other, zone)
    )
    return json.loads(json.dumps(told, allow_nan=False))


@pytest.fixture(scope="module")
def hours(tmp_path_factory):
    """Two hours, now: CPU with memory of the last seconds, 20 % higher in the second; the disk never changes."""
    past = Past(tmp_path_factory.mktemp("past"), CPU, MEMORY, DISK, TTFT)
    t_s = np.arange(START_S, START_S + 2 * HOUR_S)
    noise = dice().normal(0, 5, len(t_s))
    for at in range(1, len(t_s)):
        noise[at] += 0.5 * noise[at - 1]
    cpu = 50 + noise + np.where(t_s >= START_S + HOUR_S, 10, 0)
    past.put(CPU, t_s * 1_000, cpu)
    past.put(MEMORY, t_s * 1_000, 80 - cpu / 2)
    past.every(DISK, 1, START_S + 2 * HOUR_S, 1e12)
    at_s = np.sort(dice(2).choice(t_s, 600, replace=False))
    ttft = dice(3).lognormal(6, 0.4, 600) * np.where(at_s >= START_S + HOUR_S, 1.5, 1)
    past.put(TTFT, at_s * 1_000, ttft)
    for upto_s in range(START_S + 300, START_S + 2 * HOUR_S + 1, 300):
        past.go(upto_s)
    return past, t_s, cpu.astype(np.float32), at_s, ttft.astype(np.float32)


BOTH = (START_S + HOUR_S, START_S + 2 * HOUR_S)


@pytest.mark.parametrize(("from_s", "to_s"), [(0, 7_200), (3_600, 7_200), (1_001, 1_777), (7_000, 7_190)])
def test_figures_are_those_of_exactly_that_span(hours, from_s, to_s):
    past, _, cpu, at_s, ttft = hours
    mine = cpu[from_s:to_s].astype(np.float64)
    told = ask(past, CPU, START_S + from_s, START_S + to_s)["span"]
    wanted = {"mean": mine.mean(), "min": mine.min(), "max": mine.max(), "last": mine[-1], "measured": 1.0}
    assert {name: told[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    assert (told["count"], told["tier"], told["p50"], told["absent"]) == (to_s - from_s, "1s", None, "")
    inside = (at_s >= START_S + from_s) & (at_s < START_S + to_s)
    requests = ttft[inside].astype(np.float64)
    told = ask(past, TTFT, START_S + from_s, START_S + to_s)["span"]
    assert told["count"] == len(requests)
    assert told["mean"] == pytest.approx(requests.mean(), rel=1e-6)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert told[name] == pytest.approx(np.quantile(requests, share), rel=0.03)
    assert told["min"] <= told["p50"] <= told["p95"] <= told["p99"] <= told["max"]
    assert told["measured"] is None


def test_a_span_is_compared_with_as_long_a_one_before_unless_another_is_named(hours):
    past = hours[0]
    told = ask(past, CPU, *BOTH)
    assert (told["against"]["from_ms"], told["against"]["to_ms"]) == (START_S * 1_000, BOTH[0] * 1_000)
    change = told["changes"][0]
    assert (change["of"], change["sure"], change["absent"]) == ("mean", True, "")
    assert change["low"] < 10 < change["high"]
    assert change["high"] - change["low"] < 4
    assert change["difference"] == pytest.approx(change["after"] - change["before"], rel=1e-4)
    assert change["ratio"] == pytest.approx(0.2, abs=0.04)
    assert change["confidence"] > 0.99
    other = ask(past, CPU, START_S, BOTH[0], (BOTH[0], BOTH[0] + 900))
    assert other["changes"][0]["difference"] == pytest.approx(-10, abs=2)
    same = ask(past, CPU, START_S, START_S + 1_800, (START_S + 1_800, START_S + 3_600))["changes"][0]
    assert same["low"] < 0 < same["high"]
    assert not same["sure"]


def test_of_requests_the_median_and_the_95th_percentile_are_compared(hours):
    changes = ask(hours[0], TTFT, *BOTH)["changes"]
    assert [each["of"] for each in changes] == ["p50", "p95"]
    assert changes[0]["sure"]
    assert all(each["ratio_low"] < 0.5 < each["ratio_high"] for each in changes)


def test_what_is_connected_is_told_with_its_direction(hours):
    told = ask(hours[0], CPU, *BOTH, other=MEMORY)["correlation"]
    assert (told["with"], told["unit"], told["sure"]) == (MEMORY, "%", True)
    assert told["rho"] == pytest.approx(-1, abs=0.01)
    assert -1 <= told["low"] <= told["high"] < -0.9
    requests = ask(hours[0], CPU, *BOTH, other=TTFT)["correlation"]
    assert not requests["sure"]
    assert 200 <= requests["steps"] <= 400


def test_what_never_changes_is_said_to_be_the_same(hours):
    told = ask(hours[0], DISK, *BOTH, other=CPU)
    change = told["changes"][0]
    assert (change["difference"], change["low"], change["high"], change["sure"]) == (0, 0, 0, False)
    assert (told["trend"]["slope"], told["trend"]["sure"]) == (0, False)
    assert told["correlation"]["rho"] is None
    assert told["correlation"]["absent"] == "One of them did not change, or changed too slowly, in this span."


# --- what cannot be said says why


def test_a_span_that_lies_ahead_has_no_figures_and_says_so(hours):
    past = hours[0]
    told = ask(past, CPU, past.now_s + 60, past.now_s + 120, other=MEMORY)
    assert told["span"]["absent"] == "The span is in the future: nothing has been measured yet."
    assert told["span"]["mean"] is None
    assert told["span"]["count"] is None
    assert told["changes"][0]["absent"]
    assert told["trend"]["absent"] == told["span"]["absent"]
    assert told["profile"]["absent"] == told["span"]["absent"]
    assert told["correlation"]["absent"].startswith("Too little in common")


def test_a_span_that_ends_in_years_is_as_fine_as_what_is_there_of_it(hours):
    past = hours[0]
    begin_s = past.now_s - 1_800
    told = ask(past, CPU, begin_s, past.now_s + 10 * 365 * DAY_S, (begin_s - 1_800, begin_s))
    now = ask(past, CPU, begin_s, past.now_s)
    names = ("absent", "tier", "count", "mean", "measured")
    assert [told["span"][name] for name in names] == [now["span"][name] for name in names]
    assert (told["span"]["tier"], told["span"]["count"]) == ("1s", 1_800)


def test_too_few_values_say_how_many_are_needed(hours):
    past, _, _, at_s, _ = hours
    told = ask(past, TTFT, int(at_s[300]), int(at_s[305]))
    assert told["span"]["count"] == 5
    assert told["changes"][0]["absent"].startswith(f"Too few values: {LEAST['p50']} are needed in each span")
    assert told["changes"][0]["difference"] is None
    assert told["trend"]["absent"].startswith("Too few values: 8 are needed")
    assert told["profile"]["absent"] == "Shorter than a day: there is no daily profile."


def test_a_span_in_which_nothing_was_recorded_says_so_and_the_other_is_there(hours):
    told = ask(hours[0], CPU, START_S - 100, START_S, (START_S, START_S + 100))
    assert told["span"]["absent"] == "Nothing was measured in this span."
    assert told["against"]["count"] == 100
    assert told["changes"][0]["absent"] == told["span"]["absent"]
    begin = ask(hours[0], CPU, 0, START_S + 10)
    assert begin["against"]["absent"] == "There is no time before this span."


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (StatisticsQuery("gpu.power_watts", (1, 2)), "series"),
        (StatisticsQuery("", (1, 2)), "series"),
        (StatisticsQuery("system.cpu percent{", (1, 2)), "series"),
        (StatisticsQuery(CPU, (2, 2)), "from"),
        (StatisticsQuery(CPU, (1, 2), (5, 4)), "against_from"),
        (StatisticsQuery(CPU, (1, 2), None, "gpu.power_watts"), "with"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(hours, asked, field):
    with pytest.raises(Refused) as refused:
        SpanStatistics(hours[0].history).statistics(asked)
    assert refused.value.field == field
    assert refused.value.fix


def test_several_series_at_once_are_refused(tmp_path):
    past = Past(tmp_path, TTFT, 'model.ttft_ms{model="n",server="s"}')
    past.go(START_S + 60)
    with pytest.raises(Refused, match="2 series match"):
        ask(past, "model.ttft_ms", START_S, START_S + 60)


# --- days


@pytest.fixture(scope="module")
def weeks(tmp_path_factory):
    """Two weeks, now: a wave a day, a rise of 1 % a day, and a gap of six hours each night; requests at all hours."""
    past = Past(tmp_path_factory.mktemp("past"), CPU, TTFT)
    t_s = np.arange(START_S, START_S + 14 * DAY_S, 60)
    of_day = t_s % DAY_S
    cpu = 40 - 20 * np.cos(of_day / DAY_S * 2 * np.pi) + (t_s - START_S) / DAY_S + dice().normal(0, 4, len(t_s))
    awake = of_day >= 6 * HOUR_S
    past.put(CPU, t_s[awake] * 1_000, cpu[awake])
    at_s = np.sort(dice(2).integers(START_S, START_S + 14 * DAY_S, 4_000))
    past.put(TTFT, at_s * 1_000, dice(3).lognormal(6, 0.3, 4_000) * np.where(at_s % DAY_S < 12 * HOUR_S, 1, 2))
    for day in range(2, 14 + 1, 2):
        past.go(START_S + day * DAY_S)
    past.go(START_S + 14 * DAY_S + 5)
    return past


WEEK = (START_S + 7 * DAY_S, START_S + 14 * DAY_S)


def test_a_week_against_the_one_before_does_not_mistake_the_days_wave_for_doubt(weeks):
    told = ask(weeks, CPU, *WEEK)
    change = told["changes"][0]
    assert change["low"] < 7 < change["high"]
    assert change["high"] - change["low"] < 3
    assert change["sure"]
    assert told["trend"]["per_ms"] == DAY_S * 1_000
    assert told["trend"]["slope"] == pytest.approx(1, abs=0.3)
    assert told["trend"]["sure"]


def test_gaps_are_told_as_the_share_that_was_measured(weeks):
    assert ask(weeks, CPU, *WEEK)["span"]["measured"] == pytest.approx(0.75, abs=0.02)


def test_hours_of_the_day_are_those_of_the_users_zone(weeks):
    hours = ask(weeks, CPU, *WEEK)["profile"]["hours"]
    assert hours[:6] == [None] * 6
    assert max(range(6, 24), key=lambda hour: hours[hour]) in (11, 12)
    east = ask(weeks, CPU, *WEEK, zone=timezone(timedelta(hours=2)))["profile"]["hours"]
    assert east[8:] == pytest.approx(hours[6:22], rel=1e-6)
    requests = ask(weeks, TTFT, *WEEK)["profile"]["hours"]
    assert np.median(requests[12:]) / np.median(requests[:12]) == pytest.approx(2, abs=0.2)


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    """200 days, now: a value an hour, a wave a day, a rise of 0.1 % a day."""
    past = Past(tmp_path_factory.mktemp("past"), CPU)
    t_s = np.arange(START_S, START_S + 200 * DAY_S, HOUR_S)
    wave = -10 * np.cos(t_s % DAY_S / DAY_S * 2 * np.pi)
    past.put(CPU, t_s * 1_000, 30 + wave + (t_s - START_S) / DAY_S / 10 + dice().normal(0, 2, len(t_s)))
    for day in range(5, 200 + 1, 5):
        past.go(START_S + day * DAY_S)
    past.go(START_S + 200 * DAY_S + 5)
    return past


@pytest.mark.parametrize("days", [64, 65, 200])
def test_the_trend_of_more_than_64_days_is_of_whole_ones(months, days):
    trend = ask(months, CPU, START_S + (200 - days) * DAY_S, START_S + 200 * DAY_S)["trend"]
    assert (trend["absent"], trend["per_ms"], trend["sure"]) == ("", 7 * DAY_S * 1_000, True)
    assert trend["slope"] == pytest.approx(0.7, abs=0.15)


def test_so_long_ago_that_no_step_begins_in_it_says_so(weeks):
    told = ask(weeks, CPU, START_S + 7 * HOUR_S + 61, START_S + 7 * HOUR_S + 119)
    assert (
        told["span"]["absent"]
        == "Data this old is stored at a coarser resolution: none of its steps begins in this span."
    )


def test_spans_side_by_side_of_one_tier_share_no_value_and_lose_none(weeks):
    cuts = [START_S + DAY_S // 2, START_S + DAY_S + 17, START_S + 3 * DAY_S + 4_321, START_S + 11 * DAY_S]
    whole = ask(weeks, TTFT, cuts[0], cuts[-1])["span"]
    parts = [ask(weeks, TTFT, *ends)["span"] for ends in itertools.pairwise(cuts)]
    assert sum(each["count"] for each in parts) == whole["count"]
    assert {each["tier"] for each in parts} == {whole["tier"]} == {"1min"}
    assert whole["count"] > 2_500


def test_it_is_quick_enough_for_the_monitors_own_process(weeks):
    ask(weeks, TTFT, *WEEK)
    start = time.process_time()
    ask(weeks, TTFT, START_S, START_S + 14 * DAY_S, other=CPU)
    assert time.process_time() - start < 1.0  # it takes a tenth; here only that it is no order of magnitude off
