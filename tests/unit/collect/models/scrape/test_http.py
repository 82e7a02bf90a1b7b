"""One bounded GET: what comes whole, and what is said of what does not."""

from __future__ import annotations

import socket

import pytest

from tests.kit.scrape_harness import AGENT, Answering, http
from wfmon.collect.models.scrape.http import LATE, MAX_BODY, HttpAnswer, LoopbackClient
from wfmon.core.clock import FakeClock, SystemClock


@pytest.fixture
def ask():
    servers = []
    client = LoopbackClient(SystemClock(), AGENT)

    def of(answer, family=4, budget_s=20.0):
        servers.append(Answering({"*": answer}, family))
        client.begin(budget_s)
        return client.get("127.0.0.1" if family == 4 else "::1", servers[-1].port, "/x")

    of.servers, of.client = servers, client
    yield of
    for server in servers:
        server.close()


def then(*parts, hold=False):
    def answer(connection, closing):
        for part in parts:
            connection.sendall(part)
        if hold:
            closing.wait(30)

    return answer


def test_a_whole_answer_comes_with_its_status_and_its_server(ask):
    assert ask(http(b'{"a":1}', server="llama.cpp")) == HttpAnswer("", 200, b'{"a":1}', "llama.cpp")
    assert ask.servers[0].seen == ["GET /x HTTP/1.1"]


@pytest.mark.parametrize(
    "wire",
    [
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\n\r\n{"a":1}',  # until it closes
        b'HTTP/1.0 200 OK\r\n\r\n{"a":1}',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}',
    ],
)
def test_every_framing_of_a_body_is_read(ask, wire):
    assert ask(wire).json() == {"a": 1}


def test_it_is_asked_on_ipv6_loopback_too(ask):
    try:
        assert ask(http(b"1"), family=6).json() == 1
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


@pytest.mark.parametrize("body", [b"NaN", b"[" * 100_000, b"{", b"", b"\xff\xfe", b"<html>"])
def test_what_is_no_json_is_none(ask, body):
    answer = ask(http(body))
    assert (answer.trouble, answer.json()) == ("", None)


@pytest.mark.parametrize(
    ("wire", "trouble"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not_http"),
        (b"-ERR wrong number of arguments\r\n", "not_http"),
        (b"\x15\x03\x01\x00\x02\x02\x46" * 10 + b"\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "silent"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "silent"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nlies\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\n", "silent"),
        (b"", "silent"),
        (http(b"x" * (MAX_BODY + 1)), "too_big"),
    ],
)
def test_what_is_no_whole_answer_says_why(ask, wire, trouble):
    assert ask(wire).trouble == trouble


def test_nobody_there_is_refused(ask):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    ask.client.begin(20)
    assert ask.client.get("127.0.0.1", port, "/").trouble == "refused"


def test_a_redirect_is_an_answer_and_is_not_followed(ask):
    target = Answering({"*": http(b"[]")})
    try:
        answer = ask(http(b"", 302, location=f"http://127.0.0.1:{target.port}/"))
        assert (answer.status, target.opened) == (302, 0)
    finally:
        target.close()


def test_one_that_never_answers_and_one_that_answers_a_byte_at_a_time_end(ask):
    assert ask(then(hold=True)).trouble == "silent"
    assert ask(then(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b"1", hold=True)).trouble == "silent"

    def drip(connection, closing):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.wait(0.01):
            connection.sendall(b"1")

    assert ask(drip).trouble == "silent"


def test_the_proxies_of_the_environment_are_not_used(ask, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert ask(http(b"1")).json() == 1


def test_past_the_budget_of_a_look_nothing_is_asked():
    clock = FakeClock()
    client = LoopbackClient(clock, AGENT)
    server = Answering({"*": http(b"1")})
    try:
        client.begin(2)
        clock.advance(2)
        assert client.get("127.0.0.1", server.port, "/") == LATE
        assert client.is_spent
        assert server.opened == 0
    finally:
        server.close()
