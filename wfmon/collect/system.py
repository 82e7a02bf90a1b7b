"""The machine: CPU, memory, swap, disks, temperatures, and its busiest processes while they are watched."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wfmon.collect.counters import Total
from wfmon.core.clock import Clock
from wfmon.core.types import Cell, Frame, Layout, Series, Table

if TYPE_CHECKING:
    from wfmon.core.types import Floats

BUSIEST = 10
COLUMNS = ("name", "pid", "cpu_percent", "rss_bytes", "gpu_memory_bytes")
NO_SENSOR = "no temperature sensor is visible: machines in a container or a virtual machine have none"
NO_DISK = "no physical disk is visible: its counters stay outside a container"
NO_SWAP = "this machine has no swap"
UNMOVED = "its counters have not changed since the last sample"
FIRST = "the first reading; a share of time needs two"
_NAN = float("nan")
_FAST = (
    "system.memory_used_bytes", "system.memory_available_bytes", "system.memory_percent", "system.swap_used_bytes",
    "system.swap_percent", "system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second",
)  # fmt: skip
_SLOW = (
    "system.load_1m", "system.load_5m", "system.load_15m", "system.memory_total_bytes", "system.swap_total_bytes",
    "system.disk_free_bytes", "system.disk_total_bytes", "system.disk_free_percent",
)  # fmt: skip


class Machine(Protocol):
    """The operating system's counters; see ``linux.LinuxMachine``. Every method may raise OSError."""

    def cpu_times(self) -> tuple[tuple[str, ...], Floats]: ...
    def memory(self) -> tuple[int, int, int, int]: ...
    def disks(self) -> Mapping[str, tuple[int, int]]: ...
    def load(self) -> tuple[float, float, float]: ...
    def temperatures(self, now_s: float) -> Mapping[str, float]: ...
    def processes(self) -> Mapping[int, tuple[object, float, int, str]]: ...
    def full_name(self, pid: int, name: str) -> str: ...
    def close(self) -> None: ...


def this_machine(platform: str = sys.platform) -> Machine:
    """Return the reader for this operating system."""
    if platform == "linux":
        from wfmon.collect.linux import LinuxMachine

        return LinuxMachine()
    from wfmon.collect.portable import PortableMachine

    return PortableMachine()


