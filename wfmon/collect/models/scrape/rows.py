"""The table ``servers``: one row a server, every cell of theirs cleaned and cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wfmon.collect.models.scrape.fingerprint import Verdict
from wfmon.collect.models.scrape.kinds import MAX_CHARS, Look, State, tidy
from wfmon.collect.models.scrape.listeners import ListeningSocket, address
from wfmon.collect.models.scrape.texts import told
from wfmon.core.types import Cell

COLUMNS = (
    "server", "runtime", "version", "pid", "process", "models", "gpu_bytes", "state", "shows", "lacks", "fix",
)  # fmt: skip
MAX_SERVERS = 64
BUILT_IN, DEMO_VERSION = "built-in n-gram model", "-wfmon-demo"
"""What answers as Ollama with such a version is this project's own."""
_LOCAL = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "[::]": "127.0.0.1"}


class ServerRecord(NamedTuple):
    """What is known of one server."""

    listener: ListeningSocket
    server: str = ""
    runtime: str = ""
    version: str = ""
    pid: int | None = None
    process: str = ""
    models: tuple[str, ...] = ()
    total: int = 0
    gpu_bytes: int | None = None
    state: State = "ok"
    situation: str = "ok"
    via: str = ""
    """Who tells of its requests now, hook or proxy; "" where nobody does."""

    def judged(self, listener: ListeningSocket, verdict: Verdict) -> ServerRecord:
        """The row once it is known, or suspected, what it is."""
        situation = "loading" if verdict.state == "ok" else verdict.state
        return self._replace(
            listener=listener, server=listener.label, runtime=verdict.runtime, pid=listener.pid,
            process=listener.name, state=verdict.state, situation=situation,
        )  # fmt: skip

    def looked(self, look: Look) -> ServerRecord:
        """The row after a look; what was not asked this time stays."""
        return self._replace(
            state=look.state, situation=look.situation,
            models=self.models if look.models is None else look.models,
            total=self.total if look.models is None else look.total,
            version=self.version if look.version is None else look.version,
        )  # fmt: skip

    def cells(self) -> tuple[Cell, ...]:
        """Return the row's cells in the order of COLUMNS."""
        shows, lacks, fix = told(self.runtime, self.situation, self.server)
        if self.total > len(self.models):
            lacks = f"{lacks}; of its {self.total:,} models the first {len(self.models)} are kept"
        if self.via and self.state == "ok":
            shows, lacks, fix = f"{shows}; by the {self.via}: requests, tokens, time to first token", "", ""
        runtime = BUILT_IN if self.version.endswith(DEMO_VERSION) else self.runtime
        return (
            self.server, runtime, tidy(self.version), self.pid, tidy(self.process),
            joined(self.models, self.total), self.gpu_bytes, self.state, shows, lacks, fix,
        )  # fmt: skip


def row_of(row: ServerRecord, gpu_bytes: Mapping[int, int], told_by: Mapping[str, str]) -> ServerRecord:
    """The row with who tells of it, and its graphics memory: None where no process of it holds any that we may see."""
    held = None if row.pid is None else gpu_bytes.get(row.pid)
    return row._replace(gpu_bytes=held, via=told_by.get(row.server, ""))


def joined(models: tuple[str, ...], total: int) -> str:
    """Names in one cell of 120 characters at most; those that do not fit are counted: ``a, b and 9,998 more``."""
    text, shown = "", 0
    for name in models:
        longer = f"{text}, {name}" if text else name
        left = total - shown - 1
        if len(longer) + (len(f" and {left:,} more") if left else 0) > MAX_CHARS and text:
            break
        text, shown = longer, shown + 1
    left = total - shown
    end = f" and {left:,} more" if left > 0 else ""
    return text[: MAX_CHARS - len(end)] + end


def plain(claimed: str) -> tuple[str, int | None]:
    """Return a claimed address as this machine writes it, and its port when it is one of this machine's."""
    host, colon, digits = claimed.rpartition(":")
    if not colon or not digits.isdecimal() or not 0 < int(digits) < 65_536:
        return claimed, None
    host = _LOCAL.get(host.lower(), host)
    named = address(host.strip("[]") if host.startswith("[") else host, int(digits))
    return named, int(digits) if host in ("127.0.0.1", "::1", "[::1]") else None
