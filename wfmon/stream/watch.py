"""Selectors: which series a client wants. ``name``, ``name{label="v"}``; ``*`` and ``?`` stand for other characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wfmon.core.types import Series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wfmon.core.registry import Registry
    from wfmon.core.types import Flags

Selectors = tuple[str, ...]
"""Sorted and without repetition, so that clients who want the same are seen to want the same."""


def selectors(texts: Iterable[str]) -> Selectors:
    """Put selectors into their one form. Raises ValueError that says which one cannot be read."""
    given = tuple(sorted(set(texts)))
    for text in given:
        Series.parse(text)
    return given


class Watched:
    """A flag a series id, extended as series come. Any thread may ask."""

    def __init__(self, given: Selectors) -> None:
        """``given`` comes from ``selectors``."""
        self._wanted = [Series.parse(text) for text in given]
        self._by_name: dict[str, list[Series]] = {}  # the selectors that a metric's name matches
        self._flags = np.zeros(0, np.bool_)

    def flags(self, registry: Registry) -> Flags:
        """Give the flags of all ids known now, bool of shape (at least n,)."""
        flags = self._flags  # a race makes the same flags twice, no harm
        if len(flags) < len(registry):
            fresh = [self._matches(series) for _, series, _ in registry.all(len(flags))]
            self._flags = flags = np.append(flags, np.array(fresh, np.bool_))
        return flags

    def _matches(self, series: Series) -> bool:
        if series.name not in self._by_name:
            self._by_name[series.name] = [each for each in self._wanted if fits(each.name, series.name)]
        labels = dict(series.labels)
        return any(
            all(fits(value, labels.get(key, "")) for key, value in each.labels) for each in self._by_name[series.name]
        )


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text fits a pattern with ``*`` and ``?``; no other character is special.

    Not fnmatch: patterns come from clients, and it would compile each one and keep thousands. Only the last ``*`` is
    ever tried again, so the steps are at most the product of the two lengths.
    """
    if len(pattern) - pattern.count("*") > len(text):
        return False
    at = here = 0  # in the pattern, in the text
    star, taken = -1, 0  # the last *, and where the text goes on after what it has taken
    while here < len(text):
        wanted = pattern[at : at + 1]
        if wanted == "*":
            star, taken = at, here
            at += 1
        elif wanted in {"?", text[here]}:
            at, here = at + 1, here + 1
        elif star >= 0:
            taken += 1
            at, here = star + 1, taken
        else:
            return False
    return not pattern[at:].strip("*")
