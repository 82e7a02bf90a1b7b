"""Connections of hooks and the proxy: JSON lines are parsed, validated and passed on as events."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from wfmon.collect.models.ingest import lines as form
from wfmon.collect.models.ingest.events import Event, EventSource, Tokens
from wfmon.core.clock import Clock

VERSION = form.VERSION
MAX_MESSAGE_BYTES = 262_144
MAX_SOURCES = 256
MAX_REFUSALS = 100
"""Rejected lines after which a connection is closed."""
EVENTS_PER_SECOND = 20_000
"""Accepted from one source, in bursts of up to one second's worth; a chunk of tokens or another line counts as 1."""
AT_ONCE = 128
"""Events of a message that are passed on together."""
TOPS_AN_EVENT = 20
"""This many log-probabilities count as one more event: they are as much work."""
GRACE_S = 2
"""A source that reconnects within this time continues its requests."""
POST_GRACE_S = 30
"""The same for one that uses POST: between two posts it has no connection."""
OFFSET_WINDOW_S = 60
"""A source's clock offset is the smallest of the last one to two windows, so that drift does not accumulate."""
SET_BACK_US = 10_000_000
"""Posts may overtake one another; a clock that goes back further than this was set back."""
_NEVER = float("inf")


class RefusedLine(NamedTuple):
    """A rejected line: its number in the message, the field, and what it must be."""

    line: int
    field: str
    detail: str


class Taken(NamedTuple):
    """The result of a message: events accepted, and lines rejected."""

    events: int
    refused: list[RefusedLine]


class _Session:
    """A source, over all its connections. Guarded by its lock, except ``connections``: guarded by Ingest's."""

    def __init__(self, source: EventSource, now_ns: int) -> None:
        self.source = source
        self.lock = threading.Lock()
        self.connections = 0
        self._least = self._least_before = _NEVER
        self._turned_ns = now_ns
        self._beat_us = -1
        self._allowed = float(EVENTS_PER_SECOND)
        self._filled_ns = now_ns

    def beat(self, beat: form.Beat, now_ns: int) -> None:
        """Update the source's clock offset: the fastest message gives the best estimate."""
        if beat.t_us < self._beat_us - SET_BACK_US:  # its clock was set back: the old offset is invalid
            self._least = self._least_before = _NEVER
        elif now_ns - self._turned_ns > OFFSET_WINDOW_S * 1_000_000_000:
            self._least_before, self._least, self._turned_ns = self._least, _NEVER, now_ns
        self._beat_us = beat.t_us
        self._least = min(self._least, now_ns / 1_000 - beat.t_us)
        self.source.offset_us = min(self._least, self._least_before)
        self.source.lost = max(self.source.lost, beat.lost)

    def allows(self, weight: int, now_ns: int) -> bool:
        """Return whether ``weight`` more events may be accepted now, and if so deduct them from the allowance."""
        gained = (now_ns - self._filled_ns) * (EVENTS_PER_SECOND / 1e9)
        self._allowed = min(float(EVENTS_PER_SECOND), self._allowed + gained)
        self._filled_ns = now_ns
        if weight > self._allowed:
            return False
        self._allowed -= weight
        return True


class Ingest:
    """Opens connections. Any thread; each connection belongs to the thread that reads it."""

    def __init__(self, clock: Clock, put: Callable[[Sequence[Event]], int], *, boot: str) -> None:
        self.clock = clock
        self.put = put
        self.boot = boot
        self.dropped: Counter[str] = Counter()
        """Rejected lines by cause: ``model_refused`` (invalid), ``model_too_fast``."""
        # Keys the token hashes: new at each boot, so that hashes cannot be resolved to tokens later.
        self._key = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}  # under the lock

    def hello(self) -> dict[str, Any]:
        """Return the greeting of a client: ``{"type": "hello", "version", "boot", "key", "max_bytes"}``."""
        return {
            "type": "hello", "version": VERSION, "boot": self.boot, "key": self._key, "max_bytes": MAX_MESSAGE_BYTES
        }  # fmt: skip

    def open(self, *, post: bool = False) -> Connection:
        """Open a connection; ``post``: for one POST, whose source has 30 s to send the next one."""
        return Connection(self, POST_GRACE_S if post else GRACE_S)

    def join(self, source: EventSource, grace_s: int) -> _Session:
        """Return a source's session: the one it had, if its grace period has not passed. Raises BadLine, ValueError."""
        now_ns = self.clock.mono_ns()
        with self._lock:
            for key in [key for key, each in self._sessions.items() if each.source.gone(now_ns)]:
                del self._sessions[key]
            session = self._sessions.get(source.key)
            if session is None:
                if len(self._sessions) >= MAX_SOURCES and not self._evict_one():
                    raise ValueError(f"{MAX_SOURCES} sources are connected already; retry later")
                session = self._sessions[source.key] = _Session(source, now_ns)
            elif (session.source.pid, session.source.via) != (source.pid, source.via):
                raise form.BadLine("id", "belongs to another process: make it random, one for each process")
            elif grace_s == GRACE_S:
                session.source.joined += 1
            session.connections += 1
            session.source.left_ns = None
            session.source.grace_ns = grace_s * 1_000_000_000
            return session

    def _evict_one(self) -> bool:
        """Evict the source that has been disconnected longest; under the lock. False if all are connected."""
        away = [(each.source.left_ns, key) for key, each in self._sessions.items() if each.source.left_ns is not None]
        if away:
            self._sessions.pop(min(away)[1]).source.grace_ns = -1
        return bool(away)

    def leave(self, session: _Session) -> None:
        """Record that one of the session's connections ended."""
        with self._lock:
            session.connections -= 1
            if not session.connections:
                session.source.left_ns = self.clock.mono_ns()

    def count(self, cause: str, lines: int) -> None:
        """Count rejected lines."""
        with self._lock:
            self.dropped[cause] += lines


