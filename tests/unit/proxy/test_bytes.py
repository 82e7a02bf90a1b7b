"""What passes is what was sent: compared byte for byte, at the socket, with a direct connection."""

from __future__ import annotations

import socket
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
    odd_pieces,
    post,
    read_all,
    read_until,
    says,
)

STREAM = b"".join([event(delta("")), event(delta("Grüße ✓")), event(delta("x" * 3000)), event(b"[DONE]")])
LINES = b'{"model":"m","message":{"content":"\xc3\xa4"},"done":false}\n{"model":"m","done":true}\n'

ANSWERS = {
    "sse in odd chunks": [head("200 OK", *SSE), *[chunk(piece) for piece in odd_pieces(STREAM)], LAST],
    "sse in odd writes": odd_pieces(head("200 OK", *SSE) + chunk(STREAM) + LAST),
    "lines": [head("200 OK", *NDJSON), *[chunk(piece) for piece in odd_pieces(LINES)], LAST],
    "chunks with extensions and trailers": [
        head("200 OK", *SSE) + b"5;a=b\r\nhello\r\n000\r\nX-T: 1\r\n\r\n",
    ],
    "a length": [head("200 OK", "Content-Type: application/json", "Content-Length: 2") + b"{}"],
    "an error": [head("404 Not Found", "Content-Length: 5", "X-Odd:   spaces \t") + b"gone!"],
    "no body": [head("204 No Content")],
    "not modified, with a length": [head("304 Not Modified", "Content-Length: 99")],
    "not utf-8": [head("200 OK", "Content-Type: application/json", "Content-Length: 3") + b"\xff\x00\xfe"],
    "an interim answer": [head("103 Early Hints", "Link: </a>"), head("200 OK", "Content-Length: 1") + b"a"],
}
CLOSED = {
    "until it closes": [head("200 OK", "Content-Type: text/event-stream"), *odd_pieces(STREAM)],
    "http/1.0": [b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"old and well"],
    "not http at all": [b"SSH-2.0-what\r\n", b"\x00\x01\x02"],
    "two lengths": [head("200 OK", "Content-Length: 3", "Content-Length: 4") + b"abcd"],
    "a chunk without a size": [head("200 OK", *SSE) + b"zz\r\nhello\r\n0\r\n\r\n"],
    "bare line feeds": [b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"],
    "dies in a chunk": [head("200 OK", *SSE) + b"ff\r\nhalf"],
}


def ask(
    port: int, count: int = 1, path: str = "/v1/chat/completions", upstream_port: int | None = None
) -> socket.socket:
    sock = dial(port)
    sock.sendall(post(path, {"model": "m", "stream": True}, port) * count)
    return sock


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_passes_unchanged_and_the_connection_stays(name):
    whole = b"".join(ANSWERS[name])
    server = Upstream(v1__chat__completions=says(*ANSWERS[name]))
    with before(server) as proxy, ask(proxy.port) as sock, ask(server.port) as direct:
        for _ in range(3):
            assert read_until(sock, whole) == read_until(direct, whole) == whole
            for each, port in ((sock, proxy.port), (direct, server.port)):
                each.sendall(post("/v1/chat/completions", {"model": "m"}, port))


@pytest.mark.parametrize("name", CLOSED)
def test_an_answer_that_ends_with_the_connection_passes_unchanged(name):
    server = Upstream(v1__chat__completions=says(*CLOSED[name], close=True))
    with before(server) as proxy, ask(proxy.port) as sock, ask(server.port) as direct:
        assert read_all(sock) == read_all(direct) == b"".join(CLOSED[name])


def test_requests_reach_the_server_as_they_were_sent():
    server = Upstream(api__chat=says(head("200 OK", "Content-Length: 0")), x=says(head("200 OK", "Content-Length: 0")))
    with before(server) as proxy, dial(proxy.port) as sock:
        raw = post("/api/chat", b'{"model":"m"}', proxy.port, "X-Case:  Kept ", "Origin: http://evil.example")
        for piece in odd_pieces(raw):
            sock.sendall(piece)
        read_until(sock, b"\r\n\r\n")
        chunked = f"POST /x?q=1 HTTP/1.1\r\nHost: localhost:{proxy.port}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        sock.sendall(chunked + b"3\r\nabc\r\n0\r\n\r\n")
        read_until(sock, b"\r\n\r\n")
        assert server.seen[0].raw + b"\r\n\r\n" + server.seen[0].body == raw
        assert server.seen[1].raw + b"\r\n\r\n" == chunked
        assert server.seen[1].body == b"3\r\nabc\r\n0\r\n\r\n"


def test_pipelined_requests_are_answered_in_order():
    def number(sock, seen):
        body = seen.json["model"].encode()
        sock.sendall(head("200 OK", f"Content-Length: {len(body)}") + body)

    server = Upstream(api__chat=number)
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(b"".join(post("/api/chat", {"model": f"m{i}"}, proxy.port) for i in range(50)))
        data = read_until(sock, b"m49")
        assert [part.partition(b"\r\n\r\n")[2] for part in data.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [
            b"m%d" % i for i in range(50)
        ]
        assert eventually(lambda: len(proxy.heard.ended) == 50)
        assert [each.model for each in proxy.heard.ended] == [f"m{i}" for i in range(50)]


def test_expect_100_continue_waits_for_the_servers_word():
    server = Upstream(api__chat=says(head("200 OK", "Content-Length: 2") + b"ok"))
    with before(server) as proxy, dial(proxy.port) as sock:
        top, _, body = post("/api/chat", {"model": "m"}, proxy.port, "Expect: 100-continue").partition(b"\r\n\r\n")
        sock.sendall(top + b"\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_until(sock, b"ok").startswith(b"HTTP/1.1 200 OK")
        assert proxy.heard.one().model == "m"


def test_head_has_a_length_and_no_body():
    server = Upstream(api__tags=says(head("200 OK", "Content-Length: 99")))
    with before(server) as proxy, dial(proxy.port) as sock:
        for _ in range(2):
            sock.sendall(f"HEAD /api/tags HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode())
            assert read_until(sock, b"\r\n\r\n") == head("200 OK", "Content-Length: 99")


def test_http_1_0_without_a_host_passes():
    server = Upstream(api__tags=says(b"HTTP/1.0 200 OK\r\n\r\nhello", close=True))
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(b"GET /api/tags HTTP/1.0\r\n\r\n")
        assert read_all(sock) == b"HTTP/1.0 200 OK\r\n\r\nhello"


def test_an_upgraded_connection_passes_both_ways_unseen():
    def echo(sock, seen):
        sock.sendall(head("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade") + b"first")
        while data := sock.recv(100):
            sock.sendall(data[::-1])
        return True

    server = Upstream(ws=echo)
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" % proxy.port
        )
        read_until(sock, b"first")
        for data in (b"\x00\xff\x81", b"GET / HTTP/1.1\r\n\r\n"):
            sock.sendall(data)
            assert read_until(sock, data[::-1]) == data[::-1]
        assert proxy.counts["upgraded"] == 1


def test_a_half_closed_client_still_gets_its_answer():
    server = Upstream(api__chat=says(head("200 OK", "Content-Length: 2") + b"ok"))
    with before(server) as proxy, ask(proxy.port, path="/api/chat") as sock:
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b"\r\n\r\nok")
        assert server.ended == ["eof"]


HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1:1",
    "127.0.0.1.evil.example:{port}",
    "localhost",
    "[::2]:{port}",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_ours_is_refused_and_the_server_never_asked(host):
    server = Upstream()
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(f"GET /api/tags HTTP/1.1\r\nHost: {host.format(port=proxy.port)}\r\n\r\n".encode())
        data = read_all(sock)
        assert data.startswith(b"HTTP/1.1 421 ")
        assert b"Content-Type: application/problem+json" in data
        assert (server.seen, proxy.counts["refused_host"]) == ([], 1)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "LocalHost:{port}", "[::1]:{port}", "127.8.9.1:{port}"])
