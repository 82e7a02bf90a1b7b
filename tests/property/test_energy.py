"""The energy index, whatever comes: bounded, deterministic, and true to its promises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfmon.core.settings import EnergySettings
from wfmon.process import energy
from wfmon.process.energy import CHARGING, DRAINED, IDLE, SATURATED, STALLING, EnergyMeter

ANYTHING = st.floats(allow_nan=True, allow_infinity=True)
SHARE = st.floats(0, 1)
TIMES = st.floats(0, 1e9)
SETTINGS = st.builds(
    EnergySettings,
    profile=st.sampled_from(["learned", "lite", "dual", "studio"]),
    tps_min=st.floats(0, 1_000),
    tps_max_lite=st.floats(1, 100_000),
    weight_velocity=SHARE,
    weight_certainty=SHARE,
    weight_steadiness=SHARE,
    weight_velocity_alone=SHARE,
    weight_steadiness_alone=SHARE,
    smoothing=st.floats(0.01, 1),
    half_life_ms=st.floats(10, 60_000),
    steady_ms=st.floats(1, 60_000),
    unsteady_ms=st.floats(2, 600_000),
    stall_tokens=st.integers(1, 100),
    saturated_at=SHARE,
    saturated_ms=st.floats(0, 60_000),
    saturated_until=SHARE,
    drained_ms=st.floats(0, 60_000),
    peak_floor=st.floats(1, 100_000),
    peak_half_life_s=st.floats(1, 86_400),
)
TOKEN = st.tuples(st.just("token"), ANYTHING, st.none() | ANYTHING, st.none() | ANYTHING)
EVENTS = st.lists(st.tuples(ANYTHING, st.tuples(st.sampled_from(["started", "ended", "at"])) | TOKEN), max_size=40)
IN_ORDER = st.lists(
    st.tuples(st.floats(0, 3_000), st.tuples(st.sampled_from(["started", "ended"])) | TOKEN), max_size=40
)


def play(meter, events):
    """Let events of (ms, (name, ...)) come; give what each gave."""
    return [getattr(meter, name)(t_ms, *more) for t_ms, (name, *more) in events]


@given(SETTINGS, EVENTS, ANYTHING)
def test_the_index_stays_within_0_and_1_and_the_state_is_one_of_six_whatever_comes(settings, events, then_ms):
    meter = EnergyMeter(settings)
    for t_ms, (name, *more) in events:
        getattr(meter, name)(t_ms, *more)
        for look_ms in (t_ms, then_ms, 0.0):
            level, state = meter.at(look_ms)
            assert 0 <= level <= 1
            assert 0 <= state <= 5


@given(
    st.sampled_from(["learned", "lite", "dual", "studio"]), st.none() | st.just(1.0), st.floats(1, 400),
    st.floats(200, 1e6),
)  # fmt: skip
def test_fast_sure_and_steady_goes_to_1_and_is_saturated(profile, certainty, interval, tps):
    meter = EnergyMeter(EnergySettings(profile=profile))
    meter.started(0)
    count = 100 + math.ceil(800 / interval)
    for n in range(count):
        meter.token(n * interval, tps, certainty, interval if n else None)
    level, state = meter.at((count - 1) * interval)
    assert level == pytest.approx(1, abs=1e-12)
    assert state == SATURATED


@given(st.floats(0, 1e6), st.none() | SHARE, st.integers(1, 50), st.floats(1e5, 1e9))
def test_a_silence_goes_to_0_and_stalls(tps, certainty, count, silence_ms):
    meter = EnergyMeter(EnergySettings())
    meter.started(0)
    for n in range(count):
        meter.token(n * 20, tps, certainty, 20 if n else None)
    level, state = meter.at(count * 20 + silence_ms)
    assert level < 1e-40
    assert state == STALLING


@given(st.integers(5, 200))
def test_one_stall_after_the_other_goes_to_0(count):
    meter = EnergyMeter(EnergySettings())
    meter.started(0)
    meter.token(0, 100, 1, None)
    for n in range(1, count):
        level = meter.token(n * 1_500, 0, 0, 1_500)
    assert level < 0.25 ** (count - 1)
    assert meter.at((count - 1) * 1_500)[1] == STALLING


@given(SETTINGS, IN_ORDER, st.integers(0, 40))
def test_the_half_life_is_exact_once_it_falls_whether_a_request_is_open_or_not(settings, steps, halves):
    meter, t_ms = EnergyMeter(settings), 0.0
    for wait_ms, (name, *more) in steps:
        t_ms += wait_ms
        getattr(meter, name)(t_ms, *more)
    state = meter._energy
    falls_ms = max(state.falls_ms, t_ms)
    top = energy.level(state, falls_ms, settings)
    found = energy.level(state, falls_ms + halves * settings.half_life_ms, settings)
    assert found == pytest.approx(top / 2**halves, rel=1e-9)
    assert energy.level(state, state.falls_ms, settings) == state.level


@given(SETTINGS, IN_ORDER, st.floats(0, 5_000), st.floats(0, 5_000))
def test_between_events_the_index_only_falls(settings, steps, one_ms, two_ms):
    meter, t_ms = EnergyMeter(settings), 0.0
    for wait_ms, (name, *more) in steps:
        t_ms += wait_ms
        getattr(meter, name)(t_ms, *more)
    assert meter.at(t_ms + one_ms)[0] >= meter.at(t_ms + one_ms + two_ms)[0]


@given(SETTINGS, EVENTS, st.lists(ANYTHING, max_size=10))
def test_asking_changes_nothing(settings, events, looks):
    asked, silent = EnergyMeter(settings), EnergyMeter(settings)
    for event in events:
        play(silent, [event])
        play(asked, [event])
        for t_ms in looks:
            asked.at(t_ms)
    assert asked._energy == silent._energy


@given(SETTINGS, IN_ORDER)
def test_equal_events_give_equal_answers(settings, steps):
    one, two = EnergyMeter(settings), EnergyMeter(settings)
    assert play(one, steps) == play(two, steps)
    assert one._energy == two._energy


@given(TIMES, st.permutations([("token", 20.0, 1.0, 50.0)] * 3 + [("started",)] * 3))
def test_starts_beside_tokens_of_the_same_instant_change_nothing_once_a_request_is_open(t_ms, order):
    meter, plain = EnergyMeter(EnergySettings()), EnergyMeter(EnergySettings())
    for each in (meter, plain):
        each.started(t_ms)
        each.token(t_ms, 20, 1, None)
    play(meter, [(t_ms, event) for event in order])
    play(plain, [(t_ms, ("token", 20.0, 1.0, 50.0))] * 3)
    assert meter.at(t_ms) == plain.at(t_ms)


@given(TIMES, st.integers(1, 5), st.integers(1, 5))
def test_starts_count_once_and_ends_count_once(t_ms, starts, ends):
    meter = EnergyMeter(EnergySettings())
    play(meter, [(t_ms, ("started",))] * starts)
    assert meter.at(t_ms)[1] == CHARGING
    play(meter, [(t_ms, ("ended",))] * ends)
    assert meter.at(t_ms)[1] == DRAINED
    assert meter.at(t_ms + 2_001)[1] == IDLE


@given(SETTINGS, st.lists(TOKEN, min_size=1, max_size=20), TIMES, st.floats(0, 1e9))
def test_tokens_that_come_backwards_count_as_of_one_instant(settings, tokens, t_ms, back_ms):
    backwards, together = EnergyMeter(settings), EnergyMeter(settings)
    for meter in (backwards, together):
        meter.started(t_ms)
    play(together, [(t_ms, token) for token in tokens])
    play(backwards, [(t_ms - back_ms * n / len(tokens), token) for n, token in enumerate(tokens)])
    assert backwards._energy == together._energy
