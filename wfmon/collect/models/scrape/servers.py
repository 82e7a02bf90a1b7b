"""Model servers on this machine: found by listening socket, identified by their answers, scraped once a second.

Read-only, on by default: only GET, only to 127.0.0.1 and ::1, never to this process. A socket that is not a model
server is probed at most four times in its life; a model server is scraped at each tick, less often while silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.fingerprint import MAKERS, Verdict, hint, identify
from wfmon.collect.models.scrape.http import HttpAnswer, LoopbackClient
from wfmon.collect.models.scrape.kinds import Moment, Scraper, ScrapeResult
from wfmon.collect.models.scrape.listeners import (
    Listening,
    ListeningSocket,
    held,
    is_skipped,
    quick_listening,
    reachable,
)
from wfmon.collect.models.scrape.processes import Processes
from wfmon.collect.models.scrape.rows import COLUMNS, MAX_SERVERS, ServerRecord, plain, row_of
from wfmon.collect.network import Sockets, these_sockets
from wfmon.collect.sockets import Socket
from wfmon.core.answers.models import ServerRow
from wfmon.core.clock import Clock
from wfmon.core.types import Frame, Layout, Series, Table

BUDGET_S = 2.0
"""Time limit of one scrape of all servers."""
HIDDEN_S = 60.0
"""How often the processes of sockets are searched for again if this user could not see them."""
RETRY_S = (10.0, 60.0, 600.0)
"""Waits before a socket that is not a model server is probed again (it may have been loading); then never."""
MAX_PIDS = 1_024
"""Processes whose server is cached."""
MAX_NEW = 8
"""New sockets probed per tick."""
PATIENCE = 3
"""Unanswered scrapes before a known server counts as silent: a long prompt may delay its answer."""
LAST_RETRY_S = 60.0


class KnownServer:
    """One socket that is or may be a model server. Owned by the collector's thread."""

    def __init__(self, listener: ListeningSocket) -> None:
        self.listener = listener
        self.verdict: Verdict | None = None
        self.scraper: Scraper | None = None
        self.command: tuple[str, ...] = ()
        self.upstream = ""  # the upstream, if it is a proxy
        self.probed = 0  # how often it was probed
        self.late = 0  # how often the time limit was reached before it was probed
        self.failures = 0
        self.due_ns: int | None = 0  # None: never again
        self.scraped_ns: int | None = None
        self.row = ServerRecord(listener)


