"""The meter of one model: turns its tokens into rows, and samples its gauges. Used under the meters' lock."""

from __future__ import annotations

from math import isnan
from typing import NamedTuple, Protocol, TypeAlias

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.meter.entropy import Entropy
from wfmon.collect.models.meter.requests import OpenRequest
from wfmon.collect.models.meter.sliding import Peak, SlidingSecond
from wfmon.core.catalogue import METRICS
from wfmon.core.types import Series

COLLECTOR = "model"
TOKENS = (
    "chunk_tokens", "inter_token_latency_ms", "entropy_bits", "entropy_low_bits", "entropy_high_bits", "entropy_k",
    "certainty",
)  # fmt: skip
EVENTS = (
    "ttft_ms", "queue_wait_ms", "load_ms", "prompt_tokens_per_second", "time_per_output_token_ms",
    "request_duration_ms",
)  # fmt: skip
GAUGES = (
    "tokens_per_second", "throughput_percent", "requests_active", "requests_waiting", "tokens_total",
    "prompt_tokens_total", "energy", "energy_state", "kv_cache_percent", "cache_hit_percent", "batch_size",
    "vram_bytes", "joules_per_token",
)  # fmt: skip
STATUSES = ("ok", "aborted", "error", "lost")
STATES = ("idle", "charging", "flowing", "stalling", "saturated", "drained")
FAINT = METRICS["model.energy"].dead_band
"""Energy below which changes are not sent to clients."""
STALE_PERIODS = 3
"""A reading older than this many scrape periods is stale."""

NO_LOGPROBS = "no log-probabilities came: hook the process, or switch on logprobs in the proxy"
NOT_SCRAPED = "only its server reports this, and no server with this model was scraped"
NOT_REPORTED = "its server does not report this"
SCRAPED = "scraped: single tokens are not seen; hook the process, or use the proxy"
STALE = "its server no longer answers"
NO_PEAK = "no token in the last 5 minutes"
NO_PROMPT = "no count of prompt tokens was reported"
NO_POWER = "the power of the graphics cards is not measured"
NO_TOKENS = "no token in the last 10 seconds"
NOT_EXACT = "the last 10 seconds include tokens of a model that only its server counts"
_NAN = float("nan")
_FIRST_SCRAPED, _LAST_SCRAPED = 8, 11
"""Positions in GAUGES of values that only a scrape can report."""


class EnergyIndex(Protocol):
    """The energy of one model: see ``wfmon.process.energy``. Times: monotonic milliseconds."""

    def started(self, now_ms: float) -> None:
        """Record the start of a request."""

    def token(
        self, now_ms: float, tokens_per_second: float, certainty: float | None, interval_ms: float | None
    ) -> float:
        """Record a token and return E after it. ``interval_ms`` None: the first of its request."""

    def ended(self, now_ms: float) -> None:
        """The last open request ended."""

    def at(self, now_ms: float) -> tuple[float, int]:
        """Return E and the state (0 idle ... 5 drained) now."""


Row: TypeAlias = list[float]
"""The values of one instant, in the order of TOKENS or of EVENTS."""


class Now(NamedTuple):
    """The instant of a tick: the monitor's monotonic microseconds, and the base of the wall clock."""

    us: float
    wall_ms: int
    base_ms: float

    def wall(self, us: float) -> int:
        """Convert an instant of the monotonic clock to wall-clock milliseconds."""
        return int(self.base_ms + us / 1_000)


class Chunk(NamedTuple):
    """A chunk of tokens waiting to become a row of its model; without tokens it is the start of its request.

    ``us``: the monitor's clock; ``number`` keeps the order of equal instants; ``gap_ms``: since the previous chunk,
    None if unknown.
    """

    us: float
    number: int
    request: OpenRequest
    t_us: int
    tokens: int
    gap_ms: float | None
    entropy: Entropy | None


