"""The book of models and requests: what each event and reading does to them. One thread, under the meters' lock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

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
from wfmon.collect.models.meter import entropy as bits
from wfmon.collect.models.meter.disagreement import Disagreement, Speaker
from wfmon.collect.models.meter.entropy import Entropy
from wfmon.collect.models.meter.joules import Joules
from wfmon.collect.models.meter.model import EVENTS, Chunk, EnergyIndex, ModelMeter, Now
from wfmon.collect.models.meter.names import Names
from wfmon.collect.models.meter.owners import RANKS, Owners
from wfmon.collect.models.meter.requests import LONGEST_US, OpenRequest, TokenTicks
from wfmon.core.catalogue import OTHER
from wfmon.core.types import Judgement, Request

MAX_MODELS = 64
MAX_OPEN = 1_000
MAX_MUTED = 4_096
MAX_NAMESAKES = 1_024
KEEP_TICKS = 64
IDLE_US = 600_000_000
"""A request that says nothing for so long has ended unseen; a model that nobody tells of leaves."""
AHEAD_US = 1_000_000
"""A time so far ahead of now is a jump of the source's clock."""
MAX_LEFT = 256
BEHIND_US = IDLE_US
"""One so far behind is a jump too."""
MAX_READINGS = 1_024
"""Models of servers whose last reading is remembered."""
LARGEST = 2**63
"""A reading of more is none."""
Key = tuple[str, str]
_TTFT, _QUEUE, _LOAD, _PROMPT, _PER_TOKEN, _DURATION = range(len(EVENTS))
NOT_SEEN = "not seen for 10 minutes"
SEEN_TWICE = "told by the hook; the proxy sees it too"


class Kept(NamedTuple):
    """A request that ended."""

    request: Request
    ticks: TokenTicks | None
    phases: list[tuple[str, float]]


