"""The one matcher of series: ``name`` or ``name{label="value"}``, where ``*`` is any text and ``?`` one character.

A label that is not named may have any value; a named label must exist and match. A backslash in a label's value escapes
the next character: ``\\*`` is a star. ``assets/lib/series/selectors.mjs`` does the same in the browser; both are tested
with tests/data/selectors.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wfmon.core.types import Series, labels_of

_ANY, _ONE = 0, 1
Glob = tuple[int | str, ...]
"""A pattern: one element per character, ``_ANY`` for a star and ``_ONE`` for a question mark."""


class Selector(NamedTuple):
    """A parsed selector."""

    text: str
    name: Glob
    labels: tuple[tuple[str, Glob], ...]

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Parse a selector. Raises ValueError naming what is wrong."""
        name, labels = labels_of(text)
        return cls(text, glob(name, escapes=False), tuple((key, glob(raw)) for key, raw in labels))

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a series with this name and these labels matches."""
        return fits(self.name, name) and self.matches_labels(labels)

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels match, whatever the name."""
        return all(key in labels and fits(each, labels[key]) for key, each in self.labels)


def pick(text: str, series: Mapping[str, Series]) -> list[str]:
    """Return the keys of ``series`` (series by their text) that match a selector. Raises ValueError.

    A series's own text selects only that series, whatever characters its labels have.
    """
    if text in series:
        return [text]
    selector = Selector.parse(text)
    return [key for key, each in series.items() if selector.matches(each.name, dict(each.labels))]


def is_pattern(name: str) -> bool:
    """Return whether a metric's name has wildcards."""
    return "*" in name or "?" in name


def glob(pattern: str, *, escapes: bool = True) -> Glob:
    """Parse a pattern. ``escapes``: a backslash escapes the next character."""
    found: list[int | str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and escapes and at + 1 < len(pattern):
            at += 1
            found.append(pattern[at])
        else:
            found.append(_ANY if char == "*" else _ONE if char == "?" else char)
        at += 1
    return tuple(found)


def fits(pattern: Glob, text: str) -> bool:
    """Return whether a pattern matches the whole text.

    Not fnmatch: patterns come from clients, and it would compile and cache thousands. Only the last ``*`` is ever
    backtracked to, so the number of steps is at most the product of the two lengths.
    """
    if len(pattern) - pattern.count(_ANY) > len(text):
        return False
    at = here = 0  # in the pattern, in the text
    star, taken = -1, 0  # the last *, and the position in the text after what it has matched
    while here < len(text):
        wanted = pattern[at] if at < len(pattern) else None
        if wanted == _ANY:
            star, taken = at, here
            at += 1
        elif wanted in (_ONE, text[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            taken += 1
            at, here = star + 1, taken
        else:
            return False
    return all(each == _ANY for each in pattern[at:])