def test_each_name_of_this_machine_with_our_port_passes(host):
    server = Upstream(x=says(head("200 OK", "Content-Length: 2") + b"ok"))
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(f"GET /x HTTP/1.1\r\nHost: {host.format(port=proxy.port)}\r\n\r\n".encode())
        assert read_until(sock, b"ok").startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", 421),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n", 421),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n", 421),
        (b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nHost: b\r\n\r\n", 421),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
    ],
)
def test_what_does_not_name_us_is_refused(request_, status):
    server = Upstream()
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(request_.replace(b"PORT", b"%d" % proxy.port))
        assert read_all(sock).startswith(b"HTTP/1.1 %d " % status)
        assert server.seen == []


def test_an_answer_that_comes_after_a_refusal_goes_nowhere_and_troubles_nobody(caplog):
    refused = threading.Event()
    sent = threading.Event()

    def late(sock, seen):
        refused.wait(20)
        for _ in range(20):
            sock.sendall(b"x" * 1_000)
        sent.set()
        return True

    server = Upstream(x=late)
    with before(server) as proxy, dial(proxy.port) as sock:
        ours = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % proxy.port
        sock.sendall(ours)
        assert eventually(lambda: len(server.seen) == 1)
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert read_all(sock) == b""
        refused.set()
        assert sent.wait(20)
        assert len(server.seen) == 1
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_slow_client_holds_the_server_back():
    sent = []
    done = threading.Event()

    def flood(sock, seen):
        sock.sendall(head("200 OK", "Content-Length: 200000000"))
        for _ in range(200):
            sock.sendall(b"x" * 1_000_000)
            sent.append(1)
        done.set()

    server = Upstream(x=flood)
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(f"GET /x HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode())
        sock.recv(1)
        before_count = -1
        while before_count != len(sent):  # until it sends no more
            before_count = len(sent)
            done.wait(1.0)
        assert not done.is_set()
        assert len(sent) < 50
        left = 200_000_000 + len(head("200 OK", "Content-Length: 200000000")) - 1
        while left:
            left -= len(sock.recv(1_000_000))
        assert done.wait(WAIT_S)