class Tracker:
    """Owns models, open requests and the last ended ones."""

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
        self._keep = keep
        self.models: dict[Key, ModelMeter] = {}
        self.open: dict[Key, tuple[OpenRequest, ModelMeter]] = {}
        self.kept: deque[Kept] = deque()
        self.dropped: Counter[str] = Counter()
        self.disagreement = Disagreement()
        self.owners = Owners()
        self.unjudged: list[str] = []
        """Requests that ended and were not asked why they were slow."""
        self.names = Names()
        """Of all models that were ever reported."""
        self._ids: dict[str, Kept | OpenRequest] = {}
        self._ticked: deque[OpenRequest] = deque()  # the newest requests: only these note their ticks
        self._muted: dict[Key, None] = {}
        self._namesakes: dict[str, int] = {}  # the last number of requests that are called the same
        self._ends: list[tuple[OpenRequest, ModelMeter, End | None, str | None, float]] = []
        self._sources: dict[EventSource, int] = {}
        self._left: dict[str, int] = {}
        # Both: how many of a source's lost events were counted; the second of sources that went, by their key.
        self._readings: dict[tuple[str, str], Reading] = {}
        self._number = 0

    def apply(self, event: Event, now: Now) -> None:
        """Take one event of a hook or a proxy."""
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
        """Make rows of what came; only then are requests that ended filed, with all that their tokens told."""
        ends, self._ends = self._ends, []
        for model in self.models.values():
            model.flush(now)
        for request, model, end, status, us in ends:
            self._close(request, model, end, status, us, now)
            model.flush(now)
            if not model.open:
                model.ended(now)

    def look_after(self, now: Now) -> None:
        """End what nobody tells of any more: sources that went, requests and models that fell silent."""
        now_ns = int(now.us * 1_000)
        for source in [each for each in self._sources if each.gone(now_ns)]:
            self._gone(source, now)
            self._count_lost(source)
            self._leave(source)
        for source in self._sources:
            self._count_lost(source)
        for request, model in [pair for pair in self.open.values() if now.us - pair[0].heard_us > IDLE_US]:
            self.dropped["model_request_idle"] += 1
            self._end(request, model, None, "lost", now)
        for model in self.models.values():
            if not model.open and now.us - model.seen_us > IDLE_US:
                model.leave(NOT_SEEN)
            both = all(self.owners.tells(model.server, via, now.us) for via in ("hook", "proxy"))
            model.note = SEEN_TWICE if both and model.via == "hook" else ""
        self.owners.forget(now.us)

    def clear(self, reason: str) -> None:
        """Forget open requests, and let all models go."""
        self._ends.clear()
        self.open.clear()
        self._muted.clear()
        self._sources.clear()
        self._readings.clear()
        self.disagreement = Disagreement()
        self._ids = {name: each for name, each in self._ids.items() if isinstance(each, Kept)}
        self.owners = Owners()
        for model in self.models.values():
            model.open.clear()
            model.waiting.clear()
            model.leave(reason)

    def remove(self, model: ModelMeter) -> None:
        """A model has left."""
        self.models.pop((model.name, model.server), None)

    def unjudged_requests(self) -> list[Request]:
        """Give the requests that ended and were not yet asked why they were slow, and count them as asked."""
        names, self.unjudged = self.unjudged, []
        found = [self._ids.get(name) for name in names]
        return [kept.request for kept in found if isinstance(kept, Kept)]

    def judge(self, judged: dict[str, Judgement | None]) -> list[Request]:
        """Note which requests were slow, and why; gives them as they are now."""
        ended = []
        for at, kept in enumerate(self.kept):
            if kept.request.id not in judged:
                continue
            found = judged[kept.request.id]
            if found is not None:
                told = kept._replace(request=replace(kept.request, slow=found.slow, causes=found.causes))
                self.kept[at] = self._ids[kept.request.id] = told
            ended.append(self.kept[at].request)
        return ended

    def requests(self, limit: int) -> list[Request]:
        """The newest first, open ones among them."""
        opened = (request.told() for request, _ in reversed(self.open.values()))
        found = [*islice(opened, limit), *(each.request for each in islice(reversed(self.kept), limit))]
        return sorted(found, key=lambda each: -each.started_ms)[:limit]

    def find(self, name: str) -> tuple[Request, TokenTicks | None, list[tuple[str, float]]]:
        """Give a request, its ticks and its phases. Raises KeyError."""
        found = self._ids[name]
        return found if isinstance(found, Kept) else Kept(found.told(), found.ticks, _phases(found))

    def scraped(self, reading: Reading, now: Now) -> None:
        """Take what a scrape found: gauges where it owns the server, never requests."""
        key, reading = (reading.server, label(reading.model)), _sane(reading)
        before = self._readings.pop(key, None)
        self._readings[key] = reading  # the last now: a server may name others in every look
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
            model.tokens_total += _gained(reading.tokens_total, before and before.tokens_total)
        if reading.prompt_tokens_total is not None:
            gained = _gained(reading.prompt_tokens_total, before and before.prompt_tokens_total)
            model.prompt_tokens_total = (model.prompt_tokens_total or 0) + gained
        model.told(
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
                self._leave(other)
            # What it lost before it first spoke to us is no loss of ours, unless it was in the middle of a request.
            self._sources[source] = self._left.pop(source.key, 0 if event.again else source.lost)
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
            # Its own oldest one first: who never ends what it starts pushes nobody else's out.
            own = (pair for (who, _), pair in self.open.items() if who == source.key)
            self._end(*next(own, next(iter(self.open.values()))), None, "lost", now)
        self._open(event, server, now)

    def _open(self, event: Start, server: str, now: Now) -> None:
        source = event.source
        us = _instant(event, now, LONGEST_US)  # told again after a reconnection, it may be hours old
        model = self._model(event.model, server, source.via, now)
        model.via, model.pushed = source.via, True
        model.runtime, model.pid = source.runtime, source.pid or None
        model.vocab_size = event.vocab_size or model.vocab_size
        # By the names that were told, which the meter has not where it is the one of all models past the cap.
        request = OpenRequest(self._name(event), event, event.model, server, now.wall(us), now.us)
        key = (source.key, event.request)
        self.owners.touch(server, source, now.us, 1)
        self._joules.settle(now.us, self._all_open())
        self.open[key] = (request, model)
        model.open[key] = request
        self._ids[request.id] = request
        self._ticked.append(request)
        if len(self._ticked) > KEEP_TICKS:
            self._ticked.popleft().ticks = None
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
                Chunk(us, number, request, t_us, tokens, gap_ms, _entropy(event, at, request) if read else None)
            )
            self._joules.heard(us, tokens)
            if first:
                model.happened(us, now, _TTFT, request.ttft_ms)
                model.ttft_ms = request.ttft_ms if request.ttft_ms is not None else model.ttft_ms
            self._number = number
        model.moving = True
        if event.hashes is not None and event.tops is not None and request.vocab and waiting:
            top, hashes = event.tops[-1], event.hashes[-1]
            if top is not None and hashes is not None:
                self.disagreement.heard(
                    Speaker(model.name, model.server),
                    min(event.t_us[-1] + offset_us, now_us),
                    request.vocab,
                    top,
                    hashes,
                )

    def _find(self, event: Phase | Prompt | Tokens | End, now: Now) -> tuple[OpenRequest, ModelMeter] | None:
        """Give the open request of an event, and note that it was heard of; count what has none."""
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
        us = now.us if end is None else _instant(end, now)
        self._ends.append((request, model, end, status, us))
        model.moving = True

    def _close(
        self, request: OpenRequest, model: ModelMeter, end: End | None, status: str | None, us: float, now: Now
    ) -> None:
        """File a request that ended, once its tokens are counted."""
        told = request.told(end, status, now.wall(us))
        model.count(told.status)
        model.tokens_total += max(0, told.output_tokens - request.output_tokens)
        if told.prompt_tokens is not None:
            model.prompt_tokens_total = (model.prompt_tokens_total or 0) + told.prompt_tokens
            if told.cached_tokens is not None and told.prompt_tokens:
                model.cache_hit_percent = min(100.0, 100.0 * told.cached_tokens / told.prompt_tokens)
        per_second = None
        if told.prompt_tokens is not None and told.prompt_ms:
            per_second = max(0, told.prompt_tokens - (told.cached_tokens or 0)) * 1_000 / told.prompt_ms or None
        if told.status == "ok":
            model.happened(us, now, _PER_TOKEN, told.time_per_output_token_ms)
        for column, value in (
            (_QUEUE, told.queue_ms), (_LOAD, told.load_ms), (_PROMPT, per_second), (_DURATION, told.duration_ms)
        ):  # fmt: skip
            model.happened(us, now, column, value)
        kept = Kept(told, request.ticks, _phases(request))
        self._ids[told.id] = kept
        self.kept.append(kept)
        self.unjudged.append(told.id)
        if len(self.kept) > KEEP_TICKS and (old := self.kept[-KEEP_TICKS - 1]).ticks is not None:
            self.kept[-KEEP_TICKS - 1] = self._ids[old.request.id] = old._replace(ticks=None)
        while len(self.kept) > self._keep:
            self._ids.pop(self.kept.popleft().request.id, None)

    def _gone(self, source: EventSource, now: Now) -> None:
        """A source is gone: what it had open was aborted if its process is gone too, else lost from sight."""
        mine = [pair for pair in self.open.values() if pair[0].source is source]
        if mine:
            status = "lost" if not source.pid or self._alive(source.pid) else "aborted"
            for request, model in mine:
                self._end(request, model, None, status, now)

    def _take_over(self, server: str, better: EventSource, now: Now) -> None:
        """A better source tells of the server: what worse ones have open there is not counted any more."""
        worse = [
            (key, request, model) for key, (request, model) in self.open.items()
            if request.server == server and RANKS[request.source.via] < RANKS[better.via]
        ]  # fmt: skip
        for key, request, model in worse:
            del self.open[key]
            model.open.pop(key, None)
            self._ids.pop(request.id, None)
            self._mute(key)
            self.owners.touch(server, request.source, now.us, -1)
            model.waiting = [chunk for chunk in model.waiting if chunk.request is not request]
            model.moving = True
            if not model.open:
                model.ended(now)
                if not model.tokens_total and not any(model.totals.values()):
                    model.leave(f"told by the {better.via} now")

    def _mute(self, key: Key) -> None:
        self.dropped["model_seen_better"] += 1
        self._muted[key] = None
        if len(self._muted) > MAX_MUTED:
            del self._muted[next(iter(self._muted))]

    def _model(self, name: str, server: str, via: str, now: Now) -> ModelMeter:
        """Give the meter of a model, made on first sight; past the cap all share one."""
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
        """Give the model of a server where hooks or a proxy tell of one alone, and a scrape names it otherwise."""
        pushed = [model for model in self.models.values() if model.server == server and model.pushed]
        scraped = [key for key in self._readings if key[0] == server]
        return pushed[0] if len(pushed) == 1 and len(scraped) == 1 else None

    def _label(self, event: Start) -> str:
        source = event.source
        claimed = event.server or source.server
        if source.via == "proxy" and claimed:
            return claimed
        return label(self._server_of(source.pid, claimed) or source.name)

    def _name(self, event: Start) -> str:
        """Make the name that a request is asked for by: of its source and its own, unique, fit for a URL."""
        name = f"{event.source.key[:6]}-{event.request.replace(':', '.')}"
        if name not in self._ids:
            return name
        # Counted on, not from 1: a program that calls all its requests the same must not make each cost more.
        at = self._namesakes.pop(name, 1) + 1
        while f"{name}~{at}" in self._ids:
            at += 1
        self._namesakes[name] = at
        if len(self._namesakes) > MAX_NAMESAKES:
            del self._namesakes[next(iter(self._namesakes))]
        return f"{name}~{at}"

    def _leave(self, source: EventSource) -> None:
        """Forget a source, but not what was counted of it: it may come back."""
        self._left[source.key] = self._sources.pop(source)
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]

    def _count_lost(self, source: EventSource) -> None:
        lost = source.lost - self._sources[source]
        if lost > 0:
            self.dropped["model_lost_at_source"] += lost
            self._sources[source] = source.lost


