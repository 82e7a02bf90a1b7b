"""Why was it slow: each cause with its exact sentence, and no cause without a measure."""

from __future__ import annotations

import math

import pytest

from wfmon.analyse.slow import causes
from wfmon.core.types import Request, Series, Window

START = 1_700_000_000_000
MEMORY, SWAP, DISK = "system.memory_percent", "system.swap_used_bytes", "system.disk_read_bytes_per_second"
GPU0, GPU1 = 'gpu.utilisation_percent{gpu="0"}', 'gpu.utilisation_percent{gpu="1"}'
ACTIVE = str(Series.of("model.requests_active", model='the "model"', server="127.0.0.1:8000"))
SLOW = {"ttft_ms": 4_000.0}
NONE = ()


def request(**more):
    fields = {
        "id": "r1", "model": 'the "model"', "server": "127.0.0.1:8000", "via": "hook", "started_ms": START,
        "status": "ok", "ended_ms": START + 20_000, "duration_ms": 20_000.0, "ttft_ms": 200.0, "output_tokens": 400,
        "prompt_tokens": 50, "tokens_per_second": 20.0, "queue_ms": 0.0, "load_ms": 0.0, "prompt_ms": 100.0,
    }  # fmt: skip
    return Request(**{**fields, **more})


class Machine:
    """Answers with one window a series; notes what it was asked."""

    def __init__(self):
        self.windows = {}
        self.asked = []

    def has(self, series, **values):
        self.windows[series] = Window(1.0, 10, **values)
        return self

    def __call__(self, text, from_ms, to_ms):
        assert to_ms >= from_ms
        self.asked.append((text, from_ms - START, to_ms - START))
        return self.windows.get(text)


def texts(found):
    return [cause.text for cause in found]


# --- which requests are slow -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "typical", "slow"),
    [
        ({}, None, False),
        ({"ttft_ms": 1_000.0}, None, False),
        ({"ttft_ms": 1_001.0}, None, True),
        ({"ttft_ms": None}, None, False),
        ({"ttft_ms": math.nan}, None, False),
        ({"ttft_ms": math.inf}, None, False),
        ({"ttft_ms": -5_000.0}, None, False),
        ({"stalls": ((100.0, 400.0),)}, None, False),
        ({"stalls": ((100.0, 401.0),)}, None, True),
        ({"stalls": ((100.0, math.nan),)}, None, False),
        ({}, request(tokens_per_second=40.0), False),
        ({}, request(tokens_per_second=40.1), True),
        ({}, request(tokens_per_second=None), False),
        ({"tokens_per_second": None}, request(tokens_per_second=40.1), False),
        ({"tokens_per_second": math.nan}, request(tokens_per_second=40.1), False),
        ({"ttft_ms": None, "status": "aborted", "output_tokens": 0}, None, True),
        ({"ttft_ms": None, "status": "error", "output_tokens": 0}, None, False),
        ({"ttft_ms": None, "status": "aborted", "output_tokens": 3}, None, False),
        ({"ttft_ms": None, "status": "lost", "output_tokens": 0, "duration_ms": None, "ended_ms": None}, None, False),
    ],
)
def test_slow_is_a_late_first_token_a_stall_or_half_the_usual_speed(more, typical, slow):
    found = causes(request(**more), Machine().has(MEMORY, p95=99.0), typical)
    assert ("memory 99 %" in texts(found)) == slow


def test_of_a_request_that_was_not_slow_nothing_is_asked_and_nothing_said():
    machine = Machine().has(MEMORY, p95=99.0)
    assert causes(request(load_ms=900.0, queue_ms=5_000.0), machine) == NONE
    assert machine.asked == []


def test_slow_without_a_measure_that_says_why_is_no_cause():
    assert causes(request(**SLOW), Machine()) == NONE
    assert causes(request(), Machine(), request(tokens_per_second=100.0)) == NONE


