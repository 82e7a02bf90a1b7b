"""Frame timings reported by open pages: validated and queued in a bounded inbox; no thread of its own."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wfmon.core.clock import Clock
from wfmon.core.types import Burst, CollectorStatus, Frame, Layout, Series

MAX_COUNT = 600
"""Entries of each list in a report: ten seconds at 60 Hz."""
MAX_CLIENTS = 256
MAX_WAITING = 1_024
REPORTS_PER_SECOND = 3
"""Accepted from one client; pages send one."""
SILENT_S = 5
"""A visible page that has not reported for this long was closed or is frozen."""
HIDDEN_SILENT_S = 120
"""Browsers wake a hidden page's timers once a minute."""
OLDEST_MS, NEWEST_MS = 60_000, 2_000
"""How far a report's frames may be before and after the server's time; others are dropped and counted."""
BUDGET_MS = 1_000 / 60 * 1.05
"""The frame budget of 16.67 ms, plus 5 % for the browser's rounding of timestamps."""
CLOSED = "the page was closed or is frozen"
HIDDEN = "the page is hidden"
OFF = "switched off"
NO_INPUT = "no input: nothing was pressed or clicked"
NO_STREAM = "nothing from the stream was drawn in this second"
NO_FRAME = "no frame in this second"
NO_PAGE = "no page is open"
_BURSTS = ("ux.frame_time_ms", "ux.work_time_ms")
_VALUES = (
    "ux.fps", "ux.dropped_frames", "ux.jank_budget_used", "ux.long_frames", "ux.input_latency_ms",
    "ux.stream_latency_ms",
)  # fmt: skip
_KEYS = frozenset(
    {"type", "page", "t0", "intervals", "work", "missed", "loaf", "inputs", "stream_latency", "hidden"}
)  # fmt: skip
_PAGE = re.compile(r"[a-z0-9_-]{1,32}")
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Report:
    """A validated report of one page: lists in milliseconds; ``t0`` is when its first frame began (server time)."""

    page: str
    t0: float
    intervals: tuple[float, ...]
    work: tuple[float, ...]
    missed: int
    loaf: tuple[float, ...]
    inputs: tuple[float, ...]
    stream_latency: tuple[float, ...]
    hidden: bool

    @property
    def end(self) -> float:
        """When its last frame began."""
        return self.t0 + sum(self.intervals[1:])

    def values(self) -> tuple[float, ...]:
        """Return the per-second values in the order of ``_VALUES``, NaN where there was nothing to measure."""
        span_s = sum(self.intervals) / 1_000
        if not span_s:
            frames = [_NAN] * 4
        else:
            late = sum(interval > BUDGET_MS for interval in self.intervals)
            frames = [
                len(self.intervals) / span_s, self.missed / span_s, 100.0 * late / len(self.intervals),
                len(self.loaf) / span_s,
            ]  # fmt: skip
        return (
            *frames,
            max(self.inputs, default=_NAN),
            max(0.0, _rank(self.stream_latency, 0.95)) if self.stream_latency else _NAN,
        )


class _Tab:
    """A client and its newest report."""

    __slots__ = ("heard_s", "report", "second", "taken")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.heard_s = 0.0
        self.second = -1
        self.taken = 0


