"""The bytes of one accepted connection, plain or TLS."""

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
# poll needs no file descriptor of its own, unlike epoll, and has no highest descriptor, unlike select.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class ClientGone(ConnectionError):
    """The client has closed or stopped reading: nothing can be sent to it."""


class Transport:
    """A socket that one thread may read while others write, also under TLS.

    Two threads on one SSLSocket can crash the interpreter, and a lock around its blocking `recv` would starve the
    writers. So TLS works on memory buffers: the lock is held while encrypting or decrypting, never while waiting.
    """

    def __init__(self, raw: socket.socket, clock: Clock, send_timeout_s: float) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._clock = clock
        self._send_timeout_s = send_timeout_s
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()  # owned by the reading thread, under _tls_lock
        self._outgoing = ssl.MemoryBIO()  # under _tls_lock; sent in the order of encryption
        self._tls_lock = threading.Lock()
        self._write_lock = threading.Lock()  # taken before _tls_lock, never after it
        self._gone = False
        self.peer: tuple[str, int] = _address(raw.getpeername)
        self.local: tuple[str, int] = _address(raw.getsockname)

    @property
    def alpn(self) -> str | None:
        """The protocol negotiated in the TLS handshake, None without TLS."""
        return self._tls.selected_alpn_protocol() if self._tls else None

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self._tls is not None

    def fileno(self) -> int:
        """Return the file descriptor, for a selector; -1 once closed."""
        return self._raw.fileno()

    def peek(self, timeout_s: float) -> bytes:
        """Return the first byte without consuming it, b"" at the end. Raises TimeoutError."""
        if not _wait(self._raw, selectors.EVENT_READ, timeout_s):
            raise TimeoutError("the client sends nothing")
        return self._raw.recv(1, socket.MSG_PEEK)

    def handshake(self, context: ssl.SSLContext, timeout_s: float) -> None:
        """Perform the server's TLS handshake. Raises ssl.SSLError, TimeoutError, ConnectionError."""
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
                    self._write_raw(self._outgoing.read())  # the alert names the reason
                raise
            else:
                self._write_raw(self._outgoing.read())
                self._tls = tls
                return

    def recv(self, timeout_s: float | None) -> bytes:
        """Return the bytes of one network read, b"" at the end.

        May exceed 16 KiB under TLS: nothing decrypted is kept back, so a selector on this descriptor never misses
        bytes. Raises TimeoutError after `timeout_s` (None waits for ever), ClientGone.
        """
        deadline_ns = None if timeout_s is None else self._deadline_ns(timeout_s)
        if self._tls is None:
            return self._read_raw(deadline_ns)
        while True:
            plain, ended = self._decrypt(self._tls)
            if plain or ended or not self._feed(deadline_ns):
                return plain

    def sendall(self, data: bytes) -> None:
        """Send everything. Raises ClientGone if the client is gone or reads nothing for the send timeout."""
        with self._write_lock:
            for start in range(0, len(data), _WRITE_BYTES):
                part = data[start : start + _WRITE_BYTES]
                self._write_raw(part if self._tls is None else self._encrypt(self._tls, part))

    def peer_closed(self) -> bool:
        """Return whether the client is known to be gone, without waiting."""
        try:
            return self._gone or self._raw.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def shutdown(self) -> None:
        """Shut down both directions; wakes waiting threads. Any thread. The descriptor stays open until `close`."""
        self._gone = True
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self, linger_s: float = 0.0) -> None:
        """Close the descriptor, after up to `linger_s` for the client to read what was sent. Owning thread only."""
        if not self._gone:
            self._close_tls()
            if linger_s > 0:
                self._linger(linger_s)
        self.shutdown()
        self._raw.close()

    def _deadline_ns(self, timeout_s: float) -> int:
        return self._clock.mono_ns() + int(timeout_s * 1e9)

    def _feed(self, deadline_ns: int | None) -> bool:
        """Pass one read of ciphertext to TLS. False at the end of the stream."""
        data = self._read_raw(deadline_ns)
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
        return bool(data)

    def _decrypt(self, tls: ssl.SSLObject) -> tuple[bytes, bool]:
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
            reply = self._outgoing.pending > 0
        # Reading may produce a reply (a key update). A writer at work sends it along; otherwise it is sent now.
        if reply and self._write_lock.acquire(blocking=False):
            try:
                self._write_raw(self._encrypt(tls, b""))
            finally:
                self._write_lock.release()
        return b"".join(parts), ended

    def _encrypt(self, tls: ssl.SSLObject, data: bytes) -> bytes:
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

    def _close_tls(self) -> None:
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
    """Wait until the socket is ready. False after `timeout_s`."""
    try:
        with _Selector() as selector:
            selector.register(raw, event)
            return bool(selector.select(timeout_s))
    except ValueError as error:  # another thread has closed it
        raise ClientGone from error


def _address(name: Callable[[], Any]) -> tuple[str, int]:
    try:
        host, port = name()[:2]
    except OSError:  # gone before it was served
        return ("", 0)
    return (str(host), int(port))
