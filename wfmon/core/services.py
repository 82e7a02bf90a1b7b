"""What pages and routes may ask of a running monitor: one Protocol a topic. Every method may be called from any thread.

``core.answers`` has the forms of the answers, ``core.errors`` what is raised.
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
"""``wait``: until it has started or failed, for at most 10 s; "" asks for the status alone."""
DeletionRequest = Mapping[str, Any]
"""One of ``{"before_ms": ...}``, ``{"series": ...}``, ``{"all": True}``; whatever else it holds is refused by name."""


class StatisticsQuery(NamedTuple):
    """A span of a series and another to compare with, both [from_ms, to_ms); ``other``: a series to correlate, or "".

    ``against`` None: the span of the same length right before. ``zone``: the user's.
    """

    series: str
    span: tuple[int, int]
    against: tuple[int, int] | None = None
    other: str = ""
    zone: tzinfo = UTC


class Live(Protocol):
    """The last minutes, and the monitor itself."""

    def health(self) -> Health:
        """Give each component's state, errors, cost, queues and drops."""

    def collectors(self) -> list[CollectorStatus]:
        """Give every collector's state."""

    def series(self) -> list[SeriesRow]:
        """Give every series of this boot."""

    def latest(self) -> Latest:
        """Give every series' last value."""

    def window(self, *, series: str, span_s: float) -> SeriesWindow:
        """Give one series over its last seconds. Raises Refused (not a series' name), Unknown (never seen)."""

    def windows(self, *, span_s: float) -> Windows:
        """Give every series with a sample in the last 1, 10 or 300 seconds. Raises Refused for another span."""


class Models(Protocol):
    """Models, their requests, the servers that run them."""

    def models(self) -> list[ModelRow]:
        """Give every model seen since the start."""

    def colours(self, *, models: Sequence[str]) -> Mapping[str, int]:
        """Give each model's colour, the same for good: its place in the palette, 1 to 6."""

    def requests(self, *, limit: int) -> list[RequestRow]:
        """Give the newest requests in memory, newest first."""

    def request(self, *, request_id: str) -> RequestDetail:
        """Give one request in memory with a tick a chunk. Raises Unknown."""

    def servers(self) -> list[ServerRow]:
        """Give every model server found on this machine."""

    def proxy(self) -> ProxyStatus:
        """Give the state of the proxy that the monitor supervises."""

    def demo(self, *, command: DemoCommand = "") -> DemoStatus:
        """Start or stop the built-in model, or wait for it; gives its state."""


class History(Protocol):
    """The past: what the file holds, joined with the last minutes in memory. Each raises Unreadable."""

    def series(self) -> list[KeptSeries]:
        """Give every series of the history."""

    def query(self, *, series: Sequence[str], from_ms: int, to_ms: int, points: int, fn: str) -> Query:
        """Give selected series over a span: see ``analyse.query``. Raises Refused."""

    def statistics(self, *, query: StatisticsQuery) -> Statistics:
        """Give statistics of a span of one series: see ``analyse.span_statistics``. Raises Refused."""

    def annotations(self, *, from_ms: int, to_ms: int) -> list[Annotation]:
        """Give what happened in [from_ms, to_ms), in order of time."""

    def requests(self, *, from_ms: int, to_ms: int, limit: int, model: str = "") -> Iterable[RequestRow]:
        """Give requests that began in [from_ms, to_ms), newest first; "" is every model.

        They are read as they are taken, so Unreadable may be raised then.
        """


class Insights(Protocol):
    """What stands out."""

    def report(self, *, days: int, zone: tzinfo) -> InsightsReport:
        """Give what changed over the last days; takes a second. Raises Refused, Failed, Cancelled."""

    def cancel(self) -> None:
        """End the analysis that is running: whoever waits for its answer gets Cancelled."""

    def unusual(self) -> AnomalyStatus:
        """Give what is unusual now for this hour of the day, and the state of the detection."""

    def past_unusual(self, *, from_ms: int, to_ms: int) -> list[Anomaly]:
        """Give what was unusual in [from_ms, to_ms), or is, oldest first. Raises Unreadable."""


class Store(Protocol):
    """The history's file: recording, retention, deletion."""

    def status(self) -> StoreStatus:
        """Give the state of the history, its size and its retention. Raises Unreadable."""

    def record(self, *, enabled: bool) -> None:
        """Switch recording on or off, now and at later starts. Raises NotSaved."""

    def retention(self) -> list[RetentionRow]:
        """Give how long and how much is kept."""

    def preview_retention(self, *, changes: Mapping[str, Any]) -> RetentionPreview:
        """Give what a change of the retention would delete; only reads. Raises Refused, Unreadable."""

    def change_retention(self, *, changes: Mapping[str, Any]) -> list[RetentionRow]:
        """Change the retention by setting, now and at later starts; None resets one. Raises Refused, NotSaved."""

    def preview_deletion(self, *, what: DeletionRequest) -> DeletionPreview:
        """Give what a deletion would take; only reads. Raises Refused, Unreadable."""

    def delete(self, *, what: DeletionRequest) -> DeletionStatus:
        """Begin a deletion. Raises Refused, Busy, Unreadable."""

    def deletion(self) -> DeletionStatus:
        """Give the progress of the deletion, or how the last one ended."""

    def cancel_deletion(self) -> bool:
        """Cancel the deletion. True if nothing was permanently deleted."""


class Settings(Protocol):
    """Every setting, and the collectors' switches."""

    def table(self) -> list[SettingRow]:
        """Give every setting that holds now, and where its value comes from."""

    def switch_collector(self, *, name: str, enabled: bool) -> None:
        """Switch a collector on or off, now and at later starts. Raises Unknown, NotSaved."""


@dataclass(frozen=True, slots=True)
class Services:
    """One service a topic. ``page_token``: the token that a page's stream begins with."""

    live: Live
    models: Models
    history: History
    insights: Insights
    store: Store
    settings: Settings
    page_token: Callable[[], str]
