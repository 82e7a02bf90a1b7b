"""Immutable values passed between stages, from a collector's frame to the batches of window and stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ids = NDArray[np.int32]
    Millis = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CollectorState = Literal["starting", "running", "off", "absent", "lost", "error"]
Cell = str | int | float | None

_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Series(NamedTuple):
    """A series's identity: the metric's name and its labels, sorted by key."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **labels: str | int) -> Series:
        """Build a series, sorting its labels: ``Series.of("system.cpu_core_percent", core=0)``."""
        return cls(name, tuple(sorted((key, str(value)) for key, value in labels.items())))

    @classmethod
    def parse(cls, text: str) -> Series:
        """Parse ``name{label="v"}``. Raises ValueError naming what is wrong."""
        name, raw = labels_of(text)
        labels = ((key, re.sub(r"\\(.)", r"\1", value) if "\\" in value else value) for key, value in raw)
        return cls(name, tuple(sorted(labels)))

    def __str__(self) -> str:
        """Return the canonical text: ``name{label="v"}``."""
        if not self.labels:
            return self.name
        quoted = ('{}="{}"'.format(k, v.replace("\\", "\\\\").replace('"', '\\"')) for k, v in self.labels)
        return f"{self.name}{{{','.join(quoted)}}}"


def labels_of(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split ``name{label="v"}`` into its name and its labels as written, escapes included. Raises ValueError."""
    name, brace, rest = text.partition("{")
    if not brace:
        return name, []
    if not rest.endswith("}"):
        msg = f'series {text!r}: labels must end with "}}"'
        raise ValueError(msg)
    body, labels, at = rest[:-1], [], 0
    while at < len(body):
        match = _LABEL.match(body, at)
        if match is None:
            msg = f'series {text!r}: labels must read key="value", separated by commas'
            raise ValueError(msg)
        labels.append((match[1], match[2]))
        at = match.end()
    return name, labels


class Layout:
    """The series of a frame's values, in order.

    A collector reuses one layout for every frame while its series stay the same: the registry resolves it to ids once,
    by identity.
    """

    __slots__ = ("__weakref__", "series")

    def __init__(self, series: tuple[Series, ...]) -> None:
        self.series = series

    def __len__(self) -> int:
        return len(self.series)


class Table(NamedTuple):
    """Rows that are not series, such as processes. Cells are text, numbers or None; text is untrusted."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One instant of many series: the result of a polled collector.

    ``values`` has shape (len(layout),), float64; NaN is absent, with the reason in ``reasons`` by series text or metric
    name. A metric that the catalogue derives as a rate holds its raw counter.
    """

    collector: str
    t_ms: int
    layout: Layout
    values: Floats
    reasons: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    tables: Mapping[str, Table] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Many instants of one series, in order of time, from a pushed source. Both arrays have shape (n,)."""

    collector: str
    series: Series
    t_ms: Millis
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Many instants of several series: the tokens of all models since the last tick.

    Each series's rows are in order of time. ``t_ms`` has shape (n,), ``values`` (n, len(layout)). NaN: no sample of
    this series at this instant, which is not a gap.
    """

    collector: str
    layout: Layout
    t_ms: Millis
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Output of ``process``: samples with ids, all of shape (n,). NaN: a gap; ``changed``: beyond the dead-band."""

    t_ms: Millis
    ids: Ids
    values: Floats
    changed: Flags

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """Statistics of a series over a span, in the metric's unit; None if the span has no sample."""

    span_s: float
    count: int
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    last: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class ClockStep(NamedTuple):
    """A step of the wall clock at ``t_ms`` (already the new time). ``sleep``: the machine was suspended."""

    t_ms: int
    step_ms: int
    kind: Literal["step", "sleep"]


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """Status of a collector. Times are UTC milliseconds; ``cpu_percent`` is of one core, None until measured."""

    name: str
    state: CollectorState
    reason: str = ""
    since_ms: int = 0
    checked_ms: int = 0
    rate_hz: float = 0.0
    beats: int = 0
    skipped: int = 0
    errors: int = 0
    cpu_percent: float | None = None


class Unavailable(Exception):
    """A collector cannot run; the message is the reason. ``lost``: it ran before (a GPU that fell off the bus)."""

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lost = lost


class Collector(Protocol):
    """A polled source. Everything it touches comes through its constructor; one thread calls it."""

    name: str

    def collect(self) -> Frame:
        """Measure one instant. Raises Unavailable when the source is absent or lost."""

    def close(self) -> None:
        """Release handles; later calls to collect may raise Unavailable. Idempotent."""


class Cause(NamedTuple):
    """Why a request was slow: ``code`` for programs, ``text`` with figures for people, ``cost_ms`` the time it cost."""

    code: Literal["load", "queue", "prompt", "gpu_busy", "memory", "swap", "disk", "stall", "long_answer"]
    text: str
    cost_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model, never its text. Times are UTC milliseconds; None: not measured.

    ``via``: hook, proxy. ``status``: open, ok, aborted, error, lost (its end was not observed). ``energy`` is the mean
    of the index; ``stalls`` are (ms since the start, duration in ms).
    """

    id: str
    model: str
    server: str
    via: str
    started_ms: int
    status: Literal["open", "ok", "aborted", "error", "lost"] = "open"
    ended_ms: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int = 0
    queue_ms: float | None = None
    load_ms: float | None = None
    prompt_ms: float | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    tokens_per_second: float | None = None
    time_per_output_token_ms: float | None = None
    entropy_bits: float | None = None
    entropy_k: int | None = None
    energy: float | None = None
    joules: float | None = None
    stalls: tuple[tuple[float, float], ...] = ()
    reason: str = ""
    """The runtime's word for how it ended, such as stop or length."""
    slow: bool | None = None
    """None until judged, within a second after its end."""
    causes: tuple[Cause, ...] = ()
    """Empty for a slow request: the measurements do not show a cause."""


CAUSE_NOT_KNOWN = "cause not known"
"""The text for a slow request without a known cause."""


class Judgement(NamedTuple):
    """Whether a request was slow, and at most two causes, the costliest first."""

    slow: bool
    causes: tuple[Cause, ...] = ()
