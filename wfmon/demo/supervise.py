"""The built-in model's process, seen from the monitor: start it, stop it, tell how it fares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wfmon.core.clock import Clock
from wfmon.core.settings import DemoSettings


class DemoProcess:
    """At most one child at a time; it ends with the monitor (end of file on its standard input). Any thread."""

    def __init__(self, clock: Clock, settings: DemoSettings, data_dir: Path) -> None:
        self._settings = settings

    def say(self, what: str) -> dict[str, Any]:
        """Take "start", "stop", "wait" (at most 10 s, until it has started or failed) or ""; gives {state: off|starting|
        running|failed, reason, pid, url, models, rate}. A running one has a reason where its port is another than set.
        """
        return {"state": "off", "reason": "", "pid": None, "url": "", "models": [], "rate": 0.0}

    def close(self) -> None:
        """End the child, in 0.2 s at most. Idempotent."""
