"""The composition root: builds each stage, hands it the next one's callable, starts and stops them in order.

Read ``Runtime.__init__`` from top to bottom: it is the pipeline.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

import wfmon
from wfmon.analyse.child import Analyst
from wfmon.analyse.query import History, Hot
from wfmon.analyse.slow import judge
from wfmon.analyse.span_statistics import Spans
from wfmon.analyse.unusual import MINUTES_TIER, Sources, Unusual
from wfmon.collect.gpu import GpuCollector
from wfmon.collect.loop import CollectorLoop
from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.collect.models.meter.meters import MAX_WAITING as MAX_MODEL_EVENTS
from wfmon.collect.models.meter.meters import Meters
from wfmon.collect.models.scrape.servers import ServersCollector
from wfmon.collect.monitor import MonitorCollector, Probes
from wfmon.collect.network import NetworkCollector
from wfmon.collect.power import on_battery
from wfmon.collect.system import SystemCollector
from wfmon.collect.ux import MAX_WAITING, UxInbox
from wfmon.core import settings as core_settings
from wfmon.core import units
from wfmon.core.log import ErrorCount
from wfmon.core.registry import Registry
from wfmon.core.types import (
    Burst,
    ClockStep,
    Collector,
    CollectorState,
    CollectorStatus,
    Frame,
    Judgement,
    Request,
    Series,
    Services,
    Table,
    TokenBatch,
    Window,
)
from wfmon.demo.supervise import DemoProcess
from wfmon.process import Processor
from wfmon.process.energy import EnergyMeter
from wfmon.proxy.supervise import ProxyProcess
from wfmon.store.backlog import WAITING as MAX_STORE_SECONDS
from wfmon.store.database import NAME as STORE_NAME
from wfmon.store.read import Reader
from wfmon.store.retention_settings import Keeping
from wfmon.store.series_ids import Described
from wfmon.store.writer import Pulled, Source, Writer
from wfmon.stream.hub import Hub
from wfmon.ticker import INBOX_FRAMES, Stages, Ticker
from wfmon.window.cache import HotCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wfmon.core.clock import Clock
    from wfmon.core.settings import Settings
    from wfmon.core.types import Millis

log = logging.getLogger(__name__)
SNAPSHOT_VALUES = 150_000
"""Values of a stream snapshot at most: about 1 MB of JSON, 15 ms to encode, once a second."""
POWER_LOOK_S = 10
ECO_SHARE = 0.5
USUAL_OF, USUAL_FROM = 50, 5
"""A model's usual speed is the median of its requests among the last so many, from so many on."""
WINDOWS_S = (1, 10, 300)
"""The rolling windows that are kept for all series."""
POLLED = ("system", "gpu", "network", "monitor", "servers")
PUSHED = ("ux", "model")
KEPT_TABLES = ("models", "requests", "servers")
"""Tables that come only when they change: who opens a page between is given the last one."""


