from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from wfmon.collect import ux
from wfmon.collect.ux import CLOSED, HIDDEN, NO_FRAME, NO_INPUT, NO_STREAM, OFF, UxInbox
from wfmon.core.clock import FakeClock
from wfmon.core.types import Burst, Frame


class UxHarness:
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
def harness():
    return UxHarness()


def of(values, page="overview"):
    return {name.removeprefix("ux.").removesuffix(f'{{page="{page}"}}'): value for name, value in values.items()}


def test_a_page_that_does_not_exist_gets_no_series_and_is_counted(harness):
    for page in ("nope", "overview-2", "404"):
        harness.say(client=page, page=page)
    assert harness.drain() == []
    assert harness.bursts == []
    assert harness.inbox.dropped == Counter({"ux_no_such_page": 3})
    harness.say(page="system")
    (values,) = harness.drain()
    assert of(values, "system")["fps"] == 50.0


def test_a_report_becomes_its_single_frames_and_the_values_of_a_second(harness):
    harness.say(
        intervals=[10.0] * 40 + [60.0] * 10, work=[4.0] * 50, missed=3, loaf=[{"duration_ms": 60.5}],
        inputs=[8, 24, 16], stream_latency=list(range(1, 101)),
    )  # fmt: skip
    (values,) = harness.drain()
    assert of(values) == {
        "fps": 50.0, "dropped_frames": 3.0, "jank_budget_used": 20.0, "long_frames": 1.0, "input_latency_ms": 24.0,
        "stream_latency_ms": 95.0,
    }  # fmt: skip
    assert harness.frames[0].reasons == {}
    assert [str(burst.series) for burst in harness.bursts] == [
        'ux.frame_time_ms{page="overview"}', 'ux.work_time_ms{page="overview"}'
    ]  # fmt: skip
    intervals, work = harness.bursts
    t0 = harness.clock.now_ms() - 1000
    assert intervals.t_ms.dtype == np.int64
    assert intervals.t_ms[:3].tolist() == [t0, t0 + 10, t0 + 20]
    assert intervals.t_ms[-1] == t0 + 390 + 600
    assert intervals.values.tolist() == [10.0] * 40 + [60.0] * 10
    assert work.values.tolist() == [4.0] * 50
    assert harness.drain() == []


def test_values_are_for_a_second_however_long_the_report_is(harness):
    harness.say(intervals=[20.0] * 100, missed=6, t0=harness.clock.now_ms() - 2000)
    (values,) = harness.drain()
    assert (of(values)["fps"], of(values)["dropped_frames"]) == (50.0, 3.0)


def test_frames_at_60_hertz_use_no_jank_budget_though_their_stamps_are_rounded(harness):
    harness.say(intervals=[16.6, 16.7, 16.7, 17.0] * 10, work=[])
    assert of(harness.drain()[0])["jank_budget_used"] == 0.0


def test_what_did_not_happen_in_a_second_is_absent_with_its_reason(harness):
    harness.say(intervals=[], work=[3.0], stream_latency=[])
    (values,) = harness.drain()
    assert all(math.isnan(value) for value in values.values())
    reasons = {name.partition("{")[0]: why for name, why in harness.frames[0].reasons.items()}
    assert reasons == {
        "ux.fps": NO_FRAME, "ux.dropped_frames": NO_FRAME, "ux.jank_budget_used": NO_FRAME, "ux.long_frames": NO_FRAME,
        "ux.input_latency_ms": NO_INPUT, "ux.stream_latency_ms": NO_STREAM,
    }  # fmt: skip
    assert harness.bursts == []


def test_of_several_tabs_the_worst_counts_and_the_first_gives_the_single_frames(harness):
    harness.say("a", inputs=[8])
    harness.say("b", intervals=[40.0] * 25, work=[], stream_latency=[90.0])
    (values,) = harness.drain()
    assert of(values) == {
        "fps": 25.0, "dropped_frames": 0.0, "jank_budget_used": 100.0, "long_frames": 0.0, "input_latency_ms": 8.0,
        "stream_latency_ms": 90.0,
    }  # fmt: skip
    assert [burst.values[0] for burst in harness.bursts] == [20.0, 5.0]
    harness.say("a", hidden=True, intervals=[], work=[])
    harness.say("b", intervals=[40.0] * 25, work=[])
    harness.drain()
    assert [burst.values[0] for burst in harness.bursts] == [40.0]  # the first is hidden now


