"""Servers on real sockets that answer from tests/data/models/servers, and a machine on which they alone listen."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from wfmon.collect.models.scrape.http import LoopbackClient
from wfmon.collect.models.scrape.listeners import Listening
from wfmon.collect.models.scrape.processes import Processes as RealProcesses
from wfmon.collect.models.scrape.servers import ServersCollector
from wfmon.collect.sockets import Socket, unpack_address
from wfmon.core.clock import FakeClock

DATA = Path(__file__).parents[1] / "data/models/servers"
NOWHERE = (unpack_address(bytes(4)), 0)
LOOPBACK = {4: unpack_address(socket.inet_aton("127.0.0.1")), 6: unpack_address(bytes(15) + b"\1")}
WILDCARD = {4: unpack_address(bytes(4)), 6: unpack_address(bytes(16))}


def replay(name):
    """The answers of a capture: by path, the bytes that go over the wire."""
    answers = json.loads((DATA / f"{name}.json").read_text("utf-8"))["answers"]
    return {path: _wire(answer) for path, answer in answers.items()}


def _wire(answer):
    body = json.dumps(answer["json"]).encode() if "json" in answer else "\n".join([*answer["lines"], ""]).encode()
    return http(body, answer["status"], **answer["headers"])


def http(body, status=200, **headers):
    head = {"content-length": len(body), **headers}
    return (
        f"HTTP/1.1 {status} X\r\n".encode()
        + b"".join(f"{k}: {v}\r\n".encode() for k, v in head.items())
        + b"\r\n"
        + body
    )


AGENT = f"wfmon-test-{os.getpid()}"
"""Tells this test's requests from those of a monitor that runs beside it and finds its servers."""
NOT_FOUND = http(b'{"detail":"Not Found"}', 404)


class Answering:
    """A server on a real socket. ``answers``: by path, "*" for the others; bytes, or a call that gets the connection.

    ``seen`` has the request lines in their order, ``opened`` counts them; only requests of AGENT are answered.
    """

    def __init__(self, answers, family=4):
        self.answers, self.seen = dict(answers), []
        self.opened = 0
        self._listening = socket.create_server(
            ("127.0.0.1" if family == 4 else "::1", 0), family=socket.AF_INET if family == 4 else socket.AF_INET6
        )
        self.family, self.port = family, self._listening.getsockname()[1]
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while not self._closing.is_set():
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(30)
            try:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = connection.recv(4096)
                    if not data:
                        return
                    request += data
                if AGENT.encode() not in request:
                    return
                self.opened += 1
                self.seen.append(request.split(b"\r\n")[0].decode())
                answer = self.answers.get(request.split()[1].decode(), self.answers.get("*", NOT_FOUND))
                if callable(answer):
                    answer(connection, self._closing)
                else:
                    connection.sendall(answer)
            except OSError:
                return

    def close(self):
        self._closing.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(30)


class Machine:
    """Its listening sockets, as ``collect.network.Sockets``; reading them opens none."""

    def __init__(self):
        self.listening, self.held, self.mine, self.closed = [], {}, set(), 0

    def add(self, port, *, owner, pid=None, name="", address=LOOPBACK[4]):
        self.listening.append(Socket(tcp=True, state="listen", local=(address, port), remote=NOWHERE, owner=owner))
        if pid is not None:
            self.held[owner] = (pid, name)

    def traffic(self):
        return {}

    def sockets(self):
        return list(self.listening)

    def own(self):
        return self.mine

    def holders(self, wanted):
        return {owner: self.held[owner] for owner in wanted if owner in self.held}

    def close(self):
        self.closed += 1


class Processes:
    """Commands and parents as a test has it."""

    def __init__(self):
        self.commands, self.above, self.looked = {}, {}, []

    def command(self, pid):
        return self.commands.get(pid, ())

    upstream = RealProcesses.upstream

    def parents(self, pid):
        self.looked.append(pid)
        return self.above.get(pid, ())

    def sums(self, held, pids):
        return {pid: sum(v for k, v in held.items() if pid in (k, *self.parents(k))) for pid in pids if held}


class ScrapeHarness(ExitStack):
    """A collector, the machine it looks at, and what it told."""

    def __init__(self, clock=None, **more):
        super().__init__()
        self.clock = clock or FakeClock()
        self.machine, self.processes = Machine(), Processes()
        self.readings, self.memory, self.aliases = [], {}, {}
        self.collector = ServersCollector(
            self.clock, scraped=self.readings.extend, gpu_memory=lambda: self.memory, aliases=lambda: self.aliases,
            sockets=self.machine, listening=Listening(self.machine, self.machine.sockets),
            processes=self.processes, **more,
        )  # fmt: skip
        self.collector._client = LoopbackClient(self.clock, AGENT)
        self.callback(self.collector.close)

    def serve(self, answers, *, pid=None, name="python", family=4, owner=None, address=None):
        """Start a server and let it be seen."""
        server = Answering(answers, family)
        self.callback(server.close)
        owner = owner or 1_000 + len(self.machine.listening)
        place_of = address or LOOPBACK[family]
        self.machine.add(server.port, owner=owner, pid=pid or owner, name=name, address=place_of)
        return server

    def look(self, seconds=1.0):
        """Let time pass, look once, and give the rows by port."""
        self.clock.advance(seconds)
        self.readings.clear()
        self.frame = self.collector.collect()
        return {int(row["server"].rpartition(":")[2]): row for row in self.collector.servers()}

    def one(self, seconds=1.0):
        """ScrapeResult, and give the only row."""
        rows = self.look(seconds)
        assert len(rows) == 1, rows
        return next(iter(rows.values()))
