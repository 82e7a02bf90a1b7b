"""``/api/v1/hook``: where hooks, the proxy and programs in other languages tell of models. Behind the guard.

Lines of JSON come in, over a WebSocket or as the body of a POST; what is refused is answered line by line. No line and
no word of one reaches the log.
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
from wfmon.stream.websocket import say_goodbye

if TYPE_CHECKING:
    from wfmon.collect.models.ingest.inbox import Connection, RefusedLine
    from wfmon.stream.websocket import ServerWebSocket

log = logging.getLogger(__name__)

PATH = "/api/v1/hook"
MAX_CLIENTS = 64
CONTENT_TYPE = "application/x-ndjson"
_FULL = f"{MAX_CLIENTS} programs tell of models already."
_STOPPING = "The monitor stops."


class Hooks:
    """The open connections. Any thread; each connection belongs to the thread that serves it."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._lock = threading.Lock()
        self._open: set[_Seat] = set()  # under _lock
        self._stopping = False  # set under _lock

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End every connection; who comes later is refused. Idempotent, does not wait.

        Each client is told, and cut off 0.3 s later by its own thread; one that is stuck in a write is cut off now.
        """
        with self._lock:
            self._stopping = True
            seats = list(self._open)
        for seat in seats:
            seat.end()

    def refusal(self) -> StreamClosed | None:
        """Tell why nobody more can come, None while there is room."""
        if self._stopping:
            return StreamClosed("stopping", _STOPPING)
        return StreamClosed("full", _FULL) if len(self._open) >= MAX_CLIENTS else None

    def converse(self, ws: ServerWebSocket) -> None:
        """Serve a client until one side ends it, in the calling thread. Raises nothing."""
        seat = _Seat(ws)
        why = self._enter(seat)
        try:
            if why is None:
                why = self._serve(ws, seat)
        except OSError:
            pass  # it is gone, or has read nothing for three seconds
        except Exception as error:  # noqa: BLE001  the edge of the connection's thread
            _log_failure(error)
            why = StreamClosed("failed", "The monitor met an error of its own; its log says more.")
        finally:
            with self._lock:
                self._open.discard(seat)
            say_goodbye(ws, why, [])

    def post(self) -> Response:
        """Take the lines of a request's body."""
        if request.mimetype != CONTENT_TYPE:
            fix = f"Send lines of JSON with Content-Type: {CONTENT_TYPE}."
            return Problem(415, "type", "The body is not said to be lines of JSON.", fix).response()
        request.max_content_length = MAX_MESSAGE_BYTES
        try:
            body = request.get_data(cache=False)
        except RequestEntityTooLarge:
            fix = f"Send at most {MAX_MESSAGE_BYTES} bytes at once: several requests, each beginning with its source."
            return Problem(413, "too_big", "The body is too large.", fix).response()
        seat = _Seat(None)
        why = self._enter(seat)
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
                self._open.discard(seat)
        if not body.strip() or (taken.refused and not taken.events):
            return _unread("No line could be read." if taken.refused else "The body is empty.", taken.refused)
        answer = {"taken": taken.events, "refused": [each._asdict() for each in taken.refused]}
        return Response(orjson.dumps(answer), content_type="application/json")

    def _enter(self, seat: _Seat) -> StreamClosed | None:
        with self._lock:
            why = self.refusal()
            if why is None:
                self._open.add(seat)
            return why

    def _serve(self, ws: ServerWebSocket, seat: _Seat) -> StreamClosed | None:
        connection = self._ingest.open()
        try:
            seat.send([wire.Outgoing(orjson.dumps(self._ingest.hello()))])
            return _converse(ws, seat, connection)
        finally:
            connection.close()


class _Seat:
    """One open connection: what ``close`` needs to end it. A POST has none, and ends by itself."""

    def __init__(self, ws: ServerWebSocket | None) -> None:
        self._ws = ws
        self.stopping = False
        self._sending = False

    def send(self, messages: list[wire.Outgoing]) -> None:
        """Send; for the connection's thread. Raises OSError when the client reads nothing for three seconds."""
        if self._ws is not None:
            self._sending = True
            self._ws.sock.send(wire.text_frames(messages))
            self._sending = False

    def end(self) -> None:
        """Have the connection end. Any thread."""
        self.stopping = True
        if self._ws is not None:
            self._ws.event.set()
            if self._sending:
                self._ws.sock.abort()


def install_hook(server: Flask, ingest: Ingest) -> Hooks:
    """Add the routes: WebSocket, and POST of lines of JSON. Give the connections, whose ``close`` ends them all."""
    hooks = Hooks(ingest)

    def full() -> Response | None:
        why = hooks.refusal()
        return None if why is None else _unavailable(why)

    @websocket(
        server, PATH, max_bytes=MAX_MESSAGE_BYTES, unread_bytes=2 * MAX_MESSAGE_BYTES, full=full,
        instead="Open it with a WebSocket client over HTTP/1.1, or POST the lines.",
    )  # fmt: skip
    def hook(connection: Any) -> None:  # noqa: ANN401  simple_websocket.Server has no types
        hooks.converse(connection)

    @server.post(PATH)
    def lines() -> Response:
        try:
            return hooks.post()
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001  the common handler would log what the exception says
            _log_failure(error)
            fix = "The log in the data folder tells where."
            return Problem(500, "error", "The monitor met an error while answering.", fix).response()

    return hooks


def _converse(ws: ServerWebSocket, seat: _Seat, connection: Connection) -> StreamClosed | None:
    """Take messages until the connection ends; gives why the client is sent away, None when it went by itself."""
    while True:
        is_open = ws.connected  # asked first: what came before the end is still taken
        while ws.input_buffer:
            message = ws.input_buffer.pop(0)
            if isinstance(message, bytes):
                return StreamClosed("binary", "Lines of JSON come as text.")
            lines = message.encode()
            if len(lines) > MAX_MESSAGE_BYTES:  # simple-websocket has counted characters
                return StreamClosed("too_big", f"A message may have {MAX_MESSAGE_BYTES} bytes.")
            try:
                taken = connection.take(lines)
            except ValueError as error:
                return StreamClosed("refused", str(error))
            if taken.refused:
                seat.send([_refused(each) for each in taken.refused])
        ws.sock.obeyed()
        if seat.stopping:
            return StreamClosed("stopping", _STOPPING)
        if not is_open:
            return None
        ws.event.wait(1.0)  # the timeout is for a reader that dies without a word; all else sets the event
        ws.event.clear()


def _refused(each: RefusedLine) -> wire.Outgoing:
    return wire.message("refused", **each._asdict())


def _unread(detail: str, refused: list[RefusedLine]) -> Response:
    rows = [each._asdict() for each in refused]
    extra = {"field": rows[0]["field"] if rows else "", "refused": rows}
    return Problem(400, "lines", detail, "docs/ingest.md has the form of the lines.", extra=extra).response()


def _unavailable(why: StreamClosed) -> Response:
    fix = "End a program that you do not need." if why.cause == "full" else "Start the monitor again."
    return Problem(503, why.cause, why.sentence, fix).response()


def _log_failure(error: Exception) -> None:
    """Log where it happened, not what it says: that may quote a line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s failed: %s at %s:%s", PATH, type(error).__name__, place.filename, place.lineno)