class UxInbox:
    """Collects the pages' reports. ``push`` may be called by any thread; ``drain`` by one, the ticker.

    Several tabs of one page share its series: each value is the worst tab's, and the single frames are those of the
    first tab, because two tabs' frames do not form one sequence. Hidden tabs are ignored.
    """

    name = "ux"

    def __init__(self, clock: Clock, pages: Callable[[], Collection[str]], *, enabled: bool = True) -> None:
        """``pages`` returns the names of the pages that exist; no other page gets series."""
        self._clock = clock
        self._pages_known = pages
        self._enabled = enabled
        self._lock = threading.Lock()
        # Under the lock.
        self._waiting: deque[tuple[str, Report]] = deque()
        self._tabs: dict[str, _Tab] = {}
        self._taken = self._refused = 0
        self._heard_ms = 0
        self._since: tuple[str, int] = ("", clock.now_ms())
        self.dropped: Counter[str] = Counter()
        """Rejected reports, by cause."""
        # Used by the ticker only.
        self._pages: dict[str, Layout] = {}
        self._hidden: set[str] = set()

    @property
    def depth(self) -> int:
        """Reports waiting, of MAX_WAITING. Any thread."""
        return len(self._waiting)

    def push(self, message: Mapping[str, Any], page_client: str) -> None:
        """Queue a client's ``ux`` message. Raises ValueError, with a sentence, if it is invalid."""
        try:
            report = check(message)
        except ValueError:
            with self._lock:
                self._refused += 1
            raise
        now_s, now_ms = self._clock.mono_ns() / 1e9, self._clock.now_ms()
        with self._lock:
            if not self._enabled:
                return
            if report.page not in self._pages_known():  # a mistyped address
                self.dropped["ux_no_such_page"] += 1
                return
            if not now_ms - OLDEST_MS <= report.t0 <= report.end <= now_ms + NEWEST_MS:
                self.dropped["ux_time_off"] += (
                    1  # the page's clock offset is stale: a clock stepped, or the machine slept
                )
                return
            tab = self._tabs.get(page_client)
            if tab is None:
                if len(self._tabs) >= MAX_CLIENTS:
                    self.dropped["ux_too_many_pages"] += 1
                    return
                tab = self._tabs[page_client] = _Tab(report)
            if tab.second != int(now_s):
                tab.second, tab.taken = int(now_s), 0
            tab.taken += 1
            if tab.taken > REPORTS_PER_SECOND:
                self.dropped["ux_too_often"] += 1
            elif len(self._waiting) >= MAX_WAITING:
                self.dropped["ux_inbox_full"] += 1
            else:
                tab.heard_s = now_s
                self._waiting.append((page_client, report))
                self._taken += 1
                self._heard_ms = now_ms

    def drain(self) -> list[Frame | Burst]:
        """Return what came since the last call: single frames as bursts, and per-second values as a frame per page."""
        now_s, t_ms = self._clock.mono_ns() / 1e9, self._clock.now_ms()
        out: list[Frame | Burst] = []
        with self._lock:
            if not self._tabs and not self._pages:
                return out
            waiting, self._waiting = self._waiting, deque()
            spoken: list[str] = []
            for client, report in waiting:
                self._tabs[client].report = report
                spoken.append(report.page)
                if self._leads(client, report.page):
                    out += bursts(report)
            for client, tab in list(self._tabs.items()):
                if now_s - tab.heard_s > (HIDDEN_SILENT_S if tab.report.hidden else SILENT_S):
                    del self._tabs[client]
            by_page: dict[str, list[Report]] = {}
            for tab in self._tabs.values():
                by_page.setdefault(tab.report.page, []).append(tab.report)
        for page in dict.fromkeys(spoken):
            reports = by_page.get(page, [])
            seen = [report for report in reports if not report.hidden]
            if seen:
                self._hidden.discard(page)
                out.append(self._measured(page, seen, t_ms))
            elif reports and page not in self._hidden:
                self._hidden.add(page)
                out += self._gap(page, HIDDEN, t_ms)
        for page in [page for page in self._pages if page not in by_page]:
            out += self._gap(page, CLOSED if self._enabled else OFF, t_ms)
            del self._pages[page]
            self._hidden.discard(page)
        return out

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch on or off; off discards what waits, and the next drain closes the pages' series. Any thread."""
        with self._lock:
            self._enabled = enabled
            if not enabled:
                self._waiting.clear()
                self._tabs.clear()

    def status(self) -> CollectorStatus:
        """Return the inbox's status: absent while no page is open; ``errors`` counts rejected messages. Any thread."""
        with self._lock:
            state = "off" if not self._enabled else "running" if self._tabs else "absent"
            if state != self._since[0]:
                self._since = (state, self._clock.now_ms())
            return CollectorStatus(
                name=self.name,
                state="off" if state == "off" else "running" if state == "running" else "absent",
                reason={"off": OFF, "absent": NO_PAGE}.get(state, ""),
                since_ms=self._since[1],
                checked_ms=self._heard_ms,
                beats=self._taken,
                skipped=self.dropped.total(),
                errors=self._refused,
            )

    def _leads(self, client: str, page: str) -> bool:
        """Return whether the page's single frames come from this client: the first visible one. Under the lock."""
        visible = (name for name, tab in self._tabs.items() if tab.report.page == page and not tab.report.hidden)
        return next(visible, client) == client

    def _measured(self, page: str, reports: Sequence[Report], t_ms: int) -> Frame:
        rows = np.array([report.values() for report in reports])
        lowest, highest = np.fmin.reduce(rows), np.fmax.reduce(rows)
        values = np.concatenate((lowest[:1], highest[1:]))  # the lowest frames per second, the highest of all others
        words = (NO_FRAME, NO_FRAME, NO_FRAME, NO_FRAME, NO_INPUT, NO_STREAM)
        layout = self._layout(page)
        reasons = {
            str(series): why
            for series, why, value in zip(layout.series, words, values.tolist(), strict=True)
            if math.isnan(value)
        }
        return Frame(self.name, t_ms, layout, values, reasons)

    def _gap(self, page: str, reason: str, t_ms: int) -> list[Frame | Burst]:
        layout = self._layout(page)
        now, nothing = np.array([t_ms], np.int64), np.array([_NAN])
        single = [Series.of(name, page=page) for name in _BURSTS]
        reasons = {str(series): reason for series in (*layout.series, *single)}
        return [
            *(Burst(self.name, series, now, nothing) for series in single),
            Frame(self.name, t_ms, layout, np.full(len(_VALUES), _NAN), reasons),
        ]

    def _layout(self, page: str) -> Layout:
        layout = self._pages.get(page)
        if layout is None:
            layout = self._pages[page] = Layout(tuple(Series.of(name, page=page) for name in _VALUES))
        return layout


