"""One meter per model: receives events and scrapes, and is sampled in each tick."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from wfmon.collect.models.ingest.events import Event, Reading, Tokens, memory_of
from wfmon.collect.models.meter import tables
from wfmon.collect.models.meter.batches import Batches
from wfmon.collect.models.meter.gauges import Gauges
from wfmon.collect.models.meter.joules import Joules
from wfmon.collect.models.meter.model import COLLECTOR, EnergyIndex, Now
from wfmon.collect.models.meter.tracker import MAX_MODELS, Tracker
from wfmon.core.answers.models import ModelRow, RequestDetail, RequestRow, RequestTicks
from wfmon.core.clock import STEP_MS, Clock
from wfmon.core.types import Burst, CollectorStatus, Frame, Judgement, Request, TokenBatch

__all__ = ["MAX_WAITING", "EnergyIndex", "Meters"]

log = logging.getLogger(__name__)
MAX_WAITING = 20_000
"""Capacity of the inbox in events; each chunk of tokens is one."""
MAX_WAITING_BYTES = 4_000_000
"""The same in bytes: 20,000 events with a hundred log-probabilities each would be 20 MB."""
EVENTS_AT_ONCE = 2_000
"""Events processed together; in a flood their memory is freed before the next ones."""
MAX_READINGS = 1_024
CHECK_US = 250_000.0
"""How often sources, requests and models are checked for expiry."""
OFF = "switched off"


def process_lives(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


class Meters:
    """Receives events from any thread (``put``); only the ticker calls ``drain`` and ``each_second``."""

    name = COLLECTOR

    def __init__(
        self,
        clock: Clock,
        *,
        energy: Callable[[], EnergyIndex],
        server_of: Callable[[int, str], str],
        power_watts: Callable[[], float | None],
        judge: Callable[[Request], Judgement],
        keep_requests: int = 200,
        enabled: bool = True,
        alive: Callable[[int], bool] = process_lives,
        filed: Callable[[Request], None] = lambda _: None,
        colour_of: Callable[[str], int] = lambda _: 1,
    ) -> None:
        """``server_of(pid, claimed)`` returns a source's server label: its listening address, else what it claims.

        ``power_watts``: of all cards together now, None if not measured. ``judge`` is called within a second after a
        request has ended, by the ticker's thread. ``alive(pid)``: whether a process runs. ``colour_of(model)``: its
        place in the palette, from 1. ``filed`` receives each request that ended, once judged.
        """
        self._clock = clock
        self._judge = judge
        self._filed = filed
        self._colour_of = colour_of
        self._inbox_lock = threading.Lock()
        # Under the inbox's lock.
        self._inbox: deque[Event] = deque()
        self._waiting = self._waiting_bytes = 0
        self._readings: list[Reading] = []
        self._enabled = enabled
        self._back = False
        """It was switched on again, but the reasons still say "off"."""
        self._taken = 0
        self._lock = threading.Lock()
        # Under the lock, which a tick holds; never taken while the inbox's is held.
        self._joules = Joules(power_watts)
        self._tracker = Tracker(energy, server_of, self._joules, alive, keep_requests)
        self._since: tuple[str, int] = ("", clock.now_ms())
        # Used by the ticker only.
        self._base_ms: float | None = None
        self._batches, self._gauges = Batches(self._tracker), Gauges(self._tracker)
        self._check_us = 0.0
        self._published: dict[str, object] = {}
        self._judge_failed = False

    @property
    def dropped(self) -> Counter[str]:
        """Events not counted, by cause. Any thread."""
        return self._tracker.dropped

    @property
    def depth(self) -> int:
        """Events waiting, of MAX_WAITING. Any thread."""
        return self._waiting

    def put(self, events: Sequence[Event]) -> int:
        """Queue events; return how many were accepted, the rest is dropped and counted. Any thread, never waits."""
        taken = 0
        with self._inbox_lock:
            if not self._enabled:
                return 0
            for event in events:
                weight, size = len(event.t_us) if isinstance(event, Tokens) else 1, memory_of(event)
                if self._waiting + weight > MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
                    self._tracker.dropped["model_inbox_full"] += len(events) - taken
                    break
                self._inbox.append(event)
                self._waiting += weight
                self._waiting_bytes += size
                taken += 1
            self._taken += taken
        return taken

    def scraped(self, readings: Sequence[Reading]) -> None:
        """Queue the readings of a scrape. Any thread."""
        with self._inbox_lock:
            if self._enabled:
                self._readings = (self._readings + list(readings))[-MAX_READINGS:]

    def drain(self) -> list[Frame | Burst | TokenBatch]:
        """Return the tokens and the gauges since the last tick."""
        with self._inbox_lock:
            events, self._inbox = self._inbox, deque()
            readings, self._readings = self._readings, []
            self._waiting = self._waiting_bytes = 0
            enabled, back, self._back = self._enabled, self._back, False
        with self._lock:
            now = self._now()
            tracker = self._tracker
            if not enabled:
                events, readings = deque(), []
                if any(not model.leaving for model in tracker.models.values()):
                    tracker.clear(OFF)
            out: list[Frame | Burst | TokenBatch] = []
            while events:
                for _ in range(min(EVENTS_AT_ONCE, len(events))):
                    tracker.apply(events.popleft(), now)
                if events:
                    tracker.flush(now)
                    out += self._batches.rows()
            for reading in readings:
                tracker.scraped(reading, now)
            if now.us >= self._check_us:
                self._check_us = now.us + CHECK_US
                tracker.expire(now)
            if back:
                out += self._gauges.back(now)
            if tracker.models:
                tracker.flush(now)
                requests = (request for request, _ in tracker.open.values())
                self._joules.update(now.us, tracker.models.values(), requests)
                # Tokens and events before the gauges that count them.
                out += [*self._batches.rows(), *self._gauges.frames(now)]
            return out

    def each_second(self) -> dict[str, Any]:
        """Judge requests that ended; return the tables that changed, by name: ``models``, ``requests``."""
        found: dict[str, Any] = {}
        with self._lock:
            ended = self._tracker.archive.take_unjudged()
        judged = {request.id: self._judged(request) for request in ended}  # outside the lock: it reads other stages
        with self._lock:
            ended = self._tracker.archive.judge(judged)
            rows = [tables.model_row(model, self._colour_of(model.name)) for model in self._tracker.models.values()]
            requests = self._tracker.requests(tables.MAX_ROWS)
        for request in ended:
            self._filed(request)
        for table in (tables.models_table(rows), tables.requests_table(requests)):
            name = "models" if table.columns is tables.MODELS else "requests"
            if table != self._published.get(name):
                found[name] = self._published[name] = table
        return found

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch on or off; off discards open requests. Any thread."""
        with self._inbox_lock:
            self._back |= enabled and not self._enabled
            self._enabled = enabled
            if not enabled:
                self._inbox, self._readings = deque(), []
                self._waiting = self._waiting_bytes = 0

    def status(self) -> CollectorStatus:
        """Return the status: absent while no model was seen. Any thread."""
        with self._lock:
            tracker = self._tracker
            models = [model for model in tracker.models.values() if not model.leaving]
            state = "off" if not self._enabled else "running" if models else "absent"
            reason = {"off": OFF, "absent": "no model was seen"}.get(state, "")
            if state == "running" and tracker.dropped["model_cap"]:
                more = "more than " if tracker.names.full else ""
                reason = f"{more}{len(tracker.names)} models were reported; {MAX_MODELS} are shown, the rest is (other)"
            if state != self._since[0]:
                self._since = (state, self._clock.now_ms())
            return CollectorStatus(
                name=self.name,
                state="off" if state == "off" else "running" if state == "running" else "absent",
                reason=reason,
                since_ms=self._since[1],
                checked_ms=max((model.seen_ms for model in models), default=0),
                beats=self._taken,
                skipped=tracker.dropped.total(),
            )

    def models(self) -> list[ModelRow]:
        """Return every known model: the fields of the table, and the age of its last scrape. Any thread."""
        with self._lock:
            now_us = self._clock.mono_ns() / 1_000
            return [
                {
                    **dict(zip(tables.MODELS, tables.model_row(model, self._colour_of(model.name)), strict=True)),
                    "reading_age_ms": None if model.reading is None else round((now_us - model.reading_us) / 1_000),
                }
                for model in self._tracker.models.values()
            ]

    def requests(self, limit: int) -> list[RequestRow]:
        """Return the newest requests first. Any thread."""
        with self._lock:
            return [tables.fields(request) for request in self._tracker.requests(max(0, limit))]

    def request(self, name: str) -> RequestDetail:
        """Return one request with its ticks. Raises KeyError. Any thread."""
        with self._lock:
            request, ticks, phases = self._tracker.archive.find(name)
            empty: RequestTicks = {"t_ms": [], "tokens": [], "entropy_bits": []}
            return {
                **tables.fields(request),
                "phases": [{"name": phase, "t_ms": t_ms} for phase, t_ms in phases],
                "ticks": empty if ticks is None else ticks.as_lists(),
                "thinned": 1 if ticks is None else ticks.thinned,
            }

    def _now(self) -> Now:
        """Return the tick's instant; after a step of the wall clock, rows continue from the new time."""
        wall_ms, us = self._clock.now_ms(), self._clock.mono_ns() / 1_000
        base_ms = wall_ms - us / 1_000
        if self._base_ms is not None and abs(base_ms - self._base_ms) > STEP_MS:
            for model in self._tracker.models.values():
                model.stepped(round(base_ms - self._base_ms))
        if self._base_ms is None or abs(base_ms - self._base_ms) >= 1:  # not for the rounding of now_ms
            self._base_ms = base_ms
        return Now(us, wall_ms, self._base_ms)

    def _judged(self, request: Request) -> Judgement | None:
        try:
            return self._judge(request)
        except Exception:  # a request without causes is better than no tables at all
            if not self._judge_failed:
                self._judge_failed = True
                log.exception("cannot determine why a request was slow; logged only once")
            return None
