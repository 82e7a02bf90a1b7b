"""The monitor itself: its resource use, and the health of its parts."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from wfmon.collect.linux import KernelFile
from wfmon.core.clock import Clock
from wfmon.core.types import Frame, Layout, Series, Table

COLUMNS = ("thread", "id", "cpu_percent", "cpu_seconds")
PSS_EVERY_S = 10
"""Read rarely: the kernel walks every page for it."""
FIRST = "the first reading; a share of time needs two"
NOT_REPORTED = "this system does not report it"
NOT_YET = "nothing measured yet"
_NAN = float("nan")
_NUMBERED = re.compile(r"[-_ ]\d+(?= |$).*")


@dataclass(frozen=True, slots=True)
class Probes:
    """Measurements of the other parts; called from the collector's thread.

    Counts are totals since the start, by cause, component, thread or queue; ``queues`` returns (depth, capacity).
    None means not measured yet.
    """

    collectors_cpu_ns: Callable[[], int]
    samples_in: Callable[[], int]
    samples_dropped: Callable[[], Mapping[str, int]]
    beats_skipped: Callable[[], Mapping[str, int]]
    errors: Callable[[], Mapping[str, int]]
    requests_refused: Callable[[], Mapping[str, int]]
    queues: Callable[[], Mapping[str, tuple[int, int]]]
    clients: Callable[[], int]
    clients_slowed: Callable[[], int]
    clients_closed: Callable[[], Mapping[str, int]]
    series: Callable[[], int]
    cache_bytes: Callable[[], int]
    cache_seconds: Callable[[], float]
    tick_late_ms: Callable[[], float | None]
    tick_work_ms: Callable[[], float | None]
    encode_us: Callable[[], float | None]


_SINGLE = (
    ("monitor.samples_per_second", "samples_in"),
    ("monitor.clients", "clients"),
    ("monitor.clients_slowed", "clients_slowed"),
    ("monitor.series", "series"),
    ("monitor.cache_bytes", "cache_bytes"),
    ("monitor.cache_seconds", "cache_seconds"),
    ("monitor.tick_late_ms", "tick_late_ms"),
    ("monitor.tick_work_ms", "tick_work_ms"),
    ("monitor.encode_us", "encode_us"),
)
"""(metric, probe)."""
_LABELLED = (
    ("monitor.samples_dropped_total", "cause", "samples_dropped"),
    ("monitor.beats_skipped_total", "thread", "beats_skipped"),
    ("monitor.errors_total", "component", "errors"),
    ("monitor.requests_refused_total", "cause", "requests_refused"),
    ("monitor.clients_closed_total", "cause", "clients_closed"),
)
"""(metric, label, probe): the probe returns a mapping by that label."""


class Process(Protocol):
    """This process as the operating system reports it; see ``LinuxProcess``. NaN: not reported."""

    def cpu_s(self) -> float: ...
    def rss_bytes(self) -> float: ...
    def pss_bytes(self) -> float: ...
    def descriptors(self) -> float: ...
    def threads_cpu_s(self) -> Mapping[int, float]: ...
    def close(self) -> None: ...


class LinuxProcess:
    """This process, from /proc. ``proc`` is its root. One thread calls it."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._self = proc / "self"
        self._statm = KernelFile(self._self / "statm")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Return CPU seconds since the start, to the microsecond (/proc counts in hundredths)."""
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def rss_bytes(self) -> float:
        """Resident memory."""
        return float(int(self._statm.read().split(None, 2)[1]) * self._page)

    def pss_bytes(self) -> float:
        """Return the proportional set size in bytes; NaN if the kernel does not report it."""
        try:
            text = (self._self / "smaps_rollup").read_bytes()
        except OSError:
            return _NAN
        for line in text.split(b"\n"):
            if line.startswith(b"Pss:"):
                return float(int(line.split()[1]) << 10)
        return _NAN

    def descriptors(self) -> float:
        """Return the number of open file descriptors, without the one that this call uses."""
        return float(len(os.listdir(self._self / "fd")) - 1)  # noqa: PTH208  a Path an entry would double the time

    def threads_cpu_s(self) -> dict[int, float]:
        """Return CPU seconds by thread id, to the nanosecond, for threads with a schedstat."""
        found = {}
        root = os.fspath(self._self / "task")
        for entry in os.listdir(root):  # noqa: PTH208  as above
            try:
                with open(f"{root}/{entry}/schedstat", "rb", buffering=0) as file:
                    found[int(entry)] = int(file.read(64).split(None, 1)[0]) / 1e9
            except (OSError, IndexError):  # the thread just ended, or the kernel has no schedstat
                continue
        return found

    def close(self) -> None:
        """Close the handle; a later call reopens it."""
        self._statm.close()


class PortableProcess:
    """This process through psutil, on other systems."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()

    def cpu_s(self) -> float:
        """Return CPU seconds since the start."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> float:
        """Resident memory."""
        return float(self._process.memory_info().rss)

    def pss_bytes(self) -> float:
        """Return NaN: only Linux reports it."""
        return _NAN

    def descriptors(self) -> float:
        """Return the number of open file descriptors; on Windows, handles."""
        count = getattr(self._process, "num_fds", None) or getattr(self._process, "num_handles")  # noqa: B009  Windows alone
        return float(count())

    def threads_cpu_s(self) -> dict[int, float]:
        """Return CPU seconds by thread id; on macOS the ids are psutil's own, so names are unknown there."""
        return {thread.id: thread.user_time + thread.system_time for thread in self._process.threads()}

    def close(self) -> None:
        """Nothing to close."""


