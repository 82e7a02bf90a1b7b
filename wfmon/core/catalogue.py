"""THE metric table. A new metric is one row here, its collector and its test; the docs are generated from it."""

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
"""The label value that replaces values beyond a cap."""

WATCHED_TABLES = ("processes", "listeners", "threads", "models", "requests", "servers")
"""Tables that are only produced while somebody watches them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, unit, kind and collector, and the range of possible values.

    A gauge is valid until its next sample. An ``event`` belongs to its own instant (a token, a request): there is no
    gap between two of them, and statistics weight each one equally.

    ``derive="rate"``: collected as a counter, published per second. Values outside ``low``..``high`` are dropped. A
    change smaller than ``dead_band`` is not sent. ``priority``: 0 is sent at every pressure level of a client, 1 less
    often at the critical level, 2 already under pressure.
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
    """Quantiles are kept in the history, as for all events."""

    @property
    def is_distribution(self) -> bool:
        """Whether its quantiles are kept."""
        return self.distribution or self.kind == "event"

    @property
    def prom(self) -> str:
        """The OpenMetrics name: prefix ``wfmon_``, dots replaced by underscores. Names of counters end in _total."""
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
    _g("system.memory_used_bytes", "B", "Memory in use that programs cannot get without swapping.", dead_band=65_536,
       priority=0, otel="system.memory.usage"),
    _g("system.memory_available_bytes", "B", "Memory that programs can get without swapping.", dead_band=65_536),
    _g("system.memory_total_bytes", "B", "Total memory of this machine.", priority=2, otel="system.memory.limit"),
    _g("system.memory_percent", "%", "Memory in use, as a share of the total.", high=100, dead_band=0.05, priority=0,
       otel="system.memory.utilization"),
    _g("system.swap_used_bytes", "B", "Swap in use.", otel="system.paging.usage"),
    _g("system.swap_total_bytes", "B", "Total swap of this machine.", priority=2),
    _g("system.swap_percent", "%", "Swap in use, as a share of the total.", high=100, dead_band=0.05,
       otel="system.paging.utilization"),
    _g("system.disk_read_bytes_per_second", "B/s", "Bytes read from all disks.", derive="rate", otel="system.disk.io"),
    _g("system.disk_write_bytes_per_second", "B/s", "Bytes written to all disks.", derive="rate",
       otel="system.disk.io"),
    _g("system.disk_free_bytes", "B", "Free space on the disk with the data folder.", dead_band=65_536, priority=2,
       otel="system.filesystem.usage"),
    _g("system.disk_total_bytes", "B", "Size of the disk with the data folder.", priority=2),
    _g("system.disk_free_percent", "%", "Free space on that disk, as a share of its size.", high=100, dead_band=0.01,
       priority=2),
    _g("system.temperature_celsius", "°C", "Temperature of a sensor.", "sensor", low=-60, high=200, dead_band=0.1,
       priority=2, otel="hw.temperature"),
    # gpu: 10 Hz
    _g("gpu.utilisation_percent", "%", "Share of time in which a kernel was running.", "gpu", high=100, priority=0,
       otel="hw.gpu.utilization"),
    _g("gpu.memory_used_bytes", "B", "Graphics memory in use.", "gpu", dead_band=65_536, priority=0,
       otel="hw.gpu.memory.usage"),
    _g("gpu.memory_total_bytes", "B", "Total graphics memory of the card.", "gpu", priority=2,
       otel="hw.gpu.memory.limit"),
    _g("gpu.memory_percent", "%", "Graphics memory in use, as a share of the total.", "gpu", high=100, dead_band=0.05),
    _g("gpu.temperature_celsius", "°C", "Temperature of the chip.", "gpu", low=-60, high=200, dead_band=0.1,
       otel="hw.temperature"),
    _g("gpu.power_watts", "W", "Power drawn by the card.", "gpu", high=5_000, dead_band=0.05, otel="hw.power"),
    _g("gpu.power_limit_watts", "W", "Power limit of the card.", "gpu", high=5_000, priority=2),
    _g("gpu.clock_mhz", "MHz", "Clock rate of the compute units.", "gpu", high=20_000),
    _g("gpu.memory_clock_mhz", "MHz", "Clock rate of the graphics memory.", "gpu", high=50_000, priority=2),
    _g("gpu.fan_percent", "%", "Fan speed, as a share of its maximum.", "gpu", high=300, priority=2),
    # network: 1 Hz
    _g("network.loopback_rx_bytes_per_second", "B/s", "Bytes received on loopback interfaces.", derive="rate",
       priority=0, otel="system.network.io"),
    _g("network.loopback_tx_bytes_per_second", "B/s", "Bytes sent on loopback interfaces.", derive="rate",
       otel="system.network.io"),
    _g("network.loopback_rx_packets_per_second", "/s", "Packets received on loopback interfaces.", derive="rate",
       otel="system.network.packet.count"),
    _g("network.loopback_tx_packets_per_second", "/s", "Packets sent on loopback interfaces.", derive="rate",
       otel="system.network.packet.count"),
    _g("network.loopback_connections", "", "TCP connections between programs on this machine, by state.", "state",
       otel="system.network.connection.count"),
    _g("network.loopback_listeners", "", "TCP ports on which programs on this machine listen, loopback only."),
    _g("network.own_external_connections", "", "Connections of the monitor that leave this machine: must be 0.",
       priority=0),
    _g("network.own_external_listeners", "", "Listeners of the monitor that other machines can reach: must be 0.",
       priority=0),
    # monitor: 1 Hz, the tool's own cost and health
    _g("monitor.cpu_percent", "%", "CPU usage of the whole monitor, in percent of one core.", dead_band=0.01,
       priority=0),
    _g("monitor.collectors_cpu_percent", "%", "CPU usage of all collector threads, in percent of one core.",
       dead_band=0.01),
    _g("monitor.thread_cpu_percent", "%", "CPU usage of one thread of the monitor, in percent of one core.", "thread",
       dead_band=0.05, priority=2),
    _g("monitor.rss_bytes", "B", "Resident memory of the monitor.", dead_band=4_096, priority=0),
    _g("monitor.pss_bytes", "B", "Proportional set size of the monitor: shared pages are divided among their users.",
       priority=2),
    _g("monitor.threads", "", "Threads of the monitor.", priority=2),
    _g("monitor.file_descriptors", "", "Open file descriptors of the monitor.", priority=2),
    _g("monitor.samples_per_second", "/s", "Samples received.", derive="rate"),
    _c("monitor.samples_dropped_total", "", "Samples dropped, by cause.", "cause"),
    _c("monitor.beats_skipped_total", "", "Polls that collectors skipped because they were late.", "thread"),
    _c("monitor.errors_total", "", "Errors, by component.", "component"),
    _c("monitor.requests_refused_total", "", "Requests and connections refused, by cause.", "cause"),
    _g("monitor.queue_depth", "", "Entries waiting in a queue.", "queue", priority=2),
    _g("monitor.queue_capacity", "", "Maximum number of entries in a queue.", "queue", priority=2),
    _g("monitor.clients", "", "Pages and programs connected to the stream."),
    _g("monitor.clients_slowed", "", "Clients that read too slowly and receive fewer updates."),
    _c("monitor.clients_closed_total", "", "Clients closed by the monitor, by cause.", "cause"),
    _g("monitor.series", "", "Series known since the start.", priority=2),
    _g("monitor.cache_bytes", "B", "Memory used by the hot cache.", priority=2),
    _g("monitor.cache_seconds", "s", "Seconds of data in the hot cache.", priority=2),
    _g("monitor.tick_late_ms", "ms", "Delay of the ticker's latest tick in the last second.", priority=2),
    _g("monitor.tick_work_ms", "ms", "Duration of the ticker's longest tick in the last second.", priority=2),
    _g("monitor.encode_us", "us", "Mean time to encode a stream frame.", priority=2),
    # model: pushed by hooks and the proxy, or scraped from servers; sampled on each tick
    _g("model.tokens_per_second", "/s", "Output tokens in the last second, over all requests of the model.", *_MODEL,
       dead_band=0.005, priority=0),
    _g("model.throughput_percent", "%",
       "Tokens per second, as a share of the model's own peak in the last five minutes.", *_MODEL, high=100,
       dead_band=0.05, priority=0),
    _g("model.requests_active", "", "Open requests.", *_MODEL, priority=0),
    _g("model.requests_waiting", "", "Open requests without a first token, or reported as waiting by the server.",
       *_MODEL),
    _c("model.tokens_total", "", "Output tokens since the model was first seen.", *_MODEL,
       otel="gen_ai.client.token.usage"),
    _c("model.prompt_tokens_total", "", "Prompt tokens since the model was first seen.", *_MODEL,
       otel="gen_ai.client.token.usage"),
    _c("model.requests_total", "", "Finished requests, by status.", *_MODEL, "status"),
    _g("model.energy", "", "Energy: an index from 0 to 1 of speed, certainty and steadiness. Not joules.", *_MODEL,
       high=1, dead_band=0.001, priority=0),
    _g("model.energy_state", "", "0 idle, 1 charging, 2 flowing, 3 stalling, 4 saturated, 5 drained.", *_MODEL, high=5,
       priority=0),
    _g("model.kv_cache_percent", "%", "Key-value cache in use.", *_MODEL, high=100, dead_band=0.05),
    _g("model.cache_hit_percent", "%", "Prompt tokens taken from the prefix cache.", *_MODEL, high=100, dead_band=0.05),
    _g("model.batch_size", "", "Sequences in the server's current batch.", *_MODEL),
    _g("model.vram_bytes", "B", "Graphics memory used by the model or its server.", *_MODEL, dead_band=65_536),
    _g("model.joules_per_token", "J", "Energy of all graphics cards per output token, mean of ten seconds.", *_MODEL,
       dead_band=0.0005),
    _g("model.disagreement", "bit", "Jensen-Shannon divergence of the top tokens of two models, mean of one second.",
       *_MODEL, "other", high=1, dead_band=0.0005),
    _e("model.ttft_ms", "ms", "Time to first token of a request.", *_MODEL, high=86_400_000,
       otel="gen_ai.server.time_to_first_token"),
    _e("model.time_per_output_token_ms", "ms", "Mean time per output token after the first, of a request.", *_MODEL,
       high=86_400_000, otel="gen_ai.server.time_per_output_token"),
    _e("model.request_duration_ms", "ms", "Duration of a request.", *_MODEL, high=86_400_000,
       otel="gen_ai.server.request.duration"),
    _e("model.prompt_tokens_per_second", "/s", "Prompt tokens processed per second, of a request.", *_MODEL),
    _e("model.queue_wait_ms", "ms", "Time that a request waited in the queue.", *_MODEL, high=86_400_000),
    _e("model.load_ms", "ms", "Time to load the model for a request.", *_MODEL, high=86_400_000),
    _e("model.inter_token_latency_ms", "ms", "Time between two tokens of a request.", *_MODEL, high=86_400_000,
       priority=0),
    _e("model.chunk_tokens", "", "Tokens in one chunk.", *_MODEL, high=100_000, priority=0),
    _e("model.entropy_bits", "bit", "Entropy of the next token's distribution; the middle between its bounds.",
       *_MODEL, high=64, priority=0),
    _e("model.entropy_low_bits", "bit", "Lower bound of that entropy, from the top k.", *_MODEL, high=64, priority=2),
    _e("model.entropy_high_bits", "bit", "Upper bound of that entropy, from the top k.", *_MODEL, high=64, priority=2),
    _e("model.entropy_k", "", "Number of tokens of the distribution that are known: k.", *_MODEL, high=10_000_000,
       priority=2),
    _e("model.certainty", "", "1 - entropy / log2(k), over the top k, normalised.", *_MODEL, high=1, priority=0),
    # servers: found on this machine, 1 Hz at most
    _g("servers.found", "", "Model servers listening on this machine."),
    # ux: pushed by open pages
    _g("ux.frame_time_ms", "ms", "Time between two frames of the page.", "page", high=60_000, priority=1,
       distribution=True),
    _g("ux.work_time_ms", "ms", "Main-thread time of one frame, including style, layout and paint.", "page",
       high=60_000, distribution=True),
    _g("ux.fps", "/s", "Frames drawn by the page in one second.", "page", high=1_000, priority=0),
    _g("ux.dropped_frames", "", "Vertical syncs without a frame in one second.", "page", priority=1),
    _g("ux.jank_budget_used", "%", "Share of the frames of one second that took longer than 16.67 ms.", "page",
       high=100, priority=1),
    _g("ux.long_frames", "", "Long animation frames (over 50 ms) in one second.", "page", priority=2),
    _g("ux.input_latency_ms", "ms", "Slowest input in one second, from the event to the next paint.", "page",
       high=600_000, priority=1, distribution=True),
    _g("ux.stream_latency_ms", "ms", "Time from a sample to the end of its draw, 95th percentile of one second.",
       "page", high=600_000, priority=1),
)
# fmt: on

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}