class Runtime:
    """A monitor's working parts. ``start`` and ``stop`` are called once each, by the main thread."""

    def __init__(self, settings: Settings, clock: Clock, page_token: Callable[[], str]) -> None:
        self.settings = settings
        self.boot = secrets.token_hex(8)
        self._clock = clock
        self._started_ns = clock.mono_ns()
        self._page_token = page_token
        self.logged = ErrorCount()
        self._power_look = 0
        # Written by each collector's thread when its state changes, and by the ticker, which finds those that hang.
        self._states: dict[str, CollectorState] = {}
        self._switched: dict[str, bool] = {}  # by setting, what was changed since the start
        self._refused: Counter[str] = Counter()
        self._refused_lock = threading.Lock()

        collect = settings.collect
        self.registry = Registry()
        self.ux = UxInbox(clock, enabled=collect.ux.enabled)
        self.keeping = Keeping(settings, settings.data_dir / STORE_NAME, clock.now_ms)
        self.writer = Writer(
            settings.data_dir, clock, Source(self._samples, self._described), self.keeping.keep,
            enabled=settings.store.enabled,
        )  # fmt: skip
        self.meters = Meters(
            clock, energy=lambda: EnergyMeter(settings.energy), server_of=self._server_of,
            power_watts=self._power_watts, why=self._why, keep_requests=collect.model.requests,
            enabled=collect.model.enabled, filed=self.writer.request,
        )  # fmt: skip
        self.ingest = Ingest(clock, self.meters.put, boot=self.boot)
        self.proxy = ProxyProcess(clock, settings.proxy, settings.data_dir)
        self.demo = DemoProcess(clock, settings.demo, settings.data_dir)
        self.processor = Processor(self.registry)
        self.cache = HotCache(self.registry, clock, settings.window.cache_seconds, settings.window.cache_bytes)
        self._reader = Reader(self.writer.path)
        hot = Hot(lambda: self.cache.since_ms, self._hot_samples, self._hot_series)
        self.analyst = Analyst(self.writer.path, clock)
        self.history = History(self._reader, hot, clock.now_ms, self.keeping.keep)
        seen = Sources(
            series=self.registry.all, means=self.cache.means, annotate=self.writer.annotate, write=units.text,
            recording=lambda: self.writer.enabled, kept_s=lambda: self.keeping.keep().tiers[MINUTES_TIER.number],
        )  # fmt: skip
        self.unusual = Unusual(self._reader, clock, seen, enabled=settings.analyse.anomalies)
        self.writer.on_forgotten += [self.analyst.on_forgotten, self.unusual.on_forgotten]
        self.hub = Hub(
            self.registry, clock, boot=self.boot, snapshot=lambda: self.cache.snapshot(SNAPSHOT_VALUES),
            rate_hz=settings.stream.rate_hz, mailbox_frames=settings.stream.mailbox_frames,
            stall_seconds=settings.stream.stall_seconds, max_clients=settings.server.max_clients, push_ux=self.ux.push,
            host_facts=lambda: {"gpus": gpu.names(), "unusual": self.unusual.facts()},
        )  # fmt: skip
        self.ticker = Ticker(clock, self._stages(), settings.stream.rate_hz)
        gpu = GpuCollector(clock, watching=self.hub.watching, anyone=self.hub.anyone)
        servers = ServersCollector(
            clock,
            scraped=self.meters.scraped,
            gpu_memory=gpu.process_memory,
            rate_hz=collect.servers.rate_hz,
            told_by=self._told_by,
        )
        self._servers = servers
        collectors: dict[str, Collector] = {
            "system": SystemCollector(
                clock, settings.data_dir, watching=self.hub.watching,
                processes_enabled=collect.system.processes, gpu_memory=gpu.process_memory,
            ),
            "gpu": gpu,
            "network": NetworkCollector(clock, watching=self.hub.watching),
            "monitor": MonitorCollector(clock, watching=self.hub.watching, probes=self._probes()),
            "servers": servers,
        }  # fmt: skip
        self.loops = {
            name: CollectorLoop(
                collectors[name], getattr(collect, name).rate_hz, clock, self.ticker.put, self._on_status,
                enabled=getattr(collect, name).enabled,
            )
            for name in POLLED
        }  # fmt: skip

    def _stages(self) -> Stages:
        return Stages(
            drain=self._drain, step=self.processor.step, burst=self.processor.burst, tokens=self.processor.tokens,
            gaps=self.processor.on_absent, append=self.cache.append, publish=self.hub.publish, table=self._set_table,
            clock_step=self._on_clock_step, absent=self._on_absent, states=self._states.copy,
            each_second=self._each_second, watched=self.hub.anyone, on_error=self._on_ticker_error,
        )  # fmt: skip

    def _drain(self) -> list[Frame | Burst | TokenBatch]:
        return [*self.ux.drain(), *self.meters.drain()]

    def _set_table(self, name: str, table: Table, t_ms: int) -> None:
        self.hub.set_table(name, table, t_ms, keep=name in KEPT_TABLES)

    def _power_watts(self) -> float | None:
        """Give what all graphics cards draw now, None where it is not measured."""
        latest = self.cache.latest()
        watts = [
            latest[number][1] for number, series, _ in self.registry.all()
            if series.name == "gpu.power_watts" and number in latest
        ]  # fmt: skip
        return sum(watts) if watts and not any(math.isnan(each) for each in watts) else None

    def _server_of(self, pid: int, claimed: str) -> str:
        return self._servers.server_of(pid, claimed)

    def _told_by(self) -> dict[str, str]:
        return {row["server"]: row["via"] for row in self.meters.models() if row["via"] != "scrape"}

    def _why(self, request: Request) -> Judgement:
        """Judge a request against what its model usually does: the median of its last ones."""
        before = [
            row["tokens_per_second"] for row in self.meters.requests(USUAL_OF)
            if (row["model"], row["server"], row["status"]) == (request.model, request.server, "ok")
            and row["id"] != request.id and row["tokens_per_second"]
        ]  # fmt: skip
        usual = sorted(before)[len(before) // 2] if len(before) >= USUAL_FROM else None
        return judge(request, self._measured, dataclasses.replace(request, tokens_per_second=usual))

    def _measured(self, text: str, from_ms: int, to_ms: int) -> Window | None:
        """Give a series over a span of the last minutes."""
        number = self.registry.find(Series.parse(text))
        return None if number is None else self.cache.between(number, from_ms, to_ms)

    def _samples(self, from_ms: int, to_ms: int) -> Pulled:
        return Pulled(*self.cache.samples(from_ms, to_ms))

    def _described(self, since: int) -> list[Described]:
        return [
            Described(str(series), series.name, metric.unit, metric.kind, metric.is_distribution)
            for _, series, metric in self.registry.all(since)
        ]

    def _hot_samples(self, text: str, from_ms: int, to_ms: int) -> tuple[Millis, NDArray[np.float32]]:
        series = Series.parse(text)
        number = self.registry.find(series)
        if number is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        _, t_ms, values = self.cache.samples_of(number, max(from_ms, self.writer.forgetting.since(series)), to_ms)
        return t_ms, values

    def _hot_series(self) -> list[tuple[Series, str, str]]:
        """Give those of this boot; of what is forgotten, what was measured since."""
        latest, since = self.cache.latest(), self.writer.forgetting.since
        return [
            (series, metric.unit, metric.kind) for number, series, metric in self.registry.all()
            if (cut_ms := since(series)) == 0 or latest.get(number, (0, 0.0))[0] >= cut_ms
        ]  # fmt: skip

    def _probes(self) -> Probes:
        """What the monitor tells of itself. The loops and the ticker are asked when it beats, not now."""
        return Probes(
            collectors_cpu_ns=lambda: sum(loop.cpu_ns() for loop in self.loops.values()),
            samples_in=lambda: self.ticker.samples,
            samples_dropped=self._dropped,
            beats_skipped=lambda: {
                "ticker": self.ticker.skipped, **{name: loop.status().skipped for name, loop in self.loops.items()}
            },
            errors=self._errors,
            requests_refused=self.refused,
            queues=self._queues,
            clients=lambda: len(self.hub.stats()["clients"]),
            clients_slowed=lambda: sum(client["level"] != "normal" for client in self.hub.stats()["clients"]),
            clients_closed=lambda: self.hub.stats()["closed"],
            series=lambda: len(self.registry),
            cache_bytes=lambda: self.cache.bytes,
            cache_seconds=lambda: self.cache.seconds_held,
            tick_late_ms=lambda: self.ticker.late_ms,
            tick_work_ms=lambda: self.ticker.work_ms,
            encode_us=lambda: self.hub.stats()["encode_us"],
        )  # fmt: skip

    def _queues(self) -> dict[str, tuple[int, int]]:
        """Depth and capacity of each queue; of the clients' mailboxes the fullest."""
        stream = self.hub.stats()
        fullest = max((client["mailbox"] for client in stream["clients"]), default=0)
        return {
            "inbox": (self.ticker.depth, INBOX_FRAMES),
            "ux": (self.ux.depth, MAX_WAITING),
            "model": (self.meters.depth, MAX_MODEL_EVENTS),
            "store": (self.writer.depth, MAX_STORE_SECONDS),
            "mailbox": (fullest, stream["mailbox_frames"]),
        }

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

    def statuses(self) -> list[CollectorStatus]:
        """Give every collector's state, the pushed one last. Any thread."""
        return [*(loop.status() for loop in self.loops.values()), self.ux.status(), self.meters.status()]

    def services(self) -> Services:
        """Give what pages and routes may ask, each callable from any thread."""
        return Services(
            health=self.health,
            series=self.registry.describe,
            latest=self.latest,
            window=self.window,
            windows=self.windows,
            collectors=self.statuses,
            switch=self.switch,
            settings=self.settings_table,
            page_token=self._page_token,
            models=self.meters.models,
            requests=self.meters.requests,
            request=self.meters.request,
            servers=self._servers.servers,
            demo=self.demo.say,
            proxy=self.proxy.status,
            kept_series=self.history.series,
            query=self.history.query,
            statistics=Spans(self.history).statistics,
            annotations=self.unusual.annotations,
            unusual=self.unusual.status,
            was_unusual=self.unusual.past,
            past_requests=self._past_requests,
            insights=self.analyst.insights,
            cancel_insights=self.analyst.cancel,
            store=self.store,
            record=self.record,
            forget=self.writer.forgetting.ask,
            forget_preview=self.writer.forgetting.preview,
            forgetting=self.writer.forgetting.status,
            call_off=self.writer.forgetting.call_off,
            retention=self.keeping.retention,
            retain=self.keeping.change,
            retain_preview=self.keeping.preview,
        )

    def _past_requests(self, from_ms: int, to_ms: int, limit: int, model: str) -> Iterator[dict[str, Any]]:
        return self._reader.requests(from_ms, to_ms, limit=limit, model=model)

    def record(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch recording on or off, now and at later starts. Raises SettingsError, OSError."""
        core_settings.save_change(self.settings, "store.enabled", enabled)
        self._switched["store.enabled"] = enabled
        self.writer.set_enabled(enabled)

    def store(self) -> dict[str, Any]:
        """Give how the history fares, how much it holds, and how long it is kept. Any thread."""
        span = self._reader.span()
        return {
            **self.writer.status(),
            "path": str(self.writer.path),
            "from_ms": None if span is None else span[0] * 1_000,
            "usage": self._reader.usage(),
            "keep": asdict(self.keeping.keep()),
        }

    def count_refusal(self, cause: str) -> None:
        """Count a request that the guard refused, or a connection that was turned away. Any thread."""
        with self._refused_lock:
            self._refused[cause] += 1

    def refused(self) -> dict[str, int]:
        """Give the count of refused requests by cause. Any thread."""
        with self._refused_lock:
            return dict(self._refused)

    def switch(self, name: str, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch a collector on or off, now and at later starts. Raises KeyError, SettingsError, OSError."""
        if name not in PUSHED and name not in self.loops:
            raise KeyError(name)
        setting = f"collect.{name}.enabled"
        core_settings.save_change(self.settings, setting, enabled)
        self._switched[setting] = enabled
        pushed: dict[str, UxInbox | Meters] = {"ux": self.ux, "model": self.meters}
        (pushed.get(name) or self.loops[name]).set_enabled(enabled)
        self.writer.annotate("collector", f"The {name} collector was switched {'on' if enabled else 'off'}.")

    def settings_table(self) -> list[dict[str, Any]]:
        """Give every setting: name, value, default, where the value comes from, whether a change needs a restart."""
        changed = {name: (value, "settings.json") for name, value in self._switched.copy().items()}
        changed |= self.keeping.changed()
        as_started = self.settings.origin.get
        return [
            {
                "name": row.name,
                "value": changed[row.name][0]
                if row.name in changed
                else core_settings.value_of(self.settings, row.name),
                "default": row.default,
                "origin": changed[row.name][1] if row.name in changed else as_started(row.name, "default"),
                "restart": row.restart,
                "help": row.help,
            }
            for row in core_settings.catalogue()
        ]

    def latest(self) -> dict[str, Any]:
        """Give every series' last value: ``{"now_ms", "series": [{name, labels, unit, kind, t_ms, value}]}``."""
        values = self.cache.latest()
        return {
            "now_ms": self._clock.now_ms(),
            "series": [_with_last(row, values.get(number)) for number, row in enumerate(self.registry.describe())],
        }

    def window(self, text: str, span_s: float) -> dict[str, Any]:
        """Give a series over the last ``span_s`` seconds. Raises ValueError (not a series), KeyError (never seen)."""
        series = Series.parse(text)
        number = self.registry.find(series)
        if number is None:
            raise KeyError(text)
        return {"series": str(series), "unit": self.registry.metric(number).unit,
                **asdict(self.cache.window(number, span_s))}  # fmt: skip

    def windows(self, span_s: float) -> dict[str, Any]:
        """Give every series with a sample in the last ``span_s`` seconds, 1, 10 or 300. Else raises ValueError."""
        if span_s not in WINDOWS_S:
            raise ValueError(f"Windows of all series span {', '.join(map(str, WINDOWS_S))} seconds")
        described = self.registry.describe()
        found = self.cache.windows(span_s).items()
        return {
            "now_ms": self._clock.now_ms(),
            "series": [{**described[number], **asdict(each)} for number, each in found],
        }

    def health(self) -> dict[str, Any]:
        """Give each component's state, errors, cost, queues and drops."""
        process = psutil.Process()
        cpu = process.cpu_times()
        collectors = [asdict(status) for status in self.statuses()]
        troubled = [row["name"] for row in collectors if row["state"] in ("lost", "error")]
        return {
            "status": "degraded" if troubled or self.ticker.errors or self.writer.trouble else "ok",
            "version": wfmon.__version__,
            "boot": self.boot,
            "now_ms": self._clock.now_ms(),
            "uptime_s": round((self._clock.mono_ns() - self._started_ns) / 1e9, 1),
            "process": {
                "cpu_seconds": round(cpu.user + cpu.system, 2), "rss_bytes": process.memory_info().rss,
                "threads": process.num_threads(),
            },
            "collectors": collectors,
            "store": self.writer.status(),
            "ticker": {
                "late_ms": round(self.ticker.late_ms, 3), "work_ms": round(self.ticker.work_ms, 3),
                "skipped": self.ticker.skipped, "errors": self.ticker.errors, "samples": self.ticker.samples,
                "queue_depth": self.ticker.depth, "queue_capacity": INBOX_FRAMES,
            },
            "cache": {
                "bytes": self.cache.bytes, "seconds": self.cache.seconds_held, "shortened": self.cache.shortened,
                "series": len(self.registry),
            },
            "queues": {
                name: {"depth": depth, "capacity": capacity} for name, (depth, capacity) in self._queues().items()
            },
            "errors": self._errors(),
            "dropped": self._dropped(),
            "refused": self.refused(),
            "stream": self.hub.stats(),
        }  # fmt: skip

    def _dropped(self) -> dict[str, int]:
        return {
            **self.processor.dropped, **self.ticker.dropped, **self.ux.dropped, **self.meters.dropped,
            **self.ingest.dropped,
            **self.cache.dropped,
            **{f"cap_{name}": count for name, count in self.registry.folded.copy().items()},
        }  # fmt: skip

    def _errors(self) -> dict[str, int]:
        """Errors since the start by component: the ticker and the loops count their own, all others log them."""
        logged = self.logged.totals()
        return {
            **{name: count for name, count in logged.items() if name not in ("collect", "runtime")},
            "ticker": self.ticker.errors,
            **{name: loop.status().errors for name, loop in self.loops.items()},
        }

    def _on_status(self, status: CollectorStatus) -> None:
        self._states[status.name] = status.state
        log.info("collector %s: %s%s", status.name, status.state, f" ({status.reason})" if status.reason else "")

    def _on_clock_step(self, step: ClockStep) -> None:
        log.warning("the wall clock moved by %d ms (%s)", step.step_ms, step.kind)
        self.processor.on_clock_step(step)
        self.cache.on_clock_step(step)
        self.writer.on_clock_step(step)
        self.unusual.on_clock_step(step)
        self.hub.clock_step(step)

    def _on_absent(self, reasons: dict[str, str]) -> None:
        """Hand the stream the reasons by series id; one that names a metric alone keeps its name."""
        told: dict[int | str, str] = {}
        for text, reason in reasons.items():
            number = self.registry.find(Series.parse(text))
            told[text if number is None else number] = reason
        self.hub.set_absent(told)

    def _each_second(self) -> None:
        self.cache.fold()
        for name, table in self.meters.each_second().items():
            self._set_table(name, table, self._clock.now_ms())
        self.proxy.each_second()
        statuses = self.statuses()
        self._states.update({status.name: status.state for status in statuses if status.name in self.loops})
        self.hub.set_collectors(statuses)
        if self.settings.power == "eco":
            self._save_power()

    def _save_power(self) -> None:
        """Run at half the rates while on battery, looked at every ten seconds."""
        self._power_look = (self._power_look + 1) % POWER_LOOK_S
        if self._power_look == 0:
            share = ECO_SHARE if on_battery() else 1.0
            for name, loop in self.loops.items():
                loop.set_rate(getattr(self.settings.collect, name).rate_hz * share)

    def _on_ticker_error(self, error: BaseException) -> None:
        if self.ticker.errors in (1, 10, 100) or self.ticker.errors % 1000 == 0:
            log.error("the ticker met an error (%d so far)", self.ticker.errors, exc_info=error)


def _with_last(row: dict[str, Any], last: tuple[int, float] | None) -> dict[str, Any]:
    t_ms, value = last or (None, None)
    return {**row, "t_ms": t_ms, "value": None if value is None or math.isnan(value) else value}
