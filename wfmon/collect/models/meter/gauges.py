"""The models' gauges as frames: working models in every tick, models at rest once a second.

Both groups have their own frame, so that a model at rest costs nothing in a tick. Layouts are rebuilt only when a model
comes, goes, wakes or comes to rest, or a gauge has its first value.
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
    """Models whose gauges share a frame, and its layout; ``more`` series come after them."""

    def __init__(self, models: Sequence[ModelMeter] = (), *more: Series) -> None:
        self.models = models
        self.layout = Layout((*(series for model in models for series in model.gauge_series()), *more))
        self._parts: list[Mapping[str, str]] = []
        self._reasons: Mapping[str, str] = {}

    def frame(self, now: Now, reasons: Sequence[Mapping[str, str]], more: Sequence[float] = ()) -> Frame:
        """Return a frame of their values, and why some are absent: the models' reasons and ``reasons``."""
        values = [value for model in self.models for value in model.gauge_values()]
        parts = [*reasons, *(model.reasons for model in self.models)]
        # The reasons stay the same object while unchanged, so that receivers need not compare them.
        if len(parts) != len(self._parts) or any(a is not b for a, b in zip(parts, self._parts, strict=True)):
            self._parts = parts
            self._reasons = {text: why for part in parts for text, why in part.items()}
        return Frame(COLLECTOR, now.wall_ms, self.layout, np.array([*values, *more], np.float64), self._reasons)


class Gauges:
    """Reads a tracker. The ticker's thread only, under the meters' lock."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._next_us = 0.0
        self._working, self._resting = _Group(), _Group()
        self._pairs: dict[tuple[Speaker, Speaker], Series] = {}
        self._apart: dict[str, str] = {}
        self._gone: dict[Key, dict[str, str]] = {}
        """Why the series of models that left are absent; sent with the frame of models at rest."""
        self._gone_published = True

    def frames(self, now: Now) -> list[Frame]:
        """Sample the gauges of working models, and once a second of all; return the frames to send."""
        due = now.us >= self._next_us
        if due:
            self._next_us = now.us + SECOND_US
        read = [model for model in self._tracker.models.values() if model.moving or due]
        if not read:
            return []
        for model in read:
            owned = model.reading is None or self._tracker.owners.of(model.server, now.us) == "scrape"
            model.moving = model.sample(now, owned=owned)
        means, paired = self._disagreement(now)
        working, resting = self._sides(due=due)
        if paired or working != self._working.models or any(model.fresh for model in working):
            self._working = _Group(working, *self._pairs.values())
        self._clear_gone(read)
        changed = resting != self._resting.models or any(model.fresh for model in resting) or not self._gone_published
        if changed:
            self._resting, self._gone_published = _Group(resting), True
        for model in read:
            model.fresh = False
        frames = []
        if (due or changed) and (resting or (changed and self._gone)):
            frames.append(self._resting.frame(now, [*self._gone.values()]))
        if len(self._working.layout):
            frames.append(self._working.frame(now, [self._apart], [means.get(pair, _NAN) for pair in self._pairs]))
        self._remove_leaving(read)
        return frames

    def back(self, now: Now) -> list[Frame]:
        """After switching on again, replace the reason "off" of absent models by "not seen"."""
        self._gone = {key: dict.fromkeys(reasons, NOT_YET) for key, reasons in self._gone.items()}
        self._working, self._resting = _Group(), _Group()  # with these layouts go the reasons of before
        return [self._resting.frame(now, [*self._gone.values()])] if self._gone else []

    def _sides(self, *, due: bool) -> tuple[list[ModelMeter], list[ModelMeter]]:
        """Return the working models, and those at rest.

        A model that comes to rest stays in the first group until the second is over: otherwise consecutive requests
        would rebuild layouts all the time.
        """
        models = list(self._tracker.models.values())
        working = [each for each in models if each.moving or (not due and each in self._working.models)]
        return working, [each for each in models if each not in working]

    def _clear_gone(self, read: Sequence[ModelMeter]) -> None:
        """Drop the reasons of models that are back."""
        for model in read:
            if self._gone.pop((model.name, model.server), None) is not None:
                self._gone_published = False

    def _remove_leaving(self, read: Sequence[ModelMeter]) -> None:
        """Remove leaving models: these frames had their gaps; the reason is kept until they are back."""
        for model in read:
            if model.leaving:
                self._tracker.remove(model)
                self._gone_published = False
                self._gone[model.name, model.server] = model.reasons
                while len(self._gone) > MAX_MODELS:
                    del self._gone[next(iter(self._gone))]

    def _disagreement(self, now: Now) -> tuple[dict[tuple[Speaker, Speaker], float], bool]:
        """Return the pairs' means, and whether there are new pairs; record why other pairs have none."""
        means = self._tracker.disagreement.at(now.us)
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
    """Return the series of a pair; if both models have one name, the other's label includes its server."""
    label = other.name if other.name != one.name else f"{other.name}@{other.server}"
    return Series.of("model.disagreement", model=one.name, server=one.server, other=label)
