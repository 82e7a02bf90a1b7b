"""THE metric table. Adding a metric is one row here, its collector and its test; the docs are generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_SERIES = 2_000
MAX_LABEL_CHARS = 120
LABEL_CAPS = {
    "model": 64, "server": 64, "other": 64, "page": 32, "core": 1_024, "gpu": 64, "sensor": 64,
    "thread": 96, "state": 16,
}  # fmt: skip
OTHER = "(other)"
"""What the excess over a cap folds into."""

WATCHED_TABLES = ("processes", "listeners", "threads", "models", "requests", "servers")
"""Tables that are made only while somebody looks at them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: what is measured, in which unit, by whom, and what a true value looks like.

    A gauge holds until its next sample; an ``event`` belongs to its instant alone (a token, a request): it is never
    missing in between, and statistics weigh each one the same.

    ``derive="rate"``: collected as a counter, published per second. Outside ``low``..``high`` a value is impossible and
    dropped. A change within ``dead_band`` is not sent. ``priority``: 0 is sent in every state of a client, 1 comes less
    often when it is in a critical state, 2 already under pressure.
    """

    name: str
    unit: str
    kind: Literal["gauge", "counter", "event"]
    collector: str
    help: str
    labels: tuple[str, ...] = ()
    derive: Literal["", "rate"] = ""
    low: float | None = 0.0
    high: float | None = None
    dead_band: float = 0.0
    priority: Literal[0, 1, 2] = 1
    otel: str = ""
    distribution: bool = False
    """Its quantiles are kept in the history, as those of all events are."""

    @property
    def is_distribution(self) -> bool:
        """Whether quantiles are kept of it."""
        return self.distribution or self.kind == "event"

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


def _e(name: str, unit: str, help_: str, *labels: str, **more: object) -> Metric:
    """Make an event; its collector is the name's area."""
    return Metric(name, unit, "event", name.partition(".")[0], help_, labels, **more)  # type: ignore[arg-type]


_MODEL = ("model", "server")


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
    # model: pushed by hooks and the proxy, or scraped from servers; sampled in the ticker's beat
    _g("model.tokens_per_second", "/s", "Output tokens of the last second, all requests of the model.", *_MODEL,
       dead_band=0.005, priority=0),
    _g("model.throughput_percent", "%", "Tokens per second as a share of the model's own peak of five minutes.",
       *_MODEL, high=100, dead_band=0.05, priority=0),
    _g("model.requests_active", "", "Requests that are open.", *_MODEL, priority=0),
    _g("model.requests_waiting", "", "Open requests without a first token, or that the server says wait.", *_MODEL),
    _c("model.tokens_total", "", "Output tokens since the model was first seen.", *_MODEL,
       otel="gen_ai.client.token.usage"),
    _c("model.prompt_tokens_total", "", "Prompt tokens since the model was first seen.", *_MODEL,
       otel="gen_ai.client.token.usage"),
    _c("model.requests_total", "", "Requests that ended, by status.", *_MODEL, "status"),
    _g("model.energy", "", "Energy: an index from 0 to 1 of speed, certainty and steadiness; not joules.", *_MODEL,
       high=1, dead_band=0.001, priority=0),
    _g("model.energy_state", "", "0 idle, 1 charging, 2 flowing, 3 stalling, 4 saturated, 5 drained.", *_MODEL,
       high=5, priority=0),
    _g("model.kv_cache_percent", "%", "Key-value cache in use.", *_MODEL, high=100, dead_band=0.05),
    _g("model.cache_hit_percent", "%", "Prompt tokens taken from the prefix cache.", *_MODEL, high=100, dead_band=0.05),
    _g("model.batch_size", "", "Sequences that the server runs together.", *_MODEL),
    _g("model.vram_bytes", "B", "Memory of graphics cards that the model or its server holds.", *_MODEL,
       dead_band=65_536),
    _g("model.joules_per_token", "J", "Energy of all graphics cards over output tokens, mean of ten seconds.", *_MODEL,
       dead_band=0.0005),
    _g("model.disagreement", "bit", "Jensen-Shannon divergence of two models' top tokens, mean of a second.", *_MODEL,
       "other", high=1, dead_band=0.0005),
    _e("model.ttft_ms", "ms", "Time to first token of a request.", *_MODEL, high=86_400_000,
       otel="gen_ai.server.time_to_first_token"),
    _e("model.time_per_output_token_ms", "ms", "Mean time per output token after the first, of a request.", *_MODEL,
       high=86_400_000, otel="gen_ai.server.time_per_output_token"),
    _e("model.request_duration_ms", "ms", "Duration of a request, start to end.", *_MODEL, high=86_400_000,
       otel="gen_ai.server.request.duration"),
    _e("model.prompt_tokens_per_second", "/s", "Prompt tokens read a second, of a request.", *_MODEL),
    _e("model.queue_wait_ms", "ms", "Time a request waited before work on it began.", *_MODEL, high=86_400_000),
    _e("model.load_ms", "ms", "Time to load the model for a request.", *_MODEL, high=86_400_000),
    _e("model.inter_token_latency_ms", "ms", "Time between two tokens of a request.", *_MODEL, high=86_400_000,
       priority=0),
    _e("model.chunk_tokens", "", "Tokens that came together in one chunk.", *_MODEL, high=100_000, priority=0),
    _e("model.entropy_bits", "bit", "Entropy of the next token's distribution; the middle of its band.", *_MODEL,
       high=64, priority=0),
    _e("model.entropy_low_bits", "bit", "Lower bound of that entropy, from the top k.", *_MODEL, high=64, priority=2),
    _e("model.entropy_high_bits", "bit", "Upper bound of that entropy, from the top k.", *_MODEL, high=64, priority=2),
    _e("model.entropy_k", "", "Tokens of the distribution that were seen: k.", *_MODEL, high=10_000_000, priority=2),
    _e("model.certainty", "", "1 - entropy / log2(k), over the top k made whole.", *_MODEL, high=1, priority=0),
    # servers: found on this machine, 1 Hz at most
    _g("servers.found", "", "Model servers that listen on this machine."),
    # ux: pushed by open pages
    _g("ux.frame_time_ms", "ms", "Interval between two frames of the page.", "page", high=60_000, priority=1,
       distribution=True),
    _g("ux.work_time_ms", "ms", "Main-thread time of one frame, style, layout and paint included.", "page",
       high=60_000, distribution=True),
    _g("ux.fps", "/s", "Frames that the page drew in a second.", "page", high=1_000, priority=0),
    _g("ux.dropped_frames", "", "Vertical syncs that passed without a frame in a second.", "page", priority=1),
    _g("ux.jank_budget_used", "%", "Share of a second's frames that took longer than 16.67 ms.", "page", high=100,
       priority=1),
    _g("ux.long_frames", "", "Long animation frames (over 50 ms) in a second.", "page", priority=2),
    _g("ux.input_latency_ms", "ms", "Slowest input of a second, from the event to the next paint.", "page",
       high=600_000, priority=1, distribution=True),
    _g("ux.stream_latency_ms", "ms", "Sample to the end of its draw, 95th percentile of a second.", "page",
       high=600_000, priority=1),
)
# fmt: on

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
