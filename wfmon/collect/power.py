"""Power: lets graphics cards sleep, and reports whether the machine runs on battery."""

from __future__ import annotations

from pathlib import Path

from wfmon.collect.linux import KernelFile

IDLE_S = 10
"""A card idle for this long is left alone, so that it can fall asleep ..."""
LEAVE_S = 20
"""... and is read again after this long, because something else (a screen, a program) then keeps it awake."""
ASLEEP = "asleep: the card is switched off to save power, and is not woken while nobody watches"
LEFT_ALONE = "left alone while nobody watches, so that the card can fall asleep"


class Sleeper:
    """Lets a card that the kernel may switch off sleep while nobody watches.

    ``device`` is its folder under /sys/bus/pci/devices (or a drm card's ``device``). If that does not exist, or the
    kernel may not switch the card off, the card never rests. One thread calls it.
    """

    def __init__(self, device: Path) -> None:
        self._control = KernelFile(device / "power" / "control")
        self._status = KernelFile(device / "power" / "runtime_status")
        self._idle_since: float | None = None

    def suspended(self) -> bool:
        """Return whether the card is switched off now."""
        return _word(self._status) == b"suspended"

    def rests(self, now_s: float, *, watched: bool, busy: bool) -> str:
        """Return why the card must not be read now, or "". ``busy``: it was working at its last reading."""
        if watched or _word(self._control) != b"auto":
            self._idle_since = None
            return ""
        if self.suspended():
            self._idle_since = None
            return ASLEEP
        if busy or self._idle_since is None:
            self._idle_since = now_s
        return LEFT_ALONE if IDLE_S <= now_s - self._idle_since < IDLE_S + LEAVE_S else ""

    def close(self) -> None:
        """Close the handles. Idempotent."""
        self._control.close()
        self._status.close()


def on_battery(supplies: Path = Path("/sys/class/power_supply")) -> bool:
    """Return whether the machine runs on battery; False if it has none or does not report it."""
    if not supplies.is_dir():
        return _on_battery_elsewhere()
    kinds = {folder: _read(folder / "type") for folder in supplies.iterdir() if _read(folder / "scope") != b"Device"}
    if any(kind == b"Mains" and _read(folder / "online") == b"1" for folder, kind in kinds.items()):
        return False
    return any(kind == b"Battery" and _read(folder / "status") == b"Discharging" for folder, kind in kinds.items())


def _on_battery_elsewhere() -> bool:
    import psutil

    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return battery is not None and battery.power_plugged is False


def _word(file: KernelFile) -> bytes:
    try:
        return file.read().strip()
    except OSError:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError:
        return b""
