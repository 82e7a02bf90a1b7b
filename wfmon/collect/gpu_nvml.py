"""NVIDIA cards, through NVML (the package nvidia-ml-py, module pynvml).

The module takes 3 MB, so it is imported only where the driver's library exists.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wfmon.collect.power import Sleeper
from wfmon.collect.text import clean
from wfmon.core.types import Unavailable

NO_LIBRARY = "No NVIDIA driver: libnvidia-ml not found."
NVIDIA, DISPLAY = "0x10de", "0x03"
"""PCI vendor, and the first byte of the class of display controllers."""
# NVML's return codes (nvml.h, enum nvmlReturn_t).
_UNINITIALIZED, _NOT_SUPPORTED, _NO_PERMISSION, _DRIVER_NOT_LOADED = 1, 3, 4, 9
_LIBRARY_NOT_FOUND, _FUNCTION_NOT_FOUND, _GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH = 12, 13, 15, 16, 18
GONE = {
    _UNINITIALIZED: "NVML was shut down.",
    _DRIVER_NOT_LOADED: "The NVIDIA driver is installed but not loaded.",
    _LIBRARY_NOT_FOUND: NO_LIBRARY,
    _GPU_IS_LOST: "The graphics card is lost: it no longer answers on its bus.",
    _RESET_REQUIRED: "The graphics card failed and must be reset: restart the machine.",
    _VERSION_MISMATCH: "The NVIDIA driver and its library differ in version: restart the machine after the update.",
}
"""Errors that make the whole card unavailable; any other affects a single value."""
ABSENT = {
    _NOT_SUPPORTED: "this card does not report it",
    _NO_PERMISSION: "this user may not read it",
    _FUNCTION_NOT_FOUND: "the driver is too old to report it",
}


def load_pynvml() -> Any:  # noqa: ANN401  the module, or a replay of it in tests
    """Import pynvml if the driver's library exists. Raises Unavailable with a sentence."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            raise Unavailable(NO_LIBRARY) from None
    try:
        import pynvml
    except ImportError:
        raise Unavailable("The package nvidia-ml-py is missing: install the requirements again.") from None
    return pynvml


class NvmlDriver:
    """NVML, initialised on first use and shut down while every card rests. One thread calls it.

    ``load`` returns the module pynvml; ``pci`` is /sys/bus/pci/devices, which shows whether a card sleeps.
    """

    def __init__(self, load: Callable[[], Any] = load_pynvml, pci: Path = Path("/sys/bus/pci/devices")) -> None:
        self._load = load
        self._pci = pci
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._cards: list[NvmlCard] = []

    def open(self, *, watched: bool) -> list[NvmlCard]:
        """Find the cards. While nobody watches, NVML is not started if that would wake them. Raises Unavailable."""
        sleepers = [Sleeper(device) for device in self._devices()]
        if sleepers and not watched and all(sleeper.suspended() for sleeper in sleepers):
            self._cards = [NvmlCard(self, number, sleeper) for number, sleeper in enumerate(sleepers)]
            return self._cards
        for sleeper in sleepers:
            sleeper.close()
        nvml = self.start()
        if not self._handles:
            raise Unavailable("The NVIDIA driver finds no card.")
        self._cards = [
            NvmlCard(self, number, Sleeper(self._folder(nvml, handle))) for number, handle in enumerate(self._handles)
        ]
        return self._cards

    def start(self) -> Any:  # noqa: ANN401  as above
        """Return NVML, initialising it if needed. Raises Unavailable."""
        if self._nvml is None:
            nvml = self._load()
            try:
                nvml.nvmlInit()
                self._handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            except nvml.NVMLError as error:
                raise _gone(error) from error
            self._nvml = nvml
        return self._nvml

    def handle(self, number: int) -> Any:  # noqa: ANN401  NVML's own type
        """Return a card's handle. Raises Unavailable if NVML has fewer cards."""
        if number >= len(self._handles):
            raise Unavailable(GONE[_GPU_IS_LOST], lost=True)
        return self._handles[number]

    def process_memory(self) -> Mapping[int, int]:
        """Return bytes by pid over all cards; a process in both lists of a card (compute, graphics) counts once."""
        found: dict[int, int] = {}
        if self._nvml is None:
            return found
        for handle in self._handles:
            on_card: dict[int, int] = {}
            for query in (
                self._nvml.nvmlDeviceGetComputeRunningProcesses,
                self._nvml.nvmlDeviceGetGraphicsRunningProcesses,
            ):
                try:
                    on_card.update((process.pid, process.usedGpuMemory or 0) for process in query(handle))
                except self._nvml.NVMLError:  # this list is not available here; the table then shows no number
                    continue
            for pid, used in on_card.items():
                found[pid] = found.get(pid, 0) + used
        return found

    def rest(self) -> None:
        """Shut NVML down if every card rests: while it is open it keeps them awake."""
        if self._nvml is not None and all(card.resting for card in self._cards):
            self._shutdown()

    def close(self) -> None:
        """Shut NVML down. Idempotent."""
        for card in self._cards:
            card.close()
        self._cards = []
        self._shutdown()

    def _shutdown(self) -> None:
        nvml, self._nvml, self._handles = self._nvml, None, []
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:  # the driver is gone already
                return

    def _devices(self) -> list[Path]:
        """Return NVIDIA's display controllers in PCI bus order, which is NVML's order too."""
        return [
            device
            for device in (sorted(self._pci.iterdir()) if self._pci.is_dir() else ())
            if _text(device / "vendor") == NVIDIA and _text(device / "class").startswith(DISPLAY)
        ]

    def _folder(self, nvml: Any, handle: Any) -> Path:  # noqa: ANN401  NVML's own types
        """Return the card's folder: NVML writes "00000000:01:00.0" where the kernel writes "0000:01:00.0"."""
        try:
            bus = nvml.nvmlDeviceGetPciInfo(handle).busId
        except nvml.NVMLError:
            return self._pci / "unknown"
        return self._pci / (bus.decode() if isinstance(bus, bytes) else bus)[-12:].lower()


