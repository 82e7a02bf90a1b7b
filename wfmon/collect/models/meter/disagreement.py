"""Disagreement of models that answer simultaneously: divergence of their newest top tokens, mean over a second."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import combinations, islice
from typing import NamedTuple

from wfmon.collect.models.meter.entropy import divergence

MAX_PAIRS = 6
SECOND_US = 1_000_000.0
CHECK_US = 50_000.0
"""Minimum interval between comparisons: the mean of a second needs no more, and a tick must be short."""


class Top(NamedTuple):
    """The newest top tokens of a model: their time, their vocabulary, and probability by hash."""

    us: float
    vocab: str
    probabilities: dict[int, float]


class Speaker(NamedTuple):
    """A model, by its labels."""

    name: str
    server: str


class Disagreement:
    """Pairs of models of one vocabulary, by name. One thread. Times: the monitor's monotonic microseconds."""

    def __init__(self) -> None:
        self._tops: dict[Speaker, Top] = {}
        self._pairs: dict[tuple[Speaker, Speaker], deque[tuple[float, float]]] = {}
        self._news = False
        self._checked_us = -math.inf

    def update(self, who: Speaker, us: float, vocab: str, top: Sequence[float], hashes: Sequence[int]) -> None:
        """Record a model's newest top tokens; ``vocab`` is not empty."""
        self._tops[who] = Top(us, vocab, dict(zip(hashes, map(math.exp, top), strict=True)))
        self._news = True

    def at(self, now_us: float) -> dict[tuple[Speaker, Speaker], float]:
        """Return the mean over the sliding second of each pair that answers simultaneously, sorted by name."""
        if not self._tops and not self._pairs:
            return {}
        edge = now_us - SECOND_US
        self._tops = {who: top for who, top in self._tops.items() if top.us > edge}
        if self._news and len(self._tops) > 1 and now_us - self._checked_us >= CHECK_US:
            self._news, self._checked_us = False, now_us
            found = (
                pair for pair in combinations(sorted(self._tops), 2)
                if self._tops[pair[0]].vocab == self._tops[pair[1]].vocab
            )  # fmt: skip
            for one, other in islice(found, MAX_PAIRS):
                value = divergence(self._tops[one].probabilities, self._tops[other].probabilities)
                self._pairs.setdefault((one, other), deque(maxlen=256)).append((now_us, value))
        means: dict[tuple[Speaker, Speaker], float] = {}
        for pair, values in list(self._pairs.items()):
            while values and values[0][0] <= edge:
                values.popleft()
            if values:
                means[pair] = sum(value for _, value in values) / len(values)
            else:
                del self._pairs[pair]
        return dict(islice(sorted(means.items()), MAX_PAIRS))
