"""A bounded GET on loopback: 0.5 s, 1 MB, no redirects, no proxy from the environment, no kept connection."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from wfmon.core.clock import Clock

Host = Literal["127.0.0.1", "::1"]
"""The only hosts ever contacted."""
Trouble = Literal["", "refused", "silent", "not_http", "too_big", "late"]
TIMEOUT_S = 0.5
"""Of one GET, from connecting to the answer's last byte."""
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
    """The answer. ``trouble`` empty: ``status`` and ``body`` are complete. ``server``: that header, truncated.

    refused: nothing listens; silent: no complete answer in time, or cut short; not_http: another protocol;
    too_big: more than 1 MB; late: not sent, because the scrape's time or its probes were used up.
    """

    trouble: Trouble = ""
    status: int = 0
    body: bytes = b""
    server: str = ""

    def json(self) -> Any:  # noqa: ANN401  any JSON value
        """Return the body as JSON if the status is 200, None if it is not JSON. orjson refuses NaN and deep nesting."""
        if self.trouble or self.status != 200:
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def refused_key(self) -> bool:
        """Whether the server requires a key."""
        return not self.trouble and self.status in (401, 403)


class Get(Protocol):
    """Sends GETs to one server; never raises."""

    def __call__(self, path: str) -> HttpAnswer:
        """GET a path."""


LATE = HttpAnswer("late")


class LoopbackClient:
    """GETs within a time budget. ``agent``: the User-Agent shown in a server's log. One thread."""

    def __init__(self, clock: Clock, agent: str = "wfmon") -> None:
        self._clock = clock
        self._agent = agent
        self._deadline_ns = 0

    def begin(self, seconds: float) -> None:
        """Start a scrape: its GETs may take ``seconds`` in total; later ones are not sent."""
        self._deadline_ns = self._clock.mono_ns() + round(seconds * 1e9)

    @property
    def is_spent(self) -> bool:
        """Whether the scrape's time is used up."""
        return self._left_s(self._deadline_ns) <= 0

    def get(self, host: Host, port: int, path: str) -> HttpAnswer:
        """Send one GET. Never raises."""
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
        except OSError:  # no answer in time, a truncated one, or a lost connection
            return HttpAnswer("silent")

    def _left_s(self, until_ns: int) -> float:
        return (until_ns - self._clock.mono_ns()) / 1e9


class _TooBigError(Exception):
    """The body is longer than MAX_BODY."""


class _Reader:
    """Reads one answer. Raises OSError if it is truncated or late, ValueError if it is not HTTP, _TooBigError.

    Hand-written, because it runs every second: h11 takes 0.5 ms per answer, this 0.05.
    """

    def __init__(self, stream: socket.socket, left_s: Callable[[], float]) -> None:
        self._stream = stream
        self._left_s = left_s
        self._held = bytearray()
        self._sized = 0

    def answer(self) -> HttpAnswer:
        """Read the whole answer."""
        status, headers = self._head()
        while 100 <= status < 200:  # interim responses
            status, headers = self._head()
        server = headers.get(b"server", b"")[:64].decode("latin-1")
        if status in (204, 304):
            return HttpAnswer("", status, b"", server)
        if headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
            return HttpAnswer("", status, self._chunks(), server)
        length = headers.get(b"content-length")
        return HttpAnswer("", status, self._to_the_end() if length is None else self._take(_size(length, 10)), server)

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        """Read the status and the headers; of a repeated header the last counts."""
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
        """Read a line without its end. ``mark``: its required beginning; another protocol may never end its line."""
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
                msg = "a chunk is longer than declared"
                raise ValueError(msg)
        return b"".join(parts)  # trailers that may follow are not read

    def _take(self, size: int) -> bytes:
        """Read ``size`` bytes of the body."""
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
        """Wait for more data. Raises TimeoutError, or ConnectionAbortedError if the other side closed."""
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
    """Parse a size. Raises ValueError; int() alone would accept signs, spaces and underscores."""
    if not text.isalnum() or len(text) > 15:
        msg = "no size"
        raise ValueError(msg)
    return int(text, base)
