"""The state of the monitor itself: health, errors, queues, drops, and the probes of its own collector."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

import wfmon
from wfmon.collect.models.meter.meters import MAX_WAITING as MAX_MODEL_EVENTS
from wfmon.collect.monitor import Probes
from wfmon.collect.ux import MAX_WAITING as MAX_UX_EVENTS
from wfmon.store.backlog import WAITING as MAX_STORE_SECONDS
from wfmon.ticker import INBOX_FRAMES

if TYPE_CHECKING:
    from wfmon.collect.loop import CollectorLoop
    from wfmon.collect.models.ingest.inbox import Ingest
    from wfmon.collect.models.meter.meters import Meters
    from wfmon.collect.ux import UxInbox
    from wfmon.core.answers.live import Health
    from wfmon.core.clock import Clock
    from wfmon.core.log import ErrorCount
    from wfmon.core.registry import Registry
    from wfmon.core.types import CollectorStatus
    from wfmon.process import Processor
    from wfmon.store.writer import Writer
    from wfmon.stream.hub import Hub
    from wfmon.ticker import Ticker
    from wfmon.window.cache import HotCache


@dataclass(frozen=True, slots=True)
class Parts:
    """The stages to report on. ``loops`` is a callable because the collectors are built last."""

    registry: Registry
    ux: UxInbox
    meters: Meters
    ingest: Ingest
    processor: Processor
    cache: HotCache
    ticker: Ticker
    writer: Writer
    hub: Hub
    logged: ErrorCount
    loops: Callable[[], Mapping[str, CollectorLoop]]


class MonitorStatus:
    """Reads counters kept by the stages themselves. Any thread."""

    def __init__(self, parts: Parts, clock: Clock, boot: str) -> None:
        self._parts = parts
        self._clock = clock
        self._boot = boot
        self._started_ns = clock.mono_ns()
        self._refused: Counter[str] = Counter()
        self._refused_lock = threading.Lock()

    def collectors(self) -> list[CollectorStatus]:
        """Return every collector's state, the pushed ones last."""
        of = self._parts
        return [*(loop.status() for loop in of.loops().values()), of.ux.status(), of.meters.status()]

    def health(self) -> Health:
        """Return each component's state, errors, cost, queues and drops."""
        of, process = self._parts, psutil.Process()
        cpu = process.cpu_times()
        collectors = self.collectors()
        troubled = any(each.state in ("lost", "error") for each in collectors)
        return {
            "status": "degraded" if troubled or of.ticker.errors or of.writer.trouble else "ok",
            "version": wfmon.__version__,
            "boot": self._boot,
            "now_ms": self._clock.now_ms(),
            "uptime_s": round((self._clock.mono_ns() - self._started_ns) / 1e9, 1),
            "process": {
                "cpu_seconds": round(cpu.user + cpu.system, 2), "rss_bytes": process.memory_info().rss,
                "threads": process.num_threads(),
            },
            "collectors": collectors,
            "store": of.writer.status(),
            "ticker": {
                "late_ms": round(of.ticker.late_ms, 3), "work_ms": round(of.ticker.work_ms, 3),
                "skipped": of.ticker.skipped, "errors": of.ticker.errors, "samples": of.ticker.samples,
                "queue_depth": of.ticker.depth, "queue_capacity": INBOX_FRAMES,
            },
            "cache": {
                "bytes": of.cache.bytes, "seconds": of.cache.seconds_held, "shortened": of.cache.shortened,
                "series": len(of.registry),
            },
            "queues": {name: {"depth": depth, "capacity": most} for name, (depth, most) in self.queues().items()},
            "errors": self.errors(),
            "dropped": self.dropped(),
            "refused": self.refused(),
            "stream": of.hub.stats(),
        }  # fmt: skip

    def queues(self) -> dict[str, tuple[int, int]]:
        """Return depth and capacity of each queue; of the clients' mailboxes, the fullest."""
        of = self._parts
        stream = of.hub.stats()
        fullest = max((client["mailbox"] for client in stream["clients"]), default=0)
        return {
            "inbox": (of.ticker.depth, INBOX_FRAMES),
            "ux": (of.ux.depth, MAX_UX_EVENTS),
            "model": (of.meters.depth, MAX_MODEL_EVENTS),
            "store": (of.writer.depth, MAX_STORE_SECONDS),
            "mailbox": (fullest, stream["mailbox_frames"]),
        }

    def dropped(self) -> dict[str, int]:
        """Return counts of dropped samples and events, by cause."""
        of = self._parts
        return {
            **of.processor.dropped, **of.ticker.dropped, **of.ux.dropped, **of.meters.dropped, **of.ingest.dropped,
            **of.cache.dropped, **{f"cap_{name}": count for name, count in of.registry.folded.copy().items()},
        }  # fmt: skip

    def errors(self) -> dict[str, int]:
        """Return errors since the start by component: ticker and loops count their own, others when logged."""
        of = self._parts
        return {
            **{name: count for name, count in of.logged.totals().items() if name not in ("collect", "runtime")},
            "ticker": of.ticker.errors,
            **{name: loop.status().errors for name, loop in of.loops().items()},
        }

    def count_refusal(self, cause: str) -> None:
        """Count a request refused by the guard, or a rejected connection."""
        with self._refused_lock:
            self._refused[cause] += 1

    def refused(self) -> dict[str, int]:
        """Return the count of refused requests by cause."""
        with self._refused_lock:
            return dict(self._refused)

    def probes(self) -> Probes:
        """Return the probes of the monitor's own collector; each is evaluated when it samples, not now."""
        of = self._parts
        return Probes(
            collectors_cpu_ns=lambda: sum(loop.cpu_ns() for loop in of.loops().values()),
            samples_in=lambda: of.ticker.samples,
            samples_dropped=self.dropped,
            beats_skipped=lambda: {
                "ticker": of.ticker.skipped, **{name: loop.status().skipped for name, loop in of.loops().items()}
            },
            errors=self.errors,
            requests_refused=self.refused,
            queues=self.queues,
            clients=lambda: len(of.hub.stats()["clients"]),
            clients_slowed=lambda: sum(client["level"] != "normal" for client in of.hub.stats()["clients"]),
            clients_closed=lambda: of.hub.stats()["closed"],
            series=lambda: len(of.registry),
            cache_bytes=lambda: of.cache.bytes,
            cache_seconds=lambda: of.cache.seconds_held,
            tick_late_ms=lambda: of.ticker.late_ms,
            tick_work_ms=lambda: of.ticker.work_ms,
            encode_us=lambda: of.hub.stats()["encode_us"],
        )  # fmt: skip
