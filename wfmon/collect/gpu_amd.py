"""AMD cards, through the amdgpu driver's files under /sys/class/drm."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from wfmon.collect.linux import KernelFile
from wfmon.collect.power import Sleeper
from wfmon.collect.text import clean
from wfmon.core.types import Unavailable

AMD = "0x1002"
# By metric: candidate files (the first that exists is used) and the factor to the metric's unit.
# kernel.org/doc/html/latest/gpu/amdgpu/thermal.html: millidegrees, microwatts, hertz, revolutions a minute.
_FILES: Mapping[str, tuple[tuple[str, ...], float]] = {
    "gpu.utilisation_percent": (("gpu_busy_percent",), 1.0),
    "gpu.memory_used_bytes": (("mem_info_vram_used",), 1.0),
    "gpu.memory_total_bytes": (("mem_info_vram_total",), 1.0),
    "gpu.temperature_celsius": (("hwmon/temp1_input",), 1e-3),
    "gpu.power_watts": (("hwmon/power1_average", "hwmon/power1_input"), 1e-6),
    "gpu.power_limit_watts": (("hwmon/power1_cap",), 1e-6),
    "gpu.clock_mhz": (("hwmon/freq1_input",), 1e-6),
    "gpu.memory_clock_mhz": (("hwmon/freq2_input",), 1e-6),
    "gpu.fan_percent": (("hwmon/fan1_input",), 100.0),
}
"""The fan's value is divided by its maximum, fan1_max."""


class AmdDriver:
    """The cards of the amdgpu driver. ``drm`` is /sys/class/drm."""

    def __init__(self, drm: Path = Path("/sys/class/drm")) -> None:
        self._drm = drm
        self._cards: list[AmdCard] = []

    def open(self, *, watched: bool) -> list[AmdCard]:  # noqa: ARG002  listing the files does not wake a card
        """Find the cards. Raises Unavailable."""
        folders = [path for path in self._drm.glob("card*") if path.name[4:].isdigit()]
        devices = [path / "device" for path in sorted(folders, key=lambda path: int(path.name[4:]))]
        self._cards = [AmdCard(device) for device in devices if _text(device / "vendor") == AMD]
        if not self._cards:
            raise Unavailable(f"No AMD card under {self._drm}.")
        return self._cards

    def process_memory(self) -> Mapping[int, int]:
        """Return nothing: amdgpu reports it only in each process's fdinfo."""
        return {}

    def close(self) -> None:
        """Close the handles. Idempotent."""
        for card in self._cards:
            card.close()
        self._cards = []


class AmdCard:
    """One card, by its folder ``device``."""

    def __init__(self, device: Path) -> None:
        self._device = device
        self._sleeper = Sleeper(device)
        self._busy = False
        self.name = clean(_text(device / "product_name")) or f"AMD card {_text(device / 'device')}".strip()
        hwmon = next(iter(sorted(device.glob("hwmon/hwmon*"))), device / "hwmon")
        self._fan_max = _number(hwmon / "fan1_max")
        self._files = {}
        for metric, (names, _) in _FILES.items():
            for name in names:
                path = hwmon / name.removeprefix("hwmon/") if name.startswith("hwmon/") else device / name
                if path.exists():
                    self._files[metric] = KernelFile(path)
                    break

    def read(self, metrics: tuple[str, ...], now_s: float, *, watched: bool) -> Mapping[str, float | str]:
        """Read these metrics' files. Raises Unavailable when the card is gone."""
        why = self._sleeper.rests(now_s, watched=watched, busy=self._busy)
        if why:
            return dict.fromkeys(metrics, why)
        found: dict[str, float | str] = {}
        for metric in metrics:
            file = self._files.get(metric)
            if file is not None:
                found[metric] = self._value(metric, file)
        used, total = found.get("gpu.memory_used_bytes"), self._total()
        if isinstance(used, float) and total:
            found["gpu.memory_percent"] = 100.0 * used / total
        busy = found.get("gpu.utilisation_percent")
        self._busy = isinstance(busy, float) and busy > 0
        return found

    def close(self) -> None:
        """Close the handles; a later read reopens them."""
        self._sleeper.close()
        for file in self._files.values():
            file.close()

    def _value(self, metric: str, file: KernelFile) -> float | str:
        try:
            value = int(file.read()) * _FILES[metric][1]
        except ValueError:
            return "the driver's file holds no number"
        except OSError as error:
            if error.errno == errno.ENODEV or not self._device.exists():
                raise Unavailable("The graphics card is lost: its folder under /sys is gone.", lost=True) from error
            return f"the driver does not report it: {error.strerror}"
        if metric == "gpu.fan_percent":
            return value / self._fan_max if self._fan_max else "the card does not report its fan's maximum"
        return value

    def _total(self) -> float:
        file = self._files.get("gpu.memory_total_bytes")
        value = self._value("gpu.memory_total_bytes", file) if file else 0.0
        return value if isinstance(value, float) else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float:
    text = _text(path)
    return float(text) if text.isdigit() else 0.0
