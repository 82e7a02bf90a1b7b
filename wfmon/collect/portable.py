"""Systems other than Linux: the same answers as ``linux.LinuxMachine``, from psutil."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from wfmon.collect.sockets import Socket, SocketAddress, is_loopback_interface, place
from wfmon.collect.text import clean

if TYPE_CHECKING:
    from wfmon.core.types import Floats


class PortableMachine:
    """The machine's counters from psutil. It holds no handles."""

    def cpu_times(self) -> tuple[tuple[str, ...], Floats]:
        """Core numbers, and (all, busy) time in seconds, of shape (1 + cores, 2): the machine first, then each core."""
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


class PortableSockets:
    """Sockets from psutil; see ``sockets.LinuxSockets``. A socket's owner is its pid."""

    def traffic(self) -> dict[str, tuple[int, int, int, int]]:
        """By loopback interface, since it came up: bytes received, bytes sent, packets received, packets sent."""
        return {
            name: (io.bytes_recv, io.bytes_sent, io.packets_recv, io.packets_sent)
            for name, io in psutil.net_io_counters(pernic=True).items()
            if is_loopback_interface(name)
        }

    def sockets(self) -> list[Socket]:
        """Every TCP and UDP socket; where that takes an administrator (macOS), this process's own. Raises OSError."""
        try:
            return [_socket(row, row.pid) for row in psutil.net_connections("inet")]
        except psutil.AccessDenied:
            own = psutil.Process()
            return [_socket(row, own.pid) for row in own.net_connections("inet")]

    def own(self) -> set[int]:
        """This process's pid."""
        return {os.getpid()}

    def holders(self, wanted: set[int]) -> dict[int, tuple[int, str]]:
        """By pid: the pid and name (cleaned), as far as this user may see."""
        found = {}
        for pid in wanted - {-1}:
            try:
                found[pid] = (pid, clean(psutil.Process(pid).name()))
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        """Nothing to let go."""


def _socket(row: Any, pid: int | None) -> Socket:  # noqa: ANN401  psutil's named tuple
    tcp = row.type == socket.SOCK_STREAM
    state = row.status.lower() if tcp else "established" if row.raddr else "close"
    return Socket(tcp, state, _end(row.laddr), _end(row.raddr), -1 if pid is None else pid)


def _end(end: Any) -> tuple[SocketAddress, int]:  # noqa: ANN401  as above
    if not end:
        return SocketAddress("", loopback=False, wildcard=True), 0
    host = end.ip.partition("%")[0]
    return place(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)), end.port
