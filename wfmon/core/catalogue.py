"""THE metric table. Adding a metric is one row here, its collector and its test; the docs are generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_SERIES = 2_000
MAX_LABEL_CHARS = 120
LABEL_CAPS = {"model": 64, "page": 32, "core": 1_024, "gpu": 64, "sensor": 64, "thread": 96, "state": 16}
OTHER = "(other)"
"""What the excess over a cap folds into."""

WATCHED_TABLES = ("processes", "listeners", "threads")
"""Tables that are made only while somebody looks at them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what is measured, in which unit, by whom, and what a true value looks like.

    ``derive="rate"``: collected as a counter, published per second. Outside ``low``..``high`` a value is impossible and
    dropped. A change within ``dead_band`` is not sent. ``priority``: 0 is sent in every state of a client, 1 comes less
    often when it is in a critical state, 2 already under pressure.
    """

    name: str
    unit: str
    kind: Literal["gauge", "counter"]
    collector: str
    help: str
    labels: tuple[str, ...] = ()
    derive: Literal["", "rate"] = ""
    low: float | None = 0.0
    high: float | None = None
    dead_band: float = 0.0
    priority: Literal[0, 1, 2] = 1
    otel: str = ""

    @property
    def prom(self) -> str:
        """The OpenMetrics name: the dots become underscores, ``wfmon_`` stands in front, a counter ends in _total."""
        return "wfmon_" + self.name.replace(".", "_")


def _g(name: str, unit: str, help_: str, *labels: str, **more: object) -> Metric:
    """Make a gauge; its collector is the name's area."""
    return Metric(name, unit, "gauge", name.partition(".")[0], help_, labels, **more)  # type: ignore[arg-type]


def _c(name: str, unit: str, help_: str, *labels: str, **more: object) -> Metric:
    """Make a counter; its collector is the name's area."""
    return Metric(name, unit, "counter", name.partition(".")[0], help_, labels, **more)  # type: ignore[arg-type]


