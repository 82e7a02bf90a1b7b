"""Model servers of this machine: found by their listening sockets, known by their answers, scraped once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wfmon.collect.models.events import Reading
from wfmon.core.clock import Clock
from wfmon.core.types import Frame, Layout, Series


class ServersCollector:
    """Polled at 1 Hz at most, by its own thread; ``servers``, ``server_of`` may be called from any."""

    name = "servers"

    def __init__(
        self,
        clock: Clock,
        *,
        scraped: Callable[[Sequence[Reading]], None],
        gpu_memory: Callable[[], Mapping[int, int]],
        rate_hz: float = 1.0,
    ) -> None:
        """``scraped`` takes the readings of each look; ``gpu_memory`` gives bytes by pid, of all cards."""
        self._clock = clock
        self._layout = Layout((Series.of("servers.found"),))

    def collect(self) -> Frame:
        """Look once. The frame's table ``servers`` is there when it changed or somebody may just have opened it."""
        return Frame(self.name, self._clock.now_ms(), self._layout, np.zeros(1))

    def server_of(self, pid: int, claimed: str) -> str:
        """Give the server label of a process: an address it listens on, that of its proxy's upstream, or the claim."""
        return claimed

    def servers(self) -> list[dict[str, Any]]:
        """Every server found: the fields of the table, one object each."""
        return []

    def close(self) -> None:
        """Let handles go. Idempotent."""
