"""One meter a model: takes events and scrapes, and is sampled in the ticker's beat."""

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
"""Events that wait for the beat at most; each chunk of tokens is one."""
MAX_WAITING_BYTES = 4_000_000
"""The same in memory: 20,000 events with a hundred log-probabilities each would be 20 MB."""
EVENTS_AT_ONCE = 2_000
"""Events that are made into rows together; what a flood leaves in between is freed before the next ones."""
MAX_READINGS = 1_024
LOOK_US = 250_000.0
"""How often it is looked after what has gone."""
OFF = "switched off"


def process_lives(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


class Meters:
    """Takes events from any thread (``put``); the ticker alone calls ``drain`` and ``each_second``."""

    name = COLLECTOR

    def __init__(
        self,
        clock: Clock,
        *,
        energy: Callable[[], EnergyIndex],
        server_of: Callable[[int, str], str],
        power_watts: Callable[[], float | None],
        why: Callable[[Request], Judgement],
        keep_requests: int = 200,
        enabled: bool = True,
        alive: Callable[[int], bool] = process_lives,
        filed: Callable[[Request], None] = lambda _: None,
        colour_of: Callable[[str], int] = lambda _: 1,
    ) -> None:
        """``server_of(pid, claimed)`` gives a source's server label: its listening address, else what it claims.

        ``power_watts``: of all cards together now, None where not measured. ``why`` is asked once a request has ended,
        within a second, by the ticker's thread. ``alive(pid)`` tells whether a process runs.
        ``colour_of(model)`` gives its place in the palette, from 1.
        ``filed`` is given each request that ended, once it was judged.
        """
        self._clock = clock
        self._why = why
        self._filed = filed
        self._colour_of = colour_of
        self._inbox_lock = threading.Lock()
        # Under the inbox's lock.
        self._inbox: deque[Event] = deque()
        self._waiting = self._waiting_bytes = 0
        self._readings: list[Reading] = []
        self._enabled = enabled
        self._back = False
        """It was switched on again, and the reasons still say that it is off."""
        self._taken = 0
        self._lock = threading.Lock()
        # Under the lock, which the beat holds; never taken while the inbox's is held.
        self._joules = Joules(power_watts)
        self._book = Tracker(energy, server_of, self._joules, alive, keep_requests)
        self._since: tuple[str, int] = ("", clock.now_ms())
        # The ticker's alone.
        self._base_ms: float | None = None
        self._batches, self._gauges = Batches(self._book), Gauges(self._book)
        self._look_us = 0.0
        self._told: dict[str, object] = {}
        self._why_failed = False

    @property
    def dropped(self) -> Counter[str]:
        """What was not counted, by cause. Any thread."""
        return self._book.dropped

    @property
    def depth(self) -> int:
        """Events that wait, of MAX_WAITING. Any thread."""
        return self._waiting

    def put(self, events: Sequence[Event]) -> int:
        """Take events; gives how many were taken, the rest is dropped and counted. Any thread, never waits."""
        taken = 0
        with self._inbox_lock:
            if not self._enabled:
                return 0
            for event in events:
                weight, size = len(event.t_us) if isinstance(event, Tokens) else 1, memory_of(event)
                if self._waiting + weight > MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
                    self._book.dropped["model_inbox_full"] += len(events) - taken
                    break
                self._inbox.append(event)
                self._waiting += weight
                self._waiting_bytes += size
                taken += 1
            self._taken += taken
        return taken

    def scraped(self, readings: Sequence[Reading]) -> None:
        """Take what a scrape found. Any thread."""
        with self._inbox_lock:
            if self._enabled:
                self._readings = (self._readings + list(readings))[-MAX_READINGS:]

    def drain(self) -> list[Frame | Burst | TokenBatch]:
        """Give the tokens and the gauges since the last beat."""
        with self._inbox_lock:
            events, self._inbox = self._inbox, deque()
            readings, self._readings = self._readings, []
            self._waiting = self._waiting_bytes = 0
            enabled, back, self._back = self._enabled, self._back, False
        with self._lock:
            now = self._now()
            book = self._book
            if not enabled:
                events, readings = deque(), []
                if any(not model.leaving for model in book.models.values()):
                    book.clear(OFF)
            out: list[Frame | Burst | TokenBatch] = []
            while events:
                for _ in range(min(EVENTS_AT_ONCE, len(events))):
                    book.apply(events.popleft(), now)
                if events:
                    book.flush(now)
                    out += self._batches.rows()
            for reading in readings:
                book.scraped(reading, now)
            if now.us >= self._look_us:
                self._look_us = now.us + LOOK_US
                book.look_after(now)
            if back:
                out += self._gauges.back(now)
            if book.models:
                book.flush(now)
                requests = (request for request, _ in book.open.values())
                self._joules.look(now.us, book.models.values(), requests)
                # Tokens and events before the gauges that count them.
                out += [*self._batches.rows(), *self._gauges.frames(now)]
            return out

    def each_second(self) -> dict[str, Any]:
        """Judge requests that ended; gives tables by name that changed: ``models``, ``requests``."""
        found: dict[str, Any] = {}
        with self._lock:
            ended = self._book.unjudged_requests()
        judged = {request.id: self._judged(request) for request in ended}  # outside the lock: it reads other stages
        with self._lock:
            ended = self._book.judge(judged)
            rows = [tables.model_row(model, self._colour_of(model.name)) for model in self._book.models.values()]
            requests = self._book.requests(tables.MAX_ROWS)
        for request in ended:
            self._filed(request)
        for table in (tables.models_table(rows), tables.requests_table(requests)):
            name = "models" if table.columns is tables.MODELS else "requests"
            if table != self._told.get(name):
                found[name] = self._told[name] = table
        return found

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch on or off; off forgets open requests. Any thread."""
        with self._inbox_lock:
            self._back |= enabled and not self._enabled
            self._enabled = enabled
            if not enabled:
                self._inbox, self._readings = deque(), []
                self._waiting = self._waiting_bytes = 0

    def status(self) -> CollectorStatus:
        """How it fares: absent while no model was seen. Any thread."""
        with self._lock:
            book = self._book
            models = [model for model in book.models.values() if not model.leaving]
            state = "off" if not self._enabled else "running" if models else "absent"
            reason = {"off": OFF, "absent": "no model was seen"}.get(state, "")
            if state == "running" and book.dropped["model_cap"]:
                more = "more than " if book.names.full else ""
                reason = f"{more}{len(book.names)} models were told of; {MAX_MODELS} are shown, the rest is (other)"
            if state != self._since[0]:
                self._since = (state, self._clock.now_ms())
            return CollectorStatus(
                name=self.name,
                state="off" if state == "off" else "running" if state == "running" else "absent",
                reason=reason,
                since_ms=self._since[1],
                checked_ms=max((model.seen_ms for model in models), default=0),
                beats=self._taken,
                skipped=book.dropped.total(),
            )

    def models(self) -> list[ModelRow]:
        """Every model that is known: the fields of the table, and the age of what a scrape told. Any thread."""
        with self._lock:
            now_us = self._clock.mono_ns() / 1_000
            return [
                {
                    **dict(zip(tables.MODELS, tables.model_row(model, self._colour_of(model.name)), strict=True)),
                    "reading_age_ms": None if model.reading is None else round((now_us - model.reading_us) / 1_000),
                }
                for model in self._book.models.values()
            ]

    def requests(self, limit: int) -> list[RequestRow]:
        """The newest requests first. Any thread."""
        with self._lock:
            return [tables.fields(request) for request in self._book.requests(max(0, limit))]

    def request(self, name: str) -> RequestDetail:
        """One request with its ticks. Raises KeyError. Any thread."""
        with self._lock:
            request, ticks, phases = self._book.find(name)
            empty: RequestTicks = {"t_ms": [], "tokens": [], "entropy_bits": []}
            return {
                **tables.fields(request),
                "phases": [{"name": phase, "t_ms": t_ms} for phase, t_ms in phases],
                "ticks": empty if ticks is None else ticks.told(),
                "thinned": 1 if ticks is None else ticks.thinned,
            }

    def _now(self) -> Now:
        """Give the beat's instant; when the wall clock was set, rows go on from there."""
        wall_ms, us = self._clock.now_ms(), self._clock.mono_ns() / 1_000
        base_ms = wall_ms - us / 1_000
        if self._base_ms is not None and abs(base_ms - self._base_ms) > STEP_MS:
            for model in self._book.models.values():
                model.stepped(round(base_ms - self._base_ms))
        if self._base_ms is None or abs(base_ms - self._base_ms) >= 1:  # not for the rounding of now_ms
            self._base_ms = base_ms
        return Now(us, wall_ms, self._base_ms)

    def _judged(self, request: Request) -> Judgement | None:
        try:
            return self._why(request)
        except Exception:  # a request without causes is better than no tables at all
            if not self._why_failed:
                self._why_failed = True
                log.exception("cannot say why a request was slow; this is told once")
            return None
