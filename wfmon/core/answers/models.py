"""Models, their requests, servers, the proxy and the built-in model."""

from __future__ import annotations

from typing import TypedDict

from wfmon.core.types import Cell

Number = float | None


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
    """The fields of ``core.types.Request``; ``stalls`` are [ms since the start, duration in ms]."""

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
    """Columns with one entry per tick, one or more chunks of the answer; ``t_ms`` is since the start of the request."""

    t_ms: list[float]
    tokens: list[int]
    entropy_bits: list[Number]


class PhaseRow(TypedDict):
    """The end of a request's phase, in ms since its start."""

    name: str
    t_ms: float


class RequestDetail(RequestRow):
    """One request with its ticks; ``thinned``: chunks merged into one tick."""

    phases: list[PhaseRow]
    ticks: RequestTicks
    thinned: int


class ProxyStatus(TypedDict):
    """The supervised proxy; ``listen`` and ``upstream`` are empty while it is off."""

    state: str
    reason: str
    pid: int | None
    listen: str
    upstream: str


class DemoStatus(TypedDict):
    """The built-in model. ``rate``: its limit in tokens per second, 0 for none."""

    state: str
    reason: str
    pid: int | None
    url: str
    models: list[str]
    rate: float
