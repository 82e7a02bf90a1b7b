"""Reports observed requests to the monitor through the hook's sender. Drops and counts events while it is away."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from wfmon.hook.hook import Hook
from wfmon.hook.inbox import END, TOKENS, Record
from wfmon.hook.place import find
from wfmon.proxy.dialects import dialect_of
from wfmon.proxy.exchange import Exchange, ModelExchange
from wfmon.proxy.http1 import MessageHead

NAME = "wfmon proxy"


class RequestReporter:
    """Tracks the requests to one upstream; ``server`` is its host:port. Event loop's thread; sending has its own."""

    def __init__(self, data_dir: Path, server: str, counts: Counter[str]) -> None:
        self._server = server
        self._counts = counts
        folder = str(data_dir)
        self.hook = Hook(find=lambda: find(folder), via="proxy", name=NAME, server=server)

    def begin(self, head: MessageHead, t_us: int) -> Exchange:
        """Start tracking a request whose first byte arrived at ``t_us``."""
        method, target, _ = head.first
        dialect = dialect_of(method, target)
        if dialect is None:
            return Exchange()
        self._counts["requests"] += 1
        return ModelExchange(dialect, t_us, _RequestEvents(self.hook, self._server), self._counts)

    def close(self) -> None:
        """Send queued events, for at most 0.2 s. Idempotent."""
        self.hook.close()


class _RequestEvents:
    """Puts one request's events into the sender's inbox."""

    def __init__(self, hook: Hook, server: str) -> None:
        self._hook = hook
        self._server = server
        self._record: Record | None = None

    def start(self, t_us: int, model: str) -> None:
        self._record = self._hook.record(model, self._server, t_us=t_us)
        self._hook.begin(self._record)

    def tokens(self, t_us: int, n: int, top: tuple[float, ...] | None) -> None:
        if self._record is not None:
            self._record.tokens += n
            self._hook.inbox.put((TOKENS, self._record, t_us, n, None, None, top, None, b""))

    def end(self, t_us: int, status: str, reason: str, figures: dict[str, Any]) -> None:
        if self._record is not None:
            self._record.ended = (END, self._record, t_us, status, reason, figures)
            self._hook.inbox.put(self._record.ended)
