"""HTTP/2 on one connection: one thread per stream, so that an event stream never delays another request.

Imported only when a TLS client negotiated `h2`. The h2 library does the protocol; this adds threads, timeouts, limits.
"""

from __future__ import annotations

import contextlib
import threading
from email.utils import formatdate
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError, StreamClosedError

from wfmon.serve.http2_limits import FLOOD_LIMITS, HEADER_TABLE_BYTES, FloodCounter, new_connection, new_settings
from wfmon.serve.http2_stream import Stream
from wfmon.serve.transport import ClientGone, Transport
from wfmon.serve.wsgi import Headers, OnError, environ, examine, refuse, run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wfmon.core.clock import Clock
    from wfmon.serve.limits import Limits
    from wfmon.serve.slots import Slots

_CHUNK_BYTES = 65_536


class Http2Connection:
    """Serves one connection: the calling thread reads, each stream's thread runs the application and writes.

    `_state` guards h2's state machine, the streams and `_out`, and is never held while waiting for the network. The
    sending thread holds `_write`, so bytes leave in the order in which h2 produced them.
    """

    def __init__(
        self,
        app: WSGIApplication,
        transport: Transport,
        clock: Clock,
        limits: Limits,
        on_error: OnError,
        slots: Slots,
    ) -> None:
        """`slots` bounds the listener's threads; each stream takes one."""
        self._app = app
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._on_error = on_error
        self._slots = slots
        self._state = threading.Condition()
        self._write = threading.Lock()
        self._out = bytearray()
        self._streams: dict[int, Stream] = {}
        """Streams with a live thread: a stream that was reset counts until the application returns."""
        self._opened: dict[int, tuple[Stream, Headers]] = {}
        """Streams whose thread is not started yet: one reset within the read that opened it never costs a thread."""
        self._refusing = False
        self._over = False
        """The connection has ended or is about to: h2 accepts nothing more."""
        self._last_stream_ns: int | None = None
        self._began_ns = clock.mono_ns()
        self._flood = FloodCounter(clock, limits)
        self._h2 = new_connection(limits)

    @property
    def idle(self) -> bool:
        """No stream is open: closing now loses nothing."""
        return not self._streams

    def serve(self) -> float:
        """Serve until the connection ends; returns for how many seconds to let the client read before closing."""
        try:
            with self._state:
                self._h2.initiate_connection()
                # The bound is advertised, but h2 itself would end the connection over one stream too many, which a
                # client may open in good faith before it reads our settings. We refuse that stream, and count it.
                self._h2.local_settings = new_settings(self._limits, self._limits.streams + self._limits.flood_resets)
                self._collect()
            self._flush(wait=False)
            while (patience_s := self._patience_s()) > 0:
                try:
                    data = self._transport.recv(patience_s)
                except TimeoutError:
                    continue
                if not data:
                    return 0.0
                if not self._receive(data):
                    break
            else:
                self._goodbye()
            self._flush_last()
            return self._limits.linger_s
        except ConnectionError:
            return 0.0
        finally:
            self._end()

    def stop(self) -> None:
        """Open no further stream."""
        with self._state:
            self._refusing = True

    # Called by a stream's thread.

    def send_headers(self, stream: Stream, headers: Headers, *, end: bool) -> None:
        """Queue the response's head; sent with the first data, or now if `end`. Raises ClientGone."""
        if not any(name == "date" for name, _ in headers):
            headers.append(("date", formatdate(self._clock.now_ms() / 1000, usegmt=True)))
        with self._state:
            self._check(stream)
            self._h2.send_headers(stream.id, headers, end_stream=end)
            if end:
                self._close(stream)
            self._collect()
        if end:
            self._flush(wait=True)

    def send_data(self, stream: Stream, data: memoryview) -> int:
        """Send as much as flow control allows, waiting for it. Returns the byte count. Raises ClientGone."""
        deadline_ns = self._clock.mono_ns() + int(self._limits.send_s * 1e9)
        stalled = False
        with self._state:
            while True:
                self._check(stream)
                window = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
                size = min(window, len(data), _CHUNK_BYTES)
                if size > 0:
                    self._h2.send_data(stream.id, bytes(data[:size]))
                    break
                left_s = (deadline_ns - self._clock.mono_ns()) / 1e9
                if left_s <= 0:
                    self._reset(stream.id, ErrorCodes.CANCEL)
                    stream.closed = stalled = True
                    break
                self._state.wait(left_s)
            self._collect()
        self._flush(wait=not stalled)
        if stalled:
            raise ClientGone(f"the stream's flow-control window stayed closed for {self._limits.send_s:g} s")
        return size

    def end(self, stream: Stream) -> None:
        """Complete the response. Raises ClientGone."""
        with self._state:
            if stream.closed:  # the head was the whole response
                return
            self._check(stream)
            self._h2.end_stream(stream.id)
            self._close(stream)
            self._collect()
        self._flush(wait=True)

    def reset(self, stream: Stream) -> None:
        """Abort the response. Sends nothing if the stream has already ended."""
        with self._state:
            if stream.closed or stream.gone or self._over:
                return
            stream.closed = True
            self._reset(stream.id, ErrorCodes.INTERNAL_ERROR)
            self._collect()
        self._flush(wait=False)

    def next_piece(self, stream: Stream, timeout_s: float) -> bytes | None:
        """Return the next piece of the request's body, b"" at its end, None after `timeout_s`. Raises ClientGone."""
        with self._state:
            if not self._state.wait_for(lambda: stream.pieces or stream.request_ended or stream.gone, timeout_s):
                return None
            if not stream.pieces:
                if stream.request_ended:
                    return b""
                raise ClientGone("the client has reset the stream")
            data, size = stream.pieces.popleft()
            if not self._over:
                self._h2.acknowledge_received_data(size, stream.id)
                self._collect()
        self._flush(wait=False)
        return data

    # Called by the reading thread.

    def _patience_s(self) -> float:
        """Return how long the client may stay silent from now; at 0 or less the connection is closed."""
        with self._state:
            if self._streams:
                return self._limits.keep_alive_s
            since_ns, patience_s = self._began_ns, self._limits.head_s
            if self._last_stream_ns is not None:
                since_ns, patience_s = self._last_stream_ns, self._limits.keep_alive_s
            return patience_s - (self._clock.mono_ns() - since_ns) / 1e9

    def _receive(self, data: bytes) -> bool:
        """Process received bytes and start the streams they open. False if the connection must end (GOAWAY queued)."""
        with self._state:
            try:
                events = self._h2.receive_data(data)
            except ProtocolError:  # h2 has written the GOAWAY
                events, self._over = [], True
            bodies = sum(event.flow_controlled_length for event in events if isinstance(event, DataReceived))
            allowed = self._flood.allows("flood_bytes", len(data) - bodies)
            if not allowed or not all(self._take(event) for event in events):
                self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                self._over = True
            self._collect()
            opened, self._opened = self._opened, {}
            self._state.notify_all()
            unread = len(self._out) > self._limits.unsent_bytes
        for stream, headers in opened.values():
            if self._over:
                self._forget(stream)
            else:
                self._spawn(stream, headers)
        if unread:
            raise ClientGone("the client sends requests and does not read the responses")
        self._flush(wait=False)
        return not self._over

    def _spawn(self, stream: Stream, headers: Headers) -> None:
        try:
            threading.Thread(target=self._answer, args=(stream, headers), name="wfmon-h2-stream", daemon=True).start()
        except RuntimeError as error:  # the system has no more threads
            self._on_error("http/2 stream", error)
            self.reset(stream)
            self._forget(stream)

    def _take(self, event: Event) -> bool:
        """Apply one event. False if it exceeds the limit of its kind."""
        kind = FLOOD_LIMITS.get(type(event))
        if kind is not None and not self._flood.allows(kind):
            return False
        if isinstance(event, RequestReceived):
            return self._open(event)
        if isinstance(event, RemoteSettingsChanged):
            encoder = self._h2.encoder
            encoder.header_table_size = min(encoder.header_table_size, HEADER_TABLE_BYTES)
            return True
        if isinstance(event, ConnectionTerminated):  # after a GOAWAY h2 sends nothing, not even responses in progress
            self._over = True
            return True
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            if stream is not None and not stream.closed and event.data:
                stream.pieces.append((event.data, event.flow_controlled_length))
                return True
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return bool(event.data) or event.stream_ended is not None or self._flood.allows("flood_empty")
        if stream is not None:
            stream.request_ended = stream.request_ended or isinstance(event, StreamEnded)
            stream.gone = stream.gone or isinstance(event, StreamReset)
            if stream.gone and stream.id in self._opened:
                del self._opened[stream.id], self._streams[stream.id]
                self._slots.release()
        return True

    def _open(self, event: RequestReceived) -> bool:
        if self._refusing or len(self._streams) >= self._limits.streams or not self._slots.acquire():
            self._reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return self._flood.allows("flood_refusals")
        stream = Stream(self, event.stream_id, self._clock, self._limits)
        self._streams[stream.id] = stream
        self._last_stream_ns = self._clock.mono_ns()
        self._opened[stream.id] = stream, [(_text(name), _text(value)) for name, value in event.headers]
        return True

    def _answer(self, stream: Stream, headers: Headers) -> None:
        """Run the application for one request; the target of the stream's thread."""
        try:
            pseudo = {name: value for name, value in headers if name.startswith(":")}
            plain = [(name, value) for name, value in headers if not name.startswith(":") and name != "host"]
            host = pseudo.get(":authority") or next((value for name, value in headers if name == "host"), "")
            method, target = pseudo.get(":method", ""), pseudo.get(":path", "")
            refused = examine(target, plain, self._limits)
            if refused is not None:
                refuse(stream, method, refused)
                return
            env = environ(
                method=method,
                target=target,
                headers=[("host", host), *plain],
                scheme="https",
                protocol="HTTP/2",
                peer=self._transport.peer,
                local=self._transport.local,
                body=stream.body,
            )
            run(self._app, env, stream, self._on_error)
        except ClientGone:
            self.reset(stream)
        finally:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        with self._state:
            del self._streams[stream.id]
            self._last_stream_ns = self._clock.mono_ns()
            unread = sum(size for _, size in stream.pieces)
            if unread and not self._over:
                self._h2.acknowledge_received_data(unread, stream.id)
                self._collect()
        self._slots.release()
        with contextlib.suppress(ClientGone):  # the reading thread notices by itself
            self._flush(wait=False)

    def _goodbye(self) -> None:
        with self._state:
            self._h2.close_connection()
            self._over = True
            self._collect()

    def _flush_last(self) -> None:
        """Send the GOAWAY after what another thread is still sending; the connection is closed next."""
        with self._write, self._state:
            data, self._out = bytes(self._out), bytearray()
        self._transport.sendall(data)

    def _end(self) -> None:
        """Wake every stream's thread; whatever it sends now raises ClientGone."""
        with self._state:
            self._over = True
            for stream in self._streams.values():
                stream.gone = True
            self._state.notify_all()

    def _check(self, stream: Stream) -> None:
        if stream.gone or stream.closed or self._over:
            raise ClientGone("the client has reset the stream")

    def _close(self, stream: Stream) -> None:
        """Mark the response as sent, and stop a request body still arriving (RFC 9113, 8.1)."""
        stream.closed = True
        if not stream.request_ended:
            self._reset(stream.id, ErrorCodes.NO_ERROR)

    def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        with contextlib.suppress(StreamClosedError):  # the client reset it in the same read that opened it
            self._h2.reset_stream(stream_id, code)

    def _collect(self) -> None:
        self._out += self._h2.data_to_send()

    def _flush(self, *, wait: bool) -> None:
        """Send pending bytes; without `wait`, a thread already sending takes them along. Raises ClientGone."""
        while self._out and self._write.acquire(blocking=wait):
            try:
                with self._state:
                    data, self._out = bytes(self._out), bytearray()
                self._transport.sendall(data)
            finally:
                self._write.release()


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode("latin-1")
