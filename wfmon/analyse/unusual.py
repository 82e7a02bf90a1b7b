"""Checks once a minute whether any series is unusual for this hour of the day, as defined in ``anomaly``.

Runs in its own thread, so that neither the ticker nor the writer waits for the file. The usual values are read again
each hour from the stored minutes, a few series a second; only a few numbers per series are held.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import NamedTuple

import numpy as np

from wfmon.analyse import marks
from wfmon.analyse.anomaly import (
    ASIDE_S,
    DAYS,
    HOUR_S,
    LEAST_DAYS,
    MINUTE_S,
    WATCHED,
    Floats,
    Run,
    Usual,
    hour_of,
    step,
    usual,
    windows,
)
from wfmon.core.answers.history import Annotation
from wfmon.core.answers.insights import Anomaly, AnomalyStatus
from wfmon.core.catalogue import METRICS, Metric
from wfmon.core.clock import Clock
from wfmon.core.errors import Unreadable
from wfmon.core.types import ClockStep, Series
from wfmon.store.read import Reader
from wfmon.store.tiers import TIERS

log = logging.getLogger(__name__)
MINUTES_TIER = TIERS[2]
LAG_S = 3
"""Delay between a minute's end and its check: until then its samples may still arrive."""
SLICE, SLICE_S = 4, 1.0
"""Series whose usual values are read at once, and the pause in between."""
SETTLE_S, LEAP_S = 600, 3_600
"""How long checks pause after a clock step or a sleep, and after a step of an hour or more."""
RETRY_S = 60
MOST_NOTES = 10_000
SHOWN_LIVE = ("series", "also", "usually", "text", "since_ms")
STOP_S = 1.0
OFF = "Anomaly detection is switched off: analyse.anomalies in config.yaml."
UNRECORDED = "Recording is off: without a history there is nothing to compare with. Switch it on in Settings."
READING = "Reading the earlier days."
STEPPED = "The clock was set or the machine slept: detection resumes after a while."


class DetectionSources(NamedTuple):
    """Callables, used by the thread only. ``annotate(kind, text, t_ms)``; ``write``: formats a value with its unit.

    ``means(from_ms, to_ms)``: the mean of each series, by id. ``kept_s``: retention of the minutes, in seconds.
    """

    series: Callable[[], Iterable[tuple[int, Series, Metric]]]
    means: Callable[[int, int], Mapping[int, float]]
    annotate: Callable[[str, str, int], None]
    recording: Callable[[], bool]
    kept_s: Callable[[], float]
    write: marks.Write


class DetectionState(NamedTuple):
    """Detection status; replaced atomically every minute."""

    state: str = "waiting"
    reason: str = READING
    at_ms: int | None = None
    judged: int = 0
    series: int = 0
    days: int = 0
    now: tuple[Anomaly, ...] = ()


class _Known(NamedTuple):
    """The usual values of a series in [from_s, to_s), or the number of earlier days if there are too few."""

    from_s: int
    to_s: int
    usual: Usual | int


