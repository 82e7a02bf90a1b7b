"""``/api/v1/hook``: receives model events from hooks, the proxy and programs in other languages. Behind the guard.

Events are lines of JSON, over a WebSocket or in the body of a POST. Each refused line is answered separately. No part
of a line reaches the log.
"""

from __future__ import annotations

import logging
import threading
import traceback
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from wfmon.collect.models.ingest.inbox import MAX_MESSAGE_BYTES, Ingest
from wfmon.serve.problem import Problem
from wfmon.serve.upgrade import websocket
from wfmon.stream import wire
from wfmon.stream.messages import StreamClosed
from wfmon.stream.websocket import close_websocket

if TYPE_CHECKING:
    from wfmon.collect.models.ingest.inbox import Connection, RefusedLine
    from wfmon.stream.websocket import ServerWebSocket

log = logging.getLogger(__name__)

PATH = "/api/v1/hook"
MAX_CLIENTS = 64
WRITE_S = 0.1
"""How long a stop waits for writes: a client that reads gets the reason."""
CONTENT_TYPE = "application/x-ndjson"
_FULL = f"{MAX_CLIENTS} programs already report models."
_STOPPING = "The monitor is stopping."


class Hooks:
    """The open connections of hooks. Any thread; each connection belongs to the thread that serves it."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._lock = threading.Lock()
        self._open: set[_OpenClient] = set()  # under _lock
        self._stopping = False  # set under _lock

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Close every connection and refuse new ones. Idempotent; waits for writes in progress, 0.1 s in all.

        Each client gets the reason, and its own thread disconnects it 0.3 s later; one stuck in a write is cut off.
        """
        with self._lock:
            self._stopping = True
            clients = list(self._open)
        for client in clients:
            client.end()
        patience_s = WRITE_S
        for client in clients:
            if not client.written.wait(patience_s):
                client.cut_off()
                patience_s = 0.0  # the writes are concurrent: the others have had as long

    def refusal(self) -> StreamClosed | None:
        """Return why no further client is accepted, None while there is room."""
        if self._stopping:
            return StreamClosed("stopping", _STOPPING)
        return StreamClosed("full", _FULL) if len(self._open) >= MAX_CLIENTS else None

    def serve(self, ws: ServerWebSocket) -> None:
        """Serve a client in the calling thread until one side closes. Raises nothing."""
        client = _OpenClient(ws)
        why = self._enter(client)
        try:
            if why is None:
                why = self._converse(ws, client)
        except OSError:
            pass  # the client is gone, or has read nothing for three seconds
        except Exception as error:  # noqa: BLE001  the edge of the connection's thread
            _log_failure(error)
            why = StreamClosed("failed", "The monitor had an internal error; its log has the details.")
        finally:
            with self._lock:
                self._open.discard(client)
            close_websocket(ws, why, [])

    def post(self) -> Response:
        """Ingest the lines of a request's body."""
        if request.mimetype != CONTENT_TYPE:
            fix = f"Send lines of JSON with Content-Type: {CONTENT_TYPE}."
            return Problem(415, "type", "The Content-Type is not that of JSON lines.", fix).response()
        request.max_content_length = MAX_MESSAGE_BYTES
        try:
            body = request.get_data(cache=False)
        except RequestEntityTooLarge:
            fix = f"Send at most {MAX_MESSAGE_BYTES} bytes per request; each request begins with its source."
            return Problem(413, "too_big", "The body is too large.", fix).response()
        client = _OpenClient(None)
        why = self._enter(client)
        if why is not None:
            return _unavailable(why)
        connection = self._ingest.open(post=True)
        try:
            taken = connection.take(body)
        except ValueError as error:
            return _unread(str(error), [])
        finally:
            connection.close()
            with self._lock:
                self._open.discard(client)
        if not body.strip() or (taken.refused and not taken.events):
            return _unread("No line could be read." if taken.refused else "The body is empty.", taken.refused)
        answer = {"taken": taken.events, "refused": [each._asdict() for each in taken.refused]}
        return Response(orjson.dumps(answer), content_type="application/json")

    def _enter(self, client: _OpenClient) -> StreamClosed | None:
        with self._lock:
            why = self.refusal()
            if why is None:
                self._open.add(client)
            return why

    def _converse(self, ws: ServerWebSocket, client: _OpenClient) -> StreamClosed | None:
        connection = self._ingest.open()
        try:
            client.send([wire.Outgoing(orjson.dumps(self._ingest.hello()))])
            return _ingest_messages(ws, client, connection)
        finally:
            connection.close()


