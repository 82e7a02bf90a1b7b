"""One HTTP/2 stream: a request and its response (a Sink), in a thread of its own."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wfmon.serve.wsgi import Headers, MalformedRequest, RequestBody

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.serve.http2 import Http2Connection
    from wfmon.serve.limits import Limits


class Stream:
    """State of one stream. Fields are guarded by the connection's lock; methods are for the stream's thread."""

    def __init__(self, connection: Http2Connection, stream_id: int, clock: Clock, limits: Limits) -> None:
        self.id = stream_id
        self.pieces: deque[tuple[bytes, int]] = deque()
        """Pieces of the body with their flow-control size; bounded by the window we grant."""
        self.request_ended = False
        self.gone = False
        """The client reset the stream, or the connection ended."""
        self.closed = False
        """We sent the end of the response or a reset."""
        self._connection = connection
        self._clock = clock
        self._limits = limits
        self._body_deadline_ns: int | None = None
        self.body = RequestBody(self._pull, limits.body_bytes)
        self.taken = False

    def start(self, status: int, reason: str, headers: Headers, *, bodiless: bool) -> None:  # noqa: ARG002 - HTTP/2 has no reason phrase
        lines = [(":status", str(status)), *((name.lower(), value) for name, value in headers)]
        self._connection.send_headers(self, lines, end=bodiless)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._connection.send_data(self, view) :]

    def finish(self) -> None:
        self._connection.end(self)

    def abort(self) -> None:
        self._connection.reset(self)

    def _pull(self) -> bytes:
        now_ns = self._clock.mono_ns()
        if self._body_deadline_ns is None:
            self._body_deadline_ns = now_ns + int(self._limits.body_s * 1e9)
        patience_s = min(self._limits.silence_s, (self._body_deadline_ns - now_ns) / 1e9)
        piece = self._connection.next_piece(self, max(0.0, patience_s))
        if piece is None:
            raise MalformedRequest(408, "the body of the request took too long to arrive")
        return piece
