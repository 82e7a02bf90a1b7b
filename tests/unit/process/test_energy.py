"""The energy index: its formulas, its states with their events, and traces that stay as they are."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from wfmon.core.settings import EnergySettings
from wfmon.process import energy
from wfmon.process.energy import CHARGING, DRAINED, FLOWING, IDLE, SATURATED, STALLING, EnergyMeter

LITE = EnergySettings(profile="lite")
TRACES = sorted((Path(__file__).parents[2] / "data/energy").glob("*.json"))


def meter(*, profile="lite", **more):
    return EnergyMeter(EnergySettings(profile=profile, **more))


def flow(meter, from_ms, count, *, every=50.0, tps=20.0, certainty=1.0):
    """Let tokens come; gives the time of the last one."""
    for n in range(count):
        meter.token(from_ms + n * every, tps, certainty, every)
    return from_ms + (count - 1) * every


# --- the formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tps", "v"), [(-5, 0), (0, 0), (5, 0.25), (20, 1), (1e9, 1)])
def test_speed_is_measured_against_full_speed(tps, v):
    assert energy.velocity(tps, 20, LITE) == v


def test_speed_counts_from_the_lower_bound():
    settings = EnergySettings(tps_min=10)
    assert energy.velocity(15, 20, settings) == 0.5
    assert [energy.velocity(tps, 10, settings) for tps in (9, 10, 11)] == [0, 0, 1], "bounds that leave no room"


@pytest.mark.parametrize(("interval", "s"), [(0, 1), (400, 1), (950, 0.5), (1_500, 0), (60_000, 0)])
def test_steadiness_falls_from_400_to_1500_ms(interval, s):
    assert energy.steadiness(interval, LITE) == s


def test_steadiness_is_a_step_where_the_settings_leave_no_slope():
    settings = EnergySettings(steady_ms=500, unsteady_ms=500)
    assert [energy.steadiness(ms, settings) for ms in (500, 501)] == [1, 0]


@pytest.mark.parametrize(
    ("v", "c", "s", "value"),
    [
        (1, 1, 1, 1),
        (1, 0, 0, 0.5),
        (0, 1, 0, 0.3),
        (0, 0, 1, 0.2),
        (1, None, 0, 0.7),
        (0, None, 1, 0.3),
        (1, 0, None, 0.625),  # the first token of a request: 0.5 of 0.8
        (0.5, None, None, 0.5),
        (None, 0.5, None, 0.5),
        (None, None, None, None),
    ],
)
def test_a_tokens_own_value_weighs_what_is_known(v, c, s, value):
    assert energy.base(v, c, s, LITE) == value


def test_a_value_without_weights_is_none():
    nothing = dict.fromkeys((each.name for each in dataclasses.fields(LITE) if each.name.startswith("weight")), 0.0)
    assert energy.base(1, 1, 1, EnergySettings(**nothing)) is None


def test_a_token_moves_the_index_by_its_share():
    m = meter()
    m.started(0)
    assert m.token(100, 20, 1, None) == 0.35
    assert m.token(150, 20, 1, 50) == pytest.approx(0.35 + 0.65 * 0.35, abs=1e-15)
    assert m.token(200, 0, 0, 1_500) == pytest.approx(0.65 * 0.5775, abs=1e-15)


def test_what_is_no_number_weighs_nothing():
    nan, inf = math.nan, math.inf
    assert meter().token(0, 20, nan, nan) == 0.35, "speed alone"
    assert meter().token(0, nan, 1, -5) == 0.35, "certainty alone"
    assert meter().token(0, inf, None, inf) == 0, "nothing is known, so nothing changes"
    assert meter().token(0, 20, 7, None) == 0.35
    assert meter().token(0, 20, -7, None) == pytest.approx(0.35 * 0.625)


# --- the fall --------------------------------------------------------------------------------------------------------


def test_the_index_holds_through_a_steady_interval_and_then_halves_every_700_ms():
    m = meter()
    m.started(0)
    last = flow(m, 0, 100)
    full, _ = m.at(last)
    assert [m.at(last + 400 + k * 700)[0] for k in (0, 1, 2, 10)] == [full, full / 2, full / 4, full / 1024]
    assert m.at(last + 399)[0] == full


def test_the_next_token_builds_on_what_a_silence_has_left():
    m = meter()
    m.started(0)
    last = flow(m, 0, 100)
    full, _ = m.at(last)
    assert m.token(last + 1_100, 0, 0, 1_500) == pytest.approx(0.65 * full / 2, abs=1e-15)


def test_it_fades_at_once_when_the_last_request_has_ended_and_goes_on_fading_while_the_next_is_read():
    m = meter()
    m.started(0)
    last = flow(m, 0, 100)
    full, _ = m.at(last)
    m.ended(last)
    assert m.at(last + 700) == (full / 2, DRAINED)
    m.started(last + 700)
    assert m.at(last + 1_400) == (full / 4, CHARGING)


# --- full speed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "tps"), [("lite", 20), ("dual", 60), ("studio", 200)])
def test_a_profile_says_what_full_speed_is(profile, tps):
    assert meter(profile=profile).token(0, tps / 2, None, None) == 0.35 * 0.5


def test_the_learned_peak_is_the_models_own_never_below_20():
    m = meter(profile="learned")
    assert m.token(0, 10, None, None) == 0.35 * 0.5
    peak = meter(profile="learned")
    assert peak.token(0, 80, None, None) == 0.35
    assert peak.token(0, 40, None, None) == pytest.approx(0.35 * 0.5 + 0.65 * 0.35)


def test_half_of_the_learned_peak_is_forgotten_in_five_minutes():
    settings = EnergySettings()
    state = energy.token(energy.Energy(), 0, 160, None, None, settings)
    peaks = [energy.peak_at(state, minutes * 60_000, settings) for minutes in (0, 5, 10, 15, 60)]
    assert peaks == [160, 80, 40, 20, 20]


# --- the states ------------------------------------------------------------------------------------------------------


def test_the_states_of_a_request_that_runs_well():
    m = meter()
    assert m.at(0) == (0, IDLE)
    m.started(10)
    assert m.at(10) == m.at(60_000) == (0, CHARGING)
    m.token(1_000, 20, 1, None)
    assert m.at(1_000)[1] == FLOWING
    last = flow(m, 1_050, 60)
    assert m.at(last)[1] == SATURATED
    m.ended(last)
    assert [m.at(last + ms)[1] for ms in (0, 1_999, 2_000)] == [DRAINED, DRAINED, IDLE]


def test_a_second_request_beside_one_that_flows_changes_nothing():
    m = meter()
    m.started(0)
    last = flow(m, 0, 5)
    before = m.at(last)
    m.started(last)
    assert m.at(last) == before


def test_two_slow_intervals_in_a_row_are_a_stall_and_a_steady_one_ends_it():
    m = meter()
    m.started(0)
    m.token(0, 2, 1, None)
    m.token(401, 2, 1, 401)
    assert m.at(401)[1] == FLOWING
    m.token(802, 2, 1, 401)
    assert m.at(802)[1] == STALLING
    m.token(1_202, 2, 1, 400)
    assert m.at(1_202)[1] == FLOWING


def test_the_silence_that_runs_counts_as_one_after_400_ms_and_as_two_after_800():
    m = meter()
    m.started(0)
    m.token(0, 2, 1, None)
    assert [m.at(ms)[1] for ms in (400, 800, 801, 9_999)] == [FLOWING, FLOWING, STALLING, STALLING]
    m.token(900, 2, 1, 900)
    assert [m.at(900 + ms)[1] for ms in (0, 400, 401)] == [FLOWING, FLOWING, STALLING], "one interval and one silence"


def test_the_first_token_of_a_further_request_says_nothing_of_stalls():
    m = meter()
    m.started(0)
    for n in range(3):
        m.token(n * 500, 2, 1, 500 if n else None)
    m.started(1_000)
    m.token(1_010, 2, 1, None)
    assert m.at(1_010)[1] == STALLING


def test_a_new_request_after_the_end_begins_without_the_old_stalls():
    m = meter()
    m.started(0)
    for n in range(4):
        m.token(n * 500, 2, 1, 500)
    m.ended(1_500)
    m.started(1_600)
    m.token(1_700, 2, 1, None)
    assert m.at(1_700)[1] == FLOWING


def test_it_is_saturated_once_the_index_has_held_0_85_for_800_ms_until_it_falls_below_0_7():
    m = meter()
    m.started(0)
    above = next(ms for ms in range(0, 1_000, 50) if m.token(ms, 20, 1, 50) >= 0.85)
    last = flow(m, above + 50, 20)
    assert last == above + 1_000
    assert m.at(last)[1] == SATURATED
    while (e := m.token(last := last + 50, 0, 1, 50)) >= 0.7:
        assert m.at(last)[1] == SATURATED
    assert e < 0.7
    assert m.at(last)[1] == FLOWING
    while m.token(last := last + 50, 20, 1, 50) < 0.85:
        assert m.at(last)[1] == FLOWING
    assert [m.at(last + ms)[1] for ms in (0, 400)] == [FLOWING, FLOWING], "the 800 ms begin anew"


def test_when_saturation_began_does_not_depend_on_who_looked():
    looked, unlooked = meter(steady_ms=2_000), meter(steady_ms=2_000)
    for m in (looked, unlooked):
        m.started(0)
        flow(m, 0, 100, every=1)
    for ms in range(100, 1_000):
        looked.at(ms)
    assert looked.at(1_000) == unlooked.at(1_000)
    assert looked.at(1_000)[1] == SATURATED
    short = meter()
    short.started(0)
    flow(short, 0, 100, every=1)
    assert short.at(99 + 799)[1] != SATURATED, "it fell below 0.85 before it had held that for 800 ms"


def test_a_token_of_no_open_request_opens_none():
    m = meter()
    assert m.token(0, 20, 1, 50) == 0.35
    assert m.at(0) == (0.35, IDLE)
    assert m.at(700) == (0.175, IDLE)


def test_an_end_without_a_request_ends_nothing():
    m = meter()
    m.ended(5)
    assert m.at(5) == (0, IDLE)
    m.started(10)
    m.ended(20)
    m.ended(9_000)
    assert m.at(2_019)[1] == DRAINED
    assert m.at(2_020)[1] == IDLE


def test_a_time_that_goes_back_counts_as_that_of_the_event_before():
    m = meter()
    m.started(1_000)
    m.token(500, 20, 1, None)
    assert m.at(0) == m.at(1_400) == (0.35, FLOWING)
    for wrong in (math.nan, math.inf, -math.inf):
        m.token(wrong, 20, 1, 50)
    assert m.at(2_100)[0] == m.at(1_000)[0] / 2


# --- the traces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_trace_gives_what_a_millisecond_by_millisecond_reading_of_the_page_gave(path):
    """They were made by a loop of 1 ms steps that shares no line with the module."""
    trace = json.loads(path.read_text("utf-8"))
    m = EnergyMeter(EnergySettings(**trace["settings"]))
    for t_ms, what, *given, level, state in trace["events"]:
        if what == "start":
            m.started(t_ms)
        elif what == "end":
            m.ended(t_ms)
        elif what == "token":
            m.token(t_ms, *given)
        found, number = m.at(t_ms)
        assert (pytest.approx(found, abs=1e-6), energy.STATES[number]) == (level, state), f"at {t_ms} ms"


def test_there_are_traces_of_every_state():
    assert {event[-1] for path in TRACES for event in json.loads(path.read_text())["events"]} == set(energy.STATES)
