"""Finding model servers among the sockets of this machine, and what is said of each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.kit.scrape_harness import (
    LOOPBACK,
    NOT_FOUND,
    WILDCARD,
    Answering,
    Machine,
    ScrapeHarness,
    http,
    replay,
)
from wfmon.collect.models.scrape.http import LATE
from wfmon.collect.models.scrape.listeners import Listening, quick_listening
from wfmon.collect.models.scrape.processes import Processes
from wfmon.collect.models.scrape.rows import COLUMNS, ServerRecord, joined, plain, row_of
from wfmon.collect.models.scrape.servers import PATIENCE, RETRY_S, ServersCollector
from wfmon.collect.sockets import LinuxSockets, Socket, unpack_address
from wfmon.core.clock import FakeClock

HTML = http(b"<!doctype html><title>a page</title>", server="nginx")


@pytest.fixture
def harness():
    with ScrapeHarness() as harness:
        yield harness


def test_without_a_listening_socket_nothing_is_found(harness):
    assert harness.look() == {}
    assert harness.frame.values.tolist() == [0.0]
    assert harness.frame.tables["servers"].columns == COLUMNS


def test_the_table_has_the_columns_of_the_stream(harness):
    harness.serve(replay("ollama"))
    row = harness.one()
    assert tuple(row) == COLUMNS
    assert harness.frame.tables["servers"].rows == (tuple(row.values()),)


def test_what_is_no_model_server_is_not_shown_and_is_asked_again_after_10_s_60_s_and_10_minutes_and_no_more(harness):
    server = harness.serve({"*": HTML})
    assert harness.look() == {}
    first = server.opened
    assert 0 < first <= 4
    asked = []
    for second in range(1, 1_500):
        before = server.opened
        harness.look()
        if server.opened > before:
            asked.append(second)
    assert asked == [10, 70, 670]
    assert RETRY_S == (10, 60, 600)


def test_a_server_that_loads_its_model_late_is_found_by_the_later_look(harness):
    server = harness.serve({"*": NOT_FOUND})
    assert harness.look() == {}
    server.answers = replay("vllm")
    harness.look(9)
    assert [row["runtime"] for row in harness.look(1).values()] == ["vLLM"]


def test_what_speaks_no_http_is_asked_once_and_never_again(harness):
    server = harness.serve({"*": b"220 mail.example ESMTP\r\n"})
    harness.look()
    for _ in range(3):
        harness.look(1_000)
    assert server.opened == 1


def test_a_socket_that_is_new_on_a_port_is_asked_anew(harness):
    server = harness.serve({"*": HTML}, owner=1)
    harness.look()
    server.answers = replay("ollama")
    harness.look()
    assert harness.look() == {}
    harness.machine.listening.clear()
    harness.machine.add(server.port, owner=2, pid=2)
    assert harness.one()["pid"] == 2


def test_a_server_whose_socket_is_gone_is_gone(harness):
    harness.serve(replay("ollama"))
    harness.one()
    harness.machine.listening.clear()
    assert harness.look() == {}


@pytest.mark.parametrize("port", [22, 25, 53, 111, 139, 445, 631, 3306, 5432, 6379, 9445, 11211, 27017])
def test_ports_of_other_things_are_never_asked(harness, port, monkeypatch):
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: opened.append(to))
    harness.machine.add(port, owner=1)
    harness.look()
    assert opened == []


@pytest.mark.parametrize(
    "name", ["sshd", "postgres", "redis-server", "mysqld", "cupsd", "chrome", "chromium-browse", "code"]
)
def test_programs_that_are_known_to_be_something_else_are_never_asked(harness, name):
    server = harness.serve(replay("ollama"), name=name)
    assert harness.look() == {}
    assert server.opened == 0


def test_the_monitor_never_asks_itself(harness):
    server = harness.serve(replay("ollama"), owner=9)
    harness.machine.mine = {9}
    assert harness.look() == {}
    assert server.opened == 0


def test_what_listens_elsewhere_than_on_loopback_is_never_asked(harness, monkeypatch):
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: opened.append(to))
    for number, text in enumerate(("192.168.0.5", "127.0.0.2", "10.0.0.1")):
        harness.machine.add(8000, owner=number, address=unpack_address(socket.inet_aton(text)))
    harness.machine.add(8000, owner=9, address=unpack_address(socket.inet_pton(socket.AF_INET6, "fe80::1")))
    harness.look()
    assert opened == []


def test_only_loopback_is_connected_to_and_only_get_is_said(harness, monkeypatch):
    connected = []
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (connected.append(to[0]), real(self, to))[1])
    servers = [
        harness.serve(replay(name), address=WILDCARD[4]) for name in ("ollama", "vllm", "llama_cpp", "lm_studio")
    ]
    for _ in range(3):
        harness.look()
    assert set(connected) == {"127.0.0.1"}
    assert {line.split()[0] for server in servers for line in server.seen} == {"GET"}


def test_a_server_on_every_ipv6_address_is_asked_on_ipv4_first_and_keeps_that_name(harness):
    server = harness.serve(replay("ollama"), address=WILDCARD[6])
    assert harness.one()["server"] == f"127.0.0.1:{server.port}"


def test_a_server_on_ipv6_alone_is_asked_there(harness):
    try:
        server = harness.serve(replay("ollama"), family=6, address=WILDCARD[6])
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    assert harness.one()["server"] == f"[::1]:{server.port}"
    assert harness.collector.server_of(5, f"localhost:{server.port}") == f"[::1]:{server.port}"


def test_a_program_with_a_socket_of_each_family_is_one_server(harness):
    server = harness.serve(replay("ollama"), pid=5, owner=1)
    harness.machine.add(server.port, owner=2, pid=5, address=LOOPBACK[6])
    assert harness.one()["server"] == f"127.0.0.1:{server.port}"


def test_a_server_of_another_user_is_shown_without_its_process(harness):
    server = harness.serve(replay("ollama"))
    harness.machine.held.clear()
    row = harness.one()
    assert (row["pid"], row["process"], row["gpu_bytes"], row["runtime"]) == (None, "", None, "Ollama")
    assert server.opened > 0


def test_known_servers_that_hang_or_refuse_are_shown_with_what_to_do(harness):
    hung = harness.serve({"*": b""}, name="ollama", pid=1)
    row = harness.one()
    assert (row["server"], row["runtime"], row["state"]) == (f"127.0.0.1:{hung.port}", "Ollama", "silent")
    odd = harness.serve({"*": HTML}, name="llama-server", pid=2)
    assert harness.look()[odd.port]["state"] == "odd"
    locked = harness.serve({"*": http(b'{"error":"no"}', 401)}, name="LM Studio", pid=3)
    assert harness.look()[locked.port]["state"] == "needs_key"
    assert all(row["fix"] for row in harness.look().values())


def test_other_ports_of_a_program_that_was_found_are_not_shown_beside_it(harness):
    server = harness.serve(replay("ollama"), name="ollama", pid=1)
    harness.serve({"*": HTML}, name="ollama", pid=2)  # its runner
    assert list(harness.look()) == [server.port]


@pytest.mark.parametrize(
    "answers",
    [
        {"*": http(b'{"error":"login"}', 401)},  # an API that refuses everything is no sign of models
        {"/v1/models": http(b"<html>log in</html>", 401)},
        {"/v1/models": http(b'{"data":[]', 200)},
        {"/v1/models": http(b'{"data":{"id":"x"}}', 200)},
        {"/v1/models": http(b'{"data":[{"id":7}]}', 200)},
        {"/api/version": http(b'{"version":"1.0"}')},  # a program with a version and no models
        {"/api/version": http(b'{"version":"1.0"}'), "/api/ps": http(b'{"models":{}}')},
        {"/metrics": http(b"go_threads 7\n")},
        {"*": http(b"", 302, location="http://192.0.2.1/")},
    ],
)
def test_a_web_server_without_models_is_no_model_server(harness, answers):
    harness.serve(answers)
    assert harness.look() == {}


def test_a_server_that_seems_everything_at_once_is_judged_after_four_gets_and_not_again(harness):
    answers = {
        "/api/version": http(b'{"version":"1"}'),
        "/v1/models": http(b'{"data":[{"id":"m","owned_by":"organization_owner"}]}'),
    }  # fmt: skip
    server = harness.serve(answers)
    assert harness.one()["runtime"] == "OpenAI-compatible"
    asked = [line.split()[1] for line in server.seen]
    assert asked == ["/api/version", "/api/ps", "/v1/models", "/api/v1/models", "/v1/models"]
    harness.look()
    assert len(server.seen) == len(asked)


def test_what_never_fits_into_a_look_is_left_alone_after_three(harness, monkeypatch):
    server = harness.serve({"*": HTML})
    asked = []
    monkeypatch.setattr(harness.collector._client, "get", lambda *where: asked.append(where) or LATE)
    for _ in range(9):
        harness.look()
    assert len(asked) == PATIENCE
    assert harness.look() == {}
    assert server.opened == 0


def test_a_server_that_once_answered_is_silent_only_after_three_looks_without(harness):
    server = harness.serve(replay("ollama"))
    harness.one()
    server.answers = {"*": b""}
    states = [harness.one(4)["state"] for _ in range(PATIENCE)]
    assert states == ["ok", "ok", "silent"]
    assert harness.readings == []
    server.answers = replay("ollama")
    assert harness.one(60)["state"] == "ok"


def test_a_server_that_does_not_answer_is_asked_less_and_less_often(harness):
    server = harness.serve(replay("ollama"))
    harness.one()
    server.answers = {"*": b""}
    before = server.opened
    for _ in range(600):
        harness.look()
    assert 10 <= server.opened - before <= 20


def test_a_restarted_server_drops_the_span_over_its_restart(harness):
    server = harness.serve(replay("vllm"), owner=1)
    harness.look()
    harness.machine.listening.clear()
    harness.machine.add(server.port, owner=2, pid=2)
    server.answers = replay("vllm_later")
    harness.look()
    assert (harness.readings[0].tokens_per_second, harness.readings[0].tokens_total) == (None, 1320.0)


def test_a_counter_that_fell_drops_the_span(harness):
    server = harness.serve(replay("vllm_later"))
    harness.look()
    server.answers = replay("vllm")
    harness.look()
    assert (harness.readings[0].tokens_per_second, harness.readings[0].ttft_ms) == (None, None)


def test_a_reading_says_how_often_it_was_really_looked(harness):
    harness.serve(replay("ollama"))
    harness.look()
    harness.look(4)
    assert harness.readings[0].rate_hz == 0.25


def test_graphics_memory_is_that_of_the_process_and_of_those_below_it(harness):
    harness.serve(replay("vllm"), pid=10)
    harness.processes.above[11] = (10,)
    assert harness.one()["gpu_bytes"] is None  # nobody measures it
    harness.memory = {11: 8_000, 10: 500, 99: 7}
    assert harness.one()["gpu_bytes"] == 8_500


def test_names_and_versions_are_cleaned_and_cut(harness):
    bad = "x\n\x1b[31m\u202e" + "y" * 500
    answers = replay("ollama")
    answers["/api/version"] = http(b'{"version": "%s"}' % (b"1" * 400))
    answers["/api/ps"] = http(b'{"models":[{"name":"x\\n\\u001b[31m\\u202e%s","size_vram":1}]}' % (b"y" * 500))
    harness.serve(answers, name="ollama")
    row = harness.one()
    assert len(row["version"]) <= 120
    assert len(row["models"]) <= 120
    assert row["models"].startswith("x\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m")
    assert bad not in row["models"]
    assert row["models"].isprintable()
    assert harness.readings[0].model.isprintable()


def test_names_that_do_not_fit_a_cell_are_counted():
    many = tuple(f"model-{n:02}" for n in range(64))
    assert joined(many, 10_000) == ", ".join(many[:10]) + " and 9,990 more"
    assert joined(("y" * 120,), 1) == "y" * 120
    assert len(joined(("y" * 120, "z"), 2)) == 120
    assert (joined((), 0), joined(("a", "b"), 2)) == ("", "a, b")


def test_a_process_is_led_to_the_server_that_it_is_or_works_for(harness):
    server = harness.serve(replay("vllm"), pid=10)
    harness.processes.above.update({11: (10,), 10: (9,)})
    harness.look()
    label = f"127.0.0.1:{server.port}"
    assert [harness.collector.server_of(pid, "program") for pid in (10, 11, 9, 12)] == [label, label, label, "program"]


def test_a_claim_that_names_a_listening_address_is_believed(harness):
    """A client knows whom it asks; its own sockets may be those of its page."""
    server = harness.serve(replay("vllm"), pid=10)
    page = harness.serve({"*": HTML}, pid=20)
    harness.look()
    label = f"127.0.0.1:{server.port}"
    assert harness.collector.server_of(20, f"localhost:{server.port}") == label
    assert harness.collector.server_of(20, f"0.0.0.0:{server.port}") == label
    assert harness.collector.server_of(20, f"[::1]:{server.port}") == label
    assert harness.collector.server_of(10, f"127.0.0.1:{page.port}") == f"127.0.0.1:{page.port}"
    assert harness.collector.server_of(20, "a notebook") == "a notebook"
    assert harness.collector.server_of(20, "localhost:1") == "127.0.0.1:1"  # nobody listens there, still one name
    assert harness.collector.server_of(20, "10.0.0.9:8000") == "10.0.0.9:8000"


def test_a_proxy_is_not_asked_and_stands_for_its_upstream(harness):
    upstream = harness.serve(replay("ollama"), pid=1)
    proxy = harness.serve(replay("ollama"), pid=2)
    harness.aliases = {f"127.0.0.1:{proxy.port}": f"127.0.0.1:{upstream.port}"}
    assert list(harness.look()) == [upstream.port]
    assert proxy.opened == 0
    assert harness.collector.server_of(2, f"localhost:{proxy.port}") == f"127.0.0.1:{upstream.port}"


def test_a_proxy_that_starts_later_is_left_alone_from_then_on(harness):
    upstream = harness.serve(replay("ollama"), pid=1)
    proxy = harness.serve(replay("ollama"), pid=2)
    assert len(harness.look()) == 2
    harness.aliases = {f"127.0.0.1:{proxy.port}": f"127.0.0.1:{upstream.port}"}
    assert list(harness.look()) == [upstream.port]


@pytest.mark.parametrize("told", [("--upstream", "http://localhost:11434/"), ("--upstream=http://127.0.0.1:11434",)])
def test_our_own_proxy_is_known_by_its_command_which_says_where_it_leads(harness, told):
    proxy = harness.serve(replay("ollama"), pid=2)
    harness.processes.commands[2] = ("python", "-m", "wfmon", "proxy", *told, "--listen", "x")
    assert harness.look() == {}
    assert proxy.opened == 0
    assert harness.collector.server_of(7, f"localhost:{proxy.port}") == "127.0.0.1:11434"
    assert harness.collector.server_of(2, "127.0.0.1:11434") == "127.0.0.1:11434"


def test_only_our_own_proxy_is_taken_for_one():
    known = Processes()
    assert known.upstream(("python", "-m", "wfmon", "proxy")) == ""
    assert known.upstream(("python", "app.py", "proxy", "--upstream", "http://x:1")) is None
    assert known.upstream(("proxy", "wfmon")) is None
    assert known.upstream(()) is None


def test_a_process_is_looked_at_once_until_the_servers_change(harness):
    harness.serve(replay("vllm"), pid=10)
    harness.look()
    harness.processes.looked.clear()
    for _ in range(5):
        harness.collector.server_of(77, "program")
        harness.look()
    assert harness.processes.looked == [77]


def test_this_machine_s_processes_have_commands_and_parents():
    known = Processes()
    program = "import sys; print('runs', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "a-word"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()  # until then its command may still be ours
        assert known.command(child.pid)[-1] == "a-word"
        assert known.parents(child.pid)[0] == os.getpid()
        assert known.sums({child.pid: 7, os.getpid(): 1, 1: 5}, {os.getpid()}) == {os.getpid(): 8}
        child.stdin.close()
    assert (known.command(child.pid), known.parents(child.pid), known.command(None)) == ((), (), ())


def test_a_collector_that_was_never_asked_opens_no_socket(monkeypatch):
    def no_socket(*_args, **_more):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "create_connection", no_socket)
    collector = ServersCollector(FakeClock(), scraped=list, gpu_memory=dict)
    assert collector.servers() == []
    assert collector.server_of(1, "localhost:8000") == "127.0.0.1:8000"
    collector.close()


def test_closing_forgets_and_a_later_look_finds_anew(harness):
    server = harness.serve(replay("ollama"), pid=5)
    harness.one()
    harness.collector.close()
    harness.collector.close()
    assert harness.collector.servers() == []
    assert harness.collector.server_of(5, "program") == "program"
    before = server.opened
    assert harness.one()["runtime"] == "Ollama"
    assert server.opened > before


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ("127.0.0.1:8000", ("127.0.0.1:8000", 8000)), ("localhost:8000", ("127.0.0.1:8000", 8000)),
        ("LOCALHOST:80", ("127.0.0.1:80", 80)), ("[::1]:80", ("[::1]:80", 80)), ("[::]:80", ("127.0.0.1:80", 80)),
        ("10.0.0.1:80", ("10.0.0.1:80", None)), ("my program", ("my program", None)), ("", ("", None)),
        ("a:b:c", ("a:b:c", None)), ("x:0", ("x:0", None)), ("x:65536", ("x:65536", None)), ("x:²", ("x:²", None)),
    ],
)  # fmt: skip
def test_an_address_is_written_in_one_way(claimed, expected):
    assert plain(claimed) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel by netlink")
def test_the_kernel_tells_the_listening_sockets_as_the_table_does():
    quick = quick_listening()
    servers = [Answering({})]
    with suppress(OSError):  # a machine without IPv6
        servers.append(Answering({}, family=6))
    try:
        found = {(one.local[0].text, one.local[1]): one for one in quick()}
        read = {(one.local[0].text, one.local[1]): one for one in LinuxSockets().sockets() if one.state == "listen"}
        for server in servers:
            where = ("127.0.0.1" if server.family == 4 else "::1", server.port)
            assert found[where]._replace(remote=()) == read[where]._replace(remote=())
    except OSError as error:
        pytest.skip(f"this kernel does not list its sockets: {error}")
    finally:
        for server in servers:
            server.close()


def test_a_kernel_that_refuses_is_asked_no_more_and_the_table_is_read_every_five_seconds():
    def refuses():
        refused.append(1)
        raise PermissionError

    refused, machine = [], Machine()
    machine.add(8000, owner=1)
    machine.listening.append(
        Socket(tcp=False, state="close", local=(WILDCARD[4], 53), remote=(WILDCARD[4], 0), owner=2)
    )
    listening = Listening(machine, refuses)
    assert [one.owner for one in listening.sockets(0)] == [1]
    machine.add(8001, owner=3)
    assert len(listening.sockets(4_900_000_000)) == 1
    assert len(listening.sockets(5_000_000_000)) == 2
    assert len(refused) == 1


def test_a_server_whose_requests_are_told_lacks_nothing_that_would_have_to_be_mended():
    told = ServerRecord(listener=None, server="127.0.0.1:11434", runtime="Ollama", version="0.5")
    cells = dict(zip(COLUMNS, row_of(told, {}, {"127.0.0.1:11434": "proxy"}).cells(), strict=True))
    assert cells["shows"].endswith("by the proxy: requests, tokens, time to first token")
    assert (cells["lacks"], cells["fix"]) == ("", "")
    assert row_of(told, {}, {}).cells()[COLUMNS.index("fix")] != ""


def test_the_built_in_model_is_not_called_what_it_speaks_like():
    row = ServerRecord(listener=None, server="127.0.0.1:11599", runtime="Ollama", version="0.1.0-wfmon-demo")
    assert row.cells()[COLUMNS.index("runtime")] == "built-in n-gram model"
