"""Runs one request of either protocol through the WSGI application (PEP 3333)."""

from __future__ import annotations

import http
import io
import json
import re
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import default_exceptions

from wfmon.serve.transport import ClientGone

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from wfmon.serve.limits import Limits

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

Headers = list[tuple[str, str]]
OnError = Callable[[str, BaseException], None]
"""Called with an unexpected error: where (method and path, never the query) and the exception."""

# They concern one connection, so only the server sets them: RFC 9110, 7.6.1, and RFC 9113, 8.2.2.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "server"}
)
# A line break in a value would inject a header, and HTTP/2 would transmit it.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class MalformedRequest(Exception):
    """A request that the server refuses itself, with a status and a sentence for the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class RequestBody(io.RawIOBase):
    """`wsgi.input`: reads on demand, up to the end of the body, within the cap.

    Errors (too big, too slow, malformed, aborted) are raised as the HTTP exception that Flask understands and kept in
    `refused`, so that the client gets the true reason whatever the application does with the exception.
    """

    def __init__(self, pull: Callable[[], bytes], cap: int) -> None:
        """`pull()` returns the next piece, b"" at the end; raises MalformedRequest or ClientGone."""
        self._pull = pull
        self._left = cap
        self._piece = b""
        self._ended = False
        self.refused: MalformedRequest | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer has no name before Python 3.12
        if not self._piece and not self._ended:
            self._piece = self._next()
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def _next(self) -> bytes:
        piece = b""
        if self.refused is None:
            try:
                piece = self._pull()
                self._left -= len(piece)
                if self._left < 0:
                    self.refused = MalformedRequest(413, "the body of this request is larger than the server accepts")
            except MalformedRequest as refused:
                self.refused = refused
            except ClientGone:
                self.refused = MalformedRequest(400, "the client closed the connection before the end of the body")
        if self.refused is not None:
            raise default_exceptions[self.refused.status](self.refused.detail)
        self._ended = not piece
        return piece


class Sink(Protocol):
    """The destination of a response: one exchange of either protocol."""

    body: RequestBody
    taken: bool
    """The application took over the socket (WebSocket): there is no response to send."""

    def start(self, status: int, reason: str, headers: Headers, *, bodiless: bool) -> None:
        """Send the head, possibly together with the first data. Raises ClientGone."""

    def send(self, data: bytes) -> None:
        """Send bytes of the body at once. Raises ClientGone."""

    def finish(self) -> None:
        """Complete the response. Raises ClientGone."""

    def abort(self) -> None:
        """Abort the response so that the client does not mistake it for a complete one."""


def examine(target: str, headers: Headers, limits: Limits) -> MalformedRequest | None:
    """Check a request's head; return the refusal or None. Header names are in lower case."""
    if len(target) > limits.request_line_bytes:
        return MalformedRequest(414, f"the address is longer than {limits.request_line_bytes} bytes")
    if not target.startswith("/"):
        return MalformedRequest(400, "the request's target is not a path: this server is not a proxy")
    if len(headers) > limits.head_count:
        return MalformedRequest(431, f"more than {limits.head_count} header lines")
    if sum(len(name) + len(value) for name, value in headers) > limits.head_bytes:
        return MalformedRequest(431, f"the header lines are longer than {limits.head_bytes} bytes")
    names = {name for name, _ in headers}
    if {"content-length", "transfer-encoding"} <= names:
        return MalformedRequest(400, "Content-Length and Transfer-Encoding contradict each other")
    length = next((value for name, value in headers if name == "content-length"), "0")
    if not length.isdecimal():
        return MalformedRequest(400, "Content-Length is not a number")
    if int(length) > limits.body_bytes:
        return MalformedRequest(413, f"the body is larger than {limits.body_bytes} bytes")
    return None


