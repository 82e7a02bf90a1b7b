"""The proxy between peers that refuse, hang, die, lie and stop reading: bytes and closes pass, nothing else suffers."""

from __future__ import annotations

import json
import socket
import struct
import threading

import pytest

from tests.kit.proxied import (
    LAST,
    NDJSON,
    SSE,
    WAIT_S,
    Upstream,
    before,
    chunk,
    delta,
    dial,
    event,
    eventually,
    head,
    post,
    read_all,
    read_until,
    says,
)

pytestmark = pytest.mark.faults
CHAT = "/v1/chat/completions"


def endless(sent):
    """A script that streams until its client goes."""

    def script(sock, seen):
        sock.sendall(head("200 OK", *SSE))
        while True:
            sock.sendall(chunk(event(delta("a"))))
            sent.append(1)

    return script


def first_chunk(proxy, sock):
    sock.sendall(post(CHAT, {"model": "m", "stream": True}, proxy.port))
    assert sock.recv(20)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_server_that_refuses_is_told_with_the_fix():
    server = Upstream()
    server.close()
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
        data = read_all(sock)
        assert data.startswith(b"HTTP/1.1 502 ")
        assert "Start it" in json.loads(data.partition(b"\r\n\r\n")[2])["detail"]
        request = proxy.heard.one()
        assert (request.chunks, request.end) == ([], ("error", "upstream_refused"))


@pytest.mark.parametrize("go", [socket.socket.close, reset])
def test_a_client_that_goes_stops_the_model_at_once(go):
    sent = []
    server = Upstream(v1__chat__completions=endless(sent))
    with before(server) as proxy:
        sock = dial(proxy.port)
        first_chunk(proxy, sock)
        go(sock)
        assert eventually(lambda: server.ended)
        assert proxy.heard.one().end == ("aborted", "client_closed")


def test_a_client_that_goes_before_the_first_token_is_seen_by_a_silent_server():
    noticed = threading.Event()

    def silent(sock, seen):
        assert sock.recv(1) == b""
        noticed.set()
        return True

    server = Upstream(v1__chat__completions=silent)
    with before(server) as proxy:
        sock = dial(proxy.port)
        sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
        assert eventually(lambda: server.seen)
        sock.close()
        assert noticed.wait(WAIT_S)
        request = proxy.heard.one()
        assert (request.chunks, request.end[0]) == ([], "aborted")


def test_a_server_that_dies_within_a_stream_ends_the_request_as_aborted_and_resets_the_client():
    def dies(sock, seen):
        sock.sendall(head("200 OK", *SSE) + chunk(event(delta("a"))))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return True

    server = Upstream(v1__chat__completions=dies)
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
        with pytest.raises(ConnectionResetError):
            read_all(sock)
        request = proxy.heard.one()
        assert request.end == ("aborted", "upstream_closed")


def test_a_server_that_hangs_holds_up_nobody_else():
    release = threading.Event()
    server = Upstream(
        v1__chat__completions=lambda sock, seen: release.wait(WAIT_S),
        x=says(head("200 OK", "Content-Length: 2") + b"ok"),
    )
    with before(server) as proxy, dial(proxy.port) as hung, dial(proxy.port) as other:
        hung.sendall(post(CHAT, {"model": "m"}, proxy.port))
        assert eventually(lambda: proxy.heard.requests)
        other.sendall(post("/x", {}, proxy.port))
        assert read_until(other, b"ok")
        assert proxy.heard.ended == []
        release.set()


@pytest.mark.parametrize("kind", [SSE, NDJSON])
def test_ten_megabytes_without_a_line_pass_and_the_events_after_are_told(kind):
    monster = b'data: {"choices":[{"delta":{"content":"' + b"x" * 10_000_000
    after = (
        event(delta("a")) if kind is SSE else json.dumps({"choices": [{"delta": {"content": "a"}}]}).encode() + b"\n"
    )
    raw = head("200 OK", *kind) + chunk(monster) + chunk(b'"}}]}\n\n' + after) + LAST
    server = Upstream(v1__chat__completions=says(raw))
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
        assert read_until(sock, LAST) == raw
        assert proxy.heard.one().chunks == [1]
        assert proxy.counts["long_events"] == 1


def test_a_hundred_streams_at_once_are_whole_and_each_is_counted():
    together = threading.Barrier(100)

    def script(sock, seen):
        together.wait(WAIT_S)
        sock.sendall(head("200 OK", *SSE))
        for _ in range(20):
            sock.sendall(chunk(event(delta(seen.json["model"]))))
        sock.sendall(chunk(event(b"[DONE]")) + LAST)

    server = Upstream(v1__chat__completions=script)
    with before(server) as proxy:
        socks = [dial(proxy.port) for _ in range(100)]
        for i, sock in enumerate(socks):
            sock.sendall(post(CHAT, {"model": f"m{i}", "stream": True}, proxy.port))
        for i, sock in enumerate(socks):
            data = read_until(sock, LAST)
            assert data.count(chunk(event(delta(f"m{i}")))) == 20
            sock.close()
        assert eventually(lambda: len(proxy.heard.ended) == 100)
        assert {each.model: sum(each.chunks) for each in proxy.heard.ended} == {f"m{i}": 20 for i in range(100)}


def test_an_ordered_end_lets_streams_finish_and_takes_no_new_ones():
    release = threading.Event()

    def script(sock, seen):
        sock.sendall(head("200 OK", *SSE) + chunk(event(delta("a"))))
        assert release.wait(WAIT_S)
        sock.sendall(chunk(event(delta("b"))) + LAST)

    server = Upstream(v1__chat__completions=script)
    with before(server) as proxy, dial(proxy.port) as sock, dial(proxy.port) as idle:
        first_chunk(proxy, sock)
        proxy.ask_to_end()
        assert read_all(idle) == b""
        assert eventually(lambda: refused(proxy.port))
        assert not proxy.ended()
        release.set()
        assert read_all(sock).endswith(LAST)
        assert eventually(proxy.ended)
        assert proxy.heard.one().chunks == [1, 1]


def refused(port):
    try:
        dial(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_error_of_the_measuring_side_costs_the_measure_alone(monkeypatch):
    server = Upstream(v1__chat__completions=says(head("200 OK", *SSE), chunk(event(delta("a"))), LAST))
    with before(server) as proxy, dial(proxy.port) as sock:

        def broken(*_):
            raise ValueError("secret")

        monkeypatch.setattr("wfmon.proxy.exchange.ModelExchange.response_head", broken)
        for _ in range(2):
            sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
            assert read_until(sock, LAST).endswith(chunk(event(delta("a"))) + LAST)
        assert proxy.counts["odd_trouble"] == 1
