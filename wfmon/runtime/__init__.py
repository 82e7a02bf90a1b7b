"""The composition root: builds each stage, hands it the next one's callable, starts and stops them in order.

Read ``Runtime.__init__`` from top to bottom: it is the pipeline. Beside it: ``status`` (health, errors, queues),
``live`` (the last minutes in memory), ``settings`` (what was changed since the start), ``ticks`` (what happens at each
tick), ``topics`` (the services).
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
from wfmon.analyse.unusual import MINUTES_TIER, Sources, Unusual
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
from wfmon.store.model_colours import NAME as COLOURS_NAME
from wfmon.store.model_colours import ModelColours
from wfmon.store.read import Reader
from wfmon.store.retention_settings import RetentionSettings
from wfmon.store.writer import SampleSource, Writer
from wfmon.stream.hub import Hub
from wfmon.ticker import Ticker
from wfmon.window.cache import HotCache

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.core.settings import Settings

log = logging.getLogger(__name__)
SNAPSHOT_VALUES = 150_000
"""Values of a stream snapshot at most: about 1 MB of JSON, 15 ms to encode, once a second."""
USUAL_OF, USUAL_FROM = 50, 5
"""A model's usual speed is the median of its requests among the last so many, from so many on."""
POLLED = ("system", "gpu", "network", "monitor", "servers")


class Runtime:
    """A monitor's working parts. ``start`` and ``stop`` are called once each, by the main thread."""

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
        self.keeping = RetentionSettings(self.changed, settings.data_dir / STORE_NAME, clock.now_ms)
        self.cache = HotCache(self.registry, clock, settings.window.cache_seconds, settings.window.cache_bytes)
        self.live = LiveValues(self.registry, self.cache, clock, deleted_since=self._deleted_since)
        self.writer = Writer(
            settings.data_dir, clock, SampleSource(self.live.pulled, self.live.described), self.keeping.keep,
            enabled=settings.store.enabled,
        )  # fmt: skip
        self.colours = ModelColours(settings.data_dir / COLOURS_NAME, lambda: self.writer.enabled)
        self.meters = Meters(
            clock, energy=lambda: EnergyMeter(settings.energy), server_of=self._server_of,
            power_watts=self.live.gpu_watts, why=self._why, keep_requests=collect.model.requests,
            enabled=collect.model.enabled, filed=self.writer.request, colour_of=self.colours.of,
        )  # fmt: skip
        self.ingest = Ingest(clock, self.meters.put, boot=self.boot)
        self.proxy = ProxyProcess(clock, settings.proxy, settings.data_dir)
        self.demo = DemoProcess(clock, settings.demo, settings.data_dir)
        self.processor = Processor(self.registry)
        self.reader = Reader(self.writer.path)
        self.analyst = Analyst(self.writer.path, clock)
        hot = Hot(self.live.since_ms, self.live.samples, self.live.known)
        self.history = HistoryQueries(self.reader, hot, clock.now_ms, self.keeping.keep)
        seen = Sources(
            series=self.registry.all, means=self.cache.means, annotate=self.writer.annotate, write=units.text,
            recording=lambda: self.writer.enabled, kept_s=lambda: self.keeping.keep().tiers[MINUTES_TIER.number],
        )  # fmt: skip
        self.unusual = Unusual(self.reader, clock, seen, enabled=settings.analyse.anomalies)
        self.writer.after_deletion.append(self._retain_colours)
        self.writer.on_forgotten += [self.analyst.on_forgotten, self.unusual.on_forgotten]
        self.hub = Hub(
            self.registry, clock, boot=self.boot, snapshot=lambda: self.cache.snapshot(SNAPSHOT_VALUES),
            rate_hz=settings.stream.rate_hz, mailbox_frames=settings.stream.mailbox_frames,
            stall_seconds=settings.stream.stall_seconds, max_clients=settings.server.max_clients, push_ux=self.ux.push,
            host_facts=lambda: {"gpus": self.gpu.names(), "unusual": self.unusual.facts()},
        )  # fmt: skip
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
            told_by=self._told_by,
        )  # fmt: skip
        self.loops |= self._loops()
        self.services = self._services(page_token)

    def _loops(self) -> dict[str, CollectorLoop]:
        """Make the polled collectors, a thread each."""
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
        """Make what pages and routes may ask."""
        return Services(
            live=LiveTopic(self.live, self.status),
            models=ModelsTopic(self.meters, self.servers, self.proxy, self.demo, self.colours),
            history=HistoryTopic(self.history, SpanStatistics(self.history), self.unusual, self.reader),
            insights=InsightsTopic(self.analyst, self.unusual),
            store=StoreTopic(self.writer, self.reader, self.keeping, self.changed),
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
            self.demo.say("start")

    def stop(self) -> None:
        """Stop in the order of the way: sources first, then the beat, then the clients. Idempotent."""
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
        return self.writer.forgetting.since(series)

    def _retain_colours(self) -> None:
        """Something was deleted: only models that the history or a meter still knows keep their colour. The writer."""
        kept = {str(row["model"]) for row in self.meters.models()}
        with contextlib.suppress(Unreadable):
            kept |= {row["labels"]["model"] for row in self.history.series() if "model" in row["labels"]}
            self.colours.retain(kept)

    def _statuses(self) -> list[CollectorStatus]:
        return self.status.collectors()

    def _server_of(self, pid: int, claimed: str) -> str:
        return self.servers.server_of(pid, claimed)

    def _told_by(self) -> dict[str, str]:
        """Say which source counts each server's requests, where that is not the scrape."""
        return {str(row["server"]): str(row["via"]) for row in self.meters.models() if row["via"] != "scrape"}

    def _why(self, request: Request) -> Judgement:
        """Judge a request against what its model usually does: the median of its last ones."""
        before = [
            row["tokens_per_second"] for row in self.meters.requests(USUAL_OF)
            if (row["model"], row["server"], row["status"]) == (request.model, request.server, "ok")
            and row["id"] != request.id and row["tokens_per_second"]
        ]  # fmt: skip
        usual = sorted(before)[len(before) // 2] if len(before) >= USUAL_FROM else None
        return judge(request, self.live.between, dataclasses.replace(request, tokens_per_second=usual))

    def _on_switched(self, name: str, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        self.writer.annotate("collector", f"The {name} collector was switched {'on' if enabled else 'off'}.")
