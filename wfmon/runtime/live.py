"""The last minutes in memory: latest values and windows, and adapters for other stages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.errors import Refused, Unknown
from wfmon.core.types import Series, Window
from wfmon.store.intake import Pulled
from wfmon.store.series_ids import Described

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wfmon.core.answers.live import Latest, LatestRow, SeriesRow, SeriesWindow, Windows
    from wfmon.core.clock import Clock
    from wfmon.core.registry import Registry
    from wfmon.core.types import Millis
    from wfmon.window.cache import HotCache

WINDOWS_S = (1, 10, 300)
"""The rolling windows available for all series."""


class LiveValues:
    """Reads the hot cache. Any thread. ``deleted_since(series)``: its data before that instant was deleted; or 0."""

    def __init__(
        self, registry: Registry, cache: HotCache, clock: Clock, deleted_since: Callable[[Series], int]
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._clock = clock
        self._deleted_since = deleted_since

    # --- for pages and routes

    def series(self) -> list[SeriesRow]:
        """Return every series of this boot."""
        return self._registry.describe()

    def latest(self) -> Latest:
        """Return every series' last value."""
        values = self._cache.latest()
        return {
            "now_ms": self._clock.now_ms(),
            "series": [_with_last(row, values.get(number)) for number, row in enumerate(self._registry.describe())],
        }

    def window(self, *, series: str, span_s: float) -> SeriesWindow:
        """Return one series over its last ``span_s``. Raises Refused (not a series name), Unknown (never seen)."""
        try:
            parsed = Series.parse(series)
        except ValueError as error:
            fix = 'Write it as /api/v1/series does: name, or name{label="value"}.'
            raise Refused("series", f"{error}.", fix) from None
        number = self._registry.find(parsed)
        if number is None:
            raise Unknown(
                "series", "series", "No such series was seen since the start.",
                "GET /api/v1/series lists those that were.",
            )  # fmt: skip
        window = self._cache.window(number, span_s)
        return {"series": str(parsed), "unit": self._registry.metric(number).unit, **asdict(window)}  # type: ignore[typeddict-item]

    def windows(self, *, span_s: float) -> Windows:
        """Return every series with a sample in the last 1, 10 or 300 seconds. Raises Refused for another span."""
        if span_s not in WINDOWS_S:
            raise Refused(
                "window", f"Windows of all series span {', '.join(map(str, WINDOWS_S))} seconds.",
                "Use window=1, 10 or 300; /api/v1/window accepts any span of one series.",
            )  # fmt: skip
        described = self._registry.describe()
        found = self._cache.windows(span_s).items()
        return {
            "now_ms": self._clock.now_ms(),
            "series": [{**described[number], **asdict(each)} for number, each in found],  # type: ignore[typeddict-item]
        }

    # --- for other stages

    def gpu_watts(self) -> float | None:
        """Return the power draw of all graphics cards, None if any is not measured."""
        latest = self._cache.latest()
        watts = [
            latest[number][1] for number, series, _ in self._registry.all()
            if series.name == "gpu.power_watts" and number in latest
        ]  # fmt: skip
        return sum(watts) if watts and not any(math.isnan(each) for each in watts) else None

    def between(self, series: str, from_ms: int, to_ms: int) -> Window | None:
        """Return a series over a span of the last minutes, None if it was never seen."""
        number = self._registry.find(Series.parse(series))
        return None if number is None else self._cache.between(number, from_ms, to_ms)

    def pulled(self, from_ms: int, to_ms: int) -> Pulled:
        """Return all samples in [from_ms, to_ms), for the writer."""
        return Pulled(*self._cache.samples(from_ms, to_ms))

    def described(self, since: int) -> list[Described]:
        """Return the series with ids from ``since`` on, for the writer."""
        return [
            Described(str(series), series.name, metric.unit, metric.kind, metric.is_distribution)
            for _, series, metric in self._registry.all(since)
        ]

    def since_ms(self) -> int:
        """Return the instant from which the cache is complete."""
        return self._cache.since_ms

    def samples(self, text: str, from_ms: int, to_ms: int) -> tuple[Millis, NDArray[np.float32]]:
        """Return a series' samples in [from_ms, to_ms), deleted ones excluded: times and values, shape (n,)."""
        series = Series.parse(text)
        number = self._registry.find(series)
        if number is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        _, t_ms, values = self._cache.samples_of(number, max(from_ms, self._deleted_since(series)), to_ms)
        return t_ms, values

    def known(self) -> list[tuple[Series, str, str]]:
        """Return this boot's series with unit and kind; a deleted one only if it was measured since."""
        latest = self._cache.latest()
        return [
            (series, metric.unit, metric.kind) for number, series, metric in self._registry.all()
            if (cut_ms := self._deleted_since(series)) == 0 or latest.get(number, (0, 0.0))[0] >= cut_ms
        ]  # fmt: skip


def _with_last(row: SeriesRow, last: tuple[int, float] | None) -> LatestRow:
    t_ms, value = last or (None, None)
    return {**row, "t_ms": t_ms, "value": None if value is None or math.isnan(value) else value}
