"""A WebSocket client (RFC 6455) for one loopback connection: sends text messages, receives small ones.

Used by one thread. Every wait has a timeout; every error of the server is a ``Closed``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wfmon.hook.place import Place

MAX_HEAD = 16_384
MAX_MESSAGE = 65_536
"""Bytes; the monitor's messages are short."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class Closed(Exception):
    """The connection is unusable. The message has the reason and nothing that was sent."""


class WebSocket:
    """A connection. Every method and the constructor may raise Closed; ``close`` is idempotent."""

    def __init__(self, place: Place, path: str, *, timeout_s: float = 2.0) -> None:
        self._timeout = timeout_s
        self._buffer = b""
        self._parts: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        try:
            # Ignores proxy variables of the environment, and resolves no name.
            self._sock = socket.create_connection((place.host, place.port), timeout_s)
        except OSError as error:
            raise Closed(f"no connection ({error.strerror or type(error).__name__})") from None
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The kernel's buffer, auto-tuned to megabytes, would hide for long that nobody reads.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)
            self._not_yet: tuple[type[OSError], ...] = (TimeoutError, BlockingIOError)
            if place.tls:
                self._secure(place)
            self._shake_hands(place, path, deadline)
        except Closed:
            self._sock.close()
            raise
        except (OSError, ValueError) as error:
            self._sock.close()
            raise Closed(f"no handshake ({type(error).__name__})") from None

    def send(self, text: bytes) -> None:
        """Send one text message, within the timeout."""
        self._frame(_TEXT, text)

    def receive(self, seconds: float = 0.0) -> list[bytes]:
        """Return received text messages, waiting at most this long for the first. Answers pings."""
        deadline = time.monotonic() + seconds
        found = self._messages()
        while not found:
            left = deadline - time.monotonic()
            self._fill(left)
            found = self._messages()
            if left <= 0:  # one read is enough, or a flood of pings would keep us here
                break
        return found

    def close(self, code: int = 1000) -> None:
        """Send a close frame and close, without waiting for an answer."""
        try:
            self._sock.settimeout(0.05)
            self._sock.sendall(_masked(_CLOSE, struct.pack("!H", code)))
        except OSError:
            pass  # already closed
        self.drop()

    def drop(self) -> None:
        """Close without a close frame: after a fork the connection is the parent's."""
        self._sock.close()

    def _secure(self, place: Place) -> None:
        import ssl

        context = ssl.create_default_context(cafile=place.ca_file or None)
        context.set_alpn_protocols(["http/1.1"])
        self._not_yet = (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._sock = context.wrap_socket(self._sock, server_hostname=place.host)

    def _shake_hands(self, place: Place, path: str, deadline: float) -> None:
        key = base64.b64encode(os.urandom(16))
        host = f"[{place.host}]" if ":" in place.host else place.host
        self._sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{place.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n"
            f"Authorization: Bearer {place.token}\r\n\r\n".encode("ascii")
        )
        while b"\r\n\r\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or len(self._buffer) > MAX_HEAD:
                raise Closed("the response to the handshake has no complete head")
            self._fill(left)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        fields = {
            name.strip().lower(): value.strip() for name, colon, value in (x.partition(b":") for x in lines) if colon
        }
        if status.split(b" ")[:2] != [b"HTTP/1.1", b"101"]:
            raise Closed(f"the handshake was answered with {status.split(b' ', 2)[1:2]!r:.12}")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if (
            fields.get(b"sec-websocket-accept") != accept
            or fields.get(b"upgrade", b"").lower() != b"websocket"
            or b"sec-websocket-extensions" in fields
        ):
            raise Closed("the response to the handshake is not a WebSocket's")

    def _fill(self, seconds: float) -> bool:
        """Read available bytes, waiting at most this long. False if none arrived."""
        self._sock.settimeout(max(0.0, seconds))
        try:
            data = self._sock.recv(65_536)
        except self._not_yet:
            return False
        except OSError as error:
            raise Closed(f"lost ({error.strerror or type(error).__name__})") from None
        if not data:
            raise Closed("ended by the monitor")
        self._buffer += data
        return True

    def _messages(self) -> list[bytes]:
        """Parse complete frames in the buffer; return the text messages."""
        found: list[bytes] = []
        while len(self._buffer) >= 2:
            first, second = self._buffer[0], self._buffer[1]
            opcode, size, at = first & 0x0F, second & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(self._buffer[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(self._buffer[2:10], "big"), 10
            if first & 0x70 or second & 0x80 or (opcode >= 8 and (size > 125 or not first & 0x80)):
                raise self._fail(1002, "a frame that violates the protocol")
            if size + sum(map(len, self._parts)) > MAX_MESSAGE:
                raise self._fail(1009, "a message that is too long")
            if len(self._buffer) < at + size:
                break
            payload, self._buffer = self._buffer[at : at + size], self._buffer[at + size :]
            if opcode == _PING:
                self._frame(_PONG, payload)
            elif opcode == _CLOSE:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
                raise self._fail(1000, f"closed by the monitor ({code})")
            elif opcode <= _BINARY:
                if (opcode == 0) != bool(self._parts):
                    raise self._fail(1002, "a frame that violates the protocol")
                self._parts.append(payload)
                if first & 0x80:
                    found.append(b"".join(self._parts))
                    self._parts = []
            elif opcode != _PONG:
                raise self._fail(1002, "a frame of an unknown kind")
        return found

    def _fail(self, code: int, why: str) -> Closed:
        self.close(code)
        return Closed(why)

    def _frame(self, opcode: int, payload: bytes) -> None:
        self._sock.settimeout(self._timeout)
        try:
            self._sock.sendall(_masked(opcode, payload))
        except OSError as error:  # a partly sent message cannot be completed
            raise Closed(f"not sent ({error.strerror or type(error).__name__})") from None


def _masked(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame, masked as RFC 6455 requires."""
    size = len(payload)
    mask = os.urandom(4)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    # One XOR of two large integers: 100 times as fast as a loop over the bytes.
    cover = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(cover, "big")).to_bytes(size, "big")
