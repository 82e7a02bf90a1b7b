"""Layouts compiled once for use with every frame: ids, limits, dead-bands, and which series are rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wfmon.core.catalogue import Metric
    from wfmon.core.registry import Registry
    from wfmon.core.types import Flags, Floats, Ids, Layout

_LARGEST = float(np.finfo(np.float32).max)
"""The hot cache stores float32: a value that does not fit is treated like one outside the catalogue's limits."""


class Compiled:
    """A layout's ids and limits; all arrays have shape (n,), where n is the number of distinct ids.

    Series that the registry folded into one ``(other)`` share an id: their counters are added, and of their gauges the
    largest is kept. ``rates`` holds the positions of the metrics derived as rates.
    """

    def __init__(self, layout: Layout, registry: Registry) -> None:
        given = registry.ids(layout)
        self.ids: Ids = given
        self._order: NDArray[np.intp] | None = None
        self._where: dict[str, list[int]] = {}
        unique, at = np.unique(given, return_inverse=True)
        if len(unique) < len(given):
            self.ids = unique
            self._order = np.argsort(given, kind="stable")
            self._starts = np.searchsorted(given[self._order], unique)
        else:
            at = np.arange(len(given))
        for series, position in zip(layout.series, at.tolist(), strict=True):
            self._where.setdefault(str(series), []).append(position)
            if series.labels:
                self._where.setdefault(series.name, []).append(position)
        metrics = [registry.metric(number) for number in self.ids.tolist()]
        bounds = [limits(metric) for metric in metrics]
        self.low = np.array([low for low, _ in bounds], np.float64)
        self.high = np.array([high for _, high in bounds], np.float64)
        self.band = np.array([metric.dead_band for metric in metrics], np.float64)
        self.is_rate = np.array([metric.derive == "rate" for metric in metrics], np.bool_)
        self.rates = np.flatnonzero(self.is_rate)
        self._adds = np.array([metric.derive == "rate" or metric.kind == "counter" for metric in metrics], np.bool_)

    def fold(self, values: Floats) -> Floats:
        """Return one value per id, in a new array. NaN only where all of an id's values are NaN."""
        if self._order is None:
            return values.astype(np.float64)
        values = values[self._order]
        present = np.where(np.isnan(values), 0.0, values)
        largest = np.fmax.reduceat(values, self._starts)
        return np.where(self._adds & ~np.isnan(largest), np.add.reduceat(present, self._starts), largest)

    def declared(self, reasons: Mapping[str, str]) -> Flags:
        """Return which positions have a reason in the frame, by series text or metric name. Shape (n,)."""
        flags = np.zeros(len(self.ids), np.bool_)
        for key in reasons:
            flags[self._where.get(key, [])] = True
        return flags


def limits(metric: Metric) -> tuple[float, float]:
    """Return the lowest and the highest possible value of a metric."""
    return (
        -_LARGEST if metric.low is None else metric.low,
        _LARGEST if metric.high is None else metric.high,
    )