def test_a_hidden_page_is_a_gap_once_and_its_last_visible_frames_are_kept(harness):
    harness.say()
    harness.drain()
    harness.say(hidden=True, intervals=[20.0] * 5, work=[])
    (values,) = harness.drain()
    assert all(math.isnan(value) for value in values.values())
    assert set(harness.frames[0].reasons.values()) == {HIDDEN}
    assert 'ux.frame_time_ms{page="overview"}' in harness.frames[0].reasons
    assert [burst.values.tolist() for burst in harness.bursts[:1]] == [[20.0] * 5]
    assert [len(burst.values) for burst in harness.bursts if math.isnan(burst.values[0])] == [1, 1]
    harness.clock.advance(100)
    harness.say(hidden=True, intervals=[], work=[])
    assert harness.drain() == []
    harness.say()
    assert of(harness.drain()[0])["fps"] == 50.0
    assert "ux.fps" not in str(harness.frames[0].reasons)
    harness.say(hidden=True, intervals=[], work=[])
    harness.drain()
    assert set(harness.frames[0].reasons.values()) == {HIDDEN}


def test_a_page_that_falls_silent_becomes_absent_once_and_comes_back(harness):
    harness.say()
    harness.drain()
    harness.clock.advance(ux.SILENT_S)
    assert harness.drain() == []
    harness.clock.advance(0.1)
    (values,) = harness.drain()
    assert all(math.isnan(value) for value in values.values())
    assert set(harness.frames[0].reasons.values()) == {CLOSED}
    assert harness.drain() == []
    assert harness.inbox.status().state == "absent"
    harness.say()
    assert of(harness.drain()[0])["fps"] == 50.0


def test_a_client_that_goes_to_another_page_leaves_the_old_one_closed(harness):
    harness.say()
    harness.drain()
    harness.say(page="system")
    measured, closed = harness.drain()
    assert of(measured, "system")["fps"] == 50.0
    assert all(math.isnan(value) for value in of(closed).values())


def test_switched_off_it_takes_nothing_and_closes_the_pages(harness):
    harness.say()
    harness.drain()
    harness.inbox.set_enabled(False)
    harness.say()
    harness.drain()
    assert set(harness.frames[0].reasons.values()) == {OFF}
    assert harness.inbox.status().state == "off"
    harness.inbox.set_enabled(True)
    harness.say()
    assert of(harness.drain()[0])["fps"] == 50.0
    assert harness.inbox.status().state == "running"


def test_a_client_that_speaks_too_often_is_dropped_and_counted(harness):
    for _ in range(25):
        harness.say()
    harness.drain()
    assert len(harness.frames) == 1
    assert harness.inbox.dropped == Counter({"ux_too_often": 22})
    assert harness.inbox.status().beats == 3
    harness.clock.advance(1)
    harness.say()
    harness.drain()
    assert len(harness.bursts) == 2


def test_the_inbox_is_bounded_in_clients_and_in_what_waits(harness, monkeypatch):
    monkeypatch.setattr(ux, "MAX_CLIENTS", 3)
    monkeypatch.setattr(ux, "MAX_WAITING", 5)
    for n in range(4):
        harness.say(f"client {n}")
        harness.say(f"client {n}")
    assert harness.inbox.dropped == Counter({"ux_too_many_pages": 2, "ux_inbox_full": 1})


@pytest.mark.parametrize("t0", [-61_000, 3_000])
def test_a_report_from_another_time_is_dropped_and_counted(harness, t0):
    harness.say(t0=harness.clock.now_ms() + t0)
    assert harness.drain() == []
    assert harness.inbox.dropped == Counter({"ux_time_off": 1})


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
def test_a_malformed_report_is_refused_with_a_sentence_and_changes_nothing(harness, fields, words):
    with pytest.raises(ValueError, match=words):
        harness.say(**fields)
    assert harness.drain() == []
    assert harness.inbox.status().errors == 1


def test_a_latency_below_zero_by_the_clocks_error_counts_as_zero(harness):
    harness.say(stream_latency=[-0.4])
    assert of(harness.drain()[0])["stream_latency_ms"] == 0.0
