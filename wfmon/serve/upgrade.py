"""WebSocket routes: checks made before flask-sock and simple-websocket take over a request."""

from __future__ import annotations

import base64
import binascii
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import flask_sock
from flask import Flask, Response, request

from wfmon.serve.problem import Problem
from wfmon.stream.websocket import PacedSocket

if TYPE_CHECKING:
    Handler = Callable[[Any], None]

SOCK_OPTIONS: dict[str, Any] = {
    "ping_interval": 25,  # a peer that vanished is noticed after two intervals
    "receive_bytes": 16_384,
    "thread_class": functools.partial(threading.Thread, name="wfmon-ws-reader", daemon=True),
}
_MAX_BYTES = "wfmon.max_message_bytes"


def websocket(
    server: Flask,
    path: str,
    *,
    max_bytes: int,
    unread_bytes: int,
    instead: str,
    full: Callable[[], Response | None] = lambda: None,
) -> Callable[[Handler], None]:
    """Return a decorator that adds a WebSocket route.

    ``max_bytes`` bounds a message, ``unread_bytes`` what is received ahead of processing. ``instead`` is the fix sent
    to clients without WebSocket; ``full`` may return a refusal before the connection is upgraded.
    """

    def prepare() -> Response | None:
        """Prepare a request for simple-websocket: a bounded socket, no compression. Refuse what it cannot handle."""
        if request.path != path or request.method == "POST":
            return None
        environ = request.environ
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        fault = _fault(path)
        if fault:
            return Problem(426, "upgrade", fault, instead, (("Upgrade", "websocket"),)).response()
        refused = full()
        if refused is None:
            environ["werkzeug.socket"] = PacedSocket(environ["werkzeug.socket"], unread_bytes)
            environ[_MAX_BYTES] = max_bytes
        return refused

    server.config["SOCK_SERVER_OPTIONS"] = _Options()
    server.before_request(prepare)
    return flask_sock.Sock(server).route(path)  # type: ignore[no-any-return]


class _Options(Mapping[str, Any]):
    """flask-sock's options with the current route's message bound; flask-sock itself has one set per application."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  whatever simple-websocket takes
        return request.environ[_MAX_BYTES] if name == "max_message_size" else SOCK_OPTIONS[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*SOCK_OPTIONS, "max_message_size")

    def __len__(self) -> int:
        return len(SOCK_OPTIONS) + 1


def _fault(path: str) -> str:
    headers = request.headers
    if "werkzeug.socket" not in request.environ or headers.get("Upgrade", "").lower() != "websocket":
        return f"{path} serves the WebSocket protocol, and this request does not ask for it."
    if headers.get("Sec-WebSocket-Version") != "13":
        return "Only version 13 of the WebSocket protocol is supported."
    try:
        nonce = base64.b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True)
    except binascii.Error:
        nonce = b""
    return "" if len(nonce) == 16 else "Sec-WebSocket-Key must be 16 bytes in base64."
