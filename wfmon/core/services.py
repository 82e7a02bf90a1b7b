"""The interface of a running monitor for pages and routes: one Protocol per topic. Every method: any thread.

``core.answers`` defines the answers, ``core.errors`` the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Literal, NamedTuple, Protocol

from wfmon.core.answers.history import Annotation, KeptSeries, Query, Statistics
from wfmon.core.answers.insights import Anomaly, AnomalyStatus, InsightsReport
from wfmon.core.answers.live import Health, Latest, SeriesRow, SeriesWindow, Windows
from wfmon.core.answers.models import DemoStatus, ModelRow, ProxyStatus, RequestDetail, RequestRow, ServerRow
from wfmon.core.answers.settings import SettingRow
from wfmon.core.answers.store import DeletionPreview, DeletionStatus, RetentionPreview, RetentionRow, StoreStatus
from wfmon.core.types import CollectorStatus

DemoCommand = Literal["", "start", "stop", "wait"]
"""``wait``: until it has started or failed, for at most 10 s; "" only returns the status."""
DeletionRequest = Mapping[str, Any]
"""One of ``{"before_ms": ...}``, ``{"series": ...}``, ``{"all": True}``; other members are refused by name."""


class StatisticsQuery(NamedTuple):
    """A span of a series and one to compare with, both [from_ms, to_ms). ``other``: a series to correlate, or "".

    ``against`` None: the span of the same length just before. ``zone``: the user's time zone.
    """

    series: str
    span: tuple[int, int]
    against: tuple[int, int] | None = None
    other: str = ""
    zone: tzinfo = UTC


class Live(Protocol):
    """Live values, and the monitor itself."""

    def health(self) -> Health:
        """Return each component's state, errors, cost, queues and drops."""

    def collectors(self) -> list[CollectorStatus]:
        """Return every collector's status."""

    def series(self) -> list[SeriesRow]:
        """Return every series of this boot."""

    def latest(self) -> Latest:
        """Return every series's last value."""

    def window(self, *, series: str, span_s: float) -> SeriesWindow:
        """Return one series over its last seconds. Raises Refused (not a series's name), Unknown (never seen)."""

    def windows(self, *, span_s: float) -> Windows:
        """Return every series with a sample in the last 1, 10 or 300 seconds. Raises Refused for another span."""


class Models(Protocol):
    """Models, their requests, and the servers that run them."""

    def models(self) -> list[ModelRow]:
        """Return every model seen since the start."""

    def colours(self, *, models: Sequence[str]) -> Mapping[str, int]:
        """Return each model's permanent colour: its index in the palette, 1 to 6."""

    def requests(self, *, limit: int) -> list[RequestRow]:
        """Return the newest requests in memory, newest first."""

    def request(self, *, request_id: str) -> RequestDetail:
        """Return one request in memory, with one tick per chunk. Raises Unknown."""

    def servers(self) -> list[ServerRow]:
        """Return every model server found on this machine."""

    def proxy(self) -> ProxyStatus:
        """Return the state of the supervised proxy."""

    def demo(self, *, command: DemoCommand = "") -> DemoStatus:
        """Start or stop the built-in model, or wait for it. Returns its state."""


class History(Protocol):
    """Recorded history, joined with the last minutes in memory. Every method raises Unreadable."""

    def series(self) -> list[KeptSeries]:
        """Return every series of the history."""

    def query(self, *, series: Sequence[str], from_ms: int, to_ms: int, points: int, fn: str) -> Query:
        """Return selected series over a span: see ``analyse.query``. Raises Refused."""

    def statistics(self, *, query: StatisticsQuery) -> Statistics:
        """Return statistics of a span of one series: see ``analyse.span_statistics``. Raises Refused."""

    def annotations(self, *, from_ms: int, to_ms: int) -> list[Annotation]:
        """Return the annotations in [from_ms, to_ms), in order of time."""

    def requests(self, *, from_ms: int, to_ms: int, limit: int, model: str = "") -> Iterable[RequestRow]:
        """Return requests that began in [from_ms, to_ms), newest first; ``model`` "" is every model.

        Rows are read during iteration, so Unreadable may be raised then.
        """


class Insights(Protocol):
    """Changes and unusual values."""

    def report(self, *, days: int, zone: tzinfo) -> InsightsReport:
        """Return what changed over the last days; takes about a second. Raises Refused, Failed, Cancelled."""

    def cancel(self) -> None:
        """Cancel the running analysis; its caller gets Cancelled."""

    def unusual(self) -> AnomalyStatus:
        """Return the values that are unusual now for this hour of the day, and the detection's status."""

    def past_unusual(self, *, from_ms: int, to_ms: int) -> list[Anomaly]:
        """Return the anomalies in [from_ms, to_ms), including current ones, oldest first. Raises Unreadable."""


class Store(Protocol):
    """The history database: recording, retention, deletion."""

    def status(self) -> StoreStatus:
        """Return the history's state, size and retention. Raises Unreadable."""

    def record(self, *, enabled: bool) -> None:
        """Switch recording on or off, persistently. Raises NotSaved."""

    def retention(self) -> list[RetentionRow]:
        """Return the retention settings."""

    def preview_retention(self, *, changes: Mapping[str, Any]) -> RetentionPreview:
        """Return what a change of the retention would delete, without changing it. Raises Refused, Unreadable."""

    def change_retention(self, *, changes: Mapping[str, Any]) -> list[RetentionRow]:
        """Change retention settings, persistently; None resets one. Raises Refused, NotSaved."""

    def preview_deletion(self, *, what: DeletionRequest) -> DeletionPreview:
        """Return what a deletion would delete, without deleting. Raises Refused, Unreadable."""

    def delete(self, *, what: DeletionRequest) -> DeletionStatus:
        """Start a deletion. Raises Refused, Busy, Unreadable."""

    def deletion(self) -> DeletionStatus:
        """Return the progress of the deletion, or the last one's result."""

    def cancel_deletion(self) -> bool:
        """Cancel the deletion. True if nothing was permanently deleted."""


class Settings(Protocol):
    """Settings, and switching collectors on and off."""

    def table(self) -> list[SettingRow]:
        """Return every setting with its current value and that value's source."""

    def switch_collector(self, *, name: str, enabled: bool) -> None:
        """Switch a collector on or off, persistently. Raises Unknown, NotSaved."""


@dataclass(frozen=True, slots=True)
class Services:
    """One service per topic. ``page_token``: returns the token that a page sends to open its stream."""

    live: Live
    models: Models
    history: History
    insights: Insights
    store: Store
    settings: Settings
    page_token: Callable[[], str]