class ServersCollector:
    """Polled at 1 Hz at most, by its own thread; ``servers``, ``server_of`` may be called from any."""

    name = "servers"

    def __init__(
        self,
        clock: Clock,
        *,
        scraped: Callable[[Sequence[Reading]], None],
        gpu_memory: Callable[[], Mapping[int, int]],
        rate_hz: float = 1.0,
        aliases: Callable[[], Mapping[str, str]] = dict,
        counted_by: Callable[[], Mapping[str, str]] = dict,
        sockets: Sockets | None = None,
        listening: Listening | None = None,
        processes: Processes | None = None,
    ) -> None:
        """``scraped`` receives the readings of each tick; ``gpu_memory`` returns bytes by pid over all cards.

        ``aliases``: proxy address to upstream address, both host:port. A proxy is not probed; its address stands for
        its upstream. ``counted_by``: by server, the source of its requests now, hook or proxy.
        """
        self._clock = clock
        self._scraped = scraped
        self._gpu_memory = gpu_memory
        self._counted_by = counted_by
        self._rate_hz = rate_hz
        self._aliases = aliases
        self._sockets = sockets or these_sockets()
        self._listening = listening or Listening(self._sockets, quick_listening() if sockets is None else None)
        self._processes = processes or Processes()
        self._client = LoopbackClient(clock)
        self._layout = Layout((Series.of("servers.found"),))
        # Owned by the collector's thread.
        self._servers: dict[tuple[int, int], KnownServer] = {}  # by port and owner
        self._holders: dict[int, tuple[int, str]] = {}
        self._hidden: set[int] = set()
        self._hidden_until_ns = 0
        self._before: tuple[list[Socket], Mapping[str, str]] = ([], {})
        # Replaced atomically by that thread, read by any.
        self._rows: tuple[ServerRecord, ...] = ()
        self._labels: Mapping[int, str] = {}  # of model servers, by pid
        self._above: Mapping[int, str] = {}  # the same, by the pids above them
        self._proxied: Mapping[str, str] = {}  # aliases found in proxies' command lines
        self._of: dict[int, str | None] = {}  # cached label of each pid looked up; replaced when servers change
        self._ports: Mapping[int, str] = {}

    def collect(self) -> Frame:
        """Find and scrape servers; every frame has the table. Raises OSError if sockets cannot be listed."""
        t_ms, now_ns = self._clock.now_ms(), self._clock.mono_ns()
        self._client.begin(BUDGET_S)
        self._listen(now_ns)
        readings: list[Reading] = []
        for server in self._servers.values():
            if server.scraper is not None and server.due_ns is not None and now_ns >= server.due_ns:
                readings += self._scrape(server, server.scraper, t_ms)
        for server in self._identify_new(now_ns):
            if server.scraper is not None:
                readings += self._scrape(server, server.scraper, t_ms)
        self._publish()
        if readings:
            self._scraped(readings)
        rows = self._rows
        table = Table(COLUMNS, tuple(row.cells() for row in rows))
        return Frame(self.name, t_ms, self._layout, np.array([len(rows)], np.float64), tables={"servers": table})

    def server_of(self, pid: int, claimed: str) -> str:
        """Return the server label of a process.

        The address that it claims if a program listens there (a client knows its server better than its own sockets
        do), a proxy's replaced by its upstream's; else that of the model server which is the process itself, its
        parent or its child; else the claim. Any thread.
        """
        aliases = {**self._proxied, **self._aliases()}
        named, port = plain(claimed)
        if port is not None and port in self._ports:
            named = self._ports[port]
        elif named not in aliases:
            named = self._label_of(pid) or named
        return aliases.get(named, named)

    def _label_of(self, pid: int) -> str | None:
        """Return the label of the model server that is the process, its ancestor or its child; cached. Any thread."""
        known = self._of
        if pid not in known and len(known) < MAX_PIDS:
            labels = self._labels
            near = (pid, *self._processes.parents(pid)) if labels else ()
            known[pid] = next((labels[one] for one in near if one in labels), self._above.get(pid))
        return known.get(pid)

    def servers(self) -> list[ServerRow]:
        """Return every server found: the fields of the table, one object per server. Any thread."""
        return [dict(zip(COLUMNS, row.cells(), strict=True)) for row in self._rows]

    def close(self) -> None:
        """Discard every server and close handles; a later collect finds them again. Idempotent."""
        self._servers, self._holders, self._hidden = {}, {}, set()
        self._rows, self._labels, self._ports, self._above, self._proxied, self._of = (), {}, {}, {}, {}, {}
        self._before, self._hidden_until_ns = ([], {}), 0
        self._sockets.close()

    def _listen(self, now_ns: int) -> None:
        """Update the sockets to probe. Owning processes are searched for only if sockets changed, and only new ones."""
        found, aliases = self._listening.sockets(now_ns), dict(self._aliases())
        if (found, aliases) == self._before and not (self._hidden and now_ns >= self._hidden_until_ns):
            return
        self._before = (found, aliases)
        listening = reachable(found, self._sockets.own())
        owners = {one.owner for one in listening}
        self._holders = {owner: who for owner, who in self._holders.items() if owner in owners}
        if now_ns >= self._hidden_until_ns:
            self._hidden = set()
        wanted = owners - self._holders.keys() - self._hidden
        if wanted:
            self._holders.update(self._sockets.holders(wanted))
            self._hidden = owners - self._holders.keys()
            self._hidden_until_ns = now_ns + round(HIDDEN_S * 1e9)
        there = held(listening, self._holders)
        probed = [one for one in there if not is_skipped(one, aliases.__contains__)]
        self._servers = {
            (one.port, one.owner): self._servers.get((one.port, one.owner)) or KnownServer(one) for one in probed
        }
        moved = {port: server.listener.label for (port, _), server in self._servers.items() if server.row.server}
        self._ports = {one.port: one.label for one in reversed(there)} | moved

    def _identify_new(self, now_ns: int) -> list[KnownServer]:
        """Identify new sockets and those due for a retry; return those that are model servers."""
        found: list[KnownServer] = []
        due = [
            one for one in self._servers.values()
            if one.scraper is None and one.due_ns is not None and now_ns >= one.due_ns
        ]  # fmt: skip
        for server in due[:MAX_NEW]:
            listener = server.listener
            if server.probed == 0:
                server.command = self._processes.command(listener.pid)
                upstream = self._processes.upstream(server.command)
                if upstream is not None:
                    server.due_ns, server.upstream = None, plain(upstream)[0]
                    continue
            verdict = identify(lambda path, server=server: self._get(server, path), hint(listener.name, listener.port))
            if verdict is None:  # the time ran out: retry at the next ticks, a few times
                server.late += 1
                if server.late < PATIENCE:
                    break
                server.late, verdict = 0, Verdict()
            self._settle(server, verdict, now_ns)
            if server.scraper is not None:
                found.append(server)
        return found

    def _settle(self, server: KnownServer, verdict: Verdict, now_ns: int) -> None:
        server.verdict = verdict
        server.probed += 1
        if verdict.runtime and verdict.sure:
            server.scraper = MAKERS[verdict.runtime]()
            server.due_ns = now_ns
            server.row = server.row.identified(server.listener, verdict)
            return
        wait = None if verdict.final or server.probed > len(RETRY_S) else RETRY_S[server.probed - 1]
        server.due_ns = None if wait is None else now_ns + round(wait * 1e9)
        server.row = server.row.identified(server.listener, verdict)

    def _scrape(self, server: KnownServer, scraper: Scraper, t_ms: int) -> list[Reading]:
        if self._client.is_spent:
            return []
        now_ns = self._clock.mono_ns()
        result = scraper.scrape(lambda path: self._get(server, path), Moment(now_ns, server.command))
        if result is None or (result.state == "silent" and self._client.is_spent):  # not scraped, or not completely
            return []
        if result.state in ("silent", "odd", "needs_key"):
            server.failures += 1
            wait_s = min(LAST_RETRY_S, 2.0 ** (server.failures - 1)) if server.failures > 1 else 0.0
            server.due_ns = now_ns + round(wait_s * 1e9)
            if result.state == "silent" and server.failures < PATIENCE and server.scraped_ns is not None:
                return []
        else:
            server.failures, server.due_ns = 0, now_ns
        server.row = server.row.after_scrape(result)
        before_ns, server.scraped_ns = server.scraped_ns, now_ns
        return self._stamped(result, server, t_ms, self._rate(before_ns, now_ns))

    def _stamped(self, result: ScrapeResult, server: KnownServer, t_ms: int, rate_hz: float) -> list[Reading]:
        row = server.row
        return [
            one._replace(server=row.server, t_ms=t_ms, rate_hz=rate_hz, runtime=row.runtime, pid=row.pid)
            for one in result.readings
        ]

    def _rate(self, before_ns: int | None, now_ns: int) -> float:
        """Return the actual rate of scrapes of one server, per second."""
        if before_ns is None or now_ns <= before_ns:
            return self._rate_hz
        return round(min(self._rate_hz, 1e9 / (now_ns - before_ns)), 2)

    def _get(self, server: KnownServer, path: str) -> HttpAnswer:
        """GET from its first host; one bound to :: without IPv4 is contacted at ::1 from then on."""
        listener = server.listener
        answer = self._client.get(listener.hosts[0], listener.port, path)
        if answer.trouble == "refused" and len(listener.hosts) > 1:
            server.listener = listener._replace(hosts=listener.hosts[1:])
            server.row = server.row._replace(server=server.listener.label)
            self._ports = {**self._ports, listener.port: server.listener.label}
            return self._client.get(server.listener.hosts[0], listener.port, path)
        return answer

    def _publish(self) -> None:
        """Build the current rows. A row guessed from a name is shown only if no server of that kind was identified."""
        sure = [one for one in self._servers.values() if one.verdict is not None and one.scraper is not None]
        kinds = {one.row.runtime for one in sure}
        guessed: dict[str, KnownServer] = {}
        for one in self._servers.values():
            if one.scraper is None and one.row.runtime and one.row.runtime not in kinds:
                guessed.setdefault(one.row.runtime, one)
        shown = sorted((*sure, *guessed.values()), key=lambda one: (one.listener.port, one.listener.owner))
        memory = self._gpu_memory() if shown else {}
        pids = {one.listener.pid for one in shown if one.listener.pid is not None}
        bytes_of = self._processes.sums(memory, pids) if memory else {}
        counted_by = self._counted_by() if shown else {}
        self._rows = tuple(row_of(one.row, bytes_of, counted_by) for one in shown[:MAX_SERVERS])
        labels = {one.listener.pid: one.row.server for one in sure if one.listener.pid is not None}
        self._proxied = {one.listener.label: one.upstream for one in self._servers.values() if one.upstream}
        if labels != self._labels:
            above = {parent: label for pid, label in labels.items() for parent in self._processes.parents(pid)[:1]}
            self._labels, self._above, self._of = labels, above, {}
