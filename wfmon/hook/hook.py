"""The hook of one process: its inbox, its sender, and the requests that it makes."""

# ruff: noqa: PTH119 - the import of pathlib takes as long as all of ours may
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
"""What a program has imported that runs a model itself, and what it is called."""
FLUSH_S = 0.2
"""How long the end of the process may wait for us."""


class Hook:
    """Makes records of requests and carries their events to the monitor. Any thread. Nothing here raises.

    ``on`` False: records are made, nothing is sent. ``name``, ``via``, ``server``, ``runtime``: what the connection
    says of itself; by default the program's name, and the runtime that it has imported.
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
        """Whether transformers runs a model here; many import it for a tokenizer alone."""
        self._via = via
        self._name = name
        self._runtime = runtime
        self._server = server
        self._ids = count(1)
        self._said = False
        self.errors = 0
        """Errors of our own, swallowed."""
        self.sender = Sender(self.inbox, find or _find, self._describe, self.trouble)

    def record(self, model: str, server: str = "", *, t_us: int | None = None, lost: bool = False) -> Record:
        """Begin a request at ``t_us`` of this process's monotonic clock, or now."""
        at = monotonic_ns() // 1000 if t_us is None else t_us
        return Record(str(next(self._ids)), at, model, server, lost=lost)

    def begin(self, record: Record) -> None:
        """Tell that a request began."""
        self.inbox.put((START, record, record.t_us))
        if self.inbox.open:
            self.sender.start()

    def flush(self, seconds: float) -> bool:
        """Wait until what was told so far has been sent, or dropped because nobody listens; False if it took longer."""
        from threading import Event

        if not self.inbox.open:
            return True
        done = Event()
        self.inbox.put((FLUSH, None, 0, done))
        self.sender.start()
        self.inbox.wake()
        return done.wait(seconds)

    def close(self, seconds: float = FLUSH_S) -> None:
        """Send what waits and end. Idempotent; later requests are told to nobody."""
        self.sender.stop(seconds)
        self.inbox.open = False

    def trouble(self, error: BaseException) -> None:
        """Count an error of our own; the first one is logged, by its kind and never by its words."""
        self.errors += 1
        if not self._said:
            self._said = True
            import logging

            words = str(error) if type(error).__module__.startswith("wfmon.") else type(error).__name__
            logging.getLogger("wfmon.hook").debug("The hook met trouble and goes on: %s", words)

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
