"""A real listener on a free port, and clients that speak to it byte by byte."""

from __future__ import annotations

import contextlib
import functools
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from wfmon.core.clock import SystemClock
from wfmon.serve.limits import Limits
from wfmon.serve.listener import Listener
from wfmon.serve.tls import LocalCertificate, server_context

SHORT = Limits(
    handshake_s=0.3,
    silence_s=0.3,
    head_s=0.6,
    body_s=0.6,
    keep_alive_s=0.4,
    send_s=0.3,
    linger_s=0.2,
    accept_pause_s=0.01,
)
"""For tests that wait until the listener's patience ends."""
PATIENT = Limits(linger_s=0.2, accept_pause_s=0.01)
"""For all others: on a busy machine a client of ours may be silent for a second."""
WELL_BEFORE_S = 4.0
"""Sooner than the listener's ordinary patience would end: its short one did."""


DAEMON = functools.partial(threading.Thread, daemon=True)
"""For a WebSocket client's reader: a test that fails before it closes must not keep the whole run from ending."""


class Errors(list):
    """What the listener reported."""

    def __call__(self, where, error):
        self.append((where, error))


@contextlib.contextmanager
def serving(
    app, *, certificate: LocalCertificate | None = None, limits: Limits = PATIENT, **options
) -> Iterator[Listener]:
    """A started listener; afterwards it has stopped, its threads and descriptors are gone, and it reported nothing."""
    errors = options.pop("errors", None)
    context = server_context(certificate.cert_file, certificate.key_file, http2=True) if certificate else None
    reported = Errors() if errors is None else errors
    threads, descriptors = _threads(), _descriptors()
    listener = Listener(
        app,
        "127.0.0.1",
        0,
        clock=SystemClock(),
        on_error=reported,
        ssl_context=context,
        http2=context is not None,
        limits=limits,
        **options,
    )
    listener.start()
    try:
        yield listener
    finally:
        assert listener.stop(2.0)
    for thread in _threads() - threads:
        thread.join(2)
    assert _threads() == threads
    assert eventually(lambda: _descriptors() <= descriptors)  # a WebSocket client's own thread closes its socket
    assert errors is not None or reported == []


def eventually(true, timeout: float = 3.0) -> bool:
    """Wait for something that another thread or the kernel does and nobody announces."""
    deadline = time.monotonic() + timeout
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(true())


def _threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("wfmon-")}


def _descriptors() -> set[str]:
    result = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(each.readlink())
            if target.startswith("socket:"):
                result.add(target)
    return result


def connect(listener: Listener, certificate: LocalCertificate | None = None, alpn: str = "http/1.1") -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
    if certificate is None:
        return raw
    context = client_context(certificate)
    context.set_alpn_protocols([alpn])
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


def client_context(certificate: LocalCertificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.ca_file)


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode() + body


def response(sock: socket.socket, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One response, to its end; what follows stays unread only if nothing does (http.client buffers)."""
    answer = http.client.HTTPResponse(sock, method=method)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def all_of(sock: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65_536):
            parts.append(data)
    return b"".join(parts)


class H2Client:
    """A client that gives windows back by itself only while `reading`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.bodies: dict[int, bytes] = {}
        self.ended = False
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, path: str, *extra: tuple[str, str], method: str = "GET", end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "127.0.0.1:1"), *extra]
        self.h2.send_headers(stream, head, end_stream=end)
        return stream

    def until(self, done, timeout: float = 5.0, *, reading: bool = True) -> bool:
        """Read until `done()`; False if it never came true."""
        self.flush()
        while not done() and not self.ended:
            if not getattr(self.sock, "pending", lambda: 0)() and not select.select([self.sock], [], [], timeout)[0]:
                return False
            try:
                data = self.sock.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                break
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, DataReceived):
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    if reading:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            with contextlib.suppress(OSError):
                self.flush()
        return bool(done())

    def has(self, kind: type[Event], stream: int | None = None) -> bool:
        return any(isinstance(each, kind) and stream in {None, each.stream_id} for each in self.events)

    def fetch(self, path: str, *extra: tuple[str, str], method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        stream = self.ask(path, *extra, method=method)
        assert self.until(lambda: self.has(StreamEnded, stream))
        return (*self.head(stream), self.bodies.get(stream, b""))

    def head(self, stream: int) -> tuple[int, dict[str, str]]:
        headers = dict(
            next(e.headers for e in self.events if isinstance(e, ResponseReceived) and e.stream_id == stream)
        )
        return int(headers.pop(":status")), headers

    def goaway(self) -> int | None:
        return next((int(e.error_code) for e in self.events if isinstance(e, ConnectionTerminated)), None)

    def reset_code(self, stream: int) -> int | None:
        return next(
            (int(e.error_code) for e in self.events if isinstance(e, StreamReset) and e.stream_id == stream), None
        )

    def close(self) -> None:
        self.sock.close()
