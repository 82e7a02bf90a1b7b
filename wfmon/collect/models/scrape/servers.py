"""Model servers of this machine: found by their listening sockets, known by their answers, scraped once a second.

Read-only, on by default: GET alone, on 127.0.0.1 and ::1 alone, never to this process. What is no model server is
asked at most four times in its life; what is one, once a beat, and less often while it does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.fingerprint import MAKERS, Verdict, hint, identify
from wfmon.collect.models.scrape.http import HttpAnswer, LoopbackClient
from wfmon.collect.models.scrape.kinds import Look, Moment, Scraper
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
"""Of one look at all servers."""
HIDDEN_S = 60.0
"""Holders that this user cannot see are looked for again so often."""
AGAIN_S = (10.0, 60.0, 600.0)
"""What is no model server is asked again after so long each, then no more: it may have been loading."""
MAX_ASKED = 1_024
"""Processes whose server is remembered."""
MAX_NEW = 8
"""New sockets judged in one look."""
PATIENCE = 3
"""Looks without an answer before a known server counts as silent: a long prompt may keep it from answering."""
LAST_RETRY_S = 60.0


class KnownServer:
    """One socket that is or may be a model server. Owned by the collector's thread."""

    def __init__(self, listener: ListeningSocket) -> None:
        self.listener = listener
        self.verdict: Verdict | None = None
        self.scraper: Scraper | None = None
        self.command: tuple[str, ...] = ()
        self.upstream = ""  # where it leads to, of a proxy
        self.asked = 0  # times it was judged
        self.late = 0  # times that a look's time did not suffice for it
        self.failures = 0
        self.due_ns: int | None = 0  # None: never again
        self.looked_ns: int | None = None
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
        told_by: Callable[[], Mapping[str, str]] = dict,
        sockets: Sockets | None = None,
        listening: Listening | None = None,
        processes: Processes | None = None,
    ) -> None:
        """``scraped`` takes the readings of each look; ``gpu_memory`` gives bytes by pid, of all cards.

        ``aliases``: the address that a proxy listens on, to that of its upstream, both host:port. Such an address is
        not asked, and stands for the other. ``told_by``: by server, who tells of its requests now: hook or proxy.
        """
        self._clock = clock
        self._scraped = scraped
        self._gpu_memory = gpu_memory
        self._told_by = told_by
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
        # Replaced whole by that thread, read by any.
        self._rows: tuple[ServerRecord, ...] = ()
        self._labels: Mapping[int, str] = {}  # of model servers, by pid
        self._above: Mapping[int, str] = {}  # the same, by the pids above them
        self._proxied: Mapping[str, str] = {}  # aliases that a proxy's command tells
        self._of: dict[int, str | None] = {}  # the label of each pid that was asked for; a new one a change
        self._ports: Mapping[int, str] = {}

    def collect(self) -> Frame:
        """Look once. Raises OSError when the system does not tell its sockets. The table comes with every frame."""
        t_ms, now_ns = self._clock.now_ms(), self._clock.mono_ns()
        self._client.begin(BUDGET_S)
        self._listen(now_ns)
        readings: list[Reading] = []
        for server in self._servers.values():
            if server.scraper is not None and server.due_ns is not None and now_ns >= server.due_ns:
                readings += self._scrape(server, server.scraper, t_ms)
        for server in self._judge_new(now_ns):
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

        The address that it claims, where a program listens there (a client knows whom it asks better than its own
        sockets do), a proxy's standing for its upstream's; else that of the model server which it, its parent or its
        child is; else the claim. Any thread.
        """
        aliases = {**self._proxied, **self._aliases()}
        named, port = plain(claimed)
        if port is not None and port in self._ports:
            named = self._ports[port]
        elif named not in aliases:
            named = self._label_of(pid) or named
        return aliases.get(named, named)

    def _label_of(self, pid: int) -> str | None:
        """The model server that a process is, or that stands above or below it; looked for once. Any thread."""
        known = self._of
        if pid not in known and len(known) < MAX_ASKED:
            labels = self._labels
            near = (pid, *self._processes.parents(pid)) if labels else ()
            known[pid] = next((labels[one] for one in near if one in labels), self._above.get(pid))
        return known.get(pid)

    def servers(self) -> list[ServerRow]:
        """Every server found: the fields of the table, one object each. Any thread."""
        return [dict(zip(COLUMNS, row.cells(), strict=True)) for row in self._rows]

    def close(self) -> None:
        """Forget every server and let handles go; a later collect finds them anew. Idempotent."""
        self._servers, self._holders, self._hidden = {}, {}, set()
        self._rows, self._labels, self._ports, self._above, self._proxied, self._of = (), {}, {}, {}, {}, {}
        self._before, self._hidden_until_ns = ([], {}), 0
        self._sockets.close()

    def _listen(self, now_ns: int) -> None:
        """See which sockets are there. Only then, and only for new ones, is it looked who holds them."""
        found, aliases = self._listening.look(now_ns), dict(self._aliases())
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
        asked = [one for one in there if not is_skipped(one, aliases.__contains__)]
        self._servers = {
            (one.port, one.owner): self._servers.get((one.port, one.owner)) or KnownServer(one) for one in asked
        }
        moved = {port: server.listener.label for (port, _), server in self._servers.items() if server.row.server}
        self._ports = {one.port: one.label for one in reversed(there)} | moved

    def _judge_new(self, now_ns: int) -> list[KnownServer]:
        """Find out what the new ones are, and those whose time has come again; give those that are model servers."""
        found: list[KnownServer] = []
        due = [
            one for one in self._servers.values()
            if one.scraper is None and one.due_ns is not None and now_ns >= one.due_ns
        ]  # fmt: skip
        for server in due[:MAX_NEW]:
            listener = server.listener
            if server.asked == 0:
                server.command = self._processes.command(listener.pid)
                upstream = self._processes.upstream(server.command)
                if upstream is not None:
                    server.due_ns, server.upstream = None, plain(upstream)[0]
                    continue
            verdict = identify(lambda path, server=server: self._get(server, path), hint(listener.name, listener.port))
            if verdict is None:  # the look's time is over: in the next one, a few times
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
        server.asked += 1
        if verdict.runtime and verdict.sure:
            server.scraper = MAKERS[verdict.runtime]()
            server.due_ns = now_ns
            server.row = server.row.judged(server.listener, verdict)
            return
        wait = None if verdict.final or server.asked > len(AGAIN_S) else AGAIN_S[server.asked - 1]
        server.due_ns = None if wait is None else now_ns + round(wait * 1e9)
        server.row = server.row.judged(server.listener, verdict)

    def _scrape(self, server: KnownServer, scraper: Scraper, t_ms: int) -> list[Reading]:
        if self._client.is_spent:
            return []
        now_ns = self._clock.mono_ns()
        look = scraper.look(lambda path: self._get(server, path), Moment(now_ns, server.command))
        if look is None or (look.state == "silent" and self._client.is_spent):  # not asked, or not to its end
            return []
        if look.state in ("silent", "odd", "needs_key"):
            server.failures += 1
            wait_s = min(LAST_RETRY_S, 2.0 ** (server.failures - 1)) if server.failures > 1 else 0.0
            server.due_ns = now_ns + round(wait_s * 1e9)
            if look.state == "silent" and server.failures < PATIENCE and server.looked_ns is not None:
                return []
        else:
            server.failures, server.due_ns = 0, now_ns
        server.row = server.row.looked(look)
        before_ns, server.looked_ns = server.looked_ns, now_ns
        return self._stamped(look, server, t_ms, self._rate(before_ns, now_ns))

    def _stamped(self, look: Look, server: KnownServer, t_ms: int, rate_hz: float) -> list[Reading]:
        row = server.row
        return [
            one._replace(server=row.server, t_ms=t_ms, rate_hz=rate_hz, runtime=row.runtime, pid=row.pid)
            for one in look.readings
        ]

    def _rate(self, before_ns: int | None, now_ns: int) -> float:
        """Looks a second at one server, as they were."""
        if before_ns is None or now_ns <= before_ns:
            return self._rate_hz
        return round(min(self._rate_hz, 1e9 / (now_ns - before_ns)), 2)

    def _get(self, server: KnownServer, path: str) -> HttpAnswer:
        """Ask it where it listens; one that is bound to :: without IPv4 is asked at ::1 from then on."""
        listener = server.listener
        answer = self._client.get(listener.hosts[0], listener.port, path)
        if answer.trouble == "refused" and len(listener.hosts) > 1:
            server.listener = listener._replace(hosts=listener.hosts[1:])
            server.row = server.row._replace(server=server.listener.label)
            self._ports = {**self._ports, listener.port: server.listener.label}
            return self._client.get(server.listener.hosts[0], listener.port, path)
        return answer

    def _publish(self) -> None:
        """Make the rows of now. A row that rests on a name alone is shown where its kind is not found for sure."""
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
        told_by = self._told_by() if shown else {}
        self._rows = tuple(row_of(one.row, bytes_of, told_by) for one in shown[:MAX_SERVERS])
        labels = {one.listener.pid: one.row.server for one in sure if one.listener.pid is not None}
        self._proxied = {one.listener.label: one.upstream for one in self._servers.values() if one.upstream}
        if labels != self._labels:
            above = {parent: label for pid, label in labels.items() for parent in self._processes.parents(pid)[:1]}
            self._labels, self._above, self._of = labels, above, {}
