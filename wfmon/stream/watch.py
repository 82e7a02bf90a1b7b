"""The series a client watches: the selectors it sent (``core.selectors``), and a flag per series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.selectors import Selector, fits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wfmon.core.registry import Registry
    from wfmon.core.types import Flags, Series

Selectors = tuple[str, ...]
"""Sorted and without duplicates, so that clients with equal selectors share their frames."""


def selectors(texts: Iterable[str]) -> Selectors:
    """Normalize selectors. Raises ValueError naming the one that cannot be parsed."""
    given = tuple(sorted(set(texts)))
    for text in given:
        Selector.parse(text)
    return given


class Watched:
    """One flag per series id, extended as series are registered. Any thread."""

    def __init__(self, given: Selectors) -> None:
        """``given`` comes from ``selectors``."""
        self._wanted = [Selector.parse(text) for text in given]
        self._by_name: dict[str, list[Selector]] = {}  # the selectors that match a metric's name
        self._flags = np.zeros(0, np.bool_)

    def flags(self, registry: Registry) -> Flags:
        """Return the flags of all ids registered so far: bool, shape (n,) or longer."""
        flags = self._flags  # a race computes the same flags twice, which is harmless
        if len(flags) < len(registry):
            fresh = [self._matches(series) for _, series, _ in registry.all(len(flags))]
            self._flags = flags = np.append(flags, np.array(fresh, np.bool_))
        return flags

    def _matches(self, series: Series) -> bool:
        if series.name not in self._by_name:
            self._by_name[series.name] = [each for each in self._wanted if fits(each.name, series.name)]
        labels = dict(series.labels)
        return any(each.matches_labels(labels) for each in self._by_name[series.name])
