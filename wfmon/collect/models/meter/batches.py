"""Batches of all models since the last tick: one of their tokens, one of their requests' events.

Layouts are rebuilt only when a model comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wfmon.collect.models.meter.model import COLLECTOR, EVENTS, TOKENS, ModelMeter, Row
from wfmon.collect.models.meter.tracker import Tracker
from wfmon.core.types import Layout, TokenBatch

MAX_VALUES = 200_000
"""Size limit of a batch in values (1.6 MB): in a larger one most would be empty."""
_NAN = float("nan")


class Batches:
    """Reads a tracker. The ticker's thread only, under the meters' lock."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._shape: list[ModelMeter] = []
        self._tokens = self._events = Layout(())
        self._parts_of: dict[tuple[Layout, int], Layout] = {}

    def rows(self) -> list[TokenBatch]:
        """Return the tokens and events since the last call."""
        models = list(self._tracker.models.values())
        if models != self._shape:
            self._shape = models
            self._tokens = Layout(tuple(series for model in models for series in model.token_series))
            self._events = Layout(tuple(series for model in models for series in model.event_series))
            self._parts_of = {}
        tokens = [model.take_token_rows() for model in models]
        events = [model.take_event_rows() for model in models]
        return [
            *_batches(self._tokens, tokens, len(TOKENS), self._alone),
            *_batches(self._events, events, len(EVENTS), self._alone),
        ]

    def _alone(self, layout: Layout, at: int, width: int) -> Layout:
        """Return the layout of one model."""
        key = (layout, at)
        if key not in self._parts_of:
            self._parts_of[key] = Layout(layout.series[at * width : (at + 1) * width])
        return self._parts_of[key]


def _batches(
    layout: Layout, rows: list[list[tuple[int, Row]]], width: int, alone: Callable[[Layout, int, int], Layout]
) -> list[TokenBatch]:
    """Build batches from each model's rows (ms, values): one for all, in time order; in a flood one per model."""
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
