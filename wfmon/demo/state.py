"""How the child tells its monitor how it fares: a small file in the data folder, replaced whole."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from wfmon.core.answers.models import DemoStatus

FILE = "demo.json"


class State(NamedTuple):
    """off, starting, running or failed, and why; ``rate`` is the speed limit, tokens a second and request."""

    state: str
    reason: str = ""
    pid: int | None = None
    url: str = ""
    models: tuple[str, ...] = ()
    rate: float = 0.0

    def told(self) -> DemoStatus:
        """Give it as pages and routes have it."""
        return {
            "state": self.state, "reason": self.reason, "pid": self.pid, "url": self.url,
            "models": list(self.models), "rate": self.rate,
        }  # fmt: skip


def write(data: Path, state: State) -> None:
    """Tell it; a folder that cannot be written is the monitor's own trouble, and it says so."""
    made = data / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(state.told(), file)
        made.replace(data / FILE)


def read(data: Path, pid: int) -> State | None:
    """Give what the child of this number told; None before it did."""
    try:
        told = json.loads((data / FILE).read_text("utf-8"))
        if told["pid"] != pid:
            return None
        return State(**{**told, "models": tuple(told["models"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(data: Path) -> None:
    """Take the file away."""
    with contextlib.suppress(OSError):
        (data / FILE).unlink(missing_ok=True)
