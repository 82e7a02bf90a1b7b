"""HTTP/1.1 on one connection: keep-alive, pipelining, streamed responses, and the upgrade to a WebSocket.

Framing is done by h11 (a dependency of flask-sock through wsproto), which rejects what request smuggling relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

import h11
from simple_websocket import ConnectionClosed

from wfmon.serve.transport import ClientGone, Transport
from wfmon.serve.wsgi import Headers, MalformedRequest, OnError, RequestBody, environ, examine, refuse, run

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wfmon.core.clock import Clock
    from wfmon.serve.limits import Limits

# MIGHT_SWITCH_PROTOCOL: fully read; h11 waits for our response to its Upgrade header.
_REQUEST_READ = (h11.DONE, h11.MUST_CLOSE, h11.MIGHT_SWITCH_PROTOCOL)  # type: ignore[attr-defined]


class Http1Connection:
    """Serves one connection in the calling thread, request after request, until one side closes it."""

    def __init__(
        self, app: WSGIApplication, transport: Transport, clock: Clock, limits: Limits, on_error: OnError
    ) -> None:
        self._app = app
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._on_error = on_error
        self._stopping = False
        self.idle = True
        """Between two requests: closing now loses nothing."""

    def serve(self) -> float:
        """Serve until the connection ends. Returns how many seconds the client gets to read before it is closed."""
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        first_byte_s = self._limits.silence_s
        while not self._stopping:
            self.idle = True
            exchange = _Exchange(http, self._transport, self._clock, self._limits)
            try:
                request = exchange.head(first_byte_s)
            except MalformedRequest as refused:
                refuse(exchange, "GET", refused)
                return self._limits.linger_s
            if request is None:
                return 0.0
            self.idle = False
            self._answer(exchange, request)
            if exchange.taken or not exchange.reusable():
                return self._limits.linger_s
            http.start_next_cycle()
            first_byte_s = self._limits.keep_alive_s
        return 0.0

    def stop(self) -> None:
        """Serve no further request after the current one."""
        self._stopping = True

    def _answer(self, exchange: _Exchange, request: h11.Request) -> None:
        method = request.method.decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        target = request.target.decode("latin-1")
        refused = examine(target, headers, self._limits)
        if refused is not None:
            refuse(exchange, method, refused)
            return
        env = environ(
            method=method,
            target=target,
            headers=headers,
            scheme="https" if self._transport.secure else "http",
            protocol="HTTP/" + request.http_version.decode("latin-1"),
            peer=self._transport.peer,
            local=self._transport.local,
            body=exchange.body,
        )
        if env.get("HTTP_UPGRADE", "").lower() == "websocket":
            if exchange.early():
                refuse(
                    exchange,
                    method,
                    MalformedRequest(400, "a WebSocket client must wait for the response before it sends"),
                )
                return
            env["werkzeug.socket"] = UpgradedSocket(self._transport, exchange.take)
        run(self._app, env, exchange, self._on_error)


class _Exchange:
    """One request and its response (a Sink)."""

    def __init__(self, http: h11.Connection, transport: Transport, clock: Clock, limits: Limits) -> None:
        self._http = http
        self._transport = transport
        self._clock = clock
        self._limits = limits
        self._held = b""  # the head, sent together with the first bytes of the body
        self._streamed = False
        self._body_deadline_ns: int | None = None
        self.body = RequestBody(self._pull, limits.body_bytes)
        self.taken = False

    def head(self, first_byte_s: float) -> h11.Request | None:
        """Return the next request's head; None if the client closed or sent nothing. Raises MalformedRequest."""
        deadline_ns: int | None = None
        while True:
            event = self._event()
            if isinstance(event, h11.Request):
                return event
            if isinstance(event, h11.ConnectionClosed):
                return None
            if deadline_ns is None and self._http.trailing_data[0]:
                deadline_ns = self._clock.mono_ns() + int(self._limits.head_s * 1e9)
            try:
                self._receive(first_byte_s if deadline_ns is None else self._limits.silence_s, deadline_ns)
            except TimeoutError:
                if deadline_ns is None:
                    return None
                raise MalformedRequest(408, "the head of the request took too long to arrive") from None
            except ConnectionError:
                return None

    def early(self) -> bool:
        """Return whether bytes arrived after the request: the WebSocket would never see them."""
        return not self._drained() or bool(self._http.trailing_data[0])

    def take(self) -> None:
        """Mark the socket as taken over by the application (WebSocket)."""
        self.taken = True

    def start(self, status: int, reason: str, headers: Headers, *, bodiless: bool) -> None:
        length_known = bodiless or any(name.lower() == "content-length" for name, _ in headers)
        self._streamed = not length_known
        lines = [*headers]
        if not any(name.lower() == "date" for name, _ in lines):
            lines.append(("Date", formatdate(self._clock.now_ms() / 1000, usegmt=True)))
        if not self._drained():
            lines.append(("Connection", "close"))
        self._held = (
            self._http.send(
                h11.Response(
                    status_code=status,
                    reason=reason.encode("latin-1"),
                    headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines],
                )
            )
            or b""
        )

    def send(self, data: bytes) -> None:
        if self._streamed and not self._held and self._transport.peer_closed():
            raise ClientGone("the client has closed")
        self._transmit(self._http.send(h11.Data(data=data)) or b"")

    def finish(self) -> None:
        self._transmit(self._http.send(h11.EndOfMessage()) or b"")

    def abort(self) -> None:
        self._http.send_failed()
        self._transport.shutdown()

    def reusable(self) -> bool:
        """Return whether another request may follow on this connection."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _transmit(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        if data:
            self._transport.sendall(data)

    def _event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise MalformedRequest(error.error_status_hint, f"malformed HTTP/1.1: {error}") from error

    def _receive(self, silence_s: float, deadline_ns: int | None) -> None:
        """Pass one read from the client (b"" included) to h11. Raises TimeoutError, ConnectionError."""
        if deadline_ns is not None:
            silence_s = min(silence_s, (deadline_ns - self._clock.mono_ns()) / 1e9)
        self._http.receive_data(self._transport.recv(silence_s))

    def _pull(self) -> bytes:
        """Return the next piece of the request's body, b"" at its end."""
        if self._body_deadline_ns is None:
            self._body_deadline_ns = self._clock.mono_ns() + int(self._limits.body_s * 1e9)
        if self._http.they_are_waiting_for_100_continue:
            self._transmit(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        while self._http.their_state is h11.SEND_BODY:
            event = self._event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                break
            try:
                self._receive(self._limits.silence_s, self._body_deadline_ns)
            except TimeoutError:
                raise MalformedRequest(408, "the body of the request took too long to arrive") from None
        return b""

    def _drained(self) -> bool:
        """Return whether the request is fully read, after discarding what has arrived of an unread body."""
        try:
            while self._http.their_state is h11.SEND_BODY and self._event() is not h11.NEED_DATA:
                pass
        except MalformedRequest:
            return False
        return self._http.their_state in _REQUEST_READ


class UpgradedSocket:
    """The socket that simple-websocket finds in the environ under `werkzeug.socket`.

    `send` sends everything or raises. It may be called from several threads, also under TLS.
    """

    def __init__(self, transport: Transport, take: Callable[[], None]) -> None:
        self._transport = transport
        self._take = take
        self._timeout_s: float | None = None

    def send(self, data: bytes) -> int:
        self._take()
        try:
            self._transport.sendall(data)
        except OSError as error:
            raise WebSocketGone(str(error)) from error
        return len(data)

    def recv(self, _size: int) -> bytes:
        """Return the bytes of one read (see Transport.recv), b"" at the end."""
        return self._transport.recv(self._timeout_s)

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of `recv`. A `send` always has the listener's timeout."""
        self._timeout_s = seconds

    def fileno(self) -> int:
        return self._transport.fileno()

    def close(self) -> None:
        """End both directions; the thread of the connection frees the descriptor."""
        self._transport.shutdown()


class WebSocketGone(ClientGone, ConnectionClosed):  # type: ignore[misc]
    """The client is gone. simple-websocket's reading thread expects an OSError; flask-sock treats ConnectionClosed in
    the handler as a normal end. A bare BrokenPipeError would be a 500 with a traceback.
    """

    def __init__(self, message: str) -> None:
        ConnectionClosed.__init__(self, message=message)
