"""The cache as a grid: the data that a newly opened page draws first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wfmon.core.types import Flags
    from wfmon.window.block import Columns, Singles, Small

STEPS_MS = (100, 200, 250, 500, 1_000, 2_000, 5_000)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Values of every series by id, float32 of shape (n,), at ``t0_ms``, ``t0_ms`` + ``step_ms``, ... ``until_ms``.

    Each value is the newest sample up to that time. NaN before the first sample, and from a gap mark to the next
    sample. For an event series it is the newest of its step, NaN if the step has none.
    """

    t0_ms: int
    step_ms: int
    until_ms: int
    columns: dict[int, Singles]


def choose_step(span_ms: int, series: int, max_values: int) -> tuple[int, int]:
    """Return the finest step within ``max_values`` and its number of points (too few for the span if none fits)."""
    most = max(1, max_values // max(1, series))
    for step_ms in STEPS_MS:
        points = -(-span_ms // step_ms) + 1
        if points <= most:
            return step_ms, points
    return STEPS_MS[-1], most


def snapshot(
    ids: Small, parts: Iterable[Columns], since_ms: int, until_ms: int, max_values: int, events: Flags | None = None
) -> Snapshot:
    """Build the grid of ``ids`` (ascending, all that occur in ``parts``). ``events``: which of them are event series.

    ``parts``: samples in order of arrival, each series in time order; one part is held at a time. A sample from before
    the grid fills its first point, until the next sample.
    """
    step_ms, points = choose_step(max(0, until_ms - since_ms), len(ids), max_values)
    t0_ms = until_ms - (points - 1) * step_ms
    if not len(ids):
        return Snapshot(t0_ms, step_ms, until_ms, {})
    row_of = np.zeros(int(ids[-1]) + 1, np.int64)
    row_of[ids] = np.arange(len(ids)) * points
    grid = np.full(len(ids) * points, np.nan, np.float32)
    known = np.zeros(len(ids) * points, np.bool_)
    for part in parts:
        at = -((t0_ms - part.t_ms) // step_ms)  # the first point not before the sample
        at = row_of[part.ids] + np.clip(at, 0, points - 1)
        grid[at] = part.values  # of several samples the last is kept
        known[at] = True
    known[row_of[ids]] = True
    source = np.where(known.reshape(len(ids), points), np.arange(points, dtype=np.int32), np.int32(0))
    np.maximum.accumulate(source, axis=1, out=source)
    filled = np.take_along_axis(grid.reshape(len(ids), points), source, axis=1)
    if events is not None and events.any():
        filled[events[:, None] & ~known.reshape(len(ids), points)] = np.nan
    return Snapshot(t0_ms, step_ms, until_ms, dict(zip(ids.tolist(), filled, strict=True)))
