"""The last minutes of history, sent to a client when it connects."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from wfmon.stream import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import orjson
    from numpy.typing import NDArray

    from wfmon.core.clock import Clock
    from wfmon.stream.watch import Selectors


class Grid(Protocol):
    """The window's snapshot: the last minutes of every series at equal steps. NaN is a gap."""

    @property
    def t0_ms(self) -> int: ...
    @property
    def step_ms(self) -> int: ...
    @property
    def columns(self) -> dict[int, NDArray[np.float32]]: ...


class Backfill:
    """The encoded snapshot: built at most once a second, shared by all clients that connect meanwhile. Any thread.

    ``seq`` returns the number of the last tick.
    """

    def __init__(self, clock: Clock, snapshot: Callable[[], Grid], seq: Callable[[], int]) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._seq = seq
        self._lock = threading.Lock()
        self._made_ns = 0
        self._held: tuple[int, int, int, dict[str, orjson.Fragment]] | None = None
        self._texts: dict[Selectors | None, wire.Outgoing] = {}

    def get(self, watch: Selectors | None, wanted: Callable[[int], bool]) -> tuple[int, wire.Outgoing]:
        """Return the last tick it covers, and the message with the wanted series."""
        with self._lock:
            now_ns = self._clock.mono_ns()
            if self._held is None or now_ns - self._made_ns >= 1_000_000_000:
                seq = self._seq()  # read first: samples added while the grid is built are in the frames too
                grid = self._snapshot()
                columns = {str(number): wire.column(values) for number, values in grid.columns.items()}
                self._held, self._made_ns = (seq, grid.t0_ms, grid.step_ms, columns), now_ns
                self._texts.clear()
            seq, t0_ms, step_ms, columns = self._held
            if watch not in self._texts:
                shown = {key: each for key, each in columns.items() if wanted(int(key))}
                self._texts[watch] = wire.snapshot(seq, t0_ms, step_ms, shown)
            return seq, self._texts[watch]

    def drop_expired(self) -> None:
        """Free a snapshot too old to send. Does not wait."""
        if self._held is not None and self._lock.acquire(blocking=False):
            if self._clock.mono_ns() - self._made_ns >= 1_000_000_000:
                self._held = None
                self._texts.clear()
            self._lock.release()
