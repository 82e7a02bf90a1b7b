"""The composition root: builds each stage, passes it the next one's callable, starts and stops them in order.

Read ``Runtime.__init__`` from top to bottom: it is the pipeline. Beside it: ``status`` (health, errors, queues),
``live`` (the last minutes in memory), ``settings`` (changes since the start), ``ticks`` (the ticker's stages),
``topics`` (the services).
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from wfmon.analyse.child import Analyst
from wfmon.analyse.query import HistoryQueries, Hot
from wfmon.analyse.slow import judge
from wfmon.analyse.span_statistics import SpanStatistics
from wfmon.analyse.unusual import MINUTES_TIER, DetectionSources, Unusual
from wfmon.collect.gpu import GpuCollector
from wfmon.collect.loop import CollectorLoop
from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.collect.models.meter.meters import Meters
from wfmon.collect.models.scrape.servers import ServersCollector
from wfmon.collect.monitor import MonitorCollector
from wfmon.collect.network import NetworkCollector
from wfmon.collect.system import SystemCollector
from wfmon.collect.ux import UxInbox
from wfmon.core import units
from wfmon.core.errors import Unreadable
from wfmon.core.log import ErrorCount
from wfmon.core.registry import Registry
from wfmon.core.services import Services
from wfmon.core.types import Collector, CollectorStatus, Judgement, Request, Series
from wfmon.demo.supervise import DemoProcess
from wfmon.process import Processor
from wfmon.process.energy import EnergyMeter
from wfmon.proxy.supervise import ProxyProcess
from wfmon.runtime.live import LiveValues
from wfmon.runtime.settings import ChangedSettings, SettingsService
from wfmon.runtime.status import MonitorStatus, Parts
from wfmon.runtime.ticks import Ticks
from wfmon.runtime.topics import HistoryTopic, InsightsTopic, LiveTopic, ModelsTopic, StoreTopic
from wfmon.store.database import NAME as STORE_NAME
from wfmon.store.intake import SampleSource
from wfmon.store.model_colours import NAME as COLOURS_NAME
from wfmon.store.model_colours import ModelColours
from wfmon.store.read import Reader
from wfmon.store.retention_settings import RetentionSettings
from wfmon.store.writer import Writer
from wfmon.stream.hub import Hub
from wfmon.ticker import Ticker
from wfmon.window.cache import HotCache

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.core.settings import Settings

log = logging.getLogger(__name__)
SNAPSHOT_VALUES = 150_000
"""Size limit of a stream snapshot in values: about 1 MB of JSON, 15 ms to encode, once a second."""
USUAL_OF, USUAL_FROM = 50, 5
"""A model's usual speed is the median of its requests among the last USUAL_OF, if there are at least USUAL_FROM."""
POLLED = ("system", "gpu", "network", "monitor", "servers")


