"""The hub: at each tick it encodes one frame per distinct plan and puts it into the clients' mailboxes."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from wfmon.core.answers.live import StreamHealth
from wfmon.stream import wire
from wfmon.stream.changes import Changes
from wfmon.stream.client import HELLO_S, Client, Plan
from wfmon.stream.history import Backfill, Grid
from wfmon.stream.messages import ClientMessage, StreamClosed
from wfmon.stream.watch import Selectors, Watched, selectors

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.core.registry import Registry
    from wfmon.core.types import Batch, ClockStep, CollectorStatus, Table

STOP_S = 0.4


class Hub:
    """Owns the clients. The ticker publishes; each client's own thread opens it, sends, receives and leaves.

    ``snapshot`` returns the grid of the last minutes, with at least everything published so far. ``push_ux(fields,
    client)`` raises ValueError with a sentence. ``check_token`` checks the token of a hello; the reply contains
    ``host_facts()``, facts about this machine that are not measurements.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        snapshot: Callable[[], Grid],
        rate_hz: int,
        mailbox_frames: int,
        stall_seconds: float,
        max_clients: int,
        push_ux: Callable[[dict[str, Any], str], None],
        *,
        boot: str | None = None,
        check_token: Callable[[str], bool] = lambda _: False,
        host_facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.boot = boot or secrets.token_hex(8)
        self.check_token = check_token
        self._registry = registry
        self._clock = clock
        self._ticks_a_second = rate_hz
        self._capacity = mailbox_frames
        self._stall_seconds = stall_seconds
        self._max_clients = max_clients
        self._push_ux = push_ux
        self._host_facts = host_facts
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        # Everything below is guarded by _lock.
        self._changes = Changes(registry)
        self._clients: dict[str, Client] = {}
        self._watched: dict[Selectors, Watched] = {}
        self._described = 0  # number of series that greeted clients know
        self._collectors: list[dict[str, Any]] = []
        self._facts: Mapping[str, Any] = {}  # as last sent to greeted clients
        self._absent: list[list[Any]] = []
        self._tables: dict[str, wire.Outgoing] = {}
        self._kept: dict[str, tuple[Table, int]] = {}  # encoded once a client watches
        self._closed: Counter[str] = Counter()
        self._encodes = 0
        self._encode_us = 0.0
        self._stopping = False
        self._history = Backfill(clock, snapshot, lambda: self._changes.seq)
        self._handlers: dict[str, Callable[[Client, dict[str, Any]], None]] = {
            "hello": self._hello,
            "rate": self._rate,
            "watch": self._watch,
            "pause": self._pause,
            "ping": self._ping,
            "ux": self._ux,
        }

    # --- the ticker --------------------------------------------------------------------------------------------------

    def publish(self, batches: Sequence[Batch], now_ms: int) -> None:
        """Add a tick's samples and put a frame into the mailbox of each client that is due. Never waits."""
        with self._lock:
            seq = self._changes.push(batches)
            self._history.drop_expired()
            if not self._clients:
                return
            self._describe()
            frames: dict[Plan, wire.Outgoing] = {}
            for client in self._live():
                plan = client.plan(seq)
                if plan is not None:
                    if plan not in frames:
                        frames[plan] = self._encode(seq, now_ms, plan)
                    client.deliver(frames[plan])
            self._end_unresponsive()

    def set_table(self, name: str, table: Table, t_ms: int, *, keep: bool = False) -> None:
        """Send a table's rows to the clients that watch it; ``keep``: also to later ones, until the next update."""
        with self._lock:
            if keep:
                self._kept[name] = (table, t_ms)
            watchers = [client for client in self._live() if name in client.tables and not client.paused]
            if watchers:
                self._tables[name] = message = _table(name, table, t_ms)
                for client in watchers:
                    client.mailbox.put(message, f"table {name}")
            else:
                self._tables.pop(name, None)

    def set_collectors(self, statuses: Sequence[CollectorStatus]) -> None:
        """Publish the collectors' status, with costs and counts, and changed host facts. Called once a second."""
        rows, facts = [asdict(status) for status in statuses], self._host_facts()
        with self._lock:
            if rows != self._collectors:
                self._collectors = rows
                self._broadcast_state("collectors", rows)
            if facts != self._facts:
                self._facts = facts
                self._broadcast_state("host_facts", facts)

    def set_absent(self, reasons: Mapping[int, str] | Mapping[int | str, str]) -> None:
        """Publish all absent series with their reasons: by id, or by name for a series that was never registered."""
        rows = [[key, reason] for key, reason in reasons.items()]
        with self._lock:
            if rows != self._absent:
                self._absent = rows
                self._describe()  # first, or a client could get a reason for an id that it does not know
                self._broadcast_state("absent", rows)

    def clock_step(self, step: ClockStep) -> None:
        """Announce a step of the wall clock, between the frames before and after it."""
        with self._lock:
            self._broadcast(wire.message("clock", t=step.t_ms, step_ms=step.step_ms, kind=step.kind))

    # --- other threads -----------------------------------------------------------------------------------------------

    def anyone(self) -> bool:
        """Return whether any client is connected and not paused. Any thread."""
        with self._lock:
            return any(not client.paused for client in self._live())

    def watching(self, table: str) -> bool:
        """Return whether any client that is not paused watches this table. Any thread."""
        with self._lock:
            return any(table in client.tables and not client.paused for client in self._live())

    def stats(self) -> StreamHealth:
        """Return the clients' state and the cost of frames. Any thread."""
        with self._lock:
            return {
                "seq": self._changes.seq,
                "clients": [client.health() for client in self._clients.values()],
                "max_clients": self._max_clients,
                "mailbox_frames": self._capacity,
                "ring_samples": self._changes.held,
                "encodes": self._encodes,
                "encode_us": round(self._encode_us, 1),
                "closed": dict(self._closed),
            }

    # --- a client's own thread ---------------------------------------------------------------------------------------

    def open(
        self, transport: Literal["websocket", "sse"], wake: threading.Event, abort: Callable[[], None], *, trusted: bool
    ) -> Client:
        """Register a client. It gets nothing until its hello, which must arrive within 5 s. Raises StreamClosed.

        ``wake`` is set when there is something to send; ``abort`` cuts the connection from another thread.
        ``trusted``: the request itself was authenticated, so the hello needs no token.
        """
        with self._lock:
            if self._stopping:
                raise StreamClosed("stopping", "The monitor is stopping.")
            if len(self._clients) >= self._max_clients:
                self._closed["full"] += 1
                raise StreamClosed(
                    "full",
                    f"{self._max_clients} clients are already connected. Close a page, or raise server.max_clients.",
                )
            client = Client(
                secrets.token_urlsafe(12), transport, self._clock, self._capacity, self._ticks_a_second, wake,
                self._handle, abort, trusted=trusted,
            )  # fmt: skip
            self._clients[client.name] = client
            return client

    def client(self, name: str) -> Client | None:
        """Return an open client by name, or None."""
        return self._clients.get(name)

    def leave(self, client: Client, cause: str = "") -> None:
        """Unregister a client whose connection ended. Idempotent. ``cause`` is "" if the client closed it."""
        with self._lock:
            if self._clients.pop(client.name, None) is None:
                return
            if client.ended is not None:
                cause = client.ended.cause
            elif client.stalled(self._clock.mono_ns(), 0.9 * self._stall_seconds):
                cause = "stalled"  # the connection's own timeout fired slightly earlier
            if cause:
                self._closed[cause] += 1
            self._forget_watches()
            self._left.notify_all()

    def close(self) -> None:
        """Close every client, wait up to 0.4 s, then cut the rest. Idempotent; later clients are refused."""
        with self._lock:
            self._stopping = True
            for client in self._clients.values():
                client.end(StreamClosed("stopping", "The monitor is stopping."))
            self._left.wait_for(lambda: not self._clients, STOP_S)
            rest = list(self._clients.values())
        for client in rest:
            client.abort()

    # --- messages ----------------------------------------------------------------------------------------------------

    def _handle(self, client: Client, message: ClientMessage) -> None:
        if client.greeted == (message.kind == "hello"):
            raise StreamClosed(
                "refused", "hello may be sent only once." if client.greeted else "The first message must be hello."
            )
        self._handlers[message.kind](client, message.fields)

    def _hello(self, client: Client, fields: dict[str, Any]) -> None:
        if fields["version"] != wire.VERSION:
            raise StreamClosed("version", f"This monitor uses version {wire.VERSION} of the protocol. Reload the page.")
        if not client.trusted and not self.check_token(fields.get("token", "")):
            raise StreamClosed("token", "The hello's token is not this monitor's. Reload the page.")
        client.set_rate(fields.get("rate_hz", self._ticks_a_second))
        watched = self._prepare(fields.get("watch", {}))
        since = fields["since"] if fields.get("boot") == self.boot and "since" in fields else None
        history = None
        while not self._join(client, watched, fields.get("watch", {}), since, history):
            history = self._history.get(None if watched is None else watched[0], self._wants(watched))

    def _join(
        self,
        client: Client,
        watched: tuple[Selectors, Watched] | None,
        watch: dict[str, Any],
        since: int | None,
        history: tuple[int, wire.Outgoing] | None,
    ) -> bool:
        """Greet a client and start it at ``since`` or after the history. False if it needs a (newer) history."""
        with self._lock:
            changes = self._changes
            resumed = since is not None and changes.floor <= since <= changes.seq
            if not resumed and (history is None or history[0] < changes.floor):
                return False
            self._describe()
            client.mailbox.put(self._greeting(client, resumed=resumed))
            if resumed and since is not None:
                client.resume_from(since)
            elif history is not None:
                client.resume_from(history[0])
                client.mailbox.put(history[1])
            client.mailbox.put(wire.message("state", collectors=self._collectors, absent=self._absent))
            client.send_state()
            client.greeted = True
            self._set_watch(client, watched, watch)
            return True

    def _greeting(self, client: Client, *, resumed: bool) -> wire.Outgoing:
        return wire.message(
            "hello",
            version=wire.VERSION,
            boot=self.boot,
            client=client.name,
            now_ms=self._clock.now_ms(),
            mono_ms=self._clock.mono_ns() // 1_000_000,
            rate_hz=round(client.rate_hz, 3),
            resumed=resumed,
            series=self._registry.describe()[: self._described],
            collectors=self._collectors,
            cores=os.cpu_count() or 1,
            host_facts=self._host_facts(),
        )

    def _rate(self, client: Client, fields: dict[str, Any]) -> None:
        client.set_rate(fields["rate_hz"])
        client.send_state()

    def _pause(self, client: Client, fields: dict[str, Any]) -> None:
        client.paused = fields["paused"]

    def _ping(self, client: Client, fields: dict[str, Any]) -> None:
        now_ms, mono_ms = self._clock.now_ms(), self._clock.mono_ns() // 1_000_000
        client.mailbox.put(wire.message("pong", **fields, now_ms=now_ms, mono_ms=mono_ms))

    def _ux(self, client: Client, fields: dict[str, Any]) -> None:
        # The tabs of a browser share one SSE stream, so there the page identifies the sender.
        who = client.name if client.transport == "websocket" else f"{client.name} {fields.get('page')}"
        try:
            self._push_ux(fields, who)
        except ValueError as error:
            raise StreamClosed("refused", f"ux: {error}") from error

    def _watch(self, client: Client, fields: dict[str, Any]) -> None:
        watched = self._prepare(fields)
        with self._lock:
            before = client.watch
            self._set_watch(client, watched, fields)
            if client.watch != before:
                client.resume_from(-1)  # newly watched series may not change for a long time

    def _prepare(self, fields: dict[str, Any]) -> tuple[Selectors, Watched] | None:
        """Parse selectors and match every series, outside the lock because it is slow. Raises StreamClosed."""
        if fields.get("series") is None:
            return None
        try:
            given = selectors(fields["series"])
        except ValueError as error:
            raise StreamClosed("refused", f"watch: {error}") from error
        watched = self._watched.get(given) or Watched(given)
        watched.flags(self._registry)
        return given, watched

    def _wants(self, watched: tuple[Selectors, Watched] | None) -> Callable[[int], bool]:
        if watched is None:
            return lambda _: True
        flags = watched[1].flags(self._registry)
        return lambda number: number < len(flags) and bool(flags[number])

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _live(self) -> list[Client]:
        return [client for client in self._clients.values() if client.greeted and client.ended is None]

    def _broadcast(self, message: wire.Outgoing, key: str | None = None) -> None:
        for client in self._live():
            client.mailbox.put(message, key)

    def _broadcast_state(self, name: str, value: object) -> None:
        """Send a part of the state; not encoded if there is nobody to receive it."""
        if self._live():
            self._broadcast(wire.message("state", **{name: value}), name)

    def _describe(self) -> None:
        """Send greeted clients the series registered since the last call."""
        count = len(self._registry)
        if count > self._described:
            known, self._described = self._described, count
            if self._live():
                self._broadcast(wire.message("series", series=self._registry.describe(known)[: count - known]))

    def _encode(self, seq: int, now_ms: int, plan: Plan) -> wire.Outgoing:
        begun_ns = self._clock.mono_ns()
        flags = None if plan.watch is None else self._watched[plan.watch].flags(self._registry)
        samples = self._changes.since(plan.since, flags, latest=plan.latest)
        frame = wire.frame(seq, now_ms, samples)
        took_us = (self._clock.mono_ns() - begun_ns) / 1000
        self._encodes += 1
        self._encode_us += (took_us - self._encode_us) * (0.02 if self._encodes > 50 else 1 / self._encodes)
        return frame

    def _set_watch(self, client: Client, watched: tuple[Selectors, Watched] | None, fields: dict[str, Any]) -> None:
        if "series" in fields:
            client.watch = None if watched is None else watched[0]
            if watched is not None:
                self._watched.setdefault(*watched)
            self._forget_watches()
        if "tables" in fields:
            fresh = frozenset(fields["tables"]) - client.tables
            client.tables = frozenset(fields["tables"])
            for name in fresh & (self._tables.keys() | self._kept.keys()):
                if name not in self._tables:
                    self._tables[name] = _table(name, *self._kept[name])
                client.mailbox.put(self._tables[name], f"table {name}")

    def _forget_watches(self) -> None:
        used = {client.watch for client in self._clients.values()}
        for unused in self._watched.keys() - used:
            del self._watched[unused]

    def _end_unresponsive(self) -> None:
        """Cut clients that do not read, and close those without a hello in time."""
        now_ns = self._clock.mono_ns()
        for client in self._clients.values():
            if client.stalled(now_ns, self._stall_seconds):
                client.end(StreamClosed("stalled", f"Nothing was read for {self._stall_seconds:g} s."))
                client.abort()
            elif not client.greeted and now_ns - client.opened_ns >= HELLO_S * 1e9:
                client.end(StreamClosed("no_hello", f"No hello arrived within {HELLO_S:g} s."))


def _table(name: str, table: Table, t_ms: int) -> wire.Outgoing:
    return wire.message("table", name=name, t=t_ms, columns=table.columns, rows=table.rows)
