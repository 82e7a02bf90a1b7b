"""Tracks models and requests: applies each event and reading to them. One thread, under the meters' lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from wfmon.collect.models.ingest.events import (
    End,
    Event,
    EventSource,
    Phase,
    Prompt,
    Reading,
    SourceGone,
    Start,
    Tokens,
)
from wfmon.collect.models.ingest.lines import label
from wfmon.collect.models.meter.archive import RequestArchive
from wfmon.collect.models.meter.disagreement import Disagreement, Speaker
from wfmon.collect.models.meter.inputs import entropy_of, gained, instant_us, sane
from wfmon.collect.models.meter.joules import Joules
from wfmon.collect.models.meter.model import EVENTS, Chunk, EnergyIndex, ModelMeter, Now
from wfmon.collect.models.meter.names import Names
from wfmon.collect.models.meter.owners import RANKS, Owners
from wfmon.collect.models.meter.requests import LONGEST_US, OpenRequest
from wfmon.collect.models.meter.sources import EventSources
from wfmon.core.catalogue import OTHER
from wfmon.core.types import Request

MAX_MODELS = 64
MAX_OPEN = 1_000
MAX_MUTED = 4_096
IDLE_US = 600_000_000
"""A request without events for this long has ended unseen; a model that is not reported for this long leaves."""
AHEAD_US = 1_000_000
"""A time this far ahead of now means that the source's clock has jumped."""
BEHIND_US = IDLE_US
"""A time this far behind means the same."""
MAX_READINGS = 1_024
"""Limit of (server, model) pairs whose last reading is remembered."""
Key = tuple[str, str]
_TTFT, _QUEUE, _LOAD, _PROMPT, _PER_TOKEN, _DURATION = range(len(EVENTS))
NOT_SEEN = "not seen for 10 minutes"
SEEN_TWICE = "reported by the hook; the proxy sees it too"


