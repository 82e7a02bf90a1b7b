"""Graphics cards: NVIDIA through NVML, AMD through sysfs; numbered in one sequence, NVIDIA first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from wfmon.collect.gpu_amd import AmdDriver
from wfmon.collect.gpu_nvml import NvmlDriver
from wfmon.core.clock import Clock
from wfmon.core.types import Frame, Layout, Series, Unavailable

FAST = (
    "gpu.utilisation_percent", "gpu.memory_used_bytes", "gpu.memory_percent", "gpu.temperature_celsius",
    "gpu.power_watts", "gpu.clock_mhz",
)  # fmt: skip
SLOW = ("gpu.memory_total_bytes", "gpu.power_limit_watts", "gpu.memory_clock_mhz", "gpu.fan_percent")
"""Read in the first sample of each second."""
RETRY_LOST_S = 60
"""How often a lost card is searched for while other cards work."""
NOT_REPORTED = "this card does not report it"
_NAN = float("nan")


class Card(Protocol):
    """One card. ``read`` returns, by metric, its value or the reason why there is none."""

    @property
    def name(self) -> str: ...
    def read(self, metrics: tuple[str, ...], now_s: float, *, watched: bool) -> Mapping[str, float | str]: ...


class Driver(Protocol):
    """One vendor's cards. ``open`` raises Unavailable with a sentence; ``close`` is idempotent."""

    def open(self, *, watched: bool) -> Sequence[Card]: ...
    def process_memory(self) -> Mapping[int, int]: ...
    def close(self) -> None: ...


SHOW_MEMORY = ("processes", "servers", "models")
"""Tables that show GPU memory by process: the driver is queried only while one of them is watched."""


class GpuCollector:
    """Samples every card; the first sample of each second includes the slow metrics.

    ``anyone()``: a page is open, so a sleeping card may be woken. ``watching("processes")``: the memory of each process
    is read once a second. A lost card has no values and a reason; when all are lost, collect raises Unavailable, and
    the next call reopens the drivers.
    """

    name = "gpu"

    def __init__(
        self,
        clock: Clock,
        watching: Callable[[str], bool],
        anyone: Callable[[], bool],
        drivers: Sequence[Driver] | None = None,
    ) -> None:
        self._clock = clock
        self._anyone = anyone
        self._watching = watching
        self._drivers = (NvmlDriver(), AmdDriver()) if drivers is None else tuple(drivers)
        self._cards: list[Card] = []
        self._layouts: tuple[Layout, Layout] = (Layout(()), Layout(()))
        self._opened_s = 0.0
        self._second = -1
        self._names: tuple[str, ...] = ()
        self._memory: Mapping[int, int] = {}

    def names(self) -> tuple[str, ...]:
        """Return the cards' names, by number; empty while there is none. Any thread."""
        return self._names

    def process_memory(self) -> Mapping[int, int]:
        """Return GPU memory in bytes by pid, at most a second old; empty while nobody watches. Any thread; cached."""
        return self._memory

    def collect(self) -> Frame:
        """Measure now. Raises Unavailable if there is no card or every card is lost."""
        t_ms, now_s, watched = self._clock.now_ms(), self._clock.mono_ns() / 1e9, self._anyone()
        if not self._cards:
            self._open(now_s, watched=watched)
        full = int(now_s) != self._second
        metrics = FAST + SLOW if full else FAST
        values: list[float] = []
        reasons: dict[str, str] = {}
        lost: list[str] = []
        for number, card in enumerate(self._cards):
            try:
                found = card.read(metrics, now_s, watched=watched)
            except Unavailable as gone:
                lost.append(gone.reason)
                found = dict.fromkeys(metrics, gone.reason)
            for metric in metrics:
                value = found.get(metric, NOT_REPORTED)
                if isinstance(value, str):
                    reasons[f'{metric}{{gpu="{number}"}}'] = value
                    value = _NAN
                values.append(value)
        if lost and (len(lost) == len(self._cards) or now_s - self._opened_s >= RETRY_LOST_S):
            self.close()
            raise Unavailable(" ".join(dict.fromkeys(lost)), lost=True)
        if full:
            self._second = int(now_s)
            self._names = tuple(card.name for card in self._cards)
            self._memory = self._all_memory() if any(map(self._watching, SHOW_MEMORY)) else {}
        return Frame(self.name, t_ms, self._layouts[full], np.array(values), reasons)

    def close(self) -> None:
        """Close the drivers; a later collect reopens them. Idempotent."""
        self._cards, self._memory, self._second = [], {}, -1
        for driver in self._drivers:
            driver.close()

    def _open(self, now_s: float, *, watched: bool) -> None:
        cards: list[Card] = []
        missing: list[Unavailable] = []
        for driver in self._drivers:
            try:
                cards += driver.open(watched=watched)
            except Unavailable as gone:
                missing.append(gone)
        if not cards:
            # A card worked before (there are names): then it is lost, whatever the driver reports now.
            lost = bool(self._names) or any(gone.lost for gone in missing)
            raise Unavailable(" ".join(gone.reason for gone in missing), lost=lost)
        self._cards, self._opened_s = cards, now_s
        self._layouts = (self._layout(FAST), self._layout(FAST + SLOW))

    def _layout(self, metrics: tuple[str, ...]) -> Layout:
        return Layout(tuple(Series.of(metric, gpu=number) for number in range(len(self._cards)) for metric in metrics))

    def _all_memory(self) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for driver in self._drivers:
            found.update(driver.process_memory())
        return found
