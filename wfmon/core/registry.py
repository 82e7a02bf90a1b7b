"""Maps series to small integer ids for one boot: never reused, capped; the excess is folded into ``(other)``."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.catalogue import LABEL_CAPS, MAX_LABEL_CHARS, MAX_SERIES, METRICS, OTHER, Metric
from wfmon.core.types import Layout, Series

if TYPE_CHECKING:
    from wfmon.core.answers.live import SeriesRow
    from wfmon.core.types import Ids


class Registry:
    """Owns the ids. Any thread; takes a lock only for a new layout or series.

    ``metrics`` is the catalogue (name -> row). A series whose metric is not in it raises KeyError: a program error.
    """

    def __init__(self, metrics: dict[str, Metric] | None = None, max_series: int = MAX_SERIES) -> None:
        self._metrics = METRICS if metrics is None else metrics
        self._max = max_series
        self._lock = threading.Lock()
        self._ids: dict[Series, int] = {}
        self._series: list[Series] = []
        self._label_values: dict[str, set[str]] = {}
        self._layouts: weakref.WeakKeyDictionary[Layout, Ids] = weakref.WeakKeyDictionary()
        self.folded: Counter[str] = Counter()
        """Number of series folded into (other), by cap."""

    def __len__(self) -> int:
        return len(self._series)

    def ids(self, layout: Layout) -> Ids:
        """Return the ids of a layout's series, int32 of shape (n,); resolved once per layout."""
        known = self._layouts.get(layout)
        if known is None:
            known = np.fromiter((self.id(series) for series in layout.series), np.int32, len(layout))
            known.flags.writeable = False
            with self._lock:
                self._layouts[layout] = known
        return known

    def id(self, series: Series) -> int:
        """Return the id of a series, registering a new one."""
        known = self._ids.get(series)
        if known is None:
            with self._lock:
                known = self._ids.get(series)
                if known is None:
                    known = self._add(series)
        return known

    def find(self, series: Series) -> int | None:
        """Return the id of a registered series, else None."""
        return self._ids.get(series)

    def series(self, number: int) -> Series:
        """Return the series with an id. Raises IndexError for an unknown id."""
        return self._series[number]

    def metric(self, number: int) -> Metric:
        """Return the catalogue's row for an id."""
        return self._metrics[self._series[number].name]

    def all(self, since: int = 0) -> list[tuple[int, Series, Metric]]:
        """Return (id, series, metric) of every id from ``since`` on, in order."""
        return [(since + i, s, self._metrics[s.name]) for i, s in enumerate(self._series[since:])]

    def describe(self, since: int = 0) -> list[SeriesRow]:
        """Return the wire format's description of every series from id ``since`` on."""
        return [
            {"id": number, "name": s.name, "unit": metric.unit, "kind": metric.kind, "labels": dict(s.labels)}
            for number, s, metric in self.all(since)
        ]

    def _add(self, series: Series) -> int:
        kept = self._fold(series)
        if kept not in self._ids:
            self._ids[kept] = len(self._series)
            self._series.append(kept)
        number = self._ids[series] = self._ids[kept]
        return number

    def _fold(self, series: Series) -> Series:
        """Truncate long labels, and replace values past a cap by (other)."""
        metric = self._metrics[series.name]
        labels = tuple((key, value[:MAX_LABEL_CHARS]) for key, value in series.labels)
        for key, value in labels:
            values = self._label_values.setdefault(key, set())
            if value in values or value == OTHER:
                continue
            if len(values) >= LABEL_CAPS.get(key, self._max):
                self.folded[key] += 1
                labels = tuple((k, OTHER if k == key else v) for k, v in labels)
            else:
                values.add(value)
        kept = Series(metric.name, labels)
        if kept not in self._ids and len(self._series) >= self._max and labels:
            self.folded["series"] += 1
            kept = Series(metric.name, tuple((key, OTHER) for key, _ in labels))
        return kept
