"""What models, their processes and liars may do to the meter, and what it says then."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import threading
import tracemalloc

import orjson
import pytest

from tests.kit.meter_harness import MeterHarness
from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.meter import meters
from wfmon.collect.models.meter.meters import MAX_WAITING, process_lives
from wfmon.collect.models.meter.tracker import MAX_MODELS
from wfmon.core.catalogue import OTHER
from wfmon.core.registry import Registry
from wfmon.core.types import ClockStep, TokenBatch
from wfmon.process import Processor


@pytest.fixture
def harness():
    return MeterHarness()


@pytest.fixture
def traced():
    """Count the memory that Python holds."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_model_whose_process_dies_mid_stream_ends_its_requests_as_aborted():
    harness = MeterHarness(alive=process_lives)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        sender = harness.sender(pid=child.pid)
        sender.start()
        sender.tokens(back_ms=(20, 0))
        harness.beat()
        child.kill()
        child.wait(30)
    sender.connection.close()
    harness.beat(2.5)
    assert (harness.request["status"], harness.request["output_tokens"]) == ("aborted", 2)
    assert harness.indices[0].calls[-1][0] == "ended"


def test_a_model_that_only_lost_its_connection_was_lost_from_sight():
    harness = MeterHarness(alive=process_lives)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        sender = harness.sender(pid=child.pid)
        sender.start()
        sender.connection.close()
        harness.beat()
        harness.beat(2.5)
        child.kill()
    assert harness.request["status"] == "lost"


