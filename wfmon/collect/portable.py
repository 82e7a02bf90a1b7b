"""Systems other than Linux: the same answers as ``linux.LinuxMachine``, from psutil."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import psutil

from wfmon.collect.text import clean

if TYPE_CHECKING:
    from wfmon.core.types import Floats


class PortableMachine:
    """The machine's counters from psutil. It holds no handles."""

    def cpu_times(self) -> tuple[tuple[str, ...], Floats]:
        """Core numbers, and (all, busy) seconds of shape (1 + cores, 2): the machine first, then each core."""
        cores = psutil.cpu_times(percpu=True)
        table = np.array([(sum(core), sum(core) - core.idle - getattr(core, "iowait", 0.0)) for core in cores])
        return tuple(str(number) for number in range(len(cores))), np.vstack((table.sum(axis=0), table))

    def memory(self) -> tuple[int, int, int, int]:
        """Bytes: memory in all, memory available, swap in all, swap free."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return memory.total, memory.available, swap.total, swap.free

    def disks(self) -> dict[str, tuple[int, int]]:
        """Bytes read and written since boot, by whole disk."""
        found = psutil.disk_io_counters(perdisk=True) or {}
        return {name: (disk.read_bytes, disk.write_bytes) for name, disk in found.items()}

    def load(self) -> tuple[float, float, float]:
        """Mean of runnable and waiting tasks over 1, 5 and 15 minutes."""
        return psutil.getloadavg()

    def temperatures(self, now_s: float) -> dict[str, float]:  # noqa: ARG002  the Linux one looks for sensors by it
        """Degrees Celsius by sensor, where psutil can read them."""
        read = getattr(psutil, "sensors_temperatures", dict)
        return {
            clean(f"{chip} {sensor.label or number}"): sensor.current
            for chip, sensors in read().items()
            for number, sensor in enumerate(sensors)
        }

    def processes(self) -> dict[int, tuple[object, float, int, str]]:
        """By pid: what tells it from a reuse of its pid, CPU seconds, RSS bytes, name (untrusted, cleaned)."""
        found: dict[int, tuple[object, float, int, str]] = {}
        for process in psutil.process_iter(["name", "cpu_times", "memory_info", "create_time"]):
            info = process.info
            if info["cpu_times"] and info["memory_info"]:
                cpu_s = info["cpu_times"].user + info["cpu_times"].system
                found[process.pid] = (info["create_time"], cpu_s, info["memory_info"].rss, clean(info["name"] or ""))
        return found

    def full_name(self, pid: int, name: str) -> str:  # noqa: ARG002  psutil's names are whole
        """The name itself."""
        return name

    def close(self) -> None:
        """Nothing to let go."""
