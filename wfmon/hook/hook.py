"""The hook of one process: its inbox, its sender, and the request records it creates."""

# ruff: noqa: PTH119 - importing pathlib would use up this package's import budget
from __future__ import annotations

import os
import sys
from itertools import count
from time import monotonic_ns

from wfmon.hook.inbox import FLUSH, START, Inbox, Record
from wfmon.hook.sender import Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wfmon.hook.place import Place

RUNTIMES = {"llama_cpp": "llama-cpp-python", "vllm": "vllm", "mlx_lm": "mlx-lm"}
"""Imported modules that run a model themselves, with the runtime's name."""
FLUSH_S = 0.2
"""How long the process's exit may wait for the hook."""


class Hook:
    """Creates request records and passes their events to the sender. Any thread. Never raises.

    ``on`` False: records are created, nothing is sent. ``name``, ``via``, ``server``, ``runtime`` describe the
    connection's source; by default the program's name and the runtime it has imported.
    """

    def __init__(
        self,
        *,
        on: bool = True,
        find: Callable[[], Place | None] | None = None,
        via: str = "hook",
        name: str = "",
        runtime: str = "",
        server: str = "",
    ) -> None:
        self.inbox = Inbox()
        self.inbox.open = on
        self.local = False
        """Whether transformers runs a model here; many programs import it only for a tokenizer."""
        self._via = via
        self._name = name
        self._runtime = runtime
        self._server = server
        self._ids = count(1)
        self._logged = False
        self.errors = 0
        """Number of internal errors, all suppressed."""
        self.sender = Sender(self.inbox, find or _find, self._describe, self.trouble)

    def record(self, model: str, server: str = "", *, t_us: int | None = None, lost: bool = False) -> Record:
        """Create a request's record, begun at ``t_us`` of this process's monotonic clock, or now."""
        at = monotonic_ns() // 1000 if t_us is None else t_us
        return Record(str(next(self._ids)), at, model, server, lost=lost)

    def begin(self, record: Record) -> None:
        """Report the start of a request."""
        self.inbox.put((START, record, record.t_us))
        if self.inbox.open:
            self.sender.start()

    def flush(self, seconds: float) -> bool:
        """Wait until all events so far were sent, or dropped without a monitor. False on timeout."""
        from threading import Event

        if not self.inbox.open:
            return True
        done = Event()
        self.inbox.put((FLUSH, None, 0, done))
        self.sender.start()
        self.inbox.wake()
        return done.wait(seconds)

    def close(self, seconds: float = FLUSH_S) -> None:
        """Send queued events and stop. Idempotent; later requests are not reported."""
        self.sender.stop(seconds)
        self.inbox.open = False

    def trouble(self, error: BaseException) -> None:
        """Count an internal error. The first is logged: its type, not its message, which may contain user text."""
        self.errors += 1
        if not self._logged:
            self._logged = True
            import logging

            words = str(error) if type(error).__module__.startswith("wfmon.") else type(error).__name__
            logging.getLogger("wfmon.hook").debug("The hook had an internal error and continues: %s", words)

    def _describe(self) -> tuple[str, str, str, int, str]:
        name = self._name or os.path.basename(sys.argv[0] if sys.argv else "") or "python"
        runtime = self._runtime
        if not runtime and self.local and "transformers" in sys.modules:
            runtime = "transformers"
        if not runtime:
            runtime = next((name for module, name in RUNTIMES.items() if module in sys.modules), "")
        return self._via, name, runtime, os.getpid(), self._server


def _find() -> Place | None:
    from wfmon.hook.place import data_dir, find

    return find(data_dir())