class Tracker:
    """Owns models and open requests, and feeds the archive of ended ones."""

    def __init__(
        self,
        energy: Callable[[], EnergyIndex],
        server_of: Callable[[int, str], str],
        joules: Joules,
        alive: Callable[[int], bool],
        keep: int,
    ) -> None:
        self._energy = energy
        self._server_of = server_of
        self._joules = joules
        self._alive = alive
        self.models: dict[Key, ModelMeter] = {}
        self.open: dict[Key, tuple[OpenRequest, ModelMeter]] = {}
        self.archive = RequestArchive(keep)
        self.dropped: Counter[str] = Counter()
        self.disagreement = Disagreement()
        self.owners = Owners()
        self.names = Names()
        """Counts all models ever reported."""
        self._muted: dict[Key, None] = {}
        self._ends: list[tuple[OpenRequest, ModelMeter, End | None, str | None, float]] = []
        self._sources = EventSources(self.dropped)
        self._readings: dict[tuple[str, str], Reading] = {}
        self._number = 0

    def apply(self, event: Event, now: Now) -> None:
        """Apply one event of a hook or a proxy."""
        if isinstance(event, Tokens):
            self._tokens(event, now)
        elif isinstance(event, Start):
            self._start(event, now)
        elif isinstance(event, SourceGone):
            self._gone(event.source, now)
        else:
            found = self._find(event, now)
            if found is None:
                return
            request, model = found
            if isinstance(event, End):
                self._end(request, model, event, None, now)
            elif isinstance(event, Phase):
                request.phase(event)
            else:
                request.prompt(event)

    def flush(self, now: Now) -> None:
        """Make rows of what came, then archive the requests that ended, with all their tokens counted."""
        ends, self._ends = self._ends, []
        for model in self.models.values():
            model.flush(now)
        for request, model, end, status, us in ends:
            self._close(request, model, end, status, us, now)
            model.flush(now)
            if not model.open:
                model.ended(now)

    def expire(self, now: Now) -> None:
        """End sources that left, and requests and models that were not heard of for ``IDLE_US``."""
        now_ns = int(now.us * 1_000)
        for source in self._sources:
            gone = source.gone(now_ns)
            if gone:
                self._gone(source, now)
            self._sources.count_lost(source)
            if gone:
                self._sources.remove(source)
        for request, model in [pair for pair in self.open.values() if now.us - pair[0].heard_us > IDLE_US]:
            self.dropped["model_request_idle"] += 1
            self._end(request, model, None, "lost", now)
        for model in self.models.values():
            if not model.open and now.us - model.seen_us > IDLE_US:
                model.leave(NOT_SEEN)
            both = all(self.owners.is_alive(model.server, via, now.us) for via in ("hook", "proxy"))
            model.note = SEEN_TWICE if both and model.via == "hook" else ""
        self.owners.expire(now.us)

    def clear(self, reason: str) -> None:
        """Discard open requests, and let all models leave."""
        self._ends.clear()
        self.open.clear()
        self._muted.clear()
        self._sources.clear()
        self._readings.clear()
        self.disagreement = Disagreement()
        self.archive.discard_open()
        self.owners = Owners()
        for model in self.models.values():
            model.open.clear()
            model.waiting.clear()
            model.leave(reason)

    def remove(self, model: ModelMeter) -> None:
        """Remove a model that has left."""
        self.models.pop((model.name, model.server), None)

    def requests(self, limit: int) -> list[Request]:
        """Return the newest requests first, open ones included."""
        return self.archive.newest(limit, (request for request, _ in reversed(self.open.values())))

    def scraped(self, reading: Reading, now: Now) -> None:
        """Apply a scrape's reading: gauges if it owns the server, never requests."""
        key, reading = (reading.server, label(reading.model)), sane(reading)
        before = self._readings.pop(key, None)
        self._readings[key] = reading  # moved to the end: a server may list other models in every scrape
        if len(self._readings) > MAX_READINGS:
            del self._readings[next(iter(self._readings))]
        owned = self.owners.of(reading.server, now.us) == "scrape"
        model = self.models.get((key[1], reading.server)) or self._only(reading.server)
        if model is None:
            if not owned:
                self.dropped["model_seen_better"] += 1
                return
            model = self._model(key[1], reading.server, "scrape", now)
        model.reading, model.reading_us = reading, now.us
        model.seen_us, model.seen_ms, model.moving = now.us, now.wall_ms, True
        if not model.pushed:
            model.runtime, model.pid = reading.runtime or model.runtime, reading.pid or model.pid
        if not owned:
            return
        if reading.tokens_total is not None:
            model.counted = True
            model.tokens_total += gained(reading.tokens_total, before and before.tokens_total)
        if reading.prompt_tokens_total is not None:
            more = gained(reading.prompt_tokens_total, before and before.prompt_tokens_total)
            model.prompt_tokens_total = (model.prompt_tokens_total or 0) + more
        model.add_means(
            now, reading.inter_token_latency_ms,
            (reading.ttft_ms, reading.queue_wait_ms, None, reading.prompt_tokens_per_second,
             reading.time_per_output_token_ms, None),
        )  # fmt: skip

    def _start(self, event: Start, now: Now) -> None:
        source, key = event.source, (event.source.key, event.request)
        before = self.open.get(key)
        if before is not None and before[0].source is source and event.again:
            before[0].again()
            before[0].heard_us = now.us
            return
        if before is not None:
            self._end(*before, None, "lost", now)
        if source not in self._sources:
            for other in [each for each in self._sources if each.key == source.key]:
                self._gone(other, now)
                self._sources.remove(other)
            self._sources.add(source, again=event.again)
        server = self._label(event)
        owner = self.owners.of(server, now.us)
        if RANKS[owner] > RANKS[source.via]:
            self._mute(key)
            self.owners.touch(server, source, now.us)
            return
        if RANKS[owner] < RANKS[source.via]:
            self._take_over(server, source, now)
        if len(self.open) >= MAX_OPEN:
            self.dropped["model_open_cap"] += 1
            # Its own oldest one first: a source that never ends its requests must not displace others'.
            own = (pair for (who, _), pair in self.open.items() if who == source.key)
            self._end(*next(own, next(iter(self.open.values()))), None, "lost", now)
        self._open(event, server, now)

    def _open(self, event: Start, server: str, now: Now) -> None:
        source = event.source
        us = instant_us(event, now, LONGEST_US)  # repeated after a reconnection, it may be hours old
        model = self._model(event.model, server, source.via, now)
        model.via, model.pushed = source.via, True
        model.runtime, model.pid = source.runtime, source.pid or None
        model.vocab_size = event.vocab_size or model.vocab_size
        # With the reported names: beyond the cap the meter is shared and has none of them.
        request = OpenRequest(
            self.archive.new_id(source.key, event.request), event, event.model, server, now.wall(us), now.us
        )
        key = (source.key, event.request)
        self.owners.touch(server, source, now.us, 1)
        self._joules.settle(now.us, self._all_open())
        self.open[key] = (request, model)
        model.open[key] = request
        self.archive.open(request)
        self._wait(model, Chunk(us, 0, request, event.t_us, 0, None, None))

    def _wait(self, model: ModelMeter, chunk: Chunk) -> None:
        self._number += 1
        model.waiting.append(chunk._replace(number=self._number))
        model.moving = True

    def _tokens(self, event: Tokens, now: Now) -> None:
        found = self._find(event, now)
        if found is None:
            return
        request, model = found
        offset_us, now_us, waiting, number = event.source.offset_us, now.us, model.waiting, self._number
        read = event.tops or event.entropy or event.low
        for at, (t_us, tokens) in enumerate(zip(event.t_us, event.counts, strict=True)):
            if not tokens:
                continue
            us = t_us + offset_us
            if not now_us - BEHIND_US <= us <= now_us:
                if not now_us - BEHIND_US <= us <= now_us + AHEAD_US:
                    self.dropped["model_clock_jump"] += 1
                    request.again()
                us = now_us
            first = request.first_us is None
            gap_ms = request.chunk(t_us, tokens)
            number += 1
            waiting.append(
                Chunk(us, number, request, t_us, tokens, gap_ms, entropy_of(event, at, request) if read else None)
            )
            self._joules.count(us, tokens)
            if first:
                model.happened(us, now, _TTFT, request.ttft_ms)
                model.ttft_ms = request.ttft_ms if request.ttft_ms is not None else model.ttft_ms
            self._number = number
        model.moving = True
        if event.hashes is not None and event.tops is not None and request.vocab and waiting:
            top, hashes = event.tops[-1], event.hashes[-1]
            if top is not None and hashes is not None:
                self.disagreement.update(
                    Speaker(model.name, model.server),
                    min(event.t_us[-1] + offset_us, now_us),
                    request.vocab,
                    top,
                    hashes,
                )

    def _find(self, event: Phase | Prompt | Tokens | End, now: Now) -> tuple[OpenRequest, ModelMeter] | None:
        """Return the open request of an event, and update its time; count events without one."""
        key = (event.source.key, event.request)
        found = self.open.get(key)
        if found is None or found[0].source is not event.source:
            self.dropped["model_seen_better" if key in self._muted else "model_unknown_request"] += 1
            if isinstance(event, End):
                self._muted.pop(key, None)
            return None
        request, model = found
        request.heard_us = model.seen_us = now.us
        model.seen_ms = now.wall_ms
        return found

    def _end(self, request: OpenRequest, model: ModelMeter, end: End | None, status: str | None, now: Now) -> None:
        key = (request.source.key, request.request)
        self._joules.settle(now.us, self._all_open())
        self.open.pop(key, None)
        model.open.pop(key, None)
        self.owners.touch(request.server, request.source, now.us, -1)
        us = now.us if end is None else instant_us(end, now, BEHIND_US)
        self._ends.append((request, model, end, status, us))
        model.moving = True

    def _close(
        self, request: OpenRequest, model: ModelMeter, end: End | None, status: str | None, us: float, now: Now
    ) -> None:
        """Archive a request that ended, once its tokens are counted."""
        ended = request.record(end, status, now.wall(us))
        model.count(ended.status)
        model.tokens_total += max(0, ended.output_tokens - request.output_tokens)
        if ended.prompt_tokens is not None:
            model.prompt_tokens_total = (model.prompt_tokens_total or 0) + ended.prompt_tokens
            if ended.cached_tokens is not None and ended.prompt_tokens:
                model.cache_hit_percent = min(100.0, 100.0 * ended.cached_tokens / ended.prompt_tokens)
        per_second = None
        if ended.prompt_tokens is not None and ended.prompt_ms:
            per_second = max(0, ended.prompt_tokens - (ended.cached_tokens or 0)) * 1_000 / ended.prompt_ms or None
        if ended.status == "ok":
            model.happened(us, now, _PER_TOKEN, ended.time_per_output_token_ms)
        for column, value in (
            (_QUEUE, ended.queue_ms), (_LOAD, ended.load_ms), (_PROMPT, per_second), (_DURATION, ended.duration_ms)
        ):  # fmt: skip
            model.happened(us, now, column, value)
        self.archive.close(request, ended)

    def _gone(self, source: EventSource, now: Now) -> None:
        """End a source's open requests: aborted if its process is gone too, else lost."""
        mine = [pair for pair in self.open.values() if pair[0].source is source]
        if mine:
            status = "lost" if not source.pid or self._alive(source.pid) else "aborted"
            for request, model in mine:
                self._end(request, model, None, status, now)

    def _take_over(self, server: str, better: EventSource, now: Now) -> None:
        """Hand a server to a better source: open requests of worse ones there are no longer counted."""
        worse = [
            (key, request, model) for key, (request, model) in self.open.items()
            if request.server == server and RANKS[request.source.via] < RANKS[better.via]
        ]  # fmt: skip
        for key, request, model in worse:
            del self.open[key]
            model.open.pop(key, None)
            self.archive.discard(request)
            self._mute(key)
            self.owners.touch(server, request.source, now.us, -1)
            model.waiting = [chunk for chunk in model.waiting if chunk.request is not request]
            model.moving = True
            if not model.open:
                model.ended(now)
                if not model.tokens_total and not any(model.totals.values()):
                    model.leave(f"now reported by the {better.via}")

    def _mute(self, key: Key) -> None:
        self.dropped["model_seen_better"] += 1
        self._muted[key] = None
        if len(self._muted) > MAX_MUTED:
            del self._muted[next(iter(self._muted))]

    def _model(self, name: str, server: str, via: str, now: Now) -> ModelMeter:
        """Return a model's meter, created on first sight; beyond the cap all share one."""
        key = (name, server)
        self.names.add(key)
        model = self.models.get(key)
        if model is None and len(self.models) >= MAX_MODELS:
            self.dropped["model_cap"] += 1
            key = (OTHER, OTHER)
            model = self.models.get(key)
        if model is None:
            model = self.models[key] = ModelMeter(*key, via, self._energy())
        model.stay()
        model.seen_us, model.seen_ms, model.moving = now.us, now.wall_ms, True
        return model

    def _all_open(self) -> Iterable[OpenRequest]:
        return (request for request, _ in self.open.values())

    def _only(self, server: str) -> ModelMeter | None:
        """Return a server's only pushed model, if the scrape knows exactly one too, under another name."""
        pushed = [model for model in self.models.values() if model.server == server and model.pushed]
        scraped = [key for key in self._readings if key[0] == server]
        return pushed[0] if len(pushed) == 1 and len(scraped) == 1 else None

    def _label(self, event: Start) -> str:
        source = event.source
        claimed = event.server or source.server
        if source.via == "proxy" and claimed:
            return claimed
        return label(self._server_of(source.pid, claimed) or source.name)