# --- the request's own measures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"load_ms": 7_900.0}, [("load", "cold load 7.9 s", 7_900.0)]),
        ({"load_ms": 1_000.0}, [("load", "cold load 1.0 s", 1_000.0)]),
        ({"load_ms": 999.0}, []),
        ({"load_ms": 300.0, "duration_ms": 1_500.0}, [("load", "cold load 300 ms", 300.0)]),
        ({"load_ms": 299.0, "duration_ms": 1_500.0}, []),
        ({"load_ms": 999.7, "duration_ms": 1_500.0}, [("load", "cold load 1.0 s", 999.7)]),
        ({"load_ms": 300.0, "duration_ms": None}, []),
        ({"load_ms": None}, []),
        ({"load_ms": math.nan}, []),
        ({"load_ms": -9_000.0}, []),
        ({"queue_ms": 2_345.0}, [("queue", "queue 2.3 s", 2_345.0)]),
        ({"queue_ms": 999.0}, []),
        ({"queue_ms": None}, []),
        ({"prompt_ms": 2_500.0, "prompt_tokens": 3_880}, [("prompt", "long prompt 3,880 tokens, 2.5 s", 2_500.0)]),
        ({"prompt_ms": 2_500.0, "prompt_tokens": 999}, [("prompt", "prompt 999 tokens, 2.5 s", 2_500.0)]),
        ({"prompt_ms": 2_500.0, "prompt_tokens": 1}, [("prompt", "prompt 1 token, 2.5 s", 2_500.0)]),
        ({"prompt_ms": 2_500.0, "prompt_tokens": None}, [("prompt", "prompt 2.5 s", 2_500.0)]),
        (
            {"prompt_ms": 2_500.0, "prompt_tokens": 3_880, "cached_tokens": 3_000},
            [("prompt", "prompt 880 tokens, 2.5 s", 2_500.0)],
        ),
        ({"prompt_ms": 1_999.0, "prompt_tokens": 3_880}, []),  # less than half of the 4 s to the first token
        (
            {"prompt_ms": None, "prompt_tokens": 3_880},
            [("prompt", "long prompt 3,880 tokens, 4.0 s to the first token", 4_000.0)],
        ),
        ({"prompt_ms": None, "prompt_tokens": 999}, []),
        ({"prompt_ms": None, "prompt_tokens": None}, []),
        ({"prompt_ms": None, "prompt_tokens": 3_880, "cached_tokens": 3_000}, []),
        ({"prompt_ms": 5.0, "prompt_tokens": 3_880}, []),
        ({"stalls": ((1.0, 1_500.0),)}, [("stall", "stall 1.5 s", 1_500.0)]),
        ({"stalls": ((1.0, 1_500.0), (2.0, 650.0), (3.0, 400.0))}, [("stall", "2 stalls 2.1 s", 2_150.0)]),
        ({"stalls": ((1.0, 450.0),)}, [("stall", "stall 450 ms", 450.0)]),
    ],
)
def test_what_the_request_measured_is_told_with_its_figure(more, said):
    assert [tuple(cause) for cause in causes(request(**{**SLOW, **more}), Machine())] == said


def test_a_prompt_whose_time_is_not_told_has_what_load_and_queue_leave():
    found = causes(request(**SLOW, prompt_ms=None, prompt_tokens=3_880, load_ms=1_200.0, queue_ms=None), Machine())
    assert [tuple(cause) for cause in found] == [
        ("prompt", "long prompt 3,880 tokens, 4.0 s to the first token", 2_800.0),
        ("load", "cold load 1.2 s", 1_200.0),
    ]
    found = causes(request(**SLOW, prompt_ms=None, prompt_tokens=3_880, load_ms=2_100.0), Machine())
    assert texts(found) == ["cold load 2.1 s"], "it does not dominate"


def test_at_most_two_are_told_the_costliest_first():
    slow = request(
        ttft_ms=12_000.0, queue_ms=1_100.0, load_ms=2_000.0, prompt_ms=6_400.0, prompt_tokens=30_000,
        stalls=((13_000.0, 5_000.0),),
    )  # fmt: skip
    machine = Machine().has(MEMORY, p95=99.0)
    assert texts(causes(slow, machine)) == ["long prompt 30,000 tokens, 6.4 s", "stall 5.0 s"]
    assert machine.asked == [], "there was no room for what the machine says"


# --- the machine's measures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "values", "said"),
    [
        (MEMORY, {"p95": 96.4}, ["memory 96 %"]),
        (MEMORY, {"p95": 92.0}, ["memory 92 %"]),
        (MEMORY, {"p95": 91.9, "max": 100.0}, []),
        (MEMORY, {"p95": None}, []),
        (MEMORY, {"p95": math.nan}, []),
        (SWAP, {"min": 1e9, "last": 1.3e9}, ["swap grew by 300 MB"]),
        (SWAP, {"min": 0.0, "last": 2.34e9}, ["swap grew by 2.3 GB"]),
        (SWAP, {"min": 1e9, "last": 1.015e9, "max": 9e9}, []),
        (SWAP, {"min": None, "last": None}, []),
        (DISK, {"mean": 210.4e6}, ["disk read 210 MB/s"]),
        (DISK, {"mean": 1.25e9}, ["disk read 1.2 GB/s"]),
        (DISK, {"mean": 49.9e6, "max": 1e9}, []),
        (DISK, {"mean": None}, []),
        (GPU0, {"mean": 97.9}, ["GPU busy before it began, 97 %"]),
        (GPU0, {"mean": 80.0}, ["GPU busy before it began, 80 %"]),
        (GPU0, {"mean": 79.9, "max": 100.0}, []),
        (GPU0, {"mean": None}, []),
    ],
)
def test_what_the_machine_measured_is_told_with_its_figure(series, values, said):
    found = causes(request(**SLOW), Machine().has(series, **values))
    assert texts(found) == said
    assert all(cause.cost_ms is None for cause in found)


