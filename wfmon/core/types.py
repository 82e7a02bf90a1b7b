"""The frozen values that travel: from a collector's frame to what the window and the stream read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """A series' identity: a metric's name and its labels, sorted by key."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **labels: str | int) -> Series:
        """Make a series with its labels in order: ``Series.of("system.cpu_core_percent", core=0)``."""
        return cls(name, tuple(sorted((key, str(value)) for key, value in labels.items())))

    @classmethod
    def parse(cls, text: str) -> Series:
        """Read ``name{label="v"}``. Raises ValueError that says what is wrong with it."""
        name, brace, rest = text.partition("{")
        if not brace:
            return cls(name)
        if not rest.endswith("}"):
            msg = f'series {text!r}: labels must end with "}}"'
            raise ValueError(msg)
        body, labels, at = rest[:-1], [], 0
        while at < len(body):
            match = _LABEL.match(body, at)
            if match is None:
                msg = f'series {text!r}: labels must read key="value", separated by commas'
                raise ValueError(msg)
            value = match[2]
            labels.append((match[1], re.sub(r"\\(.)", r"\1", value) if "\\" in value else value))
            at = match.end()
        return cls(name, tuple(sorted(labels)))

    def __str__(self) -> str:
        """Give the form used everywhere: ``name{label="v"}``."""
        if not self.labels:
            return self.name
        quoted = ('{}="{}"'.format(k, v.replace("\\", "\\\\").replace('"', '\\"')) for k, v in self.labels)
        return f"{self.name}{{{','.join(quoted)}}}"


class Layout:
    """Which series a frame's values belong to, in order.

    A collector makes one and uses it for every frame while its series stay the same: the registry resolves it to ids
    once, by identity.
    """

    __slots__ = ("__weakref__", "series")

    def __init__(self, series: tuple[Series, ...]) -> None:
        self.series = series

    def __len__(self) -> int:
        return len(self.series)


class Table(NamedTuple):
    """Rows that are no series, such as processes. Cells are text, numbers or None; text is untrusted."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One instant, many series: what a polled collector returns.

    ``values`` has shape (len(layout),), float64; NaN is absent. ``reasons`` says why, by series text or metric name.
    A metric that the catalogue derives as a rate is given as its raw counter.
    """

    collector: str
    t_ms: int
    layout: Layout
    values: Floats
    reasons: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    tables: Mapping[str, Table] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Many instants of one series, in order of time: what a pushed source gives. Both arrays have shape (n,)."""

    collector: str
    series: Series
    t_ms: Millis
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Many instants of several series: the tokens of all models since the last beat.

    A series' own rows are in order of time.

    ``t_ms`` has shape (n,), ``values`` (n, len(layout)). NaN: this instant says nothing of this series; no gap.
    """

    collector: str
    layout: Layout
    t_ms: Millis
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What ``process`` hands on: samples with ids, all of shape (n,). NaN a gap; ``changed``: past the dead-band."""

    t_ms: Millis
    ids: Ids
    values: Floats
    changed: Flags

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """A series over a span. Values are in the metric's unit, and None where the span holds no sample."""

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
    """How a collector fares. Times are UTC milliseconds; ``cpu_percent`` is of one core, None until measured."""

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
    """A collector cannot run, and the words say why. ``lost``: it ran before (a GPU that fell off the bus)."""

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
        """Let go of handles; later calls to collect may raise Unavailable. Idempotent."""


class Cause(NamedTuple):
    """Why a request was slow: ``code`` for programs, ``text`` for people, with its figure; ``cost_ms`` what it took."""

    code: Literal["load", "queue", "prompt", "gpu_busy", "memory", "swap", "disk", "stall", "long_answer"]
    text: str
    cost_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model, never its text. Times are UTC milliseconds; what was not measured is None.

    ``via``: hook, proxy. ``status``: open, ok, aborted, error, lost (the monitor lost sight of it). ``energy`` is the
    mean of the index; ``stalls`` are (ms since the start, ms long).
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
    """A word of the runtime's on how it ended, such as stop or length."""
    slow: bool | None = None
    """None until it was judged, within a second of its end."""
    causes: tuple[Cause, ...] = ()
    """Empty for a slow one: what was measured does not say why."""


class Judgement(NamedTuple):
    """Whether a request was slow, and at most two causes, the costliest first."""

    slow: bool
    causes: tuple[Cause, ...] = ()