def environ(
    *,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    scheme: str,
    protocol: str,
    peer: tuple[str, int],
    local: tuple[str, int],
    body: RequestBody,
) -> WSGIEnvironment:
    """Return a request's WSGI environ. `target` is in origin form (`/path?query`); text is latin-1, as on the wire."""
    path, _, query = target.partition("?")
    result: WSGIEnvironment = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BufferedReader(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "wfmon",
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": peer[1],
        "SERVER_NAME": local[0],
        "SERVER_PORT": str(local[1]),
        "SERVER_PROTOCOL": protocol,
    }
    for name, value in headers:
        if "_" in name:  # it would be mistaken for the header with a dash
            continue
        key = name.upper().replace("-", "_")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = "HTTP_" + key
        if key in result:
            value = f"{result[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"  # noqa: PLW2901
        result[key] = value
    # simple-websocket accepts any compression offered: 13 % of a core instead of 5, and 1 GiB for one small frame.
    result.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    return result


def problem(status: int, detail: str) -> tuple[Headers, bytes]:
    """Return headers and body of a refusal (RFC 9457)."""
    body = json.dumps({"type": "about:blank", "title": reason(status), "status": status, "detail": detail}).encode()
    return [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))], body


def reason(status: int) -> str:
    """Return the reason phrase of a status, "" if unknown."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def refuse(sink: Sink, method: str, refused: MalformedRequest) -> None:
    """Send a refusal without calling the application."""
    headers, body = problem(refused.status, refused.detail)
    sink.start(refused.status, reason(refused.status), headers, bodiless=method == "HEAD")
    if method != "HEAD":
        sink.send(body)
    sink.finish()


def run(app: WSGIApplication, env: WSGIEnvironment, sink: Sink, on_error: OnError) -> None:
    """Call the application and send its response; its iterable is always closed. Never raises."""
    response = _Response(env["REQUEST_METHOD"], sink)
    chunks: Iterable[bytes] = ()
    try:
        try:
            chunks = app(env, response.start_response)
            for chunk in chunks:
                response.write(chunk)
                if response.complete:
                    break
            response.end()
        except ClientGone:
            sink.abort()
        except Exception as error:  # noqa: BLE001 - the edge: whatever an application raises goes to on_error
            if sink.body.refused is None:
                on_error(_where(env), error)
            response.fail()
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
    except ClientGone:
        sink.abort()
    except Exception as error:  # noqa: BLE001 - as above, for close() and the error response
        on_error(_where(env), error)
        sink.abort()


def _where(env: WSGIEnvironment) -> str:
    return f"{env['REQUEST_METHOD']} {env['PATH_INFO']}"


class _Response:
    """Checks an application's response and passes it to a sink; the head waits for the first byte (PEP 3333)."""

    def __init__(self, method: str, sink: Sink) -> None:
        self._method = method
        self._sink = sink
        self._head: tuple[int, str, Headers] | None = None
        self._started = False
        self._finished = False
        self.complete = False
        """Nothing more needs to be sent."""

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        if exc_info is not None:
            if self._started and exc_info[1] is not None:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._head is not None:
            raise AssertionError("start_response() was called twice without exc_info")
        for name, value in headers:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"invalid header {name!r}: {value!r}")
        code, _, phrase = status.partition(" ")
        self._head = (int(code), phrase, [(k, v) for k, v in headers if k.lower() not in _HOP_BY_HOP])
        return self.write

    def write(self, data: bytes) -> None:
        if self.complete or (not data and not self._bodiless):
            return
        self._start()
        if not self.complete:
            self._sink.send(data)

    def end(self) -> None:
        if not self._started:
            self._start()
        if not self._finished and not self._sink.taken:
            self._finished = True
            self._sink.finish()

    def fail(self) -> None:
        """Respond to an application error: a plain 500 if nothing was sent yet, else a visibly truncated response."""
        if self._started or self._sink.taken:
            self._sink.abort()
        else:
            self._started = self._finished = True
            failure = MalformedRequest(500, "the server failed on this request")
            refuse(self._sink, self._method, self._sink.body.refused or failure)

    @property
    def _bodiless(self) -> bool:
        return self._head is not None and (self._method == "HEAD" or self._head[0] in {204, 304})

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        if self._sink.taken:
            self.complete = True
            return
        if (refused := self._sink.body.refused) is not None:  # overrides the application's response
            refuse(self._sink, self._method, refused)
            self.complete = self._finished = True
            return
        if self._head is None:
            self._started = False
            raise AssertionError("the application answered without start_response()")
        status, phrase, headers = self._head
        if status == 204:
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
        self._sink.start(status, phrase or reason(status), headers, bodiless=self._bodiless)
        self.complete = self._bodiless
