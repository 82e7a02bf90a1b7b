"""The services, a topic each (``core.services``): they answer from the stages that know, and hold nothing."""

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
    from wfmon.core import answers
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
    """The last minutes in memory, and the monitor itself."""

    def __init__(self, values: LiveValues, status: MonitorStatus) -> None:
        self._values = values
        self._status = status

    def health(self) -> answers.Health:
        return self._status.health()

    def collectors(self) -> list[CollectorStatus]:
        return self._status.collectors()

    def series(self) -> list[answers.SeriesRow]:
        return self._values.series()

    def latest(self) -> answers.Latest:
        return self._values.latest()

    def window(self, *, series: str, span_s: float) -> answers.SeriesWindow:
        return self._values.window(series=series, span_s=span_s)

    def windows(self, *, span_s: float) -> answers.Windows:
        return self._values.windows(span_s=span_s)


class ModelsTopic:
    """The meters, the scraper, and the two processes beside the monitor."""

    def __init__(
        self, meters: Meters, servers: ServersCollector, proxy: ProxyProcess, demo: DemoProcess, colours: ModelColours
    ) -> None:
        self._meters = meters
        self._servers = servers
        self._proxy = proxy
        self._demo = demo
        self._colours = colours

    def models(self) -> list[answers.ModelRow]:
        return self._meters.models()

    def colours(self, *, models: Sequence[str]) -> Mapping[str, int]:
        return self._colours.of_all(models)

    def requests(self, *, limit: int) -> list[answers.RequestRow]:
        return self._meters.requests(limit)

    def request(self, *, request_id: str) -> answers.RequestDetail:
        try:
            return self._meters.request(request_id)
        except KeyError:
            raise Unknown(
                "request", "id", "No such request is kept: only the last ones are.",
                "GET /api/v1/requests lists those that are; collect.model.requests in config.yaml says how many.",
            ) from None  # fmt: skip

    def servers(self) -> list[answers.ServerRow]:
        return self._servers.servers()

    def proxy(self) -> answers.ProxyStatus:
        return self._proxy.status()

    def demo(self, *, command: DemoCommand = "") -> answers.DemoStatus:
        return self._demo.say(command)


class HistoryTopic:
    """Queries of the file joined with memory, statistics of them, and rows of the file."""

    def __init__(self, history: HistoryQueries, spans: SpanStatistics, unusual: Unusual, reader: Reader) -> None:
        self._history = history
        self._spans = spans
        self._unusual = unusual
        self._reader = reader

    def series(self) -> list[answers.KeptSeries]:
        return self._history.series()

    def query(self, *, series: Sequence[str], from_ms: int, to_ms: int, points: int, fn: str) -> answers.Query:
        return self._history.query(series, from_ms, to_ms, points, fn)

    def statistics(self, *, query: StatisticsQuery) -> answers.Statistics:
        return self._spans.statistics(query)

    def annotations(self, *, from_ms: int, to_ms: int) -> list[answers.Annotation]:
        return self._unusual.annotations(from_ms, to_ms)

    def requests(self, *, from_ms: int, to_ms: int, limit: int, model: str = "") -> Iterable[answers.RequestRow]:
        return self._reader.requests(from_ms, to_ms, limit=limit, model=model)


class InsightsTopic:
    """The analysis in its own process, and the detection in its own thread."""

    def __init__(self, analyst: Analyst, unusual: Unusual) -> None:
        self._analyst = analyst
        self._unusual = unusual

    def report(self, *, days: int, zone: tzinfo) -> answers.InsightsReport:
        return self._analyst.insights(days, zone)

    def cancel(self) -> None:
        self._analyst.cancel()

    def unusual(self) -> answers.AnomalyStatus:
        return self._unusual.status()

    def past_unusual(self, *, from_ms: int, to_ms: int) -> list[answers.Anomaly]:
        return self._unusual.past(from_ms, to_ms)


class StoreTopic:
    """The writer, what it deletes, and how long it keeps."""

    def __init__(self, writer: Writer, reader: Reader, keeping: RetentionSettings, settings: ChangedSettings) -> None:
        self._writer = writer
        self._reader = reader
        self._keeping = keeping
        self._settings = settings

    def status(self) -> answers.StoreStatus:
        span = self._reader.span()
        return {
            **self._writer.status(),
            "path": str(self._writer.path),
            "from_ms": None if span is None else span[0] * 1_000,
            "usage": self._reader.usage(),
            "keep": asdict(self._keeping.keep()),
        }

    def record(self, *, enabled: bool) -> None:
        self._settings.change({"store.enabled": enabled})
        self._writer.set_enabled(enabled)

    def retention(self) -> list[answers.RetentionRow]:
        return self._keeping.retention()

    def preview_retention(self, *, changes: Mapping[str, Any]) -> answers.RetentionPreview:
        return self._keeping.preview(changes)

    def change_retention(self, *, changes: Mapping[str, Any]) -> list[answers.RetentionRow]:
        return self._keeping.change(changes)

    def preview_deletion(self, *, what: DeletionRequest) -> answers.DeletionPreview:
        return self._writer.forgetting.preview(what)

    def delete(self, *, what: DeletionRequest) -> answers.DeletionStatus:
        return self._writer.forgetting.ask(what)

    def deletion(self) -> answers.DeletionStatus:
        return self._writer.forgetting.status()

    def cancel_deletion(self) -> bool:
        return self._writer.forgetting.call_off()