class SystemCollector:
    """Measures CPU, memory, swap and disk traffic; the first sample of each second includes the slow metrics.

    So its frames have two layouts, fast and full. Memory is the host's, also within a container.
    ``watching("processes")`` and ``processes_enabled`` together turn the table of processes on; ``gpu_memory()``
    returns bytes by pid for it.
    """

    name = "system"

    def __init__(
        self,
        clock: Clock,
        data_dir: Path,
        watching: Callable[[str], bool],
        processes_enabled: bool,  # noqa: FBT001  the setting's own form
        gpu_memory: Callable[[], Mapping[int, int]],
        machine: Machine | None = None,
    ) -> None:
        self._clock = clock
        self._data_dir = data_dir
        self._watching = watching
        self.processes_enabled = processes_enabled
        """May be changed by any thread."""
        self._gpu_memory = gpu_memory
        self._machine = machine or this_machine()
        # The fast one and the full one, each with the cores and sensors that it was built for.
        self._layouts: list[tuple[tuple[tuple[str, ...], tuple[str, ...] | None] | None, Layout]] = [
            (None, Layout(())),
            (None, Layout(())),
        ]
        self._cpu: tuple[tuple[str, ...], Floats] | None = None
        self._disks = Total(2)
        self._second = -1
        self._processes: tuple[int, dict[int, tuple[object, float]]] | None = None

    def collect(self) -> Frame:
        """Measure now. Raises OSError if the system does not report its CPU times or memory."""
        t_ms, now_ns = self._clock.now_ms(), self._clock.mono_ns()
        reasons: dict[str, str] = {}
        cores, times = self._machine.cpu_times()
        values = self._cpu_shares(cores, times, reasons)
        values += self._memory(reasons)
        sensors: tuple[str, ...] | None = None
        tables: dict[str, Table] = {}
        second = now_ns // 1_000_000_000
        if second != self._second:
            self._second = second
            values += self._slow(reasons)
            found = self._machine.temperatures(now_ns / 1e9)
            sensors = tuple(found)
            values += found.values()
            if not found:
                reasons["system.temperature_celsius"] = NO_SENSOR
            elif any(value != value for value in found.values()):  # noqa: PLR0124  NaN
                reasons["system.temperature_celsius"] = "the sensor does not answer"
            if self.processes_enabled and self._watching("processes"):
                tables["processes"] = self._busiest(now_ns)
            else:
                self._processes = None
        return Frame(self.name, t_ms, self._layout(cores, sensors), np.array(values), reasons, tables)

    def close(self) -> None:
        """Close the handles; a later collect reopens them. Idempotent."""
        self._machine.close()
        self._cpu = self._processes = None
        self._second = -1

    def _cpu_shares(self, cores: tuple[str, ...], times: Floats, reasons: dict[str, str]) -> list[float]:
        before, self._cpu = self._cpu, (cores, times)
        if before is None or before[0] != cores:
            reasons["system.cpu_percent"] = reasons["system.cpu_core_percent"] = FIRST
            return [_NAN] * len(times)
        spent = np.maximum(times - before[1], 0.0)  # the kernel's idle and iowait may decrease a little
        if not spent[:, 0].all():
            reasons["system.cpu_percent"] = reasons["system.cpu_core_percent"] = UNMOVED
        with np.errstate(invalid="ignore", divide="ignore"):
            shares: list[float] = np.minimum(100.0 * spent[:, 1] / spent[:, 0], 100.0).tolist()
        return shares

    def _memory(self, reasons: dict[str, str]) -> list[float]:
        total, available, swap, swap_free = self._machine.memory()
        used, swap_used = total - available, swap - swap_free
        if not swap:
            reasons["system.swap_percent"] = reasons["system.swap_used_bytes"] = NO_SWAP
        disks = self._machine.disks()
        traffic = self._disks.add(disks) if disks else [_NAN, _NAN]
        if not disks:
            reasons["system.disk_read_bytes_per_second"] = reasons["system.disk_write_bytes_per_second"] = NO_DISK
        swapped = [swap_used, 100.0 * swap_used / swap] if swap else [_NAN, _NAN]
        return [used, available, 100.0 * used / total, *swapped, *traffic]

    def _slow(self, reasons: dict[str, str]) -> list[float]:
        total, _, swap, _ = self._machine.memory()
        try:
            disk = shutil.disk_usage(self._data_dir)
            space = [disk.free, disk.total, 100.0 * disk.free / disk.total]
        except (OSError, ZeroDivisionError) as error:
            space = [_NAN] * 3
            for name in _SLOW[-3:]:
                reasons[name] = f"the data folder's disk cannot be read: {error}"
        return [*self._machine.load(), total, swap, *space]

    def _layout(self, cores: tuple[str, ...], sensors: tuple[str, ...] | None) -> Layout:
        known, layout = self._layouts[sensors is not None]
        if known != (cores, sensors):
            series = [Series("system.cpu_percent")]
            series += (Series.of("system.cpu_core_percent", core=core) for core in cores)
            series += map(Series, _FAST)
            if sensors is not None:
                series += map(Series, _SLOW)
                series += (Series.of("system.temperature_celsius", sensor=sensor) for sensor in sensors)
            layout = Layout(tuple(series))
            self._layouts[sensors is not None] = ((cores, sensors), layout)
        return layout

    def _busiest(self, now_ns: int) -> Table:
        """Return the ten processes with the most CPU since the last call, in percent of one core (8 threads: 800 %)."""
        found = self._machine.processes()
        then_ns, before = self._processes or (now_ns, {})
        self._processes = (now_ns, {pid: (birth, cpu_s) for pid, (birth, cpu_s, _, _) in found.items()})
        span_s = (now_ns - then_ns) / 1e9
        gpu = self._gpu_memory()
        rows = []
        for pid, (birth, cpu_s, rss, name) in found.items():
            known = before.get(pid)
            share = None
            if known is not None and known[0] == birth and span_s > 0:  # otherwise a newer process reused the pid
                share = 100.0 * max(0.0, cpu_s - known[1]) / span_s
            rows.append((-1.0 if share is None else share, gpu.get(pid, 0), rss, pid, name, share))
        rows.sort(reverse=True)
        cells: list[tuple[Cell, ...]] = [
            (self._machine.full_name(pid, name), pid, share, rss, gpu.get(pid))
            for _, _, rss, pid, name, share in rows[:BUSIEST]
        ]
        return Table(COLUMNS, tuple(cells))
