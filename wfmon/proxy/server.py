"""The proxy's listener: accepts and counts connections, and drains them at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from wfmon.core.clock import Clock
from wfmon.proxy.address import ProxyAddress
from wfmon.proxy.exchange import Exchange
from wfmon.proxy.http1 import MessageHead
from wfmon.proxy.logprobs import LogprobsAsker
from wfmon.proxy.tunnel import Tunnel

MAX_CONNECTIONS = 1_000
DRAIN_S = 30.0
BACKLOG = 512


class ProxyServer:
    """A loopback listener. ``begin`` starts tracking a request. Runs on the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        upstream: ProxyAddress,
        counts: Counter[str],
        begin: Callable[[MessageHead, int], Exchange],
        asker: LogprobsAsker | None = None,
    ) -> None:
        self.clock = clock
        self.upstream = upstream
        self.begin = begin
        self.asker = asker
        self.counts = counts
        """Number of refused or unmeasured connections and requests, by cause."""
        self._listener: asyncio.Server | None = None
        self._tunnels: set[Tunnel] = set()
        self._empty = asyncio.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    async def listen(self, address: ProxyAddress) -> ProxyAddress:
        """Bind and return the actual address, with the port chosen for port 0. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Tunnel(self, loop).client, address.hosts[0], address.port, backlog=BACKLOG
        )
        self._port = int(self._listener.sockets[0].getsockname()[1])
        return ProxyAddress(address.hosts[:1], self._port)

    def stop_listening(self) -> None:
        """Accept no more connections and free the port. Idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def drain(self, at_once: asyncio.Event) -> None:
        """Let requests in flight finish, for at most 30 s or until ``at_once`` is set; then close the rest."""
        self.stop_listening()
        for tunnel in self._tunnels.copy():
            tunnel.drain()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._empty, at_once)]
        if self._tunnels:
            await asyncio.wait(waits, timeout=DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
        for tunnel in self._tunnels.copy():
            tunnel.kill()
        for wait in waits:
            wait.cancel()
        await asyncio.sleep(0)  # lets the loop close what was reset

    def opened(self, tunnel: Tunnel) -> bool:
        """Register a connection. False if there are too many."""
        self._tunnels.add(tunnel)
        self._empty.clear()
        self.counts["connections"] += 1
        return len(self._tunnels) <= MAX_CONNECTIONS

    def closed(self, tunnel: Tunnel) -> None:
        """Unregister a connection."""
        self._tunnels.discard(tunnel)
        if not self._tunnels:
            self._empty.set()
