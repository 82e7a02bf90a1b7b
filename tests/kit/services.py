"""Fakes of what pages and routes may ask of a running monitor: one a topic, with the Protocols' own signatures.

Answers have only the members that their tests read (``cast`` says where), and fakes remember what they were asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, cast

from wfmon.core.answers.history import Annotation, KeptSeries, Query, Statistics
from wfmon.core.answers.insights import Anomaly, AnomalyStatus, InsightsReport
from wfmon.core.answers.live import Health, Latest, LatestRow, SeriesRow, SeriesWindow, Windows
from wfmon.core.answers.models import DemoStatus, ModelRow, ProxyStatus, RequestDetail, RequestRow, ServerRow
from wfmon.core.answers.settings import SettingRow
from wfmon.core.answers.store import DeletionPreview, DeletionStatus, RetentionPreview, RetentionRow, StoreStatus
from wfmon.core.errors import Busy, Failed, NotSaved, Refused, Unknown, Unreadable
from wfmon.core.services import (
    DeletionRequest,
    DemoCommand,
    History,
    Insights,
    Live,
    Models,
    Settings,
    StatisticsQuery,
    Store,
)
from wfmon.core.types import CollectorStatus, Series


class FakeLive(Live):
    """Two series, one of them absent; one collector."""

    def __init__(self) -> None:
        self.switched: dict[str, bool] = {}
        self.statuses: list[CollectorStatus] | None = None
        """What the collectors are; None: one that is on until it is switched off."""
        self.rows: list[LatestRow] = [
            {"id": 0, "name": "system.cpu_percent", "labels": {}, "unit": "%", "kind": "gauge", "t_ms": 5,
             "value": 12.5},
            {"id": 1, "name": "system.swap_used_bytes", "labels": {}, "unit": "B", "kind": "gauge", "t_ms": 5,
             "value": None},
        ]  # fmt: skip

    def health(self) -> Health:
        return cast("Health", {"status": "ok", "stream": {"late_ms": float("nan")}})

    def collectors(self) -> list[CollectorStatus]:
        if self.statuses is not None:
            return self.statuses
        return [CollectorStatus("system", "running" if self.switched.get("system", True) else "off")]

    def series(self) -> list[SeriesRow]:
        names = ("id", "name", "unit", "kind", "labels")
        return [cast("SeriesRow", {name: value for name, value in row.items() if name in names}) for row in self.rows]

    def latest(self) -> Latest:
        return {"now_ms": 7, "series": self.rows}

    def window(self, *, series: str, span_s: float) -> SeriesWindow:
        try:
            Series.parse(series)
        except ValueError as error:
            raise Refused("series", f"{error}.", "Write it as /api/v1/series does.") from None
        if series != "system.cpu_percent":
            raise Unknown("series", "series", "No such series was seen since the start.", "GET /api/v1/series.")
        found = {"series": series, "unit": "%", "span_s": span_s, "count": 2, "mean": 12.5}
        return cast("SeriesWindow", found)

    def windows(self, *, span_s: float) -> Windows:
        if span_s not in (1, 10, 300):
            raise Refused("window", "Windows of all series span 1, 10, 300 seconds.", "Give window=1.")
        return {"now_ms": 7, "series": []}


class FakeModels(Models):
    """A model, many requests, a server that wants a key."""

    def __init__(self, said: list[object]) -> None:
        self._said = said

    def models(self) -> list[ModelRow]:
        return [{"model": "tiny", "server": "127.0.0.1:11434", "energy": 0.5, "ttft_ms": float("nan")}]

    def colours(self, *, models: Sequence[str]) -> Mapping[str, int]:
        return dict.fromkeys(models, 1)

    def requests(self, *, limit: int) -> list[RequestRow]:
        return [cast("RequestRow", {"id": f"r{number}", "ttft_ms": None}) for number in range(min(limit, 60))]

    def request(self, *, request_id: str) -> RequestDetail:
        if request_id != "a:1.b-c_d":
            raise Unknown("request", "id", "No such request is kept.", "GET /api/v1/requests lists those that are.")
        ticks = {"t_ms": [1.5], "tokens": [1], "entropy_bits": [None]}
        return cast("RequestDetail", {"id": request_id, "ticks": ticks})

    def servers(self) -> list[ServerRow]:
        return [{"server": "127.0.0.1:11434", "state": "needs_key"}]

    def proxy(self) -> ProxyStatus:
        return {"state": "off", "reason": "", "pid": None, "listen": "", "upstream": ""}

    def demo(self, *, command: DemoCommand = "") -> DemoStatus:
        self._said.append(command)
        state = "running" if command == "start" else "off"
        return cast("DemoStatus", {"state": state, "reason": "", "pid": None})


class FakeHistory(History):
    """Answers any span, and remembers what it was asked."""

    def __init__(self, said: list[object]) -> None:
        self._said = said

    def series(self) -> list[KeptSeries]:
        kept = {"series": "system.cpu_percent", "name": "system.cpu_percent", "distribution": False}
        return [cast("KeptSeries", kept)]

    def query(self, *, series: Sequence[str], from_ms: int, to_ms: int, points: int, fn: str) -> Query:
        self._said.append((series, from_ms, to_ms, points, fn))
        if not series:
            raise Refused("series", "No series was named.", "Give series=.")
        lines = [{"series": name, "points": [[from_ms, float("nan"), 1.5, 2.0]]} for name in series]
        return cast("Query", {"series": lines})

    def statistics(self, *, query: StatisticsQuery) -> Statistics:
        self._said.append(query)
        if not query.series:
            raise Refused("series", "No series was named.", "Give series=.")
        return cast("Statistics", {"series": query.series, "span": {"mean": 1.5, "p95": None}})

    def annotations(self, *, from_ms: int, to_ms: int) -> list[Annotation]:
        return [{"t_ms": from_ms, "kind": "start", "text": "The monitor started."}]

    def requests(self, *, from_ms: int, to_ms: int, limit: int, model: str = "") -> list[RequestRow]:
        self._said.append((from_ms, to_ms, limit, model))
        return [cast("RequestRow", {"id": "a"})]


class FakeInsights(Insights):
    """No findings, and one series that is unusual."""

    def report(self, *, days: int, zone: tzinfo) -> InsightsReport:
        if days < 1:
            raise Refused("days", "The analysis was asked for no days.", "Give days= from 1 to 90, and offset=.")
        if days > 80:
            raise Failed("The analysis failed: no.")
        return cast("InsightsReport", {"findings": [], "said": [days, str(zone)]})

    def cancel(self) -> None:
        """Nothing runs."""

    def unusual(self) -> AnomalyStatus:
        return cast("AnomalyStatus", {"state": "judging", "now": [{"series": "system.cpu_percent", "z": 6.5}]})

    def past_unusual(self, *, from_ms: int, to_ms: int) -> list[Anomaly]:
        return [cast("Anomaly", {"series": "system.cpu_percent", "since_ms": from_ms, "until_ms": to_ms})]


class FakeStore(Store):
    """A file that records, may be full, and may be at a deletion."""

    def __init__(self, said: list[object]) -> None:
        self._said = said
        self.recording = True
        self.retention_rows = [cast("RetentionRow", {"name": "store.keep_1s_days", "value": 0.25})]
        self.said_status: StoreStatus | None = None
        """What the history's status is; None: its state alone."""
        self.disk_full = False
        self.deletion_state = "none"

    def status(self) -> StoreStatus:
        if self.said_status is not None:
            return self.said_status
        return cast("StoreStatus", {"state": "recording" if self.recording else "off"})

    def record(self, *, enabled: bool) -> None:
        if self.disk_full:
            raise NotSaved(OSError(28, "No space left on device"))
        self.recording = enabled

    def deletion(self) -> DeletionStatus:
        return cast("DeletionStatus", {"state": self.deletion_state})

    def preview_deletion(self, *, what: DeletionRequest) -> DeletionPreview:
        if set(what) != {"all"}:
            raise Refused("before_ms", "It is not said what to forget.", "Send one of them.")
        return cast("DeletionPreview", {"parts": 5})

    def delete(self, *, what: DeletionRequest) -> DeletionStatus:
        if self.deletion_state == "deleting":
            raise Busy("Something is being forgotten at the moment.", "Wait until it is done.")
        if self.disk_full:
            raise Unreadable("The history could not be read (disk I/O error).", "Try again in a moment.")
        self._said.append(what)
        self.deletion_state = "waiting"
        return self.deletion()

    def cancel_deletion(self) -> bool:
        return self.deletion_state == "deleting"

    def retention(self) -> list[RetentionRow]:
        return self.retention_rows

    def preview_retention(self, *, changes: Mapping[str, Any]) -> RetentionPreview:
        if "store.keep_1s_days" not in changes:
            raise Refused("store.max_bytes", "store.max_bytes must be more.", "Give more.")
        return cast("RetentionPreview", {"shorter": list(changes)})

    def change_retention(self, *, changes: Mapping[str, Any]) -> list[RetentionRow]:
        self.preview_retention(changes=changes)
        if self.disk_full:
            raise NotSaved(OSError(28, "No space left on device"))
        self._said.append(changes)
        return self.retention()


class FakeSettings(Settings):
    """One setting, one collector."""

    def __init__(self, live: FakeLive) -> None:
        self._live = live
        self.cache_seconds = 300
        self.rows: list[SettingRow] | None = None
        """What stands in the table; None: one setting."""

    def table(self) -> list[SettingRow]:
        if self.rows is not None:
            return self.rows
        row = {"name": "window.cache_seconds", "value": self.cache_seconds, "default": 300, "origin": "default"}
        return [cast("SettingRow", {**row, "restart": True})]

    def switch_collector(self, *, name: str, enabled: bool) -> None:
        if name not in {each.name for each in self._live.collectors()}:
            raise Unknown("collector", "name", "There is no such collector.", "GET /api/v1/collectors lists them.")
        self._live.switched[name] = enabled


class FakeServices:
    """What a running monitor would say. ``said``: what it was asked, in order."""

    def __init__(self, token: str = "token") -> None:
        self._token = token
        self.said: list[object] = []
        self.live = FakeLive()
        self.models = FakeModels(self.said)
        self.history = FakeHistory(self.said)
        self.insights = FakeInsights()
        self.store = FakeStore(self.said)
        self.settings = FakeSettings(self.live)

    def page_token(self) -> str:
        return self._token
