"""Clients that stall, drip, vanish or come in numbers, over HTTP/1.1."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import replace

import pytest
import simple_websocket
from flask import Flask, request
from flask_sock import Sock

from tests.kit import serving
from tests.kit.serving import DAEMON, PATIENT, SHORT, WELL_BEFORE_S, connect, eventually, response
from tests.kit.serving import serving as serve
from wfmon.core.clock import SystemClock
from wfmon.serve import tls

pytestmark = pytest.mark.faults


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def certificate(request, made):
    return made if request.param else None


def hello(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Endless:
    """An event stream that tells when it was closed."""

    def __init__(self, chunk: bytes = b"data: x\n\n", pause: float = 0.005) -> None:
        self.closed = threading.Event()
        self._chunk, self._pause = chunk, pause

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return self._stream()

    def _stream(self):
        try:
            while True:
                yield self._chunk
                self.closed.wait(self._pause)
        finally:
            self.closed.set()


def seconds_until_closed(client) -> float:
    began = time.monotonic()
    serving.all_of(client)
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "half a request"])
def test_a_half_open_request_is_closed_after_the_silence(certificate, sent):
    with (
        serve(hello, certificate=certificate, limits=SHORT) as listener,
        connect(listener, certificate) as client,
    ):
        client.sendall(sent)
        assert 0.2 < seconds_until_closed(client) < WELL_BEFORE_S
        assert eventually(lambda: listener.open_connections == 0)


def test_a_client_that_never_begins_its_tls_handshake_holds_up_nobody(made):
    limits = replace(PATIENT, handshake_s=SHORT.handshake_s)
    with serve(hello, certificate=made, limits=limits) as listener, connect(listener) as silent:
        assert seconds_until_closed(silent) < WELL_BEFORE_S
    with serve(hello, certificate=made) as listener, connect(listener), connect(listener, made) as client:
        client.sendall(serving.request("GET /"))
        assert response(client)[2] == b"hello"


def test_a_head_that_drips_is_cut_off_by_the_total_and_told_so(certificate):
    limits = replace(SHORT, handshake_s=5, silence_s=0.3, head_s=0.5)
    with serve(hello, certificate=certificate, limits=limits) as listener, connect(listener, certificate) as client:
        client.settimeout(0.1)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < WELL_BEFORE_S:
            client.sendall(b"G")  # never silent for as long as silence_s
            with contextlib.suppress(TimeoutError):
                answer = client.recv(1000)
        assert time.monotonic() - began > 0.4
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_tls_record_that_drips_does_not_reset_the_patience(made):
    limits = replace(SHORT, head_s=0.5)
    with serve(hello, certificate=made, limits=limits) as listener:
        raw = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
        incoming, outgoing = tls.ssl.MemoryBIO(), tls.ssl.MemoryBIO()
        client = serving.client_context(made).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                client.do_handshake()
                break
            except tls.ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65_536))
        raw.sendall(outgoing.read())
        client.write(serving.request("GET /"))
        taken = False
        with raw, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in outgoing.read():
                raw.sendall(bytes([byte]))
                time.sleep(0.05)
            taken = True
        assert not taken


@pytest.mark.parametrize("drip", [False, True], ids=["stalls", "drips"])
def test_a_body_that_stalls_or_drips_is_a_408(drip):
    app = Flask(__name__)
    app.post("/")(lambda: str(len(request.get_data())))
    with serve(app, limits=SHORT) as listener, connect(listener) as client:
        client.sendall(serving.request("POST /", "Content-Length: 1000"))
        client.settimeout(0.1)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < WELL_BEFORE_S:
            if drip:
                client.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_breaks_off_its_upload_is_no_error_of_ours():
    reached = threading.Event()
    app = Flask(__name__)

    @app.post("/")
    def upload():
        reached.set()
        return str(len(request.get_data()))

    with serve(app) as listener:
        with connect(listener) as client:
            client.sendall(serving.request("POST /", "Content-Length: 1000", body=b"half"))
            assert reached.wait(3)
        assert eventually(lambda: listener.open_connections == 0)


def test_an_idle_kept_alive_connection_is_closed():
    limits = replace(PATIENT, keep_alive_s=0.4)
    with serve(hello, limits=limits) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        assert response(client)[0] == 200
        assert 0.3 < seconds_until_closed(client) < WELL_BEFORE_S


def test_one_connection_too_many_gets_503_and_the_next_one_is_served_again():
    refused = []
    with serve(hello, max_connections=2, on_refusal=refused.append) as listener:
        with connect(listener) as first, connect(listener) as second:
            for client in (first, second):
                client.sendall(serving.request("GET /"))
                assert response(client)[0] == 200
            with connect(listener) as third:
                status, headers, body = response(third)
                assert (status, headers["connection"]) == (503, "close")
                assert b"too many connections" in body
        assert refused == ["connections"]
        assert eventually(lambda: listener.open_connections == 0)
        with connect(listener) as client:
            client.sendall(serving.request("GET /"))
            assert response(client)[0] == 200


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_stream_is_closed_when_its_client_is_gone(certificate, how):
    stream = Endless()
    with serve(stream, certificate=certificate) as listener:
        client = connect(listener, certificate)
        client.sendall(serving.request("GET /"))
        assert b"200 OK" in client.recv(1000)
        if how == "resets":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert stream.closed.wait(2)
        assert eventually(lambda: listener.open_connections == 0)


def test_a_stream_is_closed_when_its_client_stops_reading(certificate):
    stream = Endless(bytes(65_536), 0.0)
    limits = replace(PATIENT, send_s=0.3)
    with serve(stream, certificate=certificate, limits=limits) as listener, connect(listener, certificate) as client:
        began = time.monotonic()
        client.sendall(serving.request("GET /"))
        assert stream.closed.wait(20)
        assert time.monotonic() - began > 0.25
        assert eventually(lambda: listener.open_connections == 0)


def test_a_websocket_client_that_stops_reading_is_freed_and_makes_no_500(certificate, caplog):
    ended = []
    app = Flask(__name__)
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 5}

    def push(ws):
        try:
            while True:
                ws.send("x" * 65_536)
        except simple_websocket.ConnectionClosed as error:
            ended.append(error)
            raise

    Sock(app).route("/ws")(push)
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    limits = replace(PATIENT, send_s=0.3)
    with serve(app, certificate=certificate, limits=limits) as listener, connect(listener, certificate) as client:
        client.sendall(serving.request("GET /ws", *upgrade, key))
        assert b"101" in client.recv(1000)
        assert eventually(lambda: listener.open_connections == 0)
    assert len(ended) == 1
    assert caplog.records == []


def test_a_websocket_client_that_vanishes_ends_the_handler(certificate):
    ended = threading.Event()
    app = Flask(__name__)

    def wait(ws):
        try:
            ws.receive()
        finally:
            ended.set()

    Sock(app).route("/ws")(wait)
    scheme, context = ("wss", serving.client_context(certificate)) if certificate else ("ws", None)
    with serve(app, certificate=certificate) as listener:
        client = simple_websocket.Client(
            f"{scheme}://127.0.0.1:{listener.port}/ws", ssl_context=context, thread_class=DAEMON
        )
        client.sock.shutdown(socket.SHUT_RDWR)
        assert ended.wait(3)
        assert eventually(lambda: listener.open_connections == 0)


def test_frames_sent_before_the_upgrade_is_answered_are_refused():
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    with serve(hello) as listener, connect(listener) as client:
        client.sendall(
            serving.request("GET /ws", *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", body=b"\x81\x80early")
        )
        assert response(client)[0] == 400


def test_garbage_where_tls_was_expected_ends_only_its_own_connection(made):
    with serve(hello, certificate=made) as listener:
        with connect(listener) as client:
            client.sendall(b"\x16\x03\x01\x00\x05garbage")
            serving.all_of(client)
        with connect(listener, made) as client:
            client.sendall(serving.request("GET /"))
            assert response(client)[2] == b"hello"


def test_when_descriptors_run_out_the_listener_says_so_and_recovers(monkeypatch):
    errors = serving.Errors()
    with serve(hello, errors=errors) as listener:
        real, failed = listener._socket, threading.Event()

        class OutOfDescriptors:
            def accept(self):
                if failed.is_set():
                    return real.accept()
                failed.set()
                raise OSError(24, "Too many open files")

            def fileno(self):
                return real.fileno()

            def close(self):
                real.close()

        monkeypatch.setattr(listener, "_socket", OutOfDescriptors())
        with connect(listener) as client:
            client.sendall(serving.request("GET /"))
            assert response(client)[2] == b"hello"
    assert [(where, error.errno) for where, error in errors] == [("accept", 24)]


def test_a_hundred_clients_that_come_and_go_leave_no_thread_and_no_descriptor(certificate):
    with serve(hello, certificate=certificate) as listener:
        for n in range(100):
            with connect(listener, certificate) as client:
                if n % 3:
                    client.sendall(serving.request("GET /") * (n % 3))
                if n % 3 and n % 2:
                    client.recv(10)
        assert eventually(lambda: listener.open_connections == 0)