class ModelMeter:
    """One model of one server. ``waiting`` collects chunks, ``flush`` makes rows of them, ``sample`` reads gauges."""

    def __init__(self, name: str, server: str, via: str, energy: EnergyIndex) -> None:
        self.name = name
        self.server = server
        self.via = via
        self.runtime = ""
        self.pid: int | None = None
        self.energy_index = energy
        self.open: dict[tuple[str, str], OpenRequest] = {}
        self.moving = True
        """Whether to sample it in the next tick, not only in the next second."""
        self.leaving = ""
        """Why it leaves with the next frame."""
        self.seen_ms = 0
        self.seen_us = 0.0
        self.vocab_size: int | None = None
        self.note = ""
        self.entropy: Entropy | None = None
        self.ttft_ms: float | None = None
        self.totals = dict.fromkeys(STATUSES, 0)
        self.tokens_total = 0
        self.counted = False
        """Whether its server's scrape counts tokens."""
        self.prompt_tokens_total: int | None = None
        self.token_us = float("-inf")
        self._interval_ms: float | None = None
        self.joules_per_token, self.joules_reason = _NAN, NO_TOKENS
        self.cache_hit_percent = _NAN
        self.reading: Reading | None = None
        self.reading_us = 0.0
        self.pushed = False
        """Whether a hook or the proxy reported it; else it is known only from scrapes."""
        self.scraped = via == "scrape"
        """Whether its current values come from its server's scrape, not from a hook or the proxy."""
        self.values = [_NAN] * len(GAUGES)
        self._columns: list[int] = []
        self.fresh = True
        """Whether it has series that are in no layout yet."""
        self._token_rows: list[tuple[int, Row]] = []
        self._event_rows: list[tuple[int, Row]] = []
        self.reasons: dict[str, str] = {}
        self.energy = _NAN
        self.state: int | None = 0
        """None if it is unknown whether it works."""
        self.waiting: list[Chunk] = []
        self._second, self._peak = SlidingSecond(), Peak()
        self._energy_ms = 0.0
        self._why: tuple[object, ...] = ()
        labels = {"model": name, "server": server}
        self.token_series = tuple(Series.of(f"model.{each}", **labels) for each in TOKENS)
        self.event_series = tuple(Series.of(f"model.{each}", **labels) for each in EVENTS)
        self.gauges = tuple(Series.of(f"model.{each}", **labels) for each in GAUGES)
        self.status_series = tuple(
            Series.of("model.requests_total", model=name, server=server, status=each) for each in STATUSES
        )
        self._last_token_ms = self._last_event_ms = -(2**62)
        self._events: list[tuple[int, int, float]] = []

    def happened(self, us: float, now: Now, column: int, value: float | None) -> None:
        """Record a request's event: its column of EVENTS and its value."""
        if value is not None:
            self._events.append((now.wall(us), column, value))

    def add_means(self, now: Now, interval_ms: float | None, events: tuple[float | None, ...]) -> None:
        """Record the means of a scrape, in the order of EVENTS, at one instant."""
        for column, value in enumerate(events):
            self.happened(now.us, now, column, value)
        self._interval_ms = interval_ms
        self.ttft_ms = events[0] if events[0] is not None else self.ttft_ms

    def flush(self, now: Now) -> None:
        """Make rows of everything since the last tick, in time order."""
        if self.waiting:
            # Removed first: a chunk that fails must not return in every tick.
            waiting, self.waiting = self.waiting, []
            waiting.sort()  # by time; the number keeps a request's own order
            self._make_rows(waiting, now)
        if self._interval_ms is not None:
            self._last_token_ms = max(now.wall_ms, self._last_token_ms + 1)
            self._token_rows.append((self._last_token_ms, [_NAN, self._interval_ms, *_NOTHING]))
            self._interval_ms = None
        if self._events:
            self._make_event_rows()

    def take_token_rows(self) -> list[tuple[int, Row]]:
        """Return and remove the rows of tokens since the last call."""
        rows = self._token_rows
        if rows:
            self._token_rows = []
        return rows

    def take_event_rows(self) -> list[tuple[int, Row]]:
        """The same for the requests' events."""
        rows = self._event_rows
        if rows:
            self._event_rows = []
        return rows

    def _make_rows(self, waiting: list[Chunk], now: Now) -> None:
        second, index, base_ms, rows = self._second, self.energy_index, now.base_ms, self._token_rows
        least_ms, last_ms, intervals, energy_ms = self._last_token_ms + 1, self._last_token_ms, 0, self._energy_ms
        for us, _, request, t_us, tokens, gap_ms, entropy in waiting:
            at_ms = us / 1_000
            energy_ms = max(energy_ms, at_ms)  # the index's time never decreases
            if not tokens:
                index.started(energy_ms)
                continue
            certainty = None if entropy is None or isnan(entropy.certainty) else entropy.certainty
            request.energy_sum += index.token(energy_ms, second.add(us, tokens), certainty, gap_ms)
            request.energy_times += 1
            request.note(t_us, tokens, entropy)
            self.tokens_total += tokens
            self.token_us = us
            interval_ms = _NAN if gap_ms is None or tokens != 1 else gap_ms
            t_ms = max(int(base_ms + at_ms), least_ms)
            if t_ms > last_ms:
                last_ms, intervals = t_ms, int(interval_ms == interval_ms)  # noqa: PLR0124  not NaN
                rows.append((t_ms, [tokens, interval_ms, *(entropy or _NOTHING)]))
            else:  # another one in this millisecond: add tokens, average intervals, keep the last entropy
                row = rows[-1][1]
                row[0] += tokens
                if interval_ms == interval_ms:  # noqa: PLR0124  not NaN
                    intervals += 1
                    row[1] = interval_ms if intervals == 1 else row[1] + (interval_ms - row[1]) / intervals
                if entropy is not None:
                    row[2:] = entropy
            if entropy is not None or not request.entropy_times:  # a request without entropy clears it
                self.entropy = entropy
        self._energy_ms = energy_ms
        self._last_token_ms = last_ms

    def _make_event_rows(self) -> None:
        """Make one row per instant, so that the values at a request's end share one."""
        events, self._events = sorted(self._events), []
        before: Row | None = None
        for t_ms, column, value in events:
            if before is None or t_ms > self._last_event_ms or not isnan(before[column]):
                before = [_NAN] * len(EVENTS)
                self._last_event_ms = max(t_ms, self._last_event_ms)
                self._event_rows.append((self._last_event_ms, before))
            before[column] = value

    def stepped(self, step_ms: int) -> None:
        """Follow a step of the wall clock: rows continue from the new time."""
        self._last_token_ms += step_ms
        self._last_event_ms += step_ms

    def ended(self, now: Now) -> None:
        """The last open request ended."""
        self.energy_index.ended(self._energy_time(now.us))

    def _energy_time(self, us: float) -> float:
        """Return milliseconds for the index, which never decrease."""
        self._energy_ms = max(self._energy_ms, us / 1_000)
        return self._energy_ms

    def sample(self, now: Now, *, owned: bool) -> bool:
        """Sample the gauges into ``values``; True while any changes. ``owned``: the scrape owns its server."""
        values, reading = self.values, self.reading
        if self.leaving:
            self.values[:] = [_NAN] * len(GAUGES)
            return False
        fresh = reading is not None and now.us - self.reading_us <= STALE_PERIODS * 1e6 / max(reading.rate_hz, 0.01)
        scraped = reading if fresh and owned else None
        per_second: float = self._second.at(now.us)
        self.scraped = not self.pushed or (not self.open and not per_second and _shows_work(scraped))
        if not self.scraped:
            active: float = len(self.open)
            waiting: float = 0
            for each in self.open.values():
                if each.first_us is None:
                    waiting += 1
        else:
            per_second = _float(scraped and scraped.tokens_per_second)
            active = _float(scraped and scraped.requests_active)
            waiting = _float(scraped and scraped.requests_waiting)
        if not self.scraped:
            self.energy, self.state = self.energy_index.at(self._energy_time(now.us))
        else:
            self.energy, self.state = _NAN, _state_of(per_second, active)
        peak = self._peak.add(now.us, per_second) if not isnan(per_second) else 0.0
        # Scraped values hold until the next scrape; energy decays forever, and counts until it is too faint to send.
        moving = bool(self.open) or (not self.scraped and (per_second > 0 or self.energy > FAINT))
        values[0] = per_second
        values[1] = 100.0 * per_second / peak if peak > 0 else _NAN
        values[2], values[3] = active, waiting
        values[4] = self.tokens_total if self.pushed or self.counted else _NAN
        values[5] = _float(self.prompt_tokens_total)
        values[6], values[7] = (_NAN, _NAN) if self.scraped else (self.energy, _float(self.state))
        if fresh and reading is not None:
            values[8], values[9] = _float(reading.kv_cache_percent), _float(reading.cache_hit_percent)
            values[10], values[11] = _float(reading.batch_size), _float(reading.vram_bytes)
        else:
            values[8] = values[9] = values[10] = values[11] = _NAN
        if isnan(values[9]):
            values[9] = self.cache_hit_percent
        values[12] = self.joules_per_token
        self._update_reasons(fresh=fresh)
        return moving

    def count(self, status: str) -> None:
        """Count a request that ended."""
        self.totals[status] += 1
        self.fresh |= self.totals[status] == 1

    def gauge_series(self) -> list[Series]:
        """Return the series of the gauges that ever had a value: only these are in the frame."""
        ended = [series for series, count in zip(self.status_series, self.totals.values(), strict=True) if count]
        return [self.gauges[at] for at in self._columns] + ended

    def gauge_values(self) -> list[float]:
        """Return their values, in the same order."""
        values = self.values
        found = [values[at] for at in self._columns]
        found += [_NAN if self.leaving else count for count in self.totals.values() if count]
        return found

    def entropy_reason(self) -> str:
        """Return why there is no entropy; "" if there is."""
        if self.entropy is not None:
            return ""
        return SCRAPED if self.scraped else NO_LOGPROBS

    def stay(self) -> None:
        """Cancel leaving: it was reported again in time."""
        if self.leaving:
            self.leaving, self._why = "", ()

    def leave(self, reason: str) -> None:
        """Leave: the next frame has gaps for all its series, and the reason."""
        self.leaving, self.moving = reason, True
        every = (*self.gauges, *self.status_series, *self.token_series, *self.event_series)
        self.reasons = {str(series): reason for series in every}

    def _update_reasons(self, *, fresh: bool) -> None:
        """Update the reasons of absent values; a new dict only if something changed."""
        entropy, values = self.entropy_reason(), self.values
        server = NOT_SCRAPED if self.reading is None else NOT_REPORTED if fresh else STALE
        nan = tuple(map(isnan, values))
        unbounded = self.entropy is not None and isnan(self.entropy.high)
        why = (nan, server, entropy, self.joules_reason, self.scraped, unbounded)
        if why == self._why:
            return
        self._why = why
        columns = [at for at, absent in enumerate(nan) if not absent or at in self._columns]
        if columns != self._columns:
            self._columns, self.fresh = columns, True
        words = {
            "throughput_percent": NO_PEAK, "prompt_tokens_total": NO_PROMPT, "joules_per_token": self.joules_reason,
            "energy": SCRAPED, "energy_state": SCRAPED,
        }  # fmt: skip
        reasons = {
            str(series): words.get(name, server)
            for name, series, absent in zip(GAUGES, self.gauges, nan, strict=True)
            if absent
        }
        if self.scraped:
            for series in (*self.token_series, *self.event_series):
                reasons[str(series)] = SCRAPED
        elif entropy:
            for series in self.token_series[2:]:
                reasons[str(series)] = entropy
        elif unbounded:
            reasons[str(self.token_series[4])] = "the size of the vocabulary is not known"
        self.reasons = reasons


def _shows_work(reading: Reading | None) -> bool:
    """Return whether a scrape shows what its model does, not only what it holds."""
    return reading is not None and (reading.tokens_per_second is not None or reading.requests_active is not None)


def _state_of(per_second: float, active: float) -> int | None:
    """Return the state shown by a server's own figures; None if they do not show whether it works."""
    if per_second > 0:
        return 2
    if active == 0:
        return 0
    return 1 if per_second == 0 and active > 0 else None


def _float(value: float | None) -> float:
    return _NAN if value is None else float(value)


_NOTHING = (_NAN,) * 5
