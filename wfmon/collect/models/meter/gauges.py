"""The models' gauges as frames: those of models that work in every beat, those of models at rest once a second.

Each has a frame of its own, so that a model at rest costs a beat nothing. Layouts are made anew only when a model
comes, goes, wakes or comes to rest, or a gauge has its first value; all else is reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wfmon.collect.models.meter.disagreement import Speaker
from wfmon.collect.models.meter.model import COLLECTOR, ModelMeter, Now
from wfmon.collect.models.meter.tracker import MAX_MODELS, Key, Tracker
from wfmon.core.types import Frame, Layout, Series

SECOND_US = 1_000_000.0
MAX_PAIRS = 32
NOT_AT_ONCE = "the two do not answer at once"
NOT_YET = "not seen since it was switched on"
_NAN = float("nan")


class _Group:
    """Models whose gauges go out together, and the layout of these; ``more`` series stand after them."""

    def __init__(self, models: Sequence[ModelMeter] = (), *more: Series) -> None:
        self.models = models
        self.layout = Layout((*(series for model in models for series in model.gauge_series()), *more))
        self._parts: list[Mapping[str, str]] = []
        self._reasons: Mapping[str, str] = {}

    def frame(self, now: Now, reasons: Sequence[Mapping[str, str]], more: Sequence[float] = ()) -> Frame:
        """Give their values, and why some are absent: these models' reasons and those given."""
        values = [value for model in self.models for value in model.gauge_values()]
        parts = [*reasons, *(model.reasons for model in self.models)]
        # The reasons stay the same object while nothing changed: whoever takes the frame need not compare them.
        if len(parts) != len(self._parts) or any(a is not b for a, b in zip(parts, self._parts, strict=True)):
            self._parts = parts
            self._reasons = {text: why for part in parts for text, why in part.items()}
        return Frame(COLLECTOR, now.wall_ms, self.layout, np.array([*values, *more], np.float64), self._reasons)


class Gauges:
    """Reads a book. The ticker's alone, under the meters' lock."""

    def __init__(self, book: Tracker) -> None:
        self._book = book
        self._next_us = 0.0
        self._working, self._resting = _Group(), _Group()
        self._pairs: dict[tuple[Speaker, Speaker], Series] = {}
        self._apart: dict[str, str] = {}
        self._gone: dict[Key, dict[str, str]] = {}
        """Why the series of models that left are absent; told with the frame of those at rest."""
        self._gone_told = True

    def frames(self, now: Now) -> list[Frame]:
        """Read the gauges of what works, and once a second of all; nothing when there is nothing to tell."""
        due = now.us >= self._next_us
        if due:
            self._next_us = now.us + SECOND_US
        read = [model for model in self._book.models.values() if model.moving or due]
        if not read:
            return []
        for model in read:
            owned = model.reading is None or self._book.owners.of(model.server, now.us) == "scrape"
            model.moving = model.sample(now, owned=owned)
        means, paired = self._disagreement(now)
        working, resting = self._sides(due=due)
        if paired or working != self._working.models or any(model.fresh for model in working):
            self._working = _Group(working, *self._pairs.values())
        self._welcome(read)
        changed = resting != self._resting.models or any(model.fresh for model in resting) or not self._gone_told
        if changed:
            self._resting, self._gone_told = _Group(resting), True
        for model in read:
            model.fresh = False
        frames = []
        if (due or changed) and (resting or (changed and self._gone)):
            frames.append(self._resting.frame(now, [*self._gone.values()]))
        if len(self._working.layout):
            frames.append(self._working.frame(now, [self._apart], [means.get(pair, _NAN) for pair in self._pairs]))
        self._part_with(read)
        return frames

    def back(self, now: Now) -> list[Frame]:
        """It was switched on again: what was absent for that is absent since nobody told of it."""
        self._gone = {key: dict.fromkeys(reasons, NOT_YET) for key, reasons in self._gone.items()}
        self._working, self._resting = _Group(), _Group()  # with these layouts go the reasons of before
        return [self._resting.frame(now, [*self._gone.values()])] if self._gone else []

    def _sides(self, *, due: bool) -> tuple[list[ModelMeter], list[ModelMeter]]:
        """Give the models that work, and those at rest.

        Who comes to rest stays among the first until the second is full: requests that follow one another would else
        make new layouts all the time.
        """
        models = list(self._book.models.values())
        working = [each for each in models if each.moving or (not due and each in self._working.models)]
        return working, [each for each in models if each not in working]

    def _welcome(self, read: Sequence[ModelMeter]) -> None:
        """Why these were gone is past, if they were."""
        for model in read:
            if self._gone.pop((model.name, model.server), None) is not None:
                self._gone_told = False

    def _part_with(self, read: Sequence[ModelMeter]) -> None:
        """Forget the models that leave: these frames had their gaps, and why they left stands until they are back."""
        for model in read:
            if model.leaving:
                self._book.remove(model)
                self._gone_told = False
                self._gone[model.name, model.server] = model.reasons
                while len(self._gone) > MAX_MODELS:
                    del self._gone[next(iter(self._gone))]

    def _disagreement(self, now: Now) -> tuple[dict[tuple[Speaker, Speaker], float], bool]:
        """Give the pairs' means, and whether there are new ones; note why other pairs have none."""
        means = self._book.disagreement.at(now.us)
        if not means and not self._pairs:
            return means, False
        new = [pair for pair in means if pair not in self._pairs][: MAX_PAIRS - len(self._pairs)]
        for pair in new:
            self._pairs[pair] = _pair_series(*pair)
        apart = {str(series): NOT_AT_ONCE for pair, series in self._pairs.items() if pair not in means}
        if apart != self._apart:
            self._apart = apart
        return means, bool(new)


def _pair_series(one: Speaker, other: Speaker) -> Series:
    """Give the series of a pair; of two servers' models of one name the other says where it is."""
    label = other.name if other.name != one.name else f"{other.name}@{other.server}"
    return Series.of("model.disagreement", model=one.name, server=one.server, other=label)