class Connection:
    """One client's lines. Call ``close`` when it ends: its source then has its grace period to reconnect."""

    def __init__(self, ingest: Ingest, grace_s: int) -> None:
        self._ingest = ingest
        self._grace_s = grace_s
        self._session: _Session | None = None
        self._refused = 0
        self._closed = False

    def take(self, text: bytes) -> Taken:
        """Process the lines of one message. Raises ValueError if the client must be disconnected.

        Lines read before that are accepted even then. Of lines that come too fast only the first is reported.
        """
        if self._closed:
            raise ValueError("the connection is closed")
        if len(text) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message is at most {MAX_MESSAGE_BYTES} bytes: send several")
        now_ns = self._ingest.clock.mono_ns()
        events: list[Event] = []
        refused: list[RefusedLine] = []
        too_fast = number_taken = 0
        for number, line in enumerate(_lines(text), 1):
            if not line or line.isspace():
                continue
            if len(events) >= AT_ONCE:  # pass on early: many programs may send at once, and the inbox is bounded
                number_taken += self._ingest.put(events)
                events = []
            if too_fast:
                too_fast += 1
                continue
            try:
                taken = self._line(line, now_ns, events)
            except form.BadLine as why:
                refused.append(RefusedLine(number, why.field, why.detail))
                self._refused += 1
                if self._refused >= MAX_REFUSALS:
                    break
            else:
                if not taken:
                    too_fast = 1
                    detail = f"more than {EVENTS_PER_SECOND} events a second: send fewer; the rest was dropped"
                    refused.append(RefusedLine(number, "line", detail))
        if too_fast:
            self._ingest.count("model_too_fast", too_fast)
        if len(refused) > bool(too_fast):
            self._ingest.count("model_refused", len(refused) - bool(too_fast))
        number_taken += self._ingest.put(events) if events else 0
        if self._refused >= MAX_REFUSALS:
            raise ValueError(f"{MAX_REFUSALS} lines were rejected, the last: {refused[-1].field} {refused[-1].detail}")
        return Taken(number_taken, refused)

    def close(self) -> None:
        """End the connection. Idempotent; ``take`` raises afterwards."""
        if not self._closed:
            self._closed = True
            if self._session is not None:
                self._ingest.leave(self._session)

    def _line(self, line: bytes, now_ns: int, events: list[Event]) -> bool:
        """Process one line; False if it comes too fast. Raises BadLine, ValueError."""
        fields = form.parse(line)
        if self._session is None:
            self._session = self._ingest.join(form.source(fields), self._grace_s)
            return True
        session = self._session
        with session.lock:
            if fields["e"] == "beat":
                session.beat(form.beat(fields), now_ns)
                return True
            event = form.event(session.source, fields)
            if session.source.offset_us == _NEVER:
                raise form.BadLine("e", "a beat must come first: it synchronises your clock with ours")
            if not session.allows(_weight(event), now_ns):
                return False
            events.append(event)
            return True


def _lines(text: bytes) -> Iterator[bytes]:
    """Yield the lines of a message one by one: a list would be a second copy."""
    at = 0
    while (end := text.find(b"\n", at)) >= 0:
        yield text[at:end]
        at = end + 1
    yield text[at:]


def _weight(event: Event) -> int:
    if not isinstance(event, Tokens):
        return 1
    tops = 0 if event.tops is None else sum(len(top) for top in event.tops if top is not None)
    return len(event.t_us) + tops // TOPS_AN_EVENT
