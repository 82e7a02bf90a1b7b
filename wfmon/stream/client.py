"""One client of the hub, on any transport: its rate, the series it watches, its position in the stream."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from wfmon.core.answers.live import ClientHealth
from wfmon.stream import wire
from wfmon.stream.changes import Since
from wfmon.stream.mailbox import DROP, LEVELS, NEVER, NORMAL, ONCE_A_SECOND, Mailbox, next_level
from wfmon.stream.messages import ClientMessage, StreamClosed, parse

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.stream.watch import Selectors

MESSAGES_A_SECOND = 50
MESSAGES_AT_ONCE = 100
HELLO_S = 5.0


class Plan(NamedTuple):
    """The contents of a client's next frame. Clients with equal plans get the same bytes."""

    since: Since
    latest: bool
    watch: Selectors | None


class Client:
    """A page or program that receives the stream.

    The ticker plans and fills the mailbox (under the hub's lock); the client's own thread sends. Its messages arrive
    on that thread or on those of its requests. ``handle`` gets each valid message; ``abort`` cuts the connection.
    """

    def __init__(
        self,
        name: str,
        transport: Literal["websocket", "sse"],
        clock: Clock,
        capacity: int,
        ticks_a_second: int,
        wake: threading.Event,
        handle: Callable[[Client, ClientMessage], None],
        abort: Callable[[], None],
        *,
        trusted: bool,
    ) -> None:
        self.name = name
        self.transport = transport
        self.mailbox = Mailbox(wake)
        self.abort = abort
        self.trusted = trusted
        """Needs no token in its hello: the request itself carried one."""
        self.opened_ns = clock.mono_ns()
        self.since_ms = clock.now_ms()
        self.greeted = False
        self.paused = False
        self.watch: Selectors | None = None
        self.tables: frozenset[str] = frozenset()
        self.level = NORMAL
        self.sent = 0
        self.ended: StreamClosed | None = None
        self._clock = clock
        self._capacity = capacity
        self._ticks = ticks_a_second
        self._handle = handle
        self._every = 1
        self._since: Since = (-1, -1, -1)
        self._merge = False
        self._busy_ns: int | None = None
        self._receiving = threading.Lock()
        self._allowance = float(MESSAGES_AT_ONCE)
        self._refilled_ns = self.opened_ns

    def over(self) -> bool:
        """Return whether the client is being closed."""
        return self.ended is not None

    @property
    def rate_hz(self) -> float:
        """Frames per second: the ticker's rate divided by a whole number."""
        return self._ticks / self._every

    def set_rate(self, rate_hz: float) -> None:
        """Set the highest rate that divides the ticker's and does not exceed the requested one."""
        self._every = max(1, math.ceil(self._ticks / rate_hz))

    def resume_from(self, seq: int) -> None:
        """Send only changes after tick ``seq`` from now on; -1 sends every latest value next."""
        self._since = (seq, seq, seq)

    def send_state(self) -> None:
        """Send the client its pressure level and rate. Replaces a state message still in the mailbox."""
        row = {"level": LEVELS[self.level].name, "rate_hz": round(self.rate_hz, 3)}
        self.mailbox.put(wire.message("state", client=row), "client")

    # --- the ticker's side -------------------------------------------------------------------------------------------

    def plan(self, seq: int) -> Plan | None:
        """Return the contents of this tick's frame, None if none is due. The caller delivers the frame at once."""
        level = next_level(self.level, self.mailbox.depth, self._capacity)
        if level != self.level:
            self.level = level
            self.send_state()
        if self.paused or seq % self._every:
            return None
        if level == DROP:
            self._merge = True
            return None
        latest = self._merge or level != NORMAL
        self._merge = level != NORMAL
        since = self._since
        if level != NORMAL:
            since = tuple(s if self._is_due(seq, p) else seq for p, s in enumerate(since))  # type: ignore[assignment]
        self._since = tuple(seq if self._is_due(seq, p) else s for p, s in enumerate(self._since))  # type: ignore[assignment]
        return Plan(since, latest, self.watch)

    def deliver(self, frame: wire.Outgoing) -> None:
        """Put a frame into the mailbox."""
        self.mailbox.put(frame, is_frame=True)

    def stalled(self, now_ns: int, seconds: float) -> bool:
        """Return whether one send has taken this long, because the client does not read."""
        return self._busy_ns is not None and now_ns - self._busy_ns >= seconds * 1e9

    def end(self, why: StreamClosed) -> None:
        """Send the client a reason and make its thread close it. Any thread; only the first reason counts."""
        if self.ended is None:
            self.ended = why
            self.mailbox.put(wire.message("error", code=why.code, detail=why.sentence))

    def _is_due(self, seq: int, priority: int) -> bool:
        every = LEVELS[self.level].every[priority]
        if every == ONCE_A_SECOND:
            every = max(1, self._ticks // self._every)
        return every != NEVER and (seq // self._every) % every == 0

    # --- the client's own thread -------------------------------------------------------------------------------------

    def take(self) -> list[wire.Outgoing]:
        """Return the next messages to send, [] if none. Counts the previously returned ones as sent."""
        batch = self.mailbox.take()
        self._busy_ns = self._clock.mono_ns() if batch else None
        self.sent += len(batch)
        return batch

    def receive(self, data: str | bytes) -> None:
        """Handle a message from the client, one at a time across threads. A refused message closes the client."""
        with self._receiving:
            if self.ended is not None:
                return
            try:
                self._spend_allowance()
                self._handle(self, parse(data))
            except StreamClosed as why:
                self.end(why)

    def _spend_allowance(self) -> None:
        now_ns = self._clock.mono_ns()
        earned = (now_ns - self._refilled_ns) / 1e9 * MESSAGES_A_SECOND
        self._allowance = min(MESSAGES_AT_ONCE, self._allowance + earned) - 1
        self._refilled_ns = now_ns
        if self._allowance < 0:
            raise StreamClosed("too_fast", f"More than {MESSAGES_A_SECOND} messages a second.")

    def health(self) -> ClientHealth:
        """Return the client's row in /api/v1/health."""
        return {
            "client": self.name,
            "transport": self.transport,
            "rate_hz": round(self.rate_hz, 3),
            "level": LEVELS[self.level].name,
            "paused": self.paused,
            "mailbox": self.mailbox.depth,
            "sent": self.sent,
            "since_ms": self.since_ms,
        }
