"""A client on a WebSocket: the connection's thread sends and handles messages; simple-websocket's thread only reads.

One event wakes the connection's thread for both directions: two threads per client suffice, and neither polls.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from wfmon.stream import wire
from wfmon.stream.messages import CODES, MAX_MESSAGE_BYTES, StreamClosed

if TYPE_CHECKING:
    from wfmon.stream.hub import Hub

UNREAD_BYTES = 4 * MAX_MESSAGE_BYTES
"""Bytes received ahead of processing; then the reader waits, and TCP flow control slows the client down."""
CLOSE_S = 0.3
"""How long a client gets to answer our close frame."""


class RawSocket(Protocol):
    """The connection. ``send`` sends everything or raises OSError; ``close`` ends both directions, from any thread."""

    def send(self, data: bytes) -> object: ...
    def recv(self, size: int) -> bytes: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class PacedSocket:
    """The socket for simple-websocket: reads no faster than messages are processed, and leaves closing to the sender.

    Closing at once would discard what the client has not read yet, such as the reason.
    """

    def __init__(self, socket: RawSocket, unread_bytes: int = UNREAD_BYTES) -> None:
        self._socket = socket
        self._unread_bytes = unread_bytes
        self._sending = threading.Lock()
        self._closing = False
        self._unread = 0  # a race between the two threads admits a little more, which is harmless
        self._room = threading.Event()
        self._room.set()

    def send(self, data: bytes, *, last: bool = False) -> int:
        """Send whole frames. Nothing is sent after a close frame, ours (``last``) or the reader's reply to one."""
        with self._sending:
            if not self._closing:
                self._closing = last or data[0] == wire.CLOSE
                self._socket.send(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        self._room.wait()
        data = self._socket.recv(size)
        self._unread += len(data)
        if self._unread >= self._unread_bytes:
            self._room.clear()
        return data

    def processed(self) -> None:
        """Mark everything read so far as processed."""
        self._unread = 0
        self._room.set()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Do nothing: see ``abort``."""

    def abort(self) -> None:
        """Close both directions at once. Any thread."""
        self._socket.close()
        self._room.set()


class ServerWebSocket(Protocol):
    """The parts of simple-websocket's Server that are used here."""

    sock: PacedSocket
    connected: bool
    event: threading.Event
    thread: threading.Thread
    input_buffer: list[str | bytes]
    incoming_message_len: int
    close_reason: int


def serve_websocket(ws: ServerWebSocket, hub: Hub, *, trusted: bool) -> None:
    """Serve a client in the calling thread until one side closes. Connection errors are handled here.

    Our own errors are raised after the client was informed.
    """
    try:
        client = hub.open("websocket", ws.event, ws.sock.abort, trusted=trusted)
    except StreamClosed as why:
        close_websocket(ws, why, [wire.message("error", code=why.code, detail=why.sentence)])
        return
    cause = ""
    try:
        while ws.connected and not client.over():
            # The timeout covers a reader thread that dies silently; everything else sets the event.
            ws.event.wait(1.0)
            ws.event.clear()
            while ws.input_buffer and not client.over():
                client.receive(ws.input_buffer.pop(0))
            ws.sock.processed()
            while not client.over() and (batch := client.take()):
                ws.sock.send(wire.text_frames(batch))
        if client.ended is None:
            cause = _cause(ws)
    except OSError:
        cause = "lost"
    except Exception:
        client.end(StreamClosed("failed", "The monitor had an internal error; its log has the details."))
        raise
    finally:
        hub.leave(client, cause)
        close_websocket(ws, client.ended, client.take())


def close_websocket(ws: ServerWebSocket, why: StreamClosed | None, last: list[wire.Outgoing]) -> None:
    """Send the reason and a close frame, give the client time to answer, and make the reader thread end."""
    try:
        if why is not None and ws.connected:
            ws.sock.send(wire.text_frames(last) + wire.close_frame(why.code, why.sentence), last=True)
    except OSError:
        pass  # the client is gone
    ws.sock.processed()
    ws.thread.join(CLOSE_S)
    ws.connected = False
    if ws.thread.is_alive():
        ws.sock.abort()
        ws.thread.join(CLOSE_S)


def _cause(ws: ServerWebSocket) -> str:
    """Return why simple-websocket closed the connection, "" if the client did."""
    if ws.incoming_message_len > MAX_MESSAGE_BYTES:
        return "too_big"
    return "malformed" if ws.close_reason in {1002, CODES["binary"], CODES["malformed"]} else ""
