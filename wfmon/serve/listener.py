"""The listener: accepts connections on a loopback address and serves each in a thread (HTTP/1.1, HTTP/2, TLS).

Werkzeug's own server closes every connection after one response, so this uses the protocol libraries that come with
flask-sock (h11) and `--tls` (h2), under one application interface.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wfmon.serve.http1 import Http1Connection
from wfmon.serve.limits import Limits
from wfmon.serve.slots import Slots
from wfmon.serve.transport import Transport
from wfmon.serve.wsgi import OnError, problem, reason

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from wfmon.core.clock import Clock
    from wfmon.serve.http2 import Http2Connection

_BACKLOG = 128
_TLS_HANDSHAKE = 0x16
_DEFAULT = Limits()


class PortInUse(Exception):
    """Another program listens on this address. The caller words the message for the user."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use")
        self.host = host
        self.port = port


class Listener:
    """Serves a WSGI application on a loopback address.

    The constructor binds, so `port` is known and clients queue before `start`. Threads: `wfmon-listener` accepts;
    `wfmon-http`, one per connection, and `wfmon-h2-stream`, one per HTTP/2 stream, share the bound `max_connections`.
    A WebSocket uses the connection's thread and one of simple-websocket's.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        *,
        clock: Clock,
        on_error: OnError,
        on_refusal: Callable[[str], None] = lambda _cause: None,
        ssl_context: ssl.SSLContext | None = None,
        http2: bool = False,
        max_connections: int = 256,
        limits: Limits = _DEFAULT,
    ) -> None:
        """Bind; port 0 picks a free one. Raises ValueError unless `host` is a loopback address, PortInUse, OSError.

        `http2` serves clients that negotiated `h2` (see tls.server_context). `on_error` may be called from any thread.
        `on_refusal` is called with "connections" when a connection is refused because the bound is reached.
        """
        if http2 and ssl_context is None:
            raise ValueError("HTTP/2 needs TLS: no browser uses it without")
        self._app = app
        self._clock = clock
        self._on_error = on_error
        self._on_refusal = on_refusal
        self._context = ssl_context
        self._http2 = http2
        self._limits = limits
        self._slots = Slots(max_connections)
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()  # under _lock
        self._stopping = False
        self._socket = _bind(_loopback(host), port)
        self.host: str = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_all, name="wfmon-listener", daemon=True)

    @property
    def open_connections(self) -> int:
        """The number of connections being served."""
        return len(self._open)

    def start(self) -> None:
        """Start accepting. Raises RuntimeError if started before."""
        self._thread.start()

    def stop(self, timeout_s: float = 0.8) -> bool:
        """Stop accepting, let responses in progress finish briefly, then close every connection.

        True if every client's thread ended within `timeout_s`; a thread still computing is left to end by itself,
        disconnected from its client. Any thread; idempotent.
        """
        deadline_ns = self._clock.mono_ns() + int(timeout_s * 1e9)
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_in.send(b"x")
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        else:
            self._close_sockets()
        self._each(_Connection.retire)
        self._slots.wait_free(timeout_s / 4)
        self._each(_Connection.cut)
        left_s = max(0.0, (deadline_ns - self._clock.mono_ns()) / 1e9)
        return self._slots.wait_free(left_s) and not self._thread.is_alive()

    def _each(self, act: Callable[[_Connection], None]) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            act(connection)

    def _accept_all(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_out, selectors.EVENT_READ)
                selector.register(self._socket, selectors.EVENT_READ)
                while not self._stopping:
                    selector.select()
                    if not self._stopping:
                        self._accept()
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        for each in (self._socket, self._wake_in, self._wake_out):
            each.close()

    def _accept(self) -> None:
        try:
            raw, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):  # the client left before it was accepted
            return
        except (
            OSError
        ) as error:  # usually out of file descriptors: clients waiting in the backlog must not make this loop spin
            self._on_error("accept", error)
            with selectors.DefaultSelector() as pause:
                pause.register(self._wake_out, selectors.EVENT_READ)
                pause.select(self._limits.accept_pause_s)
            return
        if not self._slots.acquire():
            self._on_refusal("connections")
            _turn_away(raw, secure=self._context is not None)
            return
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_buffer_bytes)
        connection = _Connection(Transport(raw, self._clock, self._limits.send_s), self._serve)
        with self._lock:
            self._open.add(connection)
        try:
            connection.thread.start()
        except RuntimeError as error:  # the system has no more threads
            self._on_error("accept", error)
            self._release(connection, 0.0)

    def _serve(self, connection: _Connection) -> None:
        """Serve one connection; the target of its thread."""
        linger_s = 0.0
        try:
            protocol = self._protocol(connection.transport)
            if protocol is not None and connection.begin(protocol):
                linger_s = protocol.serve()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass  # caused by the client: there is no request, or nobody to answer
        except Exception as error:  # noqa: BLE001 - the edge of the thread: reported, and the other connections go on
            self._on_error("connection", error)
        finally:
            self._release(connection, linger_s)

    def _protocol(self, transport: Transport) -> Http1Connection | Http2Connection | None:
        if self._context is not None:
            first = transport.peek(self._limits.handshake_s)
            if first and first[0] != _TLS_HANDSHAKE:
                host = f"[{self.host}]" if ":" in self.host else self.host
                transport.sendall(_answer(400, f"this port uses TLS: open https://{host}:{self.port}/"))
                transport.close(self._limits.linger_s)
                return None
            transport.handshake(self._context, self._limits.handshake_s)
            if self._http2 and transport.alpn == "h2":
                from wfmon.serve.http2 import Http2Connection

                return Http2Connection(self._app, transport, self._clock, self._limits, self._on_error, self._slots)
        return Http1Connection(self._app, transport, self._clock, self._limits, self._on_error)

    def _release(self, connection: _Connection, linger_s: float) -> None:
        connection.transport.close(0.0 if self._stopping else linger_s)
        with self._lock:
            self._open.discard(connection)
        self._slots.release()


class _Connection:
    """A connection as the listener needs it for `stop`."""

    def __init__(self, transport: Transport, serve: Callable[[_Connection], None]) -> None:
        self.transport = transport
        self.thread = threading.Thread(target=serve, args=(self,), name="wfmon-http", daemon=True)
        self._protocol: Http1Connection | Http2Connection | None = None
        self._retired = False

    def begin(self, protocol: Http1Connection | Http2Connection) -> bool:
        """Register the protocol after the handshake. False if the listener stopped meanwhile."""
        self._protocol = protocol
        return not self._retired

    def retire(self) -> None:
        """Accept no further request; close now if between two requests."""
        self._retired = True
        if self._protocol is not None:
            self._protocol.stop()
        if self._protocol is None or self._protocol.idle:
            self.transport.shutdown()

    def cut(self) -> None:
        self.transport.shutdown()


def _loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"{host!r} is not a loopback address: the monitor must not be reachable from outside this machine"
        )
    return address


def _bind(address: str, port: int) -> socket.socket:
    result = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # On Windows the same option would let two programs share the port.
        option = socket.SO_REUSEADDR if os.name == "posix" else socket.SO_EXCLUSIVEADDRUSE  # type: ignore[attr-defined]
        result.setsockopt(socket.SOL_SOCKET, option, 1)
        result.bind((address, port))
        result.listen(_BACKLOG)
    except OSError as error:
        result.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(address, port) from error
        raise
    result.setblocking(False)
    return result


def _turn_away(raw: socket.socket, *, secure: bool) -> None:
    """Send 503 and close without waiting (accepting thread). Under TLS nothing can be sent before the handshake."""
    raw.setblocking(False)
    with contextlib.suppress(OSError), raw:
        if not secure:
            with contextlib.suppress(BlockingIOError):
                raw.recv(65_536)  # unread bytes would turn the close into a reset that swallows the answer
            raw.send(_answer(503, "too many connections: close some pages or clients and try again"))
            raw.shutdown(socket.SHUT_WR)


def _answer(status: int, detail: str) -> bytes:
    headers, body = problem(status, detail)
    headers.append(("Connection", "close"))
    lines = [f"HTTP/1.1 {status} {reason(status)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + body
