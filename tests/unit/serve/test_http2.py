"""The listener over HTTP/2, with h2 itself as the client."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from tests.kit import serving
from tests.kit.serving import DAEMON, H2Client, connect
from tests.kit.serving import serving as serve
from wfmon.core.clock import SystemClock
from wfmon.serve import tls
from wfmon.serve.limits import Limits


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


@pytest.fixture
def h2(certificate):
    """Serve an application and give a client of it."""

    @contextlib.contextmanager
    def start(app, **options):
        with serve(app, certificate=certificate, **options) as listener, connect(listener, certificate, "h2") as sock:
            assert sock.selected_alpn_protocol() == "h2"
            client = H2Client(sock)
            client.listener = listener
            yield client

    return start


def tell(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Host", environ["HTTP_HOST"]), ("Connection", "close"), ("Server", "mine")])
    keys = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "wsgi.url_scheme", "SERVER_PROTOCOL", "HTTP_COOKIE")
    return ["|".join([*(environ.get(key, "-") for key in keys), str(len(body))]).encode("latin-1")]


def test_a_request_is_told_to_the_application_as_any_other(h2):
    with h2(tell) as client:
        status, headers, body = client.fetch("/caf%C3%A9?q=1", ("cookie", "a=1"), ("cookie", "b=2"))
    assert (status, headers["x-host"]) == (200, "127.0.0.1:1")
    assert body == "GET|/café|q=1|https|HTTP/2|a=1; b=2|0".encode()
    assert "connection" not in headers
    assert "server" not in headers
    assert headers["date"].endswith(" GMT")


def test_another_request_is_answered_while_an_event_stream_runs_beside_it(h2):
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        if environ["PATH_INFO"] == "/short":
            return [b"beside"]
        return events()

    def events():
        try:
            n = 0
            while True:
                yield f"data: {n}\n\n".encode()
                n += 1
                closed.wait(0.005)
        finally:
            closed.set()

    with h2(app) as client:
        stream = client.ask("/sse")
        assert client.until(lambda: b"data: 3\n\n" in client.bodies.get(stream, b""))
        for _ in range(3):
            assert client.fetch("/short")[2] == b"beside"
        before = len(client.bodies[stream])
        assert client.until(lambda: len(client.bodies[stream]) > before)
        assert not client.has(StreamEnded, stream)
        client.h2.reset_stream(stream)
        client.flush()
        assert closed.wait(3)


def test_a_large_answer_keeps_to_the_windows_and_arrives_whole(h2):
    answer = bytes(range(256)) * 8192

    def large(environ, start_response):
        start_response("200 OK", [])
        return [answer]

    with h2(large) as client:
        assert client.fetch("/")[2] == answer


def test_a_body_of_several_windows_is_read_whole(h2):
    with h2(tell, limits=Limits()) as client:
        stream = client.ask("/", method="POST", end=False)
        left = 500_000
        while left:
            size = min(left, client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size)
            if size == 0:
                assert client.until(lambda: client.h2.local_flow_control_window(stream) > 0)
                continue
            client.h2.send_data(stream, bytes(size))
            left -= size
            client.flush()
        client.h2.end_stream(stream)
        assert client.until(lambda: client.has(StreamEnded, stream))
        assert client.bodies[stream].endswith(b"|500000")


def test_an_upload_over_the_cap_is_refused_before_it_is_sent(h2):
    with h2(tell) as client:
        stream = client.ask("/", ("content-length", "1048577"), method="POST", end=False)
        assert client.until(lambda: client.has(StreamReset, stream))
        assert client.head(stream)[0] == 413
        assert b'"status": 413' in client.bodies[stream]
        assert client.reset_code(stream) == ErrorCodes.NO_ERROR
        assert client.fetch("/")[0] == 200


def test_an_upload_without_a_length_is_cut_off_at_the_cap(h2):
    with h2(tell, limits=Limits()) as client:
        stream = client.ask("/", method="POST", end=False)
        sent = 0
        while not client.has(StreamReset, stream) and sent < 3 << 20:
            size = min(client.h2.local_flow_control_window(stream), 16_384)
            if size:
                client.h2.send_data(stream, bytes(size))
                sent += size
            client.until(lambda: client.h2.local_flow_control_window(stream) > 0 or client.has(StreamReset, stream))
        assert client.head(stream)[0] == 413
        assert sent <= (1 << 20) + 2 * 65_535


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_answers_without_a_body_end_with_their_head(h2, method, status):
    closed = threading.Event()

    def endless(environ, start_response):
        start_response(status, [("X-One", "1")])
        try:
            while True:
                yield b"tick"
        finally:
            closed.set()

    with h2(endless) as client:
        answer, headers, body = client.fetch("/", method=method)
        assert (answer, headers["x-one"], body) == (int(status[:3]), "1", b"")
        assert not client.has(DataReceived)
        assert closed.wait(2)


def test_an_exception_before_the_head_is_a_500_and_after_it_a_reset(h2):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/early":
            raise ValueError("early")
        start_response("200 OK", [])
        yield b"half"
        raise ValueError("late")

    errors = serving.Errors()
    with h2(app, errors=errors) as client:
        assert client.fetch("/early")[0] == 500
        stream = client.ask("/late")
        assert client.until(lambda: client.has(StreamReset, stream))
        assert client.reset_code(stream) == ErrorCodes.INTERNAL_ERROR
        assert client.bodies[stream] == b"half"
        assert not client.has(StreamEnded, stream)
    assert [(where, str(error)) for where, error in errors] == [("GET /early", "early"), ("GET /late", "late")]


@pytest.mark.parametrize("line", [("Bad name", "x"), ("X", "a\r\nSet-Cookie: b"), ("X", "\u20ac")])
def test_a_header_that_cannot_be_is_the_applications_error(h2, line):
    def app(environ, start_response):
        start_response("200 OK", [line])
        return [b"ok"]

    errors = serving.Errors()
    with h2(app, errors=errors) as client:
        assert client.fetch("/")[0] == 500
    assert [where for where, _ in errors] == ["GET /"]


def test_the_caps_are_advertised(h2):
    with h2(tell) as client:
        client.fetch("/")
        settings = client.h2.remote_settings
        assert settings.max_concurrent_streams == 32
        assert settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 32_768
        assert settings.enable_connect_protocol == 0


def test_a_stream_over_the_bound_is_refused_and_the_others_go_on(h2):
    go = threading.Event()

    def waits(environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            assert go.wait(5)
        start_response("200 OK", [])
        return [b"ok"]

    with h2(waits) as client:
        streams = [client.ask("/wait") for _ in range(33)]  # sent before our settings are read
        assert client.until(lambda: client.has(StreamReset, streams[-1]))
        assert client.reset_code(streams[-1]) == ErrorCodes.REFUSED_STREAM
        go.set()
        assert client.until(lambda: all(client.has(StreamEnded, stream) for stream in streams[:-1]))
        assert client.fetch("/")[2] == b"ok"


def test_streams_and_connections_share_one_bound(h2):
    go = threading.Event()

    def waits(environ, start_response):
        assert go.wait(5)
        start_response("200 OK", [])
        return [b"ok"]

    with h2(waits, max_connections=3) as client:
        streams = [client.ask("/") for _ in range(3)]
        assert client.until(lambda: client.has(StreamReset, streams[2]))
        go.set()
        assert client.until(lambda: all(client.has(StreamEnded, stream) for stream in streams[:2]))


def test_a_websocket_opens_over_http11_beside_an_http2_connection(h2, certificate):
    import simple_websocket
    from flask import Flask
    from flask_sock import Sock

    app = Flask(__name__)
    app.get("/", endpoint="page")(lambda: "page")
    Sock(app).route("/ws")(lambda ws: ws.send(ws.receive()) or ws.receive(timeout=5))
    with h2(app) as client:
        assert client.fetch("/")[2] == b"page"
        context = serving.client_context(certificate)
        socket = simple_websocket.Client(
            f"wss://127.0.0.1:{client.listener.port}/ws", ssl_context=context, thread_class=DAEMON
        )
        socket.send("hello")
        assert socket.receive(timeout=5) == "hello"
        assert client.fetch("/")[2] == b"page"
        socket.close()


@pytest.mark.parametrize("method", ["CONNECT"])
def test_a_request_without_a_path_is_refused(h2, method):
    with h2(tell) as client:
        stream = client.h2.get_next_available_stream_id()
        client.h2.config.validate_outbound_headers = False
        client.h2.send_headers(stream, [(":method", method), (":authority", "127.0.0.1")], end_stream=True)
        client.until(lambda: client.has(StreamEnded, stream) or client.ended)
        assert client.goaway() == ErrorCodes.PROTOCOL_ERROR or client.head(stream)[0] == 400


def test_h2_and_cryptography_stay_out_of_a_process_that_does_not_speak_tls():
    code = "import sys, wfmon.serve.listener, wfmon.serve.tls; print({'h2', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
