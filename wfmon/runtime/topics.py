"""The services of ``core.services``, one class per topic: stateless adapters of the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wfmon.core.errors import Unknown

if TYPE_CHECKING:
    from datetime import tzinfo

    from wfmon.analyse.child import Analyst
    from wfmon.analyse.query import HistoryQueries
    from wfmon.analyse.span_statistics import SpanStatistics
    from wfmon.analyse.unusual import Unusual
    from wfmon.collect.models.meter.meters import Meters
    from wfmon.collect.models.scrape.servers import ServersCollector
    from wfmon.core.answers.history import Annotation, KeptSeries, Query, Statistics
    from wfmon.core.answers.insights import Anomaly, AnomalyStatus, InsightsReport
    from wfmon.core.answers.live import Health, Latest, SeriesRow, SeriesWindow, Windows
    from wfmon.core.answers.models import DemoStatus, ModelRow, ProxyStatus, RequestDetail, RequestRow, ServerRow
    from wfmon.core.answers.store import DeletionPreview, DeletionStatus, RetentionPreview, RetentionRow, StoreStatus
    from wfmon.core.services import DeletionRequest, DemoCommand, StatisticsQuery
    from wfmon.core.types import CollectorStatus
    from wfmon.demo.supervise import DemoProcess
    from wfmon.proxy.supervise import ProxyProcess
    from wfmon.runtime.live import LiveValues
    from wfmon.runtime.settings import ChangedSettings
    from wfmon.runtime.status import MonitorStatus
    from wfmon.store.model_colours import ModelColours
    from wfmon.store.read import Reader
    from wfmon.store.retention_settings import RetentionSettings
    from wfmon.store.writer import Writer


class LiveTopic:
    """The last minutes in memory, and the monitor's own status."""

    def __init__(self, values: LiveValues, status: MonitorStatus) -> None:
        self._values = values
        self._status = status

    def health(self) -> Health:
        return self._status.health()

    def collectors(self) -> list[CollectorStatus]:
        return self._status.collectors()

    def series(self) -> list[SeriesRow]:
        return self._values.series()

    def latest(self) -> Latest:
        return self._values.latest()

    def window(self, *, series: str, span_s: float) -> SeriesWindow:
        return self._values.window(series=series, span_s=span_s)

    def windows(self, *, span_s: float) -> Windows:
        return self._values.windows(span_s=span_s)


class ModelsTopic:
    """The meters, the scraper, and the proxy and demo processes."""

    def __init__(
        self, meters: Meters, servers: ServersCollector, proxy: ProxyProcess, demo: DemoProcess, colours: ModelColours
    ) -> None:
        self._meters = meters
        self._servers = servers
        self._proxy = proxy
        self._demo = demo
        self._colours = colours

    def models(self) -> list[ModelRow]:
        return self._meters.models()

    def colours(self, *, models: Sequence[str]) -> Mapping[str, int]:
        return self._colours.of_all(models)

    def requests(self, *, limit: int) -> list[RequestRow]:
        return self._meters.requests(limit)

    def request(self, *, request_id: str) -> RequestDetail:
        try:
            return self._meters.request(request_id)
        except KeyError:
            raise Unknown(
                "request", "id", "No such request is kept: only the last ones are.",
                "GET /api/v1/requests lists those that are; collect.model.requests in config.yaml sets how many.",
            ) from None  # fmt: skip

    def servers(self) -> list[ServerRow]:
        return self._servers.servers()

    def proxy(self) -> ProxyStatus:
        return self._proxy.status()

    def demo(self, *, command: DemoCommand = "") -> DemoStatus:
        return self._demo.command(command)


class HistoryTopic:
    """Queries of the file joined with memory, statistics over spans, and rows of the file."""

    def __init__(self, history: HistoryQueries, spans: SpanStatistics, unusual: Unusual, reader: Reader) -> None:
        self._history = history
        self._spans = spans
        self._unusual = unusual
        self._reader = reader

    def series(self) -> list[KeptSeries]:
        return self._history.series()

    def query(self, *, series: Sequence[str], from_ms: int, to_ms: int, points: int, fn: str) -> Query:
        return self._history.query(series, from_ms, to_ms, points, fn)

    def statistics(self, *, query: StatisticsQuery) -> Statistics:
        return self._spans.statistics(query)

    def annotations(self, *, from_ms: int, to_ms: int) -> list[Annotation]:
        return self._unusual.annotations(from_ms, to_ms)

    def requests(self, *, from_ms: int, to_ms: int, limit: int, model: str = "") -> Iterable[RequestRow]:
        return self._reader.requests(from_ms, to_ms, limit=limit, model=model)


class InsightsTopic:
    """The analysis in its own process, and the detection of anomalies in its own thread."""

    def __init__(self, analyst: Analyst, unusual: Unusual) -> None:
        self._analyst = analyst
        self._unusual = unusual

    def report(self, *, days: int, zone: tzinfo) -> InsightsReport:
        return self._analyst.insights(days, zone)

    def cancel(self) -> None:
        self._analyst.cancel()

    def unusual(self) -> AnomalyStatus:
        return self._unusual.status()

    def past_unusual(self, *, from_ms: int, to_ms: int) -> list[Anomaly]:
        return self._unusual.past(from_ms, to_ms)


class StoreTopic:
    """The writer, its deletions, and the retention settings."""

    def __init__(self, writer: Writer, reader: Reader, retention: RetentionSettings, settings: ChangedSettings) -> None:
        self._writer = writer
        self._reader = reader
        self._retention = retention
        self._settings = settings

    def status(self) -> StoreStatus:
        span = self._reader.span()
        return {
            **self._writer.status(),
            "path": str(self._writer.path),
            "from_ms": None if span is None else span[0] * 1_000,
            "usage": self._reader.usage(),
            "keep": asdict(self._retention.keep()),
        }

    def record(self, *, enabled: bool) -> None:
        self._settings.change({"store.enabled": enabled})
        self._writer.set_enabled(enabled)

    def retention(self) -> list[RetentionRow]:
        return self._retention.retention()

    def preview_retention(self, *, changes: Mapping[str, Any]) -> RetentionPreview:
        return self._retention.preview(changes)

    def change_retention(self, *, changes: Mapping[str, Any]) -> list[RetentionRow]:
        return self._retention.change(changes)

    def preview_deletion(self, *, what: DeletionRequest) -> DeletionPreview:
        return self._writer.deletion.preview(what)

    def delete(self, *, what: DeletionRequest) -> DeletionStatus:
        return self._writer.deletion.request(what)

    def deletion(self) -> DeletionStatus:
        return self._writer.deletion.status()

    def cancel_deletion(self) -> bool:
        return self._writer.deletion.cancel()
