"""One bounded GET on loopback: 0.5 s, 1 MB, no redirect followed, no proxy of the environment, no connection kept."""

from __future__ import annotations

import socket
from typing import Any, Literal, NamedTuple, Protocol

import h11
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
_HEADERS = (("Accept", "application/json, text/plain"), ("Connection", "close"))


class Answer(NamedTuple):
    """What came. ``trouble`` empty: ``status`` and ``body`` are whole. ``server``: that header, cut.

    refused: nobody listens; silent: no whole answer in time, or cut short; not_http: it speaks something else;
    too_big: more than 1 MB; late: not asked, the look's time or its probes were used up.
    """

    trouble: Trouble = ""
    status: int = 0
    body: bytes = b""
    server: str = ""

    def json(self) -> Any:  # noqa: ANN401  whatever it is; None too where it is no JSON
        """Give the body as JSON when the status is 200, None where it is none. Depth and NaN are refused by orjson."""
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

    def __call__(self, path: str) -> Answer:
        """GET a path."""


LATE = Answer("late")


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

    def get(self, host: Host, port: int, path: str) -> Answer:
        """Ask once. Never raises."""
        until_ns = min(self._deadline_ns, self._clock.mono_ns() + round(TIMEOUT_S * 1e9))
        if self._left_s(until_ns) <= 0:
            return LATE
        try:
            return self._ask(host, port, path, until_ns)
        except ConnectionRefusedError:
            return Answer("refused")
        except OSError:  # no answer in time, or a connection that was torn
            return Answer("silent")

    def _ask(self, host: Host, port: int, path: str, until_ns: int) -> Answer:
        with socket.socket(socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6, socket.SOCK_STREAM) as stream:
            stream.settimeout(self._left_s(until_ns))
            stream.connect((host, port))
            http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
            name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            headers = [("Host", name), ("User-Agent", self._agent), *_HEADERS]
            stream.sendall(http.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
            http.send(h11.EndOfMessage())
            return self._answer(stream, http, until_ns)

    def _answer(self, stream: socket.socket, http: h11.Connection, until_ns: int) -> Answer:
        status, server, parts, size, data = 0, "", list[bytes](), 0, None
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError:
                return Answer("not_http" if data else "silent")  # no data: it closed before it had said all
            if event is h11.NEED_DATA:
                first, data = data is None, self._more(stream, until_ns)
                if first and data and not _is_http(data):
                    return Answer("not_http")
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                status, server = event.status_code, _server(event)
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > MAX_BODY:
                    return Answer("too_big", status, b"", server)
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return Answer("", status, b"".join(parts), server)
            elif not isinstance(event, h11.InformationalResponse):
                return Answer("silent")  # it closed without a word

    def _more(self, stream: socket.socket, until_ns: int) -> bytes:
        """Read what is there, b"" at the end. Raises TimeoutError."""
        left_s = self._left_s(until_ns)
        if left_s <= 0:
            raise TimeoutError
        stream.settimeout(left_s)
        return stream.recv(_READ)

    def _left_s(self, until_ns: int) -> float:
        return (until_ns - self._clock.mono_ns()) / 1e9


def _is_http(first: bytes) -> bool:
    """Whether the first bytes may begin an answer: a greeting of another protocol may never end its line."""
    return first[: len(_MARK)] == _MARK[: len(first)]


def _server(response: h11.Response) -> str:
    for name, value in response.headers:
        if name == b"server":
            return value[:64].decode("latin-1")
    return ""
