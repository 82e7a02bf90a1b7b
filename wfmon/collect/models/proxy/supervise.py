"""The proxy's process, seen from the monitor: start it, adopt one that outlived a crash, let it drain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wfmon.core.clock import Clock
from wfmon.core.settings import ProxySettings


class ProxyProcess:
    """The one proxy of a data folder. ``each_second`` never waits; any thread."""

    def __init__(self, clock: Clock, settings: ProxySettings, data_dir: Path) -> None:
        self._settings = settings

    def start(self) -> None:
        """Adopt the proxy that runs on this folder, or start one; nothing where it is not enabled."""

    def each_second(self) -> None:
        """Start it again if it has died: after 1, 2, 4 ... 60 s."""

    def status(self) -> dict[str, Any]:
        """Give {state: off|starting|running|draining|failed, reason, pid, listen, upstream}."""
        return {"state": "off", "reason": "", "pid": None, "listen": "", "upstream": ""}

    def close(self) -> None:
        """Ask it to drain, and do not wait. Idempotent."""
