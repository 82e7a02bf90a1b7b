"""One accepted connection as bytes in and bytes out, plain or TLS."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfmon.core.clock import Clock

_READ_BYTES = 65_536
_WRITE_BYTES = 65_536
_LINGER_BYTES = 4 << 20
# One wait costs no file descriptor, unlike epoll, and knows no highest descriptor, unlike select.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class ClientGone(ConnectionError):
    """The client has closed, or has not read for too long: nothing that is written can reach it."""


class Transport:
    """A socket that one thread may read while others write, also under TLS.

    An SSLSocket that two threads use at once can crash the interpreter, and a lock around its blocking `recv` would
    starve the writers. So TLS works on memory here: the lock is held while bytes are ciphered, never while one waits.
    """

    def __init__(self, raw: socket.socket, clock: Clock, send_timeout_s: float) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._clock = clock
        self._send_timeout_s = send_timeout_s
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()  # owned by the reading thread, under _tls_lock
        self._outgoing = ssl.MemoryBIO()  # under _tls_lock; leaves in the order in which it was ciphered
        self._tls_lock = threading.Lock()
        self._write_lock = threading.Lock()  # taken before _tls_lock, never after it
        self._gone = False
        self.peer: tuple[str, int] = _address(raw.getpeername)
        self.local: tuple[str, int] = _address(raw.getsockname)

    @property
    def alpn(self) -> str | None:
        """The protocol that the TLS handshake chose."""
        return self._tls.selected_alpn_protocol() if self._tls else None

    @property
    def secure(self) -> bool:
        """Whether the bytes travel under TLS."""
        return self._tls is not None

    def fileno(self) -> int:
        """The descriptor, for a selector; -1 once closed."""
        return self._raw.fileno()

    def peek(self, timeout_s: float) -> bytes:
        """The first byte without taking it, b"" at the end. Raises TimeoutError."""
        if not _wait(self._raw, selectors.EVENT_READ, timeout_s):
            raise TimeoutError("the client sends nothing")
        return self._raw.recv(1, socket.MSG_PEEK)

    def handshake(self, context: ssl.SSLContext, timeout_s: float) -> None:
        """Begin TLS as the server. Raises ssl.SSLError, TimeoutError or ConnectionError."""
        deadline_ns = self._deadline_ns(timeout_s)
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._write_raw(self._outgoing.read())
                if not self._feed(deadline_ns):
                    raise ClientGone from None
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._write_raw(self._outgoing.read())  # the alert says why
                raise
            else:
                self._write_raw(self._outgoing.read())
                self._tls = tls
                return

    def recv(self, timeout_s: float | None) -> bytes:
        """All that one read of the network brings, b"" at the end.

        It may be more than 16 KiB under TLS: nothing readable is kept back, so a selector on this descriptor never
        misses bytes. Raises TimeoutError after `timeout_s` (None waits for ever), ClientGone.
        """
        deadline_ns = None if timeout_s is None else self._deadline_ns(timeout_s)
        if self._tls is None:
            return self._read_raw(deadline_ns)
        while True:
            plain, ended = self._decipher(self._tls)
            if plain or ended or not self._feed(deadline_ns):
                return plain

    def sendall(self, data: bytes) -> None:
        """Send everything; raises ClientGone once the client is gone or has read nothing for the send timeout."""
        with self._write_lock:
            for start in range(0, len(data), _WRITE_BYTES):
                part = data[start : start + _WRITE_BYTES]
                self._write_raw(part if self._tls is None else self._cipher(self._tls, part))

    def peer_closed(self) -> bool:
        """Whether the client is known to be gone; does not wait."""
        try:
            return self._gone or self._raw.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def shutdown(self) -> None:
        """End both directions from any thread: whoever waits here wakes up. The descriptor stays until `close`."""
        self._gone = True
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self, linger_s: float = 0.0) -> None:
        """Free the descriptor; with `linger_s` let the client first read what was sent. For the owning thread."""
        if not self._gone:
            self._say_goodbye()
            if linger_s > 0:
                self._linger(linger_s)
        self.shutdown()
        self._raw.close()

    def _deadline_ns(self, timeout_s: float) -> int:
        return self._clock.mono_ns() + int(timeout_s * 1e9)

    def _feed(self, deadline_ns: int | None) -> bool:
        """Give TLS one read of ciphertext; False at the end of the stream."""
        data = self._read_raw(deadline_ns)
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
        return bool(data)

    def _decipher(self, tls: ssl.SSLObject) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        ended = False
        with self._tls_lock:
            try:
                while part := tls.read(_READ_BYTES):
                    parts.append(part)
                ended = True
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                ended = True
            except ssl.SSLError as error:
                raise ClientGone(str(error)) from error
            answer = self._outgoing.pending > 0
        # Reading may owe the client an answer (a key update). A writer at work takes it along; else it goes now.
        if answer and self._write_lock.acquire(blocking=False):
            try:
                self._write_raw(self._cipher(tls, b""))
            finally:
                self._write_lock.release()
        return b"".join(parts), ended

    def _cipher(self, tls: ssl.SSLObject, data: bytes) -> bytes:
        with self._tls_lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[tls.write(view) :]
            except ssl.SSLError as error:
                raise ClientGone(str(error)) from error
            return self._outgoing.read()

    def _read_raw(self, deadline_ns: int | None) -> bytes:
        while True:
            try:
                return self._raw.recv(_READ_BYTES)
            except BlockingIOError:
                left_s = None if deadline_ns is None else (deadline_ns - self._clock.mono_ns()) / 1e9
                if (left_s is not None and left_s <= 0) or not _wait(self._raw, selectors.EVENT_READ, left_s):
                    raise TimeoutError from None
            except OSError as error:
                raise ClientGone(str(error)) from error

    def _write_raw(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._gone:
                raise ClientGone
            try:
                view = view[self._raw.send(view) :]
            except BlockingIOError:
                if not _wait(self._raw, selectors.EVENT_WRITE, self._send_timeout_s):
                    self.shutdown()
                    message = f"the client has read nothing for {self._send_timeout_s:g} s"
                    raise ClientGone(message) from None
            except OSError as error:
                self.shutdown()
                raise ClientGone(str(error)) from error

    def _say_goodbye(self) -> None:
        if self._tls is None or not self._write_lock.acquire(blocking=False):
            return
        try:
            with self._tls_lock:
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                notice = self._outgoing.read()
            with contextlib.suppress(OSError):
                self._raw.send(notice)
        finally:
            self._write_lock.release()

    def _linger(self, linger_s: float) -> None:
        deadline_ns, left = self._deadline_ns(linger_s), _LINGER_BYTES
        with contextlib.suppress(OSError):  # TimeoutError is one
            self._raw.shutdown(socket.SHUT_WR)
            while left > 0 and (data := self._read_raw(deadline_ns)):
                left -= len(data)


def _wait(raw: socket.socket, event: int, timeout_s: float | None) -> bool:
    """Wait until the socket is ready; False after `timeout_s`."""
    try:
        with _Selector() as selector:
            selector.register(raw, event)
            return bool(selector.select(timeout_s))
    except ValueError as error:  # another thread has closed it
        raise ClientGone from error


def _address(ask: Callable[[], Any]) -> tuple[str, int]:
    try:
        host, port = ask()[:2]
    except OSError:  # gone before it was served
        return ("", 0)
    return (str(host), int(port))
