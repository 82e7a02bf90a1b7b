"""The answers of the services: what pages and routes get, as it leaves in JSON. docs/openapi.yaml describes the same.

Times are UTC milliseconds where a name ends in ``_ms`` and says an instant; None is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from wfmon.core.types import Cell, CollectorStatus

Number = float | None
Labels = dict[str, str]

# --- live


class SeriesRow(TypedDict):
    """A series of this boot. ``id`` is its number on the wire."""

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
    """Every series' last value."""

    now_ms: int
    series: list[LatestRow]


class SeriesWindow(TypedDict):
    """A series over its last seconds: the fields of ``core.types.Window``."""

    series: str
    unit: str
    span_s: float
    count: int
    mean: Number
    min: Number
    max: Number
    last: Number
    p50: Number
    p95: Number
    p99: Number


class WindowRow(SeriesRow):
    """A described series over a rolling window."""

    span_s: float
    count: int
    mean: Number
    min: Number
    max: Number
    last: Number
    p50: Number
    p95: Number
    p99: Number


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
    """How full a queue is."""

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


# --- models

ModelRow = dict[str, Cell]
"""The columns of the table ``models`` (``collect.models.meter.tables.MODELS``) and ``reading_age_ms``."""
ServerRow = dict[str, Cell]
"""The columns of the table ``servers`` (``collect.models.scrape.rows.COLUMNS``)."""


class CauseRow(TypedDict):
    """Why a request was slow: ``core.types.Cause``."""

    code: str
    text: str
    cost_ms: Number


class RequestRow(TypedDict):
    """The fields of ``core.types.Request``; ``stalls`` are [ms since the start, ms long]."""

    id: str
    model: str
    server: str
    via: str
    started_ms: int
    status: str
    ended_ms: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int
    queue_ms: Number
    load_ms: Number
    prompt_ms: Number
    ttft_ms: Number
    duration_ms: Number
    tokens_per_second: Number
    time_per_output_token_ms: Number
    entropy_bits: Number
    entropy_k: int | None
    energy: Number
    joules: Number
    stalls: list[list[float]]
    reason: str
    slow: bool | None
    causes: list[CauseRow]


class RequestTicks(TypedDict):
    """One entry a chunk of the answer; ``t_ms`` since the start of the request."""

    t_ms: list[float]
    tokens: list[int]
    entropy_bits: list[Number]


class PhaseRow(TypedDict):
    """When a phase of a request ended, in ms since its start."""

    name: str
    t_ms: float


class RequestDetail(RequestRow):
    """One request with its ticks; ``thinned``: one of so many chunks is kept."""

    phases: list[PhaseRow]
    ticks: RequestTicks
    thinned: int


class ProxyStatus(TypedDict):
    """The proxy that the monitor supervises; ``listen`` and ``upstream`` are empty while it is off."""

    state: str
    reason: str
    pid: int | None
    listen: str
    upstream: str


class DemoStatus(TypedDict):
    """The built-in model. ``rate``: its limit in tokens a second, 0 without one."""

    state: str
    reason: str
    pid: int | None
    url: str
    models: list[str]
    rate: float


# --- history


class KeptSeries(TypedDict):
    """A series of the history. ``distribution``: its quantiles are kept."""

    series: str
    name: str
    labels: Labels
    unit: str
    kind: str
    first_ms: int | None
    distribution: bool


class QueryLine(TypedDict):
    """One series of a query; a point is [t_ms, value, ...], None where nothing is known."""

    series: str
    name: str
    labels: Labels
    unit: str
    kind: str
    step_ms: int
    points: list[list[Any]]


class Query(TypedDict):
    """The answer to a query of the history."""

    from_ms: int
    to_ms: int
    step_ms: int
    tier: str
    fn: str
    series: list[QueryLine]


class Statistics(TypedDict):
    """Statistics of a span of one series, and against another. Each part has ``absent``: why it is missing, else ""."""

    series: str
    name: str
    labels: Labels
    unit: str
    kind: str
    distribution: bool
    span: Mapping[str, Any]
    against: Mapping[str, Any]
    changes: list[dict[str, Any]]
    trend: Mapping[str, Any]
    profile: Mapping[str, Any]
    correlation: Mapping[str, Any] | None
    methods: Mapping[str, str]