def this_process(platform: str = sys.platform) -> Process:
    """Return the reader for this operating system."""
    return LinuxProcess() if platform == "linux" else PortableProcess()


class MonitorCollector:
    """Measures the process and reads the probes; every ten seconds the proportional memory too.

    ``watching("threads")`` turns the table of threads on. Threads whose names differ only by a number ("wfmon-ws-1",
    "wfmon-ws-2") share a series; the table lists each.
    """

    name = "monitor"

    def __init__(
        self, clock: Clock, watching: Callable[[str], bool], probes: Probes, process: Process | None = None
    ) -> None:
        self._clock = clock
        self._watching = watching
        self._probes = probes
        self._process = process or this_process()
        self._before: tuple[int, float, int, Mapping[int, float]] | None = None
        self._pss_s = -float(PSS_EVERY_S)
        self._series: tuple[Series, ...] = ()
        self._layout = Layout(())

    def collect(self) -> Frame:
        """Measure now. Raises OSError if the system does not report this process's memory."""
        t_ms, now_ns = self._clock.now_ms(), self._clock.mono_ns()
        reasons: dict[str, str] = {}
        cpu_s, collectors_ns = self._process.cpu_s(), self._probes.collectors_cpu_ns()
        threads = self._process.threads_cpu_s()
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        before, self._before = self._before, (now_ns, cpu_s, collectors_ns, threads)
        row: dict[Series, float] = {}
        shares: dict[int, float] = {}
        if before is None or now_ns <= before[0]:
            row[Series("monitor.cpu_percent")] = row[Series("monitor.collectors_cpu_percent")] = _NAN
            reasons["monitor.cpu_percent"] = reasons["monitor.collectors_cpu_percent"] = FIRST
        else:
            span_s = (now_ns - before[0]) / 1e9
            row[Series("monitor.cpu_percent")] = 100.0 * (cpu_s - before[1]) / span_s
            row[Series("monitor.collectors_cpu_percent")] = 100.0 * (collectors_ns - before[2]) / 1e9 / span_s
            # A thread started since the last sample has spent all its CPU time since then.
            shares = {
                number: 100.0 * max(0.0, spent - before[3].get(number, 0.0)) / span_s
                for number, spent in threads.items()
            }
            for number, share in shares.items():
                series = Series.of("monitor.thread_cpu_percent", thread=group(names.get(number)))
                row[series] = row.get(series, 0.0) + share
        self._measure_process(row, reasons, now_ns / 1e9, len(threads))
        self._read_probes(row, reasons)
        tables = {"threads": _table(threads, shares, names)} if self._watching("threads") else {}
        series_now = tuple(row)
        if series_now != self._series:
            self._series, self._layout = series_now, Layout(series_now)
        return Frame(self.name, t_ms, self._layout, np.array(list(row.values()), np.float64), reasons, tables)

    def close(self) -> None:
        """Close the handle; a later collect reopens it. Idempotent."""
        self._process.close()
        self._before = None
        self._pss_s = -float(PSS_EVERY_S)

    def _measure_process(self, row: dict[Series, float], reasons: dict[str, str], now_s: float, threads: int) -> None:
        row[Series("monitor.rss_bytes")] = self._process.rss_bytes()
        row[Series("monitor.threads")] = threads or threading.active_count()
        row[Series("monitor.file_descriptors")] = self._process.descriptors()
        if now_s - self._pss_s >= PSS_EVERY_S:
            self._pss_s = now_s
            pss = row[Series("monitor.pss_bytes")] = self._process.pss_bytes()
            if pss != pss:  # noqa: PLR0124  NaN
                reasons["monitor.pss_bytes"] = NOT_REPORTED

    def _read_probes(self, row: dict[Series, float], reasons: dict[str, str]) -> None:
        for metric, probe in _SINGLE:
            value = getattr(self._probes, probe)()
            if value is None:
                reasons[metric] = NOT_YET
            row[Series(metric)] = _NAN if value is None else value
        for metric, label, probe in _LABELLED:
            for key, count in getattr(self._probes, probe)().items():
                row[Series(metric, ((label, key),))] = count
        for queue, (depth, capacity) in self._probes.queues().items():
            row[Series("monitor.queue_depth", (("queue", queue),))] = depth
            row[Series("monitor.queue_capacity", (("queue", queue),))] = capacity


def group(name: str | None) -> str:
    """Return the series label for a thread's name: without its number; "native" for one not started by Python."""
    if name is None:
        return "native"
    return _NUMBERED.sub("", name) or "unnamed"


def _table(threads: Mapping[int, float], shares: Mapping[int, float], names: Mapping[int | None, str]) -> Table:
    busiest = sorted(threads, key=lambda number: shares.get(number, 0.0), reverse=True)
    return Table(
        COLUMNS, tuple((names.get(number, "native"), number, shares.get(number), threads[number]) for number in busiest)
    )