def _instant(event: Start | End, now: Now, behind_us: float = BEHIND_US) -> float:
    """Give the monitor's microseconds of an event: now, where the source's clock puts it ahead, or far behind."""
    us = event.t_us + event.source.offset_us
    return us if now.us - behind_us <= us <= now.us else now.us


def _entropy(event: Tokens, at: int, request: OpenRequest) -> Entropy | None:
    """Give what is known of a chunk's last distribution: whole, as a band, or from its top k."""
    whole = event.entropy[at] if event.entropy is not None else None
    low = event.low[at] if event.low is not None else None
    high = event.high[at] if event.high is not None else None
    k = event.ks[at] if event.ks is not None else None
    if whole is not None and low is None and high is None:
        return bits.exact(whole, k or request.vocab_size)
    top = event.tops[at] if event.tops is not None else None
    if top is not None:
        return bits.of_top(top, request.vocab_size)
    return bits.band(whole, low, high, k)


def _sane(reading: Reading) -> Reading:
    """Leave out of a reading what cannot be: a server may say anything."""
    told = zip(reading._fields, reading, strict=True)
    wrong: dict[str, Any] = {
        name: None for name, value in told if isinstance(value, float | int) and not 0 <= value < LARGEST
    }
    if "rate_hz" in wrong:
        wrong["rate_hz"] = 1.0
    return reading._replace(**wrong) if wrong else reading


def _phases(request: OpenRequest) -> list[tuple[str, float]]:
    return [(name, (t_us - request.t_us) / 1_000) for name, t_us in request.phases]


def _gained(total: float, before: float | None) -> int:
    """How far a server's counter went on; 0 at first sight and over a restart, where it is not known."""
    return int(total - before) if before is not None and total >= before else 0