class Unusual:
    """``start`` and ``close`` once each; ``status``, ``past``, ``annotations``, ``on_clock_step`` from any thread."""

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        sources: DetectionSources,
        *,
        enabled: bool = True,
        zone: tzinfo | None = None,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._sources = sources
        self._enabled = enabled
        self._zone = zone
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wfmon-analyse", daemon=True)
        self._steps: deque[ClockStep] = deque()
        self._ticking = threading.Lock()
        self._status = DetectionState() if enabled else DetectionState("off", OFF)
        # The thread's own.
        self._started_s = clock.now_ms() // 1_000
        self._judged_s = self._hour_s = 0
        self._settled_ns = self._retry_ns = 0
        self._trouble = ""
        self._waiting: deque[str] = deque()  # series whose usual values must be read
        self._numbers: dict[str, tuple[int, int]] = {}  # by series: its id in the file, and its first recorded second
        self._known: dict[str, _Known] = {}
        self._runs: dict[str, tuple[Series, Run]] = {}
        self._wrong_hours: list[tuple[int, int]] = []  # [from, to) recorded under a wrong clock

    def start(self) -> None:
        """Start the thread, if enabled. Call once."""
        if self._enabled:
            self._thread.start()

    def close(self) -> None:
        """End the thread and write the end of all current anomalies. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # --- from any thread

    def on_clock_step(self, step: ClockStep) -> None:
        """Handle a step of the wall clock or a sleep of the machine."""
        self._steps.append(step)

    def on_deleted(self) -> None:
        """Discard usual values and current anomalies because something was deleted from the history.

        Waits for a running tick: after this returns, nothing derived from deleted data is written.
        """
        with self._ticking:
            self._runs, self._known, self._hour_s = {}, {}, 0
            self._status = self._status._replace(now=())

    def status(self) -> AnomalyStatus:
        """Return {state, reason, at_ms, judged, series, days, needs_days, most_days, now: [rows of marks]}."""
        status = self._status
        return {
            "state": status.state, "reason": status.reason, "at_ms": status.at_ms, "judged": status.judged,
            "series": status.series, "days": status.days, "now": list(status.now), "needs_days": LEAST_DAYS,
            "most_days": DAYS,
        }  # fmt: skip

    def past(self, from_ms: int, to_ms: int) -> list[Anomaly]:
        """Return the anomalies in [from, to), current ones included: rows of ``marks``. Raises Unreadable."""
        notes = self._reader.annotations(from_ms - marks.LONGEST_MS, to_ms + marks.LONGEST_MS, MOST_NOTES)
        return marks.past(notes, self._status.now, from_ms, to_ms, self._sources.write)

    def annotations(self, from_ms: int, to_ms: int) -> list[Annotation]:
        """Return the history's notes in [from, to) as plain sentences. Raises Unreadable."""
        return marks.without_figures(self._reader.annotations(from_ms, to_ms))

    def facts(self) -> list[dict[str, object]]:
        """Return what live pages show of current anomalies: few fields, so that they rarely change."""
        return [{name: value for name, value in row.items() if name in SHOWN_LIVE} for row in self._status.now]

    # --- the thread

    def _run(self) -> None:
        while not self._clock.wait(self._stop, self._pause_s()):
            try:
                self.tick()
            except Exception:
                # The edge: one bad minute must not end the thread.
                log.exception("a minute could not be checked for anomalies")
        self._run_out()

    def _run_out(self) -> None:
        with self._ticking:
            self._end_runs(self._clock.now_ms())

    def _pause_s(self) -> float:
        """Return the seconds until the next slice, or until the next complete minute."""
        if self._waiting and self._clock.mono_ns() >= self._retry_ns:
            return SLICE_S
        now_ms = self._clock.now_ms() - LAG_S * 1_000
        return (MINUTE_S * 1_000 - now_ms % (MINUTE_S * 1_000)) / 1_000

    def tick(self) -> None:
        """Check the last complete minute if not done yet; else read the usual values of a few more series.

        Public for tests and accelerated time, which call it instead of ``start``.
        """
        with self._ticking:
            self._tick()

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        self._apply_steps()
        why_not = self._why_not()
        if why_not:
            self._end_runs(now_ms)
            self._status = DetectionState("off", why_not)
            return
        minute_s = (now_ms // 1_000 - LAG_S) // MINUTE_S * MINUTE_S - MINUTE_S
        if minute_s != self._judged_s:
            self._judged_s = minute_s
            self._check_minute(minute_s, now_ms)
        elif self._waiting and self._clock.mono_ns() >= self._retry_ns:
            self._read()

    def _why_not(self) -> str:
        if not self._sources.recording():
            return UNRECORDED
        kept_days = self._sources.kept_s() / 86_400
        if kept_days < LEAST_DAYS + 1:
            return f"Minutes are kept for {kept_days:g} days and {LEAST_DAYS + 1} are needed: store.keep_1min_days."
        return ""

    def _apply_steps(self) -> None:
        """Pause after a clock step. Data recorded under a wrong clock is excluded from comparisons."""
        while self._steps:
            taken = self._steps.popleft()
            self._end_runs(self._clock.now_ms())
            wait_s = SETTLE_S
            if taken.kind == "step" and abs(taken.step_ms) >= LEAP_S * 1_000:
                wait_s = LEAP_S
                before_s = (taken.t_ms - taken.step_ms) // 1_000
                self._wrong_hours.append((self._started_s, before_s + MINUTE_S))
                self._started_s = taken.t_ms // 1_000
                self._hour_s = 0  # another hour: usual values are read again
            self._settled_ns = max(self._settled_ns, self._clock.mono_ns() + wait_s * 1_000_000_000)

    def _check_minute(self, minute_s: int, now_ms: int) -> None:
        """Compare each series' mean of a minute with its usual values, and update the status."""
        watched = [(number, series) for number, series, _ in self._sources.series() if series.name in WATCHED]
        self._plan(minute_s, [str(series) for _, series in watched])
        if self._clock.mono_ns() < self._settled_ns:
            self._status = DetectionState("waiting", STEPPED, series=len(watched))
            return
        whole = minute_s >= self._started_s
        means = self._sources.means(minute_s * 1_000, (minute_s + MINUTE_S) * 1_000) if whole else {}
        judged, days, before = 0, 0, self._runs
        self._runs = {}
        for number, series in watched:
            text, value = str(series), means.get(number)
            known = self._known.get(text)
            fits = known.usual if known is not None and known.from_s <= minute_s < known.to_s else 0
            ours = None if isinstance(fits, int) else fits
            days = max(days, fits if isinstance(fits, int) else fits.days)
            judged += ours is not None and value is not None
            run = before[text][1] if text in before else None
            after = step(run, minute_s, value, ours)
            if after is not None:
                self._runs[text] = (series, after)
            self._note(series, run, after, now_ms)
        for text in before.keys() - {str(series) for _, series in watched}:
            self._note(*before[text], None, now_ms)
        self._update_status(minute_s, judged, len(watched), days, reading=bool(self._waiting) or not whole)

    def _note(self, series: Series, before: Run | None, after: Run | None, now_ms: int) -> None:
        """Write a note to the history for an anomaly that began or ended."""
        write = self._sources.write
        if before is not None and before.confirmed and after is None:
            row = marks.row_of(series, before, write, over=True)
            self._sources.annotate(marks.KIND, marks.note(row, write, now_ms), before.until_s * 1_000)
        if after is not None and after.confirmed and (before is None or not before.confirmed):
            row = marks.row_of(series, after, write)
            self._sources.annotate(marks.KIND, marks.note(row, write, now_ms), row["since_ms"])

    def _end_runs(self, now_ms: int) -> None:
        """End all runs: confirmed ones end when they were last seen."""
        for series, run in self._runs.values():
            self._note(series, run, None, now_ms)
        self._runs = {}

    def _update_status(self, minute_s: int, judged: int, series: int, days: int, *, reading: bool) -> None:
        now = tuple(marks.row_of(*each, self._sources.write) for each in self._runs.values() if each[1].confirmed)
        reason = ""
        if not judged:
            too_few = f"Needs {LEAST_DAYS} earlier days with this hour of the day; has {days}."
            nothing = "No series with known usual values was measured in the last minute."
            reason = self._trouble or (READING if reading else nothing if days >= LEAST_DAYS else too_few)
        state = "waiting" if reason else "judging"
        self._status = DetectionState(state, reason, (minute_s + MINUTE_S) * 1_000, judged, series, days, now)

    # --- what is usual

    def _plan(self, now_s: int, texts: list[str]) -> None:
        """Queue new series for reading their usual values; all of them when another hour has begun."""
        hour_s = hour_of(now_s + MINUTE_S, self._zone)
        if hour_s != self._hour_s:
            self._hour_s = hour_s
            self._waiting = deque(texts)
            self._known = {text: known for text, known in self._known.items() if known.to_s > now_s}
            self._numbers = {}
            return
        there = {*self._waiting, *(text for text, known in self._known.items() if known.from_s == hour_s - ASIDE_S)}
        self._waiting.extend(text for text in texts if text not in there)

    def _read(self) -> None:
        """Read a slice of usual values; after an error, retry in a minute."""
        texts = [self._waiting.popleft() for _ in range(min(SLICE, len(self._waiting)))]
        try:
            if any(text not in self._numbers for text in texts):
                self._numbers = {
                    each.text: (each.id, each.first_s) for each in self._reader.series() if each.name in WATCHED
                }
            found = self._earlier({text: self._numbers[text] for text in texts if text in self._numbers})
        except Unreadable as error:
            self._waiting.extend(texts)
            self._retry_ns = self._clock.mono_ns() + RETRY_S * 1_000_000_000
            self._trouble = f"{error} It is retried in a minute."
            return
        self._trouble = ""
        span = self._hour_s - ASIDE_S, self._hour_s + HOUR_S + ASIDE_S
        for text in texts:
            self._known[text] = _Known(*span, usual(found.get(text, []), METRICS[Series.parse(text).name].unit))

    def _earlier(self, numbers: Mapping[str, tuple[int, int]]) -> dict[str, list[Floats]]:
        """Return the minute means of this hour on each earlier day, by series. ``numbers``: id and first_s by series.

        A day before a series was first recorded is not read: hundreds of models first seen today have nothing there.
        """
        found: dict[str, list[Floats]] = {text: [] for text in numbers}
        for from_s, to_s in windows(self._hour_s, self._zone):
            there = {
                text: number for text, (number, first_s) in numbers.items()
                if first_s < to_s or first_s > self._hour_s + HOUR_S  # recorded under a clock that was ahead
            }  # fmt: skip
            if not there:
                continue
            kept = self._reader.buckets(list(there.values()), from_s, to_s, MINUTES_TIER)
            for text, number in there.items():
                buckets = kept[number]
                inside = (buckets.t_s >= from_s) & (buckets.t_s < to_s)
                for begin, end in self._wrong_hours:
                    inside &= (buckets.t_s < begin) | (buckets.t_s >= end)
                found[text].append(buckets.figures.mean[inside].astype(np.float64))
        return found
