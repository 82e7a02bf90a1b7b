"""What the ticker is handed: one batch of all models' tokens, one of their requests' events, one frame of gauges.

Layouts are made anew only when a model comes or goes, or a gauge has its first value; all else is reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from wfmon.collect.models.meter.disagreement import Speaker
from wfmon.collect.models.meter.model import COLLECTOR, EVENTS, TOKENS, Model, Now, Row
from wfmon.collect.models.meter.tracker import MAX_MODELS, Book, Key
from wfmon.core.types import Frame, Layout, Series, TokenBatch

SECOND_US = 1_000_000.0
MAX_PAIRS = 32
MAX_VALUES = 200_000
"""Of a batch: 1.6 MB. With more, most of it would be empty."""
NOT_AT_ONCE = "the two do not answer at once"
NOT_YET = "not seen since it was switched on"
_NAN = float("nan")


class Frames:
    """Reads a book. The ticker's alone, under the meters' lock."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._next_us = 0.0
        self._shape: list[Model] = []
        self._tokens = self._events = self._gauges = Layout(())
        self._parts_of: dict[tuple[Layout, int], Layout] = {}
        self._pairs: dict[tuple[Speaker, Speaker], Series] = {}
        self._apart: dict[str, str] = {}
        self._gone: dict[Key, dict[str, str]] = {}
        self._parts: list[Mapping[str, str]] = []
        self._reasons: Mapping[str, str] = {}

    def make(self, now: Now) -> list[Frame | TokenBatch]:
        """Give what came since the last beat: tokens and events before the gauges that count them."""
        out: list[Frame | TokenBatch] = [*self.rows()]
        frame = self._frame(now, self._shape)
        if frame is not None:
            out.append(frame)
        return out

    def rows(self) -> list[TokenBatch]:
        """Give the tokens and events since the last time."""
        models = list(self._book.models.values())
        if models != self._shape:
            self._shape = models
            self._tokens = Layout(tuple(series for model in models for series in model.token_series))
            self._events = Layout(tuple(series for model in models for series in model.event_series))
            self._gauges = Layout(())
            self._parts_of = {}
        tokens = [model.take_token_rows() for model in models]
        events = [model.take_event_rows() for model in models]
        return [
            *_batches(self._tokens, tokens, len(TOKENS), self._alone),
            *_batches(self._events, events, len(EVENTS), self._alone),
        ]

    def _alone(self, layout: Layout, at: int, width: int) -> Layout:
        """Give the layout of one model of many."""
        key = (layout, at)
        if key not in self._parts_of:
            self._parts_of[key] = Layout(layout.series[at * width : (at + 1) * width])
        return self._parts_of[key]

    def back(self, now: Now) -> list[Frame]:
        """It was switched on again: what was absent for that is absent since nobody told of it."""
        self._gone = {key: dict.fromkeys(reasons, NOT_YET) for key, reasons in self._gone.items()}
        nothing = np.full(len(self._gauges), _NAN)
        return [Frame(COLLECTOR, now.wall_ms, self._gauges, nothing, self._all_reasons())] if self._gone else []

    def _frame(self, now: Now, models: list[Model]) -> Frame | None:
        """Read the gauges of what moves, and once a second of all; None when there is nothing to tell."""
        due = now.us >= self._next_us
        if due:
            self._next_us = now.us + SECOND_US
        moved = fresh = False
        for model in models:
            if model.moving or due:
                owned = model.reading is None or self._book.owners.of(model.server, now.us) == "scrape"
                model.moving = model.sample(now, owned=owned)
                moved = True
                fresh |= model.fresh
        if not moved:
            return None
        means = self._disagreement(now)
        if fresh or not len(self._gauges):
            self._make_gauges(models)
        values: list[float] = []
        for model in models:
            values += model.gauge_values()
        if self._pairs:
            values += [means.get(pair, _NAN) for pair in self._pairs]
        frame = Frame(COLLECTOR, now.wall_ms, self._gauges, np.array(values, np.float64), self._all_reasons())
        for model in models:
            if model.leaving:  # this frame had its gaps and its reasons, which stand until it is back
                self._book.remove(model)
                self._gone[model.name, model.server] = model.reasons
                while len(self._gone) > MAX_MODELS:
                    del self._gone[next(iter(self._gone))]
        return frame

    def _disagreement(self, now: Now) -> dict[tuple[Speaker, Speaker], float]:
        """Give the pairs' means, and note why others have none; a new pair makes a new layout."""
        means = self._book.disagreement.at(now.us)
        if not means and not self._pairs:
            return means
        new = [pair for pair in means if pair not in self._pairs][: MAX_PAIRS - len(self._pairs)]
        for pair in new:
            self._pairs[pair] = _pair_series(*pair)
        apart = {str(series): NOT_AT_ONCE for pair, series in self._pairs.items() if pair not in means}
        if apart != self._apart:
            self._apart = apart
        if new:
            self._gauges = Layout(())
        return means

    def _make_gauges(self, models: list[Model]) -> None:
        series: list[Series] = []
        for model in models:
            model.fresh = False
            self._gone.pop((model.name, model.server), None)
            series += model.gauge_series()
        self._gauges = Layout((*series, *self._pairs.values()))

    def _all_reasons(self) -> Mapping[str, str]:
        """Give why series are absent: the same object while nothing changed."""
        told = (model.reasons for model in self._book.models.values())
        parts: list[Mapping[str, str]] = [*self._gone.values(), *told, self._apart]
        if len(parts) != len(self._parts) or any(a is not b for a, b in zip(parts, self._parts, strict=True)):
            self._parts = parts
            merged: dict[str, str] = {}
            for part in parts:
                merged.update(part)
            self._reasons = merged
        return self._reasons


def _batches(
    layout: Layout, rows: list[list[tuple[int, Row]]], width: int, alone: Callable[[Layout, int, int], Layout]
) -> list[TokenBatch]:
    """Make batches of each model's rows (ms, values): one of all, in order of time; of a flood one a model."""
    count = sum(map(len, rows))
    if not count:
        return []
    if count * len(rows) * width > MAX_VALUES:
        return [
            TokenBatch(COLLECTOR, alone(layout, at, width), np.array([t_ms for t_ms, _ in each], np.int64),
                       np.array([row for _, row in each], np.float64))
            for at, each in enumerate(rows) if each
        ]  # fmt: skip
    found = [(t_ms, at, row) for at, each in enumerate(rows) if each for t_ms, row in each]
    found.sort(key=_by_time)
    values = np.full((count, len(rows), width), _NAN)
    values[np.arange(count), [at for _, at, _ in found]] = [row for _, _, row in found]
    times = np.array([t_ms for t_ms, _, _ in found], np.int64)
    return [TokenBatch(COLLECTOR, layout, times, values.reshape(count, len(rows) * width))]


def _by_time(row: tuple[int, int, Row]) -> int:
    return row[0]


def _pair_series(one: Speaker, other: Speaker) -> Series:
    """Give the series of a pair; of two servers' models of one name the other says where it is."""
    label = other.name if other.name != one.name else f"{other.name}@{other.server}"
    return Series.of("model.disagreement", model=one.name, server=one.server, other=label)