def test_a_child_that_ended_and_was_not_waited_for_is_gone():
    child = subprocess.Popen([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE)
    assert child.stdout.read() == b"1\n"
    for _ in range(100_000):
        if not process_lives(child.pid):
            break
    assert not process_lives(child.pid)
    child.communicate()


@pytest.mark.parametrize(
    "lie",
    [
        b'{"e":"tokens","r":"r1","t":[NaN]}', b'{"e":"tokens","r":"r1","t":[1],"entropy":[-5]}',
        b'{"e":"tokens","r":"r1","t":[1],"n":[-4]}', b'{"e":"tokens","r":"r1","t":[1],"top":[[5.0]]}',
        b'{"e":"end","r":"r1","t":1,"status":"ok","load_ms":-1}', b"[" * 100_000, b'{"e":' * 50_000, b"\x00" * 1000,
        b'{"e":"end","r":"r1","t":1,"status":"ok","load_ms":1e400}',
        b'{"e":"start","r":"r2","t":1,"model":"' + b"x" * 200_000 + b'"}',
    ],
)  # fmt: skip
def test_a_lie_is_refused_and_the_stream_goes_on(harness, lie):
    sender = harness.sender()
    sender.start()
    assert len(sender.connection.take(lie).refused) == 1
    sender.tokens()
    _, gauges = harness.beat()
    assert gauges["tokens_total"] == 1.0
    assert [row["model"] for row in harness.meters.models()] == ["m"]


def test_ten_megabytes_send_the_client_away(harness):
    sender = harness.sender()
    with pytest.raises(ValueError, match="at most"):
        sender.connection.take(b'{"e":"start","r":"r2","t":1,"model":"' + b"x" * 10_000_000 + b'"}')


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_server_that_lies_about_its_gauges_has_none(harness, value):
    numbers = {
        name: value for name in Reading._fields
        if name not in ("server", "model", "t_ms", "rate_hz", "runtime", "pid")
    }  # fmt: skip
    for _ in range(2):
        harness.meters.scraped([Reading("127.0.0.1:8000", "x" * 10_000_000, 0, rate_hz=value, **numbers)])
        rows, gauges = harness.beat(0.5)
    assert rows == {}
    assert all(number >= 0 for number in gauges.values())
    assert len(harness.meters.models()[0]["model"]) == 120


def test_a_flood_of_ten_thousand_models_is_capped_and_said(harness):
    sender, rows = harness.sender(), []
    for start in range(0, 10_000, 500):
        lines = []
        for at in range(start, start + 500):
            lines += [
                {"e": "start", "r": f"r{at}", "t": sender.t, "model": f"model {at}"},
                {"e": "tokens", "r": f"r{at}", "t": [sender.t]},
                {"e": "end", "r": f"r{at}", "t": sender.t, "status": "ok"},
            ]
        sender.say(*lines)
        harness.clock.advance(0.5)
        rows += [item.layout.series for item in harness.meters.drain() if isinstance(item, TokenBatch)]
    assert max(map(len, rows)) == 7 * (MAX_MODELS + 1)
    models = harness.meters.models()
    assert len(models) == MAX_MODELS + 1
    assert models[-1]["model"] == models[-1]["server"] == OTHER
    assert models[-1]["tokens_total"] == 10_000 - MAX_MODELS
    assert harness.meters.status().reason == "10000 models were reported; 64 are shown, the rest is (other)"
    assert harness.meters.status().state == "running"
    assert harness.meters.dropped["model_cap"] == 10_000 - MAX_MODELS
    assert len(harness.meters.requests(10_000)) == 200


def test_a_full_inbox_drops_and_counts_and_never_waits(harness):
    sender = harness.sender()
    sender.start()
    harness.beat()
    for _ in range(MAX_WAITING // 4_000):
        harness.clock.advance(1)
        sender.tokens(back_ms=[0] * 4_000)
    assert harness.meters.depth == MAX_WAITING
    assert sender.say({"e": "tokens", "r": "r1", "t": [sender.t]}) == 0
    assert harness.meters.dropped["model_inbox_full"] == 1
    _, gauges = harness.beat()
    assert gauges["tokens_total"] == MAX_WAITING
    assert harness.meters.depth == 0
    sender.tokens()
    assert harness.beat()[1]["tokens_total"] == MAX_WAITING + 1


def test_the_inbox_is_bounded_in_memory_too(harness, traced, monkeypatch):
    monkeypatch.setattr(meters, "MAX_WAITING_BYTES", 400_000)
    sender = harness.sender()
    sender.start()
    harness.beat()
    top, hashes = [[-5.0] * 100] * 10, [list(range(100))] * 10
    before = tracemalloc.get_traced_memory()[0]
    while sender.tokens(back_ms=[0] * 10, top=top, hash=hashes):
        harness.clock.advance(1)
    assert harness.meters.dropped["model_inbox_full"] == 1
    assert 300_000 < tracemalloc.get_traced_memory()[0] - before < 500_000
    assert harness.beat()[1]["tokens_total"] == 190
    assert sender.tokens(top=[[-5.0]]) == 1


def test_a_beat_over_a_full_inbox_frees_what_it_has_read_as_it_goes_on(harness, traced, monkeypatch):
    monkeypatch.setattr(meters, "EVENTS_AT_ONCE", 100)
    sender = harness.sender()
    sender.start(model="m0")
    harness.beat()
    for at in range(0, 500, 100):
        lines = []
        for name in range(at, at + 100):
            lines += [
                {"e": "start", "r": f"r{name}", "t": sender.t, "model": "m0"},
                {"e": "tokens", "r": f"r{name}", "t": [sender.t] * 4, "top": [[-0.5, -1.5]] * 4},
                {"e": "end", "r": f"r{name}", "t": sender.t, "status": "ok", "queue_ms": 1},
            ]
        sender.say(*lines)
        harness.clock.advance(0.5)
    waiting = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    harness.meters.drain()
    assert tracemalloc.get_traced_memory()[1] - waiting < 600_000


def test_a_flood_of_tokens_of_many_models_is_told_model_by_model(harness):
    sender = harness.sender()
    for at in range(50):
        sender.start(f"r{at}", model=f"m{at}")
    harness.beat()
    for at in range(50):
        sender.tokens(f"r{at}", back_ms=range(20, 0, -1))
    batches = [item for item in harness.meters.drain() if isinstance(item, TokenBatch)]
    assert {len(item.layout) for item in batches} == {7}
    assert sum(item.values[:, 0].sum() for item in batches) == 1_000


@pytest.mark.parametrize("step_s", [3_600, -3_600])
def test_a_step_of_the_wall_clock_moves_the_rows_and_no_measure(harness, step_s):
    processor = Processor(Registry())
    sender = harness.sender()
    sender.start()

    def beat():
        for item in harness.meters.drain():
            if isinstance(item, TokenBatch):
                assert abs(item.t_ms[-1] - harness.clock.now_ms()) <= 1
                assert len(processor.tokens(item)) > 0
            else:
                processor.step(item)

    for at in range(8):
        harness.clock.advance(0.1)
        sender.tokens()
        if at == 4:
            harness.clock.step(step_s)
            step = harness.clock.check()
            assert isinstance(step, ClockStep)
            processor.on_clock_step(step)
        beat()
    assert not processor.dropped
    sender.end()
    beat()
    request = harness.request
    assert (request["ttft_ms"], request["duration_ms"], request["time_per_output_token_ms"]) == (100.0, 800.0, 100.0)


def test_switching_off_and_on_under_load_counts_what_came_after(harness):
    sender = harness.sender()
    sender.start("a")
    harness.beat()
    for on in (False, True, False, True):
        harness.meters.set_enabled(on)
        sender.tokens("a")
        harness.beat()
    sender.start("b")
    sender.tokens("b", back_ms=(10, 0))
    _, gauges = harness.beat()
    assert (gauges["tokens_total"], gauges["requests_active"]) == (2.0, 1.0)


def test_many_threads_may_speak_while_the_beat_reads():
    harness = MeterHarness()
    errors = []
    go = threading.Barrier(5)

    def speak(number):
        try:
            sender = harness.sender(f"sender-{number:04}")
            go.wait(30)
            for at in range(100):
                sender.start(f"r{at}", model=f"m{number}")
                sender.tokens(f"r{at}", back_ms=(0, 0))
                sender.end(f"r{at}")
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    go.wait(30)
    while any(thread.is_alive() for thread in threads):
        harness.meters.drain()
        harness.meters.each_second()
        harness.meters.requests(10)
        harness.meters.status()
    harness.meters.drain()
    assert errors == []
    assert not harness.meters.dropped
    assert sum(row["tokens_total"] for row in harness.meters.models()) == 800


def test_text_never_comes_in(harness, caplog):
    caplog.set_level(logging.DEBUG)
    canary = "cAnArYw0rd"
    sender = harness.sender()
    sender.start()
    sender.tokens()
    lines = [
        {"e": "tokens", "r": "r1", "t": [1], "text": [canary]}, {"e": "tokens", "r": "r1", "t": [1], canary: 1},
        {"e": "start", "r": "r2", "t": 1, "model": "m", "prompt": canary},
        {"e": "end", "r": "r1", "t": 1, "status": "error", "reason": f"{canary} said no"}, {"e": canary},
        {"e": "tokens", "r": "r1", "t": [1], "top": [[canary]]}, {"e": "phase", "r": "r1", "t": 1, "name": canary},
        canary,
    ]  # fmt: skip
    taken = sender.connection.take(b"\n".join(map(orjson.dumps, lines)) + f'\n{{"e":"{canary}'.encode())
    assert len(taken.refused) == 9
    harness.beat()
    state = [
        taken, caplog.text, harness.second(), harness.meters.models(), harness.meters.requests(10),
        harness.meters.status(), harness.meters.request(harness.request["id"]), harness.reasons,
        vars(harness.ingest), harness.meters.dropped,
    ]  # fmt: skip
    assert canary not in repr(state)


def test_answers_are_fit_for_json(harness):
    sender = harness.sender()
    sender.start()
    sender.tokens(entropy=[1.5])
    harness.beat()
    for answer in (harness.meters.models(), harness.meters.requests(5), harness.meters.request(harness.request["id"])):
        json.dumps(answer, allow_nan=False)
    for table in harness.second().values():
        json.dumps(table, allow_nan=False)
