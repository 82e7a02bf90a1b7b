"""The live stream's routes: ``/ws`` (flask-sock), ``/sse`` and ``POST /sse/<client>``. Behind the guard."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from wfmon.serve.problem import Problem
from wfmon.serve.upgrade import websocket
from wfmon.stream.messages import MAX_MESSAGE_BYTES, StreamClosed
from wfmon.stream.sse import events, last_event
from wfmon.stream.websocket import UNREAD_BYTES, serve_websocket

if TYPE_CHECKING:
    from wfmon.serve.wsgi import OnError
    from wfmon.stream.hub import Hub

SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STATUSES = {"too_big": 413, "too_fast": 429, "full": 503, "stopping": 503}
"""The HTTP status of each refusal; 400 for all others."""
FIXES = {
    "too_big": "Send less at once.",
    "too_fast": "Send less often.",
    "full": "Close a page that you do not need, or raise server.max_clients in config.yaml.",
    "stopping": "Start the monitor again.",
}


def install_live(
    server: Flask,
    hub: Hub,
    check_token: Callable[[str], bool],
    authorized: Callable[[], bool],
    on_error: OnError,
) -> None:
    """Add the routes. ``authorized`` returns whether the current request's headers carry the token, so that its hello
    may omit it. ``on_error(where, error)`` gets unexpected errors; they end the client's connection.
    """
    hub.check_token = check_token

    @websocket(
        server, "/ws", max_bytes=MAX_MESSAGE_BYTES, unread_bytes=UNREAD_BYTES,
        instead="Open it with a WebSocket client over HTTP/1.1, or use /sse.",
    )  # fmt: skip
    def ws(connection: Any) -> None:  # noqa: ANN401  simple_websocket.Server has no types
        try:
            serve_websocket(connection, hub, trusted=authorized())
        except Exception as error:  # noqa: BLE001  the edge: a 500 in the middle of a WebSocket helps nobody
            on_error("/ws", error)

    @server.get("/sse")
    def sse() -> Response:
        wake = threading.Event()
        try:
            client = hub.open("sse", wake, _cut_by_listener, trusted=True)
        except StreamClosed as why:
            return _problem(why)
        client.receive(_hello())
        response = Response(events(hub, client, wake), content_type="text/event-stream", headers=SSE_HEADERS)
        response.call_on_close(functools.partial(hub.leave, client))
        return response

    @server.post("/sse/<name>")
    def receive(name: str) -> Response:
        client = hub.client(name)
        if client is None or client.transport != "sse":
            fix = "Open /sse first; its hello has the name."
            return Problem(404, "no_client", "No stream with this name is open.", fix).response()
        request.max_content_length = MAX_MESSAGE_BYTES
        try:
            client.receive(request.get_data(cache=False).decode(errors="surrogateescape"))
        except RequestEntityTooLarge:
            client.end(StreamClosed("too_big", f"A message may have {MAX_MESSAGE_BYTES} bytes."))
        return Response(status=204) if client.ended is None else _problem(client.ended)


def _hello() -> str:
    """Build an SSE client's hello from its query string."""
    hello: dict[str, Any] = {"type": "hello", "version": 1}
    rate = request.args.get("rate_hz")
    if rate is not None:
        try:
            hello["rate_hz"] = float(rate)
        except ValueError:
            hello["rate_hz"] = rate  # refused by the message's own check
    seen = last_event(request.headers.get("Last-Event-ID") or request.args.get("last_event_id", ""))
    if seen is not None:
        hello["boot"], hello["since"] = seen
    return orjson.dumps(hello).decode()


def _problem(why: StreamClosed) -> Response:
    fix = FIXES.get(why.cause, "See the protocol's page in docs/.")
    return Problem(STATUSES.get(why.cause, 400), why.cause, why.sentence, fix).response()


def _cut_by_listener() -> None:
    """Do nothing: the listener's own timeout ends a write to a client that does not read."""
