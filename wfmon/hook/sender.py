"""The thread that connects to the monitor and sends the inbox's events, at most 60 times a second.

A daemon, started by the first request. Without a monitor it drops and counts events, and retries after 1, 2, ... 10 s;
while no request is open it does not retry.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

from wfmon.hook.inbox import END, FLUSH, PROMPT, START, Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from wfmon.hook.encoder import LineEncoder
    from wfmon.hook.place import Place
    from wfmon.hook.websocket import WebSocket

PATH = "/api/v1/hook"
SEND_INTERVAL_S = 1 / 60
POLL_S = 1.0
"""How often a connection with an open request is polled for pings and its end."""
IDLE_POLL_S = 10.0
"""The same without an open request."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0
MAX_BYTES, LEAST_BYTES = 262_144, 131_072


class Sender:
    """Sends the inbox's events. ``describe`` returns (via, name, runtime, pid, server) when connecting.

    ``trouble`` gets each internal error. ``start`` and ``stop``: any thread; the rest: its own thread.
    """

    def __init__(
        self,
        inbox: Inbox,
        find: Callable[[], Place | None],
        describe: Callable[[], tuple[str, str, str, int, str]],
        trouble: Callable[[BaseException], None],
    ) -> None:
        self._inbox = inbox
        self._find = find
        self._describe = describe
        self._trouble = trouble
        self._id = os.urandom(8).hex()
        self._thread: Thread | None = None
        self._starting = allocate_lock()
        self._stopping = False
        self._fresh = True
        """Queued events arrived after an idle period, so they are kept until the next attempt to connect."""
        self._websocket: WebSocket | None = None
        self._encoder: LineEncoder | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_at = 0.0
        self._sent_at = 0.0
        self._swept = 0
        self._max_bytes = MAX_BYTES
        self.keyed: tuple[bytes, Any] | None = None
        """The key and a keyed hasher to copy; None without a key. Read by any thread."""
        self.dropped = 0
        """Number of events that could not be sent."""
        self.refused = 0
        """Number of lines that the monitor refused."""
        self.connections = 0

    def start(self) -> None:
        """Start the thread if it is not running. Cheap."""
        if self._thread is not None:
            return
        from threading import Thread

        # Never waited for: its holder may be below us on this stack, if a signal handler calls a model.
        if not self._starting.acquire(blocking=False):
            return
        try:
            thread: Thread | None = self._thread
            if thread is None and not self._stopping:
                thread = Thread(target=self._run, name="wfmon hook", daemon=True)
                thread.start()
                self._thread = thread
        finally:
            self._starting.release()

    def stop(self, seconds: float) -> None:
        """Send queued events, disconnect and end the thread; wait at most this long. Idempotent."""
        self._stopping = True
        self._inbox.wake()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def abandon(self) -> None:
        """Give up connection and queue in the child after a fork: they belong to the parent."""
        self._stopping = True
        self._inbox.open = False
        if self._websocket is not None:
            self._websocket.drop()

    @property
    def key(self) -> bytes:
        """The key for token hashes; empty without a connection that wants them."""
        return self.keyed[0] if self.keyed is not None else b""

    @key.setter
    def key(self, key: bytes) -> None:
        from hashlib import blake2b

        self.keyed = (key, blake2b(key=key, digest_size=8)) if key else None

    @property
    def lost(self) -> int:
        """Number of events that the monitor will never get."""
        return self._inbox.lost + self.dropped

    def _run(self) -> None:
        from wfmon.hook.encoder import LineEncoder

        self._encoder = LineEncoder()
        while True:
            stopping = self._stopping
            try:
                self._step(self._encoder, stopping=stopping)
            except Exception as error:  # noqa: BLE001  the model's process must not notice
                self._trouble(error)
                self._retry_later()
            if stopping:
                self._inbox.open = False
                return
            self._sleep(self._encoder)

    def _step(self, encoder: LineEncoder, *, stopping: bool) -> None:
        if self._websocket is None and (self._fresh or time.monotonic() >= self._retry_at):
            if not self._fresh:  # events queued meanwhile are outdated
                self._drop(encoder, self._inbox.take())
            self._fresh = False
            self._connect(encoder)
        events = self._inbox.take()
        if self._inbox.lost != self._swept:
            self._swept = self._inbox.lost
            events += encoder.sweep()
        if self._websocket is None:
            self._drop(encoder, events)
        else:
            self._send_events(encoder, events)
        if stopping:
            self._disconnect(encoder)

    def _connect(self, encoder: LineEncoder) -> None:
        from wfmon.hook.encoder import source
        from wfmon.hook.websocket import Closed, WebSocket

        place = self._find()
        if place is None:
            self._retry_later()
            return
        try:
            websocket = WebSocket(place, PATH)
            try:
                self._read_hello(websocket.receive(2.0))
            except Closed:
                websocket.drop()
                raise
        except Closed as error:
            self._trouble(error)
            self._retry_later()
            return
        self._websocket = websocket
        encoder.key = self.key
        self.connections += 1
        lines = encoder.connected()
        try:
            self._send_lines([source(self._id, *self._describe()), self._beat_line()], head="")
            self._send_lines(lines, head=self._beat_line())
        except Closed as error:
            self._trouble(error)
            self._retry_later()
            return
        self._retry_s = FIRST_RETRY_S

    def _read_hello(self, messages: list[bytes]) -> None:
        """Read the monitor's hello. Raises Closed if it is malformed or has another version."""
        import json

        from wfmon.hook.websocket import Closed

        try:
            hello = json.loads(messages[0])
            known = hello["type"] == "hello" and hello["version"] == 1
            key = bytes.fromhex(hello["key"])
            most = int(hello["max_bytes"])
        except (IndexError, ValueError, KeyError, TypeError, RecursionError):
            raise Closed("the monitor did not send its hello") from None
        if not known or not 0 <= len(key) <= 64:
            raise Closed("the monitor uses another version")
        self.key = key
        self._max_bytes = min(max(most, LEAST_BYTES), MAX_BYTES)

    def _send_events(self, encoder: LineEncoder, events: list[tuple[Any, ...]]) -> None:
        from wfmon.hook.websocket import Closed

        websocket = self._websocket
        if websocket is None:
            return
        done = [event[3] for event in events if event[0] == FLUSH]
        batch = [event for event in events if event[0] != FLUSH]
        try:
            self._handle_replies(websocket.receive())  # raises Closed before anything is sent
            if batch:
                self._send_lines(encoder.lines(batch), head=self._beat_line())
        except Closed as error:
            self._trouble(error)
            self._retry_later()
            encoder.drop(batch)
            self.dropped += sum(1 for event in batch if event[0] not in {START, PROMPT})
            for record in encoder.open.values():
                record.lost = True
        for event in done:
            event.set()

    def _send_lines(self, lines: list[str], *, head: str) -> None:
        from wfmon.hook.encoder import messages

        if self._websocket is None:
            return
        if not head:
            head, *lines = lines
        for message, _ in messages(lines, head, self._max_bytes):
            self._websocket.send(message)
        self._sent_at = time.monotonic()

    def _handle_replies(self, messages: list[bytes]) -> None:
        """Count the lines that the monitor refused. Its reply has only our field's name, no user text."""
        for message in messages:
            if b'"refused"' in message[:64]:
                self.refused += 1
                self._trouble(ValueError("the monitor refused a line"))

    def _drop(self, encoder: LineEncoder, events: list[tuple[Any, ...]]) -> None:
        for event in events:
            if event[0] == FLUSH:
                event[3].set()
        self.dropped += encoder.drop(event for event in events if event[0] != FLUSH)

    def _retry_later(self) -> None:
        """Drop the connection and schedule the next attempt, each one second later than the last."""
        if self._websocket is not None:
            self._websocket.drop()
        self._websocket = None
        self.key = b""
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s + 1.0, LAST_RETRY_S)

    def _disconnect(self, encoder: LineEncoder) -> None:
        websocket = self._websocket
        if websocket is None:
            return
        now = time.monotonic_ns() // 1000
        self._send_events(
            encoder, [(END, record, now, "aborted", "exit", {}) for record in list(encoder.open.values())]
        )
        websocket.close(1001)
        self._websocket = None

    def _beat_line(self) -> str:
        from wfmon.hook.encoder import beat

        return beat(time.monotonic_ns() // 1000, self.lost)

    def _sleep(self, encoder: LineEncoder) -> None:
        now = time.monotonic()
        if self._websocket is None:
            if self._retry_at > now:
                self._inbox.sleep(self._retry_at - now, idle=False)
            if not encoder.open and not self._stopping and not self._inbox:
                self._fresh = True
                self._inbox.sleep(-1, idle=True)
            return
        due = self._sent_at + SEND_INTERVAL_S
        if due > now:
            self._inbox.sleep(due - now, idle=False)
        if not self._stopping:
            self._inbox.sleep(POLL_S if encoder.open else IDLE_POLL_S, idle=True)