class Runtime:
    """All stages of a monitor. ``start`` and ``stop`` are called once each, by the main thread."""

    def __init__(
        self, settings: Settings, clock: Clock, page_token: Callable[[], str], pages: Callable[[], Collection[str]]
    ) -> None:
        self.settings = settings
        self.boot = secrets.token_hex(8)
        self._clock = clock
        self.logged = ErrorCount()
        self.loops: dict[str, CollectorLoop] = {}

        collect = settings.collect
        self.changed = ChangedSettings(settings)
        self.registry = Registry()
        self.ux = UxInbox(clock, pages, enabled=collect.ux.enabled)
        self.retention_settings = RetentionSettings(self.changed, settings.data_dir / STORE_NAME, clock.now_ms)
        self.cache = HotCache(self.registry, clock, settings.window.cache_seconds, settings.window.cache_bytes)
        self.live = LiveValues(self.registry, self.cache, clock, deleted_since=self._deleted_since)
        self.writer = Writer(
            settings.data_dir, clock, SampleSource(self.live.pulled, self.live.described), self.retention_settings.keep,
            enabled=settings.store.enabled,
        )  # fmt: skip
        self.colours = ModelColours(settings.data_dir / COLOURS_NAME, lambda: self.writer.enabled)
        self.meters = self._build_meters()
        self.ingest = Ingest(clock, self.meters.put, boot=self.boot)
        self.proxy = ProxyProcess(clock, settings.proxy, settings.data_dir)
        self.demo = DemoProcess(clock, settings.demo, settings.data_dir)
        self.processor = Processor(self.registry)
        self.reader = Reader(self.writer.path)
        self.analyst = Analyst(self.writer.path, clock)
        hot = Hot(self.live.since_ms, self.live.samples, self.live.known)
        self.history = HistoryQueries(self.reader, hot, clock.now_ms, self.retention_settings.keep)
        self.unusual = self._build_unusual()
        self.writer.after_deletion.append(self._retain_colours)
        self.writer.on_deleted += [self.analyst.on_deleted, self.unusual.on_deleted]
        self.hub = self._build_hub()
        self._ticks = Ticks(
            clock=clock, settings=settings, registry=self.registry, ux=self.ux, meters=self.meters,
            processor=self.processor, cache=self.cache, hub=self.hub, writer=self.writer, unusual=self.unusual,
            proxy=self.proxy, loops=lambda: self.loops, statuses=self._statuses,
        )  # fmt: skip
        self.ticker = Ticker(clock, self._ticks.stages(), settings.stream.rate_hz)
        self.status = MonitorStatus(
            Parts(
                self.registry, self.ux, self.meters, self.ingest, self.processor, self.cache, self.ticker, self.writer,
                self.hub, self.logged, lambda: self.loops,
            ),
            clock, self.boot,
        )  # fmt: skip
        self.gpu = GpuCollector(clock, watching=self.hub.watching, anyone=self.hub.anyone)
        self.servers = ServersCollector(
            clock, scraped=self.meters.scraped, gpu_memory=self.gpu.process_memory, rate_hz=collect.servers.rate_hz,
            counted_by=self._counted_by,
        )  # fmt: skip
        self.loops |= self._loops()
        self.services = self._services(page_token)

    def _build_meters(self) -> Meters:
        settings, model = self.settings, self.settings.collect.model
        return Meters(
            self._clock, energy=lambda: EnergyMeter(settings.energy), server_of=self._server_of,
            power_watts=self.live.gpu_watts, judge=self._judge, keep_requests=model.requests,
            enabled=model.enabled, filed=self.writer.request, colour_of=self.colours.of,
        )  # fmt: skip

    def _build_unusual(self) -> Unusual:
        seen = DetectionSources(
            series=self.registry.all, means=self.cache.means, annotate=self.writer.annotate, write=units.text,
            recording=lambda: self.writer.enabled,
            kept_s=lambda: self.retention_settings.keep().tiers[MINUTES_TIER.number],
        )  # fmt: skip
        return Unusual(self.reader, self._clock, seen, enabled=self.settings.analyse.anomalies)

    def _build_hub(self) -> Hub:
        settings = self.settings
        return Hub(
            self.registry, self._clock, boot=self.boot, snapshot=lambda: self.cache.snapshot(SNAPSHOT_VALUES),
            rate_hz=settings.stream.rate_hz, mailbox_frames=settings.stream.mailbox_frames,
            stall_seconds=settings.stream.stall_seconds, max_clients=settings.server.max_clients, push_ux=self.ux.push,
            host_facts=lambda: {"gpus": self.gpu.names(), "unusual": self.unusual.facts()},
        )  # fmt: skip

    def _loops(self) -> dict[str, CollectorLoop]:
        """Build the polled collectors, one thread each."""
        clock, collect = self._clock, self.settings.collect
        collectors: dict[str, Collector] = {
            "system": SystemCollector(
                clock, self.settings.data_dir, watching=self.hub.watching,
                processes_enabled=collect.system.processes, gpu_memory=self.gpu.process_memory,
            ),
            "gpu": self.gpu,
            "network": NetworkCollector(clock, watching=self.hub.watching),
            "monitor": MonitorCollector(clock, watching=self.hub.watching, probes=self.status.probes()),
            "servers": self.servers,
        }  # fmt: skip
        return {
            name: CollectorLoop(
                collectors[name], getattr(collect, name).rate_hz, clock, self.ticker.put, self._ticks.on_status,
                enabled=getattr(collect, name).enabled,
            )
            for name in POLLED
        }  # fmt: skip

    def _services(self, page_token: Callable[[], str]) -> Services:
        """Build the services that pages and routes use."""
        return Services(
            live=LiveTopic(self.live, self.status),
            models=ModelsTopic(self.meters, self.servers, self.proxy, self.demo, self.colours),
            history=HistoryTopic(self.history, SpanStatistics(self.history), self.unusual, self.reader),
            insights=InsightsTopic(self.analyst, self.unusual),
            store=StoreTopic(self.writer, self.reader, self.retention_settings, self.changed),
            settings=SettingsService(
                self.changed, {**self.loops, "ux": self.ux, "model": self.meters}, self._on_switched
            ),
            page_token=page_token,
        )

    def start(self) -> None:
        """Start the ticker, then the collectors."""
        self.logged.attach()
        self.ticker.start()
        self.writer.annotate("start", "The monitor started.")
        self.writer.start()
        self.unusual.start()
        for loop in self.loops.values():
            loop.start()
        self.proxy.start()
        if self.settings.demo.enabled:
            self.demo.command("start")

    def stop(self) -> None:
        """Stop in the direction of the data: sources first, then the ticker, then the clients. Idempotent."""
        self.demo.close()
        self.proxy.close()
        for loop in self.loops.values():
            loop.ask_to_stop()
        for loop in self.loops.values():
            loop.stop()
        self.ticker.stop()
        self.hub.close()
        self.unusual.close()
        self.writer.annotate("stop", "The monitor stopped.")
        self.writer.close()
        self.logged.detach()

    def _deleted_since(self, series: Series) -> int:
        return self.writer.deletion.since(series)

    def _retain_colours(self) -> None:
        """After a deletion, keep only the colours of models that the history or a meter still has. Writer's thread."""
        kept = {str(row["model"]) for row in self.meters.models()}
        with contextlib.suppress(Unreadable):
            kept |= {row["labels"]["model"] for row in self.history.series() if "model" in row["labels"]}
            self.colours.retain(kept)

    def _statuses(self) -> list[CollectorStatus]:
        return self.status.collectors()

    def _server_of(self, pid: int, claimed: str) -> str:
        return self.servers.server_of(pid, claimed)

    def _counted_by(self) -> dict[str, str]:
        """Return the source of each server's requests, where that is not the scraper."""
        return {str(row["server"]): str(row["via"]) for row in self.meters.models() if row["via"] != "scrape"}

    def _judge(self, request: Request) -> Judgement:
        """Judge a request against its model's usual speed: the median of its last requests."""
        before = [
            row["tokens_per_second"] for row in self.meters.requests(USUAL_OF)
            if (row["model"], row["server"], row["status"]) == (request.model, request.server, "ok")
            and row["id"] != request.id and row["tokens_per_second"]
        ]  # fmt: skip
        usual = sorted(before)[len(before) // 2] if len(before) >= USUAL_FROM else None
        return judge(request, self.live.between, dataclasses.replace(request, tokens_per_second=usual))

    def _on_switched(self, name: str, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        self.writer.annotate("collector", f"The {name} collector was switched {'on' if enabled else 'off'}.")
