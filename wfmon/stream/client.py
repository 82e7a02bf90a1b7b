"""One client as the hub sees it, whatever brings its messages: its pace, what it watches, how far it has come."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from wfmon.core.answers.live import ClientHealth
from wfmon.stream import wire
from wfmon.stream.changes import Since
from wfmon.stream.mailbox import DROP, LEVELS, NEVER, NORMAL, ONCE_A_SECOND, Mailbox, next_level
from wfmon.stream.messages import Said, StreamClosed, parse

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.stream.watch import Selectors

MESSAGES_A_SECOND = 50
MESSAGES_AT_ONCE = 100
HELLO_S = 5.0


class Plan(NamedTuple):
    """What a client's next frame holds. Clients with equal plans get the same bytes."""

    since: Since
    latest: bool
    watch: Selectors | None


class Client:
    """A page or program that watches.

    The ticker plans and fills the mailbox (under the hub's lock), the client's own thread sends, and what the client
    says comes by that thread or by those of its requests. ``act`` is told of each good message, ``abort`` cuts
    the line.
    """

    def __init__(
        self,
        name: str,
        transport: Literal["websocket", "sse"],
        clock: Clock,
        capacity: int,
        ticks_a_second: int,
        wake: threading.Event,
        act: Callable[[Client, Said], None],
        abort: Callable[[], None],
        *,
        trusted: bool,
    ) -> None:
        self.name = name
        self.transport = transport
        self.mailbox = Mailbox(wake)
        self.abort = abort
        self.trusted = trusted
        """Needs no token in its hello: the request itself bore one."""
        self.opened_ns = clock.mono_ns()
        self.since_ms = clock.now_ms()
        self.said_hello = False
        self.paused = False
        self.watch: Selectors | None = None
        self.tables: frozenset[str] = frozenset()
        self.level = NORMAL
        self.sent = 0
        self.ended: StreamClosed | None = None
        self._clock = clock
        self._capacity = capacity
        self._ticks = ticks_a_second
        self._act = act
        self._every = 1
        self._since: Since = (-1, -1, -1)
        self._merge = False
        self._busy_ns: int | None = None
        self._saying = threading.Lock()
        self._allowance = float(MESSAGES_AT_ONCE)
        self._refilled_ns = self.opened_ns

    def over(self) -> bool:
        """Whether the client has been asked to end."""
        return self.ended is not None

    @property
    def rate_hz(self) -> float:
        """Frames a second: the ticker's rate divided by a whole number."""
        return self._ticks / self._every

    def set_rate(self, rate_hz: float) -> None:
        """Take the highest rate that is not above the wanted one and divides the ticker's."""
        self._every = max(1, math.ceil(self._ticks / rate_hz))

    def go_on_from(self, seq: int) -> None:
        """Say that the client has everything up to ``seq``; -1: nothing, so that every latest value comes next."""
        self._since = (seq, seq, seq)

    def tell_state(self) -> None:
        """Tell the client its level and rate; a state that still waits is replaced, never lost."""
        row = {"level": LEVELS[self.level].name, "rate_hz": round(self.rate_hz, 3)}
        self.mailbox.put(wire.message("state", client=row), "client")

    # --- the ticker's side -------------------------------------------------------------------------------------------

    def plan(self, seq: int) -> Plan | None:
        """Tell what this tick's frame holds, None when none is due. The caller delivers it at once."""
        level = next_level(self.level, self.mailbox.depth, self._capacity)
        if level != self.level:
            self.level = level
            self.tell_state()
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
        """Whether the sender has been stuck on one piece for so long: the client does not read."""
        return self._busy_ns is not None and now_ns - self._busy_ns >= seconds * 1e9

    def end(self, why: StreamClosed) -> None:
        """Close the client: it is told why, and its thread hangs up. Any thread; the first reason stands."""
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
        """Give what is to be sent next, [] when nothing waits; what was given before counts as sent."""
        batch = self.mailbox.take()
        self._busy_ns = self._clock.mono_ns() if batch else None
        self.sent += len(batch)
        return batch

    def receive(self, data: str | bytes) -> None:
        """Take a message of the client, one at a time whoever brings them. One that is refused ends the client."""
        with self._saying:
            if self.ended is not None:
                return
            try:
                self._pay()
                self._act(self, parse(data))
            except StreamClosed as why:
                self.end(why)

    def _pay(self) -> None:
        now_ns = self._clock.mono_ns()
        earned = (now_ns - self._refilled_ns) / 1e9 * MESSAGES_A_SECOND
        self._allowance = min(MESSAGES_AT_ONCE, self._allowance + earned) - 1
        self._refilled_ns = now_ns
        if self._allowance < 0:
            raise StreamClosed("too_fast", f"More than {MESSAGES_A_SECOND} messages a second.")

    def facts(self) -> ClientHealth:
        """Describe the client for the health page."""
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
