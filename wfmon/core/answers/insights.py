"""Insights: anomalies and the report on the last days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

Number = float | None
Labels = dict[str, str]


ANOMALY = "anomaly"
"""The kind of annotations that record anomalies."""


class Anomaly(TypedDict):
    """A series with values unusual for the hour of the day; ``until_ms`` is None while it lasts."""

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
    """The detection's status, and the current anomalies."""

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