class _OpenClient:
    """An open connection, as ``close`` needs it. A POST has no WebSocket and ends by itself."""

    def __init__(self, ws: ServerWebSocket | None) -> None:
        self._ws = ws
        self.stopping = False
        self.written = threading.Event()
        """Set unless a write is in progress."""
        self.written.set()

    def send(self, messages: list[wire.Outgoing]) -> None:
        """Send from the connection's own thread. Raises OSError if the client reads nothing for three seconds."""
        if self._ws is not None:
            self.written.clear()
            self._ws.sock.send(wire.text_frames(messages))
            self.written.set()

    def end(self) -> None:
        """Make the connection end once its write is over. Any thread."""
        self.stopping = True
        if self._ws is not None:
            self._ws.event.set()

    def cut_off(self) -> None:
        """End a connection that is stuck in a write. Any thread."""
        if self._ws is not None:
            self._ws.sock.abort()


def install_hook(server: Flask, ingest: Ingest) -> Hooks:
    """Add the WebSocket and POST routes. Returns the connections, whose ``close`` ends them all."""
    hooks = Hooks(ingest)

    def full() -> Response | None:
        why = hooks.refusal()
        return None if why is None else _unavailable(why)

    @websocket(
        server, PATH, max_bytes=MAX_MESSAGE_BYTES, unread_bytes=2 * MAX_MESSAGE_BYTES, full=full,
        instead="Open it with a WebSocket client over HTTP/1.1, or POST the lines.",
    )  # fmt: skip
    def hook(connection: Any) -> None:  # noqa: ANN401  simple_websocket.Server has no types
        hooks.serve(connection)

    @server.post(PATH)
    def lines() -> Response:
        try:
            return hooks.post()
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001  the common handler would log the exception's message
            _log_failure(error)
            fix = "The log in the data folder has the place."
            return Problem(500, "error", "The monitor met an error while answering.", fix).response()

    return hooks


def _ingest_messages(ws: ServerWebSocket, client: _OpenClient, connection: Connection) -> StreamClosed | None:
    """Ingest messages until the connection ends. Returns why we closed it, None if the client did."""
    while True:
        is_open = ws.connected  # read first: messages received before the end are still ingested
        while ws.input_buffer:
            message = ws.input_buffer.pop(0)
            if isinstance(message, bytes):
                return StreamClosed("binary", "Send lines of JSON as text, not binary.")
            lines = message.encode()
            if len(lines) > MAX_MESSAGE_BYTES:  # simple-websocket has counted characters
                return StreamClosed("too_big", f"A message may have {MAX_MESSAGE_BYTES} bytes.")
            try:
                taken = connection.take(lines)
            except ValueError as error:
                return StreamClosed("refused", str(error))
            if taken.refused:
                client.send([_refused(each) for each in taken.refused])
        ws.sock.processed()
        if client.stopping:
            return StreamClosed("stopping", _STOPPING)
        if not is_open:
            return None
        ws.event.wait(1.0)  # the timeout covers a reader thread that dies silently; everything else sets the event
        ws.event.clear()


def _refused(each: RefusedLine) -> wire.Outgoing:
    return wire.message("refused", **each._asdict())


def _unread(detail: str, refused: list[RefusedLine]) -> Response:
    rows = [each._asdict() for each in refused]
    extra = {"field": rows[0]["field"] if rows else "", "refused": rows}
    return Problem(400, "lines", detail, "docs/ingest.md describes the lines.", extra=extra).response()


def _unavailable(why: StreamClosed) -> Response:
    fix = "Stop a program that you do not need." if why.cause == "full" else "Start the monitor again."
    return Problem(503, why.cause, why.sentence, fix).response()


def _log_failure(error: Exception) -> None:
    """Log where the error happened, not its message, which may quote a line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s failed: %s at %s:%s", PATH, type(error).__name__, place.filename, place.lineno)
