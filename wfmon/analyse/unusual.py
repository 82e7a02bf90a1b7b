"""Looks once a minute whether anything measured is unusual for this hour of the day; ``anomaly`` says what that is.

A thread of its own that sleeps: neither the beat nor the writer must wait for the file. What is usual is read anew each
hour, a few series a second, of the minutes that the history keeps; nothing but a few numbers a series is held.
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
"""A minute is judged so long after it ended: until then its samples may still come."""
SLICE, SLICE_S = 4, 1.0
"""Series whose usual is read at once, and how long it rests in between."""
SETTLE_S, LEAP_S = 600, 3_600
"""After a step of the clock, or a sleep, nothing is judged for so long; after one of an hour or more, for an hour."""
RETRY_S = 60
MOST_NOTES = 10_000
SHOWN_LIVE = ("series", "also", "usually", "text", "since_ms")
STOP_S = 1.0
OFF = "Looking for what is unusual is switched off: analyse.anomalies in config.yaml."
UNRECORDED = "Recording is off: without a history there is nothing to compare with. It is switched on in Settings."
READING = "The earlier days are being read."
STEPPED = "The clock was set, or the machine slept: minutes are judged again after a while."


class Sources(NamedTuple):
    """What is asked and told, by the thread alone. ``annotate(kind, text, t_ms)``; ``write``: a value with its unit.

    ``means(from_ms, to_ms)``: the mean of each series, by id. ``kept_s``: seconds for which minutes are kept.
    """

    series: Callable[[], Iterable[tuple[int, Series, Metric]]]
    means: Callable[[int, int], Mapping[int, float]]
    annotate: Callable[[str, str, int], None]
    recording: Callable[[], bool]
    kept_s: Callable[[], float]
    write: marks.Write


class DetectionState(NamedTuple):
    """How it fares, replaced whole each minute."""

    state: str = "waiting"
    reason: str = READING
    at_ms: int | None = None
    judged: int = 0
    series: int = 0
    days: int = 0
    now: tuple[Anomaly, ...] = ()


class _Known(NamedTuple):
    """What is usual of a series in [from_s, to_s); a number: so many earlier days, which are too few."""

    from_s: int
    to_s: int
    usual: Usual | int


class Unusual:
    """``start`` and ``close`` once each; ``status``, ``past``, ``annotations``, ``on_clock_step`` from any thread."""

    def __init__(
        self, reader: Reader, clock: Clock, sources: Sources, *, enabled: bool = True, zone: tzinfo | None = None
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._sources = sources
        self._enabled = enabled
        self._zone = zone
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wfmon-analyse", daemon=True)
        self._steps: deque[ClockStep] = deque()
        self._beating = threading.Lock()
        self._told = DetectionState() if enabled else DetectionState("off", OFF)
        # The thread's own.
        self._begun_s = clock.now_ms() // 1_000
        self._judged_s = self._hour_s = 0
        self._settled_ns = self._retry_ns = 0
        self._trouble = ""
        self._waiting: deque[str] = deque()  # series whose usual is to be read
        self._numbers: dict[str, tuple[int, int]] = {}  # of the file, and the second of the first record
        self._known: dict[str, _Known] = {}
        self._runs: dict[str, tuple[Series, Run]] = {}
        self._astray: list[tuple[int, int]] = []  # [from, to) that was recorded under wrong hours

    def start(self) -> None:
        """Start the thread, if it is switched on. Once."""
        if self._enabled:
            self._thread.start()

    def close(self) -> None:
        """End the thread, and note of all that is unusual that it is not watched any more. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # --- from any thread

    def on_clock_step(self, step: ClockStep) -> None:
        """The wall clock was set, or the machine slept."""
        self._steps.append(step)

    def on_forgotten(self) -> None:
        """Something was deleted from the history: what was usual by it, and what is unusual by that, counts no more.

        Waits for a beat under way: once this returns nothing of before is noted.
        """
        with self._beating:
            self._runs, self._known, self._hour_s = {}, {}, 0
            self._told = self._told._replace(now=())

    def status(self) -> AnomalyStatus:
        """How it fares: {state, reason, at_ms, judged, series, days, needs_days, most_days, now: [rows of marks]}."""
        told = self._told
        return {
            "state": told.state, "reason": told.reason, "at_ms": told.at_ms, "judged": told.judged,
            "series": told.series, "days": told.days, "now": list(told.now), "needs_days": LEAST_DAYS,
            "most_days": DAYS,
        }  # fmt: skip

    def past(self, from_ms: int, to_ms: int) -> list[Anomaly]:
        """Give what was unusual in [from, to), or is: rows of ``marks``. Raises Unreadable."""
        notes = self._reader.annotations(from_ms - marks.LONGEST_MS, to_ms + marks.LONGEST_MS, MOST_NOTES)
        return marks.past(notes, self._told.now, from_ms, to_ms, self._sources.write)

    def annotations(self, from_ms: int, to_ms: int) -> list[Annotation]:
        """Give what the history notes of [from, to), as a person reads it. Raises Unreadable."""
        return marks.told(self._reader.annotations(from_ms, to_ms))

    def facts(self) -> list[dict[str, object]]:
        """Give what live pages show of what is unusual now, so little that it seldom changes."""
        return [{name: value for name, value in row.items() if name in SHOWN_LIVE} for row in self._told.now]

    # --- the thread

    def _run(self) -> None:
        while not self._clock.wait(self._stop, self._pause_s()):
            try:
                self.beat()
            except Exception:
                # The edge: one bad minute must not end the thread.
                log.exception("a minute could not be judged")
        self._run_out()

    def _run_out(self) -> None:
        with self._beating:
            self._forget(self._clock.now_ms())

    def _pause_s(self) -> float:
        """Give the seconds to the next slice, or to the next minute that is whole."""
        if self._waiting and self._clock.mono_ns() >= self._retry_ns:
            return SLICE_S
        now_ms = self._clock.now_ms() - LAG_S * 1_000
        return (MINUTE_S * 1_000 - now_ms % (MINUTE_S * 1_000)) / 1_000

    def beat(self) -> None:
        """Judge the last whole minute, if that was not done; else read what is usual of a few series more.

        Public for tests and for accelerated time, which call it instead of ``start``.
        """
        with self._beating:
            self._beat()

    def _beat(self) -> None:
        now_ms = self._clock.now_ms()
        self._apply_steps()
        why_not = self._why_not()
        if why_not:
            self._forget(now_ms)
            self._told = DetectionState("off", why_not)
            return
        minute_s = (now_ms // 1_000 - LAG_S) // MINUTE_S * MINUTE_S - MINUTE_S
        if minute_s != self._judged_s:
            self._judged_s = minute_s
            self._judge(minute_s, now_ms)
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
        """Let a while pass after a step. What a wrong clock recorded under other hours is compared with nothing."""
        while self._steps:
            taken = self._steps.popleft()
            self._forget(self._clock.now_ms())
            wait_s = SETTLE_S
            if taken.kind == "step" and abs(taken.step_ms) >= LEAP_S * 1_000:
                wait_s = LEAP_S
                before_s = (taken.t_ms - taken.step_ms) // 1_000
                self._astray.append((self._begun_s, before_s + MINUTE_S))
                self._begun_s = taken.t_ms // 1_000
                self._hour_s = 0  # another hour: what is usual is read anew
            self._settled_ns = max(self._settled_ns, self._clock.mono_ns() + wait_s * 1_000_000_000)

    def _judge(self, minute_s: int, now_ms: int) -> None:
        """Compare each series' mean of a minute with what is usual, and tell."""
        watched = [(number, series) for number, series, _ in self._sources.series() if series.name in WATCHED]
        self._plan(minute_s, [str(series) for _, series in watched])
        if self._clock.mono_ns() < self._settled_ns:
            self._told = DetectionState("waiting", STEPPED, series=len(watched))
            return
        whole = minute_s >= self._begun_s
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
        self._tell(minute_s, judged, len(watched), days, reading=bool(self._waiting) or not whole)

    def _note(self, series: Series, before: Run | None, after: Run | None, now_ms: int) -> None:
        """Note in the history what began, and what is over."""
        write = self._sources.write
        if before is not None and before.told and after is None:
            row = marks.row_of(series, before, write, over=True)
            self._sources.annotate(marks.KIND, marks.note(row, write, now_ms), before.until_s * 1_000)
        if after is not None and after.told and (before is None or not before.told):
            row = marks.row_of(series, after, write)
            self._sources.annotate(marks.KIND, marks.note(row, write, now_ms), row["since_ms"])

    def _forget(self, now_ms: int) -> None:
        """Let go of all runs: those that were told end when they were seen last."""
        for series, run in self._runs.values():
            self._note(series, run, None, now_ms)
        self._runs = {}

    def _tell(self, minute_s: int, judged: int, series: int, days: int, *, reading: bool) -> None:
        now = tuple(marks.row_of(*each, self._sources.write) for each in self._runs.values() if each[1].told)
        reason = ""
        if not judged:
            too_few = f"Needs {LEAST_DAYS} earlier days with this hour of the day; has {days}."
            nothing = "Nothing was measured in the last minute that has a usual."
            reason = self._trouble or (READING if reading else nothing if days >= LEAST_DAYS else too_few)
        state = "waiting" if reason else "judging"
        self._told = DetectionState(state, reason, (minute_s + MINUTE_S) * 1_000, judged, series, days, now)

    # --- what is usual

    def _plan(self, now_s: int, texts: list[str]) -> None:
        """Have read what is usual of series that are new; of all, where another hour has begun."""
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
        """Read a slice. What cannot be read is tried again in a minute."""
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
            self._trouble = f"{error} It is tried again in a minute."
            return
        self._trouble = ""
        span = self._hour_s - ASIDE_S, self._hour_s + HOUR_S + ASIDE_S
        for text in texts:
            self._known[text] = _Known(*span, usual(found.get(text, []), METRICS[Series.parse(text).name].unit))

    def _earlier(self, numbers: Mapping[str, tuple[int, int]]) -> dict[str, list[Floats]]:
        """Give the means of the minutes of this hour, of each earlier day, by series; ``numbers``: and their first_s.

        A day before a series was first recorded is not read: of hundreds of models reported today there is nothing.
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
                for begin, end in self._astray:
                    inside &= (buckets.t_s < begin) | (buckets.t_s >= end)
                found[text].append(buckets.figures.mean[inside].astype(np.float64))
        return found
