"""Recorded history: series, queries, statistics, annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

Labels = dict[str, str]


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
    """One series of a query. A point is [t_ms, value, ...], None if unknown."""

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
    """Statistics of a span of one series, and compared with another. A missing part has its reason in ``absent``."""

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
    """An event: a start, a suspension, a clock step, a collector switched."""

    t_ms: int
    kind: str
    text: str
