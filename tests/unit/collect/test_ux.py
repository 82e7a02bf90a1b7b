from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from wfmon.collect import ux
from wfmon.collect.ux import CLOSED, HIDDEN, NO_FRAME, NO_INPUT, NO_STREAM, OFF, UxInbox
from wfmon.core.clock import FakeClock
from wfmon.core.types import Burst, Frame


class Bench:
    def __init__(self, **kwargs):
        self.clock = FakeClock()
        self.inbox = UxInbox(self.clock, lambda: ("overview", "system"), **kwargs)

    def say(self, client="a", **fields):
        message = {
            "type": "ux", "page": "overview", "t0": self.clock.now_ms() - 1000, "intervals": [20.0] * 50,
            "work": [5.0] * 50, "missed": 0, "loaf": [], "inputs": [], "stream_latency": [10.0], "hidden": False,
        }  # fmt: skip
        self.inbox.push(message | fields, client)

    def drain(self):
        self.bursts, self.frames = [], []
        for item in self.inbox.drain():
            (self.bursts if isinstance(item, Burst) else self.frames).append(item)
        assert all(isinstance(one, Frame) for one in self.frames)
        return [
            {str(s): v for s, v in zip(frame.layout.series, frame.values.tolist(), strict=True)}
            for frame in self.frames
        ]


@pytest.fixture
def bench():
    return Bench()


def of(values, page="overview"):
    return {name.removeprefix("ux.").removesuffix(f'{{page="{page}"}}'): value for name, value in values.items()}


def test_a_page_that_does_not_exist_gets_no_series_and_is_counted(bench):
    for page in ("nope", "overview-2", "404"):
        bench.say(client=page, page=page)
    assert bench.drain() == []
    assert bench.bursts == []
    assert bench.inbox.dropped == Counter({"ux_no_such_page": 3})
    bench.say(page="system")
    (values,) = bench.drain()
    assert of(values, "system")["fps"] == 50.0


def test_a_report_becomes_its_single_frames_and_the_values_of_a_second(bench):
    bench.say(
        intervals=[10.0] * 40 + [60.0] * 10, work=[4.0] * 50, missed=3, loaf=[{"duration_ms": 60.5}],
        inputs=[8, 24, 16], stream_latency=list(range(1, 101)),
    )  # fmt: skip
    (values,) = bench.drain()
    assert of(values) == {
        "fps": 50.0, "dropped_frames": 3.0, "jank_budget_used": 20.0, "long_frames": 1.0, "input_latency_ms": 24.0,
        "stream_latency_ms": 95.0,
    }  # fmt: skip
    assert bench.frames[0].reasons == {}
    assert [str(burst.series) for burst in bench.bursts] == [
        'ux.frame_time_ms{page="overview"}', 'ux.work_time_ms{page="overview"}'
    ]  # fmt: skip
    intervals, work = bench.bursts
    t0 = bench.clock.now_ms() - 1000
    assert intervals.t_ms.dtype == np.int64
    assert intervals.t_ms[:3].tolist() == [t0, t0 + 10, t0 + 20]
    assert intervals.t_ms[-1] == t0 + 390 + 600
    assert intervals.values.tolist() == [10.0] * 40 + [60.0] * 10
    assert work.values.tolist() == [4.0] * 50
    assert bench.drain() == []


def test_values_are_for_a_second_however_long_the_report_is(bench):
    bench.say(intervals=[20.0] * 100, missed=6, t0=bench.clock.now_ms() - 2000)
    (values,) = bench.drain()
    assert (of(values)["fps"], of(values)["dropped_frames"]) == (50.0, 3.0)


def test_frames_at_60_hertz_use_no_jank_budget_though_their_stamps_are_rounded(bench):
    bench.say(intervals=[16.6, 16.7, 16.7, 17.0] * 10, work=[])
    assert of(bench.drain()[0])["jank_budget_used"] == 0.0


def test_what_did_not_happen_in_a_second_is_absent_with_its_reason(bench):
    bench.say(intervals=[], work=[3.0], stream_latency=[])
    (values,) = bench.drain()
    assert all(math.isnan(value) for value in values.values())
    reasons = {name.partition("{")[0]: why for name, why in bench.frames[0].reasons.items()}
    assert reasons == {
        "ux.fps": NO_FRAME, "ux.dropped_frames": NO_FRAME, "ux.jank_budget_used": NO_FRAME, "ux.long_frames": NO_FRAME,
        "ux.input_latency_ms": NO_INPUT, "ux.stream_latency_ms": NO_STREAM,
    }  # fmt: skip
    assert bench.bursts == []


def test_of_several_tabs_the_worst_counts_and_the_first_gives_the_single_frames(bench):
    bench.say("a", inputs=[8])
    bench.say("b", intervals=[40.0] * 25, work=[], stream_latency=[90.0])
    (values,) = bench.drain()
    assert of(values) == {
        "fps": 25.0, "dropped_frames": 0.0, "jank_budget_used": 100.0, "long_frames": 0.0, "input_latency_ms": 8.0,
        "stream_latency_ms": 90.0,
    }  # fmt: skip
    assert [burst.values[0] for burst in bench.bursts] == [20.0, 5.0]
    bench.say("a", hidden=True, intervals=[], work=[])
    bench.say("b", intervals=[40.0] * 25, work=[])
    bench.drain()
    assert [burst.values[0] for burst in bench.bursts] == [40.0]  # the first is hidden now


