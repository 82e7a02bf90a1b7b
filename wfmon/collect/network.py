"""Loopback traffic and listeners, and proof that the monitor itself opens no external connection."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from wfmon.collect.counters import Total
from wfmon.collect.diag import connections
from wfmon.collect.sockets import STATES, LinuxSockets, Socket
from wfmon.core.clock import Clock
from wfmon.core.types import Cell, Frame, Layout, Series, Table

COLUMNS = ("port", "address", "process", "pid", "connections")
HIDDEN = "not visible to this user"
NO_LOOPBACK = "this system has no counters for its loopback interface"
RETRY_HIDDEN_S = 10
"""How often the process of a listener is searched for again if this user could not see it."""
_STATES = tuple(sorted(set(STATES.values()) - {"listen"}))
_LAYOUT = Layout(
    (
        Series("network.loopback_rx_bytes_per_second"),
        Series("network.loopback_tx_bytes_per_second"),
        Series("network.loopback_rx_packets_per_second"),
        Series("network.loopback_tx_packets_per_second"),
        *(Series.of("network.loopback_connections", state=state) for state in _STATES),
        Series("network.loopback_listeners"),
        Series("network.own_external_connections"),
        Series("network.own_external_listeners"),
    )
)


class Sockets(Protocol):
    """The operating system's sockets; see ``sockets.LinuxSockets``. Methods may raise OSError."""

    def traffic(self) -> Mapping[str, tuple[int, int, int, int]]: ...
    def sockets(self) -> list[Socket]: ...
    def own(self) -> set[int]: ...
    def holders(self, wanted: set[int]) -> Mapping[int, tuple[int, str]]: ...
    def close(self) -> None: ...


def these_sockets(platform: str = sys.platform) -> Sockets:
    """Return the reader for this operating system."""
    if platform == "linux":
        return LinuxSockets(quick=connections)
    from wfmon.collect.portable import PortableSockets

    return PortableSockets()


class NetworkCollector:
    """Measures loopback traffic and reads all sockets of this machine once per sample.

    ``watching("listeners")`` turns the table of listeners on. A connection that opens and closes between two samples
    is not seen.
    """

    name = "network"

    def __init__(self, clock: Clock, watching: Callable[[str], bool], sockets: Sockets | None = None) -> None:
        self._clock = clock
        self._watching = watching
        self._sockets = sockets or these_sockets()
        self._traffic = Total(4)
        self._holders: dict[int, tuple[int, str]] = {}
        self._hidden: set[int] = set()
        self._retry_hidden_s = 0.0

    def collect(self) -> Frame:
        """Measure now. Raises OSError if the system does not report its sockets."""
        t_ms = self._clock.now_ms()
        reasons: dict[str, str] = {}
        traffic = self._sockets.traffic()
        counters: Iterable[float] = self._traffic.add(traffic) if traffic else [float("nan")] * 4
        if not traffic:
            reasons = {series.name: NO_LOOPBACK for series in _LAYOUT.series[:4]}
        found = self._sockets.sockets()
        states = loopback_states(found)
        listeners = sum(one.tcp and one.state == "listen" and one.local[0].loopback for one in found)
        values = [*counters, *(states[state] for state in _STATES), listeners, *external(found, self._sockets.own())]
        tables = {}
        if self._watching("listeners"):
            tables["listeners"] = self._listeners(found)
        else:
            self._holders, self._hidden = {}, set()
        return Frame(self.name, t_ms, _LAYOUT, np.array(values, np.float64), reasons, tables)

    def close(self) -> None:
        """Close the handles; a later collect reopens them. Idempotent."""
        self._sockets.close()

    def _listeners(self, found: list[Socket]) -> Table:
        """Return every TCP listener reachable from this machine, including those reachable from outside."""
        listening = [one for one in found if one.tcp and one.state == "listen" and _reachable(one)]
        self._find_holders({one.owner for one in listening})
        connected = Counter(
            one.local[1] for one in found if one.tcp and one.state == "established" and one.local[0].loopback
        )
        rows: list[tuple[Cell, ...]] = []
        for one in sorted(listening, key=lambda one: (one.local[1], one.local[0].text)):
            pid, name = self._holders.get(one.owner, (None, HIDDEN))
            rows.append((one.local[1], one.local[0].text, name, pid, connected[one.local[1]]))
        return Table(COLUMNS, tuple(rows))

    def _find_holders(self, owners: set[int]) -> None:
        """Find the owning processes. That reads every process's descriptors, so only new owners are searched for."""
        self._holders = {owner: held for owner, held in self._holders.items() if owner in owners}
        now_s = self._clock.mono_ns() / 1e9
        if now_s >= self._retry_hidden_s:
            self._hidden.clear()
        wanted = owners - self._holders.keys() - self._hidden
        if wanted:
            self._holders.update(self._sockets.holders(wanted))
            self._hidden = owners - self._holders.keys()
            self._retry_hidden_s = now_s + RETRY_HIDDEN_S


def loopback_states(found: Iterable[Socket]) -> Counter[str]:
    """Count loopback TCP connections by state. An established one has both ends here and counts once."""
    states: Counter[str] = Counter()
    seen: set[tuple[tuple[str, int], tuple[str, int]]] = set()
    for one in found:
        if not one.tcp or one.state == "listen" or not (one.local[0].loopback and one.remote[0].loopback):
            continue
        if one.state == "established":
            here, there = (one.local[0].text, one.local[1]), (one.remote[0].text, one.remote[1])
            if (there, here) in seen:
                continue
            seen.add((here, there))
        states[one.state] += 1
    return states


def external(found: Iterable[Socket], own: set[int]) -> tuple[int, int]:
    """Count this process's connections that leave the machine, and its sockets reachable from outside.

    An unconnected UDP socket bound to more than loopback receives from anyone, so it counts as reachable.
    """
    connections = listeners = 0
    for one in found:
        if one.owner in own:
            remote, local = one.remote[0], one.local[0]
            if not remote.wildcard:
                connections += not remote.loopback
            elif (one.state == "listen" if one.tcp else one.local[1] != 0) and not local.loopback:
                listeners += 1
    return connections, listeners


def _reachable(one: Socket) -> bool:
    return one.local[0].loopback or one.local[0].wildcard
