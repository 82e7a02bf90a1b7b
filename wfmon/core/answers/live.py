"""Live values, windows and the state of the monitor itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from wfmon.core.answers.store import WriterStatus
from wfmon.core.types import CollectorStatus

Number = float | None
Labels = dict[str, str]


class SeriesRow(TypedDict):
    """A series of this boot. ``id`` is its id in the stream."""

    id: int
    name: str
    unit: str
    kind: str
    labels: Labels


class LatestRow(SeriesRow):
    """A series with its last value; ``value`` None is a gap."""

    t_ms: int | None
    value: Number


class Latest(TypedDict):
    """Every series's last value."""

    now_ms: int
    series: list[LatestRow]


class WindowFigures(TypedDict):
    """The fields of ``core.types.Window``."""

    span_s: float
    count: int
    mean: Number
    min: Number
    max: Number
    last: Number
    p50: Number
    p95: Number
    p99: Number


class SeriesWindow(WindowFigures):
    """A series over its last seconds."""

    series: str
    unit: str


class WindowRow(SeriesRow, WindowFigures):
    """A described series over a rolling window."""


class Windows(TypedDict):
    """Every series with a sample in the window."""

    now_ms: int
    series: list[WindowRow]


class ProcessHealth(TypedDict):
    """The monitor's process."""

    cpu_seconds: float
    rss_bytes: int
    threads: int


class TickerHealth(TypedDict):
    """The 60 Hz tick."""

    late_ms: float
    work_ms: float
    skipped: int
    errors: int
    samples: int
    queue_depth: int
    queue_capacity: int


class CacheHealth(TypedDict):
    """The hot cache."""

    bytes: int
    seconds: float
    shortened: bool
    series: int


class QueueHealth(TypedDict):
    """A queue's depth and capacity."""

    depth: int
    capacity: int


class ClientHealth(TypedDict):
    """One client of the stream."""

    client: str
    transport: str
    rate_hz: float
    level: str
    paused: bool
    mailbox: int
    sent: int
    since_ms: int


class StreamHealth(TypedDict):
    """The stream's clients and the cost of frames."""

    seq: int
    clients: list[ClientHealth]
    max_clients: int
    mailbox_frames: int
    ring_samples: int
    encodes: int
    encode_us: float
    closed: dict[str, int]


class Health(TypedDict):
    """Each component's state, errors, cost, queues and drops."""

    status: Literal["ok", "degraded"]
    version: str
    boot: str
    now_ms: int
    uptime_s: float
    process: ProcessHealth
    collectors: Sequence[CollectorStatus]
    store: WriterStatus
    ticker: TickerHealth
    cache: CacheHealth
    queues: dict[str, QueueHealth]
    errors: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    stream: StreamHealth
