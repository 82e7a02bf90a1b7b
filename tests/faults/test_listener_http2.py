"""Clients that abuse HTTP/2: floods, stalls, bombs."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.kit.serving import PATIENT, WELL_BEFORE_S, H2Client, all_of, connect, eventually
from tests.kit.serving import serving as serve
from wfmon.core.clock import SystemClock
from wfmon.serve import tls

pytestmark = pytest.mark.faults


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


@pytest.fixture
def h2(certificate):
    @contextlib.contextmanager
    def start(app, **options):
        with serve(app, certificate=certificate, **options) as listener, connect(listener, certificate, "h2") as sock:
            client = H2Client(sock)
            client.listener = listener
            yield client

    return start


def ok(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]


def send_all(client, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the server may have had enough before the end
        client.sock.sendall(data)


def test_a_rapid_reset_ends_with_enhance_your_calm_and_few_threads(h2):
    most = [0]

    def count(environ, start_response):
        most[0] = max(most[0], sum(each.name == "wfmon-h2-stream" for each in threading.enumerate()))
        return ok(environ, start_response)

    with h2(count) as client:
        with contextlib.suppress(OSError):
            for _ in range(300):
                stream = client.ask("/")
                client.flush()  # two packets, so that some are at work when they are reset
                client.h2.reset_stream(stream, ErrorCodes.CANCEL)
                client.flush()
        client.until(lambda: client.goaway() is not None)
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
        assert client.until(lambda: client.ended) or client.ended
    assert most[0] <= 32


def test_a_hundred_resets_in_ten_seconds_are_still_borne(h2):
    with h2(ok) as client:
        for _ in range(100):
            stream = client.ask("/")
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()
        assert client.fetch("/")[2] == b"ok"


def test_streams_opened_beyond_the_bound_again_and_again_end_the_connection(h2):
    go = threading.Event()

    def waits(environ, start_response):
        assert go.wait(5)
        return ok(environ, start_response)

    with h2(waits) as client:
        client.h2.remote_settings.max_concurrent_streams = 1000
        client.h2.remote_settings.acknowledge()
        with contextlib.suppress(OSError):
            for _ in range(300):
                client.ask("/")
                client.flush()
        client.until(lambda: client.goaway() is not None)
        go.set()
        # Which one depends on how many come in one read: h2 has a bound of its own, above ours.
        assert client.goaway() in {ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.PROTOCOL_ERROR}


def test_resets_that_the_client_provokes_count_too(h2):
    """CVE-2025-8671: the client makes us reset, by a window that overflows."""
    go = threading.Event()

    def waits(environ, start_response):
        assert go.wait(5)
        return ok(environ, start_response)

    with h2(waits) as client:
        for _ in range(150):
            stream = client.ask("/")
            overflow = WindowUpdateFrame(stream, window_increment=2**31 - 1).serialize()
            send_all(client, client.h2.data_to_send() + overflow)
        client.until(lambda: client.goaway() is not None)
        go.set()
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


PING = PingFrame(0, opaque_data=b"12345678").serialize()
SETTINGS = SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 65_535}).serialize()
PONG = PingFrame(0, opaque_data=b"12345678", flags=["ACK"]).serialize()
UNKNOWN = ExtensionFrame(type=0xBE, stream_id=0, body=b"").serialize()


@pytest.mark.parametrize(
    ("frame", "borne"),
    [(PING, 100), (PONG, 100), (SETTINGS, 45), (UNKNOWN, 200)],
    ids=["ping", "pong", "settings", "unknown"],
)
def test_a_flood_of_frames_ends_with_enhance_your_calm(h2, frame, borne):
    with h2(ok) as client:
        assert client.fetch("/")[0] == 200
        send_all(client, frame * borne)
        assert client.fetch("/")[0] == 200
        send_all(client, frame * 20)
        client.until(lambda: client.goaway() is not None)
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_flood_of_frames_that_mean_nothing_to_a_server_ends_with_enhance_your_calm(h2):
    frame = AltSvcFrame(0, origin=b"a", field=b"b").serialize()
    with h2(ok, limits=replace(PATIENT, flood_bytes=4096)) as client:
        send_all(client, frame * (2000 // len(frame)))
        assert client.fetch("/")[0] == 200
        send_all(client, frame * (4000 // len(frame)))
        client.until(lambda: client.goaway() is not None)
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


def test_the_body_of_an_upload_is_no_flood(h2):
    def reads(environ, start_response):
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]

    with h2(reads, limits=replace(PATIENT, flood_bytes=20_000)) as client:
        for _ in range(10):
            stream = client.ask("/", method="POST", end=False)
            client.h2.send_data(stream, bytes(5000), end_stream=True)
            assert client.until(lambda stream=stream: client.bodies.get(stream) == b"5000")


def test_a_client_cannot_make_the_table_of_sent_headers_grow(h2):
    """Its SETTINGS_HEADER_TABLE_SIZE is an offer; a header of 8 KiB that it chooses would be kept a request."""

    def echoes(environ, start_response):
        start_response("200 OK", [("X-Echo", environ["PATH_INFO"])])
        return [b"ok"]

    with h2(echoes) as client:
        client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 1 << 30})
        for number in range(20):
            assert client.fetch(f"/{number:01000}")[0] == 200
        assert client.h2.decoder.header_table._current_size <= 4096


def test_a_flood_of_empty_data_ends_with_enhance_your_calm(h2):
    def reads(environ, start_response):
        environ["wsgi.input"].read()
        return ok(environ, start_response)

    with h2(reads) as client:
        stream = client.ask("/", method="POST", end=False)
        client.flush()
        send_all(client, DataFrame(stream).serialize() * 300)
        client.until(lambda: client.goaway() is not None)
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_flood_of_continuations_ends_the_connection(h2):
    with h2(ok) as client:
        client.fetch("/")
        block = client.h2.encoder.encode([("x", "y")])
        frames = HeadersFrame(3, block).serialize() + ContinuationFrame(3, b"").serialize() * 100
        send_all(client, frames)
        client.until(lambda: client.ended or client.goaway() is not None)
        assert client.goaway() in {ErrorCodes.PROTOCOL_ERROR, ErrorCodes.ENHANCE_YOUR_CALM}


def test_a_head_that_unpacks_to_more_than_the_cap_ends_the_connection(h2):
    with h2(ok) as client:
        client.fetch("/")
        many = [("x-bomb", "b" * 4000)] * 20  # a few bytes each once they are in the table
        client.ask("/", *many)
        client.until(lambda: client.goaway() is not None)
        assert client.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_client_that_asks_and_never_reads_the_answers_is_dropped(h2):
    limits = replace(PATIENT, flood_pings=10**9, flood_settings=10**9)
    with h2(ok, limits=limits) as client:
        with pytest.raises(OSError, match=r"reset|Broken pipe|EOF"):  # noqa: PT012 - which of them fails is the kernel's choice
            for _ in range(2000):
                client.sock.sendall(PING * 4096)
        assert eventually(lambda: client.listener.open_connections == 0)


class Stream:
    def __init__(self):
        self.closed = threading.Event()

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] != "/stream":
            return [b"ok"]
        return self._chunks()

    def _chunks(self):
        try:
            while True:
                yield bytes(16_384)
        finally:
            self.closed.set()


def test_a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on(h2):
    app = Stream()
    with h2(app, limits=replace(PATIENT, send_s=0.3)) as client:
        client.h2.increment_flow_control_window(1 << 20)  # the connection's; the stream's own stays at 65,535
        stream = client.ask("/stream")
        assert client.until(lambda: len(client.bodies.get(stream, b"")) == 65_535, reading=False)
        assert client.until(lambda: client.has(StreamReset, stream), reading=False)
        assert client.reset_code(stream) == ErrorCodes.CANCEL
        assert app.closed.wait(2)
        assert client.fetch("/")[2] == b"ok"


def test_a_client_that_opens_every_window_and_reads_nothing_is_freed(h2):
    app = Stream()
    with h2(app, limits=replace(PATIENT, send_s=0.3)) as client:
        client.h2.increment_flow_control_window(2**30)
        stream = client.ask("/stream")
        client.h2.increment_flow_control_window(2**30, stream)
        client.flush()
        assert app.closed.wait(20)
        assert eventually(lambda: client.listener.open_connections == 0)


@pytest.mark.parametrize("how", ["reset", "goaway", "close"])
def test_a_stream_is_closed_when_its_client_goes(h2, how):
    closed = threading.Event()

    def ticks():
        try:
            while True:
                yield b"tick"
                closed.wait(0.005)
        finally:
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", [])
        return ticks()

    with h2(app) as client:
        stream = client.ask("/")
        assert client.until(lambda: client.has(DataReceived, stream))
        if how == "reset":
            client.h2.reset_stream(stream)
        elif how == "goaway":
            client.h2.close_connection()
        if how == "close":
            client.close()
        else:
            client.flush()
        assert closed.wait(3)


def test_a_body_that_stalls_is_a_408(h2):
    def reads(environ, start_response):
        environ["wsgi.input"].read()
        return ok(environ, start_response)

    with h2(reads, limits=replace(PATIENT, silence_s=0.3)) as client:
        stream = client.ask("/", method="POST", end=False)
        assert client.until(lambda: client.has(ResponseReceived, stream))
        assert client.head(stream)[0] == 408


def test_a_connection_without_a_stream_is_closed_with_goaway_even_if_it_pings(h2):
    with h2(ok, limits=replace(PATIENT, keep_alive_s=0.4)) as client:
        assert client.fetch("/")[0] == 200
        began = time.monotonic()
        while client.goaway() is None and time.monotonic() - began < WELL_BEFORE_S:
            client.h2.ping(b"12345678")
            client.until(lambda: client.goaway() is not None, timeout=0.1)
        assert time.monotonic() - began > 0.3
        assert client.goaway() == ErrorCodes.NO_ERROR


def test_a_client_that_never_sends_its_preface_is_closed(certificate):
    limits = replace(PATIENT, silence_s=0.3, head_s=0.6)
    with serve(ok, certificate=certificate, limits=limits) as listener, connect(listener, certificate, "h2") as sock:
        began = time.monotonic()
        all_of(sock)
        assert 0.2 < time.monotonic() - began < WELL_BEFORE_S


def test_stop_is_quick_with_streams_open(h2):
    go = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        return iter(lambda: go.wait(0.01) or b"tick", None)

    with h2(app) as client:
        streams = [client.ask("/") for _ in range(5)]
        assert client.until(lambda: all(client.has(DataReceived, stream) for stream in streams))
        began = time.monotonic()
        assert client.listener.stop()
        assert time.monotonic() - began < WELL_BEFORE_S
        client.until(lambda: client.ended)
        assert client.ended
        assert not client.has(StreamEnded)
