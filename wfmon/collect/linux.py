"""Linux: readings from /proc and /sys without psutil, which takes two to ten times as long."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wfmon.collect.text import clean

if TYPE_CHECKING:
    from wfmon.core.types import Floats

SECTOR_BYTES = 512
"""The unit of /proc/diskstats, whatever the disk's own sector size."""
RESCAN_S = 60
"""How often the list of sensors is rescanned."""
GPU_DRIVERS = frozenset({"amdgpu", "radeon", "nouveau", "i915", "xe"})
"""Their hwmon sensors are left to the gpu collector: reading them can wake a sleeping card."""
_COMM_CHARS = 15
_CHUNK = 65_536
_IDLE = (3, 4)  # idle, iowait: psutil counts the same as not busy
_SHOWN = 8  # user nice system idle iowait irq softirq steal; the guest times after them are part of user and nice


class KernelFile:
    """A file of /proc or /sys that stays open: each ``read`` returns its current text. One thread calls it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def read(self) -> bytes:
        """Return the whole text. Raises OSError."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        text = part = os.pread(self._fd, _CHUNK, 0)
        while part:  # the kernel returns long tables a page at a time
            part = os.pread(self._fd, _CHUNK, len(text))
            text += part
        return text

    def close(self) -> None:
        """Close the handle; the next read reopens it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LinuxMachine:
    """The machine's counters from /proc and /sys; the roots are arguments so that tests can replace them."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys"), *, clock_ticks: int = 0) -> None:
        self._proc = proc
        self._sys = sys
        self._ticks = float(clock_ticks or os.sysconf("SC_CLK_TCK"))
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._stat = KernelFile(proc / "stat")
        self._meminfo = KernelFile(proc / "meminfo")
        self._diskstats = KernelFile(proc / "diskstats")
        self._loadavg = KernelFile(proc / "loadavg")
        self._physical: dict[bytes, bool] = {}
        self._sensors: tuple[tuple[str, KernelFile], ...] = ()
        self._scanned_s = -float(RESCAN_S)

    def cpu_times(self) -> tuple[tuple[str, ...], Floats]:
        """Return core numbers, and (all, busy) ticks of shape (1 + cores, 2): the machine first, then each core."""
        head = self._stat.read().partition(b"\nintr")[0]
        lines = [line for line in head.split(b"\n") if line.startswith(b"cpu")]
        table = np.array([line.split()[1 : _SHOWN + 1] for line in lines], np.float64)
        total = table.sum(axis=1)
        return tuple(line[3 : line.index(b" ")].decode() for line in lines[1:]), np.stack(
            (total, total - table[:, _IDLE[0]] - table[:, _IDLE[1]]), axis=1
        )

    def memory(self) -> tuple[int, int, int, int]:
        """Return bytes: total memory, available memory, total swap, free swap."""
        fields: dict[bytes, int] = {}
        for line in self._meminfo.read().split(b"\n"):
            name, colon, rest = line.partition(b":")
            if colon:
                fields[name] = int(rest.split(None, 1)[0])
                if name == b"SwapFree":
                    break
        total = fields[b"MemTotal"]
        available = fields.get(b"MemAvailable", fields[b"MemFree"])
        if available > total:  # seen in containers: psutil falls back to free memory as well
            available = fields[b"MemFree"]
        return total << 10, available << 10, fields.get(b"SwapTotal", 0) << 10, fields.get(b"SwapFree", 0) << 10

    def disks(self) -> dict[str, tuple[int, int]]:
        """Return bytes read and written since boot by physical disk (no partition, loop, device mapper or RAM disk)."""
        found = {}
        for line in self._diskstats.read().split(b"\n"):
            fields = line.split(None, 10)
            if len(fields) > 9:  # sectors written is the tenth
                name = fields[2]
                physical = self._physical.get(name)
                if physical is None:
                    physical = self._physical[name] = self._is_physical(name.decode())
                if physical:
                    found[name.decode()] = (int(fields[5]) * SECTOR_BYTES, int(fields[9]) * SECTOR_BYTES)
        return found

    def load(self) -> tuple[float, float, float]:
        """Return the load averages over 1, 5 and 15 minutes."""
        one, five, fifteen = self._loadavg.read().split(None, 3)[:3]
        return float(one), float(five), float(fifteen)

    def temperatures(self, now_s: float) -> dict[str, float]:
        """Return degrees Celsius by sensor ("coretemp Core 0"), NaN if one does not answer; without graphics cards."""
        if now_s - self._scanned_s >= RESCAN_S:
            self._scanned_s = now_s
            self._scan()
        found = {}
        for name, file in self._sensors:
            try:
                found[name] = int(file.read()) / 1_000
            except (OSError, ValueError):
                found[name] = float("nan")
        return found

    def processes(self) -> dict[int, tuple[object, float, int, str]]:
        """Return by pid: start time (detects a reused pid), CPU seconds, RSS bytes, name (untrusted, cleaned)."""
        found: dict[int, tuple[object, float, int, str]] = {}
        root = os.fspath(self._proc)
        for entry in os.listdir(root):  # noqa: PTH208  a Path an entry would double the time
            if entry.isdigit():
                try:
                    fd = os.open(f"{root}/{entry}/stat", os.O_RDONLY | os.O_CLOEXEC)
                except OSError:  # the process ended after the listing
                    continue
                try:
                    text = os.read(fd, 4_096)
                except OSError:
                    continue
                finally:
                    os.close(fd)
                # The name is in parentheses and may itself contain some: the last one closes it.
                name_end = text.rfind(b")")
                fields = text[name_end + 2 :].split(None, 22)
                if len(fields) <= 21:  # as above: the process has ended
                    continue
                cpu_s = (int(fields[11]) + int(fields[12])) / self._ticks
                name = text[text.index(b"(") + 1 : name_end].decode("utf-8", "replace")
                found[int(entry)] = (fields[19], cpu_s, int(fields[21]) * self._page, clean(name))
        return found

    def full_name(self, pid: int, name: str) -> str:
        """Return a process's name beyond the kernel's 15 characters, if its command line still shows it."""
        if len(name) < _COMM_CHARS:
            return name
        try:
            argument = (self._proc / str(pid) / "cmdline").read_bytes().split(b"\0", 1)[0]
        except OSError:
            return name
        longer = clean(os.path.basename(argument.decode("utf-8", "replace")))  # noqa: PTH119  untrusted text, no path
        return longer if longer.startswith(name) else name

    def close(self) -> None:
        """Close all handles; later calls reopen them."""
        for file in (self._stat, self._meminfo, self._diskstats, self._loadavg, *(file for _, file in self._sensors)):
            file.close()
        self._sensors, self._scanned_s = (), -float(RESCAN_S)
        self._physical.clear()

    def _is_physical(self, name: str) -> bool:
        """Return whether it is a whole hardware disk. A multipath NVMe's paths are hidden and not counted twice."""
        block = self._sys / "block" / name.replace("/", "!")
        return (block / "device").exists() and _text(block / "hidden") != "1"

    def _scan(self) -> None:
        for _, file in self._sensors:
            file.close()
        sensors: dict[str, KernelFile] = {}
        for path in sorted(self._sys.glob("class/hwmon/hwmon*/temp*_input")):
            chip = _text(path.parent / "name") or path.parent.name
            if chip not in GPU_DRIVERS:
                label = _text(path.with_name(path.name.replace("_input", "_label")))
                _add(sensors, f"{chip} {label}".strip(), path)
        if not sensors:
            for path in sorted(self._sys.glob("class/thermal/thermal_zone*/temp")):
                _add(sensors, _text(path.parent / "type") or path.parent.name, path)
        self._sensors = tuple(sensors.items())


def _add(sensors: dict[str, KernelFile], name: str, path: Path) -> None:
    """Add a sensor; a repeated name gets a number."""
    name, number = clean(name), 2
    base = name
    while name in sensors:
        name, number = f"{base} {number}", number + 1
    sensors[name] = KernelFile(path)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