# fmt: off
_ROWS = (
    # system: 10 Hz
    _g("system.cpu_percent", "%", "CPU time in use, all cores together.", high=100, dead_band=0.05, priority=0,
       otel="system.cpu.utilization"),
    _g("system.cpu_core_percent", "%", "CPU time in use, one core.", "core", high=100, dead_band=0.05, priority=2,
       otel="system.cpu.utilization"),
    _g("system.load_1m", "", "Runnable and waiting tasks, mean of one minute.", priority=2,
       otel="system.cpu.load_average.1m"),
    _g("system.load_5m", "", "Runnable and waiting tasks, mean of five minutes.", priority=2,
       otel="system.cpu.load_average.5m"),
    _g("system.load_15m", "", "Runnable and waiting tasks, mean of fifteen minutes.", priority=2,
       otel="system.cpu.load_average.15m"),
    _g("system.memory_used_bytes", "B", "Memory in use and not available to others.", dead_band=65_536, priority=0,
       otel="system.memory.usage"),
    _g("system.memory_available_bytes", "B", "Memory that programs can have without swapping.", dead_band=65_536),
    _g("system.memory_total_bytes", "B", "Memory of this machine.", priority=2, otel="system.memory.limit"),
    _g("system.memory_percent", "%", "Memory in use as a share of all.", high=100, dead_band=0.05, priority=0,
       otel="system.memory.utilization"),
    _g("system.swap_used_bytes", "B", "Swap in use.", otel="system.paging.usage"),
    _g("system.swap_total_bytes", "B", "Swap of this machine.", priority=2),
    _g("system.swap_percent", "%", "Swap in use as a share of all.", high=100, dead_band=0.05,
       otel="system.paging.utilization"),
    _g("system.disk_read_bytes_per_second", "B/s", "Read from all disks.", derive="rate", otel="system.disk.io"),
    _g("system.disk_write_bytes_per_second", "B/s", "Written to all disks.", derive="rate", otel="system.disk.io"),
    _g("system.disk_free_bytes", "B", "Free space of the disk that holds the data folder.", dead_band=65_536,
       priority=2, otel="system.filesystem.usage"),
    _g("system.disk_total_bytes", "B", "Size of the disk that holds the data folder.", priority=2),
    _g("system.disk_free_percent", "%", "Free space of that disk as a share of all.", high=100, dead_band=0.01,
       priority=2),
    _g("system.temperature_celsius", "°C", "Temperature of a sensor.", "sensor", low=-60, high=200, dead_band=0.1,
       priority=2, otel="hw.temperature"),
    # gpu: 10 Hz
    _g("gpu.utilisation_percent", "%", "Time with a kernel running.", "gpu", high=100, priority=0,
       otel="hw.gpu.utilization"),
    _g("gpu.memory_used_bytes", "B", "Memory of the card in use.", "gpu", dead_band=65_536, priority=0,
       otel="hw.gpu.memory.usage"),
    _g("gpu.memory_total_bytes", "B", "Memory of the card.", "gpu", priority=2, otel="hw.gpu.memory.limit"),
    _g("gpu.memory_percent", "%", "Memory of the card in use as a share of all.", "gpu", high=100, dead_band=0.05),
    _g("gpu.temperature_celsius", "°C", "Temperature of the chip.", "gpu", low=-60, high=200, dead_band=0.1,
       otel="hw.temperature"),
    _g("gpu.power_watts", "W", "Power drawn by the card.", "gpu", high=5_000, dead_band=0.05, otel="hw.power"),
    _g("gpu.power_limit_watts", "W", "Power that the card may draw.", "gpu", high=5_000, priority=2),
    _g("gpu.clock_mhz", "MHz", "Clock of the compute units.", "gpu", high=20_000),
    _g("gpu.memory_clock_mhz", "MHz", "Clock of the card's memory.", "gpu", high=50_000, priority=2),
    _g("gpu.fan_percent", "%", "Fan speed as a share of its maximum.", "gpu", high=300, priority=2),
    # network: 1 Hz
    _g("network.loopback_rx_bytes_per_second", "B/s", "Received on loopback interfaces.", derive="rate", priority=0,
       otel="system.network.io"),
    _g("network.loopback_tx_bytes_per_second", "B/s", "Sent on loopback interfaces.", derive="rate",
       otel="system.network.io"),
    _g("network.loopback_rx_packets_per_second", "/s", "Packets received on loopback interfaces.", derive="rate",
       otel="system.network.packet.count"),
    _g("network.loopback_tx_packets_per_second", "/s", "Packets sent on loopback interfaces.", derive="rate",
       otel="system.network.packet.count"),
    _g("network.loopback_connections", "", "TCP connections between programs of this machine, by state.", "state",
       otel="system.network.connection.count"),
    _g("network.loopback_listeners", "", "TCP ports that programs of this machine listen on, loopback only."),
    _g("network.own_external_connections", "", "The monitor's own connections that leave this machine: must be 0.",
       priority=0),
    _g("network.own_external_listeners", "", "The monitor's own listeners that others can reach: must be 0.",
       priority=0),
    # monitor: 1 Hz, the tool's own cost and health
    _g("monitor.cpu_percent", "%", "CPU of the whole monitor, of one core.", dead_band=0.01, priority=0),
    _g("monitor.collectors_cpu_percent", "%", "CPU of all collectors' threads, of one core.", dead_band=0.01),
    _g("monitor.thread_cpu_percent", "%", "CPU of one of the monitor's threads, of one core.", "thread", dead_band=0.05,
       priority=2),
    _g("monitor.rss_bytes", "B", "Resident memory of the monitor.", dead_band=4_096, priority=0),
    _g("monitor.pss_bytes", "B", "Proportional memory of the monitor: shared pages counted by share.", priority=2),
    _g("monitor.threads", "", "Threads of the monitor.", priority=2),
    _g("monitor.file_descriptors", "", "Open file descriptors of the monitor.", priority=2),
    _g("monitor.samples_per_second", "/s", "Samples that came in.", derive="rate"),
    _c("monitor.samples_dropped_total", "", "Samples not taken, by cause.", "cause"),
    _c("monitor.beats_skipped_total", "", "Beats that collectors skipped because they were late.", "thread"),
    _c("monitor.errors_total", "", "Errors, by the component that met them.", "component"),
    _c("monitor.requests_refused_total", "", "Requests and connections refused, by cause.", "cause"),
    _g("monitor.queue_depth", "", "Entries waiting in a queue.", "queue", priority=2),
    _g("monitor.queue_capacity", "", "Entries that a queue holds at most.", "queue", priority=2),
    _g("monitor.clients", "", "Pages and programs that watch the stream."),
    _g("monitor.clients_slowed", "", "Clients that read too slowly and get less."),
    _c("monitor.clients_closed_total", "", "Clients closed by the monitor, by cause.", "cause"),
    _g("monitor.series", "", "Series known since the start.", priority=2),
    _g("monitor.cache_bytes", "B", "Memory of the hot cache.", priority=2),
    _g("monitor.cache_seconds", "s", "Seconds that the hot cache holds.", priority=2),
    _g("monitor.tick_late_ms", "ms", "How late the ticker's slowest beat of the last second was.", priority=2),
    _g("monitor.tick_work_ms", "ms", "The ticker's longest beat of the last second.", priority=2),
    _g("monitor.encode_us", "us", "Mean time to encode a stream frame.", priority=2),
    # ux: pushed by open pages
    _g("ux.frame_time_ms", "ms", "Interval between two frames of the page.", "page", high=60_000, priority=1),
    _g("ux.work_time_ms", "ms", "Main-thread time of one frame, style, layout and paint included.", "page",
       high=60_000),
    _g("ux.fps", "/s", "Frames that the page drew in a second.", "page", high=1_000, priority=0),
    _g("ux.dropped_frames", "", "Vertical syncs that passed without a frame in a second.", "page", priority=1),
    _g("ux.jank_budget_used", "%", "Share of a second's frames that took longer than 16.67 ms.", "page", high=100,
       priority=1),
    _g("ux.long_frames", "", "Long animation frames (over 50 ms) in a second.", "page", priority=2),
    _g("ux.input_latency_ms", "ms", "Slowest input of a second, from the event to the next paint.", "page",
       high=600_000, priority=1),
    _g("ux.stream_latency_ms", "ms", "Sample to the end of its draw, 95th percentile of a second.", "page",
       high=600_000, priority=1),
)
# fmt: on

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