def test_a_hidden_page_is_a_gap_once_and_its_last_visible_frames_are_kept(bench):
    bench.say()
    bench.drain()
    bench.say(hidden=True, intervals=[20.0] * 5, work=[])
    (values,) = bench.drain()
    assert all(math.isnan(value) for value in values.values())
    assert set(bench.frames[0].reasons.values()) == {HIDDEN}
    assert 'ux.frame_time_ms{page="overview"}' in bench.frames[0].reasons
    assert [burst.values.tolist() for burst in bench.bursts[:1]] == [[20.0] * 5]
    assert [len(burst.values) for burst in bench.bursts if math.isnan(burst.values[0])] == [1, 1]
    bench.clock.advance(100)
    bench.say(hidden=True, intervals=[], work=[])
    assert bench.drain() == []
    bench.say()
    assert of(bench.drain()[0])["fps"] == 50.0
    assert "ux.fps" not in str(bench.frames[0].reasons)
    bench.say(hidden=True, intervals=[], work=[])
    bench.drain()
    assert set(bench.frames[0].reasons.values()) == {HIDDEN}


def test_a_page_that_falls_silent_becomes_absent_once_and_comes_back(bench):
    bench.say()
    bench.drain()
    bench.clock.advance(ux.SILENT_S)
    assert bench.drain() == []
    bench.clock.advance(0.1)
    (values,) = bench.drain()
    assert all(math.isnan(value) for value in values.values())
    assert set(bench.frames[0].reasons.values()) == {CLOSED}
    assert bench.drain() == []
    assert bench.inbox.status().state == "absent"
    bench.say()
    assert of(bench.drain()[0])["fps"] == 50.0


def test_a_client_that_goes_to_another_page_leaves_the_old_one_closed(bench):
    bench.say()
    bench.drain()
    bench.say(page="system")
    measured, closed = bench.drain()
    assert of(measured, "system")["fps"] == 50.0
    assert all(math.isnan(value) for value in of(closed).values())


def test_switched_off_it_takes_nothing_and_closes_the_pages(bench):
    bench.say()
    bench.drain()
    bench.inbox.set_enabled(False)
    bench.say()
    bench.drain()
    assert set(bench.frames[0].reasons.values()) == {OFF}
    assert bench.inbox.status().state == "off"
    bench.inbox.set_enabled(True)
    bench.say()
    assert of(bench.drain()[0])["fps"] == 50.0
    assert bench.inbox.status().state == "running"


def test_a_client_that_speaks_too_often_is_dropped_and_counted(bench):
    for _ in range(25):
        bench.say()
    bench.drain()
    assert len(bench.frames) == 1
    assert bench.inbox.dropped == Counter({"ux_too_often": 22})
    assert bench.inbox.status().beats == 3
    bench.clock.advance(1)
    bench.say()
    bench.drain()
    assert len(bench.bursts) == 2


def test_the_inbox_is_bounded_in_clients_and_in_what_waits(bench, monkeypatch):
    monkeypatch.setattr(ux, "MAX_CLIENTS", 3)
    monkeypatch.setattr(ux, "MAX_WAITING", 5)
    for n in range(4):
        bench.say(f"client {n}")
        bench.say(f"client {n}")
    assert bench.inbox.dropped == Counter({"ux_too_many_pages": 2, "ux_inbox_full": 1})


@pytest.mark.parametrize("t0", [-61_000, 3_000])
def test_a_report_from_another_time_is_dropped_and_counted(bench, t0):
    bench.say(t0=bench.clock.now_ms() + t0)
    assert bench.drain() == []
    assert bench.inbox.dropped == Counter({"ux_time_off": 1})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"page": "../etc"}, "page must be"),
        ({"page": "Über"}, "page must be"),
        ({"page": "a" * 33}, "page must be"),
        ({"page": "overview\n"}, "page must be"),
        ({"page": None}, "page must be"),
        ({"t0": None}, "t0 must be a number"),
        ({"t0": True}, "t0 must be a number"),
        ({"t0": float("nan")}, "t0 must be a number"),
        ({"intervals": [16.7] * 601}, "at most 600"),
        ({"intervals": "16.7"}, "must be a list"),
        ({"intervals": [-1]}, "intervals must be a number from 0.01 to 60000"),
        ({"intervals": [0]}, "intervals"),
        ({"intervals": [float("inf")]}, "intervals"),
        ({"intervals": [None]}, "intervals"),
        ({"work": [1e9]}, "work must be a number from 0 to 60000"),
        ({"missed": 1.5}, "whole number"),
        ({"missed": -1}, "missed must be a number from 0 to 36000"),
        ({"loaf": [{}]}, "loaf must be"),
        ({"loaf": [{"duration_ms": "x"}]}, "loaf must be a number"),
        ({"loaf": [{"duration_ms": 1, "script": "https://evil"}]}, "loaf must be"),
        ({"inputs": [[]]}, "inputs"),
        ({"stream_latency": [-5_000]}, "stream_latency"),
        ({"hidden": 1}, "hidden must be true or false"),
        ({"extra": 1}, "unknown field 'extra'"),
    ],
)
def test_a_malformed_report_is_refused_with_a_sentence_and_changes_nothing(bench, fields, words):
    with pytest.raises(ValueError, match=words):
        bench.say(**fields)
    assert bench.drain() == []
    assert bench.inbox.status().errors == 1


def test_a_latency_below_zero_by_the_clocks_error_counts_as_zero(bench):
    bench.say(stream_latency=[-0.4])
    assert of(bench.drain()[0])["stream_latency_ms"] == 0.0
