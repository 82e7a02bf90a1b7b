"""Model servers that hang, lie, flood and die: the look ends in time, and its table says what to do."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from tests.kit.scrape_harness import Answering, ScrapeHarness, http, replay
from wfmon.collect.loop import CollectorLoop
from wfmon.collect.models.scrape.http import TIMEOUT_S
from wfmon.collect.models.scrape.kinds import MAX_MODELS
from wfmon.collect.models.scrape.servers import BUDGET_S, ServersCollector
from wfmon.core.clock import SystemClock

pytestmark = pytest.mark.faults
DEADLINE_S = 20


class RealTime(ScrapeHarness):
    """The same, by the machine's own clock: a look that waits for a server waits in truth."""

    def __init__(self):
        super().__init__(clock=SystemClock())
        self.clock.advance = lambda _seconds: None


@pytest.fixture
def harness():
    with RealTime() as harness:
        yield harness


def hang(_connection, closing):
    closing.wait(60)


def drip(connection, closing):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while not closing.wait(0.01):
        connection.sendall(b"[")


def endless(connection, closing):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
    while not closing.is_set():
        connection.sendall(b"vllm:num_requests_running 1\n" * 10_000)


def endless_head(connection, closing):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not closing.is_set():
        connection.sendall(b"x: y\r\n" * 10_000)