def bursts(report: Report) -> list[Burst]:
    """Return a report's single frames as bursts, each at the instant it began. Work belongs to the newest frames."""
    if not report.intervals:
        return []
    intervals = np.array(report.intervals)
    t_ms = np.rint(report.t0 + np.cumsum(intervals) - intervals[0]).astype(np.int64)
    found = [Burst("ux", Series.of(_BURSTS[0], page=report.page), t_ms, intervals)]
    work = np.array(report.work[-len(intervals) :])
    if len(work):
        found.append(Burst("ux", Series.of(_BURSTS[1], page=report.page), t_ms[-len(work) :], work))
    return found


def check(message: Mapping[str, Any]) -> Report:
    """Validate a ``ux`` message. Raises ValueError naming the field and what it must be."""
    unknown = [key for key in message if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r:.40}")
    page, hidden = message.get("page"), message.get("hidden", False)
    if not isinstance(page, str) or not _PAGE.fullmatch(page):
        raise ValueError("page must be 1 to 32 of the characters a-z, 0-9, _ and -")
    if not isinstance(hidden, bool):
        raise ValueError("hidden must be true or false")  # noqa: TRY004  the contract
    missed = message.get("missed", 0)
    if not isinstance(missed, int):
        raise ValueError("missed must be a whole number")  # noqa: TRY004  as above
    loaf = message.get("loaf", [])
    if not isinstance(loaf, list) or not all(isinstance(one, dict) and one.keys() == {"duration_ms"} for one in loaf):
        raise ValueError("loaf must be a list of {duration_ms}")
    return Report(
        page=page,
        t0=_number("t0", message.get("t0"), 0, 1e14),
        intervals=_numbers("intervals", message, 0.01, 60_000),
        work=_numbers("work", message, 0, 60_000),
        missed=int(_number("missed", missed, 0, 36_000)),
        loaf=_numbers("loaf", {"loaf": [one["duration_ms"] for one in loaf]}, 0, 600_000),
        inputs=_numbers("inputs", message, 0, 600_000),
        # May be negative by the error of the page's estimate of the server's clock.
        stream_latency=_numbers("stream_latency", message, -1_000, 600_000),
        hidden=hidden,
    )


def _numbers(field: str, message: Mapping[str, Any], low: float, high: float) -> tuple[float, ...]:
    values = message.get(field, [])
    if not isinstance(values, list) or len(values) > MAX_COUNT:
        raise ValueError(f"{field} must be a list of at most {MAX_COUNT} entries")
    return tuple(_number(field, value, low, high) for value in values)


def _number(field: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{field} must be a number from {low:g} to {high:g}")
    return float(value)


def _rank(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile: the smallest value that at least ``share`` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
