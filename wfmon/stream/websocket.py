"""A client on a WebSocket: the connection's thread sends and obeys, simple-websocket's thread only reads.

One event wakes the connection's thread, for what comes in as for what goes out: two threads a client suffice, and none
polls.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from wfmon.stream import wire
from wfmon.stream.messages import CODES, MAX_MESSAGE_BYTES, StreamClosed

if TYPE_CHECKING:
    from wfmon.stream.hub import Hub

UNREAD_BYTES = 4 * MAX_MESSAGE_BYTES
"""What may come in before it is obeyed; then the reader waits, and the network holds the client back."""
GOODBYE_S = 0.3
"""How long a client that was told to go may take to say so too."""


class RawSocket(Protocol):
    """The connection: ``send`` sends everything or raises OSError; ``close`` ends both directions, from any thread."""

    def send(self, data: bytes) -> object: ...
    def recv(self, size: int) -> bytes: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class PacedSocket:
    """The socket that simple-websocket gets: it reads no faster than is obeyed, and leaves closing to the sender.

    Closing at once would throw away what the client has not read yet, such as the reason.
    """

    def __init__(self, socket: RawSocket, unread_bytes: int = UNREAD_BYTES) -> None:
        self._socket = socket
        self._unread_bytes = unread_bytes
        self._sending = threading.Lock()
        self._said_goodbye = False
        self._unread = 0  # a race between the two threads lets in a little more, no harm
        self._room = threading.Event()
        self._room.set()

    def send(self, data: bytes, *, last: bool = False) -> int:
        """Send whole frames. Nothing follows a closing frame, be it ours (``last``) or the reader's answer to one."""
        with self._sending:
            if not self._said_goodbye:
                self._said_goodbye = last or data[0] == wire.CLOSE
                self._socket.send(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        self._room.wait()
        data = self._socket.recv(size)
        self._unread += len(data)
        if self._unread >= self._unread_bytes:
            self._room.clear()
        return data

    def obeyed(self) -> None:
        """Say that what was read is dealt with."""
        self._unread = 0
        self._room.set()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Do nothing: see ``abort``."""

    def abort(self) -> None:
        """End both directions at once. Any thread."""
        self._socket.close()
        self._room.set()


class ServerWebSocket(Protocol):
    """What is used of simple-websocket's server side."""

    sock: PacedSocket
    connected: bool
    event: threading.Event
    thread: threading.Thread
    input_buffer: list[str | bytes]
    incoming_message_len: int
    close_reason: int


def converse(ws: ServerWebSocket, hub: Hub, *, trusted: bool) -> None:
    """Serve a client until one side ends it, in the calling thread. Whatever the connection does ends here.

    What is an error of ours is raised, after the client was told.
    """
    try:
        client = hub.open("websocket", ws.event, ws.sock.abort, trusted=trusted)
    except StreamClosed as why:
        say_goodbye(ws, why, [wire.message("error", code=why.code, detail=why.sentence)])
        return
    cause = ""
    try:
        while ws.connected and not client.over():
            # The timeout is for a reader that dies without a word; all else sets the event.
            ws.event.wait(1.0)
            ws.event.clear()
            while ws.input_buffer and not client.over():
                client.receive(ws.input_buffer.pop(0))
            ws.sock.obeyed()
            while not client.over() and (batch := client.take()):
                ws.sock.send(wire.text_frames(batch))
        if client.ended is None:
            cause = _why_gone(ws)
    except OSError:
        cause = "lost"
    except Exception:
        client.end(StreamClosed("failed", "The monitor met an error of its own; its log says more."))
        raise
    finally:
        hub.leave(client, cause)
        say_goodbye(ws, client.ended, client.take())


def say_goodbye(ws: ServerWebSocket, why: StreamClosed | None, last: list[wire.Outgoing]) -> None:
    """Tell the client why, let it take leave in its own time, and see that the reader ends."""
    try:
        if why is not None and ws.connected:
            ws.sock.send(wire.text_frames(last) + wire.close_frame(why.code, why.sentence), last=True)
    except OSError:
        pass  # it is gone, and cannot be told
    ws.sock.obeyed()
    ws.thread.join(GOODBYE_S)
    ws.connected = False
    if ws.thread.is_alive():
        ws.sock.abort()
        ws.thread.join(GOODBYE_S)


def _why_gone(ws: ServerWebSocket) -> str:
    """Tell why simple-websocket has ended it: "" when the client went by itself."""
    if ws.incoming_message_len > MAX_MESSAGE_BYTES:
        return "too_big"
    return "malformed" if ws.close_reason in {1002, CODES["binary"], CODES["malformed"]} else ""