class NvmlCard:
    """One card, through NVML."""

    def __init__(self, driver: NvmlDriver, number: int, sleeper: Sleeper) -> None:
        self._driver = driver
        self._number = number
        self._sleeper = sleeper
        self._name = ""
        self._busy = False
        self.resting = False

    @property
    def name(self) -> str:
        """The name that the driver reports, once it has been read."""
        return self._name or "NVIDIA card (asleep)"

    def read(self, metrics: tuple[str, ...], now_s: float, *, watched: bool) -> Mapping[str, float | str]:
        """Read these metrics from NVML. Raises Unavailable when the card is lost."""
        why = self._sleeper.rests(now_s, watched=watched, busy=self._busy)
        self.resting = bool(why)
        if why:
            self._driver.rest()
            return dict.fromkeys(metrics, why)
        nvml = self._driver.start()
        handle = self._driver.handle(self._number)
        found: dict[str, float | str] = {}
        for metric in metrics:
            if metric not in found and metric in _QUERIES:
                try:
                    found.update(_QUERIES[metric](nvml, handle))
                except nvml.NVMLError as error:
                    found[metric] = _absence(error)
        if not self._name:
            try:
                self._name = clean(_words(nvml.nvmlDeviceGetName(handle)))
            except nvml.NVMLError as error:
                self._name = f"NVIDIA card ({_absence(error)})"
        used = found.get("gpu.utilisation_percent")
        self._busy = isinstance(used, float) and used > 0
        return found

    def close(self) -> None:
        """Close the handles."""
        self._sleeper.close()


def _memory(nvml: Any, handle: Any) -> dict[str, float | str]:  # noqa: ANN401  NVML's own types
    """Return all memory metrics from one call. Version 2 excludes memory reserved by firmware, as nvidia-smi does."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value not in ABSENT:
            raise
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    found: dict[str, float | str] = {
        "gpu.memory_used_bytes": float(memory.used),
        "gpu.memory_total_bytes": float(memory.total),
    }
    if memory.total:
        found["gpu.memory_percent"] = 100.0 * memory.used / memory.total
    return found


_QUERIES: dict[str, Callable[[Any, Any], dict[str, float | str]]] = {
    "gpu.utilisation_percent": lambda nvml, card: {
        "gpu.utilisation_percent": float(nvml.nvmlDeviceGetUtilizationRates(card).gpu)
    },
    "gpu.memory_used_bytes": _memory,
    "gpu.temperature_celsius": lambda nvml, card: {
        "gpu.temperature_celsius": float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))
    },
    "gpu.power_watts": lambda nvml, card: {"gpu.power_watts": nvml.nvmlDeviceGetPowerUsage(card) / 1_000},
    "gpu.clock_mhz": lambda nvml, card: {"gpu.clock_mhz": float(nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM))},
    "gpu.power_limit_watts": lambda nvml, card: {
        "gpu.power_limit_watts": nvml.nvmlDeviceGetEnforcedPowerLimit(card) / 1_000
    },
    "gpu.memory_clock_mhz": lambda nvml, card: {
        "gpu.memory_clock_mhz": float(nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_MEM))
    },
    "gpu.fan_percent": lambda nvml, card: {"gpu.fan_percent": float(nvml.nvmlDeviceGetFanSpeed(card))},
}
"""The NVML query of each metric; NVML reports milliwatts. memory_used returns all memory metrics."""


def _absence(error: Any) -> str:  # noqa: ANN401  pynvml.NVMLError, which tests replay
    """Return why one value is absent. Raises Unavailable if the whole card is."""
    if error.value in GONE:
        raise _gone(error) from error
    return ABSENT.get(error.value) or f"NVML reports: {error}"


def _gone(error: Any) -> Unavailable:  # noqa: ANN401  as above
    reason = GONE.get(error.value) or ABSENT.get(error.value) or f"NVML reports: {error}."
    return Unavailable(reason, lost=error.value in {_GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH})


def _words(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
