"""The child's status for its monitor: a small file in the data folder, replaced atomically."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from wfmon.core.answers.models import DemoStatus

FILE = "demo.json"


class State(NamedTuple):
    """One of off, starting, running, failed, with a reason. ``rate``: the limit in tokens per second and request."""

    state: str
    reason: str = ""
    pid: int | None = None
    url: str = ""
    models: tuple[str, ...] = ()
    rate: float = 0.0

    def status(self) -> DemoStatus:
        """Return the state in the form that pages and routes use."""
        return {
            "state": self.state, "reason": self.reason, "pid": self.pid, "url": self.url,
            "models": list(self.models), "rate": self.rate,
        }  # fmt: skip


def write(data: Path, state: State) -> None:
    """Write the file. Write errors are ignored: the monitor reports an unwritable folder itself."""
    made = data / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(state.status(), file)
        made.replace(data / FILE)


def read(data: Path, pid: int) -> State | None:
    """Return the state that the child with this pid wrote; None before it did."""
    try:
        saved = json.loads((data / FILE).read_text("utf-8"))
        if saved["pid"] != pid:
            return None
        return State(**{**saved, "models": tuple(saved["models"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(data: Path) -> None:
    """Remove the file."""
    with contextlib.suppress(OSError):
        (data / FILE).unlink(missing_ok=True)