class Annotation(TypedDict):
    """Something that happened: a start, sleep, a step of the clock, a switch."""

    t_ms: int
    kind: str
    text: str


# --- insights


ANOMALY = "anomaly"
"""The kind of the annotations that say what was unusual."""


class Anomaly(TypedDict):
    """A series that was unusual for its hour of the day; ``until_ms`` None while it lasts."""

    series: str
    name: str
    labels: Labels
    label: str
    unit: str
    value: float
    last: Number
    low: float
    high: float
    z: float
    days: int
    since_ms: int
    until_ms: int | None
    usually: str
    text: str
    also: list[str]


class AnomalyStatus(TypedDict):
    """The state of the detection, and what is unusual ``now``."""

    state: str
    reason: str
    at_ms: int | None
    judged: int
    series: int
    days: int
    needs_days: int
    most_days: int
    now: list[Anomaly]
    past: NotRequired[list[Anomaly]]


class InsightsReport(TypedDict):
    """What changed over the last days: see ``analyse.insights``."""

    from_ms: int
    to_ms: int
    requests: int
    findings: list[dict[str, Any]]
    week: Mapping[str, Any]
    health: Mapping[str, Any]
    budgets: list[dict[str, Any]]
    causes: list[dict[str, Any]]


# --- the store


class WriterStatus(TypedDict):
    """The history's writer. ``held_s``: nothing is deleted by age for so long, because the clock may be wrong."""

    state: str
    reason: str
    since_ms: int | None
    notice: str
    held_s: int
    waiting: int
    write_ms: float
    longest_ms: float
    counts: dict[str, int]


class TierUsage(TypedDict):
    """What one tier takes; ``tier`` is its number, 0 the finest."""

    tier: int
    name: str
    step_s: int
    chunks: int
    bytes: int
    first_s: int | None


class Usage(TypedDict):
    """What the file holds: bytes of tiers and series, rows of tables."""

    bytes: int
    free_bytes: int
    wal_bytes: int
    tiers: list[TierUsage]
    series: dict[str, int]
    tables: dict[str, int]


class StoreStatus(WriterStatus):
    """The history: its writer, where it is, since when, how much it takes, how long it is kept."""

    path: str
    from_ms: int | None
    usage: Usage
    keep: Mapping[str, Any]


DELETION_UNDER_WAY = ("waiting", "counting", "deleting", "wiping")
"""States of a deletion in which no other can begin; ``wiping``: it is deleted, and the file is rewritten."""


class FileSize(TypedDict):
    """A file beside the history."""

    name: str
    bytes: int


class DeletionPreview(TypedDict):
    """What a deletion takes. ``parts``: chunks and seconds; ``cut``: those that stay without a part of them.

    ``touched``: series that lose something; ``series``: those that go with their name.
    """

    asked: Mapping[str, Any]
    bytes: int
    parts: int
    cut: int
    touched: int
    series: list[str]
    rows: dict[str, int]
    before_ms: int | None
    copies: list[FileSize]


class DeletionStatus(TypedDict):
    """The progress of a deletion, or how the last one ended. ``done`` of ``of`` parts were cut."""

    state: str
    asked: Mapping[str, Any] | None
    done: int
    of: int
    reason: str
    began_ms: int | None
    ended_ms: int | None
    can_stop: bool
    gone: DeletionPreview | None


class RetentionRow(TypedDict):
    """A setting of how long or how much is kept. ``back``: the value without a change made in the page."""

    name: str
    value: float
    default: float
    low: float
    high: float
    origin: str
    back: float


class DueRow(TypedDict):
    """What is past its time; about all that is older than ``until_ms`` goes. ``name``: the tier."""

    name: NotRequired[str]
    rows: int
    bytes: int
    until_ms: int | None


class RetentionPreview(TypedDict):
    """What a change would delete. ``shorter``: settings that keep less; ``over``: for the size of the whole."""

    shorter: list[str]
    parts: int
    bytes: int
    tiers: list[DueRow]
    tables: dict[str, DueRow]
    over: list[DueRow]
    hints: list[str]


# --- settings


class SettingRow(TypedDict):
    """A setting. ``restart``: a change takes effect at the next start."""

    name: str
    value: Any
    default: Any
    origin: str
    restart: bool
    help: str