class Asked(NamedTuple):
    """A span of a series and another to compare with, both [from_ms, to_ms); ``other``: a series to correlate, or "".

    ``against`` None: as long a span, right before. ``offset_s``: the user's zone, east of UTC.
    """

    series: str
    span: tuple[int, int]
    against: tuple[int, int] | None = None
    other: str = ""
    offset_s: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """What pages and routes may ask of a running monitor; every field may be called from any thread."""

    health: Callable[[], dict[str, Any]]
    series: Callable[[], list[dict[str, Any]]]
    latest: Callable[[], dict[str, Any]]
    window: Callable[[str, float], dict[str, Any]]
    windows: Callable[[float], dict[str, Any]]
    collectors: Callable[[], list[CollectorStatus]]
    switch: Callable[[str, bool], None]
    settings: Callable[[], list[dict[str, Any]]]
    page_token: Callable[[], str]
    models: Callable[[], list[dict[str, Any]]]
    requests: Callable[[int], list[dict[str, Any]]]
    """The newest requests, at most so many, newest first: the fields of ``Request``."""
    request: Callable[[str], dict[str, Any]]
    """One request with ``ticks``: {t_ms: [since the start], tokens: [...], entropy_bits: [... or None]}. KeyError."""
    servers: Callable[[], list[dict[str, Any]]]
    demo: Callable[[str], dict[str, Any]]
    """Say "start", "stop" or "" to the built-in model; gives {state, reason, pid, url, models, rate}."""
    proxy: Callable[[], dict[str, Any]]
    """How the proxy fares: {state, reason, pid, listen, upstream}."""
    kept_series: Callable[[], list[dict[str, Any]]]
    """Every series of the history: {series, name, labels, unit, kind, first_ms, distribution}."""
    query: Callable[[Sequence[str], int, int, int, str], dict[str, Any]]
    """``query(series, from_ms, to_ms, points, fn)``: see ``analyse.query``. Raises ``analyse.query.Refused``."""
    statistics: Callable[[Asked], dict[str, Any]]
    """What can be said of a span of one series: see ``analyse.spans``. Raises ``analyse.query.Refused``."""
    annotations: Callable[[int, int], list[dict[str, Any]]]
    """What happened in [from_ms, to_ms): {t_ms, kind, text}, in order of time."""
    unusual: Callable[[], dict[str, Any]]
    """What is unusual now, and how that is known: ``analyse.unusual.Unusual.status``."""
    was_unusual: Callable[[int, int], list[dict[str, Any]]]
    """What was unusual in [from_ms, to_ms), or is: rows of ``analyse.marks``, the oldest first."""
    past_requests: Callable[[int, int, int, str], Iterable[dict[str, Any]]]
    """``past_requests(from_ms, to_ms, limit, model)``: the fields of ``Request``, newest first; "": every model. They
    are read as they are taken: sqlite3.Error may come then."""
    insights: Callable[[int, int], dict[str, Any]]
    """``insights(days, offset_s)``: see ``analyse.insights``. Takes a second. Raises ``child.Failed``, ValueError."""
    cancel_insights: Callable[[], None]
    """End the process that works on them: whoever waits for its answer gets ``child.Cancelled``, a ``child.Failed``."""
    store: Callable[[], dict[str, Any]]
    """How the history fares: {state, reason, notice, ..., usage, keep}."""
    record: Callable[[bool], None]
    """Switch recording on or off, now and at later starts. Raises SettingsError, OSError."""
    forget: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Forget ``{before_ms}``, ``{series}`` or ``{all}``; gives ``forgetting``. Raises ``forgetting.Refused``, Busy."""
    forget_preview: Callable[[Mapping[str, Any]], dict[str, Any]]
    """What that would delete: see ``store.forgetting.told``. Raises ``forgetting.Refused``, sqlite3.Error, OSError."""
    forgetting: Callable[[], dict[str, Any]]
    """How far it is: {state, asked, done, of, reason, began_ms, ended_ms, can_stop, gone}."""
    call_off: Callable[[], bool]
    """Call it off; True while nothing is deleted for good."""
    retention: Callable[[], list[dict[str, Any]]]
    """How long and how much is kept: {name, value, default, low, high, origin, back} a setting."""
    retain: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    """Change that, now and at later starts; None: as if never changed. Raises Refused, SettingsError, OSError."""
    retain_preview: Callable[[Mapping[str, Any]], dict[str, Any]]
    """What a change would delete: see ``store.keeping``. Raises ``forgetting.Refused``, sqlite3.Error, OSError."""
