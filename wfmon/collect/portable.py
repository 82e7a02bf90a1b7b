"""Systems other than Linux: the interface of ``linux.LinuxMachine``, implemented with psutil."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from wfmon.collect.sockets import Socket, SocketAddress, is_loopback_interface, unpack_address
from wfmon.collect.text import clean

if TYPE_CHECKING:
    from wfmon.core.types import Floats


class PortableMachine:
    """The machine's counters from psutil. Holds no handles."""

    def cpu_times(self) -> tuple[tuple[str, ...], Floats]:
        """Return core numbers, and (all, busy) seconds of shape (1 + cores, 2): the machine first, then each core."""
        cores = psutil.cpu_times(percpu=True)
        table = np.array([(sum(core), sum(core) - core.idle - getattr(core, "iowait", 0.0)) for core in cores])
        return tuple(str(number) for number in range(len(cores))), np.vstack((table.sum(axis=0), table))

    def memory(self) -> tuple[int, int, int, int]:
        """Return bytes: total memory, available memory, total swap, free swap."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return memory.total, memory.available, swap.total, swap.free

    def disks(self) -> dict[str, tuple[int, int]]:
        """Return bytes read and written since boot, by whole disk."""
        found = psutil.disk_io_counters(perdisk=True) or {}
        return {name: (disk.read_bytes, disk.write_bytes) for name, disk in found.items()}

    def load(self) -> tuple[float, float, float]:
        """Return the load averages over 1, 5 and 15 minutes."""
        return psutil.getloadavg()

    def temperatures(self, now_s: float) -> dict[str, float]:  # noqa: ARG002  the Linux reader rescans its sensors by it
        """Return degrees Celsius by sensor, where psutil can read them."""
        read = getattr(psutil, "sensors_temperatures", dict)
        return {
            clean(f"{chip} {sensor.label or number}"): sensor.current
            for chip, sensors in read().items()
            for number, sensor in enumerate(sensors)
        }

    def processes(self) -> dict[int, tuple[object, float, int, str]]:
        """Return by pid: start time (detects a reused pid), CPU seconds, RSS bytes, name (untrusted, cleaned)."""
        found: dict[int, tuple[object, float, int, str]] = {}
        for process in psutil.process_iter(["name", "cpu_times", "memory_info", "create_time"]):
            info = process.info
            if info["cpu_times"] and info["memory_info"]:
                cpu_s = info["cpu_times"].user + info["cpu_times"].system
                found[process.pid] = (info["create_time"], cpu_s, info["memory_info"].rss, clean(info["name"] or ""))
        return found

    def full_name(self, pid: int, name: str) -> str:  # noqa: ARG002  psutil's names are whole
        """Return the name unchanged."""
        return name

    def close(self) -> None:
        """Nothing to close."""


class PortableSockets:
    """Sockets from psutil; see ``sockets.LinuxSockets``. A socket's owner is its pid."""

    def traffic(self) -> dict[str, tuple[int, int, int, int]]:
        """Return by loopback interface, since it came up: bytes in, bytes out, packets in, packets out."""
        return {
            name: (io.bytes_recv, io.bytes_sent, io.packets_recv, io.packets_sent)
            for name, io in psutil.net_io_counters(pernic=True).items()
            if is_loopback_interface(name)
        }

    def sockets(self) -> list[Socket]:
        """Return every TCP and UDP socket; only this process's where that needs root (macOS). Raises OSError."""
        try:
            return [_socket(row, row.pid) for row in psutil.net_connections("inet")]
        except psutil.AccessDenied:
            own = psutil.Process()
            return [_socket(row, own.pid) for row in own.net_connections("inet")]

    def own(self) -> set[int]:
        """Return this process's pid."""
        return {os.getpid()}

    def holders(self, wanted: set[int]) -> dict[int, tuple[int, str]]:
        """Return by pid: the pid and name (cleaned), as far as this user may see them."""
        found = {}
        for pid in wanted - {-1}:
            try:
                found[pid] = (pid, clean(psutil.Process(pid).name()))
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        """Nothing to close."""


def _socket(row: Any, pid: int | None) -> Socket:  # noqa: ANN401  psutil's named tuple
    tcp = row.type == socket.SOCK_STREAM
    state = row.status.lower() if tcp else "established" if row.raddr else "close"
    return Socket(tcp, state, _end(row.laddr), _end(row.raddr), -1 if pid is None else pid)


def _end(end: Any) -> tuple[SocketAddress, int]:  # noqa: ANN401  as above
    if not end:
        return SocketAddress("", loopback=False, wildcard=True), 0
    host = end.ip.partition("%")[0]
    return unpack_address(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)), end.port
