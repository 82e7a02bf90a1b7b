"""The thread that speaks to the monitor: finds it, tells it what the inbox holds at most 60 times a second, and sleeps.

Started by the first request, a daemon, never seen by the caller. While the monitor is away it drops and counts, and
looks for it again after 1, 2, ... 10 s; with no request open it does not even look.
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

    from wfmon.hook.place import Place
    from wfmon.hook.tell import Teller
    from wfmon.hook.websocket import WebSocket

PATH = "/api/v1/hook"
BEAT_S = 1 / 60
LOOK_S = 1.0
"""Between looks at a connection on which a request is open, for pings and for its end."""
REST_S = 10.0
"""The same with nothing open."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0
MAX_BYTES, LEAST_BYTES = 262_144, 131_072


class Sender:
    """Takes from the inbox and tells. ``describe`` gives (via, name, runtime, pid, server) at connecting.

    ``trouble`` is told each error of our own. ``start`` and ``stop`` from any thread; the rest is its own thread's.
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
        """What waits came after a rest, so it may wait until we are connected."""
        self._line: WebSocket | None = None
        self._teller: Teller | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_at = 0.0
        self._sent_at = 0.0
        self._swept = 0
        self._max_bytes = MAX_BYTES
        self.keyed: tuple[bytes, Any] | None = None
        """The key, and a hasher under it to copy; None without a key. Any thread reads."""
        self.dropped = 0
        """Events that could not be sent."""
        self.refused = 0
        """Lines that the monitor did not take."""
        self.connections = 0

    def start(self) -> None:
        """Start the thread if it does not run. Cheap."""
        if self._thread is not None:
            return
        from threading import Thread

        # Not waited for: who holds it may stand below us on this very stack, when a signal's handler asks a model.
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
        """Send what waits, say goodbye, and end; wait at most so long for it. Idempotent."""
        self._stopping = True
        self._inbox.wake()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def abandon(self) -> None:
        """After a fork, in the child: the connection and what waits are the parent's."""
        self._stopping = True
        self._inbox.open = False
        if self._line is not None:
            self._line.drop()

    @property
    def key(self) -> bytes:
        """The key for hashes of tokens; empty while nobody would take them."""
        return self.keyed[0] if self.keyed is not None else b""

    @key.setter
    def key(self, key: bytes) -> None:
        from hashlib import blake2b

        self.keyed = (key, blake2b(key=key, digest_size=8)) if key else None

    @property
    def lost(self) -> int:
        """Events that the monitor will never get."""
        return self._inbox.lost + self.dropped

    def _run(self) -> None:
        from wfmon.hook.tell import Teller

        self._teller = Teller()
        while True:
            stopping = self._stopping
            try:
                self._step(self._teller, stopping=stopping)
            except Exception as error:  # noqa: BLE001  whatever it is, the model's process must not notice
                self._trouble(error)
                self._away()
            if stopping:
                self._inbox.open = False
                return
            self._rest(self._teller)

    def _step(self, teller: Teller, *, stopping: bool) -> None:
        if self._line is None and (self._fresh or time.monotonic() >= self._retry_at):
            if not self._fresh:  # what waited meanwhile is old
                self._drop(teller, self._inbox.take())
            self._fresh = False
            self._connect(teller)
        events = self._inbox.take()
        if self._inbox.lost != self._swept:
            self._swept = self._inbox.lost
            events += teller.sweep()
        if self._line is None:
            self._drop(teller, events)
        else:
            self._say(teller, events)
        if stopping:
            self._goodbye(teller)

    def _connect(self, teller: Teller) -> None:
        from wfmon.hook.tell import source
        from wfmon.hook.websocket import Closed, WebSocket

        place = self._find()
        if place is None:
            self._away()
            return
        try:
            line = WebSocket(place, PATH)
            try:
                self._greet(line.receive(2.0))
            except Closed:
                line.drop()
                raise
        except Closed as error:
            self._trouble(error)
            self._away()
            return
        self._line = line
        teller.key = self.key
        self.connections += 1
        lines = teller.connected()
        try:
            self._tell([source(self._id, *self._describe()), self._beat()], head="")
            self._tell(lines, head=self._beat())
        except Closed as error:
            self._trouble(error)
            self._away()
            return
        self._retry_s = FIRST_RETRY_S

    def _greet(self, messages: list[bytes]) -> None:
        """Read the monitor's hello. Raises Closed if it is none, or one of another version."""
        import json

        from wfmon.hook.websocket import Closed

        try:
            said = json.loads(messages[0])
            known = said["type"] == "hello" and said["version"] == 1
            key = bytes.fromhex(said["key"])
            most = int(said["max_bytes"])
        except (IndexError, ValueError, KeyError, TypeError, RecursionError):
            raise Closed("the monitor did not say hello") from None
        if not known or not 0 <= len(key) <= 64:
            raise Closed("the monitor speaks another version")
        self.key = key
        self._max_bytes = min(max(most, LEAST_BYTES), MAX_BYTES)

    def _say(self, teller: Teller, events: list[tuple[Any, ...]]) -> None:
        from wfmon.hook.websocket import Closed

        line = self._line
        if line is None:
            return
        done = [event[3] for event in events if event[0] == FLUSH]
        told = [event for event in events if event[0] != FLUSH]
        try:
            self._hear(line.receive())  # if it has ended, nothing must go into it
            if told:
                self._tell(teller.lines(told), head=self._beat())
        except Closed as error:
            self._trouble(error)
            self._away()
            teller.drop(told)
            self.dropped += sum(1 for event in told if event[0] not in {START, PROMPT})
            for record in teller.open.values():
                record.lost = True
        for event in done:
            event.set()

    def _tell(self, lines: list[str], *, head: str) -> None:
        from wfmon.hook.tell import messages

        if self._line is None:
            return
        if not head:
            head, *lines = lines
        for message, _ in messages(lines, head, self._max_bytes):
            self._line.send(message)
        self._sent_at = time.monotonic()

    def _hear(self, messages: list[bytes]) -> None:
        """Count what the monitor refused. It says which field; that is ours, not the stream's."""
        for message in messages:
            if b'"refused"' in message[:64]:
                self.refused += 1
                self._trouble(ValueError("the monitor refused a line"))

    def _drop(self, teller: Teller, events: list[tuple[Any, ...]]) -> None:
        for event in events:
            if event[0] == FLUSH:
                event[3].set()
        self.dropped += teller.drop(event for event in events if event[0] != FLUSH)

    def _away(self) -> None:
        """No connection: try again later, each time a second later than before."""
        if self._line is not None:
            self._line.drop()
        self._line = None
        self.key = b""
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s + 1.0, LAST_RETRY_S)

    def _goodbye(self, teller: Teller) -> None:
        line = self._line
        if line is None:
            return
        now = time.monotonic_ns() // 1000
        self._say(teller, [(END, record, now, "aborted", "exit", {}) for record in list(teller.open.values())])
        line.close(1001)
        self._line = None

    def _beat(self) -> str:
        from wfmon.hook.tell import beat

        return beat(time.monotonic_ns() // 1000, self.lost)

    def _rest(self, teller: Teller) -> None:
        now = time.monotonic()
        if self._line is None:
            if self._retry_at > now:
                self._inbox.sleep(self._retry_at - now, idle=False)
            if not teller.open and not self._stopping and not self._inbox:
                self._fresh = True
                self._inbox.sleep(-1, idle=True)
            return
        due = self._sent_at + BEAT_S
        if due > now:
            self._inbox.sleep(due - now, idle=False)
        if not self._stopping:
            self._inbox.sleep(LOOK_S if teller.open else REST_S, idle=True)
