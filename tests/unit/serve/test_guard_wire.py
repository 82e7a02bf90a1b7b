"""The guard behind the real listener: what a hostile client puts on the wire, byte by byte."""

from __future__ import annotations

import contextlib

import pytest
from h2.events import StreamEnded

from tests.kit import serving
from wfmon.core.clock import SystemClock
from wfmon.serve import tls


@contextlib.contextmanager
def opened(guarded, certificate=None):
    """Serve the guarded server on a free port, to which its origin then belongs."""
    with serving.serving(guarded.server.wsgi_app, certificate=certificate) as listener:
        guarded.origin._port = lambda: listener.port
        yield listener


def say(listener, *lines, body=b""):
    """Send a request line and headers as they are; gives the status of the answer."""
    with serving.connect(listener) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return serving.response(client)[0]


def test_the_good_request_is_let_in(guarded):
    with opened(guarded) as listener:
        assert (
            say(listener, "GET / HTTP/1.1", f"Host: {guarded.origin.authority()}", f"Cookie: {guarded.cookie}") == 200
        )
        assert guarded.ran == ["/"]


@pytest.mark.parametrize(
    "lines",
    [
        ["GET / HTTP/1.1", "Host: evil.com"],
        ["GET / HTTP/1.1", "Host: {host}", "Host: evil.com"],
        ["GET / HTTP/1.1", "Host: evil.com", "Host: {host}"],
        ["GET / HTTP/1.1", "Host: {host}", "Host: {host}"],
        ["GET / HTTP/1.1"],
        ["GET / HTTP/1.0"],
        ["GET / HTTP/1.1", "Host:"],
        ["GET / HTTP/1.1", "Host: {host}.evil.com"],
        ["GET http://evil.com/ HTTP/1.1", "Host: {host}"],
        ["GET http://{host}/ HTTP/1.1", "Host: evil.com"],
        ["GET //evil.com/ HTTP/1.1", "Host: {host}"],
        ["GET /../token HTTP/1.1", "Host: {host}"],
        ["GET /a%00b HTTP/1.1", "Host: {host}"],
        ["GET /\x00 HTTP/1.1", "Host: {host}"],
        ["GET /\xe4 HTTP/1.1", "Host: {host}"],
        ["GET * HTTP/1.1", "Host: {host}"],
        ["CONNECT {host} HTTP/1.1", "Host: {host}"],
        ["OPTIONS * HTTP/1.1", "Host: {host}"],
        ["GET / HTTP/1.1", "Host: {host}", "Origin: null"],
        ["GET / HTTP/1.1", "Host: {host}", "Origin: http://{host}", "Origin: http://evil.com"],
        ["GET / HTTP/1.1", "Host: {host}", "Origin: http://{host}0"],
        ["GET / HTTP/1.1", "Host: {host}", "Sec-Fetch-Site: cross-site"],
        ["GET / HTTP/1.1", "Host: {host}", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"],
        ["GET /ws HTTP/1.1", "Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
        ["GET / HTTP/1.1", "Host: {host}", "Authorization: Bearer x"],
        ["GET / HTTP/1.1", "Host_: {host}", "X_Host: {host}"],
    ],
)  # fmt: skip
def test_whatever_is_wrong_on_the_wire_the_application_does_not_run(guarded, lines):
    with opened(guarded) as listener:
        host = guarded.origin.authority()
        status = say(listener, *(line.format(host=host) for line in lines), f"Cookie: {guarded.cookie}")
        assert 400 <= status < 500
        assert guarded.ran == []


def test_a_refused_post_does_not_smuggle_its_body_in_as_a_request(guarded):
    with opened(guarded) as listener, serving.connect(listener) as client:
        host = f"Host: {guarded.origin.authority()}"
        inner = f"GET / HTTP/1.1\r\n{host}\r\nCookie: {guarded.cookie}\r\n\r\n".encode()
        head = ["POST /launch HTTP/1.1", host, "Origin: null", f"Content-Length: {len(inner)}", "Connection: close"]
        client.sendall("\r\n".join([*head, "", ""]).encode() + inner)
        assert serving.all_of(client).count(b"HTTP/1.1 ") == 1
        assert guarded.ran == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


def test_http_2_goes_through_the_same_door(guarded_at, certificate):
    guarded = guarded_at(tls=True)
    with opened(guarded, certificate) as listener:
        ours, cookie = guarded.origin.authority(), ("cookie", guarded.cookie)
        client = serving.H2Client(serving.connect(listener, certificate, "h2"))

        def ask(authority, *extra, path="/"):
            stream = client.h2.get_next_available_stream_id()
            head = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", authority), *extra]
            client.h2.send_headers(stream, head, end_stream=True)
            assert client.until(lambda: client.has(StreamEnded, stream))
            return client.head(stream)[0]

        assert ask("evil.com", cookie) == 421
        assert ask(ours, ("origin", "https://evil.com"), cookie) == 403
        assert ask(ours, ("sec-fetch-site", "same-site"), cookie) == 403
        assert ask(ours) == 401
        assert ask(ours, cookie, path="//evil.com/") == 400
        assert guarded.ran == []
        assert ask(ours, ("cookie", "a=b"), cookie, ("cookie", "c=d")) == 200
        assert guarded.ran == ["/"]
        client.close()