def test_the_machine_is_asked_for_the_spans_that_matter():
    machine = Machine().has(GPU0, mean=50.0).has(SWAP, min=0.0, last=0.0).has(DISK, mean=0.0).has(MEMORY, p95=50.0)
    assert causes(request(**SLOW), machine) == NONE
    assert machine.asked == [
        (GPU0, -2_000, -1), (GPU1, -2_000, -1), (SWAP, 0, 20_000), (DISK, 0, 4_000), (MEMORY, 0, 20_000),
    ]  # fmt: skip


def test_the_disk_is_looked_at_while_the_model_loaded():
    machine = Machine().has(DISK, mean=480e6)
    slow = request(ttft_ms=10_000.0, queue_ms=500.0, load_ms=7_900.0)
    assert texts(causes(slow, machine)) == ["cold load 7.9 s", "disk read 480 MB/s"]
    assert (DISK, 500, 8_400) in machine.asked


def test_swap_in_use_beside_a_busy_disk_is_a_cause_unless_a_load_explains_the_reads():
    machine = Machine().has(SWAP, min=2.1e9, last=2.1e9).has(DISK, mean=120e6)
    assert texts(causes(request(**SLOW), machine)) == ["swap 2.1 GB in use, disk read 120 MB/s"]
    assert texts(causes(request(**SLOW, load_ms=3_000.0), machine)) == ["cold load 3.0 s", "disk read 120 MB/s"]
    machine.has(DISK, mean=1e6)
    assert causes(request(**SLOW), machine) == NONE


def test_a_gpu_at_work_for_this_very_model_is_no_cause():
    machine = Machine().has(GPU0, mean=99.0)
    assert texts(causes(request(**SLOW), machine.has(ACTIVE, max=0.0))) == ["GPU busy before it began, 99 %"]
    assert causes(request(**SLOW), machine.has(ACTIVE, max=1.0)) == NONE


def test_one_idle_gpu_among_several_leaves_room():
    machine = Machine().has(GPU0, mean=99.0).has(GPU1, mean=10.0)
    assert causes(request(**SLOW), machine) == NONE
    assert texts(causes(request(**SLOW), machine.has(GPU1, mean=85.5))) == ["GPU busy before it began, 85 %"]


def test_a_stall_alone_says_nothing_of_what_the_gpu_did_before_the_start():
    machine = Machine().has(GPU0, mean=99.0)
    assert texts(causes(request(stalls=((1.0, 500.0),)), machine)) == ["stall 500 ms"]
    assert GPU0 not in [text for text, _, _ in machine.asked]


def test_where_the_end_is_not_known_the_duration_says_it_and_else_nothing_is_asked_of_the_whole():
    machine = Machine().has(MEMORY, p95=95.0)
    assert texts(causes(request(**SLOW, ended_ms=None), machine)) == ["memory 95 %"]
    assert (MEMORY, 0, 20_000) in machine.asked
    assert causes(request(**SLOW, ended_ms=None, duration_ms=None), machine) == NONE


def test_two_of_the_machines_fill_the_room_and_no_more_is_asked():
    machine = (
        Machine().has(GPU0, mean=90.0).has(SWAP, min=0.0, last=1e9).has(DISK, mean=900e6).has(MEMORY, p95=99.0)
    )  # fmt: skip
    assert texts(causes(request(**SLOW), machine)) == ["GPU busy before it began, 90 %", "swap grew by 1.0 GB"]
    assert {text for text, _, _ in machine.asked} == {GPU0, GPU1, ACTIVE, SWAP}


@pytest.mark.parametrize("nothing", [None, Window(1.0, 0), Window(1.0, 1, *[math.nan] * 7)])
def test_measures_that_are_missing_never_lead_to_a_cause(nothing):
    slow = request(
        **SLOW, queue_ms=None, load_ms=None, prompt_ms=None, prompt_tokens=None, cached_tokens=None, duration_ms=None
    )
    assert causes(slow, lambda *_: nothing) == NONE