def stop_midway(connection, _closing):
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{"models":[')


def reset(connection, _closing):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


HTML = http(b"<!doctype html><title>Not what you think</title>")
MID_LIFE = {
    "hangs": (hang, "silent"),
    "answers a byte at a time": (drip, "silent"),
    "answers without end": (endless, "odd"),
    "sends headers without end": (endless_head, "odd"),
    "closes mid-answer": (stop_midway, "silent"),
    "resets the connection": (reset, "silent"),
    "answers HTML": (HTML, "odd"),
    "answers another form": (http(b'{"models": "none"}'), "odd"),
    "answers a list": (http(b"[1, 2]"), "odd"),
    "answers a list of lists": (http(b'{"models": [[1], [2]]}'), "odd"),
    "answers NaN": (http(b'{"models": NaN}'), "odd"),
    "nests without end": (http(b'{"models": ' + b"[" * 400_000), "odd"),
    "answers binary": (http(bytes(range(256)) * 100), "odd"),
    "answers an error": (http(b"{}", 500), "odd"),
    "leads elsewhere": (http(b"", 302, location="http://127.0.0.1:1/"), "odd"),
    "asks for a key": (http(b'{"error": "no"}', 401), "needs_key"),
    "forbids": (http(b'{"error": "no"}', 403), "needs_key"),
}


@pytest.mark.parametrize("name", MID_LIFE)
def test_a_known_server_that_goes_wrong_is_shown_with_what_to_do(harness, name):
    answer, state = MID_LIFE[name]
    server = harness.serve(replay("ollama"))
    assert harness.one()["state"] == "ok"
    server.answers = {"*": answer}
    for known in harness.collector._servers.values():
        known.failures = 10  # its patience is spent: tests/unit has how long that takes
    row = harness.one()
    assert (row["state"], row["runtime"]) == (state, "Ollama")
    assert row["lacks"]
    assert row["fix"]
    assert harness.readings == []


@pytest.mark.parametrize("name", MID_LIFE)
def test_an_unknown_server_that_goes_wrong_harms_nothing(harness, name):
    harness.serve({"*": MID_LIFE[name][0]})
    good = harness.serve(replay("vllm"))
    rows = harness.look()
    while good.port not in rows:  # the bad one may have taken this look's time
        rows = harness.look()
    assert rows[good.port]["runtime"] == "vLLM"


def test_ten_servers_that_hang_keep_one_that_answers_waiting_for_one_look_at_most(harness):
    good = harness.serve(replay("ollama"))
    harness.one()
    hung = [harness.serve({"*": hang}) for _ in range(10)]
    began_ns = harness.clock.mono_ns()
    assert harness.look()[good.port]["state"] == "ok"
    assert len(harness.readings) == 2
    # The bound is the look's own budget; the rest is what a loaded machine may add.
    assert (harness.clock.mono_ns() - began_ns) / 1e9 < BUDGET_S + DEADLINE_S
    assert sum(server.opened for server in hung) <= BUDGET_S / TIMEOUT_S + 1


def test_ten_thousand_model_names_are_64_and_the_rest_is_said(harness):
    names = ",".join(f'{{"name":"model-{n}","size_vram":{n}}}' for n in range(10_000))
    harness.serve({**replay("ollama"), "/api/ps": http(f'{{"models":[{names}]}}'.encode())})
    row = harness.one()
    assert row["models"].endswith(" more")
    assert "of its 10,000 models the first 64 are kept" in row["lacks"]
    assert len({each.model for each in harness.readings}) == MAX_MODELS


def test_ten_thousand_models_of_one_metrics_page_are_64(harness):
    page = "".join(f'vllm:num_requests_running{{model_name="model-{n}"}} 1\n' for n in range(10_000))
    harness.serve({**replay("vllm"), "/metrics": http(page.encode())})
    harness.one()
    assert len(harness.readings) == MAX_MODELS


def test_a_label_of_ten_megabytes_is_cut_or_left_out(harness):
    flood = "z" * 10_000_000
    harness.serve(
        {**replay("vllm"), "/metrics": http(f'vllm:num_requests_running{{model_name="{flood}"}} 1\n'.encode())}
    )
    long = "z" * 8_000
    harness.serve(
        {**replay("vllm"), "/metrics": http(f'vllm:num_requests_running{{model_name="{long}"}} 1\n'.encode())}
    )
    states = {row["state"] for row in harness.look().values()}
    assert states == {"odd", "ok"}
    assert [len(each.model) for each in harness.readings] == [120]


@pytest.mark.parametrize("value", ["NaN", "-5", "1e400", "+Inf", "lies", ""])
def test_a_measure_that_cannot_be_is_not_told(harness, value):
    page = f'vllm:num_requests_waiting{{model_name="m"}} 2\nvllm:kv_cache_usage_perc{{model_name="m"}} {value}\n'
    harness.serve({**replay("vllm"), "/metrics": http(page.encode())})
    harness.one()
    assert [(each.requests_waiting, each.kv_cache_percent) for each in harness.readings] == [(2.0, None)]


@pytest.mark.parametrize("value", ["-1", "1e999", '"many"', "null", "true", "[]", "{}"])
def test_a_size_that_cannot_be_is_not_told(harness, value):
    harness.serve({**replay("ollama"), "/api/ps": http(f'{{"models":[{{"name":"m","size_vram":{value}}}]}}'.encode())})
    harness.look()
    assert all(each.vram_bytes is None for each in harness.readings)


def test_a_redirect_to_another_machine_is_not_followed(harness, monkeypatch):
    connected = []
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (connected.append(to), real(self, to))[1])
    server = harness.serve({"*": http(b"", 307, location="http://192.0.2.1:80/api/version")}, name="ollama")
    harness.look()
    assert set(connected) == {("127.0.0.1", server.port)}


def test_a_server_that_dies_between_two_scrapes_is_gone_and_comes_back_as_another(harness):
    server = harness.serve(replay("vllm"), owner=1)
    harness.one()
    server.close()
    harness.look()  # refused: its socket is still in the list, its patience not spent
    harness.machine.listening.clear()
    assert harness.look() == {}
    harness.serve(replay("vllm_later"), owner=2)
    assert harness.one()["state"] == "ok"
    assert harness.readings[0].tokens_per_second is None


def test_the_loop_that_is_switched_off_asks_no_more_and_forgets():
    """Off means off: no connection is opened from then on, and the table is empty."""
    with ScrapeHarness(clock=SystemClock()) as harness:
        server = harness.serve(replay("ollama"))
        looked, closed = threading.Event(), threading.Event()
        real_close = harness.collector.close
        harness.collector.close = lambda: (real_close(), closed.set())
        loop = CollectorLoop(harness.collector, 20.0, SystemClock(), lambda _frame: looked.set(), lambda _status: None)
        loop.start()
        try:
            assert looked.wait(DEADLINE_S)
            loop.set_enabled(False)
            assert closed.wait(DEADLINE_S)
            opened = server.opened
            assert harness.collector.servers() == []
            assert loop.status().state == "off"
            assert server.opened == opened
        finally:
            loop.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="needs this machine's own list of sockets")
def test_the_monitor_s_own_listening_sockets_are_left_alone_on_this_machine():
    """The real list of sockets, but only those of this very process are let through."""
    server = Answering(replay("ollama"))
    collector = ServersCollector(SystemClock(), scraped=list, gpu_memory=dict)
    listening = collector._listening
    real = listening.sockets
    listening.sockets = lambda now_ns: [one for one in real(now_ns) if one.local[1] == server.port]
    try:
        assert listening.sockets(0), "the test's own socket must be in the list"
        collector.collect()
        assert collector.servers() == []
        assert server.opened == 0
    finally:
        collector.close()
        server.close()
