"""The table ``servers``: one row per server, its untrusted cells cleaned and truncated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wfmon.collect.models.scrape.fingerprint import Verdict
from wfmon.collect.models.scrape.kinds import MAX_CHARS, ScrapeResult, State, tidy
from wfmon.collect.models.scrape.listeners import ListeningSocket, address
from wfmon.collect.models.scrape.texts import visibility
from wfmon.core.types import Cell

COLUMNS = (
    "server", "runtime", "version", "pid", "process", "models", "gpu_bytes", "state", "shows", "lacks", "fix",
)  # fmt: skip
MAX_SERVERS = 64
BUILT_IN, DEMO_VERSION = "built-in n-gram model", "-wfmon-demo"
"""An Ollama with this version suffix is this project's own model."""
_LOCAL = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "[::]": "127.0.0.1"}


class ServerRecord(NamedTuple):
    """The current state of one server."""

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
    """The source of its requests now, hook or proxy; "" for none."""

    def identified(self, listener: ListeningSocket, verdict: Verdict) -> ServerRecord:
        """Return the row after its server was identified, or guessed."""
        situation = "loading" if verdict.state == "ok" else verdict.state
        return self._replace(
            listener=listener, server=listener.label, runtime=verdict.runtime, pid=listener.pid,
            process=listener.name, state=verdict.state, situation=situation,
        )  # fmt: skip

    def after_scrape(self, result: ScrapeResult) -> ServerRecord:
        """Return the row after a scrape; values not requested this time are kept."""
        return self._replace(
            state=result.state, situation=result.situation,
            models=self.models if result.models is None else result.models,
            total=self.total if result.models is None else result.total,
            version=self.version if result.version is None else result.version,
        )  # fmt: skip

    def cells(self) -> tuple[Cell, ...]:
        """Return the row's cells in the order of COLUMNS."""
        shows, lacks, fix = visibility(self.runtime, self.situation, self.server)
        if self.total > len(self.models):
            lacks = f"{lacks}; of its {self.total:,} models the first {len(self.models)} are kept"
        if self.via and self.state == "ok":
            shows, lacks, fix = f"{shows}; by the {self.via}: requests, tokens, time to first token", "", ""
        runtime = BUILT_IN if self.version.endswith(DEMO_VERSION) else self.runtime
        return (
            self.server, runtime, tidy(self.version), self.pid, tidy(self.process),
            joined(self.models, self.total), self.gpu_bytes, self.state, shows, lacks, fix,
        )  # fmt: skip


def row_of(row: ServerRecord, gpu_bytes: Mapping[int, int], counted_by: Mapping[str, str]) -> ServerRecord:
    """Return the row with its request source and GPU memory; None if no visible process of it holds any."""
    held = None if row.pid is None else gpu_bytes.get(row.pid)
    return row._replace(gpu_bytes=held, via=counted_by.get(row.server, ""))


def joined(models: tuple[str, ...], total: int) -> str:
    """Join names into a cell of at most 120 characters; the rest is counted: ``a, b and 9,998 more``."""
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
    """Return a claimed address in canonical form, and its port if it is a local address."""
    host, colon, digits = claimed.rpartition(":")
    if not colon or not digits.isdecimal() or not 0 < int(digits) < 65_536:
        return claimed, None
    host = _LOCAL.get(host.lower(), host)
    named = address(host.strip("[]") if host.startswith("[") else host, int(digits))
    return named, int(digits) if host in ("127.0.0.1", "::1", "[::1]") else None
