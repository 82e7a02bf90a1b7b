"""Validated events of a hook or the proxy, passed from ingest to the meter.

Times ``t_us`` are microseconds of the observed process's own monotonic clock; ``EventSource.offset_us`` is the
offset to the monitor's. Nothing here holds text of a prompt or an answer.
"""

from __future__ import annotations

from array import array
from typing import Literal, NamedTuple, TypeAlias


class EventSource:
    """The sender of events: an observed process or the proxy. Written only by the thread reading its connection."""

    __slots__ = ("grace_ns", "joined", "key", "left_ns", "lost", "name", "offset_us", "pid", "runtime", "server", "via")

    def __init__(self, key: str, via: Literal["hook", "proxy"], name: str, runtime: str, pid: int, server: str) -> None:
        self.key = key
        """Identifies it for as long as it lives, across reconnections."""
        self.via = via
        self.name = name
        self.runtime = runtime
        self.pid = pid
        self.server = server
        """host:port if it sent one, else ""."""
        self.offset_us: float = float("inf")
        """The monitor's monotonic clock minus the source's: the smallest seen, so that of the fastest message."""
        self.lost = 0
        """Events that it reports having dropped."""
        self.joined = 0
        """How often it has reconnected on a lasting connection: events in between were not seen."""
        self.left_ns: int | None = None
        """When its last connection ended, by the monitor's monotonic clock; None while one is open."""
        self.grace_ns = 2_000_000_000
        """How long it may be disconnected before its open requests count as ended."""

    def gone(self, now_ns: int) -> bool:
        """Return whether it has been disconnected for longer than its grace period. Any thread."""
        left_ns = self.left_ns
        return left_ns is not None and now_ns - left_ns > self.grace_ns


class Start(NamedTuple):
    """A request started. ``again``: repeated after a reconnection, so the interval before it is unknown."""

    source: EventSource
    request: str
    t_us: int
    model: str
    server: str = ""
    prompt_tokens: int | None = None
    vocab: str = ""
    vocab_size: int | None = None
    again: bool = False


class Prompt(NamedTuple):
    """The number of prompt tokens, and how many of them came from a cache."""

    source: EventSource
    request: str
    t_us: int
    tokens: int
    cached: int | None = None


class Phase(NamedTuple):
    """A phase of the request began."""

    source: EventSource
    request: str
    t_us: int
    name: Literal["queued", "loading", "prompt", "decode"]


class Tokens(NamedTuple):
    """Chunks of one request, in time order; all tuples have one entry per chunk.

    ``counts``: tokens of the chunk. ``entropy``, ``low``, ``high``: bits, of its last token; ``ks``: outcomes seen.
    ``tops``: natural log-probabilities of its last token, descending; ``hashes``: their tokens under the boot's key.
    """

    source: EventSource
    request: str
    t_us: tuple[int, ...]
    counts: tuple[int, ...]
    entropy: tuple[float | None, ...] | None = None
    low: tuple[float | None, ...] | None = None
    high: tuple[float | None, ...] | None = None
    ks: tuple[int | None, ...] | None = None
    tops: tuple[array[float] | None, ...] | None = None
    hashes: tuple[array[int] | None, ...] | None = None


class End(NamedTuple):
    """A request ended. Durations are the runtime's own where it reports them."""

    source: EventSource
    request: str
    t_us: int
    status: Literal["ok", "aborted", "error"]
    reason: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    queue_ms: float | None = None
    load_ms: float | None = None
    prompt_ms: float | None = None
    decode_ms: float | None = None


class SourceGone(NamedTuple):
    """The source is gone for good: its open requests have ended. The meter also detects this itself."""

    source: EventSource


class Reading(NamedTuple):
    """One scrape of one model of one server; None: not reported. Rates cover the span since the last scrape.

    Percent, bytes, ms and counts as in the catalogue.
    """

    server: str
    model: str
    t_ms: int
    rate_hz: float
    tokens_per_second: float | None = None
    prompt_tokens_per_second: float | None = None
    tokens_total: float | None = None
    prompt_tokens_total: float | None = None
    requests_active: float | None = None
    requests_waiting: float | None = None
    ttft_ms: float | None = None
    inter_token_latency_ms: float | None = None
    time_per_output_token_ms: float | None = None
    queue_wait_ms: float | None = None
    kv_cache_percent: float | None = None
    cache_hit_percent: float | None = None
    batch_size: float | None = None
    vram_bytes: float | None = None
    runtime: str = ""
    pid: int | None = None


Event: TypeAlias = Start | Prompt | Phase | Tokens | End | SourceGone
EVENT_BYTES, CHUNK_BYTES = 500, 60
"""Memory of an event, its texts included, and of each chunk of its tokens."""
COLUMN_BYTES, TOP_BYTES = 32, 160
"""Memory of each number of a chunk, and of a list of top tokens, whose entries add 8 or 16 bytes each."""


def memory_of(event: Event) -> int:
    """Return roughly how many bytes an event takes while it waits."""
    if not isinstance(event, Tokens):
        return EVENT_BYTES
    many = len(event.t_us)
    total = EVENT_BYTES + CHUNK_BYTES * many
    total += COLUMN_BYTES * many * sum(each is not None for each in (event.entropy, event.low, event.high, event.ks))
    for lists in (event.tops, event.hashes):
        total += sum(TOP_BYTES + 8 * len(each) for each in lists or () if each is not None)
    return total
