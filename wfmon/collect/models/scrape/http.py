"""One bounded GET on loopback: 0.5 s, 1 MB, no redirect followed, no proxy of the environment, no connection kept."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from wfmon.core.clock import Clock

Host = Literal["127.0.0.1", "::1"]
"""All that is ever asked."""
Trouble = Literal["", "refused", "silent", "not_http", "too_big", "late"]
TIMEOUT_S = 0.5
"""Of one GET: connecting, the answer's first byte and its last."""
MAX_BODY = 1_000_000
MAX_HEAD = 16_384
_READ = 65_536
_MARK = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |$)")
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: {agent}\r\n"
    "Accept: application/json, text/plain\r\nConnection: close\r\n\r\n"
)


class HttpAnswer(NamedTuple):
    """What came. ``trouble`` empty: ``status`` and ``body`` are whole. ``server``: that header, cut.

    refused: nobody listens; silent: no whole answer in time, or cut short; not_http: it speaks something else;
    too_big: more than 1 MB; late: not asked, the look's time or its probes were used up.
    """

    trouble: Trouble = ""
    status: int = 0
    body: bytes = b""
    server: str = ""

    def json(self) -> Any:  # noqa: ANN401  whatever it is; None too where it is no JSON
        """Return the body as JSON if the status is 200, None if it is not JSON. orjson refuses NaN and deep nesting."""
        if self.trouble or self.status != 200:
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def refused_key(self) -> bool:
        """Whether it asks for a key."""
        return not self.trouble and self.status in (401, 403)


class Get(Protocol):
    """Asks one server; never raises."""

    def __call__(self, path: str) -> HttpAnswer:
        """GET a path."""


LATE = HttpAnswer("late")


class LoopbackClient:
    """GETs within a budget of time. ``agent``: what a server's log shows of it. One thread."""

    def __init__(self, clock: Clock, agent: str = "wfmon") -> None:
        self._clock = clock
        self._agent = agent
        self._deadline_ns = 0

    def begin(self, seconds: float) -> None:
        """A look begins: all its GETs together may take so long; those that come later are not asked."""
        self._deadline_ns = self._clock.mono_ns() + round(seconds * 1e9)

    @property
    def is_spent(self) -> bool:
        """Whether the look's time is over."""
        return self._left_s(self._deadline_ns) <= 0

    def get(self, host: Host, port: int, path: str) -> HttpAnswer:
        """Ask once. Never raises."""
        until_ns = min(self._deadline_ns, self._clock.mono_ns() + round(TIMEOUT_S * 1e9))
        if self._left_s(until_ns) <= 0:
            return LATE
        try:
            with socket.socket(socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6) as stream:
                stream.settimeout(self._left_s(until_ns))
                stream.connect((host, port))
                name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                stream.sendall(_REQUEST.format(path=path, name=name, agent=self._agent).encode())
                return _Reader(stream, lambda: self._left_s(until_ns)).answer()
        except ConnectionRefusedError:
            return HttpAnswer("refused")
        except _TooBigError:
            return HttpAnswer("too_big")
        except ValueError:
            return HttpAnswer("not_http")
        except OSError:  # no answer in time, one that was cut short, or a connection that was torn
            return HttpAnswer("silent")

    def _left_s(self, until_ns: int) -> float:
        return (until_ns - self._clock.mono_ns()) / 1e9


class _TooBigError(Exception):
    """The body is longer than MAX_BODY."""


class _Reader:
    """Reads one answer. Raises OSError when it is cut short or late, ValueError when it is not HTTP, _TooBigError.

    Own, because this is asked every second: h11 takes 0.5 ms an answer, this 0.05.
    """

    def __init__(self, stream: socket.socket, left_s: Callable[[], float]) -> None:
        self._stream = stream
        self._left_s = left_s
        self._held = bytearray()
        self._sized = 0

    def answer(self) -> HttpAnswer:
        """Read it to its end."""
        status, headers = self._head()
        while 100 <= status < 200:  # an interim one
            status, headers = self._head()
        server = headers.get(b"server", b"")[:64].decode("latin-1")
        if status in (204, 304):
            return HttpAnswer("", status, b"", server)
        if headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
            return HttpAnswer("", status, self._chunks(), server)
        length = headers.get(b"content-length")
        return HttpAnswer("", status, self._to_the_end() if length is None else self._take(_size(length, 10)), server)

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        """Read a status and the headers; the last of a name counts."""
        first = self._line(_MARK)
        status = _STATUS.match(first)
        if status is None:
            msg = "no status line"
            raise ValueError(msg)
        headers: dict[bytes, bytes] = {}
        size = 0
        while line := self._line():
            size += len(line)
            name, colon, value = line.partition(b":")
            if not colon or size > MAX_HEAD:
                msg = "no header"
                raise ValueError(msg)
            headers[name.strip().lower()] = value.strip()
        return int(status[1]), headers

    def _line(self, mark: bytes = b"") -> bytes:
        """Read a line without its end. ``mark``: what it must begin with; another protocol may never end its line."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > MAX_HEAD or self._held[: len(mark)] != mark[: len(self._held)]:
                msg = "not HTTP"
                raise ValueError(msg)
            self._more()
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line.rstrip(b"\r")

    def _chunks(self) -> bytes:
        parts = list[bytes]()
        while size := _size(self._line().partition(b";")[0], 16):
            parts.append(self._take(size))
            if self._line():
                msg = "a chunk is longer than it says"
                raise ValueError(msg)
        return b"".join(parts)  # what may follow, trailers, is not read

    def _take(self, size: int) -> bytes:
        """Read so many bytes of the body."""
        self._sized += size
        if self._sized > MAX_BODY:
            raise _TooBigError
        while len(self._held) < size:
            self._more()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _to_the_end(self) -> bytes:
        while len(self._held) <= MAX_BODY:
            try:
                self._more()
            except EOFError:
                return bytes(self._held)
        raise _TooBigError

    def _more(self) -> None:
        """Wait for more. Raises TimeoutError, and ConnectionAbortedError when there is none."""
        left_s = self._left_s()
        if left_s <= 0:
            raise TimeoutError
        self._stream.settimeout(left_s)
        data = self._stream.recv(_READ)
        if not data:
            raise _EndError
        self._held += data


class _EndError(EOFError, ConnectionAbortedError):
    """The other side closed."""


def _size(text: bytes, base: int) -> int:
    """Read a size. Raises ValueError: int() alone takes signs, spaces and underscores too."""
    if not text.isalnum() or len(text) > 15:
        msg = "no size"
        raise ValueError(msg)
    return int(text, base)
